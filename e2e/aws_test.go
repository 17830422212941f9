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
//	user/bob             may assume role/admins, role/auditors, role/nodes, role/fargate
//	                     and role/hybrid
//	user/server          is for the server, where it has to ask EC2 and IAM
//	role/team/developers
//	role/admins
//	role/auditors
//	role/nodes           has an instance profile, as has role/bastions
//	role/bastions
//	role/fargate
//	role/hybrid
//
// STS listens at $STS_ADDRESS with a certificate that $STS_CA vouches for; EC2 and IAM are there too. The
// access keys of the users are the profiles alice, bob and server in $AWS_SHARED_CREDENTIALS_FILE. A story may add profiles, for example to
// assume roles, in aws/config.
func setupAWS(env *testscript.Env) error {
	const account = "arn:aws:iam::111122223333:"
	sts := awstest.New(awstest.Options{})

	story := &awsRef{
		sts: sts, ec2: awstest.NewEC2(sts), iam: awstest.NewIAM(sts),
		keys: make(map[string]string), credentials: filepath.Join(env.WorkDir, "aws", "credentials"),
	}
	env.Values[awsKey{}] = story

	var credentials strings.Builder
	for _, name := range []string{"alice", "bob", "server"} {
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
		sts.AddRole(account+"role/nodes", awstest.Role{TrustedPrincipals: []string{bob}}),
		sts.AddRole(account+"role/fargate", awstest.Role{TrustedPrincipals: []string{bob}}),
		sts.AddRole(account+"role/hybrid", awstest.Role{TrustedPrincipals: []string{bob}}),
		sts.AddRole(account+"role/bastions", awstest.Role{}),
		story.iam.SetInstanceProfile(account+"instance-profile/nodes", account+"role/nodes"),
		story.iam.SetInstanceProfile(account+"instance-profile/bastions", account+"role/bastions"),
	); err != nil {
		return err
	}

	var servers []*awstest.Server
	var bundle []byte
	for _, service := range []awstest.Service{sts, story.ec2, story.iam} {
		server, err := awstest.NewServer(service, "127.0.0.1:0")
		if err != nil {
			return err
		}
		env.Defer(func() { server.Close() })
		servers, bundle = append(servers, server), append(bundle, server.CAPEM()...)
	}
	server, ec2, iam := servers[0], servers[1], servers[2]

	dir := filepath.Dir(story.credentials)
	ca, cas := filepath.Join(dir, "sts-ca.pem"), filepath.Join(dir, "ca.pem")
	if err := errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(ca, server.CAPEM(), 0o644),
		os.WriteFile(cas, bundle, 0o644),
		os.WriteFile(story.credentials, []byte(credentials.String()), 0o600),
	); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"STS_ADDRESS":                 server.Addr(),
		"STS_CA":                      ca,
		"AWS_ENDPOINT_URL_STS":        server.URL(), // AssumeRole; what `token` signs is for the real STS
		"AWS_ENDPOINT_URL_EC2":        ec2.URL(),
		"AWS_ENDPOINT_URL_IAM":        iam.URL(),
		"AWS_CA_BUNDLE":               cas,
		"AWS_SHARED_CREDENTIALS_FILE": story.credentials,
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
	sts         *awstest.STS
	ec2         *awstest.EC2
	iam         *awstest.IAM
	keys        map[string]string // access key IDs, by user
	credentials string            // the file of the access keys
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
