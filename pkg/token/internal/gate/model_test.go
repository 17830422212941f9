package gate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// model is what a gate has to do, counted anew from who is in: it is compared with
// the gate after every step of a random walk.
type model struct {
	o       Options
	g       *Gate
	visits  []*modelVisit
	answers map[string]int // of hosts
	vouched map[string]time.Time
	shut    map[string]time.Time // until when, at least, a throttled key gets no call
	rate    modelBucket
	keys    map[string]*modelBucket
	seen    map[string]int // how often what was seen, so that no walk misses it
}

type modelVisit struct {
	*visit
	class   class
	answers int
	began   time.Time
	counted bool // it was seen in
	trial   bool
	given   bool // it was cancelled
}

// modelBucket counts what is taken from it, and is overdrawn if that is too much.
type modelBucket struct {
	tokens float64
	at     time.Time
}

func (b *modelBucket) take(at time.Time, rate float64, burst int) (overdrawn bool) {
	b.tokens = min(float64(burst), b.tokens+rate*at.Sub(b.at).Seconds()) - 1
	b.at = at
	return b.tokens < -1e-6
}

func TestRandomWalks(t *testing.T) {
	options := map[string]Options{
		"calls": {Calls: 12, HostCalls: 7, TrialCalls: 1, KeyCalls: 3, Queue: 30, KeyQueue: 6, Wait: 500 * time.Millisecond},
		"rates": {
			Calls: 40, HostCalls: 30, TrialCalls: 10, KeyCalls: 10, Queue: 30, KeyQueue: 8, Wait: 500 * time.Millisecond,
			Rate: 20, Burst: 8, KeyRate: 2.5, KeyBurst: 2,
		},
		"all": {
			Calls: 10, HostCalls: 6, TrialCalls: 4, KeyCalls: 4, Queue: 20, KeyQueue: 5, Wait: 500 * time.Millisecond,
			Rate: 60, Burst: 5, KeyRate: 4, KeyBurst: 2,
		},
	}
	for name, o := range options {
		t.Run(name, func(t *testing.T) {
			seen := make(map[string]int)
			for seed := range uint64(10) {
				synctest.Test(t, func(t *testing.T) {
					m := &model{
						o: o, g: New(o), seen: seen,
						answers: make(map[string]int), vouched: make(map[string]time.Time), shut: make(map[string]time.Time),
						rate: modelBucket{float64(o.Burst), time.Now()}, keys: make(map[string]*modelBucket),
					}
					m.walk(t, rand.New(rand.NewPCG(seed, 4)))
				})
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			t.Log(seen)
			want := []string{"in", "waited", "cancelled", "calls", "host", "trial", "key", "throttled"}
			if o.Rate > 0 {
				want = []string{"in", "waited", "cancelled", "rate", "key_rate", "queue", "throttled"}
			}
			for _, what := range want {
				if seen[what] == 0 {
					t.Errorf("no walk has met %q", what)
				}
			}
		})
	}
}

func (m *model) walk(t *testing.T, rnd *rand.Rand) {
	for range 3000 {
		in, waiting := m.of((*visit).isIn), m.of((*visit).waits)
		switch n := rnd.IntN(20); {
		case n < 8:
			m.enter(t, Request{
				Host:     fmt.Sprint("h", min(rnd.IntN(8), 4)),
				Key:      fmt.Sprint("k", min(rnd.IntN(20), rnd.IntN(20))),
				Renewal:  rnd.IntN(5) == 0,
				Unproven: rnd.IntN(3) == 0,
			})
		case n < 15 && len(in) > 0:
			result := []Result{Vouched, Refused, Failed}[rnd.IntN(3)]
			if rnd.IntN(60) == 0 {
				result = Throttled
			}
			m.leave(in[rnd.IntN(len(in))], result)
		case n == 15 && rnd.IntN(3) == 0 && len(waiting) > 0:
			v := waiting[rnd.IntN(len(waiting))]
			v.given = true
			v.cancel()
		default:
			time.Sleep(time.Duration(rnd.ExpFloat64() * float64(40*time.Millisecond)))
			if rnd.IntN(500) == 0 {
				time.Sleep(time.Hour)
			}
		}
		synctest.Wait()
		if m.check(t); t.Failed() {
			return
		}
	}
	for len(m.visits) > 0 {
		for _, v := range m.of((*visit).isIn) {
			m.leave(v, Refused)
			synctest.Wait()
			m.check(t)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if m.check(t); t.Failed() {
			return
		}
	}
	wantEmpty(t, m.g)
}

func (m *model) of(is func(*visit) bool) (visits []*modelVisit) {
	for _, v := range m.visits {
		if is(v.visit) {
			visits = append(visits, v)
		}
	}
	return visits
}

func (m *model) enter(t *testing.T, r Request) {
	v := &modelVisit{class: unknown, answers: m.answers[r.Host], began: time.Now()}
	if at, ok := m.vouched[r.Key]; r.Renewal {
		v.class = renewal
	} else if ok && time.Since(at) < time.Hour {
		v.class = known
	}
	v.visit = come(t, m.g, r)
	m.visits = append(m.visits, v)
}

func (m *model) leave(v *modelVisit, result Result) {
	m.visits = remove(m.visits, v)
	if result != Failed {
		m.answers[v.Host]++
	}
	switch result {
	case Vouched:
		m.vouched[v.Key] = time.Now()
		delete(m.shut, v.Key)
	case Refused:
		delete(m.shut, v.Key)
	case Throttled:
		if !time.Now().Before(m.shut[v.Key]) {
			m.shut[v.Key] = time.Now().Add(800 * time.Millisecond)
		}
	case Failed:
	}
	v.leave(result)
}

func remove(visits []*modelVisit, gone *modelVisit) (rest []*modelVisit) {
	for _, v := range visits {
		if v != gone {
			rest = append(rest, v)
		}
	}
	return rest
}

func (m *model) check(t *testing.T) {
	t.Helper()
	ended := m.of(func(v *visit) bool { return !v.waits() })
	slices.SortStableFunc(ended, func(a, b *modelVisit) int { return a.ended.Compare(b.ended) })
	for _, v := range ended {
		switch {
		case v.err != nil:
			m.checkShed(t, v)
			m.visits = remove(m.visits, v)
		case !v.counted:
			m.checkGrant(t, v)
		}
	}

	var all, unknowns, trial, waiting int
	hosts, unknownHosts, trialHosts, keys := make(map[string]int), make(map[string]int), make(map[string]int), make(map[string]int)
	for _, v := range m.visits {
		if v.waits() {
			waiting++
			if d := time.Since(v.began); d > m.o.Wait {
				t.Errorf("%+v waits for %v", v.Request, d)
			}
			continue
		}
		all++
		hosts[v.Host]++
		keys[v.Key]++
		if v.class == unknown {
			unknowns++
			unknownHosts[v.Host]++
		}
		if v.trial {
			trial++
			trialHosts[v.Host]++
		}
	}
	most := func(what string, n, bound int) {
		t.Helper()
		if n > bound {
			t.Errorf("%d %s, want at most %d", n, what, bound)
		}
	}
	most("calls", all, m.o.Calls)
	most("calls with unknown keys", unknowns, m.o.Calls*3/4)
	most("calls on trial", trial, m.o.TrialCalls)
	for host := range hosts {
		most("calls to "+host, hosts[host], m.o.HostCalls)
		most("calls with unknown keys to "+host, unknownHosts[host], m.o.HostCalls*3/4)
		most("calls on trial to "+host, trialHosts[host], 4)
	}
	for key := range keys {
		most("calls with "+key, keys[key], m.o.KeyCalls)
	}
	most("requests waiting", waiting, m.o.Queue)
	if s := m.g.Stats(); s.InFlight != all || s.Waiting != waiting {
		t.Errorf("stats %+v, want %d in flight and %d waiting", s, all, waiting)
	}
	m.checkNobodyWaitsInVain(t)
}

func (m *model) checkGrant(t *testing.T, v *modelVisit) {
	t.Helper()
	v.counted = true
	v.trial = v.Unproven && v.answers == m.answers[v.Host]
	m.seen["in"]++
	if v.ended.After(v.began) {
		m.seen["waited"]++
	}
	if until := m.shut[v.Key]; v.ended.Before(until) {
		t.Errorf("%+v is in, while its key is throttled for %v", v.Request, until.Sub(v.ended))
	}
	if m.o.Rate > 0 && m.rate.take(v.ended, m.o.Rate, m.o.Burst) {
		t.Errorf("%+v is in above the rate", v.Request)
	}
	if m.o.KeyRate > 0 && v.class != renewal {
		b := m.keys[v.Key]
		if b == nil {
			b = &modelBucket{float64(m.o.KeyBurst), v.ended}
			m.keys[v.Key] = b
		}
		if b.take(v.ended, m.o.KeyRate, m.o.KeyBurst) {
			t.Errorf("%+v is in above the key's rate", v.Request)
		}
	}
}

func (m *model) checkShed(t *testing.T, v *modelVisit) {
	t.Helper()
	shed, ok := v.err.(*Shed)
	if !ok {
		if !v.given {
			t.Errorf("%+v: %v, but it was not cancelled", v.Request, v.err)
		}
		m.seen["cancelled"]++
		return
	}
	m.seen[string(shed.Cause)]++
	waited := v.ended.Sub(v.began)
	switch {
	case shed.Cause == CauseQueue || shed.Cause == CauseKeyQueue:
		if waited != 0 {
			t.Errorf("%+v: %v, after %v", v.Request, shed, waited)
		}
	case shed.Cause == CauseThrottled:
		if shed.After <= 0 {
			t.Errorf("%+v: %v, want it to say for how long", v.Request, shed)
		}
	case waited != m.o.Wait && (waited != 0 || shed.After <= m.o.Wait):
		t.Errorf("%+v: %v, after %v", v.Request, shed, waited)
	}
}

// checkNobodyWaitsInVain asks the gate itself about everybody in its queue.
func (m *model) checkNobodyWaitsInVain(t *testing.T) {
	t.Helper()
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	now := m.g.now()
	for i := range m.g.queue.lines {
		for e := m.g.queue.lines[i].Front(); e != nil; e = e.Next() {
			group := e.Value.(*group)
			for e := group.calls.Front(); e != nil; e = e.Next() {
				c := e.Value.(*call)
				var after time.Duration
				for _, bound := range []Shed{m.g.classBound(c.class, now), m.g.keyBound(c.key, c.class, now), m.g.hostBound(c, now)} {
					if bound.Cause != "" && bound.After == 0 {
						after = never // the end of a call will let it in
					}
					after = max(after, bound.After)
				}
				// A host recovers a little faster than the alarm was set for.
				if after < never && m.g.alarm > now+after+after/20+5*time.Millisecond {
					t.Errorf("a call of class %d with %s may go in %v, but the alarm is set for %v from now", c.class, c.key.name, after, m.g.alarm-now)
				}
			}
		}
	}
}
