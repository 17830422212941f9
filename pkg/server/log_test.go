package server

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// loggedWebhook returns a Webhook with a clock of its own, and what it logs.
func loggedWebhook(level zapcore.Level) (h *Webhook, logs *observer.ObservedLogs, now *time.Time) {
	core, logs := observer.New(level)
	h, now = benchWebhook(core, nil), new(time.Time)
	*now = time.Unix(1_800_000_000, 0)
	h.now = func() time.Time { return *now }
	return h, logs, now
}

func TestWebhookLogsEveryGrant(t *testing.T) {
	h, logs, _ := loggedWebhook(zapcore.InfoLevel)
	breakGlass := granted()
	breakGlass.user.Mapper = mapper.BootstrapAdmin
	for range 2000 {
		h.logDecision(post(""), granted(), 0)
		h.logDecision(post(""), breakGlass, 0)
	}
	if n := logs.FilterMessage("login granted").Len(); n != 2000 {
		t.Errorf("%d of 2,000 grants were logged", n)
	}
	if n := logs.FilterMessageSnippet("BREAK-GLASS").Len(); n != 2000 {
		t.Errorf("%d of 2,000 grants of administrators were logged", n)
	}
}

func TestWebhookLogOfRefusalsIsBounded(t *testing.T) {
	h, logs, now := loggedWebhook(zapcore.InfoLevel)
	for i := range 10_000 {
		h.logDecision(post(""), decision{err: reason.New(reason.MalformedToken, "%d", i)}, 0)
		h.logBadRequest(post(""), &badRequest{http.StatusBadRequest, fmt.Sprint(i)})
	}
	want := refusalsLogged + (10_000-refusalsLogged)/refusalsSampled
	for _, message := range []string{"login refused: MalformedToken", "request refused"} {
		if n := logs.FilterMessage(message).Len(); n != want {
			t.Errorf("%s: %d of 10,000 were logged, want %d", message, n, want)
		}
	}
	*now = now.Add(time.Second)
	logs.TakeAll()
	h.logDecision(post(""), decision{err: reason.New(reason.MalformedToken, "next")}, 0)
	if logs.Len() != 1 {
		t.Error("nothing was logged a second later")
	}
}

func TestWebhookLogSaysHowOftenARefusalWasRepeated(t *testing.T) {
	// Of two kinds that share a place, which is random, the later has it. That is rare.
	var problems []string
	for range 5 {
		if problems = problemsOfRepeats(); problems == nil {
			return
		}
	}
	t.Errorf("%q", problems)
}

func problemsOfRepeats() (problems []string) {
	errorf := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	h, logs, now := loggedWebhook(zapcore.InfoLevel)
	alice, bob := granted(), granted()
	alice.err = reason.New(reason.NotMapped, "no mapping")
	bob.id.ARN, bob.err = "arn:aws:iam::111122223333:user/bob", alice.err
	unverified := decision{err: reason.New(reason.CredentialsInvalid, "no such key")}
	for i := range 1000 {
		r := post("")
		r.RemoteAddr = fmt.Sprintf("192.0.2.1:%d", 1024+i) // connections of one host
		h.logDecision(r, alice, 0)
		h.logDecision(r, unverified, 0)
		h.logBadRequest(r, &badRequest{http.StatusBadRequest, "no JSON"})
	}
	if n := logs.Len(); n != 3*repeatsLogged {
		errorf("%d lines, want %d", n, 3*repeatsLogged)
	}
	if n := logs.FilterFieldKey("repeated").Len(); n != 0 {
		errorf("%d lines say repeated", n)
	}
	logs.TakeAll()
	other := post("")
	other.RemoteAddr = "[2001:db8::1]:443"
	h.logDecision(post(""), bob, 0)
	h.logDecision(other, unverified, 0)
	h.logDecision(post(""), decision{err: reason.New(reason.CredentialsInvalid, "other detail")}, 0)
	h.logBadRequest(other, &badRequest{http.StatusBadRequest, "no JSON"})
	if n := logs.Len(); n != 4 {
		errorf("%d of 4 other refusals were logged", n)
	}
	logs.TakeAll()
	*now = now.Add(repeatsPeriod)
	h.logDecision(post(""), alice, 0)
	h.logDecision(post(""), unverified, 0)
	h.logBadRequest(post(""), &badRequest{http.StatusBadRequest, "no JSON"})
	h.logDecision(post(""), bob, 0)
	for i, want := range []any{1000 - repeatsLogged, 1000 - repeatsLogged, 1000 - repeatsLogged, nil} {
		if got := logs.All()[i].ContextMap()["repeated"]; fmt.Sprint(got) != fmt.Sprint(want) {
			errorf("line %d says repeated %v, want %v", i, got, want)
		}
	}
	return problems
}

// watchedError tells whether its text was asked for.
type watchedError struct {
	cause *reason.Error
	asked *bool
}

func (e watchedError) Error() string { *e.asked = true; return "text" }
func (e watchedError) Unwrap() error { return e.cause }

func TestWebhookComputesNothingForALineThatIsOff(t *testing.T) {
	for _, c := range []struct {
		level zapcore.Level
		code  reason.Code
	}{
		{zapcore.ErrorLevel, reason.NotMapped},
		{zapcore.ErrorLevel, reason.STSThrottled},
		{zapcore.InfoLevel, reason.ForeignToken},
		{zapcore.InfoLevel, reason.Canceled},
	} {
		h, logs, _ := loggedWebhook(c.level)
		asked := false
		r := post("")
		d := decision{err: watchedError{&reason.Error{Code: c.code}, &asked}}
		if n := testing.AllocsPerRun(100, func() { h.logDecision(r, d, 0) }); n > 0 {
			t.Errorf("%s at %s: %v allocations", c.code, c.level, n)
		}
		if asked || logs.Len() > 0 {
			t.Errorf("%s at %s: text asked for %v, %d lines", c.code, c.level, asked, logs.Len())
		}
	}
	h, _, _ := loggedWebhook(zapcore.ErrorLevel)
	r, d := post(""), granted()
	if n := testing.AllocsPerRun(100, func() { h.logDecision(r, d, 0) }); n > 0 {
		t.Errorf("a grant: %v allocations", n)
	}
}

func TestWebhookLogLine(t *testing.T) {
	h, logs, _ := loggedWebhook(zapcore.DebugLevel)
	h.logDecision(post(""), granted(), 1500*time.Microsecond)
	denied := granted()
	denied.user, denied.err = mapper.User{}, reason.New(reason.NotMapped, "no mapping")
	h.logDecision(post(""), denied, time.Second)
	h.logDecision(post(""), decision{err: errors.New("some error")}, 0)
	h.logDecision(post(""), decision{err: reason.New(reason.ForeignToken, "no prefix")}, 0)
	want := []string{
		"info login granted map[accessKeyId:ASIAEXAMPLEEXAMPLE00 arn:arn:aws:sts::111122223333:assumed-role/admins/bob entry:mapRoles[0] groups:[admins 111122223333] mapper:MountedFile outcome:granted principalId:AROAEXAMPLEEXAMPLE000 reason:Granted remote:192.0.2.1:40000 took:1.5ms username:admin:bob]",
		"warn login refused: NotMapped map[accessKeyId:ASIAEXAMPLEEXAMPLE00 arn:arn:aws:sts::111122223333:assumed-role/admins/bob detail:NotMapped: no mapping hint:" + reason.NotMapped.Hint() + " outcome:denied principalId:AROAEXAMPLEEXAMPLE000 reason:NotMapped remote:192.0.2.1:40000 took:1s]",
		"warn login not decided: Internal map[detail:some error hint:" + reason.Internal.Hint() + " outcome:unavailable reason:Internal remote:192.0.2.1:40000 took:0s]",
		"debug login refused: ForeignToken map[detail:ForeignToken: no prefix hint:" + reason.ForeignToken.Hint() + " outcome:rejected reason:ForeignToken remote:192.0.2.1:40000 took:0s]",
	}
	for i, entry := range logs.All() {
		if got := strings.TrimSpace(fmt.Sprint(entry.Level, " ", entry.Message, " ", entry.ContextMap())); got != want[i] {
			t.Errorf("line %s\nwant %s", got, want[i])
		}
	}
	if logs.Len() != len(want) {
		t.Errorf("%d lines, want %d", logs.Len(), len(want))
	}
}
