package audit

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// file is an open file that records are appended to.
type file struct {
	out     io.Writer
	f       *os.File    // nil if out is none, or not ours to sync and close
	info    fs.FileInfo // of f; nil if it isn't a regular file
	loose   fs.FileMode // the mode that it had, if it was open to others; else 0
	since   time.Time   // of its first record
	size    int64       // in bytes; guarded by Log.turn
	torn    bool        // the last line has no end; guarded by Log.turn
	written atomic.Int64

	syncing   sync.Mutex
	synced    int64 // of written, so much is on the disk
	lost      int64 // and of so much it is not known
	lostTo    error
	dirSynced bool
}

// open opens the file at path for appending, or makes it with mode 0600. A line that was
// torn when the process or the machine died is ended before the next record. It returns
// an *unsafeError for a file that records must not go to.
func open(path string, now time.Time) (*file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	opened := &file{out: f, f: f, since: now}
	if info.Mode().IsRegular() {
		if opened.loose, err = secure(f, path, info); err != nil {
			_ = f.Close()
			return nil, err
		}
		opened.info, opened.size = info, info.Size()
		if info.Size() > 0 {
			opened.since, opened.torn = inspect(path, info)
		}
	}
	return opened, nil
}

// inspect tells when the first record of a file was made, and whether its last line has
// no end. A file that can't be read is taken for one that is torn, and as old as its last
// change.
func inspect(path string, info fs.FileInfo) (since time.Time, torn bool) {
	since = info.ModTime()
	f, err := os.Open(path)
	if err != nil {
		return since, true
	}
	defer f.Close()
	if first, err := firstRecord(f); err == nil {
		since = first.Time
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil {
		return since, true
	}
	return since, last[0] != '\n'
}

// append writes a line in one write. line begins with a newline, which is written only
// if the last line has no end. The caller has the turn.
func (f *file) append(line []byte) (end int64, err error) {
	if !f.torn {
		line = line[1:]
	}
	n, err := f.out.Write(line)
	f.size += int64(n)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	if err != nil {
		f.torn = f.torn && n == 0 || n > 0 && !bytes.HasSuffix(line[:n], []byte("\n"))
		return 0, err
	}
	f.torn = false
	return f.written.Add(int64(n)), nil
}

// sync returns once all that was written up to end is on the disk. Those who come while
// another syncs share the next sync.
func (f *file) sync(end int64) error {
	if f.info == nil { // a pipe or a device keeps nothing
		return nil
	}
	f.syncing.Lock()
	defer f.syncing.Unlock()
	switch {
	case end <= f.lost:
		return f.lostTo // the system reports the loss once, and then no more
	case end <= f.synced:
		return nil
	}
	written := f.written.Load()
	if !f.dirSynced { // or the file's name might not outlast a power failure
		f.dirSynced = true
		if dir, err := os.Open(filepath.Dir(f.f.Name())); err == nil {
			_ = dir.Sync() // where the file system knows how to
			_ = dir.Close()
		}
	}
	if err := f.f.Sync(); err != nil {
		f.lost, f.lostTo = written, fmt.Errorf("sync: %w", err)
		return f.lostTo
	}
	f.synced = written
	return nil
}

// isAt tells whether path still leads to the file.
func (f *file) isAt(path string) bool {
	if f.info == nil {
		return true
	}
	info, err := os.Lstat(path) // a link to it is not the file
	return err == nil && os.SameFile(info, f.info)
}

// close ends the use of a file that nothing is written to any more.
func (f *file) close(sync bool) error {
	if f.f == nil {
		return nil
	}
	var err error
	if sync {
		err = f.sync(f.written.Load())
	}
	if closeErr := f.f.Close(); err == nil {
		err = closeErr
	}
	return err
}
