package awsauth

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// style is how the entries of a document are written.
type style struct {
	newline  string
	indent   int      // of the dashes
	dash     string   // "- " and what more space there is; none in a flow list
	keys     []string // in order, lower case
	keyQuote byte     // 0: none
	quote    byte     // of values; 0: only where it is needed
	colon    string

	braces   *spacing // of entries in flow style; nil: block style
	brackets *spacing // of groups in flow style; nil: block style
	// In block style, groups are indented by this beyond their key.
	groupsIndent int
	groupsDash   string
}

// defaultStyle is that of the EKS user guide.
func defaultStyle(newline string) style {
	return style{
		newline: newline, dash: "- ", keys: []string{"rolearn", "userarn", "username", "groups"}, colon: ": ",
		groupsIndent: 2, groupsDash: "- ",
	}
}

// style returns the style of a list of entries: that of the last one.
func (l list) style() style {
	s := defaultStyle(l.newline())
	s.indent = l.node.Column - 1
	if l.isFlow() {
		s.dash = ""
		s.braces = &spacing{between: " "}
		if l.isJSON() {
			s.keyQuote, s.quote = '"', '"'
		}
	}
	// From the last to the first: each may show what those behind it don't.
	var last *yaml.Node
	for i, n := range slices.Backward(l.node.Content) {
		if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
			continue
		}
		if last == nil {
			last = n
			if !l.isFlow() {
				s.dash = l.dash(i)
			}
		}
		if s.likeGroups(l.text, n) {
			break
		}
	}
	if last != nil {
		s.like(l.text, last)
	}
	if s.braces != nil && s.brackets == nil {
		s.brackets = &spacing{between: " "}
	}
	return s
}

// dash returns the dash of an item with the space behind it.
func (l list) dash(i int) string {
	gap := l.node.Content[i].Column - l.node.Column - 1
	if line, err := l.dashLine(i); err == nil && line == l.node.Content[i].Line-1 && gap > 0 {
		return "-" + strings.Repeat(" ", gap)
	}
	return "- "
}

// likeGroups takes the style of the groups of one entry, if it has any.
func (s *style) likeGroups(t *text, entry *yaml.Node) bool {
	for i := 0; i+1 < len(entry.Content); i += 2 {
		key, value := entry.Content[i], entry.Content[i+1]
		if !strings.EqualFold(key.Value, "groups") || value.Kind != yaml.SequenceNode || len(value.Content) == 0 {
			continue
		}
		if value.Style&yaml.FlowStyle != 0 {
			brackets := t.spacing(value)
			s.brackets = &brackets
		} else {
			s.groupsIndent = value.Column - key.Column
			s.groupsDash = list{t, value}.dash(len(value.Content) - 1)
		}
		return true
	}
	return false
}

// like takes the style of one entry but for its groups.
func (s *style) like(t *text, entry *yaml.Node) {
	if entry.Style&yaml.FlowStyle != 0 {
		braces := t.spacing(entry)
		s.braces = &braces
		if s.brackets == nil {
			brackets := braces.inline()
			s.brackets = &brackets
		}
	}
	var keys []string
	for i := 0; i+1 < len(entry.Content); i += 2 {
		key, value := entry.Content[i], entry.Content[i+1]
		name := strings.ToLower(key.Value)
		keys = append(keys, name)
		s.keyQuote = t.quoteOf(key)
		if name == "rolearn" || name == "userarn" { // others may have quotes because they need them
			s.quote = t.quoteOf(value)
		}
		if end, err := t.end(key); err == nil && s.braces != nil && value.Kind != yaml.AliasNode {
			if start, err := t.start(value); err == nil && start > end && strings.Trim(t.data[end:start], ": ") == "" {
				s.colon = t.data[end:start]
			}
		}
	}
	if index := func(key string) int { return slices.Index(keys, key) }; index("username") >= 0 && index("groups") >= 0 {
		place := func(key string) int {
			if key == "userarn" || key == "rolearn" {
				return max(index("userarn"), index("rolearn"))
			}
			return index(key)
		}
		slices.SortStableFunc(s.keys, func(a, b string) int { return cmp.Compare(place(a), place(b)) })
	}
}

// quoteOf returns the quote of a value, or 0. What is in its place in JSON needs one.
func (t *text) quoteOf(n *yaml.Node) byte {
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0 || t.isJSON():
		return '"'
	case n.Style&yaml.SingleQuotedStyle != 0:
		return '\''
	default:
		return 0
	}
}

func (t *text) isJSON() bool { return t.root.Style&yaml.FlowStyle != 0 && json.Valid([]byte(t.data)) }

// entry writes an entry, without the indentation of its first line.
func (s style) entry(section string, e Entry) string {
	if section == mapper.MapAccounts {
		return s.dash + scalar(e.Account, cmp.Or(s.quote, '"'), false)
	}
	var pairs []string
	for _, key := range s.keys {
		switch {
		case key == "rolearn" && section == mapper.MapRoles, key == "userarn" && section == mapper.MapUsers:
			pairs = append(pairs, s.key(key)+s.colon+s.value(e.ARN))
		case key == "username":
			pairs = append(pairs, s.key(key)+s.colon+s.value(e.Username))
		case key == "groups" && len(e.Groups) > 0:
			pairs = append(pairs, s.key(key)+s.groups(e.Groups))
		}
	}
	if s.braces != nil {
		return s.dash + "{" + s.braces.open + strings.Join(pairs, ","+s.braces.between) + s.braces.end + "}"
	}
	return s.dash + strings.Join(pairs, s.newline+strings.Repeat(" ", s.indent+len(s.dash)))
}

func (s style) key(key string) string {
	if s.keyQuote == 0 {
		return key
	}
	return string(s.keyQuote) + key + string(s.keyQuote)
}

func (s style) value(v string) string { return scalar(v, s.quote, s.braces != nil) }

// groups writes the groups of an entry from the colon on.
func (s style) groups(groups []string) string {
	if s.brackets != nil {
		return s.colon + s.flowGroups(groups)
	}
	var b strings.Builder
	b.WriteString(strings.TrimRight(s.colon, " "))
	for _, g := range groups {
		b.WriteString(s.newline + strings.Repeat(" ", s.indent+len(s.dash)+s.groupsIndent) + s.groupsDash + scalar(g, s.quote, false))
	}
	return b.String()
}

func (s style) flowGroups(groups []string) string {
	spaces := spacing{between: " "}
	if s.brackets != nil {
		spaces = *s.brackets
	}
	quoted := make([]string, len(groups))
	for i, g := range groups {
		quoted[i] = scalar(g, s.quote, true)
	}
	return "[" + spaces.open + strings.Join(quoted, ","+spaces.between) + spaces.end + "]"
}

// scalar writes a string. Without a quote it is given one if a reader of YAML 1.1 or
// 1.2 could take it for anything else.
func scalar(v string, quote byte, inFlow bool) string {
	if quote == 0 && isPlain(v, inFlow) {
		return v
	}
	if quote == '\'' {
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) // a string always can be
	return strings.TrimSuffix(b.String(), "\n")
}

// isPlain tells whether a string can stand without quotes.
func isPlain(v string, inFlow bool) bool {
	special := "_-.:/@+="
	if !inFlow {
		special += "{},"
	}
	for i := range len(v) {
		letter := 'a' <= v[i] && v[i] <= 'z' || 'A' <= v[i] && v[i] <= 'Z'
		digit := '0' <= v[i] && v[i] <= '9'
		if !letter && (i == 0 || !digit && strings.IndexByte(special, v[i]) < 0) {
			return false
		}
	}
	switch strings.ToLower(v) {
	case "", "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf":
		return false
	}
	return !strings.HasSuffix(v, ":")
}
