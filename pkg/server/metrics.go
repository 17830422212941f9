package server

import (
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/server/audit"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

// The metrics, all of them here. Label values come from fixed sets: reason codes,
// regions of the partition, names of mappers.
const namespace = "iam_authenticator"

// Metrics is what the server counts.
type Metrics struct {
	logins       *prometheus.CounterVec
	loginSeconds *prometheus.HistogramVec
	badRequests  *prometheus.CounterVec
	stsCalls     *prometheus.CounterVec
	stsSeconds   *prometheus.HistogramVec
	stsProbes    *prometheus.CounterVec
	verified     *prometheus.CounterVec
	breakGlass   prometheus.Counter
	inFlight     prometheus.Gauge
	nodes        *nodeMetrics
	registry     *prometheus.Registry

	// byReason has the series of every reason, looked up once.
	byReason map[reason.Code]loginSeries
	bySource map[token.Source]prometheus.Counter
}

// loginSeries are the series that a login for one reason counts in.
type loginSeries struct {
	count   prometheus.Counter
	seconds prometheus.Observer
}

// MetricsOptions says what else is shown.
type MetricsOptions struct {
	Version, Revision string // of this program
	// Mappers returns those in use, whose state is shown.
	Mappers           func() []mapper.Mapper
	CertificateExpiry func() time.Time
}

// seconds covers what a login can take, from a lookup to the deadline.
var seconds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// NewMetrics returns the metrics in a registry of their own, with those of the Go
// runtime and of the process.
func NewMetrics(o MetricsOptions) *Metrics {
	m := &Metrics{
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "logins_total",
			Help: "Logins by outcome (granted, rejected, denied, unavailable) and reason code.",
		}, []string{"outcome", "reason"}),
		loginSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "login_duration_seconds", Buckets: seconds,
			Help: "Time from a TokenReview to its decision, by outcome.",
		}, []string{"outcome"}),
		badRequests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "bad_requests_total",
			Help: "Requests that were no TokenReviews, by HTTP status.",
		}, []string{"status"}),
		stsCalls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "sts_calls_total",
			Help: "Calls to STS by region of the endpoint and reason code; Granted means that STS named the caller.",
		}, []string{"region", "reason"}),
		stsSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "sts_call_duration_seconds", Buckets: seconds,
			Help: "Time of a call to STS, by region of the endpoint.",
		}, []string{"region"}),
		stsProbes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "sts_probes_total",
			Help: "Requests of our own to see how an STS endpoint does, by its region and reason code; it does well if it refuses.",
		}, []string{"region", "reason"}),
		verified: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "verifications_total",
			Help: "Tokens that STS vouched for or refused, by where that is known from: sts (asked now), shared (with another request), cache, stale.",
		}, []string{"source"}),
		breakGlass: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "break_glass_logins_total",
			Help: "Logins of bootstrap administrators, who get in whatever the mappings say.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Name: "logins_in_flight",
			Help: "Logins that are being decided.",
		}),
		nodes:    newNodeMetrics(),
		registry: prometheus.NewRegistry(),
		byReason: map[reason.Code]loginSeries{},
		bySource: map[token.Source]prometheus.Counter{},
	}
	// Every reason has a series from the start, so that the first denial is an increase.
	for _, code := range reason.Codes() {
		outcome := code.Outcome().String()
		m.byReason[code] = loginSeries{
			count:   m.logins.WithLabelValues(outcome, string(code)),
			seconds: m.loginSeconds.WithLabelValues(outcome),
		}
	}
	for _, source := range token.Sources() {
		m.bySource[source] = m.verified.WithLabelValues(string(source))
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info",
		Help: "Always 1, labelled with the version of this program and of Go.",
	}, []string{"version", "revision", "go_version"})
	build.WithLabelValues(o.Version, o.Revision, runtime.Version()).Set(1)

	m.registry.MustRegister(m.logins, m.loginSeconds, m.badRequests, m.stsCalls, m.stsSeconds, m.stsProbes, m.verified, m.breakGlass, m.inFlight, build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(m.nodes.collectors()...)
	if o.Mappers != nil {
		m.registry.MustRegister(newMapperCollector(o.Mappers))
	}
	if o.CertificateExpiry != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Name: "certificate_expiry_timestamp_seconds",
			Help: "When the serving certificate ends, in seconds since 1970.",
		}, func() float64 { return float64(o.CertificateExpiry().Unix()) }))
	}
	return m
}

// Gatherer returns what /metrics shows.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// STSCall counts a call to STS. It is the Observe of a token.Verifier.
func (m *Metrics) STSCall(c token.Call) {
	if c.Probe {
		m.stsProbes.WithLabelValues(c.Region, string(c.Reason)).Inc()
		return
	}
	m.stsCalls.WithLabelValues(c.Region, string(c.Reason)).Inc()
	m.stsSeconds.WithLabelValues(c.Region).Observe(c.Duration.Seconds())
}

// ShowAudit shows the counts of an audit log.
func (m *Metrics) ShowAudit(stats func() audit.Stats) {
	counter := func(name, help string, value func(audit.Stats) uint64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help},
			func() float64 { return float64(value(stats())) }))
	}
	counter("audit_records_total", "Audit records written.", func(s audit.Stats) uint64 { return s.Records })
	counter("audit_errors_total", "Audit records that could not be written.", func(s audit.Stats) uint64 { return s.Errors })
}

func (m *Metrics) login(code reason.Code, took time.Duration) {
	series, ok := m.byReason[code]
	if !ok { // the list of reasons is closed
		series = m.byReason[reason.Internal]
	}
	series.count.Inc()
	series.seconds.Observe(took.Seconds())
}

// verification counts a token that STS had a part in.
func (m *Metrics) verification(source token.Source) {
	if counter, ok := m.bySource[source]; ok {
		counter.Inc()
	}
}

func (m *Metrics) badRequest(status int) {
	m.badRequests.WithLabelValues(strconv.Itoa(status)).Inc()
}

// mapperCollector shows the state of the mappers at the time of a scrape.
type mapperCollector struct {
	mappers                                  func() []mapper.Mapper
	ready, upToDate, entries, problems, load *prometheus.Desc
}

func newMapperCollector(mappers func() []mapper.Mapper) *mapperCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_mapper_"+name, help, append([]string{"mapper"}, labels...), nil)
	}
	return &mapperCollector{
		mappers:  mappers,
		ready:    desc("ready", "1 once the mapper has read its source, else 0."),
		upToDate: desc("up_to_date", "1 if all of what the source says now is in force, 0 if the last good state is."),
		entries:  desc("entries", "Mappings in force."),
		problems: desc("problems", "Entries that were skipped, or are doubtful (warning).", "severity"),
		load:     desc("last_load_timestamp_seconds", "When the mappings in force were read, in seconds since 1970; 0 for never."),
	}
}

func (c *mapperCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.ready, c.upToDate, c.entries, c.problems, c.load} {
		ch <- desc
	}
}

func (c *mapperCollector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.mappers() {
		name, status := m.Name(), m.Status()
		gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, append([]string{name}, labels...)...)
		}
		gauge(c.ready, boolean(status.Ready() == nil))
		gauge(c.upToDate, boolean(status.Err == nil))
		gauge(c.entries, float64(status.Entries))
		bySeverity := map[mapper.Severity]int{}
		for _, p := range status.Problems {
			bySeverity[p.Severity]++
		}
		gauge(c.problems, float64(bySeverity[mapper.Skipped]), "skipped")
		gauge(c.problems, float64(bySeverity[mapper.Warning]), "warning")
		loaded := 0.0
		if !status.Loaded.IsZero() {
			loaded = float64(status.Loaded.Unix())
		}
		gauge(c.load, loaded)
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
