package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/accessentry"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// Proof is the comparison of logins before and after.
type Proof struct {
	Principals  int      `json:"principals"`
	Logins      int      `json:"logins"`
	Differences []string `json:"differences,omitempty"`
	// Dropped says how many logins lose each group, as was asked for.
	Dropped map[string]int `json:"dropped,omitempty"`
	// Narrowed is how many logins are refused as their session is not named like a node of
	// the type.
	Narrowed int `json:"narrowed,omitempty"`
}

// String returns the proof on one line.
func (p Proof) String() string {
	result := []string{"the same"}
	for _, g := range slices.Sorted(maps.Keys(p.Dropped)) {
		result = append(result, fmt.Sprintf("but %d without the group %s", p.Dropped[g], g))
	}
	if p.Narrowed > 0 {
		result = append(result, fmt.Sprintf("but %d refused, as their session is not named like such a node", p.Narrowed))
	}
	if len(p.Differences) > 0 {
		result = []string{fmt.Sprintf("%d differ", len(p.Differences))}
	}
	return fmt.Sprintf("%d principals, %d logins compared: %s", p.Principals, p.Logins, strings.Join(result, ", "))
}

// Err returns an error that explains the differences, if there are any.
func (p Proof) Err() error {
	if len(p.Differences) == 0 {
		return nil
	}
	return fmt.Errorf("%d logins would differ, so nothing is done; map these principals by hand:\n  %s", len(p.Differences), p.shown())
}

// shown returns the first few differences.
func (p Proof) shown() string {
	const most = 5
	return strings.Join(p.Differences[:min(most, len(p.Differences))], "\n  ")
}

// Prove compares the logins of every principal in the source by the source alone with
// those by the access entries before the source, both whole and without what was
// carried.
func (p *Plan) Prove(ctx context.Context) (Proof, error) {
	return p.prove(ctx, accessEntryMapper(p.Entries()), p.source.mapper(), p.rest())
}

// rest returns what the server makes of the source without what was carried.
func (p *Plan) rest() mapper.Mapper {
	s := p.source
	gone := map[*mapper.Mapping]bool{}
	for _, r := range p.Rows {
		if r.Outcome != Left {
			gone[r.mapping] = true
		}
	}
	rest := slices.DeleteFunc(slices.Clone(s.mappings), func(m *mapper.Mapping) bool { return gone[m] })
	return newIndexed(s.backend, rest, s.accounts)
}

// prove compares, with the access entries that are made and with the source as it is left
// by the migration.
func (p *Plan) prove(ctx context.Context, made, whole, rest mapper.Mapper) (Proof, error) {
	o := mapper.ChainOptions{Nodes: anyNode{}}
	before := mapper.NewChain([]mapper.Mapper{whole}, o)
	after := []*mapper.Chain{mapper.NewChain([]mapper.Mapper{made, whole}, o), mapper.NewChain([]mapper.Mapper{made, rest}, o)}

	drops := map[string][]string{}
	for _, r := range p.Rows {
		if r.Outcome == Carried {
			drops[r.key()] = r.drops
		}
	}
	types := map[string]v1alpha1.AccessEntryType{}
	for _, a := range p.Entries() {
		if principal, err := iam.ParsePrincipal(a.Spec.PrincipalARN); err == nil {
			types[principal.Key()] = a.Spec.Type
		}
	}
	var proof Proof
	proof.Dropped = map[string]int{}
	identities, err := p.source.identities()
	if err != nil {
		return Proof{}, err
	}
	principals := map[string]bool{}
	for _, id := range identities {
		principals[id.MapKey] = true
		proof.Logins++
		was := login(ctx, before, id)
		for _, g := range drops[id.MapKey] {
			if slices.Contains(was.groups, g) {
				proof.Dropped[g]++
			}
		}
		was.groups = sorted(was.groups, drops[id.MapKey])
		for _, chain := range after {
			is := login(ctx, chain, id)
			if was.refused == "" && is.refused == reason.NodeNameRefused && accessentry.NodeKind(types[id.MapKey]) != mapper.NoNode {
				proof.Narrowed++
				break
			}
			is.groups = sorted(is.groups, nil)
			if !was.same(is) {
				proof.Differences = append(proof.Differences, fmt.Sprintf("%s (user ID %s): before %s, after %s", id.ARN, id.UserID, was, is))
				break
			}
		}
	}
	proof.Principals = len(principals)
	return proof, nil
}

// outcome is what came of a login.
type outcome struct {
	username string
	groups   []string
	refused  reason.Code // "" if it succeeded
}

func login(ctx context.Context, c *mapper.Chain, id iam.Identity) outcome {
	user, err := c.Map(ctx, id)
	if err != nil {
		return outcome{refused: reason.Of(err)}
	}
	return outcome{username: user.Username, groups: user.Groups}
}

func (o outcome) same(other outcome) bool {
	return o.username == other.username && o.refused == other.refused && slices.Equal(o.groups, other.groups)
}

func (o outcome) String() string {
	if o.refused != "" {
		return "refused (" + string(o.refused) + ")"
	}
	return fmt.Sprintf("%q in %q", o.username, o.groups)
}

// accessEntryMapper returns what the server makes of access entries, of which several for
// one principal follow each other and the last stands. One with a mistake refuses whom it
// is for, if it can be told who that is.
func accessEntryMapper(list []*v1alpha1.AccessEntry) mapper.Mapper {
	var mappings []*mapper.Mapping
	for _, a := range list {
		p, err := iam.ParsePrincipal(a.Spec.PrincipalARN)
		if err != nil {
			continue
		}
		e := mapper.Entry{Source: mapper.Source{Section: a.Name, Index: -1, ARN: a.Spec.PrincipalARN}, Principal: p, UserID: a.Spec.PrincipalID, Node: accessentry.NodeKind(a.Spec.Type)}
		e.Username, e.Groups = effective(a)
		m, err := mapper.NewMapping(e)
		if err = errors.Join(err, a.Validate().ToAggregate()); err != nil {
			m = mapper.NewRefusal(e, err.Error())
		}
		mappings = append(mappings, m)
	}
	return newIndexed(config.BackendAccessEntry, mappings, nil)
}

// effective returns the username and groups that an entry gives.
func effective(a *v1alpha1.AccessEntry) (username string, groups []string) {
	username, groups = a.Defaults()
	if a.Spec.Username != "" {
		username = a.Spec.Username
	}
	if len(a.Spec.KubernetesGroups) > 0 {
		groups = a.Spec.KubernetesGroups
	}
	return username, groups
}

// anyNode gives every instance a name, as logins of nodes are compared with each other
// only.
type anyNode struct{}

func (anyNode) PrivateDNSName(_ context.Context, caller iam.Identity, _ bool) (string, error) {
	return caller.SessionName + ".ec2.internal", nil
}

// sessions are names of sessions as people, programs, nodes and attackers have them.
var sessions = [...]string{"alice", "alice@example.com", "botocore-session-1700000000", "i-0123456789abcdef0", "i-0123456", "system", "a.b+c=d,e"}

// sampleIDs are unique IDs of nobody.
var sampleIDs = map[iam.Kind]string{iam.Role: "AROASAMPLE", iam.User: "AIDASAMPLE"}

// identities returns sample callers for every principal, permission set and account
// that the source names.
func (s *Source) identities() ([]iam.Identity, error) {
	principals := map[string]iam.Principal{}
	userIDs := map[string][]string{}
	add := func(p iam.Principal, userID string) {
		principals[p.Key()] = p
		if userID != "" && !slices.Contains(userIDs[p.Key()], userID) {
			userIDs[p.Key()] = append(userIDs[p.Key()], userID)
		}
	}
	for _, m := range s.mappings {
		e := m.Entry()
		if set := e.PermissionSet; set.Name != "" {
			for _, hash := range []string{"0123456789abcdef", "fedcba9876543210"} {
				add(iam.Principal{Kind: iam.Role, Partition: set.Partition, Account: set.Account, Path: "/", Name: "AWSReservedSSO_" + set.Name + "_" + hash}, e.UserID)
			}
		}
		if e.Principal.Kind != 0 {
			add(e.Principal, e.UserID)
		}
	}
	for _, account := range s.accounts {
		add(iam.Principal{Kind: iam.Role, Partition: "aws", Account: account, Path: "/", Name: "nobody-mapped-this"}, "")
		add(iam.Principal{Kind: iam.User, Partition: "aws", Account: account, Path: "/", Name: "nobody-mapped-this"}, "")
	}
	var all []iam.Identity
	for _, key := range slices.Sorted(maps.Keys(principals)) {
		ids, err := callers(principals[key], userIDs[key])
		if err != nil {
			return nil, err
		}
		all = append(all, ids...)
	}
	return all, nil
}

// callers returns callers that are a principal, as STS would name them.
func callers(p iam.Principal, userIDs []string) (list []iam.Identity, err error) {
	add := func(arn, userID string, keys ...string) {
		for _, key := range keys {
			id, e := iam.NewIdentity(arn, p.Account, userID, key)
			if e != nil {
				err = errors.Join(err, fmt.Errorf("a sample caller: %w", e))
				return
			}
			list = append(list, id)
		}
	}
	const longTerm, temporary = "AKIASAMPLE", "ASIASAMPLE"
	ids := []string{sampleIDs[p.Kind]}
	for _, id := range userIDs {
		if p.Kind == iam.Role && strings.HasPrefix(id, "AIDA") || p.Kind == iam.User && strings.HasPrefix(id, "AROA") {
			continue // of another kind of principal: it never logs in
		}
		ids = append(ids, id)
	}
	switch p.Kind {
	case iam.Role:
		for _, id := range ids {
			for _, session := range sessions {
				add("arn:"+p.Partition+":sts::"+p.Account+":assumed-role/"+p.Name+"/"+session, id+":"+session, temporary)
			}
		}
	case iam.User:
		for _, id := range ids {
			add(p.Canonical(), id, longTerm, temporary)
		}
	case iam.FederatedUser:
		add(p.Canonical(), p.Account+":"+p.Name, temporary)
	case iam.Root:
		add(p.Canonical(), p.Account, longTerm, temporary)
	}
	return list, err
}
