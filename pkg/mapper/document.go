package mapper

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.yaml.in/yaml/v3"
)

// The sections of a document, as in the original.
const (
	MapRoles    = "mapRoles"
	MapUsers    = "mapUsers"
	MapAccounts = "mapAccounts"
)

// Severity tells what became of an entry with a problem.
type Severity int

const (
	// Skipped means that the entry lets nobody in. Whom it names, if that can be told,
	// is refused.
	Skipped Severity = iota
	// Warning means that the entry is doubtful but says what it says, or that
	// another one stands in its place.
	Warning
)

// Problem is what is wrong with one entry.
type Problem struct {
	Source   Source
	Severity Severity
	Message  string // what is wrong and what was expected, lower case
}

// String returns the problem on one line.
func (p Problem) String() string {
	if p.Source.ARN == "" {
		return fmt.Sprintf("%s: %s", p.Source, p.Message)
	}
	return fmt.Sprintf("%s, %s: %s", p.Source, p.Source.ARN, p.Message)
}

// Section is what one section of a document says.
type Section struct {
	Mappings []*Mapping // of mapRoles and mapUsers, with refusals in the place of bad ones
	Accounts []string   // of mapAccounts
	Problems []Problem
	// Err is set if the section could not be read as a list, which is not the same
	// as an empty one: see Document.OrLast.
	Err error
}

// Document is what the three sections of a source say.
type Document struct {
	Roles, Users, Accounts Section
}

// OrLast returns the document with the content of last in the place of sections
// that could not be read. Their Err stays.
func (d Document) OrLast(last Document) Document {
	d.Roles = d.Roles.orLast(last.Roles)
	d.Users = d.Users.orLast(last.Users)
	d.Accounts = d.Accounts.orLast(last.Accounts)
	return d
}

func (s Section) orLast(last Section) Section {
	if s.Err != nil {
		last.Err = s.Err
		return last
	}
	return s
}

// Err returns the errors of the sections, joined.
func (d Document) Err() error { return errors.Join(d.Roles.Err, d.Users.Err, d.Accounts.Err) }

// Problems returns the problems of all sections.
func (d Document) Problems() []Problem {
	return slices.Concat(d.Roles.Problems, d.Users.Problems, d.Accounts.Problems)
}

// Mappings returns the mappings of all sections in the order that NewIndex wants:
// where both have one for the same principal, mapRoles goes before mapUsers.
func (d Document) Mappings() []*Mapping { return slices.Concat(d.Users.Mappings, d.Roles.Mappings) }

// ParseOptions are the options of ParseSection.
type ParseOptions struct {
	// UserIDStrict wants a userid in every entry and lets rolearn, sso and userarn
	// be left out: dynamicfileUserIDStrict of the original.
	UserIDStrict bool
}

// ParseYAML parses one YAML document, which may be JSON, for ParseSection. It
// returns nil if there is nothing in it.
func ParseYAML(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(yamlOf(data)))
	var doc, second yaml.Node
	if err := decoder.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, err
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("a second YAML document begins on line %d, want only one", second.Line)
	}
	if root := doc.Content[0]; root.Tag != "!!null" {
		return root, nil
	}
	return nil, nil
}

// ParseSection parses the list of a section, entry by entry: a bad entry is left
// out and harms only itself. Section is MapRoles, MapUsers or MapAccounts. The node
// is nil for a section that is not there.
func ParseSection(section string, node *yaml.Node, o ParseOptions) Section {
	p := parser{section: section, options: o, aliasBudget: maxAliasNodes}
	node, err := p.resolve(node)
	if err != nil {
		return Section{Err: fmt.Errorf("%s (line %d): %w", section, node.Line, err)}
	}
	if isNull(node) {
		return Section{}
	}
	if node.Kind != yaml.SequenceNode {
		return Section{Err: fmt.Errorf("%s (line %d) is %s, want a list", section, node.Line, kindOf(node))}
	}
	for i, n := range node.Content {
		p.entry(i, n)
	}
	return p.result
}

// maxARN bounds what is kept and logged of a text that should be an ARN. No valid
// one is longer.
const maxARN = 1024

// maxAliasNodes bounds how much of a document is read again through aliases, in
// nodes per section. It is enough for tens of thousands of entries with a common
// list of groups; without it, a small file could fill the memory.
const maxAliasNodes = 1 << 18

// parser parses one section.
type parser struct {
	section     string
	options     ParseOptions
	aliasBudget int
	result      Section
}

func (p *parser) problem(s Severity, source Source, message string) {
	p.result.Problems = append(p.result.Problems, Problem{Source: source, Severity: s, Message: message})
}
