package gate

import (
	"math/rand/v2"
	"strings"
	"time"
)

// key is what is remembered of an access key.
type key struct {
	name   string
	calls  int // in flight
	groups [classes]*group
	rate   bucket
	until  time.Duration // no call before: STS throttles the key's account
	step   int           // how often in a row
}

// waiting returns how many wait, renewals and others apart: what the owner of a key
// or a forger of tokens does with it can't take the renewals' place.
func (k *key) waiting(c class) int {
	if c == renewal {
		return k.groups[renewal].len()
	}
	return k.groups[known].len() + k.groups[unknown].len()
}

// A throttled key is left alone for 1 s, 2 s, 4 s and so on, or up to a fifth less.
const (
	firstBackoff  = time.Second
	maxBackoff    = 30 * time.Second
	backoffJitter = 0.2
)

// backOff is called when STS has throttled. Answers to calls that were under way
// then are of the same event, and count no more.
func (k *key) backOff(now time.Duration) {
	if now < k.until {
		return
	}
	pause := min(firstBackoff<<min(k.step, 5), maxBackoff)
	k.step++
	jitter := backoffJitter * rand.Float64() //nolint:gosec // nothing is to be kept from anybody
	k.until = now + time.Duration((1-jitter)*float64(pause))
}

// trust ends a backoff: STS has answered.
func (k *key) trust() {
	k.until, k.step = 0, 0
}

// How much is remembered of keys that nobody uses at the moment. Anybody can make
// up keys, but one that is not in use was in a call, and calls are bounded.
const (
	idleKeys   = 8192            // twice that many at most
	idlePeriod = 2 * time.Minute // more than a backoff
	knownKeys  = 32768           // twice that many at most
	knownAge   = time.Hour
)

// keys are the states of access keys. Memory is bounded: those that are in flight
// or wait are never forgotten, and are as few as calls and places in the queue; the
// others, and the names of the known ones, live in generations.
type keys struct {
	busy     map[string]*key
	idle     generations[*key]
	known    generations[time.Duration] // when STS vouched last
	keyRate  float64
	keyBurst int
}

func newKeys(o Options) *keys {
	period := idlePeriod
	if o.KeyRate > 0 { // a key must not get a full bucket by being forgotten
		full := newBucket(o.KeyRate, o.KeyBurst, 0).burst / o.KeyRate
		period = max(period, time.Duration(min(full, knownAge.Seconds())*float64(time.Second)))
	}
	return &keys{
		busy:     make(map[string]*key),
		idle:     newGenerations[*key](idleKeys, period),
		known:    newGenerations[time.Duration](knownKeys, knownAge),
		keyRate:  o.KeyRate,
		keyBurst: o.KeyBurst,
	}
}

// get returns the state of a key. It is kept only from hold on.
func (k *keys) get(name string, now time.Duration) *key {
	if found, ok := k.busy[name]; ok {
		return found
	}
	if found, ok := k.idle.get(name, now); ok {
		return found
	}
	return &key{
		// A clone: the name may be part of a token, which must not stay in memory.
		name: strings.Clone(name),
		rate: newBucket(k.keyRate, k.keyBurst, now),
	}
}

// hold is called before a call starts or waits, release after it has ended.
func (k *keys) hold(held *key) {
	k.busy[held.name] = held
}

func (k *keys) release(held *key, now time.Duration) {
	if held.calls > 0 || held.waiting(renewal) > 0 || held.waiting(unknown) > 0 {
		return
	}
	delete(k.busy, held.name)
	k.idle.put(held.name, held, now)
}

func (k *keys) vouch(vouched *key, now time.Duration) {
	k.known.put(vouched.name, now, now)
}

func (k *keys) isKnown(name string, now time.Duration) bool {
	at, ok := k.known.get(name, now)
	return ok && now-at < knownAge
}

// generations is a map that forgets. What was put within the last period is there,
// unless size others were put since; what is older than two periods is not.
type generations[V any] struct {
	size       int
	period     time.Duration
	young, old map[string]V
	born       time.Duration // when young was empty
}

func newGenerations[V any](size int, period time.Duration) generations[V] {
	return generations[V]{size: size, period: period, young: make(map[string]V)}
}

func (m *generations[V]) get(name string, now time.Duration) (v V, ok bool) {
	m.age(now)
	if v, ok = m.young[name]; !ok {
		v, ok = m.old[name]
	}
	return v, ok
}

func (m *generations[V]) put(name string, v V, now time.Duration) {
	m.age(now)
	m.young[name] = v
}

func (m *generations[V]) age(now time.Duration) {
	life := now - m.born
	if life < m.period && len(m.young) < m.size {
		return
	}
	m.old = m.young
	if life >= 2*m.period {
		m.old = nil
	}
	m.young, m.born = make(map[string]V), now
}
