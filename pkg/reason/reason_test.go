package reason

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestEveryDeclaredCodeIsInTheTable(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, c := range Codes() {
		if listed[string(c)] {
			t.Errorf("%s is listed twice", c)
		}
		listed[string(c)] = true
	}
	declared := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != "Code" {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		declared++
		if value != spec.Names[0].Name {
			t.Errorf("%s has the value %q; code and name must agree", spec.Names[0].Name, value)
		}
		if !listed[value] {
			t.Errorf("%s is declared but not in the table", value)
		}
		return true
	})
	if declared != len(listed) {
		t.Errorf("%d codes declared, %d listed", declared, len(listed))
	}
}

func TestEveryRefusalHasAHint(t *testing.T) {
	for _, c := range Codes() {
		if (c.Hint() == "") != (c == Granted) {
			t.Errorf("%s: hint %q", c, c.Hint())
		}
	}
}

func TestEveryCodeIsDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Codes() {
		if c != Granted && !strings.Contains(string(doc), "`"+string(c)+"`") {
			t.Errorf("docs/operations.md doesn't explain %s", c)
		}
	}
}

func TestOnlyGrantedIsAccepted(t *testing.T) {
	for _, c := range Codes() {
		if (c.Outcome() == Accepted) != (c == Granted) {
			t.Errorf("%s has outcome %s", c, c.Outcome())
		}
	}
	if got := Code("Unheard").Outcome(); got != Unavailable {
		t.Errorf("an unknown code has outcome %s, want unavailable", got)
	}
}

func TestOf(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want Code
	}{
		"nil":     {nil, Granted},
		"plain":   {io.EOF, Internal},
		"direct":  {New(NotMapped, "no entry"), NotMapped},
		"wrapped": {fmt.Errorf("chain: %w", New(TemplateFailed, "bad")), TemplateFailed},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Of(c.err); got != c.want {
				t.Errorf("Of(%v) = %s, want %s", c.err, got, c.want)
			}
		})
	}
}

func TestErrorKeepsItsCause(t *testing.T) {
	err := New(STSUnreachable, "connect: %w", io.ErrUnexpectedEOF)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	if got, want := err.Error(), "STSUnreachable: connect: unexpected EOF"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}
