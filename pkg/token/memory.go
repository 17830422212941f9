package token

import (
	"cmp"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/token/internal/verified"
)

// CacheOptions says how long what STS said about a token is good for. What is kept is
// identities and refusals, neither tokens nor mappings.
type CacheOptions struct {
	// TTL is how long an identity is good for before STS is asked again, and so how
	// long a disabled access key still works. Never past the token's end. 0, the
	// default, remembers nothing.
	TTL time.Duration
	// StaleOnError lets an identity stand until the token's end while STS can't be
	// asked: unreachable, throttling, or too many calls.
	StaleOnError bool
	// NegativeTTL is how long a refusal is good for. 0, the default, remembers none.
	NegativeTTL time.Duration
	// Entries and Bytes bound the identities that are mapped; others, and refusals, get
	// an eighth as much again each.
	// Default 50,000 and 64 MiB.
	Entries int
	Bytes   int
}

// memory is what STS said about tokens. Identities that are mapped have room of their
// own, so that neither bad tokens, which are free, nor those of just any AWS account push
// them out.
type memory struct {
	options  CacheOptions
	accepted *verified.Cache // mapped
	others   *verified.Cache // identities that are not mapped
	refused  *verified.Cache

	mu       sync.Mutex
	disabled map[string]time.Time // by access key ID: when STS last found a token of it, good before, bad
}

func newMemory(o CacheOptions) *memory {
	o.Entries = cmp.Or(o.Entries, 50_000)
	o.Bytes = cmp.Or(o.Bytes, 64<<20)
	minor := verified.Options{Entries: max(o.Entries/8, 1), Bytes: max(o.Bytes/8, 1)}
	return &memory{
		options:  o,
		accepted: verified.New(verified.Options{Entries: o.Entries, Bytes: o.Bytes}),
		others:   verified.New(minor),
		refused:  verified.New(minor),
		disabled: make(map[string]time.Time),
	}
}

// last returns the identity that STS last vouched for, if the token is still valid.
func (m *memory) last(key verified.Key, now time.Time) (verified.Entry, bool) {
	if e, ok := m.accepted.Get(key, now); ok {
		return e, true
	}
	return m.others.Get(key, now)
}

// isFresh tells whether an identity is good without asking STS again. Both clocks
// count: the monotonic one stands still while a machine is suspended, and the wall clock
// may be set back.
func (m *memory) isFresh(e verified.Entry, now time.Time) bool {
	age, wall := now.Sub(e.Asked), now.Round(0).Sub(e.Asked.Round(0))
	return 0 <= age && age < m.options.TTL && wall < m.options.TTL
}

// refusal returns why STS refuses a token.
func (m *memory) refusal(key verified.Key, now time.Time) (verified.Entry, bool) {
	return m.refused.Get(key, now)
}

// remember takes note of an answer. An error that says nothing about the token changes
// nothing. A renewal is for a token that STS vouched for before.
func (m *memory) remember(key verified.Key, e verified.Entry, renewal bool, accessKeyID string, err error) {
	refusal, _ := errors.AsType[*reason.Error](err)
	switch code := reason.Of(err); {
	case code.Outcome() == reason.Accepted:
		if m.options.TTL <= 0 {
			return
		}
		keep, other := m.accepted, m.others
		if !e.Mapped {
			keep, other = other, keep
		}
		keep.Put(key, e)
		other.Delete(key)
	case code.Outcome() == reason.Rejected || code.Outcome() == reason.Denied:
		// Anybody can forge a token with a key ID, but not one that was good before.
		if renewal && (code == reason.CredentialsInvalid || code == reason.CredentialsExpired) {
			m.distrust(accessKeyID, e.Asked)
		}
		m.accepted.Delete(key)
		m.others.Delete(key)
		if m.options.NegativeTTL > 0 {
			m.refused.Put(key, verified.Entry{Refusal: refusal, RequestID: e.RequestID, Asked: e.Asked, Expires: e.Asked.Add(m.options.NegativeTTL)})
		}
	}
}

// distrust has no other token of an access key stand that STS was not asked about since.
func (m *memory) distrust(accessKeyID string, asked time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disabled[strings.Clone(accessKeyID)] = asked
}

// mayStand tells whether an identity stands although STS could not be asked again.
func (m *memory) mayStand(key verified.Key, e verified.Entry, now time.Time, err error) bool {
	code := reason.Of(err)
	if !m.options.StaleOnError || code.Outcome() != reason.Unavailable || code == reason.Canceled {
		return false
	}
	m.mu.Lock()
	since, disabled := m.disabled[e.Identity.AccessKeyID]
	m.mu.Unlock()
	// It may have ended, or been refused, while STS was asked.
	_, isValid := m.last(key, now)
	return isValid && (!disabled || e.Asked.After(since))
}

// sweep drops what expired.
func (m *memory) sweep(now time.Time) {
	for _, c := range []*verified.Cache{m.accepted, m.others, m.refused} {
		c.Sweep(now)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.disabled, func(_ string, since time.Time) bool { return now.Sub(since) > Lifetime })
}
