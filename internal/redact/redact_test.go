package redact

import (
	"strings"
	"testing"
)

func TestSecretsAreTaken(t *testing.T) {
	for name, text := range map[string]string{
		"a token":                        "unexpected argument \"k8s-aws-v1.c3VwZXJTRUNSRVQ_-\"",
		"a token as a flag":              "unknown flag: --k8s-aws-v1.SECRET\nSee 'authenticator --help'",
		"a token with padding":           "open k8s-aws-v1.SECRET==: no such file",
		"a token in capitals":            "K8S-AWS-V1.SECRET",
		"a token that was wrapped":       `"k8s-aws-v1.c3Vw\nSECRET"`,
		"a token escaped for a URL":      "k8s-aws-v1.c3%3DSECRET",
		"a token without its prefix":     "aHR0cHM6Ly9zdHMuYW1hem9uYXdzLmNvbS8_SECRET",
		"a presigned URL":                "https://sts.amazonaws.com/?Action=GetCallerIdentity&X-Amz-Signature=SECRET&x=1",
		"a security token, escaped":      "X-Amz-Security-Token%3DSECRET&x=1",
		"a header":                       "X-Amz-Security-Token: SECRET",
		"an authorization":               "AWS4-HMAC-SHA256 Credential=AKIA/x, SignedHeaders=host, Signature=SECRET",
		"credentials in the environment": "AWS_SECRET_ACCESS_KEY=SECRET/x+y",
		"credentials in a file":          "aws_session_token = SECRET",
		"credentials in JSON":            `"SecretAccessKey":"SECRET","aws_session_token": "SECRET"`,
		"a session token":                "IQoJb3JpZ2luX2VjEIn//////////wEaCXVzLWVhc3QtMSJHMEUCIQSECRET",
		"another bearer token":           "eyJhbGciOiJSUzI1NiJ9.eyJSECRET.SECRET",
		"a password in a URL":            "proxy http://me:SECRET@proxy.example:3128",
		"a name in a URL":                "https://SECRET@demo.example",
	} {
		got := Text(text)
		if strings.Contains(got, "SECRET") || !strings.Contains(got, placeholder) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTheRestStays(t *testing.T) {
	for _, text := range []string{
		"", "unexpected argument \"extra\"\nSee 'authenticator --help'",
		"no mapping for arn:aws:iam::111122223333:role/team/developers, session alice@example.com",
		"EKS DescribeCluster: https://eks.eu-west-1.amazonaws.com/clusters/a@b: connection refused",
		"the access key ID is ASIAIOSFODNN7EXAMPLE, X-Amz-Credential=AKIA/20260101/us-east-1/sts/aws4_request",
		"SignatureMismatch: the signature does not match", "k8s-aws-v1 tokens have a prefix", "no k8s-aws-v1. prefix",
	} {
		if got := Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	const flag = "unknown flag: --k8s-aws-v1.AAAA\nSee 'authenticator --help'"
	if got := Text(flag); got != "unknown flag: --"+placeholder+"\nSee 'authenticator --help'" {
		t.Errorf("%q", got)
	}
}
