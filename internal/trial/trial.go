// Package trial makes up callers to try the entries of mappings with.
//
// What an entry is worth is found out by having a caller log in by it, through the
// server's own chain: an entry that can be read may still let nobody in.
package trial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// ErrNoSession is returned for an entry whose SessionNamePattern no session name is
// found to match.
var ErrNoSession = errors.New("no session name that STS takes is found to match sessionNamePattern")

// UnknownID stands for a unique ID that nobody said.
const UnknownID = "UNKNOWN"

// TemporaryKey stands for the access key ID of a session.
const TemporaryKey = "ASIAUNKNOWN"

// Identity returns the identity that STS would give for a principal. The session name
// counts for roles, the unique ID for roles and users.
func Identity(p iam.Principal, session, uniqueID, accessKeyID string) (iam.Identity, error) {
	switch p.Kind {
	case iam.Role:
		arn := fmt.Sprintf("arn:%s:sts::%s:assumed-role/%s/%s", p.Partition, p.Account, p.Name, session)
		return iam.NewIdentity(arn, p.Account, uniqueID+":"+session, accessKeyID)
	case iam.FederatedUser:
		return iam.NewIdentity(p.Canonical(), p.Account, p.Account+":"+p.Name, accessKeyID)
	case iam.Root:
		return iam.NewIdentity(p.Canonical(), p.Account, p.Account, accessKeyID)
	default:
		return iam.NewIdentity(p.Canonical(), p.Account, uniqueID, accessKeyID)
	}
}

// Caller returns a caller that the entry is for, with temporary credentials. The error
// says why there is none; with ErrNoSession, the caller has a session name that the
// entry refuses. The partition is that of the server, for entries that name none.
//
// Of the roles of a permission set, and of the owners of a unique ID, it takes one that
// is not named: somebody may have mapped the one that would be taken otherwise.
func Caller(e mapper.Entry, partition string, named func(iam.Identity) bool) (iam.Identity, error) {
	session, noSession := Session(e)
	p := e.Principal
	for n := 0; ; n++ {
		switch set := e.PermissionSet; {
		case p.Kind != 0:
		case set != mapper.PermissionSet{}:
			p = iam.Principal{Kind: iam.Role, Partition: set.Partition, Account: set.Account, Path: "/", Name: fmt.Sprintf("AWSReservedSSO_%s_%016x", set.Name, n)}
		case e.UserID != "":
			p = iam.Principal{Kind: iam.Role, Partition: cmp.Or(partition, "aws"), Account: strings.Repeat("0", 12), Path: "/", Name: fmt.Sprintf("unknown-%d", n)}
			if strings.HasPrefix(e.UserID, "AIDA") {
				p.Kind = iam.User
			}
		default:
			return iam.Identity{}, errors.New("names no principal")
		}
		id, err := Identity(p, session, cmp.Or(e.UserID, UnknownID), TemporaryKey)
		if err != nil {
			return id, err
		}
		if e.UserID == "" && (p.Kind == iam.Role || p.Kind == iam.User) {
			id.UserID = "" // which no other entry can be for
		}
		if e.Principal.Kind != 0 || !named(id) {
			return id, noSession
		}
		p = iam.Principal{}
	}
}

// Nodes is a mapper.Nodes that knows a name for every instance.
type Nodes struct{}

// PrivateDNSName returns the same name for every instance.
func (Nodes) PrivateDNSName(context.Context, iam.Identity, bool) (string, error) {
	return "ip-10-0-0-1.ec2.internal", nil
}

// Source is an index as a mapper that is ready.
type Source struct {
	Backend string
	Index   *mapper.Index
}

// Name returns the name of the backend.
func (s Source) Name() string { return s.Backend }

// Lookup asks the index.
func (s Source) Lookup(id iam.Identity) (*mapper.Mapping, error) { return s.Index.Lookup(id) }

// MapsAccount asks the index.
func (s Source) MapsAccount(account string) (bool, error) { return s.Index.MapsAccount(account), nil }

// Status says that the mapper is ready.
func (Source) Status() mapper.Status { return mapper.Status{Loaded: time.Unix(0, 0)} }

// Names tells whether an entry of the index names the caller by ARN: see Caller.
func (s Source) Names(id iam.Identity) bool {
	m, err := s.Index.Lookup(id)
	return err == nil && m.Entry().Principal.Key() == id.MapKey
}

// Login returns who an identity is by the entries of the source.
func (s Source) Login(id iam.Identity, reservedPrefixes map[string][]string) (mapper.User, error) {
	chain := mapper.NewChain([]mapper.Mapper{s}, mapper.ChainOptions{Nodes: Nodes{}, ReservedPrefixes: reservedPrefixes})
	return chain.Map(context.Background(), id)
}
