package bed

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Options say how the API server is run. The zero value is a cluster without a webhook.
type Options struct {
	// WebhookKubeconfig is the file of --authentication-token-webhook-config-file. Nothing needs to
	// listen yet at the address it names.
	WebhookKubeconfig string

	// WebhookVersion is v1 or v1beta1; the API server's default, v1beta1, when empty.
	WebhookVersion string

	// WebhookCacheTTL is how long the API server remembers the webhook's answers; its default of
	// two minutes when nil. Zero leaves the 10 s for which it remembers any successful authentication.
	WebhookCacheTTL *time.Duration

	// APIAudiences are the audiences of the API server; its issuer's URL when empty.
	APIAudiences []string

	// Flags are added to the API server's command line.
	Flags []string
}

// Cluster is a running etcd and kube-apiserver. Its methods are not safe for concurrent use.
type Cluster struct {
	Server          string // https://127.0.0.1:PORT, the same across restarts
	CAFile          string // certificate that Server's is signed with
	AdminKubeconfig string // kubeconfig with the context admin, which is a member of system:masters
	BinDir          string // directory of kubectl, kube-apiserver and etcd
	Log             string // file with the API server's log

	dir             string
	client          *http.Client
	args            []string
	etcd, apiserver *process
}

// startTimeout is how long an API server may take to get ready. It takes 3 s on a quiet machine.
const startTimeout = 90 * time.Second

// Start builds the binaries if need be, starts a cluster and waits until it is ready. The caller must
// Stop it. Progress of the build goes to standard error.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.WebhookKubeconfig != "" {
		path, err := filepath.Abs(o.WebhookKubeconfig) // the API server runs in another directory
		if err != nil {
			return nil, err
		}
		o.WebhookKubeconfig = path
	}
	bin, err := Build(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bed-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		Server:          fmt.Sprintf("https://127.0.0.1:%d", port),
		CAFile:          filepath.Join(dir, "ca.crt"),
		AdminKubeconfig: filepath.Join(dir, "admin.kubeconfig"),
		BinDir:          bin,
		Log:             filepath.Join(dir, "kube-apiserver.log"),
		dir:             dir,
		args:            apiserverArgs(port, o),
	}
	if err := c.start(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.writeCredentials(); err != nil {
		return err
	}
	var err error
	c.etcd, err = startProcess(c.dir, filepath.Join(c.dir, "etcd.log"), filepath.Join(c.BinDir, "etcd"),
		"--data-dir=etcd",
		"--unsafe-no-fsync",
		"--log-level=warn",
		"--listen-client-urls="+etcdClientURL,
		"--advertise-client-urls="+etcdClientURL,
		"--listen-peer-urls="+etcdPeerURL,
		"--initial-advertise-peer-urls="+etcdPeerURL,
		"--initial-cluster=default="+etcdPeerURL,
	)
	if err != nil {
		return err
	}
	return c.startAPIServer(ctx)
}

// Restart ends the API server as an operator would and starts it again, with the same data, address and
// certificates.
func (c *Cluster) Restart(ctx context.Context) error {
	c.apiserver.stop(10 * time.Second)
	c.client.CloseIdleConnections()
	return c.startAPIServer(ctx)
}

// Stop kills the cluster and removes its files. It returns when the processes have gone.
func (c *Cluster) Stop() {
	for _, p := range []*process{c.apiserver, c.etcd} {
		if p != nil {
			p.stop(0)
		}
	}
	if c.client != nil {
		c.client.CloseIdleConnections()
	}
	_ = os.RemoveAll(c.dir)
}

// Kubectl runs kubectl as the administrator and returns its standard output. Its standard error is part
// of the error.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.BinDir, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.AdminKubeconfig, "KUBECACHEDIR="+filepath.Join(c.dir, "kubectl"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, &stderr)
	}
	return string(out), err
}

// etcd listens on Unix sockets in its working directory, which need no free port and are out of reach of
// other beds. It insists on a port in the URL.
const (
	etcdClientURL = "unix://client:0"
	etcdPeerURL   = "unix://peer:0"
)

func apiserverArgs(port int, o Options) []string {
	args := []string{
		"--etcd-servers=" + etcdClientURL,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=server.crt",
		"--tls-private-key-file=server.key",
		"--client-ca-file=ca.crt",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=server.crt",
		"--service-account-signing-key-file=server.key",
		"--service-cluster-ip-range=10.0.0.0/24",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--endpoint-reconciler-type=none", // an endpoint must not be a loopback address
		"--profiling=false",
	}
	args = append(args, WebhookFlags(o)...)
	if len(o.APIAudiences) > 0 {
		args = append(args, "--api-audiences="+strings.Join(o.APIAudiences, ","))
	}
	return append(args, o.Flags...)
}

// WebhookFlags are the flags with which the API server knows the webhook.
func WebhookFlags(o Options) (flags []string) {
	if o.WebhookKubeconfig != "" {
		flags = append(flags, "--authentication-token-webhook-config-file="+o.WebhookKubeconfig)
	}
	if o.WebhookVersion != "" {
		flags = append(flags, "--authentication-token-webhook-version="+o.WebhookVersion)
	}
	if o.WebhookCacheTTL != nil {
		flags = append(flags, "--authentication-token-webhook-cache-ttl="+o.WebhookCacheTTL.String())
	}
	return flags
}

func (c *Cluster) startAPIServer(ctx context.Context) error {
	var err error
	c.apiserver, err = startProcess(c.dir, c.Log, filepath.Join(c.BinDir, "kube-apiserver"), c.args...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if c.ready(ctx) {
				return nil
			}
		case <-c.etcd.done:
			return fmt.Errorf("etcd ended with %v, saying last:\n%s", c.etcd.cmd.ProcessState, c.etcd.tail())
		case <-c.apiserver.done:
			return fmt.Errorf("kube-apiserver ended with %v, saying last:\n%s", c.apiserver.cmd.ProcessState, c.apiserver.tail())
		case <-ctx.Done():
			return fmt.Errorf("kube-apiserver did not become ready: %w, saying last:\n%s", context.Cause(ctx), c.apiserver.tail())
		}
	}
}

func (c *Cluster) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Server+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := c.client.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// writeCredentials writes the certificates, keys and kubeconfig of a new cluster.
func (c *Cluster) writeCredentials() error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	server, err := ca.server()
	if err != nil {
		return err
	}
	admin, err := ca.client("admin", "system:masters")
	if err != nil {
		return err
	}
	clientCert, err := tls.X509KeyPair(admin.cert, admin.key)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	c.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{clientCert}},
	}}
	return errors.Join(
		os.WriteFile(c.CAFile, ca.pem(), 0o644),
		server.write(c.dir, "server"),
		os.WriteFile(c.AdminKubeconfig, c.adminKubeconfig(ca, admin), 0o600),
	)
}

func (c *Cluster) adminKubeconfig(ca *authority, admin keyPair) []byte {
	base64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: admin
clusters:
- name: bed
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: admin
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: admin
  context:
    cluster: bed
    user: admin
`, c.Server, base64(ca.pem()), base64(admin.cert), base64(admin.key))
}

// FreePort finds a port on loopback below those that systems give to outgoing connections, so that none
// of these can take it between now and the server's start, or during a restart.
func FreePort() (int, error) {
	const low, high, tries = 22000, 32000, 50
	var err error
	for range tries {
		port := low + rand.IntN(high-low)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port on 127.0.0.1 from %d to %d in %d tries: %w", low, high, tries, err)
}
