package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running controller.
type process struct {
	cmd     *exec.Cmd
	began   time.Time
	metrics string // URL
}

func start(program, kubeconfig, log string, port int) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	address := fmt.Sprintf("127.0.0.1:%d", port)
	p := &process{
		cmd: exec.Command(program, "--kubeconfig", kubeconfig, "--leader-elect", "--leader-elect-namespace=kube-system",
			"--metrics-address", address, "--health-address="),
		began:   time.Now(),
		metrics: "http://" + address + "/metrics",
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	return p, p.cmd.Start()
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

// figures are the metrics of a controller, by name and labels.
type figures map[string]float64

func (p *process) figures(ctx context.Context) (figures, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.metrics, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	f := figures{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		name, value, ok := cutLast(lines.Text())
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			f[name] = v
		}
	}
	return f, lines.Err()
}

// cutLast cuts a line at its last space.
func cutLast(line string) (before, after string, found bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 || strings.HasPrefix(line, "#") {
		return "", "", false
	}
	return line[:i], line[i+1:], true
}

// until waits until a figure has a value.
func (p *process) until(ctx context.Context, name string, value float64) (figures, error) {
	for {
		f, err := p.figures(ctx)
		switch {
		case err == nil && f[name] == value:
			return f, nil
		case time.Since(p.began) > 20*time.Minute:
			return nil, fmt.Errorf("%s is %g, want %g: %w", name, f[name], value, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// sum adds up the figures whose name begins with prefix.
func (f figures) sum(prefix string) (sum float64) {
	for name, value := range f {
		if strings.HasPrefix(name, prefix) {
			sum += value
		}
	}
	return sum
}

// by returns the figures of a name, as "LABELS: VALUE", those that are not 0.
func (f figures) by(name string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(f)) {
		if labels, ok := strings.CutPrefix(key, name+"{"); ok && f[key] > 0 {
			var values []string
			for label := range strings.SplitSeq(strings.TrimSuffix(labels, "}"), ",") {
				if key, value, _ := strings.Cut(label, "="); key != "host" {
					values = append(values, strings.Trim(value, `"`))
				}
			}
			slices.Reverse(values)
			all = append(all, fmt.Sprintf("%s %.0f", strings.Join(values, " "), f[key]))
		}
	}
	return strings.Join(all, ", ")
}

// memory returns what the process has in memory, and had at most, in bytes.
func (p *process) memory() (now, most int64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = kilobytes << 10
		case "VmHWM:":
			most = kilobytes << 10
		}
	}
	if now == 0 {
		err = errors.New("its memory can't be told")
	}
	return now, most, err
}
