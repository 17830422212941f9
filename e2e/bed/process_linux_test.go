package bed

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestChildDiesWithAKilledParent runs this test again as a parent to be killed. Its child inherits the
// writing end of a pipe, so that the pipe's end shows that the child has gone too.
func TestChildDiesWithAKilledParent(t *testing.T) {
	const asParent = "BED_TEST_AS_PARENT"
	if os.Getenv(asParent) != "" {
		p, err := startProcess("", filepath.Join(t.TempDir(), "log"), "/bin/sh", "-c", "printf up >&3; exec sleep 30")
		if err != nil {
			t.Fatal(err)
		}
		<-p.done
		return
	}

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	parent := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	parent.Env = append(os.Environ(), asParent+"=1", "TMPDIR="+t.TempDir())
	parent.ExtraFiles = []*os.File{w}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, len("up"))); err != nil {
		t.Fatalf("the child did not start: %v", err)
	}

	_ = parent.Process.Kill()
	_ = parent.Wait()
	if _, err := io.ReadAll(r); err != nil {
		t.Errorf("the child outlived its parent: %v", err)
	}
}
