package certs

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const day = 24 * time.Hour

// clock runs with time.Now, ahead of it by what the test says.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }

// world is a state directory with what surrounds it.
type world struct {
	*clock
	dir  string
	logs *observer.ObservedLogs
	opts Options
}

func newWorld(t *testing.T) *world {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	w := &world{clock: new(clock), dir: filepath.Join(t.TempDir(), "state"), logs: logs}
	w.opts = Options{Dir: w.dir, Hostname: "auth.example", Address: "0.0.0.0", Log: zap.New(core), Now: w.Now}
	return w
}

func (w *world) path(file string) string { return filepath.Join(w.dir, file) }

func (w *world) source(t *testing.T) *Source {
	t.Helper()
	s, err := New(w.opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// warned counts log entries of at least warning level.
func (w *world) warned() (n int) {
	for _, e := range w.logs.All() {
		if e.Level >= zap.WarnLevel {
			n++
		}
	}
	return n
}

func handshake(t *testing.T, s *Source, trust []byte, name string) (*x509.Certificate, error) {
	t.Helper()
	return connect(&tls.Config{GetCertificate: s.GetCertificate, Time: s.now}, clientConfig(trust, name, s.now))
}

func clientConfig(trust []byte, name string, now func() time.Time) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(trust)
	return &tls.Config{RootCAs: roots, ServerName: name, Time: now}
}

// connect does a TLS handshake, and has one byte sent through it to learn what the server thinks of the client.
func connect(server, client *tls.Config) (*x509.Certificate, error) {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("."))
	}()
	conn, err := tls.Dial("tcp", listener.Addr().String(), client)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return nil, err
	}
	return conn.ConnectionState().PeerCertificates[0], nil
}

func mustConnect(t *testing.T, s *Source, trust []byte) *x509.Certificate {
	t.Helper()
	cert, err := handshake(t, s, trust, "auth.example")
	if err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return cert
}

// snapshot is the content of a directory's files.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != lockFile {
			files[e.Name()] = string(read(t, filepath.Join(dir, e.Name())))
		}
	}
	return files
}

func wantUnchanged(t *testing.T, dir string, before map[string]string) {
	t.Helper()
	if after := snapshot(t, dir); !maps.Equal(before, after) {
		t.Errorf("files changed in %s", dir)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, file string, data []byte, perm os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, perm); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, perm); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

// legacyPair is what aws-iam-authenticator creates: an RSA certificate that is its own CA.
func legacyPair(t *testing.T, now time.Time) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "kubernetes-aws-authenticator"},
		NotBefore:             now,
		NotAfter:              now.AddDate(100, 0, 0),
		KeyUsage:              x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		DNSNames:              []string{"auth.example"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certPEM, err = sign(template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return certPEM, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

// testCA is somebody else's CA.
type testCA struct {
	tls  tls.Certificate
	cert []byte
}

func newTestCA(t *testing.T, name string, parent *testCA, now time.Time) *testCA {
	t.Helper()
	key, keyPEM, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(3650 * day),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	issuer, signer := template, any(key)
	if parent != nil {
		issuer, signer = parent.tls.Leaf, parent.tls.PrivateKey
	}
	cert, err := sign(template, issuer, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return &testCA{pair, cert}
}

func (ca *testCA) issue(t *testing.T, name string, usage x509.ExtKeyUsage, notBefore, notAfter time.Time) (certPEM, keyPEM []byte) {
	t.Helper()
	key, keyPEM, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		DNSNames:    []string{name},
		NotBefore:   notBefore,
		NotAfter:    notAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	certPEM, err = sign(template, ca.tls.Leaf, key.Public(), ca.tls.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return certPEM, keyPEM
}

func join(pems ...[]byte) []byte { return bytes.Join(pems, nil) }
