package docs

import (
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

const root = "../.."

func repository(t *testing.T) []Document {
	t.Helper()
	all, err := All(root)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func document(t *testing.T, name string) Document {
	t.Helper()
	d, err := Read(root, filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLinksLeadSomewhere(t *testing.T) {
	all := repository(t)
	byPath := map[string]Document{}
	for _, d := range all {
		byPath[d.Path] = d
	}
	for _, d := range all {
		for _, l := range d.Links {
			u, err := url.Parse(l.Text)
			if err != nil {
				t.Errorf("%s:%d: %v", d.Path, l.Number, err)
				continue
			}
			if u.IsAbs() {
				continue
			}
			target := d.Path
			if u.Path != "" {
				target = path.Join(path.Dir(d.Path), u.Path)
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(target))); err != nil {
				t.Errorf("%s:%d: there is no %s", d.Path, l.Number, target)
				continue
			}
			if to, ok := byPath[target]; u.Fragment != "" && (!ok || !to.Anchors[u.Fragment]) {
				t.Errorf("%s:%d: %s has no section #%s", d.Path, l.Number, target, u.Fragment)
			}
		}
	}
}

func TestTheIndexNamesEveryDocument(t *testing.T) {
	index := document(t, "docs/README.md")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" && !strings.Contains(index.Text, "("+name) {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
}

func TestMakeTargetsExist(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	check := func(d Document, line Line) {
		commands, _ := Split(line.Text)
		for _, words := range commands {
			if words[0] != "make" {
				continue
			}
			for _, target := range words[1:] {
				if !strings.Contains(target, "=") && !strings.Contains(string(makefile), "\n"+target+":") {
					t.Errorf("%s:%d: the Makefile has no target %s", d.Path, line.Number, target)
				}
			}
		}
	}
	for _, d := range repository(t) {
		for _, s := range d.Spans {
			check(d, s)
		}
		for _, b := range d.Blocks {
			for _, command := range b.Commands() {
				check(d, command)
			}
		}
	}
}

var (
	testName = regexp.MustCompile(`^(?:Test|Fuzz|Benchmark)[A-Z]\w*\*?$`)
	aStory   = regexp.MustCompile("(?:story|stories) `([^`]+)`")
	aPath    = regexp.MustCompile(`(?:^|[ ]|\./)((?:cmd|pkg|internal|e2e|deploy|bench|docs)/[\w./*-]*[\w*/])`)
)

// What a document says shows something must be there.
func TestNamedTestsAndFilesExist(t *testing.T) {
	tests := declaredTests(t)
	for _, d := range repository(t) {
		for _, s := range d.Spans {
			if s.Text == "BenchmarkWebhookHandler" {
				continue // of the time when the figures were taken
			}
			if prefix, isPattern := strings.CutSuffix(s.Text, "*"); testName.MatchString(s.Text) &&
				!slices.ContainsFunc(tests, func(name string) bool { return name == s.Text || isPattern && strings.HasPrefix(name, prefix) }) {
				t.Errorf("%s:%d: there is no %s", d.Path, s.Number, s.Text)
			}
			if parts := aPath.FindStringSubmatch(s.Text); parts != nil && !strings.Contains(s.Text, "://") {
				if found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(parts[1]))); err != nil || len(found) == 0 {
					t.Errorf("%s:%d: there is no %s", d.Path, s.Number, parts[1])
				}
			}
		}
		for _, parts := range aStory.FindAllStringSubmatch(d.Text, -1) {
			if _, err := os.Stat(filepath.Join(root, "e2e", "testdata", parts[1]+".txtar")); err != nil {
				t.Errorf("%s: there is no story %s", d.Path, parts[1])
			}
		}
	}
}

func declaredTests(t *testing.T) (names []string) {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	eachGoFile(t, func(name string, text []byte) {
		if !strings.HasSuffix(name, "_test.go") {
			return
		}
		for _, parts := range declared.FindAllSubmatch(text, -1) {
			names = append(names, string(parts[1]))
		}
	})
	return names
}

func eachGoFile(t *testing.T, do func(path string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		do(path, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every row of security.md that names a threat says what shows that it is stopped.
func TestEveryThreatNamesWhatShowsThatItIsStopped(t *testing.T) {
	rows, inTable := 0, false
	for i, line := range strings.Split(document(t, "docs/security.md").Text, "\n") {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		switch {
		case strings.HasPrefix(line, "| threat |"):
			inTable = true
			continue
		case !strings.HasPrefix(line, "|"):
			inTable = false
		}
		if !inTable || len(cells) != 3 || strings.HasPrefix(line, "|---") {
			continue
		}
		rows++
		if !strings.Contains(cells[2], "`") && strings.TrimSpace(cells[2]) != "the same" {
			t.Errorf("docs/security.md:%d: nothing shows it: %s", i+1, line)
		}
	}
	if rows < 20 {
		t.Errorf("only %d threats", rows)
	}
}

func TestEveryReasonHasASection(t *testing.T) {
	d := document(t, "docs/troubleshooting.md")
	for _, code := range reason.Codes() {
		if code == reason.Granted {
			continue
		}
		_, anchor, _ := strings.Cut(code.URL(), "/docs/troubleshooting.md#")
		if !d.Anchors[anchor] {
			t.Errorf("docs/troubleshooting.md has no section for %s: %s leads nowhere", code, code.URL())
		}
		if !strings.Contains(d.Text, code.Hint()) {
			t.Errorf("docs/troubleshooting.md lacks the hint of %s, which people search for: %s", code, code.Hint())
		}
	}
}

func TestConfigurationKeysExist(t *testing.T) {
	known := map[string]bool{}
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, prefix string) {
		for field := range typ.Fields() {
			key := prefix + field.Tag.Get("yaml")
			known[key] = true
			if field.Type.Kind() == reflect.Struct && field.Type != reflect.TypeFor[yaml.Node]() {
				walk(field.Type, key+".")
			}
		}
	}
	walk(reflect.TypeFor[config.Config](), "")
	key := regexp.MustCompile(`^server\.[A-Za-z][\w.]*`)
	for _, d := range repository(t) {
		for _, s := range d.Spans {
			if name := key.FindString(s.Text); name != "" && !known[name] && filepath.Ext(name) != ".log" && filepath.Ext(name) != ".go" {
				t.Errorf("%s:%d: there is no key %s", d.Path, s.Number, name)
			}
		}
	}
}

// A configuration in a document is one that can be read.
func TestConfigurationsAreRead(t *testing.T) {
	found := 0
	for _, d := range repository(t) {
		for _, b := range d.Blocks {
			var text strings.Builder
			ours := false
			for _, line := range b.Lines {
				text.WriteString(line.Text + "\n")
				ours = ours || strings.HasPrefix(line.Text, "clusterID:") || strings.HasPrefix(line.Text, "server:")
			}
			if b.Language != "yaml" || !ours {
				continue
			}
			found++
			c := config.Default()
			if err := config.Parse([]byte(text.String()), &c); err != nil {
				t.Errorf("%s:%d: %v", d.Path, b.Lines[0].Number, err)
			}
		}
	}
	if found < 3 {
		t.Errorf("only %d configurations found", found)
	}
}

func TestMetricsExist(t *testing.T) {
	const namespace = "iam_authenticator_"
	literal := regexp.MustCompile(`"(?:` + namespace + `)?(_?[a-z][a-z0-9_]*)"`)
	known := map[string]bool{}
	var subsystems []string // "mapper_", which stands before names
	eachGoFile(t, func(name string, text []byte) {
		if strings.HasSuffix(name, "_test.go") || !strings.Contains(string(text), "prometheus") {
			return
		}
		for _, parts := range literal.FindAllSubmatch(text, -1) {
			name := strings.TrimPrefix(string(parts[1]), "_")
			if known[name] = true; strings.HasSuffix(name, "_") {
				subsystems = append(subsystems, name)
			}
		}
	})
	named := regexp.MustCompile(`\b` + namespace + `([a-z][a-z0-9_]*[a-z0-9])`)
	found := 0
	for _, d := range repository(t) {
		for _, parts := range named.FindAllStringSubmatch(strings.ReplaceAll(d.Text, "aws_"+namespace, ""), -1) {
			found++
			name := strings.TrimSuffix(strings.TrimSuffix(parts[1], "_bucket"), "_count")
			if !known[name] && !slices.ContainsFunc(subsystems, func(s string) bool {
				rest, ok := strings.CutPrefix(name, s)
				return ok && known[rest]
			}) {
				t.Errorf("%s: there is no metric %s", d.Path, parts[0])
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d metrics named", found)
	}
}

// Go in documents is quoted from the examples, which compile and run.
func TestGoCodeIsQuotedFromExamples(t *testing.T) {
	var examples strings.Builder
	eachGoFile(t, func(name string, text []byte) {
		if base := filepath.Base(name); strings.HasPrefix(base, "example") && strings.HasSuffix(base, "_test.go") {
			for line := range strings.Lines(string(text)) {
				examples.WriteString(strings.TrimLeft(line, "\t"))
			}
		}
	})
	for _, d := range repository(t) {
		for _, b := range d.Blocks {
			if b.Language != "go" {
				continue
			}
			var code strings.Builder
			for _, line := range b.Lines {
				code.WriteString(strings.TrimLeft(line.Text, "\t") + "\n")
			}
			if !strings.Contains(examples.String(), code.String()) {
				t.Errorf("%s:%d: the code is in no example_test.go as it stands here", d.Path, b.Lines[0].Number)
			}
		}
	}
}
