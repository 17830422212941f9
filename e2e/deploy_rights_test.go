package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-authenticator/authenticator/e2e/bed"
	"github.com/iam-authenticator/authenticator/internal/controller"
)

// TestServerRights: with exactly the rights of deploy/rbac.yaml the server reads each backend in the cluster, sets the
// condition of entries and writes events; without any one of them it says which.
func TestServerRights(t *testing.T) {
	// API servers that can't stream lists, as old ones, are why it needs the right to list.
	cluster, err := bed.Start(t.Context(), bed.Options{Flags: []string{"--feature-gates=WatchList=false"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	manifest, err := os.ReadFile("../deploy/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b := &rightsBed{Cluster: cluster, program: filepath.Join(buildAuthenticator(t), "authenticator"), dir: t.TempDir()}
	config, err := clientcmd.BuildConfigFromFlags("", cluster.AdminKubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if b.admin, err = client.New(config, client.Options{Scheme: controller.Scheme()}); err != nil {
		t.Fatal(err)
	}
	adminKubectl(t, cluster, "create", "-f", accessEntryCRD, "-f", "testdata/identitymappings.yaml", "-f", "../deploy/rbac.yaml")
	adminKubectl(t, cluster, "wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
	token := strings.TrimSpace(adminKubectl(t, cluster, "-n", "kube-system", "create", "token", "iam-authenticator"))
	b.kubeconfig = filepath.Join(b.dir, "kubeconfig")
	if err := os.WriteFile(b.kubeconfig, tokenKubeconfig(cluster.Server, cluster.CAFile, token), 0o600); err != nil {
		t.Fatal(err)
	}

	rights := rightsOf(t, manifest)
	if len(rights) != 8 {
		t.Errorf("%d rights, want list and watch of three kinds, patch of a status, create of events", len(rights))
	}
	all := b.start(t)
	b.change(t, "all")
	until(t, "with all rights", func() error {
		if out := b.get(t, "accessentry", "all", "-o=jsonpath={.status.conditions[?(@.type=='Accepted')].status}"); out != "True" {
			return fmt.Errorf("the condition Accepted is %q; the log:\n%s", out, b.log(t))
		}
		if out := b.get(t, "events", "-n=kube-system"); !strings.Contains(out, "aws-auth") {
			return fmt.Errorf("no event about aws-auth; the log:\n%s", b.log(t))
		}
		return nil
	})
	if out, err := exec.CommandContext(t.Context(), b.program, "ready", "--health-port", fmt.Sprint(b.port)).CombinedOutput(); err != nil {
		t.Errorf("not ready with all rights: %s", out)
	}
	end(all, syscall.SIGTERM)
	if log := b.log(t); strings.Contains(log, "is forbidden: User ") {
		t.Errorf("with all rights something is forbidden:\n%s", log)
	}

	for i, r := range rights {
		t.Run(r.String(), func(t *testing.T) {
			withdraw(t, b.admin, r)
			defer restore(t, b.admin, r)
			running := b.start(t)
			defer end(running, syscall.SIGKILL)
			b.change(t, fmt.Sprintf("without-%d", i))
			until(t, "named", func() error {
				if log := strings.ReplaceAll(b.log(t), `\`, ""); !strings.Contains(log, r.message()) {
					return fmt.Errorf("the log doesn't say %q:\n%s", r.message(), log)
				}
				return nil
			})
		})
	}
}

// rightsBed is a cluster and a server that has the rights of its ServiceAccount in it, and no more.
type rightsBed struct {
	*bed.Cluster
	admin                    client.Client
	program, kubeconfig, dir string
	port                     int
}

// start starts the server. It is killed when the test ends.
func (b *rightsBed) start(t *testing.T) *exec.Cmd {
	t.Helper()
	port, err := bed.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if b.port, err = bed.FreePort(); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(b.logFile(t))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(b.program, "server", "-i=demo", "-v=debug", "--backend-mode=EKSConfigMap,AccessEntry,CRD", "--kubeconfig="+b.kubeconfig,
		fmt.Sprintf("--port=%d", port), fmt.Sprintf("--health-port=%d", b.port),
		"--state-dir="+filepath.Join(b.dir, "state"), "--generate-kubeconfig="+filepath.Join(b.dir, "webhook"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(cmd, syscall.SIGKILL) })
	return cmd
}

func (b *rightsBed) logFile(t *testing.T) string { return filepath.Join(t.ArtifactDir(), "server.log") }

func (b *rightsBed) log(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(b.logFile(t))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (b *rightsBed) get(t *testing.T, args ...string) string {
	t.Helper()
	return adminKubectl(t, b.Cluster, append([]string{"get"}, args...)...)
}

// change gives the server something to say: an entry to accept, and a mistake in aws-auth.
func (b *rightsBed) change(t *testing.T, name string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "change.yaml")
	manifest := entryManifest(name, "{principalARN: 'arn:aws:iam::111122223333:role/"+name+"'}") + `---
apiVersion: v1
kind: ConfigMap
metadata: {name: aws-auth, namespace: kube-system}
data: {mapRoles: "- rolearn: ` + name + `"}
`
	if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	adminKubectl(t, b.Cluster, "apply", "-f", path)
}
