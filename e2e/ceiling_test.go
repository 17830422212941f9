package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/e2e/bed"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// ceilingRights are those of two people who may edit access entries: the editor may do nothing else, and the
// binder may bind two policies.
const ceilingRights = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: edits-entries}
rules: [{apiGroups: [iam-authenticator.dev], resources: [accessentries], verbs: [create, update, delete]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: edits-entries}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edits-entries}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: editor}, {apiGroup: rbac.authorization.k8s.io, kind: User, name: binder}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: binds}
rules:
- {apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], resourceNames: ["iam-authenticator.dev:AmazonEKSAdminPolicy", "iam-authenticator.dev:AmazonEKSViewPolicy"], verbs: [bind]}
- {apiGroups: [rbac.authorization.k8s.io], resources: [clusterrolebindings], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: binds}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: binds}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: binder}]
`

// TestCeiling holds deploy/controller/ceiling.yaml to what docs/access-policies.md says of it.
func TestCeiling(t *testing.T) {
	cluster, err := bed.Start(t.Context(), bed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	adminKubectl(t, cluster, "apply", "-f", accessEntryCRD, "-f", "../deploy/policies.yaml", "-f", "../deploy/controller/ceiling.yaml")
	adminKubectl(t, cluster, "wait", "--for=condition=Established", "--timeout=30s", "crd/accessentries.iam-authenticator.dev")
	s := &ceilingStory{cluster, newAdminAPI(t, cluster)}
	s.api.send(t, http.MethodPost, "/api/v1/namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: dev-7}}")
	s.apply(t, ceilingRights)

	t.Run("as it is shipped", s.asShipped)
	t.Run("order of the policies", s.order)
	t.Run("changes", s.changes)
	t.Run("nothing is bounded that the ConfigMap leaves out", s.unbounded)
	t.Run("a ceiling that is not understood", s.misspelt)
	t.Run("no ConfigMap", s.missing)
}

type ceilingStory struct {
	cluster *bed.Cluster
	api     *adminAPI
}

func (s *ceilingStory) apply(t *testing.T, manifest string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	adminKubectl(t, s.cluster, "apply", "--server-side", "--force-conflicts", "-f", file)
}

// create has somebody create an entry, without storing it, and returns why it is refused.
func (s *ceilingStory) create(t *testing.T, who, spec string) string {
	t.Helper()
	return s.api.as(who).send(t, http.MethodPost, accessEntryPath+"?dryRun=All", entryManifest("a", `{principalARN: "arn:aws:iam::111122223333:role/a", `+spec+"}")).Message
}

// refuses compares why something is refused with what it should say; "" is not refused.
func refuses(t *testing.T, what, got, want string) {
	t.Helper()
	if (got == "") != (want == "") || !strings.Contains(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// eventually repeats what the API server learns by watching.
func (s *ceilingStory) eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// policies is the part of a spec that gives a policy.
func policies(name, scope string) string {
	return fmt.Sprintf("accessPolicies: [{policyARN: %q, accessScope: {%s}}]", v1alpha1.PolicyARN("aws", name), scope)
}

const (
	inCluster = "type: cluster"
	inDev     = `type: namespace, namespaces: ["dev-*", dev-7]`
)

func (s *ceilingStory) asShipped(t *testing.T) {
	s.eventually(t, "the ceiling is in force", func() bool { return s.create(t, "editor", policies(policy.Admin, inDev)) != "" })
	const (
		tooMuch = "above the ceiling, which is AmazonEKSEditPolicy in the namespaces dev-*: %s"
		group   = "you may not give these groups, only dev-*"
		name    = "you may not give this username, only dev:*"
		node    = "you may not create entries of this type, only STANDARD"
	)
	above := func(name string) string { return fmt.Sprintf(tooMuch, name) }
	for _, c := range []struct{ who, spec, want string }{
		{"editor", "type: STANDARD", ""},
		{"editor", policies(policy.Edit, inDev), ""},
		{"editor", policies(policy.SecretReader, inDev), ""},
		{"editor", policies(policy.Admin, inDev), above(policy.Admin)},
		{"editor", policies(policy.AdminView, inDev), above(policy.AdminView)},
		{"editor", policies(policy.ClusterAdmin, inDev), above(policy.ClusterAdmin)},
		{"editor", policies("our.own", inDev), above("our.own")},
		{"editor", policies(policy.View, inCluster), above(policy.View)},
		{"editor", policies(policy.View, `type: namespace, namespaces: [dev-7, prod]`), above(policy.View)},
		{"editor", policies(policy.View, `type: namespace, namespaces: ["dev*"]`), above(policy.View)},
		{"editor", policies(policy.View, `type: namespace, namespaces: ["*"]`), above(policy.View)},
		{"editor", policies(policy.View, `type: namespace, namespaces: [xdev-7]`), above(policy.View)},
		{"editor", `accessPolicies: [` + strings.Join([]string{
			strings.Trim(strings.TrimPrefix(policies(policy.Edit, inDev), "accessPolicies: "), "[]"),
			`{policyARN: "arn:aws-cn:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy", accessScope: {type: cluster}}`}, ", ") + `]`, above(policy.ClusterAdmin)},
		{"editor", "kubernetesGroups: [dev-a]", ""},
		{"editor", "kubernetesGroups: [dev-a, admins]", group},
		{"editor", "kubernetesGroups: [xdev-a]", group},
		{"editor", "username: 'dev:{{SessionName}}'", ""},
		{"editor", "username: 'admin:{{SessionName}}'", name},
		{"editor", "type: EC2_LINUX", node},
		{"editor", "type: HYBRID_LINUX", node},
		// Who may bind a policy may give it, and no other.
		{"binder", policies(policy.Admin, inCluster), ""},
		{"binder", policies(policy.View, inCluster), ""},
		{"binder", policies(policy.Edit, inCluster), above(policy.Edit)},
		{"binder", policies("our.own", inDev), above("our.own")},
		{"binder", "kubernetesGroups: [admins]", group},
		{"", policies(policy.ClusterAdmin, inCluster) + ", kubernetesGroups: [admins], username: root", ""},
		{"", policies("our.own", inCluster), ""},
		{"", "type: HYBRID_LINUX", ""},
	} {
		refuses(t, c.who+" creates "+c.spec, s.create(t, c.who, c.spec), c.want)
	}
	// All that can be in one entry is not too much to work out.
	var many []string
	for i := range 20 {
		many = append(many, strings.Trim(strings.TrimPrefix(policies(fmt.Sprintf("own-%d", i), "type: namespace, namespaces: ["+strings.Join(numbered("dev-some-long-name-", 100), ", ")+"]"), "accessPolicies: "), "[]"))
	}
	spec := "accessPolicies: [" + strings.Join(many, ", ") + "], kubernetesGroups: [" + strings.Join(numbered("dev-", 100), ", ") + "]"
	refuses(t, "editor creates much", s.create(t, "editor", spec), above("own-0, own-1, own-2"))
	refuses(t, "the administrator creates much", s.create(t, "", spec), "")
}

func numbered(name string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(name, i))
	}
	return all
}

// order holds the policies of the ceiling to those of pkg/policy.
func (s *ceilingStory) order(t *testing.T) {
	names := []string{"our.own"}
	for _, role := range policy.Builtin() {
		names = append(names, role.Labels[policy.Label])
	}
	for _, most := range names[1:] {
		s.ceiling(t, "maxPolicy: "+most)
		// The ConfigMap is in force once its message says so, or once anything is possible.
		s.eventually(t, most+" is in force", func() bool {
			got := s.create(t, "editor", policies("our.own", inCluster))
			return strings.Contains(got, "the ceiling, which is "+most) || most == policy.ClusterAdmin && got == ""
		})
		for _, name := range names {
			want := policy.Ceiling{MaxPolicy: most}.Allows(v1alpha1.AccessPolicy{PolicyARN: v1alpha1.PolicyARN("aws", name), AccessScope: v1alpha1.AccessScope{Type: v1alpha1.ScopeCluster}}) == nil
			if got := s.create(t, "editor", policies(name, inCluster)); (got == "") != want {
				t.Errorf("%s under %s: %q, want it allowed: %v", name, most, got, want)
			}
		}
	}
}

// ceiling replaces the data of the ConfigMap.
func (s *ceilingStory) ceiling(t *testing.T, data string) {
	t.Helper()
	answer := s.api.send(t, http.MethodPut, "/api/v1/namespaces/kube-system/configmaps/iam-authenticator-ceiling",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: iam-authenticator-ceiling, namespace: kube-system}, data: {"+data+"}}")
	if answer.Message != "" {
		t.Fatal(answer.Message)
	}
}

// changes looks at entries that stand already.
func (s *ceilingStory) changes(t *testing.T) {
	s.ceiling(t, `maxPolicy: AmazonEKSViewPolicy, namespaces: "dev-*,\nshop", groups: "a, b*", usernames: "u.v@w(+)"`)
	s.eventually(t, "the ceiling is in force", func() bool {
		return strings.Contains(s.create(t, "editor", policies(policy.Edit, inCluster)), "the ceiling, which is AmazonEKSViewPolicy in the namespaces dev-*,,shop: ")
	})
	const principal = `principalARN: "arn:aws:iam::111122223333:role/old", `
	// Whoever has the principalID is in already; whoever was created anew under the same name would be let in.
	const is = "principalID: AROAOLD, "
	old := principal + is + policies(policy.Admin, inCluster) + ", kubernetesGroups: [admins, a], username: root"
	created := s.api.send(t, http.MethodPost, accessEntryPath, entryManifest("old", "{"+old+"}"))
	for _, c := range []struct{ spec, want string }{
		{old, ""},
		{strings.Replace(old, is, "", 1), "AmazonEKSAdminPolicy"},
		{strings.Replace(old, is, "principalID: AROANEW, ", 1), "AmazonEKSAdminPolicy"},
		{principal + "kubernetesGroups: [admins]", "you may not give these groups"},
		{principal + "username: root", "you may not give this username"},
		{principal + "kubernetesGroups: [a]", ""},
		{principal + is + policies(policy.Admin, inCluster) + ", kubernetesGroups: [a], username: root", ""},
		{principal + is + "kubernetesGroups: [b, bb, a]", ""},
		{principal + is + "username: root, " + policies(policy.View, "type: namespace, namespaces: [shop]"), ""},
		{principal + is + policies(policy.View, "type: namespace, namespaces: [shops]"), ": AmazonEKSViewPolicy"},
		{principal + is + policies(policy.Admin, inDev), ": AmazonEKSAdminPolicy"},
		{principal + is + policies(policy.ClusterAdmin, inCluster), ": AmazonEKSClusterAdminPolicy"},
		{old + "2", "you may not give this username, only u.v@w(+)"},
		{principal + is + "username: u.v@w(+)", ""},
		{principal + is + "username: uxv@w(+)", "you may not give this username"},
		{principal + is + "kubernetesGroups: [aa]", "you may not give these groups, only a, b*"},
	} {
		got := s.api.as("editor").send(t, http.MethodPut, accessEntryPath+"/old?dryRun=All", entryManifest("old, resourceVersion: '"+created.Metadata.ResourceVersion+"'", "{"+c.spec+"}")).Message
		refuses(t, "change to "+c.spec, got, c.want)
	}
}

func (s *ceilingStory) unbounded(t *testing.T) {
	s.ceiling(t, "")
	s.eventually(t, "anything is possible", func() bool {
		return s.create(t, "editor", policies("our.own", inCluster)+", kubernetesGroups: [admins], username: root") == "" && s.create(t, "editor", "type: EC2_LINUX") == ""
	})
}

func (s *ceilingStory) misspelt(t *testing.T) {
	const want = "the ConfigMap kube-system/iam-authenticator-ceiling has an unknown key, policy or character"
	for _, data := range []string{"maxPolicies: AmazonEKSEditPolicy", "maxPolicy: edit", "maxPolicy: ''", `groups: 'a\E.*\Qb'`} {
		s.ceiling(t, data)
		s.eventually(t, data+" is refused", func() bool { return strings.Contains(s.create(t, "editor", "type: STANDARD"), want) })
		refuses(t, "the administrator under "+data, s.create(t, "", "type: STANDARD"), want)
		s.ceiling(t, "")
		s.eventually(t, "it is mended", func() bool { return s.create(t, "editor", "type: STANDARD") == "" })
	}
	// An empty list is not the same as none.
	s.ceiling(t, "namespaces: '', groups: ' , '")
	s.eventually(t, "no namespace and no group is possible", func() bool {
		return s.create(t, "editor", policies(policy.View, inDev)) != "" && s.create(t, "editor", "kubernetesGroups: [a]") != ""
	})
	refuses(t, "an entry without them", s.create(t, "editor", "type: STANDARD"), "")
}

func (s *ceilingStory) missing(t *testing.T) {
	adminKubectl(t, s.cluster, "-n", "kube-system", "delete", "configmap", "iam-authenticator-ceiling")
	s.eventually(t, "nobody changes entries", func() bool { return s.create(t, "editor", "type: STANDARD") != "" })
	if got := s.create(t, "", "type: STANDARD"); got == "" {
		t.Error("the administrator changes entries")
	}
	if _, err := s.cluster.Kubectl(t.Context(), "label", "accessentry", "old", "a=b"); err == nil || !strings.Contains(err.Error(), "iam-authenticator-ceiling") {
		t.Errorf("a label: %v, want it refused, as docs/access-policies.md says", err)
	}
	adminKubectl(t, s.cluster, "delete", "accessentry", "old") // which gives nothing
}
