package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-authenticator/authenticator/bench/report"
	"github.com/iam-authenticator/authenticator/e2e/bed"
)

const (
	applied  = `iam_authenticator_controller_entries{reason="Applied"}`
	bindings = `iam_authenticator_controller_bindings`
	written  = `iam_authenticator_controller_writes_total`
	requests = `rest_client_requests_total`
	cpu      = `process_cpu_seconds_total`

	window = 15 * time.Second // for what is measured over time
)

// measurement is a cluster, and the controller's program.
type measurement struct {
	size
	admin               client.Client
	dir                 string
	program, kubeconfig string
}

// phase is what a controller did until it was done.
type phase struct {
	took              time.Duration
	cpu               float64 // seconds
	writes, requests  string
	written           float64
	memory, maxMemory int64
}

type results struct {
	first, restart phase
	idleCPU        float64 // share of a core
	idleWrites     float64
	namespace      time.Duration // until all that are for a new one are bound in it
	namespaceFirst time.Duration // until the first is
	entry          time.Duration // until a new one has all its bindings
}

func newMeasurement(ctx context.Context, cluster *bed.Cluster, s size) (*measurement, error) {
	dir, err := os.MkdirTemp("", "policyscale-")
	if err != nil {
		return nil, err
	}
	m := &measurement{size: s, dir: dir, program: filepath.Join(dir, "authenticator-controller"), kubeconfig: filepath.Join(dir, "kubeconfig")}
	build := exec.CommandContext(ctx, "go", "build", "-C", "..", "-trimpath", "-ldflags=-s -w", "-o", m.program, "./cmd/authenticator-controller")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%v: %w\n%s", build, err, out)
	}
	if err := install(ctx, cluster, m.kubeconfig); err != nil {
		return nil, err
	}
	m.admin, err = newAdmin(cluster)
	return m, err
}

func (m *measurement) close() { _ = os.RemoveAll(m.dir) }

func (m *measurement) measure(ctx context.Context) (r results, err error) {
	if err := m.fill(ctx, m.admin); err != nil {
		return r, err
	}
	p, err := m.phase(ctx, &r.first)
	if err != nil {
		return r, err
	}
	progress("converged in %s", r.first.took.Round(time.Millisecond))
	p.stop()
	p, err = m.phase(ctx, &r.restart)
	if err != nil {
		return r, err
	}
	defer p.stop()
	progress("looked at everything in %s after a restart", r.restart.took.Round(time.Millisecond))
	return r, errors.Join(m.idle(ctx, p, &r), m.changes(ctx, &r))
}

// phase starts a controller, and waits until it has looked at every entry and written nothing for two seconds.
func (m *measurement) phase(ctx context.Context, to *phase) (*process, error) {
	port, err := bed.FreePort()
	if err != nil {
		return nil, err
	}
	p, err := start(m.program, m.kubeconfig, filepath.Join(m.dir, "log"), port)
	if err != nil {
		return nil, err
	}
	if _, err := p.until(ctx, applied, float64(m.entries)); err != nil {
		p.stop()
		return nil, err
	}
	to.took = time.Since(p.began)
	var f figures
	for last, since := -1.0, time.Now(); time.Since(since) < 2*time.Second; time.Sleep(100 * time.Millisecond) {
		if f, err = p.figures(ctx); err != nil {
			p.stop()
			return nil, err
		}
		if n := f.sum(written); n != last {
			last, since = n, time.Now()
		}
	}
	if f[bindings] != float64(m.bindings()) {
		p.stop()
		return nil, fmt.Errorf("%g bindings, want %d", f[bindings], m.bindings())
	}
	to.cpu, to.written, to.writes, to.requests = f[cpu], f.sum(written), f.by(written), f.by(requests)
	to.memory, to.maxMemory, err = p.memory()
	return p, err
}

// idle measures a controller that has nothing to do.
func (m *measurement) idle(ctx context.Context, p *process, r *results) error {
	before, err := p.figures(ctx)
	if err != nil {
		return err
	}
	time.Sleep(window)
	after, err := p.figures(ctx)
	r.idleCPU = (after[cpu] - before[cpu]) / window.Seconds()
	r.idleWrites = after.sum(written) - before.sum(written)
	return err
}

// changes measures how long changes take to be in force.
func (m *measurement) changes(ctx context.Context, r *results) error {
	n := namespace(0, perTeam)
	began := time.Now()
	if err := m.admin.Create(ctx, n); err != nil {
		return err
	}
	count := func() (int, error) {
		var list rbacv1.RoleBindingList
		err := m.admin.List(ctx, &list, client.InNamespace(n.Name))
		return len(list.Items), err
	}
	for got := 0; got < m.perNamespace(); {
		var err error
		if got, err = count(); err != nil {
			return err
		}
		if got > 0 && r.namespaceFirst == 0 {
			r.namespaceFirst = time.Since(began)
		}
		if time.Since(began) > time.Minute {
			return fmt.Errorf("%d bindings in a new namespace, want %d", got, m.perNamespace())
		}
	}
	r.namespace = time.Since(began)

	began = time.Now()
	e := m.entry(m.entries + 1)
	if err := m.admin.Create(ctx, e); err != nil {
		return err
	}
	for len(e.Status.Conditions) == 0 {
		if err := m.admin.Get(ctx, client.ObjectKeyFromObject(e), e); err != nil {
			return err
		}
		if time.Since(began) > time.Minute {
			return errors.New("a new entry is not bound")
		}
	}
	r.entry = time.Since(began)
	return nil
}

// print prints the results as Markdown.
func (s size) print(r results) {
	report.Table([][]string{
		{"", "first start", "restart"},
		{"until every entry was looked at", seconds(r.first.took), seconds(r.restart.took)},
		{"CPU", fmt.Sprintf("%.1f s", r.first.cpu), fmt.Sprintf("%.1f s", r.restart.cpu)},
		{"writes", fmt.Sprintf("%.0f", r.first.written), fmt.Sprintf("%.0f", r.restart.written)},
		{"memory", megabytes(r.first.memory), megabytes(r.restart.memory)},
		{"memory at most", megabytes(r.first.maxMemory), megabytes(r.restart.maxMemory)},
	})
	fmt.Printf("\n%d entries, %d namespaces, %d bindings. Writes of the first start: %s.\n", s.entries, s.teams()*perTeam, s.bindings(), r.first.writes)
	fmt.Printf("All requests: first start: %s; restart: %s.\n", r.first.requests, r.restart.requests)
	fmt.Printf("Nothing to do, over %s: %.0f writes, %.2f %% of a core.\n", window, r.idleWrites, 100*r.idleCPU)
	fmt.Printf("A new namespace: the first of %d entries bound in it after %s, the last after %s. A new entry: bound, with its condition, after %s.\n",
		s.perNamespace(), seconds(r.namespaceFirst), seconds(r.namespace), seconds(r.entry))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }
