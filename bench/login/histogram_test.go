package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsFollowEachOtherWithoutGaps(t *testing.T) {
	last := len(new(histogram).buckets) - 1
	next := time.Duration(0)
	for i := range last + 1 {
		if got := bucket(next); got != i {
			t.Fatalf("bucket(%d) = %d, want %d, as bucket %d ends just before", next, got, i, i-1)
		}
		if got := bucket(upper(i)); got != i {
			t.Fatalf("bucket(%d) = %d, want %d, whose end it is", upper(i), got, i)
		}
		next = upper(i) + 1
	}
	if next != maxLatency+1 {
		t.Errorf("the last bucket ends at %d, want %d", next-1, maxLatency)
	}
}

func TestTimesBeyondTheScaleCountAsItsEnds(t *testing.T) {
	var h histogram
	h.record(-time.Second)
	h.record(time.Hour)
	if got := h.percentile(0.5); got != 0 {
		t.Errorf("a negative time counts as %v, want 0s", got)
	}
	if got := h.percentile(1); got != maxLatency {
		t.Errorf("an hour counts as %v, want %v", got, maxLatency)
	}
}

func TestPercentilesAreThoseOfTheTimesToOnePercent(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h histogram
	times := make([]time.Duration, 10_000)
	for i := range times {
		times[i] = time.Duration(math.Exp(random.Float64() * 24)) // to 26 s
		h.record(times[i])
	}
	slices.Sort(times)
	for _, p := range []float64{0.0001, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := times[int(math.Ceil(p*float64(len(times))))-1]
		got := h.percentile(p)
		if got < want || float64(got) > float64(want)*1.01 {
			t.Errorf("p%v = %v, want %v, or at most 1 %% more", 100*p, got, want)
		}
	}
}

func TestPercentileOfNothingIsZero(t *testing.T) {
	if got := new(histogram).percentile(0.99); got != 0 {
		t.Errorf("got %v, want 0s", got)
	}
}

func TestAddedHistogramsCountTogether(t *testing.T) {
	var a, b histogram
	for i := range 99 {
		a.record(time.Duration(i))
	}
	b.record(time.Minute)
	a.add(&b)
	if n, p := a.count(), a.percentile(1); n != 100 || p < time.Minute {
		t.Errorf("%d times up to %v, want 100 up to 1m", n, p)
	}
}
