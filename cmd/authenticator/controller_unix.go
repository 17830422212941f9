//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// execute becomes another program, which so gets the signals that are meant for it.
func execute(path string, args []string, _ streams) error {
	err := syscall.Exec(path, append([]string{path}, args...), os.Environ())
	return fmt.Errorf("%s: %w", path, err)
}
