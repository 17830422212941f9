package token

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// inProduction are the options of a server, a tenth of its rates, and all accounts but
// the one of strangers mapped.
func inProduction(o *VerifierOptions) {
	remembering(o)
	o.Calls = CallOptions{Concurrency: 20, Rate: 50, Burst: 50, KeyRate: 5, KeyBurst: 20}
	o.Mapped = func(id iam.Identity) bool { return id.Account != strangers }
}

const strangers = "999988887777"

// sessions makes n sessions of a role, each with an access key of its own.
func (b *bed) sessions(t testing.TB, role string, n int) []awstest.Credentials {
	t.Helper()
	if err := b.sts.AddRole(role, awstest.Role{}); err != nil {
		t.Fatal(err)
	}
	list := make([]awstest.Credentials, n)
	for i := range list {
		var err error
		if list[i], err = b.sts.Session(role, fmt.Sprint("s", i)); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// late is a context whose end is asked for late: whoever asks is held up.
type late struct {
	context.Context
	until <-chan struct{}
}

func (l late) Done() <-chan struct{} {
	<-l.until
	return l.Context.Done()
}

func TestNobodyIsLetInForAnEndpointThatIsBackAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		var down atomic.Bool
		v := b.verifier(t, func(o *VerifierOptions) {
			remembering(o)
			o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				if isProbe := !strings.Contains(r.URL.RawQuery, "X-Amz-Signature"); down.Load() || !isProbe {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return b.transport.RoundTrip(r)
			})
		})
		runs(t, v)
		down.Store(true)
		until := make(chan struct{})
		type answer struct {
			got Verification
			err error
		}
		answers := make(chan answer)
		go func() {
			got, err := v.Verify(late{t.Context(), until}, b.token(t, b.alice))
			answers <- answer{got, err}
		}()
		time.Sleep(1900 * time.Millisecond)
		down.Store(false)
		time.Sleep(1100 * time.Millisecond)
		if s := v.Stats().Endpoints[0].State; s != "up" {
			t.Fatalf("%s, want it back", s)
		}
		close(until)
		if a := <-answers; reason.Of(a.err).Outcome() != reason.Unavailable {
			t.Errorf("%+v, %v, want an outcome of unavailable", a.got, a.err)
		}
	})
}

func TestADisabledKeyIsNotKeptAliveByItsOwnNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, inProduction)
		runs(t, v)
		b.sts.SetFault(awstest.Fault{Latency: 250 * time.Millisecond})
		tokens := b.tokens(t, b.alice, 60)
		for _, token := range tokens {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.sts.SetActive(b.alice.AccessKeyID, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		var wg sync.WaitGroup
		for _, token := range tokens[1:] {
			wg.Go(func() { _, _ = v.Verify(t.Context(), token) })
		}
		synctest.Wait()
		if got, err := v.Verify(t.Context(), tokens[0]); err == nil {
			t.Errorf("it works still, from %q", got.Source)
		}
		wg.Wait()
	})
}

func TestStrangersTakeNothingFromThoseWhoAreMapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, func(o *VerifierOptions) { inProduction(o); o.Cache.Entries = 1000 })
		runs(t, v)
		b.sts.SetFault(awstest.Fault{Latency: 20 * time.Millisecond})
		evil := b.sessions(t, "arn:aws:iam::"+strangers+":role/evil", 100)
		users, tokens := b.users(t, 20)
		for _, token := range tokens {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		newcomers := b.sessions(t, "arn:aws:iam::111122223333:role/newcomers", 25)
		var wg sync.WaitGroup
		var in atomic.Int64
		for i := range 5 * 50 { // 5 s
			for j := range 10 { // 500 per second, ten times the rate
				n := 10*i + j
				token := signed(t, evil[n%len(evil)].AWS(), testHost, "us-east-1", testCluster, b.now().Add(-time.Duration(n/len(evil))*time.Second))
				wg.Go(func() { _, _ = v.Verify(t.Context(), token) })
			}
			if i%5 == 0 { // 10 per second of people who logged in before, with new tokens
				token := signed(t, users[i/5%len(users)].AWS(), testHost, "us-east-1", testCluster, b.now().Add(-time.Minute))
				wg.Go(func() {
					if _, err := v.Verify(t.Context(), token); err != nil {
						t.Errorf("somebody who is mapped: %v", err)
					}
				})
			}
			if i%10 == 0 { // and 5 per second of people who are mapped and new
				token := b.token(t, newcomers[i/10])
				wg.Go(func() {
					if _, err := v.Verify(t.Context(), token); err == nil {
						in.Add(1)
					}
				})
			}
			time.Sleep(20 * time.Millisecond)
		}
		wg.Wait()
		t.Logf("%d of %d who are new got in beside the flood", in.Load(), len(newcomers))
		// What is remembered of those who are mapped is there still.
		b.sts.ClearFaults()
		b.sts.SetFault(awstest.Fault{Kind: awstest.FaultInternal})
		for i, token := range tokens {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Errorf("user %d is forgotten: %v", i, err)
			}
		}
		if s := v.Stats(); s.Others.Evicted == 0 {
			t.Errorf("strangers %+v, want a bounded number", s.Others)
		}
	})
}

func TestWhoKnowsAnAccessKeyIDTakesNothingFromItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, inProduction)
		runs(t, v)
		victim := b.sessions(t, "arn:aws:iam::111122223333:role/victims", 1)[0]
		if _, err := v.Verify(t.Context(), b.token(t, victim)); err != nil {
			t.Fatal(err)
		}
		forged := victim.AWS()
		forged.SecretAccessKey, forged.SessionToken = "x", "x"
		var wg sync.WaitGroup
		for i := range 100 {
			for j := range 3 { // 30 per second, six times what a key may
				token := signed(t, forged, testHost, "us-east-1", testCluster, b.now().Add(-time.Duration(j)*time.Second))
				wg.Go(func() { _, _ = v.Verify(t.Context(), token) })
			}
			if i%10 == 0 {
				if _, err := v.Verify(t.Context(), b.token(t, victim)); err != nil {
					t.Errorf("the owner: %v", err)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		wg.Wait()
	})
}

func TestAFloodOverAllEndpointsLeavesFewConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		var open atomic.Int64
		dial := *b.dial.Load()
		b.setDial(func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			open.Add(1)
			return &countedConn{Conn: conn, closed: func() { open.Add(-1) }}, nil
		})
		v := b.verifier(t, func(o *VerifierOptions) { remembering(o); o.Calls.Concurrency = 40 })
		regions := []string{"us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-west-2", "eu-central-1", "eu-north-1"}
		for round := range 3 {
			var wg sync.WaitGroup
			for i, region := range regions {
				for j := range 15 {
					token := signed(t, awstest.Credentials{
						AccessKeyID: fmt.Sprintf("AKIAFLOOD%03d%03d%05d", round, i, j), SecretAccessKey: "x",
					}.AWS(), "sts."+region+".amazonaws.com", region, testCluster, b.now())
					wg.Go(func() { _, _ = v.Verify(t.Context(), token) })
				}
			}
			wg.Wait()
		}
		synctest.Wait()
		if n := open.Load(); n > int64(strangerConnections*len(regions)) {
			t.Errorf("%d connections are open, want at most %d for each endpoint", n, strangerConnections)
		}
	})
}

// countedConn tells when it is closed.
type countedConn struct {
	net.Conn
	once   sync.Once
	closed func()
}

func (c *countedConn) Close() error {
	c.once.Do(c.closed)
	return c.Conn.Close()
}

func TestNothingStandsPastTheTokensEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, remembering)
		token := b.token(t, b.alice)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		time.Sleep(Lifetime - 100*time.Millisecond)
		b.sts.SetFault(awstest.Fault{Kind: awstest.FaultHang}) // the token ends while STS is asked
		if got, err := v.Verify(t.Context(), token); err == nil {
			t.Errorf("it stands, from %q", got.Source)
		}
	})
}

func TestRecoveryDoesNotWaitForCallsThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, func(o *VerifierOptions) {
			remembering(o)
			o.Timeout = time.Hour
			o.Calls.Concurrency = 2
		})
		runs(t, v)
		if _, err := v.Verify(t.Context(), b.token(t, b.alice)); err != nil {
			t.Fatal(err)
		}
		back := outages["packets vanish"](b)
		for range 5 {
			if _, err := v.Verify(t.Context(), b.token(t, b.admin)); reason.Of(err).Outcome() != reason.Unavailable {
				t.Errorf("in the outage: %v", err)
			}
			time.Sleep(time.Second)
		}
		back()
		time.Sleep(5 * time.Second)
		if _, err := v.Verify(t.Context(), b.token(t, b.admin)); err != nil {
			t.Errorf("5s after it: %v", err)
		}
	})
}

func TestAProxyThatBlocksOnlyWhatIsUnsignedClosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, func(o *VerifierOptions) {
			remembering(o)
			o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				if !strings.Contains(r.URL.RawQuery, "X-Amz-Signature") {
					return &http.Response{StatusCode: 403, Header: http.Header{}, Body: http.NoBody}, nil
				}
				return b.transport.RoundTrip(r)
			})
		})
		runs(t, v)
		for i := range 20 {
			if _, err := v.Verify(t.Context(), b.token(t, b.alice)); err != nil {
				t.Errorf("login %d: %v", i, err)
			}
			time.Sleep(30 * time.Second)
		}
	})
}

func TestBlackHolesDoNotKeepTheFirstLoginsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		dial := *b.dial.Load()
		b.setDial(func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != testHost+":443" {
				<-ctx.Done() // no way out but to the server's own region
				return nil, ctx.Err()
			}
			return dial(ctx, network, address)
		})
		v := b.verifier(t, remembering)
		runs(t, v)
		var wg sync.WaitGroup
		n := 0
		for host, region := range v.endpoints {
			if host == testHost {
				continue
			}
			for j := range 4 {
				n++
				token := signed(t, awstest.Credentials{AccessKeyID: fmt.Sprintf("AKIAFLOOD%03d%08d", j, n), SecretAccessKey: "x"}.AWS(), host, region, testCluster, b.now())
				wg.Go(func() { _, _ = v.Verify(t.Context(), token) })
			}
		}
		synctest.Wait()
		start := time.Now()
		for {
			if _, err := v.Verify(t.Context(), b.token(t, b.alice)); err == nil {
				break
			}
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the first login beside the flood got in after %s", took)
		}
		wg.Wait()
	})
}
