package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// With exactly the rights of deploy/controller/rbac.yaml the controller does all that it should; without any one of them
// it says which.
func controllerNamesTheRightThatItLacks(t *testing.T, b *controllerBed) {
	manifest, err := os.ReadFile("../deploy/controller/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	adminKubectl(t, b.Cluster, "create", "-f", "../deploy/controller/rbac.yaml")
	token := adminKubectl(t, b.Cluster, "create", "token", "-n", "kube-system", "iam-authenticator-controller")
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, tokenKubeconfig(b.Server, b.CAFile, strings.TrimSpace(token)), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func(t *testing.T, flags ...string) *exec.Cmd {
		return b.startWith(t, append(flags, "--kubeconfig", kubeconfig, "--leader-elect", "--leader-elect-namespace=kube-system")...)
	}
	rights := rightsOf(t, manifest)
	if len(rights) < 20 {
		t.Fatalf("%d rights in the manifest, want more", len(rights))
	}

	b.create(t, newNamespace("dev"), entryWith("kept", policy.Edit+" dev", policy.View))
	for i := range rights {
		b.create(t, entryWith(fmt.Sprintf("gone-%d", i), policy.Edit+" dev", policy.View))
	}
	all := start(t)
	until(t, "with all rights", func() error { return b.converged(t.Context()) })
	end(all, syscall.SIGTERM)
	if log, err := os.ReadFile(b.log(t)); err != nil || strings.Contains(string(log), "forbidden") {
		t.Errorf("with all rights something is forbidden (%v):\n%s", err, log)
	}

	for i, r := range rights {
		t.Run(r.String(), func(t *testing.T) {
			if r.resource == "events" && r.verb == "patch" {
				t.Skip("needed only for an event that repeats another")
			}
			gone := entryWith(fmt.Sprintf("gone-%d", i))
			b.update(t, gone.Name, func(e *v1alpha1.AccessEntry) { e.Finalizers = nil })
			b.delete(t, gone)         // and its bindings stay
			b.editBindings(t, "kept") // so that they are read, and repaired
			adminKubectl(t, b.Cluster, "delete", "lease", "-n", "kube-system", "--all")
			fresh := entryWith(fmt.Sprintf("new-%d", i), policy.Edit+" dev", policy.View)
			b.create(t, fresh)

			withdraw(t, b.admin, r)
			defer restore(t, b.admin, r)
			var flags []string
			if r.verb == "list" {
				flags = append(flags, "--dry-run") // a watch of this API server begins with a list of its own
			}
			running := start(t, flags...)
			defer end(running, syscall.SIGKILL)
			until(t, "named", func() error {
				log, err := os.ReadFile(b.log(t))
				if err == nil && !strings.Contains(strings.ReplaceAll(string(log), `\`, ""), r.message()) {
					err = fmt.Errorf("the log doesn't say %q", r.message())
				}
				return err
			})
		})
		// What it could not do without one right it does with all.
		if r.verb == "bind" || r.verb == "create" && r.resource == "rolebindings" {
			running := start(t)
			until(t, "with all rights again", func() error { return b.converged(t.Context()) })
			end(running, syscall.SIGTERM)
		}
	}
}

// grantedRight is a verb on a resource in a rule of a role.
type grantedRight struct {
	role           client.Object
	rule           int
	verb, resource string
}

func (r grantedRight) String() string {
	return r.verb + " " + r.resource + " " + r.role.GetNamespace()
}

// message is what is to be said if the right is missing.
func (r grantedRight) message() string {
	if r.verb == "bind" {
		return "may not bind ClusterRole iam-authenticator.dev:AmazonEKSViewPolicy"
	}
	return fmt.Sprintf("cannot %s resource %q", r.verb, r.resource)
}

// rulesOf returns the rules of a role.
func rulesOf(role client.Object) []rbacv1.PolicyRule {
	switch role := role.(type) {
	case *rbacv1.ClusterRole:
		return role.Rules
	case *rbacv1.Role:
		return role.Rules
	default:
		return nil
	}
}

// rightsOf returns all rights in a manifest.
func rightsOf(t *testing.T, manifest []byte) (all []grantedRight) {
	t.Helper()
	for document := range strings.SplitSeq(string(manifest), "\n---\n") {
		var role client.Object
		switch {
		case strings.Contains(document, "\nkind: ClusterRole\n"):
			role = &rbacv1.ClusterRole{}
		case strings.Contains(document, "\nkind: Role\n"):
			role = &rbacv1.Role{}
		default:
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(document), role); err != nil {
			t.Fatal(err)
		}
		for i, rule := range rulesOf(role) {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					all = append(all, grantedRight{role: role, rule: i, verb: verb, resource: resource})
				}
			}
		}
	}
	return all
}

// withdraw takes a right from the program, and restore gives it back.
func withdraw(t *testing.T, admin client.Client, r grantedRight) {
	t.Helper()
	less := r.role.DeepCopyObject().(client.Object)
	set := rulesOf(less)
	rule := &set[r.rule]
	other := *rule.DeepCopy()
	other.Resources = slices.DeleteFunc(slices.Clone(rule.Resources), func(s string) bool { return s == r.resource })
	rule.Resources = []string{r.resource}
	rule.Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(s string) bool { return s == r.verb })
	if len(rule.Verbs) == 0 {
		rule.Verbs = []string{"none"}
	}
	if len(other.Resources) > 0 {
		set = append(set, other)
	}
	switch less := less.(type) {
	case *rbacv1.ClusterRole:
		less.Rules = set
	case *rbacv1.Role:
		less.Rules = set
	}
	if err := admin.Update(t.Context(), less); err != nil {
		t.Fatal(err)
	}
}

func restore(t *testing.T, admin client.Client, r grantedRight) {
	t.Helper()
	if err := admin.Update(t.Context(), r.role.DeepCopyObject().(client.Object)); err != nil {
		t.Error(err)
	}
}
