package iam

import (
	"strings"
	"testing"
)

func TestParsePrincipalCanonical(t *testing.T) {
	long := strings.Repeat("n", 64)
	cases := []struct {
		name      string
		arn       string
		canonical string
		kind      Kind
		session   string
	}{
		{"user", "arn:aws:iam::111122223333:user/alice", "arn:aws:iam::111122223333:user/alice", User, ""},
		{"user with path", "arn:aws:iam::111122223333:user/eng/eu/alice", "arn:aws:iam::111122223333:user/eng/eu/alice", User, ""},
		{"role", "arn:aws:iam::111122223333:role/admins", "arn:aws:iam::111122223333:role/admins", Role, ""},
		{"role with path", "arn:aws:iam::111122223333:role/a/b/c/admins", "arn:aws:iam::111122223333:role/admins", Role, ""},
		{"SSO role with path", "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Ops_0123456789abcdef",
			"arn:aws:iam::111122223333:role/AWSReservedSSO_Ops_0123456789abcdef", Role, ""},
		{"colon in a path", "arn:aws:iam::111122223333:role/a:b/admins", "arn:aws:iam::111122223333:role/admins", Role, ""},
		{"session", "arn:aws:sts::111122223333:assumed-role/admins/alice", "arn:aws:iam::111122223333:role/admins", Role, "alice"},
		{"session with every odd character", "arn:aws:sts::111122223333:assumed-role/a_+=,.@-b/c_+=,.@-d", "arn:aws:iam::111122223333:role/a_+=,.@-b", Role, "c_+=,.@-d"},
		{"instance session", "arn:aws:sts::111122223333:assumed-role/node/i-0123456789abcdef0", "arn:aws:iam::111122223333:role/node", Role, "i-0123456789abcdef0"},
		{"federated user", "arn:aws:sts::111122223333:federated-user/bob", "arn:aws:sts::111122223333:federated-user/bob", FederatedUser, ""},
		{"root", "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:root", Root, ""},
		{"letter case of fixed parts", "ARN:AWS:IAM::111122223333:ROLE/Admins", "arn:aws:iam::111122223333:role/Admins", Role, ""},
		{"longest name", "arn:aws:iam::111122223333:role/" + long, "arn:aws:iam::111122223333:role/" + long, Role, ""},
		{"leading zeros", "arn:aws:iam::000000000012:role/r", "arn:aws:iam::000000000012:role/r", Role, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := ParsePrincipal(c.arn)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Canonical(); got != c.canonical {
				t.Errorf("Canonical() = %q, want %q", got, c.canonical)
			}
			if p.Kind != c.kind || p.SessionName != c.session {
				t.Errorf("kind %v session %q, want %v %q", p.Kind, p.SessionName, c.kind, c.session)
			}
			if got := p.Key(); got != strings.ToLower(c.canonical) && p.Kind != FederatedUser {
				t.Errorf("Key() = %q", got)
			}
		})
	}
}

func TestParsePrincipalInEveryPartition(t *testing.T) {
	for _, id := range PartitionIDs() {
		for _, arn := range []string{
			"arn:" + id + ":iam::111122223333:user/alice",
			"arn:" + id + ":iam::111122223333:role/admins",
			"arn:" + id + ":sts::111122223333:assumed-role/admins/alice",
			"arn:" + id + ":sts::111122223333:federated-user/bob",
			"arn:" + id + ":iam::111122223333:root",
		} {
			p, err := ParsePrincipal(arn)
			if err != nil {
				t.Error(err)
			} else if p.Partition != id {
				t.Errorf("%s: partition %q", arn, p.Partition)
			}
		}
	}
}

func TestParsePrincipalRejects(t *testing.T) {
	const account = "arn:aws:iam::111122223333:"
	cases := []struct{ name, arn, says string }{
		{"empty", "", "want arn:"},
		{"no ARN", "alice", "want arn:"},
		{"five fields", "arn:aws:iam:111122223333:role/r", "want arn:"},
		{"other prefix", "urn:aws:iam::111122223333:role/r", "want arn:"},
		{"leading space", " arn:aws:iam::111122223333:role/r", "want arn:"},
		{"trailing space", account + "role/r ", "ASCII letters"},
		{"trailing newline", account + "role/r\n", "ASCII letters"},
		{"unknown partition", "arn:aws-mars:iam::111122223333:role/r", "unknown partition"},
		{"empty partition", "arn::iam::111122223333:role/r", "unknown partition"},
		{"region", "arn:aws:iam:us-east-1:111122223333:role/r", "have none"},
		{"other service", "arn:aws:s3::111122223333:role/r", "not a principal"},
		{"role of STS", "arn:aws:sts::111122223333:role/r", "not a principal"},
		{"session of IAM", account + "assumed-role/r/s", "not a principal"},
		{"group", account + "group/g", "not a principal"},
		{"instance profile", account + "instance-profile/p", "not a principal"},
		{"11 digits", "arn:aws:iam::11112222333:role/r", "12 digits"},
		{"13 digits", "arn:aws:iam::1111222233334:role/r", "12 digits"},
		{"letters in account", "arn:aws:iam::11112222333a:role/r", "12 digits"},
		{"other digits in account", "arn:aws:iam::1111222233³:role/r", "12 digits"},
		{"empty account", "arn:aws:iam:::role/r", "12 digits"},
		{"role without name", account + "role/", "empty"},
		{"role without slash", account + "role", "empty"},
		{"role whose path has no name", account + "role/path/", "empty"},
		{"user without name", account + "user/", "empty"},
		{"colon in name", account + "role/a:b", "ASCII letters"},
		{"asterisk", account + "role/*", "ASCII letters"},
		{"template", account + "role/{{SessionName}}", "ASCII letters"},
		{"accent", account + "role/café", "ASCII letters"},
		{"Kelvin sign", account + "user/mar\u212A", "ASCII letters"},
		{"NUL", account + "role/a\x00", "ASCII letters"},
		{"space in path", account + "role/a b/r", "printable ASCII"},
		{"accent in path", account + "role/é/r", "printable ASCII"},
		{"65 characters", account + "role/" + strings.Repeat("n", 65), "at most 64"},
		{"long path", account + "role/" + strings.Repeat("p", 512) + "/r", "at most 512"},
		{"very long", account + "role/" + strings.Repeat("p", 10_000_000), "at most 1024"},
		{"session without role", "arn:aws:sts::111122223333:assumed-role//s", "role name is empty"},
		{"session without session", "arn:aws:sts::111122223333:assumed-role/r", "session name is empty"},
		{"session with empty session", "arn:aws:sts::111122223333:assumed-role/r/", "session name is empty"},
		{"session with path", "arn:aws:sts::111122223333:assumed-role/p/r/s", "ASCII letters"},
		{"federated user with slash", "arn:aws:sts::111122223333:federated-user/a/b", "ASCII letters"},
		{"root with name", account + "root/x", "root has no name"},
		{"root with slash", account + "root/", "root has no name"},
		{"root of STS", "arn:aws:sts::111122223333:root", "not a principal"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := ParsePrincipal(c.arn)
			if err == nil {
				t.Fatalf("accepted as %+v", p)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q does not say %q", err, c.says)
			}
			if len(err.Error()) > 500 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			if p != (Principal{}) {
				t.Errorf("an invalid ARN gave %+v", p)
			}
		})
	}
}

func TestSamePrincipal(t *testing.T) {
	cases := []struct {
		name string
		a, b string
		want bool
	}{
		{"letter case of a role", "arn:aws:iam::111122223333:role/Admins", "arn:aws:iam::111122223333:role/ADMINS", true},
		{"path of a role", "arn:aws:iam::111122223333:role/x/Admins", "arn:aws:iam::111122223333:role/y/z/Admins", true},
		{"session and role", "arn:aws:sts::111122223333:assumed-role/admins/s", "arn:aws:iam::111122223333:role/p/Admins", true},
		{"two sessions", "arn:aws:sts::111122223333:assumed-role/admins/s", "arn:aws:sts::111122223333:assumed-role/admins/t", true},
		{"letter case of a user", "arn:aws:iam::111122223333:user/p/Bob", "arn:aws:iam::111122223333:user/P/bob", true},
		{"path of a user", "arn:aws:iam::111122223333:user/p/bob", "arn:aws:iam::111122223333:user/bob", false},
		{"letter case of a federated user", "arn:aws:sts::111122223333:federated-user/bob", "arn:aws:sts::111122223333:federated-user/Bob", false},
		{"letter case of a federated user's ARN", "arn:aws:sts::111122223333:federated-user/bob", "ARN:aws:STS::111122223333:Federated-User/bob", true},
		{"account", "arn:aws:iam::111122223333:role/r", "arn:aws:iam::111122223334:role/r", false},
		{"partition", "arn:aws:iam::111122223333:role/r", "arn:aws-cn:iam::111122223333:role/r", false},
		{"kind", "arn:aws:iam::111122223333:role/r", "arn:aws:iam::111122223333:user/r", false},
		{"name", "arn:aws:iam::111122223333:role/r", "arn:aws:iam::111122223333:role/s", false},
		{"user and federated user", "arn:aws:iam::111122223333:user/bob", "arn:aws:sts::111122223333:federated-user/bob", false},
		{"invalid and itself", "arn:aws:iam::1:role/r", "arn:aws:iam::1:role/r", false},
		{"empty and empty", "", "", false},
		{"invalid and valid", "", "arn:aws:iam::111122223333:role/r", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, _ := ParsePrincipal(c.a)
			b, _ := ParsePrincipal(c.b)
			if a.Same(b) != c.want || b.Same(a) != c.want {
				t.Errorf("Same = %v and %v, want %v", a.Same(b), b.Same(a), c.want)
			}
		})
	}
}

func TestPermissionSet(t *testing.T) {
	cases := []struct {
		role, name string
		ok         bool
	}{
		{"AWSReservedSSO_Admin_0123456789abcdef", "Admin", true},
		{"AWSReservedSSO_Power_User_0123456789abcdef", "Power_User", true},
		{"AWSReservedSSO__0123456789abcdef", "", false},
		{"AWSReservedSSO_Admin_0123456789abcde", "", false},
		{"AWSReservedSSO_Admin_0123456789ABCDEF", "", false},
		{"AWSReservedSSO_Admin_0123456789abcdeg", "", false},
		{"AWSReservedSSO_Admin0123456789abcdef", "", false},
		{"awsreservedsso_Admin_0123456789abcdef", "", false},
		{"xAWSReservedSSO_Admin_0123456789abcdef", "", false},
		{"AWSReservedSSO_", "", false},
		{"AWSReservedSSO_" + strings.Repeat("p", 32) + "_0123456789abcdef", strings.Repeat("p", 32), true},
		{"AWSReservedSSO_A_0123456789abcdef_0123456789abcdef", "A_0123456789abcdef", true},
	}
	for _, c := range cases {
		t.Run(c.role, func(t *testing.T) {
			p, err := ParsePrincipal("arn:aws:iam::111122223333:role/" + c.role)
			if err != nil {
				t.Fatal(err)
			}
			if name, ok := p.PermissionSet(); name != c.name || ok != c.ok {
				t.Errorf("PermissionSet() = %q, %v, want %q, %v", name, ok, c.name, c.ok)
			}
		})
	}
	user := Principal{Kind: User, Name: "AWSReservedSSO_Admin_0123456789abcdef"}
	if _, ok := user.PermissionSet(); ok {
		t.Error("a user has a permission set")
	}
}

func FuzzParsePrincipal(f *testing.F) {
	for _, seed := range []string{
		"arn:aws:iam::111122223333:user/p/alice", "arn:aws:iam::111122223333:role/p/q/admins",
		"arn:aws:sts::111122223333:assumed-role/admins/alice", "arn:aws-cn:sts::111122223333:federated-user/bob",
		"arn:aws-us-gov:iam::111122223333:root", "arn:aws:iam::111122223333:role/a:b/\u212A", "arn:aws:iam:::", "",
	} {
		f.Add(seed, "x/y")
	}
	f.Fuzz(func(t *testing.T, arn, path string) {
		p, err := ParsePrincipal(arn)
		if err != nil {
			if p.Same(p) || p.Key() != "" {
				t.Fatalf("invalid %q equals something", arn)
			}
			return
		}
		again, err := ParsePrincipal(p.Canonical())
		if err != nil {
			t.Fatalf("canonical form %q of %q is invalid: %v", p.Canonical(), arn, err)
		}
		if again.Canonical() != p.Canonical() || !again.Same(p) {
			t.Fatalf("canonicalising %q twice: %q then %q", arn, p.Canonical(), again.Canonical())
		}
		// Keys and names are ASCII without control characters: safe in logs and headers.
		for _, c := range []byte(p.Key()) {
			if c <= 0x20 || c >= 0x7f || 'A' <= c && c <= 'Z' && p.Kind != FederatedUser {
				t.Fatalf("key %q of %q", p.Key(), arn)
			}
		}
		upper, err := ParsePrincipal(strings.ToUpper(arn))
		if err != nil || !upper.Same(p) && p.Kind != FederatedUser {
			t.Fatalf("%q in upper case differs: %v", arn, err)
		}
		if p.Kind == Role {
			moved, err := ParsePrincipal("arn:" + p.Partition + ":iam::" + p.Account + ":role/" + path + "/" + p.Name)
			if err == nil && !moved.Same(p) {
				t.Fatalf("%q under the path %q is another role", p.Name, path)
			}
		}
	})
}
