package token

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// users makes n users and a token of each.
func (b *bed) users(t testing.TB, n int) (list []awstest.Credentials, tokens []string) {
	t.Helper()
	for i := range n {
		creds, err := b.sts.AddUser(fmt.Sprintf("arn:aws:iam::111122223333:user/u%d", i))
		if err != nil {
			t.Fatal(err)
		}
		list, tokens = append(list, creds), append(tokens, b.token(t, creds))
	}
	return list, tokens
}

// outages are ways in which STS can be down. Each returns how it comes back.
var outages = map[string]func(b *bed) (back func()){
	"connections are refused": func(b *bed) func() {
		dial := *b.dial.Load()
		b.setDial(func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		})
		b.sts.SetFault(awstest.Fault{Kind: awstest.FaultReset}) // for the connections that are open
		return func() { b.setDial(dial); b.sts.ClearFaults() }
	},
	"packets vanish": func(b *bed) func() {
		dial := *b.dial.Load()
		b.setDial(func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		b.sts.SetFault(awstest.Fault{Kind: awstest.FaultHang})
		return func() { b.setDial(dial); b.sts.ClearFaults() }
	},
	"it answers 500": func(b *bed) func() {
		b.sts.SetFault(awstest.Fault{Kind: awstest.FaultInternal})
		return b.sts.ClearFaults
	},
	"a proxy answers": func(b *bed) func() {
		b.sts.SetFault(awstest.Fault{Kind: awstest.FaultHTML})
		return b.sts.ClearFaults
	},
}

func TestTenMinutesWithoutSTS(t *testing.T) {
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newMemoryBed(t)
				v := b.verifier(t, remembering)
				runs(t, v)
				const verified = 40
				users, tokens := b.users(t, verified+1)
				newcomer := users[verified]
				for _, token := range tokens[:verified] {
					if _, err := v.Verify(t.Context(), token); err != nil {
						t.Fatal(err)
					}
				}
				login := func(token string) (code reason.Code, took time.Duration) {
					start := time.Now()
					_, err := v.Verify(t.Context(), token)
					return reason.Of(err), time.Since(start)
				}

				back := outage(b)
				var wg sync.WaitGroup
				for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
					for i, token := range tokens[:verified] {
						wg.Go(func() {
							if code, took := login(token); code != reason.Granted || took > 2*time.Second {
								t.Errorf("user %d, verified before: %s after %s", i, code, took)
							}
						})
					}
					fresh := b.token(t, newcomer)
					wg.Go(func() {
						if code, took := login(fresh); code.Outcome() != reason.Unavailable || took > 2*time.Second {
							t.Errorf("a new token: %s after %s, want unavailable within 2s", code, took)
						}
					})
				}
				wg.Wait()
				if name != "a proxy answers" { // which might let pass what is signed
					if e := v.Stats().Endpoints[0]; e.State != "down" || e.Err == nil {
						t.Errorf("endpoint %+v, want it down", e)
					}
					b.mu.Lock()
					if n := len(b.calls); n > 5*600 {
						t.Errorf("%d calls to an STS that is down, in ten minutes", n)
					}
					b.mu.Unlock()
				}

				back()
				time.Sleep(5 * time.Second)
				for range 10 {
					if code, took := login(b.token(t, newcomer)); code != reason.Granted || took > 100*time.Millisecond {
						t.Errorf("5s after STS is back: %s after %s", code, took)
					}
					time.Sleep(time.Second)
				}
				for i, token := range tokens[:verified] {
					if got, err := v.Verify(t.Context(), token); err != nil || got.Source != FromSTS {
						t.Errorf("user %d is from %q, %v: want STS asked again", i, got.Source, err)
					}
				}
			})
		})
	}
}

// setDial replaces how connections are made, to all hosts.
func (b *bed) setDial(dial func(context.Context, string, string) (net.Conn, error)) {
	b.dial.Store(&dial)
}

func TestTheFirstLoginAfterAQuietOutageGetsIn(t *testing.T) {
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newMemoryBed(t)
				v := b.verifier(t, remembering)
				runs(t, v)
				if _, err := v.Verify(t.Context(), b.token(t, b.alice)); err != nil {
					t.Fatal(err)
				}
				back := outage(b)
				if _, err := v.Verify(t.Context(), b.token(t, b.admin)); reason.Of(err).Outcome() != reason.Unavailable {
					t.Errorf("in the outage: %v", err)
				}
				time.Sleep(5 * time.Minute)
				back()
				time.Sleep(5 * time.Second)
				if _, err := v.Verify(t.Context(), b.token(t, b.alice)); err != nil {
					t.Errorf("after it: %v", err)
				}
			})
		})
	}
}

func TestASlowSTSIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, remembering)
		runs(t, v)
		if _, err := v.Verify(t.Context(), b.token(t, b.alice)); err != nil {
			t.Fatal(err)
		}
		b.sts.SetFault(awstest.Fault{Latency: 3 * time.Second})
		failed := 0
		for range 60 {
			if _, err := v.Verify(t.Context(), b.token(t, b.alice)); err != nil {
				failed++
			}
			time.Sleep(time.Second)
		}
		// It takes a few seconds to learn that STS is slow, and not down.
		if failed > 5 {
			t.Errorf("%d of 60 logins failed as STS took 3s", failed)
		}
	})
}

func TestRequestsThatSTSChokesOnDoNotCloseAnEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, remembering)
		runs(t, v)
		if _, err := v.Verify(t.Context(), b.token(t, b.alice)); err != nil {
			t.Fatal(err)
		}
		for i := range 120 {
			// STS fails on whatever this caller sends.
			b.sts.SetFault(awstest.Fault{Kind: awstest.FaultInternal, Times: 1})
			if _, err := v.Verify(t.Context(), b.token(t, b.admin)); reason.Of(err) != reason.STSUnreachable {
				t.Fatalf("poison: %v", err)
			}
			b.sts.ClearFaults()
			if _, err := v.Verify(t.Context(), b.token(t, b.alice)); err != nil {
				t.Errorf("login %d beside it: %v", i, err)
			}
			time.Sleep(500 * time.Millisecond)
		}
	})
}

func TestTheFirstLoginFindsAWarmConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, func(o *VerifierOptions) { o.WarmRegions = []string{"us-east-1", "cn-north-1", "../x"} })
		runs(t, v)
		for range 20 { // a server closes connections that are idle for a minute
			time.Sleep(time.Minute)
			before := b.server.Handshakes()
			if before == 0 {
				t.Fatal("no connection was made")
			}
			if _, err := v.Verify(t.Context(), b.token(t, b.alice)); err != nil {
				t.Fatal(err)
			}
			if n := b.server.Handshakes(); n != before {
				t.Errorf("a login took %d TLS handshakes", n-before)
			}
			time.Sleep(10 * time.Minute)
		}
		if list := v.Stats().Endpoints; len(list) != 1 || list[0].Host != testHost || list[0].State != "up" {
			t.Errorf("endpoints %+v, want the warm one", list)
		}
	})
}

func TestAThrottlingSTSFailsNoRememberedLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		const rate, seconds = 50, 90
		v := b.verifier(t, func(o *VerifierOptions) {
			remembering(o)
			o.Calls = CallOptions{Rate: rate, Burst: rate}
		})
		runs(t, v)
		users, tokens := b.users(t, 120)
		for _, token := range tokens[:60] {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		b.sts.SetFault(awstest.Fault{Kind: awstest.FaultThrottle, Every: 2})
		var fresh, granted atomic.Int64
		var wg sync.WaitGroup
		for range seconds {
			before := b.sts.Calls("")
			for i, token := range tokens[:60] {
				wg.Go(func() {
					if _, err := v.Verify(t.Context(), token); err != nil {
						t.Errorf("user %d, verified before: %v", i, err)
					}
				})
			}
			for _, creds := range users[60:] {
				token := b.token(t, creds)
				wg.Go(func() {
					fresh.Add(1)
					switch _, err := v.Verify(t.Context(), token); {
					case err == nil:
						granted.Add(1)
					case reason.Of(err).Outcome() != reason.Unavailable:
						t.Errorf("a new token: %v", err)
					}
				})
			}
			time.Sleep(time.Second)
			if share := v.Stats().Endpoints[0].Share; share >= 1 || share < 0.25 {
				t.Errorf("the endpoint gets %v of the rate, want less", share)
			}
			if n := b.sts.Calls("") - before; n > 2*rate {
				t.Errorf("%d calls in a second, want at most the burst and %d", n, rate)
			}
		}
		wg.Wait()
		if n := b.sts.Calls(""); n > rate+rate*(3+seconds) {
			t.Errorf("%d calls in all, the bound is %d per second", n, rate)
		}
		if granted.Load() == 0 || granted.Load() == fresh.Load() {
			t.Errorf("%d of %d new logins got in, want some", granted.Load(), fresh.Load())
		}
		t.Logf("%d of %d new logins got in, %d calls", granted.Load(), fresh.Load(), b.sts.Calls(""))
	})
}

// TestAFloodOfMadeUpKeysLeavesRoom is about logins that need STS, next to a flood of
// tokens that are well-formed and false, and whose keys have never been seen.
func TestAFloodOfMadeUpKeysLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, func(o *VerifierOptions) {
			remembering(o)
			o.Calls = CallOptions{Concurrency: 20, Rate: 200, Burst: 200, KeyRate: 20, KeyBurst: 40}
		})
		runs(t, v)
		b.sts.SetFault(awstest.Fault{Latency: 20 * time.Millisecond})
		users, tokens := b.users(t, 20)
		for _, token := range tokens {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for i := range 5 * 50 { // 5 s, in steps of 20 ms
			for j := range 20 { // 1,000 per second
				forged := signed(t, awstest.Credentials{
					AccessKeyID: fmt.Sprintf("ASIAFLOOD%011d", 20*i+j), SecretAccessKey: "x", SessionToken: "x",
				}.AWS(), testHost, "us-east-1", testCluster, b.now())
				wg.Go(func() {
					if _, err := v.Verify(t.Context(), forged); err == nil {
						t.Error("a forged token was accepted")
					}
				})
			}
			if i%5 == 0 { // 10 per second of people whom STS knows, with new tokens
				token := b.token(t, users[i/5%len(users)])
				wg.Go(func() {
					start := time.Now()
					if _, err := v.Verify(t.Context(), token); err != nil {
						t.Errorf("a login of a known key: %v", err)
					} else if took := time.Since(start); took > 60*time.Millisecond {
						t.Errorf("a login of a known key took %s, 20ms of them STS", took)
					}
				})
			}
			if s := v.Stats(); s.InFlight > 20 || s.Queued > maxQueue {
				t.Errorf("%d calls in flight, %d queued", s.InFlight, s.Queued)
			}
			time.Sleep(20 * time.Millisecond)
		}
		wg.Wait()
		t.Logf("%d calls, shed %v", b.sts.Calls(""), v.Stats().Shed)
	})
}
