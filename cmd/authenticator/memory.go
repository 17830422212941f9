package main

import "os"

// calmGC makes the garbage collector run less often, until the memory that it returns
// is let go. A server's heap is a few megabytes, and Go collects when it has doubled:
// many times a second under load. Memory that is never touched counts as heap, but the
// system gives none for it. Who tunes the collector knows better.
func calmGC() []byte {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, 128<<20)
}
