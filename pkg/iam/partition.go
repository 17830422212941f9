package iam

import (
	"slices"
	"strings"
)

//go:generate go run genpartitions.go

// Partition is an AWS partition: a group of regions with its own IAM.
type Partition struct {
	ID                 string // "aws", "aws-cn", …: the second field of an ARN
	DNSSuffix          string // of regional endpoints, such as "amazonaws.com"
	DualStackDNSSuffix string // of endpoints that also speak IPv6, such as "api.aws"
	DefaultRegion      string // where the partition's global services live

	regions []string // sorted
}

// LookupPartition returns the partition with the given ID.
func LookupPartition(id string) (Partition, bool) {
	for _, p := range partitions {
		if p.ID == id {
			return p, true
		}
	}
	return Partition{}, false
}

// PartitionOfRegion returns the partition that a known region belongs to.
func PartitionOfRegion(region string) (Partition, bool) {
	for _, p := range partitions {
		if p.HasRegion(region) {
			return p, true
		}
	}
	return Partition{}, false
}

// PartitionIDs returns the IDs of all partitions that the AWS SDK knows.
func PartitionIDs() []string {
	ids := make([]string, len(partitions))
	for i, p := range partitions {
		ids[i] = p.ID
	}
	return ids
}

// Regions returns the partition's known regions, sorted.
func (p Partition) Regions() []string { return slices.Clone(p.regions) }

// HasRegion tells whether region is a known region of the partition. Unlike the
// SDK's endpoint resolver it does not guess from the shape of the name.
func (p Partition) HasRegion(region string) bool {
	_, found := slices.BinarySearch(p.regions, region)
	return found
}

// RegionOfHost returns the region that an AWS host name names, such as
// "us-west-2" for "ABC.gr7.us-west-2.eks.amazonaws.com" or for
// "api-1.us-west-2.elb.amazonaws.com". Hosts outside AWS's domains name none.
func RegionOfHost(host string) (string, bool) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, p := range partitions {
		if !strings.HasSuffix(host, "."+p.DNSSuffix) && !strings.HasSuffix(host, "."+p.DualStackDNSSuffix) {
			continue
		}
		for label := range strings.SplitSeq(host, ".") {
			if p.HasRegion(label) {
				return label, true
			}
		}
	}
	return "", false
}
