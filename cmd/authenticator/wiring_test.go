package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/server/certs"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

// TestServerDoesWhatItsConfigurationSays shows that each part of the configuration
// reaches the part of the server that it is about.
func TestServerDoesWhatItsConfigurationSays(t *testing.T) {
	const scrubbed, strict = "444455556666", "777788889999"
	sts := awstest.New(awstest.Options{})
	emulator, err := awstest.NewServer(sts, "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { emulator.Close() })
	for _, account := range []string{"111122223333", scrubbed, strict} {
		must(t, sts.AddRole("arn:aws:iam::"+account+":role/dev", awstest.Role{}))
	}

	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	ports := freePorts(t, 2)
	file := write("config.yaml", fmt.Sprintf(`
clusterID: new
server:
  additionalClusterIDs: [old]
  port: %d
  healthPort: %d
  stateDir: %s
  generateKubeconfig: %s
  stsEmulator: {address: "%s", caFile: %s}
  backendMode: [DynamicFile, MountedFile]
  dynamicfilepath: %s
  dynamicfileUserIDStrict: true
  reservedPrefixConfig: [{backendmode: MountedFile, usernamePrefixReserveList: ["root:"]}]
  scrubbedAccounts: ["%s"]
  mapRoles:
  - {rolearn: "arn:aws:iam::111122223333:role/dev", username: "{{SessionName}}"}
  - {rolearn: "arn:aws:iam::%s:role/dev", username: scrubbed}
  mapUsers: []
  mapAccounts: ["111122223333"]
`, ports[0], ports[1], filepath.Join(dir, "state"), filepath.Join(dir, "kubeconfig"), emulator.Addr(),
		write("sts.pem", string(emulator.CAPEM())),
		write("dynamic.json", `{"mapRoles":[{"userid":"`+sts.PrincipalID("arn:aws:iam::"+strict+":role/dev")+`","username":"strict"}]}`),
		scrubbed, scrubbed))
	c, err := config.Load(file)
	must(t, err)
	c.Server.ReservedPrefixConfig[0].Prefixes = append(c.Server.ReservedPrefixConfig[0].Prefixes, "evil")
	must(t, c.CompleteServer())

	startServer(t, c, file, "readyz")

	pem, err := os.ReadFile(filepath.Join(dir, "state", "ca.pem"))
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}

	review := func(account, session, clusterID string) (status map[string]any) {
		t.Helper()
		creds, err := sts.Session("arn:aws:iam::"+account+":role/dev", session)
		must(t, err)
		code, text := postReview(t, client, ports[0], creds, clusterID)
		var answer struct{ Status map[string]any }
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&answer); err != nil {
			t.Fatalf("%d %s", code, text)
		}
		return answer.Status
	}
	username := func(status map[string]any) any {
		user, _ := status["user"].(map[string]any)
		return user["username"]
	}
	if got := username(review("111122223333", "alice", "new")); got != "alice" {
		t.Errorf("clusterID: %v", got)
	}
	if got := username(review("111122223333", "alice", "old")); got != "alice" {
		t.Errorf("additionalClusterIDs: %v", got)
	}
	if got := username(review("111122223333", "alice", "other")); got != nil {
		t.Errorf("another cluster ID: %v", got)
	}
	if got := review("111122223333", "evil.eve", "new"); got["authenticated"] == true || !strings.Contains(fmt.Sprint(got["error"]), "NameReserved") {
		t.Errorf("reservedPrefixConfig: %v", got)
	}
	want := map[string]any{"username": "scrubbed", "uid": "aws-iam-authenticator:administrative:scrubbed"}
	if got := review(scrubbed, "alice", "new"); !reflect.DeepEqual(got["user"], want) {
		t.Errorf("scrubbedAccounts: %v", got)
	}
	if got := username(review(strict, "alice", "new")); got != "strict" {
		t.Errorf("dynamicfileUserIDStrict: %v", got)
	}
}

func TestServerAsksForClientCertificates(t *testing.T) {
	dir := t.TempDir()
	_, err := certs.New(certs.Options{Dir: filepath.Join(dir, "apiserver"), Hostname: "apiserver"})
	must(t, err)
	file := filepath.Join(dir, "config.yaml")
	must(t, os.WriteFile(file, []byte("clusterID: c\n"), 0o600))
	ports := freePorts(t, 2)
	c := config.Default()
	c.ClusterID = "c"
	c.Server.Port, c.Server.HealthPort = ports[0], ports[1]
	c.Server.StateDir, c.Server.GenerateKubeconfig = filepath.Join(dir, "state"), filepath.Join(dir, "kubeconfig")
	c.Server.ClientCAFile = filepath.Join(dir, "apiserver", "ca.pem")
	c.Server.APIServerCertFile, c.Server.APIServerKeyFile = "/pki/apiserver.crt", "/pki/apiserver.key"
	must(t, c.CompleteServer())
	startServer(t, c, file, "readyz")

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	if resp, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/healthz", ports[0])); err == nil {
		resp.Body.Close()
		t.Error("a client without a certificate got an answer")
	}
	kubeconfig, err := os.ReadFile(c.Server.GenerateKubeconfig)
	must(t, err)
	for _, path := range []string{c.Server.APIServerCertFile, c.Server.APIServerKeyFile} {
		if !bytes.Contains(kubeconfig, []byte(path)) {
			t.Errorf("the kubeconfig lacks %s", path)
		}
	}
}

// The authenticator often starts before the API server whose ConfigMap it reads.
func TestServerWithoutItsAPIServerSaysNothingRatherThanNo(t *testing.T) {
	sts := awstest.New(awstest.Options{})
	emulator, err := awstest.NewServer(sts, "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { emulator.Close() })
	for _, role := range []string{"dev", "admins"} {
		must(t, sts.AddRole("arn:aws:iam::111122223333:role/"+role, awstest.Role{}))
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	must(t, os.WriteFile(file, []byte("clusterID: c\n"), 0o600))
	ports := freePorts(t, 3)
	c := config.Default()
	c.ClusterID = "c"
	s := &c.Server
	s.Port, s.HealthPort, s.Master = ports[0], ports[1], fmt.Sprintf("https://127.0.0.1:%d", ports[2])
	s.StateDir, s.GenerateKubeconfig = filepath.Join(dir, "state"), filepath.Join(dir, "kubeconfig")
	s.AuthenticationMode = "API_AND_CONFIG_MAP"
	s.BootstrapAdmin = []string{"arn:aws:iam::111122223333:role/admins"}
	s.STSEmulator = config.STSEmulator{Address: emulator.Addr(), CAFile: filepath.Join(dir, "sts.pem")}
	must(t, os.WriteFile(s.STSEmulator.CAFile, emulator.CAPEM(), 0o600))
	must(t, c.CompleteServer())
	startServer(t, c, file, "livez")

	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", ports[1]))
	must(t, err)
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	must(t, err)
	for _, name := range []string{"AccessEntry", "EKSConfigMap"} {
		if resp.StatusCode != http.StatusServiceUnavailable || !bytes.Contains(text, []byte("[-]mapper "+name+" failed")) {
			t.Errorf("readyz says %d %s, want it to name %s", resp.StatusCode, text, name)
		}
	}

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for role, want := range map[string]string{"dev": "503 MapperNotReady", "admins": `200 {"kind"`} {
		creds, err := sts.Session("arn:aws:iam::111122223333:role/"+role, "alice")
		must(t, err)
		code, text := postReview(t, client, ports[0], creds, "c")
		if got := fmt.Sprint(code, " ", string(text)); !strings.HasPrefix(got, want) {
			t.Errorf("%s: answer %s, want %s", role, got, want)
		}
	}
}

// startServer runs a server until the end of the test, and waits until a health path
// answers.
func startServer(t *testing.T, c config.Config, file, path string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- runServer(ctx, c, file, zap.NewNop()) }()
	t.Cleanup(func() {
		stop()
		must(t, <-done)
	})
	waitFor(t, fmt.Sprintf("http://127.0.0.1:%d/%s", c.Server.HealthPort, path))
}

// postReview makes a token with the credentials and asks the webhook about it.
func postReview(t *testing.T, client *http.Client, port int, creds awstest.Credentials, clusterID string) (code int, body []byte) {
	t.Helper()
	bearer, err := token.Presign(t.Context(), creds.AWS(), token.PresignOptions{ClusterID: clusterID, Region: "us-east-1"})
	must(t, err)
	review := fmt.Sprintf(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":%q}}`, bearer.Value)
	resp, err := client.Post(fmt.Sprintf("https://127.0.0.1:%d/authenticate", port), "application/json", strings.NewReader(review))
	must(t, err)
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, body
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var free portRange
	ports := make([]int, n)
	for i := range ports {
		var err error
		ports[i], err = free.next()
		must(t, err)
	}
	return ports
}

// waitFor waits until a URL answers 200, for 15 seconds at most.
func waitFor(t *testing.T, url string) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", url, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
