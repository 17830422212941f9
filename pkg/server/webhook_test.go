package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

func TestWebhookGrants(t *testing.T) {
	b := newBed(t, nil)
	creds, err := b.sts.Session(account+"role/team/admins", "bob@example.com")
	check(t, err)
	id := b.sts.PrincipalID(account + "role/team/admins")
	want := authenticationv1.TokenReviewStatus{
		Authenticated: true,
		User: authenticationv1.UserInfo{
			Username: "admin:bob-example.com",
			UID:      "aws-iam-authenticator:111122223333:" + id,
			Groups:   []string{"admins", "111122223333"},
			Extra: map[string]authenticationv1.ExtraValue{
				"arn":          {"arn:aws:sts::111122223333:assumed-role/admins/bob@example.com"},
				"canonicalArn": {"arn:aws:iam::111122223333:role/admins"},
				"sessionName":  {"bob@example.com"},
				"accessKeyId":  {creds.AccessKeyID},
				"principalId":  {id},
				"sigs.k8s.io/aws-iam-authenticator/principalId": {id},
			},
		},
	}
	for _, version := range []string{v1, v1beta1} {
		t.Run(version, func(t *testing.T) {
			if got := b.status(version, b.tokenOf(creds, testCluster, time.Now())); !reflect.DeepEqual(got, want) {
				t.Errorf("status %+v\nwant   %+v", got, want)
			}
		})
	}
}

func TestWebhookVouchesForNoAudience(t *testing.T) {
	b := newBed(t, nil)
	_, _, body := b.review(v1, b.token(account+"role/team/admins", "bob"), "https://kubernetes.default.svc", "vault")
	if !strings.Contains(string(body), `"authenticated":true`) || strings.Contains(string(body), "audiences") {
		t.Errorf("answer %s", body)
	}
}

func TestWebhookScrubsAccounts(t *testing.T) {
	b := newBed(t, nil)
	_, _, body := b.review(v1, b.token("arn:aws:iam::444455556666:role/scrubbed", "bob"))
	var review authenticationv1.TokenReview
	check(t, json.Unmarshal(body, &review))
	want := authenticationv1.UserInfo{Username: "scrubbed", UID: "aws-iam-authenticator:administrative:scrubbed", Groups: []string{"scrubbed"}}
	if !reflect.DeepEqual(review.Status.User, want) || bytes.Contains(body, []byte("444455556666")) {
		t.Errorf("answer %s", body)
	}
}

func TestWebhookScrubsRefusals(t *testing.T) {
	b := newBed(t, nil)
	check(t, b.sts.AddRole("arn:aws:iam::444455556666:role/nobody", awstest.Role{}))
	status := b.status(v1, b.token("arn:aws:iam::444455556666:role/nobody", "bob"))
	if want := "NotMapped (" + reason.NotMapped.Hint() + ")"; status.Error != want {
		t.Errorf("error %q, want %q", status.Error, want)
	}
}

func TestWebhookRefuses(t *testing.T) {
	b := newBed(t, nil)
	admin, err := b.sts.Session(account+"role/team/admins", "bob")
	check(t, err)
	unknown := admin
	unknown.AccessKeyID = "ASIAUNKNOWNUNKNOWN00"
	cases := []struct {
		name, token string
		want        reason.Code
	}{
		{"token of somebody else", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", reason.ForeignToken},
		{"empty token", "", reason.ForeignToken},
		{"malformed token", "k8s-aws-v1.AAAA", reason.MalformedToken},
		{"expired token", b.tokenOf(admin, testCluster, time.Now().Add(-16*time.Minute)), reason.TokenExpired},
		{"another cluster", b.tokenOf(admin, "prod", time.Now()), reason.SignatureMismatch},
		{"unknown access key", b.tokenOf(unknown, testCluster, time.Now()), reason.CredentialsInvalid},
		{"token of the future", b.tokenOf(admin, testCluster, time.Now().Add(50*time.Minute)), reason.TokenFromFuture},
		{"principal without a mapping", b.token(account+"role/nobody", "bob"), reason.NotMapped},
		{"principal created again", b.token(account+"role/pinned", "bob"), reason.PrincipalIDMismatch},
		{"session name that forges a name", b.token(account+"role/masters", "system"), reason.NameReserved},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status := b.status(v1, c.token)
			if status.Authenticated || !reflect.DeepEqual(status.User, authenticationv1.UserInfo{}) {
				t.Errorf("let in: %+v", status)
			}
			switch c.want.Outcome() {
			case reason.Rejected: // without an error, so that the API server remembers it
				if status.Error != "" {
					t.Errorf("error %q", status.Error)
				}
			case reason.Denied:
				if !strings.HasPrefix(status.Error, "") || !strings.Contains(status.Error, string(c.want)) || !strings.Contains(status.Error, c.want.Hint()) {
					t.Errorf("error %q, want %s and its hint", status.Error, c.want)
				}
			default:
				t.Errorf("%s is no refusal", c.want)
			}
		})
	}
}

func TestWebhookNeverDeniesWhatItCouldNotFindOut(t *testing.T) {
	b := newBed(t, nil)
	bearer := b.token(account+"role/team/admins", "bob")
	for name, c := range map[string]struct {
		fault awstest.Fault
		want  reason.Code
	}{
		"throttled":   {awstest.Fault{Kind: awstest.FaultThrottle}, reason.STSThrottled},
		"unavailable": {awstest.Fault{Kind: awstest.FaultUnavailable}, reason.STSUnreachable},
		"reset":       {awstest.Fault{Kind: awstest.FaultReset}, reason.STSUnreachable},
		"HTML":        {awstest.Fault{Kind: awstest.FaultHTML}, reason.STSAnswerInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			b.sts.SetFault(c.fault)
			defer b.sts.ClearFaults()
			// A session of each: who was throttled is not asked about again at once.
			mustBeUnavailable(t, b, b.token(account+"role/team/admins", name), c.want)
		})
	}
	if status := b.status(v1, bearer); !status.Authenticated {
		t.Errorf("afterwards: %+v", status)
	}
}

func mustBeUnavailable(t *testing.T, b *bed, bearer string, want reason.Code) {
	t.Helper()
	code, header, body := b.review(v1, bearer)
	if code != http.StatusServiceUnavailable || !strings.HasPrefix(string(body), string(want)) {
		t.Errorf("answer %d %s, want 503 %s", code, body, want)
	}
	if _, err := http.ParseTime(header.Get("Retry-After")); err != nil {
		t.Errorf("Retry-After %q, want a date: %v", header.Get("Retry-After"), err)
	}
}

type verifierFunc func(context.Context, string) (iam.Identity, error)

func (f verifierFunc) Verify(ctx context.Context, bearer string) (token.Verification, error) {
	id, err := f(ctx, bearer)
	return token.Verification{Identity: id}, err
}

type mapperFunc func(context.Context, iam.Identity) (mapper.User, error)

func (f mapperFunc) Map(ctx context.Context, id iam.Identity) (mapper.User, error) { return f(ctx, id) }

func TestWebhookOutlivesDefects(t *testing.T) {
	anybody := verifierFunc(func(context.Context, string) (iam.Identity, error) { return iam.Identity{}, nil })
	for name, c := range map[string]struct {
		verifier Verifier
		mapper   Mapper
		want     reason.Code
	}{
		"panic": {verifierFunc(func(context.Context, string) (iam.Identity, error) { panic("defect") }), nil, reason.Internal},
		"error without a reason": {verifierFunc(func(context.Context, string) (iam.Identity, error) {
			return iam.Identity{}, fmt.Errorf("some error")
		}), nil, "some error"},
		"empty username": {anybody, mapperFunc(func(context.Context, iam.Identity) (mapper.User, error) {
			return mapper.User{Groups: []string{"system:masters"}}, nil
		}), reason.Internal},
		"mapper that isn't ready": {anybody, mapperFunc(func(context.Context, iam.Identity) (mapper.User, error) {
			return mapper.User{}, fmt.Errorf("mapper X: %w", mapper.Status{}.Ready())
		}), "mapper X: MapperNotReady"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, func(b *bed) { b.webhook.verifier, b.webhook.mapper = c.verifier, c.mapper })
			mustBeUnavailable(t, b, "token", c.want)
			if code, _ := b.get(b.healthURL + "/livez"); code != http.StatusOK {
				t.Errorf("livez %d", code)
			}
		})
	}
}

func TestWebhookDecidesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewWebhook(WebhookOptions{
			Verifier: verifierFunc(func(ctx context.Context, _ string) (iam.Identity, error) {
				<-ctx.Done()
				return iam.Identity{}, reason.New(reason.STSUnreachable, "late")
			}),
			Metrics: NewMetrics(MetricsOptions{}), Log: zap.NewNop(),
		})
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/authenticate",
			strings.NewReader(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"x"}}`))
		req.Header.Set("Content-Type", "application/json")
		start := time.Now()
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, req)
		if took := time.Since(start); took != decisionTimeout || answer.Code != http.StatusServiceUnavailable {
			t.Errorf("answer %d after %s", answer.Code, took)
		}
	})
}

func TestWebhookRejectsBadRequests(t *testing.T) {
	b := newBed(t, nil)
	valid := `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"x"}}`
	cases := []struct {
		rule, contentType, body string
		want                    int
	}{
		{"content type with a charset", "application/json; charset=utf-8", valid, 200},
		{"unknown field", "application/json", strings.Replace(valid, `"spec"`, `"new":1,"spec"`, 1), 200},
		{"content type of a form", "application/x-www-form-urlencoded", valid, 415},
		{"no content type", "", valid, 415},
		{"protobuf", "application/vnd.kubernetes.protobuf", valid, 415},
		{"no JSON", "application/json", "token", 400},
		{"empty", "application/json", "", 400},
		{"null", "application/json", "null", 400},
		{"array", "application/json", "[" + valid + "]", 400},
		{"trailing JSON", "application/json", valid + valid, 400},
		{"other kind", "application/json", strings.Replace(valid, "TokenReview", "SubjectAccessReview", 1), 400},
		{"kind in another letter case", "application/json", strings.Replace(valid, "TokenReview", "tokenreview", 1), 400},
		{"no kind", "application/json", `{"apiVersion":"authentication.k8s.io/v1","spec":{"token":"x"}}`, 400},
		{"other version", "application/json", strings.Replace(valid, "/v1", "/v2", 1), 400},
		{"no version", "application/json", `{"kind":"TokenReview","spec":{"token":"x"}}`, 400},
		{"token a number", "application/json", strings.Replace(valid, `"x"`, "1", 1), 400},
		{"a megabyte", "application/json", strings.Replace(valid, `"x"`, `"`+strings.Repeat("x", maxBody)+`"`, 1), 413},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			code, _, body := b.post(b.url+"/authenticate", c.contentType, []byte(c.body))
			if code != c.want {
				t.Errorf("answer %d %.100s, want %d", code, body, c.want)
			}
		})
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodHead, http.MethodDelete} {
		req, err := http.NewRequest(method, b.url+"/authenticate", nil)
		check(t, err)
		resp, err := b.client.Do(req)
		check(t, err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
	if n := b.sts.Calls(""); n != 0 {
		t.Errorf("STS was called %d times", n)
	}
}

func TestWebhookLogsOneLinePerDecisionAndNoSecrets(t *testing.T) {
	b := newBed(t, nil)
	granted, denied := b.token(account+"role/team/admins", "bob"), b.token(account+"role/nobody", "bob")
	b.status(v1, granted)
	b.status(v1, denied)
	b.status(v1, "a-service-account-token")
	b.status(v1, b.token(account+"role/breakglass", "bob"))
	var lines []string
	for _, entry := range b.logs.All() {
		line := fmt.Sprint(entry.Level, " ", entry.Message, " ", entry.ContextMap())
		lines = append(lines, line)
		for _, bearer := range []string{granted, denied} {
			if strings.Contains(line, bearer[len(bearer)-40:]) || strings.Contains(line, "X-Amz") {
				t.Errorf("the log shows a token: %s", line)
			}
		}
	}
	if len(lines) != 4 {
		t.Fatalf("log %q, want 4 lines", lines)
	}
	for i, want := range []string{"info login granted", "warn login refused: NotMapped", "debug login refused: ForeignToken", "warn BREAK-GLASS login granted"} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d is %q, want %q", i, lines[i], want)
		}
	}
	for _, want := range []string{"admin:bob", "arn:aws:sts::111122223333:assumed-role/admins/bob", "mapRoles[0]", "principalId"} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("the grant %q doesn't name %s", lines[0], want)
		}
	}
}
