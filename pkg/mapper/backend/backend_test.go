package backend

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// source maps one role to the name of the backend, once it runs.
type source struct {
	name  string
	index *mapper.Index

	mu      sync.Mutex
	running int
}

func newSource(t *testing.T, name string) *source {
	t.Helper()
	principal, err := iam.ParsePrincipal("arn:aws:iam::111122223333:role/dev")
	if err != nil {
		t.Fatal(err)
	}
	m, err := mapper.NewMapping(mapper.Entry{Principal: principal, Username: name})
	if err != nil {
		t.Fatal(err)
	}
	index, _ := mapper.NewIndex([]*mapper.Mapping{m}, nil)
	return &source{name: name, index: index}
}

func (s *source) Name() string                                    { return s.name }
func (s *source) Lookup(id iam.Identity) (*mapper.Mapping, error) { return s.index.Lookup(id) }
func (s *source) MapsAccount(string) (bool, error)                { return false, nil }
func (s *source) Status() mapper.Status                           { return mapper.Status{Loaded: time.Unix(1, 0)} }

func (s *source) Run(ctx context.Context) error {
	s.mu.Lock()
	s.running++
	s.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (s *source) runs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

type fixture struct {
	*Set
	t       *testing.T
	file    string
	poll    chan time.Time
	sources map[string]*source
	makes   []string
}

func newFixture(t *testing.T, modes ...string) *fixture {
	t.Helper()
	f := &fixture{t: t, file: filepath.Join(t.TempDir(), "mode.json"), poll: make(chan time.Time), sources: map[string]*source{}}
	admin, err := mapper.NewBootstrapAdmin([]string{"arn:aws:iam::111122223333:role/admins"}, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	f.Set, err = New(Options{
		Modes: modes,
		First: []mapper.Mapper{admin},
		Make: func(name string) (Runner, error) {
			f.makes = append(f.makes, name)
			if name == "Broken" {
				return nil, errors.New("it is broken")
			}
			f.sources[name] = newSource(t, name)
			return f.sources[name], nil
		},
		ModeFile: f.file,
		CheckModes: func(modes []string) ([]string, error) {
			if slices.Contains(modes, "Unknown") {
				return nil, errors.New("unknown backend")
			}
			return modes, nil
		},
		Poll: f.poll,
		Log:  zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) run() {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
}

// look has the set look at the mode file, twice: when the third poll is taken, the
// second is done with.
func (f *fixture) look() {
	for range 3 {
		f.poll <- time.Time{}
	}
}

func (f *fixture) write(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.file, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) user(role string) (string, error) {
	f.t.Helper()
	id, err := iam.NewIdentity("arn:aws:sts::111122223333:assumed-role/"+role+"/alice", "111122223333", "AROAX:alice", "ASIAX")
	if err != nil {
		f.t.Fatal(err)
	}
	user, err := f.Map(f.t.Context(), id)
	return user.Username, err
}

func (f *fixture) mustBe(want string) {
	f.t.Helper()
	if got, err := f.user("dev"); err != nil || got != want {
		f.t.Errorf("user %q, %v, want %q", got, err, want)
	}
}

func TestModesOfTheConfiguration(t *testing.T) {
	f := newFixture(t, "A", "B")
	f.mustBe("A")
	var names []string
	for _, m := range f.Mappers() {
		names = append(names, m.Name())
	}
	if want := []string{mapper.BootstrapAdmin, "A", "B"}; !slices.Equal(names, want) {
		t.Errorf("mappers %v, want %v", names, want)
	}
}

func TestModeFileSwitches(t *testing.T) {
	f := newFixture(t, "A", "B")
	f.run()
	for _, step := range []struct {
		name, file, want string
		modes            []string
		wrong            bool
	}{
		{"other order", `{"LastUpdatedDateTime":"1","Version":"2","backendMode":"B A"}`, "B", []string{"B", "A"}, false},
		{"a new one", `{"backendMode":"C"}`, "C", []string{"C"}, false},
		{"half of it written", `{"backendMode":"A`, "C", []string{"C"}, true},
		{"nothing in it", `{}`, "C", []string{"C"}, true},
		{"an unknown one", `{"backendMode":"Unknown A"}`, "C", []string{"C"}, true},
		{"one that can't be made", `{"backendMode":"Broken A"}`, "C", []string{"C"}, true},
		{"commas", `{"backendMode":"A,B"}`, "A", []string{"A", "B"}, false},
		{"back to the new one", `{"backendMode":"C"}`, "C", []string{"C"}, false},
		{"gone", "", "A", []string{"A", "B"}, false},
	} {
		if step.file == "" {
			if err := os.Remove(f.file); err != nil {
				t.Fatal(err)
			}
		} else {
			f.write(step.file)
		}
		f.look()
		f.mustBe(step.want)
		if got := f.Modes(); !slices.Equal(got, step.modes) {
			t.Errorf("%s: modes %v, want %v", step.name, got, step.modes)
		}
		if err := f.ModeFileErr(); (err != nil) != step.wrong {
			t.Errorf("%s: %v", step.name, err)
		}
	}
	if made := slices.DeleteFunc(slices.Clone(f.makes), func(name string) bool { return name == "Broken" }); !slices.Equal(made, []string{"A", "B", "C"}) {
		t.Errorf("made %v, want A, B and C once", f.makes)
	}
	if len(f.makes) < 5 {
		t.Errorf("what could not be made was not tried again: %v", f.makes)
	}
	for name, s := range f.sources {
		if s.runs() != 1 {
			t.Errorf("%s runs %d times", name, s.runs())
		}
	}
}

func TestModeFileGoneForAMomentSwitchesNothing(t *testing.T) {
	f := newFixture(t, "A")
	f.write(`{"backendMode":"B"}`)
	f.followOnce()
	f.mustBe("B")
	if err := os.Remove(f.file); err != nil {
		t.Fatal(err)
	}
	f.followOnce()
	f.mustBe("B")
	f.write(`{"backendMode":"C"}`)
	f.followOnce()
	f.mustBe("C")
}

func TestModeFileThatIsThereAtTheStart(t *testing.T) {
	f := newFixture(t, "A")
	f.write(`{"backendMode":"B"}`)
	o := f.options
	set, err := New(o)
	if err != nil || !slices.Equal(set.Modes(), []string{"B"}) {
		t.Errorf("modes %v, %v", set.Modes(), err)
	}
}

func TestBootstrapAdminStandsAboveEveryMode(t *testing.T) {
	f := newFixture(t, "A")
	f.run()
	for _, modes := range []string{`{"backendMode":"A"}`, `{"backendMode":"C B"}`} {
		f.write(modes)
		f.look()
		if got, err := f.user("admins"); err != nil || got != "bootstrap-admin:alice" {
			t.Errorf("%s: %q, %v", modes, got, err)
		}
	}
	if _, err := f.user("nobody"); reason.Of(err) != reason.NotMapped {
		t.Errorf("nobody: %v", err)
	}
}

func TestNewFailsWithItsBackends(t *testing.T) {
	_, err := New(Options{Modes: []string{"X"}, Make: func(string) (Runner, error) { return nil, errors.New("boom") }, Log: zap.NewNop()})
	if err == nil || err.Error() != "backend X: boom" {
		t.Errorf("error %v", err)
	}
}

func FuzzParseModeFile(f *testing.F) {
	f.Add([]byte(`{"LastUpdatedDateTime":"1","Version":"2","backendMode":"MountedFile DynamicFile"}`))
	f.Add([]byte(`{"backendMode":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		modes, err := ParseModeFile(data)
		if (err == nil) == (len(modes) == 0) || slices.Contains(modes, "") {
			t.Errorf("%q: %q, %v", data, modes, err)
		}
		if again, _ := ParseModeFile(data); !reflect.DeepEqual(modes, again) {
			t.Errorf("%q: %q and then %q", data, modes, again)
		}
	})
}
