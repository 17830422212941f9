package audit

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestFileIsPutAsideAtItsSize(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l, path := newLog(t, Options{MaxSize: 2000, Compress: compressed})
			run(t, l)
			for range 20 {
				r := example()
				r.Time = time.Now()
				check(t, l.Record(r))
				time.Sleep(2 * checkPeriod)
			}
			files := mustHave(t, 20, path)
			if len(files) < 5 || files[len(files)-1] != path {
				t.Errorf("files %v", files)
			}
			for _, file := range files[:len(files)-1] {
				if strings.HasSuffix(file, gzipSuffix) != compressed {
					t.Errorf("compress %v: %s", compressed, file)
				}
				info, err := os.Stat(file)
				check(t, err)
				if info.Mode().Perm() != 0o600 || info.Size() > 3000 {
					t.Errorf("%s: %v, %d bytes", file, info.Mode(), info.Size())
				}
			}
		})
	}
}

func TestFileIsPutAsideAtItsAgeAlsoAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.log")
		var stop func()
		for range 3 { // runs of 10 hours
			if stop != nil {
				stop()
			}
			l, err := New(Options{Path: path, MaxAge: 24 * time.Hour})
			check(t, err)
			stop = run(t, l)
			r := example()
			r.Time = time.Now()
			check(t, l.Record(r))
			time.Sleep(10 * time.Hour)
		}
		backups, err := backupsOf(path)
		check(t, err)
		if len(backups) != 1 {
			t.Fatalf("backups %v, want 1 after 30 hours", backups)
		}
		mustHave(t, 3, backups[0])
		time.Sleep(48 * time.Hour)
		if backups, _ := backupsOf(path); len(backups) != 1 {
			t.Errorf("an empty file was put aside: %v", backups)
		}
	})
}

func TestOldFilesAreDeletedAndNobodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, path := newLog(t, Options{MaxSize: 1, MaxBackups: 3, Compress: true})
		others := []string{".1", ".2.gz", ".20261122", ".bak", ".20260102T150405.000000000Z.orig"}
		for _, suffix := range others {
			check(t, os.WriteFile(path+suffix, nil, 0o600))
		}
		run(t, l)
		for range 10 {
			check(t, l.Record(example()))
			time.Sleep(2 * checkPeriod)
		}
		backups, err := backupsOf(path)
		check(t, err)
		if len(backups) != 3 {
			t.Errorf("backups %v, want 3", backups)
		}
		for _, suffix := range others {
			if _, err := os.Stat(path + suffix); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestFilesOfAnInterruptedCompression(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, path := newLog(t, Options{Compress: true})
		half, whole := path+".20260101T000000.000000000Z", path+".20260102T000000.000000000Z"
		check(t, os.WriteFile(half, []byte(at(1)), 0o600))
		check(t, os.WriteFile(half+partSuffix, []byte("half"), 0o600))
		check(t, os.WriteFile(whole, []byte(at(2)), 0o600))
		check(t, compress(t.Context(), whole))
		check(t, os.WriteFile(whole, []byte(at(2)), 0o600)) // as if it had not been deleted
		mustHave(t, 2, path)
		run(t, l)
		time.Sleep(2 * checkPeriod)
		for _, gone := range []string{half, whole, half + gzipSuffix + partSuffix} {
			if _, err := os.Stat(gone); !os.IsNotExist(err) {
				t.Errorf("%s: %v", gone, err)
			}
		}
	})
}

func TestFileMovedAwayByLogrotateIsOpenedAnew(t *testing.T) {
	for _, signalled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			hangup := make(chan os.Signal, 1)
			l, path := newLog(t, Options{Reopen: hangup})
			run(t, l)
			check(t, l.Record(example()))
			check(t, os.Rename(path, path+".1"))
			check(t, l.Record(example()))
			if signalled {
				hangup <- os.Interrupt
				synctest.Wait()
			} else {
				time.Sleep(2 * checkPeriod)
			}
			check(t, l.Record(example()))
			mustHave(t, 3, path)
			if n := len(lines(t, path)); n != 1 {
				t.Errorf("%d records in the new file, want 1", n)
			}
		})
	}
}

func TestFileThatCannotBePutAsideIsLoudAndWrittenOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, path := newLog(t, Options{MaxSize: 1})
		// A file in the place of the directory: neither rename nor open works, for root either.
		dir := filepath.Dir(path)
		check(t, l.Record(example()))
		check(t, os.Rename(dir, dir+".moved"))
		check(t, os.WriteFile(dir, nil, 0o600))
		run(t, l)
		time.Sleep(2 * checkPeriod)
		check(t, l.Record(example()))
		if err := l.Healthy(); err == nil || l.Stats().Errors != 0 {
			t.Errorf("healthy %v, stats %+v", err, l.Stats())
		}
		check(t, os.Remove(dir))
		check(t, os.Rename(dir+".moved", dir))
		time.Sleep(2 * checkPeriod)
		if l.Healthy() != nil {
			t.Error(l.Healthy())
		}
		check(t, l.Record(example()))
		mustHave(t, 3, path)
	})
}

// Everything at once, in real time: writers, rotation by size, and a logrotate.
func TestNoRecordIsLostWhileFilesAreMoved(t *testing.T) {
	hangup := make(chan os.Signal)
	l, path := newLog(t, Options{MaxSize: 20_000, Compress: true, Fsync: FsyncAlways, Reopen: hangup})
	run(t, l)
	const writers, each = 8, 300
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range each {
				check(t, l.Record(example()))
			}
		})
	}
	group.Go(func() {
		for i := range 50 {
			_ = os.Rename(path, path+"."+strconv.Itoa(i+1)) // it may have been put aside just now
			hangup <- os.Interrupt
		}
	})
	group.Wait()
	// Files go on being compressed meanwhile.
	if files := mustHave(t, writers*each, path); len(files) < 10 {
		t.Errorf("only %d files", len(files))
	}
	if s := l.Stats(); s.Records != writers*each || s.Errors != 0 {
		t.Errorf("stats %+v", s)
	}
	if err := l.Healthy(); err != nil {
		t.Error(err)
	}
}
