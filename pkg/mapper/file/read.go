package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// read reads the file, following symbolic links.
func read(path string) content {
	// Not os.ReadFile: opening a named pipe would block, and a device has no end.
	info, err := os.Stat(path)
	if err != nil {
		return newContent(nil, nil, err)
	}
	if !info.Mode().IsRegular() {
		return newContent(nil, nil, fmt.Errorf("%s is not a regular file", path))
	}
	f, err := os.Open(path)
	if err != nil {
		return newContent(nil, nil, err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return newContent(nil, nil, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err == nil && len(data) > maxSize {
		err = fmt.Errorf("%s has more than %d MiB", path, maxSize>>20)
	}
	return newContent(info, data, err)
}

// gone tells whether the file is missing or has nothing in it.
func (c content) gone() bool {
	if c.err != nil {
		return errors.Is(c.err, fs.ErrNotExist)
	}
	return len(bytes.TrimSpace(c.data)) == 0
}

// parseSections parses the sections that stand in a mapping node, which is nil if
// there is none.
func parseSections(parent *yaml.Node, o mapper.ParseOptions) (doc mapper.Document, err error) {
	if err := checkKeys(parent); err != nil {
		return doc, err
	}
	section := func(name string) (s mapper.Section) {
		if err != nil {
			return s
		}
		var node *yaml.Node
		if node, err = child(parent, name); err != nil {
			return s
		}
		return mapper.ParseSection(name, node, o)
	}
	doc.Roles = section(mapper.MapRoles)
	doc.Users = section(mapper.MapUsers)
	doc.Accounts = section(mapper.MapAccounts)
	return doc, err
}

// checkKeys finds a misspelt section, which would otherwise read as none and take
// everybody's access away. Other keys are none of our business.
func checkKeys(parent *yaml.Node) error {
	if parent == nil || parent.Kind != yaml.MappingNode {
		return nil
	}
	sections := []string{mapper.MapRoles, mapper.MapUsers, mapper.MapAccounts}
	for i := 0; i+1 < len(parent.Content); i += 2 {
		key := parent.Content[i]
		if near := suggest.Nearest(key.Value, sections); near != "" && !strings.EqualFold(near, key.Value) {
			return fmt.Errorf("line %d: unknown key %q%s", key.Line, key.Value, suggest.DidYouMean(key.Value, sections))
		}
	}
	return nil
}

// child returns the value of a key, in any letter case as the original reads both
// files, or nil if there is none. A key that is there twice is an error: one of the
// two lists would be lost.
func child(parent *yaml.Node, key string) (*yaml.Node, error) {
	if parent != nil && parent.Kind == yaml.AliasNode {
		parent = parent.Alias
	}
	if parent == nil || parent.Tag == "!!null" {
		return nil, nil
	}
	if parent.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: want a mapping with the key %s", parent.Line, key)
	}
	var found *yaml.Node
	for i := 0; i+1 < len(parent.Content); i += 2 {
		k, value := parent.Content[i], parent.Content[i+1]
		switch {
		case k.Tag == "!!merge":
			return nil, fmt.Errorf("line %d: << next to %s, write its keys out", k.Line, key)
		case k.Kind != yaml.ScalarNode || !strings.EqualFold(k.Value, key):
		case found != nil:
			return nil, fmt.Errorf("line %d: key %s twice", k.Line, key)
		default:
			found = value
		}
	}
	return found, nil
}
