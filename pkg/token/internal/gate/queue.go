package gate

import (
	"container/list"
	"iter"
)

// queue holds the calls that wait: by class, within a class by key, and within a key
// by arrival.
type queue struct {
	size  tally
	lines [classes]list.List // of *group, the next first
	turn  class              // whose turn it is
}

// group is the calls of one class with one key that wait.
type group struct {
	key   *key
	calls list.List     // of *call, the oldest first
	place *list.Element // in the line
}

func (g *group) len() int {
	if g == nil {
		return 0
	}
	return g.calls.Len()
}

// waiter is the part of a call that waits.
type waiter struct {
	ready chan struct{} // closed when the wait has ended otherwise than by giveUp
	err   error         // nil if the call may start
	place *list.Element // in the group; nil if not in the queue
}

func (w *waiter) queued() bool { return w.place != nil }

func (q *queue) push(c *call) {
	g := c.key.groups[c.class]
	if g == nil {
		g = &group{key: c.key}
		g.place = q.lines[c.class].PushBack(g)
		c.key.groups[c.class] = g
	}
	c.ready = make(chan struct{})
	c.place = g.calls.PushBack(c)
	q.size.add(c.class, 1)
}

// remove takes a call out of the queue.
func (q *queue) remove(c *call) {
	g := c.key.groups[c.class]
	g.calls.Remove(c.place)
	c.place = nil
	if g.calls.Len() == 0 {
		q.lines[c.class].Remove(g.place)
		c.key.groups[c.class] = nil
	}
	q.size.add(c.class, -1)
}

// grant takes a call out of the queue because it has had its turn: the next is that
// of another class, and of another key of this one.
func (q *queue) grant(c *call) {
	q.lines[c.class].MoveToBack(c.key.groups[c.class].place)
	q.turn = (c.class + 1) % classes
	q.remove(c)
}

// of returns the calls with a key that wait; they may be removed meanwhile.
func (q *queue) of(k *key) iter.Seq[*call] {
	return func(yield func(*call) bool) {
		for _, g := range k.groups {
			for g.len() > 0 {
				if !yield(g.calls.Front().Value.(*call)) {
					return
				}
			}
		}
	}
}
