package mapper

import (
	"errors"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

func TestIndexFinds(t *testing.T) {
	roles := section(t, MapRoles, `
- {rolearn: "arn:aws:iam::111122223333:role/team/Admins", username: admin}
- {sso: {permissionSetName: View, accountID: "111122223333"}, username: view}
- {rolearn: "arn:aws:iam::111122223333:role/AWSReservedSSO_View_aaaaaaaaaaaaaaaa", username: explicit}
- {sso: {permissionSetName: View, accountID: "111122223333", partition: aws-cn}, username: cn}
- {sso: {permissionSetName: View_More, accountID: "111122223333"}, username: more}
- {rolearn: "arn:aws:iam::111122223333:role/Twice", username: by-role}
`)
	users := section(t, MapUsers, `
- {userarn: "arn:aws:iam::111122223333:user/eng/Bob", username: bob}
- {userarn: "arn:aws:iam::111122223333:role/Twice", username: by-user}
- {userarn: "arn:aws:iam::111122223333:root", username: root}
`)
	index, problems := NewIndex(Document{Roles: roles, Users: users}.Mappings(), nil)
	if len(problems) != 1 || problems[0].Source.String() != "mapUsers[1] (line 3)" || !strings.Contains(problems[0].Message, "mapRoles[5]") {
		t.Errorf("problems %v, want mapUsers[1] given up for mapRoles[5]", problems)
	}
	sts := "arn:aws:sts::" + account + ":assumed-role/"
	cases := []struct{ name, arn, userID, want string }{
		{"role, whatever the path", sts + "Admins/alice", "AROAEXAMPLE:alice", "admin"},
		{"role in another letter case", sts + "ADMINS/alice", "AROAEXAMPLE:alice", "admin"},
		{"role of another account", "arn:aws:sts::444455556666:assumed-role/Admins/alice", "AROAEXAMPLE:alice", ""},
		{"role of another partition", "arn:aws-cn:sts::111122223333:assumed-role/Admins/alice", "AROAEXAMPLE:alice", ""},
		{"user with its path", "arn:aws:iam::111122223333:user/eng/bob", "AIDAEXAMPLE", "bob"},
		{"user without its path", "arn:aws:iam::111122223333:user/bob", "AIDAEXAMPLE", ""},
		{"root", "arn:aws:iam::111122223333:root", account, "root"},
		{"permission set", sts + "AWSReservedSSO_View_0123456789abcdef/alice", "AROAEXAMPLE:alice", "view"},
		{"permission set with an underscore", sts + "AWSReservedSSO_View_More_0123456789abcdef/alice", "AROAEXAMPLE:alice", "more"},
		{"permission set in another letter case", sts + "AWSReservedSSO_view_0123456789abcdef/alice", "AROAEXAMPLE:alice", ""},
		{"permission set with a short hash", sts + "AWSReservedSSO_View_0123456789abcde/alice", "AROAEXAMPLE:alice", ""},
		{"permission set with a longer name", sts + "AWSReservedSSO_Viewer_0123456789abcdef/alice", "AROAEXAMPLE:alice", ""},
		{"permission set of another account", "arn:aws:sts::444455556666:assumed-role/AWSReservedSSO_View_0123456789abcdef/alice", "AROAEXAMPLE:alice", ""},
		{"permission set of another partition", "arn:aws-cn:sts::111122223333:assumed-role/AWSReservedSSO_View_0123456789abcdef/alice", "AROAEXAMPLE:alice", "cn"},
		{"ARN before permission set", sts + "AWSReservedSSO_View_aaaaaaaaaaaaaaaa/alice", "AROAEXAMPLE:alice", "explicit"},
		{"mapRoles before mapUsers", sts + "Twice/alice", "AROAEXAMPLE:alice", "by-role"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, err := index.Lookup(identity(t, c.arn, c.userID, "ASIAEXAMPLE"))
			if c.want == "" {
				if !errors.Is(err, ErrNotMapped) {
					t.Errorf("got %+v, %v, want ErrNotMapped", m, err)
				}
				return
			}
			if err != nil || m.entry.Username != c.want {
				t.Errorf("got %+v, %v, want %s", m, err, c.want)
			}
		})
	}
}

func TestIndexTakesLastOfTwo(t *testing.T) {
	for name, text := range map[string]string{
		"ARN": `[{rolearn: "arn:aws:iam::111122223333:role/a", username: first},
			{rolearn: "arn:aws:iam::111122223333:role/x/A", username: last}]`,
		"permission set": `[{sso: {permissionSetName: a, accountID: "111122223333"}, username: first},
			{sso: {permissionSetName: a, accountID: "111122223333"}, username: last}]`,
	} {
		t.Run(name, func(t *testing.T) {
			index, problems := NewIndex(section(t, MapRoles, text).Mappings, nil)
			if len(problems) != 1 || problems[0].Severity != Warning || problems[0].Source.Index != 0 || !strings.Contains(problems[0].Message, "mapRoles[1]") {
				t.Errorf("problems %v, want a warning that names both", problems)
			}
			role := map[string]string{"ARN": "a", "permission set": "AWSReservedSSO_a_0123456789abcdef"}[name]
			if m, err := index.Lookup(session(t, role, "s")); err != nil || m.entry.Username != "last" {
				t.Errorf("got %+v, %v, want the last", m, err)
			}
		})
	}
}

func TestEmptyIndexMapsNothing(t *testing.T) {
	// A mapping that has no principal is found by its user ID only.
	m, err := NewMapping(Entry{UserID: "AROAEXAMPLE", Username: "u"})
	if err != nil {
		t.Fatal(err)
	}
	built, _ := NewIndex([]*Mapping{m}, []string{""})
	strict, _ := NewIndexByUserID([]*Mapping{one(t, `{rolearn: "arn:aws:iam::111122223333:role/a", username: u}`)}, nil)
	byID, _ := NewIndexByUserID([]*Mapping{m}, nil)
	if _, err := byID.Lookup(iam.Identity{UserID: "AROAEXAMPLE"}); !errors.Is(err, ErrNotMapped) {
		t.Errorf("an identity without a principal is found: %v", err)
	}
	for name, index := range map[string]*Index{"nil": nil, "zero": {}, "no key": built, "no user ID": strict} {
		for _, id := range []iam.Identity{{}, session(t, "a", "s"), user(t, "a")} {
			if m, err := index.Lookup(id); !errors.Is(err, ErrNotMapped) || m != nil {
				t.Errorf("%s: %q is mapped to %+v", name, id.MapKey, m)
			}
			if index.MapsAccount(id.Account) {
				t.Errorf("%s: account %q is mapped", name, id.Account)
			}
		}
		if index.Len() != 0 && name != "no user ID" {
			t.Errorf("%s: length %d", name, index.Len())
		}
	}
}

func TestIndexByUserIDLooksAtNothingElse(t *testing.T) {
	pinned := one(t, `{rolearn: "arn:aws:iam::111122223333:role/a", userid: AROAEXAMPLE, username: u}`)
	index, _ := NewIndexByUserID([]*Mapping{pinned}, nil)
	if m, err := index.Lookup(session(t, "a", "s")); err != nil || m != pinned {
		t.Errorf("same ID: %v", err)
	}
	if m, err := index.Lookup(session(t, "b", "s")); err != nil || m.check(session(t, "b", "s")) == nil {
		t.Errorf("same ID with another ARN: %v, want a mapping that refuses it", err)
	}
	if _, err := index.Lookup(identity(t, "arn:aws:sts::111122223333:assumed-role/a/s", "AROAOTHER:s", "ASIAEXAMPLE")); !errors.Is(err, ErrNotMapped) {
		t.Errorf("same ARN with another ID: %v, want ErrNotMapped", err)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	roles := section(t, MapRoles, `
- {rolearn: "arn:aws:iam::111122223333:role/a", username: u}
- {sso: {permissionSetName: View, accountID: "111122223333"}, username: view}
`)
	index, _ := NewIndex(roles.Mappings, nil)
	for _, id := range []iam.Identity{session(t, "a", "s"), session(t, "AWSReservedSSO_View_0123456789abcdef", "s"), session(t, "b", "s")} {
		if n := testing.AllocsPerRun(100, func() { _, _ = index.Lookup(id) }); n != 0 {
			t.Errorf("%s: %v allocations", id.CanonicalARN, n)
		}
	}
}
