package token

import (
	"cmp"
	"errors"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/iam"
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
	// Entries and Bytes bound the identities; refusals get a quarter as much again.
	// Default 50,000 and 64 MiB.
	Entries int
	Bytes   int
}

// memory is what STS said about tokens. Refusals have room of their own, so that bad
// tokens, which are free, push out no good ones.
type memory struct {
	options  CacheOptions
	accepted *verified.Cache
	refused  *verified.Cache
}

func newMemory(o CacheOptions) *memory {
	o.Entries = cmp.Or(o.Entries, 50_000)
	o.Bytes = cmp.Or(o.Bytes, 64<<20)
	return &memory{
		options:  o,
		accepted: verified.New(verified.Options{Entries: o.Entries, Bytes: o.Bytes}),
		refused:  verified.New(verified.Options{Entries: max(o.Entries/4, 1), Bytes: max(o.Bytes/4, 1)}),
	}
}

// last returns the identity that STS last vouched for, if the token is still valid.
func (m *memory) last(key verified.Key, now time.Time) *verified.Entry {
	return m.accepted.Get(key, now)
}

// isFresh tells whether an identity is good without asking STS again.
func (m *memory) isFresh(e *verified.Entry, now time.Time) bool {
	age := now.Sub(e.Asked)
	return 0 <= age && age < m.options.TTL
}

// refusal returns why STS refuses a token, or nil.
func (m *memory) refusal(key verified.Key, now time.Time) *verified.Entry {
	return m.refused.Get(key, now)
}

// remember takes note of an answer to a question that was asked at the given time. An
// error that says nothing about the token changes nothing.
func (m *memory) remember(key verified.Key, r Request, asked time.Time, id iam.Identity, err error) {
	refusal, _ := errors.AsType[*reason.Error](err)
	switch outcome := reason.Of(err).Outcome(); {
	case outcome == reason.Accepted && m.options.TTL > 0:
		m.accepted.Put(key, verified.Entry{Identity: id, Asked: asked, Expires: r.Date.Add(Lifetime)})
	case outcome == reason.Rejected || outcome == reason.Denied:
		m.accepted.Delete(key)
		if m.options.NegativeTTL > 0 {
			m.refused.Put(key, verified.Entry{Refusal: refusal, Asked: asked, Expires: asked.Add(m.options.NegativeTTL)})
		}
	}
}

// mayStand tells whether an identity stands although STS could not be asked again.
func (m *memory) mayStand(err error) bool {
	code := reason.Of(err)
	return m.options.StaleOnError && code.Outcome() == reason.Unavailable && code != reason.Canceled
}

// sweep drops what expired.
func (m *memory) sweep(now time.Time) {
	m.accepted.Sweep(now)
	m.refused.Sweep(now)
}
