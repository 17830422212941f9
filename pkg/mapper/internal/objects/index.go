package objects

import (
	"hash/maphash"
	"sync/atomic"
)

// index finds the record that stands by the key of its principal. Readers take no
// lock and see each change at once; those who change it have to take turns.
//
// It is a hash table of short chains that never change: a slot gets another chain.
// sync.Map would do, but at 100,000 keys takes twice the time, as there are more
// nodes on the way to an entry.
type index struct {
	seed  maphash.Seed
	slots atomic.Pointer[[]slot] // their number is a power of two
	size  int
}

type slot = atomic.Pointer[node]

type node struct {
	key    string
	record *record
	next   *node
}

const minSlots = 16

func newIndex() *index {
	x := &index{seed: maphash.MakeSeed()}
	x.slots.Store(new(make([]slot, minSlots)))
	return x
}

// get returns the record with a key, or nil.
func (x *index) get(key string) *record {
	for n := x.slot(*x.slots.Load(), key).Load(); n != nil; n = n.next {
		if n.key == key {
			return n.record
		}
	}
	return nil
}

// set puts a record under a key, in the place of the one that was there.
func (x *index) set(key string, r *record) {
	slots := *x.slots.Load()
	s := x.slot(slots, key)
	rest, removed := s.Load().without(key)
	s.Store(&node{key, r, rest})
	if removed {
		return
	}
	if x.size++; x.size > len(slots) {
		x.grow(slots)
	}
}

// remove takes a key out.
func (x *index) remove(key string) {
	s := x.slot(*x.slots.Load(), key)
	if rest, removed := s.Load().without(key); removed {
		s.Store(rest)
		x.size--
	}
}

func (x *index) slot(slots []slot, key string) *slot {
	return &slots[maphash.String(x.seed, key)&uint64(len(slots)-1)]
}

// grow doubles the number of slots. Readers of the old ones go on with what was there.
func (x *index) grow(old []slot) {
	slots := make([]slot, 2*len(old))
	for i := range old {
		for n := old[i].Load(); n != nil; n = n.next {
			s := x.slot(slots, n.key)
			s.Store(&node{n.key, n.record, s.Load()})
		}
	}
	x.slots.Store(&slots)
}

// without returns the chain without a key, and whether it had it.
func (n *node) without(key string) (rest *node, had bool) {
	if n == nil {
		return nil, false
	}
	if n.key == key {
		return n.next, true
	}
	if rest, had = n.next.without(key); !had {
		return n, false
	}
	return &node{n.key, n.record, rest}, true
}
