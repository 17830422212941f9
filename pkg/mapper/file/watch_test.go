package file

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
)

func TestRunFollowsFile(t *testing.T) {
	cases := map[string]func(t *testing.T, path string){
		"rewritten in place": func(t *testing.T, path string) { write(t, path, two) },
		"replaced by rename": func(t *testing.T, path string) {
			write(t, path+"~", two)
			must(t, os.Rename(path+"~", path))
		},
		"deleted and created": func(t *testing.T, path string) {
			must(t, os.Remove(path))
			write(t, path, two)
		},
		"truncated, then written in pieces": func(t *testing.T, path string) {
			f, err := os.Create(path)
			must(t, err)
			defer f.Close()
			for _, b := range []byte(two) {
				_, err := f.Write([]byte{b})
				must(t, err)
			}
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			write(t, path, one)
			f := newFixture(t, Options{Kind: DynamicFile, Path: path})
			f.run()
			change(t, path)
			f.waitUsers("two")
			if n := f.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n > 0 {
				t.Errorf("a state in between was taken for a fault: %v", f.logs.All())
			}
		})
	}
}

func TestRunFollowsSymlinkSwapOfKubernetes(t *testing.T) {
	dir := t.TempDir()
	publish := func(version, content string) {
		must(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		write(t, filepath.Join(dir, version, "config.yaml"), under(content))
		must(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	publish("..1", one)
	path := filepath.Join(dir, "config.yaml")
	must(t, os.Symlink("..data/config.yaml", path))

	f := newFixture(t, Options{Kind: MountedFile, Path: path})
	f.run()
	publish("..2", two)
	must(t, os.RemoveAll(filepath.Join(dir, "..1")))
	f.waitUsers("two")
	publish("..3", both)
	must(t, os.RemoveAll(filepath.Join(dir, "..2")))
	f.waitUsers("one two")
	if n := f.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n > 0 {
		t.Errorf("faults logged: %v", f.logs.All())
	}
}

func TestRunPicksUpFileThatAppears(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f := newFixture(t, Options{Kind: DynamicFile, Path: path})
	if err := f.Status().Ready(); err != nil || f.users() != "" {
		t.Fatalf("a missing dynamic file: %v, users %q", err, f.users())
	}
	f.run()
	write(t, path, one)
	f.waitUsers("one")
	must(t, os.Remove(path))
	f.waitUsers("")
	write(t, path, two)
	f.waitUsers("two")
}

func TestRunKeepsLastStateUntilMended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, under(one))
	f := newFixture(t, Options{Kind: MountedFile, Path: path})
	f.run()
	write(t, path, "server: {mapRoles: [")
	f.wait("error", func() bool { return f.Status().Err != nil })
	if got := f.users(); got != "one" {
		t.Errorf("users %q of a broken file, want the last ones", got)
	}
	write(t, path, under(two))
	f.waitUsers("two")
	if err := f.Status().Err; err != nil {
		t.Errorf("error %v after mending", err)
	}
}

func TestRunFindsWhatChangedSinceNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, one)
	f := newFixture(t, Options{Kind: DynamicFile, Path: path})
	write(t, path, two)
	f.start()
	f.waitUsers("two")
}

func TestRunPollsWhereThereAreNoEvents(t *testing.T) {
	// The file is a link to another directory, which nobody watches.
	target := filepath.Join(t.TempDir(), "target")
	write(t, target, one)
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.Symlink(target, path))
	f := newFixture(t, Options{Kind: DynamicFile, Path: path})
	f.run()
	write(t, target, two)
	f.poll <- time.Time{}
	f.waitUsers("two")
}

func TestRunWatchesDirectoryThatAppears(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	path := filepath.Join(dir, "file")
	f := newFixture(t, Options{Kind: DynamicFile, Path: path})
	f.run()
	must(t, os.Mkdir(dir, 0o700))
	write(t, path, one)
	f.poll <- time.Time{}
	f.waitUsers("one")
	write(t, path, two)
	f.waitUsers("two")
	// And one that takes its place.
	must(t, os.Rename(dir, dir+".old"))
	must(t, os.Mkdir(dir, 0o700))
	write(t, path, one)
	f.poll <- time.Time{}
	f.waitUsers("one")
	write(t, path, both)
	f.waitUsers("one two")
}
