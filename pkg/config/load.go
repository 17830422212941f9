package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/internal/suggest"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 16 << 20

// Load reads the file at path over the defaults. An empty path means no file. The
// error names the file, the line and what was expected.
func Load(path string) (Config, error) {
	c := Default()
	if path == "" {
		return c, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return c, fmt.Errorf("configuration file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return c, fmt.Errorf("configuration file %s: %w", path, err)
	}
	if len(data) > maxFile {
		return c, fmt.Errorf("configuration file %s: more than %d MiB", path, maxFile>>20)
	}
	if err := Parse(data, &c); err != nil {
		return c, fmt.Errorf("configuration file %s: %w", path, err)
	}
	return c, nil
}

// Parse reads a YAML document over what is in c. Keys may be in any letter case,
// as they are in the wild; a key that is unknown or stands twice is an error.
func Parse(data []byte, c *Config) error {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return trimYAML(err)
	}
	if len(document.Content) == 0 || document.Content[0].Tag == "!!null" {
		return nil
	}
	root := document.Content[0]
	if err := canonicalKeys(root, reflect.TypeFor[Config](), ""); err != nil {
		return err
	}
	splitBackendMode(root)
	return trimYAML(root.Decode(c))
}

// canonicalKeys gives each key of a mapping the letter case of its field in t, all
// the way down, and collects the keys that have no field.
func canonicalKeys(node *yaml.Node, t reflect.Type, path string) error {
	if node.Kind == yaml.AliasNode {
		return nil // its anchor is checked where it stands
	}
	switch t.Kind() {
	case reflect.Slice:
		var errs []error
		if node.Kind == yaml.SequenceNode {
			for _, item := range node.Content {
				errs = append(errs, canonicalKeys(item, t.Elem(), path))
			}
		}
		return errors.Join(errs...)
	case reflect.Struct:
		if t == reflect.TypeFor[yaml.Node]() || node.Kind != yaml.MappingNode {
			return nil // a wrong kind is reported by Decode
		}
	default:
		return nil
	}

	fields := map[string]reflect.StructField{}
	var known []string
	for field := range t.Fields() {
		name := field.Tag.Get("yaml")
		fields[strings.ToLower(name)] = field
		known = append(known, name)
	}
	var errs []error
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		field, ok := fields[strings.ToLower(key.Value)]
		if !ok {
			errs = append(errs, fmt.Errorf("line %d: unknown key %q%s", key.Line, path+key.Value, suggest.DidYouMean(key.Value, known)))
			continue
		}
		name := field.Tag.Get("yaml")
		if line, twice := seen[name]; twice {
			errs = append(errs, fmt.Errorf("line %d: key %q stands twice, first on line %d", key.Line, path+name, line))
			continue
		}
		seen[name] = key.Line
		key.Value = name
		errs = append(errs, canonicalKeys(value, field.Type, path+name+"."))
	}
	return errors.Join(errs...)
}

// splitBackendMode lets server.backendMode be one string with commas, as it can be
// on the command line.
func splitBackendMode(root *yaml.Node) {
	mode := child(child(root, "server"), "backendMode")
	if mode == nil || mode.Kind != yaml.ScalarNode || mode.Tag != "!!str" {
		return
	}
	parts := strings.Split(mode.Value, ",")
	*mode = yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: mode.Line}
	for _, part := range parts {
		mode.Content = append(mode.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.TrimSpace(part), Line: mode.Line})
	}
}

func child(node *yaml.Node, key string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

// trimYAML drops the library's prefix, which says nothing to whoever wrote the file.
func trimYAML(err error) error {
	if err == nil {
		return nil
	}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n  ")
	return errors.New(strings.ReplaceAll(text, "\n  ", "\n"))
}
