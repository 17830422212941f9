package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// server is a running `authenticator server --dev`.
type server struct {
	webhookKubeconfig string
	log               string        // file
	done              chan struct{} // closed when it has ended
	cancel            context.CancelFunc
}

// startServer runs the authenticator with its files in dir, and returns when it serves.
func startServer(ctx context.Context, authenticator, dir string, port, healthPort int) (*server, error) {
	s := &server{
		webhookKubeconfig: filepath.Join(dir, "webhook.kubeconfig"),
		log:               filepath.Join(dir, logName),
		done:              make(chan struct{}),
	}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()

	ctx, s.cancel = context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, authenticator, "server", "--dev", "--dev-dir", dir, "--log-verbosity=info",
		fmt.Sprintf("--port=%d", port), fmt.Sprintf("--health-port=%d", healthPort))
	cmd.Stdout, cmd.Stderr = log, log
	interruptFirst(cmd)
	if err := cmd.Start(); err != nil {
		s.cancel()
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // why it ended is in its log
		close(s.done)
	}()
	if err := s.waitReady(ctx, healthPort); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *server) waitReady(ctx context.Context, healthPort int) error {
	const timeout = 15 * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return fmt.Errorf("authenticator ended: %s", s.tail())
		case <-ctx.Done():
			return fmt.Errorf("authenticator is not ready after %v: %w, saying last: %s", timeout, ctx.Err(), s.tail())
		case <-tick.C:
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/readyz", healthPort), nil)
			if err != nil {
				return err
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				continue
			}
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
}

// stop ends the server and returns when it has ended.
func (s *server) stop() {
	s.cancel()
	<-s.done
}

// tail returns the last lines of the log.
func (s *server) tail() string { return tail(s.log) }

func tail(file string) string {
	const lines = 5
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
