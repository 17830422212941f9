package token

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync"
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

// Transport carries calls to STS. Each endpoint has connections of its own, so that
// those to one can be given up without those to others.
type Transport struct {
	model *http.Transport // of which each host gets a copy

	mu      sync.Mutex
	hosts   map[string]*http.Transport
	trusted map[string]bool
}

// NewTransport returns a transport for calls to STS: HTTP/1.1 with keep-alive and
// as many idle connections as there may be calls, so that a burst doesn't pay a
// TLS handshake for each. It honours HTTPS_PROXY. If a name can't be resolved, the
// address that it last led to is good enough: TLS tells whether it is STS.
func NewTransport(o TransportOptions) *Transport {
	if o.Concurrency <= 0 {
		o.Concurrency = DefaultConcurrency
	}
	d := &dialer{
		Dialer:         net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second},
		resolveTimeout: time.Second,
		last:           make(map[string]string),
	}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            d.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(0)},
		TLSHandshakeTimeout:    5 * time.Second,
		MaxConnsPerHost:        o.Concurrency + probeConnections,
		MaxIdleConnsPerHost:    o.Concurrency,
		MaxIdleConns:           o.Concurrency,
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
			return d.DialContext(ctx, network, o.EmulatorAddress)
		}
	}
	return &Transport{model: t, hosts: make(map[string]*http.Transport), trusted: make(map[string]bool)}
}

const (
	// probeConnections are for requests that must not wait for calls that hang.
	probeConnections = 8
	// strangerConnections is how many idle connections an endpoint keeps that has
	// never named anybody who is mapped: tokens for any endpoint are free to make up.
	strangerConnections = 2
)

// RoundTrip makes one call, and follows no redirect. Hosts are remembered: they
// must come from a fixed set.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.host(r.URL.Host).RoundTrip(r)
}

func (t *Transport) host(name string) *http.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hosts[name]
	if h == nil {
		h = t.model.Clone()
		h.MaxIdleConnsPerHost = min(h.MaxIdleConnsPerHost, strangerConnections)
		t.hosts[name] = h
	}
	return h
}

// Trust lets a host keep as many idle connections as it may have calls.
func (t *Transport) Trust(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.trusted[name] {
		return
	}
	t.trusted[name] = true
	if h := t.hosts[name]; h != nil {
		h.CloseIdleConnections() // calls under way end on the old one
	}
	t.hosts[name] = t.model.Clone()
}

// CloseIdle closes the connections to a host that carry no call.
func (t *Transport) CloseIdle(host string) { t.host(host).CloseIdleConnections() }

// CloseIdleConnections closes all connections that carry no call.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.hosts {
		h.CloseIdleConnections()
	}
}

// dialer remembers where names led, for when the DNS is in trouble.
type dialer struct {
	net.Dialer
	// resolveTimeout is how long the DNS may take to find a name again. Its own limit
	// is as long as a whole call may take.
	resolveTimeout time.Duration

	mu   sync.Mutex
	last map[string]string // ip:port by host:port
}

// DialContext is that of net.Dialer, but for the names that can't be resolved any longer.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	last, known := d.last[address]
	d.mu.Unlock()
	if known && !d.resolves(ctx, address) {
		return d.Dialer.DialContext(ctx, network, last)
	}
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err == nil {
		d.mu.Lock()
		d.last[address] = conn.RemoteAddr().String()
		d.mu.Unlock()
	}
	return conn, err
}

func (d *dialer) resolves(ctx context.Context, address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // for the dialer to say what is wrong
	}
	ctx, cancel := context.WithTimeout(ctx, d.resolveTimeout)
	defer cancel()
	resolver := cmp.Or(d.Resolver, net.DefaultResolver)
	_, err = resolver.LookupNetIP(ctx, "ip", host)
	return err == nil
}
