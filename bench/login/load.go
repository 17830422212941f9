package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// outcome is how a login ended.
type outcome int

const (
	granted outcome = iota
	denied
	unavailable
	outcomes
)

func (o outcome) String() string { return [...]string{"granted", "denied", "not decided (503)"}[o] }

// request is a login.
type request struct {
	body     []byte // a TokenReview
	username []byte // the member of the answer that names the user, `"username":"…"`
	// may are the outcomes that are right: any other ends the measurement.
	may [outcomes]bool
}

var authenticated = []byte(`"authenticated":true`)

// check returns the outcome that an answer tells, or an error if it must not be.
func (r *request) check(status int, body []byte) (outcome, error) {
	var o outcome
	switch {
	case status == http.StatusServiceUnavailable:
		o = unavailable
	case status != http.StatusOK:
		return 0, fmt.Errorf("HTTP status %d, want 200 or 503: %.300q", status, body)
	case bytes.Contains(body, authenticated):
		o = granted
		if !bytes.Contains(body, r.username) {
			return 0, fmt.Errorf("wrong user, want %s: %.1000q", r.username, body)
		}
	case bytes.Contains(body, []byte(`"kind":"TokenReview"`)):
		o = denied
	default:
		return 0, fmt.Errorf("not a TokenReview: %.300q", body)
	}
	if !r.may[o] {
		return 0, fmt.Errorf("wrong answer: login of %s was %s: %.1000q", r.username, o, body)
	}
	return o, nil
}

// stats is what became of some logins.
type stats struct {
	latency  histogram
	outcomes [outcomes]atomic.Int64
}

func (s *stats) record(o outcome, latency time.Duration) {
	s.latency.record(latency)
	s.outcomes[o].Add(1)
}

func (s *stats) count(o outcome) int { return int(s.outcomes[o].Load()) }

// together adds up.
func together(parts ...*stats) *stats {
	sum := new(stats)
	for _, s := range parts {
		sum.latency.add(&s.latency)
		for o := range outcomes {
			sum.outcomes[o].Add(s.outcomes[o].Load())
		}
	}
	return sum
}

func (s *stats) total() (n int) {
	for o := range outcomes {
		n += s.count(o)
	}
	return n
}

// source gives the login number i, from 0, and where its end is counted.
type source func(i int) (*request, *stats)

// client makes logins. One call after another may be made with it, and as many at once as it says.
type client interface {
	do(c *call, r *request)
	close()
}

// call is one login on its way. It is used again for the next, so that a login leaves no garbage.
type call struct {
	done   chan struct{} // of an HTTP/2 call
	status int
	body   []byte
	err    error
}

func (c *call) login(cl client, r *request) (outcome, error) {
	c.status, c.body, c.err = 0, c.body[:0], nil
	cl.do(c, r)
	if c.err != nil {
		return 0, c.err
	}
	return r.check(c.status, c.body)
}

// closedLoop has a number of workers make one login after the other for a while, which shows how many a server
// can take.
func closedLoop(ctx context.Context, clients []client, workers int, duration time.Duration, from source) error {
	deadline := time.Now().Add(duration)
	var next atomic.Int64
	return work(ctx, clients, workers, func(ctx context.Context, c *call, cl client) error {
		for ctx.Err() == nil {
			start := time.Now()
			if !start.Before(deadline) {
				return nil
			}
			r, s := from(int(next.Add(1) - 1))
			o, err := c.login(cl, r)
			if err != nil {
				return err
			}
			if end := time.Now(); end.Before(deadline) { // else it belongs to no full duration
				s.record(o, end.Sub(start))
			}
		}
		return nil
	})
}

// each makes n logins, each once.
func each(ctx context.Context, clients []client, workers, n int, from source) error {
	var next atomic.Int64
	return work(ctx, clients, min(workers, n), func(ctx context.Context, c *call, cl client) error {
		for ctx.Err() == nil {
			i := int(next.Add(1) - 1)
			if i >= n {
				return nil
			}
			r, s := from(i)
			start := time.Now()
			o, err := c.login(cl, r)
			if err != nil {
				return err
			}
			s.record(o, time.Since(start))
		}
		return nil
	})
}

// openLoop makes logins at a fixed rate per second, however long each takes, which shows what people would
// see. Times count from when a login was due: one that has to wait for a worker was late for its person too.
func openLoop(ctx context.Context, clients []client, workers int, p pace, duration time.Duration, from source) error {
	n := int(p.rate * duration.Seconds())
	type due struct {
		i  int
		at time.Time
	}
	queue := make(chan due, n) // never holds up the clock
	clock := func(ctx context.Context) {
		defer close(queue)
		start := time.Now()
		for i := range n {
			at := start.Add(p.dueAfter(i))
			if wait := time.Until(at); wait > 0 {
				p.sleep(wait)
			}
			if ctx.Err() != nil {
				return
			}
			queue <- due{i, at}
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var ticking sync.WaitGroup
	ticking.Go(func() { clock(ctx) })
	err := work(ctx, clients, workers, func(ctx context.Context, c *call, cl client) error {
		for d := range queue {
			select {
			case <-ctx.Done():
				return nil
			default:
			}
			r, s := from(d.i)
			o, err := c.login(cl, r)
			if err != nil {
				return err
			}
			s.record(o, time.Since(d.at))
		}
		return nil
	})
	cancel()
	ticking.Wait()
	return err
}

// pace is when logins are due.
type pace struct {
	rate  float64 // per second
	sleep func(time.Duration)
}

func (p pace) dueAfter(i int) time.Duration {
	return time.Duration(float64(i) / p.rate * float64(time.Second))
}

// work has workers do a job until all are done or one fails. The clients are shared out among them. When the context
// ends, the clients are closed, as nothing else ends the calls that are on their way.
func work(ctx context.Context, clients []client, workers int, job func(context.Context, *call, client) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		for _, cl := range clients {
			cl.close()
		}
	})
	defer stop()
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			c := &call{done: make(chan struct{}, 1), body: make([]byte, 0, 1024)}
			if err := job(ctx, c, clients[w%len(clients)]); err != nil {
				cancel(err) // the first counts
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}
