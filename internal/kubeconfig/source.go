package kubeconfig

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/iam-authenticator/authenticator/internal/eks"
	"github.com/iam-authenticator/authenticator/internal/suggest"
)

// FromServer returns the cluster with the API server at a URL. Its CA is in a file, or in
// base64 as kubeconfigs have it, or in neither if the system's CAs vouch for the server.
func FromServer(server, caFile, caData string) (*Cluster, error) {
	if err := checkServer(server); err != nil {
		return nil, err
	}
	c := &Cluster{Server: server}
	var err error
	switch {
	case caFile != "" && caData != "":
		return nil, errors.New("--certificate-authority and --certificate-authority-data: give one of them")
	case caFile != "":
		if c.CA, err = os.ReadFile(caFile); err != nil {
			return nil, fmt.Errorf("--certificate-authority: %w", err)
		}
		err = checkCA(c.CA)
	case caData != "":
		if c.CA, err = base64.StdEncoding.DecodeString(caData); err != nil {
			return nil, fmt.Errorf("--certificate-authority-data is not base64: %w", err)
		}
		err = checkCA(c.CA)
	}
	return c, err
}

// FromEKS asks EKS for a cluster. Besides it, it returns the cluster's ARN, for which AWS's
// tools name it, and the ID that its tokens are for.
func FromEKS(ctx context.Context, client *eks.Client, name string) (c *Cluster, arn, id string, err error) {
	described, err := client.DescribeCluster(ctx, name)
	if err != nil {
		return nil, "", "", err
	}
	if described.Endpoint == "" || described.CertificateAuthority.Data == "" {
		return nil, "", "", fmt.Errorf("the EKS cluster %q has no API server yet or any more (its status is %s): try again when it is ACTIVE", name, described.Status)
	}
	c, err = FromServer(described.Endpoint, "", described.CertificateAuthority.Data)
	if err != nil {
		return nil, "", "", fmt.Errorf("EKS cluster %q: %w", name, err)
	}
	return c, described.ARN, cmp.Or(described.ID, described.Name), nil
}

// FromContext returns the cluster that a context leads to, and its name. The context is
// looked for in the given files, then in those of the environment. Of a cluster that the
// files have already there is but the name.
func FromContext(files []string, context string) (c *Cluster, name string, err error) {
	var known []string
	for _, here := range []bool{true, false} {
		if !here {
			files = Files("")
		}
		config, err := load(files)
		if err != nil {
			return nil, "", err
		}
		known = slices.AppendSeq(known, maps.Keys(config.Contexts))
		found, ok := config.Contexts[context]
		if !ok {
			continue
		}
		cluster, ok := config.Clusters[found.Cluster]
		if !ok {
			return nil, "", fmt.Errorf("the context %q is for the cluster %q, which the kubeconfig doesn't have", context, found.Cluster)
		}
		if cluster.InsecureSkipTLSVerify {
			return nil, "", fmt.Errorf("the cluster %q has insecure-skip-tls-verify, by which anybody can take the server's place, and tokens: give --server and --certificate-authority", found.Cluster)
		}
		if err := checkServer(cluster.Server); err != nil {
			return nil, "", fmt.Errorf("the cluster %q: %w", found.Cluster, err)
		}
		if here {
			return nil, found.Cluster, nil
		}
		c, err := copyCluster(cluster)
		return c, found.Cluster, err
	}
	if len(known) == 0 {
		return nil, "", fmt.Errorf("there is no context %q: the kubeconfig has none at all", context)
	}
	slices.Sort(known)
	return nil, "", fmt.Errorf("there is no context %q in the kubeconfig%s", context, suggest.Known(context, slices.Compact(known)))
}

// Contexts returns the names of the contexts that FromContext finds, sorted.
func Contexts(files []string) []string {
	var names []string
	for _, files := range [][]string{files, Files("")} {
		if config, err := load(files); err == nil {
			names = slices.AppendSeq(names, maps.Keys(config.Contexts))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// load reads a kubeconfig as kubectl does, with absolute paths in it.
func load(files []string) (*clientcmdapi.Config, error) {
	config, err := (&clientcmd.ClientConfigLoadingRules{Precedence: files}).Load()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return config, nil
}

// copyCluster takes the certificates along: a path may mean nothing elsewhere.
func copyCluster(from *clientcmdapi.Cluster) (*Cluster, error) {
	c := &Cluster{
		Server:             from.Server,
		CA:                 from.CertificateAuthorityData,
		TLSServerName:      from.TLSServerName,
		ProxyURL:           from.ProxyURL,
		DisableCompression: from.DisableCompression,
	}
	if len(c.CA) == 0 && from.CertificateAuthority != "" {
		var err error
		if c.CA, err = os.ReadFile(from.CertificateAuthority); err != nil {
			return nil, fmt.Errorf("the cluster's CA: %w", err)
		}
	}
	if len(c.CA) == 0 {
		return c, nil
	}
	return c, checkCA(c.CA)
}

// checkServer demands HTTPS: over anything else a token is for everybody to take.
func checkServer(server string) error {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("API server %q, want a URL such as https://demo.example:6443", server)
	}
	return nil
}

// checkCA demands certificates, and nothing but these: a key would be a slip.
func checkCA(data []byte) error {
	rest, n := data, 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("the CA has a PEM block %q, want certificates only", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("the CA's certificate %d: %w", n+1, err)
		}
		n++
	}
	if n == 0 {
		return errors.New("the CA has no certificate in it, want PEM: -----BEGIN CERTIFICATE-----")
	}
	return nil
}
