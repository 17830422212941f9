// Command policyscale measures the controller of access policies among many access entries and namespaces, on a
// real kube-apiserver and etcd:
//
//	go -C e2e run ./policyscale [-entries 5000] [-namespaces 200]
//
// It prints Markdown, which docs/performance.md shows, and tells on standard error how far it is. The default takes
// about 5 minutes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/iam-authenticator/authenticator/bench/report"
	"github.com/iam-authenticator/authenticator/e2e/bed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var s size
	flag.IntVar(&s.entries, "entries", 5000, "`number` of access entries")
	flag.IntVar(&s.namespaces, "namespaces", 200, "`number` of namespaces")
	flag.Parse()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, s size) error {
	if s.entries < 1 || s.namespaces < perTeam {
		return fmt.Errorf("-entries %d -namespaces %d, want 1 and %d at least", s.entries, s.namespaces, perTeam)
	}
	where, err := report.Machine(ctx)
	if err != nil {
		return err
	}
	cluster, err := bed.Start(ctx, bed.Options{})
	if err != nil {
		return err
	}
	defer cluster.Stop()
	m, err := newMeasurement(ctx, cluster, s)
	if err != nil {
		return err
	}
	defer m.close()
	results, err := m.measure(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n\n", where)
	s.print(results)
	return nil
}
