// Command monitoring writes what deploy/monitoring has for Grafana and for the
// Prometheus operator: the dashboard, and the rules of rules.yaml as an object.
//
//	go generate ./internal/monitoring
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

//go:generate go run . ../../deploy/monitoring

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%d arguments, want the directory of rules.yaml", len(args))
	}
	dir := args[0]
	rules, err := os.ReadFile(filepath.Join(dir, "rules.yaml"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "prometheusrule.yaml"), []byte(prometheusRule(string(rules))), 0o644); err != nil {
		return err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(dashboard()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "dashboard.json"), out.Bytes(), 0o644)
}

// prometheusRule puts a file of rules into an object of the Prometheus operator, as it
// stands: the spec of the one is the content of the other.
func prometheusRule(rules string) string {
	var b strings.Builder
	b.WriteString(`# Generated from rules.yaml by go generate ./internal/monitoring; don't edit.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: iam-authenticator
  namespace: kube-system
  labels:
    app.kubernetes.io/name: iam-authenticator
spec:
`)
	for line := range strings.Lines(rules) {
		if line != "\n" {
			b.WriteString("  ")
		}
		b.WriteString(line)
	}
	return b.String()
}
