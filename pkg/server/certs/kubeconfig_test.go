package certs

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func loadKubeconfig(t *testing.T, path string) *clientcmdapi.Config {
	t.Helper()
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := clientcmd.Validate(*config); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestKubeconfigIsWhatAPIServersExpect(t *testing.T) {
	ca := newTestCA(t, "CA", nil, time.Now())
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "client.pem"), filepath.Join(dir, "client-key.pem")
	write(t, cert, nil, 0o644) // clientcmd looks for them
	write(t, key, nil, 0o600)
	for _, tc := range []struct {
		k      Kubeconfig
		server string
	}{
		{Kubeconfig{Hostname: "localhost", Port: 21362}, "https://localhost:21362/authenticate"},
		{Kubeconfig{Hostname: "10.0.0.1", Port: 443}, "https://10.0.0.1:443/authenticate"},
		{Kubeconfig{Hostname: "fd00::1", Port: 1}, "https://[fd00::1]:1/authenticate"},
		{Kubeconfig{Hostname: "[fd00::1]", Port: 65535}, "https://[fd00::1]:65535/authenticate"},
		{Kubeconfig{Hostname: "auth.example", Port: 21362, ClientCertificate: cert, ClientKey: key}, "https://auth.example:21362/authenticate"},
	} {
		path := filepath.Join(t.TempDir(), "not", "yet", "kubeconfig.yaml")
		tc.k.CABundle = ca.cert
		if changed, err := WriteKubeconfig(path, tc.k); err != nil || !changed {
			t.Fatalf("WriteKubeconfig = %t, %v", changed, err)
		}
		config := loadKubeconfig(t, path)
		context := config.Contexts["webhook"]
		cluster, user := config.Clusters["aws-iam-authenticator"], config.AuthInfos["apiserver"]
		if context == nil || cluster == nil || user == nil {
			t.Fatalf("contexts %v, clusters %v, users %v", config.Contexts, config.Clusters, config.AuthInfos)
		}
		if config.CurrentContext != "webhook" || context.Cluster != "aws-iam-authenticator" || context.AuthInfo != "apiserver" {
			t.Errorf("context %q: %+v", config.CurrentContext, context)
		}
		if cluster.Server != tc.server || string(cluster.CertificateAuthorityData) != string(ca.cert) {
			t.Errorf("server %s, want %s; CA %q", cluster.Server, tc.server, cluster.CertificateAuthorityData)
		}
		if user.ClientCertificate != tc.k.ClientCertificate || user.ClientKey != tc.k.ClientKey {
			t.Errorf("user: %v", user)
		}
		if text := string(read(t, path)); !strings.Contains(text, "apiVersion: v1\n") || !strings.Contains(text, "kind: Config\n") {
			t.Error("apiVersion or kind is missing")
		}
		if runtime.GOOS != "windows" {
			file, _ := os.Stat(path)
			parent, _ := os.Stat(filepath.Dir(path))
			if file.Mode().Perm() != 0o600 || parent.Mode().Perm()&^0o755 != 0 {
				t.Errorf("modes %v, %v", file.Mode(), parent.Mode())
			}
		}
	}
}

func TestKubeconfigReachesTheServer(t *testing.T) {
	w := newWorld(t)
	ca := newTestCA(t, "client CA", nil, w.Now())
	clientCert, clientKey := ca.issue(t, "kube-apiserver", clientAuth, w.Now().Add(-day), w.Now().Add(day))
	write(t, w.path("client-ca.pem"), ca.cert, 0o644)
	write(t, w.path("client.pem"), clientCert, 0o644)
	write(t, w.path("client-key.pem"), clientKey, 0o600)
	s := w.source(t)
	serverConfig := &tls.Config{GetCertificate: s.GetCertificate}
	clientCAs, err := NewClientCAs(w.path("client-ca.pem"), serverConfig, nil)
	if err != nil {
		t.Fatal(err)
	}
	serverConfig.GetConfigForClient = clientCAs.GetConfigForClient
	listener, err := tls.Listen("tcp", "127.0.0.1:0", serverConfig)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(
		func(rw http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(rw, r.URL.Path) })}}
	server.Start()
	defer server.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	k := Kubeconfig{Hostname: "localhost", CABundle: s.CABundle(), ClientCertificate: w.path("client.pem"), ClientKey: w.path("client-key.pem")}
	k.Port, _ = strconv.Atoi(port)
	path := w.path("kubeconfig.yaml")
	if _, err := WriteKubeconfig(path, k); err != nil {
		t.Fatal(err)
	}

	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	get := func(config *rest.Config) (string, error) {
		client, err := rest.HTTPClientFor(config)
		if err != nil {
			return "", err
		}
		response, err := client.Get(config.Host)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return string(body), err
	}
	if u, _ := url.Parse(config.Host); u == nil || u.Path != "/authenticate" {
		t.Errorf("host %q", config.Host)
	}
	if got, err := get(config); err != nil || got != "/authenticate" {
		t.Errorf("request: %q, %v", got, err)
	}
	config.CertFile, config.KeyFile = "", ""
	if _, err := get(config); err == nil {
		t.Error("request without a client certificate went through")
	}
}

func TestKubeconfigThatSaysTheSameIsNotWritten(t *testing.T) {
	k := Kubeconfig{Hostname: "auth.example", Port: 21362, CABundle: newTestCA(t, "CA", nil, time.Now()).cert}
	path := filepath.Join(t.TempDir(), "kubeconfig.yaml")
	if changed, err := WriteKubeconfig(path, k); err != nil || !changed {
		t.Fatalf("first: %t, %v", changed, err)
	}
	before, _ := os.Stat(path)
	if changed, err := WriteKubeconfig(path, k); err != nil || changed {
		t.Errorf("second: %t, %v", changed, err)
	}
	if after, _ := os.Stat(path); !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Error("file was written")
	}
	k.Port++
	if changed, err := WriteKubeconfig(path, k); err != nil || !changed {
		t.Errorf("other port: %t, %v", changed, err)
	}
}

func TestKubeconfigKeepsModeAndSymbolicLink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("neither without privileges")
	}
	k := Kubeconfig{Hostname: "auth.example", Port: 21362, CABundle: newTestCA(t, "CA", nil, time.Now()).cert}
	for _, exists := range []bool{true, false} {
		dir := t.TempDir()
		target, link := filepath.Join(dir, "real", "kubeconfig.yaml"), filepath.Join(dir, "link.yaml")
		want := os.FileMode(0o600)
		write(t, target, []byte("old"), 0o640)
		if exists {
			want = 0o640
		} else {
			remove(t, target)
		}
		if err := os.Symlink("real/kubeconfig.yaml", link); err != nil {
			t.Fatal(err)
		}
		if _, err := WriteKubeconfig(link, k); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
			t.Error("link was replaced")
		}
		if info, err := os.Stat(target); err != nil || info.Mode().Perm() != want {
			t.Errorf("mode %v, want %o", info.Mode(), want)
		}
		loadKubeconfig(t, target)
	}
}

func TestKubeconfigThatCannotWorkIsRefused(t *testing.T) {
	ca := newTestCA(t, "CA", nil, time.Now()).cert
	dir := t.TempDir()
	for _, tc := range []struct {
		k    Kubeconfig
		want string
	}{
		{Kubeconfig{Port: 1, CABundle: ca}, "hostname"},
		{Kubeconfig{Hostname: "0.0.0.0", Port: 1, CABundle: ca}, "hostname"},
		{Kubeconfig{Hostname: "::", Port: 1, CABundle: ca}, "hostname"},
		{Kubeconfig{Hostname: "a", CABundle: ca}, "port 0"},
		{Kubeconfig{Hostname: "a", Port: 65536, CABundle: ca}, "port 65536"},
		{Kubeconfig{Hostname: "a", Port: 1}, "CA bundle"},
		{Kubeconfig{Hostname: "a", Port: 1, CABundle: []byte("garbage")}, "CA bundle"},
		{Kubeconfig{Hostname: "a", Port: 1, CABundle: ca, ClientKey: "key"}, "client"},
	} {
		_, err := WriteKubeconfig(filepath.Join(dir, "kubeconfig.yaml"), tc.k)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.k, err, tc.want)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("files left: %v", entries)
	}
	if _, err := WriteKubeconfig(dir, Kubeconfig{Hostname: "a", Port: 1, CABundle: ca}); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("in place of a directory: %v", err)
	}
}
