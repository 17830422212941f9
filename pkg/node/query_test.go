package node

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// TestHostsAreThoseOfTheSDK compares with what the SDK's rules say of every region.
func TestHostsAreThoseOfTheSDK(t *testing.T) {
	t.Setenv("AWS_CA_BUNDLE", "")
	for _, id := range iam.PartitionIDs() {
		p, _ := iam.LookupPartition(id)
		for _, region := range append(p.Regions(), p.DefaultRegion) {
			for _, v := range []struct{ fips, dual bool }{{}, {true, false}, {false, true}, {true, true}} {
				fips, dual := aws.FIPSEndpointStateDisabled, aws.DualStackEndpointStateDisabled
				if v.fips {
					fips = aws.FIPSEndpointStateEnabled
				}
				if v.dual {
					dual = aws.DualStackEndpointStateEnabled
				}
				cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(region), config.WithUseFIPSEndpoint(fips), config.WithUseDualStackEndpoint(dual))
				check(t, err)
				want, err := ec2.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), ec2.EndpointParameters{Region: &region, UseFIPS: &v.fips, UseDualStack: &v.dual})
				if err == nil {
					if got, err := ec2Host(cfg); err != nil || got != want.URI.Host {
						t.Errorf("EC2 in %s (%+v): %q, %v, want %q", region, v, got, err, want.URI.Host)
					}
				}
				if v.fips || v.dual {
					continue // IAM has few variants, and none elsewhere
				}
				want, err = awsiam.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), awsiam.EndpointParameters{Region: &region, UseFIPS: &v.fips, UseDualStack: &v.dual})
				check(t, err)
				if got, _, err := iamHost(cfg); err != nil || got != want.URI.Host {
					t.Errorf("IAM for %s: %q, %v, want %q", region, got, err, want.URI.Host)
				}
			}
		}
	}
}

func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		"", "<html></html>", "<Response><Errors><Error><Code>c</Code><Message>m</Message></Error></Errors></Response>",
		"<ErrorResponse><Error><Code>c</Code></Error></ErrorResponse>",
		`<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet><item><ownerId>1</ownerId><instancesSet><item><instanceId>i-01234567</instanceId></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		if err := refusal("400 Bad Request", []byte(answer)); err == nil {
			t.Error("no error")
		} else if api, ok := err.(smithy.APIError); ok && api.ErrorCode() == "" {
			t.Errorf("%v without a code", err)
		}
		var out describeInstances
		if xml.Unmarshal([]byte(answer), &out) == nil && !strings.Contains(answer, "DescribeInstancesResponse") {
			t.Errorf("taken for an answer: %q", answer)
		}
		_ = instancesOf(out)
	})
}
