package mapper

import (
	"fmt"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// Index finds the mapping for a principal in constant time. It never changes. The
// nil Index is an empty one.
type Index struct {
	byARN    map[string]*Mapping // by iam.Principal.Key
	bySSO    map[PermissionSet]*Mapping
	byUserID map[string]*Mapping
	accounts map[string]struct{}
}

// NewIndex makes an index of mappings and of the accounts that are mapped as a
// whole. Of two mappings for the same principal the last one stands, and a problem
// names both. Mappings without a principal and permission set are not found.
func NewIndex(mappings []*Mapping, accounts []string) (*Index, []Problem) {
	ix := &Index{
		byARN: make(map[string]*Mapping, len(mappings)),
		bySSO: map[PermissionSet]*Mapping{},
	}
	ix.addAccounts(accounts)
	var problems []Problem
	for _, m := range mappings {
		switch {
		case m.key != "":
			problems = put(ix.byARN, m.key, m, problems)
		case m.entry.PermissionSet != PermissionSet{}:
			problems = put(ix.bySSO, m.entry.PermissionSet, m, problems)
		}
	}
	return ix, problems
}

// NewIndexByUserID is like NewIndex but finds mappings by the unique ID of the
// principal alone. A mapping found so refuses a caller whose ARN or permission set
// is not the one that it names, if it names one.
func NewIndexByUserID(mappings []*Mapping, accounts []string) (*Index, []Problem) {
	ix := &Index{byUserID: make(map[string]*Mapping, len(mappings))}
	ix.addAccounts(accounts)
	var problems []Problem
	for _, m := range mappings {
		if id := m.entry.UserID; id != "" {
			problems = put(ix.byUserID, id, m, problems)
		}
	}
	return ix, problems
}

func (ix *Index) addAccounts(accounts []string) {
	ix.accounts = make(map[string]struct{}, len(accounts))
	for _, a := range accounts {
		if a != "" {
			ix.accounts[a] = struct{}{}
		}
	}
}

func put[K comparable](byKey map[K]*Mapping, key K, m *Mapping, problems []Problem) []Problem {
	if earlier, ok := byKey[key]; ok {
		problems = append(problems, Problem{
			Source:   earlier.entry.Source,
			Severity: Warning,
			Message:  fmt.Sprintf("%s is for the same principal and stands instead; remove one of them", m.source),
		})
	}
	byKey[key] = m
	return problems
}

// Lookup returns the mapping for a principal, or ErrNotMapped. A mapping that names
// the ARN goes before one for its permission set.
func (ix *Index) Lookup(id iam.Identity) (*Mapping, error) {
	if ix == nil || id.MapKey == "" {
		return nil, ErrNotMapped
	}
	if m, ok := ix.byARN[id.MapKey]; ok {
		return m, nil
	}
	if m, ok := ix.byUserID[id.UserID]; ok {
		return m, nil
	}
	if len(ix.bySSO) > 0 {
		if set, ok := permissionSetOf(id.Principal); ok {
			if m, ok := ix.bySSO[set]; ok {
				return m, nil
			}
		}
	}
	return nil, ErrNotMapped
}

// MapsAccount tells whether the account is mapped as a whole.
func (ix *Index) MapsAccount(account string) bool {
	if ix == nil {
		return false
	}
	_, ok := ix.accounts[account]
	return ok
}

// Len returns the number of mappings and accounts, without refusals.
func (ix *Index) Len() int {
	if ix == nil {
		return 0
	}
	return count(ix.byARN) + count(ix.bySSO) + count(ix.byUserID) + len(ix.accounts)
}

func count[K comparable](mappings map[K]*Mapping) int {
	n := len(mappings)
	for _, m := range mappings {
		if m.mistake != "" {
			n--
		}
	}
	return n
}
