package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/server"
	"github.com/iam-authenticator/authenticator/pkg/server/audit"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

const admins = "arn:aws:iam::111122223333:role/admins"

const pinned = "arn:aws:iam::111122223333:role/pinned"

// mapAdmins maps the role admins, has an entry that refuses the role pinned, and maps
// nobody else.
type mapAdmins struct{}

func (mapAdmins) Map(_ context.Context, id iam.Identity) (mapper.User, error) {
	if id.CanonicalARN == pinned {
		return mapper.User{Mapper: "AccessEntry", Entry: "AccessEntry/pinned"}, reason.New(reason.PrincipalIDMismatch, "another ID")
	}
	if id.CanonicalARN != admins {
		return mapper.User{}, reason.New(reason.NotMapped, "no mapping for %s", id.CanonicalARN)
	}
	return mapper.User{Username: "admin:" + id.SessionName, Groups: []string{"admins"}, Mapper: "MountedFile", Entry: "mapRoles[0] (line 3)"}, nil
}

// bed is a webhook with an STS behind it.
type bed struct {
	t       *testing.T
	sts     *awstest.STS
	webhook *server.Webhook
	metrics *server.Metrics
}

func newBed(t *testing.T, o server.WebhookOptions) *bed {
	t.Helper()
	return newBedBehind(t, o, func(r http.RoundTripper) http.RoundTripper { return r })
}

// newBedBehind returns a bed with something between the webhook and its STS.
func newBedBehind(t *testing.T, o server.WebhookOptions, proxy func(http.RoundTripper) http.RoundTripper) *bed {
	t.Helper()
	b := &bed{t: t, sts: awstest.New(awstest.Options{}), metrics: server.NewMetrics(server.MetricsOptions{})}
	emulator, err := awstest.NewServer(b.sts, "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { emulator.Close() })
	for _, role := range []string{admins, pinned, "arn:aws:iam::111122223333:role/nobody"} {
		check(t, b.sts.AddRole(role, awstest.Role{}))
	}
	o.Verifier, err = token.NewVerifier(token.VerifierOptions{
		ClusterIDs: []string{"test"},
		Transport:  proxy(token.NewTransport(token.TransportOptions{EmulatorAddress: emulator.Addr(), EmulatorCA: emulator.CertPool()})),
		Cache:      token.CacheOptions{TTL: time.Minute},
	})
	check(t, err)
	o.Mapper, o.Metrics, o.Log = mapAdmins{}, b.metrics, zap.NewNop()
	b.webhook = server.NewWebhook(o)
	return b
}

func (b *bed) token(role string) (bearer, accessKeyID string) {
	b.t.Helper()
	creds, err := b.sts.Session(role, "bob")
	check(b.t, err)
	t, err := token.Presign(b.t.Context(), creds.AWS(), token.PresignOptions{ClusterID: "test", Region: "eu-west-1"})
	check(b.t, err)
	return t.Value, creds.AccessKeyID
}

func (b *bed) review(bearer string) (code int, body string) {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), http.MethodPost, "/authenticate",
		strings.NewReader(fmt.Sprintf(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":%q}}`, bearer)))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = "192.0.2.7:40000"
	answer := httptest.NewRecorder()
	b.webhook.ServeHTTP(answer, r)
	text, err := io.ReadAll(answer.Body)
	check(b.t, err)
	return answer.Code, string(text)
}

func (b *bed) metric(line string) bool {
	b.t.Helper()
	families, err := b.metrics.Gatherer().Gather()
	check(b.t, err)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			text := family.GetName()
			for _, label := range metric.GetLabel() {
				text += " " + label.GetValue()
			}
			if fmt.Sprint(text, " ", metric.GetCounter().GetValue()) == line {
				return true
			}
		}
	}
	return false
}

func TestEveryDecisionIsRecorded(t *testing.T) {
	var out bytes.Buffer
	log, err := audit.New(audit.Options{Path: audit.Stdout, Out: &out})
	check(t, err)
	b := newBed(t, server.WebhookOptions{Audit: log})
	b.metrics.ShowAudit(log.Stats)
	granted, accessKeyID := b.token(admins)
	denied, _ := b.token("arn:aws:iam::111122223333:role/nobody")
	for _, bearer := range []string{granted, granted, denied, "k8s-aws-v1.AAAA", "a-service-accounts-token"} {
		b.review(bearer)
	}
	var got []audit.Record
	check(t, audit.Read(&out, &audit.Tally{}, func(_ []byte, r *audit.Record) error { got = append(got, *r); return nil }))
	if len(got) != 4 {
		t.Fatalf("%d records, want 4: all but that of the foreign token", len(got))
	}
	first, second := got[0], got[1]
	sum := sha256.Sum256([]byte(granted))
	want := audit.Record{
		Version: audit.Version, ID: first.ID, Time: first.Time, Outcome: "granted", Reason: reason.Granted,
		Principal: admins, ARN: "arn:aws:sts::111122223333:assumed-role/admins/bob", Account: "111122223333", SessionName: "bob",
		PrincipalID: b.sts.PrincipalID(admins), AccessKeyID: accessKeyID,
		Mapper: "MountedFile", Entry: "mapRoles[0] (line 3)", Username: "admin:bob", Groups: []string{"admins"},
		Source: "sts", STSRegion: "eu-west-1", STSRequestID: first.STSRequestID,
		LatencyMicros: first.LatencyMicros, TokenHash: hex.EncodeToString(sum[:16]), Remote: "192.0.2.7:40000",
	}
	if fmt.Sprint(first) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", first, want)
	}
	if len(first.STSRequestID) != 36 || first.LatencyMicros <= 0 || time.Since(first.Time) > time.Minute {
		t.Errorf("request ID %q, latency %d µs, time %s", first.STSRequestID, first.LatencyMicros, first.Time)
	}
	if second.Source != "cache" || second.Username != "admin:bob" || second.TokenHash != first.TokenHash || second.ID == first.ID {
		t.Errorf("remembered: %+v", second)
	}
	if r := got[2]; r.Outcome != "denied" || r.Reason != reason.NotMapped || r.Username != "" || r.Principal == "" || r.STSRequestID == "" || r.STSRequestID == first.STSRequestID {
		t.Errorf("denied: %+v", r)
	}
	if r := got[3]; r.Outcome != "rejected" || r.Reason != reason.MalformedToken || r.Principal != "" || r.TokenHash == "" {
		t.Errorf("rejected: %+v", r)
	}
	for _, line := range []string{"iam_authenticator_audit_records_total 4", "iam_authenticator_audit_errors_total 0", "iam_authenticator_logins_total rejected ForeignToken 1"} {
		if !b.metric(line) {
			t.Errorf("metrics lack %s", line)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRequestIDThatIsNoneIsLeftOut(t *testing.T) {
	for id, want := range map[string]string{
		"6f1f6f1e-6c3b-4c55-9c0f-2f1d5d1f7a01": "6f1f6f1e-6c3b-4c55-9c0f-2f1d5d1f7a01",
		"":                                     "",
		"a word of a proxy's own":              "",
		strings.Repeat("x", 65):                "",
	} {
		var out bytes.Buffer
		log, err := audit.New(audit.Options{Path: audit.Stdout, Out: &out})
		check(t, err)
		b := newBedBehind(t, server.WebhookOptions{Audit: log}, func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil {
					resp.Header.Set("X-Amzn-Requestid", id)
				}
				return resp, err
			})
		})
		bearer, _ := b.token(admins)
		b.review(bearer)
		var got string
		check(t, audit.Read(&out, &audit.Tally{}, func(_ []byte, r *audit.Record) error { got = r.STSRequestID; return nil }))
		if got != want {
			t.Errorf("header %q: request ID %q, want %q", id, got, want)
		}
	}
}

func TestDenialSaysWhichEntryDecided(t *testing.T) {
	var out bytes.Buffer
	log, err := audit.New(audit.Options{Path: audit.Stdout, Out: &out})
	check(t, err)
	b := newBed(t, server.WebhookOptions{Audit: log})
	bearer, _ := b.token(pinned)
	b.review(bearer)
	var r audit.Record
	check(t, json.Unmarshal(out.Bytes(), &r))
	if r.Outcome != "denied" || r.Mapper != "AccessEntry" || r.Entry != "AccessEntry/pinned" || r.Username != "" {
		t.Errorf("record %s", &out)
	}
}

func TestForeignTokensAreRecordedOnRequest(t *testing.T) {
	var out bytes.Buffer
	log, err := audit.New(audit.Options{Path: audit.Stdout, Out: &out})
	check(t, err)
	b := newBed(t, server.WebhookOptions{Audit: log, AuditForeignTokens: true})
	b.review("a-service-accounts-token")
	if !strings.Contains(out.String(), `"reason":"ForeignToken"`) || strings.Contains(out.String(), "a-service-accounts-token") {
		t.Errorf("records %s", &out)
	}
}

func TestRecordsHoldNoToken(t *testing.T) {
	var out bytes.Buffer
	log, err := audit.New(audit.Options{Path: audit.Stdout, Out: &out})
	check(t, err)
	b := newBed(t, server.WebhookOptions{Audit: log})
	bearer, _ := b.token(admins)
	b.review(bearer)
	for _, part := range []string{bearer[len(bearer)-40:], "X-Amz", "k8s-aws-v1"} {
		if strings.Contains(out.String(), part) {
			t.Errorf("records %s", &out)
		}
	}
}

func TestFullDiskStopsLoginsOnlyIfRecordsAreRequired(t *testing.T) {
	for _, required := range []bool{false, true} {
		log, err := audit.New(audit.Options{Path: "/dev/full", Required: required})
		check(t, err)
		b := newBed(t, server.WebhookOptions{Audit: log})
		b.metrics.ShowAudit(log.Stats)
		granted, _ := b.token(admins)
		denied, _ := b.token("arn:aws:iam::111122223333:role/nobody")
		for _, bearer := range []string{granted, denied, "k8s-aws-v1.AAAA"} {
			code, body := b.review(bearer)
			if required && (code != http.StatusServiceUnavailable || !strings.HasPrefix(body, "AuditFailed") || strings.Contains(body, "admin:")) {
				t.Errorf("required: answer %d %s", code, body)
			}
			if !required && (code != http.StatusOK || strings.Contains(body, `"authenticated":true`) != (bearer == granted)) {
				t.Errorf("not required: answer %d %s", code, body)
			}
		}
		if code, _ := b.review("a-service-accounts-token"); code != http.StatusOK {
			t.Errorf("required %v: a foreign token is answered with %d", required, code)
		}
		if !b.metric("iam_authenticator_audit_errors_total 3") || b.metric("iam_authenticator_logins_total unavailable AuditFailed 3") != required {
			t.Errorf("required %v: metrics don't say so", required)
		}
	}
}

func TestMetricsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "operations.md"))
	check(t, err)
	m := server.NewMetrics(server.MetricsOptions{})
	m.ShowAudit(func() audit.Stats { return audit.Stats{} })
	families, err := m.Gatherer().Gather()
	check(t, err)
	var audits []string
	for _, family := range families {
		if strings.Contains(family.GetName(), "_audit_") {
			audits = append(audits, family.GetName())
			if !bytes.Contains(doc, []byte("`"+family.GetName()+"`")) {
				t.Errorf("docs/operations.md doesn't explain %s", family.GetName())
			}
		}
	}
	if len(audits) != 2 {
		t.Errorf("metrics %v", audits)
	}
}

func TestEveryFieldIsDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "audit.md"))
	check(t, err)
	full := audit.Record{
		Version: 1, ID: "x", Time: time.Unix(1, 0), Outcome: "x", Reason: "x", Principal: "x", ARN: "x", Account: "x", SessionName: "x",
		PrincipalID: "x", AccessKeyID: "x", Mapper: "x", Entry: "x", Username: "x", Groups: []string{"x"}, Source: "x",
		STSRegion: "x", STSRequestID: "x", LatencyMicros: 1, TokenHash: "x", Remote: "x",
	}
	line, err := json.Marshal(full)
	check(t, err)
	var fields map[string]any
	check(t, json.Unmarshal(line, &fields))
	for name := range fields {
		if !bytes.Contains(doc, []byte("`"+name+"`")) {
			t.Errorf("docs/audit.md doesn't explain %s", name)
		}
	}
}

// broken is an auditor that can't keep records.
type broken struct{}

func (broken) Record(audit.Record) error { return errors.New("broken") }

func TestGrantIsNeverAnsweredWithoutARequiredRecord(t *testing.T) {
	b := newBed(t, server.WebhookOptions{Audit: broken{}})
	bearer, _ := b.token(admins)
	codes := []int{}
	for range 3 {
		code, body := b.review(bearer)
		codes = append(codes, code)
		if strings.Contains(body, "authenticated") {
			t.Errorf("answer %s", body)
		}
	}
	if !slices.Equal(codes, []int{503, 503, 503}) {
		t.Errorf("answers %v", codes)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
