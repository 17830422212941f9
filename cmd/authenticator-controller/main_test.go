package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"authenticator-controller": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Cmds:                map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// exits runs the program and compares its exit code: exits CODE ARGS...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: exits CODE ARGS...")
	}
	err := ts.Exec("sh", append([]string{"-c", `authenticator-controller "$@"; [ $? = ` + args[0] + ` ]`, "sh"}, args[1:]...)...)
	if err != nil {
		ts.Fatalf("want exit code %s", args[0])
	}
}
