package awstest

import (
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

func newIAM(t testing.TB, region string) (*IAM, *iam.Client) {
	t.Helper()
	sts := New(Options{})
	if err := sts.AddRole(nodeRole, Role{TrustedPrincipals: []string{"111122223333"}}); err != nil {
		t.Fatal(err)
	}
	i := NewIAM(sts)
	srv := must(NewServer(i, "127.0.0.1:0"))
	t.Cleanup(func() { srv.Close() })
	return i, iam.New(iam.Options{
		Region: region, Credentials: must(sts.Session(nodeRole, "server")), HTTPClient: srv.Client(), Retryer: aws.NopRetryer{},
	})
}

func getProfile(t testing.TB, c *iam.Client, name string) (*iam.GetInstanceProfileOutput, error) {
	t.Helper()
	return c.GetInstanceProfile(t.Context(), &iam.GetInstanceProfileInput{InstanceProfileName: &name})
}

// IAM is global: whatever the client's region, requests are signed for us-east-1 and go to
// one host.
func TestSDKGetInstanceProfile(t *testing.T) {
	i, client := newIAM(t, "eu-west-1")
	const profile = "arn:aws:iam::111122223333:instance-profile/team/Nodes"
	if err := i.SetInstanceProfile(profile, nodeRole); err != nil {
		t.Fatal(err)
	}
	p := must(getProfile(t, client, "nodes")).InstanceProfile
	if *p.Arn != profile || *p.InstanceProfileName != "Nodes" || *p.Path != "/team/" || len(p.Roles) != 1 {
		t.Fatalf("got %s %s %s with %d roles", *p.Arn, *p.InstanceProfileName, *p.Path, len(p.Roles))
	}
	r := p.Roles[0]
	if *r.Arn != nodeRole || *r.RoleName != "nodes" || *r.Path != "/path/" || *r.RoleId != i.identities.PrincipalID(nodeRole) {
		t.Errorf("role %s %s %s %s", *r.Arn, *r.RoleName, *r.Path, *r.RoleId)
	}
	if policy := must(url.PathUnescape(*r.AssumeRolePolicyDocument)); policy != `{"Statement":[`+
		`{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"},`+
		`{"Effect":"Allow","Principal":{"AWS":["111122223333"]},"Action":"sts:AssumeRole"}],"Version":"2012-10-17"}` {
		t.Errorf("trust policy %s", policy)
	}
	if got := i.Requests()[0]; got.Host != "iam.amazonaws.com" || got.Action != "GetInstanceProfile" {
		t.Errorf("request %s to %s", got.Action, got.Host)
	}

	if err := i.SetInstanceProfile(profile, ""); err != nil {
		t.Fatal(err)
	}
	if p := must(getProfile(t, client, "Nodes")).InstanceProfile; len(p.Roles) != 0 {
		t.Errorf("%d roles after the role was taken away", len(p.Roles))
	}
	if i.SetInstanceProfile("arn:aws:iam::111122223333:role/x", "") == nil || i.SetInstanceProfile(profile, nodeRole+"s") == nil {
		t.Error("not a profile's ARN, or an unknown role, is taken")
	}
}

func TestIAMErrors(t *testing.T) {
	i, client := newIAM(t, "us-east-1")
	if err := i.SetInstanceProfile("arn:aws:iam::999999999999:instance-profile/other", ""); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		profile string
		fault   FaultKind
		status  int
		code    string
		message string
	}{
		"unknown":         {"nodes", FaultNone, 404, "NoSuchEntity", "Instance Profile nodes cannot be found."},
		"another account": {"other", FaultNone, 404, "NoSuchEntity", "Instance Profile other cannot be found."},
		"not a name":      {"a/b", FaultNone, 400, "ValidationError", ""},
		"throttled":       {"nodes", FaultThrottle, 400, "Throttling", "Rate exceeded"},
		"internal":        {"nodes", FaultInternal, 500, "ServiceFailure", ""},
		"denied": {"nodes", FaultDenied, 403, "AccessDenied", "User: arn:aws:sts::111122223333:assumed-role/nodes/server is not authorized to perform: " +
			"iam:GetInstanceProfile on resource: instance profile nodes because no identity-based policy allows the iam:GetInstanceProfile action"},
	} {
		i.SetFault(Fault{Kind: c.fault, Times: 1})
		_, err := getProfile(t, client, c.profile)
		if code, status, message := errorCode(err); code != c.code || status != c.status || c.message != "" && message != c.message {
			t.Errorf("%s: got %d %s: %s", name, status, code, message)
		}
	}
}

func TestIAMIsSignedForItsOneRegion(t *testing.T) {
	_, client := newIAM(t, "eu-west-1")
	for region, want := range map[string]string{
		"eu-west-1":     "NoSuchEntity",
		"us-gov-west-1": "InvalidClientTokenId", // which knows this host, but not this key
		"cn-north-1":    "InvalidClientTokenId",
	} {
		o := client.Options()
		o.Region = region
		_, err := getProfile(t, iam.New(o), "nodes")
		if code, _, _ := errorCode(err); code != want {
			t.Errorf("%s: %v, want %s", region, err, want)
		}
	}
	o := client.Options()
	o.BaseEndpoint = aws.String("https://iam.amazonaws.com") // which makes the SDK sign for its own region
	_, err := getProfile(t, iam.New(o), "nodes")
	if code, _, _ := errorCode(err); code != "SignatureDoesNotMatch" {
		t.Errorf("signed for eu-west-1: %v", err)
	}
}
