package e2e

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/e2e/bed"
	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/policy"
	"golang.org/x/sync/errgroup"
)

// TestPolicies gives IAM users access policies, logs them in, and asks the API server about every right that
// a policy could give.
func TestPolicies(t *testing.T) {
	w := newPolicyWorld(t)
	t.Run("every right is as EKS publishes it", w.everyRight)
	t.Run("kubectl lists what EKS publishes", w.kubectlLists)
	t.Run("requests are let through and refused", w.requests)
	t.Run("the controller may do its work and no more", w.controllerRights)
	t.Run("nobody is given the group of an entry", w.reservedGroup)
}

// published are the rows of EKS's tables by policy.
func published(t *testing.T) map[string][]tableRow {
	t.Helper()
	data, err := os.ReadFile("../pkg/policy/testdata/eks.txt")
	if err != nil {
		t.Fatal(err)
	}
	list := func(s string) (items []string) {
		for item := range strings.SplitSeq(s, ",") {
			items = append(items, strings.TrimSpace(item))
		}
		return items
	}
	table := map[string][]tableRow{}
	var name string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		columns := strings.Split(line, "|")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case len(columns) == 1:
			name = line
		default:
			table[name] = append(table[name], tableRow{strings.TrimSpace(columns[0]), list(columns[1]), list(columns[2])})
		}
	}
	return table
}

// tableRow is a row of EKS's tables. The group is "core" for that without a name, and nonResourceURLs for
// URLs.
type tableRow struct {
	group            string
	resources, verbs []string
}

const nonResourceURLs = "nonResourceURLs"

// allows tells whether one of the rows allows a request to a resource such as pods/log, or to a URL.
func allows(rows []tableRow, group, resource, verb string) bool {
	has := func(list []string, item string) bool {
		return slices.Contains(list, item) || slices.Contains(list, "*")
	}
	return slices.ContainsFunc(rows, func(r tableRow) bool {
		sameGroup := r.group == group || r.group == "*" && group != nonResourceURLs
		return sameGroup && has(r.resources, resource) && has(r.verbs, verb)
	})
}

// right is a request that may be allowed.
type right struct{ group, resource, verb string }

// rights are all rights that the tables name, and as many that they don't: other verbs on what they name, and
// what they don't name at all.
func rights(table map[string][]tableRow) (all []right) {
	verbs := []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate", "bind", "escalate", "approve", "use", "*"}
	resources := map[[2]string]bool{}
	for _, rows := range table {
		for _, r := range rows {
			for _, resource := range r.resources {
				if r.group != "*" && r.group != nonResourceURLs {
					resources[[2]string{r.group, resource}] = true
				}
			}
		}
	}
	for group, names := range map[string]string{
		"core": "nodes nodes/proxy nodes/stats persistentvolumes namespaces/finalize pods/ephemeralcontainers pods/eviction pods/binding pods/resize " +
			"serviceaccounts/token secrets/status configmaps/status componentstatuses users groups userextras podtemplates",
		"apps":                         "daemonsets/scale controllerrevisions/status deployments/foo",
		"autoscaling":                  "horizontalpodautoscalers/scale",
		"rbac.authorization.k8s.io":    "clusterroles clusterrolebindings roles/status",
		"authorization.k8s.io":         "subjectaccessreviews",
		"authentication.k8s.io":        "tokenreviews userextras uids",
		"apiextensions.k8s.io":         "customresourcedefinitions",
		"admissionregistration.k8s.io": "validatingwebhookconfigurations mutatingwebhookconfigurations validatingadmissionpolicies",
		"certificates.k8s.io":          "certificatesigningrequests certificatesigningrequests/approval signers",
		"storage.k8s.io":               "storageclasses volumeattachments",
		"coordination.k8s.io":          "leases",
		"events.k8s.io":                "events",
		"networking.k8s.io":            "ingressclasses networkpolicies/status",
		"policy":                       "podsecuritypolicies",
		"scheduling.k8s.io":            "priorityclasses",
		"iam-authenticator.dev":        "accessentries accessentries/status",
		"example.com":                  "widgets pods secrets",
		"*":                            "* pods",
	} {
		for name := range strings.FieldsSeq(names) {
			resources[[2]string{group, name}] = true
		}
	}
	for _, r := range slices.SortedFunc(maps.Keys(resources), func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }) {
		for _, verb := range verbs {
			all = append(all, right{r[0], r[1], verb})
		}
	}
	// What everybody may read, such as /healthz, is left out.
	for _, url := range []string{"/metrics", "/logs", "/debug/pprof/", "/configz", "/*", "*"} {
		for _, verb := range []string{"get", "post", "put", "delete", "*"} {
			all = append(all, right{nonResourceURLs, url, verb})
		}
	}
	return all
}

// everyRight compares each right of each policy and scope with the table, in the whole cluster, in a namespace
// that the scope reaches and in one that it doesn't.
func (w *policyWorld) everyRight(t *testing.T) {
	table := published(t)
	if len(table) != 6 {
		t.Fatalf("%d policies published, want 6", len(table))
	}
	asked, allowed := 0, 0
	for name, rows := range table {
		for _, scope := range []string{"cluster", "namespace"} {
			client := w.login(t, name, scope)
			for _, namespace := range []string{"", "dev-7", "prod"} {
				cells := rights(table)
				answers := w.ask(t, client, cells, namespace)
				for i, r := range cells {
					want := allows(rows, r.group, r.resource, r.verb)
					if scope == "namespace" && (namespace != "dev-7" || r.group == nonResourceURLs) {
						want = false
					}
					if answers[i] != want {
						t.Errorf("%s in the scope %s: %s %s of %s in the namespace %q: %v, want %v", name, scope, r.verb, r.resource, r.group, namespace, answers[i], want)
					}
					asked++
					if answers[i] {
						allowed++
					}
				}
			}
		}
	}
	t.Logf("%d rights, %d of them given", asked, allowed)
}

// ask posts a SelfSubjectAccessReview, as "kubectl auth can-i" does, for each right.
func (w *policyWorld) ask(t *testing.T, c *apiClient, rights []right, namespace string) []bool {
	t.Helper()
	answers := make([]bool, len(rights))
	g := errgroup.Group{}
	g.SetLimit(16)
	for i, r := range rights {
		g.Go(func() (err error) {
			answers[i], err = c.may(r, namespace)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return answers
}

// kubectlLists has kubectl list what each policy allows in a namespace, and looks for each row.
func (w *policyWorld) kubectlLists(t *testing.T) {
	for name, rows := range published(t) {
		user := userOf(name, "namespace")
		out := w.kubectl(t, user, "auth", "can-i", "--list", "--namespace=dev-7")
		for _, r := range rows {
			for _, resource := range r.resources {
				if r.group == nonResourceURLs {
					continue // of which a namespace has none
				}
				want := resource
				if r.group == "*" {
					want = "*.*"
				} else if r.group != "core" {
					want = strings.Replace(resource, "/", "."+r.group+"/", 1)
					if want == resource {
						want += "." + r.group
					}
				}
				lines := slices.Collect(strings.Lines(out))
				if !slices.ContainsFunc(lines, func(line string) bool {
					fields := strings.Fields(line)
					return fields[0] == want && !slices.ContainsFunc(r.verbs, func(v string) bool {
						return !slices.Contains(strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '[' || r == ']' || r == '\n' }), v)
					})
				}) {
					t.Errorf("%s: no line of %s with %s in\n%s", name, want, r.verbs, out)
				}
			}
		}
	}
}

// requests does a few things for real.
func (w *policyWorld) requests(t *testing.T) {
	everything := w.login(t, policy.ClusterAdmin, "namespace")
	admin := w.login(t, policy.Admin, "namespace")
	view := w.login(t, policy.View, "cluster")
	const (
		bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/dev-7/rolebindings"
		bind     = `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"mine"},` +
			`"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"%s"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"u"}]}`
	)
	for _, c := range []struct {
		client             *apiClient
		method, path, body string
		want               int
	}{
		{everything, "GET", "/api/v1/namespaces/dev-7/secrets", "", http.StatusOK},
		{everything, "GET", "/api/v1/namespaces/dev-7", "", http.StatusOK},
		{everything, "GET", "/api/v1/namespaces/prod/secrets", "", http.StatusForbidden},
		{everything, "GET", "/api/v1/secrets", "", http.StatusForbidden},
		{everything, "GET", "/api/v1/namespaces", "", http.StatusForbidden},
		{everything, "GET", "/api/v1/nodes", "", http.StatusForbidden},
		{everything, "GET", "/metrics", "", http.StatusForbidden},
		{everything, "GET", accessEntryPath, "", http.StatusForbidden},
		{view, "GET", "/api/v1/pods", "", http.StatusOK},
		{view, "GET", "/api/v1/secrets", "", http.StatusForbidden},
		{view, "POST", "/api/v1/namespaces/dev-7/configmaps", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}`, http.StatusForbidden},
		// Who has a policy may pass on what it allows, and no more.
		{admin, "POST", bindings, fmt.Sprintf(bind, policy.RoleName(policy.ClusterAdmin)), http.StatusForbidden},
		{admin, "POST", bindings, fmt.Sprintf(bind, "cluster-admin"), http.StatusForbidden},
		{admin, "POST", bindings, fmt.Sprintf(bind, policy.RoleName(policy.View)), http.StatusCreated},
	} {
		if status, body := c.client.do(t, c.method, c.path, c.body); status != c.want {
			t.Errorf("%s: %s %s: %d, want %d: %.300s", c.client.name, c.method, c.path, status, c.want, body)
		}
	}
}

// controllerRights holds deploy/controller/rbac.yaml to what it says. That it is enough is shown by the
// controller's log, and by the bindings that the logins go by.
func (w *policyWorld) controllerRights(t *testing.T) {
	const (
		roles    = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
		role     = `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"%s","labels":{"iam-authenticator.dev/access-policy":"our.own"}},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}`
		bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/"
		leases   = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
		lease    = `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"%s"},"spec":{}}`
	)
	w.admin.send(t, http.MethodPost, roles, fmt.Sprintf(role, "our-own"))
	w.admin.send(t, http.MethodPost, leases, fmt.Sprintf(lease, "other"))
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"PATCH", bindings + "a", bindingOf("a", "cluster-admin", "g"), http.StatusForbidden},
		{"PATCH", bindings + "a", bindingOf("a", "system:kube-scheduler", "g"), http.StatusForbidden},
		{"PATCH", bindings + "a", bindingOf("a", "our-own", "g"), http.StatusForbidden},
		{"PATCH", bindings + "a", bindingOf("a", policy.RoleName("nobody-made-it"), "g"), http.StatusNotFound},
		{"PATCH", bindings + "a", bindingOf("a", policy.RoleName(policy.ClusterAdmin), "g"), http.StatusCreated},
		{"PATCH", bindings + "a", bindingOf("a", policy.RoleName(policy.ClusterAdmin), "h"), http.StatusOK},
		{"DELETE", bindings + "a", "", http.StatusOK},
		{"POST", roles, fmt.Sprintf(role, "mine"), http.StatusForbidden},
		{"PATCH", roles + "/" + policy.RoleName(policy.View), fmt.Sprintf(role, policy.RoleName(policy.View)), http.StatusForbidden},
		{"GET", "/api/v1/secrets", "", http.StatusForbidden},
		{"GET", "/api/v1/namespaces", "", http.StatusOK},
		{"GET", leases + "/iam-authenticator-controller", "", http.StatusOK},
		{"GET", leases + "/other", "", http.StatusForbidden},
		{"POST", accessEntryPath, entryManifest("mine", `{principalARN: "arn:aws:iam::111122223333:user/mine"}`), http.StatusForbidden},
		{"DELETE", accessEntryPath + "/" + entryOf(policy.View, "cluster"), "", http.StatusForbidden},
	} {
		if status, body := w.controller.do(t, c.method, c.path, c.body); status != c.want {
			t.Errorf("%s %s %s: %d, want %d: %.300s", c.method, c.path, c.body, status, c.want, body)
		}
	}
	if out := adminKubectl(t, w.cluster, "get", "events", "--field-selector=involvedObject.kind=AccessEntry", "-o", "name"); out == "" {
		t.Error("no events about access entries")
	}
	if log, err := os.ReadFile(filepath.Join(w.dir, "controller.log")); err != nil || strings.Contains(string(log), "forbidden") {
		t.Errorf("the controller lacks a right: %v\n%s", err, log)
	}
	// The operator lets it bind a policy of theirs.
	w.admin.send(t, http.MethodPost, roles, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"binds-our-own"},
		"rules":[{"apiGroups":["rbac.authorization.k8s.io"],"resources":["clusterroles"],"resourceNames":["our-own"],"verbs":["bind"]}]}`)
	adminKubectl(t, w.cluster, "create", "clusterrolebinding", "binds-our-own", "--clusterrole=binds-our-own", "--serviceaccount=kube-system:iam-authenticator-controller")
	deadline := time.Now().Add(10 * time.Second)
	for {
		status, body := w.controller.do(t, "PATCH", bindings+"a", bindingOf("a", "our-own", "g"))
		if status == http.StatusCreated {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the own policy can't be bound: %d: %s", status, body)
		}
		time.Sleep(50 * time.Millisecond) // until the authorizer knows of the binding
	}
}

// reservedGroup tries to get at the group of somebody else's entry by aws-auth and by an entry.
func (w *policyWorld) reservedGroup(t *testing.T) {
	group := w.groups[entryOf(policy.ClusterAdmin, "cluster")]
	status := func(principal string) int {
		code, _ := w.client(t, principal, w.token(t, principal)).do(t, "GET", "/api/v1/nodes", "")
		return code
	}
	if code := status("nobody"); code != http.StatusUnauthorized {
		t.Fatalf("somebody without a mapping: %d", code)
	}
	w.admin.send(t, http.MethodPost, "/api/v1/namespaces/kube-system/configmaps", fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: aws-auth}
data:
  mapUsers: |
    - {userarn: "arn:aws:iam::111122223333:user/forger", username: forger, groups: [%q]}
    - {userarn: "arn:aws:iam::111122223333:user/honest", username: honest}
`, group))
	deadline := time.Now().Add(10 * time.Second)
	for status("honest") != http.StatusForbidden {
		if time.Now().After(deadline) {
			t.Fatal("aws-auth is not in force")
		}
		time.Sleep(100 * time.Millisecond)
	}
	if code := status("forger"); code != http.StatusUnauthorized {
		t.Errorf("somebody with the group of an entry by aws-auth: %d", code)
	}
	answer := w.admin.send(t, http.MethodPost, accessEntryPath, entryManifest("forger", fmt.Sprintf(`{principalARN: "arn:aws:iam::111122223333:user/forger", kubernetesGroups: [%q]}`, group)))
	if !strings.Contains(answer.Message, "must not begin with iam-authenticator.dev:") {
		t.Errorf("an entry with the group of another: %q", answer.Message)
	}
}

// policyWorld is a cluster with an authenticator and its controller, and an IAM user with an access entry for
// every policy and scope.
type policyWorld struct {
	cluster    *bed.Cluster
	admin      *adminAPI
	controller *apiClient // with the rights of the controller
	dir        string
	binary     string
	sts        *awstest.STS
	stsURL     string
	stsCA      string
	keys       map[string]awstest.Credentials
	groups     map[string]string // of entries
	clients    map[string]*apiClient
}

// userOf is the IAM user who has a policy in a scope.
func userOf(name, scope string) string { return name + "-" + scope }

// entryOf is their access entry.
func entryOf(name, scope string) string { return strings.ToLower(userOf(name, scope)) }

func newPolicyWorld(t *testing.T) *policyWorld {
	w := &policyWorld{dir: t.TempDir(), binary: filepath.Join(buildAuthenticator(t), "authenticator"), groups: map[string]string{}, clients: map[string]*apiClient{}}
	w.startSTS(t)
	w.startCluster(t)
	adminKubectl(t, w.cluster, "apply", "-f", accessEntryCRD, "-f", "../deploy/rbac.yaml", "-f", "../deploy/policies.yaml", "-f", "../deploy/controller/rbac.yaml")
	adminKubectl(t, w.cluster, "wait", "--for=condition=Established", "--timeout=30s", "crd/accessentries.iam-authenticator.dev")
	for _, namespace := range []string{"dev-7", "prod"} {
		adminKubectl(t, w.cluster, "create", "namespace", namespace)
	}
	w.admin = newAdminAPI(t, w.cluster)
	for _, role := range policy.Builtin() {
		for _, scope := range []string{"cluster", "namespace"} {
			w.give(t, role.Labels[policy.Label], scope)
		}
	}
	// Each with the rights of its manifest in deploy.
	w.start(t, "iam-authenticator", "server", "--config", w.config(), "--sts-emulator-address", w.stsURL, "--sts-emulator-ca", w.stsCA)
	w.start(t, "iam-authenticator-controller", "controller", "--leader-elect", "--leader-elect-namespace=kube-system", "--metrics-address=", "--health-address=")
	w.controller = w.client(t, "controller", w.serviceAccount(t, "iam-authenticator-controller"))
	w.bound(t)
	return w
}

// give makes an access entry with a policy.
func (w *policyWorld) give(t *testing.T, name, scope string) {
	t.Helper()
	entry := entryOf(name, scope)
	accessScope := "{type: cluster}"
	if scope == "namespace" {
		accessScope = `{type: namespace, namespaces: ["dev-*"]}`
	}
	answer := w.admin.send(t, http.MethodPost, accessEntryPath, entryManifest(entry, fmt.Sprintf(
		`{principalARN: "arn:aws:iam::111122223333:user/%s", username: "u:%s", accessPolicies: [{policyARN: "arn:aws:eks::aws:cluster-access-policy/%s", accessScope: %s}]}`,
		userOf(name, scope), entry, name, accessScope)))
	if answer.Message != "" {
		t.Fatal(answer.Message)
	}
	w.groups[entry] = policy.Group(entry, answer.Metadata.UID)
}

// bound waits until the controller has bound the policies of all entries.
func (w *policyWorld) bound(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		out := adminKubectl(t, w.cluster, "get", "accessentries", "-o", `jsonpath={.items[*].status.conditions[?(@.type=="PoliciesApplied")].status}`)
		if strings.Count(out, "True") == len(w.groups) {
			return
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(w.dir, "controller.log"))
			t.Fatalf("not all policies are bound: %q\n%s", out, log)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// bindingOf is a ClusterRoleBinding of a group.
func bindingOf(name, role, group string) string {
	return fmt.Sprintf(`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":%q},
		"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":%q},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"Group","name":%q}]}`,
		name, role, group)
}

func (w *policyWorld) startSTS(t *testing.T) {
	w.sts = awstest.New(awstest.Options{})
	w.keys = map[string]awstest.Credentials{}
	users := []string{"nobody", "honest", "forger"}
	for _, role := range policy.Builtin() {
		users = append(users, userOf(role.Labels[policy.Label], "cluster"), userOf(role.Labels[policy.Label], "namespace"))
	}
	for _, user := range users {
		key, err := w.sts.AddUser("arn:aws:iam::111122223333:user/" + user)
		if err != nil {
			t.Fatal(err)
		}
		w.keys[user] = key
	}
	server, err := awstest.NewServer(w.sts, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	w.stsURL, w.stsCA = server.Addr(), filepath.Join(w.dir, "sts-ca.pem")
	if err := os.WriteFile(w.stsCA, server.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *policyWorld) startCluster(t *testing.T) {
	port, err := bed.FreePort()
	healthPort, err2 := bed.FreePort()
	webhook := filepath.Join(w.dir, "webhook.yaml")
	config := fmt.Sprintf("clusterID: demo\nserver:\n  port: %d\n  healthPort: %d\n  stateDir: %s\n  generateKubeconfig: %s\n  authenticationMode: API_AND_CONFIG_MAP\n",
		port, healthPort, filepath.Join(w.dir, "state"), webhook)
	if err := errors.Join(err, err2, os.WriteFile(w.config(), []byte(config), 0o600)); err != nil {
		t.Fatal(err)
	}
	w.run(t, nil, "init", "--config", w.config())
	if w.cluster, err = bed.Start(t.Context(), bed.Options{
		WebhookKubeconfig: webhook,
		WebhookVersion:    "v1",
		Flags:             []string{"--enable-priority-and-fairness=false"}, // tens of thousands of questions
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cluster.Stop)
}

func (w *policyWorld) config() string { return filepath.Join(w.dir, "authenticator.yaml") }

// serviceAccount returns a token of a service account.
func (w *policyWorld) serviceAccount(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(adminKubectl(t, w.cluster, "-n", "kube-system", "create", "token", name))
}

// start starts a command of authenticator, which reaches the API server with a service account.
func (w *policyWorld) start(t *testing.T, account, command string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(w.dir, command+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	args = append([]string{command, "--kubeconfig", w.kubeconfig(t, account, w.serviceAccount(t, account))}, args...)
	cmd := exec.CommandContext(t.Context(), w.binary, args...)
	cmd.Stderr = log
	cmd.Env = []string{"HOME=" + w.dir}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

// kubeconfig writes a kubeconfig for somebody with a token.
func (w *policyWorld) kubeconfig(t *testing.T, name, token string) string {
	t.Helper()
	path := filepath.Join(w.dir, name+".kubeconfig")
	if err := os.WriteFile(path, fmt.Appendf(nil, `{apiVersion: v1, kind: Config, current-context: c,
clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}], contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {token: %q}}]}
`, w.cluster.Server, w.cluster.CAFile, token), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs authenticator and returns what it prints.
func (w *policyWorld) run(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), w.binary, args...)
	cmd.Env = append([]string{"HOME=" + w.dir, "AWS_REGION=eu-central-1", "AWS_EC2_METADATA_DISABLED=true"}, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", args, err, &stderr)
	}
	return string(out)
}

// token makes a token as an IAM user.
func (w *policyWorld) token(t *testing.T, user string) string {
	t.Helper()
	key := w.keys[user]
	return strings.TrimSpace(w.run(t, []string{"AWS_ACCESS_KEY_ID=" + key.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + key.SecretAccessKey},
		"token", "-i", "demo", "--token-only"))
}

// login logs in the user who has a policy in a scope, once, and waits until their entry is in force.
func (w *policyWorld) login(t *testing.T, name, scope string) *apiClient {
	t.Helper()
	user := userOf(name, scope)
	if w.clients[user] != nil {
		return w.clients[user]
	}
	c := w.client(t, user, w.token(t, user))
	deadline := time.Now().Add(20 * time.Second)
	for {
		status, body := c.do(t, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", `{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`)
		if status == http.StatusCreated {
			want := fmt.Sprintf(`"groups":[%q,"system:authenticated"]`, w.groups[entryOf(name, scope)])
			if !strings.Contains(body, want) || !strings.Contains(body, `"username":"u:`) {
				t.Fatalf("logged in as %s, want %s", body, want)
			}
			w.clients[user] = c
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("no login as %s: %d: %s", user, status, body)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// kubectl runs kubectl as an IAM user.
func (w *policyWorld) kubectl(t *testing.T, user string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(w.cluster.BinDir, "kubectl"), args...)
	cmd.Env = []string{"HOME=" + w.dir, "KUBECONFIG=" + w.kubeconfig(t, user, w.token(t, user))}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v: %s", args, err, out)
	}
	return string(out)
}

// apiClient speaks to the API server with a bearer token.
type apiClient struct {
	name, server, token string
	client              *http.Client
}

func (w *policyWorld) client(t *testing.T, name, token string) *apiClient {
	t.Helper()
	pem, err := os.ReadFile(w.cluster.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &apiClient{name, w.cluster.Server, token, &http.Client{Transport: transport}}
}

func (c *apiClient) send(method, path, body string) (status int, answer []byte, err error) {
	req, err := http.NewRequest(method, c.server+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/yaml")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/apply-patch+yaml")
		req.URL.RawQuery = "fieldManager=test&force=true"
	}
	res, err := c.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

func (c *apiClient) do(t *testing.T, method, path, body string) (status int, answer string) {
	t.Helper()
	status, data, err := c.send(method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	return status, string(data)
}

// may asks whether the client may do something in a namespace, or in the whole cluster if it has no name.
func (c *apiClient) may(r right, namespace string) (bool, error) {
	spec := map[string]any{}
	if r.group == nonResourceURLs {
		spec["nonResourceAttributes"] = map[string]string{"path": r.resource, "verb": r.verb}
	} else {
		resource, subresource, _ := strings.Cut(r.resource, "/")
		group := r.group
		if group == "core" {
			group = ""
		}
		spec["resourceAttributes"] = map[string]string{"namespace": namespace, "group": group, "resource": resource, "subresource": subresource, "verb": r.verb}
	}
	body, err := json.Marshal(map[string]any{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec})
	if err != nil {
		return false, err
	}
	status, data, err := c.send(http.MethodPost, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", string(body))
	if err != nil {
		return false, err
	}
	var answer struct{ Status struct{ Allowed bool } }
	if err := json.Unmarshal(data, &answer); err != nil || status != http.StatusCreated {
		return false, fmt.Errorf("%s: status %d: %s", body, status, data)
	}
	return answer.Status.Allowed, nil
}
