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
