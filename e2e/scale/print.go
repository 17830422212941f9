package main

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/bench/report"
)

func printResults(results []result) {
	first := results[0]
	// The heap has a part that does not depend on the entries: connections, and what reads and writes on them.
	perEntry := func(of func(result) start) func(result) string {
		return func(r result) string {
			if r.entries == first.entries {
				return "–"
			}
			return fmt.Sprintf("%d B", (median(of(r).heap)-median(of(first).heap))/int64(r.entries-first.entries))
		}
	}
	reported := func(r result) start { return r.reported }
	unreported := func(r result) start { return r.unreported }
	rows := [][]string{{"entries"}}
	for _, r := range results {
		rows[0] = append(rows[0], thousands(r.entries))
	}
	for _, line := range []struct {
		name string
		cell func(result) string
	}{
		{"start to ready, median", func(r result) string { return duration(median(r.reported.times)) }},
		{"start to ready, slowest", func(r result) string { return duration(slices.Max(r.reported.times)) }},
		{"start to ready, CPU", func(r result) string { return duration(median(r.reported.cpu)) }},
		{"heap when ready", func(r result) string { return megabytes(median(r.reported.heap)) }},
		{"heap per entry", perEntry(reported)},
		{"heap at most until ready", func(r result) string { return megabytes(slices.Max(r.reported.peak)) }},
		{"lookup, found", func(r result) string { return lookup(r.hit) }},
		{"lookup, not found", func(r result) string { return lookup(r.miss) }},
		{"update to in force, median", func(r result) string { return duration(median(r.updates)) }},
		{"update to in force, slowest", func(r result) string { return duration(slices.Max(r.updates)) }},
		{"idle, CPU", func(r result) string { return share(r.idleCPU) }},
		{"API server back to update answered", func(r result) string { return duration(r.answered) }},
		{"API server back to update in force", func(r result) string { return duration(r.resync) }},
		{"first start to ready", func(r result) string { return duration(median(r.unreported.times)) }},
		{"first start, heap per entry", perEntry(unreported)},
		{"first start, status written", written(func(r result) string { return fmt.Sprintf("%.1f/s", r.writesPerSecond) })},
		{"first start, CPU while writing", written(func(r result) string { return share(r.writingCPU) })},
		{"first start, all would take", written(func(r result) string {
			return time.Duration(float64(r.entries) / r.writesPerSecond * float64(time.Second)).Round(time.Second).String()
		})},
	} {
		row := []string{line.name}
		for _, r := range results {
			row = append(row, line.cell(r))
		}
		rows = append(rows, row)
	}
	report.Table(rows)
	last := results[len(results)-1]
	fmt.Printf("\n%d starts, %d updates; CPU idle and while writing over %s, of one core. API server and etcd ran on the\n"+
		"same machine. The last %s entries were created in %s, %.0f per second.\n",
		starts, updates, window, thousands(last.created), last.creating.Round(time.Second), float64(last.created)/last.creating.Seconds())
}

// written is a cell that is only there if enough was written to tell.
func written(cell func(result) string) func(result) string {
	return func(r result) string {
		if r.writesPerSecond == 0 {
			return "–"
		}
		return cell(r)
	}
}

func lookup(r testing.BenchmarkResult) string {
	return fmt.Sprintf("%.0f ns, %d allocs", float64(r.T.Nanoseconds())/float64(r.N), r.AllocsPerOp())
}

func median[T int64 | time.Duration](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

func duration(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func share(of float64) string { return fmt.Sprintf("%.2f %%", 100*of) }

// thousands writes a number with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
