package awstest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Credentials are an access key and, if it is temporary, its session.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string    // empty for a long-term key
	Expiration      time.Time // zero for a long-term key
	ARN             string    // as GetCallerIdentity will answer it
}

// AWS returns the credentials in the SDK's form.
func (c Credentials) AWS() aws.Credentials {
	return aws.Credentials{
		AccessKeyID:     c.AccessKeyID,
		SecretAccessKey: c.SecretAccessKey,
		SessionToken:    c.SessionToken,
		CanExpire:       !c.Expiration.IsZero(),
		Expires:         c.Expiration,
		Source:          "awstest",
	}
}

// Retrieve makes Credentials an aws.CredentialsProvider.
func (c Credentials) Retrieve(context.Context) (aws.Credentials, error) { return c.AWS(), nil }

// Role is a role's trust policy and its limits.
type Role struct {
	// TrustedPrincipals may assume the role: ARNs of users, roles and sessions;
	// an account, as "arn:aws:iam::123456789012:root" or as its bare number; or
	// "*" for everybody. Empty: nobody.
	TrustedPrincipals []string
	// ExternalID, if set, must be given on AssumeRole.
	ExternalID string
	// MFASerial, if set, must be given on AssumeRole, together with [MFACode].
	MFASerial string
	// MaxSession is the longest session, 1 h to 12 h; 1 h if zero.
	MaxSession time.Duration
}

// principal is an IAM user or role, or an account's root.
type principal struct {
	parsedARN
	id         string // unique ID: AIDA…, AROA…, or the account number of a root
	generation int    // how often it was recreated
	role       Role   // of a role
}

type accessKey struct {
	secret    string
	principal *principal
	inactive  bool
}

// AddUser creates an IAM user, "arn:aws:iam::123456789012:user/path/name", and a
// long-term access key.
func (s *STS) AddUser(arn string) (Credentials, error) {
	return s.AddUserWithKey(arn, newKeyID("AKIA"), newSecret())
}

// AddUserWithKey is AddUser with a given access key, for stories that print it.
func (s *STS) AddUserWithKey(arn, accessKeyID, secret string) (Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addWithKey(arn, "user", accessKeyID, secret)
}

// AddKey creates a further access key for a user or a root.
func (s *STS) AddKey(arn string) (Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.get(arn)
	if err != nil {
		return Credentials{}, err
	}
	if p.kind == "role" {
		return Credentials{}, fmt.Errorf("%s is a role and has no access keys; use Session", arn)
	}
	return s.addKey(p, newKeyID("AKIA"), newSecret()), nil
}

// AddRole creates an IAM role, "arn:aws:iam::123456789012:role/path/name".
func (s *STS) AddRole(arn string, r Role) error {
	if r.MaxSession == 0 {
		r.MaxSession = time.Hour
	}
	if r.MaxSession < time.Hour || r.MaxSession > 12*time.Hour {
		return fmt.Errorf("maximum session duration %s of %s: want 1h to 12h", r.MaxSession, arn)
	}
	r.TrustedPrincipals = slices.Clone(r.TrustedPrincipals)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.add(arn, "role", r)
	return err
}

// AddRoot creates an access key of an account's root.
func (s *STS) AddRoot(account string) (Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addWithKey("arn:"+s.partition+":iam::"+account+":root", "root", newKeyID("AKIA"), newSecret())
}

// AddFederatedUser mints a session as GetFederationToken does, for
// "arn:aws:sts::123456789012:federated-user/name". It lasts 12 hours.
func (s *STS) AddFederatedUser(arn string) (Credentials, error) {
	a, err := parseARN(arn)
	if err != nil {
		return Credentials{}, err
	}
	if a.kind != "federated-user" {
		return Credentials{}, fmt.Errorf("%q is not the ARN of a federated user", arn)
	}
	return s.seal(caller{
		kind: a.kind, arn: arn, partition: a.partition, account: a.account,
		userID: a.account + ":" + a.name,
	}, 12*time.Hour), nil
}

// Session mints a session of a role for one hour, without a call and whatever
// the role's trust policy says.
func (s *STS) Session(roleARN, sessionName string) (Credentials, error) {
	p, err := s.find(roleARN)
	if err != nil {
		return Credentials{}, err
	}
	if p.kind != "role" {
		return Credentials{}, fmt.Errorf("%s is not a role", roleARN)
	}
	if !sessionNamePattern().MatchString(sessionName) {
		return Credentials{}, fmt.Errorf("session name %q: want %s", sessionName, sessionNamePattern())
	}
	return s.mint(p, sessionName, time.Hour), nil
}

// Recreate deletes a user or role and creates it again, as IAM would: the ARN is
// the same, the unique ID is new, and its keys and sessions work no longer.
func (s *STS) Recreate(arn string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.get(arn)
	if err != nil {
		return err
	}
	if old.kind == "root" {
		return fmt.Errorf("%s can't be recreated: it is the account itself", arn)
	}
	p := newPrincipal(old.parsedARN, old.role, old.generation+1)
	s.principals[p.key()] = p
	maps.DeleteFunc(s.keys, func(_ string, k *accessKey) bool { return k.principal == old })
	return nil
}

// PrincipalID returns the unique ID of a user or role (AIDA…, AROA…), the
// account number of a root, or "" if nobody has that ARN. The same sequence of
// calls gives the same IDs.
func (s *STS) PrincipalID(arn string) string {
	p, err := s.find(arn)
	if err != nil {
		return ""
	}
	return p.id
}

// SetActive activates or deactivates a long-term access key, as UpdateAccessKey of IAM
// does.
func (s *STS) SetActive(accessKeyID string, active bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[accessKeyID]
	if !ok {
		return fmt.Errorf("no access key %q", accessKeyID)
	}
	k.inactive = !active
	return nil
}

// find returns the user, role or root with exactly that ARN.
func (s *STS) find(arn string) (*principal, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.get(arn)
}

// The methods below need s.mu to be held.

func (s *STS) get(arn string) (*principal, error) {
	a, err := parseARN(arn)
	if err != nil {
		return nil, err
	}
	p, ok := s.principals[a.key()]
	if !ok || p.arn != arn {
		return nil, fmt.Errorf("nobody has the ARN %s", arn)
	}
	return p, nil
}

func (s *STS) add(arn, kind string, role Role) (*principal, error) {
	a, err := parseARN(arn)
	if err != nil {
		return nil, err
	}
	if a.kind != kind {
		return nil, fmt.Errorf("%q is not the ARN of a %s", arn, kind)
	}
	if old, exists := s.principals[a.key()]; exists {
		return nil, fmt.Errorf("%s exists already, as %s: names are unique in an account, whatever their path and case", arn, old.arn)
	}
	p := newPrincipal(a, role, 0)
	s.principals[a.key()] = p
	return p, nil
}

func (s *STS) addWithKey(arn, kind, id, secret string) (Credentials, error) {
	if !keyIDPattern().MatchString(id) || secret == "" {
		return Credentials{}, fmt.Errorf("access key ID %q of %s: want %s and a secret", id, arn, keyIDPattern())
	}
	if k, exists := s.keys[id]; exists {
		return Credentials{}, fmt.Errorf("access key ID %s belongs to %s already", id, k.principal.arn)
	}
	p, err := s.add(arn, kind, Role{})
	if err != nil {
		return Credentials{}, err
	}
	return s.addKey(p, id, secret), nil
}

func (s *STS) addKey(p *principal, id, secret string) Credentials {
	s.keys[id] = &accessKey{secret: secret, principal: p}
	return Credentials{AccessKeyID: id, SecretAccessKey: secret, ARN: p.arn}
}

func newPrincipal(a parsedARN, role Role, generation int) *principal {
	p := &principal{parsedARN: a, generation: generation, role: role, id: a.account}
	if prefix := map[string]string{"user": "AIDA", "role": "AROA"}[a.kind]; prefix != "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s#%d", a.arn, generation))
		p.id = prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
	}
	return p
}

// newKeyID returns a random access key ID, 20 characters like AWS's.
func newKeyID(prefix string) string { return prefix + rand.Text()[:16] }

// newSecret returns 40 random characters of the alphabet AWS's secrets have.
func newSecret() string {
	var b [30]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// Compiled at first use: this package is part of a program that starts for every
// kubectl command and mostly doesn't need it.
var (
	keyIDPattern       = lazyPattern(`^[A-Z0-9]{16,128}$`)
	sessionNamePattern = lazyPattern(`^[\w+=,.@-]{2,64}$`)
	arnPattern         = lazyPattern(`^arn:(aws(?:-[a-z]+)*):(iam|sts)::([0-9]{12}):(?:(root)|([a-z-]+)/((?:[!-.0-~]+/)*)([\w+=,.@-]{1,64}))$`)
)

func lazyPattern(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// parsedARN is the ARN of one of the principals IAM and STS know.
type parsedARN struct {
	arn       string
	partition string
	account   string
	kind      string // root, user, role, federated-user
	name      string // without the path
}

// principalKey tells principals apart as IAM does: by name, whatever the path
// and case.
type principalKey struct{ partition, account, kind, name string }

func (a parsedARN) key() principalKey {
	return principalKey{a.partition, a.account, a.kind, strings.ToLower(a.name)}
}

func parseARN(arn string) (parsedARN, error) {
	m := arnPattern().FindStringSubmatch(arn)
	if m == nil {
		return parsedARN{}, fmt.Errorf("%q is not an ARN of a user, role, federated user or root", arn)
	}
	a := parsedARN{arn: arn, partition: m[1], account: m[3], kind: m[4] + m[5], name: m[7]}
	switch {
	case m[2] == "iam" && (a.kind == "root" || a.kind == "user" || a.kind == "role"):
	case m[2] == "sts" && a.kind == "federated-user" && m[6] == "":
	default:
		return parsedARN{}, fmt.Errorf("%q is not an ARN of a user, role, federated user or root", arn)
	}
	return a, nil
}
