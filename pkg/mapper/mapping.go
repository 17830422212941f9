package mapper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// Limits of an entry. They are ours; AWS and Kubernetes name none.
const (
	maxGroups  = 1000
	maxPattern = 1024 // bytes of a SessionNamePattern
)

// Source says where an entry stands.
type Source struct {
	Section string // "mapRoles", "mapUsers" or "mapAccounts"
	Index   int    // of the entry in its section, from 0; negative for the section itself
	Line    int    // of the entry in its file, from 1; 0 if unknown
	ARN     string // the principal that the entry names, as written there; may be empty
}

// String returns the place as "mapRoles[3] (line 12)".
func (s Source) String() string {
	text := s.Section
	if s.Index >= 0 {
		text = fmt.Sprintf("%s[%d]", s.Section, s.Index)
	}
	if s.Line > 0 {
		text += fmt.Sprintf(" (line %d)", s.Line)
	}
	return text
}

// PermissionSet names the role that IAM Identity Center makes in one account for a
// permission set.
type PermissionSet struct {
	Partition string // "aws", "aws-cn", …
	Account   string // twelve digits
	Name      string // letter case counts
}

// Entry is one mapping as its source says it.
type Entry struct {
	Source Source

	// Principal and PermissionSet are alternatives; an entry with a UserID may have
	// neither. What is given must match the caller.
	Principal     iam.Principal
	PermissionSet PermissionSet

	Username string   // a template
	Groups   []string // templates
	// PolicyGroup is the group of the access policies of an access entry, and no
	// template. It comes behind Groups. Empty: none.
	PolicyGroup string

	// UserID is the unique ID ("AIDA…", "AROA…") that the caller must have. It
	// tells a principal from a later one of the same name. Empty: any.
	UserID string
	// SessionNamePattern is a regular expression (RE2) that the whole session name
	// must match. Empty: any, or none.
	SessionNamePattern string
	// Node is the kind of nodes that the entry is for, whose sessions alone get in.
	Node NodeKind
	// RequireTemporaryCredentials refuses long-term access keys.
	RequireTemporaryCredentials bool
}

// Mapping is a checked and compiled Entry. It never changes.
type Mapping struct {
	entry    Entry
	source   string // of Entry.Source, made once
	key      string // iam.Principal.Key, "" without a principal
	username template
	groups   []template
	session  *regexp.Regexp // nil: any session
	mistake  string         // what is wrong with the entry; such a mapping refuses
}

// NewRefusal returns the mapping of an entry with a mistake in it. It refuses the
// principal: to pass over the entry could let the principal in by another one,
// which says less or more than was meant. Of the entry only the source and whom it
// is for count.
func NewRefusal(e Entry, mistake string) *Mapping {
	return &Mapping{entry: e, source: e.Source.String(), key: e.Principal.Key(), mistake: mistake}
}

// NewMapping checks and compiles an entry. The error says what is wrong with it and
// what was expected.
func NewMapping(e Entry) (*Mapping, error) {
	e.Groups = slices.Clone(e.Groups)
	m := &Mapping{entry: e, source: e.Source.String(), key: e.Principal.Key()}
	if err := m.checkSubject(); err != nil {
		return nil, err
	}
	var err error
	if m.username, err = compile(e.Username); err != nil {
		return nil, fmt.Errorf("username %w", err)
	}
	if len(e.Groups) > maxGroups {
		return nil, fmt.Errorf("%d groups, at most %d are possible", len(e.Groups), maxGroups)
	}
	for i, g := range e.Groups {
		t, err := compile(g)
		if err != nil {
			return nil, fmt.Errorf("groups[%d] %w", i, err)
		}
		m.groups = append(m.groups, t)
	}
	if e.SessionNamePattern != "" {
		if e.Principal.Kind == iam.User || e.Principal.Kind == iam.Root {
			return nil, fmt.Errorf("sessionNamePattern for a %s, which has no session: nobody would match", e.Principal.Kind)
		}
		if m.session, err = compilePattern(e.SessionNamePattern); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// checkSubject checks what says whom the entry is for.
func (m *Mapping) checkSubject() error {
	e := m.entry
	switch {
	case e.Principal.Kind != 0 && e.PermissionSet != (PermissionSet{}):
		return errors.New("names a principal and a permission set, want one of them")
	case e.Principal.Kind == 0 && e.PermissionSet == (PermissionSet{}) && e.UserID == "":
		return errors.New("names no principal")
	case e.Principal.Kind == iam.Role && e.Principal.SessionName != "":
		return fmt.Errorf("names a session, which lasts hours at most; write the role: %s", e.Principal.Canonical())
	}
	if e.PermissionSet != (PermissionSet{}) {
		if err := e.PermissionSet.check(); err != nil {
			return err
		}
	}
	if e.Principal.Kind == 0 && e.PermissionSet == (PermissionSet{}) && iam.CheckAccount(e.UserID) == nil {
		return fmt.Errorf("userid %s is that of an account's root and of all its federated users; name the one that is meant with userarn", e.UserID)
	}
	for i := range len(e.UserID) {
		if c := e.UserID[i]; (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return errors.New("userid has characters other than ASCII letters and digits; leave out the colon and the session name if there is one")
		}
	}
	return nil
}

func (s PermissionSet) check() error {
	if _, ok := iam.LookupPartition(s.Partition); !ok {
		return fmt.Errorf("sso.partition %q is unknown, want one of %s", shorten(s.Partition), strings.Join(iam.PartitionIDs(), ", "))
	}
	if err := iam.CheckAccount(s.Account); err != nil {
		return fmt.Errorf("sso.accountID: %w", err)
	}
	if err := iam.CheckPermissionSetName(s.Name); err != nil {
		return fmt.Errorf("sso.permissionSetName: %w", err)
	}
	return nil
}

// compilePattern compiles a pattern so that it must match the whole session name.
func compilePattern(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("sessionNamePattern has %d bytes, at most %d are possible", len(pattern), maxPattern)
	}
	// Alone first: "a)|(b" would be valid, and not anchored, between the brackets.
	_, err := regexp.Compile(pattern)
	if err == nil {
		var anchored *regexp.Regexp
		if anchored, err = regexp.Compile(`\A(?:` + pattern + `)\z`); err == nil {
			return anchored, nil
		}
	}
	cause := "not a regular expression"
	if e, ok := errors.AsType[*syntax.Error](err); ok {
		cause = string(e.Code)
	}
	return nil, fmt.Errorf("sessionNamePattern: %s; want RE2 syntax (https://github.com/google/re2/wiki/Syntax)", cause)
}

// PrincipalKind returns the kind of the principal that the mapping names by ARN, or 0
// if it names none so. The nil Mapping has none.
func (m *Mapping) PrincipalKind() iam.Kind {
	if m == nil {
		return 0
	}
	return m.entry.Principal.Kind
}

// Entry returns the entry that the mapping was made of.
func (m *Mapping) Entry() Entry {
	e := m.entry
	e.Groups = slices.Clone(e.Groups)
	return e
}

// check tells whether the mapping lets the identity in. The error carries the
// reason code.
func (m *Mapping) check(id iam.Identity) error {
	e := &m.entry
	switch {
	case m.mistake != "":
		return reason.New(reason.EntryInvalid, "%s", m.mistake)
	case !m.names(id):
		// Found by its user ID: see NewIndexByUserID.
		return reason.New(reason.PrincipalIDMismatch, "the mapping for user ID %s names %s, but the caller is %s",
			id.UserID, cmp.Or(e.Source.ARN, e.Principal.Canonical()), id.CanonicalARN)
	case e.UserID != "" && e.UserID != id.UserID:
		return reason.New(reason.PrincipalIDMismatch, "the mapping wants user ID %s, but %s has %s", e.UserID, id.CanonicalARN, id.UserID)
	case m.session != nil && (id.SessionName == "" || !m.session.MatchString(id.SessionName)):
		return reason.New(reason.SessionNameRefused, "session name %q of %s does not match the mapping's sessionNamePattern", id.SessionName, id.CanonicalARN)
	case e.RequireTemporaryCredentials && !id.IsTemporary():
		return reason.New(reason.TemporaryCredentialsRequired, "%s used a long-term access key", id.CanonicalARN)
	}
	return e.Node.checkSession(id.SessionName)
}

// names tells whether the identity is the principal that the mapping is for.
func (m *Mapping) names(id iam.Identity) bool {
	switch {
	case m.key != "":
		return m.key == id.MapKey
	case m.entry.PermissionSet != PermissionSet{}:
		set, ok := permissionSetOf(id.Principal)
		return ok && set == m.entry.PermissionSet
	default:
		return m.entry.UserID != ""
	}
}

// permissionSetOf returns the permission set that a role was made for.
func permissionSetOf(p iam.Principal) (PermissionSet, bool) {
	name, ok := p.PermissionSet()
	return PermissionSet{Partition: p.Partition, Account: p.Account, Name: name}, ok
}

// render returns the name and groups of an identity that check lets in. The error
// carries the reason code.
func (m *Mapping) render(ctx context.Context, id iam.Identity, nodes Nodes, proof NodeProof) (username string, groups []string, err error) {
	r := renderer{id: id, instance: instance{ctx: ctx, caller: id, nodes: nodes, prove: m.WantsProof(proof)}}
	if r.instance.prove {
		if err := r.instance.ask(); err != nil {
			return "", nil, err
		}
	}
	if username, err = m.name(&r, m.username); err != nil {
		return "", nil, within("username", err)
	}
	if n := len(m.groups); n > 0 || m.entry.PolicyGroup != "" {
		groups = make([]string, 0, n+1)
	}
	for i, t := range m.groups {
		group, err := m.name(&r, t)
		if err != nil {
			return "", nil, within(fmt.Sprintf("groups[%d]", i), err)
		}
		if !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	if m.entry.PolicyGroup != "" {
		groups = append(groups, m.entry.PolicyGroup)
	}
	return username, groups, nil
}

// WantsProof tells whether callers must prove to be the instance that their session is
// named after.
func (m *Mapping) WantsProof(proof NodeProof) bool {
	switch proof {
	case ProveNothing:
		return false
	case ProveAllInstances:
		return m.entry.Node == EC2Node || m.username.namesInstance() || slices.ContainsFunc(m.groups, template.namesInstance)
	default:
		return m.entry.Node == EC2Node
	}
}

// name renders one template. A reserved name passes only if the text before the
// first placeholder makes it one, so that what a caller chose never does.
func (m *Mapping) name(r *renderer, t template) (string, error) {
	name, err := r.render(t)
	if err != nil {
		return "", err
	}
	if isOwn(name) {
		return "", reason.New(reason.NameReserved, "%q begins with %s", name, ownPrefix)
	}
	if prefix, ok := reservedPrefix(name); ok && !strings.HasPrefix(t.start(), prefix) {
		return "", reason.New(reason.NameReserved, "%q begins with %s", name, prefix)
	}
	return name, nil
}
