//go:build unix

package file

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestNamedPipeIsRefusedWithoutOpeningIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(path, 0o600))
	if _, err := New(Options{Kind: MountedFile, Path: path}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("error %v, want one that says that it is no regular file", err)
	}
}
