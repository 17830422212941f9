// Command startup measures what one `authenticator token` costs, as kubectl pays it for every command:
//
//	go run ./bench/startup [-n RUNS]
//
// It prints Markdown; docs/performance.md shows it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/iam-authenticator/authenticator/bench/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	n := flag.Int("n", 100, "`runs` of each scenario")
	flag.Parse()
	if err := run(ctx, *n); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, n int) (err error) {
	if n < 1 {
		return fmt.Errorf("-n %d, want at least 1", n)
	}
	dir, err := os.MkdirTemp("", "bench-startup-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	fmt.Fprintln(os.Stderr, "building …")
	programs, err := buildPrograms(ctx, dir)
	if err != nil {
		return err
	}
	scenarios, closeSTS, err := newScenarios(dir, programs)
	if err != nil {
		return err
	}
	defer closeSTS()

	where, err := report.Machine(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "running each of %d scenarios %d times in turn …\n", len(scenarios), n)
	results, err := measure(ctx, scenarios, programs.peak, n)
	if err != nil {
		return err
	}
	inits, err := traceInits(ctx, scenarios, n)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n\n", where)
	printResults(results, n)
	fmt.Println()
	return printSizes(programs, inits)
}
