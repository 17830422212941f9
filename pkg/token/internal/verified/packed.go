package verified

import (
	"strings"
	"time"
	"unsafe"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// packed is an Entry with all its text in one string.
type packed struct {
	text    string
	ends    [textCount]uint16 // where each text ends in it
	kind    iam.Kind
	mapped  bool
	refusal *reason.Error
	asked   time.Time
	expires time.Time
}

const textCount = 11

// texts are all strings of an entry.
func (e *Entry) texts() [textCount]*string {
	id := &e.Identity
	return [...]*string{
		&id.Partition, &id.Account, &id.Path, &id.Name, &id.SessionName,
		&id.ARN, &id.CanonicalARN, &id.MapKey, &id.UserID, &id.AccessKeyID,
		&e.RequestID,
	}
}

// maxText bounds the text of an entry, in bytes, well above what STS says: each part is
// bounded where it is parsed.
const maxText = 1<<16 - 1

// pack never cuts an entry short: one with more text than there can be is empty, and so
// is for nobody.
func pack(e Entry) packed {
	p := packed{kind: e.Identity.Kind, mapped: e.Mapped, refusal: e.Refusal, asked: e.Asked, expires: e.Expires}
	texts, length := e.texts(), 0
	for _, text := range texts {
		length += len(*text)
	}
	if length > maxText {
		return packed{}
	}
	var all strings.Builder
	all.Grow(length)
	for i, text := range texts {
		all.WriteString(*text)
		p.ends[i] = uint16(all.Len())
	}
	p.text = all.String()
	return p
}

// unpack returns what was packed. Its strings are parts of the packed text.
func (p *packed) unpack() Entry {
	e := Entry{Refusal: p.refusal, Mapped: p.mapped, Asked: p.asked, Expires: p.expires}
	e.Identity.Kind = p.kind
	start := uint16(0)
	for i, text := range e.texts() {
		*text = p.text[start:p.ends[i]]
		start = p.ends[i]
	}
	return e
}

// size estimates the memory of an entry: its slot, its share of the map (a key and an
// index, at the map's mean load) and the text.
func (p *packed) size() int {
	const fixed = int(unsafe.Sizeof(slot{})) + 2*int(unsafe.Sizeof(Key{})+unsafe.Sizeof(int32(0)))
	n := fixed + len(p.text)
	if p.refusal != nil {
		n += int(unsafe.Sizeof(*p.refusal)) + len(p.refusal.Detail)
	}
	return n
}
