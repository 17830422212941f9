//go:build unix

package token

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCacheDoesNotWaitOnAPipe(t *testing.T) {
	c, warnings := newCache(t)
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(c.path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.get("key"); ok {
		t.Error("used a pipe")
	}
	c.put(t.Context(), "key", cacheable("ASIA1", time.Hour))
	if len(*warnings) != 1 || !strings.Contains((*warnings)[0], "no regular file") {
		t.Errorf("warnings %q", *warnings)
	}
}

func TestCacheDoesNotFollowALinkToALock(t *testing.T) {
	c, warnings := newCache(t)
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "target")
	if err := os.Symlink(target, c.path+".lock"); err != nil {
		t.Fatal(err)
	}
	c.put(t.Context(), "key", cacheable("ASIA1", time.Hour))
	if _, err := os.Lstat(target); !os.IsNotExist(err) {
		t.Error("the link's target was made")
	}
	if len(*warnings) != 1 || !strings.Contains((*warnings)[0], "lock") {
		t.Errorf("warnings %q", *warnings)
	}
}

// A limit on the size of files stands for a full disk. It holds for the whole
// process, so the test is done in one of its own.
func TestCacheOnAFullDisk(t *testing.T) {
	const child = "AUTHENTICATOR_TEST_FULL_DISK"
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	c, warnings := newCache(t)
	c.put(t.Context(), "old", cacheable("ASIA1", time.Hour))
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	full := limit
	full.Cur = 10
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	c.put(t.Context(), "new", cacheable("ASIA2", time.Hour))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if len(*warnings) != 1 || !strings.Contains((*warnings)[0], "not cached in") {
		t.Errorf("warnings %q", *warnings)
	}
	if _, ok := c.get("old"); !ok {
		t.Error("what was cached before is lost")
	}
	if files, _ := os.ReadDir(filepath.Dir(c.path)); len(files) != 2 {
		t.Errorf("%d files, want the cache and its lock only", len(files))
	}
}
