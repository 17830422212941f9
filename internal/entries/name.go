package entries

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// Name returns the name that an entry for the principal gets:
//
//	role.111122223333.admins                            arn:aws:iam::111122223333:role/team/Admins
//	user.111122223333.ci-a-example-com.b7bdb07a2a6dd3c5 arn:aws:iam::111122223333:user/ci/a@example.com
//	aws-cn.role.111122223333.admins                     arn:aws-cn:iam::111122223333:role/admins
//
// That is the kind, the account and the name in lower case, behind the partition if
// it is not aws. A name that is not of letters, digits and inner dashes, or that has
// a path that counts, has a dash for each other character, and behind it the first
// 64 bits of the SHA-256 of the canonical ARN in lower case. The fields never have a
// dot in them: nobody can choose a name that makes the object of another principal.
func Name(p iam.Principal) string {
	name := p.Name
	if p.Kind == iam.User {
		name = strings.TrimPrefix(p.Path, "/") + p.Name
	}
	name = strings.ToLower(name) // which is ASCII
	label := dashed(name)
	if label != name {
		sum := sha256.Sum256([]byte(p.Key()))
		label = shortened(label) + "." + hex.EncodeToString(sum[:8])
	}
	prefix := ""
	if p.Partition != "aws" {
		prefix = p.Partition + "."
	}
	return prefix + p.Kind.String() + "." + p.Account + "." + label
}

// dashed makes a label of a name in lower case: equal to it if it is one.
func dashed(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, name), "-")
}

// shortened bounds a label so that with all that is around it, it fits the 253
// characters of an object's name. It is never empty.
func shortened(label string) string {
	const most = 100
	if len(label) > most {
		label = strings.Trim(label[:most], "-")
	}
	if label == "" {
		return "x"
	}
	return label
}
