package entries

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

func TestNameFollowsThePrincipal(t *testing.T) {
	for _, c := range []struct{ arn, want string }{
		{"arn:aws:iam::111122223333:role/admins", "role.111122223333.admins"},
		{"arn:aws:iam::111122223333:role/Admins", "role.111122223333.admins"},
		{"arn:aws:iam::111122223333:role/team/Admins", "role.111122223333.admins"},
		{"arn:aws:sts::111122223333:assumed-role/admins/session", "role.111122223333.admins"},
		{"arn:aws:iam::111122223333:role/a--b", "role.111122223333.a--b"},
		{"arn:aws:iam::111122223333:user/alice", "user.111122223333.alice"},
		{"arn:aws-cn:iam::111122223333:role/admins", "aws-cn.role.111122223333.admins"},
		// These must stay as they are: entries are found by them in people's manifests.
		{"arn:aws:iam::111122223333:user/alice@example.com", "user.111122223333.alice-example-com.57fc83975232d0e8"},
		{"arn:aws:iam::111122223333:user/ci/a@example.com", "user.111122223333.ci-a-example-com.b7bdb07a2a6dd3c5"},
		{"arn:aws:iam::111122223333:role/AWSReservedSSO_Admin_0123456789abcdef", "role.111122223333.awsreservedsso-admin-0123456789abcdef."},
		{"arn:aws:iam::111122223333:role/a.b", "role.111122223333.a-b."},
		{"arn:aws:iam::111122223333:role/-a-", "role.111122223333.a."},
		{"arn:aws:iam::111122223333:role/_", "role.111122223333.x."},
	} {
		if got := Name(principal(t, c.arn)); !strings.HasPrefix(got, c.want) || !strings.HasSuffix(c.want, ".") && got != c.want {
			t.Errorf("%s: %s, want %s", c.arn, got, c.want)
		}
	}
}

// FuzzName holds to the rules that names of objects have, and that two principals never
// share one.
func FuzzName(f *testing.F) {
	for _, name := range []string{"a", "A", "a.b", "a-b", "a_b", "_", "-", "0123456789abcdef", "x.0123456789abcdef", "t/a", "t:u/a", strings.Repeat("p", 510) + "/a", strings.Repeat("n", 64)} {
		f.Add(name, "a-b", true)
		f.Add(name, name, false)
	}
	f.Fuzz(func(t *testing.T, name, other string, users bool) {
		kind := "role/"
		if users {
			kind = "user/"
		}
		a, err := iam.ParsePrincipal("arn:aws:iam::111122223333:" + kind + name)
		if err != nil {
			t.Skip()
		}
		if problems := validation.IsDNS1123Subdomain(Name(a)); len(problems) > 0 {
			t.Errorf("%s: name %q: %v", a.Canonical(), Name(a), problems)
		}
		b, err := iam.ParsePrincipal("arn:aws:iam::111122223333:role/" + other)
		if err != nil {
			t.Skip()
		}
		if (Name(a) == Name(b)) != a.Same(b) {
			t.Errorf("%s and %s: names %s and %s", a.Canonical(), b.Canonical(), Name(a), Name(b))
		}
	})
}

func principal(t *testing.T, arn string) iam.Principal {
	t.Helper()
	p, err := iam.ParsePrincipal(arn)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
