package gate

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestKeyIsKnownForAnHour(t *testing.T) {
	for name, test := range map[string]struct {
		result Result
		after  time.Duration
		known  bool
	}{
		"vouched for":              {Vouched, 0, true},
		"for nearly an hour":       {Vouched, time.Hour - 1, true},
		"no longer":                {Vouched, time.Hour, false},
		"refused":                  {Refused, 0, false},
		"throttled, after a while": {Throttled, time.Minute, false},
		"failed":                   {Failed, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := wide()
				o.Calls, o.Wait = 2, 0
				g := New(o)
				time.Sleep(20 * time.Minute) // so that generations end in the middle
				end(t, test.result, enter(t, g, Request{Host: "h", Key: "k"}))
				time.Sleep(test.after)
				end(t, Failed, enter(t, g, Request{Host: "h", Key: "other"}))
				if v := enter(t, g, Request{Host: "h", Key: "unknown"}); !v.isIn() {
					t.Fatal(v)
				}
				if v := enter(t, g, Request{Host: "h", Key: "k"}); v.isIn() != test.known {
					t.Errorf("%v beside an unknown key, want known %v", v, test.known)
				}
			})
		})
	}
}

// TestKeysThatAreBusyAreNeverForgotten shows that a flood of made-up keys gives
// nobody his calls anew.
func TestKeysThatAreBusyAreNeverForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.KeyCalls, o.Wait = 3, time.Hour // of which two are not for renewals alone
		g := New(o)
		in := []*visit{enter(t, g, Request{Host: "h", Key: "k"}), enter(t, g, Request{Host: "h", Key: "k"})}
		waiting := enter(t, g, Request{Host: "h", Key: "k"})
		enterMadeUp(t, g, 3*idleKeys)
		time.Sleep(3 * idlePeriod)
		enterMadeUp(t, g, 1)
		later := enter(t, g, Request{Host: "h", Key: "k"})
		if !waiting.waits() || !later.waits() {
			t.Errorf("%v and %v, want both to wait", waiting, later)
		}
		end(t, Failed, in...)
		end(t, Failed, waiting, later)
		wantEmpty(t, g)
	})
}

func enterMadeUp(t *testing.T, g *Gate, n int) {
	t.Helper()
	for i := range n {
		leave, err := g.Enter(t.Context(), Request{Host: "h", Key: fmt.Sprint("made-up", i)})
		if err != nil {
			t.Fatal(err)
		}
		leave(Refused)
	}
}

func TestIdleKeysAreRemembered(t *testing.T) {
	for name, test := range map[string]struct {
		keyRate float64
		others  int
		after   time.Duration
		in      bool
	}{
		"at first":                                {keyRate: 0.0001},
		"beside many others":                      {keyRate: 0.0001, others: idleKeys - 2},
		"forgotten after too many":                {keyRate: 0.0001, others: 2 * idleKeys, in: true},
		"for longer than a backoff":               {keyRate: 0.0001, after: time.Minute},
		"for as long as its bucket takes":         {keyRate: 1.0 / 1800, after: 1799 * time.Second},
		"its bucket is filled, remembered or not": {keyRate: 1.0 / 1800, after: 1800 * time.Second, in: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := wide()
				o.KeyRate, o.KeyBurst, o.Wait = test.keyRate, 1, 0
				g := New(o)
				end(t, Refused, enter(t, g, Request{Host: "h", Key: "k"}))
				enterMadeUp(t, g, test.others)
				time.Sleep(test.after)
				if v := enter(t, g, Request{Host: "h", Key: "k"}); v.isIn() != test.in {
					t.Errorf("%v, want in %v", v, test.in)
				}
			})
		})
	}
}

func TestGenerations(t *testing.T) {
	for name, test := range map[string]struct {
		turns []time.Duration // when others are put
		at    time.Duration
		there bool
	}{
		"young":                       {at: 9, there: true},
		"old":                         {at: 15, there: true},
		"put late, for a period":      {turns: []time.Duration{10}, at: 19, there: true},
		"two periods without any use": {at: 20},
		"two periods":                 {turns: []time.Duration{10}, at: 20},
		"beside as many as fit":       {turns: []time.Duration{1, 2, 3}, at: 4, there: true},
		"beside too many":             {turns: []time.Duration{1, 2, 3, 4, 5, 6, 7, 8}, at: 9},
	} {
		t.Run(name, func(t *testing.T) {
			m := newGenerations[int](4, 10)
			m.put("k", 7, 0)
			for _, at := range test.turns {
				m.put(fmt.Sprint(at), 1, at)
			}
			if v, ok := m.get("k", test.at); ok != test.there || ok && v != 7 {
				t.Errorf("found %d, %v, want %v", v, ok, test.there)
			}
		})
	}
}

func TestMemoryIsBounded(t *testing.T) {
	o := wide()
	o.KeyRate, o.KeyBurst = 1, 5
	g := New(o)
	before := heap()
	for i := range 1_000_000 {
		leave, err := g.Enter(t.Context(), Request{Host: "h", Key: fmt.Sprintf("AKIA%016d", i)})
		if err != nil {
			t.Fatal(err)
		}
		leave(Vouched) // which keeps the most
	}
	grown := (heap() - before) >> 10
	idle := len(g.keys.idle.young) + len(g.keys.idle.old)
	known := len(g.keys.known.young) + len(g.keys.known.old)
	if idle > 2*idleKeys || known > 2*knownKeys || len(g.keys.busy) != 0 {
		t.Errorf("%d idle keys, %d known ones, %d busy ones, want at most %d, %d, 0", idle, known, len(g.keys.busy), 2*idleKeys, 2*knownKeys)
	}
	t.Logf("%d KiB", grown)
	if grown > 16<<10 {
		t.Errorf("the heap has grown by %d KiB, want at most 16 MiB", grown)
	}
	runtime.KeepAlive(g)
}

// heap returns the bytes that are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestShedKeysAreNotKept shows that a key costs memory only once it is let in.
func TestShedKeysAreNotKept(t *testing.T) {
	o := wide()
	o.Calls, o.Queue = 1, 0
	g := New(o)
	leave, err := g.Enter(t.Context(), Request{Host: "h", Key: "in"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if _, err := g.Enter(t.Context(), Request{Host: "h", Key: fmt.Sprint(i)}); err == nil {
			t.Fatal("in, want it shed")
		}
	}
	leave(Refused)
	if n := len(g.keys.idle.young) + len(g.keys.busy); n != 1 {
		t.Errorf("%d keys are kept, want 1", n)
	}
}
