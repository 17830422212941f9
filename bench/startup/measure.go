package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// result is what the runs of one scenario took.
type result struct {
	name      string
	wall, cpu []time.Duration
	peak      []int64 // bytes
}

// measure runs the scenarios in turn, so that what else the machine does hits them all. The first turn,
// which fills caches, doesn't count.
func measure(ctx context.Context, scenarios []scenario, peakProgram string, n int) ([]result, error) {
	results := make([]result, len(scenarios))
	for turn := range n + 1 {
		for i, s := range scenarios {
			r := &results[i]
			r.name = s.name
			began := time.Now()
			cmd, _, err := s.run(ctx)
			wall := time.Since(began)
			if err != nil {
				return nil, err
			}
			if turn == 0 {
				continue
			}
			r.wall = append(r.wall, wall)
			r.cpu = append(r.cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
		}
	}
	// Memory doesn't vary with what else the machine does.
	for range min(n, 10) {
		for i, s := range scenarios {
			s.command = append([]string{peakProgram}, s.command...)
			_, stderr, err := s.run(ctx)
			if err != nil {
				return nil, err
			}
			peak, err := strconv.ParseInt(strings.TrimSpace(stderr), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			results[i].peak = append(results[i].peak, peak)
		}
	}
	return results, nil
}

// run runs the scenario once and checks what it printed.
func (s scenario) run(ctx context.Context, env ...string) (cmd *exec.Cmd, stderr string, err error) {
	cmd = exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	cmd.Env = slices.Concat(s.env, env)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		return nil, "", fmt.Errorf("%v: %w\n%s", cmd, err, &log)
	}
	if !strings.HasPrefix(out.String(), s.output) {
		return nil, "", fmt.Errorf("%v printed %q, want %s…", cmd, &out, s.output)
	}
	return cmd, log.String(), nil
}

// quantile returns the value that the share q of the values don't exceed.
func quantile[T int64 | time.Duration](values []T, q float64) T {
	values = slices.Sorted(slices.Values(values))
	return values[int(q*float64(len(values)-1)+0.5)]
}
