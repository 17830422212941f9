package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/pkg/config"
)

//go:generate go test -run ^TestConfigurationReferenceIsFresh$ -update .

var update = flag.Bool("update", false, "write the generated parts of docs/configuration.md")

// docs/configuration.md has tables that are made of the code: keys, types and defaults of
// pkg/config, with the words of its comments, and the flags and environment variables of
// the commands.
func TestConfigurationReferenceIsFresh(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "configuration.md")
	text, err := os.ReadFile(path)
	must(t, err)
	fresh := text
	for name, table := range map[string]string{"keys": keysTable(t), "flags": flagsTable(), "environment": environmentTable()} {
		begin, end := "<!-- "+name+": made by go generate -->\n", "<!-- end of "+name+" -->"
		before, rest, ok := bytes.Cut(fresh, []byte(begin))
		_, after, ok2 := bytes.Cut(rest, []byte(end))
		if !ok || !ok2 {
			t.Fatalf("%s lacks the lines %q and %q", path, begin, end)
		}
		fresh = slices.Concat(before, []byte(begin+"\n"+table+"\n"+end), after)
	}
	switch {
	case bytes.Equal(fresh, text):
	case *update:
		must(t, os.WriteFile(path, fresh, 0o644))
	default:
		t.Errorf("%s differs from the code: run go generate ./cmd/authenticator", path)
	}
}

// sections are where docs tell more about a key.
var sections = map[string]string{
	"server.additionalClusterIDs":   "#replacing-a-cluster-id",
	"server.stsQps":                 "operations.md#calls-to-sts",
	"server.tokenCache.ttl":         "operations.md#remembered-tokens",
	"server.audit.path":             "audit.md",
	"server.audit.pseudonymize":     "audit.md#personal-data",
	"server.stateDir":               "operations.md#certificates",
	"server.backendMode":            "#sources",
	"server.authenticationMode":     "#sources",
	"server.dynamicBackendModePath": "#sources",
	"server.dynamicfilepath":        "#the-dynamic-file",
	"server.bootstrapAdmin":         "#break-glass",
	"server.nodeProof":              "nodes.md#what-is-checked",
	"server.nodeRoleExclusive":      "nodes.md#what-the-proof-cant-tell",
	"server.mapRoles":               "#mappings",
	"server.mapUsers":               "#mappings",
	"server.mapAccounts":            "#mappings",
	"server.admissionWebhook":       "admission.md",
}

func keysTable(t *testing.T) string {
	t.Helper()
	flags := flagsOfKeys(t)
	rows := []string{"| key | type | default | flag | |", "|---|---|---|---|---|"}
	unused := maps.Clone(sections)
	for _, k := range configKeys(t) {
		what := k.doc
		if section, ok := sections[k.path]; ok {
			delete(unused, k.path)
			what += " [More](" + section + ")."
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s | %s |", k.path, k.kind, k.fallback, flags[k.path], what))
	}
	if len(unused) > 0 {
		t.Errorf("sections names keys that are not there: %v", unused)
	}
	return strings.Join(rows, "\n") + "\n"
}

// configKey is a key of the configuration file.
type configKey struct{ path, kind, fallback, doc string }

func configKeys(t *testing.T) (keys []configKey) {
	t.Helper()
	docs := fieldDocs(t)
	var walk func(value reflect.Value, prefix string)
	walk = func(value reflect.Value, prefix string) {
		for field, v := range value.Fields() {
			path := prefix + field.Tag.Get("yaml")
			if v.Kind() == reflect.Struct && field.Type.PkgPath() == value.Type().PkgPath() {
				walk(v, path+".")
				continue
			}
			k := configKey{path: path, kind: kindOf(t, field.Type), doc: docs[value.Type().Name()+"."+field.Name]}
			if !v.IsZero() || v.Kind() == reflect.Bool {
				k.fallback = "`" + short(v.Interface()) + "`"
				k.doc = strings.TrimSpace(defaultSentence.ReplaceAllString(k.doc, ""))
			}
			if k.doc == "" {
				t.Errorf("pkg/config: %s has no comment", path)
			}
			keys = append(keys, k)
		}
	}
	walk(reflect.ValueOf(config.Default()), "")
	return keys
}

// defaultSentence is what a comment says of the default, which has a column.
var defaultSentence = regexp.MustCompile(`(?:^| )Default:? (?:[^.]|\.\S)*\.`)

// short writes a value as people do: 1m, not 1m0s.
func short(value any) string {
	text := fmt.Sprint(value)
	if _, ok := value.(time.Duration); ok {
		if strings.HasSuffix(text, "m0s") {
			text = strings.TrimSuffix(text, "0s")
		}
		if strings.HasSuffix(text, "h0m") {
			text = strings.TrimSuffix(text, "0m")
		}
	}
	return text
}

func kindOf(t *testing.T, typ reflect.Type) string {
	t.Helper()
	switch {
	case typ == reflect.TypeFor[time.Duration]():
		return "duration"
	case typ == reflect.TypeFor[yaml.Node]():
		return "list"
	case typ == reflect.TypeFor[[]string]():
		return "list of strings"
	case typ.Kind() == reflect.String:
		return "string"
	case typ.Kind() == reflect.Int:
		return "integer"
	case typ.Kind() == reflect.Bool:
		return "boolean"
	case typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct:
		var names []string
		for field := range typ.Elem().Fields() {
			names = append(names, "`"+field.Tag.Get("yaml")+"`")
		}
		return "list of " + strings.Join(names, ", ")
	default:
		t.Fatalf("no word for the type %s", typ)
		return ""
	}
}

// humps tells a Go name from a word of English.
var humps = regexp.MustCompile(`[a-z][A-Z]`)

// fieldDocs returns what the comments of pkg/config say about each field, by "Type.Field".
// A comment that begins with the name of its field loses it. Where one comment is about
// several fields, the others refer to the first.
func fieldDocs(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(gotoken.NewFileSet(), filepath.Join("..", "..", "pkg", "config", "config.go"), nil, parser.ParseComments)
	must(t, err)
	type field struct{ of, name, key, text string }
	var fields []field
	var first string // that the last comment is about
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				_, key, _ := strings.Cut(f.Tag.Value, `yaml:"`)
				key, _, _ = strings.Cut(key, `"`)
				text := strings.Join(strings.Fields(f.Doc.Text()), " ")
				if text != "" {
					first = key
				} else {
					text = "See `" + first + "`."
				}
				fields = append(fields, field{spec.Name.Name, f.Names[0].Name, key, text})
			}
		}
		return false
	})
	docs := map[string]string{}
	for _, f := range fields {
		text := f.text
		for _, verb := range []string{" is ", " are ", " lists "} {
			if rest, ok := strings.CutPrefix(text, f.name+verb); ok {
				text = strings.ToUpper(rest[:1]) + rest[1:]
			}
		}
		text = strings.Replace(text, f.name+" ", "", 1)
		for _, other := range fields {
			if other.of == f.of && humps.MatchString(other.name) {
				text = regexp.MustCompile(`\b`+other.name+`\b`).ReplaceAllString(text, "`"+other.key+"`")
			}
		}
		docs[f.of+"."+f.name] = strings.ToUpper(text[:min(1, len(text))]) + text[min(1, len(text)):]
	}
	return docs
}

// flagsOfKeys finds the flags of a key by giving each flag of "server" and looking what
// that changes in the configuration.
func flagsOfKeys(t *testing.T) map[string]string {
	t.Helper()
	loaded := func(args ...string) map[string]string {
		var got *config.Config
		root := newRootCommand(streams{strings.NewReader(""), io.Discard, io.Discard}, func(_ context.Context, c config.Config, _ string, _ *zap.Logger) error {
			got = &c
			return nil
		})
		root.SetArgs(append([]string{"server", "--cluster-id=x"}, args...))
		if err := root.ExecuteContext(t.Context()); err != nil || got == nil {
			t.Fatalf("server %v: %v; give samples what it needs", args, err)
		}
		return flatten(*got)
	}
	// Two values of each kind of flag, and what flags need that are particular: two values,
	// and other flags beside them.
	kinds := map[string][]string{"bool": {"true", "false"}, "int": {"7", "8"}, "duration": {"7s", "8s"}, "string": {"x", "y"}}
	samples := map[string][]string{
		"health-address":       {"127.0.0.8", "127.0.0.9"},
		"address":              {"127.0.0.8", "127.0.0.9"},
		"partition":            {"aws", "aws-cn"},
		"sts-region":           {"xx-new-1", "xx-new-2"},
		"sts-emulator-address": {"127.0.0.1:1", "127.0.0.1:2", "--sts-emulator-ca=z"},
		"sts-emulator-ca":      {"x", "y", "--sts-emulator-address=127.0.0.1:1"},
		"cert-file":            {"x", "y", "--key-file=z"},
		"key-file":             {"x", "y", "--cert-file=z"},
		"backend-mode":         {"CRD", "EKSConfigMap"},
		"authentication-mode":  {"API", "CONFIG_MAP"},
		"node-proof":           {"all", "none"},
		"bootstrap-admin":      {"arn:aws:iam::111122223333:role/a", "arn:aws:iam::111122223333:role/b"},
		"dynamic-file":         {"x", "y", "--backend-mode=DynamicFile"},
		"audit-required":       {"true", "false", "--audit-log-path=z"},
	}
	of := map[string][]string{
		"clusterID":   {"`-i`, `--cluster-id`"},
		"defaultRole": {"`token --role`"},
	}
	server, _, err := newRootCommand(streams{}, nil).Find([]string{"server"})
	must(t, err)
	server.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || strings.HasPrefix(f.Name, "dev") {
			return
		}
		sample, ok := samples[f.Name]
		if !ok {
			sample, ok = kinds[f.Value.Type()]
		}
		if !ok {
			t.Fatalf("no sample for --%s", f.Name)
		}
		flag := "--" + f.Name + "="
		one, other := loaded(append(sample[2:], flag+sample[0])...), loaded(append(sample[2:], flag+sample[1])...)
		var changed []string
		for key := range one {
			derived := key == "server.backendMode" && f.Name == "authentication-mode"
			if one[key] != other[key] && !derived {
				changed = append(changed, key)
			}
		}
		if len(changed) != 1 {
			t.Errorf("--%s changes %v, want one key", f.Name, changed)
			return
		}
		of[changed[0]] = append(of[changed[0]], "`--"+f.Name+"`")
	})
	flags := map[string]string{}
	for key, names := range of {
		flags[key] = strings.Join(names, ", ")
	}
	return flags
}

// flatten returns the values of a configuration by their keys.
func flatten(c config.Config) map[string]string {
	values := map[string]string{}
	var walk func(value reflect.Value, prefix string)
	walk = func(value reflect.Value, prefix string) {
		for field, v := range value.Fields() {
			key := prefix + field.Tag.Get("yaml")
			if v.Kind() == reflect.Struct && field.Type.PkgPath() == value.Type().PkgPath() {
				walk(v, key+".")
			} else {
				values[key] = fmt.Sprint(v.Interface())
			}
		}
	}
	walk(reflect.ValueOf(c), "")
	return values
}

// flagsTable shows the flags of every command, and those of "server" that have no key.
func flagsTable() string {
	root := newRootCommand(streams{}, nil)
	rows := []string{"| flag | default | |", "|---|---|---|"}
	row := func(of string, f *pflag.Flag) {
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		word, usage := pflag.UnquoteUsage(f)
		if word != "" {
			name = strings.TrimSuffix(name, "`") + " " + strings.ToUpper(word) + "`"
		}
		fallback := f.DefValue
		if fallback != "" {
			fallback = "`" + fallback + "`"
		}
		rows = append(rows, fmt.Sprintf("| %s%s | %s | %s |", of, name, fallback, usage))
	}
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { row("", f) })
	server, _, _ := root.Find([]string{"server"})
	server.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if strings.HasPrefix(f.Name, "dev") {
			row("`server` ", f)
		}
	})
	return strings.Join(rows, "\n") + "\n"
}

var inEnvironment = regexp.MustCompile(`\benv ([A-Z][A-Z_]+)`)

// environmentTable shows the environment variables that flags name.
func environmentTable() string {
	flags := map[string][]string{}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		note := func(f *pflag.Flag) {
			if parts := inEnvironment.FindStringSubmatch(f.Usage); parts != nil {
				path := strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), "authenticator") + " --" + f.Name)
				flags[parts[1]] = append(flags[parts[1]], "`"+path+"`")
			}
		}
		if cmd.HasParent() {
			cmd.LocalNonPersistentFlags().VisitAll(note)
		}
		cmd.PersistentFlags().VisitAll(note)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRootCommand(streams{}, nil))
	rows := []string{"| variable | flag |", "|---|---|"}
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		rows = append(rows, fmt.Sprintf("| `%s` | %s |", name, strings.Join(flags[name], ", ")))
	}
	return strings.Join(rows, "\n") + "\n"
}
