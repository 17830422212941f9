package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

// Explanation says how a login ends, and why. Its JSON form is stable. There is never
// a token, a signature or a security token in it.
type Explanation struct {
	Outcome string      `json:"outcome"` // granted, rejected, denied or unavailable
	Reason  reason.Code `json:"reason"`  // or Undecided
	Detail  string      `json:"detail,omitempty"`
	Hint    string      `json:"hint,omitempty"`
	URL     string      `json:"url,omitempty"` // where to read more about the reason

	Denial   *Denial   `json:"denial,omitempty"` // that is explained
	Identity *Identity `json:"identity,omitempty"`
	User     *User     `json:"user,omitempty"`
	// Assumed are the assumptions on which the decision rests.
	Assumed     []string     `json:"assumed,omitempty"`
	Steps       []Step       `json:"steps"`
	Suggestions []Suggestion `json:"suggestions,omitempty"`

	err error
}

// Identity is the caller, with the keys of "authenticator verify" in JSON's manner.
type Identity struct {
	ARN          string `json:"arn"`
	CanonicalARN string `json:"canonicalARN"`
	AccountID    string `json:"accountID"`
	UserID       string `json:"userID,omitempty"` // left out if it is not known
	SessionName  string `json:"sessionName,omitempty"`
	AccessKeyID  string `json:"accessKeyID,omitempty"`
}

// User is who the caller is in Kubernetes.
type User struct {
	Username string   `json:"username"`
	Groups   []string `json:"groups"`
	Source   string   `json:"source"`
	Entry    string   `json:"entry"`
}

// Suggestion is what could be done about a refusal.
type Suggestion struct {
	Text    string `json:"text"`
	Snippet string `json:"snippet,omitempty"` // YAML to add
}

// Err returns nil if the login is granted, and else an error with the reason.
func (e *Explanation) Err() error { return e.err }

// end notes how the login ends.
func (e *Explanation) end(err error) {
	code := reason.Of(err)
	e.err, e.Reason, e.Outcome, e.Hint, e.URL = err, code, code.Outcome().String(), code.Hint(), code.URL()
	if err == nil {
		return
	}
	e.Detail = err.Error()
	if r, ok := errors.AsType[*reason.Error](err); ok {
		e.Detail = r.Detail
	}
}

func (e *Explanation) step(name string, result Result, format string, args ...any) {
	e.Steps = append(e.Steps, Step{Name: name, Result: result, Detail: fmt.Sprintf(format, args...)})
}

// fail adds the step at which the login ends.
func (e *Explanation) fail(name string, err error) {
	e.end(err)
	e.step(name, resultOf(err), "%s", e.Detail)
}

// Verifier has STS say who made a token.
type Verifier interface {
	Verify(ctx context.Context, bearer string) (token.Verification, error)
}

// TokenOptions say how a token is verified.
type TokenOptions struct {
	// Verifier is the server's. Nil: STS is not asked, and no token is more than
	// well-formed.
	Verifier Verifier
	// Endpoints are those at which the server asks STS.
	Endpoints token.Endpoints
	// ClusterIDs are those that the server accepts, for suggestions.
	ClusterIDs []string
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Sources reads the sources of mappings, once STS has said who the caller is.
	Sources func(ctx context.Context) (*Sources, error)
}

// ExplainToken explains the login with a token. The error is that of Sources.
func ExplainToken(ctx context.Context, bearer string, o TokenOptions) (Explanation, error) {
	var e Explanation
	id, ok := e.verify(ctx, bearer, o)
	if !ok {
		e.Suggestions = suggestForToken(e.Reason, o)
		return e, nil
	}
	sources, err := o.Sources(ctx)
	if err != nil {
		return e, err
	}
	e.decide(ctx, sources, id, assumption{})
	return e, nil
}

// verify walks a token up to the identity that STS vouches for.
func (e *Explanation) verify(ctx context.Context, bearer string, o TokenOptions) (id iam.Identity, ok bool) {
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	request, err := token.Parse(bearer)
	if err != nil {
		e.fail("token", err)
		return id, false
	}
	e.step("token", OK, "GetCallerIdentity, presigned with the access key %s", request.AccessKeyID)
	if err := o.Endpoints.Check(request); err != nil {
		e.fail("endpoint", err)
		return id, false
	}
	e.step("endpoint", OK, "%s, in %s", request.Host, request.Region)
	if err := request.CheckTime(now(), token.DefaultMaxSkew); err != nil {
		e.fail("time", err)
		return id, false
	}
	e.step("time", OK, "%s", age(request.Date, now()))
	if o.Verifier == nil {
		e.fail("STS", reason.New(Undecided, "STS was not asked who made the token: leave out --offline, or explain the caller with --arn ARN"))
		return id, false
	}
	v, err := o.Verifier.Verify(ctx, bearer)
	switch {
	case reason.Of(err) == reason.PartitionMismatch:
		e.step("STS", OK, "the signature is right, and signed for this cluster")
		e.fail("principal", err)
	case err != nil:
		e.fail("STS", err)
	default:
		e.step("STS", OK, "the signature is right, and signed for this cluster; the caller is %s", v.ARN)
	}
	return v.Identity, err == nil
}

// age says how old a request is, and how long it lives.
func age(date, now time.Time) string {
	signed := "signed at " + date.Format(time.RFC3339)
	old := now.Sub(date).Round(time.Second)
	if old < 0 {
		return fmt.Sprintf("%s, %s ahead of this machine's clock, which is tolerated up to %s", signed, -old, token.DefaultMaxSkew)
	}
	return fmt.Sprintf("%s, %s ago; it lives for another %s", signed, old, token.Lifetime-old)
}

// ExplainARN explains the login of a principal that STS has vouched for. The session
// name of a role and the unique ID may be empty, and what they matter is said.
func (s *Sources) ExplainARN(ctx context.Context, p iam.Principal, session, uniqueID string) (Explanation, error) {
	var e Explanation
	id, assumed, err := s.assume(p, session, uniqueID)
	if err != nil {
		return e, err
	}
	e.decide(ctx, s, id, assumed)
	return e, nil
}

// decide walks an identity through the sources.
func (e *Explanation) decide(ctx context.Context, s *Sources, id iam.Identity, assumed assumption) {
	e.Identity = shown(id, assumed)
	if id.Partition != s.partition {
		// As the verifier says it, which has let no such identity through.
		e.fail("principal", reason.New(reason.PartitionMismatch, "%s is not a principal of the partition %s", id.CanonicalARN, s.partition))
		return
	}
	e.step("principal", OK, "%s", id.CanonicalARN)
	w := s.walk(ctx, id)
	e.Steps = append(e.Steps, s.steps(w, id)...)
	e.Assumed = assumed.matters(w, id)
	if assumed.dependsOnSession(w) {
		refused := e.Steps
		for i := range refused {
			if refused[i].Result == Failed {
				refused[i].Result = Open
			}
		}
		if assumed.pseudonym {
			e.end(reason.New(Undecided, "it depends on the session name, in whose place the record has a pseudonym: explain it with --arn %s --session-name NAME", id.CanonicalARN))
		} else {
			e.end(reason.New(Undecided, "it depends on the session name, which the ARN does not say: give --session-name NAME (with %q: %w)", id.SessionName, w.err))
		}
		return
	}
	e.end(w.err)
	if w.err != nil {
		e.Suggestions = s.suggest(w, id, assumed)
		return
	}
	e.User = &User{Username: w.user.Username, Groups: append([]string{}, w.user.Groups...), Source: w.user.Mapper, Entry: s.entryOf(w)}
}

// entryOf says where the mapping stands that let somebody in.
func (s *Sources) entryOf(w *walk) string {
	if w.entry == nil {
		return mapper.MapAccounts
	}
	return w.lookups[len(w.lookups)-1].source.place(w.entry.Entry().Source)
}

// shown is the identity without what is assumed of it.
func shown(id iam.Identity, assumed assumption) *Identity {
	shown := Identity{
		ARN: id.ARN, CanonicalARN: id.CanonicalARN, AccountID: id.Account,
		UserID: id.UserID, SessionName: id.SessionName, AccessKeyID: id.AccessKeyID,
	}
	if assumed.id {
		shown.UserID = ""
	}
	if assumed.key {
		shown.AccessKeyID = ""
	}
	if assumed.session {
		shown.SessionName = ""
		shown.ARN = strings.TrimSuffix(id.ARN, "/"+id.SessionName) + "/*"
	}
	return &shown
}
