//go:build unix

package token

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openNoFollow has an open fail on a symbolic link, and not wait on a pipe.
const openNoFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

func checkPrivate(info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.Mode().IsRegular():
		return fmt.Errorf("it is no regular file (%s), so %w", info.Mode().Type(), errNotOurs)
	case int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("it belongs to the user ID %d, not to %d, so %w", stat.Uid, os.Geteuid(), errNotOurs)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("others may read or write it (mode %04o, want 0600)", info.Mode().Perm())
	}
	return nil
}
