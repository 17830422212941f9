package server

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// Verifier finds out who made a token. Its errors carry a reason code.
type Verifier interface {
	Verify(ctx context.Context, token string) (iam.Identity, error)
}

// Mapper finds out who a principal is in Kubernetes. Its errors carry a reason code.
type Mapper interface {
	Map(ctx context.Context, id iam.Identity) (mapper.User, error)
}

// WebhookOptions is what a Webhook is made of. All fields but ScrubbedAccounts and
// Now are required.
type WebhookOptions struct {
	Verifier Verifier
	Mapper   Mapper
	Metrics  *Metrics
	Log      *zap.Logger
	// ScrubbedAccounts are accounts of which the answers show neither principals nor
	// unique IDs.
	ScrubbedAccounts []string
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Webhook is the handler of TokenReviews. It is where a login is decided and
// logged, one line each.
type Webhook struct {
	verifier Verifier
	mapper   Mapper
	metrics  *Metrics
	log      *zap.Logger // grants, and what concerns the server itself
	refusals *zap.Logger // sampled, as anybody may send bad tokens
	scrubbed []string
	now      func() time.Time
}

// decisionTimeout is how long a login may take. The API server waits 30 seconds,
// people don't.
const decisionTimeout = 9 * time.Second

// Refusals that repeat one reason are logged in full up to so many a second, and
// then one in so many.
const (
	refusalsLogged  = 20
	refusalsSampled = 100
)

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
		refusals: o.Log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(core, time.Second, refusalsLogged, refusalsSampled)
		})),
		scrubbed: o.ScrubbedAccounts,
		now:      o.Now,
	}
}

// decision is how a login ended.
type decision struct {
	err  error // nil: the user gets in
	id   iam.Identity
	user mapper.User
}

// ServeHTTP answers one TokenReview.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	review, err := decodeReview(w, r)
	if bad, ok := errors.AsType[*badRequest](err); ok {
		h.metrics.badRequest(bad.status)
		h.refusals.Info("request refused", zap.Int("status", bad.status), zap.String("detail", bad.text), zap.String("remote", r.RemoteAddr))
		http.Error(w, bad.text, bad.status)
		return
	}
	start := h.now()
	ctx, cancel := context.WithTimeout(r.Context(), decisionTimeout)
	defer cancel()
	d := h.decide(ctx, review.Spec.Token)
	took := h.now().Sub(start)
	h.metrics.login(reason.Of(d.err), took)
	if d.err == nil && d.user.Mapper == mapper.BootstrapAdmin {
		h.metrics.breakGlass.Inc()
	}
	h.logDecision(r, d, took)
	h.answer(w, review.APIVersion, d)
}

// decide never panics: a defect that one token triggers ends that login alone, and
// as "don't know".
func (h *Webhook) decide(ctx context.Context, token string) (d decision) {
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("login panicked; please report this", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			d = decision{err: reason.New(reason.Internal, "the login could not be decided")}
		}
	}()
	if d.id, d.err = h.verifier.Verify(ctx, token); d.err != nil {
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
	var status authenticationv1.TokenReviewStatus
	switch code := reason.Of(d.err); code.Outcome() {
	case reason.Accepted:
		status.Authenticated = true
		status.User = h.userInfo(d)
	case reason.Rejected:
		// Without an error the API server remembers the refusal.
	case reason.Denied:
		status.Error = h.refusalText(d)
	default:
		// A date, not a number of seconds: at "1" the API server calls 30 times more,
		// once a second, while the person waits.
		w.Header().Set("Retry-After", h.now().Add(time.Second).UTC().Format(http.TimeFormat))
		http.Error(w, h.refusalText(d), http.StatusServiceUnavailable)
		return
	}
	body, err := encodeReview(apiVersion, status)
	if err != nil {
		h.log.Error("answer could not be encoded", zap.Error(err))
		http.Error(w, string(reason.Internal), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
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
func (h *Webhook) userInfo(d decision) authenticationv1.UserInfo {
	if h.isScrubbed(d.id) {
		return authenticationv1.UserInfo{
			Username: d.user.Username,
			UID:      "aws-iam-authenticator:administrative:" + d.user.Username,
			Groups:   d.user.Groups,
		}
	}
	return authenticationv1.UserInfo{
		Username: d.user.Username,
		UID:      "aws-iam-authenticator:" + d.id.Account + ":" + d.id.UserID,
		Groups:   d.user.Groups,
		Extra: map[string]authenticationv1.ExtraValue{
			"arn":          {d.id.ARN},
			"canonicalArn": {d.id.CanonicalARN},
			"sessionName":  {d.id.SessionName},
			"accessKeyId":  {d.id.AccessKeyID},
			"principalId":  {d.id.UserID},
			"sigs.k8s.io/aws-iam-authenticator/principalId": {d.id.UserID},
		},
	}
}

// logDecision writes the one line of a login. Foreign tokens, such as those of
// service accounts, are ordinary; they show at debug level only.
func (h *Webhook) logDecision(r *http.Request, d decision, took time.Duration) {
	code := reason.Of(d.err)
	log, level, message := h.refusals, zapcore.WarnLevel, "login refused: "+string(code)
	switch {
	case d.err == nil && d.user.Mapper == mapper.BootstrapAdmin:
		log, message = h.log, "BREAK-GLASS login granted to a bootstrap administrator"
	case d.err == nil:
		log, level, message = h.log, zapcore.InfoLevel, "login granted"
	case code == reason.ForeignToken || code == reason.Canceled:
		level = zapcore.DebugLevel
	case code.Outcome() == reason.Unavailable:
		message = "login not decided: " + string(code)
	}
	entry := log.Check(level, message)
	if entry == nil {
		return
	}
	fields := make([]zap.Field, 0, 12)
	fields = append(fields,
		zap.String("outcome", code.Outcome().String()),
		zap.String("reason", string(code)),
		zap.Duration("took", took),
		zap.String("remote", r.RemoteAddr))
	if d.err != nil {
		fields = append(fields, zap.String("detail", d.err.Error()), zap.String("hint", code.Hint()))
	}
	if d.id.ARN != "" {
		fields = append(fields, zap.String("arn", d.id.ARN), zap.String("principalId", d.id.UserID), zap.String("accessKeyId", d.id.AccessKeyID))
	}
	if d.err == nil {
		fields = append(fields, zap.String("username", d.user.Username), zap.Strings("groups", d.user.Groups),
			zap.String("mapper", d.user.Mapper), zap.String("entry", d.user.Entry))
	}
	entry.Write(fields...)
}
