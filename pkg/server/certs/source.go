package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	// checkInterval is how often Run reads the files, and how long handshakes wait before they ask again for a check
	// after one that failed.
	checkInterval = 30 * time.Second

	// closeToExpiry is when a certificate that nobody renewed becomes a problem, and when our own is replaced by one
	// held in memory if the state directory can't be written.
	closeToExpiry = 7 * 24 * time.Hour
)

// Options say where the certificate is and whom it is for.
type Options struct {
	// Dir is the state directory. It is created, with what belongs in it, if it doesn't exist. Not used with CertFile.
	Dir string

	// CertFile and KeyFile name a PEM certificate chain, leaf first, and its key, to be served instead of our own.
	CertFile, KeyFile string

	// CAFile names the PEM certificates by which clients verify CertFile. Default: the last certificate in CertFile.
	CAFile string

	// Hostname and Address are what clients may call the server by, each a DNS name or an IP address. Our own leaf
	// covers both, and localhost, 127.0.0.1 and ::1 always. The unspecified addresses, 0.0.0.0 and ::, name nobody and
	// are left out, as is the empty string.
	Hostname, Address string

	// Log is told of every change and every new problem. Default: no logging.
	Log *zap.Logger

	// Now tells the wall-clock time. Default: time.Now.
	Now func() time.Time
}

// Source serves a certificate and keeps it valid: it renews its own and reads others again when their files change.
type Source struct {
	opts  Options
	names []string // what our own leaf has to cover
	log   *zap.Logger
	now   func() time.Time
	wake  chan struct{} // asks Run for a check before the next tick
	state atomic.Pointer[state]

	mu    sync.Mutex // held while the files are read and written
	spare *pair      // a leaf of ours that couldn't be written
}

// state is what is being served. It is replaced, never changed.
type state struct {
	pair     *pair
	bundle   []byte
	due      time.Time // from when on handshakes ask for a check
	warnings []string  // what the operator should know, although nothing is broken
	problem  error     // what is broken, although the certificate can be served
}

// New reads the certificate, or creates it if the state directory holds none. It fails if there is nothing to serve.
// What can be served but not renewed is served; the reason is logged and told by Healthy.
func New(opts Options) (*Source, error) {
	switch {
	case (opts.CertFile == "") != (opts.KeyFile == ""):
		return nil, fmt.Errorf("certificate file %q and key file %q: give both or neither", opts.CertFile, opts.KeyFile)
	case opts.CAFile != "" && opts.CertFile == "":
		return nil, fmt.Errorf("CA file %q without a certificate file: give the certificate and its key too, or leave it out", opts.CAFile)
	case opts.Dir == "" && opts.CertFile == "":
		return nil, errors.New("neither a state directory nor a certificate file is given: one is needed")
	}
	names, err := subjectNames(opts.Hostname, opts.Address)
	if err != nil {
		return nil, err
	}
	s := &Source{opts: opts, names: names, log: opts.Log, now: opts.Now, wake: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if err := s.check(context.Background(), true); s.state.Load() == nil {
		return nil, err
	}
	return s, nil
}

// Run checks the certificate and its files until the context ends, at which it returns nil.
func (s *Source) Run(ctx context.Context) error {
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-s.wake:
		}
		_ = s.Check(ctx) // logged, and told by Healthy
	}
}

// Check reads the files now and renews the certificate if that is due. An error says why it couldn't; the certificate
// that was served before is then served further.
func (s *Source) Check(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.check(ctx, false)
}

// GetCertificate is for tls.Config. It answers from memory, unless the certificate has expired, which it may have done
// while the machine was suspended: then it is renewed before it answers.
func (s *Source) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	st, now := s.state.Load(), s.now()
	switch {
	case now.Before(st.due):
	case now.Before(st.pair.leaf().NotAfter):
		select {
		case s.wake <- struct{}{}:
		default:
		}
	default:
		s.checkIfDue(now)
		st = s.state.Load()
	}
	return &st.pair.Certificate, nil
}

// Healthy tells what is wrong: an expired certificate, one that should have been renewed by now, files that can't be
// read or written. Short of expiry the server still works and should stay in service; the error is for an operator.
func (s *Source) Healthy() error {
	st, now := s.state.Load(), s.now()
	notAfter := st.pair.leaf().NotAfter
	switch {
	case now.After(notAfter) && st.problem != nil:
		return fmt.Errorf("serving certificate expired on %s: %w", stamp(notAfter), st.problem)
	case now.After(notAfter):
		return fmt.Errorf("serving certificate expired on %s", stamp(notAfter))
	case st.problem != nil:
		return st.problem
	case now.After(notAfter.Add(-closeToExpiry)):
		return fmt.Errorf("serving certificate expires on %s and has not been renewed", stamp(notAfter))
	}
	return nil
}

// NotAfter is when the certificate being served expires.
func (s *Source) NotAfter() time.Time { return s.state.Load().pair.leaf().NotAfter }

// CABundle is what a client has to trust, in PEM: the local CA, a self-signed certificate itself, or for a certificate
// that the operator gave, its CA file or the top of its chain.
func (s *Source) CABundle() []byte { return bytes.Clone(s.state.Load().bundle) }

// checkIfDue lets one of many handshakes do the check, and the others use its outcome.
func (s *Source) checkIfDue(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !now.Before(s.state.Load().due) {
		// Not with the handshake's context: a client that hangs up must not stop the renewal for the others.
		_ = s.check(context.Background(), false)
	}
}

// check loads the certificate and puts it into service; if it can't, what is in service stays. Only New lets it create
// a CA: files that vanish from under a running server are a mishap, and a new CA would make it permanent.
func (s *Source) check(ctx context.Context, create bool) error {
	last := s.state.Load()
	next, err := s.load(ctx, create)
	switch {
	case err == nil:
	case last == nil || ctx.Err() != nil:
		return err
	default:
		kept := *last
		kept.problem = err
		next = &kept
	}
	if next.problem != nil {
		next.due = s.now().Round(0).Add(checkInterval) // Round: by wall clock, as all else here
	}
	s.logChange(last, next)
	s.state.Store(next)
	return next.problem
}

// logChange logs what was not so before, as the same state is found at every check.
func (s *Source) logChange(last, next *state) {
	if last == nil {
		last = &state{}
	}
	if last.pair == nil || !bytes.Equal(last.pair.leaf().Raw, next.pair.leaf().Raw) {
		leaf := next.pair.leaf()
		s.log.Info("serving certificate", zap.Time("notAfter", leaf.NotAfter), zap.Stringer("issuer", leaf.Issuer),
			zap.Stringer("serial", leaf.SerialNumber), zap.Strings("dnsNames", leaf.DNSNames), zap.Stringers("ips", leaf.IPAddresses))
	}
	for _, w := range next.warnings {
		if !slices.Contains(last.warnings, w) {
			s.log.Warn("serving certificate needs attention", zap.String("reason", w))
		}
	}
	switch {
	case next.problem == nil && last.problem != nil:
		s.log.Info("serving certificate is well again")
	case next.problem != nil && (last.problem == nil || last.problem.Error() != next.problem.Error()):
		s.log.Error("serving certificate could not be loaded or renewed", zap.Error(next.problem),
			zap.Time("servingUntil", next.pair.leaf().NotAfter))
	}
}

// stamp writes a time the way all messages of this package do.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
