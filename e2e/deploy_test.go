package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/e2e/bed"
)

// TestManifests has the real API server check every variant of deploy/, to the last field: nothing is stored.
func TestManifests(t *testing.T) {
	cluster, err := bed.Start(t.Context(), bed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	// What controllers would make, and a namespace, which a dry run makes for nobody.
	adminKubectl(t, cluster, "create", "serviceaccount", "-n=kube-system", "default")
	adminKubectl(t, cluster, "create", "namespace", "iam")
	adminKubectl(t, cluster, "create", "serviceaccount", "-n=iam", "default")

	examples, err := filepath.Glob("../deploy/chart/examples/*.yaml")
	if err != nil || len(examples) < 6 {
		t.Fatalf("%d examples of values (%v), want 6 and more", len(examples), err)
	}
	for _, values := range examples {
		t.Run("chart "+filepath.Base(values), func(t *testing.T) {
			helm(t, "lint", "--strict", "../deploy/chart", "--values", values, "--kube-version=v1.36.0")
			checkManifests(t, cluster, template(t, "kube-system", values))
		})
	}
	t.Run("chart in another namespace", func(t *testing.T) {
		rendered := template(t, "iam", "../deploy/chart/examples/access-entries.yaml")
		checkManifests(t, cluster, rendered)
		if left := strings.Count(rendered, "\n  name: iam-authenticator\n  namespace: kube-system\nrules:"); left != 1 {
			t.Errorf("%d Roles of the server in kube-system, want that for aws-auth", left)
		}
	})
	for _, dir := range []string{"server", "controller", "policies", "example"} {
		t.Run("kustomize "+dir, func(t *testing.T) {
			checkManifests(t, cluster, adminKubectl(t, cluster, "kustomize", "../deploy/kustomize/"+dir))
		})
	}
	for _, path := range []string{
		"rbac.yaml", "policies.yaml", "crd/iam-authenticator.dev_accessentries.yaml",
		"controller/rbac.yaml", "controller/deployment.yaml", "controller/ceiling.yaml",
		"admission/policy.yaml", "static-pod/authenticator.yaml", "kind/authenticator.yaml",
		"monitoring/prometheusrule.yaml",
	} {
		t.Run(path, func(t *testing.T) {
			manifest, err := os.ReadFile("../deploy/" + path)
			if err != nil {
				t.Fatal(err)
			}
			checkManifests(t, cluster, string(manifest))
		})
	}
	t.Run("the controller keeps to the restricted Pod Security Standard", func(t *testing.T) {
		adminKubectl(t, cluster, "create", "serviceaccount", "-n=iam", "iam-authenticator-controller")
		adminKubectl(t, cluster, "label", "namespace", "iam", "pod-security.kubernetes.io/enforce=restricted")
		pod := podOf(t, helm(t, "template", "demo", "../deploy/chart", "--namespace=iam", "--kube-version=v1.36.0",
			"--set=config.clusterID=demo,controller.enabled=true", "--show-only=templates/controller/deployment.yaml"))
		if err := dryRun(t, cluster, pod); err != nil {
			t.Error(err)
		}
		if err := dryRun(t, cluster, strings.Replace(pod, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", 1)); err == nil {
			t.Error("a pod that doesn't keep to it is accepted, so this shows nothing")
		}
	})
	t.Run("a mistake is found", func(t *testing.T) {
		manifest, err := os.ReadFile("../deploy/static-pod/authenticator.yaml")
		if err != nil {
			t.Fatal(err)
		}
		mistaken := strings.Replace(string(manifest), "runAsNonRoot:", "runAsNoRoot:", 1)
		if err := dryRun(t, cluster, mistaken); err == nil || !strings.Contains(err.Error(), `unknown field "spec.securityContext.runAsNoRoot"`) {
			t.Errorf("error %v, want one that names the unknown field", err)
		}
	})
}

// TestChartRefuses shows that mistakes in values don't get as far as the cluster.
func TestChartRefuses(t *testing.T) {
	const id = "config.clusterID=demo"
	for _, c := range []struct{ name, set, want string }{
		{"no cluster ID", "image.tag=x", "config.clusterID is required"},
		{"an unknown value", id + ",servr.kind=Pod", "servr"},
		{"an unknown key of the configuration", id + ",config.server.prot=1", "prot"},
		{"a wrong type", id + ",config.server.port=abc", "/config/server/port"},
		{"an unknown kind", id + ",workload.kind=Deployment", "/workload/kind"},
		{"a server that is root", id + ",workload.runAsUser=0", "/workload/runAsUser"},
		{"an unknown key of the ceiling", id + ",ceiling.data.maxPolicies=x", "maxPolicies"},
		{"an unknown backend", id + ",rbac.backends={Files}", "/rbac/backends/0"},
		{"a webhook for checks that nobody serves", id + ",admission.webhook.enabled=true,admission.webhook.caBundle=QQ==", "config.server.admissionWebhook: true"},
		{"a webhook without a CA", id + ",admission.webhook.enabled=true,config.server.admissionWebhook=true", "caBundle is required"},
		{"metrics on loopback", id + ",monitoring.podMonitor.enabled=true", "healthAddress that Prometheus reaches"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := helmCommand(t, "template", "demo", "../deploy/chart", "--kube-version=v1.36.0", "--set", c.set).CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("it ended with %v, saying %s; want %q", err, out, c.want)
			}
		})
	}
}

// TestChartGrantsNoMoreThanBackendsNeed: a right for a backend that isn't used is one too many.
func TestChartGrantsNoMoreThanBackendsNeed(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"image.tag=x", ""},
		{"config.server.backendMode={MountedFile,DynamicFile}", ""},
		{"config.server.backendMode={EKSConfigMap}", "configmaps events"},
		{"config.server.backendMode={ConfigMap}", "configmaps events"},
		{"config.server.authenticationMode=CONFIG_MAP", "configmaps events"},
		{"config.server.authenticationMode=API", "accessentries accessentries/status"},
		{"config.server.authenticationMode=API_AND_CONFIG_MAP", "accessentries accessentries/status configmaps events"},
		{"config.server.backendMode={CRD,MountedFile}", "iamidentitymappings"},
		{"rbac.backends={CRD}", "iamidentitymappings"},
		{"config.server.authenticationMode=API,rbac.create=false", ""},
	} {
		t.Run(c.set, func(t *testing.T) {
			rendered := helm(t, "template", "demo", "../deploy/chart", "--kube-version=v1.36.0",
				"--show-only=templates/rbac.yaml", "--set", "config.clusterID=demo", "--set", c.set)
			var resources []string
			for _, r := range rightsOf(t, []byte(rendered)) {
				resources = append(resources, r.resource)
			}
			slices.Sort(resources)
			if got := strings.Join(slices.Compact(resources), " "); got != c.want {
				t.Errorf("rights on %q, want %q", got, c.want)
			}
		})
	}
}

// podOf returns a pod as a controller would make it of the Deployment in manifests.
func podOf(t *testing.T, manifests string) string {
	t.Helper()
	for document := range strings.SplitSeq(manifests, "\n---\n") {
		if !strings.Contains(document, "\nkind: Deployment\n") {
			continue
		}
		var deployment appsv1.Deployment
		if err := yaml.UnmarshalStrict([]byte(document), &deployment); err != nil {
			t.Fatal(err)
		}
		template := deployment.Spec.Template
		template.Name, template.Namespace = deployment.Name, deployment.Namespace
		pod, err := yaml.Marshal(corev1.Pod{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: template.ObjectMeta, Spec: template.Spec,
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(pod)
	}
	t.Fatal("no Deployment")
	return ""
}

// template renders the chart.
func template(t *testing.T, namespace, values string) string {
	t.Helper()
	return helm(t, "template", "iam-authenticator", "../deploy/chart", "--namespace", namespace, "--values", values, "--kube-version=v1.36.0")
}

func helm(t *testing.T, args ...string) string {
	t.Helper()
	cmd := helmCommand(t, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("helm %s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

func helmCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), "go", append([]string{"tool", "-modfile=../.ci/helm.mod", "helm"}, args...)...)
}

// checkManifests has the API server check objects, and the types of the Prometheus operator its own, which the
// API server doesn't know.
func checkManifests(t *testing.T, cluster *bed.Cluster, manifests string) {
	t.Helper()
	var ours []string
	for document := range strings.SplitSeq("\n"+manifests, "\n---\n") {
		var object any
		switch {
		case strings.Contains(document, "\nkind: PodMonitor\n"):
			object = &monitoringv1.PodMonitor{}
		case strings.Contains(document, "\nkind: PrometheusRule\n"):
			object = &monitoringv1.PrometheusRule{}
		default:
			ours = append(ours, document)
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			t.Errorf("%v:\n%s", err, document)
		}
	}
	if strings.TrimSpace(strings.Join(ours, "")) == "" {
		return
	}
	if err := dryRun(t, cluster, strings.Join(ours, "\n---\n")); err != nil {
		t.Error(err)
	}
}

func dryRun(t *testing.T, cluster *bed.Cluster, manifests string) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manifests.yaml")
	if err := os.WriteFile(path, []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := cluster.Kubectl(t.Context(), "apply", "--dry-run=server", "--validate=strict", "-f", path)
	if err == nil && !strings.Contains(out, "(server dry run)") {
		err = fmt.Errorf("nothing was checked: %s", out)
	}
	return err
}
