// Package admission answers the API server's question whether a change of mappings may
// be stored: with the linter's findings, and with what a change would take away.
//
// It is a safety net for those who mean well. Whatever it can't make out it lets pass,
// with a warning: a tool that guards mappings must not keep anybody from mending them.
package admission

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/internal/lint"
)

// AllowLoss is the annotation with which an object says that a change may take away the
// last administrator or the last node mapping: "true" on aws-auth itself.
const AllowLoss = "iam-authenticator.dev/allow-loss"

// The paths of the handlers, for ValidatingWebhookConfigurations.
const (
	PathAWSAuth       = "/validate/aws-auth"
	PathAccessEntries = "/validate/accessentries"
)

// Handlers returns the handlers by path.
func Handlers(o lint.Options, log *zap.Logger) map[string]http.Handler {
	turns := make(chan struct{}, maxChecks)
	return map[string]http.Handler{
		PathAWSAuth:       &handler{log: log, turns: turns, check: func(r request) verdict { return checkAWSAuth(r, o) }},
		PathAccessEntries: &handler{log: log, turns: turns, check: func(r request) verdict { return checkAccessEntry(r, o) }},
	}
}

// maxChecks is how many changes are checked at a time, so that logins on the same port
// don't wait for a processor. More are turned away, and pass unchecked.
const maxChecks = 2

// verdict is what there is to say about a change.
type verdict struct {
	errors   []string // why it is refused; none: it is not
	warnings []string
}

// request is the part of an AdmissionReview that matters here.
// https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request
type request struct {
	UID       string          `json:"uid"`
	Operation string          `json:"operation"`
	Namespace string          `json:"namespace"`
	Name      string          `json:"name"`
	Object    json.RawMessage `json:"object"`
	OldObject json.RawMessage `json:"oldObject"`
}

type review struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Request    *request  `json:"request,omitempty"`
	Response   *response `json:"response,omitempty"`
}

type response struct {
	UID      string   `json:"uid"`
	Allowed  bool     `json:"allowed"`
	Status   *status  `json:"status,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

type status struct {
	Code    int    `json:"code"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// maxBody bounds a review, in bytes: an object and the one before it, each as large as
// etcd takes, and escaped.
const maxBody = 4 << 20

// maxWarning is how long one warning may be, in bytes, and maxTexts how many of them and
// of errors there may be; Kubernetes cuts warnings at 4,096 bytes in all, and asks for
// 256 each.
const (
	maxWarning = 256
	maxTexts   = 12
)

type handler struct {
	log   *zap.Logger
	turns chan struct{}
	check func(request) verdict
}

// ServeHTTP answers one AdmissionReview of admission.k8s.io/v1.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "want a POST of an AdmissionReview", http.StatusMethodNotAllowed)
		return
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		http.Error(w, "want the content type application/json", http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "body could not be read, or is too large", http.StatusRequestEntityTooLarge)
		return
	}
	select {
	case h.turns <- struct{}{}:
		defer func() { <-h.turns }()
	default:
		http.Error(w, "too many changes are being checked", http.StatusServiceUnavailable)
		return
	}
	var in review
	if err := json.Unmarshal(body, &in); err != nil || in.Kind != "AdmissionReview" || in.APIVersion != "admission.k8s.io/v1" || in.Request == nil {
		http.Error(w, "want an AdmissionReview of admission.k8s.io/v1 with a request, in JSON", http.StatusBadRequest)
		return
	}
	v := h.safely(*in.Request)
	v.errors = atMost(maxTexts, v.errors)
	out := review{APIVersion: in.APIVersion, Kind: in.Kind, Response: &response{UID: in.Request.UID, Allowed: len(v.errors) == 0, Warnings: shorten(v.warnings)}}
	if !out.Response.Allowed {
		out.Response.Status = &status{Code: http.StatusUnprocessableEntity, Reason: "Invalid", Message: strings.Join(v.errors, "; ")}
		h.log.Info("change of mappings refused", zap.String("object", in.Request.Namespace+"/"+in.Request.Name),
			zap.String("operation", in.Request.Operation), zap.Strings("errors", v.errors))
	}
	answer, err := json.Marshal(out)
	if err != nil {
		http.Error(w, "the answer could not be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}

// safely lets a change pass that a defect of ours keeps from being checked.
func (h *handler) safely(r request) (v verdict) {
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("the check of a change panicked; please report this", zap.Any("panic", p), zap.Stack("stack"))
			v = verdict{warnings: []string{"authenticator could not check this change"}}
		}
	}()
	return h.check(r)
}

func shorten(warnings []string) []string {
	warnings = atMost(maxTexts, warnings)
	for i, text := range warnings {
		if len(text) > maxWarning {
			warnings[i] = strings.ToValidUTF8(text[:maxWarning-3], "") + "..."
		}
	}
	return warnings
}

// atMost returns the first texts, and how many more there are.
func atMost(n int, texts []string) []string {
	if len(texts) <= n {
		return texts
	}
	return append(texts[:n-1:n-1], fmt.Sprintf("and %d more: 'authenticator lint' shows all", len(texts)-n+1))
}
