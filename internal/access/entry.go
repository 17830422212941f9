package access

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/file"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// entry is one entry of a source as it says itself, whether it is in force or not.
type entry struct {
	mapper.Entry        // of which Source is always set
	account      string // of an account that is mapped as a whole, instead of a principal
	typ          string // of an access entry
	policies     []v1alpha1.AccessPolicy
	skipped      string   // why it lets nobody in
	warnings     []string // what is doubtful about it
}

// arn returns whom the entry is for, as it says itself.
func (e *entry) arn() string {
	switch {
	case e.account != "":
		return e.account
	case e.Source.ARN != "":
		return e.Source.ARN
	case e.Principal.Kind != 0:
		return e.Principal.Canonical()
	default:
		return e.UserID
	}
}

// names tells whether the entry is meant for a principal.
func (e *entry) names(p iam.Principal) bool {
	if e.Principal.Kind != 0 {
		return e.Principal.Same(p)
	}
	name, ok := p.PermissionSet()
	return ok && e.PermissionSet == mapper.PermissionSet{Partition: p.Partition, Account: p.Account, Name: name}
}

// source returns what the source says itself, and what became of each entry.
func (r *reader) source(m mapper.Mapper) *source {
	s := &source{Mapper: m}
	objects := r.objects[m.Name()]
	switch m.Name() {
	case mapper.BootstrapAdmin:
		s.origin = cmp.Or(r.ConfigFile, "the configuration")
		s.addBootstrap(r.Server.BootstrapAdmin)
	case config.BackendMountedFile:
		s.origin = r.ConfigFile
		s.addFile(file.MountedFile, mapper.ParseOptions{})
	case config.BackendDynamicFile:
		s.origin = r.Server.DynamicFilePath
		s.byUserID = r.Server.DynamicFileUserIDStrict
		s.addFile(file.DynamicFile, mapper.ParseOptions{UserIDStrict: s.byUserID})
	case config.BackendEKSConfigMap:
		s.origin = objects.origin
		s.addAWSAuth(objects.items)
	default:
		s.origin = objects.origin
		s.addObjects(objects)
	}
	s.addProblems(m.Status().Problems)
	return s
}

// addBootstrap adds the entries that the mapper made of the configuration.
func (s *source) addBootstrap(arns []string) {
	for _, arn := range arns {
		p, _ := iam.ParsePrincipal(arn) // the mapper has parsed it
		if id, err := assume(p, "", ""); err == nil {
			if m, err := s.Lookup(id); err == nil {
				s.entries = append(s.entries, &entry{Entry: m.Entry()})
			}
		}
	}
}

func (s *source) addFile(kind file.Kind, o mapper.ParseOptions) {
	data, err := os.ReadFile(s.origin)
	if err != nil {
		return // of which the status tells
	}
	doc, err := file.Parse(kind, data, o)
	if err == nil {
		s.addDocument(doc)
	}
}

func (s *source) addAWSAuth(items []json.RawMessage) {
	for _, item := range items {
		var cm corev1.ConfigMap
		if json.Unmarshal(item, &cm) != nil {
			continue
		}
		section := func(name string) mapper.Section {
			node, err := mapper.ParseYAML([]byte(cm.Data[name]))
			if err != nil {
				return mapper.Section{Err: err}
			}
			return mapper.ParseSection(name, node, mapper.ParseOptions{})
		}
		s.addDocument(mapper.Document{
			Roles: section(mapper.MapRoles), Users: section(mapper.MapUsers), Accounts: section(mapper.MapAccounts),
		})
	}
}

// addDocument adds the entries of a document. Those that are skipped come as
// refusals, which name the principal, and as problems, which say why.
func (s *source) addDocument(doc mapper.Document) {
	for _, m := range slices.Concat(doc.Roles.Mappings, doc.Users.Mappings) {
		// An entry that names its principal twice, by ARN and by ID, has two refusals.
		if n := len(s.entries); n > 0 && sameObject(m, s.entries[n-1]) {
			s.entries[n-1].UserID = cmp.Or(s.entries[n-1].UserID, m.Entry().UserID)
			continue
		}
		s.entries = append(s.entries, &entry{Entry: m.Entry()})
	}
	seen := map[string]bool{}
	for _, account := range doc.Accounts.Accounts {
		place := mapper.Source{Section: mapper.MapAccounts, Index: -1}
		if !seen[account] {
			seen[account] = true
			s.entries = append(s.entries, &entry{Entry: mapper.Entry{Source: place}, account: account})
		}
	}
}

// addObjects adds access entries, or the objects of the original.
func (s *source) addObjects(o objects) {
	for _, item := range o.items {
		var object struct {
			Metadata struct {
				Name string    `json:"name"`
				UID  types.UID `json:"uid"`
			} `json:"metadata"`
			Spec struct {
				v1alpha1.AccessEntrySpec
				ARN    string   `json:"arn"` // of an IAMIdentityMapping, as are its groups
				Groups []string `json:"groups"`
			} `json:"spec"`
		}
		_ = json.Unmarshal(item, &object) // what doesn't fit is a problem of the status
		spec := object.Spec.AccessEntrySpec
		e := &entry{Entry: mapper.Entry{
			Source:   mapper.Source{Section: o.kind.name + "/" + object.Metadata.Name, Index: -1, ARN: cmp.Or(spec.PrincipalARN, object.Spec.ARN)},
			Username: spec.Username,
			Groups:   slices.Concat(spec.KubernetesGroups, object.Spec.Groups),
			UserID:   spec.PrincipalID,
		}, policies: spec.AccessPolicies}
		e.Principal, _ = iam.ParsePrincipal(e.Source.ARN)
		if o.kind.name == "AccessEntry" {
			e.typ = cmp.Or(string(spec.Type), string(v1alpha1.Standard))
			username, groups := (&v1alpha1.AccessEntry{Spec: spec}).Defaults()
			e.Username = cmp.Or(e.Username, username)
			if len(e.Groups) == 0 {
				e.Groups = groups
			}
			if len(spec.AccessPolicies) > 0 {
				e.PolicyGroup = policy.Group(object.Metadata.Name, object.Metadata.UID)
			}
		}
		s.entries = append(s.entries, e)
	}
}

// addProblems gives the problems to the entries that they are of. An entry that can't
// be read at all is made of its problem.
func (s *source) addProblems(problems []mapper.Problem) {
	type place struct {
		section string
		index   int
	}
	at := make(map[place][]*entry, len(s.entries))
	for _, e := range s.entries {
		p := place{e.Source.Section, e.Source.Index}
		at[p] = append(at[p], e)
	}
	for _, problem := range problems {
		p := place{problem.Source.Section, problem.Source.Index}
		found := at[p]
		switch {
		case len(found) == 0 && problem.Severity == mapper.Skipped:
			e := &entry{Entry: mapper.Entry{Source: problem.Source}}
			e.Principal, _ = iam.ParsePrincipal(problem.Source.ARN)
			s.entries = append(s.entries, e)
			at[p] = append(at[p], e)
			found = at[p]
		case len(found) == 0:
			s.problems = append(s.problems, problem)
			continue
		}
		for _, e := range found {
			if problem.Severity == mapper.Skipped {
				e.skipped = problem.Message
			} else {
				e.warnings = append(e.warnings, problem.Message)
			}
		}
	}
}

// place says where the entry stands: the file and line, or the object.
func (s *source) place(p mapper.Source) string {
	switch s.Name() {
	case config.BackendMountedFile, config.BackendDynamicFile:
		if p.Line > 0 {
			return fmt.Sprintf("%s:%d %s", s.origin, p.Line, mapper.Source{Section: p.Section, Index: p.Index})
		}
		return s.origin + " " + p.String()
	case config.BackendEKSConfigMap:
		return s.origin + " " + p.String()
	default:
		return p.String()
	}
}
