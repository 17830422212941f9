package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/e2e/bed"
	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/server/certs"
	"github.com/iam-authenticator/authenticator/pkg/token"
	authenticationv1 "k8s.io/api/authentication/v1"
)

// TestNoLoginIsLost keeps people logging in while everything around them is replaced, as docs/operations.md says
// to: the server, its certificate, the API server. It prints how many logins there were, and what became of them.
func TestNoLoginIsLost(t *testing.T) {
	b := newRollingBed(t)
	t.Logf("%-44s %6s %8s %6s", "", "tried", "granted", "lost")

	b.during("nothing happens", true, func() { time.Sleep(2 * time.Second) })

	server := b.server
	b.during("the server is replaced, 5 times", true, func() {
		for range 5 {
			next := b.startServer("--share-ports")
			end(server, syscall.SIGTERM)
			server = next
			time.Sleep(time.Second)
		}
	})
	aged := b.ageCertificate()
	next := b.startServer("--share-ports")
	end(server, syscall.SIGTERM)
	server = next
	b.during("the certificate is renewed", true, func() {
		until(t, "the certificate is renewed", func() error {
			if bytes.Equal(b.certificate(), aged) {
				return errors.New("it is the old one")
			}
			return nil
		})
		time.Sleep(time.Second)
	})
	b.during("the API server is restarted", true, func() {
		if err := b.cluster.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	})

	// What the next server is for: without it, some are lost.
	b.during("the server ends before the next one starts", false, func() {
		end(server, syscall.SIGTERM)
		time.Sleep(500 * time.Millisecond) // a container takes longer to start than a process
		b.startServer("--share-ports")
		time.Sleep(time.Second)
	})
}

// What the documentation says of a DaemonSet is what API servers take: a surge on the node's own network.
func TestDocumentedSurgeIsAccepted(t *testing.T) {
	cluster, err := bed.Start(t.Context(), bed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	text, err := os.ReadFile(filepath.Join(repository, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	strategy := regexp.MustCompile(`(?m)(^   (minReadySeconds:|updateStrategy:|  ).*\n)+`).Find(text)
	if !bytes.Contains(strategy, []byte("maxSurge: 1")) {
		t.Fatalf("the documentation says %q", strategy)
	}
	manifest := filepath.Join(t.TempDir(), "daemonset.yaml")
	if err := os.WriteFile(manifest, fmt.Appendf(nil, `apiVersion: apps/v1
kind: DaemonSet
metadata: {name: authenticator, namespace: kube-system}
spec:
%s   selector: {matchLabels: {app: authenticator}}
   template:
    metadata: {labels: {app: authenticator}}
    spec:
      hostNetwork: true
      containers: [{name: server, image: authenticator}]
`, strategy), 0o600); err != nil {
		t.Fatal(err)
	}
	got := adminKubectl(t, cluster, "create", "--dry-run=server", "--validate=strict", "-f", manifest,
		"-o", "jsonpath={.spec.minReadySeconds} {.spec.updateStrategy.rollingUpdate}")
	if want := `10 {"maxSurge":1,"maxUnavailable":0}`; got != want {
		t.Errorf("the API server understood %q, want %q", got, want)
	}
}

// rollingBed is an API server and an authenticator whose logins are counted.
type rollingBed struct {
	t       *testing.T
	cluster *bed.Cluster
	program string
	config  string // file
	state   string // directory
	log     string // file
	webhook string // URL
	health  string // URL
	roots   *x509.CertPool
	server  *exec.Cmd

	api    *http.Client // kubectl
	people []awstest.Credentials
	reused []string // a token of each of the people
}

const rollingPeople = 50

func newRollingBed(t *testing.T) *rollingBed {
	t.Helper()
	dir := t.TempDir()
	b := &rollingBed{
		t: t, program: filepath.Join(buildAuthenticator(t), "authenticator"),
		config: filepath.Join(dir, "config.yaml"), state: filepath.Join(dir, "state"), log: filepath.Join(t.ArtifactDir(), "server.log"),
	}
	sts := awstest.New(awstest.Options{})
	var users strings.Builder
	for i := range rollingPeople {
		arn := fmt.Sprintf("arn:aws:iam::111122223333:user/u%d", i)
		credentials, err := sts.AddUser(arn)
		if err != nil {
			t.Fatal(err)
		}
		b.people = append(b.people, credentials)
		fmt.Fprintf(&users, "  - {userARN: %q, username: u%d}\n", arn, i)
	}
	emulator, err := awstest.NewServer(sts, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { emulator.Close() })
	var ports [2]int
	for i := range ports {
		if ports[i], err = bed.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	b.webhook = fmt.Sprintf("https://localhost:%d/authenticate", ports[0])
	b.health = fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	kubeconfig := filepath.Join(dir, "webhook.yaml")
	stsCA := filepath.Join(dir, "sts-ca.pem")
	config := fmt.Sprintf(`clusterID: demo
server:
  port: %d
  healthPort: %d
  stateDir: %s
  generateKubeconfig: %s
  stsEmulator: {address: %q, caFile: %s}
  mapUsers:
%s`, ports[0], ports[1], b.state, kubeconfig, emulator.Addr(), stsCA, &users)
	if err := errors.Join(os.WriteFile(stsCA, emulator.CAPEM(), 0o600), os.WriteFile(b.config, []byte(config), 0o600)); err != nil {
		t.Fatal(err)
	}
	b.makeCertificate(70 * 24 * time.Hour) // the CA has to be older than what ageCertificate makes
	b.server = b.startServer("--share-ports")

	uncached := time.Duration(0)
	if b.cluster, err = bed.Start(t.Context(), bed.Options{WebhookKubeconfig: kubeconfig, WebhookCacheTTL: &uncached}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.cluster.Stop)
	b.api = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.pool(b.cluster.CAFile)}, ForceAttemptHTTP2: true}}
	b.roots = b.pool(filepath.Join(b.state, "ca.pem"))
	for _, person := range b.people {
		b.reused = append(b.reused, b.token(person))
	}
	return b
}

func (b *rollingBed) pool(file string) *x509.CertPool {
	b.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		b.t.Fatalf("no certificate in %s", file)
	}
	return pool
}

// startServer starts a server, and returns when it serves and knows the mappings.
func (b *rollingBed) startServer(flags ...string) *exec.Cmd {
	b.t.Helper()
	log, err := os.OpenFile(b.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	defer log.Close()
	before := b.said("webhook serves")
	cmd := exec.Command(b.program, append([]string{"server", "--config", b.config}, flags...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { end(cmd, syscall.SIGKILL) })
	until(b.t, "the server starts", func() error {
		if b.said("webhook serves") == before {
			return errors.New("it doesn't serve; see " + b.log)
		}
		return nil
	})
	return cmd
}

// said counts lines of the servers' log.
func (b *rollingBed) said(what string) int {
	data, err := os.ReadFile(b.log)
	if err != nil {
		b.t.Fatal(err)
	}
	return bytes.Count(data, []byte(what))
}

// makeCertificate makes what is missing in the state directory, as of some time ago.
func (b *rollingBed) makeCertificate(age time.Duration) {
	b.t.Helper()
	now := func() time.Time { return time.Now().Add(-age) }
	if _, err := certs.New(certs.Options{Dir: b.state, Hostname: "localhost", Now: now}); err != nil {
		b.t.Fatal(err)
	}
}

// ageCertificate makes a certificate that is due in ten seconds, for the next server to find, and returns it.
func (b *rollingBed) ageCertificate() []byte {
	b.t.Helper()
	for _, name := range []string{"cert.pem", "key.pem"} {
		if err := os.Remove(filepath.Join(b.state, name)); err != nil {
			b.t.Fatal(err)
		}
	}
	// Two thirds of a lifetime of 90 days that begins an hour before the certificate is made.
	b.makeCertificate(60*24*time.Hour - 20*time.Minute - 10*time.Second)
	pair, err := tls.LoadX509KeyPair(filepath.Join(b.state, "cert.pem"), filepath.Join(b.state, "key.pem"))
	if err != nil {
		b.t.Fatal(err)
	}
	return pair.Certificate[0]
}

// certificate is that which a server shows.
func (b *rollingBed) certificate() []byte {
	b.t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(b.webhook, "https://"), "/authenticate"), &tls.Config{RootCAs: b.roots})
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Raw
}

// tally counts what became of logins.
type tally struct {
	mu             sync.Mutex
	tried, granted int
	without        int            // nobody to ask: the API server was away
	lost           map[string]int // by why
}

// during has people log in, 50 times a second, while something happens. No login may be lost then, or else some
// must be.
func (b *rollingBed) during(what string, lossless bool, happens func()) {
	b.t.Helper()
	counts := &tally{lost: map[string]int{}}
	var logins sync.WaitGroup
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			logins.Go(func() { b.login(i, counts) })
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	happens()
	close(stop)
	<-stopped
	logins.Wait()

	var lost int
	for _, n := range counts.lost {
		lost += n
	}
	b.t.Logf("%-44s %6d %8d %6d", what, counts.tried, counts.granted, lost)
	if counts.without > 0 {
		b.t.Logf("  %d with no API server to ask", counts.without)
	}
	for _, why := range slices.Sorted(maps.Keys(counts.lost)) {
		b.t.Logf("  lost %d: %s", counts.lost[why], why)
	}
	if lossless != (lost == 0) {
		b.t.Errorf("%s: %d of %d logins lost", what, lost, counts.tried)
	}
	if counts.granted == 0 {
		b.t.Errorf("%s: nobody got in", what)
	}
}

// login is one of four kinds: by the API server or straight to the webhook, with a new token or one that was
// used before.
func (b *rollingBed) login(i int, counts *tally) {
	person := i % rollingPeople
	bearer := b.reused[person]
	if i/rollingPeople%2 == 0 {
		bearer = b.token(b.people[person])
	}
	var err error
	if i%2 == 0 {
		err = b.askAPIServer(bearer, person)
	} else {
		err = b.askWebhook(bearer, person)
	}
	counts.mu.Lock()
	defer counts.mu.Unlock()
	counts.tried++
	switch {
	case err == nil:
		counts.granted++
	case errors.Is(err, errNoAPIServer):
		counts.without++
	default:
		counts.lost[err.Error()]++
	}
}

func (b *rollingBed) token(person awstest.Credentials) string {
	made, err := token.Presign(context.Background(), person.AWS(), token.PresignOptions{ClusterID: "demo", Region: "eu-central-1"})
	if err != nil {
		b.t.Error(err)
	}
	return made.Value
}

var errNoAPIServer = errors.New("no API server")

// askAPIServer is `kubectl auth whoami`. An API server that is down, starts or ends is none: it answers nobody, or
// a 5xx of its own. One that has just started knows who asks, and may not know their rights yet.
func (b *rollingBed) askAPIServer(bearer string, person int) error {
	answer, status, err := post(b.api, b.cluster.Server+"/apis/authentication.k8s.io/v1/selfsubjectreviews", bearer,
		`{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`)
	if err != nil || status >= http.StatusInternalServerError {
		return errNoAPIServer
	}
	name := fmt.Sprintf("u%d", person)
	if status == http.StatusForbidden && bytes.Contains(answer, fmt.Appendf(nil, `User \"%s\" cannot`, name)) {
		return nil
	}
	var review authenticationv1.SelfSubjectReview
	if err := json.Unmarshal(answer, &review); err != nil || review.Status.UserInfo.Username != name {
		return fmt.Errorf("API server: %d %s", status, answer)
	}
	return nil
}

// askWebhook asks as an API server does that has no connection yet: a connection that was reset, and nothing else, it
// tries again.
// https://github.com/kubernetes/kubernetes/blob/v1.36.3/staging/src/k8s.io/apiserver/pkg/util/webhook/webhook.go
func (b *rollingBed) askWebhook(bearer string, person int) error {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.roots}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	body := fmt.Sprintf(`{"apiVersion":"authentication.k8s.io/v1beta1","kind":"TokenReview","spec":{"token":%q}}`, bearer)
	for pause, tries := 500*time.Millisecond, 5; ; pause, tries = pause*3/2, tries-1 {
		answer, status, err := post(client, b.webhook, "", body)
		if errors.Is(err, syscall.ECONNRESET) && tries > 1 {
			time.Sleep(pause)
			continue
		}
		if err != nil {
			return fmt.Errorf("webhook: %w", errors.Unwrap(err))
		}
		var review authenticationv1.TokenReview
		if err := json.Unmarshal(answer, &review); err != nil || review.Status.User.Username != fmt.Sprintf("u%d", person) {
			return fmt.Errorf("webhook: %d %s", status, answer)
		}
		return nil
	}
}

func post(client *http.Client, url, bearer, body string) (answer []byte, status int, err error) {
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return answer, response.StatusCode, err
}
