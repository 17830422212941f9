package objects

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

const arn = "arn:aws:iam::111122223333:role/"

// testSpec is the spec of the kind in these tests.
type testSpec struct {
	ARN      string `json:"arn"`
	Username string `json:"username"`
}

func testEntry(o *Object) (e mapper.Entry, arn string, err error) {
	var s testSpec
	if err := Decode(o.Spec, &s); err != nil {
		return e, "", err
	}
	e.Username = s.Username
	e.Principal, err = iam.ParsePrincipal(s.ARN)
	return e, s.ARN, err
}

// testObject is an object of the given age whose principal and username are roles
// of the given name.
func testObject(name string, second int, role string) *Object {
	o := &Object{Spec: testJSON(testSpec{arn + role, name})}
	o.Name = name
	o.UID = types.UID(fmt.Sprintf("%s-%d", name, second))
	o.Generation = 1
	o.CreationTimestamp = metav1.Unix(int64(1_000_000+second), 0)
	return o
}

func testJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// changed returns the next generation of an object.
func changed(o *Object, spec any) *Object {
	c := o.DeepCopyObject().(*Object)
	c.Generation++
	c.Spec = testJSON(spec)
	return c
}

func newTestStore() *Store { return NewStore(Kind{Name: "Test", Entry: testEntry}, zap.NewNop()) }

// usernameOf returns as whom a role gets in, "" if it doesn't.
func usernameOf(t testing.TB, s *Store, role string) string {
	t.Helper()
	m, err := s.Lookup(strings.ToLower(arn + role))
	switch {
	case errors.Is(err, mapper.ErrNotMapped):
		return ""
	case err != nil:
		t.Fatal(err)
	}
	return m.Entry().Username
}

func TestStore(t *testing.T) {
	deleted := testObject("a", 1, "r")
	deleted.DeletionTimestamp = new(metav1.Now())
	recreated := testObject("a", 9, "r")
	cases := map[string]struct {
		do       func(s *Store)
		users    map[string]string // by role
		problems []string
	}{
		"an object is in force": {
			do:    func(s *Store) { s.Upsert(testObject("a", 1, "R")) },
			users: map[string]string{"r": "a"},
		},
		"the older of two stands, whichever came first": {
			do:       func(s *Store) { s.Upsert(testObject("young", 2, "r")); s.Upsert(testObject("old", 1, "r")) },
			users:    map[string]string{"r": "old"},
			problems: []string{"Test/young: Test old is older"},
		},
		"of two of the same second the first by name stands": {
			do:       func(s *Store) { s.Upsert(testObject("a", 1, "r")); s.Upsert(testObject("b", 1, "r")) },
			users:    map[string]string{"r": "a"},
			problems: []string{"Test/b: Test a is older"},
		},
		"the next takes over when the older is deleted": {
			do: func(s *Store) {
				for i, name := range []string{"a", "b", "c"} {
					s.Upsert(testObject(name, 3-i, "r"))
				}
				s.Delete(testObject("c", 1, "r"))
			},
			users:    map[string]string{"r": "b"},
			problems: []string{"Test/a: Test b is older"},
		},
		"the next takes over when the older becomes invalid": {
			do: func(s *Store) {
				s.Upsert(testObject("young", 2, "r"))
				s.Upsert(testObject("old", 1, "r"))
				s.Upsert(changed(testObject("old", 1, "r"), testSpec{arn + "r", ""}))
			},
			users:    map[string]string{"r": "young"},
			problems: []string{"Test/old: username is empty"},
		},
		"the older takes over again when it is mended": {
			do: func(s *Store) {
				broken := testObject("old", 1, "r")
				broken.Spec = []byte(`{"arn": 1}`)
				s.Upsert(broken)
				s.Upsert(testObject("young", 2, "r"))
				s.Upsert(changed(broken, testSpec{arn + "r", "old"}))
			},
			users:    map[string]string{"r": "old"},
			problems: []string{"Test/young: Test old is older"},
		},
		"an object that changes its principal leaves the old one": {
			do: func(s *Store) {
				s.Upsert(testObject("a", 1, "r"))
				s.Upsert(testObject("b", 2, "r"))
				s.Upsert(changed(testObject("a", 1, "r"), testSpec{arn + "q", "a"}))
			},
			users: map[string]string{"r": "b", "q": "a"},
		},
		"an object that was deleted and created again is as young as it is": {
			do: func(s *Store) {
				s.Upsert(testObject("a", 1, "r"))
				s.Upsert(testObject("b", 2, "r"))
				s.Upsert(recreated)
			},
			users:    map[string]string{"r": "b"},
			problems: []string{"Test/a: Test b is older"},
		},
		"an object that is being deleted is gone": {
			do:    func(s *Store) { s.Upsert(testObject("a", 1, "r")); s.Upsert(deleted) },
			users: map[string]string{"r": ""},
		},
		"a list has no object that is being deleted": {
			do:    func(s *Store) { s.Upsert(testObject("a", 1, "r")); s.Replace([]any{deleted}) },
			users: map[string]string{"r": ""},
		},
		"what a list doesn't have is gone": {
			do: func(s *Store) {
				s.Upsert(testObject("a", 1, "r"))
				s.Upsert(testObject("b", 1, "q"))
				s.Replace([]any{testObject("c", 1, "r"), testObject("b", 1, "q")})
			},
			users: map[string]string{"r": "c", "q": "b"},
		},
		"an empty list leaves nothing": {
			do: func(s *Store) {
				s.Upsert(testObject("a", 1, "r"))
				s.Upsert(testObject("b", 2, "r"))
				s.Replace(nil)
			},
			users: map[string]string{"r": ""},
		},
		"a list is read whatever its generations": {
			do: func(s *Store) {
				s.Upsert(testObject("a", 1, "r"))
				other := testObject("a", 1, "q")
				s.Replace([]any{other})
			},
			users: map[string]string{"r": "", "q": "a"},
		},
		"a change without a generation is read": {
			do: func(s *Store) {
				o, other := testObject("a", 1, "r"), testObject("a", 1, "q")
				o.Generation, other.Generation = 0, 0
				s.Upsert(o)
				s.Upsert(other)
			},
			users: map[string]string{"r": "", "q": "a"},
		},
		"invalid objects harm themselves only": {
			do: func(s *Store) {
				for i, spec := range []string{``, `null`, `"x"`, `[]`, `{`, `{"arn": 1, "username": "u"}`, `{"arn": "x", "username": "u"}`,
					`{"arn": "` + arn + `r", "username": "u", "user": "u"}`, `{"ARN": "` + arn + `r", "username": "u"}`, `{"arn": "` + arn + `r"}`} {
					o := testObject(fmt.Sprintf("bad%d", i), 1, "r")
					o.Spec = []byte(spec)
					s.Upsert(o)
				}
				s.Upsert(testObject("good", 2, "r"))
			},
			users: map[string]string{"r": "good"},
			problems: []string{
				"Test/bad0: spec is missing", `Test/bad1: principal ARN ""`, "Test/bad2: spec: json", "Test/bad3: spec: json", "Test/bad4: spec: unexpected end",
				"Test/bad5: spec: json", `Test/bad6: principal ARN "x"`, `Test/bad7: spec: unknown field "user"`, `Test/bad8: spec: unknown field "ARN"`, "Test/bad9: username is empty",
			},
		},
		"deleting what isn't there does nothing": {
			do:    func(s *Store) { s.Upsert(testObject("a", 1, "r")); s.Delete(testObject("b", 1, "r")) },
			users: map[string]string{"r": "a"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newTestStore()
			c.do(s)
			entries := 0
			for role, want := range c.users {
				if got := usernameOf(t, s, role); got != want {
					t.Errorf("%s is %q, want %q", role, got, want)
				}
				if want != "" {
					entries++
				}
			}
			got, problems := s.Status()
			if got != entries {
				t.Errorf("%d entries, want %d", got, entries)
			}
			if len(problems) != len(c.problems) {
				t.Fatalf("problems %v, want %q", problems, c.problems)
			}
			for i, p := range problems {
				if text := p.Source.Section + ": " + p.Message; !strings.HasPrefix(text, c.problems[i]) {
					t.Errorf("problem %q, want %q", text, c.problems[i])
				}
			}
		})
	}
}

func TestStoreReadsSpecOnceForEachGeneration(t *testing.T) {
	read, told := 0, 0
	s := NewStore(Kind{
		Name:     "Test",
		Entry:    func(o *Object) (mapper.Entry, string, error) { read++; return testEntry(o) },
		Reported: func(status []byte) Reported { return Reported{Sum: uint64(len(status))} },
		Changed:  func(v Verdict) { told++ },
	}, zap.NewNop())
	o := testObject("a", 1, "r")
	for i := range 10 {
		o.ResourceVersion = fmt.Sprint(i)
		o.Status = []byte(strings.Repeat("x", i))
		s.Upsert(o)
	}
	if read != 1 || told != 10 {
		t.Errorf("spec read %d times, want once; told of %d changes, want 10", read, told)
	}
	if v, _ := s.Verdict("a"); v.ResourceVersion != "9" || v.Reported.Sum != 9 {
		t.Errorf("verdict %+v has not the last version and status", v)
	}
	s.Upsert(changed(o, testSpec{arn + "r", "b"}))
	if got := usernameOf(t, s, "r"); read != 2 || got != "b" {
		t.Errorf("spec read %d times, want 2; username %q, want b", read, got)
	}
}

func TestStoreTellsRivalsWhenAnotherStands(t *testing.T) {
	var told []string
	s := NewStore(Kind{Name: "Test", Entry: testEntry, Changed: func(v Verdict) {
		told = append(told, fmt.Sprintf("%s<%s", v.Name, v.Stands))
	}}, zap.NewNop())
	steps := []struct {
		do   func()
		want []string
	}{
		{func() { s.Upsert(testObject("c", 3, "r")) }, []string{"c<"}},
		{func() { s.Upsert(testObject("a", 1, "r")) }, []string{"a<", "c<a"}},
		{func() { s.Upsert(testObject("b", 2, "r")) }, []string{"b<a"}},
		{func() { s.Delete(testObject("a", 1, "r")) }, []string{"b<", "c<b"}},
		{func() { s.Delete(testObject("b", 2, "r")) }, []string{"c<"}},
	}
	for i, step := range steps {
		told = nil
		step.do()
		slices.Sort(told)
		if !slices.Equal(told, step.want) {
			t.Errorf("step %d: told %q, want %q", i, told, step.want)
		}
	}
}

func TestStoreVerdict(t *testing.T) {
	s := newTestStore()
	s.Upsert(testObject("old", 1, "R"))
	s.Upsert(testObject("young", 2, "r"))
	s.Upsert(changed(testObject("bad", 1, "q"), testSpec{arn + "q", ""}))
	cases := map[string]struct {
		inForce           bool
		canonical, stands string
	}{
		"old":   {true, arn + "R", ""},
		"young": {false, arn + "r", "old"},
		"bad":   {false, "", ""},
	}
	for name, c := range cases {
		v, ok := s.Verdict(name)
		if !ok || v.InForce() != c.inForce || v.CanonicalARN != c.canonical || v.Stands != c.stands {
			t.Errorf("%s: verdict %+v, want %+v", name, v, c)
		}
	}
	if _, ok := s.Verdict("none"); ok {
		t.Error("a verdict on an object that isn't there")
	}
}

func TestStoreLogsBoundedNumberOfProblems(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	s := NewStore(Kind{Name: "Test", Entry: testEntry}, zap.New(core))
	var list []any
	for i := range 1000 {
		o := testObject(fmt.Sprint(i), 1, "r")
		o.Spec = []byte(`{"arn": "` + strings.Repeat("x", 10_000) + `"}`)
		list = append(list, o)
	}
	s.Replace(list)
	if n := logs.Len(); n > mapper.MaxLogged+2 {
		t.Errorf("%d lines logged", n)
	}
	for _, l := range logs.All() {
		if n := len(fmt.Sprint(l.ContextMap())); n > 4000 {
			t.Errorf("a line of %d bytes", n)
		}
	}
}

// TestStoreNeverLosesPrincipalWhileSpecChanges has readers at full speed during
// every kind of change: a principal that has a valid entry all the time is mapped
// all the time, and one that never has is never.
func TestStoreNeverLosesPrincipalWhileSpecChanges(t *testing.T) {
	s := newTestStore()
	s.Replace([]any{testObject("a", 2, "r")})
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if m, err := s.Lookup(strings.ToLower(arn + "r")); err != nil || m.Entry().Principal.Name != "r" {
					t.Errorf("lookup: %v, %v", m, err)
					return
				}
				if _, err := s.Lookup(strings.ToLower(arn + "never")); err == nil {
					t.Error("a principal without an entry is mapped")
					return
				}
				if i%64 == 0 {
					s.Status()
					s.Verdict("a")
				}
			}
		})
	}
	a := testObject("a", 2, "r")
	for i := range 2000 {
		a = changed(a, testSpec{arn + "r", fmt.Sprintf("u%d", i)})
		s.Upsert(a)                                        // another spec
		s.Upsert(a)                                        // status only
		s.Upsert(testObject("older", 1, "r"))              // a takeover
		s.Upsert(testObject("other", 1, fmt.Sprint(i)))    // another principal
		s.Delete(testObject("older", 1, "r"))              // and back
		s.Replace([]any{a, testObject("younger", 3, "r")}) // a list
		a = changed(a, testSpec{arn + "r", ""})
		s.Upsert(a) // invalid: the younger takes over
		a = changed(a, testSpec{arn + "r", "a"})
		s.Upsert(a)
		s.Delete(testObject("younger", 3, "r"))
	}
	close(done)
	readers.Wait()
}

// FuzzStore compares the store, after a sequence of changes, with one that was made
// of the objects that are left.
func FuzzStore(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		ops := make([]byte, 3*(1+random.IntN(60)))
		for i := range ops {
			ops[i] = byte(random.UintN(256))
		}
		f.Add(ops)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		incremental := newTestStore()
		objects := map[string]*Object{}
		generation := int64(0)
		for ; len(ops) >= 3; ops = ops[3:] {
			op, which, what := ops[0]%8, ops[1], ops[2]
			name := fmt.Sprintf("n%d", which%6)
			generation++
			o := testObject(name, int(which/6)%3, fmt.Sprintf("r%d", what%4))
			o.Generation = generation
			if what >= 192 {
				o.Spec = []byte(`{"username": 1}`)
			}
			last := objects[name]
			switch {
			case op == 0 && last != nil:
				delete(objects, name)
				incremental.Delete(last)
			case op == 1: // a list, of which some objects are gone
				var list []any
				for n := range objects {
					if n[1]%2 == what%2 {
						list = append(list, objects[n])
					} else {
						delete(objects, n)
					}
				}
				incremental.Replace(list)
			case op == 2 && last != nil: // the status only
				incremental.Upsert(last)
			case op == 3 && last != nil: // deleted, with a finalizer
				gone := last.DeepCopyObject().(*Object)
				gone.DeletionTimestamp = new(metav1.NewTime(time.Unix(1, 0)))
				delete(objects, name)
				incremental.Upsert(gone)
			default:
				objects[name] = o
				incremental.Upsert(o)
			}
			compareWithNaive(t, incremental, objects)
		}
	})
}

func compareWithNaive(t *testing.T, s *Store, objects map[string]*Object) {
	t.Helper()
	want := map[string]string{} // the name of the object that stands, by role
	valid := 0
	for name, o := range objects {
		var spec testSpec
		if json.Unmarshal(o.Spec, &spec) != nil {
			continue
		}
		valid++
		role := strings.TrimPrefix(spec.ARN, arn)
		first, ok := objects[want[role]]
		if !ok || o.CreationTimestamp.Before(&first.CreationTimestamp) || o.CreationTimestamp.Equal(&first.CreationTimestamp) && name < first.Name {
			want[role] = name
		}
	}
	for i := range 4 {
		role := fmt.Sprintf("r%d", i)
		if got := usernameOf(t, s, role); got != want[role] {
			t.Fatalf("%s is %q, want %q", role, got, want[role])
		}
	}
	entries, problems := s.Status()
	if entries != len(want) || len(problems) != len(objects)-len(want) {
		t.Fatalf("%d entries and %d problems, want %d and %d", entries, len(problems), len(want), len(objects)-len(want))
	}
	if len(s.records) != len(objects) || len(s.invalid) != len(objects)-valid {
		t.Fatalf("%d records, %d of them invalid, want %d and %d", len(s.records), len(s.invalid), len(objects), len(objects)-valid)
	}
	for name := range objects {
		if _, ok := s.Verdict(name); !ok {
			t.Fatalf("no verdict on %s", name)
		}
	}
}
