package v1alpha1

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/internal/apistest"
	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// e2e gives the same cases to the schema.
func TestValidateAsTheSchemaDoes(t *testing.T) {
	for _, c := range apistest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			entry := parse(t, c.Spec)
			errs := entry.Validate()
			if c.Old != "" {
				old := parse(t, c.Old)
				if errs := old.Validate(); len(errs) > 0 {
					t.Fatalf("what stands already is invalid: %v", errs)
				}
				errs = entry.ValidateUpdate(old)
			}
			if c.SchemaOnly != "" {
				return
			}
			for _, want := range c.Problems {
				i := slices.IndexFunc(errs, func(e *field.Error) bool {
					return e.Field == want.Field && strings.HasSuffix(e.ErrorBody(), want.Message)
				})
				if i < 0 {
					t.Errorf("%s: no error that says %q", want.Field, want.Message)
					continue
				}
				errs = slices.Delete(errs, i, i+1)
			}
			for _, e := range errs {
				t.Errorf("unexpected: %v", e)
			}
		})
	}
}

func TestValidateRefusesWhatIsNoText(t *testing.T) {
	for name, change := range map[string]func(*AccessEntrySpec){
		"principal":    func(s *AccessEntrySpec) { s.PrincipalARN += "\xff" },
		"principal ID": func(s *AccessEntrySpec) { s.PrincipalID = "A\xff" },
		"username":     func(s *AccessEntrySpec) { s.Username = "a\xff" },
		"group":        func(s *AccessEntrySpec) { s.KubernetesGroups = []string{"a\xff"} },
	} {
		entry := parse(t, `{principalARN: "arn:aws:iam::111122223333:role/Admins"}`)
		if change(&entry.Spec); len(entry.Validate()) != 1 {
			t.Errorf("%s that is not UTF-8: errors %v, want one", name, entry.Validate())
		}
	}
}

// The schema names the partitions in a pattern, which generating can't do.
func TestSchemaKnowsEveryPartition(t *testing.T) {
	var tested []string
	for _, c := range apistest.Cases() {
		if partition, ok := strings.CutPrefix(c.Name, "role in the partition "); ok && len(c.Problems) == 0 {
			tested = append(tested, partition)
		}
	}
	if want := iam.PartitionIDs(); !slices.Equal(tested, want) {
		t.Errorf("the cases have the partitions %v, the SDK %v: add them there and to the markers", tested, want)
	}
}

func FuzzValidate(f *testing.F) {
	for _, c := range apistest.Cases() {
		s := parse(f, c.Spec).Spec
		group := ""
		if len(s.KubernetesGroups) > 0 {
			group = s.KubernetesGroups[0]
		}
		f.Add(s.PrincipalARN, s.PrincipalID, string(s.Type), s.Username, group, "arn:aws:eks::aws:cluster-access-policy/View", "namespace", "dev-*")
	}
	f.Fuzz(func(t *testing.T, arn, id, kind, username, group, policy, scope, namespace string) {
		e := &AccessEntry{Spec: AccessEntrySpec{
			PrincipalARN: arn, PrincipalID: id, Type: AccessEntryType(kind), Username: username,
			AccessPolicies: []AccessPolicy{{PolicyARN: policy, AccessScope: AccessScope{Type: AccessScopeType(scope), Namespaces: []string{namespace}}}},
		}}
		if group != "" {
			e.Spec.KubernetesGroups = []string{group}
		}
		name, groups := e.Defaults()
		if len(e.ValidateUpdate(e)) > 0 {
			e.Spec.AccessPolicies = nil // most types have none
			if len(e.Validate()) > 0 {
				return
			}
		}
		p, err := iam.ParsePrincipal(arn)
		if err != nil || p.SessionName != "" || p.Kind != iam.Role && p.Kind != iam.User {
			t.Fatalf("accepted %q, which is %+v, %v", arn, p, err)
		}
		// What is accepted is spelt as AWS does: canonical but for the path of a role.
		if spelt := "arn:" + p.Partition + ":iam::" + p.Account + ":" + p.Kind.String() + p.Path + p.Name; spelt != arn {
			t.Errorf("accepted %q, which is read as %q", arn, spelt)
		}
		if p.Kind == iam.User && p.Canonical() != arn {
			t.Errorf("accepted %q, of which the canonical form is %q", arn, p.Canonical())
		}
		// A default is a name that the rules let pass, or that of a node.
		if strings.HasPrefix(name, "system:node:") {
			return
		}
		e.Spec.Username, e.Spec.KubernetesGroups = name, groups
		if errs := e.Validate(); name == "" || len(errs) > 0 {
			t.Errorf("default username %q of %q: %v", name, arn, errs)
		}
	})
}

func parse(t testing.TB, spec string) *AccessEntry {
	t.Helper()
	e := &AccessEntry{}
	if err := yaml.UnmarshalStrict([]byte(spec), &e.Spec); err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	return e
}
