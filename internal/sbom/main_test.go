package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// What is listed is checked against what the go command says that the packages of the programs come from.
func TestDocumentListsExactlyTheModulesOfTheProgram(t *testing.T) {
	for _, program := range []string{"authenticator", "authenticator-controller"} {
		t.Run(program, func(t *testing.T) {
			pkg := "github.com/iam-authenticator/authenticator/cmd/" + program
			file := filepath.Join(t.TempDir(), program)
			goCommand(t, "build", "-buildvcs=false", "-o", file, pkg)
			want := []string{"std " + strings.TrimPrefix(runtime.Version(), "go")}
			for line := range strings.Lines(goCommand(t, "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", pkg)) {
				if module := strings.TrimSpace(line); module != "" {
					want = append(want, module)
				}
			}
			slices.Sort(want)
			want = slices.Compact(want)

			var text bytes.Buffer
			if err := run([]string{"-version", "v1.2.3", file}, &text); err != nil {
				t.Fatal(err)
			}
			var d document
			if err := json.Unmarshal(text.Bytes(), &d); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range d.Components {
				got = append(got, c.Name+" "+c.Version)
				if want := "pkg:golang/" + strings.ToLower(c.Name) + "@" + strings.ReplaceAll(c.Version, "+", "%2B"); c.PURL != want || c.Ref != want {
					t.Errorf("%s: purl %q, reference %q, want %q", c.Name, c.PURL, c.Ref, want)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("listed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			t.Logf("%d modules", len(got))

			self := component{"application", pkg, program, "v1.2.3", "pkg:golang/github.com/iam-authenticator/authenticator@v1.2.3"}
			if d.Metadata.Component != self {
				t.Errorf("it is about %+v, want %+v", d.Metadata.Component, self)
			}
		})
	}
}

func TestWhatIsNoProgramIsRefused(t *testing.T) {
	for _, args := range [][]string{{}, {"main.go"}, {"no-such-file"}, {"-unknown", "main.go"}, {"a", "b"}} {
		if err := run(args, &bytes.Buffer{}); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, &stderr)
	}
	return string(out)
}
