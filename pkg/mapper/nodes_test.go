package mapper

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

func TestKindsOfNodesHaveSessionNamesOfTheirOwn(t *testing.T) {
	const ok = reason.Granted
	cases := []struct {
		session              string
		ec2, fargate, hybrid reason.Code
	}{
		{"i-0123456789abcdef0", ok, reason.NodeNameRefused, reason.NodeNameRefused},
		{"i-01234567", ok, reason.NodeNameRefused, reason.NodeNameRefused},
		{"I-01234567", reason.NotAnInstance, reason.NodeNameRefused, reason.NodeNameRefused},
		{"mi-0123456789abcdef0", reason.NotAnInstance, reason.NodeNameRefused, ok},
		{"rack7.example.com", reason.NotAnInstance, reason.NodeNameRefused, ok},
		{"fargate-ip-10-0-0-1.eu-west-1.compute.internal", reason.NotAnInstance, ok, reason.NodeNameRefused},
		{"fargate-ip-10-0-0-1.ec2.internal", reason.NotAnInstance, ok, reason.NodeNameRefused},
		{"fargate-", reason.NotAnInstance, reason.NodeNameRefused, reason.NodeNameRefused},
		{"ip-10-0-0-1.ec2.internal", reason.NotAnInstance, reason.NodeNameRefused, reason.NodeNameRefused},
		{"ip-10-0-0-1.eu-west-1.compute.internal", reason.NotAnInstance, reason.NodeNameRefused, reason.NodeNameRefused},
		{"Fargate-1", reason.NotAnInstance, reason.NodeNameRefused, reason.NodeNameRefused},
		// {{SessionName}} makes a dash of the at sign: not of one that is no node's.
		{"rack7@example.com", reason.NotAnInstance, reason.NodeNameRefused, reason.NodeNameRefused},
		{"alice.", reason.NotAnInstance, reason.NodeNameRefused, reason.NodeNameRefused},
		{"-a", reason.NotAnInstance, reason.NodeNameRefused, reason.NodeNameRefused},
		{"a..b", reason.NotAnInstance, reason.NodeNameRefused, reason.NodeNameRefused},
		{"a_b", reason.NotAnInstance, reason.NodeNameRefused, reason.NodeNameRefused},
		{"", reason.NotAnInstance, reason.NodeNameRefused, reason.NodeNameRefused},
	}
	for _, c := range cases {
		for kind, want := range map[NodeKind]reason.Code{EC2Node: c.ec2, FargateNode: c.fargate, HybridNode: c.hybrid, NoNode: ok} {
			if err := kind.checkSession(c.session); reason.Of(err) != want {
				t.Errorf("%q as %d: %v, want %s", c.session, kind, err, want)
			}
		}
	}
}

func FuzzIsNodeName(f *testing.F) {
	for _, s := range []string{"ip-10-0-0-1.ec2.internal", "a", "", ".", "a.", "-a", "a-", "A", "a_b", "ä", strings.Repeat("a", 254)} {
		f.Add(s)
	}
	label := `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
	pattern := regexp.MustCompile(`\A` + label + `(\.` + label + `)*\z`)
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := isNodeName(s), len(s) <= 253 && pattern.MatchString(s); got != want {
			t.Errorf("isNodeName(%q) = %t, want %t", s, got, want)
		}
	})
}

// counted counts how often it is asked, and for a proof.
type counted struct{ asked, proven int }

func (c *counted) PrivateDNSName(_ context.Context, _ iam.Identity, prove bool) (string, error) {
	c.asked++
	if prove {
		c.proven++
	}
	return "n", nil
}

func TestProofIsWantedOfWhomItIsFor(t *testing.T) {
	instance := session(t, "Nodes", "i-0123456789abcdef0")
	for _, c := range []struct {
		name, username     string
		node               NodeKind
		proof              NodeProof
		wantAsk, wantProof int
	}{
		{"node entry", "system:node:{{EC2PrivateDNSName}}", EC2Node, ProveEC2Nodes, 1, 1},
		{"node entry by ID", "system:node:{{SessionName}}", EC2Node, ProveEC2Nodes, 1, 1},
		{"node entry, nothing is proven", "system:node:{{EC2PrivateDNSName}}", EC2Node, ProveNothing, 1, 0},
		{"node entry by ID, nothing is proven", "system:node:{{SessionName}}", EC2Node, ProveNothing, 0, 0},
		{"aws-auth", "system:node:{{EC2PrivateDNSName}}", NoNode, ProveEC2Nodes, 1, 0},
		{"aws-auth by ID", "system:node:{{EC2InstanceID}}", NoNode, ProveEC2Nodes, 0, 0},
		{"aws-auth, all is proven", "system:node:{{EC2PrivateDNSName}}", NoNode, ProveAllInstances, 1, 1},
		{"aws-auth by ID, all is proven", "system:node:{{EC2InstanceID}}", NoNode, ProveAllInstances, 1, 1},
		{"people, all is proven", "u:{{SessionName}}", NoNode, ProveAllInstances, 0, 0},
	} {
		p := instance.Principal
		p.SessionName = ""
		m, err := NewMapping(Entry{Principal: p, Username: c.username, Groups: []string{"g:" + c.username}, Node: c.node})
		if err != nil {
			t.Fatal(err)
		}
		var n counted
		if _, _, err := m.render(t.Context(), instance, &n, c.proof); err != nil || n.asked != c.wantAsk || n.proven != c.wantProof {
			t.Errorf("%s: asked %d times, %d for a proof (%v), want %d and %d", c.name, n.asked, n.proven, err, c.wantAsk, c.wantProof)
		}
	}
}

func TestRefusalOfAnInstanceKeepsItsReason(t *testing.T) {
	p := session(t, "Nodes", "i-0123456789abcdef0").Principal
	p.SessionName = ""
	m, err := NewMapping(Entry{Principal: p, Username: "system:node:{{SessionName}}", Node: EC2Node})
	if err != nil {
		t.Fatal(err)
	}
	refused := nodes{err: reason.New(reason.InstanceRoleMismatch, "another role")}
	_, _, err = m.render(t.Context(), session(t, "Nodes", "i-0123456789abcdef0"), refused, ProveEC2Nodes)
	if want := "InstanceRoleMismatch: EC2 instance i-0123456789abcdef0: another role"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
