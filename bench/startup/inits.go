package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// initCost is what the initialisation of one package takes before main starts.
type initCost struct {
	pkg           string
	clock         time.Duration // median of the runs
	bytes, allocs int64
}

// traceInits runs the plain token command with GODEBUG=inittrace=1 and returns the packages, the slowest
// first.
func traceInits(ctx context.Context, scenarios []scenario, n int) ([]initCost, error) {
	costs := map[string]initCost{}
	clocks := map[string][]time.Duration{}
	for range min(n, 20) {
		_, trace, err := scenarios[plain].run(ctx, "GODEBUG=inittrace=1")
		if err != nil {
			return nil, err
		}
		for lines := bufio.NewScanner(strings.NewReader(trace)); lines.Scan(); {
			var c initCost
			var at, clock float64
			if _, err := fmt.Sscanf(lines.Text(), "init %s @%f ms, %f ms clock, %d bytes, %d allocs", &c.pkg, &at, &clock, &c.bytes, &c.allocs); err != nil {
				return nil, fmt.Errorf("GODEBUG=inittrace=1 printed %q: %w", lines.Text(), err)
			}
			costs[c.pkg] = c
			clocks[c.pkg] = append(clocks[c.pkg], time.Duration(clock*float64(time.Millisecond)))
		}
	}
	var sorted []initCost
	for pkg, c := range costs {
		c.clock = quantile(clocks[pkg], 0.5)
		sorted = append(sorted, c)
	}
	slices.SortFunc(sorted, func(a, b initCost) int { return cmp.Or(cmp.Compare(b.clock, a.clock), cmp.Compare(a.pkg, b.pkg)) })
	return sorted, nil
}
