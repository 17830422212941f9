package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/server/certs"
)

// tlsClient makes a new connection for each request. It remembers TLS sessions.
func (b *bed) tlsClient(version uint16, certificate *tls.Certificate) *http.Client {
	config := b.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.MinVersion, config.MaxVersion = version, version
	config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	if certificate != nil {
		// Shown whatever CAs the server names.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
}

// resumed makes a request and tells whether its TLS session was an earlier one.
func resumed(client *http.Client, url string) (bool, error) {
	resp, err := client.Get(url + "/livez")
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	return resp.TLS.DidResume, nil
}

func TestServerResumesTLSSessions(t *testing.T) {
	ca := newClientCA(t)
	certificate := ca.issue(t)
	for name, file := range map[string]string{"without client certificates": "", "with client certificates": ca.file(t)} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, func(b *bed) { b.demandClientCertificates(file) })
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				client := b.tlsClient(version, certificate)
				for i := range 3 {
					got, err := resumed(client, b.url)
					check(t, err)
					if want := i > 0; got != want {
						t.Errorf("%s: connection %d: resumed %v, want %v", tls.VersionName(version), i, got, want)
					}
				}
			}
		})
	}
}

// A session says who the client was. Whether that still counts is asked anew.
func TestServerResumesNoSessionOfAClientThatIsNotTrustedAnyMore(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			oldCA, newCA := newClientCA(t), newClientCA(t)
			file := oldCA.file(t)
			var ahead atomic.Int64
			b := newBed(t, func(b *bed) {
				b.server.options.TLS.Time = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
				b.demandClientCertificates(file)
			})
			oldClient, newClient := b.tlsClient(version, oldCA.issue(t)), b.tlsClient(version, newCA.issue(t))
			mustResume := func(client *http.Client) {
				t.Helper()
				_, err := resumed(client, b.url)
				check(t, err)
				if again, err := resumed(client, b.url); err != nil || !again {
					t.Fatalf("resumed %v, %v", again, err)
				}
			}
			mustRefuse := func(client *http.Client, what string) {
				t.Helper()
				for range 2 {
					if _, err := resumed(client, b.url); err == nil {
						t.Errorf("%s was let in", what)
					}
				}
			}
			mustResume(oldClient)
			mustRefuse(newClient, "a certificate of a CA that is not in the file")

			check(t, os.WriteFile(file, newCA.pem, 0o600))
			mustRefuse(oldClient, "a certificate of a CA that was taken out of the file")
			mustResume(newClient)

			ahead.Store(int64(clientLifetime + time.Minute))
			mustRefuse(newClient, "a certificate that has ended")
		})
	}
}

// demandClientCertificates has the server ask for certificates of the CAs in a file,
// if there is one.
func (b *bed) demandClientCertificates(file string) {
	if file == "" {
		return
	}
	cas, err := certs.NewClientCAs(file, b.server.options.TLS, nil)
	check(b.t, err)
	b.server.options.TLS = b.server.options.TLS.Clone()
	b.server.options.TLS.GetConfigForClient = cas.GetConfigForClient
}

// clientLifetime is how long certificates of clientCA are good for. It is less than
// the life of a session.
const clientLifetime = time.Hour

// clientCA issues certificates of API servers.
type clientCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newClientCA(t *testing.T) *clientCA {
	t.Helper()
	ca := new(clientCA)
	var err error
	ca.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	check(t, err)
	ca.cert, err = x509.ParseCertificate(der)
	check(t, err)
	ca.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return ca
}

func (ca *clientCA) file(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "client-ca.pem")
	check(t, os.WriteFile(file, ca.pem, 0o600))
	return file
}

func (ca *clientCA) issue(t *testing.T) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "kube-apiserver"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(clientLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	check(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
