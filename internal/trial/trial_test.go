package trial

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

func entry(t testing.TB, arn, username string) mapper.Entry {
	t.Helper()
	p, err := iam.ParsePrincipal(arn)
	if err != nil {
		t.Fatal(err)
	}
	return mapper.Entry{Source: mapper.Source{ARN: arn}, Principal: p, Username: username}
}

const role = "arn:aws:iam::111122223333:role/a"

func TestASessionIsFoundForEveryPatternThatHasOne(t *testing.T) {
	for _, pattern := range []string{
		"alice", ".*", "i-.*", `[^@]+@example\.com`, "(?i)ADMIN-[A-F]{3}", `a|b|(?:carol|dave)\d+`, `^bob$`, `\Abob\z`, `(?m)^bob$`,
		`\bx-\b.+`, `.\B.`, `\w+\b[.]\B.\b\w`, `x{64}`, `(xy){1,}`, `[[:upper:]]{2}`, `..`, `(a*)*b+?`, `\S+`, `[^a-z]*`, `(?:|x|xy)`,
	} {
		e := entry(t, role, "u")
		e.SessionNamePattern = pattern
		name, err := Session(e)
		if err != nil || !regexp.MustCompile(`\A(?:`+pattern+`)\z`).MatchString(name) || !regexp.MustCompile(`\A[\w+=,.@-]{2,64}\z`).MatchString(name) {
			t.Errorf("%s: %q, %v", pattern, name, err)
		}
	}
}

func TestAPatternWithoutASessionIsKnown(t *testing.T) {
	for _, pattern := range []string{"a?", "a", "x{65}", `a\b\w`, `a$b`, `b^a`, `\n+`, `[^\w+=,.@-]+`, "arn:aws:sts::.*", `alice@example\.com\b\b\B`, `x \S`, `[^\x00-\x{10FFFF}]`} {
		e := entry(t, role, "u")
		e.SessionNamePattern = pattern
		if name, err := Session(e); !errors.Is(err, ErrNoSession) {
			t.Errorf("%s: %q, %v", pattern, name, err)
		}
	}
}

func TestSessionsOfNodesAreThoseOfInstances(t *testing.T) {
	for pattern, want := range map[string]string{"": anySession, "i-.*": anySession, "i-.{8}": "i-00000000", "i-f.*7.{4}": "i-f0000000070000", "nodes": "", "i-[g-z]+": "", "i-.{9}": ""} {
		e := entry(t, role, "system:node:{{EC2PrivateDNSName}}")
		e.SessionNamePattern = pattern
		name, err := Session(e)
		if want == "" != (err != nil) {
			t.Errorf("%s: %q, %v", pattern, name, err)
		}
		if err != nil {
			continue
		}
		id, err := Caller(e, "aws", nil)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mapper.NewMapping(e)
		if err != nil {
			t.Fatal(err)
		}
		index, _ := mapper.NewIndex([]*mapper.Mapping{m}, nil)
		if user, err := (Source{"x", index}).Login(id, nil); err != nil || user.Username != "system:node:ip-10-0-0-1.ec2.internal" {
			t.Errorf("%s, %s: %+v, %v", pattern, id.ARN, user, err)
		}
	}
}

func TestASessionOfAFederatedUserIsItsName(t *testing.T) {
	for pattern, ok := range map[string]bool{"bob": true, "b.*": true, "alice": false, "bo": false} {
		e := entry(t, "arn:aws:sts::111122223333:federated-user/bob", "u")
		e.SessionNamePattern = pattern
		if name, err := Session(e); (err == nil) != ok || ok && name != "bob" {
			t.Errorf("%s: %q, %v", pattern, name, err)
		}
	}
}

// FuzzSession checks that what is said to have no session refuses some likely ones.
func FuzzSession(f *testing.F) {
	f.Add(`\b[^@]+@example\.com$`, "alice@example.com")
	f.Add(`(a|b)*\B-`, "ab--")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		e := mapper.Entry{Principal: iam.Principal{Kind: iam.Role}, Username: "u", SessionNamePattern: pattern}
		whole, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
		if err != nil || pattern == "" || len(pattern) > 1024 {
			return
		}
		found, err := Session(e)
		valid := regexp.MustCompile(`\A[\w+=,.@-]{2,64}\z`)
		switch {
		case err == nil && (!whole.MatchString(found) || !valid.MatchString(found)):
			t.Errorf("%q does not match %q", found, pattern)
		case err != nil && len(pattern) < 64 && valid.MatchString(name) && whole.MatchString(name):
			t.Errorf("%q matches %q, and none was found", name, pattern)
		}
	})
}

func TestCallersOfEveryKind(t *testing.T) {
	for name, c := range map[string]struct {
		entry mapper.Entry
		want  string // the canonical ARN, or what the error says
	}{
		"role":           {entry(t, "arn:aws:iam::111122223333:role/p/a", "u"), "arn:aws:iam::111122223333:role/a"},
		"user":           {entry(t, "arn:aws-cn:iam::111122223333:user/p/u", "u"), "arn:aws-cn:iam::111122223333:user/p/u"},
		"root":           {entry(t, "arn:aws:iam::111122223333:root", "u"), "arn:aws:iam::111122223333:root"},
		"federated user": {entry(t, "arn:aws:sts::111122223333:federated-user/f", "u"), "arn:aws:sts::111122223333:federated-user/f"},
		"user ID":        {mapper.Entry{UserID: "AIDAX"}, "arn:aws-us-gov:iam::000000000000:user/unknown-0"},
		"role ID":        {mapper.Entry{UserID: "AROAX"}, "arn:aws-us-gov:iam::000000000000:role/unknown-0"},
		"permission set": {mapper.Entry{PermissionSet: mapper.PermissionSet{Partition: "aws", Account: "111122223333", Name: "Ops"}}, "arn:aws:iam::111122223333:role/AWSReservedSSO_Ops_0000000000000000"},
		"nobody":         {mapper.Entry{}, "names no principal"},
		"user ID of a role": {func() mapper.Entry {
			e := entry(t, "arn:aws:iam::111122223333:user/u", "u")
			e.UserID = "AROAX"
			return e
		}(), "not that of a user"},
	} {
		id, err := Caller(c.entry, "aws-us-gov", func(iam.Identity) bool { return false })
		got := id.CanonicalARN
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// Whoever guesses the caller that is made up could map it, and so hide the entry.
func TestTheCallerIsNoneThatIsMapped(t *testing.T) {
	set := mapper.Entry{PermissionSet: mapper.PermissionSet{Partition: "aws", Account: "111122223333", Name: "Ops"}, Username: "ops"}
	var mappings []*mapper.Mapping
	for _, e := range []mapper.Entry{set, entry(t, "arn:aws:iam::111122223333:role/AWSReservedSSO_Ops_0000000000000000", "x"), entry(t, "arn:aws:iam::111122223333:role/AWSReservedSSO_Ops_0000000000000001", "y")} {
		m, err := mapper.NewMapping(e)
		if err != nil {
			t.Fatal(err)
		}
		mappings = append(mappings, m)
	}
	index, _ := mapper.NewIndex(mappings, nil)
	source := Source{"x", index}
	id, err := Caller(set, "aws", source.Names)
	if err != nil {
		t.Fatal(err)
	}
	if user, err := source.Login(id, nil); err != nil || user.Username != "ops" {
		t.Errorf("%s: %+v, %v", id.ARN, user, err)
	}
}
