// Command demo tells the story of a login on a real kube-apiserver, on this machine and without AWS:
//
//	go -C e2e run ./demo [-keep]
//
// It starts `authenticator server --dev`, etcd and kube-apiserver, shows what people type and what they
// get, and removes all of it. It fails if anything is not as the story promises.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// SIGPIPE is here so that `demo | head` cleans up too.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	keep := flag.Bool("keep", false, "when the story is told, leave all running until Ctrl-C")
	flag.Parse()

	switch err := run(ctx, newScreen(os.Stdout), *keep); {
	case err == context.Canceled: // and nothing that went wrong in cleaning up is joined to it
		fmt.Fprintln(os.Stderr, "\ninterrupted; everything is stopped and removed")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "\nerror:", err)
		os.Exit(1)
	}
}
