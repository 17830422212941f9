//go:build unix

package certs

import (
	"errors"
	"os"
	"syscall"
)

// syncDir makes a rename in the directory last through a power failure, where the file system knows how to.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
