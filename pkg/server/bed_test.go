package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/file"
	"github.com/iam-authenticator/authenticator/pkg/server/certs"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

const (
	testCluster = "test"
	account     = "arn:aws:iam::111122223333:"
	v1          = "authentication.k8s.io/v1"
	v1beta1     = "authentication.k8s.io/v1beta1"
)

const mappings = `server:
  mapRoles:
  - rolearn: arn:aws:iam::111122223333:role/admins
    username: admin:{{SessionName}}
    groups: [admins, "{{AccountID}}"]
  - rolearn: arn:aws:iam::111122223333:role/masters
    username: "{{SessionName}}:masters"
  - rolearn: arn:aws:iam::111122223333:role/pinned
    username: pinned
    userid: AROASOMEBODYELSE
  - rolearn: arn:aws:iam::444455556666:role/scrubbed
    username: scrubbed
    groups: [scrubbed]
  mapUsers:
  - userarn: arn:aws:iam::111122223333:user/alice
    username: alice
`

// bed is the whole server on loopback, with an STS emulator behind it.
type bed struct {
	t       testing.TB
	sts     *awstest.STS
	chain   *mapper.Chain
	verify  *token.Verifier
	webhook *Webhook
	metrics *Metrics
	logs    *observer.ObservedLogs
	source  *certs.Source
	server  *Server
	checks  []Check

	url, healthURL string
	client         *http.Client // trusts the server's CA
	stop           context.CancelFunc
	done           chan error
}

// newBed starts a server. change may alter it before it serves.
func newBed(t testing.TB, change func(*bed)) *bed {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	log := zap.New(core)
	b := &bed{t: t, sts: awstest.New(awstest.Options{}), logs: logs, done: make(chan error, 1)}
	emulator, err := awstest.NewServer(b.sts, "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { emulator.Close() })
	for _, role := range []string{account + "role/team/admins", account + "role/masters", account + "role/pinned",
		account + "role/nobody", account + "role/breakglass", "arn:aws:iam::444455556666:role/scrubbed"} {
		check(t, b.sts.AddRole(role, awstest.Role{}))
	}

	config := filepath.Join(t.TempDir(), "config.yaml")
	check(t, os.WriteFile(config, []byte(mappings), 0o600))
	check(t, os.Chtimes(config, time.Time{}, time.Now().Add(-time.Hour))) // one just written is watched for a while
	files, err := file.New(file.Options{Kind: file.MountedFile, Path: config})
	check(t, err)
	admin, err := mapper.NewBootstrapAdmin([]string{account + "role/breakglass"}, time.Now())
	check(t, err)
	b.source, err = certs.New(certs.Options{Dir: t.TempDir(), Hostname: "localhost", Address: "127.0.0.1"})
	check(t, err)
	b.metrics = NewMetrics(MetricsOptions{Version: "v0", Revision: "abc", Mappers: func() []mapper.Mapper { return []mapper.Mapper{admin, files} }, CertificateExpiry: b.source.NotAfter})
	b.chain = mapper.NewChain([]mapper.Mapper{admin, files}, mapper.ChainOptions{})
	b.verify, err = token.NewVerifier(token.VerifierOptions{
		ClusterIDs: []string{testCluster},
		Transport:  token.NewTransport(token.TransportOptions{EmulatorAddress: emulator.Addr(), EmulatorCA: emulator.CertPool()}),
		Observe:    b.metrics.STSCall,
	})
	check(t, err)
	b.metrics.ShowVerifier(b.verify.Stats)
	b.webhook = NewWebhook(WebhookOptions{
		Verifier: b.verify, Mapper: b.chain, Metrics: b.metrics, Log: log, ScrubbedAccounts: []string{"444455556666"},
	})

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	health, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	b.server = New(Options{
		Listener: listener, TLS: TLSConfig(b.source.GetCertificate), Webhook: b.webhook, Metrics: b.metrics,
		HealthListener: health, Log: log,
		Checks: func() []Check { return append(MapperChecks([]mapper.Mapper{files}), b.checks...) },
	})
	b.url, b.healthURL = "https://"+listener.Addr().String(), "http://"+health.Addr().String()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b.source.CABundle())
	b.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	if change != nil {
		change(b)
	}

	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	go func() { b.done <- b.server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		b.client.CloseIdleConnections()
		check(t, <-b.done)
	})
	return b
}

// token makes a token for a session of a role.
func (b *bed) token(roleARN, session string) string {
	b.t.Helper()
	creds, err := b.sts.Session(roleARN, session)
	check(b.t, err)
	return b.tokenOf(creds, testCluster, time.Now())
}

func (b *bed) tokenOf(creds awstest.Credentials, clusterID string, at time.Time) string {
	b.t.Helper()
	t, err := token.Presign(b.t.Context(), creds.AWS(), token.PresignOptions{
		ClusterID: clusterID, Region: "us-east-1", Now: func() time.Time { return at },
	})
	check(b.t, err)
	return t.Value
}

// review posts a TokenReview and returns the answer's code, header and body.
func (b *bed) review(apiVersion, bearer string, audiences ...string) (int, http.Header, []byte) {
	b.t.Helper()
	review := fmt.Sprintf(`{"apiVersion":%q,"kind":"TokenReview","metadata":{"creationTimestamp":null},"spec":{"token":%q,"audiences":%s},"status":{"user":{}}}`,
		apiVersion, bearer, mustJSON(audiences))
	return b.post(b.url+"/authenticate", "application/json", []byte(review))
}

func (b *bed) post(url, contentType string, body []byte) (int, http.Header, []byte) {
	b.t.Helper()
	resp, err := b.client.Post(url, contentType, bytes.NewReader(body))
	check(b.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	check(b.t, err)
	return resp.StatusCode, resp.Header, answer
}

// status posts a TokenReview that must be answered with 200.
func (b *bed) status(apiVersion, bearer string, audiences ...string) authenticationv1.TokenReviewStatus {
	b.t.Helper()
	code, header, body := b.review(apiVersion, bearer, audiences...)
	if code != http.StatusOK || header.Get("Content-Type") != "application/json" {
		b.t.Fatalf("answer %d %s %s", code, header.Get("Content-Type"), body)
	}
	var review authenticationv1.TokenReview
	check(b.t, json.Unmarshal(body, &review))
	if review.APIVersion != apiVersion || review.Kind != "TokenReview" {
		b.t.Errorf("asked in %s, answered in %s %s", apiVersion, review.APIVersion, review.Kind)
	}
	return review.Status
}

func (b *bed) get(url string) (int, string) {
	b.t.Helper()
	resp, err := b.client.Get(url)
	check(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(b.t, err)
	return resp.StatusCode, string(body)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
