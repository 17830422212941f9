package entries

import (
	"reflect"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

func TestPolicyARNUnderstandsNames(t *testing.T) {
	const arn = "arn:aws:eks::aws:cluster-access-policy/"
	for _, c := range []struct {
		text, partition, want string
		known                 bool
	}{
		{"view", "aws", arn + "AmazonEKSViewPolicy", true},
		{"Cluster-Admin", "aws", arn + "AmazonEKSClusterAdminPolicy", true},
		{"AmazonEKSEditPolicy", "aws", arn + "AmazonEKSEditPolicy", true},
		{"amazoneksadminpolicy", "aws", arn + "AmazonEKSAdminPolicy", true},
		{arn + "AmazonEKSViewPolicy", "aws", arn + "AmazonEKSViewPolicy", true},
		{arn + "amazoneksviewpolicy", "aws", arn + "AmazonEKSViewPolicy", true},
		{arn + "AmazonEMRJobPolicy", "aws", arn + "AmazonEMRJobPolicy", false},
		{arn + "view", "aws", arn + "view", false}, // a short name is none in an ARN
		{"secret-reader", "aws-us-gov", "arn:aws-us-gov:eks::aws:cluster-access-policy/AmazonEKSSecretReaderPolicy", true},
	} {
		got, known, err := PolicyARN(c.text, c.partition)
		if err != nil || got != c.want || known != c.known {
			t.Errorf("%s in %s: %s %v, %v, want %s %v", c.text, c.partition, got, known, err, c.want, c.known)
		}
	}
	for text, want := range map[string]string{
		"veiw":                `did you mean "view"?`,
		"AmazonEKSVeiwPolicy": `did you mean "AmazonEKSViewPolicy"?`,
		"":                    "not known",
		"everything-there-is": "give the ARN",
		strings.Replace(arn, ":aws:", ":aws-cn:", 1) + "AmazonEKSViewPolicy": "not of the partition aws",
	} {
		if got, _, err := PolicyARN(text, "aws"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v, want an error with %q", text, got, err, want)
		}
	}
}

func TestPoliciesAreValidInEveryPartition(t *testing.T) {
	for _, p := range Policies() {
		for _, partition := range []string{"aws", "aws-cn", "aws-us-gov"} {
			e := v1alpha1.AccessEntry{Spec: v1alpha1.AccessEntrySpec{PrincipalARN: "arn:" + partition + ":iam::111122223333:role/a"}}
			Associate(&e, p.ARN(partition), v1alpha1.AccessScope{Type: v1alpha1.ScopeCluster})
			if err := Validate(&e); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestParseScopeAsTheAWSCLIDoes(t *testing.T) {
	for text, want := range map[string]v1alpha1.AccessScope{
		"type=cluster":                        {Type: v1alpha1.ScopeCluster},
		"type=namespace,namespaces=a":         {Type: v1alpha1.ScopeNamespace, Namespaces: []string{"a"}},
		"type=namespace,namespaces=a,b,dev-*": {Type: v1alpha1.ScopeNamespace, Namespaces: []string{"a", "b", "dev-*"}},
		"namespaces=a,b,type=namespace":       {Type: v1alpha1.ScopeNamespace, Namespaces: []string{"a", "b"}},
		"type=everywhere":                     {Type: "everywhere"}, // Validate names what there is
	} {
		if got, err := ParseScope(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "cluster", "type", "type=", "namespace,namespaces=a", "namespaces=a", "type=namespace,namespaces=", "type=namespace,namespaces=a,,b",
		"type=cluster,type=namespace", "type=namespace,namespaces=a,namespaces=b", "type=namespace,namespace=a", "type=cluster,b",
	} {
		if got, err := ParseScope(text); err == nil || !strings.Contains(err.Error(), "want type=cluster, or type=namespace") {
			t.Errorf("%q: %+v, %v, want an error that says what is wanted", text, got, err)
		}
	}
}

func FuzzParseScope(f *testing.F) {
	f.Add("type=namespace,namespaces=a,b")
	f.Add("namespaces=,type=,=")
	f.Fuzz(func(t *testing.T, text string) {
		scope, err := ParseScope(text)
		if err != nil {
			return
		}
		// What is understood says the same when it is written down.
		written := "type=" + string(scope.Type)
		if len(scope.Namespaces) > 0 {
			written += ",namespaces=" + strings.Join(scope.Namespaces, ",")
		}
		if again, err := ParseScope(written); err != nil || !reflect.DeepEqual(again, scope) {
			t.Errorf("%q: %+v, written %q: %+v, %v", text, scope, written, again, err)
		}
	})
}

func TestAssociateReplacesTheScope(t *testing.T) {
	e := &v1alpha1.AccessEntry{}
	cluster, team := v1alpha1.AccessScope{Type: v1alpha1.ScopeCluster}, v1alpha1.AccessScope{Type: v1alpha1.ScopeNamespace, Namespaces: []string{"team"}}
	Associate(e, "arn:view", cluster)
	Associate(e, "arn:edit", cluster)
	Associate(e, "arn:view", team)
	want := []v1alpha1.AccessPolicy{{PolicyARN: "arn:view", AccessScope: team}, {PolicyARN: "arn:edit", AccessScope: cluster}}
	if !reflect.DeepEqual(e.Spec.AccessPolicies, want) {
		t.Errorf("%+v, want %+v", e.Spec.AccessPolicies, want)
	}
	if err := Disassociate(e, "arn:view"); err != nil || !reflect.DeepEqual(e.Spec.AccessPolicies, want[1:]) {
		t.Errorf("%+v, %v, want %+v", e.Spec.AccessPolicies, err, want[1:])
	}
	if err := Disassociate(e, "arn:view"); err == nil || !strings.Contains(err.Error(), "has no policy arn:view: it has arn:edit") {
		t.Errorf("%v, want an error that names the policies there are", err)
	}
}
