//go:build !unix

package certs

// syncDir does nothing: directories can't be opened for syncing.
func syncDir(string) error { return nil }
