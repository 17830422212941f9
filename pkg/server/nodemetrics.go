package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/iam-authenticator/authenticator/pkg/node"
)

// nodeMetrics is what is counted of calls to EC2 and IAM.
type nodeMetrics struct {
	calls     *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	instances prometheus.Histogram
	describe  prometheus.Counter
}

func newNodeMetrics() *nodeMetrics {
	return &nodeMetrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "ec2_calls_total",
			Help: "Calls to EC2 and IAM about nodes, by operation and reason code; Granted means that there was an answer.",
		}, []string{"operation", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "ec2_call_duration_seconds", Buckets: seconds,
			Help: "Time of a call to EC2 or IAM, by operation.",
		}, []string{"operation"}),
		instances: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "ec2_call_instances", Buckets: []float64{1, 2, 5, 10, 20, 50, 100},
			Help: "Instances that one DescribeInstances call asks for.",
		}),
		describe: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "aws_iam_authenticator", Name: "ec2_describe_instances_calls_total", // as there
			Help: "Calls of DescribeInstances.",
		}),
	}
}

func (m *nodeMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.calls, m.seconds, m.instances, m.describe}
}

// EC2Call counts a call to EC2 or IAM. It is the Observe of a node.Resolver.
func (m *Metrics) EC2Call(c node.Call) {
	m.nodes.calls.WithLabelValues(c.Operation, string(c.Reason)).Inc()
	m.nodes.seconds.WithLabelValues(c.Operation).Observe(c.Duration.Seconds())
	if c.Operation == node.DescribeInstances {
		m.nodes.describe.Inc()
		m.nodes.instances.Observe(float64(c.Instances))
	}
}

// ShowNodes has /metrics show the state of what knows nodes. It must be called once at
// most.
func (m *Metrics) ShowNodes(stats func() node.Stats) {
	m.registry.MustRegister(newNodeCollector(stats))
}

// nodeCollector shows the state of a node.Resolver at the time of a scrape.
type nodeCollector struct {
	stats                                func() node.Stats
	lookups, remembered, waiting, queued *prometheus.Desc
}

func newNodeCollector(stats func() node.Stats) *nodeCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	}
	return &nodeCollector{
		stats:      stats,
		lookups:    desc("node_lookups_total", "Questions about instances and instance profiles, by where the answer came from: memory, aws, stale, none.", "source"),
		remembered: desc("node_instances", "Instances that are remembered: known, or unknown to EC2.", "kind"),
		waiting:    desc("node_waiting_logins", "Logins that wait for EC2 or IAM."),
		queued:     desc("ec2_queued_instances", "Instances that wait for a call to EC2."),
	}
}

// Describe sends what Collect may send.
func (c *nodeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.lookups, c.remembered, c.waiting, c.queued} {
		ch <- desc
	}
}

// Collect sends the state of now.
func (c *nodeCollector) Collect(ch chan<- prometheus.Metric) {
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
	}
	s := c.stats()
	for _, source := range node.Sources() {
		send(c.lookups, prometheus.CounterValue, float64(s.Lookups[source]), string(source))
	}
	send(c.remembered, prometheus.GaugeValue, float64(s.Instances), "known")
	send(c.remembered, prometheus.GaugeValue, float64(s.Refused), "unknown")
	send(c.waiting, prometheus.GaugeValue, float64(s.Waiting))
	send(c.queued, prometheus.GaugeValue, float64(s.Queued))
}
