package gate

import "time"

// A host that throttles gets fewer calls per second: by 30 % fewer, as one burst of
// such answers counts once in 200 ms, and never below a quarter, so that somebody
// who has his own account throttled can't stop everybody. It gets back 5 % of the
// full rate in a second.
const (
	slowFactor  = 0.7
	slowFloor   = 0.25
	slowOnce    = 200 * time.Millisecond
	slowRecover = 0.05 // per second
)

// host is an endpoint of STS.
type host struct {
	calls   tally
	trial   int // calls in flight that count against TrialCalls
	answers int // that the gate has seen

	full   bucket  // the gate's rate and burst
	factor float64 // what part of them the host gets; 1: the gate's bucket is bound enough
	slowed time.Duration
	rate   bucket // that part; not in use while the factor is 1
}

func newHost(o Options) *host {
	return &host{
		calls:  newTally(o.HostCalls, 3, 4),
		full:   newBucket(o.Rate, o.Burst, 0),
		factor: 1,
		slowed: -slowOnce,
	}
}

// slow is called when the host has throttled. The bucket that it gets anew holds no
// more than that of the gate does.
func (h *host) slow(now time.Duration, gate bucket) {
	if h.full.rate <= 0 || now-h.slowed < slowOnce {
		return
	}
	h.slowed = now
	h.advance(now)
	if h.factor == 1 {
		gate.fill(now)
		h.rate = gate
	}
	h.setFactor(max(slowFloor, slowFactor*h.factor))
}

// advance fills the bucket, at the rate that held so far, and has the host recover.
func (h *host) advance(now time.Duration) {
	if h.factor == 1 || now == h.rate.at {
		return
	}
	recovered := slowRecover * (now - h.rate.at).Seconds()
	h.rate.fill(now)
	h.setFactor(min(1, h.factor+recovered))
}

func (h *host) setFactor(factor float64) {
	h.factor = factor
	h.rate.rate = factor * h.full.rate
	h.rate.burst = max(1, factor*h.full.burst)
}

// wait returns in how much time the class may take a token, at the latest.
func (h *host) wait(now time.Duration, c class) time.Duration {
	if h.advance(now); h.factor == 1 {
		return 0
	}
	return h.rate.wait(now, c)
}

// take takes the token that wait has granted.
func (h *host) take() {
	if h.factor < 1 {
		h.rate.take()
	}
}
