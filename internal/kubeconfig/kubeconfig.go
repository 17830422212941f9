// Package kubeconfig merges the way to log in to a cluster into a kubeconfig, and loses
// nothing that is there.
package kubeconfig

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// Login is a way to log in to a cluster: what a context of a kubeconfig leads to.
type Login struct {
	// ContextName, ClusterName and UserName are the names of the three entries.
	ContextName, ClusterName, UserName string
	// Cluster is the entry of the cluster. If it is nil, the kubeconfig has the entry
	// ClusterName already, and it stays as it is.
	Cluster *Cluster
	// Exec is how the user gets a token.
	Exec Exec
	// Current makes the context the current one.
	Current bool
}

// Options say how Merge goes about it.
type Options struct {
	// Files are the kubeconfig's files in the order of precedence, as Files returns them.
	Files []string
	// Overwrite lets Merge replace entries that have the names but another content.
	Overwrite bool
	// DryRun makes Merge write nothing.
	DryRun bool
}

// Result is what Merge did, or with DryRun would do.
type Result struct {
	// Changes is empty if everything was in place.
	Changes []Change
	// Diff is what changes in the files, in unified format. Of all that is there it has
	// the entries that change, and of these nothing that may be a secret.
	Diff string
}

// Change is a change of one entry.
type Change struct {
	Kind     string // cluster, user, context or current-context
	Name     string
	File     string
	Replaced bool // there was one of that kind and name, or for current-context any
}

// ConflictError says that an entry is there with another content.
type ConflictError struct {
	Kind, Name, File string
	Keys             []string // in which the two differ
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s has a %s %q already, with another %s: give --overwrite to replace it%s",
		e.File, e.Kind, e.Name, strings.Join(e.Keys, ", "),
		map[string]string{"context": ", or another name with --alias", "user": ", or another name with --user-alias"}[e.Kind])
}

// Merge adds the login to the kubeconfig. An entry goes to the first file that has one of
// its kind and name; new ones and the current context go where kubectl would put them.
// After an error in a file's content no file is changed. Merge holds the locks that
// kubectl takes when it changes a kubeconfig.
func Merge(ctx context.Context, login Login, o Options) (Result, error) {
	p, err := newPlan(login, o)
	if err != nil || o.DryRun || len(p.changes) == 0 {
		return p.result(err)
	}
	var targets []string
	for _, d := range p.changed {
		targets = append(targets, d.path)
	}
	unlock, err := lockAll(ctx, o.Files, targets)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	// What was read without the locks may have changed since.
	if p, err = newPlan(login, o); err != nil {
		return Result{}, err
	}
	for _, d := range p.changed {
		if !slices.Contains(targets, d.path) {
			return Result{}, fmt.Errorf("%s was changed by another program meanwhile: try again", d.path)
		}
	}
	for _, d := range p.changed {
		if err := replaceFile(d.path, d.rendered); err != nil {
			return Result{}, err
		}
	}
	return p.result(nil)
}

// plan is what there is to do.
type plan struct {
	changes []Change
	changed []*document // in the order in which they are to be written
}

func newPlan(login Login, o Options) (*plan, error) {
	p := &plan{}
	var documents []*document
	for _, path := range o.Files {
		d, err := readDocument(path)
		if err != nil {
			return p, err
		}
		documents = append(documents, d)
	}
	fallback := defaultDocument(documents)

	// What a context leads to is there before the context, whatever happens.
	entries := []entry{userEntry(login), contextEntry(login)}
	if login.Cluster != nil {
		entries = slices.Insert(entries, 0, clusterEntry(login))
	}
	for _, e := range entries {
		d := fallback
		if i := slices.IndexFunc(documents, func(d *document) bool { return d.has(e.kind, e.name) }); i >= 0 {
			d = documents[i]
		}
		outcome, err := d.set(e, o.Overwrite)
		if err != nil {
			return p, err
		}
		p.note(d, e.kind, e.name, outcome)
	}
	if login.Current && current(documents) != login.ContextName {
		outcome, err := fallback.setCurrent(login.ContextName)
		if err != nil {
			return p, err
		}
		p.note(fallback, "current-context", login.ContextName, outcome)
	}
	for _, d := range p.changed {
		if err := d.render(); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p *plan) note(d *document, kind, name string, o outcome) {
	if o == unchanged {
		return
	}
	p.changes = append(p.changes, Change{Kind: kind, Name: name, File: d.path, Replaced: o == replaced})
	p.changed = slices.DeleteFunc(p.changed, func(other *document) bool { return other == d })
	p.changed = append(p.changed, d)
}

func (p *plan) result(err error) (Result, error) {
	if err != nil {
		return Result{}, err
	}
	var text bytes.Buffer
	for _, d := range p.changed {
		before, after, err := d.excerpts(slices.DeleteFunc(slices.Clone(p.changes), func(c Change) bool { return c.File != d.path }))
		if err != nil {
			return Result{}, err
		}
		if bytes.Equal(before, after) {
			fmt.Fprintf(&text, "%s: what changes may be a secret, such as the password of a proxy\n", d.path)
			continue
		}
		// The first line is a command, as if that had made the difference.
		_, unified, _ := bytes.Cut(diff.Diff(d.path, before, d.path, after), []byte("\n"))
		text.Write(unified)
	}
	return Result{Changes: p.changes, Diff: text.String()}, nil
}

// current returns the context that is the current one for kubectl.
func current(documents []*document) string {
	for _, d := range documents {
		if d.config.CurrentContext != "" {
			return d.config.CurrentContext
		}
	}
	return ""
}

// defaultDocument returns where kubectl puts what is new: the first file that exists, else
// the last.
func defaultDocument(documents []*document) *document {
	for _, d := range documents {
		if d.exists {
			return d
		}
	}
	return documents[len(documents)-1]
}
