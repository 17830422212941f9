package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// wide are options that bound nothing that a test does; tests narrow what they are about.
func wide() Options {
	return Options{
		Calls: 10000, HostCalls: 10000, TrialCalls: 10000, KeyCalls: 10000,
		Queue: 10000, KeyQueue: 10000, Wait: time.Second,
	}
}

// visit is a request in a goroutine of its own.
type visit struct {
	Request
	cancel context.CancelFunc
	leave  func(Result)
	err    error
	done   chan struct{} // closed when Enter has returned
	ended  time.Time
}

// enter has somebody enter, and returns when he is in, is shed or waits.
func enter(t *testing.T, g *Gate, r Request) *visit {
	t.Helper()
	v := come(t, g, r)
	synctest.Wait()
	return v
}

func come(t *testing.T, g *Gate, r Request) *visit {
	ctx, cancel := context.WithCancel(t.Context())
	v := &visit{Request: r, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(v.done)
		v.leave, v.err = g.Enter(ctx, r)
		v.ended = time.Now()
	}()
	return v
}

func (v *visit) waits() bool {
	select {
	case <-v.done:
		return false
	default:
		return true
	}
}

func (v *visit) isIn() bool { return !v.waits() && v.err == nil }

func (v *visit) String() string {
	switch {
	case v.waits():
		return "waits"
	case v.err != nil:
		return v.err.Error()
	default:
		return "in"
	}
}

// end ends calls that are in flight.
func end(t *testing.T, result Result, visits ...*visit) {
	t.Helper()
	for _, v := range visits {
		if !v.isIn() {
			t.Fatalf("a request with the key %s %v, want it in", v.Key, v)
		}
		v.leave(result)
	}
	synctest.Wait()
}

// makeKnown has STS vouch for keys.
func makeKnown(t *testing.T, g *Gate, keys ...string) {
	t.Helper()
	for _, key := range keys {
		end(t, Vouched, enter(t, g, Request{Host: "vouches", Key: key, Renewal: true}))
	}
}

func requests(n int, r func(i int) Request) []Request {
	all := make([]Request, n)
	for i := range all {
		all[i] = r(i)
	}
	return all
}

// madeUp returns requests with keys that nobody knows, to one host.
func madeUp(n int) []Request {
	return requests(n, func(i int) Request { return Request{Host: "h", Key: fmt.Sprint("made-up", i)} })
}

func renewals(n int) []Request {
	return requests(n, func(i int) Request { return Request{Host: "h", Key: fmt.Sprint("renewed", i), Renewal: true} })
}

// ofKnown returns requests with one known key each, to one host.
func ofKnown(n int) []Request {
	return requests(n, func(i int) Request { return Request{Host: "h", Key: fmt.Sprint("known", i)} })
}

func TestBounds(t *testing.T) {
	for name, test := range map[string]struct {
		narrow func(*Options)
		before []Request // are all in
		met    Request   // waits, and is then shed
		cause  Cause
		free   Request // is in beside them; no Host: none is
	}{
		"calls": {
			narrow: func(o *Options) { o.Calls = 4 },
			before: renewals(4),
			met:    Request{Host: "other", Key: "k", Renewal: true},
			cause:  CauseCalls,
		},
		"unknown keys get three quarters of the calls": {
			narrow: func(o *Options) { o.Calls = 8 },
			before: madeUp(6),
			met:    Request{Host: "other", Key: "k"},
			cause:  CauseCalls,
			free:   Request{Host: "other", Key: "known0"},
		},
		"a renewal counts as no unknown key": {
			narrow: func(o *Options) { o.Calls = 8 },
			before: madeUp(6),
			met:    Request{Host: "other", Key: "k"},
			cause:  CauseCalls,
			free:   Request{Host: "other", Key: "k", Renewal: true},
		},
		"known keys get all calls": {
			narrow: func(o *Options) { o.Calls = 8 },
			before: ofKnown(8),
			met:    Request{Host: "other", Key: "known9"},
			cause:  CauseCalls,
		},
		"an unknown key gets the only call": {
			narrow: func(o *Options) { o.Calls = 1 },
			before: madeUp(1),
			met:    Request{Host: "other", Key: "k"},
			cause:  CauseCalls,
		},
		"calls to one host": {
			narrow: func(o *Options) { o.HostCalls = 4 },
			before: renewals(4),
			met:    Request{Host: "h", Key: "k", Renewal: true},
			cause:  CauseHost,
			free:   Request{Host: "other", Key: "k"},
		},
		"unknown keys get three quarters of the calls to one host": {
			narrow: func(o *Options) { o.HostCalls = 8 },
			before: madeUp(6),
			met:    Request{Host: "h", Key: "k"},
			cause:  CauseHost,
			free:   Request{Host: "h", Key: "known0"},
		},
		"hosts on trial share their calls": {
			narrow: func(o *Options) { o.TrialCalls = 6 },
			before: requests(6, func(i int) Request { return Request{Host: fmt.Sprint("h", i%2), Key: "k", Unproven: true} }),
			met:    Request{Host: "h2", Key: "known0", Unproven: true},
			cause:  CauseTrial,
			free:   Request{Host: "h2", Key: "k"},
		},
		"a host on trial gets 4 calls": {
			before: requests(4, func(int) Request { return Request{Host: "h", Key: "k", Unproven: true} }),
			met:    Request{Host: "h", Key: "known0", Renewal: true, Unproven: true},
			cause:  CauseTrial,
			free:   Request{Host: "other", Key: "k", Unproven: true},
		},
		"calls with one key": {
			narrow: func(o *Options) { o.KeyCalls = 4 },
			before: requests(3, func(int) Request { return Request{Host: "h", Key: "k"} }),
			met:    Request{Host: "other", Key: "k"},
			cause:  CauseKey,
			free:   Request{Host: "h", Key: "other"},
		},
		"a quarter of the calls with one key is for renewals": {
			narrow: func(o *Options) { o.KeyCalls = 4 },
			before: requests(3, func(int) Request { return Request{Host: "h", Key: "k"} }),
			met:    Request{Host: "h", Key: "k"},
			cause:  CauseKey,
			free:   Request{Host: "h", Key: "k", Renewal: true},
		},
		"renewals count as calls with the key": {
			narrow: func(o *Options) { o.KeyCalls = 3 },
			before: requests(3, func(int) Request { return Request{Host: "h", Key: "k", Renewal: true} }),
			met:    Request{Host: "other", Key: "k", Renewal: true},
			cause:  CauseKey,
			free:   Request{Host: "h", Key: "other"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := wide()
				if test.narrow != nil {
					test.narrow(&o)
				}
				g := New(o)
				for i := range 10 {
					makeKnown(t, g, fmt.Sprint("known", i))
				}
				var in []*visit
				for _, r := range test.before {
					v := enter(t, g, r)
					if !v.isIn() {
						t.Fatalf("%+v: %v, want it in", r, v)
					}
					in = append(in, v)
				}
				met, began := enter(t, g, test.met), time.Now()
				if !met.waits() {
					t.Fatalf("%+v: %v, want it to wait", test.met, met)
				}
				if test.free.Host != "" {
					free := enter(t, g, test.free)
					if !free.isIn() {
						t.Errorf("%+v: %v, want it in", test.free, free)
					}
					end(t, Failed, free)
				}
				<-met.done
				wantShed(t, met.err, Shed{Cause: test.cause})
				if waited := met.ended.Sub(began); waited != o.Wait {
					t.Errorf("shed after %v, want %v", waited, o.Wait)
				}
				if s := g.Stats(); s.Shed[test.cause] != 1 || s.InFlight != len(in) {
					t.Errorf("stats %+v, want one shed and %d in flight", s, len(in))
				}

				met = enter(t, g, test.met)
				end(t, Failed, in[0])
				if !met.isIn() {
					t.Errorf("%+v: %v after a call has ended, want it in", test.met, met)
				}
				end(t, Failed, met)
				end(t, Failed, in[1:]...)
				wantEmpty(t, g)
			})
		})
	}
}

// wantShed checks the cause, and After to a thousandth.
func wantShed(t *testing.T, err error, want Shed) {
	t.Helper()
	shed, ok := errors.AsType[*Shed](err)
	if !ok {
		t.Fatalf("error %v, want %q", err, want.Cause)
	}
	if shed.Cause != want.Cause {
		t.Errorf("shed because of %q, want %q", shed.Cause, want.Cause)
	}
	if off := (shed.After - want.After).Abs(); off > want.After/1000 {
		t.Errorf("shed for %v, want %v", shed.After, want.After)
	}
}

// wantEmpty checks that nothing is left of those who were in or waited.
func wantEmpty(t *testing.T, g *Gate) {
	t.Helper()
	if s := g.Stats(); s.InFlight != 0 || s.Waiting != 0 {
		t.Errorf("%d in flight and %d waiting, want none", s.InFlight, s.Waiting)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls.unknown != 0 || g.trial != 0 || g.queue.size.unknown != 0 || g.alarm != never {
		t.Errorf("calls %+v, on trial %d, waiting %+v, alarm %v, want nothing", g.calls, g.trial, g.queue.size, g.alarm)
	}
	for name, h := range g.hosts {
		if h.calls.all != 0 || h.calls.unknown != 0 || h.trial != 0 {
			t.Errorf("%s: calls %+v, on trial %d, want none", name, h.calls, h.trial)
		}
	}
	if len(g.keys.busy) != 0 {
		t.Errorf("%d keys are busy, want none", len(g.keys.busy))
	}
	for i := range g.queue.lines {
		if n := g.queue.lines[i].Len(); n != 0 {
			t.Errorf("%d groups in line %d, want none", n, i)
		}
	}
}

func TestNoWaitIfNoneCanHelp(t *testing.T) {
	for name, test := range map[string]struct {
		narrow func(*Options)
		in     []Request
		wait   []Request
		met    Request
		want   Shed
		free   Request // waits beside them; no Host: none does
	}{
		"the queue is full": {
			narrow: func(o *Options) { o.Calls, o.Queue = 1, 2 },
			in:     renewals(1), wait: renewals(2),
			met:  Request{Host: "h", Key: "k", Renewal: true},
			want: Shed{Cause: CauseQueue},
		},
		"unknown keys get half of the queue": {
			narrow: func(o *Options) { o.Calls, o.Queue = 1, 4 },
			in:     renewals(1), wait: madeUp(2),
			met:  Request{Host: "h", Key: "k"},
			want: Shed{Cause: CauseQueue},
			free: Request{Host: "h", Key: "known0"},
		},
		"the key's share of the queue is full": {
			narrow: func(o *Options) { o.Calls, o.KeyQueue = 1, 2 },
			in:     renewals(1), wait: requests(2, func(int) Request { return Request{Host: "h", Key: "k"} }),
			met:  Request{Host: "h", Key: "k"},
			want: Shed{Cause: CauseKeyQueue},
			free: Request{Host: "h", Key: "k", Renewal: true},
		},
		"the key's share of the queue is full of renewals": {
			narrow: func(o *Options) { o.Calls, o.KeyQueue = 1, 2 },
			in:     renewals(1), wait: requests(2, func(int) Request { return Request{Host: "h", Key: "k", Renewal: true} }),
			met:  Request{Host: "h", Key: "k", Renewal: true},
			want: Shed{Cause: CauseKeyQueue},
			free: Request{Host: "h", Key: "k"},
		},
		"a known key's share of the queue is full": {
			narrow: func(o *Options) { o.Calls, o.KeyQueue = 1, 2 },
			in:     renewals(1), wait: requests(2, func(int) Request { return Request{Host: "h", Key: "known0"} }),
			met:  Request{Host: "h", Key: "known0"},
			want: Shed{Cause: CauseKeyQueue},
			free: Request{Host: "h", Key: "k"},
		},
		"there is no queue": {
			narrow: func(o *Options) { o.Calls, o.Queue = 1, 0 },
			in:     renewals(1),
			met:    Request{Host: "h", Key: "k"},
			want:   Shed{Cause: CauseQueue},
		},
		"nobody waits": {
			narrow: func(o *Options) { o.Calls, o.Wait = 1, 0 },
			in:     renewals(1),
			met:    Request{Host: "h", Key: "k"},
			want:   Shed{Cause: CauseCalls},
		},
		"the rate takes longer": {
			narrow: func(o *Options) { o.Rate, o.Burst = 0.5, 1 },
			in:     renewals(1),
			met:    Request{Host: "h", Key: "k", Renewal: true},
			want:   Shed{Cause: CauseRate, After: 2 * time.Second},
		},
		"the key's rate takes longer": {
			narrow: func(o *Options) { o.KeyRate, o.KeyBurst = 0.1, 1 },
			in:     []Request{{Host: "h", Key: "k"}},
			met:    Request{Host: "h", Key: "k"},
			want:   Shed{Cause: CauseKeyRate, After: 10 * time.Second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := wide()
				test.narrow(&o)
				g := New(o)
				vouch(g, "known0")
				for _, r := range test.in {
					if v := enter(t, g, r); !v.isIn() {
						t.Fatalf("%+v: %v, want it in", r, v)
					}
				}
				for _, r := range test.wait {
					if v := enter(t, g, r); !v.waits() {
						t.Fatalf("%+v: %v, want it to wait", r, v)
					}
				}
				met := enter(t, g, test.met)
				if met.waits() {
					t.Fatal("waits, want it shed at once")
				}
				wantShed(t, met.err, test.want)
				if test.free.Host != "" {
					if v := enter(t, g, test.free); !v.waits() {
						t.Errorf("%+v: %v, want it to wait", test.free, v)
					}
				}
				if s := g.Stats(); s.Shed[test.want.Cause] != 1 {
					t.Errorf("stats %+v, want one shed because of %q", s, test.want.Cause)
				}
			})
		})
	}
}

// vouch makes a key known without a call, which would take from buckets.
func vouch(g *Gate, name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keys.vouch(&key{name: name}, g.now())
}

func TestOptionsOfNothingLetOneIn(t *testing.T) {
	g := New(Options{})
	leave, err := g.Enter(t.Context(), Request{Host: "h", Key: "k", Unproven: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Enter(t.Context(), Request{Host: "h", Key: "k"}); err == nil {
		t.Error("a second call is in, want it shed")
	}
	leave(Vouched)
	if _, err := g.Enter(t.Context(), Request{Host: "h", Key: "k"}); err != nil {
		t.Error(err)
	}
}

func TestCancelledRequestLeavesTheQueueAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.Calls = 1
		g := New(o)
		in := enter(t, g, Request{Host: "h", Key: "a"})
		first := enter(t, g, Request{Host: "h", Key: "b"})
		second := enter(t, g, Request{Host: "h", Key: "c"})
		first.cancel()
		synctest.Wait()
		if first.waits() || !errors.Is(first.err, context.Canceled) {
			t.Errorf("%v, want %v", first, context.Canceled)
		}
		if s := g.Stats(); s.Waiting != 1 {
			t.Errorf("%d wait, want 1", s.Waiting)
		}
		end(t, Failed, in)
		if !second.isIn() {
			t.Errorf("%v, want it in", second)
		}
		end(t, Failed, second)
		for cause, n := range g.Stats().Shed {
			if n != 0 {
				t.Errorf("%d are shed because of %q, want none", n, cause)
			}
		}
		wantEmpty(t, g)
	})
}

func TestNoCallIsLostOnWhoGivesUpAsHeIsLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.Calls = 1
		g := New(o)
		for range 1000 {
			in := enter(t, g, Request{Host: "h", Key: "a"})
			v := enter(t, g, Request{Host: "h", Key: "b"})
			go v.cancel()
			in.leave(Failed)
			<-v.done
			if v.err == nil {
				v.leave(Failed)
			}
			if s := g.Stats(); s.InFlight != 0 || s.Waiting != 0 {
				t.Fatalf("stats %+v, want nobody", s)
			}
		}
		wantEmpty(t, g)
	})
}

func TestCancelledBeforeItEnters(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(wide()).Enter(ctx, Request{Host: "h", Key: "k"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestLeaveTwiceDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(wide())
		first := enter(t, g, Request{Host: "h", Key: "k", Unproven: true})
		second := enter(t, g, Request{Host: "h", Key: "k", Unproven: true})
		end(t, Failed, first)
		end(t, Throttled, first)
		if s := g.Stats(); s.InFlight != 1 {
			t.Errorf("%d in flight, want 1", s.InFlight)
		}
		if v := enter(t, g, Request{Host: "h", Key: "k"}); !v.isIn() {
			t.Errorf("%v, want it in", v)
		} else {
			end(t, Failed, v)
		}
		end(t, Failed, second)
		wantEmpty(t, g)
	})
}

// TestTrialEndsWithTheFirstAnswer shows that who waits for a host on trial is in as
// soon as the host has answered anybody.
func TestTrialEndsWithTheFirstAnswer(t *testing.T) {
	for result, proven := range map[Result]bool{Vouched: true, Refused: true, Throttled: true, Failed: false} {
		synctest.Test(t, func(t *testing.T) {
			g := New(wide())
			var all []*visit
			for i := range 20 {
				all = append(all, enter(t, g, Request{Host: "h", Key: fmt.Sprint("k", i), Unproven: true}))
			}
			end(t, result, all[0])
			want := 5
			if proven {
				want = 20
			}
			if in := countIn(all); in != want {
				t.Errorf("%d were let in by an answer %d, want %d", in, result, want)
			}
		})
	}
}

func countIn(visits []*visit) (n int) {
	for _, v := range visits {
		if v.isIn() {
			n++
		}
	}
	return n
}

func TestNoPartOfATokenIsKept(t *testing.T) {
	g := New(wide())
	token := "sts.amazonaws.com AKIAEXAMPLE and a signature"
	leave, err := g.Enter(t.Context(), Request{Host: token[:17], Key: token[18:29]})
	if err != nil {
		t.Fatal(err)
	}
	leave(Vouched)
	inToken := func(s string) bool {
		at, start := uintptr(unsafe.Pointer(unsafe.StringData(s))), uintptr(unsafe.Pointer(unsafe.StringData(token)))
		return start <= at && at < start+uintptr(len(token))
	}
	var names []string
	for name := range g.hosts {
		names = append(names, name)
	}
	for name := range g.keys.idle.young {
		names = append(names, name)
	}
	for name := range g.keys.known.young {
		names = append(names, name)
	}
	if len(names) != 3 {
		t.Fatalf("names %q, want a host and twice a key", names)
	}
	if i := slices.IndexFunc(names, inToken); i >= 0 {
		t.Errorf("%q keeps the token in memory", names[i])
	}
}

func TestShedSaysWhichBoundWasMet(t *testing.T) {
	seen := make(map[string]Cause)
	for _, cause := range Causes() {
		text := (&Shed{Cause: cause, limit: 7}).Error()
		if strings.HasPrefix(text, "not let in") {
			t.Errorf("%q has no words", cause)
		}
		if other, ok := seen[text]; ok {
			t.Errorf("%q and %q have the same words", cause, other)
		}
		seen[text] = cause
		if cause != CauseThrottled && !strings.Contains(" "+text, " 7 ") {
			t.Errorf("%q doesn't name the bound", text)
		}
		if text := (&Shed{Cause: cause, After: 1500 * time.Millisecond}).Error(); !strings.HasSuffix(text, "; try again in 1.5s") {
			t.Errorf("%q doesn't say when to try again", text)
		}
	}
	if stats := New(wide()).Stats(); len(stats.Shed) != len(Causes()) {
		t.Errorf("stats of %d causes, want %d", len(stats.Shed), len(Causes()))
	}
}
