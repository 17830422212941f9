package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/e2e/bed"
)

// stage prepares what run needs, and checks in the end that nothing is left of it.
func stage(t *testing.T) {
	t.Helper()
	if _, err := bed.Build(t.Context(), os.Stderr); err != nil {
		t.Fatal(err)
	}
	t.Chdir("..") // where `go -C e2e run ./demo` runs it
	t.Setenv("GOTMPDIR", "")
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Cleanup(func() {
		left, err := os.ReadDir(tmp)
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, error %v", left, err)
		}
	})
}

func TestDemoTellsItsStory(t *testing.T) {
	stage(t)
	var out bytes.Buffer
	if err := run(t.Context(), &screen{w: &out}, false); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if bytes.Contains(out.Bytes(), []byte{'\x1b'}) {
		t.Error("colours without a terminal")
	}
}

func TestInterruptedDemoLeavesNothingBehind(t *testing.T) {
	for _, at := range []string{"Build authenticator", "Start authenticator", "Start etcd", "$ kubectl --context=developer get"} {
		t.Run(at, func(t *testing.T) {
			stage(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := run(ctx, &screen{w: &cue{text: at, act: cancel}}, false)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want %v", err, context.Canceled)
			}
		})
	}
}

func TestKeptDemoRunsUntilInterrupted(t *testing.T) {
	stage(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	w := io.MultiWriter(&out, &cue{text: "export KUBECONFIG=", act: cancel})
	if err := run(ctx, &screen{w: w}, true); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
}

// cue acts once a text has been written.
type cue struct {
	text string
	act  func()
	seen strings.Builder
}

func (c *cue) Write(p []byte) (int, error) {
	c.seen.Write(p)
	if strings.Contains(c.seen.String(), c.text) {
		c.act()
	}
	return len(p), nil
}

func TestServerSaysWhyItDoesNotStart(t *testing.T) {
	t.Chdir("..")
	dir := t.TempDir()
	authenticator := filepath.Join(dir, "authenticator")
	if err := buildAuthenticator(t.Context(), authenticator); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := bed.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s, err := startServer(t.Context(), authenticator, dir, taken.Addr().(*net.TCPAddr).Port, free)
	if err == nil {
		s.stop()
	}
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error %v", err)
	}
}

func TestSceneThatEndsOtherwiseFails(t *testing.T) {
	exit := errors.New("exit status 1")
	tests := []struct {
		scene  scene
		output string
		err    error
		ok     bool
	}{
		{scene{sees: []string{"^a$", "^b$"}}, "b\na\n", nil, true},
		{scene{sees: []string{"^a$", "^b$"}}, "ab\na\n", nil, false},
		{scene{sees: []string{"^a$"}}, "a\n", exit, false},
		{scene{sees: []string{"^a$"}, fails: true}, "a\n", exit, true},
		{scene{sees: []string{"^a$"}, fails: true}, "b\n", exit, false},
		{scene{sees: []string{"^a$"}, fails: true}, "a\n", nil, false},
	}
	for i, tt := range tests {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if err := tt.scene.check(tt.output, tt.err); (err == nil) != tt.ok {
				t.Errorf("error %v, want one: %v", err, !tt.ok)
			}
		})
	}
}
