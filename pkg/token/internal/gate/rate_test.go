package gate

import (
	"crypto/rand"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// flood has requests wait all the time for a while, each with a key of its own if
// key has a verb, and returns how many were let in per second. Calls take no time.
func flood(t *testing.T, g *Gate, r Request, waiting int, d time.Duration) float64 {
	t.Helper()
	stop := time.Now().Add(d)
	made, in := 0, make(chan int)
	for i := range waiting {
		go func() {
			n := 0
			for j := 0; time.Now().Before(stop); j++ {
				r := r
				r.Key = fmt.Sprintf("%s %d %d", r.Key, i, j)
				leave, err := g.Enter(t.Context(), r)
				if err != nil {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				if time.Now().Before(stop) {
					n++
				}
				leave(Refused)
			}
			in <- n
		}()
	}
	for range waiting {
		made += <-in
	}
	return float64(made) / d.Seconds()
}

func TestRateOfUnknownKeysAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.Rate, o.Burst = 100, 40
		// The whole rate, after half a burst.
		if rate := flood(t, New(o), Request{Host: "h", Key: "made-up"}, 20, 10*time.Second); math.Abs(rate-102) > 1 {
			t.Errorf("%v calls per second, want 102", rate)
		}
	})
}

func TestRateOfRenewalsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.Rate, o.Burst = 100, 40
		// The whole rate, after a whole burst.
		if rate := flood(t, New(o), Request{Host: "h", Key: "renewed", Renewal: true}, 20, 10*time.Second); math.Abs(rate-104) > 1 {
			t.Errorf("%v calls per second, want 104", rate)
		}
	})
}

func TestBurstIsFilledAfterAPause(t *testing.T) {
	for _, burst := range []int{1, 2, 3, 10} {
		synctest.Test(t, func(t *testing.T) {
			o := wide()
			o.Rate, o.Burst, o.Wait = 10, burst, 0
			g := New(o)
			for range 3 {
				unknown := 0
				for enter(t, g, Request{Host: "h", Key: "made-up"}).isIn() {
					unknown++
				}
				all := unknown
				for enter(t, g, Request{Host: "h", Key: "renewed", Renewal: true}).isIn() {
					all++
				}
				// What they must leave to others, but for the few that are theirs in any case.
				want := min(burst-burst/2+max(burst/8, 1), burst)
				if unknown != want || all != burst {
					t.Errorf("%d of unknown keys and %d in all are let in at once, want %d and %d", unknown, all, want, burst)
				}
				time.Sleep(time.Hour)
			}
		})
	}
}

// TestKnownKeysFindRoomInAFlood shows that they don't even wait.
func TestKnownKeysFindRoomInAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.Rate, o.Burst, o.Calls, o.HostCalls, o.Queue = 100, 40, 16, 8, 400
		g := New(o)
		known := Request{Host: "h", Key: "known"}
		makeKnown(t, g, known.Key)
		flooded := make(chan float64)
		go func() { flooded <- flood(t, g, Request{Host: "h", Key: "made-up"}, 600, 20*time.Second) }()
		time.Sleep(3*time.Second + time.Millisecond)
		for range 300 { // 40 calls per second
			v := enter(t, g, known)
			end(t, Vouched, v)
			renewed := known
			renewed.Renewal = true
			end(t, Vouched, enter(t, g, renewed))
			time.Sleep(50 * time.Millisecond)
		}
		if rate := <-flooded; math.Abs(rate-71) > 1 { // 2,040 calls in 20 s, less 601
			t.Errorf("%v calls per second by the flood, want what the others leave of the rate", rate)
		}
	})
}

func TestKeyRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.KeyRate, o.KeyBurst = 10, 5
		g := New(o)
		noise := Request{Host: "h", Key: "k"}
		for range 5 {
			end(t, Refused, enter(t, g, noise))
		}
		start := time.Now()
		var waiting []*visit
		for range 3 {
			waiting = append(waiting, enter(t, g, noise))
		}
		for range 20 {
			renewal := enter(t, g, Request{Host: "h", Key: "k", Renewal: true})
			if !renewal.isIn() {
				t.Fatalf("renewal %v, want it in", renewal)
			}
			end(t, Vouched, renewal)
		}
		if other := enter(t, g, Request{Host: "h", Key: "other"}); !other.isIn() {
			t.Errorf("another key %v, want it in", other)
		}
		for i, v := range waiting {
			<-v.done
			want := time.Duration(i+1) * 100 * time.Millisecond
			if waited := v.ended.Sub(start); v.err != nil || (waited-want).Abs() > time.Millisecond {
				t.Errorf("%v after %v, want it in after %v", v, waited, want)
			}
		}
	})
}

// TestKeyRateIsWaitedFor shows whom a wait that ended in vain was for.
func TestKeyRateIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.KeyRate, o.KeyBurst = 1.25, 1
		g := New(o)
		end(t, Refused, enter(t, g, Request{Host: "h", Key: "k"}))
		first, second := enter(t, g, Request{Host: "h", Key: "k"}), enter(t, g, Request{Host: "h", Key: "k"})
		<-first.done
		<-second.done
		if first.err != nil {
			t.Errorf("%v, want it in", first)
		}
		wantShed(t, second.err, Shed{Cause: CauseKeyRate, After: 600 * time.Millisecond})
	})
}

func TestBackoffOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(wide())
		k := Request{Host: "h", Key: "k"}
		throttle := func(max time.Duration) {
			t.Helper()
			late := enter(t, g, k)
			end(t, Throttled, enter(t, g, k))
			for _, r := range []Request{k, {Host: "other", Key: "k", Renewal: true}} {
				v := enter(t, g, r)
				shed, _ := v.err.(*Shed)
				if shed == nil || shed.Cause != CauseThrottled || shed.After > max || shed.After <= max*8/10-time.Millisecond {
					t.Fatalf("%v, want it shed for %v or up to 20 %% less", v, max)
				}
			}
			if v := enter(t, g, Request{Host: "h", Key: "other"}); !v.isIn() {
				t.Fatalf("another key %v, want it in", v)
			}
			end(t, Throttled, late) // of the same event: changes nothing
			time.Sleep(max)
		}
		for _, s := range []int{1, 2, 4, 8, 16, 30, 30, 30} {
			throttle(time.Duration(s) * time.Second)
		}
		end(t, Failed, enter(t, g, k)) // says nothing
		throttle(30 * time.Second)
		for _, result := range []Result{Vouched, Refused} {
			end(t, result, enter(t, g, k))
			throttle(time.Second)
			throttle(2 * time.Second)
		}
		// An answer to a call that was under way ends the backoff.
		late := enter(t, g, k)
		end(t, Throttled, enter(t, g, k))
		end(t, Refused, late)
		if v := enter(t, g, k); !v.isIn() {
			t.Errorf("%v, want it in", v)
		}
	})
}

func TestBackoffIsJittered(t *testing.T) {
	least, most := time.Second, time.Duration(0)
	for range 1000 {
		var k key
		k.backOff(0)
		least, most = min(least, k.until), max(most, k.until)
	}
	if least < 800*time.Millisecond || least > 820*time.Millisecond || most < 980*time.Millisecond || most > time.Second {
		t.Errorf("backoffs from %v to %v, want from 800ms to 1s", least, most)
	}
}

// TestThrottledKeyShedsWhoWaits shows that nobody waits for a backoff to end.
func TestThrottledKeyShedsWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.KeyCalls = 1
		g := New(o)
		in := enter(t, g, Request{Host: "h", Key: "k"})
		waiting := []*visit{
			enter(t, g, Request{Host: "h", Key: "k"}),
			enter(t, g, Request{Host: "other", Key: "k"}),
			enter(t, g, Request{Host: "h", Key: "k", Renewal: true}),
		}
		end(t, Throttled, in)
		for _, v := range waiting {
			if shed, _ := v.err.(*Shed); v.waits() || shed == nil || shed.Cause != CauseThrottled || shed.After <= 0 {
				t.Errorf("%v, want it shed", v)
			}
		}
		if s := g.Stats(); s.Shed[CauseThrottled] != 3 {
			t.Errorf("stats %+v, want 3 shed", s)
		}
		wantEmpty(t, g)
	})
}

func throttleHost(t *testing.T, g *Gate, host string) {
	t.Helper()
	end(t, Throttled, enter(t, g, Request{Host: host, Key: rand.Text(), Renewal: true}))
}

func TestThrottlingHostIsSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.Rate, o.Burst, o.Wait = 100, 10, 5*time.Second
		g := New(o)
		is := func(want float64) {
			t.Helper()
			factor, slow := g.Stats().Throttled["h"]
			if !slow {
				factor = 1
			}
			if math.Abs(factor-want) > 1e-6 {
				t.Errorf("slowed down to %v, want %v", factor, want)
			}
		}
		is(1)
		throttleHost(t, g, "h")
		is(0.7)
		for range 5 {
			throttleHost(t, g, "h")
		}
		is(0.7) // once in 200 ms
		time.Sleep(200 * time.Millisecond)
		is(0.71)
		throttleHost(t, g, "h")
		is(0.7 * 0.71)
		for range 20 {
			time.Sleep(200 * time.Millisecond)
			throttleHost(t, g, "h")
		}
		is(0.25)
		time.Sleep(4 * time.Second)
		is(0.45)
		time.Sleep(10 * time.Second)
		is(0.95)
		time.Sleep(2 * time.Second)
		is(1)
		if n := len(g.Stats().Throttled); n != 0 {
			t.Errorf("%d hosts are slowed down, want none", n)
		}
	})
}

func TestRateOfAHostThatThrottles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.Rate, o.Burst, o.Wait = 100, 10, 5*time.Second
		g := New(o)
		stop := make(chan struct{})
		go func() { // with an account of his own
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
				if leave, err := g.Enter(t.Context(), Request{Host: "h", Key: fmt.Sprint("attacker", i), Renewal: true}); err == nil {
					leave(Throttled)
				}
			}
		}()
		time.Sleep(5 * time.Second)
		rate := flood(t, g, Request{Host: "h", Key: "k"}, 10, 10*time.Second)
		if rate > 30 || rate < 5 { // a quarter less the attacker's share
			t.Errorf("%v calls per second to a host that throttles, want at most 25 and what it recovers between", rate)
		}
		if other := flood(t, g, Request{Host: "other", Key: "k"}, 10, 10*time.Second); other < 70 {
			t.Errorf("%v calls per second to another host, want what the attacker leaves of 100", other)
		}
		close(stop)
		time.Sleep(20 * time.Second)
		if rate := flood(t, g, Request{Host: "h", Key: "k"}, 10, 10*time.Second); math.Abs(rate-100) > 2 {
			t.Errorf("%v calls per second after the recovery, want 100", rate)
		}
	})
}

// TestBucketOfAHostThatThrottles counts the calls that are let in at once, after
// some to another host, one that is throttled, and a pause.
func TestBucketOfAHostThatThrottles(t *testing.T) {
	for name, test := range map[string]struct {
		burst, before int
		pause         time.Duration
		in            int
		want          Shed
	}{
		"is as small as its rate is":        {burst: 10, in: 7, want: Shed{Cause: CauseHostRate, After: time.Second / 7}},
		"holds no more than the gate's":     {burst: 10, before: 4, in: 5, want: Shed{Cause: CauseRate, After: time.Second / 10}},
		"fills more slowly than the gate's": {burst: 10, before: 9, pause: 400 * time.Millisecond, in: 2, want: Shed{Cause: CauseHostRate, After: time.Second / 36}},
		"holds one call at least":           {burst: 1, pause: time.Second, in: 1, want: Shed{Cause: CauseRate, After: time.Second / 10}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := wide()
				o.Rate, o.Burst, o.Wait = 10, test.burst, 0
				g := New(o)
				for range test.before {
					end(t, Failed, enter(t, g, Request{Host: "other", Key: "k", Renewal: true}))
				}
				throttleHost(t, g, "h")
				time.Sleep(test.pause)
				r := Request{Host: "h", Key: "k", Renewal: true}
				for range test.in {
					end(t, Failed, enter(t, g, r))
				}
				wantShed(t, enter(t, g, r).err, test.want)
			})
		})
	}
}

func TestBucketGivesWhatItPromised(t *testing.T) {
	for _, rate := range []float64{1e-3, 0.3, 1, 7, 33, 1e3, 1e7} {
		b, now := newBucket(rate, 7, 0), time.Duration(0)
		for i := range 10000 {
			c := class(i % 3)
			now += b.wait(now, c)
			if again := b.wait(now, c); again != 0 {
				t.Fatalf("%v per second: %v more to wait, want none", rate, again)
			}
			b.take()
		}
	}
	tiny := newBucket(1e-300, 1, 0)
	if tiny.take(); tiny.wait(0, known) < 1000*time.Hour {
		t.Errorf("%v to wait at a tiny rate, want very long", tiny.wait(0, known))
	}
}

// TestLateAlarm shows what holds before an alarm that is due has rung.
func TestLateAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.Rate, o.Burst = 2, 1
		g := New(o)
		r := Request{Host: "h", Key: "k", Renewal: true}
		end(t, Failed, enter(t, g, r))
		waiting := enter(t, g, r)
		g.timer.Stop()
		time.Sleep(600 * time.Millisecond)
		later := enter(t, g, r)
		if !waiting.isIn() || !later.waits() {
			t.Errorf("%v, and who came later %v: it has overtaken", waiting, later)
		}
		g.timer.Stop()
		<-later.done
		if later.err != nil {
			t.Errorf("%v at the end of its wait, want it in", later)
		}
		end(t, Failed, waiting, later)
		wantEmpty(t, g)
	})
}

func TestWithoutRateNoHostIsSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(wide())
		throttleHost(t, g, "h")
		if s := g.Stats(); len(s.Throttled) != 0 {
			t.Errorf("stats %+v, want no host slowed down", s)
		}
	})
}

// TestAlarmIsOffWhenNobodyWaits shows that a gate without waiters holds no timer.
func TestAlarmIsOffWhenNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wide()
		o.Rate, o.Burst = 2, 1
		g := New(o)
		for _, finish := range []func(*visit){
			func(v *visit) { v.cancel() },
			func(v *visit) { <-v.done; v.leave(Failed) },
		} {
			end(t, Failed, enter(t, g, Request{Host: "h", Key: "k"}))
			v := enter(t, g, Request{Host: "h", Key: "k"})
			g.mu.Lock()
			alarm := g.alarm
			g.mu.Unlock()
			if alarm == never {
				t.Error("no alarm while somebody waits for the rate")
			}
			finish(v)
			synctest.Wait()
			wantEmpty(t, g)
			time.Sleep(time.Second)
		}
	})
}
