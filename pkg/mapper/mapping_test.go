package mapper

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// nodes answers for every instance.
type nodes struct {
	name string
	err  error
}

func (n nodes) PrivateDNSName(context.Context, iam.Identity, bool) (string, error) {
	return n.name, n.err
}

func TestRenderFillsPlaceholders(t *testing.T) {
	mail := session(t, "Admins", "alice@example.com")
	instance := session(t, "Nodes", "i-0123456789abcdef0")
	federated := identity(t, "arn:aws:sts::111122223333:federated-user/bob", account+":bob", "ASIAEXAMPLE")
	cases := []struct {
		template string
		id       iam.Identity
		want     string
	}{
		{"admin", mail, "admin"},
		{"{{SessionName}}", mail, "alice-example.com"},
		{"{{SessionNameRaw}}", mail, "alice@example.com"},
		{"{{SessionName}}", federated, "bob"},
		{"{{AccountID}}:{{SessionNameRaw}}:{{AccessKeyID}}", mail, "111122223333:alice@example.com:ASIAEXAMPLE"},
		{"{{AccessKeyID}}", user(t, "bob"), "AKIAEXAMPLE"},
		{"system:node:{{EC2PrivateDNSName}}", instance, "system:node:ip-10-0-0-1.ec2.internal"},
		{"system:node:{{EC2InstanceID}}.eu-west-1.compute.internal", instance, "system:node:i-0123456789abcdef0.eu-west-1.compute.internal"},
		{"{x}{{AccountID}}{y}", mail, "{x}111122223333{y}"},
		{"ünï-{{AccountID}}", mail, "ünï-111122223333"},
	}
	for _, c := range cases {
		t.Run(c.template, func(t *testing.T) {
			m := one(t, `{rolearn: "arn:aws:iam::111122223333:role/a", username: "`+c.template+`", groups: ["`+c.template+`", x, x]}`)
			name, groups, err := m.render(t.Context(), c.id, nodes{name: "ip-10-0-0-1.ec2.internal"}, ProveEC2Nodes)
			if err != nil || name != c.want || !slices.Equal(groups, []string{c.want, "x"}) {
				t.Errorf("got %q %q %v, want %q in both and x once", name, groups, err, c.want)
			}
		})
	}
}

func TestRenderFails(t *testing.T) {
	alice := session(t, "Admins", "alice")
	instance := session(t, "Nodes", "i-01234567")
	odd := alice
	odd.SessionName = "{{AccountID}}" // which STS does not allow
	cases := []struct {
		name, template string
		id             iam.Identity
		nodes          Nodes
		want           reason.Code
		says           string
	}{
		{"no session", "{{SessionName}}", user(t, "bob"), nil, reason.TemplateFailed, "no {{SessionName}}"},
		{"no raw session", "{{SessionNameRaw}}", user(t, "bob"), nil, reason.TemplateFailed, "no {{SessionNameRaw}}"},
		{"session is no instance", "{{EC2PrivateDNSName}}", alice, nodes{name: "n"}, reason.NotAnInstance, "instance ID"},
		{"instance ID of nine digits", "{{EC2PrivateDNSName}}", session(t, "Nodes", "i-012345678"), nodes{name: "n"}, reason.NotAnInstance, "instance ID"},
		{"instance ID in upper case", "{{EC2PrivateDNSName}}", session(t, "Nodes", "i-0123456A"), nodes{name: "n"}, reason.NotAnInstance, "instance ID"},
		{"no node names", "{{EC2PrivateDNSName}}", instance, nil, reason.TemplateFailed, "not looked up"},
		{"unknown node", "{{EC2PrivateDNSName}}", instance, nodes{err: errors.New("no such instance")}, reason.TemplateFailed, "no such instance"},
		{"node without a name", "{{EC2PrivateDNSName}}", instance, nodes{}, reason.NodeNameRefused, `the private DNS name ""`},
		{"node source with a reason", "{{EC2PrivateDNSName}}", instance, nodes{err: reason.New(reason.STSThrottled, "slow down")}, reason.STSThrottled, "slow down"},
		{"control character in a value", "n{{EC2PrivateDNSName}}", instance, nodes{name: "a\nb"}, reason.NodeNameRefused, `"a\nb"`},
		{"value that is not UTF-8", "n{{EC2PrivateDNSName}}", instance, nodes{name: "\xff"}, reason.NodeNameRefused, `"\xff"`},
		{"long value", "n{{EC2PrivateDNSName}}", instance, nodes{name: strings.Repeat("n", 254)}, reason.NodeNameRefused, "no node can have"},
		{"session is no instance for its ID", "n:{{EC2InstanceID}}", alice, nil, reason.NotAnInstance, "instance ID"},
		{"user is no instance", "n:{{EC2InstanceID}}", user(t, "bob"), nil, reason.NotAnInstance, "instance ID"},
		{"value completes a reserved name", "{{SessionName}}:masters", session(t, "Admins", "system"), nil, reason.NameReserved, `"system:masters" begins with system:`},
		{"value completes a longer text", "a{{SessionName}}:x", session(t, "Admins", "mazon"), nil, reason.NameReserved, "amazon:"},
		{"value completes a name of ours", "iam-authenticator.{{SessionName}}:x", session(t, "Admins", "dev"), nil, reason.NameReserved, `"iam-authenticator.dev:x" begins with iam-authenticator.dev:`},
		{"value is most of a name of ours", "i{{SessionName}}:x", session(t, "Admins", "am-authenticator.dev"), nil, reason.NameReserved, "iam-authenticator.dev:"},
		{"name of ours in another letter case", "IAM-{{SessionName}}:access-entry:a:b", session(t, "Admins", "AuthenticaTor.Dev"), nil, reason.NameReserved, "iam-authenticator.dev:"},
		{"text begins a reserved name", "sys{{SessionName}}:x", session(t, "Admins", "tem"), nil, reason.NameReserved, "system:"},
	}
	for _, c := range cases {
		for _, place := range []string{`username: "T"`, `username: u, groups: [g, "T"]`} {
			t.Run(c.name+" "+place[:6], func(t *testing.T) {
				m := one(t, `{rolearn: "arn:aws:iam::111122223333:role/a", `+strings.Replace(place, "T", c.template, 1)+`}`)
				name, _, err := m.render(t.Context(), c.id, c.nodes, ProveEC2Nodes)
				if name != "" || reason.Of(err) != c.want || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %q, %v, want %s saying %q", name, err, c.want, c.says)
				}
			})
		}
	}
}

// The group of access policies comes last, and is no template.
func TestRenderAddsPolicyGroup(t *testing.T) {
	e := one(t, `{rolearn: "arn:aws:iam::111122223333:role/a", username: u, groups: [g, "{{AccountID}}"]}`).Entry()
	for _, groups := range [][]string{nil, e.Groups} {
		e.Groups, e.PolicyGroup = groups, "iam-authenticator.dev:access-entry:a:{{SessionName}}"
		m, err := NewMapping(e)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"g", account, e.PolicyGroup}[2-len(groups):]
		if _, got, err := m.render(t.Context(), session(t, "a", "s"), nil, ProveEC2Nodes); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestRenderNeverReadsValueAsTemplate(t *testing.T) {
	id := session(t, "Admins", "alice")
	id.SessionName = "{{AccountID}}" // more than STS allows
	m := one(t, `{rolearn: "arn:aws:iam::111122223333:role/a", username: "{{SessionName}}{{AccountID}}"}`)
	name, _, err := m.render(t.Context(), id, nil, ProveEC2Nodes)
	if want := "{{AccountID}}" + account; name != want || err != nil {
		t.Errorf("got %q, %v, want %q", name, err, want)
	}
}

func TestRenderOfCanceledRequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := one(t, `{rolearn: "arn:aws:iam::111122223333:role/a", username: "{{EC2PrivateDNSName}}"}`)
	if _, _, err := m.render(ctx, session(t, "Nodes", "i-01234567"), nodes{err: ctx.Err()}, ProveEC2Nodes); reason.Of(err) != reason.Canceled {
		t.Errorf("error %v, want %s", err, reason.Canceled)
	}
}

func TestReservedNamesPassIfSpelledOut(t *testing.T) {
	id := session(t, "Admins", "alice")
	for _, template := range []string{"system:masters", "system:node:{{SessionName}}", "eks:x-{{SessionName}}", "iam:a", "System:masters", "systems:a", "my:system:{{SessionName}}",
		"aws:{{AccountID}}:instance:{{SessionName}}", "iam:{{SessionName}}"} {
		e := Entry{Principal: id.Principal, Username: "u", Groups: []string{template}}
		e.Principal.SessionName = ""
		m, err := NewMapping(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err = m.render(t.Context(), id, nil, ProveEC2Nodes); err != nil {
			t.Errorf("%s: %v", template, err)
		}
	}
}

func TestCheck(t *testing.T) {
	alice := session(t, "Admins", "alice")
	longTerm := alice
	longTerm.AccessKeyID = "AKIAEXAMPLE"
	cases := []struct {
		name, restriction string
		id                iam.Identity
		want              reason.Code
	}{
		{"user ID", "userid: AROAEXAMPLE", alice, reason.Granted},
		{"other user ID", "userid: AROAOTHER", alice, reason.PrincipalIDMismatch},
		{"user ID in another letter case", "userid: aroaexample", alice, reason.PrincipalIDMismatch},
		{"pattern", `sessionNamePattern: "[a-z]+"`, alice, reason.Granted},
		{"pattern for the beginning", `sessionNamePattern: ali`, alice, reason.SessionNameRefused},
		{"pattern for the end", `sessionNamePattern: ice`, alice, reason.SessionNameRefused},
		{"alternatives are anchored", `sessionNamePattern: ali|ce`, alice, reason.SessionNameRefused},
		{"multi-line flag does not loosen", `sessionNamePattern: "(?m)^ali$"`, session(t, "Admins", "ali.x"), reason.SessionNameRefused},
		{"letter case counts", `sessionNamePattern: ALICE`, alice, reason.SessionNameRefused},
		{"temporary", "requireTemporaryCredentials: true", alice, reason.Granted},
		{"long-term", "requireTemporaryCredentials: true", longTerm, reason.TemporaryCredentialsRequired},
		{"long-term where allowed", "requireTemporaryCredentials: false", longTerm, reason.Granted},
		{"other principal", "groups: []", session(t, "Others", "alice"), reason.PrincipalIDMismatch},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := one(t, `{rolearn: "arn:aws:iam::111122223333:role/admins", username: u, `+c.restriction+`}`)
			if err := m.check(c.id); reason.Of(err) != c.want {
				t.Errorf("check: %v, want %s", err, c.want)
			}
		})
	}
	t.Run("other permission set", func(t *testing.T) {
		m := one(t, `{sso: {permissionSetName: View, accountID: "111122223333"}, username: u}`)
		if err := m.check(session(t, "AWSReservedSSO_View_0123456789abcdef", "alice")); err != nil {
			t.Errorf("check of the same: %v", err)
		}
		for _, role := range []string{"AWSReservedSSO_Edit_0123456789abcdef", "View"} {
			if err := m.check(session(t, role, "alice")); reason.Of(err) != reason.PrincipalIDMismatch {
				t.Errorf("check of %s: %v, want %s", role, err, reason.PrincipalIDMismatch)
			}
		}
	})
	t.Run("pattern refuses who has no session", func(t *testing.T) {
		m := one(t, `{rolearn: "arn:aws:iam::111122223333:role/admins", username: u, sessionNamePattern: ".*"}`)
		id := alice
		id.SessionName = ""
		if err := m.check(id); reason.Of(err) != reason.SessionNameRefused {
			t.Errorf("check: %v, want %s", err, reason.SessionNameRefused)
		}
	})
}

func TestNewMappingCopiesGroups(t *testing.T) {
	groups := []string{"a"}
	m, err := NewMapping(Entry{UserID: "AROAEXAMPLE", Username: "u", Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	groups[0] = "system:masters"
	m.Entry().Groups[0] = "system:masters"
	if got := m.Entry().Groups[0]; got != "a" {
		t.Errorf("group %q, want a: the mapping was changed from outside", got)
	}
}
