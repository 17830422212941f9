package accessentry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/objects"
)

// applied is what a write says.
type applied struct {
	APIVersion string
	Kind       string
	Metadata   struct{ Name, UID, ResourceVersion string }
	Status     v1alpha1.AccessEntryStatus
}

// writes is a reporter that writes here, inside a bubble of time.
type writes struct {
	*reporter
	t       *testing.T
	logs    *observer.ObservedLogs
	list    []applied
	at      []time.Time
	mu      sync.Mutex
	err     error // guarded by mu
	objects map[string]*objects.Object
	version int
}

func newWrites(t *testing.T) *writes {
	w := &writes{t: t, objects: map[string]*objects.Object{}}
	core, logs := observer.New(zapcore.DebugLevel)
	w.logs = logs
	w.reporter = newReporter(w.write, zap.New(core), time.Now)
	return w
}

func (w *writes) write(_ context.Context, name string, data []byte, manager string) error {
	var a applied
	if err := json.Unmarshal(data, &a); err != nil || a.Metadata.Name != name || manager == "" {
		w.t.Errorf("written by %q to %s: %s, %v", manager, name, data, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = append(w.at, time.Now())
	if w.err == nil {
		w.list = append(w.list, a)
	}
	return w.err
}

// fail makes writes fail from now on, or not.
func (w *writes) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

// start runs the reporter until the end of the test.
func (w *writes) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("run: %v", err)
		}
	})
}

// put is an event of the watch: an entry with the status.
func (w *writes) put(name string, second int, role string, status any) {
	w.version++
	o := w.objects[name]
	if o == nil {
		o = &objects.Object{}
		o.Name, o.UID = name, types.UID("uid-"+name)
		o.CreationTimestamp = metav1.Unix(int64(second), 0)
		w.objects[name] = o
	}
	if spec := fmt.Appendf(nil, `{"principalARN": "arn:aws:iam::111122223333:role/%s"}`, role); string(spec) != string(o.Spec) {
		o.Spec = spec
		o.Generation++
	}
	o.ResourceVersion = fmt.Sprint(w.version)
	o.Status = nil
	if status != nil {
		o.Status, _ = json.Marshal(status)
	}
	w.store.Upsert(o)
}

// take returns what was written since, after time has passed in which it was.
func (w *writes) take() []applied {
	return w.takeAfter(time.Hour)
}

func (w *writes) takeAfter(d time.Duration) []applied {
	time.Sleep(d)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.list
	w.list = nil
	return list
}

// one returns the only write.
func (w *writes) one() applied {
	w.t.Helper()
	list := w.take()
	if len(list) != 1 {
		w.t.Fatalf("written %+v, want one status", list)
	}
	return list[0]
}

func check(t *testing.T, a applied, name string, status metav1.ConditionStatus, reason, canonicalARN string) {
	t.Helper()
	if len(a.Status.Conditions) != 1 {
		t.Fatalf("conditions %+v", a.Status.Conditions)
	}
	c := a.Status.Conditions[0]
	if a.Metadata.Name != name || c.Type != "Accepted" || c.Status != status || c.Reason != reason || c.Message == "" || a.Status.CanonicalARN != canonicalARN {
		t.Errorf("%s: %+v, want %s %s %s %s", a.Metadata.Name, a.Status, name, status, reason, canonicalARN)
	}
}

const prefix = "arn:aws:iam::111122223333:role/"

func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWrites(t)
		w.start()

		w.put("a", 1, "r", nil)
		a := w.one()
		check(t, a, "a", "True", "InForce", prefix+"r")
		if a.APIVersion != "iam-authenticator.dev/v1alpha1" || a.Kind != "AccessEntry" || a.Metadata.UID != "uid-a" || a.Metadata.ResourceVersion != "1" {
			t.Errorf("not for the version that was seen: %+v", a)
		}
		accepted := a.Status.Conditions[0].LastTransitionTime

		w.put("a", 1, "r", a.Status)
		if more := w.take(); len(more) > 0 {
			t.Fatalf("written again: %+v", more)
		}

		w.put("a", 1, "bad name", a.Status)
		bad := w.one()
		check(t, bad, "a", "False", "InvalidSpec", "")
		if c := bad.Status.Conditions[0]; c.ObservedGeneration != 2 || !c.LastTransitionTime.After(accepted.Time) {
			t.Errorf("condition %+v, want the second generation and a new time", c)
		}

		w.put("a", 1, "bad name2", bad.Status)
		still := w.one()
		if c := still.Status.Conditions[0]; !c.LastTransitionTime.Equal(&bad.Status.Conditions[0].LastTransitionTime) {
			t.Errorf("time changed from %+v to %+v, though the status didn't", bad.Status, c)
		}
	})
}

func TestReportNamesEntryThatStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWrites(t)
		w.start()
		w.put("young", 2, "r", nil)
		young := w.one()
		w.put("young", 2, "r", young.Status)

		w.put("old", 1, "r", nil)
		list := w.take()
		slices.SortFunc(list, func(a, b applied) int { return len(a.Metadata.Name) - len(b.Metadata.Name) })
		if len(list) != 2 {
			t.Fatalf("written %+v, want both", list)
		}
		check(t, list[0], "old", "True", "InForce", prefix+"r")
		check(t, list[1], "young", "False", "DuplicatePrincipal", prefix+"r")
		if m := list[1].Status.Conditions[0].Message; m != "The access entry old is older, for the same principal, and stands instead." {
			t.Errorf("message %q", m)
		}
		w.put("young", 2, "r", list[1].Status)

		w.store.Delete(w.objects["old"])
		check(t, w.one(), "young", "True", "InForce", prefix+"r")
	})
}

func TestReportCorrectsWhatOthersWrite(t *testing.T) {
	forged := []any{
		"a string", map[string]any{"conditions": 1},
		map[string]any{"canonicalARN": prefix + "other"},
	}
	for i := range forged {
		synctest.Test(t, func(t *testing.T) {
			w := newWrites(t)
			w.start()
			w.put("a", 1, "r", forged[i])
			check(t, w.one(), "a", "True", "InForce", prefix+"r")
		})
	}
	change := map[string]func(*v1alpha1.AccessEntryStatus){
		"ARN":        func(s *v1alpha1.AccessEntryStatus) { s.CanonicalARN = prefix + "other" },
		"status":     func(s *v1alpha1.AccessEntryStatus) { s.Conditions[0].Status = "False" },
		"reason":     func(s *v1alpha1.AccessEntryStatus) { s.Conditions[0].Reason = "Other" },
		"message":    func(s *v1alpha1.AccessEntryStatus) { s.Conditions[0].Message = "Other." },
		"generation": func(s *v1alpha1.AccessEntryStatus) { s.Conditions[0].ObservedGeneration = 7 },
		"type":       func(s *v1alpha1.AccessEntryStatus) { s.Conditions[0].Type = "Other" },
	}
	for name, f := range change {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWrites(t)
				w.start()
				w.put("a", 1, "r", nil)
				s := w.one().Status
				f(&s)
				w.put("a", 1, "r", s)
				check(t, w.one(), "a", "True", "InForce", prefix+"r")
			})
		})
	}
}

func TestReportLeavesOtherConditionsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWrites(t)
		w.start()
		w.put("a", 1, "r", nil)
		s := w.one().Status
		s.Conditions = append([]metav1.Condition{{Type: "PoliciesApplied", Status: "True"}}, s.Conditions...)
		w.put("a", 1, "r", s)
		if more := w.take(); len(more) > 0 {
			t.Errorf("written %+v, though Accepted is right", more)
		}
	})
}

// TestReportDoesNotFight has another replica overwrite what is written each time.
func TestReportDoesNotFight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWrites(t)
		w.start()
		overwrite := func() (answers int) {
			for range 100 {
				w.put("a", 1, "r", map[string]any{"canonicalARN": "x"})
				answers += len(w.takeAfter(time.Second))
			}
			return answers
		}
		if n := overwrite(); n != maxRepeats {
			t.Errorf("written %d times, want %d", n, maxRepeats)
		}
		time.Sleep(epoch)
		if n := overwrite(); n != maxRepeats {
			t.Errorf("written %d times in the next epoch, want %d", n, maxRepeats)
		}
	})
}

func TestReportKeepsPaceAndTakesLatestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWrites(t)
		const n = 2000
		for i := range n {
			w.put(fmt.Sprint(i), 1, fmt.Sprintf("r%d", i), nil)
		}
		w.start()
		time.Sleep(10 * time.Second)
		w.put("new", 1, "new", nil)
		list := w.takeAfter(2 * pace)
		if len(list) > 210 {
			t.Errorf("%d writes within 10 s, want 20 per second", len(list))
		}
		if !slices.ContainsFunc(list, func(a applied) bool { return a.Metadata.Name == "new" }) {
			t.Error("a new entry has to wait for those of the start")
		}
		if rest := w.take(); len(list)+len(rest) != n+1 {
			t.Errorf("%d and %d written, want all", len(list), len(rest))
		}
	})
}

func TestReportTriesAgainWithPausesAndLogsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWrites(t)
		w.fail(apierrors.NewForbidden(v1alpha1.Resource(resource), "a", nil))
		w.start()
		w.put("a", 1, "r", nil)
		w.put("b", 1, "q", nil)
		w.take()
		if n := len(w.at); n < 50 || n > 70 {
			t.Errorf("%d attempts in an hour, want one per minute", n)
		}
		if n := w.logs.FilterLevelExact(zapcore.WarnLevel).Len(); n != 1 {
			t.Errorf("logged %d times: %v", n, w.logs.All())
		}
		w.fail(nil)
		if list := w.take(); len(list) != 2 {
			t.Errorf("written %+v once it is allowed, want both", list)
		}
		if n := w.logs.FilterMessage("status of access entries can be written again").Len(); n != 1 {
			t.Errorf("recovery logged %d times", n)
		}
	})
}

func TestReportGivesUpWhatWaitsForAnEvent(t *testing.T) {
	for name, err := range map[string]error{
		"changed since":  apierrors.NewConflict(v1alpha1.Resource(resource), "a", nil),
		"gone":           apierrors.NewNotFound(v1alpha1.Resource(resource), "a"),
		"refused":        apierrors.NewInvalid(v1alpha1.SchemeGroupVersion.WithKind(kind).GroupKind(), "a", nil),
		"not understood": apierrors.NewGenericServerResponse(http.StatusBadRequest, "patch", v1alpha1.Resource(resource), "a", "", 0, true),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWrites(t)
				w.fail(err)
				w.start()
				w.put("a", 1, "r", nil)
				w.take()
				if len(w.at) != 1 {
					t.Errorf("%d attempts, want one", len(w.at))
				}
				w.fail(nil)
				w.put("a", 1, "r", nil)
				check(t, w.one(), "a", "True", "InForce", prefix+"r")
			})
		})
	}
}

func TestReportSkipsWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWrites(t)
		w.put("a", 1, "r", nil)
		w.store.Delete(w.objects["a"])
		w.start()
		w.take()
		if len(w.at) != 0 {
			t.Errorf("%d attempts for an entry that is gone", len(w.at))
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	q := newQueue()
	for i := range 10_000 {
		q.push(fmt.Sprint(i % 10))
		if len(q.tickets) > 50 {
			t.Fatalf("%d tickets for 10 names", len(q.tickets))
		}
	}
	q.pushLast("late")
	q.pushLast("9") // is waiting already, and keeps its place
	var got []string
	for {
		name, ok := q.pop()
		if !ok {
			break
		}
		got = append(got, name)
	}
	if want := []string{"9", "8", "7", "6", "5", "4", "3", "2", "1", "0", "late"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
