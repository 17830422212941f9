package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/iam"
)

const (
	account = "111122223333"
	arns    = "arn:aws:iam::" + account + ":"
	region  = "eu-west-1"
	self    = arns + "role/authenticator"
)

// bed is an EC2 and an IAM for a bubble of synctest, in which time is virtual.
type bed struct {
	sts *awstest.STS
	ec2 *awstest.EC2
	iam *awstest.IAM

	config aws.Config
}

func newBed(t testing.TB) *bed {
	t.Helper()
	b := &bed{sts: awstest.New(awstest.Options{})}
	b.ec2, b.iam = awstest.NewEC2(b.sts), awstest.NewIAM(b.sts)
	for _, role := range []string{self, arns + "role/team/nodes", arns + "role/others"} {
		check(t, b.sts.AddRole(role, awstest.Role{}))
	}
	check(t, b.iam.SetInstanceProfile(arns+"instance-profile/p/nodes", arns+"role/team/nodes"))
	check(t, b.iam.SetInstanceProfile(arns+"instance-profile/others", arns+"role/others"))
	check(t, b.iam.SetInstanceProfile(arns+"instance-profile/empty", ""))

	var err error
	pool := x509.NewCertPool()
	servers := map[string]*awstest.Server{}
	for name, service := range map[string]awstest.Service{"ec2": b.ec2, "iam": b.iam} {
		servers[name], err = awstest.NewMemoryServer(remote{service})
		check(t, err)
		pool.AppendCertsFromPEM(servers[name].CAPEM())
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			name, _, _ := strings.Cut(address, ".")
			return servers[name].Dial(ctx)
		},
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		for _, s := range servers {
			check(t, s.Close())
		}
	})
	b.config = aws.Config{Region: region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			credentials, err := b.sts.Session(self, "server")
			return credentials.AWS(), err
		}),
		HTTPClient: &http.Client{Transport: transport}}
	return b
}

// remote is a service that takes a moment to answer. The SDK closes the body of its request
// once there is an answer, which must not be before the body was read to its end.
type remote struct{ awstest.Service }

func (r remote) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	time.Sleep(time.Millisecond)
	r.Service.ServeHTTP(w, request)
}

func (b *bed) resolver() *Resolver {
	return New(Options{Load: func(context.Context) (aws.Config, error) { return b.config, nil }})
}

// instanceID returns the ID of the n-th instance, and dnsName what it is called.
func instanceID(n int) string { return fmt.Sprintf("i-%017x", n) }
func dnsName(n int) string {
	return fmt.Sprintf("ip-10-0-%d-%d.%s.compute.internal", n/256, n%256, region)
}

// launch launches the instances from and before to, as nodes.
func (b *bed) launch(from, to int) {
	for n := from; n < to; n++ {
		b.ec2.SetInstance(node(n))
	}
}

func node(n int) awstest.Instance {
	return awstest.Instance{ID: instanceID(n), Account: account, Region: region, PrivateDNSName: dnsName(n), ProfileARN: arns + "instance-profile/p/nodes"}
}

// session returns a session of the role of the account.
func session(t testing.TB, account, role, name string) iam.Identity {
	t.Helper()
	id, err := iam.NewIdentity("arn:aws:sts::"+account+":assumed-role/"+role+"/"+name, account, "AROAEXAMPLE:"+name, "ASIAEXAMPLE")
	check(t, err)
	return id
}

// nodeSession is that of the n-th instance, if it is one of nodes.
func nodeSession(t testing.TB, n int) iam.Identity {
	t.Helper()
	return session(t, account, "nodes", instanceID(n))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
