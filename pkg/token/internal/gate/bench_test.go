package gate

import (
	"fmt"
	"testing"
)

func BenchmarkEnter(b *testing.B) {
	o := Options{
		Calls: 200, HostCalls: 100, TrialCalls: 40, KeyCalls: 20,
		Rate: 1e12, Burst: 1e9, KeyRate: 1e12, KeyBurst: 1e9,
		Queue: 400, KeyQueue: 50, Wait: wide().Wait,
	}
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("AKIA%016d", i)
	}
	for _, n := range []int{1, 1000, len(keys)} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			g := New(o)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				leave, err := g.Enter(b.Context(), Request{Host: "sts.eu-west-1.amazonaws.com", Key: keys[i%n]})
				if err != nil {
					b.Fatal(err)
				}
				leave(Vouched)
				i++
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		g := New(o)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if leave, err := g.Enter(b.Context(), Request{Host: "sts.eu-west-1.amazonaws.com", Key: keys[0], Renewal: true}); err == nil {
					leave(Vouched)
				}
			}
		})
	})
}

// BenchmarkEnterBesideWaiters is the worst case: each call that ends looks through all
// who wait, for a host that hangs, and finds nobody who may go.
func BenchmarkEnterBesideWaiters(b *testing.B) {
	for _, n := range []int{0, 400, 2000} {
		b.Run(fmt.Sprintf("waiters=%d", n), func(b *testing.B) {
			g := New(Options{Calls: 200, HostCalls: 1, TrialCalls: 1, KeyCalls: 20, Queue: n, KeyQueue: 10, Wait: 1})
			g.mu.Lock()
			for i := range n + 1 {
				c := &call{gate: g, class: known, key: g.keys.get(fmt.Sprint(i), 0), host: g.host("hangs")}
				if g.keys.hold(c.key); i == 0 {
					g.begin(c)
				} else {
					g.queue.push(c)
				}
			}
			g.mu.Unlock()
			for b.Loop() {
				leave, err := g.Enter(b.Context(), Request{Host: "answers", Key: "k"})
				if err != nil {
					b.Fatal(err)
				}
				leave(Vouched)
			}
		})
	}
}
