package gate

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestUnknownKeysGetInBesideKnownOnesThatUseUpTheRate shows that those who are known
// can't keep everybody else out.
func TestUnknownKeysGetInBesideKnownOnesThatUseUpTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.Rate, o.Burst, o.Wait, o.Queue, o.KeyQueue = 80, 80, time.Second, 1000, 1000
		g := New(o)
		vouch(g, "known")
		var in atomic.Int64
		for range 20 * 10 { // 20 s
			for range 20 { // 200 per second, 80 are allowed
				go func() {
					if leave, err := g.Enter(t.Context(), Request{Host: "h", Key: "known"}); err == nil {
						leave(Vouched)
					}
				}()
			}
			go func() { // 10 per second, an eighth of the rate
				if leave, err := g.Enter(t.Context(), Request{Host: "h", Key: "new"}); err == nil {
					in.Add(1)
					leave(Refused)
				}
			}()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := in.Load(); n < 180 {
			t.Errorf("%d of 200 requests with an unknown key were let in", n)
		}
	})
}
