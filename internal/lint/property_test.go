package lint

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/iam-authenticator/authenticator/internal/trial"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// wanted is an entry as it was meant.
type wanted struct {
	section, arn, username string
	groups                 []string
}

// generated is the text of an aws-auth and what it was meant to say.
type generated struct {
	sections map[string]string
	entries  []wanted
}

// mistakes are what people make of an entry's text.
var mistakes = []func(r *rand.Rand, entry string) string{
	replace("groups:", "gruops:"), replace("username:", "user:"), replace("username:", "userName :"), replace("rolearn:", "roleARN:"),
	replace("role/", "role/*"), replace("role/", "instance-profile/"), replace(":iam::", ":iam:us-east-1:"), replace("arn:aws:", "arn:aws-moon:"),
	replace("111122223333", "11122223333"), replace("{{SessionName}}", "{{SesionName}}"), replace("{{SessionName}}", "{{SessionName}"),
	replace("iam::111122223333:role/", "sts::111122223333:assumed-role/"), replace("  - ", "    - "), replace("  - ", "  -"), replace("  - ", "\t- "),
	replace("username: ", "username: {{AccountID}}"), replace("username: ", "username: '{{SessionName}}' #"), replace("username: ", "username: 42 #"),
	replace("username: ", "username: \u00a0"), replace("username: ", "username: \"\\u202e\" #"),
	replace("username: ", "username: system:{{SessionName}} #"), replace("username: ", "username: ~ #"), replace("username: ", "#"),
	replace("groups:\n", "groups: dev\n"), replace("groups:\n", "groups: {}\n"), replace("groups:\n", "groups: [\n"), replace("groups:\n", "groups:\n  - 1\n"),
	replace("groups:\n", "groups:\n  - ''\n"), replace("groups:\n", "groups:\n  - \"{{Group}}\"\n"), replace("groups:\n", "groups: &g\n  - *g\n"),
	func(_ *rand.Rand, e string) string { return e + e },
	func(_ *rand.Rand, e string) string { return e + "  userid: ''\n" },
	func(_ *rand.Rand, e string) string { return e + "  sessionNamePattern: '['\n" },
	func(_ *rand.Rand, e string) string { return e + "  requireTemporaryCredentials: 'true'\n" },
	func(_ *rand.Rand, e string) string { return e + "  <<: {username: b}\n" },
	func(_ *rand.Rand, e string) string { return e + "- hello\n-\n" },
}

func replace(old, with string) func(*rand.Rand, string) string {
	return func(_ *rand.Rand, entry string) string { return strings.Replace(entry, old, with, 1) }
}

// generate makes a text with the given number of mistakes.
func generate(r *rand.Rand, broken int) generated {
	g := generated{sections: map[string]string{}}
	var texts, names []string
	for i := range 1 + r.IntN(12) {
		w := wanted{section: mapper.MapRoles, arn: fmt.Sprintf("arn:aws:iam::111122223333:role/R%d", i)}
		key, placeholders := "rolearn", []string{"{{SessionName}}", "{{SessionNameRaw}}", "{{AccountID}}", "{{AccessKeyID}}", "x"}
		if r.IntN(3) == 0 {
			w.section, key, placeholders = mapper.MapUsers, "userarn", []string{"{{AccountID}}", "{{AccessKeyID}}", "x"}
			w.arn = fmt.Sprintf("arn:aws:iam::111122223333:user/team/U%d", i)
		}
		w.username = fmt.Sprintf("n%d:%s", i, placeholders[r.IntN(len(placeholders))])
		text := fmt.Sprintf("- %s: %s\n  username: %s\n", key, w.arn, w.username)
		if r.IntN(4) > 0 {
			text += "  groups:\n"
			for j := range 1 + r.IntN(4) {
				w.groups = append(w.groups, fmt.Sprintf("g%d-%d", i, j))
				text += "  - " + w.groups[j] + "\n"
			}
		}
		texts, names = append(texts, text), append(names, w.section)
		g.entries = append(g.entries, w)
	}
	for range broken {
		i := r.IntN(len(texts))
		texts[i] = mistakes[r.IntN(len(mistakes))](r, texts[i])
	}
	for i, text := range texts {
		g.sections[names[i]] += text
	}
	if r.IntN(4) == 0 {
		g.sections[mapper.MapAccounts] = "- \"444455556666\"\n"
	}
	return g
}

// manifest writes the ConfigMap as people and programs do.
func (g generated) manifest(r *rand.Rand) string {
	if r.IntN(3) == 0 {
		data, _ := json.Marshal(map[string]any{"kind": "ConfigMap", "apiVersion": "v1",
			"metadata": map[string]string{"name": "aws-auth", "namespace": "kube-system"}, "data": g.sections})
		return string(data)
	}
	text := configMap
	for _, name := range sectionNames {
		if s := g.sections[name]; s != "" {
			text += "  " + name + ": |\n    " + indent(s, 4)
		}
	}
	return text
}

// TestCleanMapsEveryoneAndSkippedIsNamed checks the linter's two promises on 1,000
// texts, good and broken.
func TestCleanMapsEveryoneAndSkippedIsNamed(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	clean, skipped := 0, 0
	for i := range 1000 {
		g := generate(r, []int{0, 1, 3}[i%3])
		text := g.manifest(r)
		findings := Check("aws-auth", []byte(text), Options{})
		n := Count(findings)
		switch {
		case n.Errors+n.Warnings == 0:
			clean++
			mapsAsWritten(t, text, g)
		case i%3 == 0:
			t.Fatalf("a good text has findings: %+v\n%s", findings, text)
		}
		skipped += skippedIsNamed(t, text, g.sections, findings)
		sameDecoded(t, g.sections)
	}
	if clean < 300 || skipped < 300 {
		t.Errorf("%d clean texts and %d skipped entries, want at least 300 of each", clean, skipped)
	}
}

// sameDecoded checks that an object in JSON is found to be the same as a text and as
// what it decodes to.
func sameDecoded(t *testing.T, sections map[string]string) {
	t.Helper()
	var object map[string]any
	data, err := json.Marshal(map[string]any{"kind": "ConfigMap", "metadata": map[string]string{"name": "aws-auth", "namespace": "kube-system"}, "data": sections})
	if err == nil {
		err = json.Unmarshal(data, &object)
	}
	if err != nil {
		t.Fatal(err)
	}
	said := func(findings []Finding) (all []string) {
		for _, f := range findings {
			message, _, _ := strings.Cut(f.Message, " on line ") // which counts differently
			all = append(all, f.Rule+" "+f.Entry+" "+f.Principal+": "+message)
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	if text, decoded := said(Check("f", data, Options{})), said(CheckObject("f", object, Options{})); !slices.Equal(text, decoded) {
		t.Fatalf("as a text: %q\ndecoded: %q", text, decoded)
	}
}

// parseAll has the server's parser read the sections.
func parseAll(sections map[string]string) (doc mapper.Document, err error) {
	for name, into := range map[string]*mapper.Section{mapper.MapRoles: &doc.Roles, mapper.MapUsers: &doc.Users, mapper.MapAccounts: &doc.Accounts} {
		node, parseErr := mapper.ParseYAML([]byte(sections[name]))
		if parseErr != nil {
			*into = mapper.Section{Err: parseErr}
			continue
		}
		*into = mapper.ParseSection(name, node, mapper.ParseOptions{})
	}
	return doc, doc.Err()
}

func mapsAsWritten(t *testing.T, text string, g generated) {
	t.Helper()
	doc, err := parseAll(g.sections)
	if err != nil {
		t.Fatalf("clean, but %v\n%s", err, text)
	}
	index, _ := mapper.NewIndex(doc.Mappings(), doc.Accounts.Accounts)
	chain := mapper.NewChain([]mapper.Mapper{trial.Source{Backend: aws, Index: index}}, mapper.ChainOptions{})
	for _, w := range g.entries {
		arn, id := w.arn, "AIDAEXAMPLE"
		if name, ok := strings.CutPrefix(arn, "arn:aws:iam::111122223333:role/"); ok {
			arn, id = "arn:aws:sts::111122223333:assumed-role/"+name+"/s", "AROAEXAMPLE:s"
		}
		caller, err := iam.NewIdentity(arn, "111122223333", id, "ASIAEXAMPLE")
		if err != nil {
			t.Fatal(err)
		}
		user, err := chain.Map(t.Context(), caller)
		want := strings.NewReplacer("{{SessionName}}", "s", "{{SessionNameRaw}}", "s", "{{AccountID}}", "111122223333", "{{AccessKeyID}}", "ASIAEXAMPLE").Replace(w.username)
		if err != nil || user.Username != want || !slices.Equal(user.Groups, w.groups) {
			t.Fatalf("clean, but %s maps to %+v, %v, want %s %q\n%s", w.arn, user, err, want, w.groups, text)
		}
	}
}

// skippedIsNamed checks that everything that the server reports is reported.
func skippedIsNamed(t *testing.T, text string, sections map[string]string, findings []Finding) (skipped int) {
	t.Helper()
	doc, err := parseAll(sections)
	if n := Count(findings); err != nil && n.Errors == 0 {
		t.Fatalf("no error, but %v\n%s", err, text)
	}
	_, duplicates := mapper.NewIndex(doc.Mappings(), doc.Accounts.Accounts)
	for _, p := range slices.Concat(doc.Problems(), duplicates) {
		if p.Severity == mapper.Skipped {
			skipped++
		}
		named := slices.ContainsFunc(findings, func(f Finding) bool {
			return f.Entry == placeOf(p.Source) && (f.Severity == Error || p.Severity == mapper.Warning && f.Severity == Warning)
		})
		if !named {
			t.Fatalf("not named: %v; findings %+v\n%s", p, findings, text)
		}
	}
	return skipped
}

func FuzzCheck(f *testing.F) {
	for _, c := range ruleTests {
		f.Add(c.bad)
	}
	for _, seed := range []string{
		"a: &a [*a]", "kind: List\nitems: &i\n- kind: List\n  items: *i\n", "mapRoles: &a {<<: *a}", "\ufeffmapRoles: []\n", "- a\u2028- b: 1\n", "\r\r\n- {",
		`{"mapRoles":[{"rolearn":"arn:aws:iam::111122223333:role\/\ud83d\ude00","username":1}]}`,
		configMap + "  mapRoles: \"- a:\\\n\n   \\x41 \\u0041\\L- b\"\n", configMap + "  mapRoles: !!str &x |+2\n      - a: 1\n\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := splitLines(text)
		findings := Check("f", []byte(text), Options{Partition: "aws", BoundGroups: []string{"a"}})
		for _, f := range findings {
			if f.Line < 1 || f.Line > len(lines) || f.Column < 1 || f.Column > len(lines[f.Line-1])+1 {
				t.Errorf("outside of the text: %+v", f)
			}
			if f.Message == "" || f.Rule == "" || f.File != "f" || utf8.ValidString(text) && !utf8.ValidString(f.Message+f.Suggestion) {
				t.Errorf("says nothing: %+v", f)
			}
		}
		// As a section of aws-auth, what the server skips is named. The text is written
		// so that it is read as it stands.
		sections := map[string]string{mapper.MapRoles: text, mapper.MapUsers: text, mapper.MapAccounts: text}
		data, err := json.Marshal(map[string]any{"kind": "ConfigMap", "metadata": map[string]string{"name": "aws-auth", "namespace": "kube-system"}, "data": sections})
		if err == nil && utf8.ValidString(text) {
			skippedIsNamed(t, text, sections, Check("f", data, Options{MaxFindings: 1 << 30}))
		}
	})
}
