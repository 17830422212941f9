package awstest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const nodeRole = "arn:aws:iam::111122223333:role/path/nodes"

// newEC2 serves an EC2, and returns a client of the SDK with a session in the account
// 111122223333, which calls its real host name in eu-west-1.
func newEC2(t testing.TB, serve func(Service) (*Server, error)) (*EC2, *ec2.Client) {
	t.Helper()
	sts := New(Options{})
	if err := sts.AddRole("arn:aws:iam::111122223333:role/authenticator", Role{}); err != nil {
		t.Fatal(err)
	}
	e := NewEC2(sts)
	srv := must(serve(e))
	client := ec2Client(srv, "eu-west-1", must(sts.Session("arn:aws:iam::111122223333:role/authenticator", "server")))
	t.Cleanup(func() {
		client.Options().HTTPClient.(interface{ CloseIdleConnections() }).CloseIdleConnections()
		srv.Close()
	})
	return e, client
}

func onLoopback(s Service) (*Server, error) { return NewServer(s, "127.0.0.1:0") }

func ec2Client(srv *Server, region string, c Credentials) *ec2.Client {
	return ec2.New(ec2.Options{Region: region, Credentials: c, HTTPClient: srv.Client(), Retryer: aws.NopRetryer{}})
}

func describe(t testing.TB, c *ec2.Client, ids ...string) (*ec2.DescribeInstancesOutput, error) {
	t.Helper()
	return c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: ids})
}

func TestSDKDescribeInstances(t *testing.T) {
	e, client := newEC2(t, onLoopback)
	const a, b, gone = "i-0123456789abcdef0", "i-0123abcd", "i-0123456789abcdef1"
	profile := "arn:aws:iam::111122223333:instance-profile/path/nodes"
	e.SetInstance(Instance{ID: a, Account: "111122223333", Region: "eu-west-1", PrivateDNSName: "ip-10-0-0-1.eu-west-1.compute.internal", ProfileARN: profile})
	e.SetInstance(Instance{ID: b, Account: "111122223333", Region: "eu-west-1", PrivateDNSName: "b.\x7f<&\u00e9", State: "pending"})
	e.SetInstance(Instance{ID: gone, Account: "111122223333", Region: "eu-west-1", PrivateDNSName: "ip-10-0-0-2", State: "terminated"})
	e.SetInstance(Instance{ID: "i-0aaaaaaa", Account: "999999999999", Region: "eu-west-1"})
	e.SetInstance(Instance{ID: "i-0bbbbbbb", Account: "111122223333", Region: "eu-west-2"})

	type seen struct{ owner, id, dns, profile, state string }
	look := func(out *ec2.DescribeInstancesOutput) (got []seen) {
		for _, r := range out.Reservations {
			for _, i := range r.Instances {
				s := seen{aws.ToString(r.OwnerId), aws.ToString(i.InstanceId), aws.ToString(i.PrivateDnsName), "", string(i.State.Name)}
				if i.IamInstanceProfile != nil {
					s.profile = aws.ToString(i.IamInstanceProfile.Arn)
				}
				got = append(got, s)
			}
		}
		return got
	}
	want := []seen{
		{"111122223333", a, "ip-10-0-0-1.eu-west-1.compute.internal", profile, "running"},
		{"111122223333", gone, "", "", "terminated"},
		{"111122223333", b, "b.\x7f<&\u00e9", "", "pending"},
	}
	for name, ids := range map[string][]string{"by ID": {b, a, gone, a}, "all": nil} {
		out, err := describe(t, client, ids...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := look(out); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	out := must(describe(t, client, a))
	if i := out.Reservations[0].Instances[0]; *i.State.Code != 16 || i.State.Name != types.InstanceStateNameRunning || !strings.HasPrefix(*i.IamInstanceProfile.Id, "AIPA") {
		t.Errorf("state %v, profile %v", i.State, i.IamInstanceProfile)
	}
	if got := e.Requests()[e.Calls("DescribeInstances")-1]; !slices.Equal(got.InstanceIDs(), []string{a}) || got.Host != "ec2.eu-west-1.amazonaws.com" {
		t.Errorf("the last request is %q of %s", got.InstanceIDs(), got.Host)
	}

	e.RemoveInstance(a)
	if _, err := describe(t, client, a); err == nil {
		t.Error("a forgotten instance is there")
	}
}

func TestDescribeInstancesAnswersAllOrNothing(t *testing.T) {
	e, client := newEC2(t, onLoopback)
	const id, x, y = "i-0123456789abcdef0", "i-0000000000000000a", "i-0000000b"
	e.SetInstance(Instance{ID: id, Account: "111122223333", Region: "eu-west-1"})
	e.SetInstance(Instance{ID: x, Account: "999999999999", Region: "eu-west-1"})
	for name, c := range map[string]struct {
		input         ec2.DescribeInstancesInput
		code, message string
	}{
		"one missing":   {ec2.DescribeInstancesInput{InstanceIds: []string{id, x}}, "InvalidInstanceID.NotFound", "The instance ID '" + x + "' does not exist"},
		"two missing":   {ec2.DescribeInstancesInput{InstanceIds: []string{y, id, x}}, "InvalidInstanceID.NotFound", "The instance IDs '" + x + ", " + y + "' do not exist"},
		"malformed":     {ec2.DescribeInstancesInput{InstanceIds: []string{x, "i-0123456789ABCDEF0", id}}, "InvalidInstanceID.Malformed", `Invalid id: "i-0123456789ABCDEF0"`},
		"two malformed": {ec2.DescribeInstancesInput{InstanceIds: []string{"i-1", "web"}}, "InvalidInstanceID.Malformed", `Invalid ids: "i-1, web"`},
		"page with IDs": {ec2.DescribeInstancesInput{InstanceIds: []string{id}, MaxResults: aws.Int32(5)}, "InvalidParameterCombination",
			"The parameter instancesSet cannot be used with the parameter maxResults"},
		"page too small": {ec2.DescribeInstancesInput{MaxResults: aws.Int32(4)}, "InvalidParameterValue",
			"Value ( 4 ) for parameter maxResults is invalid. Expecting a value between 5 and 1000."},
		"filter": {ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("instance-id"), Values: []string{id}}}}, "UnknownParameter", ""},
	} {
		_, err := client.DescribeInstances(t.Context(), &c.input)
		if code, status, message := errorCode(err); code != c.code || status != 400 || c.message != "" && message != c.message {
			t.Errorf("%s: got %d %s: %s", name, status, code, message)
		}
	}
}

func TestEC2Faults(t *testing.T) {
	e, client := newEC2(t, onLoopback)
	for name, c := range map[string]struct {
		fault   Fault
		status  int
		code    string
		message string
	}{
		"throttled":   {Fault{Kind: FaultThrottle}, 503, "RequestLimitExceeded", "Request limit exceeded."},
		"internal":    {Fault{Kind: FaultInternal}, 500, "InternalError", "An internal error has occurred"},
		"unavailable": {Fault{Kind: FaultUnavailable}, 503, "Unavailable", "The server is overloaded and can't handle the request."},
		"denied": {Fault{Kind: FaultDenied}, 403, "UnauthorizedOperation", "You are not authorized to perform this operation. " +
			"User: arn:aws:sts::111122223333:assumed-role/authenticator/server is not authorized to perform: ec2:DescribeInstances " +
			"because no identity-based policy allows the ec2:DescribeInstances action"},
	} {
		c.fault.Times, c.fault.Action = 1, "DescribeInstances"
		e.SetFault(c.fault)
		_, err := describe(t, client)
		if code, status, message := errorCode(err); code != c.code || status != c.status || message != c.message {
			t.Errorf("%s: got %d %s: %s", name, status, code, message)
		}
	}
	if _, err := describe(t, client); err != nil {
		t.Errorf("the faults are over: %v", err)
	}
	for _, kind := range []FaultKind{FaultTruncated, FaultReset} {
		e.ClearFaults()
		e.SetFault(Fault{Kind: kind})
		if _, err := describe(t, client); err == nil {
			t.Errorf("fault %d had no effect", kind)
		}
	}
}

// Tests of what waits for EC2 do so in virtual time.
func TestEC2InVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, client := newEC2(t, NewMemoryServer)
		e.SetFault(Fault{Latency: time.Minute})
		start := time.Now()
		if _, err := describe(t, client); err != nil || time.Since(start) < time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestEC2VerifiesSignatures(t *testing.T) {
	e, _ := newEC2(t, onLoopback)
	srv := must(onLoopback(e))
	defer srv.Close()
	good := must(e.identities.Session("arn:aws:iam::111122223333:role/authenticator", "server"))
	forged := good
	forged.SecretAccessKey = "wrong"
	unknown := forged
	unknown.AccessKeyID = "ASIAXXXXXXXXXXXXXXXX"
	for name, c := range map[string]struct {
		creds  Credentials
		change func(*ec2.Options)
		code   string
		status int
	}{
		"signed":       {creds: good},
		"wrong secret": {forged, nil, "AuthFailure", 401},
		"unknown key":  {unknown, nil, "AuthFailure", 401},
		"China":        {good, func(o *ec2.Options) { o.Region = "cn-north-1" }, "AuthFailure", 401},
		"by address":   {good, func(o *ec2.Options) { o.BaseEndpoint = aws.String(srv.URL()) }, "", 0},
		"another host": {good, func(o *ec2.Options) { o.BaseEndpoint = aws.String("https://ec2.eu-west-2.amazonaws.com") }, "AuthFailure", 401},
		"dual stack":   {good, func(o *ec2.Options) { o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled }, "", 0},
		"FIPS in Ohio": {good, func(o *ec2.Options) {
			o.Region = "us-east-2"
			o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
		}, "", 0},
		"not for a key": {Credentials{AccessKeyID: good.AccessKeyID, SecretAccessKey: good.SecretAccessKey}, nil, "AuthFailure", 401},
	} {
		o := ec2Client(srv, "eu-west-1", c.creds).Options()
		if c.change != nil {
			c.change(&o)
		}
		_, err := describe(t, ec2.New(o))
		if code, status, _ := errorCode(err); code != c.code || status != c.status || c.code == "" && err != nil {
			t.Errorf("%s: %v, want %d %s", name, err, c.status, c.code)
		}
	}

	// For STS, it is another service's signature.
	sts := must(onLoopback(e.identities))
	defer sts.Close()
	_, err := describe(t, ec2.New(ec2.Options{Region: "eu-west-1", Credentials: good, HTTPClient: sts.Client(), BaseEndpoint: aws.String(sts.URL())}))
	if code, _, _ := errorCode(err); code == "" {
		t.Errorf("STS answers for EC2: %v", err)
	}
	if _, err := awssts.New(awssts.Options{Region: "eu-west-1", Credentials: good, HTTPClient: srv.Client(), BaseEndpoint: aws.String(srv.URL())}).
		GetCallerIdentity(t.Context(), nil); err == nil {
		t.Error("EC2 answers for STS")
	}
}

// What a caller says of the resource it acts for is signed, and seen by tests.
func TestSourceHeadersOfAssumeRoleAreSeen(t *testing.T) {
	const cluster = "arn:aws:eks:eu-west-1:111122223333:cluster/demo"
	s, srv := newServer(t)
	user := must(s.AddUser(testUser))
	if err := s.AddRole(nodeRole, Role{TrustedPrincipals: []string{testUser}}); err != nil {
		t.Fatal(err)
	}
	if _, err := sdk(srv, "eu-west-1", user).AssumeRole(t.Context(), &awssts.AssumeRoleInput{
		RoleArn: aws.String(nodeRole), RoleSessionName: aws.String("server"),
	}, awssts.WithAPIOptions(smithyhttp.SetHeaderValue("X-Amz-Source-Arn", cluster), smithyhttp.SetHeaderValue("X-Amz-Source-Account", "111122223333"))); err != nil {
		t.Fatal(err)
	}
	r := s.Requests()[0]
	if r.Params.Get("RoleArn") != nodeRole || r.Header.Get("X-Amz-Source-Arn") != cluster || r.Header.Get("X-Amz-Source-Account") != "111122223333" {
		t.Errorf("parameters %v, headers %v", r.Params, r.HeaderNames())
	}
}

func BenchmarkEC2DescribeInstances(b *testing.B) {
	e, client := newEC2(b, NewMemoryServer)
	ids := make([]string, 100)
	for n := range ids {
		ids[n] = fmt.Sprintf("i-%017x", n)
		e.SetInstance(Instance{ID: ids[n], Account: "111122223333", Region: "eu-west-1"})
	}
	for b.Loop() {
		if _, err := describe(b, client, ids...); err != nil {
			b.Fatal(err)
		}
	}
}
