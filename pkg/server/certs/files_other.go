//go:build !unix

package certs

import (
	"io/fs"
	"os"
)

// copyOwner does nothing: a new file has the owner that its directory says.
func copyOwner(*os.File, fs.FileInfo) error { return nil }

// syncDir does nothing: directories can't be opened for syncing.
func syncDir(string) error { return nil }
