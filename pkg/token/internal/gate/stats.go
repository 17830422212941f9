package gate

import "maps"

// Stats are the figures of a moment.
type Stats struct {
	InFlight  int                // calls that have begun and not ended
	Waiting   int                // requests in the queue
	Shed      map[Cause]uint64   // since the start, with every cause
	Throttled map[string]float64 // hosts that are slowed down, and to what part of Rate
}

// Stats returns the figures of this moment.
func (g *Gate) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	s := Stats{
		InFlight:  g.calls.all,
		Waiting:   g.queue.size.all,
		Shed:      maps.Clone(g.shed),
		Throttled: make(map[string]float64),
	}
	for name, h := range g.hosts {
		if h.advance(now); h.factor < 1 {
			s.Throttled[name] = h.factor
		}
	}
	return s
}
