package token

import (
	"fmt"
	"io/fs"
)

const openNoFollow = 0

// checkPrivate leaves who may read the file to the access control list that it
// inherits from the user's profile directory.
func checkPrivate(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("it is no regular file (%s), so %w", info.Mode().Type(), errNotOurs)
	}
	return nil
}
