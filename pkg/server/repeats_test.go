package server

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

func TestRepeatsSumUpWhatIsAlike(t *testing.T) {
	r := newRepeats()
	start := time.Unix(1_800_000_000, 0)
	what := refusal{reason: "NotMapped", caller: "arn:aws:iam::111122223333:user/alice"}
	for _, step := range []struct {
		at       time.Duration
		times    int
		logged   int
		repeated int // as said by the first of them that is logged
	}{
		{0, 1, 1, 0},
		{time.Second, 100, repeatsLogged - 1, 0},
		{repeatsPeriod - 1, 3, 0, 0},
		{repeatsPeriod, 10, 1, 101 - repeatsLogged + 3}, // one in each period while it lasts
		{2*repeatsPeriod - 1, 1, 0, 0},
		{2 * repeatsPeriod, 1, 1, 10},
		{3 * repeatsPeriod, 1, 1, 0},
		{10 * repeatsPeriod, 100, repeatsLogged, 0}, // anew after a pause
		{20 * repeatsPeriod, 1, 1, 100 - repeatsLogged},
	} {
		logged, first := 0, 0
		for range step.times {
			if repeated, ok := r.log(start.Add(step.at), what); ok {
				if logged++; logged == 1 {
					first = repeated
				} else if repeated != 0 {
					t.Errorf("after %s: another line says %d repeated", step.at, repeated)
				}
			}
		}
		if logged != step.logged || first != step.repeated {
			t.Errorf("after %s: %d of %d logged, %d repeated; want %d and %d", step.at, logged, step.times, first, step.logged, step.repeated)
		}
	}
}

func TestRepeatsTellPeopleApart(t *testing.T) {
	for name, c := range map[string]struct {
		flood, other refusal
	}{
		"principals": {refusal{"NotMapped", "alice", ""}, refusal{"NotMapped", "bob", ""}},
		"hosts":      {refusal{"MalformedToken", "192.0.2.1", "x"}, refusal{"MalformedToken", "192.0.2.2", "x"}},
		"details":    {refusal{"MalformedToken", "192.0.2.1", "x"}, refusal{"MalformedToken", "192.0.2.1", "y"}},
		"reasons":    {refusal{"NotMapped", "alice", ""}, refusal{"NameReserved", "alice", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			r, now := newRepeats(), time.Unix(1_800_000_000, 0)
			for range 100_000 {
				r.log(now, c.flood)
			}
			if repeated, ok := r.log(now, c.other); !ok || repeated != 0 {
				t.Errorf("hidden by a flood of another kind: %v, %d", ok, repeated)
			}
		})
	}
}

func TestRepeatsBoundEachReason(t *testing.T) {
	r, now := newRepeats(), time.Unix(1_800_000_000, 0)
	for second := range 3 {
		logged := 0
		for i := range 10_000 {
			at := now.Add(time.Duration(second)*time.Second + time.Duration(i)*time.Microsecond)
			if _, ok := r.log(at, refusal{"MalformedToken", "192.0.2.1", fmt.Sprint(second, i)}); ok {
				logged++
			}
		}
		if want := refusalsLogged + (10_000-refusalsLogged)/refusalsSampled; logged != want {
			t.Errorf("second %d: %d of 10,000 logged, want %d", second, logged, want)
		}
		if _, ok := r.log(now.Add(time.Duration(second)*time.Second), refusal{"NotMapped", fmt.Sprint(second), ""}); !ok {
			t.Errorf("second %d: one reason hides another", second)
		}
	}
	// What the bound hid is said when it lets through one of the kind.
	what := refusal{"MalformedToken", "192.0.2.9", "x"}
	if _, ok := r.log(now.Add(2*time.Second+time.Millisecond*500), what); ok {
		t.Fatal("the bound let it through")
	}
	if repeated, ok := r.log(now.Add(4*time.Second), what); !ok || repeated != 1 {
		t.Errorf("%v, %d repeated, want 1", ok, repeated)
	}
}

func TestRepeatsTakeTheSameMemoryWhateverComes(t *testing.T) {
	r, now := newRepeats(), time.Unix(1_800_000_000, 0)
	details := make([]string, 100_000)
	for i := range details {
		details[i] = fmt.Sprint(i)
	}
	i := 0
	if n := testing.AllocsPerRun(len(details)-1, func() {
		r.log(now, refusal{"MalformedToken", "192.0.2.1", details[i]})
		i++
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if len(r.reasons) != 1 {
		t.Errorf("%d reasons", len(r.reasons))
	}
	if size := unsafe.Sizeof(*r); size > 128<<10 {
		t.Errorf("%d bytes", size)
	}
}

func TestRepeatsOfManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRepeats()
		counts := make(chan int)
		for range 100 {
			go func() {
				logged := 0
				for range 100 {
					if _, ok := r.log(time.Now(), refusal{"NotMapped", "alice", ""}); ok {
						logged++
					}
				}
				counts <- logged
			}()
		}
		logged := 0
		for range 100 {
			logged += <-counts
		}
		if logged != repeatsLogged {
			t.Errorf("%d logged, want %d", logged, repeatsLogged)
		}
		time.Sleep(repeatsPeriod)
		if repeated, ok := r.log(time.Now(), refusal{"NotMapped", "alice", ""}); !ok || repeated != 10_000-repeatsLogged {
			t.Errorf("%v, %d repeated", ok, repeated)
		}
	})
}
