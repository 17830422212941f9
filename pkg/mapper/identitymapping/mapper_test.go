package identitymapping

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/objects"
	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/objects/objectstest"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

const (
	path   = "/apis/iamauthenticator.k8s.aws/v1alpha1/iamidentitymappings"
	prefix = "arn:aws:iam::111122223333:"
)

func session(t testing.TB, role string) iam.Identity {
	t.Helper()
	id, err := iam.NewIdentity("arn:aws:sts::111122223333:assumed-role/"+role+"/alice@example.com", "111122223333", "AROAEXAMPLE:alice@example.com", "ASIAEXAMPLE")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// run runs a mapper of the server's objects until the end of the test.
func run(t *testing.T, s *objectstest.Server) Mapper {
	t.Helper()
	m, err := New(Options{Config: s.Config()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Lookup(session(t, "one")); reason.Of(err) != reason.MapperNotReady {
		t.Errorf("before the first list: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return m
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// userOf returns as whom a session of a role gets in, or why it doesn't.
func userOf(t *testing.T, m mapper.Mapper, role string) string {
	user, err := mapper.NewChain([]mapper.Mapper{m}, mapper.ChainOptions{}).Map(t.Context(), session(t, role))
	if err != nil {
		return string(reason.Of(err))
	}
	return strings.Join(append([]string{user.Username}, user.Groups...), " ")
}

func specOf(arn, username string, groups ...string) map[string]any {
	return map[string]any{"arn": prefix + arn, "username": username, "groups": groups}
}

func TestMapperFollowsObjects(t *testing.T) {
	s := objectstest.New(t, path, "IAMIdentityMapping")
	s.Put("a", 2, specOf("role/path/ONE", "dev:{{SessionName}}", "system:masters"))
	s.Put("bad", 1, specOf("role/one", ""))
	m := run(t, s)
	is := func(role, want string) {
		t.Helper()
		eventually(t, role+" is "+want, func() bool { return userOf(t, m, role) == want })
	}
	is("one", "dev:alice-example.com system:masters")
	s.Put("older", 1, specOf("role/one", "older"))
	is("one", "older")
	var texts []string
	for _, p := range m.Status().Problems {
		texts = append(texts, p.String())
	}
	if len(texts) != 2 || !strings.Contains(texts[0], "IAMIdentityMapping older is older") || !strings.Contains(texts[1], "spec.username is missing") {
		t.Errorf("problems %q", texts)
	}
	s.Delete("older")
	is("one", "dev:alice-example.com system:masters")
	s.Delete("a")
	is("one", "EntryInvalid")
	s.Put("ours", 1, specOf("role/two", "two", "iam-authenticator.dev:access-entry:a:b"))
	is("two", "EntryInvalid")
	if s.Patches() != 0 {
		t.Error("the original's objects are written to")
	}
}

// TestStatusDecidesNothing is the hole of the original: it looks principals up by a
// field of the status.
func TestStatusDecidesNothing(t *testing.T) {
	s := objectstest.New(t, path, "IAMIdentityMapping")
	s.Put("a", 1, specOf("role/one", "one", "system:masters"))
	m := run(t, s)
	eventually(t, "synced", func() bool { return userOf(t, m, "one") == "one system:masters" })
	s.PutStatus("a", map[string]any{"canonicalARN": prefix + "role/two", "userID": "x"})
	s.Put("last", 1, specOf("role/last", "last"))
	eventually(t, "seen", func() bool { return userOf(t, m, "last") == "last" })
	if one, two := userOf(t, m, "one"), userOf(t, m, "two"); one != "one system:masters" || two != "NotMapped" {
		t.Errorf("one is %q, two is %q", one, two)
	}
}

func TestMapperIsReadyWithoutKind(t *testing.T) {
	s := objectstest.New(t, path, "IAMIdentityMapping")
	s.Install(false)
	m := run(t, s)
	eventually(t, "ready", func() bool { return userOf(t, m, "one") == "NotMapped" })
	if mapped, err := m.MapsAccount("111122223333"); mapped || err != nil {
		t.Errorf("account: %v, %v", mapped, err)
	}
	if m.Name() != "CRD" {
		t.Errorf("name %q is not the original's", m.Name())
	}
}

func TestEntry(t *testing.T) {
	cases := map[string]struct {
		spec   string
		key    string
		groups []string
		err    string
	}{
		"role without its path":  {spec: `{"arn": "` + prefix + `role/p/R", "username": "u", "groups": ["g"]}`, key: prefix + "role/r", groups: []string{"g"}},
		"user with its path":     {spec: `{"arn": "` + prefix + `user/p/U", "username": "u"}`, key: prefix + "user/p/u"},
		"null groups":            {spec: `{"arn": "` + prefix + `user/u", "username": "u", "groups": null}`, key: prefix + "user/u"},
		"no ARN":                 {spec: `{"username": "u"}`, err: "spec.arn is missing"},
		"no username":            {spec: `{"arn": "` + prefix + `user/u"}`, err: "spec.username is missing"},
		"numeric username":       {spec: `{"arn": "` + prefix + `user/u", "username": 5}`, err: "spec: "},
		"scalar groups":          {spec: `{"arn": "` + prefix + `user/u", "username": "u", "groups": "g"}`, err: "spec: "},
		"misspelt groups":        {spec: `{"arn": "` + prefix + `user/u", "username": "u", "group": ["g"]}`, err: `spec: unknown field "group"`},
		"malformed ARN":          {spec: `{"arn": "arn:aws:iam::1:user/u", "username": "u"}`, err: "spec.arn: principal ARN"},
		"key in another case":    {spec: `{"ARN": "` + prefix + `user/u", "username": "u"}`, err: `spec: unknown field "ARN"`},
		"canonicalARN in a spec": {spec: `{"arn": "` + prefix + `user/u", "username": "u", "canonicalARN": "x"}`, err: "spec: unknown field"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e, _, err := entry(&objects.Object{Spec: []byte(c.spec)})
			if c.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil || e.Principal.Key() != c.key || e.Username != "u" || !slices.Equal(e.Groups, c.groups) {
				t.Errorf("entry %+v, %v", e, err)
			}
		})
	}
}
