package mapper

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/internal/suggest"
)

// fields are the values of a mapping node, by key in lower case.
type fields map[string]*yaml.Node

// fields reads a mapping node. An unknown key is an error: a misspelt "groups"
// would let people in without their groups, a misspelt restriction without it.
func (p *parser) fields(n *yaml.Node, known []string) (fields, error) {
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("is %s, want a mapping with the keys %s", kindOf(n), strings.Join(known, ", "))
	}
	f := fields{}
	var merged *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		value, err := p.resolve(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", shorten(key.Value), err)
		}
		if key.Tag == "!!merge" {
			if value.Kind != yaml.MappingNode || merged != nil {
				return nil, errors.New("<< wants one alias of a mapping")
			}
			merged = value
			continue
		}
		if err := f.add(key, value, known); err != nil {
			return nil, err
		}
	}
	if merged == nil {
		return f, nil
	}
	base, err := p.fields(merged, known)
	if err != nil {
		return nil, fmt.Errorf("<<: %w", err)
	}
	for key, value := range base {
		if _, ok := f[key]; !ok {
			f[key] = value
		}
	}
	return f, nil
}

func (f fields) add(key, value *yaml.Node, known []string) error {
	name := strings.ToLower(key.Value)
	if key.Kind != yaml.ScalarNode || !slices.ContainsFunc(known, func(k string) bool { return strings.ToLower(k) == name }) {
		return fmt.Errorf("unknown key %q%s", shorten(key.Value), suggest.Known(key.Value, known))
	}
	if _, ok := f[name]; ok {
		return fmt.Errorf("key %q twice", shorten(key.Value))
	}
	f[name] = value
	return nil
}

// take returns a value, or nil if it is missing or null.
func (f fields) take(key string) *yaml.Node {
	if n := f[strings.ToLower(key)]; !isNull(n) {
		return n
	}
	return nil
}

// text returns a string, or "" if it is missing or null.
func (f fields) text(key string) (string, error) {
	n := f.take(key)
	if n == nil {
		return "", nil
	}
	if err := checkString(n); err != nil {
		return "", fmt.Errorf("%s %w", key, err)
	}
	return n.Value, nil
}

// restriction is like text, but what is there must have a value: an empty one may
// be the fault of whatever wrote the file, and would let more people in.
func (f fields) restriction(key string) (string, error) {
	s, err := f.text(key)
	if _, ok := f[strings.ToLower(key)]; ok && err == nil && s == "" {
		return "", fmt.Errorf("%s is empty; give it a value or leave it out", key)
	}
	return s, err
}

// flag returns a boolean, false if it is missing.
func (f fields) flag(key string) (bool, error) {
	n, ok := f[strings.ToLower(key)]
	if !ok {
		return false, nil
	}
	var value bool
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Decode(&value) != nil {
		return false, fmt.Errorf("%s is %s, want true or false", key, kindOf(n))
	}
	return value, nil
}

func checkString(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		return nil
	case n.Kind == yaml.ScalarNode:
		return fmt.Errorf("is %s, want a string: put it in quotes", kindOf(n))
	default:
		return fmt.Errorf("is %s, want a string", kindOf(n))
	}
}

// resolve returns what an alias stands for. Aliases inside that are refused, so
// that what an alias costs is what stands in the file.
func (p *parser) resolve(n *yaml.Node) (*yaml.Node, error) {
	if n == nil || n.Kind != yaml.AliasNode {
		return n, nil
	}
	if !p.spend(n.Alias) {
		return n, fmt.Errorf("alias *%s stands for other aliases or too much; write the value out", shorten(n.Value))
	}
	return n.Alias, nil
}

// spend takes the nodes of a tree from the budget. It fails for a tree with an
// alias in it and if the budget is spent.
func (p *parser) spend(n *yaml.Node) bool {
	p.aliasBudget--
	if n.Kind == yaml.AliasNode || p.aliasBudget < 0 {
		return false
	}
	for _, c := range n.Content {
		if !p.spend(c) {
			return false
		}
	}
	return true
}

func isNull(n *yaml.Node) bool {
	return n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// kindOf names the kind of a node for people.
func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind != yaml.ScalarNode:
		return "an alias"
	}
	switch n.Tag {
	case "!!str":
		return "a string"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "null"
	case "!!timestamp":
		return "a date"
	default:
		return "of another type"
	}
}
