package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// after lets time pass, and everything settle that is due.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bed) wantState(want State) {
	b.t.Helper()
	if down, proven := isClosed(b.Down(endpoint)), b.Proven(endpoint); down != (want == Down) || proven != (want == Up) {
		b.t.Errorf("at %s: down %t, proven %t, want the host %s", b.at(), down, proven, want)
	}
}

func (b *bed) wantProbes(want ...time.Duration) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.probes, want) {
		b.t.Errorf("probes at %v, want %v", b.probes, want)
	}
}

func TestCheckSaysSinceWhenAndWhatTheLastProbeFoundWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{}, both(0, silent), both(3*time.Second, refuses))
		defer b.stop()
		go b.login()
		after(1799 * time.Millisecond)
		if err := b.Check(endpoint); err != nil {
			t.Errorf("before it is confirmed: %v", err)
		}
		after(time.Millisecond)
		want := endpoint + " is down since 2000-01-01T00:00:01Z and is being probed, the last probe failed: no answer within 800ms"
		if err := b.Check(endpoint); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		after(3 * time.Second)
		err := b.Check(endpoint)
		down, ok := errors.AsType[*DownError](err)
		if !ok || down.Host != endpoint || down.Since.Sub(b.start) != 1800*time.Millisecond || !errors.Is(err, errRefused) {
			t.Errorf("after a probe that failed otherwise: %v", err)
		}
	})
}

func TestStatusesAreOfHostsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Any host but the endpoint refuses.
		b := run(t, Options{Hosts: []string{"z.test", "unused.test", "a.test"}, Warm: []string{"a.test"}}, both(0, answers(latency)))
		defer b.stop()
		b.Begin("z.test")
		b.login()
		after(time.Second / 2)
		list := b.Statuses()
		want := []Status{
			{Host: "a.test", State: Down, Since: b.start.Add(300 * time.Millisecond), Err: errRefused},
			{Host: endpoint, State: Up, Since: b.start.Add(latency), LastAnswer: b.start.Add(latency), Latency: latency},
			{Host: "z.test", State: Unproven, Since: b.start},
		}
		if !slices.Equal(list, want) {
			t.Errorf("got  %+v\nwant %+v", list, want)
		}
	})
}

func TestDownIsClosedOncePerOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{}, both(0, refuses), both(3*time.Second, answers(latency)))
		defer b.stop()
		first := b.Down(endpoint)
		b.login()
		after(299 * time.Millisecond)
		if isClosed(first) {
			t.Error("closed before the host is down")
		}
		after(time.Millisecond)
		if !isClosed(first) || first != b.Down(endpoint) {
			t.Error("open, or another one, while the host is down")
		}
		after(3*time.Second + latency)
		b.wantState(Up)
		if !isClosed(first) || isClosed(b.Down(endpoint)) {
			t.Error("that of the past outage is open, or that of the next is closed")
		}
	})
}

func TestCallFailsOnceBesideHealthyProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{}, phase{0, refuses, answers(latency)})
		defer b.stop()
		b.login()
		after(time.Minute / 2)
		b.wantState(Up)
		b.wantProbes(0)
	})
}

func TestSlowCallBesideHealthyHostIsWaitedForWithoutDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{}, both(0, answers(latency)))
		defer b.stop()
		end := b.Begin(endpoint)
		for range 49 {
			b.login()
			after(100*time.Millisecond - latency)
		}
		end(nil)
		b.wantProbes()
	})
}

func TestManyCallsWithoutAnswerAreOneSuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{}, phase{0, silent, answers(700 * time.Millisecond)})
		defer b.stop()
		var ends []func(error)
		for range 1000 {
			ends = append(ends, b.Begin(endpoint))
			after(time.Millisecond)
		}
		after(500 * time.Millisecond)
		for _, end := range ends {
			end(errRefused) // during the probe
		}
		after(time.Second)
		b.wantProbes(time.Second)
		b.wantState(Up)
	})
}

// One answer between failures ends the suspicion: the failures after it are counted
// anew, and take their own 0.3 s.
func TestAnswerInBetweenEndsSuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{}, both(0, refuses))
		defer b.stop()
		begun := b.Begin(endpoint)
		b.Begin(endpoint)(errRefused)
		after(250 * time.Millisecond)
		begun(nil)
		after(10 * time.Second)
		b.wantState(Up)
		b.wantProbes(0, 100*time.Millisecond)
		b.Begin(endpoint)(errRefused)
		after(299 * time.Millisecond)
		b.wantState(Up)
		after(time.Millisecond)
		b.wantState(Down)
	})
}

func TestProbeThatFailsAfterAnAnswerIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{}, phase{0, nil, func(context.Context) error {
			time.Sleep(500 * time.Millisecond)
			return errRefused
		}})
		defer b.stop()
		b.Begin(endpoint)(errRefused)
		after(100 * time.Millisecond)
		b.Begin(endpoint)(nil)
		after(time.Second)
		b.wantProbes(0)
		if s := b.Statuses()[0]; s.State != Up || s.Err != nil {
			t.Errorf("%+v, want it up without an error", s)
		}
	})
}

func TestAnswerToCallUnderWayBringsHostUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{}, both(0, silent))
		defer b.stop()
		end := b.Begin(endpoint)
		after(3 * time.Second)
		b.wantState(Down)
		end(nil)
		b.wantState(Up)
		if s := b.Statuses()[0]; s.Latency != 3*time.Second || s.Err != nil {
			t.Errorf("status %+v, want a latency of 3 s and no error", s)
		}
		b.mu.Lock()
		before := len(b.probes)
		b.mu.Unlock()
		after(40 * time.Second)
		if b.probing != 0 || len(b.probes) != before {
			t.Errorf("%d probes are under way, %d were made after the answer", b.probing, len(b.probes)-before)
		}
	})
}

// A probe fails for its own timeout, where the patience is as long: that is one probe
// without an answer, not the first of three that fail fast.
func TestPatienceIsAtMostTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{}, both(0, answers(4*time.Second)), both(4*time.Second, silent))
		defer b.stop()
		b.login()
		after(3 * time.Second)
		b.wantState(Up)
		b.Begin(endpoint)(errRefused)
		after(4999 * time.Millisecond)
		b.wantState(Up)
		after(time.Millisecond)
		b.wantState(Down)
	})
}

func TestHostThatNeverAnsweredIsProbedLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{}, both(0, refuses))
		defer b.stop()
		b.login()
		after(20 * time.Second)
		down := 300 * time.Millisecond
		want := []time.Duration{0, 100 * time.Millisecond, down}
		for _, seconds := range []int{1, 3, 7, 11, 15, 19} {
			want = append(want, down+time.Duration(seconds)*time.Second)
		}
		b.wantProbes(want...)
	})
}

func TestUnusedHostIsForgotten(t *testing.T) {
	tests := []struct {
		name   string
		phases []phase
		state  State         // while in use
		late   time.Duration // that a host that is down is forgotten at most
	}{
		{"up", []phase{both(0, answers(latency))}, Up, 0},
		{"down", []phase{both(0, answers(latency)), both(time.Second, silent)}, Down, time.Second},
		{"down, never answered", []phase{both(0, refuses)}, Down, 4 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := run(t, Options{}, tt.phases...)
				defer b.stop()
				b.login()
				after(10*time.Minute - b.at() - time.Millisecond)
				b.wantState(tt.state)
				after(tt.late + latency)
				b.wantState(Unproven)
				if list := b.Statuses(); len(list) != 0 {
					t.Errorf("not forgotten at %s: %+v", b.at(), list)
				}
				before := len(b.probes)
				after(time.Hour)
				b.wantState(Unproven)
				if len(b.probes) != before || b.probing != 0 {
					t.Errorf("%d probes since it was forgotten, %d under way", len(b.probes)-before, b.probing)
				}
				// Back in use, it is a stranger.
				end := b.Begin(endpoint)
				if s := b.Statuses()[0]; s.State != Unproven || !s.LastAnswer.IsZero() || s.Latency != 0 || s.Err != nil {
					t.Errorf("back in use: %+v", s)
				}
				end(nil)
				b.wantState(Up)
			})
		})
	}
}

// A probe that was under way when the host was forgotten says nothing any more.
func TestForgottenHostIsNotBroughtUpByOldProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		deaf := func(context.Context) error {
			time.Sleep(4 * time.Second)
			if time.Since(start) > 10*time.Minute+2*time.Second {
				return nil
			}
			return errRefused
		}
		b := run(t, Options{}, both(0, answers(0)), phase{time.Second, refuses, deaf})
		defer b.stop()
		b.login()
		after(time.Second)
		b.login()
		after(9 * time.Minute)
		b.wantState(Down)
		after(2 * time.Minute)
		b.wantState(Unproven)
		if got := b.history(); got != "0s up, 1.8s down, 10m1.8s unproven" {
			t.Errorf("changes: %s", got)
		}
	})
}

func TestHostIsFollowedFromItsFirstUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{}, both(0, silent))
		defer b.stop()
		for range 2 {
			after(time.Hour)
			b.wantState(Unproven)
			go b.login()
			after(1799 * time.Millisecond)
			b.wantState(Unproven)
			after(time.Millisecond)
			b.wantState(Down)
		}
	})
}

func TestHostInUseStaysInUse(t *testing.T) {
	tests := []struct {
		name string
		do   func(b *bed)
	}{
		{"by calls", func(b *bed) { b.Begin(endpoint)(nil) }},
		{"while it is down, by those who would call", func(b *bed) { _ = b.Check(endpoint) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := run(t, Options{}, both(0, refuses))
				defer b.stop()
				b.login()
				for range 10 {
					after(9 * time.Minute)
					tt.do(b)
					if len(b.Statuses()) != 1 {
						t.Fatalf("forgotten at %s", b.at())
					}
				}
			})
		})
	}
}

func TestIdleHostIsKeptWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{}, both(0, answers(0)))
		defer b.stop()
		b.Begin(endpoint)(nil)
		after(time.Hour)
		var want []time.Duration
		for at := 45 * time.Second; at < 10*time.Minute; at += 45 * time.Second {
			want = append(want, at)
		}
		b.wantProbes(want...)
	})
}

func TestWarmHostIsProbedFromTheStartAndForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{Warm: []string{endpoint}}, both(0, answers(0)))
		defer b.stop()
		synctest.Wait()
		b.wantProbes(0)
		b.wantState(Up)
		after(time.Hour - time.Millisecond)
		b.mu.Lock()
		if len(b.probes) != 80 {
			t.Errorf("%d probes in an hour, want one each 45 s", len(b.probes))
		}
		b.mu.Unlock()
		b.wantState(Up)
	})
}

func TestOutageIsFoundWithoutLogin(t *testing.T) {
	tests := []struct {
		name string
		host behaviour
		down time.Duration // after the probe that finds it
	}{
		{"silent", silent, 1800 * time.Millisecond},
		{"refuses", refuses, 300 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := run(t, Options{Warm: []string{endpoint}}, both(0, answers(0)), both(time.Minute, tt.host))
				defer b.stop()
				after(90*time.Second + tt.down - time.Millisecond)
				b.wantState(Up)
				after(time.Millisecond)
				b.wantState(Down)
			})
		})
	}
}

func TestProbeToKeepWarmProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{Warm: []string{endpoint}}, both(0, answers(0)), both(45*time.Second, silent), both(46*time.Second, answers(0)))
		defer b.stop()
		after(time.Minute)
		b.wantProbes(0, 45*time.Second, 46*time.Second, 50*time.Second) // the last as the second times out
		if got := b.history(); got != "0s up" {
			t.Errorf("changes: %s", got)
		}
	})
}

func TestProbeThatPanicsIsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{}, both(0, func(context.Context) error { panic("no such resolver") }))
		defer b.stop()
		b.Begin(endpoint)(errRefused)
		after(time.Second)
		if err := b.Check(endpoint); err == nil || !strings.HasSuffix(err.Error(), "probe panicked: no such resolver") {
			t.Errorf("got %v", err)
		}
	})
}

func TestNoHostGoesDownWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{Hosts: []string{endpoint}, Warm: []string{endpoint}, Timeout: timeout, Probe: func(context.Context, string) error {
			t.Error("probed")
			return errRefused
		}})
		m.Begin(endpoint)
		m.Begin(endpoint)(errRefused)
		after(time.Hour)
		if err := m.Check(endpoint); err != nil {
			t.Error(err)
		}
		m.Begin(endpoint)(nil)
		if !m.Proven(endpoint) {
			t.Error("not proven by the answer to a call")
		}
	})
}

// A suspicion from before Run is not lost.
func TestRunExaminesWhatCameBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{Hosts: []string{endpoint}, Timeout: timeout, Probe: func(context.Context, string) error { return errRefused }})
		m.Begin(endpoint)(errRefused)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = m.Run(ctx) }()
		after(300 * time.Millisecond)
		if m.Check(endpoint) == nil {
			t.Error("not down")
		}
	})
}

// Whatever a host is in when Run ends, Run waits for the probes and takes their end for
// no failure. Goroutines that are left would fail the bubble.
func TestRunEndsCleanly(t *testing.T) {
	dying := func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(time.Second) // as a connection that is being closed may take
		return ctx.Err()
	}
	tests := []struct {
		name string
		run  time.Duration
		host behaviour
		want State
	}{
		{"at once", 0, refuses, Unproven},
		{"in a probe to keep warm", 500 * time.Millisecond, dying, Unproven},
		{"in the probe of a suspicion", 1500 * time.Millisecond, dying, Unproven},
		{"in the pause between probes", 250 * time.Millisecond, refuses, Unproven},
		{"while the host is down", 4 * time.Second, dying, Down},
		{"while the host is up", time.Minute, answers(0), Up},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := run(t, Options{Warm: []string{endpoint}}, both(0, tt.host))
				after(tt.run)
				b.stop()
				if b.probing != 0 {
					t.Errorf("Run returned before %d probes", b.probing)
				}
				before := len(b.probes)
				after(time.Hour)
				b.wantState(tt.want)
				if len(b.probes) != before {
					t.Error("probed after Run")
				}
			})
		})
	}
}

func TestChangedIsToldInOrderOneAtATimeAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts := []string{"a.test", "b.test", "c.test"}
		var (
			m    *Monitor
			told []Status
			busy sync.Mutex
		)
		start := time.Now()
		m = New(Options{
			Hosts: hosts, Warm: hosts, Timeout: timeout,
			Probe: func(context.Context, string) error {
				if int(time.Since(start)/(5*time.Second))%2 == 1 {
					return errRefused
				}
				return nil
			},
			Changed: func(s Status) {
				if !busy.TryLock() {
					t.Error("told of two at a time")
					return
				}
				defer busy.Unlock()
				m.Statuses() // may be asked from here
				told = append(told, s)
				time.Sleep(7 * time.Second)
			},
		})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		var shed int
		for time.Since(start) < time.Minute {
			for _, host := range hosts {
				asked := time.Now()
				if m.Check(host) != nil {
					shed++
				} else if end := m.Begin(host); int(time.Since(start)/(5*time.Second))%2 == 1 {
					end(errRefused)
				} else {
					end(nil)
				}
				if time.Since(asked) > 0 {
					t.Fatal("a login waited for Changed")
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
		cancel()
		<-done
		// Up at the start; then six times down and five times up.
		if len(told) != 3*12 || shed == 0 {
			t.Errorf("told of %d changes, want 36; %d logins were sent away", len(told), shed)
		}
		last := map[string]Status{}
		for i, s := range told {
			if i > 0 && s.Since.Before(told[i-1].Since) {
				t.Errorf("%s, %s, told after that of %s", s.Host, s.Since, told[i-1].Since)
			}
			if before, ok := last[s.Host]; ok && before.State == s.State {
				t.Errorf("%s is %s twice in a row", s.Host, s.State)
			}
			if (s.State == Down) != (s.Err != nil) {
				t.Errorf("%s is %s with the error %v", s.Host, s.State, s.Err)
			}
			last[s.Host] = s
		}
	})
}

// Between the look at a suspicion and its examination an answer may clear it.
func TestExamineLeavesHostAloneThatIsInNoTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(endpoint, func(context.Context, string) error { return errRefused }, timeout, newChanges(nil))
		h.end(h.call(), errRefused)
		do, _ := h.plan()
		h.end(h.call(), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		do(ctx)
		if !h.proven() {
			t.Errorf("%v", h.check())
		}
	})
}

func TestCallsToBusyHostWakeNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(endpoint, nil, timeout, newChanges(nil))
		h.end(h.call(), nil)
		h.plan()
		for range 100 {
			start := h.call()
			time.Sleep(latency)
			h.end(start, nil)
			if len(h.wake) != 0 {
				t.Fatalf("woken after %s", time.Since(h.since))
			}
			if time.Now().After(h.planned) {
				h.plan()
			}
		}
	})
}

func TestForeignHostsAndMissingOptionsPanic(t *testing.T) {
	probe := func(context.Context, string) error { return nil }
	good := Options{Hosts: []string{endpoint}, Probe: probe, Timeout: timeout}
	tests := map[string]func(){
		"Check":      func() { _ = New(good).Check("other.test") },
		"Down":       func() { New(good).Down("other.test") },
		"Proven":     func() { New(good).Proven("other.test") },
		"Begin":      func() { New(good).Begin("other.test") },
		"Warm":       func() { New(Options{Hosts: good.Hosts, Warm: []string{"other.test"}, Probe: probe, Timeout: timeout}) },
		"no probe":   func() { New(Options{Hosts: good.Hosts, Timeout: timeout}) },
		"no timeout": func() { New(Options{Hosts: good.Hosts, Probe: probe}) },
	}
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			defer func() {
				p := recover()
				if s := fmt.Sprint(p); p == nil || !strings.HasPrefix(s, "health: ") {
					t.Errorf("panic %v, want one that says what is wrong", p)
				}
			}()
			do()
		})
	}
}

func TestStateStrings(t *testing.T) {
	for state, want := range map[State]string{Unproven: "unproven", Up: "up", Down: "down", 7: "State(7)"} {
		if got := state.String(); got != want {
			t.Errorf("%d: %q, want %q", state, got, want)
		}
	}
}

// downMonitor has one host, which is down; nothing runs.
func downMonitor(t *testing.T) (m *Monitor) {
	synctest.Test(t, func(t *testing.T) {
		m = New(Options{Hosts: []string{endpoint}, Timeout: timeout, Probe: func(context.Context, string) error { return errRefused }})
		m.Begin(endpoint)(errRefused)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = m.Run(ctx)
	})
	if m.Check(endpoint) == nil {
		t.Fatal("not down")
	}
	return m
}

func TestWayOfLoginAllocatesBeginsClosureOnly(t *testing.T) {
	up := New(Options{Hosts: []string{endpoint}, Timeout: timeout, Probe: func(context.Context, string) error { return nil }})
	down := downMonitor(t)
	tests := []struct {
		name string
		want float64
		do   func()
	}{
		{"a call", 1, func() {
			_ = up.Check(endpoint)
			up.Down(endpoint)
			up.Proven(endpoint)
			up.Begin(endpoint)(nil)
		}},
		{"a host that is down", 0, func() { _ = down.Check(endpoint) }},
	}
	for _, tt := range tests {
		if got := testing.AllocsPerRun(1000, tt.do); got != tt.want {
			t.Errorf("%s: %v allocations, want %v", tt.name, got, tt.want)
		}
	}
}

func BenchmarkLogin(b *testing.B) {
	m := New(Options{Hosts: []string{endpoint}, Timeout: timeout, Probe: func(context.Context, string) error { return nil }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	b.ReportAllocs()
	for b.Loop() {
		_ = m.Check(endpoint)
		m.Down(endpoint)
		m.Proven(endpoint)
		m.Begin(endpoint)(nil)
	}
	cancel()
	<-done
}
