package eks

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/iam-authenticator/authenticator/internal/awsendpoint"
)

// resolveEndpoint returns where EKS is: what the AWS configuration says, else the host of
// the region in the variant that it asks for.
func resolveEndpoint(cfg aws.Config) (*url.URL, error) {
	if cfg.Region == "" {
		return nil, errors.New("no AWS region: give one with --region or AWS_REGION, or run \"aws configure set region REGION\"")
	}
	if u, err := awsendpoint.Configured(cfg, "EKS"); u != nil || err != nil {
		return u, err
	}
	v := awsendpoint.VariantOf(cfg)
	host, err := regionalHost(cfg.Region, v.FIPS, v.DualStack)
	if err != nil {
		return nil, fmt.Errorf("endpoint of EKS in the region %q: %w", cfg.Region, err)
	}
	return &url.URL{Scheme: "https", Host: host}, nil
}

// regionalHost returns the host of EKS in a region.
func regionalHost(region string, fips, dualStack bool) (string, error) {
	domain, err := awsendpoint.Domain(region, dualStack)
	if err != nil {
		return "", err
	}
	prefix := "eks."
	switch {
	case !fips:
	case dualStack || domain != "amazonaws.com":
		prefix = "eks-fips."
	case !strings.HasPrefix(region, "us-gov-"): // there all endpoints are FIPS endpoints
		prefix = "fips.eks."
	}
	return prefix + region + "." + domain, nil
}
