package kubeconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// document is one file of a kubeconfig.
type document struct {
	path   string
	exists bool
	prefix []byte               // of a file with nothing but comments: these
	whole  *yaml.Node           // the document node, which has the comments at the ends
	root   *yaml.Node           // its mapping
	config *clientcmdapi.Config // as kubectl reads it

	before   []byte // as read
	rendered []byte // as edited
}

// outcome is what an edit did.
type outcome int

const (
	unchanged outcome = iota
	added
	replaced
)

// readDocument reads a file that may not exist.
func readDocument(path string) (*document, error) {
	// Before it is opened: a pipe would never be read to its end.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("kubeconfig %s is no regular file: give another with --kubeconfig FILE", path)
	}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	d, parseErr := parseDocument(path, data)
	if parseErr != nil {
		return nil, fmt.Errorf("kubeconfig %s is not changed, as it can't be read: %w", path, parseErr)
	}
	d.exists = err == nil
	return d, nil
}

func parseDocument(path string, data []byte) (*document, error) {
	config, err := clientcmd.Load(data)
	if err != nil {
		return nil, err
	}
	d := &document{path: path, before: data, config: config}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var node, second yaml.Node
	switch err := decoder.Decode(&node); {
	case errors.Is(err, io.EOF), err == nil && node.Content[0].ShortTag() == "!!null" && node.Content[0].Value == "":
		d.prefix = data
		if len(data) > 0 && data[len(data)-1] != '\n' {
			d.prefix = append(bytes.Clone(data), '\n')
		}
		if err := yaml.Unmarshal([]byte("apiVersion: v1\nkind: Config\n"), &node); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	default:
		if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
			return nil, errors.New("it has more than one YAML document, of which kubectl reads the first: remove the others")
		}
	}
	d.whole, d.root = &node, node.Content[0]
	if d.root.Kind != yaml.MappingNode {
		return nil, errors.New("it is no YAML mapping")
	}
	var v any
	return d, d.root.Decode(&v) // finds keys that are there twice
}

// has tells whether kubectl sees such an entry in the file.
func (d *document) has(kind, name string) (ok bool) {
	switch kind {
	case "cluster":
		_, ok = d.config.Clusters[name]
	case "user":
		_, ok = d.config.AuthInfos[name]
	case "context":
		_, ok = d.config.Contexts[name]
	}
	return ok
}

// set makes the document have the entry.
func (d *document) set(e entry, overwrite bool) (outcome, error) {
	want := &yaml.Node{}
	if err := want.Encode(e.want); err != nil {
		return unchanged, err
	}
	list, err := d.list(e.kind + "s")
	if err != nil {
		return unchanged, err
	}
	for _, item := range list.Content {
		if name := lookup(item, "name"); name == nil || name.Value != e.name {
			continue
		}
		have := lookup(item, e.kind)
		if have == nil || have.Kind != yaml.MappingNode || item.Kind != yaml.MappingNode {
			return unchanged, fmt.Errorf("the %s %q in %s is not written as a mapping: change it by hand", e.kind, e.name, d.path)
		}
		keys, err := e.differences(have)
		switch {
		case err != nil:
			return unchanged, fmt.Errorf("the %s %q in %s: %w", e.kind, e.name, d.path, err)
		case len(keys) == 0:
			return unchanged, nil
		case !overwrite:
			return unchanged, &ConflictError{e.kind, e.name, d.path, keys}
		}
		for _, key := range keys {
			d.put(have, key, lookup(want, key))
		}
		if keys, err := e.differences(have); err != nil || len(keys) > 0 { // they come from an anchor
			return unchanged, fmt.Errorf("the %s %q in %s is made of YAML anchors: change it by hand", e.kind, e.name, d.path)
		}
		return replaced, nil
	}
	item := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	d.put(item, e.kind, want)
	d.put(item, "name", text(e.name))
	list.Content = append(list.Content, d.styled(item))
	if len(list.Content) == 1 && !d.flow() {
		list.Style = 0 // it was []
	}
	return added, nil
}

// setCurrent makes a context the current one.
func (d *document) setCurrent(name string) (outcome, error) {
	have := lookup(d.root, "current-context")
	if have != nil && have.Kind != yaml.ScalarNode {
		return unchanged, fmt.Errorf("current-context in %s is no plain string: change it by hand", d.path)
	}
	d.put(d.root, "current-context", text(name))
	if have == nil || have.Value == "" {
		return added, nil
	}
	return replaced, nil
}

// list returns the list under a key of the root, and creates it if need be.
func (d *document) list(key string) (*yaml.Node, error) {
	list := lookup(d.root, key)
	if list == nil || list.ShortTag() == "!!null" {
		list = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		d.put(d.root, key, list)
	}
	if list.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("%s in %s is not written as a list: change it by hand", key, d.path)
	}
	return list, nil
}

// put sets a key of a mapping, or removes it if value is nil. The comment behind a value
// stays.
func (d *document) put(mapping *yaml.Node, key string, value *yaml.Node) {
	d.styled(value)
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		switch {
		case mapping.Content[i].Value != key:
		case value == nil:
			mapping.Content = slices.Delete(mapping.Content, i, i+2)
			return
		default:
			old := mapping.Content[i+1]
			value.HeadComment, value.LineComment, value.FootComment = old.HeadComment, old.LineComment, old.FootComment
			mapping.Content[i+1] = value
			return
		}
	}
	if value != nil {
		mapping.Content = append(mapping.Content, d.styled(text(key)), value)
	}
}

// flow tells whether the document is in flow style, as JSON is.
func (d *document) flow() bool { return d.root.Style&yaml.FlowStyle != 0 }

// styled gives a new node the style of the document.
func (d *document) styled(n *yaml.Node) *yaml.Node {
	if n == nil || !d.flow() {
		return n
	}
	n.Style = yaml.FlowStyle
	if n.Kind == yaml.ScalarNode {
		n.Style = 0
		if n.ShortTag() == "!!str" {
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	for _, child := range n.Content {
		d.styled(child)
	}
	return n
}

// render writes the edited document, and makes sure that it reads as it was meant.
func (d *document) render() error {
	text, err := encode(d.whole)
	if err != nil {
		return fmt.Errorf("kubeconfig %s is not changed: %w", d.path, err)
	}
	text = slices.Concat(d.prefix, text)
	var want, got any
	if err := errors.Join(d.root.Decode(&want), yaml.Unmarshal(text, &got)); err != nil {
		return fmt.Errorf("kubeconfig %s is not changed, as it could not be read afterwards: %w", d.path, err)
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("kubeconfig %s is not changed, as something in it would be lost: is there unusual YAML in it?", d.path)
	}
	if _, err := clientcmd.Load(text); err != nil {
		return fmt.Errorf("kubeconfig %s is not changed, as kubectl could not read it afterwards: %w", d.path, err)
	}
	d.rendered = text
	return nil
}

// encode writes a document, indented as it was.
func encode(document *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	indent, compact := layout(document.Content[0])
	encoder.SetIndent(indent)
	if compact {
		encoder.CompactSeqIndent()
	}
	if err := errors.Join(encoder.Encode(document), encoder.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// layout finds out how a document is indented: by how many spaces, and whether the dashes
// of lists are indented too. The default is kubectl's.
func layout(root *yaml.Node) (indent int, compact bool) {
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if value.Kind != yaml.SequenceNode || value.Style&yaml.FlowStyle != 0 || key.Column == 0 || value.Column == 0 {
			continue
		}
		if by := value.Column - key.Column; by >= 2 {
			return by, false
		}
		return 2, true
	}
	return 2, true
}

// lookup returns the value of a key of a mapping, or nil.
func lookup(mapping *yaml.Node, key string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// text returns a string, quoted if YAML of any version would take it for something else.
func text(s string) *yaml.Node {
	n := &yaml.Node{}
	if err := n.Encode(s); err != nil {
		n.SetString(s) // a string can always be encoded
	}
	return n
}
