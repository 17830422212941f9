package eks

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// resolveEndpoint returns where EKS is: what the AWS configuration says, else the host of
// the region in the variant that it asks for.
func resolveEndpoint(cfg aws.Config) (*url.URL, error) {
	if cfg.Region == "" {
		return nil, errors.New("no AWS region: give one with --region or AWS_REGION, or run \"aws configure set region REGION\"")
	}
	if configured := configuredEndpoint(cfg); configured != "" {
		u, err := url.Parse(configured)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return nil, fmt.Errorf("endpoint of EKS %q, want a URL such as https://eks.us-east-1.amazonaws.com (env AWS_ENDPOINT_URL_EKS, AWS_ENDPOINT_URL)", configured)
		}
		return u, nil
	}
	variant := sts.NewFromConfig(cfg).Options().EndpointOptions
	host, err := regionalHost(cfg.Region,
		variant.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled,
		variant.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled)
	if err != nil {
		return nil, fmt.Errorf("endpoint of EKS in the region %q: %w", cfg.Region, err)
	}
	return &url.URL{Scheme: "https", Host: host}, nil
}

// configuredEndpoint returns AWS_ENDPOINT_URL_EKS, AWS_ENDPOINT_URL or their like in the
// profile, in the order of the SDK:
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
func configuredEndpoint(cfg aws.Config) string {
	_, forAll := os.LookupEnv("AWS_ENDPOINT_URL")
	_, forEKS := os.LookupEnv("AWS_ENDPOINT_URL_EKS")
	ignore, _, _ := config.GetIgnoreConfiguredEndpoints(context.Background(), cfg.ConfigSources)
	if !ignore && (forEKS || !forAll) {
		for _, source := range cfg.ConfigSources {
			s, ok := source.(interface {
				GetServiceBaseEndpoint(ctx context.Context, sdkID string) (string, bool, error)
			})
			if !ok {
				continue
			}
			if endpoint, found, err := s.GetServiceBaseEndpoint(context.Background(), "EKS"); err == nil && found {
				return endpoint
			}
		}
	}
	return aws.ToString(cfg.BaseEndpoint)
}

// regionalHost returns the host of EKS in a region. The domain is that of STS there, which
// the SDK's rules know, and guess from the region's name if it is a new one.
func regionalHost(region string, fips, dualStack bool) (string, error) {
	endpoint, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(context.Background(), sts.EndpointParameters{
		Region: aws.String(region), UseFIPS: aws.Bool(false), UseDualStack: aws.Bool(dualStack),
	})
	if err != nil {
		return "", err
	}
	name, domain, _ := strings.Cut(endpoint.URI.Host, "."+region+".")
	if name != "sts" {
		return "", fmt.Errorf("STS is at %q, which doesn't tell the region's domain: set AWS_ENDPOINT_URL_EKS", endpoint.URI.Host)
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
