package awsauth

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// NewEntry returns the entry of a role or user for the section where it belongs. The
// error says why the server would skip it.
func NewEntry(arn, username string, groups []string) (Entry, error) {
	p, err := iam.ParsePrincipal(arn)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Section: mapper.MapUsers, ARN: arn, Username: username, Groups: groups}
	if p.Kind == iam.Role {
		e.Section = mapper.MapRoles
	}
	_, err = e.compile()
	return e, err
}

// NewAccount returns the entry of an account whose principals all get in under their
// canonical ARNs.
func NewAccount(account string) (Entry, error) {
	return Entry{Section: mapper.MapAccounts, Account: account}, iam.CheckAccount(account)
}

// compile returns what the server makes of the entry.
func (e Entry) compile() (mapper.Entry, error) {
	p, err := iam.ParsePrincipal(e.ARN)
	if err != nil {
		return mapper.Entry{}, err
	}
	m, err := mapper.NewMapping(mapper.Entry{
		Source:    mapper.Source{Section: e.Section, ARN: e.ARN},
		Principal: p,
		Username:  e.Username,
		Groups:    e.Groups,
	})
	if err != nil {
		return mapper.Entry{}, err
	}
	return m.Entry(), nil
}

// Add appends an entry that NewEntry or NewAccount made.
func (d Document) Add(e Entry) (Document, error) {
	before, err := d.section(e.Section)
	if err != nil {
		return nil, err
	}
	added := meaning{Account: e.Account}
	if e.Section != mapper.MapAccounts {
		m, err := e.compile()
		if err != nil {
			return nil, err
		}
		added.Mappings = []mapper.Entry{m}
	}
	data, err := appendEntry(d[e.Section], e)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Section, err)
	}
	return d.with(e.Section, data, append(before.meanings(), added))
}

func appendEntry(data string, e Entry) (string, error) {
	t, err := parseText(data)
	if err != nil {
		return "", err
	}
	if t.root == nil || t.root.Kind == yaml.ScalarNode && t.root.Value == "" {
		entry := defaultStyle(t.newline()).entry(e.Section, e)
		return t.insertLines(len(t.data), entry), nil
	}
	if strings.TrimSpace(data) == "[]" {
		// What is left by tools that took the last entry out is no choice of style.
		return strings.Replace(data, "[]", defaultStyle(t.newline()).entry(e.Section, e), 1), nil
	}
	l, err := t.list(t.root)
	if err != nil {
		return "", err
	}
	return l.append(l.style().entry(e.Section, e))
}

// Remove takes entries out. It takes as long for many as for one, but for what is
// written.
func (d Document) Remove(entries ...Entry) (Document, error) {
	after := d
	for _, name := range sections {
		gone := map[int]bool{}
		for _, e := range entries {
			if e.Section == name {
				gone[e.Index] = true
			}
		}
		if len(gone) == 0 {
			continue
		}
		before, err := d.section(name)
		if err != nil {
			return nil, err
		}
		data, err := removeEntries(d[name], gone)
		if err != nil {
			if len(entries) == 1 {
				name = entries[0].String()
			}
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		var want []meaning
		for i, m := range before.meanings() {
			if !gone[i] {
				want = append(want, m)
			}
		}
		if after, err = after.with(name, data, want); err != nil {
			return nil, err
		}
	}
	return after, nil
}

func removeEntries(data string, gone map[int]bool) (string, error) {
	t, err := parseText(data)
	if err != nil {
		return "", err
	}
	l, err := t.list(t.root)
	if err != nil {
		return "", err
	}
	return l.removeAll(gone)
}

// Patch says what to change of an entry. What is nil stays.
type Patch struct {
	Username *string
	Groups   *[]string
}

// Set changes an entry of mapRoles or mapUsers. Groups that stay keep their place.
func (d Document) Set(e Entry, p Patch) (Document, error) {
	before, err := d.section(e.Section)
	if err != nil {
		return nil, err
	}
	if p.Groups != nil {
		groups := patchGroups(nil, *p.Groups)
		p.Groups = &groups
	}
	data, err := set(d[e.Section], e, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e, err)
	}
	want := before.meanings()
	old := want[e.Index]
	if len(old.Mappings) != 1 || old.skipped {
		// What a wrong entry means can't be foreseen: it must be good now, and say what
		// was asked for.
		after, err := Document{e.Section: data}.section(e.Section)
		if err != nil {
			return nil, fmt.Errorf("%s: can't be edited without harm: %w; edit it by hand", e, err)
		}
		if len(after.items) != len(want) {
			return nil, fmt.Errorf("%s: can't be edited without harm to others; edit it by hand", e)
		}
		if m := after.items[e.Index].meaning; m.skipped {
			return nil, fmt.Errorf("%s: would still be skipped: %s; delete it and create it anew", e, strings.Join(m.Problems, "; "))
		}
		old = after.items[e.Index].meaning
	}
	m := old.Mappings[0]
	if p.Username != nil {
		m.Username = *p.Username
	}
	if p.Groups != nil {
		m.Groups = patchGroups(m.Groups, *p.Groups)
	}
	if _, err := mapper.NewMapping(m); err != nil {
		return nil, fmt.Errorf("%s: %w", e, err)
	}
	old.Mappings = []mapper.Entry{m}
	want[e.Index] = old
	return d.with(e.Section, data, want)
}

// patchGroups returns the groups wanted, those that there were first.
func patchGroups(old, want []string) []string {
	kept := slices.DeleteFunc(slices.Clone(old), func(g string) bool { return !slices.Contains(want, g) })
	for _, g := range want {
		if !slices.Contains(kept, g) {
			kept = append(kept, g)
		}
	}
	return kept
}

// with returns the document with another text of a section, which must mean exactly
// what is wanted.
func (d Document) with(name, data string, want []meaning) (Document, error) {
	result := maps.Clone(d)
	if result == nil {
		result = Document{}
	}
	result[name] = data
	after, err := result.section(name)
	if err != nil {
		return nil, fmt.Errorf("the edit would break the text (%w); edit it by hand", err)
	}
	got := after.meanings()
	if len(got) != len(want) {
		return nil, fmt.Errorf("%s: the edit would leave %d entries, want %d; edit it by hand", name, len(got), len(want))
	}
	for i := range got {
		if !got[i].equal(want[i]) {
			return nil, fmt.Errorf("the edit would change %s to something else than was asked for (is it bound to another entry by an anchor?); edit it by hand", after.items[i].entry)
		}
	}
	return result, nil
}

func (s section) meanings() []meaning {
	all := make([]meaning, len(s.items))
	for i := range s.items {
		all[i] = s.items[i].meaning
	}
	return all
}

// equal ignores problems of entries that are in force: they are about the way of
// writing, which an edit may change.
func (m meaning) equal(other meaning) bool {
	if m.skipped != other.skipped || m.Account != other.Account || len(m.Mappings) != len(other.Mappings) {
		return false
	}
	if m.skipped && !slices.Equal(m.Problems, other.Problems) {
		return false
	}
	for i := range m.Mappings {
		a, b := m.Mappings[i], other.Mappings[i]
		if !slices.Equal(a.Groups, b.Groups) {
			return false
		}
		a.Groups, b.Groups = nil, nil
		if !reflect.DeepEqual(a, b) {
			return false
		}
	}
	return true
}

// list returns the list that a node is.
func (t *text) list(n *yaml.Node) (list, error) {
	at, err := t.content(n)
	if err != nil {
		return list{}, err
	}
	if n.Kind != yaml.SequenceNode || !strings.HasPrefix(t.data[at:], "-") && !strings.HasPrefix(t.data[at:], "[") {
		return list{}, t.errorf(at, "no list begins here that could be edited")
	}
	return list{t, n}, nil
}

// set changes the fields of one entry, one after the other.
func set(data string, e Entry, p Patch) (string, error) {
	var err error
	if p.Username != nil {
		data, err = setField(data, e.Index, "username", func(l list, f field) (string, error) {
			s := l.style()
			if f.value == nil {
				return f.insert(s.key("username") + s.colon + s.value(*p.Username))
			}
			return f.replace(scalar(*p.Username, l.quoteOf(f.value), f.inFlow))
		})
		if err != nil {
			return "", err
		}
	}
	if p.Groups == nil {
		return data, nil
	}
	return setGroups(data, e.Index, *p.Groups)
}

func setGroups(data string, index int, want []string) (string, error) {
	for {
		done := false
		next, err := setField(data, index, "groups", func(l list, f field) (string, error) {
			s := l.style()
			done = true
			switch {
			case f.value == nil && len(want) == 0:
				return l.data, nil
			case f.value == nil:
				s.like(l.text, f.entry)
				s.dash = strings.Repeat(" ", max(f.entry.Column-1-s.indent, 0))
				return f.insert(s.key("groups") + s.groups(want))
			case f.value.Kind != yaml.SequenceNode || len(f.value.Content) == 0 || len(want) == 0:
				return f.replace(s.flowGroups(want))
			}
			groups, err := l.list(f.value)
			if err != nil {
				return "", err
			}
			// One group at a time: new ones first, so that the list is never empty.
			values := groups.values()
			for _, g := range want {
				if !slices.Contains(values, g) {
					done = false
					return groups.append(groups.group(g))
				}
			}
			for i, g := range values {
				if !slices.Contains(want, g) {
					done = false
					return groups.remove(i)
				}
			}
			return l.data, nil
		})
		if err != nil || done {
			return next, err
		}
		data = next
	}
}

// values returns the strings of a list.
func (l list) values() []string {
	values := make([]string, len(l.node.Content))
	for i, n := range l.node.Content {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		values[i] = n.Value
	}
	return values
}

// group writes an item of a list of groups, in the style of its last one.
func (l list) group(name string) string {
	last := len(l.node.Content) - 1
	item := scalar(name, l.quoteOf(l.node.Content[last]), l.isFlow())
	if l.isFlow() {
		return item
	}
	return l.dash(last) + item
}

// field is a field of an entry, which may not be there.
type field struct {
	*text
	entry, key, value *yaml.Node
	inFlow            bool
}

// setField edits a field of an entry.
func setField(data string, index int, key string, edit func(list, field) (string, error)) (string, error) {
	t, err := parseText(data)
	if err != nil {
		return "", err
	}
	l, err := t.list(t.root)
	if err != nil {
		return "", err
	}
	entry := l.node.Content[index]
	if entry.Kind != yaml.MappingNode {
		return "", fmt.Errorf("line %d: is no mapping of its own; edit it by hand", entry.Line)
	}
	f := field{text: t, entry: entry, inFlow: entry.Style&yaml.FlowStyle != 0}
	for i := 0; i+1 < len(entry.Content); i += 2 {
		if strings.EqualFold(entry.Content[i].Value, key) {
			f.key, f.value = entry.Content[i], entry.Content[i+1]
		}
	}
	return edit(l, f)
}

// replace puts another value, which is on one line or in a flow collection, in the
// place of the old one.
func (f field) replace(value string) (string, error) {
	to, err := f.end(f.value)
	if err != nil {
		return "", err
	}
	from, err := f.end(f.key)
	if err != nil {
		return "", err
	}
	colon := from + strings.IndexByte(f.data[from:to]+":", ':')
	if f.value.Kind == yaml.SequenceNode && f.value.Style&yaml.FlowStyle == 0 || f.value.Kind == yaml.ScalarNode && f.value.Value == "" && f.quoteOf(f.value) == 0 {
		return f.edit(splice{colon + 1, max(to, colon+1), " " + value}), nil
	}
	if from, err = f.content(f.value); err != nil {
		return "", err
	}
	return f.edit(splice{from, to, value}), nil
}

// insert adds a field at the end of the entry.
func (f field) insert(pair string) (string, error) {
	if f.inFlow {
		parts, err := f.flow(f.entry)
		if err != nil {
			return "", err
		}
		if len(parts.items) == 0 {
			return f.edit(splice{parts.inside.from, parts.inside.from, pair}), nil
		}
		at := parts.items[len(parts.items)-1].to
		return f.edit(splice{at, at, "," + f.spacing(f.entry).between + pair}), nil
	}
	at, err := f.end(f.entry)
	if err != nil {
		return "", err
	}
	if at, err = f.lineEnd(at); err != nil {
		return "", err
	}
	return f.insertLines(at, strings.Repeat(" ", f.entry.Column-1)+pair), nil
}
