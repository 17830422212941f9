package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/reason"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRate(10, 3)
		start := time.Now()
		at := func(deadline time.Duration) time.Duration {
			turn, ok := r.turn(time.Now().Add(deadline))
			if !ok {
				return -1
			}
			return turn.Sub(start)
		}
		for i, want := range []int64{0, 0, 0, 100, 200, 300} {
			if got := at(time.Hour); got.Milliseconds() != want {
				t.Errorf("turn %d after %s, want %d ms", i, got, want)
			}
		}
		if got := at(399 * time.Millisecond); got != -1 {
			t.Errorf("a turn at %s, after the deadline", got)
		}
		if got := at(400 * time.Millisecond); got != 400*time.Millisecond {
			t.Errorf("a turn at %s: one that was refused was counted", got)
		}
		time.Sleep(time.Minute)
		for i, want := range []int64{0, 0, 0, 100} {
			if got := at(time.Hour) - time.Minute; got.Milliseconds() != want {
				t.Errorf("after a pause: turn %d after %s, want %d ms", i, got, want)
			}
		}
	})
}

func TestThrottlingPausesLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s service
		throttled := reason.New(reason.EC2Throttled, "slow down")
		for i, longest := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, maxPause, maxPause} {
			s.called(throttled)
			pause := time.Until(s.pauseEnd())
			if pause < longest/2 || pause > longest {
				t.Errorf("pause %d of %s, want %s to %s", i, pause, longest/2, longest)
			}
			s.called(throttled) // from before the pause
			if again := time.Until(s.pauseEnd()); again != pause || s.trouble() == nil {
				t.Errorf("calls of the time before the pause make it %s instead of %s", again, pause)
			}
			time.Sleep(pause + 1)
		}
		s.called(reason.New(reason.InstanceNotFound, "no such instance"))
		if s.trouble() != nil || s.pauseEnd().After(time.Now()) {
			t.Errorf("%v, paused until %s, though it answers", s.trouble(), s.pauseEnd())
		}
		s.called(reason.New(reason.EC2Unavailable, "no answer"))
		if s.trouble() == nil || !s.inTrouble() || s.pauseEnd().After(time.Now()) {
			t.Error("trouble of another kind pauses nothing")
		}
		time.Sleep(NegativeTTL)
		if s.trouble() == nil || s.inTrouble() {
			t.Error("what is long ago is no trouble now")
		}
	})
}

func TestRecentForgetsWhatWasNotUsed(t *testing.T) {
	r := newRecent[int](2)
	r.put("a", 1)
	r.put("b", 2)
	r.get("a")
	r.put("c", 3)
	r.put("c", 4)
	if _, ok := r.get("b"); ok || r.len() != 2 {
		t.Errorf("%d remembered, and what was not used among them", r.len())
	}
	if c, _ := r.get("c"); c != 4 {
		t.Errorf("c is %d", c)
	}
	r.remove("a")
	r.remove("a")
	if r.len() != 1 {
		t.Errorf("%d remembered", r.len())
	}
}
