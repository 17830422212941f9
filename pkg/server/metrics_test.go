package server

import (
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// loginsByReason returns the value of each series of logins_total, by "outcome reason".
func (m *Metrics) loginsByReason(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := m.Gatherer().Gather()
	check(t, err)
	values := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "iam_authenticator_logins_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			values[metric.GetLabel()[0].GetValue()+" "+metric.GetLabel()[1].GetValue()] = metric.GetCounter().GetValue()
		}
	}
	return values
}

func TestMetricsCountEachReason(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	for i, code := range reason.Codes() {
		for range i + 1 {
			m.login(code, time.Millisecond)
		}
	}
	got := m.loginsByReason(t)
	for i, code := range reason.Codes() {
		if n := got[code.Outcome().String()+" "+string(code)]; n != float64(i+1) {
			t.Errorf("%s: %v logins, want %d", code, n, i+1)
		}
	}
}

func TestMetricsMakeNoSeriesForAReasonThatIsNotListed(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	m.login("Whatever", time.Millisecond)
	got := m.loginsByReason(t)
	if n := got["unavailable Internal"]; n != 1 || len(got) != len(reason.Codes()) {
		t.Errorf("%v counted as Internal in %d series", n, len(got))
	}
}
