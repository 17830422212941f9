// Package e2e tells how people use authenticator, as scripts that run the real programs: ours, kubectl,
// and a kube-apiserver that asks ours about every token. Only AWS is an emulator.
//
// A story is a file in testdata, in the language of
// https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript with the commands of commands_test.go.
// Run one with
//
//	go -C e2e test -run 'TestStories/^login$' .
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/iam-authenticator/authenticator/e2e/bed"
	"github.com/rogpeppe/go-internal/testscript"
)

// repository is the checkout around this module.
var repository = func() string {
	path, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	return path
}()

func TestStories(t *testing.T) {
	kubernetes, err := bed.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	path := buildAuthenticator(t) + string(os.PathListSeparator) + kubernetes

	testscript.Run(t, testscript.Params{
		Dir:                "testdata",
		Cmds:               commands,
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", path+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("REPO", repository)
			env.Values[clusterKey{}] = &clusterRef{}
			for _, name := range []string{"WEBHOOK_PORT", "HEALTH_PORT", "SECOND_PORT"} {
				port, err := bed.FreePort()
				if err != nil {
					return err
				}
				env.Setenv(name, fmt.Sprint(port))
			}
			return setupAWS(env)
		},
	})
}

// buildAuthenticator compiles the commands of the checkout around this module and returns their directory.
func buildAuthenticator(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "..", "-o", dir+string(os.PathSeparator), "./cmd/...")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	return dir
}
