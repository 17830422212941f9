package source

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/source/sourcetest"
)

// names is a store of the names of objects.
type names struct {
	mu       sync.Mutex
	all      []string
	replaced int
}

func nameOf(object any) string { return object.(*corev1.ConfigMap).Name }

func (n *names) Replace(objects []any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.replaced++
	n.all = nil
	for _, o := range objects {
		n.all = append(n.all, nameOf(o))
	}
}

func (n *names) Upsert(object any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Contains(n.all, nameOf(object)) {
		n.all = append(n.all, nameOf(object))
	}
}

func (n *names) Delete(object any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = slices.DeleteFunc(n.all, func(s string) bool { return s == nameOf(object) })
}

func (n *names) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	slices.Sort(n.all)
	return strings.Join(n.all, " ")
}

// fixture is a source that runs against a server until the end of the test.
type fixture struct {
	*Source
	t      *testing.T
	server *sourcetest.Server
	store  *names
	logs   *observer.ObservedLogs
}

// test runs the test with lists through watches and without, in virtual time.
func test(t *testing.T, o Options, body func(t *testing.T, f *fixture)) {
	for name, noStreaming := range map[string]bool{"list through watch": false, "list": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, o, noStreaming)
				body(t, f)
			})
		})
	}
}

func newFixture(t *testing.T, o Options, noStreaming bool) *fixture {
	core, logs := observer.New(zapcore.InfoLevel)
	f := &fixture{t: t, server: sourcetest.New(t, "ConfigMap"), store: &names{}, logs: logs}
	f.server.NoStreaming = noStreaming
	o.Name, o.Store, o.Type, o.Log = "things", f.store, &corev1.ConfigMap{}, zap.New(core)
	o.ListWatch = NewListWatch(client(t, f.server), "things", "", fields.Everything())
	f.Source = New(o)
	return f
}

func (f *fixture) run() {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
}

func client(t *testing.T, s *sourcetest.Server) rest.Interface {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.ConfigMap{}, &corev1.ConfigMapList{})
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	config := s.Config(t)
	config.APIPath = "/api"
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func thing(name string) sourcetest.Object {
	return sourcetest.Object{"metadata": map[string]any{"name": name}}
}

// holds checks the store and whether the source says that all is well.
func (f *fixture) holds(want string, healthy bool) {
	f.t.Helper()
	synctest.Wait()
	if got := f.store.String(); got != want {
		f.t.Errorf("store has %q, want %q", got, want)
	}
	if _, err := f.Status(); (err == nil) != healthy {
		f.t.Errorf("error %v", err)
	}
}

func (f *fixture) warnings() int {
	return f.logs.FilterLevelExact(zapcore.WarnLevel).Len()
}

func TestSourceFollowsChanges(t *testing.T) {
	test(t, Options{}, func(t *testing.T, f *fixture) {
		if loaded, err := f.Status(); !loaded.IsZero() || err != nil {
			t.Errorf("status before Run: %v, %v", loaded, err)
		}
		f.server.Put(thing("a"))
		f.run()
		f.holds("a", true)
		if loaded, _ := f.Status(); !loaded.Equal(time.Now()) {
			t.Errorf("loaded %v", loaded)
		}
		f.server.Put(thing("b"))
		f.holds("a b", true)
		f.server.Put(thing("b"))
		f.holds("a b", true)
		f.server.Delete("a")
		f.holds("b", true)
		if f.logs.Len() > 0 {
			t.Errorf("logged %v", f.logs.All())
		}
	})
}

func TestSourceFindsServerAgainWithinTwoSeconds(t *testing.T) {
	for _, outage := range []time.Duration{time.Second, time.Minute, time.Hour} {
		t.Run(outage.String(), func(t *testing.T) {
			test(t, Options{}, func(t *testing.T, f *fixture) {
				f.server.Put(thing("a"))
				f.server.Put(thing("b"))
				f.run()
				f.server.Stop()
				time.Sleep(outage)
				f.holds("a b", false)
				f.server.Delete("a")
				f.server.Start()
				time.Sleep(2 * time.Second)
				f.holds("b", true)
				if f.warnings() != 1 {
					t.Errorf("logged %v", f.logs.All())
				}
			})
		})
	}
}

func TestSourceLosesWhatWasDeletedWhileItWasCutOff(t *testing.T) {
	test(t, Options{}, func(t *testing.T, f *fixture) {
		f.server.Put(thing("a"))
		f.server.Put(thing("b"))
		f.run()
		f.server.Stop()
		f.server.Delete("a")
		f.server.Compact() // nobody can tell of the deletion any more
		f.server.Start()
		time.Sleep(4 * time.Second)
		f.holds("b", true)
		if f.store.replaced < 2 {
			t.Error("no second list")
		}
	})
}

func TestSourceWatchesAgain(t *testing.T) {
	test(t, Options{}, func(t *testing.T, f *fixture) {
		f.run()
		for _, name := range []string{"a", "b", "c"} {
			time.Sleep(20 * time.Minute) // the server ends a watch after 5 to 10
			f.server.Put(thing(name))
			synctest.Wait()
		}
		f.holds("a b c", true)
		f.server.Cut()
		synctest.Wait()
		f.server.Put(thing("d"))
		f.holds("a b c d", true)
		if f.store.replaced != 1 || f.logs.Len() > 0 {
			t.Errorf("%d lists, logged %v", f.store.replaced, f.logs.All())
		}
	})
}

func TestSourceIsPatientWithBrokenServer(t *testing.T) {
	for name, breakIt := range map[string]func(s *sourcetest.Server){
		"forbidden":         func(s *sourcetest.Server) { s.Status = http.StatusForbidden },
		"unauthorized":      func(s *sourcetest.Server) { s.Status = http.StatusUnauthorized },
		"internal error":    func(s *sourcetest.Server) { s.Status = http.StatusInternalServerError },
		"not found":         func(s *sourcetest.Server) { s.Status = http.StatusNotFound },
		"gone":              func(s *sourcetest.Server) { s.Status = http.StatusGone },
		"watch forbidden":   func(s *sourcetest.Server) { s.WatchStatus = http.StatusForbidden },
		"watch gone":        func(s *sourcetest.Server) { s.WatchStatus = http.StatusGone },
		"watch always old":  func(s *sourcetest.Server) { s.WatchError = http.StatusGone },
		"watch always ends": func(s *sourcetest.Server) { s.WatchError = http.StatusInternalServerError },
	} {
		t.Run(name, func(t *testing.T) {
			test(t, Options{}, func(t *testing.T, f *fixture) {
				f.server.Put(thing("a"))
				f.run()
				f.server.Set(breakIt)
				f.server.Cut()
				f.server.Requests()
				time.Sleep(10 * time.Minute)
				if f.store.String() != "a" {
					t.Errorf("store has %q, want what it had", f.store)
				}
				// Three for each attempt, which are 1.5 s apart.
				if n := len(f.server.Requests()); n > 3*10*60/1.5*1.1 {
					t.Errorf("%d requests in 10 minutes", n)
				}
				if n := f.warnings(); n > 1 {
					t.Errorf("%d warnings: %v", n, f.logs.All())
				}
				if strings.Contains(name, "forbidden") {
					if _, err := f.Status(); err == nil || !strings.Contains(err.Error(), "list and watch") {
						t.Errorf("error %v, want one that says what to grant", err)
					}
				}
				f.server.Set(func(s *sourcetest.Server) { s.Status, s.WatchStatus, s.WatchError = 0, 0, 0 })
				time.Sleep(2 * time.Second)
				f.server.Put(thing("b"))
				f.holds("a b", true)
			})
		})
	}
}

func TestSourceSeesThroughProxyWithoutServer(t *testing.T) {
	test(t, Options{}, func(t *testing.T, f *fixture) {
		f.server.Put(thing("a"))
		f.run()
		f.server.Set(func(s *sourcetest.Server) { s.HangUp = true })
		f.server.Stop()
		f.server.Start()
		time.Sleep(2 * time.Second)
		f.holds("a", false)
		time.Sleep(time.Hour)
		if f.holds("a", false); f.warnings() != 1 {
			t.Errorf("logged %v", f.logs.All())
		}
		f.server.Set(func(s *sourcetest.Server) { s.HangUp = false })
		time.Sleep(2 * time.Second)
		f.holds("a", true)
	})
}

func TestSourceWaitsForServer(t *testing.T) {
	test(t, Options{}, func(t *testing.T, f *fixture) {
		f.server.Stop()
		f.run()
		time.Sleep(time.Hour)
		loaded, err := f.Status()
		if !loaded.IsZero() || err == nil || !strings.Contains(err.Error(), "things not in step with the API server since") {
			t.Errorf("status %v, %v", loaded, err)
		}
		f.server.Start()
		time.Sleep(2 * time.Second)
		f.holds("", true)
		if loaded, _ := f.Status(); loaded.IsZero() {
			t.Error("not loaded")
		}
	})
}

func TestSourceDoesWithoutKindThatIsNotInstalled(t *testing.T) {
	test(t, Options{Absent: func(context.Context) (bool, error) { return true, nil }}, func(t *testing.T, f *fixture) {
		f.server.Status = http.StatusNotFound
		f.run()
		f.holds("", true)
		if loaded, _ := f.Status(); loaded.IsZero() {
			t.Error("not loaded without the kind")
		}
		f.server.Put(thing("a"))
		time.Sleep(time.Hour)
		f.holds("", true)
		if n := len(f.server.Requests()); n > 2*3600/3 {
			t.Errorf("%d requests in an hour", n)
		}
		f.server.Set(func(s *sourcetest.Server) { s.Status = 0 })
		time.Sleep(5 * time.Second)
		f.holds("a", true)

		// And when it is removed.
		f.server.Set(func(s *sourcetest.Server) { s.Status = http.StatusNotFound })
		f.server.Cut()
		time.Sleep(5 * time.Second)
		f.holds("", true)
		if f.warnings() > 0 || f.logs.Len() != 3 {
			t.Errorf("logged %v", f.logs.All())
		}
	})
}

func TestSourceDoesNotTakeOutageForAbsence(t *testing.T) {
	test(t, Options{Absent: func(context.Context) (bool, error) { return true, nil }}, func(t *testing.T, f *fixture) {
		f.server.Put(thing("a"))
		f.run()
		for _, status := range []int{http.StatusForbidden, http.StatusServiceUnavailable, http.StatusInternalServerError} {
			f.server.Set(func(s *sourcetest.Server) { s.Status = status })
			f.server.Cut()
			time.Sleep(time.Minute)
			f.holds("a", false)
		}
		f.server.Stop()
		time.Sleep(time.Minute)
		f.holds("a", false)
	})
}

func TestSourceNoticesServerThatHangs(t *testing.T) {
	test(t, Options{}, func(t *testing.T, f *fixture) {
		f.server.Hang = true
		f.run()
		time.Sleep(2*requestTimeout + 2*time.Second)
		f.holds("", false)
		f.server.Set(func(s *sourcetest.Server) { s.Hang = false })
		time.Sleep(requestTimeout + 2*time.Second)
		f.holds("", true)
	})
}

func TestSourceEndsWatchThatServerDoesNotEnd(t *testing.T) {
	test(t, Options{}, func(t *testing.T, f *fixture) {
		f.server.NoTimeout = true
		f.run()
		f.server.Requests()
		time.Sleep(10*time.Minute + grace)
		synctest.Wait()
		if n := len(f.server.Requests()); n == 0 {
			t.Error("no new watch")
		}
		f.server.Put(thing("a"))
		f.holds("a", true)
	})
}

func TestClientLogKeepsContentOut(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	log := clientLog(zap.New(core))
	log.V(maxVerbosity).Info("seen", "object", &corev1.ConfigMap{Data: map[string]string{"k": "hidden"}}, "name", "n")
	log.V(maxVerbosity + 1).Info("unseen")
	log.WithName("x").WithValues("a", 1).Error(nil, "failed")
	if logs.Len() != 2 {
		t.Fatalf("logged %v", logs.All())
	}
	for _, e := range logs.All() {
		if e.Level != zapcore.DebugLevel {
			t.Errorf("level %s", e.Level)
		}
		for k, v := range e.ContextMap() {
			if s, ok := v.(string); ok && strings.Contains(s, "hidden") {
				t.Errorf("%s logs %q", k, s)
			}
		}
	}
}
