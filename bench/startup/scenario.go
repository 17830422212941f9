package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

// scenario is one way to run a program.
type scenario struct {
	name    string
	command []string
	env     []string // all there is
	output  string   // what the output starts with
}

// The first scenarios are these.
const (
	floor = iota
	start
	plain
)

const region = "us-east-1"

// newScenarios prepares the scenarios in dir. An STS emulator runs for them until close is called.
func newScenarios(dir string, p programs) (_ []scenario, closeSTS func() error, err error) {
	sts := awstest.New(awstest.Options{})
	alice, err := sts.AddUser("arn:aws:iam::111122223333:user/alice")
	if err != nil {
		return nil, nil, err
	}
	const role = "arn:aws:iam::111122223333:role/developers"
	if err := sts.AddRole(role, awstest.Role{TrustedPrincipals: []string{alice.ARN}}); err != nil {
		return nil, nil, err
	}
	bundle, err := systemBundle()
	if err != nil {
		return nil, nil, err
	}
	stsCA := filepath.Join(dir, "sts-ca.pem")
	config := filepath.Join(dir, "aws-config")
	credentials := filepath.Join(dir, "aws-credentials")
	keys := []string{"AWS_ACCESS_KEY_ID=" + alice.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + alice.SecretAccessKey, "AWS_REGION=" + region}

	server, err := awstest.NewServer(sts, "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(
		os.WriteFile(stsCA, server.CAPEM(), 0o600),
		os.WriteFile(config, []byte("[profile alice]\nregion = "+region+"\n"), 0o600),
		os.WriteFile(credentials, fmt.Appendf(nil, "[alice]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
			alice.AccessKeyID, alice.SecretAccessKey), 0o600),
	); err != nil {
		return nil, nil, errors.Join(err, server.Close())
	}

	tokenCommand := func(name string, env []string, flags ...string) scenario {
		return scenario{name, append([]string{p.authenticator, "token", "-i", "bench", "--token-only"}, flags...), env, token.Prefix}
	}
	emulator := slices.Concat(keys, []string{"AWS_CA_BUNDLE=" + stsCA, "AWS_ENDPOINT_URL_STS=" + server.URL()})
	scenarios := []scenario{
		floor: {"hello world", []string{p.hello}, nil, "hello"},
		start: {"`authenticator version`", []string{p.authenticator, "version"}, nil, "authenticator "},
		plain: tokenCommand("`token`, keys in the environment", keys),
		tokenCommand("`token`, keys in a profile", []string{
			"AWS_PROFILE=alice", "AWS_CONFIG_FILE=" + config, "AWS_SHARED_CREDENTIALS_FILE=" + credentials,
		}),
		tokenCommand("`token`, `AWS_CA_BUNDLE` is the system's", slices.Concat(keys, []string{"AWS_CA_BUNDLE=" + bundle})),
		tokenCommand("`token --role`, STS on this machine", emulator, "--role", role),
		tokenCommand("`token --role --cache`, cached", emulator, "--role", role, "--cache"),
	}
	for i := range scenarios {
		scenarios[i].env = slices.Concat(scenarios[i].env, []string{"HOME=" + dir})
	}
	return scenarios, server.Close, nil
}

// systemBundle returns the file with the certificates that this system trusts.
func systemBundle() (string, error) {
	files := []string{
		"/etc/ssl/certs/ca-certificates.crt", // Debian
		"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora
		"/etc/ssl/cert.pem",                  // Alpine, macOS
	}
	for _, file := range files {
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("found none of %v: install ca-certificates", files)
}
