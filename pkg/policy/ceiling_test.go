package policy

import (
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

func inCluster(name string) v1alpha1.AccessPolicy {
	return v1alpha1.AccessPolicy{PolicyARN: v1alpha1.PolicyARN("aws", name), AccessScope: v1alpha1.AccessScope{Type: v1alpha1.ScopeCluster}}
}

func inNamespaces(name string, namespaces ...string) v1alpha1.AccessPolicy {
	p := inCluster(name)
	p.AccessScope = v1alpha1.AccessScope{Type: v1alpha1.ScopeNamespace, Namespaces: namespaces}
	return p
}

// covers tells whether rules allow all that others do.
func covers(rules, others []rbacv1.PolicyRule) bool {
	have := cells(rules)
	for c := range cells(others) {
		if !have[c] && !have[cell{group: "*", resource: "*", verb: c.verb}] && !have[cell{group: "*", resource: "*", verb: "*"}] {
			return false
		}
	}
	return true
}

// The order of the policies is what their rules say.
func TestCeilingIsWhatTheRulesSay(t *testing.T) {
	for _, most := range Builtin() {
		for _, role := range Builtin() {
			max, name := most.Labels[Label], role.Labels[Label]
			err := Ceiling{MaxPolicy: max}.Allows(inCluster(name))
			if want := covers(most.Rules, role.Rules); (err == nil) != want {
				t.Errorf("%s under %s: %v, want it allowed: %v", name, max, err, want)
			}
		}
	}
}

func TestCeiling(t *testing.T) {
	dev := Ceiling{MaxPolicy: Edit, Namespaces: []string{"dev-*", "shop"}}
	for name, c := range map[string]struct {
		ceiling Ceiling
		policy  v1alpha1.AccessPolicy
		err     string
	}{
		"none":                                   {Ceiling{}, inCluster(ClusterAdmin), ""},
		"none, own policy":                       {Ceiling{}, inCluster("our.own"), ""},
		"own policy under the highest":           {Ceiling{MaxPolicy: ClusterAdmin}, inCluster("our.own"), ""},
		"own policy under another":               {Ceiling{MaxPolicy: Admin}, inCluster("our.own"), "policy our.own is not within AmazonEKSAdminPolicy"},
		"AWS's under another":                    {Ceiling{MaxPolicy: Admin}, inCluster("AmazonEKSHybridPolicy"), "is not within"},
		"highest that nobody knows":              {Ceiling{MaxPolicy: "our.own"}, inCluster(View), "is not within"},
		"no ARN":                                 {Ceiling{}, v1alpha1.AccessPolicy{PolicyARN: View}, "is not the ARN of an access policy"},
		"namespaces within":                      {dev, inNamespaces(Edit, "dev-1", "dev-*", "dev-a*", "shop"), ""},
		"too much within":                        {dev, inNamespaces(Admin, "dev-1"), "is not within AmazonEKSEditPolicy"},
		"too far":                                {dev, inNamespaces(View, "dev-1", "prod"), `namespace "prod" is not within those in which access entries may give policies: dev-*, shop`},
		"pattern that reaches further":           {dev, inNamespaces(View, "dev*"), `namespace "dev*"`},
		"pattern of everything":                  {dev, inNamespaces(View, "*"), `namespace "*"`},
		"whole cluster":                          {dev, inCluster(View), "may not give policies in the whole cluster"},
		"scope that nobody knows":                {dev, v1alpha1.AccessPolicy{PolicyARN: v1alpha1.PolicyARN("aws", View)}, "may not give policies in the whole cluster"},
		"whole cluster, but all namespaces only": {Ceiling{Namespaces: []string{"*"}}, inCluster(View), "may not give policies in the whole cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.ceiling.Allows(c.policy)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v, want %q", err, c.err)
			}
		})
	}
}

func TestCeilingCheck(t *testing.T) {
	for _, c := range []Ceiling{{}, {MaxPolicy: Edit, Namespaces: []string{"dev-*", "*"}}} {
		if err := c.Check(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []Ceiling{{MaxPolicy: "edit"}, {MaxPolicy: "our.own"}, {Namespaces: []string{""}}, {Namespaces: []string{"dev,prod"}}, {Namespaces: []string{"a", "Dev"}}} {
		if c.Check() == nil {
			t.Errorf("%+v is possible", c)
		}
	}
}
