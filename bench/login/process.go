package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// process is a child.
type process struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // once ended
}

// start starts a child, which ends with stop, with the context, or when this process does.
func start(ctx context.Context, cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &process{cmd: cmd, cancel: cancel, ended: make(chan struct{})}
	go func() {
		<-ctx.Done()
		_ = cmd.Process.Kill()
	}()
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
		cancel()
	}()
	return p, nil
}

func (p *process) stop() {
	p.cancel()
	<-p.ended
}

// cpu returns how long the process has used the processor so far, user and system.
func (p *process) cpu() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name of the program, in parentheses, may have spaces; after it come fields 3 and on of proc(5).
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat has %d fields after the name, want at least 13", len(fields))
	}
	const tick = 10 * time.Millisecond // USER_HZ, 100 on every platform of Go
	user, userErr := strconv.ParseInt(fields[14-3], 10, 64)
	system, systemErr := strconv.ParseInt(fields[15-3], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(userErr, systemErr)
}

// rss returns the memory that the process occupies, in bytes.
func (p *process) rss() (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kB, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kB << 10, err
		}
	}
	return 0, errors.New("no VmRSS in /proc/PID/status")
}
