package lint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// sectionNames are the keys under which mappings stand.
var sectionNames = [...]string{mapper.MapRoles, mapper.MapUsers, mapper.MapAccounts}

// file checks a file: one YAML document, or several.
func (c *checker) file(t *text) {
	roots, err := documents(t.data)
	if err != nil {
		c.syntax(t, err)
	}
	if len(roots) == 0 && err == nil {
		c.report(empty, t.at(1, 1), Finding{Message: "there is nothing in the file"})
	}
	for _, root := range roots {
		c.document(t, root, len(roots) == 1 && err == nil)
	}
}

// documents returns the documents before the first mistake, without empty ones.
func documents(data []byte) (roots []*yaml.Node, err error) {
	if root, err := mapper.ParseYAML(data); err == nil {
		if root == nil {
			return nil, nil
		}
		return []*yaml.Node{root}, nil
	}
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		if err := decoder.Decode(&doc); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return roots, err
		}
		if root := doc.Content[0]; root.Tag != "!!null" {
			roots = append(roots, root)
		}
	}
}

// nodeOf returns a value of JSON as the node that it would be in YAML. Its text was
// never YAML: a parser would stumble over characters that JSON has and YAML has not.
func nodeOf(value any) *yaml.Node {
	switch v := value.(type) {
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.Content = append(n.Content, word(key), nodeOf(v[key]))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, item := range v {
			n.Content = append(n.Content, nodeOf(item))
		}
		return n
	case string:
		return word(v)
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: fmt.Sprint(v)}
	}
}

// document finds out by what stands in it what a document is, and checks it. Alone
// says that there is no other in its file.
func (c *checker) document(t *text, root *yaml.Node, alone bool) {
	root = resolve(root)
	switch {
	case root.Kind == yaml.SequenceNode:
		c.bare(t, root)
	case root.Kind != yaml.MappingNode:
		c.unknown(t, root, "the document is "+short(root.Value)+", want a ConfigMap, an AccessEntry, a configuration or mappings")
	case child(root, "kind") != nil:
		c.object(t, root)
	default:
		c.plainFile(t, root, alone)
	}
}

func (c *checker) unknown(t *text, n *yaml.Node, message string) {
	message, suggestion := cutSuggestion(message)
	c.report(unknownDocument, t.of(n), Finding{Message: message, Suggestion: suggestion})
}

// object checks an object of Kubernetes, or a list of them.
func (c *checker) object(t *text, root *yaml.Node) {
	kindNode := child(root, "kind")
	kind := kindNode.Value
	version := value(root, "apiVersion")
	kinds := []string{"AccessEntry", "ConfigMap", "AccessEntryList", "ConfigMapList", "List"}
	near := suggest.Nearest(kind, kinds)
	switch {
	case near != "" && near != kind:
		c.unknown(t, kindNode, fmt.Sprintf("kind %q is not known%s", kind, suggest.DidYouMean(kind, kinds)))
	case kind == "ConfigMap":
		c.configMapObject(t, root)
	case kind == "AccessEntry" && isOurs(version):
		c.accessEntry(t, root)
	case near != "" && kind != "AccessEntry":
		c.items(t, root, strings.TrimSuffix(kind, "List"), version)
	default:
		c.report(notChecked, t.of(root), Finding{Message: fmt.Sprintf("%s of %s is not checked", short(kind), short(version))})
	}
}

// items checks the objects in a list, in which they may leave out what they are.
func (c *checker) items(t *text, root *yaml.Node, kind, version string) {
	items := resolve(child(root, "items"))
	if items == nil || items.Kind != yaml.SequenceNode {
		return
	}
	for _, item := range items.Content {
		item = resolve(item)
		switch {
		case item.Kind != yaml.MappingNode:
			c.unknown(t, item, "the item is no object")
		case child(item, "kind") != nil:
			if !strings.HasSuffix(value(item, "kind"), "List") { // lists in lists could go on for ever
				c.object(t, item)
			}
		case kind == "ConfigMap":
			c.configMapObject(t, item)
		case kind == "AccessEntry" && isOurs(version):
			c.accessEntry(t, item)
		default:
			c.unknown(t, item, "the item names no kind")
		}
	}
}

// plainFile checks a file that is no object: the data of aws-auth alone, mappings, or
// a configuration.
func (c *checker) plainFile(t *text, root *yaml.Node, alone bool) {
	var section, setting *yaml.Node
	for key, v := range pairs(root) {
		if suggest.Nearest(key.Value, sectionNames[:]) != "" {
			section = v
		}
		if suggest.Nearest(key.Value, []string{"server", "clusterID", "defaultRole"}) != "" {
			setting = v
		}
	}
	var check func(t *text, root *yaml.Node)
	switch {
	case setting != nil:
		check = c.configFile
	case section == nil:
		c.unknown(t, root, "the document has none of the keys kind, server, mapRoles, mapUsers and mapAccounts, by which it could be told what it is")
		return
	case resolve(section).Kind == yaml.ScalarNode && resolve(section).Tag == "!!str":
		c.data(t, root)
		return
	default:
		check = c.mappingFile
	}
	if !alone {
		c.unknown(t, root, "a configuration or a file of mappings stands beside other documents, want it alone in its file")
		return
	}
	check(t, root)
}

// bare checks a list that is what a section of aws-auth holds, by what stands in it.
func (c *checker) bare(t *text, root *yaml.Node) {
	name := mapper.MapAccounts
	for _, item := range root.Content {
		if item = resolve(item); item.Kind != yaml.MappingNode {
			continue
		}
		if name == mapper.MapAccounts {
			name = mapper.MapRoles
		}
		for key := range pairs(item) {
			if strings.EqualFold(key.Value, "userarn") {
				name = mapper.MapUsers
			}
		}
	}
	c.sections(source{kind: aws}, []section{c.section(t, name, root, mapper.ParseOptions{})})
}

// mappingFile checks a file of the backend DynamicFile.
func (c *checker) mappingFile(t *text, root *yaml.Node) {
	o := mapper.ParseOptions{UserIDStrict: c.options.UserIDStrict}
	c.mappings(t, root, source{kind: dynamicFile, strict: o.UserIDStrict}, o)
	known := []string{mapper.MapRoles, mapper.MapUsers, mapper.MapAccounts, "LastUpdatedDateTime", "Version"}
	for key := range pairs(root) {
		same := func(k string) bool { return strings.EqualFold(k, key.Value) }
		if !slices.ContainsFunc(known, same) && suggest.Nearest(key.Value, sectionNames[:]) == "" {
			c.report(unreadKey, t.of(key), Finding{Message: fmt.Sprintf("key %q is not read; known are %s", short(key.Value), strings.Join(known, ", "))})
		}
	}
}

// syntax reports an error of the YAML parser.
func (c *checker) syntax(t *text, err error) {
	line, message := errorLine(err)
	f := Finding{Message: message}
	at := t.line(max(line, 1), "")
	if line <= len(t.lines) {
		content := string(t.lines[max(line, 1)-1])
		indent := content[:len(content)-len(strings.TrimLeft(content, " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
			f.Suggestion = "indent with spaces: YAML takes no tabs there"
			at = t.at(max(line, 1), tab+1)
		}
	}
	c.report(yamlSyntax, at, f)
}

// errorLine takes the line out of an error text, 0 if it names none.
func errorLine(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	before, rest, found := strings.Cut(message, "line ")
	if !found {
		return 0, message
	}
	digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	if line, err = strconv.Atoi(digits); err != nil {
		return 0, message
	}
	before, rest = strings.TrimSuffix(before, "("), rest[len(digits):]
	if before == "" {
		return line, strings.TrimPrefix(rest, ": ")
	}
	return line, strings.TrimSuffix(strings.TrimSuffix(before, " "), " on") + strings.TrimPrefix(rest, ")")
}

// cutSuggestion takes the suggestion out of a message of the server.
func cutSuggestion(message string) (text, suggestion string) {
	text, rest, found := strings.Cut(message, `, did you mean "`)
	if !found {
		return message, ""
	}
	word, rest, _ := strings.Cut(rest, `"?`)
	if known, ok := strings.CutPrefix(rest, " Known are "); ok {
		text += "; known are " + known
	}
	return text, fmt.Sprintf("did you mean %q?", word)
}

// resolve returns what an alias stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// pairs goes through the keys and values of a mapping.
func pairs(n *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		if n = resolve(n); n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// child returns the value of a key, or nil. Letter case counts.
func child(n *yaml.Node, name string) *yaml.Node {
	for key, v := range pairs(n) {
		if key.Value == name {
			return v
		}
	}
	return nil
}

// childFold is child in any letter case.
func childFold(n *yaml.Node, name string) *yaml.Node {
	for key, v := range pairs(n) {
		if strings.EqualFold(key.Value, name) {
			return v
		}
	}
	return nil
}

// value returns the text of a key, or "".
func value(n *yaml.Node, name string) string {
	if v := resolve(child(n, name)); v != nil && v.Kind == yaml.ScalarNode {
		return v.Value
	}
	return ""
}

// short cuts a value to a length that a message bears.
func short(s string) string { return cut(s, 64) }

// cut cuts a text to a length in bytes.
func cut(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
