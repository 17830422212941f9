package token

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/token/internal/gate"
	"github.com/iam-authenticator/authenticator/pkg/token/internal/health"
	"github.com/iam-authenticator/authenticator/pkg/token/internal/verified"
)

// CallOptions bounds the calls to STS, so that neither a flood of logins nor a client
// gone wild takes STS from all others. Callers whose access key is known to STS come
// before those whose key may be made up.
type CallOptions struct {
	// Concurrency is the number of calls in flight, to all endpoints. One endpoint gets
	// half of them, and one access key an eighth. Default twice DefaultConcurrency.
	Concurrency int
	// Rate is the number of calls per second, and Burst how many may be made at once
	// after a pause. 0, the default, is no bound.
	Rate  float64
	Burst int
	// KeyRate and KeyBurst are the same for one access key. Asking again for a token
	// that STS vouched for doesn't count.
	KeyRate  float64
	KeyBurst int
}

const (
	// maxWait is how long a call waits for its turn. It is then given up.
	maxWait = time.Second
	// maxQueue is the number of calls that wait for their turn.
	maxQueue = 1500
)

// caller makes the calls to STS: within bounds, and only where they may be answered.
type caller struct {
	sts       stsClient
	endpoints Endpoints
	keys      *verified.Keys
	mapped    func(iam.Identity) bool
	gate      *gate.Gate
	health    *health.Monitor
	observe   func(Call)
	now       func() time.Time
}

func newCaller(o VerifierOptions, endpoints Endpoints, keys *verified.Keys) *caller {
	var warm []string
	for _, region := range o.WarmRegions {
		host, err := regionalHost(region, false, false)
		if known, ok := endpoints[host]; err == nil && ok && known == region {
			warm = append(warm, host)
		}
	}
	calls := cmp.Or(o.Calls.Concurrency, 2*DefaultConcurrency)
	c := &caller{
		sts:       stsClient{transport: o.Transport, userAgent: o.UserAgent, timeout: o.Timeout, now: o.Now},
		endpoints: endpoints,
		keys:      keys,
		mapped:    o.Mapped,
		gate: gate.New(gate.Options{
			Calls:      calls,
			HostCalls:  (calls + 1) / 2,
			TrialCalls: (calls + 7) / 8,
			KeyCalls:   (calls + 7) / 8,
			Rate:       o.Calls.Rate,
			Burst:      o.Calls.Burst,
			KeyRate:    o.Calls.KeyRate,
			KeyBurst:   o.Calls.KeyBurst,
			Queue:      maxQueue,
			KeyQueue:   maxQueue / 8,
			Wait:       maxWait,
		}),
		observe: o.Observe,
		now:     o.Now,
	}
	c.health = health.New(health.Options{
		Hosts:   slices.Collect(maps.Keys(endpoints)),
		Warm:    warm,
		Probe:   c.probe,
		Timeout: o.Timeout,
		Changed: func(s health.Status) { o.EndpointChanged(c.status(s)) },
	})
	return c
}

// check returns an error if a host is known to be down.
func (c *caller) check(host string) error {
	if err := c.health.Check(host); err != nil {
		return reason.New(reason.STSUnreachable, "%w", err)
	}
	return nil
}

// call asks STS, and once more if the connection died under the question.
func (c *caller) call(ctx context.Context, r Request, clusterID string, renewal bool) (said, error) {
	s, err := c.callOnce(ctx, r, clusterID, renewal)
	if errors.Is(err, errConnectionDied) {
		s, err = c.callOnce(ctx, r, clusterID, renewal)
	}
	return s, err
}

func (c *caller) callOnce(ctx context.Context, r Request, clusterID string, renewal bool) (s said, err error) {
	leave, err := c.gate.Enter(ctx, gate.Request{
		Host: r.Host, Key: c.credentials(r), Renewal: renewal, Unproven: !c.health.Proven(r.Host),
	})
	if err != nil {
		if e, ok := errors.AsType[*gate.Shed](err); ok && e.Cause == gate.CauseTrial {
			c.health.Begin(r.Host)(err) // a suspicion has the host probed, and so proven
		}
		return said{}, shed(err)
	}
	outcome := error(reason.New(reason.Internal, "the call did not end")) // unless it does
	defer func() { leave(result(s, outcome)) }()
	if err := c.check(r.Host); err != nil { // went down while we waited
		return said{}, err
	}
	end := c.health.Begin(r.Host)
	defer func() { end(trouble(outcome)) }()
	start := c.now()
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // what is down holds no call
		select {
		case <-c.health.Down(r.Host):
			cancel()
		case <-callCtx.Done():
		}
	}()
	s, outcome = c.sts.getCallerIdentity(callCtx, r, clusterID)
	if reason.Of(outcome) == reason.Canceled && ctx.Err() == nil {
		outcome = reason.New(reason.STSUnreachable, "%s went down while it was asked", r.Host)
	}
	c.observe(Call{Region: c.endpoints[r.Host], Reason: reason.Of(outcome), Duration: c.now().Sub(start)})
	s.mapped = outcome == nil && c.mapped(s.Identity)
	if t, ok := c.sts.transport.(*Transport); ok && s.mapped {
		t.Trust(r.Host)
	}
	return s, outcome
}

// credentials tells callers apart for the bounds. The ID of a temporary access key is
// no secret, but its session token is: who knows the ID alone takes nothing from its owner.
func (c *caller) credentials(r Request) string {
	if r.SecurityToken == "" {
		return r.AccessKeyID
	}
	session := c.keys.Of(r.SecurityToken)
	return r.AccessKeyID + "/" + string(session[:16])
}

// probe sees whether a host answers as STS does.
func (c *caller) probe(ctx context.Context, host string) error {
	start := c.now()
	err := c.sts.probe(ctx, host)
	c.observe(Call{Region: c.endpoints[host], Probe: true, Reason: reason.Of(err), Duration: c.now().Sub(start)})
	if reason.Of(err) == reason.STSAnswerInvalid {
		// Something refuses what nobody signed, and may let pass what somebody did.
		return nil
	}
	return trouble(err)
}

// shed turns an error of the gate into one with a reason.
func shed(err error) error {
	s, ok := errors.AsType[*gate.Shed](err)
	switch {
	case !ok:
		return reason.New(reason.Overloaded, "no turn to call STS came in time")
	case s.Cause == gate.CauseThrottled:
		return reason.New(reason.STSThrottled, "%w", err)
	default:
		return reason.New(reason.Overloaded, "%w", err)
	}
}

// result tells the gate how a call went. STS vouches for everybody who has an AWS
// account; what counts here is that somebody maps the caller.
func result(s said, err error) gate.Result {
	if s.mapped {
		return gate.Vouched
	}
	switch code := reason.Of(err); {
	case code == reason.STSThrottled:
		return gate.Throttled
	case code.Outcome() == reason.Unavailable:
		return gate.Failed
	default:
		return gate.Refused
	}
}

// trouble returns err if the endpoint is to blame, and nil for an answer, whatever it says.
func trouble(err error) error {
	if code := reason.Of(err); code.Outcome() == reason.Unavailable && code != reason.STSThrottled {
		return err
	}
	return nil
}

// EndpointStatus is how an STS endpoint does.
type EndpointStatus struct {
	Host, Region string
	State        string        // "up", "down", or "unproven" if it has not answered so far
	Since        time.Time     // of the state
	LastAnswer   time.Time     // zero if there was none
	Latency      time.Duration // of the last answer
	Err          error         // since when and why it is down, else nil
	// Share is what part of the allowed rate of calls the endpoint gets: 1, or less
	// after it has throttled.
	Share float64
}

func (c *caller) status(s health.Status) EndpointStatus {
	e := EndpointStatus{
		Host: s.Host, Region: c.endpoints[s.Host], State: s.State.String(), Since: s.Since,
		LastAnswer: s.LastAnswer, Latency: s.Latency, Share: 1,
	}
	if s.State == health.Down {
		e.Err = &health.DownError{Host: s.Host, Since: s.Since, Err: s.Err}
	}
	return e
}

func (c *caller) stats() Stats {
	g := c.gate.Stats()
	stats := Stats{InFlight: g.InFlight, Queued: g.Waiting, Shed: make(map[string]uint64)}
	for cause, n := range g.Shed {
		stats.Shed[string(cause)] = n
	}
	for _, s := range c.health.Statuses() {
		e := c.status(s)
		if share, throttled := g.Throttled[s.Host]; throttled {
			e.Share = share
		}
		stats.Endpoints = append(stats.Endpoints, e)
	}
	return stats
}
