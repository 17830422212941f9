package awsauth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// Change is one change of a document. Done says what was done, an entry a line, and
// notes what is to be known besides.
type Change func(before Document) (after Document, done, notes []string, err error)

// ErrNotFound is returned if there is no entry for what was named.
var ErrNotFound = errors.New("no such mapping")

// Create returns the change that adds an entry. With noDuplicates, an entry that
// there is already for the same principal is an error.
func Create(e Entry, noDuplicates bool) Change {
	return func(before Document) (Document, []string, []string, error) {
		var notes []string
		find := func() ([]Entry, error) { return before.FindARN(e.ARN) }
		if e.Section == mapper.MapAccounts {
			find = func() ([]Entry, error) { return before.FindAccount(e.Account) }
		}
		found, err := find()
		if err != nil {
			return nil, nil, nil, err
		}
		if len(found) > 0 {
			if noDuplicates {
				return nil, nil, nil, fmt.Errorf("%s is mapped already; change it with update, or leave out --no-duplicate-arns", found[0])
			}
			if len(found) == 1 && found[0].same(e) {
				return before, nil, []string{fmt.Sprintf("%s says so already; nothing was changed", found[0])}, nil
			}
			notes = append(notes, fmt.Sprintf("%s is for the same principal; of several entries for one, the last one of mapRoles stands, else that of mapUsers (update changes an entry instead)", found[0]))
		}
		if p, err := iam.ParsePrincipal(e.ARN); err == nil && p.Kind == iam.Role && p.Path != "/" {
			notes = append(notes, fmt.Sprintf("%s has a path, which is fine here; aws-iam-authenticator and EKS match it only as %s", e.ARN, p.Canonical()))
		}
		after, err := before.Add(e)
		if err != nil {
			return nil, nil, nil, err
		}
		return after, []string{fmt.Sprintf("%s: added %s%s", e.Section, e.name(), e.as())}, notes, nil
	}
}

// same tells whether both say the same.
func (e Entry) same(other Entry) bool {
	return e.Problem == "" && e.Section == other.Section && e.ARN == other.ARN && e.Account == other.Account && e.as() == other.as() &&
		e.UserID == "" && e.SessionNamePattern == "" && !e.RequireTemporaryCredentials
}

// as says what the entry makes of its principal.
func (e Entry) as() string {
	if e.Username == "" {
		return ""
	}
	return fmt.Sprintf(" as %s in %s", Printable(e.Username), groupList(e.Groups))
}

func groupList(groups []string) string {
	if len(groups) == 0 {
		return "no groups"
	}
	return "[" + Printable(strings.Join(groups, ",")) + "]"
}

// Update returns the change that patches the entry for a principal, or with all every
// one of several.
func Update(arn string, p Patch, all bool) Change {
	return func(before Document) (Document, []string, []string, error) {
		found, err := before.FindARN(arn)
		if err != nil {
			return nil, nil, nil, err
		}
		if len(found) == 0 {
			return nil, nil, nil, fmt.Errorf("%w: %s; see 'authenticator mapping get', or create it", ErrNotFound, arn)
		}
		if len(found) > 1 && !all {
			return nil, nil, nil, fmt.Errorf("%d mappings for %s (%s); delete those that are too many, or give --all", len(found), arn, joined(found))
		}
		var done, notes []string
		after := before
		for _, e := range found {
			text := after[e.Section]
			if after, err = after.Set(e, p); err != nil {
				return nil, nil, nil, err
			}
			if after[e.Section] == text {
				notes = append(notes, fmt.Sprintf("%s says so already; it was not changed", e))
			} else {
				done = append(done, fmt.Sprintf("%s: changed %s", e.Section, e.name()))
			}
		}
		return after, done, notes, nil
	}
}

// Selector says which entries are meant: those of a principal, or of an account that
// is mapped as a whole.
type Selector struct{ ARN, Account string }

// Find returns the entries that are meant.
func (s Selector) Find(d Document) ([]Entry, error) {
	if s.Account != "" {
		return d.FindAccount(s.Account)
	}
	return d.FindARN(s.ARN)
}

// Delete returns the change that removes the first entry that is meant, or with all
// every one.
func Delete(s Selector, all bool) Change {
	return func(before Document) (Document, []string, []string, error) {
		found, err := s.Find(before)
		if err != nil {
			return nil, nil, nil, err
		}
		if len(found) == 0 {
			return nil, nil, nil, fmt.Errorf("%w: %s; see 'authenticator mapping get'", ErrNotFound, s.ARN+s.Account)
		}
		var notes []string
		if !all && len(found) > 1 {
			notes = append(notes, fmt.Sprintf("there are more mappings for %s (%s), which stay; --all deletes them too", s.ARN+s.Account, joined(found[1:])))
			found = found[:1]
		}
		after, err := before.Remove(found...)
		if err != nil {
			return nil, nil, nil, err
		}
		var done []string
		for _, e := range found {
			done = append(done, fmt.Sprintf("%s: deleted %s%s", e.Section, e.name(), e.as()))
		}
		return after, done, notes, nil
	}
}

func joined(entries []Entry) string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = mapper.Source{Section: e.Section, Index: e.Index, Line: e.Line}.String()
	}
	return strings.Join(names, ", ")
}
