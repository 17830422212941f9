package audit

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/gofrs/flock"

	"github.com/iam-authenticator/authenticator/internal/owner"
)

// unsafeError is why records must not go to a file. It takes a person to mend it.
type unsafeError struct{ text string }

func (e *unsafeError) Error() string { return e.text }

func unsafef(format string, args ...any) error {
	return &unsafeError{fmt.Sprintf(format, args...)}
}

// lockSuffix is what the name of the lock of an audit file ends with. The lock is no
// part of the audit file, as that is another one after each rotation.
const lockSuffix = ".lock"

// lock makes sure that no other server writes to the file at path, or puts it aside
// under our hands. It is nil without an error for what is no file, such as a pipe.
func lock(path string) (*flock.Flock, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, nil
	}
	if err := checkLink(path + lockSuffix); err != nil {
		return nil, err
	}
	held := flock.New(path+lockSuffix, flock.SetPermissions(0o600))
	switch locked, err := held.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("lock: %w", err)
	case !locked:
		return nil, unsafef("another server keeps its records in %s, and holds %s%s: give each server a file of its own", path, path, lockSuffix)
	}
	return held, nil
}

// checkLink refuses a symbolic link to a file, which whoever made it could have lead
// anywhere, and which would be put aside in the place of the file. Links to devices, as
// /dev/stdout is one, and links among the directories are fine.
func checkLink(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSymlink {
		return nil //nolint:nilerr // opening it will tell
	}
	if target, err := os.Stat(path); err == nil && !target.Mode().IsRegular() {
		return nil
	}
	return unsafef("%s is a symbolic link: name the file itself", path)
}

// openToOthers are the rights that nobody but the owner may have to an audit file: a
// group may read it, as those who ship records elsewhere do.
const openToOthers fs.FileMode = 0o027

// secure refuses an open file that another user could change, and takes away what others
// may do with it. It returns the mode that the file had, if that was too much, else 0.
func secure(f *os.File, path string, info fs.FileInfo) (loose fs.FileMode, err error) {
	if at, err := os.Lstat(path); err != nil || !os.SameFile(at, info) {
		return 0, unsafef("%s was replaced while it was opened", path)
	}
	if owner.IsAnother(info) {
		return 0, unsafef("%s belongs to another user, who could change its records: make it this user's or root's, or move it away", path)
	}
	mode := owner.ModeOf(info)
	if mode&openToOthers == 0 {
		return 0, nil
	}
	if err := f.Chmod(mode &^ openToOthers); err != nil {
		return 0, unsafef("%s is open to others, with mode %04o, and that could not be changed: %v (want %04o)", path, mode, err, mode&^openToOthers)
	}
	return mode, nil
}

// checkKey refuses a key that others may read or change. Who may be the owner is the
// same as for an audit file.
func checkKey(path string, info fs.FileInfo) error {
	const others = 0o037
	switch mode := owner.ModeOf(info); {
	case owner.IsAnother(info):
		return unsafef("%s belongs to another user: make it this user's or root's", path)
	case mode&others != 0:
		return unsafef("%s is open to others, with mode %04o: chmod 600 %s (of a mounted Secret, defaultMode: 0400)", path, mode, path)
	}
	return nil
}
