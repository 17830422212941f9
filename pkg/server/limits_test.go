package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/server/certs"
)

// Logins that wait for STS, of which there may be 2,000, must not fill the connection
// that those come by which need no STS. Time stands still here unless all wait.
func TestServerAnswersBesideLoginsThatWait(t *testing.T) {
	for _, c := range []struct {
		proto                string
		waiting, connections int
	}{
		{"HTTP/2.0", 2000, 1},
		{"HTTP/1.1", 200, 201}, // each has a connection of its own
	} {
		t.Run(c.proto, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				var waiting, answered atomic.Int64
				release := make(chan struct{})
				webhook := benchWebhook(nopCore, nil)
				known := webhook.verifier
				webhook.verifier = verifierFunc(func(ctx context.Context, bearer string) (iam.Identity, error) {
					if strings.HasPrefix(bearer, "wait") {
						waiting.Add(1)
						<-release
					}
					v, err := known.Verify(ctx, bearer)
					return v.Identity, err
				})
				source, err := certs.New(certs.Options{Dir: dir, Hostname: "localhost"})
				check(t, err)
				listener := newPipeListener()
				server := New(Options{Listener: listener, TLS: TLSConfig(source.GetCertificate), Webhook: webhook, Metrics: webhook.metrics, Log: zap.NewNop()})
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- server.Run(ctx) }()

				roots := x509.NewCertPool()
				roots.AppendCertsFromPEM(source.CABundle())
				transport := &http.Transport{
					DialContext:       listener.dial,
					TLSClientConfig:   &tls.Config{RootCAs: roots},
					ForceAttemptHTTP2: c.proto == "HTTP/2.0",
					// Wait for room on the one connection, instead of opening another.
					HTTP2: &http.HTTP2Config{StrictMaxConcurrentRequests: true},
				}
				login := func(token string) {
					body := strings.Replace(usual, "k8s-aws-v1.x", token+strings.Repeat("x", 3000), 1)
					resp, err := (&http.Client{Transport: transport}).Post("https://localhost/authenticate", "application/json", strings.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					answer, err := io.ReadAll(resp.Body)
					if err != nil || !strings.Contains(string(answer), `"authenticated":true`) || resp.Proto != c.proto {
						t.Errorf("answer %d in %s: %s, %v", resp.StatusCode, resp.Proto, answer, err)
					}
					answered.Add(1)
				}

				login("first") // tells the client how many streams there may be
				var all sync.WaitGroup
				for range c.waiting {
					all.Go(func() { login("wait") })
				}
				synctest.Wait()
				if n := waiting.Load(); n != int64(c.waiting) {
					t.Errorf("%d of %d logins came through", n, c.waiting)
				}
				all.Go(func() { login("known") })
				synctest.Wait()
				if n := answered.Load(); n != 2 {
					t.Errorf("%d logins were answered, want the first and the last", n)
				}
				close(release)
				all.Wait()
				if n := listener.dialled.Load(); n > int64(c.connections) {
					t.Errorf("%d connections, want %d", n, c.connections)
				}
				transport.CloseIdleConnections()
				stop()
				check(t, <-done)
				time.Sleep(time.Minute) // two ends that say goodbye at once wait for each other for a while
			})
		})
	}
}

// pipeListener listens in memory.
type pipeListener struct {
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
	dialled atomic.Int64
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	l.dialled.Add(1)
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// A client that reads no answers must not keep its connection and what is in it.
func TestServerDropsClientsThatDoNotRead(t *testing.T) {
	const frames = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
		"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + // SETTINGS
		"\x00\x00\x0d\x01\x05\x00\x00\x00\x01" + "\x82\x87\x04\x06/livez\x41\x01a" // HEADERS: GET https://a/livez
	for proto, request := range map[string]string{
		"h2":       frames,
		"http/1.1": "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(proto, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				source, err := certs.New(certs.Options{Dir: dir, Hostname: "localhost"})
				check(t, err)
				listener, metrics := newPipeListener(), NewMetrics(MetricsOptions{})
				server := New(Options{Listener: listener, TLS: TLSConfig(source.GetCertificate), Metrics: metrics, Webhook: http.NotFoundHandler(), Log: zap.NewNop()})
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- server.Run(ctx) }()

				raw, err := listener.dial(ctx, "", "")
				check(t, err)
				roots := x509.NewCertPool()
				roots.AppendCertsFromPEM(source.CABundle())
				conn := tls.Client(raw, &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{proto}, MaxVersion: tls.VersionTLS12})
				check(t, conn.Handshake())
				if got := conn.ConnectionState().NegotiatedProtocol; got != proto {
					t.Fatalf("protocol %q", got)
				}
				_, err = io.WriteString(conn, request)
				check(t, err)
				time.Sleep(2 * writeTimeout)
				_ = raw.SetWriteDeadline(time.Now().Add(time.Second))
				if _, err := raw.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("the connection is still open: %v", err)
				}
				raw.Close()
				stop()
				check(t, <-done)
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestServerRefusesLargeHeaders(t *testing.T) {
	b := newBed(t, nil)
	for _, proto := range []string{"HTTP/2.0", "HTTP/1.1"} {
		transport := b.client.Transport.(*http.Transport).Clone()
		if proto == "HTTP/1.1" {
			transport.ForceAttemptHTTP2 = false
			transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
		}
		client := &http.Client{Transport: transport}
		for _, c := range []struct {
			size   int
			refuse bool
		}{
			{maxHeader / 2, false},
			{maxHeader + 8<<10, true}, // net/http allows for some more
		} {
			req, err := http.NewRequest(http.MethodGet, b.url+"/livez", nil)
			check(t, err)
			req.Header.Set("X-Large", strings.Repeat("x", c.size))
			resp, err := client.Do(req)
			// A client of HTTP/2 is told the bound and keeps it by itself.
			refused := err != nil && strings.Contains(err.Error(), "header list larger than peer's advertised limit")
			if err == nil {
				resp.Body.Close()
				refused = resp.StatusCode == http.StatusRequestHeaderFieldsTooLarge
				if resp.Proto != proto {
					t.Errorf("answer in %s, want %s", resp.Proto, proto)
				}
			}
			if refused != c.refuse || !refused && (err != nil || resp.StatusCode != http.StatusOK) {
				t.Errorf("%s: header of %d bytes: %v %v", proto, c.size, resp, err)
			}
		}
		transport.CloseIdleConnections()
	}
}
