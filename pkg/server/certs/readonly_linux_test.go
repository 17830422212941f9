package certs

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// unprivileged runs f in a thread that accesses files as nobody does, since root writes what is read-only.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	const nobody = 65534
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := syscall.Setfsuid(nobody); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// readOnly makes a directory and its files nobody's, and read-only.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		paths, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, path := range append(paths, dir, filepath.Join(dir, lockFile)) {
			if err := os.Chown(path, 65534, 65534); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
}

func TestReadOnlyStateDirectoryDoesNotStopLogins(t *testing.T) {
	w := newWorld(t)
	s := w.source(t)
	trust := s.CABundle()
	first := mustConnect(t, s, trust)
	readOnly(t, w.dir)
	files := snapshot(t, w.dir)

	check := func() (err error) {
		unprivileged(t, func() { err = s.Check(t.Context()) })
		return err
	}
	if err := check(); err != nil {
		t.Fatalf("Check with nothing to write: %v", err)
	}

	w.Advance(70 * day)
	if err := check(); err == nil || !strings.Contains(err.Error(), "permission denied") || !strings.Contains(err.Error(), "due since") {
		t.Errorf("Check = %v, want permission denied", err)
	}
	if s.Healthy() == nil {
		t.Error("healthy although the renewal failed")
	}
	if !mustConnect(t, s, trust).Equal(first) {
		t.Error("leaf replaced in memory long before it expires")
	}

	w.Advance(14 * day)
	for range 3 {
		_ = check()
	}
	second := mustConnect(t, s, trust)
	if second.Equal(first) {
		t.Error("leaf not replaced in memory close to its expiry")
	}
	if s.Healthy() == nil {
		t.Error("healthy although the renewal failed")
	}
	if w.warned() != 1 {
		t.Errorf("logged %d times, want once: %v", w.warned(), w.logs.All())
	}

	// The one in memory is renewed too.
	w.Advance(85 * day)
	_ = check()
	third := mustConnect(t, s, trust)
	if third.Equal(second) {
		t.Error("leaf in memory not renewed")
	}
	wantUnchanged(t, w.dir, files)

	if err := os.Chmod(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := check(); err != nil || s.Healthy() != nil {
		t.Errorf("Check of a directory that is writable again: %v", err)
	}
	if p, err := readPair(w.path(certFile), w.path(keyFile)); err != nil || !p.leaf().Equal(third) || !mustConnect(t, s, trust).Equal(third) {
		t.Errorf("the leaf in memory was not written: %v", err)
	}
}

func TestNewWithReadOnlyStateDirectory(t *testing.T) {
	w := newWorld(t)
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	readOnly(t, w.dir)
	unprivileged(t, func() {
		if _, err := New(w.opts); err == nil || !strings.Contains(err.Error(), "must be writable") {
			t.Errorf("New with an empty directory = %v", err)
		}
	})

	w = newWorld(t)
	trust := w.source(t).CABundle()
	remove(t, w.path(certFile))
	remove(t, w.path(keyFile))
	remove(t, w.path(lockFile))
	readOnly(t, w.dir)
	unprivileged(t, func() {
		s, err := New(w.opts)
		if err != nil {
			t.Errorf("New with a CA: %v", err)
			return
		}
		if s.Healthy() == nil {
			t.Error("healthy although the leaf can't be written")
		}
		mustConnect(t, s, trust)
	})
}

func TestRenewalByRootLeavesTheFilesToTheirOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	w := newWorld(t)
	s := w.source(t)
	for _, file := range []string{keyFile, certFile} {
		if err := os.Chown(w.path(file), 1234, 1234); err != nil {
			t.Fatal(err)
		}
	}
	w.Advance(70 * day)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{keyFile, certFile} {
		info, err := os.Stat(w.path(file))
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != 1234 {
			t.Errorf("%s changed owner", file)
		}
	}
}

func TestKubeconfigIsWrittenInPlaceWhereNothingCanBeRenamed(t *testing.T) {
	ca := newTestCA(t, "CA", nil, time.Now())
	k := Kubeconfig{Hostname: "auth.example", Port: 21362, CABundle: ca.cert}

	t.Run("read-only directory", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "dir", "kubeconfig.yaml")
		write(t, path, []byte(strings.Repeat("longer than what is to come\n", 1000)), 0o644)
		readOnly(t, filepath.Dir(path))
		before, _ := os.Stat(path)
		unprivileged(t, func() {
			if changed, err := WriteKubeconfig(path, k); err != nil || !changed {
				t.Errorf("WriteKubeconfig = %t, %v", changed, err)
			}
		})
		if after, _ := os.Stat(path); !os.SameFile(before, after) || after.Mode().Perm() != 0o644 {
			t.Error("file was replaced")
		}
		loadKubeconfig(t, path)
	})

	t.Run("bind mount", func(t *testing.T) {
		dir := t.TempDir()
		path, outside := filepath.Join(dir, "kubeconfig.yaml"), filepath.Join(dir, "outside")
		write(t, path, nil, 0o600)
		write(t, outside, nil, 0o600)
		if err := syscall.Mount(outside, path, "", syscall.MS_BIND, ""); err != nil {
			t.Skipf("mounting: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) })
		if changed, err := WriteKubeconfig(path, k); err != nil || !changed {
			t.Fatalf("WriteKubeconfig = %t, %v", changed, err)
		}
		loadKubeconfig(t, outside)
		if entries, _ := os.ReadDir(dir); len(entries) != 2 {
			t.Errorf("temporary file left: %v", entries)
		}
	})
}

func TestPlantedFilesAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs to be root, to give files away")
	}
	dir := t.TempDir()
	if _, err := New(Options{Dir: dir, Hostname: "localhost"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Dir: dir, Hostname: "localhost"}); err != nil {
		t.Errorf("files of our own in a directory that is open, as a volume of Kubernetes can be: %v", err)
	}
	for _, file := range []string{"ca.pem", "ca-key.pem", "cert.pem", "key.pem"} {
		path := filepath.Join(dir, file)
		if err := os.Chown(path, 1000, 1000); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{Dir: dir, Hostname: "localhost"}); err == nil || !strings.Contains(err.Error(), "planted") {
			t.Errorf("%s of another user in a directory that is open: %v", file, err)
		}
		if err := os.Chown(path, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(dir, "ca.pem"), 1000, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Dir: dir, Hostname: "localhost"}); err != nil {
		t.Errorf("files of another user that only root can have let in: %v", err)
	}
}

func TestModeOfALinksTargetIsKept(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "ca-key.pem")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := closeToOthers(link); err == nil {
		t.Error("a link was taken for a key")
	}
	if info, err := os.Stat(target); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
