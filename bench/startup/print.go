package main

import (
	"fmt"
	"os"
	"time"

	"github.com/iam-authenticator/authenticator/bench/report"
)

func printResults(results []result, n int) {
	rows := [][]string{{"", "wall, median", "wall, p95", "above the floor", "CPU", "peak memory"}}
	for _, r := range results {
		rows = append(rows, []string{
			r.name,
			milliseconds(quantile(r.wall, 0.5)),
			milliseconds(quantile(r.wall, 0.95)),
			milliseconds(quantile(r.wall, 0.5) - quantile(results[floor].wall, 0.5)),
			milliseconds(quantile(r.cpu, 0.5)),
			megabytes(quantile(r.peak, 0.5)),
		})
	}
	report.Table(rows)
	fmt.Printf("\n%d runs of each, in turn; CPU (user and system) and memory are medians. The memory of\nhello world is an upper bound: the program that measures it is no smaller.\n", n)
}

// printSizes prints what a start consists of: the binaries and the packages that are slowest to initialise.
func printSizes(p programs, inits []initCost) error {
	const top = 10
	rows := [][]string{{"initialisation", "time", "allocated", "allocations"}}
	var rest, total initCost
	for i, c := range inits {
		total = total.plus(c)
		if i < top {
			rows = append(rows, c.row("`"+c.pkg+"`"))
		} else {
			rest = rest.plus(c)
		}
	}
	if n := len(inits) - top; n > 0 {
		rows = append(rows, rest.row(fmt.Sprintf("%d others", n)))
	}
	report.Table(append(rows, total.row("all")))

	var sizes [2]int64
	for i, path := range []string{p.authenticator, p.hello} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		sizes[i] = info.Size()
	}
	fmt.Printf("\nBinaries: authenticator %s, hello world %s.\n", megabytes(sizes[0]), megabytes(sizes[1]))
	return nil
}

func (c initCost) plus(d initCost) initCost {
	return initCost{clock: c.clock + d.clock, bytes: c.bytes + d.bytes, allocs: c.allocs + d.allocs}
}

func (c initCost) row(name string) []string {
	return []string{name, milliseconds(c.clock), fmt.Sprintf("%d kB", c.bytes/1000), fmt.Sprint(c.allocs)}
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
