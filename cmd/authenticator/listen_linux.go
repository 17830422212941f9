package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// sharePort lets a listener have a port that another process of the same user has
// shared too. The kernel gives each of them some of the new connections.
func sharePort(_, _ string, conn syscall.RawConn) error {
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	if err != nil {
		return err
	}
	return failed
}
