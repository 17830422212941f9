// Package report prints what measurements found, as Markdown.
package report

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"
)

// Machine says where figures come from: the processor and its load, Go, the commit
// and the day.
func Machine(ctx context.Context) (string, error) {
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

// Table prints a Markdown table, whose first row is the head, in columns that a terminal shows well.
func Table(rows [][]string) {
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
