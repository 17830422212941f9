package awstest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Service is a service of AWS that a [Server] can pass for: [STS], [EC2] or [IAM].
type Service interface {
	http.Handler
	hasHost(name string) bool // one of its endpoints, in any partition
}

// Server serves a [Service] over TLS on loopback. It has a certification authority
// of its own, in memory only, and a certificate for every name that AWS gives an
// endpoint of the service, in any partition: a client that dials Addr whatever host
// it means to call, and trusts CAPEM, takes it for AWS.
type Server struct {
	listener net.Listener
	http     *http.Server
	done     chan struct{}

	authority *authority

	connections atomic.Int64
	handshakes  atomic.Int64
}

// NewServer listens on a loopback address ("127.0.0.1:0" for a free port) and
// serves s there until Close.
func NewServer(s Service, address string) (*Server, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", address, err)
	}
	if !isLoopback(host) {
		return nil, fmt.Errorf("listen address %q: the emulator is for loopback only, e.g. 127.0.0.1:0", address)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	srv, err := serveOn(s, listener)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return srv, nil
}

// NewMemoryServer serves s until Close over connections within the process, which are
// made with Dial. They work in a bubble of testing/synctest, where time is virtual.
func NewMemoryServer(s Service) (*Server, error) { return serveOn(s, newMemory()) }

func serveOn(s Service, listener net.Listener) (*Server, error) {
	ca, err := newAuthority(s)
	if err != nil {
		return nil, fmt.Errorf("certification authority: %w", err)
	}
	srv := &Server{listener: listener, done: make(chan struct{}), authority: ca}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // HTTP/1.1 only, as STS
	srv.http = &http.Server{
		Handler:           s,
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // broken handshakes are the tests' own doing
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: ca.certificate,
			VerifyConnection: func(tls.ConnectionState) error {
				srv.handshakes.Add(1)
				return nil
			},
		},
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				srv.connections.Add(1)
			}
		},
	}
	go func() {
		defer close(srv.done)
		srv.http.ServeTLS(listener, "", "") // ends with Close
	}()
	return srv, nil
}

// Addr returns the address to dial, host and port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL returns the address as a URL.
func (s *Server) URL() string { return "https://" + s.Addr() }

// Dial connects to the server, whatever kind it is.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	if m, ok := s.listener.(*memory); ok {
		return m.dial(ctx)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", s.Addr())
}

// CAPEM returns the certificate of the authority, in PEM.
func (s *Server) CAPEM() []byte { return s.authority.pem }

// CertPool returns a pool of the authority alone.
func (s *Server) CertPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.authority.cert)
	return pool
}

// Client returns an HTTP client for which this server is every host. It
// follows no redirects.
func (s *Server) Client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx) },
			TLSClientConfig: &tls.Config{RootCAs: s.CertPool()},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Connections returns how many TCP connections were accepted.
func (s *Server) Connections() int { return int(s.connections.Load()) }

// Handshakes returns how many TLS handshakes got as far as the server's
// certificate being sent, resumed ones included.
func (s *Server) Handshakes() int { return int(s.handshakes.Load()) }

// Close stops listening and breaks all connections, whatever they wait for.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	return err
}

// authority signs the server's certificates.
type authority struct {
	service Service
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	pem     []byte
	leaf    *ecdsa.PrivateKey // one key for all certificates: minting is cheap

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

// lifetime of the certificates; no development server lives longer.
const lifetime = 365 * 24 * time.Hour

func newAuthority(service Service) (*authority, error) {
	key, keyErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	leaf, leafErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(keyErr, leafErr); err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "AWS emulator, not for production"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{
		service: service, cert: cert, key: key, leaf: leaf,
		pem:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		leaves: make(map[string]*tls.Certificate),
	}, nil
}

// certificate returns the certificate for the name the client asks for. A
// client that dials an address names none.
func (a *authority) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := hostname(hello.ServerName)
	if name != "" && name != "localhost" && !a.service.hasHost(name) {
		return nil, fmt.Errorf("no certificate for %q: not a name of the service", hello.ServerName)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := a.leaves[name]; ok {
		return c, nil
	}
	c, err := a.mint(name)
	if err != nil {
		return nil, err
	}
	if len(a.leaves) >= maxHosts {
		clear(a.leaves)
	}
	a.leaves[name] = c
	return c, nil
}

func (a *authority) mint(name string) (*tls.Certificate, error) {
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     a.cert.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if name == "" || name == "localhost" {
		template.DNSNames = []string{"localhost"}
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.leaf.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate for %q: %w", name, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.leaf}, nil
}

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	return new(big.Int).SetBytes(b[:])
}
