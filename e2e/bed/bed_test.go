package bed_test

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/e2e/bed"
)

func start(t *testing.T, o bed.Options) *bed.Cluster {
	t.Helper()
	cluster, err := bed.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	return cluster
}

func kubectl(t *testing.T, c *bed.Cluster, args ...string) string {
	t.Helper()
	out, err := c.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDataSurvivesARestart(t *testing.T) {
	cluster := start(t, bed.Options{})
	if got := kubectl(t, cluster, "get", "--raw", "/readyz"); got != "ok" {
		t.Errorf("/readyz: got %q, want ok", got)
	}
	kubectl(t, cluster, "create", "namespace", "team-a")

	if err := cluster.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := kubectl(t, cluster, "get", "namespace", "team-a", "-o", "name"), "namespace/team-a\n"; got != want {
		t.Errorf("after the restart: got %q, want %q", got, want)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	cluster := start(t, bed.Options{})
	dir := filepath.Dir(cluster.Log)
	if got := running(t, dir); len(got) != 2 {
		t.Errorf("processes of a running cluster: got %q, want etcd and kube-apiserver", got)
	}

	cluster.Stop()
	if got := running(t, dir); len(got) != 0 {
		t.Errorf("processes of a stopped cluster: %q", got)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("directory of a stopped cluster: got %v, want it gone", err)
	}
}

// running lists the processes whose working directory is dir, zombies of this process included.
func running(t *testing.T, dir string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil || len(links) == 0 {
		t.Skip("needs /proc")
	}
	var found []string
	for _, link := range links {
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(link), "stat"))
		if err != nil {
			continue
		}
		zombie := strings.Contains(string(stat), fmt.Sprintf(") Z %d ", os.Getpid()))
		if cwd, _ := os.Readlink(link); cwd == dir || zombie {
			found = append(found, string(stat))
		}
	}
	return found
}

func TestUnknownFlagFailsAtOnceWithTheServersWords(t *testing.T) {
	cluster, err := bed.Start(t.Context(), bed.Options{Flags: []string{"--no-such-flag"}})
	if err == nil {
		cluster.Stop()
	}
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("got %v, want the API server's complaint about the flag", err)
	}
}

func TestStartsWithoutAReachableWebhook(t *testing.T) {
	webhook := httptest.NewTLSServer(http.NotFoundHandler())
	kubeconfig := webhookKubeconfig(t, webhook)
	webhook.Close()

	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(here, kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	cluster := start(t, bed.Options{WebhookKubeconfig: relative})
	_, err = cluster.Kubectl(t.Context(), asToken(cluster, "auth", "whoami")...)
	if err == nil || !strings.Contains(err.Error(), "Unauthorized") {
		t.Errorf("got %v, want Unauthorized", err)
	}
}

// asToken makes kubectl use a bearer token in place of the administrator's certificate.
func asToken(c *bed.Cluster, args ...string) []string {
	return append([]string{"--kubeconfig=" + os.DevNull, "--server=" + c.Server,
		"--certificate-authority=" + c.CAFile, "--token=secret"}, args...)
}

// tokenReview is the part of a TokenReview that a webhook reads and answers.
type tokenReview struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       struct {
		Token     string   `json:"token"`
		Audiences []string `json:"audiences,omitempty"`
	} `json:"spec"`
	Status struct {
		Authenticated bool `json:"authenticated"`
		User          any  `json:"user,omitempty"`
	} `json:"status"`
}

// TestWebhookDecidesAboutTokens shows the webhook path without our server: the user that kubectl sees is
// the one in the webhook's answer, and what the API server asked is what the options say.
func TestWebhookDecidesAboutTokens(t *testing.T) {
	tests := []struct {
		version   string
		audiences []string
	}{
		{"v1beta1", nil},
		{"v1", []string{"one", "two"}},
	}
	for _, tt := range tests {
		t.Run(tt.version, func(t *testing.T) {
			reviews := make(chan tokenReview, 1)
			webhook := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var review tokenReview
				if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
					t.Error(err)
				}
				reviews <- review
				review.Status.Authenticated = true
				review.Status.User = map[string]any{
					"username": "alice",
					"groups":   []string{"team-a"},
					"extra":    map[string][]string{"example.com/session": {"s1"}},
				}
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(review)
			}))
			webhook.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
			webhook.StartTLS()
			t.Cleanup(webhook.Close)

			cluster := start(t, bed.Options{
				WebhookKubeconfig: webhookKubeconfig(t, webhook),
				WebhookVersion:    tt.version,
				APIAudiences:      tt.audiences,
			})
			got := kubectl(t, cluster, asToken(cluster, "auth", "whoami", "-o", "jsonpath={.status.userInfo}")...)
			want := `{"extra":{"example.com/session":["s1"]},"groups":["team-a","system:authenticated"],"username":"alice"}`
			if got != want {
				t.Errorf("whoami:\n got %s\nwant %s", got, want)
			}

			review := <-reviews
			if want := "authentication.k8s.io/" + tt.version; review.APIVersion != want {
				t.Errorf("apiVersion: got %s, want %s", review.APIVersion, want)
			}
			if review.Spec.Token != "secret" {
				t.Errorf("token: got %q", review.Spec.Token)
			}
			wantAudiences := tt.audiences
			if wantAudiences == nil {
				wantAudiences = []string{"https://kubernetes.default.svc"} // the issuer
			}
			if got, want := fmt.Sprint(review.Spec.Audiences), fmt.Sprint(wantAudiences); got != want {
				t.Errorf("audiences: got %s, want %s", got, want)
			}
		})
	}
}

func webhookKubeconfig(t *testing.T, webhook *httptest.Server) string {
	t.Helper()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.crt")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: webhook.Certificate().Raw})
	if err := os.WriteFile(ca, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "webhook.yaml")
	content := fmt.Sprintf(`
apiVersion: v1
kind: Config
current-context: webhook
clusters: [{name: webhook, cluster: {server: %q, certificate-authority: %q}}]
contexts: [{name: webhook, context: {cluster: webhook, user: apiserver}}]
users: [{name: apiserver}]
`, webhook.URL, ca)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
