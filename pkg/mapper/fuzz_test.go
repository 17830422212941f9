package mapper

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/iam-authenticator/authenticator/pkg/reason"
)

func FuzzParseSection(f *testing.F) {
	for _, seed := range []string{
		`[{rolearn: "arn:aws:iam::111122223333:role/a", username: "u:{{SessionName}}", groups: [a, "system:masters"]}]`,
		`[{"sso": {"permissionSetName": "V", "accountID": 11122223333}, "username": "{{AccountID}}", "userid": "AROAX"}]`,
		"- &b {userarn: 'arn:aws:iam::111122223333:user/p/a', username: u, groups: &g [x]}\n- {<<: *b, groups: *g}\n",
		"- rolearn: arn:aws:iam::111122223333:role/a\n  username: system:node:{{EC2PrivateDNSName}}\n  sessionNamePattern: i-.*\n  requireTemporaryCredentials: true\n",
		"['111122223333', 011122223333]", "&a [*a]", "{}", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		node, err := ParseYAML([]byte(text))
		if err != nil {
			return
		}
		for _, name := range []string{MapRoles, MapUsers, MapAccounts} {
			for _, o := range []ParseOptions{{}, {UserIDStrict: true}} {
				s := ParseSection(name, node, o)
				for _, m := range inForce(s.Mappings) {
					renders(t, m)
					survivesEncoding(t, m, o)
				}
				for _, p := range s.Problems {
					if p.Message == "" || p.Source.Section != name {
						t.Errorf("problem %+v says nothing", p)
					}
				}
			}
		}
	})
}

// renders checks that a mapping gives sound names or a reason code.
func renders(t *testing.T, m *Mapping) {
	id := session(t, "Admins", "i-0123456789abcdef0")
	name, groups, err := m.render(t.Context(), id, nil, ProveEC2Nodes)
	if err != nil {
		if code := reason.Of(err); code != reason.TemplateFailed && code != reason.NameReserved {
			t.Errorf("render: %v", err)
		}
		return
	}
	for _, n := range append(groups, name) {
		if isOwn(n) || n == "" || len(n) > maxName || !utf8.ValidString(n) || strings.ContainsFunc(n, unicode.IsControl) {
			t.Errorf("rendered %q", n)
		}
	}
}

// survivesEncoding checks that a mapping written anew is read as the same.
func survivesEncoding(t *testing.T, m *Mapping, o ParseOptions) {
	want := m.Entry()
	fields := map[string]any{"username": want.Username, "groups": want.Groups}
	if want.PermissionSet != (PermissionSet{}) {
		fields["sso"] = map[string]string{"permissionSetName": want.PermissionSet.Name, "accountID": want.PermissionSet.Account, "partition": want.PermissionSet.Partition}
	} else if want.Principal.Kind != 0 {
		fields[map[string]string{MapRoles: "rolearn", MapUsers: "userarn"}[want.Source.Section]] = want.Source.ARN
	}
	if want.UserID != "" {
		fields["userid"] = want.UserID
	}
	if want.SessionNamePattern != "" {
		fields["sessionNamePattern"] = want.SessionNamePattern
	}
	if want.RequireTemporaryCredentials {
		fields["requireTemporaryCredentials"] = true
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode([]any{fields}); err != nil {
		t.Fatal(err)
	}
	node, err := ParseYAML([]byte(text.String()))
	if err != nil {
		t.Fatalf("%s: %v", text.String(), err)
	}
	s := ParseSection(want.Source.Section, node, o)
	if len(s.Mappings) != 1 {
		t.Fatalf("%s: problems %v", text.String(), s.Problems)
	}
	got := s.Mappings[0].Entry()
	got.Source, want.Source = Source{}, Source{}
	if len(got.Groups)+len(want.Groups) == 0 {
		got.Groups, want.Groups = nil, nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
