// Package docs reads the project's Markdown, so that tests can hold it against the code.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

// Document is what a Markdown file has that can be checked.
type Document struct {
	Path    string // from the root of the repository, with slashes
	Text    string
	Anchors map[string]bool // of headings, as GitHub makes them
	Links   []Link          // to files, sections and other sites
	Spans   []Line          // what stands between single backticks
	Blocks  []Block         // what stands between fences
}

// Line is a piece of text and the number of the line that it is on.
type Line struct {
	Text   string
	Number int
}

// Link is the target of a link or of an image.
type Link Line

// Block is fenced code, and the word behind the fence.
type Block struct {
	Language string
	Lines    []Line
}

// All returns every Markdown file of the repository whose root is given.
func All(root string) ([]Document, error) {
	var all []Document
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "bin" || entry.Name() == "dist" || entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".") && path != root):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		d, err := Read(root, path)
		all = append(all, d)
		return err
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("no Markdown in %s", root)
	}
	return all, err
}

// Read reads one file.
func Read(root, path string) (Document, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Document{}, err
	}
	name, err := filepath.Rel(root, path)
	if err != nil {
		return Document{}, err
	}
	return Parse(filepath.ToSlash(name), string(data)), nil
}

var (
	fence   = regexp.MustCompile("^ *(```+) *([a-z]*)")
	heading = regexp.MustCompile(`^#{1,6} +(.*?) *#*$`)
	span    = regexp.MustCompile("`([^`]+)`")
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	html    = regexp.MustCompile(`(?:src|href)="([^"]+)"`)
)

// Parse reads a Markdown text. It knows as much of the language as these documents use:
// fenced code, headings with #, links in line.
func Parse(path, text string) Document {
	d := Document{Path: path, Text: text, Anchors: map[string]bool{}}
	var open string // the fence that ends the block, or empty
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\n")
		if parts := fence.FindStringSubmatch(line); parts != nil && (open == "" || parts[1] == open) {
			if open != "" {
				open = ""
				continue
			}
			open = parts[1]
			d.Blocks = append(d.Blocks, Block{Language: parts[2]})
			continue
		}
		if open != "" {
			block := &d.Blocks[len(d.Blocks)-1]
			block.Lines = append(block.Lines, Line{line, number})
			continue
		}
		if parts := heading.FindStringSubmatch(line); parts != nil {
			d.addAnchor(parts[1])
		}
		for _, parts := range span.FindAllStringSubmatch(line, -1) {
			d.Spans = append(d.Spans, Line{parts[1], number})
		}
		rest := span.ReplaceAllString(line, "`")
		for _, parts := range append(link.FindAllStringSubmatch(rest, -1), html.FindAllStringSubmatch(rest, -1)...) {
			d.Links = append(d.Links, Link{parts[1], number})
		}
	}
	return d
}

func (d *Document) addAnchor(title string) {
	anchor := Anchor(title)
	unique := anchor
	for i := 1; d.Anchors[unique]; i++ {
		unique = fmt.Sprintf("%s-%d", anchor, i)
	}
	d.Anchors[unique] = true
}

var linked = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// Anchor returns the anchor that GitHub gives a heading.
func Anchor(title string) string {
	title = linked.ReplaceAllString(title, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r):
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, title)
}

// Commands returns the command lines of a block for a shell: all of "sh", and what stands
// behind a prompt in "console". Lines that end with a backslash are joined, and so are
// those of a quoted string.
func (b Block) Commands() []Line {
	var commands []Line
	goesOn := false
	for _, line := range b.Lines {
		text := line.Text
		switch {
		case goesOn:
			last := &commands[len(commands)-1]
			last.Text = strings.TrimSuffix(last.Text, `\`) + "\n" + text
		case b.Language == "sh":
			commands = append(commands, Line{text, line.Number})
		case b.Language == "console" && strings.HasPrefix(text, "$ "):
			commands = append(commands, Line{text[2:], line.Number})
		default:
			continue
		}
		last := commands[len(commands)-1].Text
		_, complete := Split(last)
		goesOn = strings.HasSuffix(last, `\`) || !complete
	}
	return commands
}

// Split splits a command line into the words of each of its simple commands, as a POSIX
// shell would, without expanding anything. Commands in $(…) come on their own, and stand
// as "$()" where they were. It tells whether every quote and bracket is closed.
func Split(line string) (commands [][]string, complete bool) {
	s := splitter{text: []rune(line)}
	complete = s.commands(0)
	return s.found, complete
}

type splitter struct {
	text  []rune
	i     int
	found [][]string
}

// commands reads up to the rune end, or to the end of the line if that is 0.
func (s *splitter) commands(end rune) bool {
	var words []string
	var word strings.Builder
	inWord := false
	endWord := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			s.found = append(s.found, words)
		}
		words = nil
	}
	for s.i < len(s.text) {
		r := s.text[s.i]
		s.i++
		switch {
		case r == end:
			endCommand()
			return true
		case r == '\'' || r == '"':
			inWord = true
			if !s.quoted(r, &word) {
				return false
			}
		case r == '$' && s.i < len(s.text) && s.text[s.i] == '(':
			s.i++
			inWord = true
			word.WriteString("$()")
			if !s.commands(')') {
				return false
			}
		case r == '\\' && s.i < len(s.text):
			if s.text[s.i] != '\n' {
				inWord = true
				word.WriteRune(s.text[s.i])
			}
			s.i++
		case r == '#' && !inWord:
			for s.i < len(s.text) && s.text[s.i] != '\n' {
				s.i++
			}
		case strings.ContainsRune("|&;\n()", r):
			endCommand()
		case r == '<' || r == '>':
			endWord()
			words = append(words, string(r))
		case unicode.IsSpace(r):
			endWord()
		default:
			inWord = true
			word.WriteRune(r)
		}
	}
	endCommand()
	return end == 0
}

// quoted reads up to the closing quote.
func (s *splitter) quoted(quote rune, word *strings.Builder) bool {
	for s.i < len(s.text) {
		r := s.text[s.i]
		s.i++
		switch {
		case r == quote:
			return true
		case r == '$' && quote == '"' && s.i < len(s.text) && s.text[s.i] == '(':
			s.i++
			word.WriteString("$()")
			if !s.commands(')') {
				return false
			}
		case r == '\\' && quote == '"' && s.i < len(s.text):
			word.WriteRune(s.text[s.i])
			s.i++
		default:
			word.WriteRune(r)
		}
	}
	return false
}
