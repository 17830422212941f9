package awstest

import (
	"context"
	"net"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
)

// globalHost is the endpoint without a region; its requests are signed for
// us-east-1.
const globalHost = "sts.amazonaws.com"

// maxHosts bounds the tables kept by host name: whatever names a client sends,
// they stay small.
const maxHosts = 512

// hostTable remembers which region an STS host name serves.
type hostTable struct {
	mu      sync.Mutex
	regions map[string]string // "" for a host that is not STS's
}

func (s *STS) hasHost(name string) bool {
	_, ok := s.hosts.region(name)
	return ok
}

// serves reports whether a request to the host may be signed for the region.
// One made by address, not by name, may be signed for any.
func (t *hostTable) serves(host, region string) bool {
	if isLoopback(host) {
		return region != ""
	}
	r, ok := t.region(hostname(host))
	return ok && r == region
}

// region returns the region that an STS host name of any partition serves.
func (t *hostTable) region(name string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	region, known := t.regions[name]
	if !known {
		region = stsRegion(name)
		if t.regions == nil || len(t.regions) >= maxHosts {
			t.regions = make(map[string]string)
		}
		t.regions[name] = region
	}
	return region, region != ""
}

// stsRegion asks the SDK's endpoint rules whether they would send the requests
// of the region in the name to that very name: regional, FIPS and dual-stack
// hosts of every partition.
func stsRegion(name string) string {
	if name == globalHost {
		return "us-east-1"
	}
	first, rest, _ := strings.Cut(name, ".")
	region, _, _ := strings.Cut(rest, ".")
	if first != "sts" && first != "sts-fips" || region == "" {
		return ""
	}
	resolver := awssts.NewDefaultEndpointResolverV2()
	for _, fips := range []bool{false, true} {
		for _, dualStack := range []bool{false, true} {
			endpoint, err := resolver.ResolveEndpoint(context.Background(), awssts.EndpointParameters{
				Region:       aws.String(region),
				UseFIPS:      aws.Bool(fips),
				UseDualStack: aws.Bool(dualStack),
			})
			if err == nil && endpoint.URI.Host == name {
				return region
			}
		}
	}
	return ""
}

// partitionOf returns the partition a region belongs to, by its prefix.
func partitionOf(region string) string {
	for _, p := range [...]struct{ prefix, partition string }{
		{"cn-", "aws-cn"},
		{"us-gov-", "aws-us-gov"},
		{"us-iso-", "aws-iso"},
		{"us-isob-", "aws-iso-b"},
		{"eu-isoe-", "aws-iso-e"},
		{"us-isof-", "aws-iso-f"},
		{"eusc-", "aws-eusc"},
	} {
		if strings.HasPrefix(region, p.prefix) {
			return p.partition
		}
	}
	return "aws"
}

// hostname returns a Host header's name in lower case, without a port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(host)
}

func isLoopback(host string) bool {
	name := hostname(host)
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return name == "localhost" || ip != nil && ip.IsLoopback()
}
