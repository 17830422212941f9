package migrate

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/iam-authenticator/authenticator/internal/awsauth"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// The names of the sources, as in the label of the entries that are made of them.
const (
	AWSAuth          = "aws-auth"
	IdentityMappings = "iamidentitymappings"
	EKS              = "eks"
)

// Source is what is migrated.
type Source struct {
	name     string
	backend  string // of the server
	entries  []sourceEntry
	mappings []*mapper.Mapping // for mapper.NewIndex: of several for one principal the last stands
	accounts []string
}

// sourceEntry is one entry of a source.
type sourceEntry struct {
	place   string
	arn     string
	mapping *mapper.Mapping // of a good entry
	account string          // of an account that is mapped as a whole
	problem string          // why the server skips it
}

// FromAWSAuth returns the source that a document is. A section that can't be read is
// an error: nobody knows what it should say.
func FromAWSAuth(d awsauth.Document) (*Source, error) {
	doc, err := parse(d)
	if err != nil {
		return nil, err
	}
	s := &Source{name: AWSAuth, backend: config.BackendEKSConfigMap, mappings: doc.Mappings(), accounts: doc.Accounts.Accounts}
	for _, section := range []mapper.Section{doc.Roles, doc.Users} {
		s.entries = append(s.entries, entriesOf(section)...)
	}
	for _, account := range doc.Accounts.Accounts {
		s.entries = append(s.entries, sourceEntry{place: mapper.MapAccounts, account: account})
	}
	s.entries = append(s.entries, skipped(doc.Accounts)...)
	return s, nil
}

func parse(d awsauth.Document) (doc mapper.Document, err error) {
	for name, parsed := range map[string]*mapper.Section{mapper.MapRoles: &doc.Roles, mapper.MapUsers: &doc.Users, mapper.MapAccounts: &doc.Accounts} {
		node, err := mapper.ParseYAML([]byte(d[name]))
		if err != nil {
			return doc, fmt.Errorf("%s: %w; mend it first, 'authenticator lint' shows what is wrong", name, err)
		}
		*parsed = mapper.ParseSection(name, node, mapper.ParseOptions{})
	}
	if err := doc.Err(); err != nil {
		return doc, fmt.Errorf("%w; mend it first, 'authenticator lint' shows what is wrong", err)
	}
	return doc, nil
}

// entriesOf returns the entries of a section in the order in which they stand there.
func entriesOf(s mapper.Section) []sourceEntry {
	index := map[string]int{} // by place
	list := skipped(s)
	for _, p := range s.Problems {
		index[p.Source.String()] = p.Source.Index
	}
	for _, m := range s.Mappings {
		e := m.Entry()
		index[e.Source.String()] = e.Source.Index
		if e.Username != "" {
			list = append(list, sourceEntry{place: e.Source.String(), arn: e.Source.ARN, mapping: m})
		}
	}
	slices.SortStableFunc(list, func(a, b sourceEntry) int { return cmp.Compare(index[a.place], index[b.place]) })
	return list
}

// skipped returns the entries of a section that are not in force.
func skipped(s mapper.Section) (list []sourceEntry) {
	for _, p := range s.Problems {
		if p.Severity == mapper.Skipped {
			list = append(list, sourceEntry{place: p.Source.String(), arn: p.Source.ARN, problem: p.Message})
		}
	}
	return list
}

// FromIdentityMappings returns the source that IAMIdentityMapping objects are, given
// as JSON.
func FromIdentityMappings(objects []json.RawMessage) (*Source, error) {
	type standing struct {
		created, name string
		mapping       *mapper.Mapping
		bad           bool
	}
	s := &Source{name: IdentityMappings, backend: config.BackendCRD}
	var order []standing
	for _, data := range objects {
		var o struct {
			Kind     string `json:"kind"`
			Metadata struct {
				Name    string `json:"name"`
				Created string `json:"creationTimestamp"` // RFC 3339 in UTC: its text sorts by time
			} `json:"metadata"`
			Spec struct {
				ARN      string   `json:"arn"`
				Username string   `json:"username"`
				Groups   []string `json:"groups"`
			} `json:"spec"`
		}
		if err := json.Unmarshal(data, &o); err != nil {
			return nil, fmt.Errorf("an IAMIdentityMapping: %w", err)
		}
		if o.Kind != "" && o.Kind != "IAMIdentityMapping" {
			return nil, fmt.Errorf("an object of the kind %s, want IAMIdentityMapping (kubectl get iamidentitymappings -o yaml)", o.Kind)
		}
		e := mapper.Entry{Source: mapper.Source{Section: o.Metadata.Name, Index: -1, ARN: o.Spec.ARN}, Username: o.Spec.Username, Groups: o.Spec.Groups}
		m, err := identityMapping(&e)
		listed := sourceEntry{place: o.Metadata.Name, arn: o.Spec.ARN, mapping: m}
		if err != nil {
			m = mapper.NewRefusal(e, err.Error())
			listed.mapping, listed.problem = nil, err.Error()
		}
		s.entries = append(s.entries, listed)
		order = append(order, standing{o.Metadata.Created, o.Metadata.Name, m, err != nil})
	}
	// As in the server: the older stands, but a bad one only if there is no good one.
	slices.SortFunc(order, func(a, b standing) int {
		if a.bad != b.bad {
			if a.bad {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.created, a.created), cmp.Compare(b.name, a.name))
	})
	for _, o := range order {
		s.mappings = append(s.mappings, o.mapping)
	}
	return s, nil
}

func identityMapping(e *mapper.Entry) (m *mapper.Mapping, err error) {
	if e.Principal, err = iam.ParsePrincipal(e.Source.ARN); err != nil {
		return nil, fmt.Errorf("spec.arn: %w", err)
	}
	if e.Username == "" {
		return nil, errors.New("spec.username is missing or empty")
	}
	return mapper.NewMapping(*e)
}

// standing returns the mapping that stands for each principal, by its key.
func (s *Source) standing() map[string]*mapper.Mapping {
	standing := map[string]*mapper.Mapping{}
	for _, m := range s.mappings {
		if key := m.Entry().Principal.Key(); key != "" {
			standing[key] = m
		}
	}
	return standing
}

// mapper returns what the server makes of the source.
func (s *Source) mapper() mapper.Mapper { return newIndexed(s.backend, s.mappings, s.accounts) }

// without is mapper without what a plan carries, of an aws-auth that was read later than
// that of the plan: every good entry for a principal that is carried.
func (s *Source) without(p *Plan) mapper.Mapper {
	carried := map[string]bool{}
	for _, r := range p.Rows {
		carried[r.key()] = carried[r.key()] || r.Outcome == Carried
	}
	rest := slices.DeleteFunc(slices.Clone(s.mappings), func(m *mapper.Mapping) bool {
		e := m.Entry()
		return e.Username != "" && carried[e.Principal.Key()]
	})
	return newIndexed(s.backend, rest, s.accounts)
}

// indexed is an index as a mapper.Mapper.
type indexed struct {
	name string
	*mapper.Index
}

func newIndexed(name string, mappings []*mapper.Mapping, accounts []string) indexed {
	index, _ := mapper.NewIndex(mappings, accounts)
	return indexed{name, index}
}

func (i indexed) Name() string                             { return i.name }
func (i indexed) MapsAccount(account string) (bool, error) { return i.Index.MapsAccount(account), nil }
func (i indexed) Status() mapper.Status                    { return mapper.Status{} }
