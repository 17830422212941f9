package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

const uid = types.UID("11111111-2222-3333-4444-555555555555")

// newEntry returns an entry with policies, such as "AmazonEKSViewPolicy" for the
// cluster and "AmazonEKSViewPolicy dev-*" for namespaces.
func newEntry(policies ...string) *v1alpha1.AccessEntry {
	e := &v1alpha1.AccessEntry{ObjectMeta: metav1.ObjectMeta{Name: "alice", UID: uid, Generation: 3}}
	for _, p := range policies {
		fields := strings.Fields(p)
		ap := v1alpha1.AccessPolicy{PolicyARN: "arn:aws:eks::aws:cluster-access-policy/" + fields[0]}
		ap.AccessScope.Type = v1alpha1.ScopeCluster
		if len(fields) > 1 {
			ap.AccessScope = v1alpha1.AccessScope{Type: v1alpha1.ScopeNamespace, Namespaces: fields[1:]}
		}
		e.Spec.AccessPolicies = append(e.Spec.AccessPolicies, ap)
	}
	return e
}

// newCluster returns a cluster with the shipped roles and some namespaces, of which
// those with a ! are going.
func newCluster(namespaces ...string) cluster {
	c := cluster{roles: map[string][]string{"Widgets": {"widgets"}, "Twice": {"b", "a"}}}
	for _, role := range policy.Builtin() {
		name := role.Labels[policy.Label]
		c.roles[name] = []string{role.Name}
	}
	for _, n := range namespaces {
		name, going := strings.CutSuffix(n, "!")
		c.namespaces = append(c.namespaces, namespace{name, going})
	}
	c.sort()
	return c
}

// made returns a binding as the API server has it.
func made(e *v1alpha1.AccessEntry, policyName, role, namespace string) *binding {
	b := newBinding(e, policyName, role, namespace)
	b.uid, b.version = "binding", "1"
	return b
}

// steps shows what a plan does.
func (p *plan) steps() (all []string) {
	show := func(action string, b *binding) {
		all = append(all, fmt.Sprintf("%s %s/%s", action, b.namespace, b.role.Name))
	}
	if p.hold {
		all = append(all, "hold")
	}
	for _, b := range p.remove {
		show("delete", b)
	}
	for _, c := range p.repair {
		action := "repair"
		if c.anew {
			action = "replace"
		}
		show(action, c.want)
	}
	for _, b := range p.create {
		show("create", b)
	}
	if p.release {
		all = append(all, "release")
	}
	return all
}

func TestPlan(t *testing.T) {
	const edit, view = "iam-authenticator.dev:AmazonEKSEditPolicy", "iam-authenticator.dev:AmazonEKSViewPolicy"
	held := func(e *v1alpha1.AccessEntry) *v1alpha1.AccessEntry {
		e.Finalizers = []string{"other", finalizer}
		return e
	}
	deleted := func(e *v1alpha1.AccessEntry) *v1alpha1.AccessEntry {
		e.DeletionTimestamp = &metav1.Time{}
		*e.DeletionTimestamp = metav1.Unix(1, 0)
		return e
	}
	typed := func(e *v1alpha1.AccessEntry, kind v1alpha1.AccessEntryType) *v1alpha1.AccessEntry {
		e.Spec.Type = kind
		return e
	}
	viewer := newEntry(policy.View + " dev-*")
	edited := func(change func(*binding)) []*binding {
		b := made(viewer, policy.View, view, "dev-1")
		change(b)
		return []*binding{b}
	}
	dev := newCluster("dev-1", "prod")

	for _, c := range []struct {
		name    string
		entry   *v1alpha1.AccessEntry
		have    []*binding
		cluster cluster
		want    string
	}{
		{"no policies", newEntry(), nil, dev, ""},
		{"cluster scope", newEntry(policy.View), nil, dev, "hold, create /" + view},
		{"namespace scope", newEntry(policy.View + " prod dev-*"), nil, newCluster("a", "dev-1", "dev-2", "prod"),
			"hold, create dev-1/" + view + ", create dev-2/" + view + ", create prod/" + view},
		{"patterns that overlap", newEntry(policy.View + " dev-* *-1"), nil, dev, "hold, create dev-1/" + view},
		{"the same policy of two partitions", func() *v1alpha1.AccessEntry {
			e := newEntry(policy.View+" dev-*", policy.View+" prod")
			e.Spec.AccessPolicies[1].PolicyARN = strings.Replace(e.Spec.AccessPolicies[1].PolicyARN, ":aws:eks", ":aws-cn:eks", 1)
			return e
		}(), nil, dev, "hold, create dev-1/" + view + ", create prod/" + view},
		{"no namespace matches", newEntry(policy.View + " none-*"), nil, dev, "hold"},
		{"all in place", held(newEntry(policy.View + " dev-*")), []*binding{made(viewer, policy.View, view, "dev-1")}, dev, ""},
		{"a namespace that is going gets no binding", newEntry(policy.View + " dev-*"), nil, newCluster("dev-1", "dev-2!"), "hold, create dev-1/" + view},
		{"and keeps the one it has", held(newEntry(policy.View + " dev-*")), []*binding{made(viewer, policy.View, view, "dev-1")}, newCluster("dev-1!"), ""},
		{"a namespace that is gone", held(newEntry(policy.View + " dev-*")), []*binding{made(viewer, policy.View, view, "dev-1")}, newCluster("prod"), "delete dev-1/" + view},
		{"another policy", held(newEntry(policy.Edit + " dev-*")), []*binding{made(viewer, policy.View, view, "dev-1")}, dev, "delete dev-1/" + view + ", create dev-1/" + edit},
		{"another subject", held(newEntry(policy.View + " dev-*")), edited(func(b *binding) { b.subjects = append(b.subjects, rbacv1.Subject{Kind: "User", Name: "mallory"}) }), dev, "repair dev-1/" + view},
		{"no subject", held(newEntry(policy.View + " dev-*")), edited(func(b *binding) { b.subjects = nil }), dev, "repair dev-1/" + view},
		{"no owner", held(newEntry(policy.View + " dev-*")), edited(func(b *binding) { b.owners = nil }), dev, "repair dev-1/" + view},
		{"another role", held(newEntry(policy.View + " dev-*")), edited(func(b *binding) { b.role.Name = "cluster-admin" }), dev, "replace dev-1/" + view},
		{"a label more", held(newEntry(policy.View + " dev-*")), edited(func(b *binding) { b.labels["team"] = "a" }), dev, ""},
		{"no policies any more", held(newEntry()), []*binding{made(viewer, policy.View, view, "dev-1")}, dev, "delete dev-1/" + view + ", release"},
		{"deleted", deleted(held(newEntry(policy.View + " dev-*"))), []*binding{made(viewer, policy.View, view, "dev-1")}, dev, "delete dev-1/" + view + ", release"},
		{"deleted without the finalizer", deleted(newEntry(policy.View)), nil, dev, ""},
		{"EC2", typed(newEntry(policy.View), v1alpha1.EC2), nil, dev, "hold, create /" + view},
		{"a node type", typed(newEntry(policy.View), v1alpha1.EC2Linux), nil, dev, ""},
		{"own policy", newEntry("Widgets"), nil, dev, "hold, create /widgets"},
		{"own policy twice", newEntry("Twice"), nil, dev, "hold"},
		{"not installed, with what was bound before", held(newEntry("Gone")), []*binding{made(viewer, "Gone", "gone", "")}, dev, "delete /gone"},
		{"AWS's, not known", newEntry("AmazonEMRJobPolicy"), nil, dev, "hold"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(newPlan(c.entry, c.have, c.cluster).steps(), ", "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestCeilingKeepsPoliciesFromBeingBound(t *testing.T) {
	c := newCluster("dev-1", "prod")
	c.ceiling = policy.Ceiling{MaxPolicy: policy.Edit, Namespaces: []string{"dev-*"}}
	e := newEntry(policy.Edit+" dev-1", policy.Admin+" dev-1", policy.View, policy.SecretReader+" prod", "Widgets dev-1")
	p := newPlan(e, []*binding{made(e, policy.View, policy.RoleName(policy.View), "")}, c)
	want := []string{"hold", "delete /" + policy.RoleName(policy.View), "create dev-1/" + policy.RoleName(policy.Edit)}
	if got := p.steps(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var reasons []string
	for _, r := range p.results {
		reasons = append(reasons, r.reason)
	}
	if want := []string{reasonApplied, reasonAboveCeiling, reasonAboveCeiling, reasonAboveCeiling, reasonAboveCeiling}; !slices.Equal(reasons, want) {
		t.Errorf("reasons %v, want %v", reasons, want)
	}
}

func TestBindingBindsTheGroupOfTheEntryAlone(t *testing.T) {
	b := newBinding(newEntry(), policy.View, "role", "dev")
	want := []rbacv1.Subject{{APIGroup: "rbac.authorization.k8s.io", Kind: "Group", Name: policy.Group("alice", uid)}}
	if !slices.Equal(b.subjects, want) || b.role != (rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "role"}) {
		t.Errorf("got %+v to %+v, want %+v", b.role, b.subjects, want)
	}
}

func TestAnswersDoNotChangeWhatIsWanted(t *testing.T) {
	for _, namespace := range []string{"", "dev"} {
		b, again := newBinding(newEntry(), policy.View, "role", namespace), newBinding(newEntry(), policy.View, "role", namespace)
		answer := bindingOf(b.object())
		answer.labels["more"], answer.owners[0].Name, answer.subjects[0].Name = "more", "other", "other"
		if !again.is(b) || len(b.labels) != len(again.labels) {
			t.Errorf("got %+v, want %+v", b, again)
		}
	}
}

func TestBindingOfAnyNameCanBeStored(t *testing.T) {
	for _, name := range []string{"a", strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("long.", 50) + "end"} {
		e := newEntry()
		e.Name = name
		b := newBinding(e, policy.View, "role", "dev")
		if len(b.name) > 200 || strings.ContainsAny(b.name, "/%") {
			t.Errorf("name %q of a binding", b.name)
		}
		for key, value := range b.labels {
			if errs := validation.IsValidLabelValue(value); len(errs) > 0 {
				t.Errorf("label %s=%q: %v", key, value, errs)
			}
		}
		if !b.made() || !b.belongsTo(uid) {
			t.Errorf("%s is not known again", b.name)
		}
	}
}

func TestOnlyWhatHasNameAndLabelsWasMade(t *testing.T) {
	for name, change := range map[string]func(b *binding){
		"another name":        func(b *binding) { b.name = "cluster-admin" },
		"name of no hash":     func(b *binding) { b.name = policy.GroupPrefix + "alice" },
		"no label":            func(b *binding) { b.labels = nil },
		"manager of another":  func(b *binding) { b.labels[managedByLabel] = "helm" },
		"UID of another":      func(b *binding) { b.labels[entryLabel] = "other" },
		"policy of another":   func(b *binding) { b.labels[policy.Label] = policy.Edit },
		"name without prefix": func(b *binding) { b.name = strings.TrimPrefix(b.name, policy.GroupPrefix) },
	} {
		b := made(newEntry(), policy.View, "role", "dev")
		change(b)
		if b.made() {
			t.Errorf("%s: taken for one that the controller made, and deleted", name)
		}
	}
}

func TestEntryOfTheSameNameHasOtherBindings(t *testing.T) {
	first, second := newEntry(), newEntry()
	second.UID = "another"
	a, b := newBinding(first, policy.View, "role", ""), newBinding(second, policy.View, "role", "")
	if a.name == b.name || a.belongsTo(second.UID) || a.subjects[0] == b.subjects[0] {
		t.Errorf("%+v and %+v are the same to the controller", a, b)
	}
}

func TestDryRun(t *testing.T) {
	const view = "iam-authenticator.dev:AmazonEKSViewPolicy"
	e := newEntry(policy.View+" dev-* taken stripped", "AmazonEMRJobPolicy")
	gone := newEntry()
	gone.UID = "gone"
	taken := made(e, policy.View, "theirs", "taken")
	taken.labels, taken.owners = nil, nil
	stripped := made(e, policy.View, view, "stripped")
	stripped.labels = nil
	all := map[types.NamespacedName]*binding{}
	for _, b := range []*binding{taken, stripped, made(gone, policy.View, view, "dev-1"), {name: "foreign"}} {
		all[b.key()] = b
	}

	p := dryRun([]v1alpha1.AccessEntry{*e, *newEntry()}, all, newCluster("dev-1", "stripped", "taken"))
	var got []string
	for _, s := range p.Steps {
		got = append(got, s.Action+" "+s.Namespace)
	}
	if want := []string{"hold ", "create dev-1", "repair stripped", "delete dev-1"}; !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
	if len(p.Problems) != 2 || !strings.Contains(p.Problems[0], "left alone") || !strings.Contains(p.Problems[1], "AmazonEMRJobPolicy is AWS's") || p.Entries != 1 {
		t.Errorf("%d entries with policies, problems %q", p.Entries, p.Problems)
	}
	var table, doc strings.Builder
	if err := p.PrintTable(&table); err != nil {
		t.Fatal(err)
	}
	if err := p.PrintYAML(&doc); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(table.String(), "\n"); lines != 5 || !strings.Contains(doc.String(), "\n    kind: RoleBinding\n") {
		t.Errorf("got\n%s\n%s", &table, &doc)
	}
}
