package access

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// What is taken for what an ARN doesn't say.
const (
	anySession = "session"
	anyID      = "UNKNOWN"
)

// assume returns the identity that STS would give for a principal, with a session
// name and unique ID if they are known. Users have a long-term key, as most do.
func assume(p iam.Principal, session, uniqueID string) (iam.Identity, error) {
	uniqueID = cmp.Or(uniqueID, anyID)
	switch p.Kind {
	case iam.Role:
		session = cmp.Or(session, p.SessionName, anySession)
		arn := fmt.Sprintf("arn:%s:sts::%s:assumed-role/%s/%s", p.Partition, p.Account, p.Name, session)
		return iam.NewIdentity(arn, p.Account, uniqueID+":"+session, "ASIAUNKNOWN")
	case iam.FederatedUser:
		return iam.NewIdentity(p.Canonical(), p.Account, p.Account+":"+p.Name, "ASIAUNKNOWN")
	case iam.Root:
		return iam.NewIdentity(p.Canonical(), p.Account, p.Account, "AKIAUNKNOWN")
	default:
		return iam.NewIdentity(p.Canonical(), p.Account, uniqueID, "AKIAUNKNOWN")
	}
}

// caller returns an identity that the entry is for. The error says why there is none.
func (e *entry) caller() (iam.Identity, error) {
	p := e.Principal
	switch set := e.PermissionSet; {
	case p.Kind != 0:
	case set != mapper.PermissionSet{}:
		p = iam.Principal{Kind: iam.Role, Partition: set.Partition, Account: set.Account, Name: "AWSReservedSSO_" + set.Name + "_" + strings.Repeat("0", 16)}
	case strings.HasPrefix(e.UserID, "AIDA"):
		p = iam.Principal{Kind: iam.User, Partition: "aws", Account: strings.Repeat("0", 12), Path: "/", Name: anySession}
	case e.UserID != "":
		p = iam.Principal{Kind: iam.Role, Partition: "aws", Account: strings.Repeat("0", 12), Path: "/", Name: anySession}
	default:
		return iam.Identity{}, fmt.Errorf("names no principal")
	}
	return assume(p, "", e.UserID)
}
