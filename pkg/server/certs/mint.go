package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	caName   = "aws-iam-authenticator webhook CA"
	leafName = "aws-iam-authenticator webhook" // by which a leaf is known to be ours

	caYears      = 100
	leafLifetime = 90 * 24 * time.Hour
	backdate     = time.Hour // for clients whose clock is behind
)

// hostLabel is a label of a DNS name, with the underscore that some networks use.
// It is compiled at first use: a client's start has no need of it.
var hostLabel = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
})

// subjectNames is what our leaf has to cover, without repetition.
func subjectNames(hostname, address string) ([]string, error) {
	var names []string
	for _, given := range []string{hostname, address, "localhost", "127.0.0.1", "::1"} {
		name := strings.TrimSuffix(strings.ToLower(given), ".")
		if ip, err := netip.ParseAddr(given); err == nil {
			if ip.IsUnspecified() {
				continue
			}
			name = ip.WithZone("").Unmap().String()
		} else if name == "" {
			continue
		} else if slices.ContainsFunc(strings.Split(name, "."), func(label string) bool { return !hostLabel().MatchString(label) }) {
			return nil, fmt.Errorf("%q is neither a DNS name nor an IP address: the server's hostname and address have to be one of them", given)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func leafTemplate(names []string) *x509.Certificate {
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: leafName},
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	return t
}

// newLeaf issues a serving certificate with a new key.
func newLeaf(ca *tls.Certificate, names []string, now time.Time) (*pair, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, err
	}
	t := leafTemplate(names)
	t.NotBefore = now.Add(-backdate)
	t.NotAfter = now.Add(leafLifetime)
	if t.NotAfter.After(ca.Leaf.NotAfter) {
		t.NotAfter = ca.Leaf.NotAfter
	}
	certPEM, err := sign(t, ca.Leaf, key.Public(), ca.PrivateKey)
	if err != nil {
		return nil, err
	}
	return newPair(certPEM, keyPEM)
}

// renewAt is when a leaf of ours is to be replaced: at two thirds of its lifetime.
func renewAt(leaf *x509.Certificate) time.Time {
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 3 * 2)
}

// newCA makes the CA's certificate. Made again from the same key it is as good as the first: clients that trust the one
// accept what is issued under the other.
func newCA(key crypto.Signer, now time.Time) (certPEM []byte, err error) {
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: caName},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(caYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	return sign(t, t, key.Public(), key)
}

func sign(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.PrivateKey) (certPEM []byte, err error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func newKey() (key *ecdsa.PrivateKey, keyPEM []byte, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseKey(keyPEM []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("no PEM block PRIVATE KEY")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key of type %T can't sign", key)
	}
	return signer, nil
}
