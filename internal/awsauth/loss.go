package awsauth

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// Caller is who the API server says is asking. What the authenticator's webhook adds
// (aws-iam-authenticator's too) is in Extra and UID.
type Caller struct {
	Username string
	UID      string
	Groups   []string
	Extra    map[string][]string
}

// Losses says who loses what that can hardly be meant: the last administrator, the
// last mapping of nodes, and the caller's own access. Sections must be readable.
// Access that doesn't come from aws-auth (access entries, certificates) does not
// count. A nil caller is not looked at.
func Losses(before, after Document, caller *Caller) ([]string, error) {
	was, err := before.snapshot()
	if err != nil {
		return nil, err
	}
	is, err := after.snapshot()
	if err != nil {
		return nil, err
	}
	var losses []string
	for _, c := range []struct {
		what string
		ok   func(mapper.Entry) bool
	}{
		{"the last administrators: nobody in aws-auth would be in the group system:masters", isAdmin},
		{"every mapping of nodes: no node in aws-auth could join or renew its token", isNode},
	} {
		if lost := was.those(c.ok); len(lost) > 0 && len(is.those(c.ok)) == 0 {
			losses = append(losses, fmt.Sprintf("%s (%s)", c.what, strings.Join(lost, ", ")))
		}
	}
	if caller != nil {
		if loss := was.callerLoss(is, *caller); loss != "" {
			losses = append(losses, loss)
		}
	}
	return losses, nil
}

func isAdmin(e mapper.Entry) bool { return slices.Contains(e.Groups, "system:masters") }

func isNode(e mapper.Entry) bool {
	return strings.HasPrefix(e.Username, "system:node:") && slices.Contains(e.Groups, "system:nodes")
}

// snapshot is what a document means as a whole. It is a mapper.Mapper.
type snapshot struct {
	index    *mapper.Index
	standing map[string]mapper.Entry // by principal: of several entries for one, the one that decides
}

func (d Document) snapshot() (*snapshot, error) {
	var doc mapper.Document
	for name, parsed := range map[string]*mapper.Section{mapper.MapRoles: &doc.Roles, mapper.MapUsers: &doc.Users, mapper.MapAccounts: &doc.Accounts} {
		s, err := d.section(name)
		if err != nil {
			return nil, err
		}
		*parsed = s.parsed
	}
	s := &snapshot{standing: map[string]mapper.Entry{}}
	s.index, _ = mapper.NewIndex(doc.Mappings(), doc.Accounts.Accounts)
	for _, m := range doc.Mappings() {
		e := m.Entry()
		key := e.Principal.Key()
		if key == "" {
			key = fmt.Sprint(e.PermissionSet)
		}
		s.standing[key] = e
	}
	return s, nil
}

func (s *snapshot) Name() string                                    { return "aws-auth" }
func (s *snapshot) Lookup(id iam.Identity) (*mapper.Mapping, error) { return s.index.Lookup(id) }
func (s *snapshot) MapsAccount(account string) (bool, error) {
	return s.index.MapsAccount(account), nil
}
func (s *snapshot) Status() mapper.Status { return mapper.Status{} }
func (s *snapshot) user(id iam.Identity) (user mapper.User, err error) {
	return mapper.NewChain([]mapper.Mapper{s}, mapper.ChainOptions{}).Map(context.Background(), id)
}

// those returns the names of the entries that decide and for which a test holds.
func (s *snapshot) those(ok func(mapper.Entry) bool) []string {
	var names []string
	for _, key := range slices.Sorted(maps.Keys(s.standing)) {
		if e := s.standing[key]; ok(e) {
			names = append(names, e.Source.ARN)
		}
	}
	return names
}

// callerLoss says what the caller loses, if it got its name here.
func (s *snapshot) callerLoss(after *snapshot, c Caller) string {
	id, ok := c.identity()
	if !ok {
		return s.scrubbedLoss(after, c)
	}
	was, err := s.user(id)
	if err != nil || was.Username != c.Username {
		return "" // another source let it in
	}
	you := fmt.Sprintf("your own access (%s, logged in as %s)", id.ARN, c.Username)
	is, err := after.user(id)
	if err != nil {
		return you
	}
	if is.Username != was.Username {
		return fmt.Sprintf("%s: you would be %s", you, is.Username)
	}
	lost := slices.DeleteFunc(slices.Clone(was.Groups), func(g string) bool {
		return slices.Contains(is.Groups, g) || !slices.Contains(c.Groups, g)
	})
	if len(lost) > 0 {
		return fmt.Sprintf("%s: you would no longer be in the group %s", you, strings.Join(lost, ", "))
	}
	return ""
}

// scrubbedLoss is for callers of accounts whose ARNs the server keeps to itself: all
// that there is to go by is the name.
func (s *snapshot) scrubbedLoss(after *snapshot, c Caller) string {
	if !strings.HasPrefix(c.UID, "aws-iam-authenticator:") {
		return ""
	}
	for key, e := range s.standing {
		if e.Username != c.Username {
			continue
		}
		is := after.standing[key]
		if is.Username != e.Username || slices.ContainsFunc(e.Groups, func(g string) bool { return !slices.Contains(is.Groups, g) }) {
			return fmt.Sprintf("your own access (logged in as %s): %s has that name", c.Username, e.Source.ARN)
		}
	}
	return ""
}

// identity returns who the caller is in IAM, if the server says so.
func (c Caller) identity() (iam.Identity, bool) {
	extra := func(key string) string {
		if values := c.Extra[key]; len(values) == 1 {
			return values[0]
		}
		return ""
	}
	arn, userID := extra("arn"), extra("principalId")
	p, err := iam.ParsePrincipal(arn)
	if err != nil {
		return iam.Identity{}, false
	}
	if session := extra("sessionName"); session != "" {
		userID += ":" + session
	}
	id, err := iam.NewIdentity(arn, p.Account, userID, extra("accessKeyId"))
	return id, err == nil
}
