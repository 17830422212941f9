//go:build unix

package owner

import (
	"io/fs"
	"os"
	"syscall"
)

// IsAnother tells whether a file is neither this user's nor root's.
func IsAnother(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
}

// ModeOf returns the permissions of a file.
func ModeOf(info fs.FileInfo) fs.FileMode { return info.Mode().Perm() }

// Copy gives f to the owner and group of another file.
func Copy(f *os.File, like fs.FileInfo) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	have, want := info.Sys().(*syscall.Stat_t), like.Sys().(*syscall.Stat_t)
	if have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}
