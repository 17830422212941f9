package mapper

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// field is a placeholder of a template.
type field int

const (
	literal field = iota // no placeholder: text that stands for itself
	accountID
	sessionName
	sessionNameRaw
	accessKeyID
	ec2PrivateDNSName
	ec2InstanceID
)

// fieldNames are the placeholders: "{{AccountID}}" and so on, as in the original, which
// doesn't have {{EC2InstanceID}}.
var fieldNames = [...]string{
	accountID:         "AccountID",
	sessionName:       "SessionName",
	sessionNameRaw:    "SessionNameRaw",
	accessKeyID:       "AccessKeyID",
	ec2PrivateDNSName: "EC2PrivateDNSName",
	ec2InstanceID:     "EC2InstanceID",
}

// chosenByCaller tells whether whoever assumes a role writes the value.
func (f field) chosenByCaller() bool { return f == sessionName || f == sessionNameRaw }

// piece is a literal or a placeholder.
type piece struct {
	field field
	text  string // of a literal
}

// template is a compiled name. Compiling before any value is known makes sure that
// a value is never read as a template.
type template []piece

// compile compiles a template and checks what can be known of every name that it
// renders.
func compile(text string) (template, error) {
	if err := checkName(text); err != nil {
		return nil, err
	}
	var t template
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "{{")
		if strings.Contains(before, "}}") {
			return nil, errors.New("has }} without {{ before it")
		}
		if before != "" {
			t = append(t, piece{text: before})
		}
		if !found {
			break
		}
		name, after, found := strings.Cut(after, "}}")
		if !found {
			return nil, errors.New("has {{ without }} behind it")
		}
		f, err := fieldNamed(name)
		if err != nil {
			return nil, err
		}
		t = append(t, piece{field: f})
		rest = after
	}
	if isOwn(t.start()) {
		return nil, fmt.Errorf("begins with %s, which is for the access policies of access entries", ownPrefix)
	}
	// system:node:{{SessionName}} lets the caller choose a node, which is as meant;
	// system:{{SessionName}} or system:m{{SessionName}} would let it become anything.
	if rest, ok := strings.CutPrefix(t.start(), "system:"); ok && !strings.Contains(rest, ":") && len(t) > 1 && t[1].field.chosenByCaller() {
		return nil, errors.New("has a session name right behind system: so that callers would choose which of Kubernetes' own names they get")
	}
	return t, nil
}

// fieldNamed returns the placeholder with that name. The original keeps an unknown
// one as literal text, which gives every caller the same name; we refuse it.
func fieldNamed(name string) (field, error) {
	for f := accountID; int(f) < len(fieldNames); f++ {
		if fieldNames[f] == name {
			return f, nil
		}
	}
	return literal, fmt.Errorf("has the unknown placeholder {{%s}}%s", shorten(name), suggest.Known(name, fieldNames[accountID:]))
}

// start returns the text with which the template begins, up to its first
// placeholder.
func (t template) start() string { return t[0].text }

// namesInstance tells whether the template is for EC2 instances.
func (t template) namesInstance() bool {
	return slices.ContainsFunc(t, func(p piece) bool { return p.field == ec2PrivateDNSName || p.field == ec2InstanceID })
}

// renderer renders the templates of one mapping for one identity.
type renderer struct {
	id       iam.Identity
	instance instance
}

// render returns the name that the template gives, which is checked.
func (r *renderer) render(t template) (string, error) {
	name := t.start()
	if len(t) > 1 || t[0].field != literal {
		var b strings.Builder
		b.Grow(64) // most names fit
		for _, p := range t {
			if p.field == literal {
				b.WriteString(p.text)
				continue
			}
			v, err := r.value(p.field)
			if err != nil {
				return "", err
			}
			b.WriteString(v)
		}
		name = b.String()
		if err := checkName(name); err != nil {
			return "", reason.New(reason.TemplateFailed, "the rendered name %w", err)
		}
	}
	return name, nil
}

// value returns what a placeholder stands for, which is never empty.
func (r *renderer) value(f field) (string, error) {
	var v string
	switch f {
	case accountID:
		v = r.id.Account
	case sessionName:
		// As in the original: role bindings name alice-example.com.
		v = strings.ReplaceAll(r.id.SessionName, "@", "-")
	case sessionNameRaw:
		v = r.id.SessionName
	case accessKeyID:
		v = r.id.AccessKeyID
	case ec2PrivateDNSName:
		return r.instance.nodeName()
	case ec2InstanceID:
		return r.id.SessionName, checkInstance(r.id.SessionName)
	}
	if v == "" {
		return "", reason.New(reason.TemplateFailed, "%s has no {{%s}}", r.id.CanonicalARN, fieldNames[f])
	}
	return v, nil
}
