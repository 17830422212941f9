//go:build !linux

package main

import (
	"errors"
	"syscall"
)

// sharePort fails: systems other than Linux share ports in ways of their own, or not
// at all.
func sharePort(string, string, syscall.RawConn) error {
	return errors.New("ports can be shared on Linux only (leave --share-ports out)")
}
