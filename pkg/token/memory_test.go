package token

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// remembering is a cache as in production.
func remembering(o *VerifierOptions) {
	o.Cache = CacheOptions{TTL: time.Minute, StaleOnError: true, NegativeTTL: 10 * time.Second}
}

// runs runs v until the test ends.
func runs(t testing.TB, v *Verifier) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// trouble are ways in which STS can fail to say anything about a token.
var troubles = map[string]awstest.Fault{
	"throttled":     {Kind: awstest.FaultThrottle},
	"500":           {Kind: awstest.FaultInternal},
	"503":           {Kind: awstest.FaultUnavailable},
	"reset":         {Kind: awstest.FaultReset},
	"hangs":         {Kind: awstest.FaultHang},
	"truncated":     {Kind: awstest.FaultTruncated},
	"captive":       {Kind: awstest.FaultHTML},
	"contradictory": {Kind: awstest.FaultContradiction},
}

func TestSTSIsAskedOncePerTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, remembering)
		token := b.token(t, b.admin)
		start := time.Now()
		for _, step := range []struct {
			at     time.Duration
			source Source
			calls  int
			want   reason.Code
		}{
			{0, FromSTS, 1, reason.Granted},
			{0, FromCache, 1, reason.Granted},
			{time.Minute - 1, FromCache, 1, reason.Granted},
			{time.Minute, FromSTS, 2, reason.Granted},
			{2*time.Minute - 1, FromCache, 2, reason.Granted},
			{14*time.Minute + 30*time.Second, FromSTS, 3, reason.Granted},
			{15*time.Minute - 1, FromCache, 3, reason.Granted},
			// Never past the token's end, whatever the TTL says.
			{15*time.Minute + 1, "", 3, reason.TokenExpired},
		} {
			time.Sleep(time.Until(start.Add(step.at)))
			got, err := v.Verify(t.Context(), token)
			if reason.Of(err) != step.want || got.Source != step.source || b.sts.Calls("") != step.calls {
				t.Errorf("after %s: %v from %q with %d calls, want %s from %q with %d", step.at,
					reason.Of(err), got.Source, b.sts.Calls(""), step.want, step.source, step.calls)
			}
			if err == nil && got.ARN != "arn:aws:sts::111122223333:assumed-role/Admins/bob@example.com" {
				t.Errorf("after %s: %s", step.at, got.ARN)
			}
		}
	})
}

func TestWhatSTSCalledItsAnswerIsRemembered(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, remembering)
	forged := b.admin.AWS()
	forged.SecretAccessKey = "x"
	seen := map[string]bool{}
	for _, token := range []string{b.token(t, b.admin), signed(t, forged, testHost, "us-east-1", testCluster, testDate)} {
		asked, err := v.Verify(t.Context(), token)
		again, _ := v.Verify(t.Context(), token)
		if asked.RequestID == "" || again.RequestID != asked.RequestID || again.Source != FromCache || seen[asked.RequestID] {
			t.Errorf("%q when asked (%v), %q when remembered (%s)", asked.RequestID, err, again.RequestID, again.Source)
		}
		seen[asked.RequestID] = true
	}
}

func TestWithoutATTLSTSIsAskedEachTime(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, func(o *VerifierOptions) { o.Cache = CacheOptions{StaleOnError: true} })
	token := b.token(t, b.admin)
	for i := range 3 {
		if got, err := v.Verify(t.Context(), token); err != nil || got.Source != FromSTS {
			t.Errorf("%q, %v", got.Source, err)
		}
		if n := b.sts.Calls(""); n != i+1 {
			t.Errorf("%d calls after %d logins", n, i+1)
		}
	}
	b.sts.SetFault(awstest.Fault{Kind: awstest.FaultInternal})
	if _, err := v.Verify(t.Context(), token); reason.Of(err) != reason.STSUnreachable {
		t.Errorf("Verify = %v: nothing was to be remembered", err)
	}
}

func TestATokenIsNotRememberedForAnother(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, remembering)
	if _, err := v.Verify(t.Context(), b.token(t, b.admin)); err != nil {
		t.Fatal(err)
	}
	forged := b.admin.AWS()
	forged.SecretAccessKey = "x"
	for _, other := range []string{
		signed(t, forged, testHost, "us-east-1", testCluster, testDate),
		signed(t, b.admin.AWS(), testHost, "us-east-1", "prod", testDate),
	} {
		if _, err := v.Verify(t.Context(), other); reason.Of(err) != reason.SignatureMismatch {
			t.Errorf("Verify = %v, want SignatureMismatch", err)
		}
	}
}

// TestADeactivatedKeyStopsWorkingWithinTheTTL is about logins while STS is reachable.
func TestADeactivatedKeyStopsWorkingWithinTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, remembering)
		token := b.token(t, b.alice)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if err := b.sts.SetActive(b.alice.AccessKeyID, false); err != nil {
			t.Fatal(err)
		}
		deactivated := time.Now()
		for range 60 {
			time.Sleep(time.Second)
			_, err := v.Verify(t.Context(), token)
			switch since := time.Since(deactivated); {
			case since < time.Minute && err != nil:
				t.Errorf("after %s: %v", since, err)
			case since >= time.Minute && reason.Of(err) != reason.CredentialsInvalid:
				t.Errorf("after %s: %v, want CredentialsInvalid", since, err)
			}
		}
		// And STS's no outlasts STS.
		b.sts.SetFault(awstest.Fault{Kind: awstest.FaultInternal})
		time.Sleep(time.Minute)
		if _, err := v.Verify(t.Context(), token); err == nil {
			t.Error("the key works again, as STS is down")
		}
	})
}

func TestAnIdentityStandsWhileSTSCannotBeAsked(t *testing.T) {
	for name, fault := range troubles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newMemoryBed(t)
				v := b.verifier(t, remembering)
				strict := b.verifier(t, func(o *VerifierOptions) { remembering(o); o.Cache.StaleOnError = false })
				token := b.token(t, b.admin)
				start := time.Now()
				for _, v := range []*Verifier{v, strict} {
					if _, err := v.Verify(t.Context(), token); err != nil {
						t.Fatal(err)
					}
				}
				b.sts.SetFault(fault)
				for at := 2 * time.Minute; at < 15*time.Minute; at += time.Minute {
					time.Sleep(time.Until(start.Add(at)))
					got, err := v.Verify(t.Context(), token)
					if err != nil || got.Source != FromStale || got.SessionName != "bob@example.com" {
						t.Errorf("after %s: %+v, %v, want the stale identity", at, got, err)
					}
					if _, err := strict.Verify(t.Context(), token); reason.Of(err).Outcome() != reason.Unavailable {
						t.Errorf("after %s, without staleOnError: %v, want an outcome of unavailable", at, err)
					}
				}
				time.Sleep(time.Until(start.Add(15*time.Minute + 1)))
				if _, err := v.Verify(t.Context(), token); reason.Of(err) != reason.TokenExpired {
					t.Errorf("after the token's end: %v, want TokenExpired", err)
				}
			})
		})
	}
}

func TestRefusalsAreRememberedBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, remembering)
		token := b.token(t, b.alice)
		if err := b.sts.SetActive(b.alice.AccessKeyID, false); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			got, err := v.Verify(t.Context(), token)
			if want := []Source{FromSTS, FromCache, FromCache}[i]; reason.Of(err) != reason.CredentialsInvalid || got.Source != want {
				t.Errorf("%d: %v from %q, want CredentialsInvalid from %q", i, err, got.Source, want)
			}
		}
		if n := b.sts.Calls(""); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
		if err := b.sts.SetActive(b.alice.AccessKeyID, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("after the negative TTL: %v", err)
		}
	})
}

func TestNoAnswerIsNotRemembered(t *testing.T) {
	for name, fault := range troubles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newMemoryBed(t)
				v := b.verifier(t, remembering)
				token := b.token(t, b.admin)
				b.sts.SetFault(fault)
				if _, err := v.Verify(t.Context(), token); reason.Of(err).Outcome() != reason.Unavailable {
					t.Errorf("Verify = %v", err)
				}
				b.sts.ClearFaults()
				time.Sleep(2 * time.Second) // a throttled key backs off for one
				if _, err := v.Verify(t.Context(), token); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

func TestBadTokensPushOutNoGoodOnes(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, func(o *VerifierOptions) { remembering(o); o.Cache.Entries = 64 })
	good := b.token(t, b.alice)
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	forged := b.admin
	forged.SecretAccessKey = "x"
	for _, bad := range b.tokens(t, forged, 300) {
		if _, err := v.Verify(t.Context(), bad); reason.Of(err) != reason.SignatureMismatch {
			t.Fatal(err)
		}
	}
	if got, err := v.Verify(t.Context(), good); err != nil || got.Source != FromCache {
		t.Errorf("from %q, %v, want from the cache", got.Source, err)
	}
	if s := v.Stats(); s.Refused.Entries > 32 || s.Refused.Evicted == 0 {
		t.Errorf("refused %+v, want a bounded number", s.Refused)
	}
}

func TestWhatExpiredIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, remembering)
		runs(t, v)
		for _, token := range b.tokens(t, b.admin, 10) {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
		if n := v.Stats().Accepted.Entries; n != 10 {
			t.Errorf("%d entries, want 10", n)
		}
		time.Sleep(17 * time.Minute)
		if s := v.Stats().Accepted; s.Entries != 0 || s.Bytes != 0 || s.Evicted != 0 {
			t.Errorf("%+v is left", s)
		}
	})
}

func TestConcurrentFirstUsesMakeOneCall(t *testing.T) {
	for _, ttl := range []time.Duration{0, time.Minute} {
		t.Run(fmt.Sprint("ttl ", ttl), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newMemoryBed(t)
				v := b.verifier(t, func(o *VerifierOptions) { o.Cache.TTL = ttl })
				token := b.token(t, b.admin)
				b.sts.SetFault(awstest.Fault{Latency: 20 * time.Millisecond})
				sources := make(chan Source, 1000)
				var wg sync.WaitGroup
				for range cap(sources) {
					wg.Go(func() {
						got, err := v.Verify(t.Context(), token)
						if err != nil || got.SessionName != "bob@example.com" {
							t.Errorf("%+v, %v", got, err)
						}
						sources <- got.Source
					})
				}
				wg.Wait()
				if n := b.sts.Calls(""); n != 1 {
					t.Errorf("%d calls, want 1", n)
				}
				close(sources)
				count := map[Source]int{}
				for s := range sources {
					count[s]++
				}
				if count[FromSTS] != 1 || count[FromOther] != 999 {
					t.Errorf("sources %v", count)
				}
			})
		})
	}
}

func TestACallerThatGivesUpHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, remembering)
		token := b.token(t, b.admin)
		b.sts.SetFault(awstest.Fault{Latency: 500 * time.Millisecond})
		impatient, cancel := context.WithCancel(t.Context())
		results := make(chan error, 2)
		go func() {
			_, err := v.Verify(impatient, token)
			results <- err
		}()
		synctest.Wait() // the first to come is the one to leave
		go func() {
			_, err := v.Verify(t.Context(), token)
			results <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-results; reason.Of(err) != reason.Canceled {
			t.Errorf("who gave up: %v, want Canceled", err)
		}
		if err := <-results; err != nil {
			t.Errorf("who did not: %v", err)
		}
		if got, err := v.Verify(t.Context(), token); err != nil || got.Source != FromCache {
			t.Errorf("who comes later: from %q, %v", got.Source, err)
		}
		if n := b.sts.Calls(""); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})
}

func TestAPanicHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		var panicked []any
		panics := true
		v := b.verifier(t, func(o *VerifierOptions) {
			remembering(o)
			o.Calls.Concurrency = 1
			o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				if panics {
					panic("a defect")
				}
				return b.transport.RoundTrip(r)
			})
			o.Panicked = func(value any, stack []byte) { panicked = append(panicked, value, string(stack)) }
		})
		token := b.token(t, b.admin)
		if _, err := v.Verify(t.Context(), token); reason.Of(err) != reason.Internal {
			t.Errorf("Verify = %v, want Internal", err)
		}
		if len(panicked) != 2 || panicked[0] != "a defect" || !strings.Contains(panicked[1].(string), "TestAPanicHarmsNobody") {
			t.Errorf("told of %v", panicked)
		}
		panics = false
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("afterwards: %v: the panic kept its turn, or is remembered", err)
		}
		time.Sleep(2 * time.Minute)
		panics = true
		if got, err := v.Verify(t.Context(), token); err != nil || got.Source != FromStale {
			t.Errorf("a login that is remembered: from %q, %v", got.Source, err)
		}
	})
}

func TestLoginsThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, remembering)
		known := b.token(t, b.alice)
		if _, err := v.Verify(t.Context(), known); err != nil {
			t.Fatal(err)
		}
		b.sts.SetFault(awstest.Fault{Latency: time.Second})
		tokens := b.tokens(t, b.admin, 4)
		var mu sync.Mutex
		count := map[reason.Code]int{}
		var wg sync.WaitGroup
		for _, token := range tokens {
			for range MaxWaiting {
				wg.Go(func() {
					_, err := v.Verify(t.Context(), token)
					mu.Lock()
					defer mu.Unlock()
					count[reason.Of(err)]++
				})
			}
		}
		synctest.Wait()
		if n := v.Stats().Waiting; n != MaxWaiting {
			t.Errorf("%d wait, want %d", n, MaxWaiting)
		}
		// Who is remembered waits for nobody.
		start := time.Now()
		if _, err := v.Verify(t.Context(), known); err != nil || time.Since(start) != 0 {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		wg.Wait()
		if count[reason.Granted] != MaxWaiting || count[reason.Overloaded] != 3*MaxWaiting {
			t.Errorf("%v, want %d granted and the rest overloaded", count, MaxWaiting)
		}
		if n := v.Stats().Waiting; n != 0 {
			t.Errorf("%d wait at the end", n)
		}
	})
}

func TestADeadConnectionIsTriedAgainOnce(t *testing.T) {
	for name, kind := range map[string]awstest.FaultKind{"reset": awstest.FaultReset, "truncated": awstest.FaultTruncated} {
		for times, want := range map[int]reason.Code{1: reason.Granted, 2: reason.STSUnreachable} {
			t.Run(fmt.Sprint(name, " ", times), func(t *testing.T) {
				b := newBed(t)
				v := b.verifier(t, nil)
				b.sts.SetFault(awstest.Fault{Kind: kind, Times: times})
				if _, err := v.Verify(t.Context(), b.token(t, b.admin)); reason.Of(err) != want {
					t.Errorf("Verify = %v, want %s", err, want)
				}
				if n := b.sts.Calls(""); n != 2 {
					t.Errorf("%d calls, want 2", n)
				}
			})
		}
	}
	// What is not the connection's fault is not tried again.
	b := newBed(t)
	b.sts.SetFault(awstest.Fault{Kind: awstest.FaultInternal})
	if _, err := b.verifier(t, nil).Verify(t.Context(), b.token(t, b.admin)); err == nil || b.sts.Calls("") != 1 {
		t.Errorf("%v after %d calls, want one", err, b.sts.Calls(""))
	}
}

func BenchmarkVerifyRemembered(b *testing.B) {
	bed := newBed(b)
	v := bed.verifier(b, remembering)
	for name, creds := range map[string]awstest.Credentials{"user": bed.alice, "session": bed.admin} {
		b.Run(name, func(b *testing.B) {
			token := bed.token(b, creds)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
