// Command peak runs a program and prints its peak resident memory, in bytes, as the last line of standard
// error. It is small because the kernel counts what a parent holds at the fork as its child's.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

func main() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	if runtime.GOOS == "linux" {
		peak *= 1024 // it is in bytes on a Mac
	}
	fmt.Fprintln(os.Stderr, peak)
}
