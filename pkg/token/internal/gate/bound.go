package gate

import "time"

// bound returns what a call has to wait for, with After if that is only time, or
// the zero value if it may start.
func (g *Gate) bound(c *call, now time.Duration) Shed {
	if bound := g.classBound(c.class, now); bound.Cause != "" {
		return bound
	}
	if bound := g.keyBound(c.key, c.class, now); bound.Cause != "" {
		return bound
	}
	return g.hostBound(c, now)
}

// classBound is the part of bound that is the same for a whole class.
func (g *Gate) classBound(c class, now time.Duration) Shed {
	if limit, full := g.calls.full(c); full {
		return Shed{Cause: CauseCalls, limit: float64(limit)}
	}
	after := g.rate.wait(now, c)
	if after > 0 && c == unknown {
		after = min(after, max(g.newcomers.wait(now, known), g.rate.wait(now, known)))
	}
	if after > 0 {
		return Shed{Cause: CauseRate, After: after, limit: g.o.Rate}
	}
	return Shed{}
}

// keyBound is the part of bound that is the same for all of a class with one key.
// Renewals are exempt from the key's rate and have a quarter of its calls to
// themselves, or its own noise would make a cached login fail, or keep it alive.
func (g *Gate) keyBound(k *key, c class, now time.Duration) Shed {
	limit := g.o.KeyCalls
	if c != renewal {
		limit = max(limit*3/4, 1)
	}
	if k.calls >= limit {
		return Shed{Cause: CauseKey, limit: float64(limit)}
	}
	if c == renewal {
		return Shed{}
	}
	// No class keeps tokens of one key from another: known takes all.
	if after := k.rate.wait(now, known); after > 0 {
		return Shed{Cause: CauseKeyRate, After: after, limit: g.o.KeyRate}
	}
	return Shed{}
}

// hostBound is the part of bound that depends on the host.
func (g *Gate) hostBound(c *call, now time.Duration) Shed {
	if limit, full := c.host.calls.full(c.class); full {
		return Shed{Cause: CauseHost, limit: float64(limit)}
	}
	if c.onTrial() {
		if g.trial >= g.o.TrialCalls {
			return Shed{Cause: CauseTrial, limit: float64(g.o.TrialCalls)}
		}
		if c.host.trial >= trialHostCalls {
			return Shed{Cause: CauseTrial, limit: trialHostCalls}
		}
	}
	if after := c.host.wait(now, c.class); after > 0 {
		return Shed{Cause: CauseHostRate, After: after, limit: c.host.rate.rate}
	}
	return Shed{}
}

// onTrial says whether the call's host has not answered yet, also not while the
// call waited: the first answers at a start would come slowly otherwise.
func (c *call) onTrial() bool {
	return c.unproven && c.answers == c.host.answers
}

// tally counts against a bound, of which the unknown get a share only.
type tally struct {
	bound, share int
	all, unknown int
}

// newTally returns a tally of which the unknown get num/den, rounded down, but one
// in any case.
func newTally(bound, num, den int) tally {
	return tally{bound: bound, share: max(bound*num/den, 1)}
}

func (t *tally) add(c class, n int) {
	t.all += n
	if c == unknown {
		t.unknown += n
	}
}

// full says whether one more of the class would be too many, and for which limit.
func (t *tally) full(c class) (limit int, full bool) {
	if t.all >= t.bound {
		return t.bound, true
	}
	return t.share, c == unknown && t.unknown >= t.share
}
