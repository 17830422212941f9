package iam

import (
	"fmt"
	"strings"
)

// Kind is the kind of an IAM principal.
type Kind int

// The kinds of principal that can call GetCallerIdentity. A session of a role
// is the role it assumed: see Principal.SessionName.
const (
	User Kind = iota + 1
	Role
	FederatedUser
	Root
)

// String returns the kind as in the resource part of an ARN.
func (k Kind) String() string {
	switch k {
	case User:
		return "user"
	case Role:
		return "role"
	case FederatedUser:
		return "federated-user"
	case Root:
		return "root"
	default:
		return "invalid"
	}
}

// Principal is a parsed IAM principal ARN. The zero value is no principal.
type Principal struct {
	Kind      Kind
	Partition string // a partition that the AWS SDK knows
	Account   string // twelve digits
	Path      string // of a user or role, with both slashes; "/" if it has none
	Name      string // of the user, role or federated user; empty for Root
	// SessionName is set if the ARN was that of an assumed-role session. In an
	// Identity it is also set for a federated user, to its name.
	SessionName string
}

// Limits of IAM and STS, in characters:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	maxName    = 64
	maxSession = 64
	maxPath    = 512
	// maxARN is a bound before parsing, well above the longest valid ARN.
	maxARN = 1024
)

// ParsePrincipal parses the ARN of an IAM user or role, an assumed-role session,
// a federated user or an account's root, in any partition that the AWS SDK knows:
//
//	arn:aws:iam::111122223333:user/path/alice
//	arn:aws:iam::111122223333:role/path/admins
//	arn:aws:sts::111122223333:assumed-role/admins/session
//	arn:aws:sts::111122223333:federated-user/bob
//	arn:aws:iam::111122223333:root
//
// The fixed parts (arn, the partition, the service and the kind) are read in any
// letter case, as people write them; names, path and session keep theirs. The
// error says what is wrong and what was expected. Formats:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
func ParsePrincipal(arn string) (Principal, error) {
	p, err := parse(arn)
	if err != nil {
		return Principal{}, fmt.Errorf("principal ARN %s: %w", quote(arn), err)
	}
	return p, nil
}

func parse(arn string) (Principal, error) {
	if len(arn) > maxARN {
		return Principal{}, fmt.Errorf("%d characters, at most %d are possible", len(arn), maxARN)
	}
	fields := strings.SplitN(arn, ":", 6)
	if len(fields) != 6 || !equalFold(fields[0], "arn") {
		return Principal{}, fmt.Errorf("want arn:PARTITION:iam::ACCOUNT:role/NAME or the like")
	}
	partition, service, region, account, resource := fields[1], fields[2], fields[3], fields[4], fields[5]

	p := Principal{Partition: toLower(partition), Account: account}
	if _, ok := LookupPartition(p.Partition); !ok {
		return Principal{}, fmt.Errorf("unknown partition %s, want one of %s", quote(partition), strings.Join(PartitionIDs(), ", "))
	}
	if region != "" {
		return Principal{}, fmt.Errorf("region %s, but IAM and STS principals have none", quote(region))
	}
	if !isAccount(account) {
		return Principal{}, fmt.Errorf("account %s, want 12 digits", quote(account))
	}

	kind, rest, slash := strings.Cut(resource, "/")
	kind = toLower(kind)
	var err error
	switch toLower(service) + "/" + kind {
	case "iam/root":
		p.Kind = Root
		if slash {
			err = fmt.Errorf("root has no name, but has %s", quote(rest))
		}
	case "iam/user":
		p.Kind = User
		p.Path, p.Name, err = splitPath(rest)
	case "iam/role":
		p.Kind = Role
		p.Path, p.Name, err = splitPath(rest)
	case "sts/assumed-role":
		p.Kind, p.Path = Role, "/"
		p.Name, p.SessionName, _ = strings.Cut(rest, "/")
		if err = checkName("role name", p.Name, maxName); err == nil {
			err = checkName("session name", p.SessionName, maxSession)
		}
	case "sts/federated-user":
		p.Kind, p.Name = FederatedUser, rest
		err = checkName("federated user name", p.Name, maxName)
	default:
		err = fmt.Errorf("%s is not a principal, want iam…:user/, iam…:role/, iam…:root, sts…:assumed-role/ or sts…:federated-user/",
			quote(service+":"+kind))
	}
	if err != nil {
		return Principal{}, err
	}
	return p, nil
}

// splitPath parses "path/name" behind "user/" or "role/".
func splitPath(s string) (path, name string, err error) {
	slash := strings.LastIndexByte(s, '/')
	path, name = "/"+s[:slash+1], s[slash+1:]
	if len(path) > maxPath {
		return "", "", fmt.Errorf("path of %d characters, at most %d are possible", len(path), maxPath)
	}
	for i := range len(path) {
		if path[i] < 0x21 || path[i] > 0x7e {
			return "", "", fmt.Errorf("path %s, want printable ASCII without spaces", quote(path))
		}
	}
	return path, name, checkName("name", name, maxName)
}

// checkName checks for the alphabet that IAM and STS allow in names: [\w+=,.@-].
func checkName(what, name string, limit int) error {
	if name == "" {
		return fmt.Errorf("%s is empty", what)
	}
	if len(name) > limit {
		return fmt.Errorf("%s of %d characters, at most %d are possible", what, len(name), limit)
	}
	for i := range len(name) {
		if !isNameByte(name[i]) {
			return fmt.Errorf("%s %s, want ASCII letters, digits and _+=,.@- only", what, quote(name))
		}
	}
	return nil
}

// Canonical returns the ARN by which principals are compared and mapped, without
// path and session for a role, with its path for a user. It returns "" for the
// zero Principal.
func (p Principal) Canonical() string {
	switch p.Kind {
	case Role:
		return "arn:" + p.Partition + ":iam::" + p.Account + ":role/" + p.Name
	case User:
		return "arn:" + p.Partition + ":iam::" + p.Account + ":user" + p.Path + p.Name
	case FederatedUser:
		return "arn:" + p.Partition + ":sts::" + p.Account + ":federated-user/" + p.Name
	case Root:
		return "arn:" + p.Partition + ":iam::" + p.Account + ":root"
	default:
		return ""
	}
}

// Key returns the canonical ARN in lower case. Two valid principals are the same
// if and only if their keys are equal: names in IAM are unique ignoring case. The
// names of federated users are not, whoever makes one chooses it, so they keep
// their letter case. The zero Principal has the key "", which no index may hold.
func (p Principal) Key() string {
	if p.Kind == FederatedUser {
		return p.Canonical()
	}
	return toLower(p.Canonical())
}

// Same tells whether p and q are the same principal. A session is the same
// principal as its role, and nothing is the same as the zero Principal.
func (p Principal) Same(q Principal) bool {
	return p.Kind != 0 && p.Key() == q.Key()
}

// IAM Identity Center names the role of a permission set
// AWSReservedSSO_NAME_HASH with 16 hexadecimal digits:
// https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html
const (
	ssoPrefix     = "AWSReservedSSO_"
	ssoHashLength = 16
	ssoMaxName    = 32
)

// PermissionSet returns the name of the IAM Identity Center permission set that
// the role was made for. Names are taken as they are: letter case counts.
func (p Principal) PermissionSet() (name string, ok bool) {
	if p.Kind != Role || !strings.HasPrefix(p.Name, ssoPrefix) {
		return "", false
	}
	rest := p.Name[len(ssoPrefix):]
	underscore := len(rest) - ssoHashLength - 1
	if underscore < 1 || underscore > ssoMaxName || rest[underscore] != '_' {
		return "", false
	}
	for _, c := range []byte(rest[underscore+1:]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", false
		}
	}
	return rest[:underscore], true
}

// CheckPermissionSetName returns an error if name can't be that of a permission
// set: 1 to 32 characters of [\w+=,.@-].
func CheckPermissionSetName(name string) error {
	return checkName("permission set name", name, ssoMaxName)
}

// CheckAccount returns an error if account isn't an AWS account ID: 12 digits.
func CheckAccount(account string) error {
	if !isAccount(account) {
		return fmt.Errorf("account %s, want 12 digits", quote(account))
	}
	return nil
}

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func isNameByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	default:
		return strings.IndexByte("_+=,.@-", c) >= 0
	}
}

// toLower folds ASCII only. AWS names are ASCII; Unicode folding would make "K"
// of the Kelvin sign and ASCII "k" one.
func toLower(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

func equalFold(s, lower string) bool { return toLower(s) == lower }

// quote quotes a value for an error message, cut to a length that a log bears.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
