package health

import (
	"context"
	"fmt"
	"time"
)

const (
	// idleAfter is how long a host in use is left alone: half the time for which an
	// idle connection is commonly kept.
	idleAfter = 45 * time.Second
	// forgetAfter is how long a host without calls stays in use.
	forgetAfter = 10 * time.Minute
	// downInterval is the time between probes of a host that is down; if it never
	// answered, they become as rare as maxDownInterval, which still notices within five
	// seconds that it is back.
	downInterval    = time.Second
	maxDownInterval = 4 * time.Second
)

// follow does for the host what is to be done, until the context ends.
func (h *host) follow(ctx context.Context) {
	defer h.probes.Wait()
	for ctx.Err() == nil {
		do, pause := h.plan()
		if do != nil {
			do(ctx)
			continue
		}
		select {
		case <-ctx.Done():
		case <-h.wake:
		case <-time.After(pause):
		}
	}
}

// plan returns what is to be done for a host that is not down: if nothing is, nil and
// for how long, unless the host is woken.
func (h *host) plan() (do func(context.Context), pause time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if h.unused(now) {
		h.forget()
		h.planned = now.Add(forgetAfter)
		return nil, forgetAfter
	}
	next := h.active.Add(idleAfter)
	if !h.warm {
		next = earlier(next, h.used.Add(forgetAfter))
	}
	// As if a call had begun with the last answer: the next then comes in time to be
	// looked after, and those of a busy host don't wake this goroutine each.
	late := h.active.Add(h.callPatience())
	if !h.unanswered.IsZero() {
		late = h.unanswered.Add(h.callPatience())
		if !now.Before(late) {
			h.suspect()
		}
	}
	if now.Before(late) {
		next = earlier(next, late)
	}
	switch {
	case h.trouble != nil:
		return h.examine, 0
	case now.Sub(h.active) >= idleAfter:
		h.begin(now)
		return h.keepWarm, 0
	}
	h.planned = next
	return nil, next.Sub(now)
}

// keepWarm keeps a connection and the host's addresses at hand, and finds an outage
// before a caller does. The probe stands for a call: it proves nothing if it fails.
func (h *host) keepWarm(ctx context.Context) {
	h.probe(ctx, h.end)
}

// examine ends when the host is in no trouble any more.
func (h *host) examine(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // what is still being probed then has nothing to add
	h.mu.Lock()
	trouble, patience, strange := h.trouble, h.probePatience(), h.lastAnswer.IsZero()
	h.mu.Unlock()
	// An answer may have ended the trouble since plan saw it.
	if trouble == nil || !h.confirm(ctx, trouble, patience) {
		return
	}
	longest := downInterval
	if strange {
		longest = maxDownInterval
	}
	h.restore(ctx, trouble, longest)
}

// confirm takes a suspicious host down if one probe gets no answer in time, or three
// in a row fail. It waits for a probe even if the suspicion has ended meanwhile, so
// that there is one at a time however often suspicions arise.
func (h *host) confirm(ctx context.Context, trouble chan struct{}, patience time.Duration) (down bool) {
	var err error
	for _, pause := range [...]time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond} {
		if !wait(ctx, pause, trouble) {
			return false
		}
		start := time.Now()
		result := h.probe(ctx, h.probed)
		select {
		case <-ctx.Done():
			return false
		case err = <-result: // nil: the answer has ended the trouble
		case <-time.After(patience):
		}
		if time.Since(start) >= patience {
			// The probe goes on for its full time: a slow answer is one, too.
			return h.takeDown(trouble, fmt.Errorf("no answer within %s", patience))
		}
	}
	return h.takeDown(trouble, err)
}

// restore probes a host that is down until it answers or is forgotten. Probes overlap,
// so that one that hangs does not hide that the host is back.
func (h *host) restore(ctx context.Context, trouble chan struct{}, longest time.Duration) {
	for pause := downInterval; wait(ctx, pause, trouble) && !h.forgetUnused(); pause = min(2*pause, longest) {
		h.probe(ctx, h.probed)
	}
}

// probe probes the host in the background. The result is noted, unless the context
// has ended, and then sent.
func (h *host) probe(ctx context.Context, note func(start time.Time, err error)) <-chan error {
	result := make(chan error, 1)
	h.probes.Go(func() {
		start := time.Now()
		err := h.ask(ctx)
		if ctx.Err() == nil {
			note(start, err)
		}
		result <- err
	})
	return result
}

func (h *host) ask(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("probe panicked: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	return h.probing(ctx, h.name)
}

// probed notes how a probe of a host in trouble went.
func (h *host) probed(start time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.answered(start)
	case h.trouble != nil:
		h.err = err
		if h.state == Down {
			h.failure = h.downError()
		}
	}
}

// takeDown takes the host down, if it has not answered since it got into this trouble.
func (h *host) takeDown(trouble chan struct{}, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.trouble != trouble {
		return false
	}
	h.err = err
	h.change(Down)
	return true
}

// forgetUnused forgets the host if it is not used any more, and tells whether it did.
func (h *host) forgetUnused() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.unused(time.Now()) {
		return false
	}
	h.forget()
	return true
}

// wait waits, and tells whether all that time the context went on and the host did
// not answer.
func wait(ctx context.Context, d time.Duration, answered <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-answered:
		return false
	case <-time.After(d):
		return true
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
