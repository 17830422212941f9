package node

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// rate hands out turns: burst at once after a pause, then one per interval, in the order
// in which they are asked for.
type rate struct {
	interval time.Duration
	burst    int

	mu   sync.Mutex
	next time.Time // when the turn after those handed out is due at an even pace
}

func newRate(perSecond float64, burst int) *rate {
	return &rate{interval: time.Duration(float64(time.Second) / perSecond), burst: burst}
}

// turn returns when the caller's turn is, or false if that is after the deadline.
func (r *rate) turn(deadline time.Time) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	next := later(r.next, now)
	at := later(next.Add(-time.Duration(r.burst-1)*r.interval), now)
	if at.After(deadline) {
		return at, false
	}
	r.next = next.Add(r.interval)
	return at, true
}

// Bounds of the pauses that throttling brings about.
const (
	minPause = time.Second
	maxPause = 5 * time.Second
)

// service is how EC2 or IAM does.
type service struct {
	mu    sync.Mutex
	pause time.Duration // after it last throttled; 0 once it answers
	until time.Time     // the end of the pause
	err   error         // why the last call gave no answer, or nil
	at    time.Time     // when it ended
}

// called is told how a call ended.
func (s *service) called(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.at = now
	switch code := reason.Of(err); {
	case code.Outcome() != reason.Unavailable:
		s.pause, s.until, s.err = 0, time.Time{}, nil
	case code == reason.EC2Throttled && now.After(s.until): // else of a call from before the pause
		s.pause = min(max(2*s.pause, minPause), maxPause)
		// Half of it by chance, so that several servers don't come back together.
		s.until = now.Add(s.pause/2 + rand.N(s.pause/2)) //nolint:gosec // no secret
		s.err = err
	default:
		s.err = err
	}
}

// trouble returns why the last call gave no answer, or nil.
func (s *service) trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// inTrouble tells whether a call gave no answer a moment ago.
func (s *service) inTrouble() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil && time.Since(s.at) < NegativeTTL
}

// pauseEnd returns when calls may be made again; a time in the past if they may now.
func (s *service) pauseEnd() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
