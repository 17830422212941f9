package iam

import (
	"slices"
	"testing"
)

func TestPartitionsOfTheSDK(t *testing.T) {
	want := []string{"aws", "aws-cn", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-us-gov"}
	got := slices.Sorted(slices.Values(PartitionIDs()))
	for _, id := range want {
		if !slices.Contains(got, id) {
			t.Errorf("partition %s is missing of %v", id, got)
		}
	}
	for _, id := range got {
		p, ok := LookupPartition(id)
		if !ok || p.DNSSuffix == "" || p.DualStackDNSSuffix == "" || len(p.Regions()) == 0 {
			t.Errorf("partition %s is incomplete: %+v", id, p)
		}
		if !slices.IsSorted(p.regions) {
			t.Errorf("regions of %s are not sorted, so lookups would fail", id)
		}
		for _, region := range p.Regions() {
			if home, ok := PartitionOfRegion(region); !ok || home.ID != id {
				t.Errorf("region %s of %s is found in %q", region, id, home.ID)
			}
		}
	}
}

func TestPartitionsDoNotGuess(t *testing.T) {
	aws, _ := LookupPartition("aws")
	for _, region := range []string{"", "us-east-9", "US-EAST-1", "us-east-1 ", "aws-global", "cn-north-1"} {
		if aws.HasRegion(region) {
			t.Errorf("%q is a region of aws", region)
		}
	}
	for _, id := range []string{"", "AWS", "aws-mars"} {
		if _, ok := LookupPartition(id); ok {
			t.Errorf("%q is a partition", id)
		}
	}
}

func TestRegionOfHost(t *testing.T) {
	cases := []struct{ host, region string }{
		{"0123456789ABCDEF.gr7.us-west-2.eks.amazonaws.com", "us-west-2"},
		{"api-x-1234567.eu-central-1.elb.amazonaws.com", "eu-central-1"},
		{"X.YL4.CN-NORTH-1.eks.amazonaws.com.cn.", "cn-north-1"},
		{"x.us-gov-west-1.eks.amazonaws.com", "us-gov-west-1"},
		{"x.us-east-1.api.aws", "us-east-1"},
		{"us-west-2.example.com", ""},
		{"us-west-2.amazonaws.com.example.com", ""},
		{"kubernetes.us-moon-1.eks.amazonaws.com", ""},
		{"127.0.0.1", ""},
		{"", ""},
	}
	for _, c := range cases {
		if got, ok := RegionOfHost(c.host); got != c.region || ok != (c.region != "") {
			t.Errorf("RegionOfHost(%q) = %q, %v, want %q", c.host, got, ok, c.region)
		}
	}
}
