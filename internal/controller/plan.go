package controller

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// finalizer holds an entry until its bindings are gone.
const finalizer = v1alpha1.GroupName + "/access-policies"

// cluster is what the bindings of entries depend on.
type cluster struct {
	namespaces []namespace         // in the order of their names
	roles      map[string][]string // the ClusterRoles that bear the label of a policy
	ceiling    policy.Ceiling
}

type namespace struct {
	name        string
	terminating bool
}

// plan is what is to be done for an entry, in this order.
type plan struct {
	entry *v1alpha1.AccessEntry

	hold    bool       // put the finalizer on the entry
	remove  []*binding // as they are
	repair  []change
	create  []*binding
	release bool // take the finalizer off

	results []result // in the order of the entry's policies
}

// change is a binding that is not what it should be.
type change struct {
	have, want *binding
	// anew: it refers to another role, which can't be changed, and so is deleted and
	// created.
	anew bool
}

// result is what becomes of a policy of an entry.
type result struct {
	policy     string // its name, or its ARN if that names none
	scope      v1alpha1.AccessScopeType
	reason     string // why it is not in force; reasonApplied if it is
	problem    string
	namespaces int // that it is for
	failed     int // bindings of it that could not be made
}

// newPlan works out what an entry lacks. The bindings are those that the controller
// made for it.
func newPlan(e *v1alpha1.AccessEntry, have []*binding, c cluster) *plan {
	p := &plan{entry: e}
	wanted := map[types.NamespacedName]*binding{}
	if policies := policiesOf(e); len(policies) > 0 {
		p.hold = !slices.Contains(e.Finalizers, finalizer)
		for _, ap := range policies {
			p.results = append(p.results, want(wanted, e, ap, c))
		}
	} else {
		p.release = slices.Contains(e.Finalizers, finalizer)
	}

	for _, b := range have {
		w, ok := wanted[b.key()]
		switch {
		case !ok:
			p.remove = append(p.remove, b)
		case !b.is(w):
			p.repair = append(p.repair, change{have: b, want: w, anew: b.role != w.role})
		}
		delete(wanted, b.key())
	}
	for _, b := range wanted {
		// Nothing can be created in a namespace that is going, but what is there stays
		// until it has gone: people look at how that goes.
		if !c.terminating(b.namespace) {
			p.create = append(p.create, b)
		}
	}
	slices.SortFunc(p.create, compareBindings)
	slices.SortFunc(p.remove, compareBindings)
	slices.SortFunc(p.repair, func(a, b change) int { return compareBindings(a.want, b.want) })
	return p
}

// policiesOf returns the policies of an entry that is to have bindings.
func policiesOf(e *v1alpha1.AccessEntry) []v1alpha1.AccessPolicy {
	if !e.DeletionTimestamp.IsZero() {
		return nil
	}
	switch e.Spec.Type {
	case "", v1alpha1.Standard, v1alpha1.EC2:
		return e.Spec.AccessPolicies
	default: // refused by the schema, and given no group
		return nil
	}
}

// want adds the bindings of a policy.
func want(wanted map[types.NamespacedName]*binding, e *v1alpha1.AccessEntry, ap v1alpha1.AccessPolicy, c cluster) result {
	r := result{policy: ap.PolicyARN, scope: ap.AccessScope.Type, reason: reasonApplied}
	name, err := policy.ParseARN(ap.PolicyARN)
	if err != nil {
		r.reason, r.problem = reasonInvalidPolicy, err.Error()
		return r
	}
	r.policy = name
	if err := c.ceiling.Allows(ap); err != nil {
		r.reason, r.problem = reasonAboveCeiling, err.Error()
		return r
	}
	role, err := policy.Resolve(name, c.roles[name])
	if err != nil {
		r.reason, r.problem = reasonNotInstalled, err.Error()
		return r
	}
	add := func(namespace string) {
		b := newBinding(e, name, role, namespace)
		wanted[b.key()] = b
	}
	if r.scope == v1alpha1.ScopeCluster {
		add("")
		return r
	}
	for _, n := range c.namespaces {
		if reaches(ap, n.name) {
			add(n.name)
			if !n.terminating {
				r.namespaces++
			}
		}
	}
	return r
}

// reaches tells whether a policy is for a namespace.
func reaches(ap v1alpha1.AccessPolicy, namespace string) bool {
	return ap.AccessScope.Type == v1alpha1.ScopeNamespace &&
		slices.ContainsFunc(ap.AccessScope.Namespaces, func(pattern string) bool { return policy.Matches(pattern, namespace) })
}

func (c *cluster) terminating(name string) bool {
	i, ok := slices.BinarySearchFunc(c.namespaces, name, func(n namespace, name string) int { return cmp.Compare(n.name, name) })
	return ok && c.namespaces[i].terminating
}

// sort puts what came in any order in one order.
func (c *cluster) sort() {
	slices.SortFunc(c.namespaces, func(a, b namespace) int { return cmp.Compare(a.name, b.name) })
	for _, name := range slices.Collect(maps.Keys(c.roles)) {
		slices.Sort(c.roles[name])
	}
}

func compareBindings(a, b *binding) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
}
