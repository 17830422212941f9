package audit

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// backupFormat is what the name of a file that was put aside ends with: when that was.
	backupFormat = ".20060102T150405.000000000Z"
	gzipSuffix   = ".gz"
	partSuffix   = ".part" // of a file that is being compressed
)

// keep sees to it that records go to the file at the path, and that it doesn't get too
// large or too old.
func (l *Log) keep(ctx context.Context) {
	ticker := time.NewTicker(checkPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-l.full:
		case <-l.options.Reopen:
		}
		l.maintained(l.check())
	}
}

// maintained takes note of how maintenance went.
func (l *Log) maintained(err error) {
	if err == nil {
		l.maintenance.Store(nil)
		return
	}
	l.maintenance.CompareAndSwap(nil, &trouble{l.options.Now(), err})
	l.complain("audit file could not be put aside or opened; records go where they went before", err)
}

// check opens the file anew if it was moved away, and puts it aside if it is due.
func (l *Log) check() error {
	now, path := l.options.Now(), l.options.Path
	if l.file == nil || !l.file.isAt(path) {
		return l.open(now)
	}
	if l.file.info == nil {
		return nil
	}
	l.turn <- struct{}{}
	size, age := l.file.size, now.Sub(l.file.since)
	<-l.turn
	if size == 0 || size < l.options.MaxSize && (l.options.MaxAge <= 0 || age < l.options.MaxAge) {
		return nil
	}
	// Meanwhile records go on to be written, to the file under its new name.
	backup := path + now.UTC().Format(backupFormat)
	if _, err := os.Lstat(backup); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already", backup)
	}
	if err := os.Rename(path, backup); err != nil {
		return err
	}
	if err := l.open(now); err != nil {
		return err // what was put aside is still written to: not for the archivist yet
	}
	wake(l.done)
	return nil
}

// archive compresses files that were put aside and deletes those that are too many.
func (l *Log) archive(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.done:
		}
		if err := l.archiveAll(ctx); err != nil && ctx.Err() == nil {
			l.complain("audit files that were put aside could not be compressed or deleted", err)
		}
	}
}

func (l *Log) archiveAll(ctx context.Context) error {
	backups, err := backupsOf(l.options.Path)
	if err != nil {
		return err
	}
	var errs []error
	if keep := l.options.MaxBackups; keep > 0 && len(backups) > keep {
		for _, backup := range backups[:len(backups)-keep] {
			errs = append(errs, removeAll(backup, backup+gzipSuffix, backup+partSuffix))
		}
		backups = backups[len(backups)-keep:]
	}
	if l.options.Compress {
		for _, backup := range backups {
			errs = append(errs, compress(ctx, backup))
		}
	}
	return errors.Join(errs...)
}

// backupsOf returns the files that were put aside from path, the oldest first, by their
// names without ".gz". Files of other names are somebody else's.
func backupsOf(path string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var backups []string
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), gzipSuffix)
		when, ok := strings.CutPrefix(name, filepath.Base(path))
		if _, err := time.Parse(backupFormat, when); !ok || err != nil {
			continue
		}
		backups = append(backups, filepath.Join(filepath.Dir(path), name))
	}
	slices.Sort(backups)
	return slices.Compact(backups), nil
}

// compress replaces a file by its compressed form, unless it is that already. Wherever
// it is interrupted, one of the two is whole.
func compress(ctx context.Context, path string) (err error) {
	in, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	part := path + partSuffix
	if _, err := os.Stat(path + gzipSuffix); err == nil { // interrupted before the last step
		return removeAll(path, part)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeAll(part))
		}
	}()
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	packer, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := io.Copy(packer, &interruptible{ctx, bufio.NewReader(in)}); err != nil {
		return err
	}
	if err := errors.Join(packer.Close(), out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, path+gzipSuffix); err != nil {
		return err
	}
	return removeAll(path)
}

// interruptible is a reader that fails once its context has ended.
type interruptible struct {
	ctx context.Context
	in  io.Reader
}

func (r *interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(p)
}

// removeAll removes files, if they are there.
func removeAll(paths ...string) error {
	var errs []error
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
