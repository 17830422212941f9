package mapper

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// User is who a principal is in Kubernetes.
type User struct {
	Username string
	Groups   []string // without duplicates; may be nil
	Mapper   string   // the name of the mapper that decided
	Entry    string   // where the mapping stands: "mapRoles[3] (line 12)" or "mapAccounts"
}

// ChainOptions are the options of a Chain.
type ChainOptions struct {
	// Nodes looks up EC2 instances. Nil: logins that need one fail.
	Nodes Nodes
	// NodeProof says of whom a proof is wanted. Default ProveEC2Nodes.
	NodeProof NodeProof
	// ReservedPrefixes are, by the name of the mapper, prefixes that none of its
	// usernames may have, spelled out or not: reservedPrefixConfig of the original.
	// Letter case counts.
	ReservedPrefixes map[string][]string
}

// Chain asks mappers in order.
type Chain struct {
	mappers  []Mapper
	nodes    Nodes
	proof    NodeProof
	prefixes map[string][]string
}

// NewChain returns a chain of the mappers in the given order.
func NewChain(mappers []Mapper, o ChainOptions) *Chain {
	prefixes := make(map[string][]string, len(o.ReservedPrefixes))
	for name, list := range o.ReservedPrefixes {
		prefixes[name] = slices.Clone(list)
	}
	return &Chain{mappers: slices.Clone(mappers), nodes: o.Nodes, proof: o.NodeProof, prefixes: prefixes}
}

// Map returns the Kubernetes user for an identity. The first mapper with an entry
// for the principal decides, and if that entry refuses the caller or can't be
// rendered, no later one is asked. Accounts mapped as a whole come after all
// entries of all mappers. The error is a *reason.Error, with the code NotMapped if
// there is no mapping at all. A mapper that can't answer ends the search, as it may
// have had an entry that refuses.
func (c *Chain) Map(ctx context.Context, id iam.Identity) (User, error) {
	for _, m := range c.mappers {
		mapping, err := m.Lookup(id)
		if err == nil {
			return c.user(ctx, m, mapping, id)
		}
		if !errors.Is(err, ErrNotMapped) {
			return User{Mapper: m.Name()}, within("mapper "+m.Name(), err)
		}
	}
	for _, m := range c.mappers {
		mapped, err := m.MapsAccount(id.Account)
		if err != nil {
			return User{Mapper: m.Name()}, within("mapper "+m.Name(), err)
		}
		if mapped {
			return c.accountUser(m, id)
		}
	}
	return User{}, &reason.Error{Code: reason.NotMapped, Detail: "no mapping for " + id.CanonicalARN, Err: ErrNotMapped}
}

// Knows tells whether any mapper has anything to say about an identity, be it that it
// is refused. A mapper that can't answer may.
func (c *Chain) Knows(id iam.Identity) bool {
	for _, m := range c.mappers {
		if _, err := m.Lookup(id); !errors.Is(err, ErrNotMapped) {
			return true
		}
		if mapped, err := m.MapsAccount(id.Account); mapped || err != nil {
			return true
		}
	}
	return false
}

func (c *Chain) user(ctx context.Context, m Mapper, mapping *Mapping, id iam.Identity) (User, error) {
	user := User{Mapper: m.Name(), Entry: mapping.source}
	err := mapping.check(id)
	if err == nil {
		user.Username, user.Groups, err = mapping.render(ctx, id, c.nodes, c.proof)
	}
	if err == nil {
		err = c.checkPrefix(user)
	}
	return user.unless(err)
}

func (c *Chain) accountUser(m Mapper, id iam.Identity) (User, error) {
	user := User{Username: id.CanonicalARN, Mapper: m.Name(), Entry: "mapAccounts"}
	err := c.checkPrefix(user)
	if nameErr := checkName(user.Username); nameErr != nil {
		err = reason.New(reason.Internal, "the canonical ARN %w", nameErr)
	}
	return user.unless(err)
}

// unless returns the user, or what of it goes with a refusal.
func (u User) unless(err error) (User, error) {
	if err != nil {
		return User{Mapper: u.Mapper, Entry: u.Entry}, within("mapper "+u.Mapper+", "+u.Entry, err)
	}
	return u, nil
}

// checkPrefix checks for the prefixes that the operator reserved.
func (c *Chain) checkPrefix(u User) error {
	for _, prefix := range c.prefixes[u.Mapper] {
		if strings.HasPrefix(u.Username, prefix) {
			return reason.New(reason.NameReserved, "username %q begins with %q, which is reserved for other mappers", u.Username, prefix)
		}
	}
	return nil
}

// within returns the error with the place where it arose, under the same code.
func within(place string, err error) error {
	// Only if err itself has a code may its text be split: an error around one
	// would lose what it adds.
	if e, ok := err.(*reason.Error); ok { //nolint:errorlint // see above
		return &reason.Error{Code: e.Code, Detail: place + ": " + e.Detail, Err: err}
	}
	return &reason.Error{Code: reason.Of(err), Detail: place + ": " + err.Error(), Err: err}
}
