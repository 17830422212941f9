package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/e2e/bed"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/iam"
)

const (
	starts  = 5                // of the mapper
	updates = 50               // to be in force
	window  = 15 * time.Second // for what is measured over time
)

// scale is a cluster with entries in it.
type scale struct {
	cluster *bed.Cluster
	admin   *api
	mapper  *rest.Config // with the rights that an authenticator has
	entries int          // that were created
	edits   int          // that were made
}

// result is what was measured with one number of entries.
type result struct {
	entries, created int
	creating         time.Duration

	unreported, reported start // before and after every entry had its status

	writesPerSecond float64 // of status; 0 if there were too few to tell
	writingCPU      float64 // share of a core

	hit, miss testing.BenchmarkResult
	updates   []time.Duration
	idleCPU   float64 // share of a core

	restart          time.Duration // of the API server, until it says that it is ready
	answered, resync time.Duration // of an update sent then: until the answer, until it was in force
}

// start is what one or several starts of the mapper took.
type start struct {
	times, cpu []time.Duration
	heap, peak []int64 // bytes more than before: when ready, after a collection; and at most until then
}

func newScale(ctx context.Context, cluster *bed.Cluster) (*scale, error) {
	for _, args := range []string{
		"create -f ../deploy/crd/iam-authenticator.dev_accessentries.yaml",
		"wait --for=condition=Established --timeout=30s crd/accessentries.iam-authenticator.dev",
		"create -f ../deploy/rbac.yaml",
	} {
		if _, err := cluster.Kubectl(ctx, strings.Fields(args)...); err != nil {
			return nil, err
		}
	}
	token, err := cluster.Kubectl(ctx, "-n", "kube-system", "create", "token", "iam-authenticator", "--duration=24h")
	if err != nil {
		return nil, err
	}
	admin, err := newAPI(cluster.AdminKubeconfig)
	return &scale{cluster: cluster, admin: admin, mapper: &rest.Config{
		Host:            cluster.Server,
		BearerToken:     strings.TrimSpace(token),
		TLSClientConfig: rest.TLSClientConfig{CAFile: cluster.CAFile},
	}}, err
}

func (s *scale) measure(ctx context.Context, size int) (result, error) {
	r := result{entries: size, created: size - s.entries}
	began := time.Now()
	if err := s.admin.create(ctx, s.entries, size); err != nil {
		return r, err
	}
	r.creating = time.Since(began)
	s.entries = size
	fmt.Fprintf(os.Stderr, "created %d entries in %s\n", r.created, r.creating.Round(time.Millisecond))
	if err := s.withoutStatus(ctx, &r); err != nil {
		return r, err
	}
	if err := s.writeStatus(ctx); err != nil {
		return r, err
	}
	return r, s.withStatus(ctx, &r)
}

// withoutStatus measures the first start of a mapper, after which it has the status of all entries to write.
func (s *scale) withoutStatus(ctx context.Context, r *result) (err error) {
	m, err := s.start(ctx, &r.unreported)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.stop()) }()
	const paced = 20 * window / time.Second // more than the mapper writes in the window
	if r.created < 2*int(paced) {
		return m.settle(ctx)
	}
	writes, cpu := m.requests.writes.Load(), cpuTime()
	if err := sleep(ctx, window); err != nil {
		return err
	}
	r.writesPerSecond = float64(m.requests.writes.Load()-writes) / window.Seconds()
	r.writingCPU = (cpuTime() - cpu).Seconds() / window.Seconds()
	return nil
}

// writeStatus writes the status that the mapper would write, in a fraction of the time that it takes.
func (s *scale) writeStatus(ctx context.Context) error {
	all, err := s.admin.list(ctx)
	if err != nil {
		return err
	}
	written := slices.IndexFunc(all, func(e v1alpha1.AccessEntry) bool { return len(e.Status.Conditions) > 0 })
	if written < 0 {
		return errors.New("the mapper has written no status")
	}
	condition := all[written].Status.Conditions[0]
	all = slices.DeleteFunc(all, func(e v1alpha1.AccessEntry) bool { return len(e.Status.Conditions) > 0 })
	return inParallel(ctx, "wrote the status of", 0, len(all), func(ctx context.Context, i int) error {
		e := all[i]
		principal, err := iam.ParsePrincipal(e.Spec.PrincipalARN)
		if err != nil {
			return err
		}
		c := condition
		c.ObservedGeneration = e.Generation
		status := v1alpha1.AccessEntryStatus{Conditions: []metav1.Condition{c}, CanonicalARN: principal.Canonical()}
		return s.admin.send(ctx, http.MethodPatch, entriesPath+"/"+e.Name+"/status", contentMerge, map[string]any{"status": status}, nil)
	})
}

// withStatus measures a mapper that finds the status of all entries as it should be.
func (s *scale) withStatus(ctx context.Context, r *result) (err error) {
	for range starts - 1 {
		m, err := s.start(ctx, &r.reported)
		if err != nil {
			return err
		}
		if err := m.stop(); err != nil {
			return err
		}
	}
	m, err := s.start(ctx, &r.reported)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.stop()) }()
	if err := m.settle(ctx); err != nil {
		return err
	}
	if n := m.requests.writes.Load(); n > 0 {
		return fmt.Errorf("the mapper wrote the status of %d entries, which all had it", n)
	}

	fmt.Fprintln(os.Stderr, "measuring lookups, updates and idling")
	if err := s.lookUp(m, r); err != nil {
		return err
	}
	for i := range updates {
		_, inForce, err := s.update(ctx, m, i*s.entries/updates)
		if err != nil {
			return err
		}
		r.updates = append(r.updates, inForce)
	}
	if err := m.settle(ctx); err != nil {
		return err
	}
	cpu := cpuTime()
	if err := sleep(ctx, window); err != nil {
		return err
	}
	r.idleCPU = (cpuTime() - cpu).Seconds() / window.Seconds()

	began := time.Now()
	if err := s.cluster.Restart(ctx); err != nil {
		return err
	}
	r.restart = time.Since(began)
	r.answered, r.resync, err = s.update(ctx, m, 0)
	fmt.Fprintf(os.Stderr, "API server restarted in %s, an update answered %s later, in force %s later; lists %d, watches %d since the start\n",
		r.restart.Round(time.Millisecond), r.answered.Round(time.Millisecond), r.resync.Round(time.Millisecond),
		m.requests.lists.Load(), m.requests.watches.Load())
	return err
}

// start starts a mapper, waits until it is ready and adds what that took to the others.
func (s *scale) start(ctx context.Context, to *start) (m *runningMapper, err error) {
	caller, err := newCaller(entryName(s.entries - 1))
	if err != nil {
		return nil, err
	}
	before := heapAfterGC()
	peak := watchHeap()
	began, cpu := time.Now(), cpuTime()
	m, err = startMapper(ctx, s.mapper)
	if err != nil {
		peak()
		return nil, err
	}
	err = m.ready(ctx, caller)
	to.times = append(to.times, time.Since(began))
	to.cpu = append(to.cpu, cpuTime()-cpu)
	to.peak = append(to.peak, peak()-before)
	if err != nil {
		return nil, errors.Join(err, m.stop())
	}
	to.heap = append(to.heap, heapAfterGC()-before)
	fmt.Fprintf(os.Stderr, "ready after %s, lists %d, watches %d\n", to.times[len(to.times)-1].Round(time.Millisecond), m.requests.lists.Load(), m.requests.watches.Load())
	if n := m.Status().Entries; n != s.entries {
		return nil, errors.Join(fmt.Errorf("%d entries in force, want all %d", n, s.entries), m.stop())
	}
	return m, nil
}

// settle waits until the mapper has written what it had to.
func (m *runningMapper) settle(ctx context.Context) error {
	for last := int64(-1); last != m.requests.writes.Load(); {
		last = m.requests.writes.Load()
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// lookUp measures lookups of many callers: that of one login is in no cache of the CPU.
func (s *scale) lookUp(m *runningMapper, r *result) error {
	n := min(s.entries, 4096)
	var hits, misses []iam.Identity
	for i := range n {
		hit, err := newCaller(entryName(i * s.entries / n))
		if err != nil {
			return err
		}
		miss, err := newCaller(fmt.Sprintf("other-%06d", i))
		if err != nil {
			return err
		}
		hits, misses = append(hits, hit), append(misses, miss)
	}
	benchmark := func(callers []iam.Identity, found bool) testing.BenchmarkResult {
		runtime.GC()
		return testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := m.Lookup(callers[i%len(callers)]); (err == nil) != found {
					b.Fatalf("lookup: %v, want found %t", err, found)
				}
			}
		})
	}
	r.hit, r.miss = benchmark(hits, true), benchmark(misses, false)
	if r.hit.N == 0 || r.miss.N == 0 {
		return errors.New("a lookup found what it should not, or nothing")
	}
	return nil
}

// update changes an entry. It returns how long after the request was sent it was answered, and the change in
// force.
func (s *scale) update(ctx context.Context, m *runningMapper, i int) (answered, inForce time.Duration, err error) {
	caller, err := newCaller(entryName(i))
	if err != nil {
		return 0, 0, err
	}
	s.edits++
	username := fmt.Sprintf("edit-%d:{{SessionName}}", s.edits)
	renamed := make(chan error, 1)
	began := time.Now()
	go func() {
		err := s.admin.rename(ctx, i, username)
		answered = time.Since(began)
		renamed <- err
	}()
	err = m.named(ctx, caller, username)
	inForce = time.Since(began)
	return answered, inForce, errors.Join(err, <-renamed)
}

// sleep returns early, with an error, if the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cpuTime is what this process has used of CPUs so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails only for who is not there
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heapAfterGC() int64 {
	runtime.GC()
	runtime.GC() // of what pools kept through the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// watchHeap returns a function that ends the watch and returns the most that the heap had, with its garbage.
func watchHeap() func() int64 {
	end, most := make(chan struct{}), make(chan int64)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var high int64
		for {
			metrics.Read(sample)
			high = max(high, int64(sample[0].Value.Uint64()))
			select {
			case <-tick.C:
			case <-end:
				most <- high
				return
			}
		}
	}()
	return func() int64 {
		close(end)
		return <-most
	}
}
