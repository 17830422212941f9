package certs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The files of the state directory, in the order in which they come into being. cert.pem and key.pem are also what
// aws-iam-authenticator calls its pair.
const (
	lockFile  = ".lock"
	caKeyFile = "ca-key.pem"
	caFile    = "ca.pem"
	keyFile   = "key.pem"
	certFile  = "cert.pem"
)

func (s *Source) path(file string) string { return filepath.Join(s.opts.Dir, file) }

// present tells whether a file is there or, if that can't be found out, leaves it to the reading of it to say why.
func (s *Source) present(file string) bool {
	_, err := os.Stat(s.path(file))
	return !errors.Is(err, fs.ErrNotExist)
}

// load reads what is to be served, and creates or renews it if it is ours.
func (s *Source) load(ctx context.Context, create bool) (*state, error) {
	if s.opts.CertFile != "" {
		st, err := s.given(s.opts.CertFile, s.opts.KeyFile, s.opts.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%w; give a valid certificate and the key that belongs to it", err)
		}
		return st, nil
	}
	for _, file := range []string{caFile, caKeyFile, certFile, keyFile} {
		if err := checkPlanted(s.opts.Dir, s.path(file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	// Looked for in the reverse order of their creation: while another process creates them, they don't look like
	// files that came from elsewhere.
	hasPair := s.present(certFile) || s.present(keyFile)
	hasCA := s.present(caFile)
	hasCAKey := s.present(caKeyFile)
	switch {
	case !hasPair && !hasCA && !hasCAKey && !create:
		return nil, fmt.Errorf("the certificates in %s are gone: restore them, or restart to have new ones created, which API servers must then be told of", s.opts.Dir)
	case !hasPair && !hasCA && !hasCAKey:
		return s.own(ctx, create)
	case s.foreign():
		return s.foundPair(hasCA)
	case hasCAKey:
		return s.own(ctx, create)
	case hasCA:
		return s.pairWithoutCAKey()
	default:
		return s.foundPair(false)
	}
}

// foreign tells whether the state directory's certificate was issued by somebody else, and so isn't ours to replace. A
// file that holds no certificate can't be in use, and is replaced.
func (s *Source) foreign() bool {
	data, err := os.ReadFile(s.path(certFile))
	if err != nil {
		return false
	}
	chain, err := parseCertificates(data)
	return err == nil && chain[0].Subject.CommonName != leafName
}

// foundPair serves the state directory's pair as it is. API servers trust it directly, or a CA that lies beside it.
func (s *Source) foundPair(hasCA bool) (*state, error) {
	if hasCA {
		if st, err := s.given(s.path(certFile), s.path(keyFile), s.path(caFile)); err == nil {
			return st, nil
		}
	}
	st, err := s.given(s.path(certFile), s.path(keyFile), "")
	if err != nil {
		return nil, fmt.Errorf("%w; restore both files, or remove both to have new ones created and then give API servers the new webhook kubeconfig", err)
	}
	if leaf := st.pair.leaf(); leaf.Subject.CommonName == leafName {
		st.warnings = append(st.warnings, fmt.Sprintf("the CA in %s is missing: the certificate can't be renewed and is good until %s; restore %s and %s",
			s.opts.Dir, stamp(leaf.NotAfter), caFile, caKeyFile))
	}
	return st, nil
}

// pairWithoutCAKey serves a pair of ours that can't be renewed, as the CA's key is not here.
func (s *Source) pairWithoutCAKey() (*state, error) {
	st, err := s.given(s.path(certFile), s.path(keyFile), s.path(caFile))
	if err != nil {
		return nil, fmt.Errorf("%w; it can't be issued anew without %s: restore that, or remove %s to have a new CA created and then give API servers the new webhook kubeconfig",
			err, s.path(caKeyFile), s.path(caFile))
	}
	st.warnings = append(st.warnings, fmt.Sprintf("%s is missing: the certificate can't be renewed and is good until %s",
		s.path(caKeyFile), stamp(st.pair.leaf().NotAfter)))
	return st, nil
}

// given reads a pair that is served but never written.
func (s *Source) given(certFile, keyFile, caFile string) (*state, error) {
	p, err := readPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	bundle := p.top()
	if caFile != "" {
		if bundle, err = readBundle(caFile); err != nil {
			return nil, err
		}
	}
	if err := p.verify(bundle, s.now()); err != nil {
		return nil, fmt.Errorf("certificate %s: %w", certFile, err)
	}
	st := &state{pair: p, bundle: bundle, due: p.leaf().NotAfter}
	if readableByAll(keyFile) {
		st.warnings = append(st.warnings, fmt.Sprintf("key %s is open to every user: give it mode 0600", keyFile))
	}
	if host := s.opts.Hostname; host != "" && p.covers([]string{host}) != nil {
		st.warnings = append(st.warnings, fmt.Sprintf("certificate %s does not cover the hostname %q: clients that use it will refuse the certificate", certFile, host))
	}
	return st, nil
}

func readBundle(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading CA: %w", err)
	}
	if _, err := parseCertificates(data); err != nil {
		return nil, fmt.Errorf("CA %s: %w", file, err)
	}
	return data, nil
}
