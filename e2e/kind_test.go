package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/e2e/bed"
	"github.com/iam-authenticator/authenticator/pkg/config"
)

// kindsOwn is what kind gives kubeadm of the API server before patches.
const kindsOwn = `apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.0
apiServer:
  certSANs: [localhost, 127.0.0.1]
  extraArgs:
  - {name: runtime-config, value: ""}
`

// clusterConfiguration is the part of kubeadm's that decides what the API server is started with.
type clusterConfiguration struct {
	APIServer struct {
		ExtraArgs    []struct{ Name, Value string }
		ExtraVolumes []struct {
			HostPath, MountPath string
			ReadOnly            bool
		}
	}
}

// TestClusterConfigurations holds the configurations of kind and kubeadm to the parsers of those, and the flags in them
// to those with which the API server of the stories runs.
func TestClusterConfigurations(t *testing.T) {
	bin, err := bed.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	kind := readKind(t)
	for _, c := range []struct{ name, configuration string }{
		{"kind", patched(t, kind.KubeadmConfigPatchesJSON6902, kind.Nodes[0].KubeadmConfigPatchesJSON6902)},
		{"kubeadm", read(t, "../deploy/kubeadm/cluster-configuration.yaml")},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kubeadm.yaml")
			if err := os.WriteFile(path, []byte(c.configuration), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "kubeadm"), "config", "validate", "--config", path).CombinedOutput(); err != nil {
				t.Errorf("kubeadm refuses it: %s\n%s", out, c.configuration)
			}
			var configuration clusterConfiguration
			if err := sigsyaml.Unmarshal([]byte(c.configuration), &configuration); err != nil {
				t.Fatal(err)
			}
			var kubeconfig string
			var flags []string
			for _, arg := range configuration.APIServer.ExtraArgs {
				if strings.HasPrefix(arg.Name, "authentication-") {
					flags = append(flags, "--"+arg.Name+"="+arg.Value)
				}
				if arg.Name == "authentication-token-webhook-config-file" {
					kubeconfig = arg.Value
				}
			}
			if want := bed.WebhookFlags(bed.Options{WebhookKubeconfig: kubeconfig, WebhookVersion: "v1"}); !slices.Equal(flags, want) {
				t.Errorf("flags %q, want those of the stories, %q", flags, want)
			}
			volumes := configuration.APIServer.ExtraVolumes
			if len(volumes) != 1 || volumes[0].MountPath != filepath.Dir(kubeconfig) || volumes[0].HostPath != volumes[0].MountPath || !volumes[0].ReadOnly {
				t.Errorf("volumes %v, want %s, read-only", volumes, filepath.Dir(kubeconfig))
			}
		})
	}

	t.Run("docs/install.md has the same", func(t *testing.T) {
		guide := read(t, "../docs/install.md")
		_, configuration, _ := strings.Cut(read(t, "../deploy/kubeadm/cluster-configuration.yaml"), "\n") // without its comment
		if !strings.Contains(guide, "```yaml\n"+configuration+"```\n") {
			t.Errorf("it doesn't have deploy/kubeadm/cluster-configuration.yaml:\n%s", configuration)
		}
		for _, flag := range bed.WebhookFlags(bed.Options{WebhookKubeconfig: config.Default().Server.GenerateKubeconfig, WebhookVersion: "v1"}) {
			if !strings.Contains(guide, "\n- "+strings.TrimPrefix(flag, "--")+"\n") {
				t.Errorf("k3s is not given %s", flag)
			}
		}
	})

	t.Run("kind mounts what up.sh makes", func(t *testing.T) {
		script := read(t, "../deploy/kind/up.sh")
		for _, m := range kind.Nodes[0].ExtraMounts {
			if !strings.Contains(script, m.HostPath) {
				t.Errorf("up.sh makes no %s", m.HostPath)
			}
			if !strings.Contains(read(t, "../deploy/kind/authenticator.yaml"), m.ContainerPath) && !strings.Contains(m.ContainerPath, "/etc/kubernetes/") {
				t.Errorf("the server has no %s", m.ContainerPath)
			}
		}
	})
}

// readKind reads kind's configuration as kind does: strictly.
func readKind(t *testing.T) *v1alpha4.Cluster {
	t.Helper()
	var cluster v1alpha4.Cluster
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(read(t, "../deploy/kind/cluster.yaml"))))
	decoder.KnownFields(true)
	if err := decoder.Decode(&cluster); err != nil {
		t.Fatal(err)
	}
	if cluster.APIVersion != "kind.x-k8s.io/v1alpha4" || cluster.Kind != "Cluster" || len(cluster.Nodes) != 1 {
		t.Fatalf("%s %s of %d nodes, want a Cluster of one", cluster.APIVersion, cluster.Kind, len(cluster.Nodes))
	}
	return &cluster
}

// patched does to kindsOwn what kind does.
func patched(t *testing.T, all ...[]v1alpha4.PatchJSON6902) string {
	t.Helper()
	document, err := sigsyaml.YAMLToJSON([]byte(kindsOwn))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range slices.Concat(all...) {
		if p.Group != "kubeadm.k8s.io" || p.Version != "v1beta4" || p.Kind != "ClusterConfiguration" {
			t.Fatalf("a patch of %s/%s %s, want one of kubeadm.k8s.io/v1beta4 ClusterConfiguration", p.Group, p.Version, p.Kind)
		}
		text, err := sigsyaml.YAMLToJSON([]byte(p.Patch))
		if err != nil {
			t.Fatal(err)
		}
		patch, err := jsonpatch.DecodePatch(text)
		if err != nil {
			t.Fatal(err)
		}
		if document, err = patch.Apply(document); err != nil {
			t.Fatal(err)
		}
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, document, "", "  "); err != nil {
		t.Fatal(err)
	}
	return indented.String()
}
