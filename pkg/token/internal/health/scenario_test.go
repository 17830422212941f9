package health

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	endpoint = "sts.eu-west-1.amazonaws.com"
	timeout  = 5 * time.Second
	latency  = 15 * time.Millisecond
)

var errRefused = errors.New("connection refused")

// behaviour is what a host does with a request.
type behaviour func(context.Context) error

func answers(after time.Duration) behaviour {
	return func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(after):
			return nil
		}
	}
}

func refuses(context.Context) error { return errRefused }

func silent(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// phase is what the host does with calls and probes that begin at that time or later.
type phase struct {
	from        time.Duration
	call, probe behaviour
}

func both(from time.Duration, b behaviour) phase { return phase{from, b, b} }

// bed has a monitor follow one host that behaves in phases, in a bubble of time.
type bed struct {
	*Monitor
	t      *testing.T
	start  time.Time
	phases []phase
	stop   func() // ends Run and waits for calls
	calls  sync.WaitGroup

	mu       sync.Mutex
	changes  []Status
	probes   []time.Duration // when they began
	probing  int             // in flight
	overlap  int             // the most in flight
	longest  time.Duration   // that a login took to be answered, failed or sent away
	lastShed time.Duration
	shed     int
}

// run starts a monitor. The bubble fails the test if anything of it outlives stop.
func run(t *testing.T, o Options, phases ...phase) *bed {
	b := &bed{t: t, start: time.Now(), phases: phases}
	o.Hosts, o.Timeout = append(o.Hosts, endpoint), timeout
	o.Probe = func(ctx context.Context, host string) error {
		if host != endpoint {
			return errRefused
		}
		return b.probe(ctx)
	}
	if o.Changed == nil {
		o.Changed = func(s Status) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.changes = append(b.changes, s)
		}
	}
	b.Monitor = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
		b.calls.Wait()
	})
	return b
}

func (b *bed) at() time.Duration { return time.Since(b.start) }

func (b *bed) phase() phase {
	current := b.phases[0]
	for _, p := range b.phases {
		if b.at() >= p.from {
			current = p
		}
	}
	return current
}

func (b *bed) probe(ctx context.Context) error {
	b.mu.Lock()
	b.probes = append(b.probes, b.at())
	b.probing++
	b.overlap = max(b.overlap, b.probing)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.probing--
	}()
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != timeout {
		b.t.Errorf("a probe was given %s, want %s", time.Until(deadline), timeout)
	}
	return b.phase().probe(ctx)
}

// login does as the caller of STS does: it asks whether the host is down, and goes
// away when it goes down. The call itself goes on.
func (b *bed) login() {
	begun := b.at()
	down := b.Down(endpoint)
	if err := b.Check(endpoint); err != nil {
		if !isClosed(b.Down(endpoint)) || b.Proven(endpoint) {
			b.t.Errorf("at %s: %v, but Down is open, or the host proven", begun, err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.lastShed = begun
		b.shed++
		return
	}
	end := b.Begin(endpoint)
	over := make(chan struct{})
	b.calls.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		end(b.phase().call(ctx))
		close(over)
	})
	select {
	case <-over:
	case <-down:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.longest = max(b.longest, b.at()-begun)
}

// history is what Changed was told, and has to be what the methods say at the time.
func (b *bed) history() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []string
	for _, s := range b.changes {
		list = append(list, fmt.Sprintf("%s %s", s.Since.Sub(b.start), s.State))
	}
	return strings.Join(list, ", ")
}

// watch compares, until the end, what the methods say with what Changed was told,
// without using the host.
func (b *bed) watch(end time.Duration) {
	time.Sleep(5 * time.Millisecond / 2) // between the times at which anything happens
	for ; b.at() < end; time.Sleep(10 * time.Millisecond) {
		want := Unproven
		b.mu.Lock()
		if n := len(b.changes); n > 0 {
			want = b.changes[n-1].State
		}
		b.mu.Unlock()
		if down, proven := isClosed(b.Down(endpoint)), b.Proven(endpoint); down != (want == Down) || proven != (want == Up) {
			b.t.Fatalf("at %s: down %t, proven %t, but Changed was told %s", b.at(), down, proven, want)
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestMonitorFollowsHost(t *testing.T) {
	const (
		load   = 10 * time.Millisecond
		sparse = time.Minute
	)
	fast := answers(latency)
	tests := []struct {
		name   string
		phases []phase
		every  time.Duration // a login begins
		end    time.Duration
		want   string // the changes
		// longest bounds what a login takes until it is answered or sent away.
		longest time.Duration
		probes  int // at most
		overlap int // of them in flight, at most
	}{
		{
			name:   "healthy under load: never probed",
			phases: []phase{both(0, fast)},
			every:  load, end: 2 * time.Minute,
			want: "15ms up", longest: latency,
		},
		{
			name:   "black hole under load: down 1.8 s after the first call without an answer, up 1 s after its end",
			phases: []phase{both(0, fast), both(10*time.Second, silent), both(20*time.Second, fast)},
			every:  load, end: 40 * time.Second,
			want: "15ms up, 11.81s down, 20.825s up", longest: 1810 * time.Millisecond, probes: 10, overlap: 6,
		},
		{
			name:   "refused connections under load: down after 0.3 s",
			phases: []phase{both(0, fast), both(10*time.Second, refuses), both(20*time.Second, fast)},
			every:  load, end: 40 * time.Second,
			want: "15ms up, 10.31s down, 20.325s up", longest: latency, probes: 15, overlap: 1,
		},
		{
			name:   "brownout under load: the late answers bring it up, and it is given time from then on",
			phases: []phase{both(0, fast), both(10*time.Second, answers(3*time.Second)), both(40*time.Second, fast)},
			every:  load, end: time.Minute,
			want: "15ms up, 11.81s down, 13s up", longest: 3 * time.Second, probes: 3, overlap: 3,
		},
		{
			name: "brownout in which no call is answered: the probe that came too late to confirm brings it up",
			phases: []phase{
				both(0, fast),
				{10 * time.Second, silent, answers(3 * time.Second)},
				both(13*time.Second, answers(3*time.Second)),
			},
			every: load, end: time.Minute,
			want: "15ms up, 11.81s down, 14.01s up", longest: 3 * time.Second, probes: 4, overlap: 4,
		},
		{
			name:   "black hole after a brownout: patience is back where it was",
			phases: []phase{both(0, answers(3*time.Second)), both(20*time.Second, fast), both(40*time.Second, silent)},
			every:  load, end: 50 * time.Second,
			want: "1.8s down, 3s up, 41.81s down", longest: 3 * time.Second, probes: 14, overlap: 6,
		},
		{
			name:   "black hole in a brownout: down after twice the latency, then half as much again",
			phases: []phase{both(0, answers(time.Second/2)), both(10*time.Second, answers(1005*time.Millisecond)), both(20*time.Second, silent)},
			every:  load, end: 30 * time.Second,
			// The last answer comes at 20.995 s; 2.01 s from 21 s, then 1.5075 s.
			want: "500ms up, 24.5175s down", longest: 4520 * time.Millisecond, probes: 8, overlap: 6,
		},
		{
			name:   "poison that fails: never down, nor in doubt",
			phases: []phase{{0, refuses, fast}},
			every:  100 * time.Millisecond, end: time.Minute,
			want: "15ms up", longest: 0, probes: 600, overlap: 1,
		},
		{
			name:   "poison that hangs: never down",
			phases: []phase{{0, silent, fast}},
			every:  100 * time.Millisecond, end: time.Minute,
			want: "1.015s up", longest: timeout, probes: 12 * 60, overlap: 1,
		},
		{
			name:   "a flood of poison is one probe at a time",
			phases: []phase{{0, refuses, answers(500 * time.Millisecond)}},
			every:  time.Millisecond, end: 10 * time.Second,
			want: "500ms up", longest: 0, probes: 20, overlap: 1,
		},
		{
			name:   "refused for less than 0.3 s: stays up",
			phases: []phase{both(0, fast), both(10*time.Second, refuses), both(10200*time.Millisecond, fast)},
			every:  load, end: 20 * time.Second,
			want: "15ms up", longest: latency, probes: 5, overlap: 1,
		},
		{
			name:   "silent for less than 1.8 s: stays up",
			phases: []phase{both(0, fast), both(10*time.Second, silent), both(11500*time.Millisecond, fast)},
			every:  load, end: 20 * time.Second,
			// Calls that were lost fail when they time out, from 15 s to 16.5 s.
			want: "15ms up", longest: timeout, probes: 80, overlap: 1,
		},
		{
			name: "flapping: down and up each time",
			phases: []phase{
				both(0, fast),
				both(10*time.Second, refuses), both(12*time.Second, fast),
				both(15*time.Second, refuses), both(17*time.Second, fast),
				both(20*time.Second, silent), both(23*time.Second, fast),
			},
			every: load, end: 30 * time.Second,
			want:    "15ms up, 10.31s down, 12.325s up, 15.31s down, 17.325s up, 21.81s down, 23.825s up",
			longest: 1810 * time.Millisecond, probes: 110, overlap: 4,
		},
		{
			name:   "ten minutes of outage under load: a probe each second",
			phases: []phase{both(0, fast), both(10*time.Second, silent), both(610*time.Second, fast)},
			every:  load, end: 11 * time.Minute,
			want: "15ms up, 11.81s down, 10m10.825s up", longest: 1810 * time.Millisecond, probes: 600, overlap: 6,
		},
		{
			name:   "sparse logins: the outage is found and its end as well, without a login that waits",
			phases: []phase{both(0, fast), both(70*time.Second, silent), both(670*time.Second, fast)},
			every:  sparse, end: 15 * time.Minute,
			want: "15ms up, 1m46.815s down, 11m10.83s up", longest: latency, probes: 573, overlap: 6,
		},
		{
			name:   "sparse logins in half an hour of outage: not forgotten, as logins ask for it",
			phases: []phase{both(0, fast), both(70*time.Second, refuses), both(30*time.Minute, fast)},
			every:  sparse, end: 35 * time.Minute,
			want: "15ms up, 1m45.315s down, 30m0.33s up", longest: latency, probes: 1705, overlap: 1,
		},
		{
			name:   "never answered: probes become as rare as one in 4 s",
			phases: []phase{both(0, silent), both(590*time.Second, fast)},
			every:  time.Second, end: 15 * time.Minute,
			want: "1.8s down, 9m52.815s up", longest: 1800 * time.Millisecond, probes: 150, overlap: 3,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := run(t, Options{}, tt.phases...)
				var logins sync.WaitGroup
				logins.Go(func() { b.watch(tt.end) })
				for ; b.at() < tt.end; time.Sleep(tt.every) {
					logins.Go(b.login)
				}
				b.stop()
				logins.Wait()
				if got := b.history(); got != tt.want {
					t.Errorf("changes:\n got %s\nwant %s", got, tt.want)
				}
				if b.longest > tt.longest {
					t.Errorf("a login took %s, want at most %s", b.longest, tt.longest)
				}
				if len(b.probes) > tt.probes || b.overlap > tt.overlap {
					t.Errorf("%d probes, %d at once, want at most %d and %d", len(b.probes), b.overlap, tt.probes, tt.overlap)
				}
				t.Logf("%d probes, at most %d at once; %d logins sent away, the last at %s; the longest took %s", len(b.probes), b.overlap, b.shed, b.lastShed, b.longest)
			})
		})
	}
}
