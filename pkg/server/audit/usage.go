package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// Mapping is an entry of a source of mappings.
type Mapping struct {
	Mapper    string `json:"mapper"`
	Entry     string `json:"entry"`     // where it stands, such as "mapRoles[3] (line 12)"
	Principal string `json:"principal"` // for whom, as written there
	Username  string `json:"username"`  // a template
}

// Usage finds the mappings that no login used. A mapping is used by logins of its
// principal that its source decided: where it stands may change.
type Usage struct {
	pseudonyms *Pseudonyms
	mappings   []Mapping
	used       []bool
	byKey      map[string]int // index of the mapping that decides for a principal
}

// NewUsage returns a Usage without mappings. The pseudonyms are those of the records.
func NewUsage(p *Pseudonyms) *Usage { return &Usage{pseudonyms: p, byKey: map[string]int{}} }

// AddDocument adds the mappings of a source. Of two for the same principal the later
// decides; the earlier is never used.
func (u *Usage) AddDocument(mapperName string, d mapper.Document, byUserID bool) {
	for _, m := range d.Mappings() {
		e := m.Entry()
		principal, key := e.Source.ARN, ""
		switch {
		case byUserID:
			key = "id " + e.UserID
		case e.Principal.Kind != 0:
			key = u.principalKey(e.Principal.Canonical())
		case e.PermissionSet != mapper.PermissionSet{}:
			key = permissionSetKey(e.PermissionSet)
		}
		if principal == "" {
			principal = e.UserID
		}
		u.add(key, Mapping{Mapper: mapperName, Entry: e.Source.String(), Principal: principal, Username: e.Username})
	}
	for _, account := range d.Accounts.Accounts {
		u.add("account "+account, Mapping{Mapper: mapperName, Entry: mapper.MapAccounts, Principal: account})
	}
}

// AddFiles adds the mappings of a configuration that stand in files: its own, and those
// of its dynamic file.
func (u *Usage) AddFiles(s config.Server) error {
	section := func(name string, node *yaml.Node) mapper.Section {
		if node.Kind == 0 {
			node = nil
		}
		return mapper.ParseSection(name, node, mapper.ParseOptions{})
	}
	mounted := mapper.Document{
		Roles:    section(mapper.MapRoles, &s.MapRoles),
		Users:    section(mapper.MapUsers, &s.MapUsers),
		Accounts: section(mapper.MapAccounts, &s.MapAccounts),
	}
	if err := mounted.Err(); err != nil {
		return fmt.Errorf("mappings of the configuration: %w", err)
	}
	u.AddDocument(config.BackendMountedFile, mounted, false)
	if s.DynamicFilePath == "" {
		return nil
	}
	data, err := os.ReadFile(s.DynamicFilePath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("dynamic file: %w", err)
	}
	root, err := mapper.ParseYAML(data)
	if err != nil {
		return fmt.Errorf("dynamic file %s: %w", s.DynamicFilePath, err)
	}
	dynamic := mapper.Document{}
	for i := 0; root != nil && root.Kind == yaml.MappingNode && i+1 < len(root.Content); i += 2 {
		for name, into := range map[string]*mapper.Section{mapper.MapRoles: &dynamic.Roles, mapper.MapUsers: &dynamic.Users, mapper.MapAccounts: &dynamic.Accounts} {
			if strings.EqualFold(root.Content[i].Value, name) {
				*into = mapper.ParseSection(name, root.Content[i+1], mapper.ParseOptions{UserIDStrict: s.DynamicFileUserIDStrict})
			}
		}
	}
	if err := dynamic.Err(); err != nil {
		return fmt.Errorf("dynamic file %s: %w", s.DynamicFilePath, err)
	}
	u.AddDocument(config.BackendDynamicFile, dynamic, s.DynamicFileUserIDStrict)
	return nil
}

func (u *Usage) add(key string, m Mapping) {
	u.byKey[m.Mapper+" "+key] = len(u.mappings)
	u.mappings, u.used = append(u.mappings, m), append(u.used, false)
}

// Add takes note of what a record used.
func (u *Usage) Add(r *Record) {
	if r.Outcome != reason.Accepted.String() {
		return
	}
	keys := []string{"id " + r.PrincipalID, u.recordKey(r.Principal)}
	if p, err := iam.ParsePrincipal(r.Principal); err == nil {
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
}

// Unused returns the mappings that no record used, in the order in which they were added.
func (u *Usage) Unused() []Mapping {
	unused := []Mapping{}
	for i, m := range u.mappings {
		if !u.used[i] {
			unused = append(unused, m)
		}
	}
	return unused
}

// Len returns the number of mappings.
func (u *Usage) Len() int { return len(u.mappings) }

func (u *Usage) principalKey(arn string) string { return u.recordKey(u.pseudonyms.ARN(arn)) }

func (u *Usage) recordKey(arn string) string { return "arn " + strings.ToLower(arn) }

func permissionSetKey(s mapper.PermissionSet) string {
	return fmt.Sprintf("sso %s %s %s", s.Partition, s.Account, s.Name)
}

// PrintMappings prints mappings as a table.
func PrintMappings(w io.Writer, mappings []Mapping) error {
	t := newTable(w, "SOURCE", "ENTRY", "PRINCIPAL", "USERNAME")
	for _, m := range mappings {
		t.row(m.Mapper, m.Entry, m.Principal, m.Username)
	}
	return t.Flush()
}
