package token

import (
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

func TestEndpointsCheck(t *testing.T) {
	cases := []struct {
		rule, partition, host, region string
		allowed                       bool
	}{
		{"regional", "aws", "sts.eu-west-1.amazonaws.com", "eu-west-1", true},
		{"global", "aws", "sts.amazonaws.com", "us-east-1", true},
		{"FIPS", "aws", "sts-fips.us-east-2.amazonaws.com", "us-east-2", true},
		{"dual stack", "aws", "sts.ap-south-1.api.aws", "ap-south-1", true},
		{"FIPS and dual stack", "aws", "sts-fips.us-west-2.api.aws", "us-west-2", true},
		{"China", "aws-cn", "sts.cn-north-1.amazonaws.com.cn", "cn-north-1", true},
		{"GovCloud", "aws-us-gov", "sts.us-gov-west-1.amazonaws.com", "us-gov-west-1", true},
		{"European Sovereign Cloud", "aws-eusc", "sts.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", true},
		{"extra region", "aws", "sts.eu-moon-1.amazonaws.com", "eu-moon-1", true},

		{"signed for another region", "aws", "sts.eu-west-1.amazonaws.com", "us-east-1", false},
		{"global signed for another region", "aws", "sts.amazonaws.com", "eu-west-1", false},
		{"unknown region label", "aws", "sts.us-east-9.amazonaws.com", "us-east-9", false},
		{"the SDK's name for no region", "aws", "sts.aws-global.amazonaws.com", "aws-global", false},
		{"other partition's host", "aws", "sts.cn-north-1.amazonaws.com.cn", "cn-north-1", false},
		{"other partition's region", "aws", "sts.us-gov-west-1.amazonaws.com", "us-gov-west-1", false},
		{"global host outside aws", "aws-cn", "sts.amazonaws.com", "us-east-1", false},
		{"trailing dot", "aws", "sts.eu-west-1.amazonaws.com.", "eu-west-1", false},
		{"other service", "aws", "iam.amazonaws.com", "us-east-1", false},
		{"prefix", "aws", "x.sts.eu-west-1.amazonaws.com", "eu-west-1", false},
		{"suffix", "aws", "sts.eu-west-1.amazonaws.com.evil.example", "eu-west-1", false},
		{"no dot before the suffix", "aws", "sts.eu-west-1.evilamazonaws.com", "eu-west-1", false},
		{"loopback", "aws", "127.0.0.1", "us-east-1", false},
		{"metadata service", "aws", "169.254.169.254", "us-east-1", false},
		{"empty", "aws", "", "us-east-1", false},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			var extra []string
			if c.rule == "extra region" {
				extra = []string{"eu-moon-1"}
			}
			endpoints, err := NewEndpoints(c.partition, extra...)
			if err != nil {
				t.Fatal(err)
			}
			err = endpoints.Check(Request{Host: c.host, Region: c.region})
			if c.allowed && err != nil {
				t.Error(err)
			}
			if !c.allowed && reason.Of(err) != reason.EndpointNotAllowed {
				t.Errorf("Check = %v, want EndpointNotAllowed", err)
			}
		})
	}
}

func TestEndpointsOfEveryPartition(t *testing.T) {
	for _, id := range iam.PartitionIDs() {
		partition, _ := iam.LookupPartition(id)
		endpoints, err := NewEndpoints(id)
		if err != nil {
			t.Fatal(err)
		}
		for _, region := range partition.Regions() {
			if got := endpoints["sts."+region+"."+partition.DNSSuffix]; got != region {
				t.Errorf("%s: the endpoint of %s has region %q", id, region, got)
			}
		}
		for host := range endpoints {
			if !isHost(host) || !strings.HasPrefix(host, "sts") {
				t.Errorf("%s: endpoint %q", id, host)
			}
		}
	}
}

func TestNewEndpointsRejects(t *testing.T) {
	for name, c := range map[string]struct{ partition, region, says string }{
		"unknown partition":         {"aws-mars", "", "unknown partition"},
		"region with a slash":       {"aws", "evil.example/", "want the name of a region"},
		"region in upper case":      {"aws", "EU-MOON-1", "want the name of a region"},
		"region of other partition": {"aws", "cn-north-1", "outside the partition"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewEndpoints(c.partition, c.region)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v does not say %q", err, c.says)
			}
		})
	}
}
