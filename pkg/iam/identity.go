package iam

import (
	"fmt"
	"strings"
)

// Identity is a caller that STS vouches for. It is a value: copies are free to
// share, and nothing changes one.
type Identity struct {
	Principal

	// ARN as STS gave it, such as
	// "arn:aws:sts::111122223333:assumed-role/admins/alice".
	ARN string
	// CanonicalARN is Principal.Canonical, computed once.
	CanonicalARN string
	// MapKey is Principal.Key, computed once for the lookup of mappings.
	MapKey string
	// UserID is IAM's unique ID of the user or role ("AIDA…", "AROA…"), without
	// the session name; the account for a federated user and for root.
	UserID string
	// AccessKeyID is the access key that signed the token. It leads to the caller
	// in CloudTrail.
	AccessKeyID string
}

// NewIdentity makes an Identity of the three fields of a GetCallerIdentity
// answer and the access key that signed the request. STS says most things twice;
// where the two don't agree, nothing is believed and the error says why.
func NewIdentity(arn, account, userID, accessKeyID string) (Identity, error) {
	p, err := ParsePrincipal(arn)
	if err != nil {
		return Identity{}, err
	}
	if p.Kind == Role && p.SessionName == "" {
		return Identity{}, fmt.Errorf("caller %s is a role: only a session of one can call", quote(arn))
	}
	if p.Account != account {
		return Identity{}, fmt.Errorf("account %s contradicts the ARN %s", quote(account), quote(arn))
	}
	id, session, hasSession := strings.Cut(userID, ":")
	switch p.Kind {
	case Role:
		if !hasSession || session != p.SessionName {
			return Identity{}, fmt.Errorf("user ID %s contradicts the session of %s", quote(userID), quote(arn))
		}
	case FederatedUser:
		if id != p.Account || session != p.Name {
			return Identity{}, fmt.Errorf("user ID %s contradicts the federated user %s", quote(userID), quote(arn))
		}
		p.SessionName = session
	case Root:
		if userID != p.Account {
			return Identity{}, fmt.Errorf("user ID %s contradicts the root %s", quote(userID), quote(arn))
		}
	default:
		if hasSession {
			return Identity{}, fmt.Errorf("user ID %s has a session, but %s has none", quote(userID), quote(arn))
		}
	}
	if err := checkUniqueID(p.Kind, id); err != nil {
		return Identity{}, err
	}
	return Identity{
		Principal:    p,
		ARN:          arn,
		CanonicalARN: p.Canonical(),
		MapKey:       p.Key(),
		UserID:       id,
		AccessKeyID:  accessKeyID,
	}, nil
}

// checkUniqueID checks the ID's alphabet, and that its prefix is not that of
// another kind of principal. Prefixes that are not listed are let pass, as AWS may
// add some:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
func checkUniqueID(kind Kind, id string) error {
	if id == "" || len(id) > 128 {
		return fmt.Errorf("user ID of %d characters, want 1 to 128", len(id))
	}
	for i := range len(id) {
		if c := id[i]; (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return fmt.Errorf("user ID %s, want ASCII letters and digits", quote(id))
		}
	}
	if kind == Role && strings.HasPrefix(id, "AIDA") || kind == User && strings.HasPrefix(id, "AROA") {
		return fmt.Errorf("user ID %s is not that of a %s", quote(id), kind)
	}
	return nil
}

// IsTemporary tells whether the access key belongs to a session that ends, as
// opposed to a long-term key of a user: temporary keys begin with ASIA.
func (id Identity) IsTemporary() bool { return strings.HasPrefix(id.AccessKeyID, "ASIA") }
