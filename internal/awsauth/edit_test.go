package awsauth

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

const arn = "arn:aws:iam::111122223333:"

// section names what the texts of the tests are.
const roles = mapper.MapRoles

func roleEntry(t testing.TB, name, username string, groups ...string) Entry {
	t.Helper()
	e, err := NewEntry(arn+"role/"+name, username, groups)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// short replaces R by a role ARN and the like, so that documents fit a table.
func long(text string) string {
	return strings.NewReplacer("@a", arn+"role/a", "@b", arn+"role/b", "@c", arn+"role/c", "@n", arn+"role/n").Replace(text)
}

// TestAdd adds the role n as u:{{SessionName}} in the groups g and h.
func TestAdd(t *testing.T) {
	for name, c := range map[string]struct{ before, after string }{
		"empty":          {"", "- rolearn: @n\n  username: u:{{SessionName}}\n  groups:\n    - g\n    - system:h\n"},
		"empty list":     {"[]\n", "- rolearn: @n\n  username: u:{{SessionName}}\n  groups:\n    - g\n    - system:h\n"},
		"only comments":  {"# nobody yet\n", "# nobody yet\n- rolearn: @n\n  username: u:{{SessionName}}\n  groups:\n    - g\n    - system:h\n"},
		"document start": {"---\n", "---\n- rolearn: @n\n  username: u:{{SessionName}}\n  groups:\n    - g\n    - system:h\n"},
		"as eksctl writes": {
			"- groups:\n  - x\n  rolearn: @a\n  username: a\n",
			"- groups:\n  - x\n  rolearn: @a\n  username: a\n- groups:\n  - g\n  - system:h\n  rolearn: @n\n  username: u:{{SessionName}}\n",
		},
		"indented list, comments, blank lines": {
			"  # first\n  - rolearn: @a # a\n    username: a\n    groups:\n      - x\n\n  # second\n  - rolearn: @b\n    username: b\n    groups:\n      - x\n  # end\n\n",
			"  # first\n  - rolearn: @a # a\n    username: a\n    groups:\n      - x\n\n  # second\n  - rolearn: @b\n    username: b\n    groups:\n      - x\n  # end\n  - rolearn: @n\n    username: u:{{SessionName}}\n    groups:\n      - g\n      - system:h\n\n",
		},
		"blank lines between": {
			"- rolearn: @a\n  username: a\n\n- rolearn: @b\n  username: b\n",
			"- rolearn: @a\n  username: a\n\n- rolearn: @b\n  username: b\n\n- rolearn: @n\n  username: u:{{SessionName}}\n  groups:\n    - g\n    - system:h\n",
		},
		"CRLF": {
			"- rolearn: @a\r\n  username: a\r\n  groups: [x]\r\n",
			"- rolearn: @a\r\n  username: a\r\n  groups: [x]\r\n- rolearn: @n\r\n  username: u:{{SessionName}}\r\n  groups: [g, system:h]\r\n",
		},
		"no line end":  {"- rolearn: @a\n  username: a", "- rolearn: @a\n  username: a\n- rolearn: @n\n  username: u:{{SessionName}}\n  groups:\n    - g\n    - system:h\n"[:len("- rolearn: @a\n  username: a\n- rolearn: @n\n  username: u:{{SessionName}}\n  groups:\n    - g\n    - system:h")]},
		"quoted":       {"-   'rolearn': '@a'\n    'username': 'a'\n", "-   'rolearn': '@a'\n    'username': 'a'\n-   'rolearn': '@n'\n    'username': 'u:{{SessionName}}'\n    'groups':\n      - 'g'\n      - 'system:h'\n"},
		"document end": {"- rolearn: @a\n  username: a\n...\n", "- rolearn: @a\n  username: a\n- rolearn: @n\n  username: u:{{SessionName}}\n  groups:\n    - g\n    - system:h\n...\n"},
		"braces in a block list": {
			"- {rolearn: @a, username: a, groups: [x]}\n",
			"- {rolearn: @a, username: a, groups: [x]}\n- {rolearn: @n, username: \"u:{{SessionName}}\", groups: [g, system:h]}\n",
		},
		"flow": {
			"[{rolearn: @a, username: a}, # first\n {rolearn: @b, username: 'b, {c}'}] # end\n",
			"[{rolearn: @a, username: a}, # first\n {rolearn: @b, username: 'b, {c}'}, {rolearn: @n, username: \"u:{{SessionName}}\", groups: [g, system:h]}] # end\n",
		},
		"flow with a comma at the end": {
			"[{rolearn: @a, username: a},]",
			"[{rolearn: @a, username: a}, {rolearn: @n, username: \"u:{{SessionName}}\", groups: [g, system:h]},]",
		},
		"flow, only a comment": {"[ # nobody\n]\n", "[ # nobody\n{rolearn: @n, username: \"u:{{SessionName}}\", groups: [g, system:h]}]\n"},
		"flow, comments": {
			"[{rolearn: @a, username: a} # a\n, {rolearn: @b, username: b} # b\n]",
			"[{rolearn: @a, username: a} # a\n, {rolearn: @b, username: b}, {rolearn: @n, username: \"u:{{SessionName}}\", groups: [g, system:h]} # b\n]",
		},
		"JSON": {
			`[{"rolearn":"@a","username":"a"},{"rolearn":"@b","username":"b","groups":["x","y"]}]`,
			`[{"rolearn":"@a","username":"a"},{"rolearn":"@b","username":"b","groups":["x","y"]},{"rolearn":"@n","username":"u:{{SessionName}}","groups":["g","system:h"]}]`,
		},
		"JSON with escapes of its own": {
			`[{"rolearn":"arn:aws:iam::111122223333:role\/a","username":"\\\/\ud83d\ude00"}]`,
			`[{"rolearn":"arn:aws:iam::111122223333:role\/a","username":"\\\/\ud83d\ude00"},{"rolearn":"@n","username":"u:{{SessionName}}","groups":["g","system:h"]}]`,
		},
		"indented JSON": {
			"[\n  {\n    \"rolearn\": \"@a\",\n    \"username\": \"a\",\n    \"groups\": [\n      \"x\"\n    ]\n  }\n]\n",
			"[\n  {\n    \"rolearn\": \"@a\",\n    \"username\": \"a\",\n    \"groups\": [\n      \"x\"\n    ]\n  },\n  {\n    \"rolearn\": \"@n\",\n    \"username\": \"u:{{SessionName}}\",\n    \"groups\": [\n      \"g\",\n      \"system:h\"\n    ]\n  }\n]\n",
		},
		"a wrong entry stays":       {"- gruops: [x]\n  rolearn: @a\n", "- gruops: [x]\n  rolearn: @a\n- rolearn: @n\n  username: u:{{SessionName}}\n  groups:\n    - g\n    - system:h\n"},
		"behind an anchor":          {"- &x {rolearn: @a, username: a}\n- {<<: *x, rolearn: @b}\n", "- &x {rolearn: @a, username: a}\n- {<<: *x, rolearn: @b}\n- {rolearn: @n, username: \"u:{{SessionName}}\", groups: [g, system:h]}\n"},
		"dash on a line of its own": {"-\n  rolearn: @a\n  username: a\n", "-\n  rolearn: @a\n  username: a\n- rolearn: @n\n  username: u:{{SessionName}}\n  groups:\n    - g\n    - system:h\n"},
	} {
		t.Run(name, func(t *testing.T) {
			before := Document{roles: long(c.before), "other": "x"}
			after, err := before.Add(roleEntry(t, "n", "u:{{SessionName}}", "g", "system:h"))
			if err != nil {
				t.Fatal(err)
			}
			if want := long(c.after); after[roles] != want || after["other"] != "x" {
				t.Errorf("got\n%s\nwant\n%s", after[roles], want)
			}
			if before[roles] != long(c.before) {
				t.Error("the document of before was changed")
			}
			// Taking it out again gives the text of before, but for a line end at the end
			// and the way in which an empty list is written.
			found, err := after.FindARN(arn + "role/n")
			if err != nil || len(found) != 1 {
				t.Fatalf("found %v, %v", found, err)
			}
			back, err := after.Remove(found[0])
			if err != nil {
				t.Fatal(err)
			}
			trim := func(s string) string { return strings.TrimRight(strings.TrimSuffix(s, "[]\n"), "\n") }
			if trim(back[roles]) != trim(before[roles]) {
				t.Errorf("added and removed:\n%q\nwant\n%q", back[roles], before[roles])
			}
		})
	}
}

func TestAddAccount(t *testing.T) {
	for before, want := range map[string]string{
		"":                        "- \"012345678901\"\n",
		"- 111122223333\n":        "- 111122223333\n- \"012345678901\"\n",
		"['111122223333']":        "['111122223333', \"012345678901\"]",
		`["111122223333"]` + "\n": `["111122223333", "012345678901"]` + "\n",
	} {
		e, err := NewAccount("012345678901")
		if err != nil {
			t.Fatal(err)
		}
		after, err := Document{mapper.MapAccounts: before}.Add(e)
		if err != nil || after[mapper.MapAccounts] != want {
			t.Errorf("%q: got %q, %v, want %q", before, after[mapper.MapAccounts], err, want)
		}
	}
}

// TestRemove removes the role b.
func TestRemove(t *testing.T) {
	for name, c := range map[string]struct{ before, after string }{
		"block": {
			"# head\n- rolearn: @a\n  username: a\n# of b\n- rolearn: @b # here\n  # within\n  username: b\n# of c\n\n- rolearn: @c\n  username: c\n",
			"# head\n- rolearn: @a\n  username: a\n# of b\n# of c\n\n- rolearn: @c\n  username: c\n",
		},
		"first":                        {"- rolearn: @b\n  username: b\n  groups:\n  - x\n- rolearn: @c\n  username: c\n", "- rolearn: @c\n  username: c\n"},
		"last":                         {"- rolearn: @a\n  username: a\n- rolearn: @b\n  username: b", "- rolearn: @a\n  username: a\n"},
		"only":                         {"# all\n- rolearn: @b\n  username: b\n", "# all\n"},
		"CRLF":                         {"- rolearn: @b\r\n  username: b\r\n- rolearn: @c\r\n  username: c\r\n", "- rolearn: @c\r\n  username: c\r\n"},
		"several lines":                {"- rolearn: @b\n  username: \"b\n    # no comment\"\n- rolearn: @c\n  username: c\n", "- rolearn: @c\n  username: c\n"},
		"misindented":                  {"- rolearn: @b\n  username: b\n  groups:\n  - x\n    - y\n- rolearn: @c\n  username: c\n", "- rolearn: @c\n  username: c\n"},
		"dash alone":                   {"- rolearn: @a\n  username: a\n- # b\n\n  rolearn: @b\n  username: b\n- rolearn: @c\n  username: c\n", "- rolearn: @a\n  username: a\n- rolearn: @c\n  username: c\n"},
		"flow, first":                  {"[{rolearn: @b, username: b}, {rolearn: @c, username: c}]", "[{rolearn: @c, username: c}]"},
		"flow, last":                   {"[{rolearn: @c, username: c}, {rolearn: @b, username: b}]", "[{rolearn: @c, username: c}]"},
		"flow, only":                   {"[\n  {rolearn: @b, username: b},\n]\n", "[]\n"},
		"flow, comments":               {"[{rolearn: @a, username: a}, # a\n # of b\n {rolearn: @b, username: b}, # b, too\n {rolearn: @c, username: c}]", "[{rolearn: @a, username: a}, # a\n # of b\n  # b, too\n {rolearn: @c, username: c}]"},
		"flow, last, comments":         {"[{rolearn: @a, username: a}, # a\n {rolearn: @b, username: b} # b\n]", "[{rolearn: @a, username: a} # a\n  # b\n]"},
		"flow, only, comments":         {"[ # x\n {rolearn: @b, username: b} # y\n , # z\n]", "[ # x\n  # y\n  # z\n]"},
		"flow, comma behind a comment": {"[{rolearn: @b, username: b} # b, of b\n , {rolearn: @c, username: c}]", "[ # b, of b\n  {rolearn: @c, username: c}]"},
		"JSON": {
			"[\n  {\n    \"rolearn\": \"@b\",\n    \"username\": \"a, ] \\\" b\"\n  },\n  {\n    \"rolearn\": \"@c\",\n    \"username\": \"c\"\n  }\n]\n",
			"[\n  {\n    \"rolearn\": \"@c\",\n    \"username\": \"c\"\n  }\n]\n",
		},
		"a wrong one":           {"- rolearn: @b\n  gruops: [x]\n- rolearn: @c\n  username: c\n", "- rolearn: @c\n  username: c\n"},
		"beside a wrong one":    {"- rolearn: @b\n  username: b\n- nonsense\n-\n- rolearn: @c\n  gruops: []\n", "- nonsense\n-\n- rolearn: @c\n  gruops: []\n"},
		"what uses an anchor":   {"- &x {rolearn: @a, username: a}\n- {<<: *x, rolearn: @b}\n", "- &x {rolearn: @a, username: a}\n"},
		"what others look like": {"- rolearn: @a\n  username: \"- x\\n- y\"\n  groups: ['- rolearn: @b']\n- rolearn: @b\n  username: it's [ {\n", "- rolearn: @a\n  username: \"- x\\n- y\"\n  groups: ['- rolearn: @b']\n"},
	} {
		t.Run(name, func(t *testing.T) {
			before := Document{roles: long(c.before)}
			found, err := before.FindARN(arn + "role/b")
			if err != nil || len(found) != 1 {
				t.Fatalf("found %v, %v", found, err)
			}
			after, err := before.Remove(found[0])
			if err != nil {
				t.Fatal(err)
			}
			if want := long(c.after); after[roles] != want {
				t.Errorf("got\n%q\nwant\n%q", after[roles], want)
			}
		})
	}
}

func TestRemoveOfSeveralIsThatOfEach(t *testing.T) {
	for _, text := range []string{
		"# head\n- rolearn: @a\n  username: a\n# of b\n- rolearn: @b # here\n  username: b\n\n- {rolearn: @c, username: c}\n# tail\n",
		"- rolearn: @a\r\n  username: a\r\n-\r\n  rolearn: @b\r\n  username: b\r\n- rolearn: @c\r\n  gruops: c",
		"[{rolearn: @a, username: a}, # a\n {rolearn: @b, username: b},\n {rolearn: @c, username: c}]",
	} {
		d := Document{roles: long(text), "mapUsers": "- {userarn: " + arn + "user/x, username: x} # x\n", "mine": "kept"}
		all, err := d.Entries()
		if err != nil || len(all) != 4 {
			t.Fatal(all, err)
		}
		for set := range 1 << len(all) {
			var gone []Entry
			want := d
			for i, e := range slices.Backward(all) {
				if set&(1<<i) != 0 {
					gone = append(gone, e)
					if want, err = want.Remove(e); err != nil {
						t.Fatal(err)
					}
				}
			}
			slices.Reverse(gone)
			if got, err := d.Remove(append(gone, gone...)...); err != nil || !maps.Equal(got, want) {
				t.Errorf("without %v: %v\ngot  %q\nwant %q", gone, err, got, want)
			}
		}
	}
}

// TestSet changes the role b.
func TestSet(t *testing.T) {
	name, groups := "new:{{SessionName}}", []string{"g", "system:h"}
	none := []string{}
	for title, c := range map[string]struct {
		patch         Patch
		before, after string
	}{
		"username":                {Patch{Username: &name}, "- rolearn: @b # b\n  username: old # was\n  groups: [x]\n", "- rolearn: @b # b\n  username: new:{{SessionName}} # was\n  groups: [x]\n"},
		"username, quoted":        {Patch{Username: &name}, "- rolearn: @b\n  username: 'old' # was\n", "- rolearn: @b\n  username: 'new:{{SessionName}}' # was\n"},
		"username, in braces":     {Patch{Username: &name}, "- {username: old, rolearn: @b}\n", "- {username: \"new:{{SessionName}}\", rolearn: @b}\n"},
		"username, JSON":          {Patch{Username: &name}, `[{"username":"old","rolearn":"@b"}]`, `[{"username":"new:{{SessionName}}","rolearn":"@b"}]`},
		"username, missing":       {Patch{Username: &name}, "- rolearn: @b\n  groups:\n  - x\n# end\n", "- rolearn: @b\n  groups:\n  - x\n  username: new:{{SessionName}}\n# end\n"},
		"username, empty":         {Patch{Username: &name}, "- rolearn: @b\n  username:\n  groups: [x]\n", "- rolearn: @b\n  username: new:{{SessionName}}\n  groups: [x]\n"},
		"username, over a merge":  {Patch{Username: &name}, "- &x {rolearn: @a, username: a}\n- {<<: *x, rolearn: @b}\n", "- &x {rolearn: @a, username: a}\n- {<<: *x, rolearn: @b, username: \"new:{{SessionName}}\"}\n"},
		"username, null, JSON":    {Patch{Username: &name}, `[{"username":null,"rolearn":"@b"}]`, `[{"username":"new:{{SessionName}}","rolearn":"@b"}]`},
		"groups":                  {Patch{Groups: &groups}, "- rolearn: @b\n  username: b\n  groups:\n    - x # go\n    # stay\n    - system:h # stay\n    - y\n", "- rolearn: @b\n  username: b\n  groups:\n    # stay\n    - system:h # stay\n    - g\n"},
		"groups, all others":      {Patch{Groups: &groups}, "- rolearn: @b\n  groups:\n  - \"x\"\n  username: b\n", "- rolearn: @b\n  groups:\n  - \"g\"\n  - \"system:h\"\n  username: b\n"},
		"groups, flow":            {Patch{Groups: &groups}, "- rolearn: @b\n  groups: [ x, y ] # all\n  username: b\n", "- rolearn: @b\n  groups: [ g, system:h ] # all\n  username: b\n"},
		"groups, missing":         {Patch{Groups: &groups}, "- rolearn: @a\n  username: a\n  groups:\n  - x\n- rolearn: @b\n  username: b\n", "- rolearn: @a\n  username: a\n  groups:\n  - x\n- rolearn: @b\n  username: b\n  groups:\n  - g\n  - system:h\n"},
		"groups, missing, JSON":   {Patch{Groups: &groups}, `[{"rolearn":"@b","username":"b"}]`, `[{"rolearn":"@b","username":"b","groups":["g","system:h"]}]`},
		"groups, a scalar":        {Patch{Groups: &groups}, "- rolearn: @b\n  username: b\n  groups: x\n", "- rolearn: @b\n  username: b\n  groups: [g, system:h]\n"},
		"groups, misindented":     {Patch{Groups: &groups}, "- rolearn: @b\n  username: b\n  groups:\n  - x\n    - y\n", "- rolearn: @b\n  username: b\n  groups:\n  - g\n  - system:h\n"},
		"groups, an alias":        {Patch{Groups: &groups}, "- rolearn: @a\n  username: a\n  groups: &g [x]\n- rolearn: @b\n  username: b\n  groups: *g\n", "- rolearn: @a\n  username: a\n  groups: &g [x]\n- rolearn: @b\n  username: b\n  groups: [g, system:h]\n"},
		"no groups":               {Patch{Groups: &none}, "- rolearn: @b\n  groups:\n  - x\n  - y\n  username: b\n", "- rolearn: @b\n  groups: []\n  username: b\n"},
		"no groups, JSON":         {Patch{Groups: &none}, `[{"rolearn":"@b","groups":["x"],"username":"b"}]`, `[{"rolearn":"@b","groups":[],"username":"b"}]`},
		"no groups, none":         {Patch{Groups: &none}, "- rolearn: @b\n  username: b\n", "- rolearn: @b\n  username: b\n"},
		"both":                    {Patch{&name, &groups}, "- RoleARN: @b\n  UserName: b\n  Groups: [g]\n", "- RoleARN: @b\n  UserName: new:{{SessionName}}\n  Groups: [g, system:h]\n"},
		"groups of escapes, JSON": {Patch{Groups: &groups}, `[{"rolearn":"arn:aws:iam::111122223333:role\/b","groups":["g","a\/b"],"username":"b"}]`, `[{"rolearn":"arn:aws:iam::111122223333:role\/b","groups":["g","system:h"],"username":"b"}]`},
	} {
		t.Run(title, func(t *testing.T) {
			before := Document{roles: long(c.before)}
			found, err := before.FindARN(arn + "role/b")
			if err != nil || len(found) != 1 {
				t.Fatalf("found %v, %v", found, err)
			}
			after, err := before.Set(found[0], c.patch)
			if err != nil {
				t.Fatal(err)
			}
			if want := long(c.after); after[roles] != want {
				t.Errorf("got\n%s\nwant\n%s", after[roles], want)
			}
		})
	}
}

// What can't be done in the text as it is must be refused, with the place.
func TestRefuses(t *testing.T) {
	add := func(d Document) error {
		_, err := d.Add(Entry{Section: roles, ARN: arn + "role/n", Username: "n"})
		return err
	}
	remove := func(d Document) error {
		found, err := d.FindARN(arn + "role/b")
		if err == nil {
			_, err = d.Remove(found[0])
		}
		return err
	}
	set := func(d Document) error {
		found, err := d.FindARN(arn + "role/b")
		if err == nil {
			groups, name := []string{"g"}, "n"
			_, err = d.Set(found[0], Patch{&name, &groups})
		}
		return err
	}
	for name, c := range map[string]struct {
		do         func(Document) error
		text, want string
	}{
		"no YAML":                     {add, "- rolearn: @a\n username: {", "yaml: line"},
		"no list":                     {add, "rolearn: @a\n", "line 1"},
		"two documents":               {add, "- rolearn: @a\n---\n- rolearn: @b\n", "a second YAML document"},
		"null":                        {add, "# x\nnull\n", "line 2, column 1: no list"},
		"byte order mark":             {add, "\ufeff- rolearn: @a\n  username: a\n", "line 1"},
		"a list with an anchor":       {add, "&all\n- rolearn: @a\n  username: a\n", "line 1, column 1"},
		"a block scalar":              {remove, "- rolearn: @b\n  username: |-\n    b\n- rolearn: @c\n  username: c\n", "line 2, column 13"},
		"an anchor that is needed":    {remove, "- &x {rolearn: @b, username: b}\n- {<<: *x, rolearn: @a}\n", "anchor"},
		"a username that others have": {set, "- rolearn: @b\n  username: &u b\n  groups: [x]\n- rolearn: @a\n  username: *u\n", "mapRoles[1]"},
		"groups that others have":     {set, "- rolearn: @b\n  username: b\n  groups: &g [x]\n- rolearn: @a\n  username: a\n  groups: *g\n", "mapRoles[1]"},
		"an entry that stays wrong":   {set, "- rolearn: @b\n  username: b\n  nonsense: 1\n", "nonsense"},
		"an anchor that is nowhere":   {set, "- &x {rolearn: @a, username: a}\n- *x\n- {rolearn: @b, username: b, groups: *g}\n", "unknown anchor"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.do(Document{roles: long(c.text)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestNewEntryRefusesWhatTheServerSkips(t *testing.T) {
	for name, c := range map[string]struct {
		arn, username string
		groups        []string
		want          string
	}{
		"session":     {"arn:aws:sts::111122223333:assumed-role/a/s", "u", nil, "write the role: " + arn + "role/a"},
		"ARN":         {"arn:aws:iam::1:role/a", "u", nil, "12 digits"},
		"placeholder": {arn + "role/a", "{{Session}}", nil, "unknown placeholder"},
		"empty":       {arn + "role/a", "", nil, "username is empty"},
		"group":       {arn + "role/a", "u", []string{""}, "groups[0]"},
	} {
		if _, err := NewEntry(c.arn, c.username, c.groups); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	for kind, want := range map[string]string{"role/p/a": roles, "user/p/a": mapper.MapUsers, "root": mapper.MapUsers} {
		if e, err := NewEntry(arn+kind, "u", nil); err != nil || e.Section != want {
			t.Errorf("%s: got section %s, %v, want %s", kind, e.Section, err, want)
		}
	}
}

func TestEntriesNamesWhatIsWrong(t *testing.T) {
	d := Document{
		roles:              long("- rolearn: @a\n  username: a\n  groups: [x]\n- rolearn: @b\n  gruops: [y]\n- sso: {permissionSetName: V, accountID: 111122223333}\n  username: v\n"),
		mapper.MapUsers:    "- userarn: [",
		mapper.MapAccounts: "- 111122223333\n- 12\n- 444455556666\n",
	}
	entries, err := d.Entries()
	if err == nil || !strings.Contains(err.Error(), "mapUsers: yaml") {
		t.Errorf("got %v, want an error about mapUsers", err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.String()+e.as()+" "+e.Problem)
	}
	want := []string{
		long("mapRoles[0] (line 1), @a as a in [x] "),
		long(`mapRoles[1] (line 4), @b unknown key "gruops", did you mean "groups"? Known are rolearn, sso, username, groups, userid, sessionNamePattern, requireTemporaryCredentials`),
		"mapRoles[2] (line 6), arn:aws:iam::111122223333:role/AWSReservedSSO_V_* as v in no groups ",
		"mapAccounts[0] (line 1), 111122223333 ",
		`mapAccounts[1] (line 2), 12 account "12", want 12 digits`,
		"mapAccounts[2] (line 3), 444455556666 ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The last defence: a text that says anything else than was asked for is not taken,
// whatever made it.
func TestAWrongEditIsNotTaken(t *testing.T) {
	const good = "- {rolearn: @a, username: a, groups: [x, y]}\n- {rolearn: @b, username: b}\n- wrong\n"
	before := Document{roles: long(good)}
	s, err := before.section(roles)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.with(roles, long("# the same\n"+good), s.meanings()); err != nil {
		t.Errorf("the same meaning: %v", err)
	}
	for _, replace := range [][2]string{
		{"role/a", "role/c"}, {"role/a", "role/A"}, {"username: a", "username: c"}, {"[x, y]", "[y, x]"}, {"[x, y]", "[x]"}, {"[x, y]", "x"},
		{"username: b", "username: b, userid: AROAX"}, {"username: b", "username: b, sessionNamePattern: x"},
		{"username: b", "username: b, requireTemporaryCredentials: true"}, {"- wrong\n", ""}, {"- wrong", "- {}"}, {"- wrong", "- wrong\n- wrong"},
		{"username: b", "user: b"}, {"- {rolearn", " {rolearn"},
	} {
		text := strings.Replace(before[roles], replace[0], replace[1], 1)
		if after, err := before.with(roles, text, s.meanings()); err == nil {
			t.Errorf("%q for %q was taken:\n%s", replace[1], replace[0], after[roles])
		}
	}
	accounts := Document{mapper.MapAccounts: "['111122223333', x]"}
	if s, err = accounts.section(mapper.MapAccounts); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"['111122223334', x]", "['111122223333', y]", "[x, '111122223333']", "['111122223333']"} {
		if _, err := accounts.with(mapper.MapAccounts, text, s.meanings()); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}
