package token

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

// TransportOptions configures NewTransport.
type TransportOptions struct {
	// Concurrency is the number of connections to one endpoint, and so of calls in
	// flight; further calls wait for their turn. Default DefaultConcurrency.
	Concurrency int
	// EmulatorAddress, for tests and demonstrations, is the host:port of an STS
	// emulator that all connections go to, whatever endpoint they are for. It
	// needs EmulatorCA.
	EmulatorAddress string
	// EmulatorCA is what the emulator's certificate is checked against. The
	// system's certificate authorities count for nothing then, so that a mistaken
	// setting can't turn the real STS and an emulator into one.
	EmulatorCA *x509.CertPool
}

// DefaultConcurrency is the default number of calls to one STS endpoint in flight.
const DefaultConcurrency = 100

// NewTransport returns a transport for calls to STS: HTTP/1.1 with keep-alive and
// as many idle connections as there may be calls, so that a burst doesn't pay a
// TLS handshake for each. It honours HTTPS_PROXY.
func NewTransport(o TransportOptions) *http.Transport {
	if o.Concurrency <= 0 {
		o.Concurrency = DefaultConcurrency
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    5 * time.Second,
		MaxConnsPerHost:        o.Concurrency,
		MaxIdleConnsPerHost:    o.Concurrency,
		MaxIdleConns:           2 * o.Concurrency,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 32 << 10,
		DisableCompression:     true, // the bound on a body is then a bound on what it unpacks to
	}
	if o.EmulatorAddress != "" {
		t.Proxy = nil
		t.TLSClientConfig.RootCAs = o.EmulatorCA
		if o.EmulatorCA == nil {
			t.TLSClientConfig.RootCAs = x509.NewCertPool() // trusts nobody
		}
		t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, o.EmulatorAddress)
		}
	}
	return t
}
