package migrate

import (
	"fmt"
	"slices"

	"github.com/iam-authenticator/authenticator/internal/entries"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/accessentry"
)

// Label is on every access entry that a migration made. Its value is the name of the
// source.
const Label = "iam-authenticator.dev/migrated-from"

// Options say what to carry that is left by default, as logins change by it.
type Options struct {
	// Nodes carries mappings of nodes, without the group system:bootstrappers.
	Nodes bool
	// MastersAsPolicy carries mappings with the group system:masters, with the policy
	// AmazonEKSClusterAdminPolicy in its place, which gives rights where "authenticator controller" runs.
	MastersAsPolicy bool
}

// Outcome is what becomes of an entry.
type Outcome string

// The outcomes.
const (
	Carried  Outcome = "carried"  // it becomes an access entry
	Shadowed Outcome = "shadowed" // it decides nothing, as one that is carried stands instead
	Left     Outcome = "left"     // it stays where it is
)

// Row says what becomes of one entry of the source.
type Row struct {
	Place        string                `json:"place"`                  // such as "mapRoles[3] (line 12)"
	PrincipalARN string                `json:"principalARN,omitempty"` // as written there; the account for mapAccounts
	Username     string                `json:"username,omitempty"`
	Groups       []string              `json:"groups,omitempty"`
	Outcome      Outcome               `json:"outcome"`
	Why          string                `json:"why,omitempty"`         // it is not carried
	Notes        []string              `json:"notes,omitempty"`       // what is to be known
	AccessEntry  *v1alpha1.AccessEntry `json:"accessEntry,omitempty"` // if it is carried

	mapping *mapper.Mapping
	drops   []string // groups that are lost, as was asked for
}

// Plan says what becomes of a source.
type Plan struct {
	From string `json:"from"`
	Rows []Row  `json:"rows"`

	source *Source
}

// NewPlan plans the migration of a source.
func NewPlan(s *Source, o Options) *Plan {
	p := &Plan{From: s.name, Rows: []Row{}, source: s}
	standing := s.standing()
	carried := map[string]bool{} // principals
	for _, e := range s.entries {
		row := Row{Place: e.place, PrincipalARN: e.arn, Outcome: Left, mapping: e.mapping}
		switch {
		case e.problem != "":
			row.Why = "the server skips it: " + e.problem
		case e.account != "":
			row.PrincipalARN = e.account
			row.Why = "an account that is mapped as a whole: an access entry is for one principal"
		default:
			row.convert(e.mapping, standing, o, s.name)
		}
		if row.Outcome == Carried {
			carried[row.key()] = true
		}
		p.Rows = append(p.Rows, row)
	}
	for i := range p.Rows {
		if row := &p.Rows[i]; row.Outcome == Shadowed && !carried[row.key()] {
			row.Outcome = Left
		}
	}
	return p
}

// key returns the key of the row's principal, or "" if it has none.
func (r *Row) key() string {
	if r.mapping == nil {
		return ""
	}
	return r.mapping.Entry().Principal.Key()
}

// convert fills in what becomes of a good entry.
func (r *Row) convert(m *mapper.Mapping, standing map[string]*mapper.Mapping, o Options, source string) {
	e := m.Entry()
	r.Username, r.Groups = e.Username, e.Groups
	if stands := standing[e.Principal.Key()]; e.Principal.Kind != 0 && stands != m {
		r.Outcome, r.Why = Shadowed, shadow(e, stands.Entry(), source)
		return
	}
	spec, why := r.spec(e, o)
	if why == "" {
		entry, err := entries.NewEntry(spec)
		if err == nil {
			entry.Labels = map[string]string{Label: source}
			r.Outcome, r.AccessEntry = Carried, entry
			return
		}
		why = err.Error()
	}
	r.Why, r.Notes, r.drops = why, nil, nil
}

// shadow says why an entry does not count.
func shadow(e, stands mapper.Entry, source string) string {
	place := stands.Source.String()
	switch {
	case stands.Username == "":
		return place + " is for the same principal, stands instead, and has a mistake: the principal is refused"
	case e.Username == stands.Username && slices.Equal(e.Groups, stands.Groups) && e.UserID == stands.UserID:
		return place + " is for the same principal and says the same"
	case source == AWSAuth:
		return place + " is for the same principal, says something else and stands instead: here and in aws-iam-authenticator the last one does, eksctl migrates the first"
	}
	return place + " is for the same principal, says something else and stands instead, as it is older"
}

const (
	masters       = "system:masters"
	bootstrappers = "system:bootstrappers"
	adminPolicy   = "AmazonEKSClusterAdminPolicy"
)

// spec returns the access entry that says the same, or why there is none.
func (r *Row) spec(e mapper.Entry, o Options) (spec v1alpha1.AccessEntrySpec, why string) {
	switch {
	case e.PermissionSet != mapper.PermissionSet{}:
		return spec, "a permission set of IAM Identity Center: its role has a hash in its name, and an access entry needs the ARN (aws iam list-roles --path-prefix /aws-reserved/sso.amazonaws.com/)"
	case e.SessionNamePattern != "":
		return spec, "has a sessionNamePattern, which no access entry can have: everybody with the role would get in"
	case e.RequireTemporaryCredentials:
		return spec, "has requireTemporaryCredentials, which no access entry can have: long-term keys would get in"
	}
	spec = v1alpha1.AccessEntrySpec{PrincipalARN: principalARN(e.Principal), PrincipalID: e.UserID, Type: v1alpha1.Standard}
	if t, ok := nodeType(e); ok {
		if !o.Nodes {
			return spec, "nodes; --nodes carries them as " + string(t)
		}
		spec.Type = t
		switch accessentry.NodeKind(t) {
		case mapper.EC2Node:
			r.Notes = append(r.Notes, "nodes have to prove that they are the instance, for which the server asks iam:GetInstanceProfile (server.nodeProof)")
		default:
			r.Notes = append(r.Notes, "only sessions that are named like a node of the type "+string(t)+" get in")
		}
		r.drop(e.Groups, bootstrappers, "without the group system:bootstrappers, which a node needs only if it asks for certificates")
		return spec, ""
	}
	if _, isSSO := e.Principal.PermissionSet(); isSSO && e.Principal.Path == "/" {
		r.Notes = append(r.Notes, "EKS itself wants the path of this role: arn:…:role/aws-reserved/sso.amazonaws.com/REGION/"+e.Principal.Name)
	}
	spec.Username = e.Username
	for _, g := range e.Groups {
		if !slices.Contains(spec.KubernetesGroups, g) {
			spec.KubernetesGroups = append(spec.KubernetesGroups, g)
		}
	}
	if !slices.Contains(spec.KubernetesGroups, masters) {
		return spec, ""
	}
	if !o.MastersAsPolicy {
		return spec, "has the group system:masters, which no access entry can give; --masters-as-policy gives the policy " + adminPolicy + " instead, for which 'authenticator controller' must run"
	}
	r.drop(e.Groups, masters, "the policy "+adminPolicy+" in the place of the group system:masters, for which 'authenticator controller' must run")
	spec.KubernetesGroups = slices.DeleteFunc(spec.KubernetesGroups, func(g string) bool { return g == masters })
	arn, _, err := entries.PolicyARN(adminPolicy, e.Principal.Partition)
	if err != nil {
		return spec, err.Error()
	}
	spec.AccessPolicies = []v1alpha1.AccessPolicy{{PolicyARN: arn, AccessScope: v1alpha1.AccessScope{Type: v1alpha1.ScopeCluster}}}
	return spec, ""
}

func (r *Row) drop(groups []string, group, note string) {
	if slices.Contains(groups, group) {
		r.drops = append(r.drops, group)
		r.Notes = append(r.Notes, note)
	}
}

// nodeType returns the type of access entries that gives the username and the groups
// of an entry, system:bootstrappers apart.
func nodeType(e mapper.Entry) (v1alpha1.AccessEntryType, bool) {
	for _, t := range []v1alpha1.AccessEntryType{v1alpha1.EC2Linux, v1alpha1.EC2Windows, v1alpha1.FargateLinux, v1alpha1.HybridLinux} {
		username, groups := (&v1alpha1.AccessEntry{Spec: v1alpha1.AccessEntrySpec{Type: t}}).Defaults()
		if e.Username == username && slices.Equal(sorted(groups, nil), sorted(e.Groups, []string{bootstrappers})) {
			return t, true
		}
	}
	return "", false
}

// sorted returns groups in order, each once, without some.
func sorted(groups, without []string) []string {
	rest := slices.DeleteFunc(slices.Clone(groups), func(g string) bool { return slices.Contains(without, g) })
	slices.Sort(rest)
	return slices.Compact(rest)
}

// principalARN writes the ARN of a principal as AWS does, with its path.
func principalARN(p iam.Principal) string {
	if p.Kind != iam.Role {
		return p.Canonical()
	}
	return fmt.Sprintf("arn:%s:iam::%s:role%s%s", p.Partition, p.Account, p.Path, p.Name)
}

// Entries returns the access entries that are made.
func (p *Plan) Entries() []*v1alpha1.AccessEntry {
	var list []*v1alpha1.AccessEntry
	for _, r := range p.Rows {
		if r.AccessEntry != nil {
			list = append(list, r.AccessEntry)
		}
	}
	return list
}

// Count returns how many entries of the source have an outcome.
func (p *Plan) Count(o Outcome) (n int) {
	for _, r := range p.Rows {
		if r.Outcome == o {
			n++
		}
	}
	return n
}
