package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slow is a client whose server takes its time for every so-manieth login.
type slow struct {
	logins atomic.Int64
	every  int64
	took   time.Duration
	body   string
	err    error
	closed atomic.Bool
}

func (s *slow) do(c *call, _ *request) {
	if (s.logins.Add(1)-1)%s.every == 0 {
		time.Sleep(s.took)
	}
	c.status, c.body, c.err = http.StatusOK, append(c.body, s.body...), s.err
}

func (s *slow) close() { s.closed.Store(true) }

const alice = `{"kind":"TokenReview","status":{"authenticated":true,"user":{"username":"alice"}}}`

func wantAlice() *request {
	r := &request{username: usernameMember("alice")}
	r.may[granted] = true
	return r
}

func counting(s *stats) source { return func(int) (*request, *stats) { return wantAlice(), s } }

func TestOpenLoopMakesLoginsWhenTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var late atomic.Int64 // logins
		var s stats
		cl := &slow{every: 1, took: 50 * time.Millisecond, body: alice}
		err := openLoop(t.Context(), []client{cl}, 10, pace{100, time.Sleep}, time.Second, func(i int) (*request, *stats) {
			if time.Since(start) > time.Duration(i)*10*time.Millisecond+time.Microsecond {
				late.Add(1)
			}
			return wantAlice(), &s
		})
		if err != nil {
			t.Fatal(err)
		}
		if late.Load() > 0 || s.count(granted) != 100 {
			t.Errorf("%d logins, %d of them late, want 100 at their time", s.count(granted), late.Load())
		}
		if took := time.Since(start); took < 1040*time.Millisecond || took > 1041*time.Millisecond {
			t.Errorf("took %v, want 1.04s, until the last answer", took)
		}
	})
}

// A login that had to wait behind a slow one counts with its wait: this is what "coordinated omission" leaves out.
func TestOpenLoopCountsFromWhenALoginWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stats
		cl := &slow{every: 1000, took: 500 * time.Millisecond, body: alice} // the first
		if err := openLoop(t.Context(), []client{cl}, 1, pace{100, time.Sleep}, time.Second, counting(&s)); err != nil {
			t.Fatal(err)
		}
		// Logins 0 to 49 were due in the half second that the first took.
		if got := s.latency.percentile(0.75); got < 240*time.Millisecond || got > 265*time.Millisecond {
			t.Errorf("p75 = %v, want about 250ms: half of the logins waited, for up to 500ms", got)
		}
		if got := s.latency.percentile(0.5); got > time.Millisecond {
			t.Errorf("p50 = %v, want nothing: half of the logins came later", got)
		}
	})
}

func TestClosedLoopCountsWhatEndedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stats
		cl := &slow{every: 1, took: 30 * time.Millisecond, body: alice}
		if err := closedLoop(t.Context(), []client{cl}, 2, 100*time.Millisecond, counting(&s)); err != nil {
			t.Fatal(err)
		}
		if got := s.count(granted); got != 6 {
			t.Errorf("%d logins, want 6: three of each worker, the fourth ends too late", got)
		}
	})
}

func TestEachMakesEveryLoginOnce(t *testing.T) {
	var s stats
	var asked [100]atomic.Int64
	err := each(t.Context(), []client{&slow{every: 1, body: alice}}, 7, len(asked), func(i int) (*request, *stats) {
		asked[i].Add(1)
		return wantAlice(), &s
	})
	if err != nil || s.count(granted) != len(asked) {
		t.Fatalf("%d logins, error %v, want %d and none", s.count(granted), err, len(asked))
	}
	for i := range asked {
		if n := asked[i].Load(); n != 1 {
			t.Errorf("login %d was made %d times", i, n)
		}
	}
}

func TestTheFirstErrorEndsALoad(t *testing.T) {
	broken := errors.New("broken")
	cl := &slow{every: 1, err: broken}
	for name, load := range map[string]func() error{
		"closed": func() error {
			return closedLoop(t.Context(), []client{cl}, 4, time.Hour, counting(new(stats)))
		},
		"open": func() error {
			return openLoop(t.Context(), []client{cl}, 4, pace{1000, exactSleep}, time.Hour/1000, counting(new(stats)))
		},
	} {
		cl.closed.Store(false)
		if err := load(); !errors.Is(err, broken) {
			t.Errorf("%s loop: error %v, want %v", name, err, broken)
		}
	}
}

func TestALoadThatIsCancelledClosesItsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		cl := &slow{every: 1, took: time.Millisecond, body: alice}
		err := closedLoop(ctx, []client{cl}, 2, time.Hour, counting(new(stats)))
		synctest.Wait()
		if !errors.Is(err, context.Canceled) || !cl.closed.Load() {
			t.Errorf("error %v, closed %v, want context.Canceled and true", err, cl.closed.Load())
		}
	})
}

func TestEveryAnswerIsChecked(t *testing.T) {
	const rejected = `{"kind":"TokenReview","status":{"user":{}}}`
	for _, test := range []struct {
		name   string
		status int
		body   string
		may    []outcome
		want   outcome
		err    string
	}{
		{"granted", 200, alice, []outcome{granted}, granted, ""},
		{"another user", 200, strings.Replace(alice, "alice", "mallory", 1), []outcome{granted}, 0, "wrong user"},
		{"a name that begins like the right one", 200, strings.Replace(alice, "alice", "alice2", 1), []outcome{granted}, 0, "wrong user"},
		{"denied", 200, rejected, []outcome{denied}, denied, ""},
		{"denied, but must be granted", 200, rejected, []outcome{granted}, 0, "denied"},
		{"granted, but must be denied", 200, alice, []outcome{denied, unavailable}, 0, "granted"},
		{"shed", 503, "later", []outcome{granted, unavailable}, unavailable, ""},
		{"shed, but must be granted", 503, "later", []outcome{granted}, 0, "not decided"},
		{"another status", 429, alice, []outcome{granted, denied, unavailable}, 0, "status 429"},
		{"not a TokenReview", 200, "{}", []outcome{denied}, 0, "not a TokenReview"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := wantAlice()
			r.may = [outcomes]bool{}
			for _, o := range test.may {
				r.may[o] = true
			}
			got, err := r.check(test.status, []byte(test.body))
			if test.err == "" && (err != nil || got != test.want) {
				t.Errorf("%v, error %v, want %v", got, err, test.want)
			}
			if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want one with %q", err, test.err)
			}
		})
	}
}
