package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// precision is how many bits of a value decide its bucket: percentiles are exact to less than 1 %.
const precision = 7

// maxLatency is the longest time that a histogram tells from longer ones, about 68 s.
const maxLatency = time.Duration(1<<36 - 1)

// histogram counts times. Buckets are as wide as the precision allows, so that there are few of them.
// The zero value is empty. It is safe for concurrent use.
type histogram struct {
	buckets [(36 - precision + 1) << precision]atomic.Int64
}

func (h *histogram) record(d time.Duration) { h.buckets[bucket(d)].Add(1) }

func (h *histogram) add(other *histogram) {
	for i := range other.buckets {
		if n := other.buckets[i].Load(); n > 0 {
			h.buckets[i].Add(n)
		}
	}
}

func (h *histogram) count() (n int64) {
	for i := range h.buckets {
		n += h.buckets[i].Load()
	}
	return n
}

// percentile returns the time that a share p of all, from 0 to 1, did not exceed; 0 if there is none.
func (h *histogram) percentile(p float64) time.Duration {
	rank := max(int64(p*float64(h.count())+0.999999), 1)
	var seen int64
	for i := range h.buckets {
		if seen += h.buckets[i].Load(); seen >= rank {
			return upper(i)
		}
	}
	return 0
}

// bucket returns where a time is counted: times below 2^precision ns have a bucket each; above, each power of
// two is divided into as many buckets.
func bucket(d time.Duration) int {
	v := uint64(min(max(d, 0), maxLatency))
	shift := max(bits.Len64(v)-precision-1, 0)
	return shift<<precision + int(v>>shift)
}

// upper returns the longest time that is counted in a bucket.
func upper(i int) time.Duration {
	shift := max(i>>precision-1, 0)
	return time.Duration((i-shift<<precision+1)<<shift - 1)
}
