// Command deploy renders what deploy/ has for those who don't use Helm from the chart,
// and writes what the chart takes from elsewhere: the schema of its values, the table
// of them, and files of deploy/.
//
//	go generate ./internal/deploy
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:generate go run . ../../deploy

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%d arguments, want the directory deploy", len(args))
	}
	dir := args[0]
	chart := filepath.Join(dir, "chart")
	for to, from := range files {
		data, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(chart, "files", to), data, 0o644); err != nil {
			return err
		}
	}
	if err := describeValues(chart); err != nil {
		return err
	}
	for _, m := range manifests {
		if err := m.write(dir); err != nil {
			return fmt.Errorf("%s: %w", m.path, err)
		}
	}
	return nil
}

// files are those of deploy/ that go into the chart as they are.
var files = map[string]string{
	"admission-policy.yaml":  "admission/policy.yaml",
	"admission-webhook.yaml": "admission/webhook.yaml",
	"ceiling.yaml":           "controller/ceiling.yaml",
	"crd.yaml":               "crd/iam-authenticator.dev_accessentries.yaml",
	"dashboard.json":         "monitoring/dashboard.json",
	"policies.yaml":          "policies.yaml",
	"rules.yaml":             "monitoring/rules.yaml",
}

// manifest is a file that is rendered from the chart.
type manifest struct {
	path, head string
	templates  []string
	set        []string
}

const allBackends = "rbac.backends={EKSConfigMap,AccessEntry,CRD}"

var manifests = []manifest{
	{
		path: "rbac.yaml",
		head: `What the server needs in the cluster for the backends EKSConfigMap, AccessEntry and CRD, and no more. The backends in
files need nothing. That a kind is not installed is asked of discovery, which everybody may (ClusterRole
system:discovery). Leave out the rules of backends that you don't use.`,
		templates: []string{"rbac.yaml"},
		set:       []string{allBackends},
	},
	{
		path: "controller/rbac.yaml",
		head: `What "authenticator controller" needs in the cluster, and no more: see docs/access-policies.md. It may bind the
ClusterRoles of deploy/policies.yaml to anybody, and no others; it may change no role. The policies that it must never
give are those whose names are not among resourceNames below.`,
		templates: []string{"controller/rbac.yaml"},
		set:       []string{"controller.enabled=true"},
	},
	{
		path: "controller/deployment.yaml",
		head: `Two controllers of access policies, of which one writes: docs/access-controller.md. Set the image to yours, and apply
deploy/crd, deploy/policies.yaml and deploy/controller/rbac.yaml first.`,
		templates: []string{"controller/deployment.yaml"},
		set:       []string{"controller.enabled=true"},
	},
	{
		path: "static-pod/authenticator.yaml",
		head: `The server as a static pod, for /etc/kubernetes/manifests of each control-plane node: docs/install.md. Its
configuration is /etc/aws-iam-authenticator/config.yaml on the node.`,
		templates: []string{"server.yaml"},
		set:       []string{"workload.kind=Pod"},
	},
	{
		path:      "kustomize/server/server.yaml",
		head:      `The server on all control-plane nodes. Replace its configuration in an overlay: deploy/kustomize/example.`,
		templates: []string{"server.yaml", "rbac.yaml"},
		set:       []string{allBackends},
	},
	{
		path:      "kustomize/controller/controller.yaml",
		head:      `The controller of access policies.`,
		templates: []string{"controller/rbac.yaml", "controller/deployment.yaml"},
		set:       []string{"controller.enabled=true"},
	},
	{
		path:      "kustomize/policies/policies.yaml",
		head:      `AccessEntry and the ClusterRoles of its access policies.`,
		templates: []string{"crd.yaml", "policies.yaml"},
	},
}

func (m manifest) write(dir string) error {
	args := []string{
		"tool", "-modfile=" + filepath.Join(dir, "../.ci/helm.mod"), "helm", "template", "iam-authenticator",
		filepath.Join(dir, "chart"), "--namespace=kube-system", "--kube-version=v1.36.0", "--set=config.clusterID=CHANGE-ME",
	}
	for _, t := range m.templates {
		args = append(args, "--show-only=templates/"+t)
	}
	for _, s := range m.set {
		args = append(args, "--set="+s)
	}
	cmd := exec.Command("go", args...) //nolint:noctx,gosec // it ends by itself, and the arguments are those above
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("helm: %w\n%s", err, &stderr)
	}
	var b strings.Builder
	for line := range strings.Lines(m.head + "\nGenerated from deploy/chart by go generate ./internal/deploy; don't edit.\n") {
		b.WriteString("# " + line)
	}
	b.WriteString(bare(string(out)))
	path := filepath.Join(dir, m.path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// bare takes away what only helps those who use Helm.
func bare(rendered string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimPrefix(rendered, "---\n")) {
		if !strings.HasPrefix(line, "# Source: ") && !strings.Contains(line, "checksum/config: ") &&
			!strings.Contains(line, "# Mappings are read again when they change; for all else") {
			b.WriteString(line)
		}
	}
	return strings.ReplaceAll(b.String(), "\n      annotations:\n    spec:", "\n    spec:")
}
