// Package verified remembers what STS said about a token, without the token.
package verified

import (
	"sync"
	"time"
	"unsafe"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// Entry is what STS said about a token. It is shared by all who ask and never
// changes.
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
			items:      make(map[Key]*item),
			maxEntries: (o.Entries + shardCount - 1) / shardCount,
			maxBytes:   (o.Bytes + shardCount - 1) / shardCount,
		}
	}
	return c
}

// Get returns the entry of a token, or nil if there is none that is good at the
// time now.
func (c *Cache) Get(k Key, now time.Time) *Entry { return c.shard(k).get(k, now) }

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
		sum.Entries += len(s.items)
		sum.Bytes += s.bytes
		sum.Evicted += s.evicted
		s.mu.Unlock()
	}
	return sum
}

// shard picks by a byte of the key, which is as good as random.
func (c *Cache) shard(k Key) *shard { return &c.shards[k[0]%shardCount] }

type shard struct {
	mu         sync.Mutex
	items      map[Key]*item
	newest     *item // by last use
	oldest     *item
	bytes      int
	evicted    uint64
	maxEntries int
	maxBytes   int
}

type item struct {
	key          Key
	entry        Entry
	newer, older *item
	bytes        int
}

func (s *shard) get(k Key, now time.Time) *Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.items[k]
	if it == nil {
		return nil
	}
	if !now.Before(it.entry.Expires) {
		s.remove(it)
		return nil
	}
	s.unlink(it)
	s.pushNewest(it)
	return &it.entry
}

func (s *shard) put(k Key, e Entry) {
	it := &item{key: k, entry: e, bytes: size(e)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.items[k]; last != nil {
		s.remove(last) // replaced, not overwritten: somebody may hold its entry
	}
	s.items[k] = it
	s.bytes += it.bytes
	s.pushNewest(it)
	for s.oldest != nil && (len(s.items) > s.maxEntries || s.bytes > s.maxBytes) {
		s.remove(s.oldest)
		s.evicted++
	}
}

func (s *shard) delete(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it := s.items[k]; it != nil {
		s.remove(it)
	}
}

func (s *shard) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range s.items {
		if !now.Before(it.entry.Expires) {
			s.remove(it)
		}
	}
}

func (s *shard) remove(it *item) {
	delete(s.items, it.key)
	s.bytes -= it.bytes
	s.unlink(it)
}

func (s *shard) unlink(it *item) {
	if it.newer != nil {
		it.newer.older = it.older
	} else {
		s.newest = it.older
	}
	if it.older != nil {
		it.older.newer = it.newer
	} else {
		s.oldest = it.newer
	}
	it.newer, it.older = nil, nil
}

func (s *shard) pushNewest(it *item) {
	it.older = s.newest
	if s.newest != nil {
		s.newest.newer = it
	} else {
		s.oldest = it
	}
	s.newest = it
}

// size estimates the memory of an entry: the item, its share of the map (a key and
// a pointer, at the map's mean load) and the text.
func size(e Entry) int {
	const fixed = int(unsafe.Sizeof(item{})) + 2*int(unsafe.Sizeof(Key{})+unsafe.Sizeof((*item)(nil)))
	id := &e.Identity
	n := fixed + len(id.ARN) + len(id.CanonicalARN) + len(id.MapKey) + len(id.UserID) + len(id.AccessKeyID) + len(e.RequestID)
	if e.Refusal != nil {
		n += int(unsafe.Sizeof(*e.Refusal)) + len(e.Refusal.Detail)
	}
	return n
}
