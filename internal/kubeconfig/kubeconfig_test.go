package kubeconfig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// demo is the login that most tests merge.
func demo() Login {
	return Login{
		ContextName: "demo", ClusterName: "demo", UserName: "demo",
		Cluster: &Cluster{Server: "https://demo.example:6443"},
		Exec:    Exec{ClusterID: "demo", RoleARN: "arn:aws:iam::111122223333:role/dev", Profile: "work"},
		Current: true,
	}
}

// write makes files of a directory, by name, and returns the paths in the order given.
func write(t *testing.T, nameAndText ...string) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(nameAndText); i += 2 {
		path := filepath.Join(dir, nameAndText[i])
		paths = append(paths, path)
		if nameAndText[i+1] == "" {
			continue // a file that isn't there
		}
		if err := os.WriteFile(path, []byte(nameAndText[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func merge(t *testing.T, login Login, o Options) Result {
	t.Helper()
	result, err := Merge(t.Context(), login, o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

const demoEntries = `apiVersion: v1
kind: Config
clusters:
- cluster:
    server: https://demo.example:6443
  name: demo
users:
- user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: authenticator
      args:
      - token
      - -i
      - demo
      - --role
      - arn:aws:iam::111122223333:role/dev
      env:
      - name: AWS_PROFILE
        value: work
      interactiveMode: IfAvailable
      provideClusterInfo: true
  name: demo
contexts:
- context:
    cluster: demo
    user: demo
  name: demo
current-context: demo
`

func TestNewFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "config")
	result := merge(t, demo(), Options{Files: []string{file}})
	if got := read(t, file); got != demoEntries {
		t.Errorf("got\n%s\nwant\n%s", got, demoEntries)
	}
	if len(result.Changes) != 4 || result.Changes[0] != (Change{Kind: "cluster", Name: "demo", File: file}) {
		t.Errorf("changes are %+v, want three entries and the current context", result.Changes)
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", info.Mode().Perm())
	}
	if _, err := os.Lstat(file + ".lock"); err == nil {
		t.Error("the lock is left behind")
	}
}

func TestSecondRunChangesNothing(t *testing.T) {
	files := write(t, "config", "# mine\n")
	merge(t, demo(), Options{Files: files})
	before, _ := os.Stat(files[0])
	if result := merge(t, demo(), Options{Files: files}); len(result.Changes) != 0 || result.Diff != "" {
		t.Errorf("the second run says %+v", result)
	}
	if after, _ := os.Stat(files[0]); !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Error("the second run wrote the file")
	}
	if got := read(t, files[0]); got != "# mine\n"+demoEntries {
		t.Errorf("the comment of a file without anything else is not kept:\n%s", got)
	}
}

// kubectl leaves empty keys behind when it rewrites a file.
func TestSecondRunAfterKubectlWroteTheFile(t *testing.T) {
	files := write(t, "config", "")
	login := demo()
	login.Exec.Profile = ""
	merge(t, login, Options{Files: files})
	config, err := clientcmd.LoadFromFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := clientcmd.WriteToFile(*config, files[0]); err != nil {
		t.Fatal(err)
	}
	if text := read(t, files[0]); !strings.Contains(text, "env: null") {
		t.Fatalf("kubectl writes the file otherwise than thought:\n%s", text)
	}
	if result := merge(t, login, Options{Files: files}); len(result.Changes) != 0 {
		t.Errorf("changes are %+v, want none", result.Changes)
	}
}

// What people write stays: comments, order, unknown keys, styles, and the layout of lists.
func TestEverythingElseStays(t *testing.T) {
	for name, c := range map[string]struct{ before, added string }{
		"kubectl's layout": {
			before: `# head
apiVersion: v1
clusters:
# of work
- cluster:
    extensions:
    - extension: {a: 1}
      name: ext
    server: "https://old.example" # old
    x-unknown: [1, two]
  name: old
kind: Config
x-mine: 'yes'
users: []
contexts: null
`,
			added: "- cluster:\n    server: https://demo.example:6443\n  name: demo\n",
		},
		"indented lists": {
			before: `apiVersion: v1
kind: Config
clusters:
  # of work
  - name: old
    cluster:
      server: https://old.example
users:
  - name: me
    user: {token: s3cret} # mine
`,
			added: "  - cluster:\n      server: https://demo.example:6443\n    name: demo\n",
		},
		"indented by four": {
			before: "apiVersion: v1\nclusters:\n    - name: old\n      cluster:\n        server: https://old.example\n",
			added:  "    - cluster:\n        server: https://demo.example:6443\n      name: demo\n",
		},
		"anchors": {
			before: "clusters:\n- cluster: &c\n    server: https://old.example\n  name: old\n- cluster:\n    !!merge <<: *c\n    proxy-url: http://proxy\n  name: old2\n",
			added:  "- cluster:\n    server: https://demo.example:6443\n  name: demo\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := write(t, "config", c.before)
			merge(t, demo(), Options{Files: files})
			got := read(t, files[0])
			if !strings.Contains(got, c.added) {
				t.Errorf("the new cluster is not in the file's layout:\n%s", got)
			}
			for line := range strings.Lines(c.before) {
				if trimmed := strings.TrimSpace(line); trimmed != "users: []" && trimmed != "contexts: null" && !strings.Contains(got, line) {
					t.Errorf("%q is lost:\n%s", line, got)
				}
			}
			if _, err := clientcmd.LoadFromFile(files[0]); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestJSONStaysJSON(t *testing.T) {
	files := write(t, "config", `{"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "old", "cluster": {"server": "https://old.example", "disable-compression": true}}]}`)
	merge(t, demo(), Options{Files: files})
	if got := read(t, files[0]); !json.Valid([]byte(got)) {
		t.Errorf("no longer JSON: %s", got)
	}
}

// Names that YAML would take for something else.
func TestNamesAreStrings(t *testing.T) {
	for _, name := range []string{"123", "0x1f", "yes", "null", "1e3", "a: b", "arn:aws:eks:eu-west-1:111122223333:cluster/demo", "*x", "2026-01-01", "ü"} {
		files := write(t, "config", "")
		login := demo()
		login.ContextName, login.ClusterName, login.UserName, login.Exec.Profile = name, name, name, name
		merge(t, login, Options{Files: files})
		config, err := clientcmd.LoadFromFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if config.CurrentContext != name || config.Contexts[name] == nil || config.AuthInfos[name] == nil || config.AuthInfos[name].Exec.Env[0].Value != name {
			t.Errorf("%q: kubectl reads %+v", name, config)
		}
		if result := merge(t, login, Options{Files: files}); len(result.Changes) != 0 {
			t.Errorf("%q: the second run changes %+v", name, result.Changes)
		}
	}
}

func TestConflict(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Login)
		kind   string
		keys   []string
	}{
		"another server":    {func(l *Login) { l.Cluster.Server = "https://other.example" }, "cluster", []string{"server"}},
		"another CA":        {func(l *Login) { l.Cluster.CA = []byte("CA") }, "cluster", []string{"certificate-authority-data"}},
		"another TLS name":  {func(l *Login) { l.Cluster.TLSServerName = "x" }, "cluster", []string{"tls-server-name"}},
		"another role":      {func(l *Login) { l.Exec.RoleARN = "" }, "user", []string{"exec"}},
		"no profile":        {func(l *Login) { l.Exec.Profile = "" }, "user", []string{"exec"}},
		"context for other": {func(l *Login) { l.UserName = "other" }, "context", []string{"user"}},
	} {
		t.Run(name, func(t *testing.T) {
			files := write(t, "config", demoEntries)
			login := demo()
			c.change(&login)
			_, err := Merge(t.Context(), login, Options{Files: files})
			conflict, ok := errors.AsType[*ConflictError](err)
			if !ok || conflict.Kind != c.kind || !slices.Equal(conflict.Keys, c.keys) {
				t.Fatalf("got %v, want a conflict of the %s in %v", err, c.kind, c.keys)
			}
			if got := read(t, files[0]); got != demoEntries {
				t.Errorf("the file was changed all the same:\n%s", got)
			}
			result := merge(t, login, Options{Files: files, Overwrite: true})
			if !slices.ContainsFunc(result.Changes, func(change Change) bool { return change.Kind == c.kind && change.Replaced }) {
				t.Errorf("changes are %+v, want the %s replaced", result.Changes, c.kind)
			}
			if result := merge(t, login, Options{Files: files}); len(result.Changes) != 0 {
				t.Errorf("after that there is still something to do: %+v", result.Changes)
			}
		})
	}
}

// What is ours is replaced, what authenticates otherwise goes, the rest is the user's.
func TestOverwriteKeepsWhatIsTheUsers(t *testing.T) {
	files := write(t, "config", `clusters:
- name: demo
  cluster:
    # the old address
    server: https://old.example # moved
    insecure-skip-tls-verify: true
    proxy-url: http://proxy.example
users:
- name: demo
  user: {token: s3cret, as: somebody}
contexts:
- name: demo
  context: {cluster: demo, user: demo, namespace: shop}
`)
	result := merge(t, demo(), Options{Files: files, Overwrite: true})
	got := read(t, files[0])
	for _, want := range []string{"# the old address\n    server: https://demo.example:6443 # moved", "proxy-url: http://proxy.example", "as: somebody", "namespace: shop"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing:\n%s", want, got)
		}
	}
	for _, gone := range []string{"s3cret", "insecure"} {
		if strings.Contains(got, gone) {
			t.Errorf("%q is still there:\n%s", gone, got)
		}
	}
	if strings.Contains(result.Diff, "s3cret") || !strings.Contains(result.Diff, "REDACTED") {
		t.Errorf("the diff should show that a token goes, and not which:\n%s", result.Diff)
	}
}

func TestDiffHasNoSecrets(t *testing.T) {
	files := write(t, "config", `users:
- name: a
  user: {token: s3cret1, password: "s3cret2", client-key-data: czNjcmV0Mw==}
- name: b
  user:
    auth-provider: {name: oidc, config: {id-token: s3cret4}}
- name: c
  user:
    token: |
      s3cret5
      s3cret6
- name: d
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Never, env: [{name: PASSWORD, value: s3cret7}]}
`)
	result := merge(t, demo(), Options{Files: files, DryRun: true})
	if strings.Contains(result.Diff, "s3cret") || strings.Contains(result.Diff, "czNj") {
		t.Errorf("a secret is in the diff:\n%s", result.Diff)
	}
	if !strings.Contains(result.Diff, "+  name: demo") || !strings.Contains(result.Diff, "+        value: work") {
		t.Errorf("what is new is not in the diff:\n%s", result.Diff)
	}
}

func TestADiffOfSecretsAloneSaysSo(t *testing.T) {
	login := demo()
	login.Cluster.ProxyURL = "http://me:s3cret1@proxy.example"
	files := write(t, "config", "")
	merge(t, login, Options{Files: files})
	login.Cluster.ProxyURL = "http://me:s3cret2@proxy.example"
	result := merge(t, login, Options{Files: files, DryRun: true, Overwrite: true})
	if len(result.Changes) != 1 || strings.Contains(result.Diff, "s3cret") || !strings.Contains(result.Diff, files[0]+": what changes may be a secret") {
		t.Errorf("%+v", result)
	}
}

// What is overwritten may be somebody else's: only what is known to be no secret is shown.
func TestDiffShowsOnlyWhatIsNoSecret(t *testing.T) {
	files := write(t, "config", `# s3cret: the password of the admin
clusters:
- name: demo # s3cret
  cluster:
    server: https://me:s3cret@old.example/?token=s3cret#s3cret
    proxy-url: http://me:s3cret@proxy.example:3128
    x-token: s3cret
    extensions: [{name: s3cret, extension: {token: s3cret}}]
- {name: other, cluster: {server: "https://s3cret.example"}}
users:
- name: demo
  user: &other
    # s3cret
    username: s3cret
    token: s3cret
    client-key-data: czNj
    password: s3cret
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: other-login
      args: [login, --token=s3cret, --password, s3cret, s3cret-c3RhbmRz, arn:aws:iam::111122223333:role/old, token]
      env: [{name: AWS_PROFILE, value: old}, {name: TOKEN, value: s3cret}, {name: ODD, value: s3cret, x: s3cret}]
      installHint: s3cret
      interactiveMode: Never
- {name: another, user: *other}
- {name: "5", user: {token: s3cret}, "7": s3cret}
contexts:
- {name: demo, context: {cluster: other, user: another, namespace: shop, extensions: [{name: s3cret}]}}
current-context: somebody
`)
	result := merge(t, demo(), Options{Files: files, DryRun: true, Overwrite: true})
	if strings.Contains(result.Diff, "s3cret") || strings.Contains(result.Diff, "czNj") {
		t.Errorf("a secret is in the diff:\n%s", result.Diff)
	}
	for _, want := range []string{
		"-    server: https://REDACTED@old.example/?REDACTED#REDACTED\n", "+    server: https://demo.example:6443\n",
		"proxy-url: http://REDACTED@proxy.example:3128\n", "-      command: other-login\n", "+      command: authenticator\n",
		"arn:aws:iam::111122223333:role/old\n", "      - token\n", "-        value: old\n", "+        value: work\n",
		"-    token: REDACTED\n", "-    cluster: other\n", "namespace: shop\n", "-current-context: somebody\n",
	} {
		if !strings.Contains(result.Diff, want) {
			t.Errorf("%q is not in the diff:\n%s", want, result.Diff)
		}
	}
}

func TestDryRunWritesNothing(t *testing.T) {
	dir := t.TempDir()
	result := merge(t, demo(), Options{Files: []string{filepath.Join(dir, "sub", "config")}, DryRun: true})
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("it made %v", entries)
	}
	if len(result.Changes) != 4 || strings.Count(result.Diff, "\n+") < 20 {
		t.Errorf("got %+v, want all that would be written", result)
	}
}

// With several files, entries are changed where they are, and new ones go to the first
// file that exists, or to the last.
func TestSeveralFiles(t *testing.T) {
	const cluster = "clusters: [{name: demo, cluster: {server: 'https://old.example'}}]\n"
	files := write(t, "missing", "", "first", "kind: Config\n", "second", cluster+"current-context: other\n", "third", cluster)
	result := merge(t, demo(), Options{Files: files, Overwrite: true})
	want := []Change{
		{Kind: "cluster", Name: "demo", File: files[2], Replaced: true},
		{Kind: "user", Name: "demo", File: files[1]},
		{Kind: "context", Name: "demo", File: files[1]},
		{Kind: "current-context", Name: "demo", File: files[1]},
	}
	if !slices.Equal(result.Changes, want) {
		t.Errorf("got %+v, want %+v", result.Changes, want)
	}
	if got := read(t, files[3]); got != cluster {
		t.Errorf("the third file, whose cluster kubectl doesn't see, was changed:\n%s", got)
	}
	config, err := load(files)
	if err != nil || config.CurrentContext != "demo" || config.Clusters["demo"].Server != "https://demo.example:6443" {
		t.Errorf("kubectl reads %+v, %v", config, err)
	}

	none := write(t, "a", "", "b", "")
	if result := merge(t, demo(), Options{Files: none}); result.Changes[0].File != none[1] {
		t.Errorf("written to %s, want the last", result.Changes[0].File)
	}
}

func TestCurrentContextStaysIfAsked(t *testing.T) {
	files := write(t, "config", "current-context: old\n")
	login := demo()
	login.Current = false
	merge(t, login, Options{Files: files})
	if got := read(t, files[0]); !strings.Contains(got, "current-context: old\n") {
		t.Errorf("it was changed:\n%s", got)
	}
}

// A file that kubectl can't read, or that can't be written again as it was, isn't touched.
func TestBadFileIsNotTouched(t *testing.T) {
	for name, text := range map[string]string{
		"no YAML":                  "clusters: [",
		"no mapping":               "- a\n",
		"another kind":             "apiVersion: v1\nkind: Pod\n",
		"a list that is a mapping": "clusters: {a: b}\n",
		"a name twice":             "clusters:\n- {name: a, cluster: {}}\n- {name: a, cluster: {}}\n",
		"a key twice":              "kind: Config\nkind: Config\n",
		"two documents":            "kind: Config\n---\nkind: Config\n",
		"aliased list":             "x: &l []\nclusters: *l\n",
		"aliased entry":            "x: &e {name: demo, cluster: {server: 'https://old.example'}}\nclusters: [*e]\n",
		"binary":                   "\x00\x01\x02",
		"a null":                   "~\n",
		"an ended document":        "---\n...\n",
	} {
		t.Run(name, func(t *testing.T) {
			files := write(t, "config", text)
			_, err := Merge(t.Context(), demo(), Options{Files: files, Overwrite: true})
			if err == nil || !strings.Contains(err.Error(), files[0]) {
				t.Errorf("got %v, want an error that names the file", err)
			}
			if got := read(t, files[0]); got != text {
				t.Errorf("the file was changed:\n%s", got)
			}
			if entries, _ := os.ReadDir(filepath.Dir(files[0])); len(entries) != 1 {
				t.Errorf("something is left behind: %v", entries)
			}
		})
	}
}

func TestModeAndLinkStay(t *testing.T) {
	files := write(t, "real", "kind: Config\n")
	if err := os.Chmod(files[0], 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "config")
	if err := os.Symlink(files[0], link); err != nil {
		t.Fatal(err)
	}
	merge(t, demo(), Options{Files: []string{link}})
	if info, _ := os.Lstat(link); info.Mode().Type() != fs.ModeSymlink {
		t.Error("the link is one no longer")
	}
	if info, _ := os.Stat(files[0]); info.Mode().Perm() != 0o640 {
		t.Errorf("mode %o, want 640", info.Mode().Perm())
	}
	if !strings.Contains(read(t, files[0]), "demo") {
		t.Error("what the link points to was not written")
	}
	nowhere := filepath.Join(t.TempDir(), "config")
	if err := os.Symlink("nothing", nowhere); err != nil {
		t.Fatal(err)
	}
	if _, err := Merge(t.Context(), demo(), Options{Files: []string{nowhere}}); err == nil || !strings.Contains(err.Error(), "link to nothing") {
		t.Errorf("got %v, want an error about the link", err)
	}
}

// While kubectl changes the file it holds a lock, which is waited for.
func TestLockIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := write(t, "config", "kind: Config\n")
		lock := files[0] + ".lock"
		if err := os.WriteFile(lock, nil, 0); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(lockTimeout / 2)
			// What the other program wrote meanwhile is not lost.
			os.WriteFile(files[0], []byte("x-other: 1\n"), 0o600)
			os.Remove(lock)
		}()
		merge(t, demo(), Options{Files: files})
		if got := read(t, files[0]); !strings.Contains(got, "x-other: 1") || !strings.Contains(got, "name: demo") {
			t.Errorf("something is lost:\n%s", got)
		}
	})
}

func TestLockThatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := write(t, "config", "kind: Config\n")
		if err := os.WriteFile(files[0]+".lock", nil, 0); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err := Merge(t.Context(), demo(), Options{Files: files})
		if err == nil || !strings.Contains(err.Error(), "remove "+files[0]+".lock") || time.Since(start) != lockTimeout {
			t.Errorf("got %v after %v, want an error that names the lock after %v", err, time.Since(start), lockTimeout)
		}
		if read(t, files[0]) != "kind: Config\n" {
			t.Error("the file was changed")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Merge(ctx, demo(), Options{Files: files}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the interruption", err)
		}
	})
}

func TestManyAtOnceLoseNothing(t *testing.T) {
	files := write(t, "config", "kind: Config\n")
	var running sync.WaitGroup
	for i := range 16 {
		running.Go(func() {
			login := demo()
			login.ContextName = fmt.Sprint("context", i)
			login.ClusterName, login.UserName = login.ContextName, login.ContextName
			if _, err := Merge(t.Context(), login, Options{Files: files}); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	config, err := clientcmd.LoadFromFile(files[0])
	if err != nil || len(config.Contexts) != 16 || len(config.Clusters) != 16 || len(config.AuthInfos) != 16 {
		t.Errorf("kubectl reads %+v, %v", config, err)
	}
}

func TestFiles(t *testing.T) {
	t.Setenv("KUBECONFIG", strings.Join([]string{"", "a", "b", "", "a"}, string(filepath.ListSeparator)))
	if got := Files(""); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %q, want a and b, each once", got)
	}
	if got := Files("x"); !slices.Equal(got, []string{"x"}) {
		t.Errorf("got %q, want the explicit one", got)
	}
	t.Setenv("KUBECONFIG", "")
	if got := Files(""); !slices.Equal(got, []string{clientcmd.RecommendedHomeFile}) {
		t.Errorf("got %q, want that in the home directory", got)
	}
}
