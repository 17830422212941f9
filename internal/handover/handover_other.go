//go:build !unix

package handover

import "errors"

var errUnix = errors.New("files have owners to hand over only on Unix")

// Prepare is for Unix only.
func (Dir) Prepare(Owner) error { return errUnix }

// Become is for Unix only.
func Become(Owner) error { return errUnix }
