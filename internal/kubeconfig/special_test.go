//go:build unix

package kubeconfig

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestWhatIsNoRegularFileIsNeitherReadNorReplaced(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readDocument(pipe); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("read: %v", err)
	}
	for _, path := range []string{pipe, "/dev/null"} {
		if err := replaceFile(path, nil); err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("replace %s: %v", path, err)
		}
	}
}
