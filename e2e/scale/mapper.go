package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper/accessentry"
)

// poll is how often to look whether something has come about. It costs less than a hundredth of a core.
const poll = 200 * time.Microsecond

// runningMapper is a mapper that runs in this process.
type runningMapper struct {
	*accessentry.Mapper
	requests *requests
	cancel   context.CancelFunc
	done     chan error
}

// requests counts what a mapper asks of the API server.
type requests struct {
	next                   http.RoundTripper
	lists, watches, writes atomic.Int64
}

func (r *requests) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case req.Method == http.MethodPatch:
		r.writes.Add(1)
	case strings.Contains(req.URL.RawQuery, "watch=true"):
		r.watches.Add(1)
	default:
		r.lists.Add(1)
	}
	return r.next.RoundTrip(req)
}

// startMapper starts a mapper, which is not ready yet.
func startMapper(ctx context.Context, config *rest.Config) (*runningMapper, error) {
	r := &requests{}
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		r.next = next
		return r
	})
	m, err := accessentry.New(accessentry.Options{Config: config})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return &runningMapper{m, r, cancel, done}, nil
}

func (m *runningMapper) stop() error {
	m.cancel()
	return <-m.done
}

// ready waits until the mapper has the entries.
func (m *runningMapper) ready(ctx context.Context, caller iam.Identity) error {
	return m.await(ctx, "ready", 2*time.Minute, func() bool {
		_, err := m.Lookup(caller)
		return err == nil
	})
}

// named waits until a caller has a username.
func (m *runningMapper) named(ctx context.Context, caller iam.Identity, username string) error {
	return m.await(ctx, "an update in force", 2*time.Minute, func() bool {
		found, err := m.Lookup(caller)
		return err == nil && found.Entry().Username == username
	})
}

func (m *runningMapper) await(ctx context.Context, what string, most time.Duration, come func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("not %s within %s", what, most))
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !come() {
		select {
		case <-tick.C:
		case err := <-m.done:
			m.done <- err
			return fmt.Errorf("the mapper ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("%w; the mapper says: %v", context.Cause(ctx), m.Status().Err)
		}
	}
	return nil
}
