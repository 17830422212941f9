package accessentry

import (
	"slices"
	"sync"
)

// queue holds the names of entries that are to be reported on, each once. The last
// that came goes first: somebody is waiting for it, while of the thousands that were
// listed at the start nobody does.
type queue struct {
	// filled has a value if names came since it was last read.
	filled chan struct{}

	mu      sync.Mutex
	last    uint64
	waiting map[string]uint64 // the number of each name's last ticket
	tickets []ticket          // the first at the end; some are void
}

// ticket is a place in the queue. It is void if the name has got a later one.
type ticket struct {
	name   string
	number uint64
}

func newQueue() *queue {
	return &queue{filled: make(chan struct{}, 1), waiting: map[string]uint64{}}
}

// push puts a name first.
func (q *queue) push(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tickets = append(q.tickets, q.ticket(name))
	if len(q.tickets) > 2*len(q.waiting)+16 {
		q.tickets = slices.DeleteFunc(q.tickets, q.void)
	}
}

// pushLast puts a name behind all others, unless it came anew.
func (q *queue) pushLast(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.waiting[name]; !ok {
		q.tickets = slices.Insert(q.tickets, 0, q.ticket(name))
	}
}

func (q *queue) ticket(name string) ticket {
	q.last++
	q.waiting[name] = q.last
	select {
	case q.filled <- struct{}{}:
	default:
	}
	return ticket{name, q.last}
}

// pop takes the first name out. It is false if there is none.
func (q *queue) pop() (name string, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.tickets) > 0 {
		end := len(q.tickets) - 1
		t := q.tickets[end]
		q.tickets[end] = ticket{}
		q.tickets = q.tickets[:end]
		if !q.void(t) {
			delete(q.waiting, t.name)
			return t.name, true
		}
	}
	// Not kept: at the start it had every entry.
	q.tickets, q.waiting = nil, map[string]uint64{}
	return "", false
}

func (q *queue) void(t ticket) bool { return q.waiting[t.name] != t.number }
