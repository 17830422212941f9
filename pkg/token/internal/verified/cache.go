// Package verified remembers what STS said about a token, without the token.
package verified

import (
	"sync"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// Entry is what STS said about a token.
type Entry struct {
	Identity iam.Identity  // of the caller, if STS vouched for it
	Refusal  *reason.Error // else why not
	Mapped   bool          // somebody cares for the identity
	// RequestID is what STS called the answer.
	RequestID string
	Asked     time.Time // when STS said so, or before
	Expires   time.Time // from then on the entry is good for nothing
}

// Cache is a bounded number of entries. When it is full, the one goes that nobody
// asked for the longest. It is safe for concurrent use.
type Cache struct {
	shards [shardCount]shard
}

// Requests for different tokens rarely meet at one lock.
const shardCount = 16

// Options bounds a Cache.
type Options struct {
	Entries int // at least 1
	Bytes   int // at least 1; an estimate that includes the cache's own needs
}

// New returns an empty Cache.
func New(o Options) *Cache {
	c := new(Cache)
	for i := range c.shards {
		c.shards[i] = shard{
			byKey:      make(map[Key]int32),
			newest:     none,
			oldest:     none,
			free:       none,
			maxEntries: (o.Entries + shardCount - 1) / shardCount,
			maxBytes:   (o.Bytes + shardCount - 1) / shardCount,
		}
	}
	return c
}

// Get returns the entry of a token, if there is one that is good at the time now.
func (c *Cache) Get(k Key, now time.Time) (Entry, bool) { return c.shard(k).get(k, now) }

// Put remembers an entry in place of the token's last one.
func (c *Cache) Put(k Key, e Entry) { c.shard(k).put(k, e) }

// Delete forgets a token.
func (c *Cache) Delete(k Key) { c.shard(k).delete(k) }

// Sweep drops what is good for nothing at the time now.
func (c *Cache) Sweep(now time.Time) {
	for i := range c.shards {
		c.shards[i].sweep(now)
	}
}

// Stats says how full a Cache is.
type Stats struct {
	Entries int
	Bytes   int    // an estimate
	Evicted uint64 // entries that had to go before their time, since the start
}

// Stats returns how full the cache is.
func (c *Cache) Stats() Stats {
	var sum Stats
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		sum.Entries += len(s.byKey)
		sum.Bytes += s.bytes
		sum.Evicted += s.evicted
		s.mu.Unlock()
	}
	return sum
}

// shard picks by a byte of the key, which is as good as random.
func (c *Cache) shard(k Key) *shard { return &c.shards[k[0]%shardCount] }

// shard keeps its slots in one piece and refers to them by index. The garbage collector
// follows every pointer of every entry each time it runs, and logins wait meanwhile: an
// entry of maps, lists and a dozen strings would cost them ten times as much.
type shard struct {
	mu         sync.Mutex
	byKey      map[Key]int32
	slots      []slot
	newest     int32 // by last use
	oldest     int32
	free       int32 // the first of the slots without an entry, linked by older
	bytes      int
	evicted    uint64
	maxEntries int
	maxBytes   int
}

// none is the index of no slot.
const none = -1

type slot struct {
	key          Key
	entry        packed
	newer, older int32
}

func (s *shard) get(k Key, now time.Time) (Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.byKey[k]
	if !ok {
		return Entry{}, false
	}
	if !now.Before(s.slots[i].entry.expires) {
		s.remove(i)
		return Entry{}, false
	}
	if i != s.newest {
		s.unlink(i)
		s.pushNewest(i)
	}
	return s.slots[i].entry.unpack(), true
}

func (s *shard) put(k Key, e Entry) {
	packed := pack(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.byKey[k]; ok {
		s.remove(last)
	}
	i := s.take()
	s.slots[i].key, s.slots[i].entry = k, packed
	s.byKey[k] = i
	s.bytes += packed.size()
	s.pushNewest(i)
	for s.oldest != none && (len(s.byKey) > s.maxEntries || s.bytes > s.maxBytes) {
		s.remove(s.oldest)
		s.evicted++
	}
}

func (s *shard) delete(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.byKey[k]; ok {
		s.remove(i)
	}
}

func (s *shard) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.byKey {
		if !now.Before(s.slots[i].entry.expires) {
			s.remove(i)
		}
	}
}

// take returns a slot without an entry.
func (s *shard) take() int32 {
	if s.free == none {
		s.slots = append(s.slots, slot{})
		return int32(len(s.slots) - 1)
	}
	i := s.free
	s.free = s.slots[i].older
	return i
}

func (s *shard) remove(i int32) {
	at := &s.slots[i]
	delete(s.byKey, at.key)
	s.bytes -= at.entry.size()
	s.unlink(i)
	*at = slot{older: s.free}
	s.free = i
}

func (s *shard) unlink(i int32) {
	at := &s.slots[i]
	if at.newer != none {
		s.slots[at.newer].older = at.older
	} else {
		s.newest = at.older
	}
	if at.older != none {
		s.slots[at.older].newer = at.newer
	} else {
		s.oldest = at.newer
	}
}

func (s *shard) pushNewest(i int32) {
	at := &s.slots[i]
	at.newer, at.older = none, s.newest
	if s.newest != none {
		s.slots[s.newest].newer = i
	} else {
		s.oldest = i
	}
	s.newest = i
}
