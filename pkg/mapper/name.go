package mapper

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName bounds a rendered username or group, in bytes. Kubernetes has no limit;
// this one is ours.
const maxName = 1024

// reservedPrefixes begin the names that Kubernetes and EKS keep for themselves:
// https://docs.aws.amazon.com/eks/latest/userguide/access-entries.html
var reservedPrefixes = [...]string{"system:", "eks:", "aws:", "amazon:", "iam:"}

// reservedPrefix returns the reserved prefix of a name. Letter case counts, as it
// does for Kubernetes: "System:masters" is a name without any rights of its own,
// so to refuse it would protect nothing.
func reservedPrefix(name string) (string, bool) {
	for _, p := range reservedPrefixes {
		if strings.HasPrefix(name, p) {
			return p, true
		}
	}
	return "", false
}

// ownPrefix begins the groups of access entries with policies, which nobody else can
// be given: no mapping has a name with it, spelled out or not.
const ownPrefix = "iam-authenticator.dev:"

// isOwn tells whether a name begins with ownPrefix, in any letter case: whoever reads
// logs and bindings must not be misled either.
func isOwn(name string) bool {
	return len(name) >= len(ownPrefix) && strings.EqualFold(name[:len(ownPrefix)], ownPrefix)
}

// checkName checks a username or group. Its error goes behind the name of what was
// checked: "is empty".
func checkName(name string) error {
	if strings.TrimSpace(name) == "" {
		return errors.New("is empty")
	}
	if len(name) > maxName {
		return fmt.Errorf("has %d bytes, at most %d are possible", len(name), maxName)
	}
	if !utf8.ValidString(name) {
		return errors.New("is not valid UTF-8")
	}
	for _, r := range name {
		if r >= ' ' && r < 0x7f {
			continue
		}
		// C holds control characters and those that are invisible or turn the text
		// around: what is logged must be what is compared.
		if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) {
			return fmt.Errorf("has the control character %U", r)
		}
	}
	return nil
}

// shorten cuts a value for an error message to a length that a log bears.
func shorten(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
