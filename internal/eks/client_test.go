package eks

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/iam-authenticator/authenticator/internal/awstest"
)

const (
	account = "111122223333"
	demoARN = "arn:aws:eks:eu-west-1:" + account + ":cluster/demo"
	admin   = "arn:aws:iam::" + account + ":role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin+x=y_0123456789abcdef"
)

// inProcess is an HTTP client that hands requests to a handler as a server would. It
// needs no network, so that it works in a bubble of virtual time.
type inProcess struct{ http.Handler }

func (h inProcess) Do(r *http.Request) (response *http.Response, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = errors.New("connection reset by peer")
		}
	}()
	received := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.RequestURI(), r.Body)
	received.Host, received.Header = r.URL.Host, r.Header.Clone()
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, received)
	return answer.Result(), r.Context().Err()
}

// bed is an EKS with the cluster demo, and the configuration of alice, who has a session
// in its account.
func bed(t *testing.T) (*awstest.EKS, aws.Config) {
	t.Helper()
	sts := awstest.New(awstest.Options{})
	role := "arn:aws:iam::" + account + ":role/developers"
	if err := sts.AddRole(role, awstest.Role{}); err != nil {
		t.Fatal(err)
	}
	alice, err := sts.Session(role, "alice")
	if err != nil {
		t.Fatal(err)
	}
	eks := awstest.NewEKS(sts)
	cluster := awstest.EKSCluster{ARN: demoARN, Endpoint: "https://ABC.gr7.eu-west-1.eks.amazonaws.com", CAPEM: []byte("PEM")}
	cluster.Entries = append(cluster.Entries, awstest.EKSAccessEntry{
		PrincipalARN: admin, Username: "admin:{{SessionName}}", Groups: []string{"admins"},
		Policies: []awstest.EKSAccessPolicy{
			{PolicyARN: "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"},
			{PolicyARN: "arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy", Namespaces: []string{"dev-*", "shop"}},
		},
	})
	for i := range 249 {
		cluster.Entries = append(cluster.Entries, awstest.EKSAccessEntry{PrincipalARN: fmt.Sprintf("arn:aws:iam::%s:role/r%d", account, i)})
	}
	eks.SetCluster(cluster)
	return eks, aws.Config{Region: "eu-west-1", Credentials: alice, HTTPClient: inProcess{eks}}
}

func newClient(t *testing.T, cfg aws.Config) *Client {
	t.Helper()
	c, err := New(cfg, "authenticator/test")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDescribeCluster(t *testing.T) {
	_, cfg := bed(t)
	got, err := newClient(t, cfg).DescribeCluster(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	want := Cluster{Name: "demo", ARN: demoARN, Status: "ACTIVE", Endpoint: "https://ABC.gr7.eu-west-1.eks.amazonaws.com"}
	want.CertificateAuthority.Data = "UEVN"
	want.AccessConfig.AuthenticationMode = "API_AND_CONFIG_MAP"
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestListAccessEntriesReadsAllPages(t *testing.T) {
	eks, cfg := bed(t)
	got, err := newClient(t, cfg).ListAccessEntries(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 250 || got[0] != admin || len(slices.Compact(slices.Sorted(slices.Values(got)))) != 250 {
		t.Errorf("got %d ARNs, want 250 different ones, %s first", len(got), admin)
	}
	if calls := eks.Calls("ListAccessEntries"); calls != 3 {
		t.Errorf("%d calls, want 3 pages", calls)
	}
}

func TestDescribeAccessEntryEscapesTheARN(t *testing.T) {
	_, cfg := bed(t)
	got, err := newClient(t, cfg).DescribeAccessEntry(t.Context(), "demo", admin)
	if err != nil {
		t.Fatal(err)
	}
	want := AccessEntry{PrincipalARN: admin, Type: "STANDARD", Username: "admin:{{SessionName}}", Groups: []string{"admins"}, Tags: map[string]string{}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestListAssociatedAccessPolicies(t *testing.T) {
	_, cfg := bed(t)
	got, err := newClient(t, cfg).ListAssociatedAccessPolicies(t.Context(), "demo", admin)
	if err != nil {
		t.Fatal(err)
	}
	want := []AssociatedPolicy{
		{"arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", AccessScope{"cluster", []string{}}},
		{"arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy", AccessScope{"namespace", []string{"dev-*", "shop"}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A refusal says what to do, and carries EKS's code.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*awstest.EKS, *aws.Config)
		name   string
		code   string
		want   string
	}{
		"no such cluster": {
			func(*awstest.EKS, *aws.Config) {}, "dmeo", "ResourceNotFoundException",
			`there is no EKS cluster "dmeo" in the region eu-west-1`,
		},
		"another region": {
			func(_ *awstest.EKS, cfg *aws.Config) { cfg.Region = "eu-west-2" }, "demo", "ResourceNotFoundException",
			"in the region eu-west-2",
		},
		"a name is no path": {
			func(*awstest.EKS, *aws.Config) {}, "demo/access-entries", "ResourceNotFoundException",
			`there is no EKS cluster "demo/access-entries"`,
		},
		"wrong secret": {
			func(_ *awstest.EKS, cfg *aws.Config) {
				keys := cfg.Credentials.(awstest.Credentials)
				keys.SecretAccessKey = "another"
				cfg.Credentials = keys
			}, "demo", "InvalidSignatureException", "AWS doesn't accept the credentials",
		},
		"unknown key": {
			func(_ *awstest.EKS, cfg *aws.Config) {
				cfg.Credentials = awstest.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret"}
			}, "demo", "UnrecognizedClientException", "AWS doesn't accept the credentials",
		},
		"not allowed, the code in the body": {
			func(eks *awstest.EKS, _ *aws.Config) {
				eks.SetFault(awstest.Fault{Kind: awstest.FaultRespond, Status: 403, Body: `{"__type":"com.amazonaws.eks#AccessDeniedException","Message":"no"}`})
			}, "demo", "AccessDeniedException", "your IAM policies must allow eks:DescribeCluster",
		},
		"a proxy's page": {
			func(eks *awstest.EKS, _ *aws.Config) {
				eks.SetFault(awstest.Fault{Kind: awstest.FaultRespond, Status: 407, Body: `<html>`})
			}, "demo", "", "Proxy Authentication Required",
		},
	} {
		t.Run(name, func(t *testing.T) {
			eks, cfg := bed(t)
			c.change(eks, &cfg)
			_, err := newClient(t, cfg).DescribeCluster(t.Context(), c.name)
			refusal, ok := errors.AsType[*Error](err)
			if !ok || refusal.Code != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want the code %q and %q", err, c.code, c.want)
			}
			if calls := eks.Calls(""); calls != 1 {
				t.Errorf("%d calls, want 1: trying again would not help", calls)
			}
		})
	}
}

func TestEmptyNameAsksForNothing(t *testing.T) {
	eks, cfg := bed(t)
	if _, err := newClient(t, cfg).DescribeCluster(t.Context(), ""); err == nil || eks.Calls("") != 0 {
		t.Errorf("got %v after %d calls, want an error and none", err, eks.Calls(""))
	}
}

func TestAnswersThatAreNotEKS(t *testing.T) {
	for name, fault := range map[string]awstest.Fault{
		"HTML":            {Kind: awstest.FaultHTML},
		"another cluster": {Kind: awstest.FaultRespond, Body: `{"cluster":{"name":"other"}}`},
		"another answer":  {Kind: awstest.FaultRespond, Body: `{}`},
		"endless":         {Kind: awstest.FaultOversized, Bytes: 2 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			eks, cfg := bed(t)
			eks.SetFault(fault)
			_, err := newClient(t, cfg).DescribeCluster(t.Context(), "demo")
			if err == nil || !strings.Contains(err.Error(), "is https://eks.eu-west-1.amazonaws.com EKS?") {
				t.Errorf("got %v, want an error that asks who answered", err)
			}
		})
	}
}

func TestPageThatFollowsItselfEnds(t *testing.T) {
	eks, cfg := bed(t)
	eks.SetFault(awstest.Fault{Kind: awstest.FaultRespond, Body: `{"accessEntries":["a"],"nextToken":"1"}`})
	if _, err := newClient(t, cfg).ListAccessEntries(t.Context(), "demo"); err == nil {
		t.Error("no error, want one")
	}
}

func TestTroubleIsRetried(t *testing.T) {
	for name, kind := range map[string]awstest.FaultKind{
		"throttled":   awstest.FaultThrottle,
		"internal":    awstest.FaultInternal,
		"unavailable": awstest.FaultUnavailable,
		"broken off":  awstest.FaultReset,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				eks, cfg := bed(t)
				eks.SetFault(awstest.Fault{Kind: kind, Times: 2})
				if _, err := newClient(t, cfg).DescribeCluster(t.Context(), "demo"); err != nil {
					t.Errorf("the third attempt failed: %v", err)
				}
				eks.SetFault(awstest.Fault{Kind: kind})
				if _, err := newClient(t, cfg).DescribeCluster(t.Context(), "demo"); err == nil || eks.Calls("") != 6 {
					t.Errorf("got %v after %d calls in all, want an error after three attempts", err, eks.Calls(""))
				}
				cfg.RetryMaxAttempts = 1
				if _, err := newClient(t, cfg).DescribeCluster(t.Context(), "demo"); err == nil || eks.Calls("") != 7 {
					t.Errorf("got %v after %d calls in all, want an error after one attempt", err, eks.Calls(""))
				}
			})
		})
	}
}

func TestOperationsAreBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eks, cfg := bed(t)
		eks.SetFault(awstest.Fault{Kind: awstest.FaultHang})
		start := time.Now()
		if _, err := newClient(t, cfg).DescribeCluster(t.Context(), "demo"); err == nil {
			t.Error("no error, want one")
		}
		if took := time.Since(start); took != timeout {
			t.Errorf("it took %v, want %v", took, timeout)
		}
	})
}

// Whoever reads errors tells by this type that EKS could not be asked.
func TestUnreachableIsASendError(t *testing.T) {
	_, cfg := bed(t)
	cfg.RetryMaxAttempts = 1
	cfg.HTTPClient = &http.Client{Transport: unreachable{}}
	_, err := newClient(t, cfg).DescribeCluster(t.Context(), "demo")
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); !ok {
		t.Errorf("got %v, want a RequestSendError", err)
	}
}

type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }

// The hosts are those of service/eks v1.105.4 of the SDK.
func TestRegionalHost(t *testing.T) {
	for _, c := range []struct {
		region          string
		fips, dualStack bool
		want            string
	}{
		{"us-east-1", false, false, "eks.us-east-1.amazonaws.com"},
		{"us-east-1", false, true, "eks.us-east-1.api.aws"},
		{"us-east-1", true, false, "fips.eks.us-east-1.amazonaws.com"},
		{"us-east-1", true, true, "eks-fips.us-east-1.api.aws"},
		{"eu-new-9", false, false, "eks.eu-new-9.amazonaws.com"},
		{"eu-new-9", true, false, "fips.eks.eu-new-9.amazonaws.com"},
		{"cn-north-1", false, false, "eks.cn-north-1.amazonaws.com.cn"},
		{"cn-north-1", false, true, "eks.cn-north-1.api.amazonwebservices.com.cn"},
		{"cn-north-1", true, false, "eks-fips.cn-north-1.amazonaws.com.cn"},
		{"us-gov-west-1", false, false, "eks.us-gov-west-1.amazonaws.com"},
		{"us-gov-west-1", true, false, "eks.us-gov-west-1.amazonaws.com"},
		{"us-gov-west-1", true, true, "eks-fips.us-gov-west-1.api.aws"},
		{"eusc-de-east-1", false, false, "eks.eusc-de-east-1.amazonaws.eu"},
		{"us-iso-east-1", false, true, "eks.us-iso-east-1.api.aws.ic.gov"},
		{"us-isob-east-1", true, false, "eks-fips.us-isob-east-1.sc2s.sgov.gov"},
		{"us-isof-south-1", true, true, "eks-fips.us-isof-south-1.api.aws.hci.ic.gov"},
	} {
		if got, err := regionalHost(c.region, c.fips, c.dualStack); err != nil || got != c.want {
			t.Errorf("%s, FIPS %t, dual-stack %t: got %q, %v, want %q", c.region, c.fips, c.dualStack, got, err, c.want)
		}
	}
	if got, err := regionalHost("evil.example/", false, false); err == nil {
		t.Errorf("got %q for what is no region, want an error", got)
	}
}

// The endpoint comes from where the SDK takes it.
func TestEndpointOfTheConfiguration(t *testing.T) {
	const profile = "[default]\nregion = eu-west-1\n"
	const services = profile + "services = mine\nendpoint_url = https://all.profile\n[services mine]\neks =\n  endpoint_url = https://eks.profile\n"
	for name, c := range map[string]struct {
		file string
		env  map[string]string
		want string
	}{
		"nothing":                         {profile, nil, "https://eks.eu-west-1.amazonaws.com"},
		"FIPS":                            {profile, map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, "https://fips.eks.eu-west-1.amazonaws.com"},
		"dual-stack":                      {profile, map[string]string{"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://eks.eu-west-1.api.aws"},
		"for all services":                {profile, map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, "http://127.0.0.1:4566"},
		"EKS before all":                  {profile, map[string]string{"AWS_ENDPOINT_URL": "https://all", "AWS_ENDPOINT_URL_EKS": "https://eks/prefix"}, "https://eks/prefix"},
		"not that of STS":                 {profile, map[string]string{"AWS_ENDPOINT_URL_STS": "https://sts"}, "https://eks.eu-west-1.amazonaws.com"},
		"a profile's services":            {services, nil, "https://eks.profile"},
		"the environment before profiles": {services, map[string]string{"AWS_ENDPOINT_URL": "https://all"}, "https://all"},
		"ignored":                         {services, map[string]string{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "https://eks.eu-west-1.amazonaws.com"},
	} {
		t.Run(name, func(t *testing.T) {
			load(t, c.file, c.env)
			client, err := Load(t.Context(), LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := client.endpoint.String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	for name, env := range map[string]map[string]string{
		"no URL":    {"AWS_ENDPOINT_URL_EKS": "127.0.0.1"},
		"no region": {"AWS_REGION": "", "AWS_CONFIG_FILE": "none"},
	} {
		t.Run(name, func(t *testing.T) {
			load(t, profile, env)
			if client, err := Load(t.Context(), LoadOptions{}); err == nil {
				t.Errorf("got %s, want an error", client.endpoint)
			}
		})
	}
}

// load makes a file and variables the whole AWS configuration of the test.
func load(t *testing.T, file string, env map[string]string) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // so that it is restored
			os.Unsetenv(name)
		}
	}
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", path)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
	for name, value := range env {
		t.Setenv(name, value)
	}
}

// A configured endpoint may have a path of its own.
func TestEndpointWithPath(t *testing.T) {
	eks, cfg := bed(t)
	server := httptest.NewServer(http.StripPrefix("/prefix", eks))
	defer server.Close()
	cfg.BaseEndpoint, cfg.HTTPClient = aws.String(server.URL+"/prefix/"), nil
	_, err := newClient(t, cfg).DescribeAccessEntry(t.Context(), "demo", admin)
	// The prefix is in the signature, and gone before it is verified.
	if refusal, ok := errors.AsType[*Error](err); !ok || refusal.Code != "InvalidSignatureException" {
		t.Errorf("got %v, want the EKS behind the prefix to have answered", err)
	}
	atRoot := httptest.NewServer(eks)
	defer atRoot.Close()
	cfg.BaseEndpoint = aws.String(atRoot.URL + "/")
	if _, err := newClient(t, cfg).DescribeAccessEntry(t.Context(), "demo", admin); err != nil {
		t.Error(err)
	}
}
