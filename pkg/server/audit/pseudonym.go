package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"strings"
	"sync"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// minKey is the length of the shortest key of pseudonyms, in bytes.
const minKey = 32

// Pseudonyms put keyed hashes in the place of what names a person: the session name,
// the username, and the names of IAM users and federated users. The same name has the
// same pseudonym as long as the key is the same; whoever has the key can find out
// whether a pseudonym is that of a name that they guess. A nil *Pseudonyms changes
// nothing.
type Pseudonyms struct {
	macs sync.Pool
}

// NewPseudonyms reads the key from a file: at least 32 bytes, spaces and newlines at
// its ends not counted.
func NewPseudonyms(keyFile string) (*Pseudonyms, error) {
	data, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("key of the audit pseudonyms: %w", err)
	}
	key := []byte(strings.TrimSpace(string(data)))
	if len(key) < minKey {
		return nil, fmt.Errorf("key of the audit pseudonyms: %s has %d bytes, want at least %d (make one with: openssl rand -hex 32)", keyFile, len(key), minKey)
	}
	return &Pseudonyms{macs: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}, nil
}

// Of returns the pseudonym of a name: "p-" and half of its HMAC-SHA256, in hexadecimal
// digits. The empty name stays empty.
func (p *Pseudonyms) Of(name string) string {
	if p == nil || name == "" {
		return name
	}
	mac := p.macs.Get().(hash.Hash)
	defer p.macs.Put(mac)
	mac.Reset()
	_, _ = mac.Write([]byte(name)) // never fails, by its documentation
	var sum [sha256.Size]byte
	return "p-" + hex.EncodeToString(mac.Sum(sum[:0])[:sha256.Size/2])
}

// IsPseudonym tells whether a name has the form of a pseudonym.
func IsPseudonym(name string) bool {
	digits, ok := strings.CutPrefix(name, "p-")
	sum, err := hex.DecodeString(digits)
	return ok && err == nil && len(sum) == sha256.Size/2 && digits == strings.ToLower(digits)
}

// ARN returns a principal's ARN with pseudonyms in the place of the session name, and of
// the names of users, whose letter case doesn't count. Roles keep theirs.
func (p *Pseudonyms) ARN(arn string) string {
	if p == nil {
		return arn
	}
	principal, err := iam.ParsePrincipal(arn)
	if err != nil {
		return p.Of(arn)
	}
	prefix := "arn:" + principal.Partition
	switch {
	case principal.Kind == iam.User:
		return prefix + ":iam::" + principal.Account + ":user/" + p.Of(strings.ToLower(principal.Path+principal.Name))
	case principal.Kind == iam.FederatedUser:
		return prefix + ":sts::" + principal.Account + ":federated-user/" + p.Of(principal.Name)
	case principal.SessionName != "":
		return prefix + ":sts::" + principal.Account + ":assumed-role/" + principal.Name + "/" + p.Of(principal.SessionName)
	default:
		return arn
	}
}

// apply puts pseudonyms into a record. A group that a template made of the session name
// is a person's too.
func (p *Pseudonyms) apply(r *Record) {
	if p == nil {
		return
	}
	if session := r.SessionName; session != "" {
		groups := make([]string, len(r.Groups)) // the mapper's own must not change
		for i, group := range r.Groups {
			if strings.Contains(group, session) || strings.Contains(group, strings.ReplaceAll(session, "@", "-")) {
				group = p.Of(group)
			}
			groups[i] = group
		}
		r.Groups = groups
	}
	if r.ARN != "" {
		r.Principal, r.ARN = p.ARN(r.Principal), p.ARN(r.ARN)
	}
	r.SessionName, r.Username = p.Of(r.SessionName), p.Of(r.Username)
	// The name of an object is often that of the person whom it is for.
	if kind, name, ok := strings.Cut(r.Entry, "/"); ok {
		r.Entry = kind + "/" + p.Of(name)
	}
}
