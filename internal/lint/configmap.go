package lint

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/configmap"
)

// configMapObject checks the manifest of a ConfigMap, if it is or should be aws-auth.
func (c *checker) configMapObject(t *text, root *yaml.Node) {
	meta := child(root, "metadata")
	name, namespace := value(meta, "name"), value(meta, "namespace")
	data := resolve(child(root, "data"))
	ours := name == configmap.Name
	for key := range pairs(data) {
		ours = ours || slices.Contains(sectionNames[:], key.Value)
	}
	if !ours {
		c.report(notChecked, t.of(root), Finding{Message: fmt.Sprintf("the ConfigMap %s is not checked, as it is not aws-auth", short(name))})
		return
	}
	const full = configmap.Namespace + "/" + configmap.Name
	switch {
	case name != configmap.Name:
		c.report(configMapName, t.of(orElse(child(meta, "name"), root)), Finding{
			Message: fmt.Sprintf("the ConfigMap is called %q, but only %s is read", short(name), full), Suggestion: "name: " + configmap.Name})
	case namespace == "":
		c.report(configMapNamespace, t.of(orElse(meta, root)), Finding{
			Message: "the namespace is missing, but only " + full + " is read", Suggestion: "namespace: " + configmap.Namespace})
	case namespace != configmap.Namespace:
		c.report(configMapName, t.of(child(meta, "namespace")), Finding{
			Message: fmt.Sprintf("the ConfigMap is in the namespace %q, but only %s is read", short(namespace), full), Suggestion: "namespace: " + configmap.Namespace})
	}
	known := []string{"apiVersion", "kind", "metadata", "data", "binaryData", "immutable"}
	seen := map[string]bool{}
	for key := range pairs(root) {
		if !slices.Contains(known, key.Value) {
			c.unknownKey(t, key, known)
		}
		c.seen(t, key, seen)
	}
	for key := range pairs(child(root, "binaryData")) {
		c.report(dataKey, t.of(key), Finding{Message: fmt.Sprintf("key %q of binaryData is not read, as it is not text", short(key.Value)), Suggestion: "put it under data"})
	}
	if data == nil || data.Kind == yaml.MappingNode && len(data.Content) == 0 || isNull(data) {
		c.report(empty, t.of(orElse(data, root)), Finding{Message: "aws-auth has no data and maps nobody"})
		return
	}
	c.data(t, data)
}

func (c *checker) unknownKey(t *text, key *yaml.Node, known []string) {
	message, suggestion := cutSuggestion(fmt.Sprintf("unknown key %q%s", short(key.Value), suggest.Known(key.Value, known)))
	c.report(unknownKey, t.of(key), Finding{Message: message, Suggestion: suggestion})
}

// seen reports a key that stands twice.
func (c *checker) seen(t *text, key *yaml.Node, seen map[string]bool) {
	if seen[key.Value] {
		c.report(duplicateKey, t.of(key), Finding{Message: fmt.Sprintf("key %q stands twice", short(key.Value))})
	}
	seen[key.Value] = true
}

// data checks the data of aws-auth: each section is a YAML text of its own.
func (c *checker) data(t *text, data *yaml.Node) {
	if data.Kind != yaml.MappingNode {
		c.report(dataType, t.of(data), Finding{Message: "data is no mapping, want the keys mapRoles, mapUsers and mapAccounts"})
		return
	}
	known := sectionNames[:]
	seen := map[string]bool{}
	var found []section
	for key, v := range pairs(data) {
		v = resolve(v)
		c.seen(t, key, seen)
		near := suggest.Nearest(key.Value, known)
		switch {
		case slices.Contains(known, key.Value):
			if in := c.sectionText(t, key, v); in != nil {
				found = append(found, c.parsed(in, key.Value))
			}
		case near != "":
			c.report(dataKey, t.of(key), Finding{
				Message:    fmt.Sprintf("key %q is not read, so nobody under it gets in; letter case counts", short(key.Value)),
				Suggestion: fmt.Sprintf("did you mean %q?", near)})
		default:
			c.report(unreadKey, t.of(key), Finding{Message: fmt.Sprintf("key %q is not read; known are mapRoles, mapUsers, mapAccounts", short(key.Value))})
		}
	}
	c.sections(source{kind: aws}, found)
}

// sectionText returns the text of a section, or nil if it is none.
func (c *checker) sectionText(t *text, key, v *yaml.Node) *text {
	switch {
	case isNull(v):
		return nil
	case v.Kind == yaml.ScalarNode && v.Tag == "!!str":
		return t.inner(v)
	case v.Kind == yaml.ScalarNode:
		c.report(dataType, t.of(v), Finding{Message: key.Value + " is not text, and the API server takes nothing else", Suggestion: "write " + key.Value + ": | and the list, indented, on the lines below"})
	default:
		c.report(dataType, t.of(v), Finding{Message: key.Value + " is a YAML list or mapping, want text: the API server takes nothing else", Suggestion: "put | behind " + key.Value + ":"})
	}
	return nil
}

// parsed parses the text of a section as the server does.
func (c *checker) parsed(in *text, name string) section {
	root, err := mapper.ParseYAML(in.data)
	if err != nil {
		c.syntax(in, err)
		return section{name: name, text: in}
	}
	return c.section(in, name, root, mapper.ParseOptions{})
}

func orElse(n, other *yaml.Node) *yaml.Node {
	if n == nil {
		return other
	}
	return n
}

func isNull(n *yaml.Node) bool { return n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
