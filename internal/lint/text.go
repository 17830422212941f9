package lint

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// point is a place in a file. Lines and columns count from 1, columns in characters.
type point struct {
	file         string
	line, column int
}

// text is a YAML text and where its characters stand in their file: the file itself,
// or a value in it that is YAML again.
type text struct {
	file  string
	data  []byte
	lines [][]rune // without their breaks
	// outer has the place of every character and of the end of each line, if the text
	// is not the file itself. Without known places it has only whole.
	outer [][]point
	whole *point
	// decoded says that there is no text, only the values that were in one.
	decoded bool
}

func newText(file string, data []byte) *text {
	return &text{file: file, data: data, lines: splitLines(string(data))}
}

// splitLines splits where YAML does.
func splitLines(s string) [][]rune {
	s = strings.TrimPrefix(s, "\ufeff")
	lines := [][]rune{nil}
	last := rune(0)
	for _, r := range s {
		switch r {
		case '\n', '\r', '\u0085', '\u2028', '\u2029':
			if r != '\n' || last != '\r' {
				lines = append(lines, nil)
			}
		default:
			lines[len(lines)-1] = append(lines[len(lines)-1], r)
		}
		last = r
	}
	return lines
}

// at returns the place of a line and column, which are moved into the text if they
// are outside.
func (t *text) at(line, column int) point {
	switch {
	case t.whole != nil:
		return *t.whole
	case t.decoded:
		return point{t.file, 1, 1}
	}
	line = min(max(line, 1), len(t.lines))
	column = min(max(column, 1), len(t.lines[line-1])+1)
	if t.outer != nil {
		return t.outer[line-1][column-1]
	}
	return point{t.file, line, column}
}

// of returns where a node begins.
func (t *text) of(n *yaml.Node) point {
	if n == nil {
		return t.at(1, 1)
	}
	return t.at(n.Line, n.Column)
}

// line returns where the content of a line begins or, if it is there, where a word
// in it does.
func (t *text) line(line int, word string) point {
	if t.decoded {
		return t.at(1, 1)
	}
	line = min(max(line, 1), len(t.lines))
	content := string(t.lines[line-1])
	column := len([]rune(content)) - len([]rune(strings.TrimLeft(content, " \t")))
	if i := strings.Index(content, word); word != "" && i >= 0 {
		column = len([]rune(content[:i]))
	}
	return t.at(line, column+1)
}

// inner returns the text in a scalar of t.
func (t *text) inner(n *yaml.Node) *text {
	in := newText(t.file, []byte(n.Value))
	var points []point
	switch {
	case t.decoded:
		return in
	case t.whole != nil:
		in.whole = t.whole
		return in
	case n.Style&yaml.LiteralStyle != 0:
		points = t.literal(n, in)
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		points = t.quoted(n)
	case n.Style == 0 && n.Line >= 1 && n.Line <= len(t.lines):
		points = t.plain(n)
	}
	in.outer = in.place(points)
	if in.outer == nil {
		whole := t.of(n)
		in.whole = &whole
	}
	return in
}

// place lays points, one for each character of the text with its breaks and one for
// its end, on the lines. It returns nil if there are not as many.
func (t *text) place(points []point) [][]point {
	runes := []rune(string(t.data))
	if len(points) != len(runes)+1 {
		return nil
	}
	if len(runes) > 0 && runes[0] == '\ufeff' {
		points, runes = points[1:], runes[1:]
	}
	outer := make([][]point, len(t.lines))
	for i, line := range t.lines {
		outer[i] = points[: len(line)+1 : len(line)+1]
		skip := len(line)
		if skip < len(runes) { // the break, which is two characters in one case
			if runes[skip] == '\r' && skip+1 < len(runes) && runes[skip+1] == '\n' {
				skip++
			}
			skip++
		}
		points, runes = points[skip:], runes[skip:]
	}
	return outer
}

// literal returns the places of the characters of a block with "|", which stand in
// the file as they are, behind an indentation.
func (t *text) literal(n *yaml.Node, in *text) (points []point) {
	indent := -1
	for i, line := range in.lines {
		outer := n.Line + 1 + i
		last := i == len(in.lines)-1
		if outer > len(t.lines) || last && len(line) == 0 {
			// The end of the text is behind its last line.
			return append(points, t.at(outer-1, maxColumn))
		}
		raw := t.lines[outer-1]
		if indent < 0 && len(line) > 0 {
			indent = len(raw) - len(line)
		}
		for j := range line {
			if indent < 0 || indent+j >= len(raw) || raw[indent+j] != line[j] {
				return nil
			}
			points = append(points, t.at(outer, indent+j+1))
		}
		points = append(points, t.at(outer, max(indent, 0)+len(line)+1))
	}
	return points
}

// maxColumn is behind the end of every line.
const maxColumn = 1 << 30

// plain returns the places of the characters of a value without quotes on one line.
func (t *text) plain(n *yaml.Node) (points []point) {
	line := string(t.lines[n.Line-1])
	if n.Column < 1 || n.Column-1 > len(t.lines[n.Line-1]) || !strings.HasPrefix(string(t.lines[n.Line-1][n.Column-1:]), n.Value) || line == "" {
		return nil
	}
	for i := range len([]rune(n.Value)) + 1 {
		points = append(points, t.at(n.Line, n.Column+i))
	}
	return points
}

// quoted returns the places of the characters of a value in quotes. What it reads
// must be the value; otherwise it returns nil.
func (t *text) quoted(n *yaml.Node) []point {
	q := quotedReader{text: t, line: n.Line, column: n.Column - 1, double: n.Style&yaml.DoubleQuotedStyle != 0}
	if !q.read() || string(q.value) != n.Value {
		return nil
	}
	return q.points
}

// quotedReader reads a scalar in quotes as YAML does, and notes the places.
type quotedReader struct {
	*text
	line, column int // of the next character, the column from 0
	double       bool

	value  []rune
	points []point
}

func (q *quotedReader) add(r rune, column int) {
	q.value = append(q.value, r)
	q.points = append(q.points, q.at(q.line, column+1))
}

func (q *quotedReader) read() bool {
	quote := '\''
	if q.double {
		quote = '"'
	}
	if q.line < 1 || q.line > len(q.lines) || q.column < 0 || q.column > len(q.lines[q.line-1]) {
		return false
	}
	start := slices.Index(q.lines[q.line-1][q.column:], quote) // there may be an anchor before it
	if start < 0 {
		return false
	}
	q.column += start + 1
	for {
		line := q.lines[q.line-1]
		if q.column >= len(line) {
			if !q.fold() {
				return false
			}
			continue
		}
		switch r := line[q.column]; {
		case r == quote && !q.double && q.column+1 < len(line) && line[q.column+1] == quote:
			q.add(quote, q.column)
			q.column += 2
		case r == quote:
			q.points = append(q.points, q.at(q.line, q.column+1))
			return true
		case r == '\\' && q.double:
			if !q.escape(line) {
				return false
			}
		default:
			q.add(r, q.column)
			q.column++
		}
	}
}

// fold reads the end of a line and empty lines behind it: one break is a space, n
// are n-1 breaks.
func (q *quotedReader) fold() bool {
	for n := len(q.value); n > 0 && (q.value[n-1] == ' ' || q.value[n-1] == '\t'); n-- {
		q.value, q.points = q.value[:n-1], q.points[:n-1]
	}
	breaks := 0
	for q.column >= len(q.lines[q.line-1]) {
		if q.line == len(q.lines) {
			return false
		}
		breaks++
		if breaks > 1 {
			q.add('\n', q.column)
		}
		q.line++
		q.indentation()
	}
	if breaks == 1 {
		q.add(' ', q.column)
	}
	return true
}

// indentation goes to the first character of a line.
func (q *quotedReader) indentation() {
	line := q.lines[q.line-1]
	for q.column = 0; q.column < len(line) && (line[q.column] == ' ' || line[q.column] == '\t'); q.column++ {
	}
}

// escapes are the escapes of one letter: https://yaml.org/spec/1.2.2/#57-escaped-characters
const escapes = "0\x00a\x07b\bt\t\t\tn\nv\vf\fr\re\x1b  \"\"//\\\\N\u0085_\u00a0L\u2028P\u2029"

func (q *quotedReader) escape(line []rune) bool {
	start := q.column
	if start+1 == len(line) { // an escaped break is nothing
		if q.line == len(q.lines) {
			return false
		}
		q.line++
		q.indentation()
		return true
	}
	digits := map[rune]int{'x': 2, 'u': 4, 'U': 8}[line[start+1]]
	if digits == 0 {
		known := []rune(escapes)
		for i := 0; i < len(known); i += 2 {
			if known[i] == line[start+1] {
				q.add(known[i+1], start)
				q.column += 2
				return true
			}
		}
		return false
	}
	if start+2+digits > len(line) {
		return false
	}
	code, err := strconv.ParseUint(string(line[start+2:start+2+digits]), 16, 32)
	if err != nil {
		return false
	}
	q.add(rune(code), start)
	q.column += 2 + digits
	return true
}
