package access

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/server/audit"
)

// Usage finds the entries that no login used. An entry is used by the logins of its
// principal that its source decided: where it stands may change.
type Usage struct {
	// First and Last are the times of the first and the last record, zero without any.
	First, Last time.Time
	// Hidden counts the logins of users under pseudonyms that are none of an entry's:
	// with the right key they might be.
	Hidden int

	pseudonyms *audit.Pseudonyms
	entries    []ListEntry
	used       []bool
	byKey      map[string]int // index of the entry that decides for a principal
}

// Usage returns a Usage without records of the entries of all sources. The pseudonyms
// are those of the records.
func (s *Sources) Usage(p *audit.Pseudonyms) *Usage {
	u := &Usage{pseudonyms: p, byKey: map[string]int{}}
	for i, source := range s.list {
		for _, e := range source.entries {
			row, key := s.row(i, e), source.Name()+" "+u.key(e, source.byUserID)
			if _, ok := u.byKey[key]; !ok || row.Status == InForce {
				u.byKey[key] = len(u.entries)
			}
			u.entries, u.used = append(u.entries, row), append(u.used, false)
		}
	}
	return u
}

// key is by what the records of an entry's logins are known.
func (u *Usage) key(e *entry, byUserID bool) string {
	switch {
	case e.account != "":
		return "account " + e.account
	case e.PermissionSet != mapper.PermissionSet{}:
		return permissionSetKey(e.PermissionSet)
	case e.Principal.Kind == 0 || byUserID:
		return "id " + e.UserID
	default:
		return principalKey(u.pseudonyms.ARN(e.Principal.Canonical()))
	}
}

func principalKey(arn string) string { return "arn " + strings.ToLower(arn) }

func permissionSetKey(s mapper.PermissionSet) string {
	return fmt.Sprintf("sso %s %s %s", s.Partition, s.Account, s.Name)
}

// Add takes note of what a record used.
func (u *Usage) Add(r *audit.Record) {
	if u.First.IsZero() || r.Time.Before(u.First) {
		u.First = r.Time
	}
	if r.Time.After(u.Last) {
		u.Last = r.Time
	}
	if r.Outcome != reason.Accepted.String() {
		return
	}
	keys := []string{principalKey(r.Principal)}
	if r.PrincipalID != "" {
		keys = append(keys, "id "+r.PrincipalID)
	}
	p, err := iam.ParsePrincipal(r.Principal)
	if err == nil {
		if name, ok := p.PermissionSet(); ok {
			keys = append(keys, permissionSetKey(mapper.PermissionSet{Partition: p.Partition, Account: p.Account, Name: name}))
		}
	}
	if r.Entry == mapper.MapAccounts {
		keys = []string{"account " + r.Account}
	}
	for _, key := range keys {
		if i, ok := u.byKey[r.Mapper+" "+key]; ok {
			u.used[i] = true
			return
		}
	}
	if err == nil && audit.IsPseudonym(p.Name) {
		u.Hidden++
	}
}

// Unused are entries that no record used.
type Unused []ListEntry

// Unused returns the entries that no record used, in the order of their sources.
func (u *Usage) Unused() Unused {
	unused := Unused{}
	for i, e := range u.entries {
		if !u.used[i] {
			unused = append(unused, e)
		}
	}
	return unused
}

// Len returns the number of entries.
func (u *Usage) Len() int { return len(u.entries) }

// String says how many entries were not used, and from when to when that is known.
func (u *Usage) String() string {
	if u.First.IsZero() {
		return fmt.Sprintf("%d of %d mappings were not used: no record was chosen.", len(u.Unused()), u.Len())
	}
	return fmt.Sprintf("%d of %d mappings were not used in the records from %s to %s.", len(u.Unused()), u.Len(),
		u.First.UTC().Format(time.RFC3339), u.Last.UTC().Format(time.RFC3339))
}

// WriteTable writes a row for each entry.
func (l Unused) WriteTable(w io.Writer) error {
	rows := table{{"SOURCE", "ENTRY", "PRINCIPAL", "USERNAME", "STATUS"}}
	for _, e := range l {
		rows = append(rows, []string{e.Source, e.Entry, principal(e), e.Username, string(e.Status)})
	}
	return rows.write(w)
}
