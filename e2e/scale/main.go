// Command scale measures the mapper of access entries among few entries and among many, on a real
// kube-apiserver and etcd:
//
//	go -C e2e run ./scale [-n 10,1000,100000]
//
// It prints Markdown, which docs/performance.md shows, and tells on standard error how far it is. The default
// takes about 10 minutes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/iam-authenticator/authenticator/bench/report"
	"github.com/iam-authenticator/authenticator/e2e/bed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	n := flag.String("n", "10,1000,100000", "`sizes`: numbers of entries to measure with")
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

func run(ctx context.Context, list string) error {
	sizes, err := parseSizes(list)
	if err != nil {
		return err
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
	s, err := newScale(ctx, cluster)
	if err != nil {
		return err
	}
	var results []result
	for _, size := range sizes {
		r, err := s.measure(ctx, size)
		if err != nil {
			return fmt.Errorf("with %d entries: %w", size, err)
		}
		results = append(results, r)
	}
	fmt.Printf("%s\n\n", where)
	printResults(results)
	return nil
}

// parseSizes returns the sizes from the smallest, each once: entries are only ever added.
func parseSizes(list string) ([]int, error) {
	var sizes []int
	for s := range strings.SplitSeq(list, ",") {
		size, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || size < 1 || size > maxEntries {
			return nil, fmt.Errorf("-n %q, want numbers from 1 to %d, such as 10,1000", list, maxEntries)
		}
		sizes = append(sizes, size)
	}
	slices.Sort(sizes)
	return slices.Compact(sizes), nil
}
