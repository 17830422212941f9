package controller

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

var roleBindings = schema.GroupResource{Group: "rbac.authorization.k8s.io", Resource: "rolebindings"}

func TestConditionSaysWhatIsBoundWhere(t *testing.T) {
	c := newCluster("dev-1", "dev-2", "dev-3!")
	forbidden := apierrors.NewForbidden(roleBindings, "b", errors.New("no"))
	escalation := apierrors.NewForbidden(roleBindings, "b", errors.New("user \"c\" is attempting to grant RBAC permissions not currently held:\n{...}"))
	for _, test := range []struct {
		policies string
		failed   map[string]error // by namespace
		want     string
	}{
		{policy.View, nil, "True Applied AmazonEKSViewPolicy is bound in the cluster"},
		{policy.View + " dev-*", nil, "True Applied AmazonEKSViewPolicy is bound in 2 namespaces"},
		{policy.View + " dev-1", nil, "True Applied AmazonEKSViewPolicy is bound in 1 namespace"},
		{policy.View + " x-*", nil, "True Applied AmazonEKSViewPolicy is bound in no namespace: none matches"},
		{policy.View + ",Foo", nil, "False PolicyNotInstalled AmazonEKSViewPolicy is bound in the cluster; policy Foo: no ClusterRole has the label iam-authenticator.dev/access-policy=Foo"},
		{policy.ClusterAdmin + ",Foo", nil, "False AboveCeiling policy AmazonEKSClusterAdminPolicy is not within AmazonEKSAdminPolicy, which is the most that access entries may give; policy Foo is not within AmazonEKSAdminPolicy, which is the most that access entries may give"},
		{policy.View + " dev-*", map[string]error{"dev-1": errNameTaken},
			"False NameTaken create RoleBinding dev-1/NAME: an object of that name is there, and not the controller's: it is left alone; delete it or rename it; AmazonEKSViewPolicy is bound in 1 of 2 namespaces"},
		{policy.View + " dev-*", map[string]error{"dev-1": forbidden, "dev-2": forbidden},
			`False MissingRight create RoleBinding dev-1/NAME: rolebindings.rbac.authorization.k8s.io "b" is forbidden: no (and 1 more); AmazonEKSViewPolicy is bound in 0 of 2 namespaces`},
		{policy.View, map[string]error{"": escalation},
			"False MissingRight create ClusterRoleBinding NAME: the controller may not bind ClusterRole iam-authenticator.dev:AmazonEKSViewPolicy: allow it the verb bind on that ClusterRole (docs/access-policies.md); AmazonEKSViewPolicy is not bound in the cluster"},
		{policy.View, map[string]error{"": errors.New("connection refused")},
			"False Failed create ClusterRoleBinding NAME: connection refused; AmazonEKSViewPolicy is not bound in the cluster"},
	} {
		c.ceiling = policy.Ceiling{}
		if strings.HasPrefix(test.policies, policy.ClusterAdmin) {
			c.ceiling.MaxPolicy = policy.Admin
		}
		e := newEntry(strings.Split(test.policies, ",")...)
		p := newPlan(e, nil, c)
		var failures []failure
		name := ""
		for _, b := range p.create {
			name = b.name
			if f := failed(ActionCreate, b, test.failed[b.namespace]); f != nil {
				failures = append(failures, *f)
			}
		}
		got := condition(e, p.results, failures, time.Unix(5, 0))
		text := string(got.Status) + " " + got.Reason + " " + got.Message
		if name != "" {
			text = strings.ReplaceAll(text, name, "NAME")
		}
		if text != test.want || got.ObservedGeneration != 3 || got.LastTransitionTime.Unix() != 5 {
			t.Errorf("%s %v:\ngot  %s\nwant %s\n%+v", test.policies, test.failed, text, test.want, got)
		}
	}
	if c := condition(newEntry(), nil, nil, time.Now()); c != nil {
		t.Errorf("an entry without policies says %+v", c)
	}
}

func TestConditionChangesItsTimeWithItsStatusOnly(t *testing.T) {
	e := newEntry(policy.View)
	first := condition(e, newPlan(e, nil, newCluster()).results, nil, time.Unix(5, 0))
	e.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionAccepted}, *first}
	if again := condition(e, newPlan(e, nil, newCluster()).results, nil, time.Unix(9, 0)); !same(first, again) || !same(reported(e), again) {
		t.Errorf("the same is reported as %+v and %+v, and written again", first, again)
	}
	e.Generation++
	if later := condition(e, newPlan(e, nil, newCluster()).results, nil, time.Unix(9, 0)); same(first, later) || later.LastTransitionTime != first.LastTransitionTime {
		t.Errorf("another generation: %+v", later)
	}
	if worse := condition(e, newPlan(e, nil, cluster{}).results, nil, time.Unix(9, 0)); worse.LastTransitionTime.Unix() != 9 {
		t.Errorf("another status: %+v", worse)
	}
}

func TestWhatTheCacheWillTellIsNoFailure(t *testing.T) {
	b := newBinding(newEntry(), policy.View, "role", "dev")
	conflict := apierrors.NewConflict(roleBindings, "b", errors.New("changed"))
	terminating := &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}}}}
	for _, err := range []error{nil, conflict, terminating, apierrors.NewNotFound(roleBindings, "b")} {
		if f := failed(ActionRepair, b, err); f != nil {
			t.Errorf("%v is a failure", err)
		}
	}
	if failed(ActionCreate, b, conflict) == nil {
		t.Error("a conflict with an object that the cache doesn't have is no failure, and never looked at again")
	}
}

func TestPendingWaitsForTheCache(t *testing.T) {
	now := time.Unix(0, 0)
	p := newPending(func() time.Time { return now })
	key := types.NamespacedName{Namespace: "dev", Name: "b"}
	in := func(cached, version string) bool {
		return p.seen(uid, func(types.NamespacedName) (types.UID, string) { return types.UID(cached), version })
	}
	if !in("", "") {
		t.Error("waits for nothing")
	}
	for _, c := range []struct {
		name            string
		written         written
		cached, version string
		seen            bool
	}{
		{"created, not there yet", written{uid: "a", version: "10"}, "", "", false},
		{"created and there", written{uid: "a", version: "10"}, "a", "10", true},
		{"created and changed since", written{uid: "a", version: "10"}, "a", "11", true},
		{"repaired, still as before", written{uid: "a", version: "10"}, "a", "9", false},
		{"created, and another since", written{uid: "a", version: "10"}, "b", "12", true},
		{"deleted, still there", written{uid: "a", deleted: true}, "a", "9", false},
		{"deleted and gone", written{uid: "a", deleted: true}, "", "", true},
		{"deleted, and another since", written{uid: "a", deleted: true}, "b", "12", true},
	} {
		p.add(uid, key, c.written)
		if got := in(c.cached, c.version); got != c.seen {
			t.Errorf("%s: seen %t, want %t", c.name, got, c.seen)
		}
		now = now.Add(pendingTimeout + 1)
		if !in(c.cached, c.version) || len(p.writes) != 0 {
			t.Errorf("%s: waited for longer than %s", c.name, pendingTimeout)
		}
	}
}

func TestMetricsAndReasonsAreDocumented(t *testing.T) {
	operations, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/access-controller.md")
	if err != nil {
		t.Fatal(err)
	}
	m := newMetrics()
	m.wrote(ActionCreate, "RoleBinding")
	m.set(uid, tally{reason: reasonApplied, bindings: 2})
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.Contains(string(operations), "`"+f.GetName()+"`") {
			t.Errorf("the metric %s is not in docs/operations.md", f.GetName())
		}
	}
	for _, reason := range Reasons() {
		if !strings.Contains(string(page), "`"+reason+"`") {
			t.Errorf("the reason %s is not in docs/access-controller.md", reason)
		}
	}
	m.set(uid, tally{})
	if len(m.entries) != 0 {
		t.Error("an entry without policies is counted")
	}
}
