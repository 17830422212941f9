package awsauth

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// Document is the data of the ConfigMap. Its values are the texts of the sections
// mapper.MapRoles, MapUsers and MapAccounts; other keys are left alone. Edits return
// a new one.
type Document map[string]string

// sections are the keys of a Document that are read, in the order of output.
var sections = [...]string{mapper.MapRoles, mapper.MapUsers, mapper.MapAccounts}

// Entry is one entry as its document says it.
type Entry struct {
	Section string // mapper.MapRoles, MapUsers or MapAccounts
	Index   int    // in its section, from 0
	Line    int    // in its section, from 1

	ARN      string // as written; a name that ends with * for a permission set
	Account  string // of mapAccounts
	Username string
	Groups   []string

	// The restrictions and permission sets that authenticator knows.
	UserID                      string
	SessionNamePattern          string
	RequireTemporaryCredentials bool
	PermissionSet               mapper.PermissionSet

	Problem string // why the server skips the entry; empty if it is in force
}

// String names the entry as "mapRoles[3] (line 12), arn:…".
func (e Entry) String() string {
	place := mapper.Source{Section: e.Section, Index: e.Index, Line: e.Line}.String()
	if name := e.name(); name != "" {
		place += ", " + name
	}
	return place
}

func (e Entry) name() string { return Printable(e.ARN + e.Account) }

// Printable quotes a text that a terminal would not show as it is: entries with a
// mistake may have anything in them.
func Printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// Entries returns the entries of all sections that can be read. The error names
// those that can't.
func (d Document) Entries() ([]Entry, error) {
	var all []Entry
	var errs []string
	for _, name := range sections {
		s, err := d.section(name)
		if err != nil {
			errs = append(errs, err.Error())
			continue
		}
		for _, i := range s.items {
			all = append(all, i.entry)
		}
	}
	if errs != nil {
		return all, fmt.Errorf("%s", strings.Join(errs, "; "))
	}
	return all, nil
}

// IsUser tells whether the entry stands in mapUsers.
func (e Entry) IsUser() bool { return e.Section == mapper.MapUsers }

// section is what one section says, by entry.
type section struct {
	parsed mapper.Section
	items  []item
}

// item is what the server makes of one entry, and what is said of it to people. Two
// items are the same if their meanings are.
type item struct {
	meaning meaning
	entry   Entry
}

// meaning is what the server makes of one entry, apart from its place.
type meaning struct {
	Mappings []mapper.Entry // one if the entry is good; refusals if it is not
	Account  string
	Problems []string
	skipped  bool
}

func (d Document) section(name string) (section, error) {
	root, err := mapper.ParseYAML([]byte(d[name]))
	if err != nil {
		return section{}, fmt.Errorf("%s: %w", name, err)
	}
	parsed := mapper.ParseSection(name, root, mapper.ParseOptions{})
	if parsed.Err != nil {
		return section{}, parsed.Err
	}
	s := section{parsed: parsed}
	if root == nil {
		return s, nil
	}
	for root.Kind == yaml.AliasNode {
		root = root.Alias
	}
	for i, n := range root.Content {
		s.items = append(s.items, item{entry: written(Entry{Section: name, Index: i, Line: n.Line}, n)})
	}
	for _, m := range parsed.Mappings {
		e := m.Entry()
		i := &s.items[e.Source.Index]
		i.entry.take(e)
		e.Source.Index, e.Source.Line = 0, 0
		i.meaning.Mappings = append(i.meaning.Mappings, e)
	}
	for _, p := range parsed.Problems {
		i := &s.items[p.Source.Index]
		i.meaning.Problems = append(i.meaning.Problems, p.Message)
		if p.Severity == mapper.Skipped {
			i.meaning.skipped = true
			i.entry.Problem = p.Message
		}
	}
	accounts := parsed.Accounts
	for i := range s.items {
		if name == mapper.MapAccounts && !s.items[i].meaning.skipped {
			s.items[i].meaning.Account, accounts = accounts[0], accounts[1:]
			s.items[i].entry.Account = s.items[i].meaning.Account
		}
	}
	return s, nil
}

// take fills in what a good entry says.
func (e *Entry) take(m mapper.Entry) {
	if m.Username == "" { // a refusal
		return
	}
	e.ARN, e.Username, e.Groups = m.Source.ARN, m.Username, m.Groups
	e.UserID, e.SessionNamePattern, e.RequireTemporaryCredentials = m.UserID, m.SessionNamePattern, m.RequireTemporaryCredentials
	e.PermissionSet = m.PermissionSet
}

// written fills in what can be made out of a text that may be wrong.
func written(e Entry, n *yaml.Node) Entry {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && e.Section == mapper.MapAccounts {
		e.Account = n.Value
	}
	if n.Kind != yaml.MappingNode {
		return e
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		value := n.Content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		switch strings.ToLower(n.Content[i].Value) {
		case "rolearn", "userarn":
			e.ARN = value.Value
		case "username":
			e.Username = value.Value
		case "groups":
			for _, g := range value.Content {
				e.Groups = append(e.Groups, g.Value)
			}
		}
	}
	return e
}

// names tells whether an entry is for a principal, given as an ARN or as the entry
// writes it.
func (i item) names(arn string) bool {
	if i.entry.ARN == arn {
		return arn != ""
	}
	p, err := iam.ParsePrincipal(arn)
	if err != nil || p.Kind == iam.Role && p.SessionName != "" {
		return false
	}
	return slices.ContainsFunc(i.meaning.Mappings, func(m mapper.Entry) bool { return m.Principal.Same(p) })
}

// find returns the entries for which a test holds, in the order of the sections.
func (d Document) find(ok func(item) bool) ([]Entry, error) {
	var found []Entry
	for _, name := range sections {
		s, err := d.section(name)
		if err != nil {
			return nil, fmt.Errorf("%w; mend it first (kubectl --namespace=kube-system edit configmap aws-auth)", err)
		}
		for _, i := range s.items {
			if ok(i) {
				found = append(found, i.entry)
			}
		}
	}
	return found, nil
}

// FindARN returns the entries for a principal. Roles are the same with and without
// their path.
func (d Document) FindARN(arn string) ([]Entry, error) {
	return d.find(func(i item) bool { return i.names(arn) })
}

// FindAccount returns the entries of mapAccounts for an account.
func (d Document) FindAccount(account string) ([]Entry, error) {
	return d.find(func(i item) bool { return i.entry.Section == mapper.MapAccounts && i.entry.Account == account })
}
