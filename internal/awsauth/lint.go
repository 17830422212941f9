package awsauth

import (
	"fmt"
	"math"

	"github.com/iam-authenticator/authenticator/internal/lint"
	"github.com/iam-authenticator/authenticator/pkg/mapper/configmap"
)

// Finding is something that a linter has to say about a document.
type Finding struct {
	Rule      string // its ID
	Principal string // as the entry writes it; may be empty
	Error     bool   // the server skips the entry, or refuses by it
	Message   string
}

// mistake is a finding without its place, which moves with what changes before it.
type mistake struct {
	rule, principal string
	error           bool
}

func (f Finding) mistake() mistake { return mistake{f.Rule, f.Principal, f.Error} }

// Lint returns what "authenticator lint" says, but for what changes have notes of their
// own about: duplicates, and what matters to other authenticators only.
func Lint(d Document) []Finding {
	data := map[string]any{}
	for name, text := range d {
		data[name] = text
	}
	object := map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"namespace": configmap.Namespace, "name": configmap.Name},
		"data":     data,
	}
	var findings []Finding
	for _, f := range lint.CheckObject(configmap.Name, object, lint.Options{MaxFindings: math.MaxInt}) {
		if f.Severity == lint.Info || f.Rule == "duplicate" {
			continue
		}
		message := f.Message
		if f.Principal != "" {
			message = Printable(f.Principal) + ": " + message
		}
		if f.Suggestion != "" {
			message += "; " + f.Suggestion
		}
		findings = append(findings, Finding{f.Rule, f.Principal, f.Severity == lint.Error, fmt.Sprintf("%s [%s]", message, f.Rule)})
	}
	return findings
}
