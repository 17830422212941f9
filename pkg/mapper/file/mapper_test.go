package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

const (
	one  = `{"mapRoles": [{"rolearn": "arn:aws:iam::111122223333:role/one", "username": "one"}]}`
	two  = `{"mapRoles": [{"rolearn": "arn:aws:iam::111122223333:role/two", "username": "two"}], "mapAccounts": ["444455556666"]}`
	both = `{"mapRoles": [{"rolearn": "arn:aws:iam::111122223333:role/one", "username": "one"},
		{"rolearn": "arn:aws:iam::111122223333:role/two", "username": "two"}]}`
)

// under is the content as a configuration file has it.
func under(content string) string { return "clusterID: c\nserver: " + content + "\n" }

// fixture is a mapper and what it logs.
type fixture struct {
	*Mapper
	t    *testing.T
	logs *observer.ObservedLogs
	tick chan struct{} // one for every line that is logged
	poll chan time.Time
}

func newFixture(t *testing.T, o Options) *fixture {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	f := &fixture{t: t, logs: logs, tick: make(chan struct{}, 1), poll: make(chan time.Time)}
	o.Poll = f.poll
	if o.still == 0 {
		o.still = 20 * time.Millisecond
	}
	o.Logger = zap.New(core, zap.Hooks(func(zapcore.Entry) error {
		select {
		case f.tick <- struct{}{}:
		default:
		}
		return nil
	}))
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Mapper = m
	return f
}

// run runs the mapper until the end of the test, and returns once it watches.
func (f *fixture) run() {
	f.start()
	f.poll <- time.Time{}
}

// start runs the mapper until the end of the test.
func (f *fixture) start() {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
}

// users returns who of one and two is mapped, as "one two".
func (f *fixture) users() string {
	var names []string
	for _, role := range []string{"one", "two"} {
		if _, err := f.Lookup(session(f.t, role)); err == nil {
			names = append(names, role)
		} else if !errors.Is(err, mapper.ErrNotMapped) {
			return err.Error()
		}
	}
	return strings.Join(names, " ")
}

// wait waits until the condition holds, looking after each line that is logged.
func (f *fixture) wait(what string, holds func() bool) {
	f.t.Helper()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-f.tick:
		case <-deadline:
			f.t.Fatalf("no %s; users %q, status %+v, logs %v", what, f.users(), f.Status(), f.logs.All())
		}
	}
}

func (f *fixture) waitUsers(want string) {
	f.t.Helper()
	f.wait("users "+want, func() bool { return f.users() == want })
}

func session(t testing.TB, role string) iam.Identity {
	t.Helper()
	id, err := iam.NewIdentity("arn:aws:sts::111122223333:assumed-role/"+role+"/s", "111122223333", "AROA"+strings.ToUpper(role)+":s", "ASIAEXAMPLE")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestNewReadsBothKinds(t *testing.T) {
	for name, c := range map[string]struct {
		kind    Kind
		content string
	}{
		"configuration":       {MountedFile, under(both)},
		"keys in other cases": {MountedFile, strings.ReplaceAll(strings.Replace(under(both), "server", "Server", 1), "mapRoles", "maproles")},
		"with an anchor":      {MountedFile, "x: &x " + both + "\nserver: *x\n"},
		"JSON":                {DynamicFile, strings.Replace(both, "{", `{"LastUpdatedDateTime": "1", "Version": "1",`, 1)},
		"YAML":                {DynamicFile, strings.TrimPrefix(under("{}"), "clusterID: c\n") + "mapRoles:\n- {rolearn: 'arn:aws:iam::111122223333:role/one', username: one}\n- {rolearn: 'arn:aws:iam::111122223333:role/two', username: two}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			write(t, path, c.content)
			now := time.Unix(1_800_000_000, 0)
			f := newFixture(t, Options{Kind: c.kind, Path: path, Now: func() time.Time { return now }})
			if got := f.users(); got != "one two" {
				t.Errorf("users %q", got)
			}
			if s := f.Status(); s.Entries != 2 || s.Err != nil || !s.Loaded.Equal(now) || s.Ready() != nil || len(s.Problems) != 0 {
				t.Errorf("status %+v", s)
			}
			if f.Name() != string(c.kind) {
				t.Errorf("name %s", f.Name())
			}
		})
	}
}

func TestNewMapsAccounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, two)
	f := newFixture(t, Options{Kind: DynamicFile, Path: path})
	for account, want := range map[string]bool{"444455556666": true, "111122223333": false, "": false} {
		if got, err := f.MapsAccount(account); got != want || err != nil {
			t.Errorf("MapsAccount(%q) = %t, %v", account, got, err)
		}
	}
}

func TestNewRefusesConfigurationItCannotRead(t *testing.T) {
	for name, c := range map[string]struct{ content, says string }{
		"missing":         {"", "no such file"},
		"empty":           {" \n", "empty"},
		"comments only":   {"# a\n", "empty"},
		"no YAML":         {"a: b: c\n", "yaml"},
		"server twice":    {"server: {}\nSERVER: {}\n", "key server twice"},
		"section twice":   {under(`{mapRoles: [], maproles: []}`), "key mapRoles twice"},
		"no mapping":      {"- a\n", "want a mapping"},
		"server is text":  {"server: a\n", "want a mapping"},
		"section is text": {under("{mapUsers: a}"), "mapUsers (line 2) is a string, want a list"},
		"oversized":       {"# " + strings.Repeat("x", maxSize), "16 MiB"},
		"merge key":       {"x: &x {mapRoles: []}\nserver: {<<: *x}\n", "write its keys out"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if name != "missing" {
				write(t, path, c.content)
			}
			if _, err := New(Options{Kind: MountedFile, Path: path, still: time.Millisecond}); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}

func TestNewRefusesOptionsThatContradict(t *testing.T) {
	for _, o := range []Options{
		{Kind: "File", Path: "x"},
		{Kind: DynamicFile},
		{Kind: MountedFile, Path: "x", UserIDStrict: true},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func TestConfigurationWithoutMappingsMapsNothing(t *testing.T) {
	for _, content := range []string{"clusterID: c\n", "server:\n", under("{port: 1}"), under("{mapRoles: }")} {
		path := filepath.Join(t.TempDir(), "file")
		write(t, path, content)
		f := newFixture(t, Options{Kind: MountedFile, Path: path})
		if got := f.users(); got != "" || f.Status().Entries != 0 || f.Status().Ready() != nil {
			t.Errorf("%q: users %q, status %+v", content, got, f.Status())
		}
	}
}

func TestBrokenDynamicFileAtTheStartIsNotReady(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, content := range []string{"{", "[]", `{"mapUsers": "a"}`} {
		write(t, path, content)
		f := newFixture(t, Options{Kind: DynamicFile, Path: path})
		if _, err := f.Lookup(session(t, "one")); reason.Of(err) != reason.MapperNotReady {
			t.Errorf("%q: Lookup: %v", content, err)
		}
		if _, err := f.MapsAccount("444455556666"); reason.Of(err) != reason.MapperNotReady {
			t.Errorf("%q: MapsAccount: %v", content, err)
		}
		if err := f.Status().Ready(); reason.Of(err) != reason.MapperNotReady {
			t.Errorf("%q: Ready: %v", content, err)
		}
		write(t, path, one)
		if err := f.Reload(t.Context()); err != nil || f.users() != "one" {
			t.Errorf("%q: after mending: %v, users %q", content, err, f.users())
		}
	}
}

func TestBadEntryHarmsOnlyItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, strings.Replace(both, "{", `{"mapUsers": [{"userarn": "secret", "username": "hush"}],`, 1))
	f := newFixture(t, Options{Kind: DynamicFile, Path: path})
	if got := f.users(); got != "one two" || len(f.Status().Problems) != 1 {
		t.Errorf("users %q, status %+v", got, f.Status())
	}
	skipped := f.logs.FilterMessage("mapping entry skipped").All()
	if len(skipped) != 1 || skipped[0].ContextMap()["entry"] != "mapUsers[0] (line 1)" {
		t.Errorf("logged %v", skipped)
	}
}

func TestProblemsLoggedAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, `{"mapAccounts": [`+strings.Repeat(`"1",`, 100)+`"1"]}`)
	f := newFixture(t, Options{Kind: DynamicFile, Path: path})
	if got := f.logs.FilterMessage("mapping entry skipped").Len(); got != mapper.MaxLogged {
		t.Errorf("%d problems logged, want %d", got, mapper.MaxLogged)
	}
	rest := f.logs.FilterMessageSnippet("further problems").All()
	if len(rest) != 1 || rest[0].ContextMap()["count"] != int64(101-mapper.MaxLogged) || len(f.Status().Problems) != 101 {
		t.Errorf("logged %v", rest)
	}
}

func TestBrokenFileKeepsLastState(t *testing.T) {
	for _, kind := range []Kind{MountedFile, DynamicFile} {
		wrap := func(s string) string { return s }
		if kind == MountedFile {
			wrap = under
		}
		for name, breakIt := range map[string]func(t *testing.T, path string){
			"no YAML":     func(t *testing.T, path string) { write(t, path, "{") },
			"no mapping":  func(t *testing.T, path string) { write(t, path, "[]") },
			"oversized":   func(t *testing.T, path string) { write(t, path, strings.Repeat(" ", maxSize)+wrap(two)) },
			"a directory": func(t *testing.T, path string) { must(t, os.Remove(path)); must(t, os.Mkdir(path, 0o700)) },
			"key twice":   func(t *testing.T, path string) { write(t, path, wrap(`{"mapRoles": [], "MapRoles": []}`)) },
		} {
			t.Run(string(kind)+" "+name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "file")
				write(t, path, wrap(one))
				f := newFixture(t, Options{Kind: kind, Path: path})
				breakIt(t, path)
				for range 3 {
					if err := f.Reload(t.Context()); err == nil {
						t.Fatal("Reload: no error")
					}
				}
				if s := f.Status(); f.users() != "one" || s.Err == nil || s.Ready() != nil || s.Entries != 1 {
					t.Errorf("users %q, status %+v", f.users(), s)
				}
				if n := f.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 1 {
					t.Errorf("logged %d times, want once", n)
				}
				must(t, os.RemoveAll(path))
				write(t, path, wrap(two))
				if err := f.Reload(t.Context()); err != nil || f.users() != "two" || f.Status().Err != nil {
					t.Errorf("after mending: %v, users %q", err, f.users())
				}
			})
		}
	}
}

func TestBrokenSectionKeepsItsOwnState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, two)
	f := newFixture(t, Options{Kind: DynamicFile, Path: path})
	write(t, path, `{"mapRoles": "oops", "mapAccounts": ["777788889999"]}`)
	if err := f.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "mapRoles") {
		t.Errorf("Reload: %v", err)
	}
	fresh, _ := f.MapsAccount("777788889999")
	stale, _ := f.MapsAccount("444455556666")
	if f.users() != "two" || !fresh || stale {
		t.Errorf("users %q, new account %t, old account %t", f.users(), fresh, stale)
	}
	write(t, path, `{"mapRoles": []}`)
	if err := f.Reload(t.Context()); err != nil || f.users() != "" || f.Status().Entries != 0 {
		t.Errorf("an emptied section is not honoured: %v, users %q", err, f.users())
	}
}

func TestGoneOrEmptyFile(t *testing.T) {
	for name, remove := range map[string]func(path string) error{
		"deleted": os.Remove,
		"emptied": func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			write(t, path, one)
			dynamic := newFixture(t, Options{Kind: DynamicFile, Path: path})
			config := filepath.Join(t.TempDir(), "config")
			write(t, config, under(one))
			mounted := newFixture(t, Options{Kind: MountedFile, Path: config})
			must(t, remove(path))
			must(t, remove(config))

			if err := dynamic.Reload(t.Context()); err != nil || dynamic.users() != "" || dynamic.Status().Entries != 0 {
				t.Errorf("dynamic: %v, users %q", err, dynamic.users())
			}
			if err := mounted.Reload(t.Context()); err == nil || mounted.users() != "one" {
				t.Errorf("mounted: %v, users %q", err, mounted.users())
			}
			write(t, path, two)
			write(t, config, under(two))
			if err := errors.Join(dynamic.Reload(t.Context()), mounted.Reload(t.Context())); err != nil {
				t.Errorf("once it is back: %v", err)
			}
			if dynamic.users() != "two" || mounted.users() != "two" {
				t.Errorf("users %q and %q, want the new ones", dynamic.users(), mounted.users())
			}
		})
	}
}

func TestStrictUserIDs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, `{"mapRoles": [
		{"userid": "AROAONE", "username": "one", "groups": ["g"]},
		{"userid": "AROATWO", "username": "two", "rolearn": "arn:aws:iam::111122223333:role/Two"},
		{"userid": "AROATHREE", "username": "three", "rolearn": "arn:aws:iam::111122223333:role/other"},
		{"rolearn": "arn:aws:iam::111122223333:role/four", "username": "four"}]}`)
	f := newFixture(t, Options{Kind: DynamicFile, Path: path, UserIDStrict: true})
	chain := mapper.NewChain([]mapper.Mapper{f.Mapper}, mapper.ChainOptions{})
	for role, want := range map[string]reason.Code{
		"one": reason.Granted, "two": reason.Granted, "three": reason.PrincipalIDMismatch, "four": reason.NotMapped,
	} {
		if user, err := chain.Map(t.Context(), session(t, role)); reason.Of(err) != want || err == nil && user.Username != role {
			t.Errorf("%s: %+v, %v, want %s", role, user, err, want)
		}
	}
}

func TestReloadLooksTwiceBeforeItClears(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	synctest.Test(t, func(t *testing.T) {
		write(t, path, one)
		f := newFixture(t, Options{Kind: DynamicFile, Path: path})
		must(t, os.Remove(path))
		go f.Reload(t.Context())
		synctest.Wait() // it has seen that the file is gone
		write(t, path, two)
		time.Sleep(2*settle + 2*still)
		if got := f.users(); got != "two" || f.logs.FilterMessageSnippet("missing").Len() > 0 {
			t.Errorf("users %q, logs %v, want a file that was never gone", got, f.logs.All())
		}
	})
}

// Whoever writes in place may pause where what is there so far means something else.
func TestReloadBelievesNoHalfWrittenFile(t *testing.T) {
	const whole = `mapRoles:
- rolearn: arn:aws:iam::111122223333:role/one
  username: admin-readonly
  groups: [readers]
  userid: AROASOMEBODYELSE
`
	path := filepath.Join(t.TempDir(), "file")
	for _, half := range []string{whole[:strings.Index(whole, "  userid")], whole[:strings.Index(whole, "-readonly")]} {
		synctest.Test(t, func(t *testing.T) {
			write(t, path, two)
			f := newFixture(t, Options{Kind: DynamicFile, Path: path})
			f.still = still
			write(t, path, half)
			done := make(chan error)
			go func() { done <- f.Reload(t.Context()) }()
			synctest.Wait() // it has read the half
			time.Sleep(still / 2)
			write(t, path, half+"#") // the writer goes on
			time.Sleep(still / 2)
			synctest.Wait()
			if got := f.users(); got != "two" {
				t.Errorf("users %q after half of the file", got)
			}
			write(t, path, whole)
			if err := <-done; err != nil {
				t.Error(err)
			}
			chain := mapper.NewChain([]mapper.Mapper{f.Mapper}, mapper.ChainOptions{})
			if user, err := chain.Map(t.Context(), session(t, "one")); reason.Of(err) != reason.PrincipalIDMismatch {
				t.Errorf("got %+v, %v, want PrincipalIDMismatch", user, err)
			}
		})
	}
}

func TestMisspeltSectionKeepsLastState(t *testing.T) {
	for _, key := range []string{"mapRole", "mapRoless", "maproels", "map_users", "mapAcounts"} {
		dir := t.TempDir()
		for kind, text := range map[Kind]string{DynamicFile: one, MountedFile: under(one)} {
			path := filepath.Join(dir, string(kind))
			write(t, path, text)
			f := newFixture(t, Options{Kind: kind, Path: path})
			write(t, path+"~", strings.Replace(text, "mapRoles", key, 1))
			must(t, os.Rename(path+"~", path))
			if err := f.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "did you mean") || f.users() != "one" {
				t.Errorf("%s, %s: %v, users %q", kind, key, err, f.users())
			}
		}
	}
}

func TestMappingFileThatAnybodyWritesIsNamed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs modes")
	}
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, one)
	must(t, os.Chmod(path, 0o666))
	if f := newFixture(t, Options{Kind: DynamicFile, Path: path}); f.logs.FilterMessageSnippet("writable by everybody").Len() != 1 {
		t.Errorf("log %v", f.logs.All())
	}
}

func TestReloadEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, one)
	f := newFixture(t, Options{Kind: DynamicFile, Path: path})
	must(t, os.Remove(path))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Reload(ctx); !errors.Is(err, context.Canceled) || f.users() != "one" {
		t.Errorf("Reload: %v, users %q", err, f.users())
	}
}

func TestLogHasNoContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f := newFixture(t, Options{Kind: DynamicFile, Path: path})
	for _, content := range []string{
		`{"mapRoles": [{"rolearn": "arn:aws:iam::111122223333:role/a", "username": 1, "groups": ["hush"]}]}`,
		`{"mapRoles": [{"rolearn": "arn:aws:iam::111122223333:role/a", "username": "hush\u0000"}]}`,
		`{"mapRoles": [{"rolearn": "arn:aws:iam::111122223333:role/a", "username": "u", "sessionNamePattern": "(hush"}]}`,
		`{"mapRoles": "hush"}`,
		`{"mapRoles": [{"rolearn": "arn:aws:iam::111122223333:role/a", "username": {"hush": "hush"}}]}`,
		"a: hush: hush",
		"hush",
	} {
		write(t, path, content)
		_ = f.Reload(t.Context())
	}
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "m"})
	for _, e := range f.logs.All() {
		line, err := encoder.EncodeEntry(e.Entry, e.Context)
		must(t, err)
		if bytes.Contains(line.Bytes(), []byte("hush")) {
			t.Errorf("logged %s", line)
		}
	}
	if f.logs.Len() < 7 {
		t.Errorf("%d lines logged", f.logs.Len())
	}
}

func TestReadersDuringRewritesSeeWholeStates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, one)
	f := newFixture(t, Options{Kind: DynamicFile, Path: path})
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				// One index at a time: never both, never none.
				s := f.state.Load()
				_, first := s.index.Lookup(session(t, "one"))
				_, second := s.index.Lookup(session(t, "two"))
				if (first == nil) == (second == nil) {
					t.Errorf("one: %v, two: %v", first, second)
					return
				}
				_ = f.Status()
			}
		})
	}
	for i := range 200 {
		write(t, path+".new", fmt.Sprintf("# %d\n%s", i, []string{one, two}[i%2]))
		must(t, os.Rename(path+".new", path))
		must(t, f.Reload(t.Context()))
	}
	stop()
	readers.Wait()
}
