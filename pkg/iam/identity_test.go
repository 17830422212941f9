package iam

import (
	"strings"
	"testing"
)

func TestNewIdentity(t *testing.T) {
	cases := []struct {
		name, arn, account, userID string
		wantKey, wantID, session   string
	}{
		{"session", "arn:aws:sts::111122223333:assumed-role/Admins/alice@example.com", "111122223333", "AROAEXAMPLE:alice@example.com",
			"arn:aws:iam::111122223333:role/admins", "AROAEXAMPLE", "alice@example.com"},
		{"user", "arn:aws:iam::111122223333:user/eng/Bob", "111122223333", "AIDAEXAMPLE",
			"arn:aws:iam::111122223333:user/eng/bob", "AIDAEXAMPLE", ""},
		{"federated user", "arn:aws:sts::111122223333:federated-user/Carol", "111122223333", "111122223333:Carol",
			"arn:aws:sts::111122223333:federated-user/Carol", "111122223333", "Carol"},
		{"root", "arn:aws:iam::111122223333:root", "111122223333", "111122223333",
			"arn:aws:iam::111122223333:root", "111122223333", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			id, err := NewIdentity(c.arn, c.account, c.userID, "ASIAEXAMPLE")
			if err != nil {
				t.Fatal(err)
			}
			if id.MapKey != c.wantKey || id.UserID != c.wantID || id.SessionName != c.session {
				t.Errorf("key %q ID %q session %q, want %q %q %q", id.MapKey, id.UserID, id.SessionName, c.wantKey, c.wantID, c.session)
			}
			if id.ARN != c.arn || id.CanonicalARN != id.Canonical() || id.MapKey != id.Key() {
				t.Errorf("inconsistent identity %+v", id)
			}
		})
	}
}

func TestNewIdentityRejectsContradictions(t *testing.T) {
	const session = "arn:aws:sts::111122223333:assumed-role/admins/alice"
	cases := []struct{ name, arn, account, userID, says string }{
		{"other account", session, "444455556666", "AROAEXAMPLE:alice", "contradicts"},
		{"no account", session, "", "AROAEXAMPLE:alice", "contradicts"},
		{"other session", session, "111122223333", "AROAEXAMPLE:bob", "contradicts the session"},
		{"session in another letter case", session, "111122223333", "AROAEXAMPLE:Alice", "contradicts the session"},
		{"no session in the ID", session, "111122223333", "AROAEXAMPLE", "contradicts the session"},
		{"ID of a user for a role", session, "111122223333", "AIDAEXAMPLE:alice", "not that of a role"},
		{"ID of a role for a user", "arn:aws:iam::111122223333:user/bob", "111122223333", "AROAEXAMPLE", "not that of a user"},
		{"session for a user", "arn:aws:iam::111122223333:user/bob", "111122223333", "AIDAEXAMPLE:bob", "has a session"},
		{"role that is no session", "arn:aws:iam::111122223333:role/admins", "111122223333", "AROAEXAMPLE", "only a session"},
		{"federated user with another name", "arn:aws:sts::111122223333:federated-user/bob", "111122223333", "111122223333:eve", "contradicts"},
		{"federated user of another account", "arn:aws:sts::111122223333:federated-user/bob", "111122223333", "444455556666:bob", "contradicts"},
		{"root with an ID", "arn:aws:iam::111122223333:root", "111122223333", "AIDAEXAMPLE", "contradicts"},
		{"empty ID", "arn:aws:iam::111122223333:user/bob", "111122223333", "", "1 to 128"},
		{"empty ID before a session", session, "111122223333", ":alice", "1 to 128"},
		{"ID with odd characters", "arn:aws:iam::111122223333:user/bob", "111122223333", "AIDA\n", "letters and digits"},
		{"long ID", "arn:aws:iam::111122223333:user/bob", "111122223333", strings.Repeat("A", 129), "1 to 128"},
		{"no ARN", "alice", "111122223333", "AIDAEXAMPLE", "want arn:"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			id, err := NewIdentity(c.arn, c.account, c.userID, "AKIAEXAMPLE")
			if err == nil {
				t.Fatalf("accepted as %+v", id)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q does not say %q", err, c.says)
			}
			if id != (Identity{}) {
				t.Errorf("a refused answer gave %+v", id)
			}
		})
	}
}

func TestIsTemporary(t *testing.T) {
	for key, want := range map[string]bool{"ASIAEXAMPLE": true, "AKIAEXAMPLE": false, "": false, "asiaexample": false} {
		if got := (Identity{AccessKeyID: key}).IsTemporary(); got != want {
			t.Errorf("IsTemporary(%q) = %v", key, got)
		}
	}
}
