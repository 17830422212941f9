package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/iam-authenticator/authenticator/pkg/token"
)

// ShowVerifier has /metrics show the state of the verifier of tokens. It must be called
// once at most.
func (m *Metrics) ShowVerifier(stats func() token.Stats) {
	m.registry.MustRegister(newVerifierCollector(stats))
}

// verifierCollector shows the state of a token.Verifier at the time of a scrape. Its
// label values come from fixed sets: endpoints, bounds of calls.
type verifierCollector struct {
	stats                                     func() token.Stats
	entries, bytes, evicted                   *prometheus.Desc
	waiting, inFlight, queued, shed           *prometheus.Desc
	endpointUp, endpointSince, endpointAnswer *prometheus.Desc
	endpointShare                             *prometheus.Desc
}

func newVerifierCollector(stats func() token.Stats) *verifierCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	}
	return &verifierCollector{
		stats:          stats,
		entries:        desc("token_cache_entries", "Tokens of which it is remembered what STS said: accepted, unmapped or refused.", "kind"),
		bytes:          desc("token_cache_bytes", "Memory that they take, about.", "kind"),
		evicted:        desc("token_cache_evicted_total", "Tokens that were forgotten early for want of room.", "kind"),
		waiting:        desc("sts_waiting_logins", "Logins that wait for STS."),
		inFlight:       desc("sts_calls_in_flight", "Calls to STS under way."),
		queued:         desc("sts_calls_queued", "Calls to STS that wait for their turn."),
		shed:           desc("sts_calls_shed_total", "Calls to STS that were not made, by the bound that they met.", "cause"),
		endpointUp:     desc("sts_endpoint_up", "1 if the STS endpoint answers, 0 if it is down or has not answered so far.", "endpoint"),
		endpointSince:  desc("sts_endpoint_state_timestamp_seconds", "Since when, in seconds since 1970.", "endpoint"),
		endpointShare:  desc("sts_endpoint_rate_share", "What part of the allowed rate of calls the STS endpoint gets: 1, or less after it has throttled.", "endpoint"),
		endpointAnswer: desc("sts_endpoint_last_answer_timestamp_seconds", "When the STS endpoint last answered, in seconds since 1970; 0 for never.", "endpoint"),
	}
}

// Describe sends what Collect may send.
func (c *verifierCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		c.entries, c.bytes, c.evicted, c.waiting, c.inFlight, c.queued, c.shed, c.endpointUp, c.endpointSince, c.endpointAnswer, c.endpointShare,
	} {
		ch <- desc
	}
}

// Collect sends the state of now.
func (c *verifierCollector) Collect(ch chan<- prometheus.Metric) {
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
	}
	s := c.stats()
	for kind, cache := range map[string]token.CacheStats{"accepted": s.Accepted, "unmapped": s.Others, "refused": s.Refused} {
		send(c.entries, prometheus.GaugeValue, float64(cache.Entries), kind)
		send(c.bytes, prometheus.GaugeValue, float64(cache.Bytes), kind)
		send(c.evicted, prometheus.CounterValue, float64(cache.Evicted), kind)
	}
	send(c.waiting, prometheus.GaugeValue, float64(s.Waiting))
	send(c.inFlight, prometheus.GaugeValue, float64(s.InFlight))
	send(c.queued, prometheus.GaugeValue, float64(s.Queued))
	for cause, n := range s.Shed {
		send(c.shed, prometheus.CounterValue, float64(n), cause)
	}
	for _, e := range s.Endpoints {
		send(c.endpointUp, prometheus.GaugeValue, boolean(e.State == "up"), e.Host)
		send(c.endpointSince, prometheus.GaugeValue, float64(e.Since.Unix()), e.Host)
		send(c.endpointShare, prometheus.GaugeValue, e.Share, e.Host)
		answered := 0.0
		if !e.LastAnswer.IsZero() {
			answered = float64(e.LastAnswer.Unix())
		}
		send(c.endpointAnswer, prometheus.GaugeValue, answered, e.Host)
	}
}
