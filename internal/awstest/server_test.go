package awstest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// presignClient returns the URL of a GetCallerIdentity request to the server's
// own address, presigned by the real clock.
func presignClient(t *testing.T, srv *Server, c Credentials) (string, error) {
	t.Helper()
	query := url.Values{"Action": {"GetCallerIdentity"}, "Version": {apiVersion}}
	r, err := http.NewRequest(http.MethodGet, srv.URL()+"/?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), c.AWS(), r, emptyHash, "sts", "eu-west-1", time.Now())
	return signed, err
}

func TestServerHasACertificateForEverySTSHost(t *testing.T) {
	_, srv := newServer(t)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(srv.CAPEM()) {
		t.Fatal("CAPEM is not a certificate")
	}
	for name, want := range map[string]bool{
		"sts.amazonaws.com":                     true,
		"sts.us-east-1.amazonaws.com":           true,
		"sts-fips.us-east-1.amazonaws.com":      true,
		"sts.eu-west-1.api.aws":                 true,
		"sts.cn-northwest-1.amazonaws.com.cn":   true,
		"sts.us-gov-east-1.amazonaws.com":       true,
		"sts.us-iso-east-1.c2s.ic.gov":          true,
		"sts.us-isob-east-1.sc2s.sgov.gov":      true,
		"sts.eu-isoe-west-1.cloud.adc-e.uk":     true,
		"sts.us-isof-south-1.csp.hci.ic.gov":    true,
		"sts.eusc-de-east-1.amazonaws.eu":       true,
		"localhost":                             true,
		"127.0.0.1":                             true,
		"example.com":                           false,
		"ec2.us-east-1.amazonaws.com":           false,
		"sts.us-east-1.amazonaws.com.evil.test": false,
		"sts.us-east-1.evil.test":               false,
	} {
		conn, err := tls.Dial("tcp", srv.Addr(), &tls.Config{RootCAs: roots, ServerName: name})
		if (err == nil) != want {
			t.Errorf("%s: %v, want a certificate: %t", name, err, want)
		}
		if err != nil {
			continue
		}
		state := conn.ConnectionState()
		leaf := state.PeerCertificates[0]
		if key, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() || leaf.IsCA {
			t.Errorf("%s: key %T, CA %t", name, leaf.PublicKey, leaf.IsCA)
		}
		conn.Close()
	}
	if _, err := tls.Dial("tcp", srv.Addr(), &tls.Config{ServerName: "sts.amazonaws.com"}); err == nil {
		t.Error("trusted by the system's roots")
	}
}

func TestTablesByHostNameAreBounded(t *testing.T) {
	s := New(Options{})
	ca, err := newAuthority(s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxHosts {
		s.hosts.region(fmt.Sprintf("host-%d.example.com", i))
		ca.leaves[fmt.Sprint(i)] = new(tls.Certificate)
	}
	for _, name := range []string{"localhost", "sts.eu-west-1.amazonaws.com", "sts.eu-west-2.amazonaws.com"} {
		if _, err := ca.certificate(&tls.ClientHelloInfo{ServerName: name}); err != nil {
			t.Fatal(err)
		}
	}
	if len(ca.leaves) > maxHosts || len(s.hosts.regions) > maxHosts {
		t.Errorf("%d certificates, %d hosts, want at most %d", len(ca.leaves), len(s.hosts.regions), maxHosts)
	}
}

func TestServerKeepsConnectionsAliveAndCountsThem(t *testing.T) {
	s, srv := newServer(t)
	user := must(s.AddUser(testUser))
	signed := must(presignClient(t, srv, user))
	client := srv.Client()
	for range 5 {
		resp, err := client.Get(signed)
		if err != nil {
			t.Fatal(err)
		}
		body := must(io.ReadAll(resp.Body))
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.ProtoMajor != 1 || !strings.Contains(string(body), testUser) {
			t.Errorf("%s %s %s", resp.Proto, resp.Status, body)
		}
	}
	if c, h := srv.Connections(), srv.Handshakes(); c != 1 || h != 1 {
		t.Errorf("%d connections, %d handshakes, want 1 and 1", c, h)
	}
	client.CloseIdleConnections()
	resp, err := client.Get(signed)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if c, h := srv.Connections(), srv.Handshakes(); c != 2 || h != 2 {
		t.Errorf("%d connections, %d handshakes, want 2 and 2", c, h)
	}
	if got := s.Calls("GetCallerIdentity"); got != 6 {
		t.Errorf("%d calls, want 6", got)
	}
}

func TestServerListensOnLoopbackOnly(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "example.com:0", "127.0.0.1", ""} {
		if srv, err := NewServer(New(Options{}), address); err == nil {
			srv.Close()
			t.Errorf("%q: listens", address)
		}
	}
}

func TestCloseEndsHangingRequests(t *testing.T) {
	s, srv := newServer(t)
	user := must(s.AddUser(testUser))
	s.SetFault(Fault{Kind: FaultHang})
	signed := must(presignClient(t, srv, user))
	done := make(chan error, 1)
	go func() {
		resp, err := srv.Client().Get(signed)
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for s.Calls("") == 0 && ctx.Err() == nil {
		runtime.Gosched()
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-done:
		if err == nil {
			t.Error("answered")
		}
	case <-ctx.Done():
		t.Error("still hanging")
	}
	if c, err := net.Dial("tcp", srv.Addr()); err == nil {
		c.Close()
		t.Error("still listening")
	}
}

func BenchmarkGetCallerIdentity(b *testing.B) {
	s, user, _ := newSTS(b)
	session := must(s.Session(testRole, "bob"))
	for name, c := range map[string]Credentials{"user": user, "session": session} {
		r := presign(b, c, testHost, "eu-west-1", nil)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if status, body := serve(s, r); status != http.StatusOK {
					b.Fatal(body)
				}
			}
		})
	}
}

func TestMemoryServerServesInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := New(Options{})
		server, err := NewMemoryServer(sts)
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		client := server.Client()
		defer client.CloseIdleConnections()

		sts.SetFault(Fault{Latency: time.Hour})
		start := time.Now()
		resp, err := client.Get("https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if took := time.Since(start); resp.StatusCode != http.StatusForbidden || took != time.Hour {
			t.Errorf("answered %d after %s, want 403 after an hour", resp.StatusCode, took)
		}
	})
}
