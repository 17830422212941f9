package migrate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/internal/eks"
)

// inProcess is an HTTP client that hands requests to a handler.
type inProcess struct{ http.Handler }

func (h inProcess) Do(r *http.Request) (*http.Response, error) {
	received := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.RequestURI(), r.Body)
	received.Host, received.Header = r.URL.Host, r.Header.Clone()
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, received)
	return answer.Result(), nil
}

func TestEKSBecomesManifests(t *testing.T) {
	sts := awstest.New(awstest.Options{})
	alice, err := sts.AddUser(account + "user/alice")
	if err != nil {
		t.Fatal(err)
	}
	emulator := awstest.NewEKS(sts)
	cluster := awstest.EKSCluster{ARN: "arn:aws:eks:eu-west-1:111122223333:cluster/demo", Entries: []awstest.EKSAccessEntry{
		{PrincipalARN: account + "role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_A_0123456789abcdef", Username: "a:{{SessionName}}", Groups: []string{"g"}, Policies: []awstest.EKSAccessPolicy{
			{PolicyARN: "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"},
			{PolicyARN: "arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy", Namespaces: []string{"dev-*", "shop"}}}},
		{PrincipalARN: account + "role/usual", Username: "arn:aws:sts::111122223333:assumed-role/usual/{{SessionName}}"},
		{PrincipalARN: account + "role/nodes", Type: "EC2_LINUX", Username: "system:node:{{EC2PrivateDNSName}}", Groups: []string{"system:nodes"}},
		{PrincipalARN: account + "role/hyper", Type: "HYPERPOD_LINUX"},
	}}
	for i := range 150 { // two pages
		cluster.Entries = append(cluster.Entries, awstest.EKSAccessEntry{PrincipalARN: fmt.Sprintf("%suser/u%d", account, i)})
	}
	emulator.SetCluster(cluster)
	client, err := eks.New(aws.Config{Region: "eu-west-1", Credentials: alice, HTTPClient: inProcess{emulator}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	p, err := FromEKS(t.Context(), client, "demo", func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"principalARN":"arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_A_0123456789abcdef","type":"STANDARD","username":"a:{{SessionName}}","kubernetesGroups":["g"],"accessPolicies":[` +
			`{"policyARN":"arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy","accessScope":{"type":"cluster"}},` +
			`{"policyARN":"arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy","accessScope":{"type":"namespace","namespaces":["dev-*","shop"]}}]}`,
		`{"principalARN":"arn:aws:iam::111122223333:role/usual","type":"STANDARD"}`,
		`{"principalARN":"arn:aws:iam::111122223333:role/nodes","type":"EC2_LINUX"}`,
	}
	if len(p.Rows) != 154 || p.Count(Carried) != 153 {
		t.Fatalf("%d rows, %d carried", len(p.Rows), p.Count(Carried))
	}
	for i, w := range want {
		if got, _ := json.Marshal(p.Entries()[i].Spec); string(got) != w {
			t.Errorf("%s, want %s", got, w)
		}
	}
	if r := p.Rows[3]; r.Outcome != Left || !strings.Contains(r.Why, "HYPERPOD_LINUX") {
		t.Errorf("%+v", r)
	}
	if r := p.Rows[0]; len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "must run") {
		t.Errorf("%+v", r)
	}
	var out bytes.Buffer
	p.Rows = p.Rows[:4]
	if err := p.PrintEksctl(&out); err != nil || !strings.HasPrefix(out.String(), `accessConfig:
  accessEntries:
  - accessPolicies:
    - accessScope:
        type: cluster
      policyARN: arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy
    - accessScope:
        namespaces:
        - dev-*
        - shop
        type: namespace
      policyARN: arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy
    kubernetesGroups:
    - g
    kubernetesUsername: a:{{SessionName}}
    principalARN: `) {
		t.Errorf("%v\n%s", err, out.String())
	}

	if _, err := FromEKS(t.Context(), client, "dmeo", func(string) {}); err == nil || !strings.Contains(err.Error(), "dmeo") {
		t.Errorf("%v, want the name that is wrong", err)
	}
}
