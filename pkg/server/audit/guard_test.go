//go:build unix

package audit

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// One of two servers would write on into a file that the other puts aside, compresses
// and deletes.
func TestFileIsOneServersOnly(t *testing.T) {
	first, path := newLog(t, Options{})
	for _, name := range []string{path, filepath.Join(filepath.Dir(path), "..", filepath.Base(filepath.Dir(path)), filepath.Base(path))} {
		if _, err := New(Options{Path: name}); err == nil || !strings.Contains(err.Error(), "another server keeps its records in") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	// Also while the file is moved away.
	check(t, os.Rename(path, path+".1"))
	if _, err := New(Options{Path: path}); err == nil {
		t.Error("no error while the file is moved away")
	}
	check(t, first.Close())
	second, err := New(Options{Path: path})
	check(t, err)
	check(t, second.Close())
}

func TestFileThatIsAnotherServersLaterIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "missing", "audit.log")
		l, err := New(Options{Path: path, Compress: true})
		check(t, err)
		check(t, os.Mkdir(filepath.Dir(path), 0o700))
		other, err := New(Options{Path: path})
		check(t, err)
		backup := path + ".20260101T000000.000000000Z"
		check(t, os.WriteFile(backup, []byte(at(1)), 0o600))
		run(t, l)
		time.Sleep(2 * checkPeriod)
		if _, err := os.Stat(backup); err != nil {
			t.Errorf("what the other server put aside was touched: %v", err)
		}
		if err := l.Healthy(); err == nil || !strings.Contains(err.Error(), "another server") {
			t.Errorf("healthy: %v", err)
		}
		check(t, other.Close())
		time.Sleep(2 * checkPeriod)
		check(t, l.Record(example()))
		if err := l.Healthy(); err != nil {
			t.Error(err)
		}
		mustHave(t, 2, path)
		if _, err := os.Stat(backup + gzipSuffix); err != nil {
			t.Errorf("what the other server left was not compressed: %v", err)
		}
	})
}

func TestWhatIsNoFileNeedsNoLock(t *testing.T) {
	for range 2 {
		l, err := New(Options{Path: "/dev/null"})
		check(t, err)
		defer l.Close()
		check(t, l.Record(example()))
		check(t, l.Healthy())
	}
	if _, err := os.Lstat("/dev/null" + lockSuffix); !os.IsNotExist(err) {
		t.Errorf("a lock beside a device: %v", err)
	}
}

func TestLinkToAFileIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		target string
		ok     bool
	}{
		"to a file":    {"there.log", false},
		"to nothing":   {"nothing.log", false},
		"to a device":  {"/dev/null", true},
		"of the lock":  {"", false},
		"of directory": {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "audit.log")
			check(t, os.WriteFile(filepath.Join(dir, "there.log"), nil, 0o600))
			switch name {
			case "of the lock":
				check(t, os.Symlink("planted", path+lockSuffix))
			case "of directory":
				check(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
				check(t, os.Symlink("real", filepath.Join(dir, "link")))
				path = filepath.Join(dir, "link", "audit.log")
			default:
				check(t, os.Symlink(c.target, path))
			}
			l, err := New(Options{Path: path})
			if c.ok {
				check(t, err)
				check(t, l.Close())
			} else if err == nil || !strings.Contains(err.Error(), "is a symbolic link: name the file itself") {
				t.Errorf("error %v", err)
			}
			made := []string{"nothing.log", "planted"}
			if name != "of the lock" {
				made = append(made, "audit.log"+lockSuffix)
			}
			for _, file := range made {
				if _, err := os.Lstat(filepath.Join(dir, file)); !os.IsNotExist(err) {
					t.Errorf("%s was made", file)
				}
			}
		})
	}
}

func TestLinkThatTakesTheFilesPlaceIsNotWrittenTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, path := newLog(t, Options{MaxSize: 1})
		check(t, os.Rename(path, path+".mine"))
		check(t, os.Symlink(path+".mine", path)) // leads to the very file
		run(t, l)
		check(t, l.Record(example()))
		time.Sleep(2 * checkPeriod)
		if err := l.Healthy(); err == nil || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("healthy: %v", err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSymlink {
			t.Errorf("the link was put aside: %v", err)
		}
		check(t, os.Remove(path))
		time.Sleep(2 * checkPeriod)
		check(t, l.Healthy())
	})
}

func TestFileIsClosedToOthers(t *testing.T) {
	for was, want := range map[fs.FileMode]fs.FileMode{0o600: 0o600, 0o640: 0o640, 0o644: 0o640, 0o666: 0o640, 0o660: 0o640, 0o777: 0o750} {
		path := filepath.Join(t.TempDir(), "audit.log")
		check(t, os.WriteFile(path, []byte(at(1)), 0o600))
		check(t, os.Chmod(path, was))
		core, logs := observer.New(zapcore.WarnLevel)
		l, err := New(Options{Path: path, Log: zap.New(core)})
		check(t, err)
		check(t, l.Close())
		info, err := os.Stat(path)
		check(t, err)
		if info.Mode().Perm() != want || (logs.Len() == 1) != (was != want) {
			t.Errorf("mode %04o becomes %04o, want %04o; %d warnings", was, info.Mode().Perm(), want, logs.Len())
		}
	}
}

func TestFilesOfAnotherUserAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	path := filepath.Join(t.TempDir(), "audit.log")
	check(t, os.WriteFile(path, []byte(strings.Repeat("k", minKey)), 0o600))
	check(t, os.Chown(path, 1234, 1234))
	if _, err := New(Options{Path: path}); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("audit file: error %v", err)
	}
	if _, err := NewPseudonyms(path); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("key: error %v", err)
	}
}

func TestKeyThatOthersCanReadIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	check(t, os.WriteFile(path, []byte(strings.Repeat("k", minKey)), 0o600))
	for mode, ok := range map[fs.FileMode]bool{0o600: true, 0o400: true, 0o440: true, 0o640: true, 0o604: false, 0o644: false, 0o660: false} {
		check(t, os.Chmod(path, mode))
		_, err := NewPseudonyms(path)
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %04o: error %v", mode, err)
		}
	}
	// A Secret that is mounted in a pod comes as a link.
	check(t, os.Chmod(path, 0o400))
	check(t, os.Symlink(path, path+".link"))
	if _, err := NewPseudonyms(path + ".link"); err != nil {
		t.Error(err)
	}
}
