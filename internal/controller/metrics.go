package controller

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// metrics are the controller's own. Those of controller-runtime are in a registry of
// its own, which is global, and served beside them.
type metrics struct {
	registry *prometheus.Registry
	writes   *prometheus.CounterVec

	mu      sync.Mutex
	entries map[types.UID]tally
}

// tally is what there is of an entry with policies.
type tally struct {
	reason   string // of its condition
	bindings int
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "iam_authenticator_controller_writes_total",
			Help: "Requests to the API server that write, by verb and kind.",
		}, []string{"verb", "kind"}),
		entries: map[types.UID]tally{},
	}
	m.registry.MustRegister(m.writes, m)
	return m
}

// wrote counts a request that writes.
func (m *metrics) wrote(verb, kind string) { m.writes.WithLabelValues(verb, kind).Inc() }

// set notes what there is of an entry; the zero tally if it has no policies.
func (m *metrics) set(uid types.UID, t tally) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t == (tally{}) {
		delete(m.entries, uid)
		return
	}
	m.entries[uid] = t
}

var (
	entriesMetric = prometheus.NewDesc("iam_authenticator_controller_entries",
		"Access entries with policies, by the reason of their condition PoliciesApplied.", []string{"reason"}, nil)
	bindingsMetric = prometheus.NewDesc("iam_authenticator_controller_bindings",
		"Role bindings and cluster role bindings of access entries.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	to <- entriesMetric
	to <- bindingsMetric
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	byReason, bindings := map[string]int{}, 0
	for _, reason := range Reasons() {
		byReason[reason] = 0
	}
	m.mu.Lock()
	for _, t := range m.entries {
		byReason[t.reason]++
		bindings += t.bindings
	}
	m.mu.Unlock()
	for reason, n := range byReason {
		to <- prometheus.MustNewConstMetric(entriesMetric, prometheus.GaugeValue, float64(n), reason)
	}
	to <- prometheus.MustNewConstMetric(bindingsMetric, prometheus.GaugeValue, float64(bindings))
}
