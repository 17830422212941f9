package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// lookUp looks all up at once, and returns how many lookups ended for which reason.
func lookUp(t *testing.T, r *Resolver, ids ...iam.Identity) map[reason.Code]int {
	t.Helper()
	var mu sync.Mutex
	ends := map[reason.Code]int{}
	var group sync.WaitGroup
	for _, id := range ids {
		group.Go(func() {
			_, err := r.PrivateDNSName(t.Context(), id, true)
			mu.Lock()
			defer mu.Unlock()
			ends[reason.Of(err)]++
		})
	}
	group.Wait()
	return ends
}

func sessions(t *testing.T, from, to int) (ids []iam.Identity) {
	for n := from; n < to; n++ {
		ids = append(ids, nodeSession(t, n))
	}
	return ids
}

func TestInstanceIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.launch(0, 1)
		r := b.resolver()
		start := time.Now()
		for _, step := range []struct {
			at    time.Duration
			took  time.Duration // at most
			calls int           // to EC2, when all is quiet
		}{
			{0, time.Second, 1},
			{TTL/2 - time.Minute, 0, 1},
			{TTL/2 + time.Second, 0, 2}, // renewed, for which nobody waits
			{TTL - time.Minute, 0, 2},
			{2 * TTL, time.Second, 3},
		} {
			time.Sleep(time.Until(start.Add(step.at)))
			at := time.Now()
			name, err := r.PrivateDNSName(t.Context(), nodeSession(t, 0), true)
			took := time.Since(at)
			time.Sleep(renewalWindow + 100*time.Millisecond)
			if n := b.ec2.Calls("DescribeInstances"); err != nil || name != dnsName(0) || took > step.took || n != step.calls || b.iam.Calls("") > n {
				t.Errorf("after %s: %q, %v, took %s, %d calls, want at most %s and %d", step.at, name, err, took, n, step.took, step.calls)
			}
		}
	})
}

func TestManyAtOnceShareFewCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.launch(0, 1000)
		b.ec2.SetFault(awstest.Fault{Latency: 50 * time.Millisecond})
		b.iam.SetFault(awstest.Fault{Latency: 50 * time.Millisecond})
		r := b.resolver()
		start := time.Now()
		ends := lookUp(t, r, append(sessions(t, 0, 1000), sessions(t, 0, 1000)[:400]...)...)
		if took := time.Since(start); ends[reason.Granted] != 1400 || b.ec2.Calls("") != 10 || b.iam.Calls("") != 1 || took > time.Second {
			t.Errorf("%v with %d calls to EC2 and %d to IAM in %s, want all with 10 and 1 in a second", ends, b.ec2.Calls(""), b.iam.Calls(""), took)
		}
	})
}

// TestKnownNodesCostFewCalls has 5,000 nodes log in again and again, as the API server asks
// every two minutes.
func TestKnownNodesCostFewCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		b := newBed(t)
		b.launch(0, n)
		r := b.resolver()
		for from := 0; from < n; from += 1000 {
			lookUp(t, r, sessions(t, from, from+1000)...)
		}
		before := b.ec2.Calls("")
		ids := sessions(t, 0, n)
		start := time.Now()
		for i := range 10 * n { // 20 minutes, at an even pace
			time.Sleep(time.Until(start.Add(time.Duration(i) * 2 * time.Minute / n)))
			at := time.Now()
			if _, err := r.PrivateDNSName(t.Context(), ids[i%n], true); err != nil || time.Since(at) > 0 {
				t.Fatalf("login %d after %s: %v", i, time.Since(at), err)
			}
		}
		// Each is renewed three times, 100 in a call.
		if calls := b.ec2.Calls("") - before; calls < 100 || calls > 200 {
			t.Errorf("%d calls in 20 minutes", calls)
		}
		time.Sleep(renewalWindow)
	})
}

func TestARenewalBecomesUrgentWhenSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		i := node(0)
		i.ProfileARN = arns + "instance-profile/others"
		b.ec2.SetInstance(i)
		r := b.resolver()
		others := session(t, account, "others", instanceID(0))
		if ends := lookUp(t, r, others); ends[reason.Granted] != 1 {
			t.Fatalf("%v", ends)
		}
		time.Sleep(TTL - time.Minute)
		lookUp(t, r, others) // has it renewed
		b.launch(0, 1)       // with the other role
		at := time.Now()
		if ends := lookUp(t, r, nodeSession(t, 0)); ends[reason.Granted] != 1 || time.Since(at) > time.Second {
			t.Errorf("%v after %s", ends, time.Since(at))
		}
		time.Sleep(time.Minute)
		if n := b.ec2.Calls(""); n != 2 {
			t.Errorf("%d calls, want one in the place of the renewal", n)
		}
	})
}

func TestCallsKeepToTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.launch(0, 3000)
		var mu sync.Mutex
		var at []time.Time
		r := New(Options{
			Rate: 10, Burst: 3,
			Load:    func(context.Context) (aws.Config, error) { return b.config, nil },
			Observe: func(c Call) { mu.Lock(); at = append(at, time.Now().Add(-c.Duration)); mu.Unlock() },
		})
		for n := range 1500 { // one after the other, so that batches are small
			go r.PrivateDNSName(context.Background(), nodeSession(t, n), n%2 == 0)
			time.Sleep(7 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(at) < 90 || len(at) > 3+10*11 {
			t.Errorf("%d calls in 10.5 s", len(at))
		}
		for i := range at {
			for j := i + 3; j < len(at); j++ {
				// j-i+1 calls, of which a burst is for nothing
				if least := time.Duration(j-i+1-3) * 100 * time.Millisecond; at[j].Sub(at[i]) < least-time.Microsecond {
					t.Fatalf("%d calls within %s, want %s", j-i+1, at[j].Sub(at[i]), least)
				}
			}
		}
	})
}

func TestUnknownInstanceSpoilsNothingForOthers(t *testing.T) {
	const missing = "<Response><Errors><Error><Code>InvalidInstanceID.NotFound</Code><Message>%s</Message></Error></Errors><RequestID>r</RequestID></Response>"
	for name, c := range map[string]struct {
		fault *awstest.Fault
		most  int // calls
	}{
		"all are named": {nil, 2},
		// Once, or else nothing could tell which are there.
		"none is named": {&awstest.Fault{Times: 1, Kind: awstest.FaultRespond, Status: 400, ContentType: "text/xml", Body: fmt.Sprintf(missing, "Some do not exist")}, 5},
		"others are named": {&awstest.Fault{Times: 1, Kind: awstest.FaultRespond, Status: 400, ContentType: "text/xml",
			Body: fmt.Sprintf(missing, "The instance ID 'i-01234567' does not exist")}, 5},
		"named one by one": {&awstest.Fault{Times: 1, Kind: awstest.FaultRespond, Status: 400, ContentType: "text/xml",
			Body: fmt.Sprintf(missing, "The instance ID '"+instanceID(100)+"' does not exist")}, 3},
		"malformed": {&awstest.Fault{Times: 1, Kind: awstest.FaultRespond, Status: 400, ContentType: "text/xml",
			Body: strings.Replace(fmt.Sprintf(missing, `Invalid id: "`+instanceID(101)+`"`), "NotFound", "Malformed", 1)}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.launch(0, 97)
				if c.fault != nil {
					b.ec2.SetFault(*c.fault)
				}
				r := b.resolver()
				ends := lookUp(t, r, append(sessions(t, 0, 97), sessions(t, 100, 103)...)...)
				if n := b.ec2.Calls(""); ends[reason.Granted] != 97 || ends[reason.InstanceNotFound] != 3 || n > c.most {
					t.Errorf("%v with %d calls, want 97 granted and 3 not found with %d", ends, n, c.most)
				}
				if s := r.Stats(); s.Instances != 97 || s.Refused != 3 || s.Waiting != 0 || s.Queued != 0 || s.Err != nil {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

func TestNewInstanceIsFoundWithinTheNegativeTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		r := b.resolver()
		for range 20 {
			if ends := lookUp(t, r, nodeSession(t, 0)); ends[reason.InstanceNotFound] != 1 {
				t.Errorf("%v", ends)
			}
		}
		if n := b.ec2.Calls(""); n != 1 {
			t.Errorf("%d calls for one instance that isn't there", n)
		}
		b.launch(0, 1)
		time.Sleep(NegativeTTL)
		if ends := lookUp(t, r, nodeSession(t, 0)); ends[reason.Granted] != 1 {
			t.Errorf("%v", ends)
		}
	})
}

func TestAMinuteOfThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.launch(0, 1000)
		r := b.resolver()
		known := sessions(t, 0, 500)
		if ends := lookUp(t, r, known...); ends[reason.Granted] != 500 {
			t.Fatalf("%v", ends)
		}
		// What is known is past its time in the middle of the trouble.
		time.Sleep(TTL - 30*time.Second)
		before := b.ec2.Calls("")
		b.ec2.SetFault(awstest.Fault{Kind: awstest.FaultThrottle})
		b.iam.SetFault(awstest.Fault{Kind: awstest.FaultThrottle})
		for n := range 60 {
			at := time.Now()
			if ends := lookUp(t, r, known[n*5:n*5+50]...); ends[reason.Granted] != 50 {
				t.Errorf("second %d: known nodes: %v", n, ends)
			}
			if took := time.Since(at); took > 0 {
				t.Errorf("second %d: known nodes waited %s", n, took)
			}
			go func() { // the last of them waits until the end
				if ends := lookUp(t, r, nodeSession(t, 500+n)); ends[reason.EC2Throttled] != 1 && n < 55 {
					t.Errorf("second %d: a new node: %v, want %s", n, ends, reason.EC2Throttled)
				}
			}()
			time.Sleep(time.Until(at.Add(time.Second)))
		}
		if n := b.ec2.Calls("") - before; n < 5 || n > 60 {
			t.Errorf("%d calls to an EC2 that throttles for a minute", n)
		}
		if r.Healthy() == nil || reason.Of(r.Healthy()) != reason.EC2Throttled {
			t.Errorf("Healthy = %v", r.Healthy())
		}
		b.ec2.ClearFaults()
		b.iam.ClearFaults()
		time.Sleep(maxPause)
		if ends := lookUp(t, r, sessions(t, 500, 1000)...); ends[reason.Granted] != 500 {
			t.Errorf("afterwards: %v", ends)
		}
		time.Sleep(renewalWindow)
		if err := r.Healthy(); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestAMomentOfThrottlingIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.launch(0, 250)
		b.ec2.SetFault(awstest.Fault{Kind: awstest.FaultThrottle, Times: 3})
		b.iam.SetFault(awstest.Fault{Kind: awstest.FaultThrottle, Times: 1})
		if ends := lookUp(t, b.resolver(), sessions(t, 0, 250)...); ends[reason.Granted] != 250 {
			t.Errorf("%v", ends)
		}
	})
}

func TestTroubleIsNoDenial(t *testing.T) {
	for name, c := range map[string]struct {
		fault awstest.Fault
		want  reason.Code
	}{
		"throttled":   {awstest.Fault{Kind: awstest.FaultThrottle}, reason.EC2Throttled},
		"500":         {awstest.Fault{Kind: awstest.FaultInternal}, reason.EC2Unavailable},
		"hangs":       {awstest.Fault{Kind: awstest.FaultHang}, reason.EC2Unavailable},
		"reset":       {awstest.Fault{Kind: awstest.FaultReset}, reason.EC2Unavailable},
		"truncated":   {awstest.Fault{Kind: awstest.FaultTruncated}, reason.EC2Unavailable},
		"captive":     {awstest.Fault{Kind: awstest.FaultHTML}, reason.EC2Unavailable},
		"not allowed": {awstest.Fault{Kind: awstest.FaultDenied}, reason.EC2AccessDenied},
	} {
		for _, service := range []string{"EC2", "IAM"} {
			t.Run(name+" "+service, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBed(t)
					b.launch(0, 2)
					r := b.resolver()
					if ends := lookUp(t, r, nodeSession(t, 0)); ends[reason.Granted] != 1 {
						t.Fatalf("%v", ends)
					}
					time.Sleep(StaleTTL - time.Minute)
					if service == "EC2" {
						b.ec2.SetFault(c.fault)
					} else {
						b.iam.SetFault(c.fault)
					}
					if ends := lookUp(t, r, nodeSession(t, 0)); ends[reason.Granted] != 1 {
						t.Errorf("a known node: %v", ends)
					}
					_, err := New(Options{Load: r.caller.load}).PrivateDNSName(t.Context(), nodeSession(t, 1), true)
					if reason.Of(err) != c.want {
						t.Errorf("a new node: %v, want %s", err, c.want)
					}
					time.Sleep(StaleTTL)
					if ends := lookUp(t, r, nodeSession(t, 0)); ends[reason.Granted] != 0 {
						t.Errorf("what was known hours ago stands: %v", ends)
					}
				})
			})
		}
	}
}

// Connections that were idle for long are often closed. No login waits for the next one.
func TestABrokenConnectionIsNotNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.launch(0, 1)
		b.ec2.SetFault(awstest.Fault{Kind: awstest.FaultReset, Times: 1})
		b.iam.SetFault(awstest.Fault{Kind: awstest.FaultReset, Times: 1})
		if ends := lookUp(t, b.resolver(), nodeSession(t, 0)); ends[reason.Granted] != 1 || b.ec2.Calls("") != 2 || b.iam.Calls("") != 2 {
			t.Errorf("%v with %d calls to EC2 and %d to IAM", ends, b.ec2.Calls(""), b.iam.Calls(""))
		}
	})
}

func TestACallersEndEndsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.launch(0, 1)
		b.ec2.SetFault(awstest.Fault{Latency: time.Second})
		r := b.resolver()
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() {
			_, err := r.PrivateDNSName(ctx, nodeSession(t, 0), true)
			gone <- err
		}()
		synctest.Wait()
		stays := make(chan error)
		go func() {
			_, err := r.PrivateDNSName(t.Context(), nodeSession(t, 0), true)
			stays <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
		if err := <-stays; err != nil || b.ec2.Calls("") != 1 {
			t.Errorf("who stayed: %v with %d calls", err, b.ec2.Calls(""))
		}
	})
}

func TestWaitingLoginsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.launch(0, 1)
		r := b.resolver()
		if ends := lookUp(t, r, nodeSession(t, 0)); ends[reason.Granted] != 1 {
			t.Fatalf("%v", ends)
		}
		b.ec2.SetFault(awstest.Fault{Kind: awstest.FaultHang})
		waiting := sessions(t, 1, 1+MaxWaiting)
		done := make(chan map[reason.Code]int)
		go func() { done <- lookUp(t, r, waiting...) }()
		synctest.Wait()
		at := time.Now()
		ends := lookUp(t, r, sessions(t, 0, 2000)[1700:]...)
		if r.Stats().Waiting != MaxWaiting || ends[reason.EC2Throttled] != 300 || time.Since(at) > 0 {
			t.Errorf("%d wait, %v after %s, want the bound, and all others shed at once", r.Stats().Waiting, ends, time.Since(at))
		}
		if ends := lookUp(t, r, nodeSession(t, 0)); ends[reason.Granted] != 1 || time.Since(at) > 0 {
			t.Errorf("a known node: %v after %s", ends, time.Since(at))
		}
		if ends := <-done; ends[reason.EC2Unavailable] != MaxWaiting || time.Since(at) > patience {
			t.Errorf("%v after %s", ends, time.Since(at))
		}
		time.Sleep(time.Minute)
		if s := r.Stats(); s.Waiting != 0 || s.Queued != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestADefectEndsOneLookupAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.launch(0, 2)
		var panics []any
		first := true
		r := New(Options{
			Load: func(context.Context) (aws.Config, error) {
				if first {
					first = false
					panic("boom")
				}
				return b.config, nil
			},
			Panicked: func(p any, _ []byte) { panics = append(panics, p) },
		})
		if ends := lookUp(t, r, nodeSession(t, 0)); ends[reason.Internal] != 1 || len(panics) != 1 {
			t.Errorf("%v, %v", ends, panics)
		}
		if ends := lookUp(t, r, sessions(t, 0, 2)...); ends[reason.Granted] != 2 {
			t.Errorf("afterwards: %v", ends)
		}
	})
}

func TestForgedIDsPushOutNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.launch(0, 100)
		r := b.resolver()
		lookUp(t, r, sessions(t, 0, 100)...)
		for n := 1000; n < 13_000; n += 1000 {
			lookUp(t, r, sessions(t, n, n+1000)...)
		}
		if s := r.Stats(); s.Instances != 100 || s.Refused > maxRefused {
			t.Errorf("%+v", s)
		}
		// And while they come, a node gets in.
		b.launch(100, 101)
		go func() { lookUp(t, r, sessions(t, 20_000, 21_000)...) }()
		synctest.Wait()
		if ends := lookUp(t, r, nodeSession(t, 100)); ends[reason.Granted] != 1 {
			t.Errorf("%v", ends)
		}
		time.Sleep(time.Minute)
	})
}

func TestNoRegionIsNoDenial(t *testing.T) {
	r := New(Options{Load: func(context.Context) (aws.Config, error) { return aws.Config{}, errors.New("no AWS region") }})
	if _, err := r.PrivateDNSName(t.Context(), nodeSession(t, 0), false); reason.Of(err) != reason.EC2Unavailable || !strings.Contains(err.Error(), "no AWS region") {
		t.Errorf("%v", err)
	}
}
