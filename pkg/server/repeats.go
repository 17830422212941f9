package server

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// Of refusals that are all alike so many are logged one by one, and from then on
	// one in each period, which says how many there were. It starts anew after a
	// period without any.
	repeatsLogged = 5
	repeatsPeriod = 10 * time.Second
	// Of all refusals for one reason so many are logged in a second, and then one in
	// so many, however they differ.
	refusalsLogged  = 100
	refusalsSampled = 100

	repeatsRemembered = 2048
)

// refusal is what makes refusals alike.
type refusal struct {
	reason string // from a fixed set
	caller string // the principal, or the host that asked if the principal isn't known
	detail string // empty if the principal is known
}

// repeats decides which refusals are logged, as anybody may cause any number of
// them. It takes the same memory whatever comes. What is hidden at the end of a flood
// is summed up when its like comes again, if ever; the metrics count every refusal.
type repeats struct {
	seed maphash.Seed // so that nobody can aim at the place of somebody else's refusal

	mu      sync.Mutex
	kinds   [repeatsRemembered]refusalKind
	reasons map[string]*refusalCount
}

// refusalKind counts refusals that are alike. Of two kinds that share a place the
// later has it.
type refusalKind struct {
	hash   uint64
	since  time.Time // start of the period
	logged int       // in this period
	hidden int       // since one was logged
}

// refusalCount counts refusals for one reason.
type refusalCount struct {
	since time.Time // start of the second
	count int
}

func newRepeats() *repeats {
	return &repeats{seed: maphash.MakeSeed(), reasons: map[string]*refusalCount{}}
}

// log tells whether to log a refusal, and how many like it were not since the last
// one that was.
func (r *repeats) log(now time.Time, what refusal) (repeated int, ok bool) {
	hash := maphash.Comparable(r.seed, what)
	r.mu.Lock()
	defer r.mu.Unlock()
	kind := &r.kinds[hash%repeatsRemembered]
	if kind.hash != hash {
		*kind = refusalKind{hash: hash}
	}
	switch age := now.Sub(kind.since); {
	case age >= 2*repeatsPeriod: // none in the last one
		kind.since, kind.logged = now, 0
	case age >= repeatsPeriod:
		kind.since, kind.logged = now, repeatsLogged-1
	}
	if kind.logged >= repeatsLogged || !r.count(now, what.reason) {
		kind.hidden++
		return 0, false
	}
	kind.logged++
	repeated, kind.hidden = kind.hidden, 0
	return repeated, true
}

// count counts a refusal and tells whether it is among those of its reason to log.
func (r *repeats) count(now time.Time, reason string) bool {
	c := r.reasons[reason]
	if c == nil {
		c = new(refusalCount)
		r.reasons[reason] = c
	}
	if now.Sub(c.since) >= time.Second {
		c.since, c.count = now, 0
	}
	c.count++
	return c.count <= refusalsLogged || (c.count-refusalsLogged)%refusalsSampled == 0
}
