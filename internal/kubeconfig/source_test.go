package kubeconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/internal/eks"
)

// newCA returns a certificate and its key, both in PEM.
func newCA(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func TestFromServer(t *testing.T) {
	ca, key := newCA(t)
	files := write(t, "ca.pem", ca, "both.pem", ca+key, "text", "hello", "none", "")
	encoded := base64.StdEncoding.EncodeToString([]byte(ca))
	for name, c := range map[string]struct{ server, file, data, want string }{
		"a file":             {"https://demo.example:6443", files[0], "", ""},
		"data":               {"https://[2001:db8::1]:6443", "", encoded, ""},
		"the system's CAs":   {"https://demo.example/prefix", "", "", ""},
		"both":               {"https://demo.example", files[0], encoded, "give one of them"},
		"no TLS":             {"http://demo.example", "", "", "want a URL such as https://"},
		"no scheme":          {"demo.example:6443", "", "", "want a URL such as https://"},
		"no host":            {"https://:6443", "", "", "want a URL such as https://"},
		"a user in it":       {"https://me:secret@demo.example", "", "", "want a URL such as https://"},
		"a key in the file":  {"https://demo.example", files[1], "", `a PEM block "PRIVATE KEY"`},
		"text in the file":   {"https://demo.example", files[2], "", "no certificate in it"},
		"no such file":       {"https://demo.example", files[3], "", "no such file"},
		"data is not base64": {"https://demo.example", "", ca, "not base64"},
		"data is no PEM":     {"https://demo.example", "", "aGVsbG8=", "no certificate in it"},
	} {
		got, err := FromServer(c.server, c.file, c.data)
		switch {
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		case c.want == "" && (err != nil || got.Server != c.server || (c.file+c.data != "") != (string(got.CA) == ca)):
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestFromContext(t *testing.T) {
	ca, _ := newCA(t)
	files := write(t, "ca.pem", ca, "config", `clusters:
- {name: kops, cluster: {server: 'https://kops.example', certificate-authority: ca.pem, tls-server-name: api, proxy-url: 'http://proxy'}}
- {name: open, cluster: {server: 'https://open.example', insecure-skip-tls-verify: true}}
- {name: plain, cluster: {server: 'http://plain.example'}}
contexts:
- {name: admin, context: {cluster: kops, user: a}}
- {name: open, context: {cluster: open, user: a}}
- {name: plain, context: {cluster: plain, user: a}}
- {name: dangling, context: {cluster: gone, user: a}}
`)
	config, empty := files[1:], []string{filepath.Join(t.TempDir(), "config")}

	// The kubeconfig has the cluster: there is nothing to copy.
	t.Setenv("KUBECONFIG", empty[0])
	if c, name, err := FromContext(config, "admin"); c != nil || name != "kops" || err != nil {
		t.Errorf("got %+v, %q, %v, want the name alone", c, name, err)
	}
	// The environment's has it, and it goes to another: with its CA, as a path may not be right there.
	t.Setenv("KUBECONFIG", config[0])
	c, name, err := FromContext(empty, "admin")
	if err != nil || name != "kops" || c.Server != "https://kops.example" || string(c.CA) != ca || c.TLSServerName != "api" || c.ProxyURL != "http://proxy" {
		t.Errorf("got %+v, %q, %v", c, name, err)
	}
	for context, want := range map[string]string{
		"open":     "insecure-skip-tls-verify",
		"plain":    "https://",
		"dangling": `the cluster "gone"`,
		"admim":    `did you mean "admin"?`,
	} {
		if _, _, err := FromContext(empty, context); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", context, err, want)
		}
	}
	if got := Contexts(empty); !slices.Equal(got, []string{"admin", "dangling", "open", "plain"}) {
		t.Errorf("contexts are %q", got)
	}
}

// From EKS to a kubeconfig, with the emulator that verifies signatures.
func TestFromEKS(t *testing.T) {
	ca, _ := newCA(t)
	sts := awstest.New(awstest.Options{})
	alice, err := sts.AddUser("arn:aws:iam::111122223333:user/alice")
	if err != nil {
		t.Fatal(err)
	}
	service := awstest.NewEKS(sts)
	const arn = "arn:aws:eks:eu-west-1:111122223333:cluster/"
	service.SetCluster(awstest.EKSCluster{ARN: arn + "demo", Endpoint: "https://ABC.gr7.eu-west-1.eks.amazonaws.com", CAPEM: []byte(ca)})
	service.SetCluster(awstest.EKSCluster{ARN: arn + "local", ID: "5f1ce1ab", Endpoint: "https://ABC.gr7.eu-west-1.eks.amazonaws.com", CAPEM: []byte(ca)})
	service.SetCluster(awstest.EKSCluster{ARN: arn + "young", Status: "CREATING"})
	service.SetCluster(awstest.EKSCluster{ARN: arn + "odd", Endpoint: "http://odd", CAPEM: []byte(ca)})
	server := httptest.NewTLSServer(service)
	defer server.Close()
	client, err := eks.New(aws.Config{
		Region: "eu-west-1", Credentials: alice, HTTPClient: server.Client(), BaseEndpoint: aws.String(server.URL),
	}, "authenticator/test")
	if err != nil {
		t.Fatal(err)
	}

	cluster, name, id, err := FromEKS(t.Context(), client, "demo")
	if err != nil || name != arn+"demo" || id != "demo" || string(cluster.CA) != ca {
		t.Fatalf("got %+v, %q, %q, %v", cluster, name, id, err)
	}
	file := filepath.Join(t.TempDir(), "config")
	merge(t, Login{ContextName: name, ClusterName: name, UserName: name, Cluster: cluster, Exec: Exec{ClusterID: id, Region: client.Region()}, Current: true},
		Options{Files: []string{file}})
	config, err := load([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Clusters[name]; c.Server != cluster.Server || string(c.CertificateAuthorityData) != ca {
		t.Errorf("the cluster is %+v", c)
	}
	if u := config.AuthInfos[name]; !slices.Equal(u.Exec.Args, []string{"token", "-i", "demo", "--region", "eu-west-1"}) {
		t.Errorf("the user's command has %q", u.Exec.Args)
	}
	// Tokens for a cluster on an Outpost are for its ID.
	if _, _, id, err := FromEKS(t.Context(), client, "local"); err != nil || id != "5f1ce1ab" {
		t.Errorf("got %q, %v, want the cluster's ID", id, err)
	}
	for cluster, want := range map[string]string{"young": "its status is CREATING", "odd": "want a URL such as https://", "none": "no EKS cluster"} {
		if _, _, _, err := FromEKS(t.Context(), client, cluster); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", cluster, err, want)
		}
	}
	if _, err := os.Stat(file + ".lock"); err == nil {
		t.Error("the lock is left behind")
	}
}
