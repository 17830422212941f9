package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/internal/trial"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// Status says what an entry is worth.
type Status string

// The statuses of entries.
const (
	InForce      Status = "InForce"      // it decides for its principal
	Replaced     Status = "Replaced"     // another entry of its source stands for the same principal
	Shadowed     Status = "Shadowed"     // an earlier source decides for the principal
	NeverMatches Status = "NeverMatches" // there is no such caller
	NeverMaps    Status = "NeverMaps"    // it decides for its principal, and every login by it fails
	Skipped      Status = "Skipped"      // it has a mistake in it
	Unknown      Status = "Unknown"      // a source that goes before could not be read
)

// List is who gets in. Its JSON form is stable.
type List struct {
	Partition string       `json:"partition"`
	Sources   []ListSource `json:"sources"`
	Entries   []ListEntry  `json:"entries"`
	// AdminGroups are the groups bound to the ClusterRole cluster-admin, left out if
	// the cluster was not asked.
	AdminGroups []string `json:"adminGroups,omitempty"`
}

// ListSource is one source, in the order in which sources decide.
type ListSource struct {
	Name     string   `json:"name"`
	Origin   string   `json:"origin"`             // file, object or API server
	InForce  int      `json:"inForce"`            // entries
	Error    string   `json:"error,omitempty"`    // why it, or a part of it, could not be read
	Problems []string `json:"problems,omitempty"` // of none of the entries
}

// ListEntry is one entry of a source.
type ListEntry struct {
	Principal                   string       `json:"principal"`         // ARN as written, or the ID of the account
	Account                     bool         `json:"account,omitempty"` // every principal of the account
	Source                      string       `json:"source"`
	Entry                       string       `json:"entry"` // where it stands
	Username                    string       `json:"username,omitempty"`
	Groups                      []string     `json:"groups,omitempty"`
	Policies                    []ListPolicy `json:"policies,omitempty"`
	PolicyGroup                 string       `json:"policyGroup,omitempty"` // which the policies are bound to
	Type                        string       `json:"type,omitempty"`        // of an access entry
	SessionNamePattern          string       `json:"sessionNamePattern,omitempty"`
	UserID                      string       `json:"userID,omitempty"`
	RequireTemporaryCredentials bool         `json:"requireTemporaryCredentials,omitempty"`
	Admin                       bool         `json:"admin,omitempty"` // by a group that is known to be bound to cluster-admin, or by a policy
	Status                      Status       `json:"status"`
	Why                         string       `json:"why,omitempty"` // it is not in force
	Warnings                    []string     `json:"warnings,omitempty"`
}

// ListPolicy is an access policy of an access entry.
type ListPolicy struct {
	ARN        string   `json:"policyARN"`
	Scope      string   `json:"scope"` // cluster or namespace
	Namespaces []string `json:"namespaces,omitempty"`
}

// List returns every entry and what it is worth, sorted by principal and then in the
// order in which sources decide. With a principal, only what concerns it: entries
// for it, and for its account as a whole.
func (s *Sources) List(only *iam.Principal) List {
	list := List{Partition: s.partition, Sources: []ListSource{}, Entries: []ListEntry{}, AdminGroups: s.admins}
	for i, source := range s.list {
		summary := ListSource{Name: source.Name(), Origin: source.origin}
		if err := source.Status().Err; err != nil {
			summary.Error = err.Error()
			if _, ok := source.Mapper.(*unread); !ok {
				summary.Error += "; a server that runs still lets in whom it mapped before"
			}
		}
		for _, p := range source.problems {
			summary.Problems = append(summary.Problems, p.String())
		}
		for _, e := range source.entries {
			if only != nil && !e.names(*only) && e.account != only.Account {
				continue
			}
			row := s.row(i, e)
			if row.Status == InForce {
				summary.InForce++
			}
			list.Entries = append(list.Entries, row)
		}
		list.Sources = append(list.Sources, summary)
	}
	// Stable: entries for one principal stay in the order of their sources.
	slices.SortStableFunc(list.Entries, func(a, b ListEntry) int {
		return cmp.Compare(strings.ToLower(a.Principal), strings.ToLower(b.Principal))
	})
	return list
}

func (s *Sources) row(i int, e *entry) ListEntry {
	source := s.list[i]
	row := ListEntry{
		Principal: e.arn(), Account: e.account != "", Source: source.Name(), Entry: source.place(e.Source),
		Username: e.Username, Groups: e.Groups, PolicyGroup: e.PolicyGroup, Type: e.typ, SessionNamePattern: e.SessionNamePattern, UserID: e.UserID,
		RequireTemporaryCredentials: e.RequireTemporaryCredentials, Warnings: e.warnings,
		Admin: slices.ContainsFunc(e.Groups, func(g string) bool { return slices.Contains(s.admins, g) || g == "system:masters" }),
	}
	if row.Account {
		row.Username = "the ARN of the caller"
	}
	for _, p := range e.policies {
		row.Policies = append(row.Policies, listPolicy(p))
		row.Admin = row.Admin || isAdmin(listPolicy(p))
	}
	row.Status, row.Why = s.status(i, e)
	if row.Status == Replaced {
		row.Warnings = nil // that it is replaced is one of them
	}
	return row
}

func listPolicy(p v1alpha1.AccessPolicy) ListPolicy {
	return ListPolicy{ARN: p.PolicyARN, Scope: string(p.AccessScope.Type), Namespaces: p.AccessScope.Namespaces}
}

// isAdmin tells whether the policy lets everything be done.
func isAdmin(p ListPolicy) bool {
	name, err := policy.ParseARN(p.ARN)
	return err == nil && name == policy.ClusterAdmin && p.Scope == string(v1alpha1.ScopeCluster)
}

// status says what an entry of the source with a number is worth: it asks the
// sources, in order, about a caller that the entry is for, and then has the caller log
// in.
func (s *Sources) status(i int, e *entry) (Status, string) {
	if e.account != "" {
		return s.accountStatus(i, e.account)
	}
	id, err := s.caller(e)
	noSession := errors.Is(err, trial.ErrNoSession)
	switch {
	case e.skipped != "":
		if err == nil && s.stands(i, e, id) {
			return Skipped, e.skipped + "; whom it names is refused"
		}
		return Skipped, e.skipped
	case err != nil && !noSession:
		return NeverMatches, err.Error()
	case id.Partition != s.partition:
		return NeverMatches, fmt.Sprintf("it is in the partition %s, the server's is %s", id.Partition, s.partition)
	}
	for j, source := range s.list[:i+1] {
		m, err := source.Lookup(id)
		switch {
		case err == nil && j == i && sameObject(m, e) && noSession:
			return NeverMaps, trial.ErrNoSession.Error()
		case err == nil && j == i && sameObject(m, e):
			return s.worth(id)
		case err == nil && j == i:
			return Replaced, source.place(m.Entry().Source) + " stands for the same principal"
		case err == nil:
			return Shadowed, fmt.Sprintf("%s decides first: %s", source.Name(), source.place(m.Entry().Source))
		case !errors.Is(err, mapper.ErrNotMapped):
			return Unknown, fmt.Sprintf("%s could not be read", source.Name())
		}
	}
	return NeverMatches, "no caller is found to be the one it names"
}

// worth says what the entry is worth that decides for a caller.
func (s *Sources) worth(id iam.Identity) (Status, string) {
	if _, err := s.login(id, func(source *source) mapper.Mapper { return source }); err != nil {
		return NeverMaps, err.Error()
	}
	return InForce, ""
}

// login has the server's chain decide about a caller that is made up.
func (s *Sources) login(id iam.Identity, as func(*source) mapper.Mapper) (mapper.User, error) {
	mappers := make([]mapper.Mapper, len(s.list))
	for i, source := range s.list {
		mappers[i] = as(source)
	}
	o := s.chain
	if o.Nodes != nil {
		o.Nodes = trial.Nodes{} // which knows the instance that is made up, too
	}
	return mapper.NewChain(mappers, o).Map(context.Background(), id)
}

// stands tells whether the entry with a mistake in it refuses the caller.
func (s *Sources) stands(i int, e *entry, id iam.Identity) bool {
	for j, source := range s.list[:i+1] {
		if m, err := source.Lookup(id); !errors.Is(err, mapper.ErrNotMapped) {
			return j == i && err == nil && sameObject(m, e)
		}
	}
	return false
}

// sameObject tells whether a mapping is that of an entry. Of the place, the ARN and
// the line are left out: a source may know them of one and not of the other.
func sameObject(m *mapper.Mapping, e *entry) bool {
	place := m.Entry().Source
	return place.Section == e.Source.Section && place.Index == e.Source.Index
}

func (s *Sources) accountStatus(i int, account string) (Status, string) {
	for j, source := range s.list[:i+1] {
		mapped, err := source.MapsAccount(account)
		switch {
		case err != nil:
			return Unknown, fmt.Sprintf("%s could not be read", source.Name())
		case mapped && j < i:
			return Shadowed, fmt.Sprintf("%s maps the account first", source.Name())
		case mapped:
			return s.accountWorth(account)
		}
	}
	return NeverMatches, "the account is not mapped"
}

// accountWorth says what the mapping of an account is worth to those whom no entry
// names.
func (s *Sources) accountWorth(account string) (Status, string) {
	p := iam.Principal{Kind: iam.Role, Partition: s.partition, Account: account, Path: "/", Name: anySession}
	id, err := assume(p, "", "")
	if err == nil {
		_, err = s.login(id, func(source *source) mapper.Mapper { return accountsOnly{source} })
	}
	if err != nil {
		return NeverMaps, err.Error()
	}
	return InForce, ""
}

// accountsOnly is a source without its entries.
type accountsOnly struct{ *source }

// Lookup finds nothing.
func (accountsOnly) Lookup(iam.Identity) (*mapper.Mapping, error) { return nil, mapper.ErrNotMapped }

// Findings is the number of entries that are not in force or doubtful, and of
// problems of sources.
func (l List) Findings() int {
	n := 0
	for _, s := range l.Sources {
		n += len(s.Problems)
		if s.Error != "" {
			n++
		}
	}
	for _, e := range l.Entries {
		if e.Status != InForce || len(e.Warnings) > 0 {
			n++
		}
	}
	return n
}
