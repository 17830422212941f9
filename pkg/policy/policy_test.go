package policy

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

// cell is one right: a verb on one resource of one API group, or on one URL.
type cell struct{ group, resource, url, verb string }

func cells(rules []rbacv1.PolicyRule) map[cell]bool {
	all := map[cell]bool{}
	for _, r := range rules {
		for _, verb := range r.Verbs {
			for _, url := range r.NonResourceURLs {
				all[cell{url: url, verb: verb}] = true
			}
			for _, group := range r.APIGroups {
				for _, resource := range r.Resources {
					all[cell{group: group, resource: resource, verb: verb}] = true
				}
			}
		}
	}
	return all
}

// published returns the rights that AWS publishes.
func published(t *testing.T) map[string]map[cell]bool {
	t.Helper()
	data, err := os.ReadFile("testdata/eks.txt")
	if err != nil {
		t.Fatal(err)
	}
	policies := map[string]map[cell]bool{}
	var name string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		row := strings.Split(line, "|")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case len(row) == 1:
			name = line
			policies[name] = map[cell]bool{}
		default:
			group := strings.TrimSpace(row[0])
			for resource := range strings.SplitSeq(row[1], ",") {
				for verb := range strings.SplitSeq(row[2], ",") {
					c := cell{group: group, resource: strings.TrimSpace(resource), verb: strings.TrimSpace(verb)}
					switch group {
					case "core":
						c.group = ""
					case "nonResourceURLs":
						c = cell{url: c.resource, verb: c.verb}
					}
					policies[name][c] = true
				}
			}
		}
	}
	return policies
}

func TestBuiltinHasTheRulesThatAWSPublishes(t *testing.T) {
	want := published(t)
	if len(want) != 6 || len(Builtin()) != 6 {
		t.Fatalf("%d policies published, %d shipped, want 6", len(want), len(Builtin()))
	}
	for _, role := range Builtin() {
		name := role.Labels[Label]
		got := cells(role.Rules)
		for c := range want[name] {
			if !got[c] {
				t.Errorf("%s lacks %+v", name, c)
			}
		}
		for c := range got {
			if !want[name][c] {
				t.Errorf("%s has %+v, which AWS does not", name, c)
			}
		}
		if role.Name != RoleName(name) || !IsBuiltin(name) || CheckName(name) != nil {
			t.Errorf("ClusterRole %s has the label %q", role.Name, name)
		}
	}
}

func TestBuiltinRolesAreNobodyElses(t *testing.T) {
	Builtin()[0].Rules[0].Verbs[0] = "changed"
	if Builtin()[0].Rules[0].Verbs[0] != "*" {
		t.Error("a change of one answer changes the next")
	}
}

func TestManifestIsFresh(t *testing.T) {
	data, err := os.ReadFile("../../deploy/policies.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for _, want := range Builtin() {
		var got rbacv1.ClusterRole
		if err := d.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.Name != want.Name || !maps.Equal(got.Labels, want.Labels) || !maps.Equal(cells(got.Rules), cells(want.Rules)) {
			t.Errorf("%s differs: run go generate ./pkg/policy", want.Name)
		}
	}
}

// The controller may bind the shipped policies, and nothing else.
func TestControllerMayBindWhatIsShipped(t *testing.T) {
	data, err := os.ReadFile("../../deploy/controller/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var may []string
	d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var role rbacv1.ClusterRole
		if d.Decode(&role) != nil {
			break
		}
		for _, rule := range role.Rules {
			if slices.Contains(rule.Verbs, "escalate") || slices.Contains(rule.Verbs, "*") || slices.Contains(rule.Verbs, "impersonate") {
				t.Errorf("%s has the verbs %q", role.Name, rule.Verbs)
			}
			if slices.Contains(rule.Verbs, "bind") {
				if len(rule.ResourceNames) == 0 {
					t.Error("it may bind every role")
				}
				may = append(may, rule.ResourceNames...)
			}
		}
	}
	var want []string
	for _, name := range names() {
		want = append(want, RoleName(name))
	}
	if slices.Sort(may); !slices.Equal(may, slices.Sorted(slices.Values(want))) {
		t.Errorf("it may bind %q, want %q", may, want)
	}
}

func TestGroupIsOneObjects(t *testing.T) {
	if got, want := Group("role.111122223333.admins", "0b9e"), "iam-authenticator.dev:access-entry:role.111122223333.admins:0b9e"; got != want {
		t.Errorf("group %q, want %q", got, want)
	}
	// No name of an object has a colon in it, nor has a UID.
	if Group("a", "b.c") == Group("a.b", "c") || Group("a", "1") == Group("a", "2") {
		t.Error("two objects have the same group")
	}
}

func TestParseARN(t *testing.T) {
	for arn, want := range map[string]string{
		"arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy":        View,
		"arn:aws-us-gov:eks::aws:cluster-access-policy/AmazonEKSViewPolicy": View,
		"arn:aws-cn:eks::aws:cluster-access-policy/our.own":                 "our.own",
		v1alpha1.PolicyARN("aws", Edit):                                     Edit,
		"arn:aws:eks::aws:cluster-access-policy/":                           "",
		"arn:moon:eks::aws:cluster-access-policy/AmazonEKSViewPolicy":       "",
		"arn:aws:iam::aws:policy/AmazonEKSViewPolicy":                       "",
		"arn:aws:eks::aws:cluster-access-policy/a/b":                        "",
		"AmazonEKSViewPolicy":                                               "",
	} {
		if got, err := ParseARN(arn); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v, want %q", arn, got, err, want)
		}
	}
}

func TestResolve(t *testing.T) {
	for name, c := range map[string]struct {
		policy   string
		labelled []string
		want     string
		err      string
	}{
		"shipped":                       {View, []string{RoleName(View)}, RoleName(View), ""},
		"shipped, beside somebody's":    {View, []string{"a", RoleName(View)}, RoleName(View), ""},
		"shipped, but not installed":    {View, nil, "", "apply deploy/policies.yaml"},
		"somebody's in the place of it": {View, []string{"cluster-admin"}, "", "apply deploy/policies.yaml"},
		"another of AWS's":              {"AmazonEKSHybridPolicy", []string{"a"}, "", "its rules are not known here"},
		"own":                           {"our.own", []string{"a"}, "a", ""},
		"own that nobody made":          {"our.own", nil, "", "no ClusterRole has the label iam-authenticator.dev/access-policy=our.own"},
		"own that two made":             {"our.own", []string{"b", "a"}, "", "want one: a, b"},
		"no label can have the name":    {"our@own", []string{"a"}, "", "can't be the value of a label"},
		"too long for a label":          {strings.Repeat("a", validation.LabelValueMaxLength+1), []string{"a"}, "", "can't be the value of a label"},
		"no name":                       {"", []string{"a"}, "", "can't be the value of a label"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Resolve(c.policy, c.labelled)
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %q, %v, want %q, %q", got, err, c.want, c.err)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, namespace string
		want               bool
	}{
		{"dev", "dev", true}, {"dev", "dev-1", false}, {"dev", "de", false}, {"dev-*", "dev-7", true}, {"dev-*", "dev-", true},
		{"dev-*", "dev", false}, {"dev-*", "xdev-7", false}, {"*", "", true}, {"*", "kube-system", true}, {"**", "a", true},
		{"*-dev", "a-dev", true}, {"*-dev", "a-dev-b", false}, {"a*b", "ab", true}, {"a*b", "aab", true}, {"a*a", "a", false},
		{"a*b*c", "axbxbxc", true}, {"a*b*c", "axcxb", false}, {"*b*", "abc", true}, {"*bb*", "abcb", false}, {"a*bc*c", "abcc", true},
		{"a*bc*c", "abc", false}, {"", "", true}, {"", "a", false},
		// Patterns within patterns.
		{"dev-*", "dev-*", true}, {"dev-*", "dev-a*", true}, {"dev-*", "dev*", false}, {"dev-*", "*", false}, {"*", "*", true},
		{"dev-a", "dev-*", false}, {"a*c", "a*b*c", true}, {"a*b*c", "a*c", false},
	} {
		if got := Matches(c.pattern, c.namespace); got != c.want {
			t.Errorf("%q matches %q: %v, want %v", c.pattern, c.namespace, got, c.want)
		}
	}
}

// FuzzMatches compares with the definition, and holds patterns within patterns to what
// they mean.
func FuzzMatches(f *testing.F) {
	f.Add("a*b", "a*", "ab")
	f.Add("**b*", "*a", "bab")
	f.Fuzz(func(t *testing.T, pattern, inner, namespace string) {
		if len(pattern)+len(inner)+len(namespace) > 60 || strings.Count(pattern+inner, "*") > 8 || strings.Contains(namespace, "*") {
			t.Skip()
		}
		if got, want := Matches(pattern, namespace), slowMatch(pattern, namespace); got != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, namespace, got, want)
		}
		if Matches(pattern, inner) && Matches(inner, namespace) && !Matches(pattern, namespace) {
			t.Errorf("%q is within %q, but %q only within the first", inner, pattern, namespace)
		}
	})
}

// slowMatch is the definition.
func slowMatch(pattern, s string) bool {
	switch {
	case pattern == "":
		return s == ""
	case pattern[0] == '*':
		return slowMatch(pattern[1:], s) || s != "" && slowMatch(pattern, s[1:])
	default:
		return s != "" && pattern[0] == s[0] && slowMatch(pattern[1:], s[1:])
	}
}
