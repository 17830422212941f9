package lint

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/configmap"
	"github.com/iam-authenticator/authenticator/pkg/mapper/file"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// The backends that sections are read by.
const (
	aws         = configmap.Backend
	mountedFile = string(file.MountedFile)
	dynamicFile = string(file.DynamicFile)
)

// source is what sections belong to.
type source struct {
	kind      string // the name of the backend
	strict    bool   // by user ID, as mapper.ParseOptions.UserIDStrict
	partition string // of the server, "" if it is not known
	reserved  map[string][]string
}

// section is a section with its text.
type section struct {
	name   string
	text   *text
	list   *yaml.Node // nil if it could not be read
	parsed mapper.Section
}

// located is an entry in force and where it stands.
type located struct {
	entry  mapper.Entry
	place  string // "mapRoles[3]", or the name of an access entry
	at     point
	fields fields
	bare   bool // an access entry without groups and policies
}

// mappings checks the sections in a node of a file: the server's part of its
// configuration, or a file of mappings.
func (c *checker) mappings(t *text, parent *yaml.Node, s source, o mapper.ParseOptions) {
	if _, err := file.Parse(file.Kind(s.kind), t.data, o); err != nil {
		line, message := errorLine(err)
		message, suggestion := cutSuggestion(message)
		rule := configValue
		switch {
		case strings.HasPrefix(message, "unknown key"):
			rule = unknownKey
		case strings.HasSuffix(message, " twice"):
			rule = duplicateKey
		}
		_, word, _ := strings.Cut(message, `"`)
		word, _, _ = strings.Cut(word, `"`)
		c.report(rule, t.line(line, word), Finding{Message: message, Suggestion: suggestion})
	}
	var found []section
	for _, name := range sectionNames {
		if n := childFold(parent, name); n != nil {
			found = append(found, c.section(t, name, n, o))
		}
	}
	c.sections(s, found)
}

// section has the server's parser read a section, and says what it says.
func (c *checker) section(t *text, name string, root *yaml.Node, o mapper.ParseOptions) section {
	s := section{name: name, text: t, parsed: mapper.ParseSection(name, root, o)}
	if s.parsed.Err != nil {
		_, message := errorLine(s.parsed.Err)
		f := Finding{Message: message}
		if n := resolve(root); n.Kind == yaml.MappingNode {
			f.Suggestion = "begin each entry with a dash"
		} else if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
			f.Suggestion = "write the list itself here: only in a ConfigMap it is text"
		}
		c.report(notAList, t.of(root), f)
		return s
	}
	s.list = resolve(root)
	byEntry := map[int][]mapper.Problem{}
	for _, p := range s.parsed.Problems {
		byEntry[p.Source.Index] = append(byEntry[p.Source.Index], p)
	}
	for i, entry := range s.entries() {
		if problems := byEntry[i]; len(problems) > 0 {
			c.diagnose(s, entry, problems, o)
		}
	}
	return s
}

// entries returns the nodes of the section's entries.
func (s section) entries() []*yaml.Node {
	if isNull(s.list) {
		return nil
	}
	return s.list.Content
}

// sections looks at the entries that the server takes: what they do to each other,
// and whether they say what was meant.
func (c *checker) sections(s source, found []section) {
	s.partition = orText(s.partition, c.options.Partition)
	if s.reserved == nil {
		s.reserved = c.options.ReservedPrefixes
	}
	var doc mapper.Document
	var entries int
	at := map[string]located{}
	for _, f := range found {
		switch f.name {
		case mapper.MapRoles:
			doc.Roles = f.parsed
		case mapper.MapUsers:
			doc.Users = f.parsed
		case mapper.MapAccounts:
			doc.Accounts = f.parsed
			c.accounts(f)
		}
		entries += len(f.entries())
		for _, m := range f.parsed.Mappings {
			e := m.Entry()
			n := f.entries()[e.Source.Index]
			l := located{entry: e, place: placeOf(e.Source), at: f.text.of(n), fields: fieldsOf(f.text, n)}
			at[l.place] = l
		}
	}
	index, duplicates := newIndex(s, doc)
	for _, p := range duplicates {
		c.duplicate(index, p, at)
	}
	skipped := map[string]bool{}
	for _, p := range doc.Problems() {
		if p.Severity == mapper.Skipped {
			skipped[placeOf(p.Source)] = true
		}
	}
	var inForce []located
	for _, m := range doc.Mappings() {
		if l := at[placeOf(m.Entry().Source)]; !skipped[l.place] {
			inForce = append(inForce, l)
			c.doubts(l)
			c.trial(s, index, l)
		}
	}
	c.partitions(s.partition, inForce)
	if s.kind == aws {
		c.configMap = append(c.configMap, inForce...)
	}
}

func newIndex(s source, doc mapper.Document) (*mapper.Index, []mapper.Problem) {
	if s.strict {
		return mapper.NewIndexByUserID(doc.Mappings(), doc.Accounts.Accounts)
	}
	return mapper.NewIndex(doc.Mappings(), doc.Accounts.Accounts)
}

// duplicate reports an entry in whose place another one stands.
func (c *checker) duplicate(index *mapper.Index, p mapper.Problem, at map[string]located) {
	l := at[placeOf(p.Source)]
	f := Finding{Message: "another entry for the same principal stands instead", Suggestion: "remove one of them", Principal: p.Source.ARN, Entry: l.place}
	if m, err := index.Lookup(sample(l.entry)); err == nil {
		other := at[placeOf(m.Entry().Source)]
		f.Message = fmt.Sprintf("%s on line %d is for the same principal and stands instead", other.place, other.at.line)
		if other.place == l.place {
			return // the same entry under two names
		}
	}
	c.report(duplicate, l.fields.at(l.at, "rolearn", "userarn", "sso", "userid"), f)
}

// trial has a caller log in by the entry, as far as nothing else stands before it.
func (c *checker) trial(s source, index *mapper.Index, l located) {
	id := sample(l.entry)
	if m, err := index.Lookup(id); err == nil && placeOf(m.Entry().Source) == l.place {
		c.trialOf(s, index, l)
	}
}

// trialOf is trial where nothing else stands.
func (c *checker) trialOf(s source, index *mapper.Index, l located) {
	id := sample(l.entry)
	chain := mapper.NewChain([]mapper.Mapper{onlyMapper{s.kind, index}}, mapper.ChainOptions{Nodes: anyNode{}, ReservedPrefixes: s.reserved})
	_, err := chain.Map(context.Background(), id)
	switch code := reason.Of(err); {
	case err == nil || code == reason.SessionNameRefused || code == reason.NodeNameRefused:
		// Which sessions there are is not known.
	default:
		message := err.Error()
		if _, after, ok := strings.Cut(message, ": username: "); ok {
			message = "username: " + after
		}
		f := Finding{Message: "every login by this entry fails: " + message, Principal: l.entry.Source.ARN, Entry: l.place}
		if l.entry.Principal.Kind == iam.User && strings.Contains(message, "{{") {
			f.Suggestion = "write the name out: a user has no session"
		}
		c.report(neverMaps, l.fields.at(l.at, "username"), f)
	}
}

// sample returns a caller that the entry is for.
func sample(e mapper.Entry) iam.Identity {
	const session = "i-0123456789abcdef0" // so that {{EC2PrivateDNSName}} has a value
	p := e.Principal
	switch {
	case e.PermissionSet != mapper.PermissionSet{}:
		p = iam.Principal{Kind: iam.Role, Partition: e.PermissionSet.Partition, Account: e.PermissionSet.Account,
			Path: "/", Name: "AWSReservedSSO_" + e.PermissionSet.Name + "_0123456789abcdef"}
	case p.Kind == 0: // by user ID alone
		p = iam.Principal{Kind: iam.Role, Partition: "aws", Account: "111122223333", Path: "/", Name: "any"}
	}
	switch p.Kind {
	case iam.Role:
		p.SessionName = session
	case iam.FederatedUser:
		p.SessionName = p.Name
	}
	return iam.Identity{Principal: p, ARN: p.Canonical(), CanonicalARN: p.Canonical(), MapKey: p.Key(), UserID: orText(e.UserID, "AROAEXAMPLE"), AccessKeyID: "ASIAEXAMPLE"}
}

// onlyMapper is a mapper.Mapper of an index.
type onlyMapper struct {
	name  string
	index *mapper.Index
}

func (m onlyMapper) Name() string                                    { return m.name }
func (m onlyMapper) Lookup(id iam.Identity) (*mapper.Mapping, error) { return m.index.Lookup(id) }
func (m onlyMapper) MapsAccount(string) (bool, error)                { return false, nil }
func (m onlyMapper) Status() mapper.Status                           { return mapper.Status{Loaded: time.Unix(0, 0)} }

// anyNode is mapper.Nodes that know every instance.
type anyNode struct{}

func (anyNode) PrivateDNSName(context.Context, iam.Identity, bool) (string, error) {
	return "ip-10-0-0-1.ec2.internal", nil
}

// fields are the values of an entry, by key in lower case, and their text.
type fields struct {
	text   *text
	values map[string]*yaml.Node
}

func fieldsOf(t *text, n *yaml.Node) fields {
	f := fields{t, map[string]*yaml.Node{}}
	for key, v := range pairs(n) {
		v = resolve(v)
		if key.Tag == "!!merge" {
			for name, value := range fieldsOf(t, v).values {
				if f.values[name] == nil {
					f.values[name] = value
				}
			}
			continue
		}
		f.values[strings.ToLower(key.Value)] = v
	}
	return f
}

// at returns where the first of the fields that is there stands, else other.
func (f fields) at(other point, names ...string) point {
	for _, name := range names {
		if n := f.values[name]; n != nil {
			return f.text.of(n)
		}
	}
	return other
}

// items returns where the items of a list stand.
func (f fields) item(other point, name string, i int) point {
	n := f.values[name]
	if n == nil || i >= len(n.Content) {
		return other
	}
	return f.text.of(resolve(n.Content[i]))
}

func placeOf(s mapper.Source) string { return fmt.Sprintf("%s[%d]", s.Section, s.Index) }

func orText(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// partitions reports principals that a server never sees: it is for one partition.
func (c *checker) partitions(partition string, inForce []located) {
	count := map[string]int{}
	of := func(l located) string { return orText(l.entry.Principal.Partition, l.entry.PermissionSet.Partition) }
	for _, l := range inForce {
		count[of(l)]++
	}
	delete(count, "")
	rule, most := otherPartition, partition
	if partition == "" {
		rule = mixedPartitions
		for _, id := range slices.Sorted(maps.Keys(count)) {
			if most == "" || count[id] > count[most] {
				most = id
			}
		}
	}
	for _, l := range inForce {
		id := of(l)
		if id == most || id == "" {
			continue
		}
		message := fmt.Sprintf("the principal is in the partition %s, but the server is for %s, so nobody gets in by this entry", id, most)
		if rule == mixedPartitions {
			message = fmt.Sprintf("the principal is in the partition %s, most others are in %s; a server lets only one partition in", id, most)
		}
		c.report(rule, l.fields.at(l.at, "rolearn", "userarn", "sso", "principalarn"), Finding{Message: message, Principal: l.entry.Source.ARN, Entry: l.place})
	}
}

// accounts looks at the accounts that are mapped as a whole.
func (c *checker) accounts(s section) {
	seen := map[string]int{}
	for i, n := range s.entries() {
		n = resolve(n)
		if n.Kind != yaml.ScalarNode || iam.CheckAccount(n.Value) != nil {
			continue
		}
		entry := fmt.Sprintf("%s[%d]", s.name, i)
		if first, ok := seen[n.Value]; ok {
			c.report(duplicate, s.text.of(n), Finding{Message: fmt.Sprintf("the account stands in %s[%d] already", s.name, first), Suggestion: "remove one of them", Entry: entry})
			continue
		}
		seen[n.Value] = i
		c.report(wholeAccount, s.text.of(n), Finding{
			Message: "every user and role of the account " + n.Value + " gets in, under its ARN and in no group", Suggestion: "map the roles that are meant", Entry: entry})
		if n.Style == 0 && n.Value[0] == '0' {
			c.report(unquotedAccount, s.text.of(n), Finding{
				Message: "the account ID works, but tools that rewrite the file may take it for a number and drop the zero in front", Suggestion: `write "` + n.Value + `"`, Entry: entry})
		}
	}
}
