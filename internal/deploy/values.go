package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/pkg/config"
)

// describeValues writes the schema of the chart's values and their table.
func describeValues(chart string) error {
	data, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return err
	}
	d := describer{schema: object{"$schema": "http://json-schema.org/draft-07/schema#"}}
	d.table.WriteString("# Values of the chart\n\nGenerated from values.yaml by `go generate ./internal/deploy`; don't edit. How to install: [docs/install.md](../../docs/install.md).\n\n" +
		"| key | default | |\n|---|---|---|\n")
	if err := d.mapping("", doc.Content[0], d.schema); err != nil {
		return err
	}
	d.schema["properties"].(object)["global"] = object{"type": "object"} // which Helm adds to every chart's values
	var schema bytes.Buffer
	encoder := json.NewEncoder(&schema)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return errors.Join(
		encoder.Encode(d.schema),
		os.WriteFile(filepath.Join(chart, "values.schema.json"), schema.Bytes(), 0o644),
		os.WriteFile(filepath.Join(chart, "README.md"), d.table.Bytes(), 0o644),
	)
}

type object = map[string]any

type describer struct {
	schema object
	table  bytes.Buffer
}

// free are the values whose keys aren't ours.
var free = map[string]bool{
	"workload.nodeSelector": true, "workload.resources": true, "controller.resources": true,
	"ceiling.data": true, "monitoring.dashboard.labels": true,
}

// rules are what a value must keep to beside its type.
var rules = map[string]object{
	"image.digest":               {"pattern": "^(sha256:[0-9a-f]{64})?$"},
	"image.pullPolicy":           {"enum": []string{"Always", "IfNotPresent", "Never"}},
	"workload.kind":              {"enum": []string{"DaemonSet", "Pod", "None"}},
	"workload.runAsUser":         {"minimum": 1},
	"workload.maxUnavailable":    {"type": []string{"integer", "string"}},
	"controller.replicas":        {"minimum": 0},
	"rbac.backends":              {"items": object{"enum": []string{"EKSConfigMap", "AccessEntry", "CRD"}}},
	"ceiling.data":               {"additionalProperties": object{"type": "string"}, "propertyNames": object{"enum": []string{"maxPolicy", "namespaces", "groups", "usernames", "types"}}},
	"workload.configFile":        {"pattern": "^/.+/[^/]+$"},
	"controller.policies":        {"items": object{"type": "string"}},
	"workload.extraArgs":         {"items": object{"type": "string"}},
	"controller.extraArgs":       {"items": object{"type": "string"}},
	"serviceAccount.annotations": {"additionalProperties": object{"type": "string"}},
}

// mapping describes the keys of a mapping of values.yaml.
func (d *describer) mapping(path string, node *yaml.Node, schema object) error {
	properties := object{}
	schema["type"], schema["properties"], schema["additionalProperties"] = "object", properties, false
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		comment := strings.TrimSpace(strings.ReplaceAll(strings.TrimPrefix(key.HeadComment, "# "), "\n# ", " "))
		if at == "image" {
			comment = "" // the file's own
		}
		s := object{}
		properties[key.Value] = s
		if comment != "" {
			s["description"] = comment
		}
		switch {
		case at == "config":
			if err := d.row(at, value, comment); err != nil {
				return err
			}
			configSchema(reflect.TypeFor[config.Config](), s)
			continue
		case value.Kind == yaml.MappingNode && len(value.Content) > 0 && !free[at]:
			if err := d.mapping(at, value, s); err != nil {
				return err
			}
			continue
		case comment == "":
			return fmt.Errorf("values.yaml line %d: %s has no comment", key.Line, at)
		}
		if err := d.row(at, value, comment); err != nil {
			return err
		}
		switch value.ShortTag() {
		case "!!str":
			s["type"] = "string"
		case "!!int":
			s["type"] = "integer"
		case "!!bool":
			s["type"] = "boolean"
		case "!!seq":
			s["type"] = "array"
		default:
			s["type"] = "object"
		}
		maps.Copy(s, rules[at])
	}
	return nil
}

// row adds a value to the table.
func (d *describer) row(path string, value *yaml.Node, comment string) error {
	var v any
	if path != "config" { // which has a page of its own
		if err := value.Decode(&v); err != nil {
			return fmt.Errorf("values.yaml line %d: %w", value.Line, err)
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("values.yaml line %d: %w", value.Line, err)
	}
	fallback := "`" + string(text) + "`"
	if v == nil {
		fallback = ""
	}
	fmt.Fprintf(&d.table, "| `%s` | %s | %s |\n", path, fallback, comment)
	return nil
}

// configSchema describes the configuration, whose keys count in this letter case here.
func configSchema(t reflect.Type, schema object) {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		schema["type"] = []string{"string", "integer"}
	case t == reflect.TypeFor[yaml.Node](): // checked entry by entry when it is loaded
		schema["type"] = "array"
	case t.Kind() == reflect.Struct:
		properties := object{}
		for field := range t.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			s := object{}
			configSchema(field.Type, s)
			properties[name] = s
		}
		schema["type"], schema["properties"], schema["additionalProperties"] = "object", properties, false
	case t.Kind() == reflect.Slice:
		items := object{}
		configSchema(t.Elem(), items)
		schema["type"], schema["items"] = "array", items
	case t.Kind() == reflect.Int:
		schema["type"] = "integer"
	case t.Kind() == reflect.Bool:
		schema["type"] = "boolean"
	default:
		schema["type"] = "string"
	}
}
