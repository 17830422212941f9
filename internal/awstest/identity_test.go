package awstest

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRecreateGivesANewIDAndRevokesKeys(t *testing.T) {
	s, user, _ := newSTS(t)
	session := must(s.Session(testRole, "bob"))
	for arn, c := range map[string]Credentials{testUser: user, testRole: session} {
		if status, body := serve(s, presign(t, c, testHost, "eu-west-1", nil)); status != http.StatusOK {
			t.Fatalf("%s: %d %s", arn, status, body)
		}
		old := s.PrincipalID(arn)
		if err := s.Recreate(arn); err != nil {
			t.Fatal(err)
		}
		if id := s.PrincipalID(arn); id == old || id == "" || id[:4] != old[:4] {
			t.Errorf("%s: unique ID %s, was %s", arn, id, old)
		}
		if status, body := serve(s, presign(t, c, testHost, "eu-west-1", nil)); status != http.StatusForbidden || !strings.Contains(body, "InvalidClientTokenId") {
			t.Errorf("old key of %s: %d %s", arn, status, body)
		}
	}

	for _, c := range []Credentials{must(s.AddKey(testUser)), must(s.Session(testRole, "bob"))} {
		if status, body := serve(s, presign(t, c, testHost, "eu-west-1", nil)); status != http.StatusOK {
			t.Errorf("new key of %s: %d %s", c.ARN, status, body)
		}
	}
	if err := s.Recreate("arn:aws:iam::123456789012:user/nobody"); err == nil {
		t.Error("recreated nobody")
	}
}

func TestUniqueIDsAreTheSameInEveryRun(t *testing.T) {
	a, _, _ := newSTS(t)
	b, _, _ := newSTS(t)
	if a.PrincipalID(testRole) != b.PrincipalID(testRole) || a.PrincipalID(testRole) == a.PrincipalID(testUser) {
		t.Errorf("unique IDs %s and %s", a.PrincipalID(testRole), b.PrincipalID(testRole))
	}
}

func TestSessionTokensAreOfOneEmulatorOnly(t *testing.T) {
	a, _, _ := newSTS(t)
	b, _, _ := newSTS(t)
	r := presign(t, must(a.Session(testRole, "bob")), testHost, "eu-west-1", nil)
	if status, body := serve(b, r); status != http.StatusForbidden || !strings.Contains(body, "InvalidClientTokenId") {
		t.Errorf("%d %s", status, body)
	}
}

func TestInvalidIdentitiesAreRefused(t *testing.T) {
	s, user, _ := newSTS(t)
	addUser := func(arn string) error { _, err := s.AddUser(arn); return err }
	addRole := func(arn string) error { return s.AddRole(arn, Role{}) }
	addRoot := func(account string) error { _, err := s.AddRoot(account); return err }
	addFederated := func(arn string) error { _, err := s.AddFederatedUser(arn); return err }
	session := func(arn, name string) error { _, err := s.Session(arn, name); return err }
	withKey := func(id, secret string) error {
		_, err := s.AddUserWithKey("arn:aws:iam::123456789012:user/new", id, secret)
		return err
	}
	for what, err := range map[string]error{
		"no ARN":                             addUser("alice"),
		"short account":                      addUser("arn:aws:iam::1234:user/alice"),
		"role as a user":                     addUser("arn:aws:iam::123456789012:role/alice"),
		"no name":                            addUser("arn:aws:iam::123456789012:user/"),
		"name with a space":                  addUser("arn:aws:iam::123456789012:user/a b"),
		"name of 65 characters":              addUser("arn:aws:iam::123456789012:user/" + strings.Repeat("a", 65)),
		"user of STS":                        addUser("arn:aws:sts::123456789012:user/alice"),
		"other vendor":                       addUser("arn:gcp:iam::123456789012:user/alice"),
		"same user":                          addUser(testUser),
		"same name, other path":              addUser("arn:aws:iam::123456789012:user/other/alice"),
		"same name, other case":              addRole("arn:aws:iam::123456789012:role/DEVELOPERS"),
		"session as a role":                  addRole("arn:aws:sts::123456789012:assumed-role/a/b"),
		"session too short":                  s.AddRole("arn:aws:iam::123456789012:role/x", Role{MaxSession: time.Minute}),
		"session too long":                   s.AddRole("arn:aws:iam::123456789012:role/x", Role{MaxSession: 13 * time.Hour}),
		"root of no account":                 addRoot("abc"),
		"federated user of IAM":              addFederated("arn:aws:iam::123456789012:federated-user/x"),
		"federated user with a path":         addFederated("arn:aws:sts::123456789012:federated-user/x/y"),
		"session of a user":                  session(testUser, "bob"),
		"session of no role":                 session("arn:aws:iam::123456789012:role/unknown", "bob"),
		"session of a role without its path": session("arn:aws:iam::123456789012:role/developers", "bob"),
		"session with a bad name":            session(testRole, "b/b"),
		"access key ID in lower case":        withKey("akiaiosfodnn7example", "x"),
		"no secret":                          withKey("AKIAIOSFODNN7EXAMPL2", ""),
		"somebody's access key ID":           withKey(user.AccessKeyID, "x"),
	} {
		if err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	if err := withKey("AKIAIOSFODNN7EXAMPL2", "x"); err != nil {
		t.Errorf("a refused key left its user behind: %v", err)
	}
}

func TestPartitionOption(t *testing.T) {
	s := New(Options{Partition: "aws-us-gov"})
	if c, err := s.AddRoot("123456789012"); err != nil || c.ARN != "arn:aws-us-gov:iam::123456789012:root" {
		t.Errorf("%s, %v", c.ARN, err)
	}
}
