//go:build unix

package handover

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Prepare makes a directory if there is none, and gives it and the server's files in it
// to their owner. It takes the rights of root where they are not the owner's already.
func (d Dir) Prepare(to Owner) error {
	if err := os.MkdirAll(filepath.Dir(d.Path), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(d.Path, fs.FileMode(d.Perm)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(d.Path)
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !d.Has(entry.Name()) {
			return fmt.Errorf("%s has files that are not this program's, such as %s: choose a directory of its own", d.Path, entry.Name())
		}
	}
	for _, entry := range entries {
		if err := give(dir, entry.Name(), to); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(d.Path, entry.Name()), err)
		}
	}
	if err := chown(dir, to); err != nil {
		return fmt.Errorf("%s: %w", d.Path, err)
	}
	return nil
}

// give hands over one file. Whoever could write to the directory may have laid a link to a
// file of root's there, so nothing is followed.
func give(dir *os.File, name string, to Owner) error {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return errors.New("it is a link, which is not handed over: remove it")
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return chown(f, to)
}

func chown(f *os.File, to Owner) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	stat := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir() && !info.Mode().IsRegular():
		return fmt.Errorf("it is no regular file (%s)", info.Mode().Type())
	case !info.IsDir() && stat.Nlink > 1:
		return errors.New("it has another name elsewhere (a hard link), and so is not handed over: remove it")
	case int(stat.Uid) == to.UID && int(stat.Gid) == to.GID:
		return nil
	}
	return f.Chown(to.UID, to.GID)
}

// Become gives up root's rights for good: from here on the process is the owner, so that
// what it does then shows what the server can do.
func Become(o Owner) error {
	if os.Geteuid() == o.UID && os.Getegid() == o.GID {
		return nil
	}
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("leaving root's groups: %w", err)
	}
	if err := syscall.Setgid(o.GID); err != nil {
		return fmt.Errorf("becoming group %d: %w", o.GID, err)
	}
	if err := syscall.Setuid(o.UID); err != nil {
		return fmt.Errorf("becoming user %d: %w", o.UID, err)
	}
	return nil
}
