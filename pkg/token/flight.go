package token

import (
	"sync"

	"github.com/iam-authenticator/authenticator/pkg/token/internal/verified"
)

// MaxWaiting is the number of logins that may wait for STS at a time. Half of them
// may wait for one token.
const MaxWaiting = 2000

// flights let one question to STS serve all who wait for its answer. A flight
// belongs to none of them: it goes on when they leave.
type flights struct {
	mu      sync.Mutex
	byKey   map[verified.Key]*flight
	waiting int // callers, of all flights
}

// flight is one question under way.
type flight struct {
	done    chan struct{} // closed once said and err are final
	said    said
	err     error
	callers int
}

// join returns the flight of a key, or nil if too many callers wait already. A new one
// must be run. With every flight that join returns, leave must be called.
func (f *flights) join(key verified.Key) (joined *flight, isNew bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	joined = f.byKey[key]
	if f.waiting >= MaxWaiting || joined != nil && joined.callers >= MaxWaiting/2 {
		return nil, false
	}
	if joined == nil {
		joined, isNew = &flight{done: make(chan struct{})}, true
		f.byKey[key] = joined
	}
	joined.callers++
	f.waiting++
	return joined, isNew
}

// leave says that a caller waits no longer.
func (f *flights) leave(left *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	left.callers--
	f.waiting--
}

// run finds the answer. Whoever comes after the flight starts another, so ask must
// have remembered the answer by its end, and look for one at its beginning.
func (f *flights) run(key verified.Key, flown *flight, ask func() (said, error)) {
	defer func() {
		f.mu.Lock()
		delete(f.byKey, key)
		f.mu.Unlock()
		close(flown.done)
	}()
	flown.said, flown.err = ask()
}

// callers returns how many wait.
func (f *flights) callers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiting
}
