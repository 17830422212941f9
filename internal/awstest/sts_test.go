package awstest

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// newServer serves a new STS, whose clock is the real one as the SDK has no
// other.
func newServer(tb testing.TB) (*STS, *Server) {
	tb.Helper()
	s := New(Options{})
	srv, err := NewServer(s, "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { srv.Close() })
	return s, srv
}

// sdk returns the SDK's client, calling STS's real host name for the region.
func sdk(srv *Server, region string, c Credentials) *awssts.Client {
	return awssts.New(awssts.Options{
		Region: region, Credentials: c, HTTPClient: srv.Client(), Retryer: aws.NopRetryer{},
	})
}

// errorCode returns the code, status and message of an error of the SDK.
func errorCode(err error) (code string, status int, message string) {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		code, message = e.ErrorCode(), e.ErrorMessage()
	}
	if e, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		status = e.HTTPStatusCode()
	}
	return code, status, message
}

func TestSDKGetCallerIdentity(t *testing.T) {
	s, srv := newServer(t)
	user := must(s.AddUser("arn:aws:iam::111122223333:user/a/b/alice"))
	root := must(s.AddRoot("111122223333"))
	federated := must(s.AddFederatedUser("arn:aws:sts::111122223333:federated-user/fred"))
	chinese := must(s.AddUser("arn:aws-cn:iam::111122223333:user/alice"))
	const role = "arn:aws:iam::111122223333:role/path/dev"
	if err := s.AddRole(role, Role{}); err != nil {
		t.Fatal(err)
	}
	session := must(s.Session(role, "alice@example.com"))

	for _, test := range []struct {
		creds               Credentials
		region, arn, userID string
		keyPrefix, idPrefix string
	}{
		{user, "us-west-2", "arn:aws:iam::111122223333:user/a/b/alice", s.PrincipalID("arn:aws:iam::111122223333:user/a/b/alice"), "AKIA", "AIDA"},
		{root, "us-east-1", "arn:aws:iam::111122223333:root", "111122223333", "AKIA", "1111"},
		{federated, "us-east-1", "arn:aws:sts::111122223333:federated-user/fred", "111122223333:fred", "ASIA", "1111"},
		{chinese, "cn-north-1", "arn:aws-cn:iam::111122223333:user/alice", s.PrincipalID("arn:aws-cn:iam::111122223333:user/alice"), "AKIA", "AIDA"},
		{session, "eu-central-1", "arn:aws:sts::111122223333:assumed-role/dev/alice@example.com", s.PrincipalID(role) + ":alice@example.com", "ASIA", "AROA"},
	} {
		out, err := sdk(srv, test.region, test.creds).GetCallerIdentity(t.Context(), nil)
		if err != nil {
			t.Errorf("%s: %v", test.arn, err)
			continue
		}
		if *out.Arn != test.arn || *out.Account != "111122223333" || *out.UserId != test.userID {
			t.Errorf("got %s %s %s, want %s %s", *out.Arn, *out.Account, *out.UserId, test.arn, test.userID)
		}
		if test.creds.ARN != test.arn || !strings.HasPrefix(test.creds.AccessKeyID, test.keyPrefix) || len(test.creds.AccessKeyID) != 20 {
			t.Errorf("%s: credentials %s of %s", test.arn, test.creds.AccessKeyID, test.creds.ARN)
		}
		if id, _, _ := strings.Cut(*out.UserId, ":"); !strings.HasPrefix(id, test.idPrefix) || len(id) != 21 && len(id) != 12 {
			t.Errorf("%s: unique ID %q", test.arn, id)
		}
	}
}

func TestSDKAssumeRole(t *testing.T) {
	s, srv := newServer(t)
	const (
		account = "arn:aws:iam::111122223333:"
		mfa     = account + "mfa/alice"
	)
	alice := must(s.AddUser(account + "user/alice"))
	root := must(s.AddRoot("111122223333"))
	stranger := must(s.AddUser("arn:aws:iam::999988887777:user/alice"))
	federated := must(s.AddFederatedUser("arn:aws:sts::111122223333:federated-user/alice"))
	for arn, role := range map[string]Role{
		account + "role/x/dev":    {TrustedPrincipals: []string{alice.ARN}, MaxSession: 2 * time.Hour},
		account + "role/account":  {TrustedPrincipals: []string{account + "root"}},
		account + "role/number":   {TrustedPrincipals: []string{"111122223333"}},
		account + "role/anybody":  {TrustedPrincipals: []string{"*"}},
		account + "role/nobody":   {},
		account + "role/chained":  {TrustedPrincipals: []string{account + "role/x/dev"}, MaxSession: 12 * time.Hour},
		account + "role/session":  {TrustedPrincipals: []string{"arn:aws:sts::111122223333:assumed-role/dev/only-me"}},
		account + "role/external": {TrustedPrincipals: []string{alice.ARN}, ExternalID: "secret"},
		account + "role/mfa":      {TrustedPrincipals: []string{alice.ARN}, MFASerial: mfa},
	} {
		if err := s.AddRole(arn, role); err != nil {
			t.Fatal(err)
		}
	}
	dev := must(s.Session(account+"role/x/dev", "bob"))
	onlyMe := must(s.Session(account+"role/x/dev", "only-me"))
	mfaWith := func(serial, code *string) func(*awssts.AssumeRoleInput) {
		return func(in *awssts.AssumeRoleInput) { in.SerialNumber, in.TokenCode = serial, code }
	}
	duration := func(seconds int32) func(*awssts.AssumeRoleInput) {
		return func(in *awssts.AssumeRoleInput) { in.DurationSeconds = &seconds }
	}
	external := func(id string) func(*awssts.AssumeRoleInput) {
		return func(in *awssts.AssumeRoleInput) { in.ExternalId = &id }
	}
	name := func(n string) func(*awssts.AssumeRoleInput) {
		return func(in *awssts.AssumeRoleInput) { in.RoleSessionName = &n }
	}
	str := func(s string) *string { return &s }

	for _, test := range []struct {
		what   string
		caller Credentials
		role   string
		edit   func(*awssts.AssumeRoleInput)
		code   string // "" if granted
		detail string
	}{
		{"user named", alice, "role/x/dev", nil, "", ""},
		{"without the path", alice, "role/dev", nil, "AccessDenied", "is not authorized to perform: sts:AssumeRole on resource: " + account + "role/dev"},
		{"unknown role", alice, "role/unknown", nil, "AccessDenied", "is not authorized"},
		{"user of another account", stranger, "role/x/dev", nil, "AccessDenied", "User: " + stranger.ARN},
		{"account trusted", alice, "role/account", nil, "", ""},
		{"account trusted, session", dev, "role/account", nil, "", ""},
		{"account not trusted", stranger, "role/account", nil, "AccessDenied", ""},
		{"account by number", alice, "role/number", nil, "", ""},
		{"everybody trusted", stranger, "role/anybody", nil, "", ""},
		{"nobody trusted", alice, "role/nobody", nil, "AccessDenied", ""},
		{"root", root, "role/anybody", nil, "AccessDenied", "Roles may not be assumed by root accounts."},
		{"federated user", federated, "role/anybody", nil, "AccessDenied", ""},
		{"chained", dev, "role/chained", nil, "", ""},
		{"chained by a user", alice, "role/chained", nil, "AccessDenied", ""},
		{"chained for an hour", dev, "role/chained", duration(3600), "", ""},
		{"chained for longer", dev, "role/chained", duration(3601), "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."},
		{"session named", onlyMe, "role/session", nil, "", ""},
		{"session not named", dev, "role/session", nil, "AccessDenied", ""},
		{"external ID", alice, "role/external", external("secret"), "", ""},
		{"external ID wrong", alice, "role/external", external("guess"), "AccessDenied", ""},
		{"external ID missing", alice, "role/external", nil, "AccessDenied", ""},
		{"external ID not needed", alice, "role/x/dev", external("any"), "", ""},
		{"MFA", alice, "role/mfa", mfaWith(str(mfa), str(MFACode)), "", ""},
		{"MFA missing", alice, "role/mfa", nil, "AccessDenied", "is not authorized"},
		{"MFA code wrong", alice, "role/mfa", mfaWith(str(mfa), str("000000")), "AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code."},
		{"MFA code missing", alice, "role/mfa", mfaWith(str(mfa), nil), "AccessDenied", "must provide both MFA serial number and one time pass code"},
		{"MFA device wrong", alice, "role/mfa", mfaWith(str(mfa+"2"), str(MFACode)), "AccessDenied", "unable to validate MFA code"},
		{"shortest", alice, "role/x/dev", duration(900), "", ""},
		{"too short", alice, "role/x/dev", duration(899), "ValidationError", "1 validation error detected: Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900"},
		{"longest", alice, "role/x/dev", duration(7200), "", ""},
		{"too long for the role", alice, "role/x/dev", duration(7201), "ValidationError", "exceeds the MaxSessionDuration set for this role"},
		{"too long for any role", alice, "role/x/dev", duration(43201), "ValidationError", "less than or equal to 43200"},
		{"session name of all kinds", alice, "role/x/dev", name("aZ_09+=,.@-"), "", ""},
		{"session name too short", alice, "role/x/dev", name("a"), "ValidationError", "length greater than or equal to 2"},
		{"session name too long", alice, "role/x/dev", name(strings.Repeat("a", 65)), "ValidationError", "length less than or equal to 64"},
		{"session name with a space", alice, "role/x/dev", name("a b"), "ValidationError", `regular expression pattern: [\w+=,.@-]*`},
		{"session name with a letter that isn't ASCII", alice, "role/x/dev", name("aé"), "ValidationError", "regular expression"},
		{"ARN of nothing", alice, "mfa/alice", nil, "AccessDenied", ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			in := &awssts.AssumeRoleInput{RoleArn: aws.String(account + test.role), RoleSessionName: aws.String("bob")}
			if test.edit != nil {
				test.edit(in)
			}
			before := time.Now()
			out, err := sdk(srv, "eu-west-1", test.caller).AssumeRole(t.Context(), in)
			if test.code != "" {
				want := map[string]int{"AccessDenied": 403, "ValidationError": 400}[test.code]
				if code, status, message := errorCode(err); code != test.code || status != want || !strings.Contains(message, test.detail) {
					t.Errorf("got %d %s %q (%v), want %s %q", status, code, message, err, test.code, test.detail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}

			got := Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}
			identity, err := sdk(srv, "eu-west-1", got).GetCallerIdentity(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, roleName, _ := strings.Cut(strings.ReplaceAll(test.role, "x/", ""), "/")
			want := "arn:aws:sts::111122223333:assumed-role/" + roleName + "/" + *in.RoleSessionName
			if *identity.Arn != want || *out.AssumedRoleUser.Arn != want {
				t.Errorf("session of %s and %s, want %s", *out.AssumedRoleUser.Arn, *identity.Arn, want)
			}
			if id := s.PrincipalID(account+test.role) + ":" + *in.RoleSessionName; *identity.UserId != id || *out.AssumedRoleUser.AssumedRoleId != id {
				t.Errorf("session of %s and %s, want %s", *out.AssumedRoleUser.AssumedRoleId, *identity.UserId, id)
			}
			lifetime := time.Hour
			if in.DurationSeconds != nil {
				lifetime = time.Duration(*in.DurationSeconds) * time.Second
			}
			if d := out.Credentials.Expiration.Sub(before) - lifetime; d < -time.Second || d > time.Minute {
				t.Errorf("expires %s later than asked", d)
			}
		})
	}
}

func TestErrorsAreThoseOfSTS(t *testing.T) {
	s, user, now := newSTS(t)
	session := must(s.Session(testRole, "bob"))
	get := func(query string) *http.Request {
		return httptest.NewRequest("GET", "https://"+testHost+"/?"+query, nil)
	}
	signed := presign(t, user, testHost, "eu-west-1", nil)
	tampered := func(name, value string) *http.Request {
		return rewrite(signed, func(q url.Values) { q.Set(name, value) })
	}
	with := func(c Credentials) *http.Request { return presign(t, c, testHost, "eu-west-1", nil) }
	authorization := func(value string) *http.Request {
		r := get("Action=GetCallerIdentity&Version=2011-06-15")
		r.Header.Set("Authorization", value)
		r.Header.Set("X-Amz-Date", "20260304T050607Z")
		return r
	}
	const credential = "AKIAIOSFODNN7EXAMPLE/20260304/eu-west-1/sts/aws4_request"

	for _, test := range []struct {
		what    string
		request *http.Request
		after   time.Duration
		status  int
		code    string
		message string // part of it
	}{
		{"nothing", get(""), 0, 400, "MissingAction", ""},
		{"unknown action", get("Action=GetSessionToken&Version=2011-06-15"), 0, 400, "InvalidAction", "Could not find operation GetSessionToken for version 2011-06-15"},
		{"unknown version", get("Action=GetCallerIdentity&Version=2010-01-01"), 0, 400, "InvalidAction", "for version 2010-01-01"},
		{"no version", get("Action=GetCallerIdentity"), 0, 400, "InvalidAction", "for version NO_VERSION_SPECIFIED"},
		{"unsigned", get("Action=GetCallerIdentity&Version=2011-06-15"), 0, 403, "MissingAuthenticationToken", "Request is missing Authentication Token"},
		{"syntax error", get("Action=%zz"), 0, 404, "MalformedQueryString", "syntax error"},
		{"action twice", get("Action=GetCallerIdentity&Action=GetCallerIdentity"), 0, 404, "MalformedQueryString", "given twice"},
		{"query and form", signHeader(t, user, "POST", "https://"+testHost+"/?a=b", "Action=GetCallerIdentity&Version=2011-06-15", nil), 0, 404, "MalformedQueryString", "URL cannot include query-string parameters"},
		{"JSON body", signHeader(t, user, "POST", "https://"+testHost+"/", "{}", http.Header{"Content-Type": {"application/json"}}), 0, 404, "MalformedQueryString", ""},
		{"body too large", signHeader(t, user, "POST", "https://"+testHost+"/", strings.Repeat("a", maxBody+1), nil), 0, 413, "RequestEntityTooLarge", ""},
		{"another path", httptest.NewRequest("GET", "https://"+testHost+"/x", nil), 0, 404, "UnknownOperationException", ""},
		{"bearer token", authorization("Bearer abc"), 0, 400, "IncompleteSignature", "Unsupported AWS 'algorithm': 'Bearer'"},
		{"header without all its parts", authorization("AWS4-HMAC-SHA256 Credential=" + credential), 0, 400, "IncompleteSignature", "Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter."},
		{"header with a part that isn't a pair", authorization("AWS4-HMAC-SHA256 abc"), 0, 400, "IncompleteSignature", "not a valid key=value pair"},
		{"host not signed", authorization("AWS4-HMAC-SHA256 Credential=" + credential + ", SignedHeaders=x-amz-date, Signature=0"), 0, 403, "SignatureDoesNotMatch", "'host' must be a 'SignedHeader'"},
		{"date not signed", authorization("AWS4-HMAC-SHA256 Credential=" + credential + ", SignedHeaders=host, Signature=0"), 0, 403, "SignatureDoesNotMatch", "'x-amz-date' must be a 'SignedHeader'"},
		{"other algorithm", tampered("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256"), 0, 400, "IncompleteSignature", "Unsupported AWS 'algorithm'"},
		{"short credential", tampered("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE"), 0, 400, "IncompleteSignature", "Credential must have exactly 5 slash-delimited elements"},
		{"date in another format", tampered("X-Amz-Date", "2026-03-04T05:06:07Z"), 0, 403, "SignatureDoesNotMatch", "Date in Credential scope does not match"},
		{"no date at all", tampered("X-Amz-Date", "20260304"), 0, 400, "IncompleteSignature", "Date must be in ISO-8601 'basic format'. Got '20260304'."},
		{"no signature", tampered("X-Amz-Signature", ""), 0, 400, "IncompleteSignature", "must include 'X-Amz-Signature'"},
		{"region and service wrong", tampered("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20260304/us-east-1/s3/aws4_request"), 0, 403, "SignatureDoesNotMatch", "Credential should be scoped to a valid region. Credential should be scoped to correct service: 'sts'."},
		{"terminator wrong", tampered("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20260304/eu-west-1/sts/aws3"), 0, 403, "SignatureDoesNotMatch", "valid terminator: 'aws4_request', not 'aws3'"},
		{"signature wrong", tampered("X-Amz-Signature", strings.Repeat("0", 64)), 0, 403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."},
		{"secret wrong", with(Credentials{AccessKeyID: user.AccessKeyID, SecretAccessKey: "x"}), 0, 403, "SignatureDoesNotMatch", "The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20260304T050607Z\n20260304/eu-west-1/sts/aws4_request\n"},
		{"key unknown", with(Credentials{AccessKeyID: "AKIAUNKNOWN0000000000", SecretAccessKey: "x"}), 0, 403, "InvalidClientTokenId", "The security token included in the request is invalid"},
		{"session without its token", with(Credentials{AccessKeyID: session.AccessKeyID, SecretAccessKey: session.SecretAccessKey}), 0, 403, "InvalidClientTokenId", ""},
		{"long-term key with a token", with(Credentials{AccessKeyID: user.AccessKeyID, SecretAccessKey: user.SecretAccessKey, SessionToken: session.SessionToken}), 0, 403, "InvalidClientTokenId", ""},
		{"session with a token made up", with(Credentials{AccessKeyID: session.AccessKeyID, SecretAccessKey: session.SecretAccessKey, SessionToken: "made up"}), 0, 403, "InvalidClientTokenId", ""},
		{"signature expired", with(user), 16 * time.Minute, 403, "SignatureDoesNotMatch", "Signature expired: 20260304T050607Z is now earlier than 20260304T050707Z (20260304T052207Z - 15 min.)"},
		{"signature ahead", with(user), -6 * time.Minute, 403, "SignatureDoesNotMatch", "Signature not yet current: 20260304T050607Z is still later than 20260304T050507Z (20260304T050007Z + 5 min.)"},
		{"session expired", with(session), time.Hour, 403, "ExpiredToken", "The security token included in the request is expired"},
	} {
		t.Run(test.what, func(t *testing.T) {
			*now = testTime.Add(test.after)
			r := test.request
			r.Header.Set("Accept", "application/json")
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)

			var got struct {
				Error     struct{ Code, Message, Type string }
				RequestId string
			}
			d := json.NewDecoder(w.Body)
			d.DisallowUnknownFields()
			if err := d.Decode(&got); err != nil {
				t.Fatal(err)
			}
			if w.Code != test.status || got.Error.Code != test.code || !strings.Contains(got.Error.Message, test.message) {
				t.Errorf("got %d %s %q, want %d %s %q", w.Code, got.Error.Code, got.Error.Message, test.status, test.code, test.message)
			}
			if ct := w.Header().Get("Content-Type"); got.Error.Type != "Sender" || ct != "application/json" || got.RequestId == "" || w.Header().Get("x-amzn-RequestId") != got.RequestId {
				t.Errorf("type %q, content type %q, request ID %q", got.Error.Type, ct, got.RequestId)
			}
			for _, secret := range []string{user.SecretAccessKey, session.SecretAccessKey} {
				if strings.Contains(got.Error.Message, secret) {
					t.Errorf("message has the secret key: %s", got.Error.Message)
				}
			}
		})
	}
}

func TestAnswersAreJSONOnlyWhenAskedFor(t *testing.T) {
	s, user, _ := newSTS(t)
	id := s.PrincipalID(testUser)
	for accept, wantType := range map[string]string{
		"":                            "text/xml",
		"*/*":                         "text/xml",
		"application/json":            "application/json",
		"text/html, Application/JSON": "application/json",
		"application/json;q=0.9":      "application/json",
	} {
		r := presign(t, user, testHost, "eu-west-1", nil)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		requestID := w.Header().Get("x-amzn-RequestId")
		want := `{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"123456789012","Arn":"` + testUser + `","UserId":"` + id +
			`"},"ResponseMetadata":{"RequestId":"` + requestID + `"}}}`
		if wantType == "text/xml" {
			want = `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Account>123456789012</Account>
    <Arn>` + testUser + `</Arn>
    <UserId>` + id + `</UserId>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>` + requestID + `</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>`
		}
		if got := w.Body.String(); got != want || w.Header().Get("Content-Type") != wantType {
			t.Errorf("Accept %q: %s %s, want %s %s", accept, w.Header().Get("Content-Type"), got, wantType, want)
		}
	}
}

func TestAssumeRoleInJSON(t *testing.T) {
	s, user, _ := newSTS(t)
	r := signHeader(t, user, "POST", "https://"+testHost+"/", url.Values{
		"Action": {"AssumeRole"}, "Version": {apiVersion}, "RoleArn": {testRole}, "RoleSessionName": {"bob"},
	}.Encode(), http.Header{"Accept": {"application/json"}})
	status, body := serve(s, r)
	var got struct {
		AssumeRoleResponse struct {
			AssumeRoleResult struct {
				AssumedRoleUser struct{ Arn, AssumedRoleId string }
				Credentials     struct {
					AccessKeyId, SecretAccessKey, SessionToken string
					Expiration                                 int64
				}
			}
			ResponseMetadata struct{ RequestId string }
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	c := got.AssumeRoleResponse.AssumeRoleResult.Credentials
	if c.Expiration != testTime.Add(time.Hour).Unix() {
		t.Errorf("expires %d", c.Expiration)
	}
	assumed := Credentials{AccessKeyID: c.AccessKeyId, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}
	if status, body := serve(s, presign(t, assumed, testHost, "eu-west-1", nil)); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
}

func TestRecorderShowsWhatWasSent(t *testing.T) {
	s, user, _ := newSTS(t)
	for range maxRequests + 3 {
		serve(s, httptest.NewRequest("GET", "/?Action=Other", nil))
	}
	r := presign(t, user, testHost, "eu-west-1", nil)
	r.Header.Set("Accept", "application/json")
	serve(s, r)

	if total, other, gci := s.Calls(""), s.Calls("Other"), s.Calls("GetCallerIdentity"); total != maxRequests+4 || other != maxRequests+3 || gci != 1 {
		t.Errorf("calls: %d in all, %d other, %d GetCallerIdentity", total, other, gci)
	}
	requests := s.Requests()
	if len(requests) != maxRequests {
		t.Fatalf("%d requests remembered, want %d", len(requests), maxRequests)
	}
	last := requests[maxRequests-1]
	if last.Action != "GetCallerIdentity" || last.Method != "GET" || last.Host != testHost || last.Path != "/" || last.RawQuery != r.URL.RawQuery {
		t.Errorf("last request %+v", last)
	}
	if got := strings.Join(last.HeaderNames(), " "); got != "Accept X-K8s-Aws-Id" {
		t.Errorf("headers %q", got)
	}
	if requests[0].Action != "Other" {
		t.Errorf("first request %+v", requests[0])
	}

	s.Forget()
	if s.Calls("") != 0 || s.Calls("Other") != 0 || len(s.Requests()) != 0 {
		t.Error("not forgotten")
	}
	for i := range 1000 {
		serve(s, httptest.NewRequest("GET", "/?Action=A"+strings.Repeat("x", i), nil))
	}
	if n := len(s.byAction); n > maxActions {
		t.Errorf("%d actions counted, want at most %d", n, maxActions)
	}
}

// To be run with the race detector.
func TestConcurrentCallersWhileFaultsAreToggled(t *testing.T) {
	s, srv := newServer(t)
	user := must(s.AddUser(testUser))
	if err := s.AddRole(testRole, Role{TrustedPrincipals: []string{testUser}}); err != nil {
		t.Fatal(err)
	}
	client := sdk(srv, "eu-west-1", user)
	stop := make(chan struct{})
	var toggler, callers sync.WaitGroup
	toggler.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				s.SetFault(Fault{Kind: FaultThrottle, Every: 3, Times: 2})
				s.Calls("")
				s.Requests()
				s.PrincipalID(testRole)
				s.ClearFaults()
			}
		}
	})
	for range 8 {
		callers.Go(func() {
			for range 25 {
				_, err := client.AssumeRole(t.Context(), &awssts.AssumeRoleInput{RoleArn: aws.String(testRole), RoleSessionName: aws.String("bob")})
				if code, _, _ := errorCode(err); err != nil && code != "Throttling" {
					t.Error(err)
				}
				out, err := client.GetCallerIdentity(t.Context(), nil)
				if code, _, _ := errorCode(err); err != nil && code != "Throttling" || err == nil && *out.Arn != testUser {
					t.Error(out, err)
				}
			}
		})
	}
	callers.Wait()
	close(stop)
	toggler.Wait()
	if got := s.Calls(""); got != 8*25*2 {
		t.Errorf("%d calls, want %d", got, 8*25*2)
	}
}
