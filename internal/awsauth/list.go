package awsauth

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// list is a sequence in a text.
type list struct {
	*text
	node *yaml.Node
}

func (l list) isFlow() bool { return l.node.Style&yaml.FlowStyle != 0 }

// remove takes an item out. Comments beside and between the items stay.
func (l list) remove(i int) (string, error) {
	return l.removeAll(map[int]bool{i: true})
}

// removeAll takes items out.
func (l list) removeAll(gone map[int]bool) (string, error) {
	if l.isFlow() {
		return l.removeFlow(gone)
	}
	splices := make([]splice, 0, len(gone))
	for _, i := range slices.Sorted(maps.Keys(gone)) {
		line, err := l.dashLine(i)
		if err != nil {
			return "", err
		}
		end, err := l.end(l.node.Content[i])
		if err != nil {
			return "", err
		}
		if end, err = l.lineEnd(end); err != nil {
			return "", err
		}
		splices = append(splices, splice{l.lineStart(line), end, ""})
	}
	return l.edit(splices...), nil
}

// dashLine returns the line, from 0, with the dash of an item of a block sequence,
// which may be above its value.
func (l list) dashLine(i int) (int, error) {
	column := l.node.Column - 1
	n := l.node.Content[i]
	for line := min(n.Line, len(l.lines)) - 1; line >= l.node.Line-1; line-- {
		s := l.data[l.lineStart(line):l.lineStart(line+1)]
		if len(s) > column && strings.Trim(s[:column], " ") == "" && s[column] == '-' && (len(s) == column+1 || isBlank(s[column+1])) {
			return line, nil
		}
	}
	at, err := l.start(n)
	if err != nil {
		return 0, err
	}
	return 0, l.errorf(at, "can't tell where the entry begins")
}

// append adds an item behind the last one, or behind the comments below it if the
// list is the whole document. Of a block item the lines behind the first are
// indented already.
func (l list) append(item string) (string, error) {
	if l.isFlow() {
		return l.appendFlow(item)
	}
	last := len(l.node.Content) - 1
	line, err := l.dashLine(last)
	if err != nil {
		return "", err
	}
	at, err := l.end(l.node.Content[last])
	if err != nil {
		return "", err
	}
	if at, err = l.lineEnd(at); err != nil {
		return "", err
	}
	item = strings.Repeat(" ", l.node.Column-1) + item
	if l.node == l.root {
		at = l.behindComments(at)
		if last > 0 && l.isBlankLine(line-1) {
			item = l.newline() + item
		}
	}
	return l.insertLines(at, item), nil
}

// insertLines inserts whole lines.
func (t *text) insertLines(at int, lines string) string {
	if at > 0 && t.lineStart(t.lineOf(at)) != at {
		return t.edit(splice{at, at, t.newline() + lines})
	}
	return t.edit(splice{at, at, lines + t.newline()})
}

// behindComments returns the offset behind the comments from an offset on. Blank lines
// at the end of the document stay there.
func (t *text) behindComments(at int) int {
	for line := t.lineOf(at); line < len(t.lines) && t.lines[line] >= at; line++ {
		s := strings.TrimSpace(t.data[t.lines[line]:t.lineStart(line+1)])
		if strings.HasPrefix(s, "#") {
			at = t.lineStart(line + 1)
		} else if s != "" {
			break
		}
	}
	return at
}

func (t *text) isBlankLine(line int) bool {
	return strings.TrimSpace(t.data[t.lineStart(line):t.lineStart(line+1)]) == ""
}

// span is where something stands.
type span struct{ from, to int }

// flow is where the parts of a flow collection stand.
type flow struct {
	inside span   // between the brackets
	items  []span // of a mapping: its pairs
}

func (t *text) flow(n *yaml.Node) (flow, error) {
	from, err := t.content(n)
	if err != nil {
		return flow{}, err
	}
	to, err := t.end(n)
	if err != nil {
		return flow{}, err
	}
	f := flow{inside: span{from + 1, to - 1}}
	step := 1
	if n.Kind == yaml.MappingNode {
		step = 2
	}
	before := f.inside.from
	for i := 0; i+step <= len(n.Content); i += step {
		var item span
		if item.from, err = t.start(n.Content[i]); err != nil {
			return flow{}, err
		}
		if item.to, err = t.end(n.Content[i+step-1]); err != nil {
			return flow{}, err
		}
		if item.from < before || item.to < item.from || item.to > f.inside.to {
			return flow{}, t.errorf(from, "can't tell the items of this %s apart", map[int]string{1: "list", 2: "mapping"}[step])
		}
		before = item.to
		f.items = append(f.items, item)
	}
	return f, nil
}

// comma returns the offset of the comma that comes next but for comments.
func (t *text) comma(at, limit int) (int, error) {
	for at < limit {
		switch c := t.data[at]; {
		case c == ',':
			return at, nil
		case c == '#':
			at += strings.IndexAny(t.data[at:]+"\n", "\r\n")
		case !isBlank(c):
			return 0, t.errorf(at, "want a comma")
		default:
			at++
		}
	}
	return 0, t.errorf(limit, "want a comma")
}

func (t *text) allBlank(from, to int) bool { return strings.Trim(t.data[from:to], " \t\r\n") == "" }

// removeFlow takes items out of a flow list: each with the comma behind it or, if none
// stays behind it, with the one before it.
func (l list) removeFlow(gone map[int]bool) (string, error) {
	f, err := l.flow(l.node)
	if err != nil {
		return "", err
	}
	last := len(f.items) - 1
	stays := last // the last one that does
	for stays >= 0 && gone[stays] {
		stays--
	}
	blank := true // whether there is nothing but the items
	var splices []splice
	for _, i := range slices.Sorted(maps.Keys(gone)) {
		item := f.items[i]
		switch {
		case i < stays:
			with, _, err := l.between(item.to, f.items[i+1].from)
			if err != nil {
				return "", err
			}
			splices = append(splices, splice{item.from, item.to, ""})
			splices = append(splices, with...)
		case i > 0:
			with, onlyComma, err := l.between(f.items[i-1].to, item.from)
			if err != nil {
				return "", err
			}
			blank = blank && onlyComma
			splices = append(splices, with...)
			splices = append(splices, splice{item.from, item.to, ""})
		default:
			splices = append(splices, splice{item.from, item.to, ""})
		}
	}
	if stays >= 0 {
		return l.edit(splices...), nil
	}
	end := f.items[last].to
	if comma, err := l.comma(end, f.inside.to); err == nil {
		splices = append(splices, splice{comma, comma + 1, ""})
		blank = blank && l.allBlank(end, comma)
		end = comma + 1
	}
	if blank && l.allBlank(f.inside.from, f.items[0].from) && l.allBlank(end, f.inside.to) {
		return l.edit(splice{f.inside.from, f.inside.to, ""}), nil
	}
	return l.edit(splices...), nil
}

// between returns what takes away the comma between two items, and the white space
// around it if there is nothing else.
func (l list) between(from, to int) (with []splice, blank bool, err error) {
	comma, err := l.comma(from, to)
	if err != nil {
		return nil, false, err
	}
	if l.allBlank(from, comma) && l.allBlank(comma+1, to) {
		return []splice{{from, to, ""}}, true, nil
	}
	return []splice{{comma, comma + 1, ""}}, false, nil
}

func (l list) appendFlow(item string) (string, error) {
	f, err := l.flow(l.node)
	if err != nil {
		return "", err
	}
	if n := len(f.items); n > 0 {
		at := f.items[n-1].to
		return l.edit(splice{at, at, "," + l.spacing(l.node).between + item}), nil
	}
	if l.allBlank(f.inside.from, f.inside.to) {
		return l.edit(splice{f.inside.from, f.inside.to, item}), nil
	}
	return l.edit(splice{f.inside.to, f.inside.to, item}), nil
}

// spacing is the white space in a flow collection.
type spacing struct {
	open    string // behind the bracket
	between string // behind a comma
	end     string // before the bracket
}

// spacing returns how a flow collection is spaced, as far as there are no comments.
func (t *text) spacing(n *yaml.Node) spacing {
	s := spacing{between: " "}
	f, err := t.flow(n)
	if err != nil || len(f.items) == 0 {
		return s
	}
	last := len(f.items) - 1
	if t.allBlank(f.inside.from, f.items[0].from) {
		s.open = t.data[f.inside.from:f.items[0].from]
	}
	if t.allBlank(f.items[last].to, f.inside.to) {
		s.end = t.data[f.items[last].to:f.inside.to]
	}
	if last == 0 {
		if inner := n.Content[0]; strings.Contains(s.open, "\n") {
			s.between = s.open
		} else if len(inner.Content) > 1 && inner.Style&yaml.FlowStyle != 0 {
			s.between = t.spacing(inner).inline().between
		}
		return s
	}
	from, to := f.items[last-1].to, f.items[last].from
	if comma, err := t.comma(from, to); err == nil && t.allBlank(comma+1, to) {
		s.between = t.data[comma+1 : to]
	}
	return s
}

// inline returns the spacing for a collection on one line.
func (s spacing) inline() spacing {
	if strings.ContainsAny(s.between, "\r\n") {
		return spacing{between: " "}
	}
	return spacing{between: s.between}
}
