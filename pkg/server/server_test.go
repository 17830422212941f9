package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/server/certs"
)

func TestServerSpeaksHTTP2AndHTTP1(t *testing.T) {
	b := newBed(t, nil)
	for proto, http2 := range map[string]bool{"HTTP/2.0": true, "HTTP/1.1": false} {
		transport := b.client.Transport.(*http.Transport).Clone()
		transport.ForceAttemptHTTP2 = http2
		if !http2 {
			transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
		}
		resp, err := (&http.Client{Transport: transport}).Get(b.url + "/healthz")
		check(t, err)
		resp.Body.Close()
		transport.CloseIdleConnections()
		if resp.Proto != proto {
			t.Errorf("%s, want %s", resp.Proto, proto)
		}
	}
}

func TestServerRefusesOldTLS(t *testing.T) {
	b := newBed(t, nil)
	config := b.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(b.url, "https://"), config); err == nil {
		conn.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

func TestServerHealth(t *testing.T) {
	var notReady error
	old := errors.New("last\ngood state")
	b := newBed(t, func(b *bed) {
		b.checks = []Check{
			{Name: "stars", Err: func() error { return notReady }},
			{Name: "files", Err: func() error { return old }, Advisory: true},
		}
	})
	for _, url := range []string{b.url, b.healthURL} {
		for path, want := range map[string]string{
			"/healthz":        "ok",
			"/livez":          "ok",
			"/readyz":         "ok",
			"/readyz?verbose": "[+]serving ok\n[+]mapper MountedFile ok\n[+]mapper MountedFile up to date ok\n[+]stars ok\n[!]files warning: last; good state\nreadyz check passed\n",
		} {
			if code, body := b.get(url + path); code != http.StatusOK || body != want {
				t.Errorf("%s: %d %q, want %q", path, code, body, want)
			}
		}
	}
	notReady = errors.New("not aligned")
	if code, body := b.get(b.healthURL + "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "[-]stars failed: not aligned\n") {
		t.Errorf("readyz: %d %q", code, body)
	}
	if code, _ := b.get(b.healthURL + "/livez"); code != http.StatusOK {
		t.Errorf("livez: %d", code)
	}
}

func TestServerMetrics(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	check(t, err)
	b := newBed(t, nil)
	b.status(v1, b.token(account+"role/team/admins", "bob"))
	b.status(v1, b.token(account+"role/nobody", "bob"))
	for i := range 50 { // what callers send makes no new series
		b.status(v1, fmt.Sprintf("foreign-%d", i))
	}
	b.status(v1, b.token(account+"role/breakglass", "bob"))
	b.post(b.url+"/authenticate", "text/plain", nil)
	for _, url := range []string{b.url, b.healthURL} {
		_, body := b.get(url + "/metrics")
		for _, want := range []string{
			`iam_authenticator_logins_total{outcome="granted",reason="Granted"} 2`,
			`iam_authenticator_break_glass_logins_total 1`,
			`iam_authenticator_logins_in_flight 0`,
			`iam_authenticator_logins_total{outcome="denied",reason="NotMapped"} 1`,
			`iam_authenticator_logins_total{outcome="rejected",reason="ForeignToken"} 50`,
			`iam_authenticator_logins_total{outcome="unavailable",reason="STSThrottled"} 0`,
			`iam_authenticator_login_duration_seconds_count{outcome="granted"} 2`,
			`iam_authenticator_bad_requests_total{status="415"} 1`,
			`iam_authenticator_sts_calls_total{reason="Granted",region="us-east-1"} 3`,
			`iam_authenticator_verifications_total{source="sts"} 3`,
			`iam_authenticator_verifications_total{source="stale"} 0`,
			`iam_authenticator_sts_endpoint_up{endpoint="sts.us-east-1.amazonaws.com"} 1`,
			`iam_authenticator_sts_endpoint_rate_share{endpoint="sts.us-east-1.amazonaws.com"} 1`,
			`iam_authenticator_sts_calls_in_flight 0`,
			`iam_authenticator_sts_calls_shed_total{cause="throttled"} 0`,
			`iam_authenticator_token_cache_entries{kind="accepted"} 0`,
			`iam_authenticator_sts_call_duration_seconds_count{region="us-east-1"} 3`,
			`iam_authenticator_mapper_ready{mapper="MountedFile"} 1`,
			`iam_authenticator_mapper_up_to_date{mapper="MountedFile"} 1`,
			`iam_authenticator_mapper_entries{mapper="MountedFile"} 5`,
			`iam_authenticator_mapper_problems{mapper="MountedFile",severity="skipped"} 0`,
			`iam_authenticator_certificate_expiry_timestamp_seconds `,
			`iam_authenticator_build_info{go_version="go`,
			`go_goroutines `,
			`process_resident_memory_bytes `,
		} {
			if !strings.Contains(body, "\n"+want) {
				t.Errorf("metrics lack %s", want)
			}
		}
		for line := range strings.Lines(body) {
			if name, ok := strings.CutPrefix(line, "# TYPE iam_"); ok && !strings.Contains(string(doc), "`iam_"+strings.Fields(name)[0]+"`") {
				t.Errorf("docs/operations.md doesn't explain iam_%s", name)
			}
		}
		if n := strings.Count(body, "iam_authenticator_"); n > 300 {
			t.Errorf("%d series", n)
		}
	}
}

func TestServerProfilesOnlyOnRequestAndNeverOnTheWebhooksPort(t *testing.T) {
	for _, profiling := range []bool{false, true} {
		b := newBed(t, func(b *bed) { b.server.options.Profiling = profiling })
		if code, _ := b.get(b.healthURL + "/debug/pprof/"); (code == http.StatusOK) != profiling {
			t.Errorf("profiling %v: %d", profiling, code)
		}
		if code, _ := b.get(b.url + "/debug/pprof/"); code != http.StatusNotFound {
			t.Errorf("profiling %v: %d on the webhook's port", profiling, code)
		}
	}
}

func TestServerDropsRequestsThatNeverSendTheirBody(t *testing.T) {
	b := newBed(t, func(b *bed) { b.server.readTimeout = time.Second })
	roots := b.client.Transport.(*http.Transport).TLSClientConfig
	var wg sync.WaitGroup
	for range 200 {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(b.url, "https://"), &tls.Config{RootCAs: roots.RootCAs, NextProtos: []string{"http/1.1"}})
		check(t, err)
		defer conn.Close()
		fmt.Fprintf(conn, "POST /authenticate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		wg.Go(func() {
			_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second)) // a guard, not a measure
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				if resp.StatusCode != http.StatusBadRequest {
					t.Errorf("answer %d", resp.StatusCode)
				}
			}
			if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection was still open")
			}
		})
	}
	wg.Wait()

	// The same over one HTTP/2 connection, whose streams are what runs out.
	for range 300 {
		wg.Go(func() {
			body, writer := io.Pipe()
			defer writer.Close()
			req, err := http.NewRequest(http.MethodPost, b.url+"/authenticate", body)
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", "application/json")
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if resp, err := b.client.Do(req.WithContext(ctx)); err == nil {
				resp.Body.Close()
			} else if errors.Is(err, context.DeadlineExceeded) {
				t.Error("the stream was still open")
			}
		})
	}
	wg.Wait()
	if status := b.status(v1, b.token(account+"role/team/admins", "bob")); !status.Authenticated {
		t.Errorf("afterwards: %+v", status)
	}
}

func TestServerFinishesRequestsInFlight(t *testing.T) {
	b := newBed(t, nil)
	bearer := b.token(account+"role/team/admins", "bob")
	// Else each request begins a connection, and net/http waits in vain for one whose
	// handshake ends after Shutdown has told the others to go.
	b.get(b.url + "/livez")
	release := make(chan struct{})
	b.sts.SetFault(awstest.Fault{Until: release})
	type answer struct {
		code int
		body []byte
	}
	answers := make(chan answer)
	const inFlight = 20
	for range inFlight {
		go func() {
			code, _, body := b.review(v1, bearer)
			answers <- answer{code, body}
		}()
	}
	for b.verify.Stats().Waiting < inFlight {
		time.Sleep(time.Millisecond)
	}
	if _, body := b.get(b.healthURL + "/metrics"); !strings.Contains(body, fmt.Sprintf("\niam_authenticator_logins_in_flight %d\n", inFlight)) {
		t.Errorf("metrics don't show %d logins in flight", inFlight)
	}
	b.stop()
	for !b.server.stopping.Load() {
		time.Sleep(time.Millisecond)
	}
	if code, body := b.get(b.healthURL + "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "shutting down") {
		t.Errorf("readyz while stopping: %d %s", code, body)
	}
	close(release)
	for range inFlight {
		if a := <-answers; a.code != http.StatusOK || !strings.Contains(string(a.body), `"authenticated":true`) {
			t.Errorf("a request in flight was answered %d %s", a.code, a.body)
		}
	}
	err := <-b.done
	b.done <- nil // for the cleanup
	check(t, err)
	if conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "https://")); err == nil {
		conn.Close()
		t.Error("the port is still open")
	}
}

func TestServerChecksClientCertificates(t *testing.T) {
	// The CA of another server's certificate serves as the API server's.
	dir := t.TempDir()
	_, err := certs.New(certs.Options{Dir: dir, Hostname: "apiserver"})
	check(t, err)
	b := newBed(t, func(b *bed) {
		cas, err := certs.NewClientCAs(filepath.Join(dir, "ca.pem"), b.server.options.TLS, nil)
		check(t, err)
		b.server.options.TLS = b.server.options.TLS.Clone()
		b.server.options.TLS.GetConfigForClient = cas.GetConfigForClient
	})
	if _, err := b.client.Get(b.url + "/healthz"); err == nil {
		t.Error("a client without a certificate got an answer")
	}
}
