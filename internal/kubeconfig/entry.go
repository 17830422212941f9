package kubeconfig

import (
	"encoding/base64"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/pkg/token"
)

// Cluster is how to reach an API server. See
// https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/#Cluster
type Cluster struct {
	Server             string // URL
	CA                 []byte // certificates in PEM; the default are those of the system
	TLSServerName      string // the default is the host in Server
	ProxyURL           string // the default is that of the environment
	DisableCompression bool
}

// Exec is the command that gets a token.
type Exec struct {
	ClusterID string
	Region    string // of STS; the default is that of the AWS configuration
	RoleARN   string // to assume; the default is none
	Profile   string // of the AWS configuration; the default is that of the environment
}

// entry is an entry of a kubeconfig as it shall be.
type entry struct {
	kind, name string
	// want is the content of the keys that are ours. Where it has no value, the kubeconfig
	// must have none; the keys in optional are left alone then. Other keys are the user's.
	want     any
	optional []string
}

// The parts of the kubeconfig's types that are ours.
type (
	clusterKeys struct {
		Server        string `yaml:"server,omitempty"`
		CAData        string `yaml:"certificate-authority-data,omitempty"`
		CAFile        string `yaml:"certificate-authority,omitempty"`
		Insecure      bool   `yaml:"insecure-skip-tls-verify,omitempty"`
		TLSServerName string `yaml:"tls-server-name,omitempty"`
		ProxyURL      string `yaml:"proxy-url,omitempty"`
		Uncompressed  bool   `yaml:"disable-compression,omitempty"`
	}
	contextKeys struct {
		Cluster string `yaml:"cluster,omitempty"`
		User    string `yaml:"user,omitempty"`
	}
	// userKeys are all that authenticate: kubectl would prefer some of the others.
	userKeys struct {
		Exec         *execKeys `yaml:"exec,omitempty"`
		Token        string    `yaml:"token,omitempty"`
		TokenFile    string    `yaml:"tokenFile,omitempty"`
		Certificate  string    `yaml:"client-certificate,omitempty"`
		CertData     string    `yaml:"client-certificate-data,omitempty"`
		Key          string    `yaml:"client-key,omitempty"`
		KeyData      string    `yaml:"client-key-data,omitempty"`
		Username     string    `yaml:"username,omitempty"`
		Password     string    `yaml:"password,omitempty"`
		AuthProvider any       `yaml:"auth-provider,omitempty"`
	}
	execKeys struct {
		APIVersion         string   `yaml:"apiVersion,omitempty"`
		Command            string   `yaml:"command,omitempty"`
		Args               []string `yaml:"args,omitempty"`
		Env                []envVar `yaml:"env,omitempty"`
		InteractiveMode    string   `yaml:"interactiveMode,omitempty"`
		ProvideClusterInfo bool     `yaml:"provideClusterInfo,omitempty"`
	}
	envVar struct {
		Name  string `yaml:"name"`
		Value string `yaml:"value"`
	}
)

func clusterEntry(l Login) entry {
	c := l.Cluster
	return entry{"cluster", l.ClusterName, clusterKeys{
		Server:        c.Server,
		CAData:        base64.StdEncoding.EncodeToString(c.CA),
		TLSServerName: c.TLSServerName,
		ProxyURL:      c.ProxyURL,
		Uncompressed:  c.DisableCompression,
	}, []string{"tls-server-name", "proxy-url", "disable-compression"}}
}

func contextEntry(l Login) entry {
	return entry{"context", l.ContextName, contextKeys{Cluster: l.ClusterName, User: l.UserName}, nil}
}

func userEntry(l Login) entry {
	e := execKeys{
		APIVersion:         token.ExecV1,
		Command:            "authenticator",
		Args:               []string{"token", "-i", l.Exec.ClusterID},
		InteractiveMode:    "IfAvailable",
		ProvideClusterInfo: true, // the server's name tells the token's region
	}
	if l.Exec.Region != "" {
		e.Args = append(e.Args, "--region", l.Exec.Region)
	}
	if l.Exec.RoleARN != "" {
		e.Args = append(e.Args, "--role", l.Exec.RoleARN)
	}
	if l.Exec.Profile != "" {
		e.Env = []envVar{{"AWS_PROFILE", l.Exec.Profile}}
	}
	return entry{"user", l.UserName, userKeys{Exec: &e}, nil}
}

// differences returns the keys in which what a kubeconfig has isn't what it shall have.
func (e entry) differences(have *yaml.Node) ([]string, error) {
	typed := reflect.New(reflect.TypeOf(e.want))
	if err := have.Decode(typed.Interface()); err != nil {
		return nil, err
	}
	haveValues, err := values(typed.Elem().Interface())
	if err != nil {
		return nil, err
	}
	wantValues, err := values(e.want)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, key := range e.keys() {
		if wantValues[key] == nil && slices.Contains(e.optional, key) {
			continue
		}
		if !reflect.DeepEqual(haveValues[key], wantValues[key]) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// keys returns the keys that are ours.
func (e entry) keys() []string {
	var keys []string
	for f := range reflect.TypeOf(e.want).Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		keys = append(keys, key)
	}
	return keys
}

// values returns what has a value, by key.
func values(keys any) (map[string]any, error) {
	data, err := yaml.Marshal(keys)
	if err != nil {
		return nil, err
	}
	var v map[string]any
	return v, yaml.Unmarshal(data, &v)
}
