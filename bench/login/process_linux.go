package main

import (
	"syscall"
	"time"
)

// dieWithParent has the kernel end a child when this process ends, however that happens.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// exactSleep is more exact than time.Sleep, which takes up to a millisecond longer when nothing else goes on.
func exactSleep(d time.Duration) {
	spec := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&spec, nil) // an early end only makes the caller look again
}
