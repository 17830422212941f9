package token

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

const (
	testCluster = "test-cluster"
	aliceARN    = "arn:aws:iam::111122223333:user/eng/Alice"
	adminsARN   = "arn:aws:iam::111122223333:role/ops/Admins"
)

// bed is an STS emulator and a Verifier that reaches it over TLS.
type bed struct {
	sts       *awstest.STS
	server    *awstest.Server
	transport *Transport
	now       func() time.Time    // of STS, and by which tokens are made
	alice     awstest.Credentials // a user
	admin     awstest.Credentials // a role session

	dial atomic.Pointer[func(context.Context, string, string) (net.Conn, error)] // how connections are made

	mu    sync.Mutex
	calls []Call
}

func newBed(t testing.TB) *bed {
	t.Helper()
	now := func() time.Time { return testDate }
	sts := awstest.New(awstest.Options{Now: now})
	server, err := awstest.NewServer(sts, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return fill(t, &bed{sts: sts, server: server, now: now})
}

// newMemoryBed returns a bed for a bubble of synctest: time is virtual, and TLS runs
// over connections in memory.
func newMemoryBed(t testing.TB) *bed {
	t.Helper()
	sts := awstest.New(awstest.Options{})
	server, err := awstest.NewMemoryServer(sts)
	if err != nil {
		t.Fatal(err)
	}
	return fill(t, &bed{sts: sts, server: server, now: time.Now})
}

func fill(t testing.TB, b *bed) *bed {
	t.Helper()
	b.transport = NewTransport(TransportOptions{EmulatorAddress: b.server.Addr(), EmulatorCA: b.server.CertPool(), Concurrency: 10})
	b.setDial(func(ctx context.Context, _, _ string) (net.Conn, error) { return b.server.Dial(ctx) })
	b.transport.model.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return (*b.dial.Load())(ctx, network, address)
	}
	t.Cleanup(func() {
		b.transport.CloseIdleConnections()
		b.server.Close()
	})
	sts := b.sts
	var err error
	if b.alice, err = sts.AddUser(aliceARN); err != nil {
		t.Fatal(err)
	}
	if err := sts.AddRole(adminsARN, awstest.Role{}); err != nil {
		t.Fatal(err)
	}
	if b.admin, err = sts.Session(adminsARN, "bob@example.com"); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bed) verifier(t testing.TB, change func(*VerifierOptions)) *Verifier {
	t.Helper()
	o := VerifierOptions{
		ClusterIDs: []string{testCluster},
		Transport:  b.transport,
		Now:        b.now,
		Observe: func(c Call) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.calls = append(b.calls, c)
		},
	}
	if change != nil {
		change(&o)
	}
	v, err := NewVerifier(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// signed returns a token made with the SDK's signer.
func signed(t testing.TB, creds aws.Credentials, host, region, clusterID string, at time.Time) string {
	t.Helper()
	url := "https://" + host + "/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60"
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(ClusterIDHeader, clusterID)
	empty := sha256.Sum256(nil)
	presigned, _, err := v4.NewSigner().PresignHTTP(t.Context(), creds, req, hex.EncodeToString(empty[:]), "sts", region, at)
	if err != nil {
		t.Fatal(err)
	}
	return encodeToken(presigned)
}

func (b *bed) token(t testing.TB, creds awstest.Credentials) string {
	return signed(t, creds.AWS(), testHost, "us-east-1", testCluster, b.now())
}

// tokens returns different tokens of one caller.
func (b *bed) tokens(t testing.TB, creds awstest.Credentials, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = signed(t, creds.AWS(), testHost, "us-east-1", testCluster, b.now().Add(-time.Duration(i)*time.Second))
	}
	return list
}

func TestVerify(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, nil)

	id, err := v.Verify(t.Context(), b.token(t, b.alice))
	if err != nil {
		t.Fatal(err)
	}
	if id.ARN != aliceARN || id.CanonicalARN != aliceARN || id.Account != "111122223333" || id.SessionName != "" ||
		id.UserID != b.sts.PrincipalID(aliceARN) || id.AccessKeyID != b.alice.AccessKeyID {
		t.Errorf("user: %+v", id)
	}

	id, err = v.Verify(t.Context(), b.token(t, b.admin))
	if err != nil {
		t.Fatal(err)
	}
	if id.ARN != "arn:aws:sts::111122223333:assumed-role/Admins/bob@example.com" ||
		id.CanonicalARN != "arn:aws:iam::111122223333:role/Admins" || id.SessionName != "bob@example.com" ||
		id.UserID != b.sts.PrincipalID(adminsARN) || id.AccessKeyID != b.admin.AccessKeyID || !id.IsTemporary() {
		t.Errorf("session: %+v", id)
	}
}

func TestVerifyEveryKindOfEndpoint(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, nil)
	for host, region := range map[string]string{
		"sts.amazonaws.com":                "us-east-1",
		"sts.eu-central-1.amazonaws.com":   "eu-central-1",
		"sts-fips.us-east-1.amazonaws.com": "us-east-1",
		"sts.us-west-2.api.aws":            "us-west-2",
		"sts-fips.us-west-2.api.aws":       "us-west-2",
	} {
		if _, err := v.Verify(t.Context(), signed(t, b.admin.AWS(), host, region, testCluster, testDate)); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestVerifySendsWhatTheTokenSaysAndNothingElse(t *testing.T) {
	b := newBed(t)
	token := b.token(t, b.admin)
	if _, err := b.verifier(t, nil).Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	requests := b.sts.Requests()
	if len(requests) != 1 {
		t.Fatalf("%d requests", len(requests))
	}
	r := requests[0]
	if !sameParameters("https://"+r.Host+r.Path+"?"+r.RawQuery, token) {
		t.Errorf("sent %s%s?%s", r.Host, r.Path, r.RawQuery)
	}
	if r.Method != http.MethodGet {
		t.Errorf("method %s", r.Method)
	}
	if want := []string{"Accept", "User-Agent", "X-K8s-Aws-Id"}; !slices.Equal(r.HeaderNames(), want) {
		t.Errorf("headers %v, want %v", r.HeaderNames(), want)
	}
}

func TestVerifyRefusesWithoutCallingSTS(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, nil)
	creds := b.admin.AWS()
	cases := []struct {
		rule, token string
		want        reason.Code
	}{
		{"foreign token", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", reason.ForeignToken},
		{"malformed token", Prefix + "AAAA", reason.MalformedToken},
		{"expired by a second", signed(t, creds, testHost, "us-east-1", testCluster, testDate.Add(-15*time.Minute-time.Second)), reason.TokenExpired},
		{"an hour in the future", signed(t, creds, testHost, "us-east-1", testCluster, testDate.Add(time.Hour)), reason.TokenFromFuture},
		{"unknown region", signed(t, creds, "sts.us-east-9.amazonaws.com", "us-east-9", testCluster, testDate), reason.EndpointNotAllowed},
		{"other partition", signed(t, creds, "sts.cn-north-1.amazonaws.com.cn", "cn-north-1", testCluster, testDate), reason.EndpointNotAllowed},
		{"another region's signature", signed(t, creds, testHost, "eu-west-1", testCluster, testDate), reason.EndpointNotAllowed},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			if _, err := v.Verify(t.Context(), c.token); reason.Of(err) != c.want {
				t.Errorf("Verify = %v, want %s", err, c.want)
			}
		})
	}
	if n := b.sts.Calls(""); n != 0 {
		t.Errorf("STS was called %d times", n)
	}
}

func TestVerifyOnRefusalsOfSTS(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, nil)
	wrongSecret, unknownKey, wrongSession := b.admin.AWS(), b.admin.AWS(), b.admin.AWS()
	wrongSecret.SecretAccessKey = "x"
	unknownKey.AccessKeyID = "ASIAUNKNOWNUNKNOWN00"
	wrongSession.SessionToken = "x"
	cases := []struct {
		rule, token string
		want        reason.Code
		says        string
	}{
		{"another cluster", signed(t, b.admin.AWS(), testHost, "us-east-1", "prod", testDate), reason.SignatureMismatch, "cluster ID"},
		{"wrong secret key", signed(t, wrongSecret, testHost, "us-east-1", testCluster, testDate), reason.SignatureMismatch, "secret key"},
		{"unknown access key", signed(t, unknownKey, testHost, "us-east-1", testCluster, testDate), reason.CredentialsInvalid, "InvalidClientTokenId"},
		{"another session's token", signed(t, wrongSession, testHost, "us-east-1", testCluster, testDate), reason.CredentialsInvalid, "InvalidClientTokenId"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			_, err := v.Verify(t.Context(), c.token)
			if reason.Of(err) != c.want || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Verify = %v, want %s saying %q", err, c.want, c.says)
			}
		})
	}
}

func TestVerifyWhenOurClockIsWrong(t *testing.T) {
	b := newBed(t)
	old := signed(t, b.alice.AWS(), testHost, "us-east-1", testCluster, testDate.Add(-20*time.Minute))
	slow := b.verifier(t, func(o *VerifierOptions) { o.Now = func() time.Time { return testDate.Add(-10 * time.Minute) } })
	_, err := slow.Verify(t.Context(), old)
	if reason.Of(err) != reason.TokenExpired || !strings.Contains(err.Error(), "behind that of STS") {
		t.Errorf("a clock that is slow: %v", err)
	}
	early := signed(t, b.alice.AWS(), testHost, "us-east-1", testCluster, testDate.Add(10*time.Minute))
	fast := b.verifier(t, func(o *VerifierOptions) { o.Now = func() time.Time { return testDate.Add(10 * time.Minute) } })
	_, err = fast.Verify(t.Context(), early)
	if reason.Of(err) != reason.TokenFromFuture || !strings.Contains(err.Error(), "ahead of that of STS") {
		t.Errorf("a clock that is fast: %v", err)
	}
}

// stsAnswers are answers of a misbehaving STS or of whatever stands in its place.
// None may let anyone in.
func stsAnswers() []struct {
	name  string
	fault awstest.Fault
	want  reason.Code
} {
	respond := func(status int, body string) awstest.Fault {
		return awstest.Fault{Kind: awstest.FaultRespond, Status: status, Body: body}
	}
	errorJSON := func(code, message string) string {
		return fmt.Sprintf(`{"Error":{"Code":%q,"Message":%q,"Type":"Sender"},"RequestId":"x"}`, code, message)
	}
	identity := func(account, arn, userID string) string {
		return fmt.Sprintf(`{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":%q,"Arn":%q,"UserId":%q}}}`, account, arn, userID)
	}
	const session = "arn:aws:sts::111122223333:assumed-role/Admins/bob"
	return []struct {
		name  string
		fault awstest.Fault
		want  reason.Code
	}{
		{"throttled", awstest.Fault{Kind: awstest.FaultThrottle}, reason.STSThrottled},
		{"429", respond(429, "slow down"), reason.STSThrottled},
		{"503 with a throttling code", respond(503, errorJSON("RequestLimitExceeded", "")), reason.STSThrottled},
		{"500", awstest.Fault{Kind: awstest.FaultInternal}, reason.STSUnreachable},
		{"503", awstest.Fault{Kind: awstest.FaultUnavailable}, reason.STSUnreachable},
		{"reset", awstest.Fault{Kind: awstest.FaultReset}, reason.STSUnreachable},
		{"truncated", awstest.Fault{Kind: awstest.FaultTruncated}, reason.STSUnreachable},
		{"redirect to itself", awstest.Fault{Kind: awstest.FaultRedirect, Location: "https://sts.us-east-1.amazonaws.com/"}, reason.STSAnswerInvalid},
		{"redirect elsewhere", awstest.Fault{Kind: awstest.FaultRedirect, Status: 307, Location: "https://evil.example/"}, reason.STSAnswerInvalid},
		{"XML", awstest.Fault{Kind: awstest.FaultXML}, reason.STSAnswerInvalid},
		{"HTML", awstest.Fault{Kind: awstest.FaultHTML}, reason.STSAnswerInvalid},
		{"HTML with 403", respond(403, "<html>blocked by policy SignatureDoesNotMatch"), reason.STSAnswerInvalid},
		{"trailing JSON", awstest.Fault{Kind: awstest.FaultTrailingJSON}, reason.STSAnswerInvalid},
		{"duplicate keys", awstest.Fault{Kind: awstest.FaultDuplicateKeys}, reason.STSAnswerInvalid},
		{"account contradicts ARN", awstest.Fault{Kind: awstest.FaultContradiction}, reason.STSAnswerInvalid},
		{"10 MB", awstest.Fault{Kind: awstest.FaultOversized, Bytes: 10 << 20}, reason.STSAnswerInvalid},
		{"empty", respond(200, ""), reason.STSAnswerInvalid},
		{"null", respond(200, "null"), reason.STSAnswerInvalid},
		{"array", respond(200, "[]"), reason.STSAnswerInvalid},
		{"201", respond(201, identity("111122223333", session, "AROAX:bob")), reason.STSAnswerInvalid},
		{"an error with 200", respond(200, errorJSON("ExpiredToken", "")), reason.STSAnswerInvalid},
		{"other letter case", respond(200, strings.ToLower(identity("111122223333", session, "AROAX:bob"))), reason.STSAnswerInvalid},
		{"session contradicts", respond(200, identity("111122223333", session, "AROAX:eve")), reason.STSAnswerInvalid},
		{"role without session", respond(200, identity("111122223333", "arn:aws:iam::111122223333:role/Admins", "AROAX")), reason.STSAnswerInvalid},
		{"numeric account", respond(200, strings.Replace(identity("111122223333", session, "AROAX:bob"), `"111122223333"`, "111122223333", 1)), reason.STSAnswerInvalid},
		{"non-ASCII name", respond(200, identity("111122223333", "arn:aws:sts::111122223333:assumed-role/\u212Aing/bob", "AROAX:bob")), reason.STSAnswerInvalid},
		{"other partition", respond(200, identity("111122223333", "arn:aws-cn:sts::111122223333:assumed-role/Admins/bob", "AROAX:bob")), reason.PartitionMismatch},
		{"ExpiredToken", respond(403, errorJSON("ExpiredToken", "")), reason.CredentialsExpired},
		{"ExpiredTokenException", respond(403, errorJSON("ExpiredTokenException", "")), reason.CredentialsExpired},
		{"RequestExpired", respond(400, errorJSON("RequestExpired", "")), reason.TokenExpired},
		{"RequestTimeout", respond(400, errorJSON("RequestTimeout", "")), reason.STSUnreachable},
		{"ServiceUnavailable with 400", respond(400, errorJSON("ServiceUnavailable", "")), reason.STSUnreachable},
		{"408", respond(408, "<html>"), reason.STSUnreachable},
		{"407 of a proxy", respond(407, errorJSON("ProxyAuthenticationRequired", "")), reason.STSUnreachable},
		{"421", respond(421, ""), reason.STSUnreachable},
		{"AccessDenied", respond(403, errorJSON("AccessDenied", "")), reason.STSRejected},
		{"an unheard code", respond(400, errorJSON("Unheard", "")), reason.STSRejected},
		{"a code that is none", respond(400, errorJSON("not a code", "")), reason.STSAnswerInvalid},
		{"a caller's words in a message", respond(403, errorJSON("SignatureDoesNotMatch", "no match for 'Signature expired: Throttling ExpiredToken'")), reason.SignatureMismatch},
		{"a caller's words in a third message", respond(400, errorJSON("ValidationError", "Signature not yet current: x")), reason.STSRejected},
		{"a caller's words in another message", respond(400, errorJSON("IncompleteSignature", "Signature expired: Rate exceeded")), reason.MalformedToken},
	}
}

func TestVerifyNeverLetsInOnMisbehaviourOfSTS(t *testing.T) {
	b := newBed(t)
	token, other := b.token(t, b.admin), b.token(t, b.alice)
	for _, c := range stsAnswers() {
		t.Run(c.name, func(t *testing.T) {
			v := b.verifier(t, nil)
			b.sts.SetFault(c.fault)
			defer b.sts.ClearFaults()
			id, err := v.Verify(t.Context(), token)
			if reason.Of(err) != c.want {
				t.Errorf("Verify = %+v, %v, want %s", id, err, c.want)
			}
			// and the next caller gets in as if nothing had been
			b.sts.ClearFaults()
			if _, err := v.Verify(t.Context(), other); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestVerifyErrorsHoldNothingSecret(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, nil)
	token := b.token(t, b.admin)
	request, err := Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	leak := "leak " + token + request.URL() + request.Signature + request.SecurityToken
	secrets := []string{token[20:60], request.Signature, request.SecurityToken[:20], "leak"}
	for _, body := range []string{
		fmt.Sprintf(`{"Error":{"Code":"SignatureDoesNotMatch","Message":%q}}`, leak),
		fmt.Sprintf(`{"Error":{"Code":%q,"Message":""}}`, leak),
		leak,
	} {
		for _, status := range []int{200, 400, 403, 500} {
			b.sts.ClearFaults()
			b.sts.SetFault(awstest.Fault{Kind: awstest.FaultRespond, Status: status, Body: body})
			_, err := v.Verify(t.Context(), token)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, secret := range secrets {
				for e := err; e != nil; e = errors.Unwrap(e) {
					if strings.Contains(e.Error(), secret) {
						t.Errorf("status %d: error %q holds %q", status, e, secret)
					}
				}
			}
		}
	}
}

func TestVerifyGivesUpOnAHangingSTS(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, func(o *VerifierOptions) { o.Timeout = 50 * time.Millisecond })
	b.sts.SetFault(awstest.Fault{Kind: awstest.FaultHang})
	if _, err := v.Verify(t.Context(), b.token(t, b.admin)); reason.Of(err) != reason.STSUnreachable {
		t.Errorf("Verify = %v, want STSUnreachable", err)
	}
}

func TestVerifyHonoursItsContext(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, func(o *VerifierOptions) { o.Timeout = time.Hour })
	b.sts.SetFault(awstest.Fault{Kind: awstest.FaultHang})
	ctx, cancel := context.WithCancel(t.Context())
	token := b.token(t, b.admin)
	done := make(chan error)
	go func() {
		_, err := v.Verify(ctx, token)
		done <- err
	}()
	for b.sts.Calls("") == 0 {
		runtime.Gosched()
	}
	cancel()
	if err := <-done; reason.Of(err) != reason.Canceled {
		t.Errorf("Verify = %v, want Canceled", err)
	}
}

func TestVerifySeveralClusterIDs(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, func(o *VerifierOptions) { o.ClusterIDs = []string{"new", "old", "older", "oldest"} })
	for i, clusterID := range []string{"new", "old", "older", "oldest"} {
		b.sts.Forget()
		if _, err := v.Verify(t.Context(), signed(t, b.alice.AWS(), testHost, "us-east-1", clusterID, testDate)); err != nil {
			t.Errorf("%s: %v", clusterID, err)
		}
		if n := b.sts.Calls(""); n != i+1 {
			t.Errorf("%s cost %d calls, want %d", clusterID, n, i+1)
		}
	}
	b.sts.Forget()
	if _, err := v.Verify(t.Context(), signed(t, b.alice.AWS(), testHost, "us-east-1", "stranger", testDate)); reason.Of(err) != reason.SignatureMismatch {
		t.Errorf("stranger: %v", err)
	}
	if n := b.sts.Calls(""); n != MaxClusterIDs {
		t.Errorf("a stranger cost %d calls, want %d", n, MaxClusterIDs)
	}
	// Only a mismatch is worth another try.
	for _, fault := range []awstest.Fault{{Kind: awstest.FaultThrottle}, {Kind: awstest.FaultInternal}} {
		b.sts.ClearFaults()
		b.sts.SetFault(fault)
		b.sts.Forget()
		v := b.verifier(t, func(o *VerifierOptions) { o.ClusterIDs = []string{"new", "old"} })
		if _, err := v.Verify(t.Context(), signed(t, b.alice.AWS(), testHost, "us-east-1", "old", testDate)); err == nil {
			t.Error("accepted")
		}
		if n := b.sts.Calls(""); n != 1 {
			t.Errorf("STS in trouble got %d calls, want 1", n)
		}
	}
}

func TestVerifyObservesCalls(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, nil)
	if _, err := v.Verify(t.Context(), signed(t, b.alice.AWS(), "sts.eu-west-1.amazonaws.com", "eu-west-1", testCluster, testDate)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), "foreign"); err == nil {
		t.Fatal("accepted")
	}
	if want := (Call{Region: "eu-west-1", Reason: reason.Granted}); len(b.calls) != 1 || b.calls[0] != want {
		t.Errorf("calls %+v, want one %+v", b.calls, want)
	}
}

func TestVerifyReusesConnections(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, func(o *VerifierOptions) { o.Calls.Concurrency = 20 })
	if _, err := v.Verify(t.Context(), b.token(t, b.alice)); err != nil { // by somebody who is mapped
		t.Fatal(err)
	}
	before := b.server.Handshakes()
	for range 3 {
		var wg sync.WaitGroup
		for _, token := range b.tokens(t, b.admin, 50) {
			wg.Go(func() {
				if _, err := v.Verify(t.Context(), token); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	if n := b.server.Handshakes() - before; n > 10 {
		t.Errorf("150 calls took %d TLS handshakes, the concurrency is 10", n)
	}
}

func TestVerifyTrustsOnlyTheEmulatorsCA(t *testing.T) {
	b := newBed(t)
	for name, o := range map[string]TransportOptions{
		"system roots": {},
		"no CA":        {EmulatorAddress: b.server.Addr()},
	} {
		transport := NewTransport(o)
		if o.EmulatorAddress == "" {
			transport.model.DialContext = b.transport.model.DialContext
		}
		v := b.verifier(t, func(o *VerifierOptions) { o.Transport = transport })
		if _, err := v.Verify(t.Context(), b.token(t, b.admin)); reason.Of(err) != reason.STSUnreachable || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: %v, want a certificate error", name, err)
		}
	}
	if n := b.sts.Calls(""); n != 0 {
		t.Errorf("the token reached an STS that is not trusted %d times", n)
	}
}

func TestVerifyMemoryDoesNotGrowWithWhatCallersSend(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, nil)
	creds := b.admin.AWS()
	valid, err := Parse(signed(t, creds, testHost, "us-east-1", testCluster, testDate))
	if err != nil {
		t.Fatal(err)
	}
	send := func(from, to int) {
		for i := from; i < to; i++ {
			r := valid
			r.Host = fmt.Sprintf("sts.bad-%d.amazonaws.com", i)
			if _, err := v.Verify(t.Context(), encodeToken(r.URL())); reason.Of(err) != reason.EndpointNotAllowed {
				t.Fatal(err)
			}
			if _, err := v.Verify(t.Context(), Prefix+strings.Repeat("A", 100+i%100)+fmt.Sprint(i)); err == nil {
				t.Fatal("accepted")
			}
		}
	}
	send(0, 1000)
	before := heap()
	send(1000, 21_000)
	if after := heap(); after > before+256<<10 {
		t.Errorf("the heap grew from %d to %d bytes over 40,000 bad tokens", before, after)
	}
}

func TestVerifyMemoryIsFlatOnAnOversizedAnswer(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, nil)
	token := b.token(t, b.admin)
	b.sts.SetFault(awstest.Fault{Kind: awstest.FaultOversized, Bytes: 1 << 30})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		if _, err := v.Verify(t.Context(), token); reason.Of(err) != reason.STSAnswerInvalid {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / 10; n > 2<<20 {
		t.Errorf("%d bytes allocated for each answer", n)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestNewVerifierRejects(t *testing.T) {
	for name, c := range map[string]struct {
		o    VerifierOptions
		says string
	}{
		"no cluster ID":         {VerifierOptions{}, "no cluster ID"},
		"empty cluster ID":      {VerifierOptions{ClusterIDs: []string{""}}, "printable ASCII"},
		"cluster ID with line":  {VerifierOptions{ClusterIDs: []string{"a\r\nHost: x"}}, "printable ASCII"},
		"cluster ID with two":   {VerifierOptions{ClusterIDs: []string{"a  b"}}, "single spaces"},
		"cluster ID with space": {VerifierOptions{ClusterIDs: []string{"a "}}, "printable ASCII"},
		"five cluster IDs":      {VerifierOptions{ClusterIDs: []string{"a", "b", "c", "d", "e"}}, "at most 4"},
		"a cluster ID twice":    {VerifierOptions{ClusterIDs: []string{"a", "a"}}, "twice"},
		"unknown partition":     {VerifierOptions{ClusterIDs: []string{"a"}, Partition: "mars"}, "unknown partition"},
		"bad region":            {VerifierOptions{ClusterIDs: []string{"a"}, ExtraRegions: []string{"x/y"}}, "region"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewVerifier(c.o); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v does not say %q", err, c.says)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// FuzzVerify lets a fuzzer write both the token and STS's answer: no answer but
// one that names the principal in full lets anyone in.
func FuzzVerify(f *testing.F) {
	valid := tokenWith(testParams()...)
	f.Add(valid, 200, `{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"111122223333","Arn":"arn:aws:iam::111122223333:user/bob","UserId":"AIDAX"}}}`)
	f.Add(valid, 403, `{"Error":{"Code":"SignatureDoesNotMatch","Message":"Signature expired: x"}}`)
	for _, c := range stsAnswers() {
		f.Add(valid, c.fault.Status, c.fault.Body)
	}
	f.Fuzz(func(t *testing.T, token string, status int, body string) {
		v, err := NewVerifier(VerifierOptions{
			ClusterIDs: []string{testCluster},
			Now:        func() time.Time { return testDate },
			Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if !sameParameters(r.URL.String(), token) {
					t.Errorf("sent %s for %q", r.URL, token)
				}
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		id, err := v.Verify(t.Context(), token)
		if err == nil && (status != 200 || id.Partition != "aws" || !strings.Contains(body, id.Account)) {
			t.Errorf("status %d and body %q let in %+v", status, body, id)
		}
		if _, ok := errors.AsType[*reason.Error](err); err != nil && !ok {
			t.Errorf("error without a reason: %v", err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	bed := newBed(b)
	v := bed.verifier(b, func(o *VerifierOptions) { o.Observe = nil })
	token := bed.token(b, bed.admin)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

// rawSTS is a transport to a server that answers each request with raw bytes.
func rawSTS(t *testing.T, answer func(conn net.Conn, request string)) *Transport {
	t.Helper()
	transport := NewTransport(TransportOptions{})
	transport.model.DialTLSContext = func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		t.Cleanup(func() { server.Close() })
		go func() {
			head := make([]byte, 8<<10)
			n, _ := server.Read(head)
			answer(server, string(head[:n]))
		}()
		return client, nil
	}
	return transport
}

func TestVerifyKeepsEchoesOfBrokenHTTPToItself(t *testing.T) {
	b := newBed(t)
	bearer := b.token(t, b.admin)
	request, err := Parse(bearer)
	if err != nil {
		t.Fatal(err)
	}
	for name, format := range map[string]string{
		"status line":       "%[2]s\r\n\r\n",
		"status code":       "HTTP/1.1 %[1]s x\r\n\r\n",
		"header":            "HTTP/1.1 403 Forbidden\r\n%[1]s\r\n\r\n",
		"content length":    "HTTP/1.1 200 OK\r\nContent-Length: %[1]s\r\n\r\n",
		"transfer encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: %[1]s\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			v := b.verifier(t, func(o *VerifierOptions) {
				o.Transport = rawSTS(t, func(conn net.Conn, head string) {
					fmt.Fprintf(conn, format, strings.Fields(head)[1], head)
					conn.Close()
				})
			})
			_, err := v.Verify(t.Context(), bearer)
			if reason.Of(err) != reason.STSUnreachable {
				t.Errorf("Verify = %v, want STSUnreachable", err)
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if strings.Contains(e.Error(), request.Signature) || strings.Contains(e.Error(), "X-Amz") {
					t.Errorf("error %q shows the request", e)
				}
			}
		})
	}
}

func TestVerifyIsNotHeldBySwitchingProtocols(t *testing.T) {
	b := newBed(t)
	v := b.verifier(t, func(o *VerifierOptions) {
		o.Transport = rawSTS(t, func(conn net.Conn, _ string) {
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
		})
	})
	if _, err := v.Verify(t.Context(), b.token(t, b.admin)); reason.Of(err) != reason.STSAnswerInvalid {
		t.Errorf("Verify = %v, want STSAnswerInvalid", err)
	}
}

func TestVerifyBoundsCallsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBed(t)
		v := b.verifier(t, func(o *VerifierOptions) { o.Calls.Concurrency = 8 }) // half of it for one endpoint
		const elsewhere = "sts.eu-west-1.amazonaws.com"
		for _, token := range []string{b.token(t, b.admin), signed(t, b.admin.AWS(), elsewhere, "eu-west-1", testCluster, b.now())} {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
		b.sts.Forget()
		release := make(chan struct{})
		b.sts.SetFault(awstest.Fault{Until: release})
		var callers []awstest.Credentials // one access key gets an eighth of the calls
		for i := range 10 {
			creds, err := b.sts.Session(adminsARN, fmt.Sprint("s", i))
			if err != nil {
				t.Fatal(err)
			}
			callers = append(callers, creds)
		}
		var wg sync.WaitGroup
		results := make(chan error, len(callers))
		for _, creds := range callers {
			wg.Go(func() {
				_, err := v.Verify(t.Context(), b.token(t, creds))
				results <- err
			})
		}
		synctest.Wait()
		// Who is not known yet leaves a quarter to others.
		if n := b.sts.Calls(""); n != 3 {
			t.Errorf("%d calls in flight, want 3", n)
		}
		start := time.Now()
		for range len(callers) - 3 {
			if err := <-results; reason.Of(err) != reason.Overloaded {
				t.Errorf("Verify = %v, want Overloaded", err)
			}
		}
		if took := time.Since(start); took != maxWait {
			t.Errorf("shed after %s, want %s", took, maxWait)
		}
		// Another endpoint has turns of its own: its call gets through.
		b.sts.ClearFaults()
		if _, err := v.Verify(t.Context(), signed(t, b.alice.AWS(), elsewhere, "eu-west-1", testCluster, b.now())); err != nil {
			t.Errorf("another endpoint: %v", err)
		}
		close(release)
		wg.Wait()
		for range 3 {
			if err := <-results; err != nil {
				t.Errorf("in flight: %v", err)
			}
		}
	})
}

func TestVerifyGivesUpAfterItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		v, err := NewVerifier(VerifierOptions{
			ClusterIDs: []string{testCluster},
			Timeout:    3 * time.Second,
			Now:        func() time.Time { return testDate },
			Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), tokenWith(testParams()...)); reason.Of(err) != reason.STSUnreachable {
			t.Errorf("Verify = %v, want STSUnreachable", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("gave up after %s, want 3s", took)
		}
	})
}

func TestEmulatorIsReachedDirectly(t *testing.T) {
	if NewTransport(TransportOptions{EmulatorAddress: "127.0.0.1:1"}).model.Proxy != nil {
		t.Error("calls to the emulator would go through a proxy")
	}
	if NewTransport(TransportOptions{}).model.Proxy == nil {
		t.Error("calls to STS would not go through the proxy")
	}
}
