package kubeconfig

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// hidden stands for secrets.
const hidden = "REDACTED"

// redacted returns the document before and after it was edited, both without secrets and
// formatted alike: what is different is what was changed.
func (d *document) redacted() (before, after []byte, err error) {
	for i, data := range [][]byte{d.before, d.rendered} {
		var document yaml.Node
		if err := yaml.Unmarshal(data, &document); err != nil {
			return nil, nil, fmt.Errorf("kubeconfig %s: %w", d.path, err)
		}
		if len(document.Content) == 0 || document.Content[0].Kind != yaml.MappingNode {
			continue // nothing is in it yet
		}
		users := lookup(document.Content[0], "users")
		for user := range items(users) {
			redactUser(lookup(user, "user"))
		}
		text, err := encode(&document)
		if err != nil {
			return nil, nil, fmt.Errorf("kubeconfig %s: %w", d.path, err)
		}
		if i == 0 {
			before = text
		} else {
			after = text
		}
	}
	return before, after, nil
}

// redactUser hides what kubectl config view hides, and the environment's variables that
// aren't ours.
func redactUser(user *yaml.Node) {
	for _, key := range []string{"token", "password", "client-key-data"} {
		hide(lookup(user, key))
	}
	hide(lookup(lookup(user, "auth-provider"), "config"))
	for variable := range items(lookup(lookup(user, "exec"), "env")) {
		if name := lookup(variable, "name"); name == nil || !slices.Contains([]string{"AWS_PROFILE", "AWS_REGION"}, name.Value) {
			hide(lookup(variable, "value"))
		}
	}
}

// hide replaces every value in a node.
func hide(n *yaml.Node) {
	switch {
	case n == nil:
	case n.Kind == yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			hide(n.Content[i])
		}
	case n.Kind == yaml.SequenceNode:
		for _, child := range n.Content {
			hide(child)
		}
	default:
		n.SetString(hidden)
		n.Kind, n.Alias, n.Style = yaml.ScalarNode, nil, 0
	}
}

// items yields the items of a list, if it is one.
func items(list *yaml.Node) func(yield func(*yaml.Node) bool) {
	return func(yield func(*yaml.Node) bool) {
		if list == nil || list.Kind != yaml.SequenceNode {
			return
		}
		for _, item := range list.Content {
			if !yield(item) {
				return
			}
		}
	}
}
