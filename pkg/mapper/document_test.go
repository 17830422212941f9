package mapper

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

func TestParseReadsEntries(t *testing.T) {
	role := iam.Principal{Kind: iam.Role, Partition: "aws", Account: account, Path: "/", Name: "Admins"}
	inPath := role
	inPath.Path = "/team/"
	alice := iam.Principal{Kind: iam.User, Partition: "aws", Account: account, Path: "/", Name: "alice"}
	cases := []struct {
		name, section, text string
		want                Entry
	}{
		{"block style", MapRoles, "- rolearn: arn:aws:iam::111122223333:role/Admins\n  username: u\n  groups:\n  - a\n  - b\n",
			Entry{Principal: role, Username: "u", Groups: []string{"a", "b"}}},
		{"JSON with tabs", MapRoles, "[\n\t{\"rolearn\":\"arn:aws:iam::111122223333:role\\/Admins\",\n\t\"username\": \"u\"}\n]",
			Entry{Principal: role, Username: "u"}},
		{"JSON with an escaped emoji", MapRoles, `[{"rolearn":"arn:aws:iam::111122223333:role\/Admins","username":"\ud83d\ude00\u00fc","groups":["\\/"]}]`,
			Entry{Principal: role, Username: "😀ü", Groups: []string{`\/`}}},
		{"keys in any letter case", MapRoles, `[{roleARN: "arn:aws:iam::111122223333:role/Admins", UserName: u, GROUPS: [a], userID: AROAEXAMPLE}]`,
			Entry{Principal: role, Username: "u", Groups: []string{"a"}, UserID: "AROAEXAMPLE"}},
		{"role with a path", MapRoles, `[{rolearn: "arn:aws:iam::111122223333:role/team/Admins", username: u}]`,
			Entry{Principal: inPath, Username: "u"}},
		{"no groups", MapRoles, "- rolearn: arn:aws:iam::111122223333:role/Admins\n  username: u\n  groups:\n",
			Entry{Principal: role, Username: "u"}},
		{"restrictions", MapRoles, `[{rolearn: "arn:aws:iam::111122223333:role/Admins", username: u, sessionNamePattern: "[a-z]+", requireTemporaryCredentials: true}]`,
			Entry{Principal: role, Username: "u", SessionNamePattern: "[a-z]+", RequireTemporaryCredentials: true}},
		{"words that YAML 1.1 took for booleans", MapRoles, `[{rolearn: "arn:aws:iam::111122223333:role/Admins", username: on, groups: [yes]}]`,
			Entry{Principal: role, Username: "on", Groups: []string{"yes"}}},
		{"permission set with an unquoted account", MapRoles, `[{sso: {permissionSetName: View_Only, accountID: 011122223333}, username: u}]`,
			Entry{PermissionSet: PermissionSet{"aws", "011122223333", "View_Only"}, Username: "u"}},
		{"permission set in another partition", MapRoles, `[{sso: {permissionsetname: V, accountid: "111122223333", partition: aws-cn}, username: u}]`,
			Entry{PermissionSet: PermissionSet{"aws-cn", account, "V"}, Username: "u"}},
		{"user", MapUsers, `[{userarn: "arn:aws:iam::111122223333:user/alice", username: u}]`,
			Entry{Principal: alice, Username: "u"}},
		{"empty ARN beside a permission set", MapRoles, `[{rolearn: "", sso: {permissionSetName: V, accountID: "111122223333"}, username: u}]`,
			Entry{PermissionSet: PermissionSet{"aws", account, "V"}, Username: "u"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := section(t, c.section, c.text)
			if s.Err != nil || len(s.Problems) > 0 || len(s.Mappings) != 1 {
				t.Fatalf("%d mappings, problems %v, error %v", len(s.Mappings), s.Problems, s.Err)
			}
			got := s.Mappings[0].Entry()
			if got.Source.Line == 0 || got.Source.ARN == "" || got.Source.Section != c.section {
				t.Errorf("source %+v is not filled in", got.Source)
			}
			got.Source = Source{}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// inForce returns the mappings that are no refusals.
func inForce(mappings []*Mapping) (good []*Mapping) {
	for _, m := range mappings {
		if m.mistake == "" {
			good = append(good, m)
		}
	}
	return good
}

func TestParseSkipsBadEntryOnly(t *testing.T) {
	const arn = `rolearn: "arn:aws:iam::111122223333:role/Admins"`
	cases := []struct{ name, section, entry, says string }{
		{"misspelt key", MapRoles, `{` + arn + `, username: u, gruops: [a]}`, `unknown key "gruops", did you mean "groups"?`},
		{"key of users for a role", MapRoles, `{userarn: "arn:aws:iam::111122223333:role/Admins", username: u}`, `nown are rolearn, sso`},
		{"key twice", MapRoles, `{` + arn + `, username: u, username: v}`, `key "username" twice`},
		{"key twice in another letter case", MapRoles, `{` + arn + `, username: u, userName: v}`, `key "userName" twice`},
		{"key that is no string", MapRoles, `{` + arn + `, username: u, [a]: b}`, "unknown key"},
		{"no principal", MapRoles, `{username: u}`, "no rolearn and no sso"},
		{"no user", MapUsers, `{username: u}`, "no userarn"},
		{"two principals", MapRoles, `{` + arn + `, sso: {permissionSetName: V, accountID: "111122223333"}, username: u}`, "rolearn and sso"},
		{"session", MapRoles, `{rolearn: "arn:aws:sts::111122223333:assumed-role/Admins/alice", username: u}`, "write the role: arn:aws:iam::111122223333:role/Admins"},
		{"malformed ARN", MapRoles, `{rolearn: "arn:aws:iam::1111:role/Admins", username: u}`, "want 12 digits"},
		{"ARN pattern", MapRoles, `{rolearn: "arn:aws:iam::111122223333:role/*", username: u}`, "ASCII letters"},
		{"list as an ARN", MapRoles, `{rolearn: [a], username: u}`, "rolearn is a list, want a string"},
		{"no username", MapRoles, `{` + arn + `}`, "username is missing"},
		{"empty username", MapRoles, `{` + arn + `, username: ""}`, "username is missing or empty"},
		{"username of spaces", MapRoles, `{` + arn + `, username: " "}`, "username is empty"},
		{"numeric username", MapRoles, `{` + arn + `, username: 42}`, "username is a number, want a string: put it in quotes"},
		{"boolean username", MapRoles, `{` + arn + `, username: true}`, "put it in quotes"},
		{"date as a username", MapRoles, `{` + arn + `, username: 2026-01-01}`, "a date"},
		{"control character", MapRoles, `{` + arn + `, username: "a\tb"}`, "control character U+0009"},
		{"bidirectional override", MapRoles, `{` + arn + `, username: "a\u202eb"}`, "U+202E"},
		{"line separator in a group", MapRoles, `{` + arn + `, username: u, groups: ["a\u2028"]}`, "groups[0] has the control character U+2028"},
		{"long username", MapRoles, `{` + arn + `, username: ` + strings.Repeat("u", 1025) + `}`, "at most 1024"},
		{"unknown placeholder", MapRoles, `{` + arn + `, username: "{{SesionName}}"}`, "did you mean \"SessionName\"?"},
		{"placeholder with spaces", MapRoles, `{` + arn + `, username: "{{ AccountID }}"}`, "did you mean \"AccountID\"?"},
		{"open placeholder", MapRoles, `{` + arn + `, username: "{{SessionName}"}`, "{{ without }}"},
		{"stray braces", MapRoles, `{` + arn + `, username: "a}}{{SessionName}}"}`, "}} without {{"},
		{"callers complete a reserved name", MapRoles, `{` + arn + `, username: "system:m{{SessionNameRaw}}"}`, "username has a session name right behind system:"},
		{"callers choose the reserved name", MapRoles, `{` + arn + `, username: u, groups: ["system:{{SessionName}}"]}`, "groups[0] has a session name right behind system:"},
		{"username of ours", MapRoles, `{` + arn + `, username: "iam-authenticator.dev:a"}`, "username begins with iam-authenticator.dev:, which is for the access policies of access entries"},
		{"group of ours", MapRoles, `{` + arn + `, username: u, groups: [g, "iam-authenticator.dev:access-entry:a:b"]}`, "groups[1] begins with iam-authenticator.dev:"},
		{"group of ours in another letter case", MapRoles, `{` + arn + `, username: u, groups: ["IAM-Authenticator.Dev:{{SessionName}}"]}`, "groups[0] begins with iam-authenticator.dev:"},
		{"scalar groups", MapRoles, `{` + arn + `, username: u, groups: a}`, "groups is a string, want a list"},
		{"numeric group", MapRoles, `{` + arn + `, username: u, groups: [1]}`, "groups[0] is a number, want a string: put it in quotes"},
		{"null group", MapRoles, `{` + arn + `, username: u, groups: [~]}`, "groups[0] is null"},
		{"empty group", MapRoles, `{` + arn + `, username: u, groups: [""]}`, "groups[0] is empty"},
		{"too many groups", MapRoles, `{` + arn + `, username: u, groups: [` + strings.Repeat("a,", 1001) + `]}`, "1001 groups, at most 1000"},
		{"empty userid", MapRoles, `{` + arn + `, username: u, userid: ""}`, "userid is empty"},
		{"userid with a session", MapRoles, `{` + arn + `, username: u, userid: "AROAEXAMPLE:alice"}`, "leave out the colon"},
		{"null pattern", MapRoles, `{` + arn + `, username: u, sessionNamePattern: }`, "sessionNamePattern is empty"},
		{"bad pattern", MapRoles, `{` + arn + `, username: u, sessionNamePattern: "("}`, "missing closing )"},
		{"pattern that leaves its brackets", MapRoles, `{` + arn + `, username: u, sessionNamePattern: "a)|(b"}`, "unexpected )"},
		{"long pattern", MapRoles, `{` + arn + `, username: u, sessionNamePattern: ` + strings.Repeat("a", 1025) + `}`, "at most 1024"},
		{"pattern for a user", MapUsers, `{userarn: "arn:aws:iam::111122223333:user/a", username: u, sessionNamePattern: a}`, "has no session"},
		{"word as a boolean", MapRoles, `{` + arn + `, username: u, requireTemporaryCredentials: yes}`, "want true or false"},
		{"null as a boolean", MapRoles, `{` + arn + `, username: u, requireTemporaryCredentials: }`, "want true or false"},
		{"permission set without a name", MapRoles, `{sso: {accountID: "111122223333"}, username: u}`, "sso.permissionSetName"},
		{"permission set pattern", MapRoles, `{sso: {permissionSetName: "V*", accountID: "111122223333"}, username: u}`, "sso.permissionSetName"},
		{"long permission set", MapRoles, `{sso: {permissionSetName: ` + strings.Repeat("a", 33) + `, accountID: "111122223333"}, username: u}`, "sso.permissionSetName"},
		{"permission set without an account", MapRoles, `{sso: {permissionSetName: V}, username: u}`, "want 12 digits"},
		{"permission set in no partition", MapRoles, `{sso: {permissionSetName: V, accountID: "111122223333", partition: moon}, username: u}`, "unknown, want one of aws"},
		{"misspelt key of a permission set", MapRoles, `{sso: {permissionSet: V, accountID: "111122223333"}, username: u}`, `did you mean "permissionSetName"?`},
		{"list as an entry", MapRoles, `[a]`, "is a list, want a mapping"},
		{"null as an entry", MapRoles, `~`, "is null, want a mapping"},
		{"short account", MapAccounts, `"1111"`, "want 12 digits"},
		{"account in another base", MapAccounts, `0x1111222233`, "want 12 digits"},
		{"account that is an ARN", MapAccounts, `"111122223333:role/a"`, "want 12 digits"},
		{"mapping as an account", MapAccounts, `{a: b}`, "is a mapping"},
	}
	good := map[string]string{
		MapRoles:    `{rolearn: "arn:aws:iam::111122223333:role/Good%d", username: good}`,
		MapUsers:    `{userarn: "arn:aws:iam::111122223333:user/Good%d", username: good}`,
		MapAccounts: `"44445555666%d"`,
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			first, last := fmt.Sprintf(good[c.section], 0), fmt.Sprintf(good[c.section], 1)
			s := section(t, c.section, "- "+first+"\n- "+c.entry+"\n- "+last+"\n")
			if n := len(inForce(s.Mappings)) + len(s.Accounts); n != 2 {
				t.Errorf("%d good entries, want 2", n)
			}
			if len(s.Problems) != 1 {
				t.Fatalf("problems %v, want one", s.Problems)
			}
			p := s.Problems[0]
			if p.Severity != Skipped || !strings.Contains(p.Message, c.says) {
				t.Errorf("problem %q, want one that says %q", p.Message, c.says)
			}
			if p.Source.Section != c.section || p.Source.Index != 1 || p.Source.Line != 2 {
				t.Errorf("source %+v, want entry 1 on line 2", p.Source)
			}
		})
	}
}

func TestParseWarnsOfDoubtfulEntries(t *testing.T) {
	for name, c := range map[string]struct{ section, text, says string }{
		"role under mapUsers": {MapUsers, `[{userarn: "arn:aws:iam::111122223333:role/a", username: u}]`, "mapRoles"},
		"user under mapRoles": {MapRoles, `[{rolearn: "arn:aws:iam::111122223333:user/a", username: u}]`, "a user under mapRoles"},
		"misindented groups":  {MapRoles, "- rolearn: arn:aws:iam::111122223333:role/a\n  username: u\n  groups:\n  - a\n    - b\n", "indented"},
	} {
		t.Run(name, func(t *testing.T) {
			s := section(t, c.section, c.text)
			if len(s.Mappings) != 1 || len(s.Problems) != 1 {
				t.Fatalf("%d mappings, problems %v, want one of each", len(s.Mappings), s.Problems)
			}
			if p := s.Problems[0]; p.Severity != Warning || !strings.Contains(p.Message, c.says) {
				t.Errorf("problem %+v, want a warning that says %q", p, c.says)
			}
		})
	}
}

func TestParseTellsBrokenSectionsFromEmptyOnes(t *testing.T) {
	for text, broken := range map[string]bool{
		"": false, "---\n": false, "# nothing\n": false, "[]": false, "~": false,
		"{}": true, "a": true, "rolearn: a": true, "42": true,
	} {
		for _, name := range []string{MapRoles, MapUsers, MapAccounts} {
			s := section(t, name, text)
			if (s.Err != nil) != broken || len(s.Problems) > 0 {
				t.Errorf("%s %q: error %v, problems %v, want broken %t", name, text, s.Err, s.Problems, broken)
			}
		}
	}
}

func TestParseYAMLRejectsSecondDocument(t *testing.T) {
	if _, err := ParseYAML([]byte("[]\n---\n[]\n")); err == nil || !strings.Contains(err.Error(), "second YAML document") {
		t.Errorf("error %v, want one about the second document", err)
	}
	if node, err := ParseYAML([]byte("---\n[]\n...\n")); err != nil || node == nil {
		t.Errorf("document with markers: %v", err)
	}
}

func TestParseKeepsTextOfAccounts(t *testing.T) {
	s := section(t, MapAccounts, `[011122223333, "022233334444", 333344445555]`)
	if got, want := fmt.Sprint(s.Accounts, s.Problems), "[011122223333 022233334444 333344445555] []"; got != want {
		t.Errorf("accounts %s, want %s", got, want)
	}
}

func TestParseWithStrictUserIDs(t *testing.T) {
	node, err := ParseYAML([]byte(`[
		{"userid": "AROAONE", "username": "one"},
		{"userid": "AROATWO", "username": "two", "rolearn": "arn:aws:iam::111122223333:role/two"},
		{"username": "three", "rolearn": "arn:aws:iam::111122223333:role/three"}
	]`))
	if err != nil {
		t.Fatal(err)
	}
	s := ParseSection(MapRoles, node, ParseOptions{UserIDStrict: true})
	if len(inForce(s.Mappings)) != 2 || len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Message, "userid is missing") {
		t.Errorf("%d mappings, problems %v, want 2 and a missing userid", len(s.Mappings), s.Problems)
	}
}

func TestParseResolvesAliases(t *testing.T) {
	s := section(t, MapRoles, `
- &base
  rolearn: arn:aws:iam::111122223333:role/a
  username: u
  groups: &devs [dev, &ops ops]
- rolearn: arn:aws:iam::111122223333:role/b
  username: u
  groups: *devs
- rolearn: arn:aws:iam::111122223333:role/c
  username: u
  groups: [x, *ops]
- <<: *base
  rolearn: arn:aws:iam::111122223333:role/d
`)
	var got []string
	for _, m := range s.Mappings {
		got = append(got, m.entry.Principal.Name+strings.Join(m.entry.Groups, "+"))
	}
	if want := "adev+ops bdev+ops cx+ops ddev+ops"; strings.Join(got, " ") != want || len(s.Problems) > 0 {
		t.Errorf("got %v, problems %v, want %s", got, s.Problems, want)
	}
}

func TestParseBoundsAliases(t *testing.T) {
	t.Run("nested", func(t *testing.T) {
		s := section(t, MapRoles, `
- &a [x, x]
- &b [*a, *a]
- rolearn: arn:aws:iam::111122223333:role/a
  username: u
  groups: *b
- &self {rolearn: *self, username: u}
`)
		if len(inForce(s.Mappings)) != 0 || len(s.Problems) != 4 || !strings.Contains(s.Problems[2].Message, "alias *b") {
			t.Errorf("%d mappings, problems %v", len(s.Mappings), s.Problems)
		}
	})
	t.Run("wide", func(t *testing.T) {
		// 1 MiB that would stand for 12 million groups.
		var b strings.Builder
		b.WriteString("- {username: u, groups: &g [" + strings.Repeat("x,", 900) + "]}\n")
		for i := range 14_000 {
			fmt.Fprintf(&b, "- {rolearn: 'arn:aws:iam::111122223333:role/r%d', username: u, groups: *g}\n", i)
		}
		s := section(t, MapRoles, b.String())
		if n := len(inForce(s.Mappings)); n == 0 || n > maxAliasNodes/900 || n+len(s.Problems) != 14_001 {
			t.Errorf("%d mappings, %d problems, want those that the bound allows", n, len(s.Problems))
		}
	})
}

func TestDocumentKeepsLastStateOfBrokenSections(t *testing.T) {
	last := Document{
		Roles:    section(t, MapRoles, `[{rolearn: "arn:aws:iam::111122223333:role/a", username: u}]`),
		Accounts: section(t, MapAccounts, `["111122223333"]`),
	}
	next := Document{Roles: section(t, MapRoles, "broken"), Accounts: section(t, MapAccounts, "[]")}.OrLast(last)
	if len(next.Mappings()) != 1 || next.Err() == nil {
		t.Errorf("%d mappings and error %v, want the last one and an error", len(next.Mappings()), next.Err())
	}
	if len(next.Accounts.Accounts) != 0 {
		t.Errorf("accounts %v, want the empty section honoured", next.Accounts.Accounts)
	}
	if mended := (Document{Roles: last.Roles}).OrLast(next); mended.Err() != nil {
		t.Errorf("error %v after mending", mended.Err())
	}
}

func TestProblemsAreOneLine(t *testing.T) {
	s := section(t, MapRoles, "- {rolearn: 'arn:aws:iam::111122223333:role/a'}")
	want := "mapRoles[0] (line 1), arn:aws:iam::111122223333:role/a: username is missing or empty"
	if got := s.Problems[0].String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
