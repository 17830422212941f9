package gate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// order lets all who wait in, one by one, and returns their keys in that order.
func order(t *testing.T, in *visit, waiting []*visit) string {
	t.Helper()
	var keys []string
	for range waiting {
		end(t, Failed, in)
		i := slices.IndexFunc(waiting, (*visit).isIn)
		if i < 0 {
			t.Fatalf("nobody is in after %s", keys)
		}
		in = waiting[i]
		waiting = slices.Delete(slices.Clone(waiting), i, i+1)
		if slices.ContainsFunc(waiting, (*visit).isIn) {
			t.Fatal("two are in, want one")
		}
		keys = append(keys, in.Key)
	}
	end(t, Failed, in)
	return strings.Join(keys, " ")
}

func TestTurns(t *testing.T) {
	for name, test := range map[string]struct {
		wait string // keys; known ones begin with k, renewals are in capitals
		want string
	}{
		"of one key":           {wait: "a a a", want: "a a a"},
		"of keys":              {wait: "a a a a b b c", want: "a b c a b a a"},
		"of classes":           {wait: "a b c d k1 k1 k2 R R S", want: "R k1 a S k2 b R k1 c d"},
		"of a key's classes":   {wait: "k1 k1 k1 K1 K1", want: "K1 k1 K1 k1 k1"},
		"unknown, then others": {wait: "a k1 R", want: "R k1 a"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := wide()
				o.Calls = 1
				g := New(o)
				vouch(g, "k1")
				vouch(g, "k2")
				in := enter(t, g, Request{Host: "h", Key: "in"})
				var waiting []*visit
				for key := range strings.FieldsSeq(test.wait) {
					waiting = append(waiting, enter(t, g, Request{Host: "h", Key: key, Renewal: key < "a"}))
				}
				if got := order(t, in, waiting); got != test.want {
					t.Errorf("the order is %s, want %s", got, test.want)
				}
				wantEmpty(t, g)
			})
		})
	}
}

// TestWhoCanNotGoHoldsUpNobody has requests wait that are the first in every line.
func TestWhoCanNotGoHoldsUpNobody(t *testing.T) {
	for name, test := range map[string]struct {
		narrow func(*Options)
		in     []Request
		stuck  []Request
	}{
		"the host is full": {
			narrow: func(o *Options) { o.HostCalls = 2 },
			in:     requests(2, func(int) Request { return Request{Host: "hangs", Key: "a", Renewal: true} }),
			stuck:  []Request{{Host: "hangs", Key: "b", Renewal: true}, {Host: "hangs", Key: "known0"}, {Host: "hangs", Key: "c"}},
		},
		"the host is full for others with the same key": {
			narrow: func(o *Options) { o.HostCalls = 2 },
			in:     requests(2, func(int) Request { return Request{Host: "hangs", Key: "a", Renewal: true} }),
			stuck:  []Request{{Host: "hangs", Key: "k", Renewal: true}, {Host: "hangs", Key: "known1"}, {Host: "hangs", Key: "k"}},
		},
		"the key is full": {
			narrow: func(o *Options) { o.KeyCalls = 2 },
			in:     requests(2, func(int) Request { return Request{Host: "h", Key: "a", Renewal: true} }),
			stuck:  []Request{{Host: "h", Key: "a", Renewal: true}, {Host: "h", Key: "a"}, {Host: "other", Key: "a"}},
		},
		"hosts on trial are full": {
			narrow: func(o *Options) { o.TrialCalls = 2 },
			in:     requests(2, func(int) Request { return Request{Host: "hangs", Key: "a", Unproven: true} }),
			stuck: []Request{
				{Host: "h", Key: "b", Renewal: true, Unproven: true},
				{Host: "h", Key: "known0", Unproven: true},
				{Host: "h", Key: "c", Unproven: true},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := wide()
				test.narrow(&o)
				o.Calls = len(test.in) + 2
				g := New(o)
				vouch(g, "known0")
				vouch(g, "known1")
				for _, r := range test.in {
					enter(t, g, r)
				}
				// Two calls are free; others take them, so that everybody has to wait.
				one := enter(t, g, Request{Host: "free", Key: "in1", Renewal: true})
				two := enter(t, g, Request{Host: "free", Key: "in2", Renewal: true})
				var stuck, free []*visit
				for _, r := range test.stuck {
					stuck = append(stuck, enter(t, g, r))
				}
				for _, r := range []Request{{Key: "k", Renewal: true}, {Key: "known1"}, {Key: "k"}} {
					r.Host = "free"
					free = append(free, enter(t, g, r))
				}
				for _, v := range slices.Concat(stuck, free) {
					if !v.waits() {
						t.Fatalf("%+v: %v, want it to wait", v.Request, v)
					}
				}
				end(t, Failed, one, two)
				for len(free) > 0 {
					i := slices.IndexFunc(free, (*visit).isIn)
					if i < 0 {
						t.Fatalf("%+v: %v, want it in", free[0].Request, free[0])
					}
					end(t, Failed, free[i])
					free = slices.Delete(free, i, i+1)
				}
				for _, v := range stuck {
					if !v.waits() {
						t.Errorf("%+v: %v, want it to wait", v.Request, v)
					}
				}
			})
		})
	}
}

// TestOneGreedyKeyHoldsUpNobody has 1,000 requests of one key wait before ten others come, with
// calls of 20 ms.
func TestOneGreedyKeyHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.Calls, o.Wait = 10, 10*time.Second
		g := New(o)
		start := time.Now()
		greedy, modest := make(chan time.Duration), make(chan time.Duration)
		run := func(key string, done chan<- time.Duration) {
			leave, err := g.Enter(t.Context(), Request{Host: "h", Key: key})
			if err != nil {
				t.Errorf("%s: %v", key, err)
			} else {
				time.Sleep(20 * time.Millisecond)
				leave(Refused)
			}
			done <- time.Since(start)
		}
		for range 1000 {
			go run("greedy", greedy)
		}
		synctest.Wait()
		for i := range 10 {
			go run(fmt.Sprint("modest", i), modest)
		}
		last := func(n int, done <-chan time.Duration) (d time.Duration) {
			for range n {
				d = max(d, <-done)
			}
			return d
		}
		// Seven calls at a time are for unknown keys. The first seven are the greedy
		// one's, and of the next fourteen all but four are not.
		if d := last(10, modest); d != 60*time.Millisecond {
			t.Errorf("the modest took %v, want 60ms", d)
		}
		if d, want := last(1000, greedy), (1010+6)/7*20*time.Millisecond; d != want {
			t.Errorf("the greedy one took %v, want %v: no call is idle", d, want)
		}
	})
}
