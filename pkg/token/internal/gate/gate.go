// Package gate bounds the calls to STS and shares them out fairly among access keys.
//
// An access key ID is whatever a token says, so made-up ones are free of cost to an
// attacker. Requests are therefore of three classes: renewals of tokens that STS
// vouched for before, those with a key that STS vouched for within the last hour,
// and all others, which always leave room to the first two. When there is room, the
// classes take turns, and within a class the keys.
package gate

import (
	"context"
	"strings"
	"sync"
	"time"
)

// Options are the bounds. Those on calls and bursts are at least 1, whatever they
// say: a gate that lets nothing through is of no use.
type Options struct {
	Calls      int           // in flight, to all hosts
	HostCalls  int           // of them to one host
	TrialCalls int           // of them to hosts that are not proven, taken together
	KeyCalls   int           // of them with one access key
	Rate       float64       // calls per second to all hosts; 0: no bound
	Burst      int           // calls at once after a pause
	KeyRate    float64       // calls per second with one access key, renewals not counted; 0: no bound
	KeyBurst   int           // calls at once with one access key after a pause
	Queue      int           // requests waiting, in all; 0: nobody waits
	KeyQueue   int           // of them with one access key, renewals and others counted apart
	Wait       time.Duration // how long one waits at most; 0: nobody waits
}

// Request is a call to STS that somebody wants to make.
type Request struct {
	Host     string // from a small fixed set
	Key      string // the access key ID, which anybody can make up
	Renewal  bool   // STS vouched for this very token before
	Unproven bool   // the host has not answered so far
}

// Result is how a call ended.
type Result int

// The results.
const (
	Failed    Result = iota // STS gave no answer that says anything about the key
	Vouched                 // STS named the caller
	Refused                 // STS said no
	Throttled               // STS asked to slow down
)

// class says what a request may use.
type class int

const (
	renewal class = iota
	known
	unknown
	classes // how many there are
)

// newcomerShare is the part of the rate that the unknown get in any case: everybody
// is unknown at first.
const newcomerShare = 0.125

// trialHostCalls is how many calls one host gets before it has answered.
const trialHostCalls = 4

// Gate lets calls in. It is safe for concurrent use.
type Gate struct {
	o     Options
	start time.Time // the gate's times count from here, by the monotonic clock

	mu    sync.Mutex
	calls tally
	trial int // calls in flight that count against TrialCalls
	rate  bucket
	// newcomers is a part of the rate that the unknown get when others use up the rest.
	newcomers bucket
	hosts     map[string]*host // by name
	keys      *keys
	queue     queue
	shed      map[Cause]uint64
	// alarm is when somebody who waits may go for no other reason than that time
	// has passed. The timer is set only while there is such a time.
	alarm time.Duration
	timer *time.Timer
}

// call is a request from its arrival to its end.
type call struct {
	gate  *Gate
	class class
	key   *key
	host  *host

	unproven bool // the host had not answered when the request arrived
	answers  int  // how many answers the gate had seen of the host then
	trial    bool // it counts against TrialCalls
	left     bool

	waiter // if it has to wait
}

// New returns a Gate with nobody in it. It needs no closing.
func New(o Options) *Gate {
	o.Calls = max(o.Calls, 1)
	o.HostCalls = max(o.HostCalls, 1)
	o.TrialCalls = max(o.TrialCalls, 1)
	o.KeyCalls = max(o.KeyCalls, 1)
	g := &Gate{
		o:         o,
		start:     time.Now(),
		calls:     newTally(o.Calls, 3, 4),
		rate:      newBucket(o.Rate, o.Burst, 0),
		newcomers: newBucket(o.Rate*newcomerShare, int(float64(o.Burst)*newcomerShare), 0),
		hosts:     make(map[string]*host),
		keys:      newKeys(o),
		queue:     queue{size: newTally(o.Queue, 1, 2)},
		shed:      make(map[Cause]uint64),
		alarm:     never,
	}
	for _, cause := range Causes() {
		g.shed[cause] = 0
	}
	return g
}

// Enter returns when the call may start; leave must be called when it has ended (a
// second time does nothing). Otherwise the error is a *Shed, at once if no wait can
// help and else after Options.Wait, or ctx.Err(). If the context ends while a
// request is let in, it is in.
func (g *Gate) Enter(ctx context.Context, r Request) (leave func(Result), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := g.arrive(r)
	if err != nil {
		return nil, err
	}
	if c.ready != nil {
		timer := time.NewTimer(g.o.Wait)
		defer timer.Stop()
		select {
		case <-c.ready:
		case <-ctx.Done():
			g.giveUp(c, ctx.Err())
		case <-timer.C:
			g.giveUp(c, nil)
		}
		if c.err != nil {
			return nil, c.err
		}
	}
	return c.leave, nil
}

// arrive starts the call, or puts it in the queue, or sheds it.
func (g *Gate) arrive(r Request) (*call, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if now >= g.alarm {
		g.admit(now) // who waits is not overtaken
	}

	c := &call{gate: g, class: unknown, key: g.keys.get(r.Key, now), host: g.host(r.Host)}
	switch {
	case r.Renewal:
		c.class = renewal
	case g.keys.isKnown(r.Key, now):
		c.class = known
	}
	c.unproven, c.answers = r.Unproven, c.host.answers

	if left := c.key.until - now; left > 0 {
		return nil, g.turnAway(Shed{Cause: CauseThrottled, After: left})
	}
	bound := g.bound(c, now)
	if bound.Cause == "" {
		g.begin(c)
		return c, nil
	}
	if g.o.Wait <= 0 || bound.After > g.o.Wait {
		return nil, g.turnAway(bound)
	}
	if limit, full := g.queue.size.full(c.class); full {
		return nil, g.turnAway(Shed{Cause: CauseQueue, limit: float64(limit)})
	}
	if c.key.waiting(c.class) >= g.o.KeyQueue {
		return nil, g.turnAway(Shed{Cause: CauseKeyQueue, limit: float64(g.o.KeyQueue)})
	}
	g.keys.hold(c.key)
	g.queue.push(c)
	if bound.After > 0 {
		g.setAlarm(now, bound.After)
	}
	return c, nil
}

// giveUp ends a wait with an error, by default what the call waits for, unless the
// wait has ended already.
func (g *Gate) giveUp(c *call, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.queued() {
		return
	}
	now := g.now()
	g.queue.remove(c)
	if g.queue.size.all == 0 {
		g.stopAlarm()
	}
	if err == nil {
		bound := g.bound(c, now)
		if bound.Cause == "" { // its time has come this very moment
			g.begin(c)
			return
		}
		err = g.turnAway(bound)
	}
	c.err = err
	g.keys.release(c.key, now)
}

// begin counts a call that starts.
func (g *Gate) begin(c *call) {
	c.trial = c.onTrial()
	g.calls.add(c.class, 1)
	c.host.calls.add(c.class, 1)
	if c.trial {
		g.trial++
		c.host.trial++
	}
	if c.class == unknown && !g.rate.isSpare() {
		g.newcomers.take()
	}
	g.rate.take()
	c.host.take()
	g.keys.hold(c.key)
	c.key.calls++
	if c.class != renewal {
		c.key.rate.take()
	}
}

// leave undoes what begin counted and learns from the result.
func (c *call) leave(result Result) {
	g := c.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.left {
		return
	}
	c.left = true
	now := g.now()
	g.calls.add(c.class, -1)
	c.host.calls.add(c.class, -1)
	if c.trial {
		g.trial--
		c.host.trial--
	}
	c.key.calls--

	if result != Failed {
		c.host.answers++
	}
	switch result {
	case Vouched:
		g.keys.vouch(c.key, now)
		c.key.trust()
	case Refused:
		c.key.trust()
	case Throttled:
		c.host.slow(now, g.rate)
		c.key.backOff(now)
		for waiting := range g.queue.of(c.key) {
			g.queue.remove(waiting)
			waiting.err = g.turnAway(Shed{Cause: CauseThrottled, After: c.key.until - now})
			close(waiting.ready)
		}
	case Failed:
	}
	g.keys.release(c.key, now)
	g.admit(now)
}

// turnAway counts a request that is shed.
func (g *Gate) turnAway(s Shed) *Shed {
	g.shed[s.Cause]++
	return &s
}

func (g *Gate) host(name string) *host {
	h := g.hosts[name]
	if h == nil {
		h = newHost(g.o)
		// A clone: the name may be part of a token, which must not stay in memory.
		g.hosts[strings.Clone(name)] = h
	}
	return h
}

func (g *Gate) now() time.Duration {
	return time.Since(g.start)
}
