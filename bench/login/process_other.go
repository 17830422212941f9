//go:build !linux

package main

import (
	"syscall"
	"time"
)

// Measuring needs Linux; what is here lets the tests of the rest run elsewhere.

func dieWithParent() *syscall.SysProcAttr { return nil }

func exactSleep(d time.Duration) { time.Sleep(d) }
