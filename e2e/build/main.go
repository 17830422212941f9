// Command build makes the etcd, kube-apiserver, kubectl and aws-iam-authenticator that the end-to-end tests run,
// unless the cache has them already, and prints the directory that holds the first three:
//
//	go -C e2e run ./build
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/iam-authenticator/authenticator/e2e/bed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := bed.Build(ctx, os.Stderr)
	if err == nil {
		_, err = bed.BuildOriginal(ctx, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	fmt.Println(dir)
}
