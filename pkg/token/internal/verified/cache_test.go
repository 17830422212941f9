package verified

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// key makes the keys of one shard differ, too.
func key(i int) (k Key) {
	k[0] = byte(i)
	binary.BigEndian.PutUint64(k[8:], uint64(i))
	return k
}

func entry(name string, expires time.Time) Entry {
	return Entry{Identity: iam.Identity{ARN: name}, Asked: start, Expires: expires}
}

func has(c *Cache, k Key) bool {
	_, ok := c.Get(k, start)
	return ok
}

func size(e Entry) int {
	p := pack(e)
	return p.size()
}

func TestKeysTellTokensApart(t *testing.T) {
	keys, others := NewKeys(), NewKeys()
	seen := map[Key]string{}
	for _, token := range []string{"", "a", "b", "ab", strings.Repeat("a", 1024), strings.Repeat("a", 1025), strings.Repeat("a", 2048), strings.Repeat("a", 2047) + "b"} {
		k := keys.Of(token)
		if last, ok := seen[k]; ok {
			t.Errorf("%.10q (%d bytes) has the key of %.10q", token, len(token), last)
		}
		seen[k] = token
		if keys.Of(token) != k {
			t.Errorf("%.10q has two keys", token)
		}
		if others.Of(token) == k {
			t.Errorf("%.10q has the same key under another secret", token)
		}
	}
}

func TestKeysKeepNothingOfAToken(t *testing.T) {
	keys := NewKeys()
	// Not in parallel with anything: the pool gives back what was just put.
	keys.Of(strings.Repeat("secret", 500))
	m := keys.macs.Get().(*mac)
	if m.buffer != [len(m.buffer)]byte{} {
		t.Error("a part of the token is left")
	}
}

func TestKeysAreSafeForConcurrentUse(t *testing.T) {
	keys := NewKeys()
	var wg sync.WaitGroup
	for i := range 8 {
		token := strings.Repeat(fmt.Sprint(i), 1500)
		want := keys.Of(token)
		wg.Go(func() {
			for range 1000 {
				if keys.Of(token) != want {
					t.Error("another key")
				}
			}
		})
	}
	wg.Wait()
}

func TestGetReturnsWhatWasPutUntilItExpires(t *testing.T) {
	c := New(Options{Entries: 100, Bytes: 1 << 20})
	c.Put(key(1), entry("alice", start.Add(time.Minute)))
	for _, at := range []struct {
		after time.Duration
		found bool
	}{{0, true}, {time.Minute - 1, true}, {time.Minute, false}, {0, false}} { // once expired, gone for good
		e, found := c.Get(key(1), start.Add(at.after))
		if found != at.found {
			t.Errorf("after %s: %v", at.after, e)
		}
	}
	if has(c, key(2)) {
		t.Error("found what was never put")
	}
	if s := c.Stats(); s != (Stats{}) {
		t.Errorf("%+v is left", s)
	}
}

func TestPutReplacesAndDeleteForgets(t *testing.T) {
	c := New(Options{Entries: 100, Bytes: 1 << 20})
	c.Put(key(1), entry("alice", start.Add(time.Minute)))
	held, _ := c.Get(key(1), start)
	one := c.Stats()
	c.Put(key(1), entry("ALICE", start.Add(time.Minute)))
	if e, _ := c.Get(key(1), start); e.Identity.ARN != "ALICE" {
		t.Errorf("got %s", e.Identity.ARN)
	}
	if held.Identity.ARN != "alice" {
		t.Error("an entry changed under its holder")
	}
	if s := c.Stats(); s != one {
		t.Errorf("%+v, want %+v", s, one)
	}
	c.Delete(key(1))
	c.Delete(key(1))
	if has(c, key(1)) || c.Stats() != (Stats{}) {
		t.Error("not deleted")
	}
}

func TestTheLeastRecentlyUsedGoesFirst(t *testing.T) {
	for name, o := range map[string]Options{
		"by number": {Entries: 3 * shardCount, Bytes: 1 << 30},
		"by bytes":  {Entries: 1 << 20, Bytes: 3 * shardCount * (size(entry("xxxx", start)) + 1)},
	} {
		t.Run(name, func(t *testing.T) {
			c := New(o)
			later := start.Add(time.Hour)
			same := func(i int) Key { return key(i * 256) } // one shard
			for i := range 3 {
				c.Put(same(i), entry("xxxx", later))
			}
			c.Get(same(0), start)
			c.Put(same(3), entry("xxxx", later))
			for i, want := range []bool{true, false, true, true} {
				if got := has(c, same(i)); got != want {
					t.Errorf("entry %d: %v, want %v", i, got, want)
				}
			}
			if s := c.Stats(); s.Evicted != 1 || s.Entries != 3 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestSweepDropsWhatExpired(t *testing.T) {
	c := New(Options{Entries: 1000, Bytes: 1 << 20})
	for i := range 100 {
		c.Put(key(i), entry("x", start.Add(time.Duration(i)*time.Second)))
	}
	c.Sweep(start.Add(49 * time.Second))
	if s := c.Stats(); s.Entries != 50 || s.Evicted != 0 {
		t.Errorf("%+v", s)
	}
}

// TestCacheAgainstAModel does random things to a cache and to a plain map.
func TestCacheAgainstAModel(t *testing.T) {
	const seed = 7
	r := rand.New(rand.NewPCG(seed, seed))
	c := New(Options{Entries: 20 * shardCount, Bytes: 1 << 30})
	model := map[Key]Entry{}
	now := start
	for range 200_000 {
		k := key(r.IntN(200))
		switch r.IntN(10) {
		case 0:
			now = now.Add(time.Duration(r.IntN(1000)) * time.Millisecond)
		case 1, 2, 3:
			e := entry(fmt.Sprint(r.Int()), now.Add(time.Duration(r.IntN(10))*time.Second))
			c.Put(k, e)
			model[k] = e
		case 4:
			c.Delete(k)
			delete(model, k)
		case 5:
			c.Sweep(now)
		default:
			want, ok := model[k]
			ok = ok && now.Before(want.Expires)
			if got, found := c.Get(k, now); found != ok || ok && got != want {
				t.Fatalf("seed %d: got %v, want %v %v", seed, got, want, ok)
			}
		}
	}
	for i := range c.shards {
		s := &c.shards[i]
		n, bytes := 0, 0
		for at := s.newest; at != none; at = s.slots[at].older {
			n, bytes = n+1, bytes+s.slots[at].entry.size()
		}
		if n != len(s.byKey) || bytes != s.bytes {
			t.Errorf("shard %d: list of %d (%d bytes), map of %d (%d bytes)", i, n, bytes, len(s.byKey), s.bytes)
		}
		for at := s.free; at != none; at = s.slots[at].older {
			if n++; s.slots[at] != (slot{older: s.slots[at].older}) {
				t.Errorf("shard %d: a free slot holds %+v", i, s.slots[at])
			}
		}
		if n != len(s.slots) {
			t.Errorf("shard %d: %d slots, of which %d are in use or free", i, len(s.slots), n)
		}
	}
	if s := c.Stats(); s.Evicted != 0 {
		t.Errorf("%d evicted below the bounds", s.Evicted)
	}
}

func TestBytesAreWhatEntriesReallyTake(t *testing.T) {
	fill := func(c *Cache, n int) {
		for i := range n {
			arn := fmt.Sprintf("arn:aws:sts::111122223333:assumed-role/developers/alice%d@example.com", i)
			id, err := iam.NewIdentity(arn, "111122223333", fmt.Sprintf("AROAEXAMPLE:alice%d@example.com", i), fmt.Sprintf("ASIA%016d", i))
			if err != nil {
				t.Fatal(err)
			}
			var k Key
			k[0], k[1], k[2], k[3] = byte(i), byte(i>>8), byte(i>>16), byte(i*7)
			c.Put(k, Entry{Identity: id, Asked: start, Expires: start.Add(time.Hour)})
		}
	}
	c := New(Options{Entries: 1 << 20, Bytes: 1 << 30})
	before := heap()
	fill(c, 50_000)
	real, told := int(heap()-before), c.Stats().Bytes
	runtime.KeepAlive(c)
	if told < real*8/10 || told > real*14/10 {
		t.Errorf("%d bytes estimated, %d taken", told, real)
	}
	t.Logf("%d bytes per entry, %d estimated", real/50_000, told/50_000)

	// And a full cache stays full.
	bounded := New(Options{Entries: 1 << 20, Bytes: 4 << 20})
	before = heap()
	fill(bounded, 50_000)
	if grown := int(heap() - before); grown > 6<<20 {
		t.Errorf("a cache of 4 MiB takes %d bytes", grown)
	}
	runtime.KeepAlive(bounded)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestRefusalsAreRemembered(t *testing.T) {
	c := New(Options{Entries: 10, Bytes: 1 << 20})
	refusal := reason.New(reason.CredentialsInvalid, "no such key")
	c.Put(key(1), Entry{Refusal: refusal, Asked: start, Expires: start.Add(10 * time.Second)})
	if e, ok := c.Get(key(1), start); !ok || e.Refusal != refusal {
		t.Errorf("got %v", e)
	}
}

// TestEntriesAreKeptWhole fills every field of an entry, also those that it will have.
func TestEntriesAreKeptWhole(t *testing.T) {
	var e Entry
	n := 0
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		n++
		switch {
		case v.Type() == reflect.TypeFor[time.Time]():
			v.Set(reflect.ValueOf(start.Add(time.Duration(n) * time.Hour)))
		case v.Type() == reflect.TypeFor[*reason.Error]():
			v.Set(reflect.ValueOf(reason.New(reason.CredentialsInvalid, "no such key")))
		case v.Kind() == reflect.Struct:
			for _, field := range v.Fields() {
				fill(field)
			}
		case v.Kind() == reflect.String:
			v.SetString(strings.Repeat("é", n))
		case v.Kind() == reflect.Bool:
			v.SetBool(true)
		default:
			v.SetInt(int64(n))
		}
	}
	fill(reflect.ValueOf(&e).Elem())
	c := New(Options{Entries: 10, Bytes: 1 << 20})
	c.Put(key(1), e)
	if got, _ := c.Get(key(1), start); got != e {
		t.Errorf("got  %+v\nwant %+v", got, e)
	}
}

func TestAnEntryOfTooMuchTextIsNotKept(t *testing.T) {
	c := New(Options{Entries: 10, Bytes: 1 << 24})
	for _, length := range []int{maxText, maxText + 1} {
		c.Put(key(1), entry(strings.Repeat("x", length), start.Add(time.Hour)))
		if has(c, key(1)) != (length <= maxText) {
			t.Errorf("%d bytes: %v", length, has(c, key(1)))
		}
	}
}

func BenchmarkKey(b *testing.B) {
	for _, n := range []int{600, 1600} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			keys, token := NewKeys(), strings.Repeat("x", n)
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				keys.Of(token)
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	c := New(Options{Entries: 1 << 20, Bytes: 1 << 30})
	for i := range 10_000 {
		c.Put(key(i), entry("x", start.Add(time.Hour)))
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if !has(c, key(i%10_000)) {
				b.Fatal("miss")
			}
		}
	})
}

// BenchmarkCollect is what each run of the garbage collector costs while many tokens are
// remembered.
func BenchmarkCollect(b *testing.B) {
	c := New(Options{Entries: 1 << 20, Bytes: 1 << 30})
	for i := range 50_000 {
		arn := fmt.Sprintf("arn:aws:sts::111122223333:assumed-role/developers/alice%d@example.com", i)
		id, err := iam.NewIdentity(arn, "111122223333", fmt.Sprintf("AROAEXAMPLE:alice%d@example.com", i), "ASIAEXAMPLE")
		if err != nil {
			b.Fatal(err)
		}
		c.Put(key(i), Entry{Identity: id, Asked: start, Expires: start.Add(time.Hour)})
	}
	for b.Loop() {
		runtime.GC()
	}
	runtime.KeepAlive(c)
}
