package awsauth

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// FuzzEdit makes any change of any text. What is not refused must be the text of
// before with something put in or taken out, must mean what it should, and must say
// the same to another parser.
func FuzzEdit(f *testing.F) {
	for _, text := range []string{
		"", "[]", "# x\n- rolearn: @a # y\n  username: 'a'\n  groups:\n  - x\n  - \"y\"\n\n- {rolearn: @b, username: b, groups: [x]}\n",
		`[{"rolearn":"@a","username":"a","groups":["x","y"]},{"rolearn":"@b","username":"\/\ud83d\ude00"}]`,
		"- &x {rolearn: @a, username: a, groups: &g [x]}\r\n- {<<: *x, rolearn: @b, groups: *g}\r\n",
		"[{rolearn: @a, username: a}, # c\n {rolearn: @b, username: \"b, ]\" # ,\n},]\n",
		`[{"rolearn":"@a","username":null,"groups":null},{"rolearn":"@b","username":"b","requireTemporaryCredentials":true}]`,
		"-\n  rolearn: @a\n  username: a\n  groups: x\n- |-\n  x\n...\n", "- 111122223333\n",
	} {
		for op := range byte(3) {
			f.Add(long(text), op, uint8(1), "u:{{SessionName}}", "g")
		}
	}
	f.Fuzz(func(t *testing.T, text string, op byte, index uint8, username, group string) {
		before := Document{roles: text}
		s, err := before.section(roles)
		if err != nil {
			return
		}
		n := len(s.items)
		var after Document
		switch {
		case op%3 == 0:
			e, err := NewEntry(arn+"role/n", username, []string{group})
			if err != nil {
				return
			}
			if after, err = before.Add(e); err != nil {
				return
			}
			n++
			if strings.TrimSpace(text) != "[]" && !isSubsequence(strings.Join(strings.Fields(text), ""), after[roles]) {
				t.Errorf("lost text:\n%q\n%q", text, after[roles])
			}
			readsAs(t, after[roles], n-1, username, group)
		case int(index) >= n:
			return
		case op%3 == 1:
			if after, err = before.Remove(s.items[index].entry); err != nil {
				return
			}
			n--
			if !isSubsequence(after[roles], text) {
				t.Errorf("text that was not there:\n%q\n%q", text, after[roles])
			}
		default:
			groups := []string{group}
			if after, err = before.Set(s.items[index].entry, Patch{&username, &groups}); err != nil {
				return
			}
			if !slices.ContainsFunc(s.items[index].meaning.Mappings, func(m mapper.Entry) bool { return m.Source.ARN == "" }) {
				readsAs(t, after[roles], int(index), username, group)
			}
		}
		if json.Valid([]byte(text)) && strings.TrimSpace(text) != "[]" && !json.Valid([]byte(after[roles])) {
			t.Errorf("JSON is JSON no more:\n%q\n%q", text, after[roles])
		}
		got, err := after.section(roles)
		if err != nil || len(got.items) != n {
			t.Errorf("%d entries, %v, want %d:\n%q\n%q", len(got.items), err, n, text, after[roles])
		}
	})
}

// readsAs checks what a reader of YAML 1.1 makes of an entry, if it takes the document
// at all.
func readsAs(t *testing.T, text string, index int, username, group string) {
	var entries []struct {
		Username any
		Groups   []any
	}
	if yaml.Unmarshal([]byte(text), &entries) != nil || len(entries) <= index {
		return
	}
	if e := entries[index]; e.Username != username || len(e.Groups) != 1 || e.Groups[0] != group {
		t.Errorf("another reader gets %#v, want %q and %q:\n%s", e, username, group, text)
	}
}

func isSubsequence(part, whole string) bool {
	for i := range len(whole) {
		if part != "" && whole[i] == part[0] {
			part = part[1:]
		}
	}
	return part == ""
}

// TestEditsOfManyDocuments writes documents in every usual style, and edits each. None
// may be refused, and of the other entries and their comments each byte must stay.
func TestEditsOfManyDocuments(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		g := newGenerator(r)
		n := 1 + r.IntN(5)
		pieces := make([]piece, n)
		for i := range pieces {
			pieces[i] = g.piece(i)
		}
		before := Document{roles: g.head + join(pieces)}
		found, err := before.find(func(item) bool { return true })
		if err != nil || len(found) != n {
			t.Fatalf("%d: %v\n%s", i, err, before[roles])
		}
		at := r.IntN(n)

		removed, err := before.Remove(found[at])
		without := slices.Clone(pieces)
		without[at].entry = ""
		if want := g.head + join(without); err != nil || removed[roles] != want {
			t.Fatalf("%d: remove %d: %v, got\n%s\nwant\n%s", i, at, err, removed[roles], want)
		}

		// Many at once are the same as one after the other.
		var some []Entry
		oneByOne := before
		for _, e := range slices.Backward(found) {
			if r.IntN(2) == 0 {
				some = append(some, e)
				if oneByOne, err = oneByOne.Remove(e); err != nil {
					t.Fatal(err)
				}
			}
		}
		if together, err := before.Remove(some...); err != nil || together[roles] != oneByOne[roles] {
			t.Fatalf("%d: remove %d: %v, got\n%s\nwant\n%s", i, len(some), err, together[roles], oneByOne[roles])
		}

		added, err := before.Add(roleEntry(t, "n", "n:{{SessionName}}", "g"))
		if err != nil || !strings.HasPrefix(added[roles], before[roles]) {
			t.Fatalf("%d: add: %v, got\n%s\nto\n%s", i, err, added[roles], before[roles])
		}

		name, groups := fmt.Sprint("new", i), []string{"g1", fmt.Sprint("new", i)}
		changed, err := before.Set(found[at], Patch{&name, &groups})
		head, tail := g.head+join(pieces[:at])+pieces[at].comment, join(pieces[at+1:])
		if err != nil || !strings.HasPrefix(changed[roles], head) || !strings.HasSuffix(changed[roles], tail) {
			t.Fatalf("%d: set %d: %v, got\n%s\nfrom\n%s", i, at, err, changed[roles], before[roles])
		}
	}
}

// piece is an entry with the comments and blank lines above it.
type piece struct{ comment, entry string }

func join(pieces []piece) string {
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.comment + p.entry)
	}
	return b.String()
}

// generator writes documents in one style, with entries that differ a little.
type generator struct {
	*rand.Rand
	head, newline, indent, gap, quote string
	flowEntries, flowGroups           bool
	groupIndent                       string
}

func newGenerator(r *rand.Rand) *generator {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	g := &generator{
		Rand: r, newline: pick("\n", "\n", "\r\n"), indent: pick("", "", "  "), gap: pick(" ", " ", "   "), quote: pick("", "", `"`, "'"),
		flowEntries: r.IntN(4) == 0, flowGroups: r.IntN(2) == 0, groupIndent: pick("", "  ", "    "),
	}
	g.head = pick("", "# Managed by hand: ü"+g.newline, "---"+g.newline)
	return g
}

func (g *generator) piece(i int) (p piece) {
	for range g.IntN(3) {
		p.comment += []string{"", g.indent + "# - rolearn: nobody", "  ", "#"}[g.IntN(4)] + g.newline
	}
	remark := []string{"", "", " # its own", "\t# tab: [x"}[g.IntN(4)]
	q := func(s string) string { return g.quote + s + g.quote }
	groups := []string{q("g0"), q("g1"), q("system:g2")}[:g.IntN(4)]
	pairs := []string{q("rolearn") + ": " + q(fmt.Sprintf("%srole/r%d", arn, i)), q("username") + ": '" + fmt.Sprint("ü:", i) + "'"}
	if g.IntN(3) > 0 {
		keys := g.indent + " " + g.gap
		list := " [" + strings.Join(groups, ", ") + "]"
		if !g.flowEntries && !g.flowGroups && len(groups) > 0 {
			list = ""
			for _, group := range groups {
				list += g.newline + keys + g.groupIndent + "- " + group
			}
		}
		pairs = append(pairs, q("groups")+":"+list)
	}
	g.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	if g.flowEntries {
		p.entry = g.indent + "-" + g.gap + "{" + strings.Join(pairs, ", ") + "}" + remark + g.newline
	} else {
		p.entry = g.indent + "-" + g.gap + strings.Join(pairs, remark+g.newline+g.indent+" "+g.gap) + g.newline
	}
	return p
}
