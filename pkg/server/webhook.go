package server

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/server/audit"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

// Verifier finds out who made a token. Its errors carry a reason code.
type Verifier interface {
	Verify(ctx context.Context, bearer string) (token.Verification, error)
}

// Mapper finds out who a principal is in Kubernetes. Its errors carry a reason code.
type Mapper interface {
	Map(ctx context.Context, id iam.Identity) (mapper.User, error)
}

// Auditor keeps a record of every decision.
type Auditor interface {
	// Record must return an error if and only if no decision may be answered without
	// its record, and this one could not be written.
	Record(r audit.Record) error
}

// WebhookOptions is what a Webhook is made of. All fields but ScrubbedAccounts, Audit,
// AuditForeignTokens and Now are required.
type WebhookOptions struct {
	Verifier Verifier
	Mapper   Mapper
	Metrics  *Metrics
	Log      *zap.Logger
	// ScrubbedAccounts are accounts of which the answers show neither principals nor
	// unique IDs.
	ScrubbedAccounts []string
	// Audit keeps records of decisions. Nil: nobody does.
	Audit Auditor
	// AuditForeignTokens has decisions about tokens that are not ours, such as those of
	// service accounts, recorded too.
	AuditForeignTokens bool
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Webhook is the handler of TokenReviews. It is where a login is decided and
// logged, one line each.
type Webhook struct {
	verifier Verifier
	mapper   Mapper
	metrics  *Metrics
	log      *zap.Logger
	repeats  *repeats
	scrubbed []string
	audit    Auditor // or nil
	foreign  bool    // tokens that are not ours are recorded too
	now      func() time.Time
}

// decisionTimeout is how long a login may take. The API server waits 30 seconds,
// people don't.
const decisionTimeout = 9 * time.Second

// NewWebhook returns a Webhook.
func NewWebhook(o WebhookOptions) *Webhook {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Webhook{
		verifier: o.Verifier,
		mapper:   o.Mapper,
		metrics:  o.Metrics,
		log:      o.Log,
		repeats:  newRepeats(),
		scrubbed: o.ScrubbedAccounts,
		audit:    o.Audit,
		foreign:  o.AuditForeignTokens,
		now:      o.Now,
	}
}

// decision is how a login ended.
type decision struct {
	err error // nil: the user gets in
	id  iam.Identity
	// source is where the identity comes from, or STS's refusal; empty if STS had no
	// part in it.
	source token.Source
	// region and requestID are those of STS's answer, as far as the verifier says them.
	region, requestID string
	user              mapper.User
}

// ServeHTTP answers one TokenReview.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	review, err := readReview(w, r)
	if bad, ok := errors.AsType[*badRequest](err); ok {
		h.metrics.badRequest(bad.status)
		h.logBadRequest(r, bad)
		http.Error(w, bad.text, bad.status)
		return
	}
	h.metrics.inFlight.Inc()
	defer h.metrics.inFlight.Dec()
	start := h.now()
	ctx, cancel := context.WithTimeout(r.Context(), decisionTimeout)
	defer cancel()
	d := h.decide(ctx, review.token)
	took := h.now().Sub(start)
	if h.audit != nil {
		d = h.record(r, review.token, d, start, took)
	}
	h.metrics.login(reason.Of(d.err), took)
	h.metrics.verification(d.source)
	if d.err == nil && d.user.Mapper == mapper.BootstrapAdmin {
		h.metrics.breakGlass.Inc()
	}
	h.logDecision(r, d, took)
	h.answer(w, review.apiVersion, d)
}

// decide never panics: a defect that one token triggers ends that login alone, and
// as "don't know".
func (h *Webhook) decide(ctx context.Context, bearer string) (d decision) {
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("login panicked; please report this", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			d = decision{err: reason.New(reason.Internal, "the login could not be decided")}
		}
	}()
	verification, err := h.verifier.Verify(ctx, bearer)
	d.id, d.source, d.err = verification.Identity, verification.Source, err
	d.region, d.requestID = verification.Region, verification.RequestID
	if err != nil {
		return d
	}
	if d.user, d.err = h.mapper.Map(ctx, d.id); d.err != nil {
		return d
	}
	if d.user.Username == "" {
		// The API server would let in a user without a name.
		d.err = reason.New(reason.Internal, "the mapper gave no username")
	}
	return d
}

// answer is the one place where a decision becomes an HTTP answer. What each does
// to the API server was measured: see TestAnswersTheAPIServerUnderstands
// in e2e/bed.
func (h *Webhook) answer(w http.ResponseWriter, apiVersion string, d decision) {
	var body []byte
	switch code := reason.Of(d.err); code.Outcome() {
	case reason.Accepted:
		body = encodeGrant(apiVersion, h.userInfo(d))
	case reason.Rejected:
		// Without a text the API server remembers the refusal.
		body = encodeRefusal(apiVersion, "")
	case reason.Denied:
		body = encodeRefusal(apiVersion, h.refusalText(d))
	default:
		// A date, not a number of seconds: at "1" the API server calls 30 times more,
		// once a second, while the person waits.
		w.Header().Set("Retry-After", h.now().Add(time.Second).UTC().Format(http.TimeFormat))
		http.Error(w, h.refusalText(d), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", jsonType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a caller that is gone needs no answer
}

// refusalText is what the API server's log shows.
func (h *Webhook) refusalText(d decision) string {
	code, text := reason.Of(d.err), d.err.Error()
	if h.isScrubbed(d.id) {
		text = string(code)
	}
	if hint := code.Hint(); hint != "" {
		text += " (" + hint + ")"
	}
	return text
}

func (h *Webhook) isScrubbed(id iam.Identity) bool { return slices.Contains(h.scrubbed, id.Account) }

// userInfo has the UID and the extra keys of aws-iam-authenticator, which policies
// and audit pipelines know.
func (h *Webhook) userInfo(d decision) userInfo {
	if h.isScrubbed(d.id) {
		return userInfo{
			username: d.user.Username,
			uid:      "aws-iam-authenticator:administrative:" + d.user.Username,
			groups:   d.user.Groups,
		}
	}
	return userInfo{
		username: d.user.Username,
		uid:      "aws-iam-authenticator:" + d.id.Account + ":" + d.id.UserID,
		groups:   d.user.Groups,
		extra: []extra{
			{"accessKeyId", d.id.AccessKeyID},
			{"arn", d.id.ARN},
			{"canonicalArn", d.id.CanonicalARN},
			{"principalId", d.id.UserID},
			{"sessionName", d.id.SessionName},
			{"sigs.k8s.io/aws-iam-authenticator/principalId", d.id.UserID},
		},
	}
}
