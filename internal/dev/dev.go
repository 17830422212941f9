// Package dev makes everything that a login needs on one machine without AWS: an
// STS emulator that knows a few people, their AWS profiles, and a configuration
// that maps them. It is for trying things out.
package dev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/iam-authenticator/authenticator/internal/awstest"
)

// ClusterID is the ID of the cluster that the example configuration is for.
const ClusterID = "dev"

const (
	account = "arn:aws:iam::111122223333:"
	region  = "us-east-1"
)

// Environment is a directory of files and an STS emulator.
type Environment struct {
	Dir        string // absolute
	ConfigFile string // mappings, for the server's --config
	EnvFile    string // shell variables, for the client
	STSAddress string
	STSCAFile  string
	StateDir   string // for the server's certificates
	Kubeconfig string // where the webhook kubeconfig belongs

	sts     *awstest.Server
	ownsDir bool
}

// New makes an environment in dir, or in a new temporary directory if dir is empty,
// which Close removes.
func New(dir string) (*Environment, error) {
	e := &Environment{}
	var err error
	if dir == "" {
		if dir, err = os.MkdirTemp("", "authenticator-dev-"); err != nil {
			return nil, err
		}
		e.ownsDir = true
	}
	if e.Dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	e.ConfigFile = filepath.Join(e.Dir, "authenticator.yaml")
	e.EnvFile = filepath.Join(e.Dir, "env")
	e.STSCAFile = filepath.Join(e.Dir, "sts-ca.pem")
	e.StateDir = filepath.Join(e.Dir, "state")
	e.Kubeconfig = filepath.Join(e.Dir, "webhook.kubeconfig")
	if err := e.fill(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// Close stops the emulator and removes the directory if New made it.
func (e *Environment) Close() error {
	var errs []error
	if e.sts != nil {
		errs = append(errs, e.sts.Close())
	}
	if e.ownsDir {
		errs = append(errs, os.RemoveAll(e.Dir))
	}
	return errors.Join(errs...)
}

// fill starts the emulator and writes the files.
func (e *Environment) fill() error {
	sts := awstest.New(awstest.Options{})
	alice, err := sts.AddUser(account + "user/alice")
	if err != nil {
		return err
	}
	bob, err := sts.AddUser(account + "user/bob")
	if err != nil {
		return err
	}
	for role, who := range map[string][]string{
		"team/developers": {alice.ARN},
		"admins":          {bob.ARN},
		"auditors":        {alice.ARN, bob.ARN},
	} {
		if err := sts.AddRole(account+"role/"+role, awstest.Role{TrustedPrincipals: who}); err != nil {
			return err
		}
	}
	if e.sts, err = awstest.NewServer(sts, "127.0.0.1:0"); err != nil {
		return err
	}
	e.STSAddress = e.sts.Addr()

	if err := os.MkdirAll(e.Dir, 0o700); err != nil {
		return err
	}
	for _, file := range []struct{ path, text string }{
		{e.STSCAFile, string(e.sts.CAPEM())},
		{filepath.Join(e.Dir, "aws-config"), awsConfig},
		{filepath.Join(e.Dir, "aws-credentials"), awsCredentials},
		{e.EnvFile, envFile},
		{e.ConfigFile, configFile},
	} {
		var b strings.Builder
		t, err := template.New(file.path).Funcs(template.FuncMap{"shell": ShellQuote}).Parse(file.text)
		if err == nil {
			err = t.Execute(&b, map[string]any{
				"Dir": e.Dir, "CA": e.STSCAFile, "URL": e.sts.URL(), "Region": region, "Account": account, "ClusterID": ClusterID,
				"Alice": alice, "Bob": bob,
			})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(file.path), err)
		}
		// The mappings are there to be edited: those of an earlier run stay.
		if _, err := os.Stat(file.path); err == nil && file.path == e.ConfigFile {
			continue
		}
		if err := os.WriteFile(file.path, []byte(b.String()), 0o600); err != nil {
			return err
		}
	}
	return nil
}

const configFile = `# Edit me: changes are in force at once.
clusterID: {{.ClusterID}}
server:
  mapRoles:
  - rolearn: {{.Account}}role/team/developers
    username: developer:{{"{{SessionName}}"}}
    groups: [developers]
  - rolearn: {{.Account}}role/admins
    username: admin:{{"{{SessionName}}"}}
    groups: ["system:masters"]
  mapUsers:
  - userarn: {{.Account}}user/alice
    username: alice
    groups: [people]
`

const awsConfig = `[profile alice]
region = {{.Region}}

[profile bob]
region = {{.Region}}

[profile developer]
region = {{.Region}}
endpoint_url = {{.URL}}
role_arn = {{.Account}}role/team/developers
role_session_name = alice
source_profile = alice

[profile admin]
region = {{.Region}}
endpoint_url = {{.URL}}
role_arn = {{.Account}}role/admins
role_session_name = bob
source_profile = bob

[profile stranger]
region = {{.Region}}
endpoint_url = {{.URL}}
role_arn = {{.Account}}role/auditors
source_profile = alice
`

const awsCredentials = `[alice]
aws_access_key_id = {{.Alice.AccessKeyID}}
aws_secret_access_key = {{.Alice.SecretAccessKey}}

[bob]
aws_access_key_id = {{.Bob.AccessKeyID}}
aws_secret_access_key = {{.Bob.SecretAccessKey}}
`

const envFile = `unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION AWS_DEFAULT_REGION AWS_ENDPOINT_URL
unset AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE DEFAULT_ROLE KUBERNETES_EXEC_INFO
export AWS_CONFIG_FILE={{shell .Dir}}/aws-config
export AWS_SHARED_CREDENTIALS_FILE={{shell .Dir}}/aws-credentials
export AWS_CA_BUNDLE={{shell .CA}}
export AWS_ENDPOINT_URL_STS={{shell .URL}}
export AWS_EC2_METADATA_DISABLED=true
export AWS_PROFILE=developer
export KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID={{.ClusterID}}
`

// ShellQuote quotes s for a POSIX shell.
func ShellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
