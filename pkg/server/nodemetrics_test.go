package server

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/iam-authenticator/authenticator/pkg/node"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

func TestMetricsOfNodes(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	m.ShowNodes(func() node.Stats {
		return node.Stats{Instances: 5, Refused: 6, Waiting: 7, Queued: 8, Lookups: map[node.Source]uint64{node.FromMemory: 9}}
	})
	m.EC2Call(node.Call{Operation: node.DescribeInstances, Instances: 100, Reason: reason.Granted, Duration: 50 * time.Millisecond})
	m.EC2Call(node.Call{Operation: node.DescribeInstances, Instances: 1, Reason: reason.EC2Throttled})
	m.EC2Call(node.Call{Operation: node.GetInstanceProfile, Reason: reason.Granted})
	w := httptest.NewRecorder()
	promhttp.HandlerFor(m.Gatherer(), promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body := w.Body.String()
	for _, want := range []string{
		`aws_iam_authenticator_ec2_describe_instances_calls_total 2`,
		`iam_authenticator_ec2_calls_total{operation="DescribeInstances",reason="EC2Throttled"} 1`,
		`iam_authenticator_ec2_calls_total{operation="GetInstanceProfile",reason="Granted"} 1`,
		`iam_authenticator_ec2_call_instances_sum 101`,
		`iam_authenticator_ec2_call_instances_count 2`,
		`iam_authenticator_ec2_call_duration_seconds_count{operation="DescribeInstances"} 2`,
		`iam_authenticator_node_instances{kind="known"} 5`,
		`iam_authenticator_node_instances{kind="unknown"} 6`,
		`iam_authenticator_node_waiting_logins 7`,
		`iam_authenticator_ec2_queued_instances 8`,
		`iam_authenticator_node_lookups_total{source="memory"} 9`,
		`iam_authenticator_node_lookups_total{source="stale"} 0`,
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	check(t, err)
	for line := range strings.Lines(body) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok && strings.Contains(name, "iam_") && !strings.Contains(string(doc), "`"+strings.Fields(name)[0]+"`") {
			t.Errorf("docs/operations.md doesn't explain %s", name)
		}
	}
}
