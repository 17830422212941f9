package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// Result is how a step ended.
type Result string

// The results of steps.
const (
	OK         Result = "ok"
	Failed     Result = "failed"     // it stops here
	Open       Result = "open"       // it could not be found out
	None       Result = "none"       // nothing there, or nothing to do
	NotReached Result = "notReached" // an earlier step stopped
)

// Step is one step of a login.
type Step struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	Detail string `json:"detail,omitempty"`
}

// walk is what the chain did for an identity.
type walk struct {
	user     mapper.User
	err      error
	lookups  []lookup // of the sources that were asked, in order
	accounts []lookup
	entry    *mapper.Mapping // that decided; nil: none
}

// lookup is one question to a source.
type lookup struct {
	source  *source
	mapping *mapper.Mapping
	mapped  bool
	err     error
}

// traced notes what the chain asks a source.
type traced struct {
	*source
	walk *walk
}

// Lookup asks the source.
func (t traced) Lookup(id iam.Identity) (*mapper.Mapping, error) {
	m, err := t.source.Lookup(id)
	t.walk.lookups = append(t.walk.lookups, lookup{source: t.source, mapping: m, err: err})
	if err == nil {
		t.walk.entry = m
	}
	return m, err
}

// MapsAccount asks the source.
func (t traced) MapsAccount(account string) (bool, error) {
	mapped, err := t.source.MapsAccount(account)
	t.walk.accounts = append(t.walk.accounts, lookup{source: t.source, mapped: mapped, err: err})
	return mapped, err
}

// walk has the server's chain decide, and notes what it asks.
func (s *Sources) walk(ctx context.Context, id iam.Identity) *walk {
	w := &walk{}
	var mappers []mapper.Mapper
	for _, source := range s.list {
		mappers = append(mappers, traced{source, w})
	}
	w.user, w.err = mapper.NewChain(mappers, s.chain).Map(ctx, id)
	return w
}

// steps tells of each source, and then of what the entry that decided asks for.
func (s *Sources) steps(w *walk, id iam.Identity) []Step {
	var steps []Step
	for i, source := range s.list {
		steps = append(steps, s.sourceStep(w, i, source, id))
	}
	steps = append(steps, w.entrySteps(id, s.chain.NodeProof)...)
	return append(steps, w.accountStep(id))
}

func (s *Sources) sourceStep(w *walk, i int, source *source, id iam.Identity) Step {
	step := Step{Name: source.Name()}
	if i >= len(w.lookups) {
		step.Result = NotReached
		if w.entry != nil {
			step.Detail = "not asked, as an earlier source decided"
		}
		if m, err := source.Lookup(id); err == nil && w.entry != nil {
			step.Detail = source.place(m.Entry().Source) + " is for the principal too, but shadowed: an earlier source decided"
		}
		return step
	}
	switch l := w.lookups[i]; {
	case l.err == nil:
		step.Result, step.Detail = OK, source.place(l.mapping.Entry().Source)
		var others []string
		for _, e := range source.entries {
			if e.names(id.Principal) && !sameObject(l.mapping, e) {
				others = append(others, source.place(e.Source))
			}
		}
		if len(others) > 0 {
			step.Detail += " (it stands instead of " + strings.Join(others, ", ") + ")"
		}
	case errors.Is(l.err, mapper.ErrNotMapped):
		step.Result, step.Detail = None, "no entry in "+source.origin
		for _, e := range source.entries {
			if e.names(id.Principal) && e.skipped != "" {
				step.Detail = fmt.Sprintf("%s names it, but is skipped: %s", source.place(e.Source), e.skipped)
			}
		}
	default:
		step.Result, step.Detail = Open, l.err.Error()
	}
	return step
}

// check is one thing that is checked of the entry that decides.
type check struct {
	name   string
	result Result        // if it passes
	detail string        // if it passes
	codes  []reason.Code // of refusals
}

// checks are in the order in which the chain makes them.
func checks(m *mapper.Mapping, id iam.Identity, proof mapper.NodeProof) []check {
	var e mapper.Entry
	if m != nil {
		e = m.Entry()
	}
	credentials := "any"
	if e.RequireTemporaryCredentials {
		credentials = "temporary, as wanted"
	}
	node := check{"node", OK, "", nodeCodes[:]}
	switch {
	case m != nil && m.WantsProof(proof):
		node.detail = "the instance " + id.SessionName + " is in the caller's account and has its role"
	case strings.Contains(templates(e), "{{EC2PrivateDNSName}}"):
		node.detail = "the instance " + id.SessionName + " is in the caller's account; its role is not asked for, see server.nodeProof"
	case e.Node != mapper.NoNode:
		node.detail = "the session is named like one of the type; nothing else is asked"
	default:
		node.result, node.detail = None, "not for nodes alone"
	}
	return []check{
		{"entry", OK, "valid", []reason.Code{reason.EntryInvalid}},
		{"principal ID", OK, wanted(e.UserID), []reason.Code{reason.PrincipalIDMismatch}},
		{"session name", OK, wanted(e.SessionNamePattern), []reason.Code{reason.SessionNameRefused}},
		{"credentials", OK, credentials, []reason.Code{reason.TemporaryCredentialsRequired}},
		node,
		{"template", OK, e.Username, []reason.Code{reason.TemplateFailed}},
		{"reserved names", OK, "none", []reason.Code{reason.NameReserved}},
	}
}

// nodeCodes are the reasons for which a node is refused.
var nodeCodes = [...]reason.Code{
	reason.NotAnInstance, reason.NodeNameRefused, reason.InstanceNotFound, reason.InstanceAccountMismatch, reason.InstanceRoleMismatch, reason.NodeRoleShared,
}

// entrySteps tells what the entry asks for: the code of a refusal says at which step
// it arose.
func (w *walk) entrySteps(id iam.Identity, proof mapper.NodeProof) (steps []Step) {
	checks := checks(w.entry, id, proof)
	at := len(checks)
	if w.err != nil {
		at = slices.IndexFunc(checks, func(c check) bool { return slices.Contains(c.codes, reason.Of(w.err)) })
		if at < 0 {
			// Which alone does more than compare.
			at = slices.IndexFunc(checks, func(c check) bool { return c.name == "node" })
		}
	}
	for i, c := range checks {
		step := Step{Name: c.name, Result: c.result, Detail: c.detail}
		switch {
		case w.entry == nil:
			step = Step{Name: c.name, Result: NotReached}
		case i == at:
			step.Result, step.Detail = resultOf(w.err), w.err.Error()
		case i > at:
			step = Step{Name: c.name, Result: NotReached}
		}
		steps = append(steps, step)
	}
	return steps
}

// NoNodes are mapper.Nodes that nobody is asked about.
type NoNodes struct{}

// PrivateDNSName says that EC2 was not asked.
func (NoNodes) PrivateDNSName(context.Context, iam.Identity, bool) (string, error) {
	return "", reason.New(Undecided, "EC2 was not asked about it: leave out --offline")
}

func wanted(value string) string {
	if value == "" {
		return "any"
	}
	return "matches " + value + ", as wanted"
}

// resultOf is the result of the step at which a login ends.
func resultOf(err error) Result {
	if reason.Of(err).Outcome() == reason.Unavailable {
		return Open
	}
	return Failed
}

func (w *walk) accountStep(id iam.Identity) Step {
	step := Step{Name: "account mapping", Result: None, Detail: "not needed, as there is an entry"}
	switch {
	case w.entry != nil:
	case len(w.accounts) == 0:
		step.Result, step.Detail = NotReached, ""
	case w.err == nil:
		step.Result, step.Detail = OK, fmt.Sprintf("%s maps every principal of %s", w.user.Mapper, id.Account)
	case errors.Is(w.err, mapper.ErrNotMapped):
		step.Result, step.Detail = Failed, "no source maps the account "+id.Account+", and none has an entry"
	default:
		step.Result, step.Detail = resultOf(w.err), w.err.Error()
	}
	return step
}

// assumption is what an identity is taken to have, as nobody said what it has.
type assumption struct {
	session, id, key bool
	pseudonym        bool // stands for the session name: what depends on that is not decided
}

// assume returns the identity that STS would give for an ARN, and what of it is
// assumed. Of a role, the session name may be empty, and the unique ID of everybody:
// then it is taken to be the one that an entry wants.
func (s *Sources) assume(p iam.Principal, session, uniqueID string) (iam.Identity, assumption, error) {
	id, err := assume(p, session, uniqueID)
	a := assumption{
		session: p.Kind == iam.Role && cmp.Or(session, p.SessionName) == "",
		id:      uniqueID == "" && (p.Kind == iam.Role || p.Kind == iam.User),
		key:     true,
	}
	if err != nil || !a.id {
		return id, a, err
	}
	for _, source := range s.list {
		for _, wanted := range source.wantedIDs(id) {
			// An ID of another kind of principal is none of this one.
			assumed, err := assume(p, session, wanted)
			if err != nil {
				continue
			}
			if _, err := source.Lookup(assumed); err == nil {
				return assumed, a, nil
			}
		}
		if _, err := source.Lookup(id); err == nil {
			break // it decides
		}
	}
	return id, a, nil
}

// wantedIDs returns the unique IDs that entries for the caller want.
func (s *source) wantedIDs(id iam.Identity) (ids []string) {
	if m, err := s.Lookup(id); err == nil {
		return []string{m.Entry().UserID}
	}
	if s.byUserID {
		for _, e := range s.entries {
			if e.names(id.Principal) {
				ids = append(ids, e.UserID)
			}
		}
	}
	return ids
}

// matters returns the assumptions on which the decision rests, for people.
func (a assumption) matters(w *walk, id iam.Identity) []string {
	if w.entry == nil {
		return nil
	}
	e := w.entry.Entry()
	text := templates(e)
	var list []string
	if a.session && !a.pseudonym && (e.SessionNamePattern != "" || e.Node != mapper.NoNode || usesSession(text)) {
		list = append(list, fmt.Sprintf("the session name is %q: give --session-name NAME", id.SessionName))
	}
	if a.id && e.UserID != "" {
		list = append(list, fmt.Sprintf("the unique ID is %s, as the entry wants: give --principal-id ID", id.UserID))
	}
	if a.key && e.RequireTemporaryCredentials && !id.IsTemporary() {
		list = append(list, "a long-term access key is used")
	}
	if a.key && strings.Contains(text, "{{AccessKeyID}}") {
		list = append(list, "the access key ID is "+id.AccessKeyID)
	}
	return list
}

// templates are what the names of an entry are made from.
func templates(e mapper.Entry) string {
	return strings.Join(append([]string{e.Username}, e.Groups...), " ")
}

func usesSession(templates string) bool {
	return strings.Contains(templates, "{{SessionName") || strings.Contains(templates, "{{EC2")
}

// dependsOnSession tells whether another session name could change a refusal, or in the
// place of a pseudonym also who somebody is.
func (a assumption) dependsOnSession(w *walk) bool {
	if !a.session || w.entry == nil {
		return false
	}
	if e := w.entry.Entry(); w.err == nil {
		return a.pseudonym && (e.SessionNamePattern != "" || e.Node != mapper.NoNode || usesSession(templates(e)))
	}
	return slices.Contains([]reason.Code{reason.SessionNameRefused, reason.TemplateFailed, reason.NameReserved, reason.NotAnInstance, reason.NodeNameRefused}, reason.Of(w.err))
}
