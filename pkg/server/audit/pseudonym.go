package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

const (
	minKey = 32       // bytes of the shortest key of pseudonyms
	maxKey = 64 << 10 // bytes of a file that are read
)

// Pseudonyms put keyed hashes in the place of what names a person: the session name,
// the username, and the names of IAM users and federated users. The same name has the
// same pseudonym as long as the key is the same; whoever has the key can find out
// whether a pseudonym is that of a name that they guess. A nil *Pseudonyms changes
// nothing.
type Pseudonyms struct {
	macs sync.Pool
}

// NewPseudonyms reads the key from a file: at least 32 bytes, spaces and newlines at
// its ends not counted. The file must be closed to others, as the key undoes the
// pseudonyms.
func NewPseudonyms(keyFile string) (*Pseudonyms, error) {
	data, err := readKey(keyFile)
	if err != nil {
		return nil, fmt.Errorf("key of the audit pseudonyms: %w", err)
	}
	key := []byte(strings.TrimSpace(string(data)))
	if len(key) < minKey {
		return nil, fmt.Errorf("key of the audit pseudonyms: %s has %d bytes, want at least %d (make one with: openssl rand -hex 32)", keyFile, len(key), minKey)
	}
	return &Pseudonyms{macs: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}, nil
}

func readKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkKey(path, info); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, maxKey))
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
	return pseudonymPrefix + hex.EncodeToString(mac.Sum(sum[:0])[:sha256.Size/2])
}

const pseudonymPrefix = "p-"

// IsPseudonym tells whether a name has the form of a pseudonym.
func IsPseudonym(name string) bool {
	digits, ok := strings.CutPrefix(name, pseudonymPrefix)
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

// apply puts pseudonyms into a record.
func (p *Pseudonyms) apply(r *Record) {
	if p == nil {
		return
	}
	if len(r.Groups) > 0 {
		person := personOf(r)
		groups := make([]string, len(r.Groups)) // the mapper's own must not change
		for i, group := range r.Groups {
			if person.isIn(group) {
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

// person has the names of whoever logged in, in lower case.
type person struct {
	names []string // of people for sure: of the session, of the IAM user
	words []string // may be ordinary words too, and count only where they stand alone
}

func personOf(r *Record) person {
	var p person
	add := func(to *[]string, names ...string) {
		for _, name := range names {
			if name != "" {
				*to = append(*to, strings.ToLower(name))
			}
		}
	}
	add(&p.names, r.SessionName, strings.ReplaceAll(r.SessionName, "@", "-")) // as {{SessionName}} has it
	if principal, err := iam.ParsePrincipal(r.ARN); err == nil && principal.Kind == iam.User {
		add(&p.names, principal.Name)
		add(&p.words, localPart(principal.Name))
	}
	last := r.Username[strings.LastIndexAny(r.Username, ":/")+1:] // bob, of oidc:bob
	add(&p.words, localPart(r.SessionName), r.Username, last, localPart(last))
	return p
}

// isIn tells whether a group has the person's name in it: a template put it there, or
// whoever wrote the mapping.
func (p person) isIn(group string) bool {
	group = strings.ToLower(group)
	return slices.ContainsFunc(p.names, func(name string) bool { return strings.Contains(group, name) }) ||
		slices.ContainsFunc(p.words, func(word string) bool { return hasWord(group, word) })
}

// localPart is what stands before the @ of a mail address, or nothing.
func localPart(name string) string {
	local, _, ok := strings.Cut(name, "@")
	if !ok {
		return ""
	}
	return local
}

// hasWord tells whether a word stands in a text with no letter or digit next to it.
func hasWord(text, word string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(word)
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if !isWordRune(before) && !isWordRune(after) {
			return true
		}
		from = start + 1
	}
}

func isWordRune(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r))
}
