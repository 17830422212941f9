package token

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/token/internal/verified"
)

// MaxClusterIDs is how many cluster IDs a Verifier accepts, and so how many calls
// to STS one token can cost.
const MaxClusterIDs = 4

// DefaultMaxSkew is how far ahead of our clock a token may be dated: as far as STS
// itself allows.
const DefaultMaxSkew = 5 * time.Minute

// VerifierOptions configures a Verifier. Only ClusterIDs has no default.
type VerifierOptions struct {
	// ClusterIDs are the accepted values of the signed cluster header, 1 to
	// MaxClusterIDs, the most likely first. Each further one costs a call to STS for
	// every token that was not signed for those before it: name more than one only
	// while an ID is being replaced.
	ClusterIDs []string
	// Partition is the AWS partition of the endpoints and of every accepted
	// principal. Default "aws".
	Partition string
	// ExtraRegions are regions of the partition that this program doesn't know yet.
	ExtraRegions []string
	// WarmRegions are regions to whose endpoints Run keeps a connection from the
	// start; those of other partitions are passed over. To others it does once they are
	// used.
	WarmRegions []string
	// Transport carries the calls to STS. Default NewTransport(TransportOptions{}).
	Transport http.RoundTripper
	// Timeout bounds the calls to STS for one token. Default 5 seconds.
	Timeout time.Duration
	// Calls bounds the calls to STS.
	Calls CallOptions
	// Cache says how long answers of STS are remembered. Default: not at all.
	Cache CacheOptions
	// MaxSkew is how far ahead of our clock a token may be dated. Default
	// DefaultMaxSkew.
	MaxSkew time.Duration
	// UserAgent is sent to STS. Default "iam-authenticator".
	UserAgent string
	// Now is the clock that tokens and answers are dated by. Default time.Now.
	Now func() time.Time
	// Observe, if set, is told of every call to STS. It must not block.
	Observe func(Call)
	// EndpointChanged, if set, is told when an endpoint goes down or comes back.
	EndpointChanged func(EndpointStatus)
	// Mapped tells whether anybody cares for an identity. Anyone can have an AWS account:
	// only callers that are mapped come before others. Default: all are.
	Mapped func(iam.Identity) bool
	// Panicked, if set, is told of a defect that one token triggered. That login alone
	// is affected.
	Panicked func(value any, stack []byte)
}

// Call is one finished call to STS.
type Call struct {
	Region   string        // of the endpoint, one of the fixed set
	Probe    bool          // not for a token, but to see how the endpoint does
	Reason   reason.Code   // Granted if STS named the caller
	Duration time.Duration // until the answer was read
}

// Verification is what Verify found out.
type Verification struct {
	iam.Identity
	Source Source
	// Region is that of the STS endpoint. It is empty for what was remembered and not
	// asked again.
	Region string
	// RequestID is what STS called the answer, also if it was remembered.
	RequestID string
}

// Source is where a verification comes from, or a refusal of STS.
type Source string

// The sources. A token that was refused without STS has none.
const (
	FromSTS   Source = "sts"    // STS was asked
	FromOther Source = "shared" // STS was asked for another request with the same token
	FromCache Source = "cache"  // STS was asked not long ago
	FromStale Source = "stale"  // STS was asked long ago and can't be now
)

// Sources returns every source.
func Sources() []Source { return []Source{FromSTS, FromOther, FromCache, FromStale} }

// Verifier finds out who made a token. It is safe for concurrent use.
type Verifier struct {
	clusterIDs []string
	partition  string
	endpoints  Endpoints
	maxSkew    time.Duration
	timeout    time.Duration
	now        func() time.Time
	panicked   func(any, []byte)

	keys    *verified.Keys
	memory  *memory
	flights flights
	caller  *caller
}

// NewVerifier returns a Verifier, or an error that says which option is wrong.
func NewVerifier(o VerifierOptions) (*Verifier, error) {
	if len(o.ClusterIDs) == 0 {
		return nil, errors.New("no cluster ID: a token could be replayed from any other cluster; set the cluster ID that clients sign for")
	}
	if len(o.ClusterIDs) > MaxClusterIDs {
		return nil, fmt.Errorf("%d cluster IDs, at most %d are accepted", len(o.ClusterIDs), MaxClusterIDs)
	}
	for i, id := range o.ClusterIDs {
		if err := CheckClusterID(id); err != nil {
			return nil, err
		}
		if slices.Contains(o.ClusterIDs[:i], id) {
			return nil, fmt.Errorf("cluster ID %q is given twice", id)
		}
	}
	o.Partition = cmp.Or(o.Partition, "aws")
	endpoints, err := NewEndpoints(o.Partition, o.ExtraRegions...)
	if err != nil {
		return nil, err
	}
	if o.Transport == nil {
		o.Transport = NewTransport(TransportOptions{})
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.MaxSkew <= 0 {
		o.MaxSkew = DefaultMaxSkew
	}
	o.UserAgent = cmp.Or(o.UserAgent, "iam-authenticator")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(Call) {}
	}
	if o.EndpointChanged == nil {
		o.EndpointChanged = func(EndpointStatus) {}
	}
	if o.Mapped == nil {
		o.Mapped = func(iam.Identity) bool { return true }
	}
	if o.Panicked == nil {
		o.Panicked = func(any, []byte) {}
	}
	keys := verified.NewKeys()
	return &Verifier{
		clusterIDs: o.ClusterIDs,
		partition:  o.Partition,
		endpoints:  endpoints,
		maxSkew:    o.MaxSkew,
		timeout:    o.Timeout,
		now:        o.Now,
		panicked:   o.Panicked,
		keys:       keys,
		memory:     newMemory(o.Cache),
		flights:    flights{byKey: make(map[verified.Key]*flight)},
		caller:     newCaller(o, endpoints, keys),
	}, nil
}

// CheckClusterID returns an error unless id can be signed, exactly as it is, as the
// value of an HTTP header: 1 to 256 printable ASCII characters, without a space at
// either end or two in a row, as SigV4 trims and folds those.
func CheckClusterID(id string) error {
	if !all(id, 1, 256, func(c byte) bool { return ' ' <= c && c <= '~' }) || strings.TrimSpace(id) != id || strings.Contains(id, "  ") {
		return fmt.Errorf("cluster ID %s, want 1 to 256 printable ASCII characters, and single spaces only inside", quote(id))
	}
	return nil
}

// Run looks after the endpoints and drops what expired, until ctx ends. Without it
// Verify works, but no endpoint is known to be down.
func (v *Verifier) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return v.caller.health.Run(ctx) })
	group.Go(func() error {
		ticker := time.NewTicker(time.Minute)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
				v.memory.sweep(v.now())
			}
		}
	})
	return group.Wait()
}

// Verify has STS say who made the token, or remembers it. Every error is a
// *reason.Error: what can be refused without STS is, at no cost; errors whose Outcome
// is Unavailable say nothing about the caller. Verify honours its context.
func (v *Verifier) Verify(ctx context.Context, token string) (Verification, error) {
	if !strings.HasPrefix(token, Prefix) || len(token) > MaxLength {
		_, err := Parse(token)
		return Verification{}, err
	}
	now, key := v.now(), v.keys.Of(token)
	last, isKnown := v.memory.last(key, now)
	if isKnown && v.memory.isFresh(last, now) {
		return Verification{Identity: last.Identity, Source: FromCache, RequestID: last.RequestID}, nil
	}
	if e, ok := v.memory.refusal(key, now); ok {
		return Verification{Source: FromCache, RequestID: e.RequestID}, e.Refusal
	}
	request, err := v.read(token, now)
	if err != nil {
		return Verification{}, err
	}
	result, err := v.share(ctx, key, request, isKnown && last.Mapped)
	if err != nil && isKnown && v.memory.mayStand(key, last, v.now(), err) {
		return Verification{Identity: last.Identity, Source: FromStale, Region: result.Region, RequestID: last.RequestID}, nil
	}
	return result, err
}

// read parses a token and checks all that can be checked without STS.
func (v *Verifier) read(token string, now time.Time) (Request, error) {
	request, err := Parse(token)
	if err != nil {
		return Request{}, err
	}
	if err := v.endpoints.Check(request); err != nil {
		return Request{}, err
	}
	return request, request.CheckTime(now, v.maxSkew)
}

// share asks STS once for all who ask for the same token at the same time. A renewal
// is for a token that STS has vouched for before.
func (v *Verifier) share(ctx context.Context, key verified.Key, r Request, renewal bool) (Verification, error) {
	// Nobody waits for what is known to be down.
	if err := v.caller.check(r.Host); err != nil {
		return Verification{}, err
	}
	flight, isNew := v.flights.join(key)
	if flight == nil {
		return Verification{}, reason.New(reason.Overloaded, "too many logins wait for STS")
	}
	defer v.flights.leave(flight)
	result := Verification{Source: FromOther, Region: v.endpoints[r.Host]}
	if isNew {
		result.Source = FromSTS
		go v.flights.run(key, flight, func() (said, error) { return v.find(key, r, renewal) })
	}
	if err := v.wait(ctx, flight, r.Host); err != nil {
		return result, err
	}
	result.Identity, result.RequestID = flight.said.Identity, flight.said.requestID
	return result, flight.err
}

// wait waits for the end of a flight. The error is why there was no waiting for it.
func (v *Verifier) wait(ctx context.Context, f *flight, host string) error {
	for {
		select {
		case <-f.done:
			return nil
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return reason.New(reason.Canceled, "the request was cancelled while %s was asked", host)
			}
			return reason.New(reason.STSUnreachable, "%s gave no answer in time", host)
		case <-v.caller.health.Down(host):
			select {
			case <-f.done:
				return nil
			default:
			}
			if err := v.caller.check(host); err != nil {
				return err
			}
			// It is back already.
		}
	}
}

// find has STS say who made a token, and remembers what it says. It is done once for
// all who wait, and ends by itself.
func (v *Verifier) find(key verified.Key, r Request, renewal bool) (s said, err error) {
	defer func() {
		if p := recover(); p != nil {
			v.panicked(p, debug.Stack())
			s, err = said{}, reason.New(reason.Internal, "the token could not be verified")
		}
	}()
	asked := v.now()
	// The flight before this one may have ended after its answer was looked for.
	if e, ok := v.memory.last(key, asked); ok && v.memory.isFresh(e, asked) {
		return said{e.Identity, e.RequestID, e.Mapped}, nil
	}
	if e, ok := v.memory.refusal(key, asked); ok {
		return said{requestID: e.RequestID}, e.Refusal
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxWait+v.timeout)
	defer cancel()
	s, err = v.ask(ctx, r, renewal)
	if err == nil && s.Partition != v.partition {
		err = reason.New(reason.PartitionMismatch, "%s is not a principal of the partition %s", s.CanonicalARN, v.partition)
		s.Identity = iam.Identity{}
	}
	if err == nil && s.MapKey == "" {
		err = reason.New(reason.Internal, "STS vouched for nobody")
	}
	v.memory.remember(key, verified.Entry{
		Identity: s.Identity, Mapped: err == nil && s.mapped, RequestID: s.requestID, Asked: asked, Expires: r.Date.Add(Lifetime),
	}, renewal, r.AccessKeyID, err)
	return s, err
}

// ask tries the accepted cluster IDs in order. Which one a token was signed for
// can't be read from it; STS just finds that the signature doesn't match.
func (v *Verifier) ask(ctx context.Context, r Request, renewal bool) (s said, err error) {
	for _, clusterID := range v.clusterIDs {
		s, err = v.caller.call(ctx, r, clusterID, renewal)
		if reason.Of(err) != reason.SignatureMismatch {
			return s, err
		}
	}
	return s, err
}

// Stats is the state of a Verifier.
type Stats struct {
	Accepted CacheStats // identities that are mapped
	Others   CacheStats // identities that are not
	Refused  CacheStats // refusals of STS
	Waiting  int        // logins that wait for STS
	InFlight int        // calls to STS
	Queued   int        // calls to STS that wait for their turn
	// Shed counts the calls that were not made, by the bound that they met.
	Shed      map[string]uint64
	Endpoints []EndpointStatus // those that were used, by name
}

// CacheStats says how full a cache is.
type CacheStats = verified.Stats

// Stats returns the present state.
func (v *Verifier) Stats() Stats {
	stats := v.caller.stats()
	stats.Accepted, stats.Others, stats.Refused = v.memory.accepted.Stats(), v.memory.others.Stats(), v.memory.refused.Stats()
	stats.Waiting = v.flights.callers()
	return stats
}
