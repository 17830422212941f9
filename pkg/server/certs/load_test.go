package certs

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLegacyPairIsServedUntouched(t *testing.T) {
	w := newWorld(t)
	cert, key := legacyPair(t, w.Now().Add(-day))
	write(t, w.path(certFile), cert, 0o644)
	write(t, w.path(keyFile), key, 0o600)

	s := w.source(t)
	mustConnect(t, s, cert)
	if !bytes.Equal(s.CABundle(), cert) {
		t.Error("CABundle is not the certificate that API servers' kubeconfigs embed")
	}
	w.Advance(70 * 365 * day)
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	mustConnect(t, s, cert)
	if err := s.Healthy(); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(w.dir); len(entries) != 2 {
		t.Errorf("files were added: %v", entries)
	}
	if info, _ := os.Stat(w.dir); runtime.GOOS != "windows" && info.Mode().Perm() != 0o755 {
		t.Errorf("mode of the directory became %o", info.Mode().Perm())
	}
	wantUnchanged(t, w.dir, map[string]string{certFile: string(cert), keyFile: string(key)})
}

// As after a try of our server, a return to the original, and another try.
func TestLegacyPairBesideACAIsServedUntouched(t *testing.T) {
	w := newWorld(t)
	w.source(t)
	cert, key := legacyPair(t, w.Now().Add(-day))
	write(t, w.path(certFile), cert, 0o644)
	write(t, w.path(keyFile), key, 0o600)
	files := snapshot(t, w.dir)
	s := w.source(t)
	mustConnect(t, s, s.CABundle())
	mustConnect(t, s, cert)
	wantUnchanged(t, w.dir, files)
}

func TestFilesThatAreNotOursAreRefusedWithAReason(t *testing.T) {
	now := time.Now()
	legacyCert, legacyKey := legacyPair(t, now.Add(-day))
	ca := newTestCA(t, "corporate CA", nil, now)
	cert, key := ca.issue(t, "auth.example", x509.ExtKeyUsageServerAuth, now.Add(-day), now.Add(day))
	oldCert, oldKey := ca.issue(t, "auth.example", x509.ExtKeyUsageServerAuth, now.Add(-2*day), now.Add(-day))
	newCert, newKey := ca.issue(t, "auth.example", x509.ExtKeyUsageServerAuth, now.Add(day), now.Add(2*day))
	clientCert, clientKey := ca.issue(t, "auth.example", x509.ExtKeyUsageClientAuth, now.Add(-day), now.Add(day))

	for _, tc := range []struct {
		name      string
		cert, key []byte // nil: no such file
		ca        []byte
		want      []string // with the name of the file that is wrong
	}{
		{"certificate is missing", nil, legacyKey, nil, []string{"cert.pem", "no such file"}},
		{"key is missing", legacyCert, nil, nil, []string{"key.pem", "no such file"}},
		{"key belongs to another", legacyCert, key, nil, []string{"cert.pem", "key.pem", "does not match"}},
		{"key is garbage", legacyCert, []byte("garbage"), nil, []string{"key.pem", "failed to find"}},
		{"certificate is garbage", []byte("garbage"), key, nil, []string{"cert.pem", "failed to find"}},
		{"certificate and key are exchanged", legacyKey, legacyCert, nil, []string{"cert.pem", "private key"}},
		{"expired", oldCert, oldKey, nil, []string{"cert.pem", "expired on"}},
		{"not yet valid", newCert, newKey, nil, []string{"cert.pem", "not valid before", "clock"}},
		{"for clients only", clientCert, clientKey, nil, []string{"cert.pem", "incompatible key usage"}},
		{"CA is garbage", cert, key, []byte("garbage"), []string{"ca.pem", "no certificate"}},
		{"CA holds a key", cert, key, join(ca.cert, key), []string{"ca.pem", "PRIVATE KEY"}},
		{"CA did not issue it", cert, key, legacyCert, []string{"cert.pem", "unknown authority"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			files := map[string][]byte{"cert.pem": tc.cert, "key.pem": tc.key, "ca.pem": tc.ca}
			for name, data := range files {
				if data != nil {
					write(t, filepath.Join(dir, name), data, 0o600)
				}
			}
			given := Options{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
			tries := map[string]Options{"given": given}
			if tc.ca != nil {
				given.CAFile = filepath.Join(dir, "ca.pem")
				tries["given"] = given
			} else {
				tries["in the state directory"] = Options{Dir: dir}
			}
			before := snapshot(t, dir)
			for where, opts := range tries {
				_, err := New(opts)
				if err == nil {
					t.Errorf("%s: accepted", where)
					continue
				}
				for _, want := range append(tc.want, "; ") { // what to do comes after the semicolon
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s: %q doesn't say %q", where, err, want)
					}
				}
				if strings.Contains(strings.ReplaceAll(err.Error(), dir, ""), "garbage") {
					t.Errorf("%s: %q quotes the file", where, err)
				}
			}
			wantUnchanged(t, dir, before)
		})
	}
}

func TestGivenPairIsTrustedByItsCAFileOrTheTopOfItsChain(t *testing.T) {
	now := time.Now()
	root := newTestCA(t, "root", nil, now)
	middle := newTestCA(t, "middle", root, now)
	cert, key := middle.issue(t, "auth.example", x509.ExtKeyUsageServerAuth, now.Add(-day), now.Add(day))
	for _, tc := range []struct {
		name            string
		chain, ca, want []byte
	}{
		{"full chain", join(cert, middle.cert, root.cert), nil, root.cert},
		{"chain without the root", join(cert, middle.cert), nil, middle.cert},
		{"leaf alone", cert, nil, cert},
		{"CA file", join(cert, middle.cert), root.cert, root.cert},
		{"CA file with a comment", join(cert, middle.cert), join([]byte("# root\n"), root.cert), join([]byte("# root\n"), root.cert)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			opts := Options{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
			write(t, opts.CertFile, tc.chain, 0o644)
			write(t, opts.KeyFile, key, 0o600)
			if tc.ca != nil {
				opts.CAFile = filepath.Join(dir, "ca.crt")
				write(t, opts.CAFile, tc.ca, 0o644)
			}
			s, err := New(opts)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(s.CABundle(), tc.want) {
				t.Error("CABundle is another")
			}
			mustConnect(t, s, s.CABundle())
		})
	}
}

func TestGivenPairIsReloadedAndTheLastGoodOneKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ca := newTestCA(t, "corporate CA", nil, w.Now())
		rotate := func(life time.Duration) (cert, key []byte) {
			return ca.issue(t, "auth.example", x509.ExtKeyUsageServerAuth, w.Now().Add(-day), w.Now().Add(life))
		}
		cert, key := rotate(30 * day)
		opts := Options{CertFile: w.path("tls.crt"), KeyFile: w.path("tls.key"), CAFile: w.path("ca.crt"), Log: w.opts.Log, Now: w.Now}
		write(t, opts.CertFile, cert, 0o644)
		write(t, opts.KeyFile, key, 0o600)
		write(t, opts.CAFile, ca.cert, 0o644)
		s, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		run(t, s)
		first := mustConnect(t, s, ca.cert)

		// A rotation that hangs half way.
		cert, key = rotate(60 * day)
		write(t, opts.CertFile, cert, 0o644)
		time.Sleep(10 * checkInterval)
		if !mustConnect(t, s, ca.cert).Equal(first) {
			t.Error("last good pair not kept")
		}
		if err := s.Healthy(); err == nil || !strings.Contains(err.Error(), "does not match") {
			t.Errorf("Healthy = %v, want a mismatch", err)
		}
		if w.warned() != 1 {
			t.Errorf("logged %d times, want once: %v", w.warned(), w.logs.All())
		}

		write(t, opts.KeyFile, key, 0o600)
		time.Sleep(2 * checkInterval)
		second := mustConnect(t, s, ca.cert)
		if second.Equal(first) {
			t.Error("not reloaded")
		}
		if err := s.Healthy(); err != nil {
			t.Error(err)
		}

		// An expired one doesn't displace one that isn't.
		cert, key = rotate(-time.Hour)
		write(t, opts.CertFile, cert, 0o644)
		write(t, opts.KeyFile, key, 0o600)
		if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("Check = %v, want expired", err)
		}
		if !mustConnect(t, s, ca.cert).Equal(second) {
			t.Error("expired certificate served")
		}

		// Nobody renews it.
		w.Advance(55 * day)
		if err := s.Healthy(); err == nil {
			t.Error("healthy five days before expiry")
		}
	})
}

func TestKeysOpenToAllAreClosedIfOursAndWarnedOfIfNot(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no mode bits")
	}
	w := newWorld(t)
	w.source(t)
	for file, want := range map[string]os.FileMode{caKeyFile: 0o600, keyFile: 0o600, caFile: 0o644, certFile: 0o644, "": 0o700} {
		if info, err := os.Stat(w.path(file)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s is created with mode %v, want %o", file, info.Mode(), want)
		}
	}
	for _, file := range []string{caKeyFile, keyFile} {
		if err := os.Chmod(w.path(file), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.source(t)
	for _, file := range []string{caKeyFile, keyFile} {
		if info, _ := os.Stat(w.path(file)); info.Mode().Perm() != 0o640 {
			t.Errorf("%s has mode %o, want 640", file, info.Mode().Perm())
		}
	}

	legacy := newWorld(t)
	cert, key := legacyPair(t, w.Now().Add(-day))
	write(t, legacy.path(certFile), cert, 0o644)
	write(t, legacy.path(keyFile), key, 0o644)
	s := legacy.source(t)
	_ = s.Check(t.Context())
	if info, _ := os.Stat(legacy.path(keyFile)); info.Mode().Perm() != 0o644 {
		t.Errorf("mode of a key that is not ours became %o", info.Mode().Perm())
	}
	if legacy.warned() != 1 {
		t.Errorf("%d warnings, want 1", legacy.warned())
	}
}

func TestHostnameNotCoveredByAForeignPairIsWarnedOf(t *testing.T) {
	w := newWorld(t)
	cert, key := legacyPair(t, w.Now().Add(-day))
	write(t, w.path(certFile), cert, 0o644)
	write(t, w.path(keyFile), key, 0o600)
	w.opts.Hostname = "other.example"
	w.source(t)
	if w.warned() != 1 {
		t.Errorf("%d warnings, want 1", w.warned())
	}
}
