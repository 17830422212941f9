package node

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/reason"
)

const (
	// maxBatch is how many instances one call asks for. EC2 advises against more than 1,000.
	maxBatch = 100
	// window is how long the first of a batch waits for others.
	window = 5 * time.Millisecond
	// renewalWindow is how long renewals wait, if they don't make a batch before.
	renewalWindow = 10 * time.Second
	// maxCalls is the number of DescribeInstances calls in flight.
	maxCalls = 8
)

// gatherer asks EC2 for many instances at once. While calls have to wait for their turn,
// batches grow. Renewals, which nobody waits for, take the room that others leave, or wait
// until there are enough of them.
type gatherer struct {
	caller *caller
	settle func(id string, i instance, err error)
	slots  chan struct{} // one in it for each call in flight

	mu       sync.Mutex
	queue    []question
	renewals []string
	timer    *time.Timer // runs while there are renewals, and makes them due
	due      bool        // the renewals are to be made whatever their number
	running  bool        // whether run runs
}

// question is an instance that is asked for.
type question struct {
	id       string
	deadline time.Time // until which somebody waits for the answer
}

func newGatherer(c *caller, settle func(string, instance, error)) *gatherer {
	return &gatherer{caller: c, settle: settle, slots: make(chan struct{}, maxCalls)}
}

// add has EC2 asked for an instance.
func (g *gatherer) add(id string, deadline time.Time) { g.enqueue([]question{{id, deadline}}) }

func (g *gatherer) enqueue(questions []question) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue = append(g.queue, questions...)
	g.start()
}

// addRenewal has EC2 asked for an instance some time.
func (g *gatherer) addRenewal(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.renewals = append(g.renewals, id)
	if len(g.renewals) == 1 {
		g.timer = time.AfterFunc(renewalWindow, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.due = true
			g.start()
		})
	}
	g.start()
}

// start has run run if there is something to ask. The caller holds the lock.
func (g *gatherer) start() {
	if !g.running && g.any() {
		g.running = true
		go g.run()
	}
}

// any tells whether there is something to ask. The caller holds the lock.
func (g *gatherer) any() bool {
	return len(g.queue) > 0 || len(g.renewals) >= maxBatch || g.due && len(g.renewals) > 0
}

func (g *gatherer) queued() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue) + len(g.renewals)
}

// run makes calls until nothing is left to ask.
func (g *gatherer) run() {
	time.Sleep(window)
	for g.more() {
		g.slots <- struct{}{}
		inTime := g.caller.wait(&g.caller.ec2, g.latest())
		batch, late := g.take(inTime)
		g.fail(late, tooLate())
		go func() {
			defer func() { <-g.slots }()
			g.describe(batch)
		}()
	}
}

// more tells whether there is anything to ask. If not, run has to end.
func (g *gatherer) more() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running = g.any()
	return g.running
}

// latest returns until when anything in the queue is waited for.
func (g *gatherer) latest() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		return time.Now().Add(patience)
	}
	var last time.Time
	for _, q := range g.queue {
		last = later(last, q.deadline)
	}
	return last
}

// take takes a batch from the queue, and all for which nobody waits any more. If it is
// not in time for any, they are all late.
func (g *gatherer) take(inTime bool) (batch, late []question) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	taken := map[string]bool{}
	rest := g.queue[:0]
	for _, q := range g.queue {
		switch {
		case !inTime || now.After(q.deadline):
			late = append(late, q)
		case len(batch) < maxBatch:
			batch = append(batch, q)
			taken[q.id] = true
		default:
			rest = append(rest, q)
		}
	}
	g.queue = rest

	n := 0
	for _, id := range g.renewals {
		q := question{id, now.Add(patience)}
		switch {
		case taken[id]: // became urgent
		case !inTime:
			late = append(late, q)
		case len(batch) < maxBatch:
			batch = append(batch, q)
		default:
			g.renewals[n] = id
			n++
		}
	}
	g.renewals = g.renewals[:n]
	if n == 0 && g.timer != nil {
		g.timer.Stop()
		g.due = false
	}
	return batch, late
}

// describe asks for a batch, whose turn it is. IDs that EC2 doesn't know spoil a call: the
// others are asked for again without them.
func (g *gatherer) describe(batch []question) {
	defer g.caller.recovered(func(err error) { g.fail(batch, err) })
	for len(batch) > 0 {
		found, err := g.call(batch)
		switch {
		case err == nil:
			for _, q := range batch {
				var err error
				i, ok := found[q.id]
				if !ok {
					// Which EC2 would have called an error: this is not its answer.
					err = reason.New(reason.EC2Unavailable, "EC2 answers without it: is there a proxy in between?")
				}
				g.settle(q.id, i, err)
			}
			return
		case reason.Of(err) == reason.EC2Throttled:
			g.enqueue(batch) // until the deadline of each
			return
		case reason.Of(err) != reason.InstanceNotFound:
			g.fail(batch, err)
			return
		}
		unknown, rest := split(batch, err)
		g.fail(unknown, notFound())
		if batch = rest; len(batch) == 0 {
			return
		}
		if len(unknown) == 0 {
			// EC2 doesn't say which.
			half := len(batch) / 2
			if g.turn(batch[:half]) {
				g.describe(batch[:half])
			}
			batch = batch[half:]
		}
		if !g.turn(batch) {
			return
		}
	}
}

// turn waits until the rest of a batch may be asked for. If that takes too long nobody
// waits for it any more.
func (g *gatherer) turn(batch []question) bool {
	if g.caller.wait(&g.caller.ec2, batch[0].deadline) {
		return true
	}
	g.fail(batch, tooLate())
	return false
}

func (g *gatherer) fail(questions []question, err error) {
	for _, q := range questions {
		g.settle(q.id, instance{}, err)
	}
}

// call asks EC2 once.
func (g *gatherer) call(batch []question) (found map[string]instance, err error) {
	ids := make([]string, len(batch))
	for i, q := range batch {
		ids[i] = q.id
	}
	err = g.caller.call(&g.caller.ec2, Call{Operation: DescribeInstances, Instances: len(ids)}, func(ctx context.Context, c *clients) error {
		params := url.Values{}
		for n, id := range ids {
			params.Set("InstanceId."+strconv.Itoa(n+1), id)
		}
		var out describeInstances
		err := c.ec2.call(ctx, DescribeInstances, params, &out)
		if err == nil {
			found = instancesOf(out)
		}
		return err
	})
	return found, err
}

// instancesOf returns the instances in an answer by ID.
func instancesOf(out describeInstances) map[string]instance {
	found := map[string]instance{}
	for _, reservation := range out.Reservations {
		for _, i := range reservation.Instances {
			found[i.ID] = instance{dnsName: i.PrivateDNSName, account: reservation.Owner, profile: i.ProfileARN, state: i.State}
		}
	}
	return found
}

// split takes those out of a batch that the error names.
func split(batch []question, err error) (named, rest []question) {
	names := instancesIn(err.Error())
	for _, q := range batch {
		if len(batch) == 1 || slices.Contains(names, q.id) {
			named = append(named, q)
		} else {
			rest = append(rest, q)
		}
	}
	return named, rest
}

func notFound() error {
	return reason.New(reason.InstanceNotFound, "EC2 does not know it")
}
