package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

// pair is a certificate chain with its key.
type pair struct {
	tls.Certificate
	certPEM, keyPEM []byte
}

func (p *pair) leaf() *x509.Certificate { return p.Leaf }

// readPair reads a certificate chain and its key, which must match.
func readPair(certFile, keyFile string) (*pair, error) {
	p, err := readPairOnce(certFile, keyFile)
	if err != nil {
		// Both may have been replaced between the one read and the other.
		p, err = readPairOnce(certFile, keyFile)
	}
	return p, err
}

func readPairOnce(certFile, keyFile string) (*pair, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("reading certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading key: %w", err)
	}
	p, err := newPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return p, nil
}

func newPair(certPEM, keyPEM []byte) (*pair, error) {
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	return &pair{cert, certPEM, keyPEM}, nil
}

// top is the last certificate of the chain, in PEM.
func (p *pair) top() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate.Certificate[len(p.Certificate.Certificate)-1]})
}

// verify does what a client that trusts the bundle does, but for the name. Its errors don't contain the current time,
// so that the same trouble reads the same at every check.
func (p *pair) verify(bundle []byte, now time.Time) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	intermediates := x509.NewCertPool()
	intermediates.AppendCertsFromPEM(p.certPEM)
	_, err := p.leaf().Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		if now.Before(invalid.Cert.NotBefore) {
			return fmt.Errorf("certificate %q is not valid before %s: is the clock right?", invalid.Cert.Subject, stamp(invalid.Cert.NotBefore))
		}
		return fmt.Errorf("certificate %q expired on %s", invalid.Cert.Subject, stamp(invalid.Cert.NotAfter))
	}
	return err
}

// covers tells whether a client may call the server by each of the names.
func (p *pair) covers(names []string) error {
	for _, name := range names {
		if err := p.leaf().VerifyHostname(name); err != nil {
			return err
		}
	}
	return nil
}

// parseCertificates reads PEM that holds at least one certificate and nothing else.
func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("PEM block %q: expected only CERTIFICATE", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate in PEM format")
	}
	return certs, nil
}

// readableByAll tells whether every user of the machine can read the file. Windows has no such mode bits.
func readableByAll(file string) bool {
	info, err := os.Stat(file)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0
}
