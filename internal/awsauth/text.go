package awsauth

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// text is a YAML document with the places of its nodes.
type text struct {
	data  string
	lines []int      // offsets of the first byte of each line
	root  *yaml.Node // nil if there is nothing but white space and comments

	last place // that was asked for: the next is often behind it on the same line
}

// place is a line and column, from 1, and its offset.
type place struct{ line, column, offset int }

// splice replaces data[from:to].
type splice struct {
	from, to int
	with     string
}

func parseText(data string) (*text, error) {
	if strings.HasPrefix(data, "\ufeff") {
		return nil, fmt.Errorf("line 1: a byte order mark, which can't be edited around; remove it by hand")
	}
	t := &text{data: data, lines: lineStarts(data)}
	var doc yaml.Node
	places := samePlaces(data)
	if err := yaml.Unmarshal([]byte(places), &doc); err != nil {
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode {
		return t, nil
	}
	t.root = doc.Content[0]
	if places != data {
		values, err := mapper.ParseYAML([]byte(data))
		if err != nil {
			return nil, err
		}
		takeValues(t.root, values)
	}
	return t, nil
}

// takeValues takes the values of a tree of the same shape.
func takeValues(places, values *yaml.Node) {
	places.Value = values.Value
	for i, n := range places.Content {
		takeValues(n, values.Content[i])
	}
}

// samePlaces returns the document with other characters, as many, for the escapes of
// JSON strings that YAML has not: "\/", and one character in two halves. It is good
// for finding places, not for reading values.
func samePlaces(data string) string {
	if !strings.Contains(data, `\`) || !json.Valid([]byte(data)) {
		return data
	}
	escape := regexp.MustCompile(`\\\\|\\/|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}`)
	return escape.ReplaceAllStringFunc(data, func(s string) string { return strings.Repeat("?", len(s)) })
}

// lineStarts splits lines as YAML does.
func lineStarts(data string) []int {
	starts := []int{0}
	for i, r := range data {
		switch r {
		case '\r':
			if i+1 < len(data) && data[i+1] == '\n' {
				continue
			}
			fallthrough
		case '\n', '\u0085', '\u2028', '\u2029':
			starts = append(starts, i+utf8.RuneLen(r))
		}
	}
	return starts
}

// edit applies splices, which must not overlap.
func (t *text) edit(splices ...splice) string {
	slices.SortStableFunc(splices, func(a, b splice) int { return a.from - b.from })
	var data strings.Builder
	at := 0
	for _, s := range splices {
		data.WriteString(t.data[at:s.from] + s.with)
		at = s.to
	}
	return data.String() + t.data[at:]
}

// newline is the line end of the document.
func (t *text) newline() string {
	if i := strings.IndexByte(t.data, '\n'); i > 0 && t.data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// lineOf returns the line of an offset, from 0.
func (t *text) lineOf(offset int) int {
	line, found := slices.BinarySearch(t.lines, offset)
	if !found {
		line--
	}
	return line
}

// lineStart returns the offset of a line, or of the end if there are not as many.
func (t *text) lineStart(line int) int {
	if line < len(t.lines) {
		return t.lines[line]
	}
	return len(t.data)
}

// errorf returns an error that names a place.
func (t *text) errorf(offset int, format string, args ...any) error {
	line := t.lineOf(offset)
	column := utf8.RuneCountInString(t.data[t.lineStart(line):offset]) + 1
	return fmt.Errorf("line %d, column %d: %s", line+1, column, fmt.Sprintf(format, args...))
}

// start returns the offset of a node, or of its anchor or tag if it has one.
func (t *text) start(n *yaml.Node) (int, error) {
	if n.Line >= 1 && n.Line <= len(t.lines) {
		from := place{n.Line, 1, t.lineStart(n.Line - 1)}
		if t.last.line == n.Line && t.last.column <= n.Column {
			from = t.last
		}
		end := t.lineStart(n.Line)
		for ; from.column < n.Column && from.offset < end; from.column++ {
			_, size := utf8.DecodeRuneInString(t.data[from.offset:end])
			from.offset += size
		}
		if from.column == n.Column {
			t.last = from
			return from.offset, nil
		}
	}
	return 0, fmt.Errorf("line %d, column %d: a place that is not in the text", n.Line, n.Column)
}

// content returns the offset of what a node says, behind its anchor and tag.
func (t *text) content(n *yaml.Node) (int, error) {
	at, err := t.start(n)
	if err != nil {
		return 0, err
	}
	for at < len(t.data) && (t.data[at] == '&' || t.data[at] == '!') {
		end := at + strings.IndexAny(t.data[at:]+" ", " \t\r\n")
		next := t.skipBlank(end)
		if next == end {
			return 0, t.errorf(at, "an anchor or a tag without a value on its line, which can't be edited around")
		}
		at = next
	}
	return at, nil
}

// end returns the offset behind a node.
func (t *text) end(n *yaml.Node) (int, error) {
	last := len(n.Content) - 1
	if n.Style&yaml.FlowStyle == 0 && last >= 0 {
		return t.end(n.Content[last])
	}
	at, err := t.content(n)
	if err != nil {
		return 0, err
	}
	rest := t.data[at:]
	switch {
	case n.Kind == yaml.AliasNode && strings.HasPrefix(rest, "*"+n.Value):
		return at + 1 + len(n.Value), nil
	case n.Kind == yaml.MappingNode && strings.HasPrefix(rest, "{"), n.Kind == yaml.SequenceNode && strings.HasPrefix(rest, "["):
		if end, ok := flowEnd(t.data, at); ok {
			return end, nil
		}
	case n.Kind != yaml.ScalarNode:
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return 0, t.errorf(at, "a block scalar (| or >), which can't be edited around; write the value on one line")
	case n.Style&yaml.DoubleQuotedStyle != 0 && strings.HasPrefix(rest, `"`), n.Style&yaml.SingleQuotedStyle != 0 && strings.HasPrefix(rest, `'`):
		if end, ok := quotedEnd(t.data, at); ok {
			return end, nil
		}
	default:
		if length, ok := plainLength(rest, n.Value); ok {
			return at + length, nil
		}
	}
	return 0, t.errorf(at, "can't tell where the value ends")
}

// plainLength returns how much of a text is the plain scalar with the given value. A
// space or line end in the value may be any white space in the text.
func plainLength(rest, value string) (int, bool) {
	at := 0
	for i := 0; i < len(value); {
		if value[i] != ' ' && value[i] != '\n' {
			if at >= len(rest) || rest[at] != value[i] {
				return 0, false
			}
			at++
			i++
			continue
		}
		for i < len(value) && (value[i] == ' ' || value[i] == '\n') {
			i++
		}
		next := at + len(rest[at:]) - len(strings.TrimLeft(rest[at:], " \t\r\n"))
		if next == at {
			return 0, false
		}
		at = next
	}
	return at, true
}

// skipBlank returns the offset behind spaces and tabs.
func (t *text) skipBlank(at int) int {
	return at + len(t.data[at:]) - len(strings.TrimLeft(t.data[at:], " \t"))
}

// lineEnd returns the offset of the line behind the one that at is on, in which
// nothing but a comment may follow.
func (t *text) lineEnd(at int) (int, error) {
	rest := t.skipBlank(at)
	end := t.lineStart(t.lineOf(at) + 1)
	if tail := strings.TrimRight(t.data[rest:end], "\r\n\u0085\u2028\u2029"); tail != "" && (tail[0] != '#' || rest == at) {
		return 0, t.errorf(rest, "text behind the entry, which can't be edited around")
	}
	return end, nil
}

// quotedEnd returns the offset behind the quoted scalar at an offset.
func quotedEnd(data string, at int) (int, bool) {
	quote := data[at]
	for i := at + 1; i < len(data); i++ {
		switch {
		case quote == '"' && data[i] == '\\':
			i++
		case data[i] != quote:
		case quote == '\'' && i+1 < len(data) && data[i+1] == '\'':
			i++
		default:
			return i + 1, true
		}
	}
	return 0, false
}

// flowEnd returns the offset behind the flow collection at an offset.
func flowEnd(data string, at int) (int, bool) {
	depth, plain, blank := 0, false, true
	for i := at; i < len(data); {
		c := data[i]
		next := i + 1
		switch {
		case c == '[' || c == '{':
			depth++
			plain = false
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return next, true
			}
			plain = false
		case c == ',':
			plain = false
		case c == '#' && blank:
			next = i + strings.IndexAny(data[i:]+"\n", "\r\n")
			plain = false
		case (c == '"' || c == '\'') && !plain:
			end, ok := quotedEnd(data, i)
			if !ok {
				return 0, false
			}
			next = end
		case c == ':' && (!plain || next < len(data) && strings.IndexByte(" \t\r\n,[]{}", data[next]) >= 0):
			plain = false
		case (c == '&' || c == '!' || c == '*') && !plain:
			next = i + strings.IndexAny(data[i:]+" ", " \t\r\n,[]{}")
		case !isBlank(c):
			plain = true
		}
		blank = isBlank(c)
		i = next
	}
	return 0, false
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
