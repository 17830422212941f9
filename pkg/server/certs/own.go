package certs

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/gofrs/flock"
)

// lockWait bounds the wait for another process that is creating or renewing, which takes it milliseconds.
const lockWait = 10 * time.Second

// owned is what the state directory holds of ours.
type owned struct {
	bundle   []byte           // ca.pem; the first certificate is the one that issues
	issuer   *tls.Certificate // nil if issuerErr says why it can't issue
	leaf     *pair            // nil unless clients accept it today
	stale    error            // why a new leaf is to be issued
	warnings []string

	issuerErr error
}

// own serves the state directory's leaf, and issues a new one if it is missing, broken, due or not the right one.
func (s *Source) own(ctx context.Context, create bool) (*state, error) {
	now := s.now()
	cur, err := s.readOwn(now)
	if err == nil && cur.stale == nil {
		return cur.state(), nil
	}
	unlock, lockErr := s.lock(ctx)
	if lockErr == nil {
		defer unlock()
		if create {
			if err := s.ensureCA(now); err != nil {
				return nil, err
			}
		}
		// Read again: another process may have been faster.
		if cur, err = s.readOwn(now); err == nil && cur.stale == nil {
			return cur.state(), nil
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, fs.ErrNotExist) && lockErr != nil: // it is missing because it can't be created
		return nil, lockErr
	case err != nil:
		return nil, err
	}

	fresh, err := s.newLeaf(cur, now)
	if err == nil {
		if err = lockErr; err == nil {
			err = s.writeLeaf(fresh)
		}
	}
	if err == nil {
		s.spare = nil
		cur.leaf = fresh
		return cur.state(), nil
	}
	// It can't be renewed as it should be. What matters now is that logins go on.
	s.spare = fresh
	problem := fmt.Errorf("renewing %s (%w): %w", s.path(certFile), cur.stale, err)
	oldIsGood := cur.leaf != nil && cur.leaf.covers(s.names) == nil && now.Before(cur.leaf.leaf().NotAfter.Add(-closeToExpiry))
	switch {
	case fresh != nil && !oldIsGood:
		cur.leaf = fresh
	case cur.leaf == nil:
		return nil, problem
	}
	st := cur.state()
	st.problem = problem
	return st, nil
}

func (o *owned) state() *state {
	return &state{pair: o.leaf, bundle: o.bundle, due: renewAt(o.leaf.leaf()), warnings: o.warnings}
}

// readOwn reads CA and leaf. It fails only if the CA certificate can't be read: nothing of ours is of use without it.
func (s *Source) readOwn(now time.Time) (*owned, error) {
	o := &owned{}
	for _, file := range []string{s.path(caKeyFile), s.path(keyFile)} {
		if readableByAll(file) {
			if err := closeToOthers(file); err != nil {
				o.warnings = append(o.warnings, fmt.Sprintf("key %s is open to every user: %v", file, err))
			}
		}
	}
	var err error
	if o.bundle, err = readBundle(s.path(caFile)); err != nil {
		return nil, fmt.Errorf("%w; restore it: API servers trust this CA, so it is not replaced", err)
	}
	ca, err := readPair(s.path(caFile), s.path(caKeyFile))
	if err != nil {
		o.issuerErr = fmt.Errorf("CA can't issue a certificate: %w", err)
		o.warnings = append(o.warnings, o.issuerErr.Error())
	} else {
		o.issuer = &ca.Certificate
	}

	leaf, err := readPair(s.path(certFile), s.path(keyFile))
	if err == nil {
		err = leaf.verify(o.bundle, now)
	}
	if o.stale = err; err != nil {
		return o, nil //nolint:nilerr // a stale leaf is renewed, not an error
	}
	o.leaf = leaf
	o.stale = leaf.covers(s.names)
	if due := renewAt(leaf.leaf()); !now.Before(due) {
		o.stale = fmt.Errorf("due since %s", stamp(due))
	}
	return o, nil
}

// newLeaf issues a leaf, or takes the one that couldn't be written before.
func (s *Source) newLeaf(o *owned, now time.Time) (*pair, error) {
	if s.spare != nil && s.spare.verify(o.bundle, now) == nil && now.Before(renewAt(s.spare.leaf())) {
		return s.spare, nil
	}
	if o.issuer == nil {
		return nil, o.issuerErr
	}
	leaf, err := newLeaf(o.issuer, s.names, now)
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate under %s: %w", s.path(caFile), err)
	}
	// A CA that is constrained in some way can issue what nobody accepts, over and over.
	if err := cmp.Or(leaf.verify(o.bundle, now), leaf.covers(s.names)); err != nil {
		return nil, fmt.Errorf("certificate issued under %s: %w", s.path(caFile), err)
	}
	return leaf, nil
}

// writeLeaf writes the pair. A crash between the two leaves a mismatch, for which a new leaf is issued.
func (s *Source) writeLeaf(p *pair) error {
	if err := writeOwn(s.path(keyFile), p.keyPEM, 0o600); err != nil {
		return err
	}
	return writeOwn(s.path(certFile), p.certPEM, 0o644)
}

// ensureCA creates the CA, key first. If only the key is there, from a creation that was interrupted or because somebody
// removed the certificate, the certificate is made from it again.
func (s *Source) ensureCA(now time.Time) error {
	if s.present(caFile) {
		return nil
	}
	keyPEM, err := os.ReadFile(s.path(caKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, keyPEM, err = newKey(); err != nil {
			return err
		}
		err = writeOwn(s.path(caKeyFile), keyPEM, 0o600)
	}
	if err != nil {
		return fmt.Errorf("CA key: %w", err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return fmt.Errorf("CA key %s: %w; restore it, or remove it to have a new CA created", s.path(caKeyFile), err)
	}
	certPEM, err := newCA(key, now)
	if err != nil {
		return err
	}
	if !s.issuedUnder(certPEM) {
		return fmt.Errorf("%s is missing, and %s was not issued under %s: restore the CA, or remove these files to have new ones created and then give API servers the new webhook kubeconfig",
			s.path(caFile), s.path(certFile), s.path(caKeyFile))
	}
	return writeOwn(s.path(caFile), certPEM, 0o644)
}

// issuedUnder tells whether the leaf in the state directory, if there is one, is signed by the CA's key.
func (s *Source) issuedUnder(caPEM []byte) bool {
	data, err := os.ReadFile(s.path(certFile))
	if err != nil {
		return true
	}
	chain, err := parseCertificates(data)
	if err != nil {
		return true
	}
	ca, err := parseCertificates(caPEM)
	return err == nil && chain[0].CheckSignatureFrom(ca[0]) == nil
}

// lock keeps other processes from writing the state directory, which it creates if need be.
func (s *Source) lock(ctx context.Context) (unlock func(), err error) {
	if err := makeStateDir(s.opts.Dir); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	lock := flock.New(s.path(lockFile))
	switch _, err := lock.TryLockContext(ctx, 20*time.Millisecond); {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%s has been locked by another process for %s: is one hanging?", s.path(lockFile), lockWait)
	case err != nil:
		return nil, fmt.Errorf("locking the state directory, which must be writable: %w", err)
	}
	return func() { _ = lock.Unlock() }, nil
}
