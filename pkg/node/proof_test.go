package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

func TestProof(t *testing.T) {
	const other = "999999999999"
	change := func(f func(*awstest.Instance)) awstest.Instance {
		i := node(0)
		f(&i)
		return i
	}
	state := func(s string) awstest.Instance { return change(func(i *awstest.Instance) { i.State = s }) }
	profile := func(arn string) awstest.Instance {
		return change(func(i *awstest.Instance) { i.ProfileARN = arn })
	}
	const ok = reason.Granted
	for name, c := range map[string]struct {
		instance         awstest.Instance
		caller           iam.Identity
		proven, unproven reason.Code // with and without a proof
	}{
		"its role":                       {node(0), nodeSession(t, 0), ok, ok},
		"its role, in another case":      {node(0), session(t, account, "NODES", instanceID(0)), ok, ok},
		"another role":                   {node(0), session(t, account, "others", instanceID(0)), reason.InstanceRoleMismatch, ok},
		"another account":                {node(0), session(t, other, "nodes", instanceID(0)), reason.InstanceAccountMismatch, reason.InstanceAccountMismatch},
		"another instance":               {node(0), nodeSession(t, 1), reason.InstanceNotFound, reason.InstanceNotFound},
		"not an instance":                {node(0), session(t, account, "nodes", "alice"), reason.NotAnInstance, reason.NotAnInstance},
		"ID in another case":             {node(0xa), session(t, account, "nodes", "i-0000000000000000A"), reason.NotAnInstance, reason.NotAnInstance},
		"instance in another region":     {change(func(i *awstest.Instance) { i.Region = "eu-west-2" }), nodeSession(t, 0), reason.InstanceNotFound, reason.InstanceNotFound},
		"pending":                        {state("pending"), nodeSession(t, 0), ok, ok},
		"stopped":                        {state("stopped"), nodeSession(t, 0), ok, ok},
		"shutting down":                  {state("shutting-down"), nodeSession(t, 0), ok, ok},
		"terminated":                     {state("terminated"), nodeSession(t, 0), reason.InstanceNotFound, reason.InstanceNotFound},
		"no profile":                     {profile(""), nodeSession(t, 0), reason.InstanceRoleMismatch, ok},
		"profile without a role":         {profile(arns + "instance-profile/empty"), nodeSession(t, 0), reason.InstanceRoleMismatch, ok},
		"profile that was deleted":       {profile(arns + "instance-profile/gone"), nodeSession(t, 0), reason.InstanceRoleMismatch, ok},
		"profile of that name elsewhere": {profile("arn:aws:iam::" + other + ":instance-profile/p/nodes"), nodeSession(t, 0), reason.InstanceRoleMismatch, ok},
		"profile of that name, but path": {profile(arns + "instance-profile/nodes"), nodeSession(t, 0), reason.InstanceRoleMismatch, ok},
		"profile that is none":           {profile("nodes"), nodeSession(t, 0), reason.EC2Unavailable, ok},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.ec2.SetInstance(c.instance)
				for prove, want := range map[bool]reason.Code{true: c.proven, false: c.unproven} {
					got, err := b.resolver().PrivateDNSName(t.Context(), c.caller, prove)
					if reason.Of(err) != want || (got == dnsName(0)) != (want == ok) {
						t.Errorf("proof %t: %q, %v, want %s", prove, got, err, want)
					}
				}
			})
		})
	}
}

// TestNobodyIsRefusedForWhatWasTrueBefore changes what was remembered.
func TestNobodyIsRefusedForWhatWasTrueBefore(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*bed)
		after  func(*bed)
	}{
		"a profile is attached": {
			func(b *bed) { i := node(0); i.ProfileARN = ""; b.ec2.SetInstance(i) },
			func(b *bed) { b.launch(0, 1) },
		},
		"the profile is replaced": {
			func(b *bed) { i := node(0); i.ProfileARN = arns + "instance-profile/others"; b.ec2.SetInstance(i) },
			func(b *bed) { b.launch(0, 1) },
		},
		"the role of the profile is replaced": {
			func(b *bed) {
				b.launch(0, 1)
				_ = b.iam.SetInstanceProfile(arns+"instance-profile/p/nodes", arns+"role/others")
			},
			func(b *bed) { _ = b.iam.SetInstanceProfile(arns+"instance-profile/p/nodes", arns+"role/team/nodes") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				c.before(b)
				r := b.resolver()
				for range 50 {
					if ends := lookUp(t, r, nodeSession(t, 0)); ends[reason.InstanceRoleMismatch] != 1 {
						t.Errorf("before: %v", ends)
					}
				}
				if n := b.ec2.Calls(""); n != 1 {
					t.Errorf("%d calls for one that is refused", n)
				}
				c.after(b)
				time.Sleep(NegativeTTL)
				if ends := lookUp(t, r, nodeSession(t, 0)); ends[reason.Granted] != 1 {
					t.Errorf("after: %v", ends)
				}
			})
		})
	}
}

func TestWhoIsNoLongerANodeIsRefusedWithinTheTTL(t *testing.T) {
	for name, change := range map[string]func(*bed){
		"terminated":           func(b *bed) { i := node(0); i.State = "terminated"; b.ec2.SetInstance(i) },
		"forgotten":            func(b *bed) { b.ec2.RemoveInstance(instanceID(0)) },
		"another profile":      func(b *bed) { i := node(0); i.ProfileARN = arns + "instance-profile/others"; b.ec2.SetInstance(i) },
		"profile without role": func(b *bed) { _ = b.iam.SetInstanceProfile(arns+"instance-profile/p/nodes", "") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.launch(0, 1)
				r := b.resolver()
				if ends := lookUp(t, r, nodeSession(t, 0)); ends[reason.Granted] != 1 {
					t.Fatalf("%v", ends)
				}
				change(b)
				time.Sleep(TTL)
				if ends := lookUp(t, r, nodeSession(t, 0)); ends[reason.InstanceNotFound]+ends[reason.InstanceRoleMismatch] != 1 {
					t.Errorf("%v", ends)
				}
			})
		})
	}
}

// Addresses are used again, and names with them. The credentials of the instance before
// are good for hours.
func TestANameIsThatOfTheLastInstanceThatHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.launch(0, 1)
		r := b.resolver()
		if ends := lookUp(t, r, nodeSession(t, 0)); ends[reason.Granted] != 1 {
			t.Fatalf("%v", ends)
		}
		old, successor := node(0), node(1)
		old.State, successor.PrivateDNSName = "terminated", dnsName(0)
		b.ec2.SetInstance(old)
		b.ec2.SetInstance(successor)
		if name, err := r.PrivateDNSName(t.Context(), nodeSession(t, 1), true); err != nil || name != dnsName(0) {
			t.Errorf("the successor: %q, %v", name, err)
		}
		if name, err := r.PrivateDNSName(t.Context(), nodeSession(t, 0), true); reason.Of(err) != reason.InstanceNotFound {
			t.Errorf("the old one: %q, %v", name, err)
		}

		// Nor does an old answer stand while EC2 can't be asked.
		b.launch(2, 3)
		lookUp(t, r, nodeSession(t, 2))
		successor = node(3)
		successor.PrivateDNSName = dnsName(2)
		b.ec2.SetInstance(successor)
		lookUp(t, r, nodeSession(t, 3))
		b.ec2.SetFault(awstest.Fault{Kind: awstest.FaultThrottle})
		if ends := lookUp(t, r, nodeSession(t, 2), nodeSession(t, 3)); ends[reason.EC2Throttled] != 1 || ends[reason.Granted] != 1 {
			t.Errorf("while EC2 throttles: %v", ends)
		}
	})
}
