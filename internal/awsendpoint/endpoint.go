// Package awsendpoint finds the endpoints of AWS services whose SDK clients are not linked:
// kubectl starts this program for every call, and would pay for their size and their
// initialisation each time.
package awsendpoint

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Configured returns the endpoint that the AWS configuration names for a service ("EKS",
// "EC2"), or nil: AWS_ENDPOINT_URL_EKS, AWS_ENDPOINT_URL or their like in the profile, in
// the order of the SDK.
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
func Configured(cfg aws.Config, service string) (*url.URL, error) {
	text := configured(cfg, service)
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("endpoint of %s %q, want a URL such as https://%s.us-east-1.amazonaws.com (env AWS_ENDPOINT_URL_%s, AWS_ENDPOINT_URL)",
			service, text, strings.ToLower(service), service)
	}
	return u, nil
}

func configured(cfg aws.Config, service string) string {
	_, forAll := os.LookupEnv("AWS_ENDPOINT_URL")
	_, forService := os.LookupEnv("AWS_ENDPOINT_URL_" + service)
	ignore, _, _ := config.GetIgnoreConfiguredEndpoints(context.Background(), cfg.ConfigSources)
	if !ignore && (forService || !forAll) {
		for _, source := range cfg.ConfigSources {
			s, ok := source.(interface {
				GetServiceBaseEndpoint(ctx context.Context, sdkID string) (string, bool, error)
			})
			if !ok {
				continue
			}
			if endpoint, found, err := s.GetServiceBaseEndpoint(context.Background(), service); err == nil && found {
				return endpoint
			}
		}
	}
	return aws.ToString(cfg.BaseEndpoint)
}

// Variant is the variant of endpoints that an AWS configuration asks for.
type Variant struct{ FIPS, DualStack bool }

// VariantOf returns the variant that a configuration asks for.
func VariantOf(cfg aws.Config) Variant {
	o := sts.NewFromConfig(cfg).Options().EndpointOptions
	return Variant{
		FIPS:      o.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled,
		DualStack: o.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled,
	}
}

// Domain returns the domain of a region's endpoints, such as "amazonaws.com". It is that of
// STS there, which the SDK's rules know, and guess from the region's name if it is a new one.
func Domain(region string, dualStack bool) (string, error) {
	endpoint, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(context.Background(), sts.EndpointParameters{
		Region: aws.String(region), UseFIPS: aws.Bool(false), UseDualStack: aws.Bool(dualStack),
	})
	if err != nil {
		return "", err
	}
	name, domain, _ := strings.Cut(endpoint.URI.Host, "."+region+".")
	if name != "sts" {
		return "", fmt.Errorf("STS is at %q, which doesn't tell the region's domain: set AWS_ENDPOINT_URL_…", endpoint.URI.Host)
	}
	return domain, nil
}
