package configmap

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/source/sourcetest"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

const (
	oneRole  = "- rolearn: arn:aws:iam::111122223333:role/one\n  username: one\n"
	twoRole  = "- rolearn: arn:aws:iam::111122223333:role/two\n  username: two\n"
	badRole  = "- rolearn: arn:aws:iam::111122223333:role/bad\n  username: bad\n  groups: admins\n"
	bobUser  = "- userarn: arn:aws:iam::111122223333:user/bob\n  username: bob\n"
	accounts = "- \"444455556666\"\n- 012345678901\n"
	notYAML  = "- rolearn: [\n"
)

// badRoles returns n bad entries for different roles.
func badRoles(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Replace(badRole, "role/bad", fmt.Sprintf("role/bad%d", i), 1))
	}
	return b.String()
}

// data is what stands under data of a ConfigMap.
type data = map[string]any

func roles(s string) data { return data{"mapRoles": s} }

func awsAuth(d data) sourcetest.Object {
	return sourcetest.Object{"metadata": map[string]any{"name": Name, "namespace": Namespace}, "data": d}
}

// fixture is a mapper and the API server that it reads from.
type fixture struct {
	*Mapper
	t      *testing.T
	server *sourcetest.Server
	logs   *observer.ObservedLogs
	stop   func()
}

// test runs a test in virtual time.
func test(t *testing.T, body func(f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{t: t, server: sourcetest.New(t, "ConfigMap")}
		f.Mapper, f.logs = newMapper(t, f.server)
		body(f)
	})
}

func newMapper(t testing.TB, s *sourcetest.Server) (*Mapper, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.InfoLevel)
	m, err := New(Options{Config: s.Config(t), Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	return m, logs
}

// run runs the mapper until the end of the test or until stop.
func (f *fixture) run() {
	f.t.Helper()
	f.stop = run(f.t, f.Mapper)
	f.wait()
}

func run(t *testing.T, m *Mapper) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// wait waits until all is done that the server has caused, events included.
func (f *fixture) wait() {
	time.Sleep(10 * time.Second) // virtual; the rate of a REST client is limited
	synctest.Wait()
}

// put changes the ConfigMap.
func (f *fixture) put(d data) {
	f.server.Put(awsAuth(d))
	f.wait()
}

// is checks what the mapper says about one, two, bob and the account 444455556666:
// their names, or in brackets the reason for which they get none.
func (f *fixture) is(want string) {
	f.t.Helper()
	if got := answers(f.t, f.Mapper); got != want {
		f.t.Errorf("got %q, want %q; status %+v", got, want, f.Status())
	}
}

func answers(t *testing.T, m *Mapper) string {
	chain := mapper.NewChain([]mapper.Mapper{m}, mapper.ChainOptions{})
	var all []string
	for _, arn := range []string{
		"arn:aws:sts::111122223333:assumed-role/one/s",
		"arn:aws:sts::111122223333:assumed-role/two/s",
		"arn:aws:iam::111122223333:user/bob",
		"arn:aws:iam::444455556666:user/eve",
	} {
		user, err := chain.Map(t.Context(), identity(t, arn))
		switch reason.Of(err) {
		case reason.NotMapped:
		case reason.MapperNotReady:
			all = append(all, "?")
		default:
			if err != nil {
				t.Errorf("%s: %v", arn, err)
			}
			all = append(all, user.Username[strings.LastIndex(user.Username, "/")+1:])
		}
	}
	return strings.Join(all, " ")
}

func identity(t testing.TB, arn string) iam.Identity {
	t.Helper()
	id, err := iam.NewIdentity(arn, strings.Split(arn, ":")[4], map[bool]string{true: "AROAEXAMPLE:s", false: "AIDAEXAMPLE"}[strings.Contains(arn, "assumed")], "ASIAEXAMPLE")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// events returns the reasons and messages of all events, sorted.
func (f *fixture) events() []string {
	var all []string
	for _, e := range f.server.Events() {
		all = append(all, fmt.Sprintf("%s %s: %s", e["type"], e["reason"], e["message"]))
	}
	slices.Sort(all)
	return all
}

func TestConfigMapIsFollowed(t *testing.T) {
	test(t, func(f *fixture) {
		f.server.Put(awsAuth(data{"mapRoles": oneRole + twoRole, "mapUsers": bobUser, "mapAccounts": accounts}))
		f.is("? ? ? ?")
		if err := f.Status().Ready(); reason.Of(err) != reason.MapperNotReady {
			t.Errorf("ready before Run: %v", err)
		}
		f.run()
		f.is("one two bob eve")
		s := f.Status()
		if s.Entries != 5 || len(s.Problems) != 0 || s.Err != nil || s.Ready() != nil || f.Name() != "EKSConfigMap" {
			t.Errorf("status %+v of %s", s, f.Name())
		}
		f.put(roles(twoRole))
		f.is("two")
		f.put(nil)
		f.is("")
		f.put(roles(oneRole))
		f.is("one")
		f.server.Delete(Name)
		f.wait()
		f.is("")
		if s := f.Status(); s.Ready() != nil || s.Err != nil || s.Entries != 0 {
			t.Errorf("status %+v without the ConfigMap", s)
		}
		if events := f.events(); len(events) > 0 {
			t.Errorf("events %q", events)
		}
	})
}

func TestConfigMapThatIsAbsentMapsNobody(t *testing.T) {
	test(t, func(f *fixture) {
		f.run()
		f.is("")
		if s := f.Status(); s.Ready() != nil || s.Err != nil {
			t.Errorf("status %+v", s)
		}
		f.put(roles(oneRole))
		f.is("one")
	})
}

func TestOtherConfigMapsMapNobody(t *testing.T) {
	m, _ := newMapper(t, sourcetest.New(t, "ConfigMap"))
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: Name, Namespace: "default"}, Data: map[string]string{"mapRoles": oneRole}}
	ours := other.DeepCopy()
	ours.Namespace, ours.Data["mapRoles"] = Namespace, twoRole
	s := store{m}
	s.Replace([]any{other, ours})
	for range 2 {
		if got := answers(t, m); got != "two" {
			t.Errorf("got %q", got)
		}
		s.Upsert(other)
		s.Delete(other)
	}
}

func TestConfigMapIsReadByNameOnly(t *testing.T) {
	test(t, func(f *fixture) {
		f.run()
		requests := f.server.Requests()
		for _, r := range requests {
			if !strings.HasSuffix(r, " /api/v1/namespaces/kube-system/configmaps metadata.name=aws-auth") {
				t.Errorf("request %s, which rights by resourceNames don't cover", r)
			}
		}
		if len(requests) == 0 {
			t.Error("no requests")
		}
	})
}

func TestConfigMapDeletedWhileCutOffMapsNobody(t *testing.T) {
	test(t, func(f *fixture) {
		f.server.Put(awsAuth(roles(oneRole)))
		f.run()
		f.server.Stop()
		f.server.Delete(Name)
		f.server.Compact()
		f.wait()
		f.is("one")
		if s := f.Status(); s.Ready() != nil || s.Err == nil || s.Entries != 1 {
			t.Errorf("status %+v while cut off", s)
		}
		f.server.Start()
		time.Sleep(2 * time.Second)
		f.wait()
		f.is("")
		if err := f.Status().Err; err != nil {
			t.Error(err)
		}
	})
}

func TestRightsTakenAwayKeepLastState(t *testing.T) {
	test(t, func(f *fixture) {
		f.server.Put(awsAuth(roles(oneRole)))
		f.run()
		f.server.Set(func(s *sourcetest.Server) { s.Status, s.Reason = http.StatusForbidden, "cannot list" })
		f.server.Cut()
		time.Sleep(time.Hour)
		f.is("one")
		if err := f.Status().Err; err == nil || !strings.Contains(err.Error(), "cannot list") {
			t.Errorf("error %v", err)
		}
		if n := f.logs.FilterLevelExact(zapcore.WarnLevel).Len(); n != 1 {
			t.Errorf("%d warnings in an hour: %v", n, f.logs.All())
		}
		f.server.Set(func(s *sourcetest.Server) { s.Status = 0 })
		f.put(roles(twoRole))
		f.is("two")
		if err := f.Status().Err; err != nil {
			t.Error(err)
		}
	})
}

func TestBrokenSectionKeepsItsLastState(t *testing.T) {
	for name, broken := range map[string]string{"no YAML": notYAML, "no list": "rolearn: x\n", "text": "x"} {
		t.Run(name, func(t *testing.T) {
			test(t, func(f *fixture) {
				f.server.Put(awsAuth(data{"mapRoles": oneRole, "mapUsers": bobUser}))
				f.run()
				f.put(data{"mapRoles": broken, "mapUsers": "", "mapAccounts": accounts})
				f.is("one eve")
				if s := f.Status(); s.Ready() != nil || s.Err == nil || !strings.Contains(s.Err.Error(), "mapRoles") {
					t.Errorf("status %+v", s)
				}
				if events := f.events(); len(events) != 1 || !strings.HasPrefix(events[0], "Warning MappingSectionUnreadable: mapRoles") {
					t.Errorf("events %q", events)
				}
				// Mended: no entry is as good a state as any.
				f.put(roles(""))
				f.is("")
				if err := f.Status().Err; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestSectionThatWasNeverReadDeniesNobody(t *testing.T) {
	for name, c := range map[string]struct {
		first data
		want  string
		then  data
		mend  string
	}{
		"mapRoles":              {data{"mapRoles": notYAML, "mapUsers": bobUser, "mapAccounts": accounts}, "? ? bob ?", data{"mapRoles": oneRole, "mapUsers": notYAML}, "one bob"},
		"mapUsers":              {data{"mapRoles": oneRole, "mapUsers": notYAML}, "one ? ? ?", data{"mapRoles": oneRole}, "one"},
		"mapAccounts":           {data{"mapRoles": oneRole, "mapAccounts": notYAML}, "one ? ? ?", data{"mapRoles": oneRole, "mapAccounts": accounts}, "one eve"},
		"still":                 {data{"mapRoles": notYAML}, "? ? ? ?", data{"mapRoles": notYAML, "mapUsers": bobUser}, "? ? bob ?"},
		"a role under mapUsers": {data{"mapRoles": notYAML, "mapUsers": "- {userarn: arn:aws:iam::111122223333:role/one, username: admin}"}, "? ? ? ?", data{"mapRoles": oneRole}, "one"},
		"removed":               {data{"mapRoles": notYAML}, "? ? ? ?", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(f *fixture) {
				f.server.Put(awsAuth(c.first))
				f.run()
				f.is(c.want)
				if s := f.Status(); s.Err == nil {
					t.Errorf("status %+v", s)
				}
				f.put(c.then)
				f.is(c.mend)
			})
		})
	}
	test(t, func(f *fixture) {
		f.server.Put(awsAuth(roles(notYAML)))
		f.run()
		f.server.Delete(Name)
		f.wait()
		f.is("")
	})
}

func TestBadEntryHarmsOnlyItself(t *testing.T) {
	test(t, func(f *fixture) {
		f.server.Put(awsAuth(data{"mapRoles": oneRole + badRole + twoRole, "mapRole": "[]", "maproles": "[]", "unknown": ""}))
		f.run()
		f.is("one two")
		var problems []string
		for _, p := range f.Status().Problems {
			problems = append(problems, p.String())
		}
		want := []string{
			"mapRoles[1] (line 3), arn:aws:iam::111122223333:role/bad: groups is a string, want a list of strings",
			`data: key "mapRole" is not read, did you mean "mapRoles"? Known are mapRoles, mapUsers, mapAccounts`,
			`data: key "maproles" is not read, did you mean "mapRoles"? Known are mapRoles, mapUsers, mapAccounts`,
			`data: key "unknown" is not read; known are mapRoles, mapUsers, mapAccounts`,
		}
		if !slices.Equal(problems, want) {
			t.Errorf("problems %q", problems)
		}
		if logged := f.logs.FilterLevelExact(zapcore.WarnLevel).Len(); logged != len(want) {
			t.Errorf("%d warnings, want %d: %v", logged, len(want), f.logs.All())
		}
		if events := f.events(); len(events) != len(want) || !slices.Contains(events, "Warning MappingEntrySkipped: "+want[0]) {
			t.Errorf("events %q", events)
		}
	})
}

func TestSamePrincipalTwiceNamesBoth(t *testing.T) {
	test(t, func(f *fixture) {
		f.server.Put(awsAuth(roles(oneRole + strings.ReplaceAll(oneRole, "username: one", "username: two"))))
		f.run()
		f.is("two")
		p := f.Status().Problems
		if len(p) != 1 || !strings.Contains(p[0].String(), "mapRoles[0] (line 1)") || !strings.Contains(p[0].String(), "mapRoles[1] (line 3)") {
			t.Errorf("problems %v", p)
		}
	})
}

func TestSameContentIsToldOnce(t *testing.T) {
	test(t, func(f *fixture) {
		f.server.Put(awsAuth(roles(badRole)))
		f.run()
		told := f.logs.Len()
		state := f.state.Load()
		f.put(roles(badRole)) // as kubectl label does
		f.server.Compact()
		f.server.Cut() // a new list
		f.wait()
		if f.logs.Len() != told || f.state.Load() != state || len(f.events()) != 1 {
			t.Errorf("logged %v, events %q", f.logs.All(), f.events())
		}
	})
}

func TestReplicasShareEvents(t *testing.T) {
	test(t, func(f *fixture) {
		f.server.Put(awsAuth(roles(badRoles(2))))
		f.run()
		before := f.server.Events()
		second, _ := newMapper(f.t, f.server)
		run(f.t, second)
		f.wait()
		if after := f.server.Events(); len(before) != 2 || !maps.EqualFunc(before, after, func(a, b sourcetest.Object) bool { return a["message"] == b["message"] }) {
			t.Errorf("events %v, then %v", before, after)
		}
		// Mended and broken again is news.
		f.put(roles(oneRole))
		f.put(roles(badRoles(2)))
		if n := len(f.events()); n != 4 {
			t.Errorf("%d events, want 4", n)
		}
	})
}

func TestManyProblemsMakeFewEvents(t *testing.T) {
	test(t, func(f *fixture) {
		f.server.Put(awsAuth(data{"mapRoles": badRoles(500), "mapUsers": notYAML}))
		f.run()
		events := f.events()
		if len(events) != maxEvents+2 || !slices.ContainsFunc(events, func(e string) bool { return strings.Contains(e, "490 more problems") }) {
			t.Errorf("%d events %q", len(events), events)
		}
		if n := f.logs.Len(); n != mapper.MaxLogged+2 {
			t.Errorf("%d lines", n)
		}
		if len(f.Status().Problems) != 500 {
			t.Errorf("%d problems", len(f.Status().Problems))
		}
	})
}

func TestEventsThatCannotBeWrittenAreNotMissed(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusInternalServerError, http.StatusNotFound} {
		test(t, func(f *fixture) {
			f.server.EventsStatus = status
			f.server.Put(awsAuth(roles(oneRole + badRole)))
			f.run()
			f.is("one")
			f.put(roles(twoRole + badRole))
			f.is("two")
			if n := f.logs.FilterMessageSnippet("event").Len(); n > 0 || f.Status().Err != nil {
				t.Errorf("logged %v, status %+v", f.logs.All(), f.Status())
			}
		})
	}
}

func TestEventSaysWhatItIsAbout(t *testing.T) {
	test(t, func(f *fixture) {
		f.server.Put(awsAuth(roles(strings.Replace(badRole, "groups: admins", strings.Repeat("é", 2000)+": x", 1))))
		f.run()
		for name, e := range f.server.Events() {
			object := e["involvedObject"].(map[string]any)
			if object["kind"] != "ConfigMap" || object["name"] != Name || object["namespace"] != Namespace || object["uid"] != "uid-aws-auth" {
				t.Errorf("involved %v", object)
			}
			if len(e["message"].(string)) > maxMessage || !strings.HasPrefix(name, Name+".") {
				t.Errorf("event %s has a message of %d bytes", name, len(e["message"].(string)))
			}
		}
		if len(f.server.Events()) != 1 {
			t.Error("no event")
		}
	})
}

func TestNewWantsConfig(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("no error without a config")
	}
	if _, err := New(Options{Config: &rest.Config{Host: "http://a b"}}); err == nil {
		t.Error("no error for a bad host")
	}
}

// TestReadersSeeWholeStates looks up at full speed while the ConfigMap is being
// replaced: one and two change places and are never both there, or both gone.
func TestReadersSeeWholeStates(t *testing.T) {
	m, _ := newMapper(t, sourcetest.New(t, "ConfigMap"))
	one, two := identity(t, "arn:aws:sts::111122223333:assumed-role/one/s"), identity(t, "arn:aws:sts::111122223333:assumed-role/two/s")
	versions := []*corev1.ConfigMap{configMap(roles(oneRole)), configMap(roles(twoRole + badRole))}
	store{m}.Upsert(versions[0])
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for _, id := range []iam.Identity{one, two} {
		readers.Go(func() {
			for ctx.Err() == nil {
				if mapping, err := m.Lookup(id); err != nil && !errors.Is(err, mapper.ErrNotMapped) || err == nil && mapping == nil {
					t.Errorf("lookup: %v, %v", mapping, err)
				}
				if s := m.Status(); s.Entries != 1 {
					t.Errorf("%d entries", s.Entries)
				}
			}
		})
	}
	for i := range 2000 {
		store{m}.Upsert(versions[i%2])
	}
	stop()
	readers.Wait()
}

func configMap(d data) *corev1.ConfigMap {
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: Name, Namespace: Namespace}, Data: map[string]string{}}
	for k, v := range d {
		cm.Data[k] = v.(string)
	}
	return cm
}
