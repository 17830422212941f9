package certs

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const clientAuth = x509.ExtKeyUsageClientAuth

func TestClientCertificateIsCheckedByTheCAsInTheFileOfToday(t *testing.T) {
	s := newWorld(t).source(t)
	now := time.Now()
	core, logs := observer.New(zap.ErrorLevel)
	file := filepath.Join(t.TempDir(), "client-ca.pem")
	oldCA, newCA := newTestCA(t, "old", nil, now), newTestCA(t, "new", nil, now)
	write(t, file, oldCA.cert, 0o644)
	config := &tls.Config{GetCertificate: s.GetCertificate}
	cas, err := NewClientCAs(file, config, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	config.GetConfigForClient = cas.GetConfigForClient

	client := func(certPEM, keyPEM []byte) *tls.Config {
		c := clientConfig(s.CABundle(), "localhost", time.Now)
		c.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		if certPEM != nil {
			cert, err := tls.X509KeyPair(certPEM, keyPEM)
			if err != nil {
				t.Fatal(err)
			}
			// Sent whatever CAs the server names.
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
		}
		return c
	}
	clients := map[string]*tls.Config{
		"none":    client(nil, nil),
		"old":     client(oldCA.issue(t, "apiserver", clientAuth, now.Add(-day), now.Add(day))),
		"new":     client(newCA.issue(t, "apiserver", clientAuth, now.Add(-day), now.Add(day))),
		"expired": client(oldCA.issue(t, "apiserver", clientAuth, now.Add(-day), now.Add(-time.Hour))),
		"server":  client(oldCA.issue(t, "apiserver", x509.ExtKeyUsageServerAuth, now.Add(-day), now.Add(day))),
	}
	for _, step := range []struct {
		name    string
		content []byte
		allowed map[string]bool
		healthy bool
	}{
		{"old CA", oldCA.cert, map[string]bool{"old": true}, true},
		{"both", join(oldCA.cert, newCA.cert), map[string]bool{"old": true, "new": true}, true},
		{"new CA", newCA.cert, map[string]bool{"new": true}, true},
		{"garbage", []byte("garbage"), map[string]bool{"new": true}, false},
		{"empty", []byte{}, map[string]bool{"new": true}, false},
		{"old CA again", oldCA.cert, map[string]bool{"old": true}, true},
	} {
		write(t, file, step.content, 0o644)
		for name, client := range clients {
			if _, err := connect(config, client); (err == nil) != step.allowed[name] {
				t.Errorf("%s: client with certificate %s: %v", step.name, name, err)
			}
		}
		if err := cas.Healthy(); (err == nil) != step.healthy {
			t.Errorf("%s: Healthy = %v", step.name, err)
		}
	}
	if logs.Len() != 1 { // both steps fail in the same way
		t.Errorf("logged %d times, want once: %v", logs.Len(), logs.All())
	}
	if config.ClientAuth != tls.NoClientCert || config.ClientCAs != nil {
		t.Error("the given configuration was changed")
	}
}

func TestClientCAFileHasToBeGoodAtStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "client-ca.pem")
	if _, err := NewClientCAs(file, &tls.Config{}, nil); err == nil {
		t.Error("missing file accepted")
	}
	write(t, file, []byte("garbage"), 0o644)
	if _, err := NewClientCAs(file, &tls.Config{}, nil); err == nil {
		t.Error("garbage accepted")
	}
}
