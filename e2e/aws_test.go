package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/rogpeppe/go-internal/testscript"
)

// setupAWS gives a story an AWS of its own: account 111122223333 with
//
//	user/alice           may assume role/team/developers and role/auditors
//	user/bob             may assume role/admins and role/auditors
//	role/team/developers
//	role/admins
//	role/auditors
//
// STS listens at $STS_ADDRESS with a certificate that $STS_CA vouches for. The access keys of the users
// are the profiles alice and bob in $AWS_SHARED_CREDENTIALS_FILE. A story may add profiles, for example to
// assume roles, in aws/config.
func setupAWS(env *testscript.Env) error {
	const account = "arn:aws:iam::111122223333:"
	sts := awstest.New(awstest.Options{})

	story := &awsRef{sts: sts, keys: make(map[string]string)}
	env.Values[awsKey{}] = story

	var credentials strings.Builder
	for _, name := range []string{"alice", "bob"} {
		user, err := sts.AddUser(account + "user/" + name)
		if err != nil {
			return err
		}
		story.keys[name] = user.AccessKeyID
		fmt.Fprintf(&credentials, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
			name, user.AccessKeyID, user.SecretAccessKey)
	}
	alice, bob := account+"user/alice", account+"user/bob"
	if err := errors.Join(
		sts.AddRole(account+"role/team/developers", awstest.Role{TrustedPrincipals: []string{alice}}),
		sts.AddRole(account+"role/admins", awstest.Role{TrustedPrincipals: []string{bob}}),
		sts.AddRole(account+"role/auditors", awstest.Role{TrustedPrincipals: []string{alice, bob}}),
	); err != nil {
		return err
	}

	server, err := awstest.NewServer(sts, "127.0.0.1:0")
	if err != nil {
		return err
	}
	env.Defer(func() { server.Close() })

	dir := filepath.Join(env.WorkDir, "aws")
	ca := filepath.Join(dir, "sts-ca.pem")
	keys := filepath.Join(dir, "credentials")
	if err := errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(ca, server.CAPEM(), 0o644),
		os.WriteFile(keys, []byte(credentials.String()), 0o600),
	); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"STS_ADDRESS":                 server.Addr(),
		"STS_CA":                      ca,
		"AWS_ENDPOINT_URL_STS":        server.URL(), // AssumeRole; what `token` signs is for the real STS
		"AWS_CA_BUNDLE":               ca,
		"AWS_SHARED_CREDENTIALS_FILE": keys,
		"AWS_CONFIG_FILE":             filepath.Join(dir, "config"),
		"AWS_REGION":                  "eu-central-1",
		"AWS_EC2_METADATA_DISABLED":   "true",
		"DEVELOPERS_ID":               sts.PrincipalID(account + "role/team/developers"),
	} {
		env.Setenv(name, value)
	}
	return nil
}

type awsKey struct{}

// awsRef is the AWS of a story.
type awsRef struct {
	sts  *awstest.STS
	keys map[string]string // access key IDs, by user
}

// stsTrouble makes trouble with STS, and ends it:
//
//	sts hang|throttle|up
//	sts deactivate|activate USER
func stsTrouble(ts *testscript.TestScript, neg bool, args []string) {
	aws := ts.Value(awsKey{}).(*awsRef)
	switch {
	case !neg && len(args) == 1 && args[0] == "hang":
		aws.sts.SetFault(awstest.Fault{Kind: awstest.FaultHang})
	case !neg && len(args) == 1 && args[0] == "throttle":
		aws.sts.SetFault(awstest.Fault{Kind: awstest.FaultThrottle})
	case !neg && len(args) == 1 && args[0] == "up":
		aws.sts.ClearFaults()
	case !neg && len(args) == 2 && (args[0] == "deactivate" || args[0] == "activate"):
		ts.Check(aws.sts.SetActive(aws.keys[args[1]], args[0] == "activate"))
	default:
		ts.Fatalf("usage: sts hang|throttle|up, or sts deactivate|activate USER")
	}
}
