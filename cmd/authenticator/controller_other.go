//go:build !unix

package main

import (
	"errors"
	"os/exec"
)

// execute runs another program and ends as it does.
func execute(path string, args []string, std streams) error {
	cmd := exec.Command(path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = std.in, std.out, std.err
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exitError{exit.ExitCode()}
	}
	return err
}
