package certs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"sigs.k8s.io/yaml"
)

// Kubeconfig is what kube-apiserver has to know of the server.
type Kubeconfig struct {
	// Hostname is a DNS name or an IP address that the serving certificate covers.
	Hostname string

	// Port is where the server serves /authenticate.
	Port int

	// CABundle is the PEM by which the API server verifies the server: Source.CABundle.
	CABundle []byte

	// ClientCertificate and ClientKey are paths, as the API server sees them, of the certificate that it presents to a
	// server that asks for one. Default: none.
	ClientCertificate, ClientKey string
}

// WriteKubeconfig writes the file for kube-apiserver's --authentication-token-webhook-config-file, and tells whether it
// had to: a file that says the same already is not touched. A new file has mode 0600; one that exists keeps its owner
// and mode, as people relax them for an API server that doesn't run as root.
func WriteKubeconfig(path string, k Kubeconfig) (changed bool, err error) {
	data, err := k.marshal()
	if err != nil {
		return false, fmt.Errorf("webhook kubeconfig: %w", err)
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, fmt.Errorf("webhook kubeconfig: %w", err)
	}
	if err := replaceKubeconfig(path, data); err != nil {
		return false, fmt.Errorf("webhook kubeconfig: %w", err)
	}
	return true, nil
}

// replaceKubeconfig replaces the file atomically if it can. It can't if the file is a mount of its own, as with
// `docker run -v FILE:FILE`: it can be written then, but nothing can be renamed to it (EBUSY, EXDEV), and its directory
// is often read-only (EROFS) or somebody else's. Such a file is written in place: an API server that starts in the same
// instant may see half of it, and fail to start once.
func replaceKubeconfig(path string, data []byte) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s is a directory, as Docker makes of a mounted file that doesn't exist: remove it", path)
	case err == nil:
		// A symbolic link stays one: what it points to is replaced.
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return err
		}
		err = replaceFile(target, data, 0o600, info)
		if !onlyInPlace(err) {
			return err
		}
		return writeInPlace(target, data)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if _, err := os.Lstat(path); err == nil { // a link to a file that is yet to be
		return writeInPlace(path, data)
	}
	return replaceFile(path, data, 0o600, nil)
}

func onlyInPlace(err error) bool {
	return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)
}

func writeInPlace(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Truncate(int64(len(data))); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

func (k Kubeconfig) marshal() ([]byte, error) {
	host := strings.TrimSuffix(strings.TrimPrefix(k.Hostname, "["), "]")
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return nil, fmt.Errorf("hostname %q: expected the name or address by which API servers reach the server", k.Hostname)
	}
	if k.Port < 1 || k.Port > 65535 {
		return nil, fmt.Errorf("port %d: expected 1 to 65535", k.Port)
	}
	if _, err := parseCertificates(k.CABundle); err != nil {
		return nil, fmt.Errorf("CA bundle: %w", err)
	}
	if (k.ClientCertificate == "") != (k.ClientKey == "") {
		return nil, fmt.Errorf("client certificate %q and client key %q: give both or neither", k.ClientCertificate, k.ClientKey)
	}
	server := url.URL{Scheme: "https", Host: net.JoinHostPort(host, strconv.Itoa(k.Port)), Path: "/authenticate"}

	var file kubeconfigFile
	file.APIVersion, file.Kind = "v1", "Config"
	file.CurrentContext = "webhook"
	file.Clusters = []namedCluster{{Name: "aws-iam-authenticator", Cluster: cluster{CA: k.CABundle, Server: server.String()}}}
	file.Users = []namedUser{{Name: "apiserver", User: user{ClientCertificate: k.ClientCertificate, ClientKey: k.ClientKey}}}
	file.Contexts = []namedContext{{Name: "webhook", Context: kubeContext{Cluster: "aws-iam-authenticator", User: "apiserver"}}}
	return yaml.Marshal(file)
}

// The part of the kubeconfig format that is needed here. The type of client-go would bring most of client-go.
type (
	kubeconfigFile struct {
		APIVersion     string         `json:"apiVersion"`
		Kind           string         `json:"kind"`
		Clusters       []namedCluster `json:"clusters"`
		Users          []namedUser    `json:"users"`
		Contexts       []namedContext `json:"contexts"`
		CurrentContext string         `json:"current-context"`
	}
	namedCluster struct {
		Name    string  `json:"name"`
		Cluster cluster `json:"cluster"`
	}
	cluster struct {
		CA     []byte `json:"certificate-authority-data"`
		Server string `json:"server"`
	}
	namedUser struct {
		Name string `json:"name"`
		User user   `json:"user"`
	}
	user struct {
		ClientCertificate string `json:"client-certificate,omitempty"`
		ClientKey         string `json:"client-key,omitempty"`
	}
	namedContext struct {
		Name    string      `json:"name"`
		Context kubeContext `json:"context"`
	}
	kubeContext struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	}
)
