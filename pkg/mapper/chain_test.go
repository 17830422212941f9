package mapper

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

func TestChainOrder(t *testing.T) {
	const arn = `rolearn: "arn:aws:iam::111122223333:role/admins"`
	good := newStatic("Good", []*Mapping{one(t, `{`+arn+`, username: good, groups: [g]}`)})
	pinned := newStatic("Pinned", []*Mapping{one(t, `{`+arn+`, username: u, userid: AROAOTHER}`)})
	refusing := newStatic("Refusing", []*Mapping{one(t, `{`+arn+`, username: u, sessionNamePattern: bob}`)})
	failing := newStatic("Failing", []*Mapping{one(t, `{`+arn+`, username: "{{EC2PrivateDNSName}}"}`)})
	reserved := newStatic("Reserved", []*Mapping{one(t, `{`+arn+`, username: "{{SessionName}}:masters"}`)})
	whole := newStatic("Account", nil, account)
	empty := newStatic("Empty", nil)
	unready := static{name: "Unready", err: Status{}.Ready()}
	broken := static{name: "Broken", err: errors.New("boom")}

	alice := session(t, "Admins", "alice")
	eve := session(t, "Admins", "system")
	cases := []struct {
		name    string
		mappers []Mapper
		id      iam.Identity
		want    string // username
		code    reason.Code
	}{
		{"first with an entry decides", []Mapper{empty, good, pinned}, alice, "good", reason.Granted},
		{"mismatch is final", []Mapper{pinned, good}, alice, "", reason.PrincipalIDMismatch},
		{"session refusal is final", []Mapper{refusing, good}, alice, "", reason.SessionNameRefused},
		{"failure to render is final", []Mapper{failing, good}, alice, "", reason.NotAnInstance},
		{"reserved name is final", []Mapper{reserved, good}, eve, "", reason.NameReserved},
		{"refusal beats account", []Mapper{pinned, whole}, alice, "", reason.PrincipalIDMismatch},
		{"explicit entry of a later mapper beats account", []Mapper{whole, good}, alice, "good", reason.Granted},
		{"refusal of a later mapper beats account", []Mapper{whole, refusing}, alice, "", reason.SessionNameRefused},
		{"account of a later mapper", []Mapper{empty, whole}, alice, "arn:aws:iam::111122223333:role/Admins", reason.Granted},
		{"account of a user", []Mapper{whole}, user(t, "x/bob"), "arn:aws:iam::111122223333:user/x/bob", reason.Granted},
		{"other account", []Mapper{whole}, identity(t, "arn:aws:iam::444455556666:user/bob", "AIDAEXAMPLE", ""), "", reason.NotMapped},
		{"unready mapper does not fall through", []Mapper{unready, good}, alice, "", reason.MapperNotReady},
		{"unready mapper behind the decision", []Mapper{good, unready}, alice, "good", reason.Granted},
		{"unready mapper behind a refusal", []Mapper{pinned, unready}, alice, "", reason.PrincipalIDMismatch},
		{"unready mapper before accounts", []Mapper{whole, unready}, alice, "", reason.MapperNotReady},
		{"broken mapper does not fall through", []Mapper{broken, good}, alice, "", reason.Internal},
		{"nobody", []Mapper{empty, empty}, alice, "", reason.NotMapped},
		{"no mappers", nil, alice, "", reason.NotMapped},
		{"zero identity", []Mapper{good, whole}, iam.Identity{}, "", reason.NotMapped},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := NewChain(c.mappers, ChainOptions{}).Map(t.Context(), c.id)
			if reason.Of(err) != c.code || got.Username != c.want {
				t.Errorf("got %q, %v, want %q, %s", got.Username, err, c.want, c.code)
			}
			if err != nil && got.Groups != nil {
				t.Errorf("a refusal comes with %+v", got)
			}
			if (c.code == reason.NotMapped) != errors.Is(err, ErrNotMapped) {
				t.Errorf("%v: is ErrNotMapped %t", err, errors.Is(err, ErrNotMapped))
			}
		})
	}
}

func TestRefusalSaysWhoseItIs(t *testing.T) {
	pinned := newStatic("Pinned", []*Mapping{one(t, `{rolearn: "arn:aws:iam::111122223333:role/admins", username: u, userid: AROAOTHER}`)})
	whole := newStatic("Whole", nil, account)
	reserved := ChainOptions{ReservedPrefixes: map[string][]string{"Whole": {"arn:"}}}
	for name, c := range map[string]struct {
		mapper Mapper
		want   User
	}{
		"an entry":                 {pinned, User{Mapper: "Pinned", Entry: "mapRoles[0] (line 1)"}},
		"an account":               {whole, User{Mapper: "Whole", Entry: MapAccounts}},
		"a mapper without answers": {static{name: "Unready", err: Status{}.Ready()}, User{Mapper: "Unready"}},
		"nobody's":                 {newStatic("Empty", nil), User{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := NewChain([]Mapper{c.mapper}, reserved).Map(t.Context(), session(t, "admins", "alice"))
			if err == nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

// A bad entry harms whom it names and nobody else: to pass over it could let that
// principal in by an entry that says more.
func TestBadEntryRefusesWhomItNames(t *testing.T) {
	masters := newStatic("Later", []*Mapping{one(t, `{rolearn: "arn:aws:iam::111122223333:role/ci", username: ci, groups: ["system:masters"]}`)}, account)
	cases := []struct {
		name, roles string
		want        string
		code        reason.Code
	}{
		{"bad pattern", `- {rolearn: "arn:aws:iam::111122223333:role/p/CI", username: ci, sessionNamePattern: "("}`, "", reason.EntryInvalid},
		{"misspelt key", `- {RoleARN: "arn:aws:iam::111122223333:role/ci", username: ci, group: [a]}`, "", reason.EntryInvalid},
		{"no username", `- {rolearn: "arn:aws:iam::111122223333:role/ci"}`, "", reason.EntryInvalid},
		{"behind a good entry", "- {rolearn: \"arn:aws:iam::111122223333:role/ci\", username: good}\n- {rolearn: \"arn:aws:iam::111122223333:role/ci\", username: ci, gruops: []}", "", reason.EntryInvalid},
		{"before a good entry", "- {rolearn: \"arn:aws:iam::111122223333:role/ci\", username: ci, gruops: []}\n- {rolearn: \"arn:aws:iam::111122223333:role/ci\", username: good}", "good", reason.Granted},
		{"in the entry of another", `- {rolearn: "arn:aws:iam::111122223333:role/other", username: ci, gruops: []}`, "ci", reason.Granted},
		{"in the entry of a session", `- {rolearn: "arn:aws:sts::111122223333:assumed-role/ci/x", username: ci}`, "ci", reason.Granted},
		{"in the ARN", `- {rolearn: "arn:aws:iam::1:role/ci", username: ci}`, "ci", reason.Granted},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := section(t, MapRoles, c.roles)
			first := newStatic("First", s.Mappings)
			got, err := NewChain([]Mapper{first, masters}, ChainOptions{}).Map(t.Context(), session(t, "ci", "alice"))
			if reason.Of(err) != c.code || got.Username != c.want {
				t.Errorf("got %q, %v, want %q, %s", got.Username, err, c.want, c.code)
			}
		})
	}
	sso := newStatic("SSO", section(t, MapRoles, `- {sso: {permissionSetName: Ops, accountID: "111122223333"}, username: u, gruops: []}`).Mappings)
	if _, err := NewChain([]Mapper{sso}, ChainOptions{}).Map(t.Context(), session(t, "AWSReservedSSO_Ops_0123456789abcdef", "a")); reason.Of(err) != reason.EntryInvalid {
		t.Errorf("permission set: %v", err)
	}
	if sso.Status().Entries != 0 {
		t.Errorf("a refusal counts as an entry")
	}
}

func TestChainDoesNotFallThroughMapsAccountErrors(t *testing.T) {
	mapper := accountsUnready{newStatic("Half", nil)}
	_, err := NewChain([]Mapper{mapper, newStatic("Account", nil, account)}, ChainOptions{}).Map(t.Context(), session(t, "ci", "alice"))
	if reason.Of(err) != reason.MapperNotReady {
		t.Errorf("got %v, want MapperNotReady", err)
	}
}

type accountsUnready struct{ static }

func (accountsUnready) MapsAccount(string) (bool, error) { return false, Status{}.Ready() }

func TestChainNamesWhatDecided(t *testing.T) {
	file := newStatic("MountedFile", []*Mapping{one(t, `{rolearn: "arn:aws:iam::111122223333:role/admins", username: u, groups: [a, b, a]}`)}, account)
	chain := NewChain([]Mapper{file}, ChainOptions{})
	got, err := chain.Map(t.Context(), session(t, "admins", "alice"))
	if err != nil || got.Mapper != "MountedFile" || got.Entry != "mapRoles[0] (line 1)" || !slices.Equal(got.Groups, []string{"a", "b"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = chain.Map(t.Context(), user(t, "bob"))
	if err != nil || got.Mapper != "MountedFile" || got.Entry != "mapAccounts" || got.Groups != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestChainErrorsSayWhere(t *testing.T) {
	const arn = `rolearn: "arn:aws:iam::111122223333:role/admins"`
	alice := session(t, "admins", "alice")
	for _, c := range []struct {
		mapper static
		want   string
	}{
		{newStatic("M", []*Mapping{one(t, `{`+arn+`, username: u, userid: AROAOTHER}`)}),
			"PrincipalIDMismatch: mapper M, mapRoles[0] (line 1): the mapping wants user ID AROAOTHER, but arn:aws:iam::111122223333:role/admins has AROAEXAMPLE"},
		{newStatic("M", []*Mapping{one(t, `{`+arn+`, username: u, groups: [g, "n:{{EC2PrivateDNSName}}"]}`)}),
			`NotAnInstance: mapper M, mapRoles[0] (line 1): groups[1]: the session name "alice", want an EC2 instance ID such as i-0123456789abcdef0`},
		{static{name: "M", err: fmt.Errorf("informer: %w", Status{}.Ready())},
			"MapperNotReady: mapper M: informer: MapperNotReady: mappings not read yet"},
		{newStatic("M", nil), "NotMapped: no mapping for arn:aws:iam::111122223333:role/admins"},
	} {
		_, err := NewChain([]Mapper{c.mapper}, ChainOptions{}).Map(t.Context(), alice)
		if err == nil || err.Error() != c.want {
			t.Errorf("error %v\nwant  %s", err, c.want)
		}
	}
}

func TestChainReservesPrefixesPerMapper(t *testing.T) {
	entry := []*Mapping{one(t, `{rolearn: "arn:aws:iam::111122223333:role/admins", username: "corp:{{SessionName}}", groups: ["corp:x"]}`)}
	reserve := func(names ...string) ChainOptions {
		o := ChainOptions{ReservedPrefixes: map[string][]string{}}
		for _, name := range names {
			o.ReservedPrefixes[name] = []string{"ops:", "corp:"}
		}
		return o
	}
	alice := session(t, "admins", "alice")
	for name, c := range map[string]struct {
		options ChainOptions
		mappers []Mapper
		want    reason.Code
	}{
		"its own":   {reserve("File"), []Mapper{newStatic("File", entry)}, reason.NameReserved},
		"another's": {reserve("CRD"), []Mapper{newStatic("File", entry)}, reason.Granted},
		"final":     {reserve("File"), []Mapper{newStatic("File", entry), newStatic("CRD", entry)}, reason.NameReserved},
		"account": {ChainOptions{ReservedPrefixes: map[string][]string{"File": {"arn:"}}},
			[]Mapper{newStatic("File", nil, account)}, reason.NameReserved},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewChain(c.mappers, c.options).Map(t.Context(), alice)
			if reason.Of(err) != c.want {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

func TestStatusIsReadyOnceLoaded(t *testing.T) {
	s := Status{Err: errors.New("no such file")}
	if err := s.Ready(); reason.Of(err) != reason.MapperNotReady || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("Ready() = %v", err)
	}
	s.Loaded = s.Loaded.AddDate(1, 0, 0)
	if err := s.Ready(); err != nil {
		t.Errorf("Ready() = %v with a last good state", err)
	}
}

// The same principal in three sources, in every order and every state: the first
// source that says anything decides, and nothing behind it counts.
func TestChainPrecedenceInEveryOrder(t *testing.T) {
	alice := session(t, "admins", "alice")
	const arn = `rolearn: "arn:aws:iam::111122223333:role/admins"`
	type state struct {
		name string
		make func(source string) Mapper
		code reason.Code // "" if it says nothing
	}
	states := []state{
		{"maps", func(source string) Mapper {
			return newStatic(source, []*Mapping{one(t, `{`+arn+`, username: `+source+`}`)})
		}, reason.Granted},
		{"pins another", func(source string) Mapper {
			return newStatic(source, []*Mapping{one(t, `{`+arn+`, username: `+source+`, userid: AROAOTHER}`)})
		}, reason.PrincipalIDMismatch},
		{"can't render", func(source string) Mapper {
			return newStatic(source, []*Mapping{one(t, `{`+arn+`, username: "{{EC2PrivateDNSName}}"}`)})
		}, reason.NotAnInstance},
		{"has a mistake", func(source string) Mapper {
			return newStatic(source, section(t, MapRoles, `- {`+arn+`, user: x}`).Mappings)
		}, reason.EntryInvalid},
		{"isn't read yet", func(source string) Mapper { return static{name: source, err: Status{}.Ready()} }, reason.MapperNotReady},
		{"says nothing", func(source string) Mapper { return newStatic(source, nil) }, ""},
		{"maps the account", func(source string) Mapper { return newStatic(source, nil, account) }, ""},
	}
	orders := [][]string{
		{"entry", "configmap", "file"}, {"entry", "file", "configmap"}, {"configmap", "entry", "file"},
		{"configmap", "file", "entry"}, {"file", "entry", "configmap"}, {"file", "configmap", "entry"},
	}
	for _, order := range orders {
		for i := range len(states) * len(states) * len(states) {
			chosen := []state{states[i%7], states[i/7%7], states[i/49]}
			var mappers []Mapper
			want, wantUser, byAccount := reason.NotMapped, "", false
			for j, source := range order {
				mappers = append(mappers, chosen[j].make(source))
				if want == reason.NotMapped && chosen[j].code != "" {
					want = chosen[j].code
					if want == reason.Granted {
						wantUser = source
					}
				}
				byAccount = byAccount || chosen[j].name == "maps the account"
			}
			if want == reason.NotMapped && byAccount {
				want, wantUser = reason.Granted, alice.CanonicalARN
			}
			got, err := NewChain(mappers, ChainOptions{}).Map(t.Context(), alice)
			if reason.Of(err) != want || got.Username != wantUser {
				t.Errorf("%v: %s, %s, %s: got %q, %v, want %q, %s", order, chosen[0].name, chosen[1].name, chosen[2].name, got.Username, err, wantUser, want)
			}
		}
	}
}
