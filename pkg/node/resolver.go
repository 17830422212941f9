package node

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// How long answers are good for.
const (
	// TTL is how long it takes at most until a change of an instance or of an instance
	// profile counts. The name and the account of an instance never change.
	TTL = 10 * time.Minute
	// StaleTTL is how long an answer stands while EC2 or IAM can't be asked: as long as
	// the credentials of an instance live.
	StaleTTL = 6 * time.Hour
	// NegativeTTL is how long it takes at most until a new instance is found, and how old
	// an answer may be for which a caller is refused.
	NegativeTTL = 10 * time.Second
)

// Options configures a Resolver. Only Load has no default.
type Options struct {
	// Load returns the AWS configuration that EC2 and IAM are asked with. It is called when
	// the first instance is looked up, and again until it succeeds.
	Load func(ctx context.Context) (aws.Config, error)
	// UserAgent is sent to EC2 and IAM. Default "iam-authenticator".
	UserAgent string
	// Rate and Burst bound the calls to EC2 and IAM per second, and how many may be made at
	// once after a pause. Default 15 and 5.
	Rate  float64
	Burst int
	// Observe, if set, is told of every call. It must not block.
	Observe func(Call)
	// Trusts, if set, is told who else than EC2 may assume a role in an instance profile,
	// once it is known and when it changes. It must not block.
	Trusts func(profile string, others []string)
	// Exclusive refuses a proof by a role that others than EC2 may assume, or of which that
	// is not known.
	Exclusive bool
	// Panicked, if set, is told of a defect that ended a lookup.
	Panicked func(value any, stack []byte)
}

// Call is one finished call to EC2 or IAM.
type Call struct {
	Operation string        // DescribeInstances or GetInstanceProfile
	Instances int           // that DescribeInstances was asked for
	Reason    reason.Code   // Granted if there was an answer
	Duration  time.Duration // until the answer was read
}

// The operations that are called.
const (
	DescribeInstances  = "DescribeInstances"
	GetInstanceProfile = "GetInstanceProfile"
)

// Resolver knows instances and their roles. It is safe for concurrent use, and makes no
// call until it is asked.
type Resolver struct {
	caller    *caller
	instances *memory[instance]
	profiles  *memory[profile]
	gatherer  *gatherer
	exclusive bool
	waiting   atomic.Int64

	mu     sync.Mutex
	names  *recent[string] // the instances that had a private DNS name last, by name
	trusts *recent[string] // what Trusts was told, by profile
	tell   func(profile string, others []string)
}

var _ mapper.Nodes = (*Resolver)(nil)

// instance is what counts of an EC2 instance.
type instance struct {
	dnsName string // may be empty
	account string
	profile string // ARN of its instance profile, or empty
	state   string
}

// profile is what counts of an instance profile: the roles in it, of which IAM allows one.
type profile struct {
	roles  []iam.Principal
	others []string // who may assume them, besides EC2
}

// New returns a Resolver.
func New(o Options) *Resolver {
	r := &Resolver{caller: newCaller(o), names: newRecent[string](maxKnown), trusts: newRecent[string](maxKnown), tell: o.Trusts, exclusive: o.Exclusive}
	r.gatherer = newGatherer(r.caller, r.settleInstance)
	r.instances = newMemory[instance](&r.waiting, &r.caller.ec2, r.gatherer.add, r.gatherer.addRenewal)
	getProfile := func(arn string, deadline time.Time) { go r.caller.getProfile(arn, deadline, r.settleProfile) }
	r.profiles = newMemory[profile](&r.waiting, &r.caller.iam, getProfile, func(arn string) { getProfile(arn, time.Now().Add(patience)) })
	return r
}

// settleInstance is told what EC2 says of an instance. A name that another instance had is
// this one's now: what was known of the other isn't true any more, or not of it alone.
func (r *Resolver) settleInstance(id string, i instance, err error) {
	r.instances.settle(id, i, err)
	if err != nil || i.dnsName == "" {
		return
	}
	r.mu.Lock()
	before, ok := r.names.get(i.dnsName)
	r.names.put(i.dnsName, id)
	r.mu.Unlock()
	if ok && before != id {
		r.instances.forget(before)
	}
}

// settleProfile is told what IAM says of an instance profile.
func (r *Resolver) settleProfile(arn string, p profile, err error) {
	r.profiles.settle(arn, p, err)
	if err != nil || r.tell == nil {
		return
	}
	r.mu.Lock()
	others := strings.Join(p.others, " ")
	before, _ := r.trusts.get(arn)
	r.trusts.put(arn, others)
	r.mu.Unlock()
	if others != before && others != "" {
		r.tell(arn, p.others)
	}
}

// PrivateDNSName implements mapper.Nodes. The instance must be in the caller's account, in
// any case: where it is costs no further call.
func (r *Resolver) PrivateDNSName(ctx context.Context, caller iam.Identity, prove bool) (string, error) {
	if !iam.IsInstanceID(caller.SessionName) {
		return "", reason.New(reason.NotAnInstance, "%q is no EC2 instance ID", caller.SessionName)
	}
	name, err := r.judge(ctx, caller, prove, TTL, StaleTTL)
	if err != nil && reason.Of(err).Outcome() == reason.Denied {
		// What is remembered may not be true any more, and nobody is refused for that.
		return r.judge(ctx, caller, prove, NegativeTTL, 0)
	}
	return name, err
}

// judge is PrivateDNSName with answers that are fresh or, where nobody can be asked, stale.
func (r *Resolver) judge(ctx context.Context, caller iam.Identity, prove bool, fresh, stale time.Duration) (string, error) {
	i, err := r.instances.get(ctx, caller.SessionName, fresh, stale)
	switch {
	case err != nil:
		return "", err
	case i.state == "terminated":
		return "", reason.New(reason.InstanceNotFound, "it is terminated")
	case i.account != caller.Account:
		return "", reason.New(reason.InstanceAccountMismatch, "it is in the account %s, but the caller is %s", i.account, caller.CanonicalARN)
	case !prove:
		return i.dnsName, nil
	case i.profile == "":
		return "", reason.New(reason.InstanceRoleMismatch, "it has no instance profile, but the caller is %s", caller.CanonicalARN)
	}
	p, err := r.profiles.get(ctx, i.profile, fresh, stale)
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(p.roles, caller.Same) {
		return "", reason.New(reason.InstanceRoleMismatch, "its instance profile %s has %s, but the caller is %s", i.profile, p, caller.CanonicalARN)
	}
	if r.exclusive && len(p.others) > 0 {
		return "", reason.New(reason.NodeRoleShared, "others than EC2 may assume %s: %s", caller.CanonicalARN, strings.Join(p.others, ", "))
	}
	return i.dnsName, nil
}

// String names the roles for people.
func (p profile) String() string {
	var names []string
	for _, role := range p.roles {
		names = append(names, role.Canonical())
	}
	return cmp.Or(strings.Join(names, ", "), "no role")
}

// Stats is the state of a Resolver at one time.
type Stats struct {
	Instances, Refused int // that are remembered, and those that were not found
	Waiting            int // logins that wait for EC2 or IAM
	Queued             int // instances that wait for a call
	// Lookups counts answers about instances and profiles by where they came from.
	Lookups map[Source]uint64
	// Err is why the last call gave no answer, or nil.
	Err error
}

// Source is where an answer about an instance or a profile came from.
type Source string

// The sources.
const (
	FromMemory Source = "memory" // it was remembered
	FromAWS    Source = "aws"    // a call was waited for
	FromStale  Source = "stale"  // it was remembered, and can't be found out now
	FromNobody Source = "none"   // it can't be found out
)

// Sources returns every source.
func Sources() []Source { return []Source{FromMemory, FromAWS, FromStale, FromNobody} }

// Stats returns the state of now.
func (r *Resolver) Stats() Stats {
	s := Stats{Waiting: int(r.waiting.Load()), Queued: r.gatherer.queued(), Lookups: map[Source]uint64{}, Err: r.Healthy()}
	s.Instances, s.Refused = r.instances.count(s.Lookups)
	r.profiles.count(s.Lookups)
	return s
}

// Healthy returns why the last call to EC2, or to IAM, gave no answer, or nil.
func (r *Resolver) Healthy() error {
	return errors.Join(r.caller.ec2.trouble(), r.caller.iam.trouble())
}
