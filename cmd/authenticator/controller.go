package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// controllerProgram is a program of its own: the libraries that it takes would double
// what it takes this one to start, which every call of kubectl pays.
const controllerProgram = "authenticator-controller"

const controllerHelp = `Keep the RBAC bindings that the access policies of access entries stand for.

It runs the program ` + controllerProgram + `, which lies beside this one or in the PATH, with
the same arguments. "authenticator controller --help" shows its flags.`

func newControllerCommand(std streams) *cobra.Command {
	return &cobra.Command{
		Use:   "controller",
		Short: "Bind the access policies of access entries",
		Long:  controllerHelp,
		Example: `  authenticator controller --leader-elect
  authenticator controller --dry-run --kubeconfig ~/.kube/config`,
		DisableFlagParsing: true, // they are the program's
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := findController()
			if err == nil {
				return execute(path, args, std)
			}
			if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
				fmt.Fprintln(std.err, "Note:", err)
				return cmd.Help()
			}
			return err
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			return completeController(append(args, toComplete))
		},
	}
}

// findController returns the path of the controller's program. That beside this one
// is of the same release.
func findController() (string, error) {
	name := controllerProgram
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	var beside string
	if self, err := os.Executable(); err == nil {
		beside = filepath.Join(filepath.Dir(self), name)
		if path, err := exec.LookPath(beside); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", usageError{fmt.Errorf("the controller is a program of its own, and is neither %s nor in the PATH: install %s of the same release", beside, controllerProgram)}
	}
	return path, nil
}

// completeController asks the program what may come next.
func completeController(args []string) ([]string, cobra.ShellCompDirective) {
	path, err := findController()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out bytes.Buffer
	cmd := exec.Command(path, append([]string{cobra.ShellCompRequestCmd}, args...)...) //nolint:noctx // it ends by itself
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	last := len(lines) - 1
	directive, err := strconv.Atoi(strings.TrimPrefix(lines[last], ":"))
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return lines[:last], cobra.ShellCompDirective(directive)
}

// exitError is a program that ended with an exit code, and has said why.
type exitError struct{ code int }

func (e exitError) Error() string {
	return fmt.Sprintf("%s ended with exit code %d", controllerProgram, e.code)
}
