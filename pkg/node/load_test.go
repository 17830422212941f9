package node

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// environment has services on loopback, and the environment variables that lead there as
// the role is to be assumed.
func environment(t *testing.T) *bed {
	t.Helper()
	b := &bed{sts: awstest.New(awstest.Options{})}
	b.ec2, b.iam = awstest.NewEC2(b.sts), awstest.NewIAM(b.sts)
	user, err := b.sts.AddUser(arns + "user/server")
	check(t, err)
	check(t, b.sts.AddRole(self, awstest.Role{TrustedPrincipals: []string{user.ARN}}))
	check(t, b.sts.AddRole(arns+"role/team/nodes", awstest.Role{}))
	check(t, b.iam.SetInstanceProfile(arns+"instance-profile/p/nodes", arns+"role/team/nodes"))
	var bundle []byte
	for name, service := range map[string]awstest.Service{"STS": b.sts, "EC2": remote{b.ec2}, "IAM": remote{b.iam}} {
		server, err := awstest.NewServer(service, "127.0.0.1:0")
		check(t, err)
		t.Cleanup(func() { check(t, server.Close()) })
		t.Setenv("AWS_ENDPOINT_URL_"+name, server.URL())
		bundle = append(bundle, server.CAPEM()...)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	check(t, os.WriteFile(file, bundle, 0o600))
	for name, value := range map[string]string{
		"AWS_CA_BUNDLE": file, "AWS_REGION": region, "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "5",
		"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_PROFILE": "",
		"AWS_ACCESS_KEY_ID": user.AccessKeyID, "AWS_SECRET_ACCESS_KEY": user.SecretAccessKey, "AWS_SESSION_TOKEN": "",
	} {
		t.Setenv(name, value)
	}
	return b
}

func TestEC2IsAskedAsTheEnvironmentSays(t *testing.T) {
	b := environment(t)
	b.launch(0, 1)
	const source = "arn:aws:eks:eu-west-1:111122223333:cluster/demo"
	for name, o := range map[string]LoadOptions{
		"as itself":       {},
		"with a role":     {RoleARN: self},
		"on whose behalf": {RoleARN: self, SourceARN: source},
	} {
		b.sts.Forget()
		b.ec2.Forget()
		if got, err := New(Options{Load: Loader(o), UserAgent: "authenticator/v1"}).PrivateDNSName(t.Context(), nodeSession(t, 0), true); err != nil || got != dnsName(0) {
			t.Errorf("%s: %q, %v", name, got, err)
			continue
		}
		if agent := b.ec2.Requests()[0].Header.Get("User-Agent"); agent != "authenticator/v1" {
			t.Errorf("%s: user agent %q", name, agent)
		}
		if n := b.sts.Calls("AssumeRole"); (n > 0) != (o.RoleARN != "") {
			t.Errorf("%s: %d calls to assume a role", name, n)
		}
		for _, r := range b.sts.Requests() {
			account := map[bool]string{true: "111122223333"}[o.SourceARN != ""]
			if h := r.Header; h.Get("X-Amz-Source-Arn") != o.SourceARN || h.Get("X-Amz-Source-Account") != account ||
				o.SourceARN != "" && !strings.Contains(h.Get("Authorization"), "x-amz-source-account;x-amz-source-arn") {
				t.Errorf("%s: headers %v", name, h)
			}
		}
	}
}

func TestNobodyElsesAnswerCounts(t *testing.T) {
	b := environment(t)
	b.launch(0, 1)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<DescribeInstancesResponse><reservationSet><item><ownerId>%s</ownerId><instancesSet><item>
			<instanceId>%s</instanceId><privateDnsName>%s</privateDnsName></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`,
			account, instanceID(0), dnsName(7))
	}))
	defer elsewhere.Close()
	b.ec2.SetFault(awstest.Fault{Kind: awstest.FaultRedirect, Status: http.StatusTemporaryRedirect, Location: elsewhere.URL})
	name, err := New(Options{Load: Loader(LoadOptions{})}).PrivateDNSName(t.Context(), nodeSession(t, 0), false)
	if name != "" || reason.Of(err) != reason.EC2Unavailable || !strings.Contains(err.Error(), "redirects to") {
		t.Errorf("got %q, %v", name, err)
	}
}

func TestNoAttemptIsHiddenFromTheRate(t *testing.T) {
	b := environment(t)
	b.launch(0, 1)
	b.ec2.SetFault(awstest.Fault{Kind: awstest.FaultInternal})
	if _, err := New(Options{Load: Loader(LoadOptions{})}).PrivateDNSName(t.Context(), nodeSession(t, 0), true); reason.Of(err) != reason.EC2Unavailable {
		t.Errorf("%v", err)
	}
	if n := b.ec2.Calls(""); n != 1 {
		t.Errorf("%d attempts at one call", n)
	}
}

func TestARoleThatMayNotBeAssumedIsNoDenial(t *testing.T) {
	b := environment(t)
	b.launch(0, 1)
	_, err := New(Options{Load: Loader(LoadOptions{RoleARN: arns + "role/other"})}).PrivateDNSName(t.Context(), nodeSession(t, 0), true)
	if reason.Of(err) != reason.EC2AccessDenied || !strings.Contains(err.Error(), "sts:AssumeRole") {
		t.Errorf("%v", err)
	}
}

func TestNoRegionIsSaid(t *testing.T) {
	environment(t)
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	_, err := New(Options{Load: Loader(LoadOptions{})}).PrivateDNSName(t.Context(), nodeSession(t, 0), true)
	if reason.Of(err) != reason.EC2Unavailable || !strings.Contains(err.Error(), "set AWS_REGION") {
		t.Errorf("%v", err)
	}
}
