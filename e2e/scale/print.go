package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// describeMachine says what the figures are true for.
func describeMachine(ctx context.Context) (string, error) {
	commit, err := output(ctx, "git", "rev-parse", "--short", "HEAD")
	if err != nil {
		return "", err
	}
	changes, err := output(ctx, "git", "status", "--porcelain", "--untracked-files=no")
	if err != nil {
		return "", err
	}
	if changes != "" {
		commit += " with uncommitted changes"
	}
	load := ""
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = ", load " + strings.Fields(string(data))[0] + " at the start"
	}
	return fmt.Sprintf("%s, %d cores%s; %s %s %s; commit %s; %s.", cpuModel(), runtime.NumCPU(), load,
		runtime.Version(), runtime.GOOS, runtime.GOARCH, commit, time.Now().UTC().Format(time.DateOnly)), nil
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(bytes.TrimSpace(out)), nil
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

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
	printTable(rows)
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

// printTable prints a Markdown table, whose first row is the head, in columns that a terminal shows well.
func printTable(rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range rows {
		for j, cell := range row {
			if j == 0 {
				fmt.Printf("| %-*s |", widths[j], cell)
			} else {
				fmt.Printf(" %*s |", widths[j], cell)
			}
		}
		fmt.Println()
		if i == 0 {
			for j, width := range widths {
				if j == 0 {
					fmt.Printf("|%s|", strings.Repeat("-", width+2))
				} else {
					fmt.Printf("%s:|", strings.Repeat("-", width+1))
				}
			}
			fmt.Println()
		}
	}
}
