package audit

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func newPseudonyms(t testing.TB, path, key string) *Pseudonyms {
	t.Helper()
	check(t, os.WriteFile(path, []byte(key+"\n"), 0o600))
	p, err := NewPseudonyms(path)
	check(t, err)
	return p
}

func TestIsPseudonym(t *testing.T) {
	p := newPseudonyms(t, filepath.Join(t.TempDir(), "key"), strings.Repeat("k", minKey))
	for name, want := range map[string]bool{
		p.Of("alice"): true, p.Of("x"): true,
		"": false, "p-": false, "alice": false, "p-alice": false,
		p.Of("alice") + "0": false, strings.ToUpper(p.Of("alice")): false, strings.TrimPrefix(p.Of("alice"), "p-"): false,
	} {
		if IsPseudonym(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

func TestPseudonymsStandForNamesOfPeople(t *testing.T) {
	l, path := newLog(t, Options{Pseudonyms: newPseudonyms(t, filepath.Join(t.TempDir(), "key"), strings.Repeat("k", 40))})
	role := example()
	role.Groups = []string{"admins", "team:bob@example.com", "of-bob-example.com"}
	groups := slices.Clone(role.Groups)
	check(t, l.Record(role))
	if !slices.Equal(role.Groups, groups) {
		t.Errorf("the caller's groups were changed: %v", role.Groups)
	}
	user := example()
	user.Principal, user.ARN = "arn:aws:iam::111122223333:user/eng/alice", "arn:aws:iam::111122223333:user/eng/Alice"
	user.SessionName, user.Username, user.Groups = "", "alice", []string{"admins"}
	check(t, l.Record(user))
	federated := example()
	federated.Principal = "arn:aws:sts::111122223333:federated-user/Carol"
	federated.ARN, federated.SessionName, federated.Username = federated.Principal, "Carol", "Carol"
	check(t, l.Record(federated))
	refused := Record{Outcome: "rejected"}
	check(t, l.Record(refused))

	text := lines(t, path)
	for i, line := range text {
		for _, name := range []string{"bob", "lice", "arol", "/eng/"} {
			if strings.Contains(line, name) {
				t.Errorf("line %d names %s: %s", i, name, line)
			}
		}
	}
	p := "p-[0-9a-f]{32}"
	for i, want := range []string{
		`"principal":"arn:aws:iam::111122223333:role/admins","arn":"arn:aws:sts::111122223333:assumed-role/admins/` + p + `",.*"sessionName":"` + p + `",.*"username":"` + p + `","groups":\["admins","` + p + `","` + p + `"\]`,
		`"principal":"arn:aws:iam::111122223333:user/(` + p + `)","arn":"arn:aws:iam::111122223333:user/` + p + `",.*"username":"` + p + `"`,
		`"principal":"arn:aws:sts::111122223333:federated-user/` + p + `"`,
		`"outcome":"rejected","latencyMicros":0}$`,
	} {
		if !regexp.MustCompile(want).MatchString(text[i]) {
			t.Errorf("line %s\nwant %s", text[i], want)
		}
	}
}

func TestGroupWithThePersonsNameGetsAPseudonym(t *testing.T) {
	p := newPseudonyms(t, filepath.Join(t.TempDir(), "key"), strings.Repeat("k", minKey))
	const role, user = "arn:aws:sts::111122223333:assumed-role/admins/", "arn:aws:iam::111122223333:user/eng/"
	for _, c := range []struct {
		arn, session, username, group string
		hidden                        bool
	}{
		{role, "Bob@Example.com", "admin", "team:bob@example.com", true},
		{role, "Bob@Example.com", "admin", "TEAM-BOB-EXAMPLE.COM", true},
		{role, "Bob@Example.com", "admin", "bob's", true},
		{role, "Bob@Example.com", "admin", "bobsled", false},
		{role, "bob", "admin:bob", "bobs-team", true},
		{role, "bob", "admin:bob", "admins", false},
		{role, "", "developer", "developers", false},
		{role, "", "developer", "Developer", true},
		{user + "Alice", "", "ops", "ALICE-admins", true},
		{user + "Alice", "", "ops", "eng", false},
		{user + "Alice", "", "ops", "ops-team", true},
		{user + "a.jones@example.com", "", "oidc:alice.jones", "team:Alice.Jones", true},
		{user + "a.jones@example.com", "", "oidc:alice.jones", "a.jones", true},
		{user + "x1", "", "oidc:Ådne", "ådne", true},
		{user + "x1", "", "ob", "bob", false},
		{user + "x1", "", "bo", "bobo bo", true},
	} {
		r := Record{ARN: c.arn + c.session, SessionName: c.session, Username: c.username, Groups: []string{c.group}}
		if p.apply(&r); (r.Groups[0] == p.Of(c.group)) != c.hidden || !c.hidden && r.Groups[0] != c.group {
			t.Errorf("%s as %s in %q: group becomes %q, hidden is %v", c.arn+c.session, c.username, c.group, r.Groups[0], !c.hidden)
		}
	}
}

func TestPseudonymIsThatOfTheKeyAndTheName(t *testing.T) {
	dir := t.TempDir()
	one := newPseudonyms(t, filepath.Join(dir, "one"), strings.Repeat("1", minKey))
	same := newPseudonyms(t, filepath.Join(dir, "same"), strings.Repeat("1", minKey)+"\n")
	two := newPseudonyms(t, filepath.Join(dir, "two"), strings.Repeat("2", minKey))
	if one.Of("alice") != same.Of("alice") {
		t.Error("not the same for the same name and key")
	}
	if one.Of("alice") == one.Of("bob") || one.Of("alice") == two.Of("alice") {
		t.Error("the same for another name or key")
	}
	if upper, lower := one.ARN("arn:aws:iam::111122223333:user/Alice"), one.ARN("arn:aws:iam::111122223333:user/alice"); upper != lower {
		t.Errorf("letter case of a user's name counts: %s, %s", upper, lower)
	}
}

func TestKeyOfPseudonymsMustBeLongEnough(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	check(t, os.WriteFile(path, []byte(strings.Repeat("k", minKey-1)+"\n\n"), 0o600))
	if _, err := NewPseudonyms(path); err == nil || !strings.Contains(err.Error(), "31 bytes, want at least 32") || strings.Contains(err.Error(), "kkk") {
		t.Errorf("error %v", err)
	}
	if _, err := NewPseudonyms(path + ".missing"); err == nil {
		t.Error("missing file: no error")
	}
}

func TestTheNameOfAnObjectGetsAPseudonym(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := NewPseudonyms(key)
	if err != nil {
		t.Fatal(err)
	}
	for entry, want := range map[string]string{
		"AccessEntry/user.111122223333.alice": "AccessEntry/" + p.Of("user.111122223333.alice"),
		"mapUsers[0] (line 3)":                "mapUsers[0] (line 3)",
	} {
		r := Record{Entry: entry}
		if p.apply(&r); r.Entry != want {
			t.Errorf("%s becomes %s, want %s", entry, r.Entry, want)
		}
	}
}
