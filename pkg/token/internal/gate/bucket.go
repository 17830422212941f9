package gate

import (
	"math"
	"time"
)

// bucket is a token bucket: it fills at a rate up to a burst. One without a rate is
// always full.
type bucket struct {
	rate   float64 // per second; 0: no bound
	burst  float64 // at least 1
	tokens float64
	at     time.Duration // when there were so many
}

func newBucket(rate float64, burst int, now time.Duration) bucket {
	full := float64(max(burst, 1))
	return bucket{rate: rate, burst: full, tokens: full, at: now}
}

// wait returns in how much time the class may take a token, 0 if it may now. The
// unknown must leave half a burst, rounded down, to the others.
func (b *bucket) wait(now time.Duration, c class) time.Duration {
	if b.rate <= 0 {
		return 0
	}
	b.fill(now)
	want := 1.0
	if c == unknown {
		want += math.Floor(b.burst / 2)
	}
	missing := want - b.tokens
	if missing <= 0 {
		return 0
	}
	return time.Duration(math.Ceil(min(missing/b.rate, maxSeconds) * float64(time.Second)))
}

// isSpare tells whether the unknown may take a token, as of the last wait.
func (b *bucket) isSpare() bool {
	return b.rate <= 0 || b.tokens >= 1+math.Floor(b.burst/2)-1e-9
}

// maxSeconds keeps a tiny rate from overflowing a Duration.
const maxSeconds = 1e9

func (b *bucket) fill(now time.Duration) {
	b.tokens = min(b.burst, b.tokens+b.rate*(now-b.at).Seconds())
	b.at = now
}

// take takes the token that wait has granted.
func (b *bucket) take() {
	if b.rate > 0 {
		b.tokens--
	}
}
