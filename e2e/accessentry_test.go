package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/e2e/bed"
	"github.com/iam-authenticator/authenticator/internal/apistest"
	"k8s.io/apimachinery/pkg/types"
)

const (
	accessEntryCRD  = "../deploy/crd/iam-authenticator.dev_accessentries.yaml"
	accessEntryPath = "/apis/iam-authenticator.dev/v1alpha1/accessentries"
)

// The tests of pkg/apis give the same cases to the rules in Go.
func TestAccessEntrySchema(t *testing.T) {
	cluster, err := bed.Start(t.Context(), bed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	adminKubectl(t, cluster, "create", "-f", accessEntryCRD)
	adminKubectl(t, cluster, "wait", "--for=condition=Established", "--timeout=30s", "crd/accessentries.iam-authenticator.dev")
	api := newAdminAPI(t, cluster)

	for i, c := range apistest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			name := fmt.Sprintf("case-%d", i)
			var answer apiAnswer
			if c.Old == "" {
				answer = api.send(t, http.MethodPost, accessEntryPath+"?dryRun=All&fieldValidation=Strict", entryManifest(name, c.Spec))
			} else {
				created := api.send(t, http.MethodPost, accessEntryPath, entryManifest(name, c.Old))
				if created.Message != "" {
					t.Fatalf("what stands already is refused: %s", created.Message)
				}
				answer = api.send(t, http.MethodPut, accessEntryPath+"/"+name+"?dryRun=All&fieldValidation=Strict",
					entryManifest(name+", resourceVersion: '"+created.Metadata.ResourceVersion+"'", c.Spec))
			}
			checkProblems(t, c.Problems, answer)
		})
	}

	t.Run("kubectl shows entries", func(t *testing.T) { kubectlShowsEntries(t, cluster) })
}

// checkProblems compares what is wrong with an entry with what the API server says of it.
func checkProblems(t *testing.T, want []apistest.Problem, answer apiAnswer) {
	t.Helper()
	causes := answer.Details.Causes
	// The rules in CEL wait until lengths and the like are right, and it says so.
	causes = slices.DeleteFunc(causes, func(c apiCause) bool { return strings.Contains(c.Message, "some validation rules were not checked") })
	for _, p := range want {
		i := slices.IndexFunc(causes, func(c apiCause) bool { return c.Field == p.Field && strings.HasSuffix(c.Message, p.Message) })
		if i < 0 {
			t.Errorf("%s: no error that says %q", p.Field, p.Message)
			continue
		}
		causes = slices.Delete(causes, i, i+1)
	}
	for _, c := range causes {
		t.Errorf("unexpected: %s: %s", c.Field, c.Message)
	}
	if len(want) == 0 && answer.Message != "" || t.Failed() {
		t.Errorf("the API server says %q", answer.Message)
	}
}

func kubectlShowsEntries(t *testing.T, cluster *bed.Cluster) {
	const spec = `{principalARN: "arn:aws:iam::111122223333:role/team/Admins", username: "team:{{SessionName}}", kubernetesGroups: [devs, ops]}`
	file := t.TempDir() + "/entry.yaml"
	if err := os.WriteFile(file, []byte(entryManifest("shown", spec)+"status: {canonicalARN: forged}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	adminKubectl(t, cluster, "apply", "-f", file)
	if out := adminKubectl(t, cluster, "get", "ae", "shown", "-o", "jsonpath={.spec.type} {.status}"); out != "STANDARD " {
		t.Errorf("type and status %q, want the default type and no status: that is a subresource", out)
	}
	adminKubectl(t, cluster, "patch", "ae", "shown", "--subresource=status", "--type=merge", "-p",
		`{"status":{"conditions":[{"type":"Accepted","status":"False","reason":"PrincipalTwice","message":"m","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`)
	lines := strings.Split(adminKubectl(t, cluster, "get", "iam", "shown", "-o", "wide"), "\n")
	for i, want := range []string{
		"NAME PRINCIPAL TYPE USERNAME ACCEPTED REASON AGE GROUPS POLICIES PRINCIPAL ID",
		`shown arn:aws:iam::111122223333:role/team/Admins STANDARD team:{{SessionName}} False PrincipalTwice AGE ["devs","ops"]`,
	} {
		got := strings.Fields(lines[i])
		if i > 0 {
			got[6] = "AGE"
		}
		if line := strings.Join(got, " "); line != want {
			t.Errorf("got  %s\nwant %s", line, want)
		}
	}
	if err := os.WriteFile(file, []byte(entryManifest("shown", strings.Replace(spec, "ops", "system:masters", 1))), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := cluster.Kubectl(t.Context(), "apply", "-f", file)
	if want := "The kubernetes group name system:masters is invalid, it cannot start with system:"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("apply of a wrong entry: %v, want %q", err, want)
	}
}

func adminKubectl(t *testing.T, cluster *bed.Cluster, args ...string) string {
	t.Helper()
	out, err := cluster.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func entryManifest(name, spec string) string {
	return fmt.Sprintf("apiVersion: iam-authenticator.dev/v1alpha1\nkind: AccessEntry\nmetadata: {name: %s}\nspec: %s\n", name, spec)
}

// apiAnswer is what the tests read of an object, and of the status in place of one that
// is refused.
type apiAnswer struct {
	Metadata struct {
		ResourceVersion string
		UID             types.UID
	}
	Message string
	Details struct{ Causes []apiCause }
}

type apiCause struct{ Message, Field string }

// adminAPI sends requests as the administrator. A kubectl for each would take minutes.
type adminAPI struct {
	server string
	client *http.Client
	user   string // who is impersonated; empty: nobody
}

func newAdminAPI(t *testing.T, cluster *bed.Cluster) *adminAPI {
	t.Helper()
	kubeconfig, err := os.ReadFile(cluster.AdminKubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	data := func(key string) []byte {
		_, rest, _ := strings.Cut(string(kubeconfig), key+": ")
		line, _, _ := strings.Cut(rest, "\n")
		pem, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return pem
	}
	pair, err := tls.X509KeyPair(data("client-certificate-data"), data("client-key-data"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(data("certificate-authority-data"))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}
	t.Cleanup(transport.CloseIdleConnections)
	return &adminAPI{server: cluster.Server, client: &http.Client{Transport: transport}}
}

// as sends as somebody else, or as the administrator if they have no name.
func (a *adminAPI) as(user string) *adminAPI { return &adminAPI{a.server, a.client, user} }

// send sends an object in YAML.
func (a *adminAPI) send(t *testing.T, method, path, body string) (answer apiAnswer) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, a.server+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/yaml")
	if a.user != "" {
		req.Header.Set("Impersonate-User", a.user)
	}
	res, err := a.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatalf("%s %s: %s: %v", method, path, res.Status, err)
	}
	switch res.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusUnprocessableEntity, http.StatusForbidden:
		return answer
	default:
		t.Fatalf("%s %s: %s: %s", method, path, res.Status, answer.Message)
		return answer
	}
}
