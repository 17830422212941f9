package token

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// MaxClusterIDs is how many cluster IDs a Verifier accepts, and so how many calls
// to STS one token can cost.
const MaxClusterIDs = 4

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
	// Transport carries the calls to STS. Default NewTransport(TransportOptions{}).
	Transport http.RoundTripper
	// Timeout bounds one call to STS. Default 5 seconds.
	Timeout time.Duration
	// Concurrency is the number of calls in flight, to all endpoints, of which one
	// endpoint gets half: one that hangs leaves the others theirs. A token waits a
	// second for its turn and is then given up. Default twice DefaultConcurrency.
	Concurrency int
	// MaxSkew is how far ahead of our clock a token may be dated. Default 5 minutes,
	// which is what STS itself allows.
	MaxSkew time.Duration
	// UserAgent is sent to STS. Default "iam-authenticator".
	UserAgent string
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Observe, if set, is told of every call to STS. It must not block.
	Observe func(Call)
}

// Call is one finished call to STS.
type Call struct {
	Region   string        // of the endpoint, one of the fixed set
	Reason   reason.Code   // Granted if STS named the caller
	Duration time.Duration // until the answer was read
}

// Verifier finds out who made a token. It is safe for concurrent use.
type Verifier struct {
	sts        stsClient
	clusterIDs []string
	partition  string
	endpoints  Endpoints
	maxSkew    time.Duration
	now        func() time.Time
	observe    func(Call)
	turns      chan struct{}            // holds one for each call in flight
	hostTurns  map[string]chan struct{} // by host of an endpoint; never changes
}

// turnTimeout is how long a token waits for its turn.
const turnTimeout = time.Second

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
	if o.Partition == "" {
		o.Partition = "aws"
	}
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
	if o.Concurrency <= 0 {
		o.Concurrency = 2 * DefaultConcurrency
	}
	if o.MaxSkew <= 0 {
		o.MaxSkew = 5 * time.Minute
	}
	if o.UserAgent == "" {
		o.UserAgent = "iam-authenticator"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(Call) {}
	}
	hostTurns := make(map[string]chan struct{}, len(endpoints))
	for host := range endpoints {
		hostTurns[host] = make(chan struct{}, (o.Concurrency+1)/2)
	}
	return &Verifier{
		sts:        stsClient{transport: o.Transport, userAgent: o.UserAgent, timeout: o.Timeout, now: o.Now},
		clusterIDs: o.ClusterIDs,
		partition:  o.Partition,
		endpoints:  endpoints,
		maxSkew:    o.MaxSkew,
		now:        o.Now,
		observe:    o.Observe,
		turns:      make(chan struct{}, o.Concurrency),
		hostTurns:  hostTurns,
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

// Verify has STS say who made the token. Every error is a *reason.Error: what
// can be refused without STS is, at no cost; errors whose Outcome is Unavailable
// say nothing about the caller. Verify honours its context.
func (v *Verifier) Verify(ctx context.Context, token string) (iam.Identity, error) {
	request, err := Parse(token)
	if err != nil {
		return iam.Identity{}, err
	}
	if err := v.endpoints.Check(request); err != nil {
		return iam.Identity{}, err
	}
	if err := request.CheckTime(v.now(), v.maxSkew); err != nil {
		return iam.Identity{}, err
	}
	done, err := v.wait(ctx, request.Host)
	if err != nil {
		return iam.Identity{}, err
	}
	defer done()
	id, err := v.ask(ctx, request)
	if err != nil {
		return iam.Identity{}, err
	}
	if id.Partition != v.partition {
		return iam.Identity{}, reason.New(reason.PartitionMismatch, "%s is not a principal of the partition %s", id.CanonicalARN, v.partition)
	}
	return id, nil
}

// wait waits for a turn to call STS at a host, and returns what ends the turn.
func (v *Verifier) wait(ctx context.Context, host string) (done func(), err error) {
	timer := time.NewTimer(turnTimeout)
	defer timer.Stop()
	// The host's first: who waits for a host that hangs takes nobody else's turn.
	if err := takeTurn(ctx, v.hostTurns[host], timer.C); err != nil {
		return nil, err
	}
	if err := takeTurn(ctx, v.turns, timer.C); err != nil {
		<-v.hostTurns[host]
		return nil, err
	}
	return func() {
		<-v.turns
		<-v.hostTurns[host]
	}, nil
}

func takeTurn(ctx context.Context, turns chan struct{}, timeout <-chan time.Time) error {
	select {
	case turns <- struct{}{}:
		return nil
	default:
	}
	select {
	case turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return reason.New(reason.Canceled, "the request was cancelled before STS was asked")
	case <-timeout:
		return reason.New(reason.Overloaded, "%d calls to STS are in flight", cap(turns))
	}
}

// ask tries the accepted cluster IDs in order. Which one a token was signed for
// can't be read from it; STS just finds that the signature doesn't match.
func (v *Verifier) ask(ctx context.Context, r Request) (id iam.Identity, err error) {
	for _, clusterID := range v.clusterIDs {
		start := v.now()
		id, err = v.sts.getCallerIdentity(ctx, r, clusterID)
		code := reason.Of(err)
		v.observe(Call{Region: v.endpoints[r.Host], Reason: code, Duration: v.now().Sub(start)})
		if code != reason.SignatureMismatch {
			return id, err
		}
	}
	return id, err
}
