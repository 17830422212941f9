package certs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/internal/owner"
)

// IsStateFile tells whether a file of that name in the state directory is one that this
// package writes.
func IsStateFile(name string) bool {
	return name == lockFile || slices.ContainsFunc([]string{caFile, caKeyFile, certFile, keyFile}, func(file string) bool { return IsFileOf(file, name) })
}

// IsFileOf tells whether name is that of a file, or what a crash while it was written left.
func IsFileOf(file, name string) bool {
	return name == file || strings.HasPrefix(name, "."+file+".") && strings.HasSuffix(name, ".tmp")
}

// makeStateDir creates the directory with mode 0700. The mode of one that exists is its owner's choice.
func makeStateDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("creating the state directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("creating the state directory: %w", err)
	}
	return nil
}

// closeToOthers takes from a key file what its owner and group don't need.
func closeToOthers(file string) error {
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // the target of a link is somebody else's
		return fmt.Errorf("it is no regular file (%s)", info.Mode().Type())
	}
	return os.Chmod(file, info.Mode().Perm()&^0o007)
}

// checkPlanted refuses a CA or certificate that another user could have laid ready for us: a file that is neither ours nor root's, in
// a directory that everybody may write to, such as /tmp.
func checkPlanted(dir, file string) error {
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o002 == 0 {
		return err
	}
	if info, err = os.Lstat(file); err != nil {
		return err
	}
	if owner.IsAnother(info) {
		return fmt.Errorf("%s belongs to another user and everybody may write to its directory: it may have been planted; remove it, or choose another state directory", file)
	}
	return nil
}

// writeOwn writes a file of the state directory. If root replaces the file of another user, who may be the one that the
// server runs as, it stays that user's, if root has the capability for that.
func writeOwn(path string, data []byte, perm fs.FileMode) error {
	if info, err := os.Stat(path); err == nil && os.Geteuid() == 0 {
		if err := replaceFile(path, data, perm, info); !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return replaceFile(path, data, perm, nil)
}

// replaceFile writes a file so that at any time, also after a crash, there is the whole old one or the whole new one. If
// like is given, owner and mode are its, instead of ours and perm.
func replaceFile(path string, data []byte, perm fs.FileMode, like fs.FileInfo) (err error) {
	defer func() {
		// The name of the temporary file says nothing to anybody, and differs each time.
		switch cause := errors.Unwrap(err); {
		case err != nil && cause != nil:
			err = fmt.Errorf("writing %s: %w", path, cause)
		case err != nil:
			err = fmt.Errorf("writing %s: %w", path, err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // no longer there if all went well
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if like != nil {
		perm = like.Mode().Perm()
		if err := owner.Copy(f, like); err != nil {
			return err
		}
	}
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
