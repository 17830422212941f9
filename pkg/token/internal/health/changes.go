package health

import "sync"

// changes holds the changes of states that nobody was told of yet. It keeps those who
// wait for a host's answer from waiting for whoever is told.
type changes struct {
	tell func(Status) // nil: nobody is told
	came chan struct{}

	mu      sync.Mutex
	waiting []Status
}

func newChanges(tell func(Status)) *changes {
	return &changes{tell: tell, came: make(chan struct{}, 1)}
}

// add takes a change in, and never blocks.
func (c *changes) add(s Status) {
	if c.tell == nil {
		return
	}
	c.mu.Lock()
	c.waiting = append(c.waiting, s)
	c.mu.Unlock()
	signal(c.came)
}

// deliver tells of all changes that have come. It must not run twice at a time.
func (c *changes) deliver() {
	c.mu.Lock()
	list := c.waiting
	c.waiting = nil
	c.mu.Unlock()
	for _, s := range list {
		c.tell(s)
	}
}

// signal leaves a value in a channel of one, unless there is one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
