package server

import (
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/server/audit"
)

// logDecision writes the one line of a login. Every grant has one; refusals that
// repeat each other are summed up.
func (h *Webhook) logDecision(r *http.Request, d decision, took time.Duration) {
	code := reason.Of(d.err)
	level := levelOf(d, code)
	if !h.log.Core().Enabled(level) {
		return
	}
	message, detail, repeated := "login granted", "", 0
	switch {
	case d.err != nil:
		detail = d.err.Error()
		what := refusal{reason: string(code), caller: d.id.ARN}
		if what.caller == "" {
			what.caller, what.detail = host(r), detail
		}
		var ok bool
		if repeated, ok = h.repeats.log(h.now(), what); !ok {
			return
		}
		message = "login refused: " + string(code)
		if code.Outcome() == reason.Unavailable {
			message = "login not decided: " + string(code)
		}
	case d.user.Mapper == mapper.BootstrapAdmin:
		message = "BREAK-GLASS login granted to a bootstrap administrator"
	}
	h.log.Log(level, message, zap.Inline(&logLine{d, code, took, r.RemoteAddr, detail, repeated}))
}

// levelOf is the level of a login's line. Foreign tokens, such as those of service
// accounts, are ordinary; they show at debug level only.
func levelOf(d decision, code reason.Code) zapcore.Level {
	switch {
	case d.err == nil && d.user.Mapper != mapper.BootstrapAdmin:
		return zapcore.InfoLevel
	case code == reason.ForeignToken, code == reason.Canceled:
		return zapcore.DebugLevel
	default:
		return zapcore.WarnLevel
	}
}

// logLine has what a login's line says.
type logLine struct {
	decision
	code     reason.Code
	took     time.Duration
	remote   string
	detail   string
	repeated int // refusals like this one that had no line
}

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (l *logLine) MarshalLogObject(e zapcore.ObjectEncoder) error {
	e.AddString("outcome", l.code.Outcome().String())
	e.AddString("reason", string(l.code))
	e.AddDuration("took", l.took)
	e.AddString("remote", l.remote)
	if l.source != "" {
		e.AddString("source", string(l.source))
	}
	if l.err != nil {
		e.AddString("detail", l.detail)
		e.AddString("hint", l.code.Hint())
	}
	if l.repeated > 0 {
		e.AddInt("repeated", l.repeated)
	}
	if l.id.ARN != "" {
		e.AddString("arn", l.id.ARN)
		e.AddString("principalId", l.id.UserID)
		e.AddString("accessKeyId", l.id.AccessKeyID)
	}
	if l.err == nil {
		e.AddString("username", l.user.Username)
		zap.Strings("groups", l.user.Groups).AddTo(e)
		e.AddString("mapper", l.user.Mapper)
		e.AddString("entry", l.user.Entry)
	}
	return nil
}

// record keeps the record of a decision, and returns the decision that is answered:
// another one if the record could not be written and is required.
func (h *Webhook) record(r *http.Request, bearer string, d decision, start time.Time, took time.Duration) decision {
	code := reason.Of(d.err)
	if code == reason.ForeignToken && !h.foreign {
		return d
	}
	err := h.audit.Record(audit.Record{
		Time:          start.Add(took),
		Outcome:       code.Outcome().String(),
		Reason:        code,
		Principal:     d.id.CanonicalARN,
		ARN:           d.id.ARN,
		Account:       d.id.Account,
		SessionName:   d.id.SessionName,
		PrincipalID:   d.id.UserID,
		AccessKeyID:   d.id.AccessKeyID,
		Mapper:        d.user.Mapper,
		Entry:         d.user.Entry,
		Username:      d.user.Username,
		Groups:        d.user.Groups,
		Source:        string(d.source),
		STSRegion:     d.region,
		STSRequestID:  d.requestID,
		LatencyMicros: took.Microseconds(),
		TokenHash:     audit.HashToken(bearer),
		Remote:        r.RemoteAddr,
	})
	if err != nil {
		return decision{err: reason.New(reason.AuditFailed, "%w", err), id: d.id, source: d.source}
	}
	return d
}

func (h *Webhook) logBadRequest(r *http.Request, bad *badRequest) {
	if !h.log.Core().Enabled(zapcore.InfoLevel) {
		return
	}
	repeated, ok := h.repeats.log(h.now(), refusal{reason: "bad request", caller: host(r), detail: bad.text})
	if !ok {
		return
	}
	fields := []zap.Field{zap.Int("status", bad.status), zap.String("detail", bad.text), zap.String("remote", r.RemoteAddr)}
	if repeated > 0 {
		fields = append(fields, zap.Int("repeated", repeated))
	}
	h.log.Info("request refused", fields...)
}

// host is where a request comes from, without the port, which each connection has
// its own of.
func host(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
