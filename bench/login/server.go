package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// authenticator is a running `authenticator server`.
type authenticator struct {
	*target
	health string // URL
	dir    string
	log    string // path
}

// settings are what a measurement wants of the server's configuration.
type settings struct {
	concurrency int  // server.stsConcurrency; 0: the default
	unbounded   bool // calls to STS per second
}

// startAuthenticator starts the server in a new directory and waits until it is ready.
func (b *bench) startAuthenticator(ctx context.Context, s settings) (_ *authenticator, err error) {
	a := &authenticator{}
	if a.dir, err = os.MkdirTemp(b.dir, "server-"); err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(a.dir, "config.yaml")
	stsCA := filepath.Join(a.dir, "sts-ca.pem")
	a.log = filepath.Join(a.dir, "log")
	if err := errors.Join(
		os.WriteFile(config, []byte(b.config(a.dir, stsCA, ports, s)), 0o600),
		os.WriteFile(stsCA, b.sts.CA, 0o600),
	); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(a.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(b.binary, "server", "--config", config)
	cmd.Env = []string{"HOME=" + a.dir}
	cmd.Stderr = log
	p, err := start(ctx, cmd)
	if err != nil {
		return nil, err
	}
	a.health = "http://127.0.0.1:" + strconv.Itoa(ports[1])
	if err := a.ready(ctx, p); err != nil {
		p.stop()
		text, _ := os.ReadFile(a.log)
		return nil, fmt.Errorf("%v: %w\n%s", cmd, err, text)
	}
	ca, err := os.ReadFile(filepath.Join(a.dir, "state", "ca.pem"))
	if err != nil {
		p.stop()
		return nil, err
	}
	a.target, err = newTarget("authenticator", p, greeting{net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])), ca})
	fmt.Fprintf(os.Stderr, "  authenticator server: process %d, profiles at %s/debug/pprof/\n", p.cmd.Process.Pid, a.health)
	return a, err
}

func (b *bench) config(dir, stsCA string, ports []int, s settings) string {
	var c strings.Builder
	fmt.Fprintf(&c, `clusterID: %s
server:
  port: %d
  healthPort: %d
  stateDir: %s
  generateKubeconfig: %s
  stsEmulator: {address: "%s", caFile: %s}
  profiling: true
`, clusterID, ports[0], ports[1], filepath.Join(dir, "state"), filepath.Join(dir, "kubeconfig"), b.sts.Address, stsCA)
	if s.concurrency > 0 {
		fmt.Fprintf(&c, "  stsConcurrency: %d\n", s.concurrency)
	}
	if b.cache {
		c.WriteString("  tokenCache: {ttl: 1m, staleOnError: true, negativeTTL: 10s}\n")
		if s.unbounded {
			c.WriteString("  stsQps: 0\n  stsAccessKeyQps: 0\n")
		}
	}
	c.WriteString("  mapRoles:\n")
	for role := range roles {
		fmt.Fprintf(&c, "  - {rolearn: %q, username: \"team-%02d:{{SessionName}}\", groups: [%s]}\n", roleARN(role), role, strings.Join(groups(role), ", "))
	}
	return c.String()
}

func groups(role int) []string { return []string{fmt.Sprintf("team-%02d", role), "developers"} }

// ready waits until the server is.
func (a *authenticator) ready(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if _, err := a.get(ctx, "/readyz"); err == nil {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-p.ended:
			return errors.New("ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", ctx.Err())
		}
	}
}

// get returns what the server's health port says.
func (a *authenticator) get(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.health+path, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: HTTP status %d: %.300q", path, response.StatusCode, body)
	}
	return string(body), err
}

// metric returns the sum of all series of a metric.
func (a *authenticator) metric(ctx context.Context, name string) (sum float64, err error) {
	body, err := a.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	found := false
	for scanner := bufio.NewScanner(strings.NewReader(body)); scanner.Scan(); {
		rest, ok := strings.CutPrefix(scanner.Text(), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		sum, found = sum+value, true
	}
	if !found {
		return 0, fmt.Errorf("the server has no metric %s", name)
	}
	return sum, nil
}

// heap returns how much of the server's heap is in use, in bytes, garbage left out.
func (a *authenticator) heap(ctx context.Context) (int64, error) {
	if _, err := a.get(ctx, "/debug/pprof/heap?gc=1"); err != nil {
		return 0, err
	}
	heap, err := a.metric(ctx, "go_memstats_heap_alloc_bytes")
	return int64(heap), err
}

// stop ends the server and removes its directory.
func (a *authenticator) stop() {
	a.process.stop()
	_ = os.RemoveAll(a.dir)
}

// trimLog empties the log, which grows by gigabytes otherwise.
func (a *authenticator) trimLog() error { return os.Truncate(a.log, 0) }

// freePorts returns TCP ports that nobody listens on.
func freePorts(n int) (ports []int, err error) {
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
