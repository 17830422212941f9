package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// pendingTimeout bounds how long a write is waited for: what was written and deleted
// by somebody while a watch was broken is never seen.
const pendingTimeout = 5 * time.Second

// pending is what was written and is not in the cache yet. Without it the next look at
// an entry, which the first of several writes brings about, would find the others
// missing and make them again.
type pending struct {
	now func() time.Time

	mu     sync.Mutex
	writes map[types.UID]map[types.NamespacedName]written // by entry
}

// written is an object as it was written.
type written struct {
	uid     types.UID
	version string
	deleted bool
	at      time.Time
}

func newPending(now func() time.Time) *pending {
	return &pending{now: now, writes: map[types.UID]map[types.NamespacedName]written{}}
}

// add notes a write for an entry. The entry itself has the zero key.
func (p *pending) add(entry types.UID, key types.NamespacedName, w written) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.at = p.now()
	if p.writes[entry] == nil {
		p.writes[entry] = map[types.NamespacedName]written{}
	}
	p.writes[entry][key] = w
}

// seen tells whether the cache has all that was written for an entry. cached returns
// the object of a key.
func (p *pending) seen(entry types.UID, cached func(types.NamespacedName) (uid types.UID, version string)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, w := range p.writes[entry] {
		if uid, version := cached(key); w.in(uid, version) || p.now().Sub(w.at) > pendingTimeout {
			delete(p.writes[entry], key)
		}
	}
	if len(p.writes[entry]) > 0 {
		return false
	}
	delete(p.writes, entry)
	return true
}

// in tells whether a cache that has an object, or none, has seen the write.
func (w written) in(uid types.UID, version string) bool {
	if uid != w.uid {
		return w.deleted || uid != "" // it is gone, or another came after it
	}
	if w.deleted {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(version, w.version)
	return err != nil || order >= 0
}
