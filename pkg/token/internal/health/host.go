package health

import (
	"context"
	"sync"
	"time"
)

// host is one endpoint of STS. Calls leave their traces here, and Run's goroutine for
// the host, in follow.go, draws the conclusions.
type host struct {
	name    string
	probing func(context.Context, string) error
	timeout time.Duration
	warm    bool // never forgotten
	changes *changes
	wake    chan struct{}  // has a value if there may be something to do before planned
	probes  sync.WaitGroup // of Run

	mu      sync.Mutex // guards what follows
	state   State
	since   time.Time
	down    chan struct{} // closed while the host is down
	planned time.Time     // when Run looks at the host again if it isn't woken
	life                  // what is forgotten of a host that is not used
}

// life is what happened to a host since it came into use.
type life struct {
	used       time.Time // last, by a caller
	active     time.Time // when a call last began, or the host last answered
	unanswered time.Time // when the first call since the last answer began; zero if none did
	lastAnswer time.Time
	latency    time.Duration // of the last answer
	// trouble is not nil while the host is suspicious or down; the next answer closes it.
	trouble chan struct{}
	// err is of the last probe in this trouble, and failure what callers get of it
	// while the host is down.
	err     error
	failure *DownError
}

func newHost(name string, probe func(context.Context, string) error, timeout time.Duration, changes *changes) *host {
	return &host{
		name:    name,
		probing: probe,
		timeout: timeout,
		changes: changes,
		wake:    make(chan struct{}, 1),
		since:   time.Now(),
		down:    make(chan struct{}),
	}
}

func (h *host) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != Down {
		return nil
	}
	h.used = time.Now()
	return h.failure
}

func (h *host) downChannel() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}

func (h *host) proven() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state == Up
}

// call notes that a caller's call begins, now.
func (h *host) call() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.used = now
	h.begin(now)
	return now
}

// end notes how a call went that began at start.
func (h *host) end(start time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		h.answered(start)
	} else {
		h.suspect()
	}
}

// inUse returns how the host does. It is false if the host is not in use.
func (h *host) inUse() (Status, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status(), h.warm || !h.used.IsZero()
}

// What follows is for those who hold the lock.

// begin notes that a call or a probe in its stead begins.
func (h *host) begin(now time.Time) {
	h.active = now
	if h.unanswered.IsZero() {
		h.unanswered = now
		if now.Add(h.callPatience()).Before(h.planned) {
			signal(h.wake)
		}
	}
}

// answered notes an answer to what was sent at start: there is no trouble any more.
func (h *host) answered(start time.Time) {
	now := time.Now()
	h.active, h.lastAnswer, h.latency = now, now, now.Sub(start)
	h.unanswered, h.err = time.Time{}, nil
	if h.trouble != nil {
		close(h.trouble)
		h.trouble = nil
	}
	h.change(Up)
}

// suspect makes the host suspicious, if it isn't or is even down.
func (h *host) suspect() {
	if h.trouble == nil {
		h.trouble = make(chan struct{})
		signal(h.wake)
	}
}

// forget begins a new life.
func (h *host) forget() {
	h.life = life{}
	h.change(Unproven)
}

// unused tells whether the host is to be forgotten.
func (h *host) unused(now time.Time) bool {
	return !h.warm && now.Sub(h.used) >= forgetAfter
}

// change puts the host into a state and tells of it, unless it is in that state.
func (h *host) change(to State) {
	if h.state == to {
		return
	}
	if h.state == Down {
		h.down, h.failure = make(chan struct{}), nil
	}
	h.state, h.since = to, time.Now()
	if to == Down {
		close(h.down)
		h.failure = h.downError()
	}
	h.changes.add(h.status())
}

func (h *host) status() Status {
	return Status{Host: h.name, State: h.state, Since: h.since, Err: h.err, LastAnswer: h.lastAnswer, Latency: h.latency}
}

func (h *host) downError() *DownError {
	return &DownError{Host: h.name, Since: h.since, Err: h.err}
}

// callPatience is how long a call may go without an answer from the host to anything.
func (h *host) callPatience() time.Duration {
	return max(time.Second, 2*h.latency)
}

// probePatience is how long a probe of a suspicious host may go without an answer.
// It is never above callPatience: a probe that a late answer to a call made pointless
// ends before the next call without an answer could need one.
func (h *host) probePatience() time.Duration {
	return min(max(800*time.Millisecond, h.latency*3/2), h.timeout)
}
