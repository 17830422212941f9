package awsauth

import (
	"context"
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// Tool makes changes in a cluster.
type Tool struct {
	Client *Client
	// Lint checks the result. Nil: the function Lint.
	Lint func(Document) []Finding
	// Force makes changes that take the last administrator's, all nodes' or the
	// caller's own access.
	Force bool
	// DryRun writes nothing.
	DryRun bool
}

// Result is what came of a change.
type Result struct {
	Done     []string // what was changed, or with DryRun would be; empty if nothing
	Warnings []string // what is to be known about it
	Diff     string   // unified, of the sections that changed
}

// Run makes a change. The result is as of the last attempt, also with an error.
func (t *Tool) Run(ctx context.Context, change Change) (Result, error) {
	// What the API server can't tell does not stop an administrator with a reason.
	caller, callerErr := t.Client.Caller(ctx)
	var result Result
	edit := func(before Document) (Document, error) {
		result = Result{}
		after, done, notes, err := change(before)
		if err != nil {
			return nil, err
		}
		result.Done, result.Warnings = done, notes
		if len(done) == 0 {
			return before, nil
		}
		result.Diff = Diff(before, after)
		if err := t.check(before, after, &result); err != nil {
			return nil, err
		}
		losses := Losses(before, after, LossOptions{Caller: caller})
		if callerErr != nil {
			losses = append(losses, fmt.Sprintf("perhaps your own access, as the API server does not say who you are: %v", callerErr))
		}
		if len(losses) > 0 && !t.Force {
			return nil, &LossError{losses}
		}
		for _, loss := range losses {
			result.Warnings = append(result.Warnings, "takes away "+loss)
		}
		if t.DryRun {
			return before, nil
		}
		return after, nil
	}
	err := t.Client.Change(ctx, edit)
	return result, err
}

// check lints the result: what is wrong with it that was not wrong before is an error
// or a warning of the change.
func (t *Tool) check(before, after Document, result *Result) error {
	lint := t.Lint
	if lint == nil {
		lint = Lint
	}
	old := map[mistake]int{}
	for _, f := range lint(before) {
		old[f.mistake()]++
	}
	for _, f := range lint(after) {
		if old[f.mistake()] > 0 {
			old[f.mistake()]--
			continue
		}
		if f.Error {
			return fmt.Errorf("the result has a mistake and was not written: %s", f.Message)
		}
		result.Warnings = append(result.Warnings, f.Message)
	}
	return nil
}

// LossError refuses a change that would lock somebody out.
type LossError struct{ Losses []string }

func (e *LossError) Error() string {
	return "refused, as this takes away " + strings.Join(e.Losses, "; and ") + ". Give --force if that is meant"
}

// Diff returns a unified diff of the sections that differ.
func Diff(before, after Document) string {
	var b strings.Builder
	for _, name := range sections {
		text := diff.Diff("a/"+name, []byte(before[name]), "b/"+name, []byte(after[name]))
		// The first line names the files a second time.
		if _, rest, ok := strings.Cut(string(text), "\n"); ok {
			b.WriteString(rest)
		}
	}
	return b.String()
}
