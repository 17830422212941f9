package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/reason"
)

const (
	// MaxWaiting is the number of logins that may wait for EC2 and IAM at a time.
	MaxWaiting = 1500
	// patience is how long a login waits for an answer, and stalePatience if it has an
	// old one.
	patience      = 4 * time.Second
	stalePatience = 500 * time.Millisecond
	// maxKnown and maxRefused bound what is remembered. Callers can make up IDs of
	// instances that don't exist: they push out no others.
	maxKnown   = 50_000
	maxRefused = 10_000
)

// memory remembers answers by key, and asks once for all who want one at a time.
type memory[V any] struct {
	// ask must have settle called with the key, soon after the deadline at the latest, and
	// not wait for it. renew is ask for what nobody waits for: it may take its time.
	ask     func(key string, deadline time.Time)
	renew   func(key string)
	service *service // that is asked
	waiting *atomic.Int64

	mu      sync.Mutex
	known   *recent[answer[V]]
	refused *recent[answer[V]]
	flights map[string]*flight[V]
	lookups map[Source]uint64
}

// answer is a value or a refusal.
type answer[V any] struct {
	value V
	err   error
	at    time.Time
}

// flight is a question under way. It belongs to nobody who waits for it.
type flight[V any] struct {
	done   chan struct{} // closed once answer is final
	answer answer[V]
	urgent bool // somebody waited for it at some time; guarded by memory.mu
}

func newMemory[V any](waiting *atomic.Int64, service *service, ask func(string, time.Time), renew func(string)) *memory[V] {
	return &memory[V]{
		ask: ask, renew: renew, service: service, waiting: waiting,
		known: newRecent[answer[V]](maxKnown), refused: newRecent[answer[V]](maxRefused),
		flights: map[string]*flight[V]{}, lookups: map[Source]uint64{},
	}
}

// get returns the answer, not older than fresh; or than stale, if nobody can be asked.
// One that is used is renewed at half its life, for which nobody waits.
func (m *memory[V]) get(ctx context.Context, key string, fresh, stale time.Duration) (V, error) {
	a, source := m.find(ctx, key, fresh, stale)
	m.mu.Lock()
	m.lookups[source]++
	m.mu.Unlock()
	return a.value, a.err
}

func (m *memory[V]) find(ctx context.Context, key string, fresh, stale time.Duration) (answer[V], Source) {
	now := time.Now()
	m.mu.Lock()
	if refusal, ok := m.refused.get(key); ok && now.Sub(refusal.at) < NegativeTTL {
		m.mu.Unlock()
		return refusal, FromMemory
	}
	old, known := m.known.get(key)
	age := now.Sub(old.at)
	switch {
	case known && age < fresh:
		if age >= TTL/2 {
			m.join(key, false)
		}
		m.mu.Unlock()
		return old, FromMemory
	case known && age < stale && m.service.inTrouble():
		m.join(key, false)
		m.mu.Unlock()
		return old, FromStale
	case m.waiting.Load() >= MaxWaiting:
		m.mu.Unlock()
		return fallBack(old, known && age < stale, reason.New(reason.EC2Throttled, "%d logins wait for EC2 already", MaxWaiting))
	}
	known = known && age < stale
	m.waiting.Add(1)
	defer m.waiting.Add(-1)
	f := m.join(key, true)
	m.mu.Unlock()

	wait := patience
	if known {
		wait = stalePatience
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-f.done:
		if err := f.answer.err; err != nil && reason.Of(err).Outcome() == reason.Unavailable {
			return fallBack(old, known, err)
		}
		return f.answer, FromAWS
	case <-timer.C:
		return fallBack(old, known, m.late(wait))
	case <-ctx.Done():
		return answer[V]{err: ctx.Err()}, FromNobody
	}
}

// fallBack returns the old answer, if there is one, in the place of an error.
func fallBack[V any](old answer[V], known bool, err error) (answer[V], Source) {
	if known {
		return old, FromStale
	}
	return answer[V]{err: err}, FromNobody
}

// join returns the flight for a key, and has the key asked for unless it is already, and
// as urgently. The caller holds the lock.
func (m *memory[V]) join(key string, urgent bool) *flight[V] {
	f, flies := m.flights[key]
	if !flies {
		f = &flight[V]{done: make(chan struct{})}
		m.flights[key] = f
	}
	switch {
	case urgent && !f.urgent:
		f.urgent = true
		m.ask(key, time.Now().Add(patience))
	case !flies:
		m.renew(key)
	}
	return f
}

// late is the error of who waited in vain.
func (m *memory[V]) late(wait time.Duration) error {
	if m.service.inTrouble() {
		err := m.service.trouble()
		return reason.New(reason.Of(err), "no answer within %s, but before: %w", wait, err)
	}
	return reason.New(reason.EC2Unavailable, "no answer within %s", wait)
}

// settle is told an answer. What could not be found out changes nothing.
func (m *memory[V]) settle(key string, value V, err error) {
	a := answer[V]{value: value, err: err, at: time.Now()}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil:
		m.refused.remove(key)
		m.known.put(key, a)
	case reason.Of(err).Outcome() == reason.Denied:
		m.known.remove(key)
		m.refused.put(key, a)
	}
	if f, ok := m.flights[key]; ok {
		delete(m.flights, key)
		f.answer = a
		close(f.done)
	}
}

// forget has the next who wants an answer wait for a new one.
func (m *memory[V]) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known.remove(key)
}

// count returns how many answers and refusals are remembered, and adds the lookups.
func (m *memory[V]) count(lookups map[Source]uint64) (known, refused int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for source, n := range m.lookups {
		lookups[source] += n
	}
	return m.known.len(), m.refused.len()
}
