package token

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// globalHost is the STS endpoint without a region. It exists in the partition
// aws alone and is signed for us-east-1:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_enable-regions.html
const (
	globalHost   = "sts.amazonaws.com"
	globalRegion = "us-east-1"
)

// Endpoints maps the host names at which STS may be asked to the region that a
// request to them is signed for. It is built once and never grows.
type Endpoints map[string]string

// NewEndpoints returns the regional, FIPS and dual-stack hosts of the partition's
// known regions and of extraRegions, and the global host in the partition aws.
// Extra regions are for those that are younger than this program.
func NewEndpoints(partitionID string, extraRegions ...string) (Endpoints, error) {
	partition, ok := iam.LookupPartition(partitionID)
	if !ok {
		return nil, fmt.Errorf("unknown partition %q, want one of %s", partitionID, strings.Join(iam.PartitionIDs(), ", "))
	}
	endpoints := make(Endpoints)
	for _, region := range append(partition.Regions(), extraRegions...) {
		if !isRegion(region) {
			return nil, fmt.Errorf("STS region %q, want the name of a region such as %s", region, partition.DefaultRegion)
		}
		for _, variant := range []struct{ fips, dualStack bool }{{}, {fips: true}, {dualStack: true}, {true, true}} {
			host, err := regionalHost(region, variant.fips, variant.dualStack)
			if err != nil {
				return nil, fmt.Errorf("STS region %q: %w", region, err)
			}
			if !strings.HasSuffix(host, "."+partition.DNSSuffix) && !strings.HasSuffix(host, "."+partition.DualStackDNSSuffix) {
				return nil, fmt.Errorf("STS region %q: its endpoint %s is outside the partition %s", region, host, partition.ID)
			}
			endpoints[host] = region
		}
	}
	if partition.ID == "aws" {
		endpoints[globalHost] = globalRegion
	}
	return endpoints, nil
}

// Check returns an error with the code EndpointNotAllowed unless the request is
// for one of the endpoints and signed for its region.
func (e Endpoints) Check(r Request) error {
	region, ok := e[r.Host]
	switch {
	case !ok:
		return reason.New(reason.EndpointNotAllowed, "%s is not a known STS endpoint of this partition", quote(r.Host))
	case region != r.Region:
		return reason.New(reason.EndpointNotAllowed, "signed for the region %s, but %s is in %s", quote(r.Region), r.Host, region)
	}
	return nil
}

// regionalHost asks the SDK for the host of STS in a region. For a region that
// the SDK doesn't know the answer is a guess from the shape of its name.
func regionalHost(region string, fips, dualStack bool) (string, error) {
	endpoint, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(context.Background(), sts.EndpointParameters{
		Region:       aws.String(region),
		UseFIPS:      aws.Bool(fips),
		UseDualStack: aws.Bool(dualStack),
	})
	if err != nil {
		return "", err
	}
	return endpoint.URI.Host, nil
}
