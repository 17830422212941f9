package certs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gofrs/flock"
)

func TestNewCreatesCAAndLeaf(t *testing.T) {
	w := newWorld(t)
	s := w.source(t)
	for _, name := range []string{"auth.example", "localhost", "127.0.0.1", "::1"} {
		if _, err := handshake(t, s, s.CABundle(), name); err != nil {
			t.Errorf("handshake with %s: %v", name, err)
		}
	}
	if _, err := handshake(t, s, s.CABundle(), "other.example"); err == nil {
		t.Error("leaf covers a name that was not asked for")
	}
	if !bytes.Equal(s.CABundle(), read(t, w.path(caFile))) {
		t.Error("CABundle is not ca.pem")
	}

	ca, err := parseCertificates(s.CABundle())
	if err != nil {
		t.Fatal(err)
	}
	leaf := mustConnect(t, s, s.CABundle())
	for _, cert := range []*x509.Certificate{ca[0], leaf} {
		if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
			t.Errorf("%s: key is not ECDSA P-256", cert.Subject)
		}
	}
	if !ca[0].IsCA || ca[0].MaxPathLen != 0 || ca[0].KeyUsage != x509.KeyUsageCertSign || ca[0].ExtKeyUsage != nil {
		t.Error("CA may do more than sign leaves")
	}
	if got := ca[0].NotAfter.Year() - w.Now().UTC().Year(); got != 100 {
		t.Errorf("CA lives %d years, want 100", got)
	}
	if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
		t.Error("leaf may do more than serve")
	}
	if got := leaf.NotAfter.Sub(w.Now()).Round(day); got != 90*day {
		t.Errorf("leaf lives %s, want 90 days", got)
	}
	if !s.NotAfter().Equal(leaf.NotAfter) {
		t.Errorf("NotAfter = %s, want %s", s.NotAfter(), leaf.NotAfter)
	}
	if err := s.Healthy(); err != nil {
		t.Errorf("Healthy: %v", err)
	}
	if w.warned() != 0 {
		t.Errorf("warnings: %v", w.logs.All())
	}
}

func TestSecondNewChangesNothing(t *testing.T) {
	w := newWorld(t)
	first := mustConnect(t, w.source(t), read(t, w.path(caFile)))
	files := snapshot(t, w.dir)
	if len(files) != 4 {
		t.Fatalf("files: %d, want 4", len(files))
	}
	infos := map[string]os.FileInfo{}
	for name := range files {
		infos[name], _ = os.Stat(w.path(name))
	}
	if second := mustConnect(t, w.source(t), read(t, w.path(caFile))); !second.Equal(first) {
		t.Error("another leaf is served")
	}
	wantUnchanged(t, w.dir, files)
	for name, before := range infos {
		after, err := os.Stat(w.path(name))
		if err != nil || !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
			t.Errorf("%s was written again", name)
		}
	}
}

func TestSubjectNames(t *testing.T) {
	for _, tc := range []struct {
		hostname, address string
		want              string // beside localhost, 127.0.0.1, ::1; "error" if refused
	}{
		{"localhost", "127.0.0.1", ""},
		{"", "", ""},
		{"localhost", "0.0.0.0", ""},
		{"localhost", "::", ""},
		{"localhost", "0:0:0:0:0:0:0:1", ""},
		{"Auth.Example.", "10.0.0.1", "auth.example 10.0.0.1"},
		{"10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"},
		{"a_b", "fe80::1%eth0", "a_b fe80::1"},
		{"localhost", "node.internal", "node.internal"},
		{"two words", "", "error"},
		{"bücher.example", "", "error"},
		{"*.example", "", "error"},
		{"host:8443", "", "error"},
		{"", "https://host", "error"},
	} {
		got, err := subjectNames(tc.hostname, tc.address)
		if err != nil {
			if tc.want != "error" {
				t.Errorf("%q, %q: %v", tc.hostname, tc.address, err)
			}
			continue
		}
		extra := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s == "localhost" || s == "127.0.0.1" || s == "::1" })
		if s := strings.Join(extra, " "); s != tc.want || len(got) != len(extra)+3 {
			t.Errorf("%q, %q: %q, want %q and the loopback names once", tc.hostname, tc.address, got, tc.want)
		}
	}
}

func TestConcurrentNewMakesOneCA(t *testing.T) {
	w := newWorld(t)
	sources := make([]*Source, 20)
	var wg sync.WaitGroup
	for i := range sources {
		wg.Go(func() {
			var err error
			if sources[i], err = New(w.opts); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	ca := read(t, w.path(caFile))
	for _, s := range sources {
		mustConnect(t, s, ca)
	}
	if files := snapshot(t, w.dir); len(files) != 4 {
		t.Errorf("%d files, want 4: %v", len(files), files)
	}
}

func TestLeafIsRenewedAtTwoThirdsOfItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.source(t)
		run(t, s)
		trust := s.CABundle()
		first := mustConnect(t, s, trust)

		w.Advance(59 * day)
		time.Sleep(2 * checkInterval)
		if !mustConnect(t, s, trust).Equal(first) {
			t.Fatal("renewed too early")
		}
		w.Advance(2 * day)
		time.Sleep(2 * checkInterval)
		second := mustConnect(t, s, trust)
		if second.Equal(first) {
			t.Fatal("not renewed")
		}
		if got := second.NotAfter.Sub(w.Now()).Round(day); got != 90*day {
			t.Errorf("new leaf lives %s, want 90 days", got)
		}
		if err := s.Healthy(); err != nil {
			t.Error(err)
		}
		if p, err := readPair(w.path(certFile), w.path(keyFile)); err != nil || !p.leaf().Equal(second) {
			t.Errorf("files don't hold the leaf that is served: %v", err)
		}
		if !bytes.Equal(s.CABundle(), trust) {
			t.Error("CA was replaced")
		}
	})
}

// A ticker stands still while the machine is suspended.
func TestHandshakeAfterDueTimeHasRunRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.source(t)
		run(t, s)
		synctest.Wait()
		first := mustConnect(t, s, s.CABundle())

		w.Advance(70 * day)
		if !mustConnect(t, s, s.CABundle()).Equal(first) {
			t.Error("handshake waited for the renewal, although the leaf is valid")
		}
		synctest.Wait()
		if mustConnect(t, s, s.CABundle()).Equal(first) {
			t.Error("not renewed after a handshake past the due time")
		}
	})
}

func TestHandshakeAfterExpiryRenewsOnceBeforeItAnswers(t *testing.T) {
	w := newWorld(t)
	s := w.source(t)
	trust := s.CABundle()
	first := mustConnect(t, s, trust)
	w.Advance(200 * day)
	if err := s.Healthy(); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("Healthy = %v, want expired", err)
	}

	var mu sync.Mutex
	serials := map[string]bool{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			leaf, err := handshake(t, s, trust, "localhost")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			serials[leaf.SerialNumber.String()] = true
		})
	}
	wg.Wait()
	if len(serials) != 1 || serials[first.SerialNumber.String()] {
		t.Errorf("%d leaves served, want one new one", len(serials))
	}
	if err := s.Healthy(); err != nil {
		t.Error(err)
	}
}

func TestExpiredLeafThatCannotBeRenewedIsNotTriedAtEveryHandshake(t *testing.T) {
	w := newWorld(t)
	s := w.source(t)
	trust := s.CABundle()
	write(t, w.path(caFile), []byte("garbage"), 0o644)
	w.Advance(200 * day)
	if _, err := handshake(t, s, trust, "localhost"); err == nil {
		t.Fatal("handshake with an expired leaf succeeded")
	}
	write(t, w.path(caFile), trust, 0o644)
	if _, err := handshake(t, s, trust, "localhost"); err == nil {
		t.Error("tried again at once")
	}
	w.Advance(checkInterval)
	if _, err := handshake(t, s, trust, "localhost"); err != nil {
		t.Errorf("not tried again: %v", err)
	}
}

func TestClockSetBackIsRecoveredFrom(t *testing.T) {
	w := newWorld(t)
	s := w.source(t) // CA from now
	w.Advance(80 * day)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Advance(-80 * day)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustConnect(t, s, s.CABundle())

	w.Advance(-80 * day)
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("Check before the CA's time = %v, want a word on the clock", err)
	}
}

func TestLeafIsIssuedAnewForOtherNames(t *testing.T) {
	w := newWorld(t)
	trust := w.source(t).CABundle()
	w.opts.Hostname = "new.example"
	s := w.source(t)
	if _, err := handshake(t, s, trust, "new.example"); err != nil {
		t.Error(err)
	}
	if _, err := handshake(t, s, trust, "auth.example"); err == nil {
		t.Error("leaf still covers the old name")
	}
}

func TestLeafIsIssuedAnewUnderAChangedCA(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	s := w.source(t)
	newTrust := other.source(t).CABundle()
	for _, file := range []string{caFile, caKeyFile} {
		write(t, w.path(file), read(t, other.path(file)), 0o600)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustConnect(t, s, newTrust)
	if !bytes.Equal(s.CABundle(), newTrust) {
		t.Error("CABundle is not the new CA")
	}
}

func TestBrokenLeafIsRepairedUnderTheSameCA(t *testing.T) {
	other := newWorld(t)
	other.source(t)
	for name, damage := range map[string]func(t *testing.T, w *world){
		"no certificate":     func(t *testing.T, w *world) { remove(t, w.path(certFile)) },
		"no key":             func(t *testing.T, w *world) { remove(t, w.path(keyFile)) },
		"neither":            func(t *testing.T, w *world) { remove(t, w.path(certFile)); remove(t, w.path(keyFile)) },
		"empty certificate":  func(t *testing.T, w *world) { write(t, w.path(certFile), nil, 0o644) },
		"half a certificate": func(t *testing.T, w *world) { write(t, w.path(certFile), read(t, w.path(certFile))[:300], 0o644) },
		"garbage key":        func(t *testing.T, w *world) { write(t, w.path(keyFile), []byte("garbage"), 0o600) },
		"another's key":      func(t *testing.T, w *world) { write(t, w.path(keyFile), read(t, other.path(keyFile)), 0o600) },
		"another CA's leaf": func(t *testing.T, w *world) {
			write(t, w.path(keyFile), read(t, other.path(keyFile)), 0o600)
			write(t, w.path(certFile), read(t, other.path(certFile)), 0o644)
		},
	} {
		for _, when := range []string{"at start", "while running"} {
			t.Run(name+" "+when, func(t *testing.T) {
				w := newWorld(t)
				s := w.source(t)
				trust := s.CABundle()
				damage(t, w)
				if when == "at start" {
					s = w.source(t)
				} else if err := s.Check(t.Context()); err != nil {
					t.Fatal(err)
				}
				mustConnect(t, s, trust)
				p, err := readPair(w.path(certFile), w.path(keyFile))
				if err != nil {
					t.Fatal(err)
				}
				if err := p.verify(trust, w.Now()); err != nil {
					t.Error(err)
				}
				if !bytes.Equal(read(t, w.path(caFile)), trust) {
					t.Error("CA was replaced")
				}
			})
		}
	}
}

func TestCAIsNeverReplaced(t *testing.T) {
	other := newWorld(t)
	other.source(t)
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, w *world)
		want   string // in the error of New; empty if it goes on
		unwell bool   // for a running server
	}{
		{"CA is garbage", func(t *testing.T, w *world) { write(t, w.path(caFile), []byte("garbage"), 0o644) }, "ca.pem", true},
		{"CA is empty", func(t *testing.T, w *world) { write(t, w.path(caFile), nil, 0o644) }, "ca.pem", true},
		{"CA and its key are gone", func(t *testing.T, w *world) { remove(t, w.path(caFile)); remove(t, w.path(caKeyFile)) }, "", false},
		{"CA key is gone", func(t *testing.T, w *world) { remove(t, w.path(caKeyFile)) }, "", false},
		{"CA key is garbage", func(t *testing.T, w *world) { write(t, w.path(caKeyFile), []byte("garbage"), 0o600) }, "", false},
		{"CA key is another's", func(t *testing.T, w *world) {
			write(t, w.path(caKeyFile), read(t, other.path(caKeyFile)), 0o600)
		}, "", false},
		{"CA key is another's and the CA gone", func(t *testing.T, w *world) {
			write(t, w.path(caKeyFile), read(t, other.path(caKeyFile)), 0o600)
			remove(t, w.path(caFile))
		}, "was not issued under", true},
		{"CA key and leaf key are gone", func(t *testing.T, w *world) { remove(t, w.path(caKeyFile)); remove(t, w.path(keyFile)) }, "ca-key.pem", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			running := w.source(t)
			trust := running.CABundle()
			tc.damage(t, w)
			files := snapshot(t, w.dir)

			if err := running.Check(t.Context()); (err != nil) != tc.unwell || (running.Healthy() != nil) != tc.unwell {
				t.Errorf("Check = %v, want an error: %t", err, tc.unwell)
			}
			mustConnect(t, running, trust)

			w.logs.TakeAll()
			started, err := New(w.opts)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("New: %v", err)
			case tc.want == "":
				mustConnect(t, started, trust)
				if w.warned() != 1 {
					t.Errorf("%d warnings, want 1: %v", w.warned(), w.logs.All())
				}
			case err == nil || !strings.Contains(err.Error(), tc.want):
				t.Errorf("New = %v, want %q in it", err, tc.want)
			}
			wantUnchanged(t, w.dir, files)
		})
	}
}

func TestCAIsMadeAgainFromItsKey(t *testing.T) {
	for _, leafToo := range []bool{false, true} {
		w := newWorld(t)
		trust := w.source(t).CABundle()
		remove(t, w.path(caFile))
		if leafToo { // as after a creation that was interrupted
			remove(t, w.path(certFile))
			remove(t, w.path(keyFile))
		}
		s := w.source(t)
		mustConnect(t, s, trust)
		mustConnect(t, s, s.CABundle())
		w.Advance(70 * day)
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustConnect(t, s, trust)
	}
}

func TestFilesThatVanishUnderARunningServerAreNotReplaced(t *testing.T) {
	w := newWorld(t)
	s := w.source(t)
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "gone") {
			t.Errorf("Check = %v, want gone", err)
		}
	}
	if w.warned() != 1 {
		t.Errorf("logged %d times, want once", w.warned())
	}
	mustConnect(t, s, s.CABundle())
	if _, err := os.Stat(w.dir); err == nil {
		t.Error("state directory was created again")
	}
}

func TestLeafWithoutCAKeyIsUnhealthyOnlyCloseToExpiry(t *testing.T) {
	w := newWorld(t)
	s := w.source(t)
	remove(t, w.path(caKeyFile))
	for _, tc := range []struct {
		advance time.Duration
		want    bool
	}{{0, true}, {70 * day, true}, {14 * day, false}} {
		w.Advance(tc.advance)
		_ = s.Check(t.Context())
		if err := s.Healthy(); (err == nil) != tc.want {
			t.Errorf("%s before expiry: Healthy = %v", s.NotAfter().Sub(w.Now()), err)
		}
		mustConnect(t, s, s.CABundle())
	}
}

func TestCABundleMayHoldMoreCAs(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	s := w.source(t)
	both := join(s.CABundle(), other.source(t).CABundle())
	first := mustConnect(t, s, s.CABundle())
	write(t, w.path(caFile), both, 0o644)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.CABundle(), both) || !mustConnect(t, s, both).Equal(first) {
		t.Error("a second CA in ca.pem displaced the leaf")
	}
}

func TestAnotherProcessHoldingTheLockIsWaitedForAndThenNamed(t *testing.T) {
	w := newWorld(t)
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(w.path(lockFile))
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := New(w.opts)
		if err == nil || !strings.Contains(err.Error(), "locked by another process") {
			t.Errorf("New = %v, want locked", err)
		}
		if waited := time.Since(start); waited < lockWait || waited > 2*lockWait {
			t.Errorf("waited %s, want %s", waited, lockWait)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWorld(t).source(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// run starts Run, and ends it with the test.
func run(t *testing.T, s *Source) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func TestOptionsThatContradictThemselvesAreRefused(t *testing.T) {
	dir := t.TempDir()
	for _, o := range []Options{
		{},
		{Dir: dir, CertFile: "cert"},
		{Dir: dir, KeyFile: "key"},
		{Dir: dir, CAFile: "ca"},
		{Dir: dir, Hostname: "not a name"},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v: accepted", o)
		}
	}
	if entries, _ := filepath.Glob(filepath.Join(dir, "*")); len(entries) != 0 {
		t.Errorf("refused options left files: %v", entries)
	}
}
