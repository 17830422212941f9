package token

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"

	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// How long the EC2 instance metadata service (IMDS) may take. Where it exists it
// answers in milliseconds; elsewhere the packets often vanish without an answer.
const (
	imdsRegionTimeout      = 500 * time.Millisecond
	imdsCredentialsTimeout = time.Second // for each of its two requests
)

// loadConfig reads the AWS configuration and finds the region, in the order that
// GenerateOptions.Region documents. The result always has a region.
func loadConfig(ctx context.Context, opts GenerateOptions) (aws.Config, error) {
	cfg, err := loadConfigIn(ctx, opts, opts.Region)
	if err != nil {
		return aws.Config{}, explainConfig(err)
	}
	if cfg.Region == "" {
		region, err := instanceRegion(ctx, cfg)
		if err != nil {
			if ctx.Err() != nil {
				return aws.Config{}, ctx.Err()
			}
			return aws.Config{}, fmt.Errorf("no AWS region: give one with --region or AWS_REGION, or run \"aws configure set region REGION\" (EC2 instance metadata has none either: %w)", err)
		}
		// What the SDK made of the configuration so far has no region in it.
		if cfg, err = loadConfigIn(ctx, opts, region); err != nil {
			return aws.Config{}, explainConfig(err)
		}
	}
	return cfg, checkRegionName(cfg.Region)
}

func loadConfigIn(ctx context.Context, opts GenerateOptions, region string) (cfg aws.Config, err error) {
	instance := sync.OnceValue(func() *imds.Client { return newIMDS(cfg) })
	options := []func(*config.LoadOptions) error{
		config.WithRegion(region),
		config.WithDefaultRegion(serverRegion(opts.Server)),
		config.WithSharedConfigProfile(opts.Profile),
		config.WithHTTPClient(opts.httpClient),
		config.WithLogger(logging.Nop{}),
		// Short connection timeouts; and AWS_DEFAULTS_MODE=auto would ask IMDS.
		config.WithDefaultsMode(aws.DefaultsModeStandard),
		// Credentials are used once and at once: nothing has to be refreshed early,
		// and Presign needs to know their true expiry.
		config.WithCredentialsCacheOptions(func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = 0 }),
		config.WithEC2RoleCredentialOptions(func(o *ec2rolecreds.Options) {
			o.Client = boundedMetadata{instance}
		}),
		config.WithAssumeRoleCredentialOptions(func(o *stscreds.AssumeRoleOptions) {
			o.TokenProvider = func() (string, error) { return opts.mfaCode(ctx) }
		}),
	}
	if name, version, _ := strings.Cut(opts.UserAgent, "/"); name != "" {
		options = append(options, config.WithAPIOptions([]func(*middleware.Stack) error{
			awsmiddleware.AddUserAgentKeyValue(name, version),
		}))
	}
	cfg, err = config.LoadDefaultConfig(ctx, options...)
	return cfg, err
}

// serverRegion returns the region in the host name of a cluster's API server,
// or "" if it names none.
func serverRegion(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return ""
	}
	region, _ := iam.RegionOfHost(u.Hostname())
	return region
}

// instanceRegion asks IMDS for the region, unless AWS_EC2_METADATA_DISABLED says
// not to.
func instanceRegion(ctx context.Context, cfg aws.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, imdsRegionTimeout)
	defer cancel()
	region, err := newIMDS(cfg).GetRegion(ctx, &imds.GetRegionInput{}, func(o *imds.Options) {
		o.Retryer = aws.NopRetryer{}
	})
	if err != nil {
		return "", err
	}
	return region.Region, nil
}

// newIMDS returns a client of IMDS that retries once.
func newIMDS(cfg aws.Config) *imds.Client {
	return imds.NewFromConfig(cfg, func(o *imds.Options) {
		o.HTTPClient = withoutProxy(o.HTTPClient)
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff = 2, 100*time.Millisecond
		})
	})
}

// withoutProxy returns a client that goes through no proxy: behind one, IMDS
// would answer with the identity of the proxy's machine.
func withoutProxy(client imds.HTTPClient) imds.HTTPClient {
	if client == nil {
		client = awshttp.NewBuildableClient() // as the SDK would
	}
	if buildable, ok := client.(*awshttp.BuildableClient); ok {
		return buildable.WithTransportOptions(func(t *http.Transport) { t.Proxy = nil })
	}
	return client
}

// boundedMetadata asks IMDS for an instance's credentials. The client is made at
// the first request: it needs the configuration that it is itself part of.
type boundedMetadata struct{ client func() *imds.Client }

func (m boundedMetadata) GetMetadata(ctx context.Context, in *imds.GetMetadataInput, optFns ...func(*imds.Options)) (*imds.GetMetadataOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, imdsCredentialsTimeout)
	defer cancel() // the client has read the body when it returns
	return m.client().GetMetadata(ctx, in, optFns...)
}

// checkRegionName keeps anything but the name of a region out of host names.
func checkRegionName(region string) error {
	if !isRegion(region) {
		return fmt.Errorf("AWS region %s, want a name such as us-east-1%s", quote(region), didYouMean(region))
	}
	return nil
}

// unknownRegion returns a warning if region isn't one that this program knows,
// or else "". It may be a new one, so it is not an error.
func unknownRegion(region string) string {
	if _, known := iam.PartitionOfRegion(region); known {
		return ""
	}
	return fmt.Sprintf("servers that know no more regions than this program refuse tokens for the AWS region %q%s", region, didYouMean(region))
}

// didYouMean names the known region that a misspelt one was meant to be.
func didYouMean(name string) string {
	var known []string
	for _, id := range iam.PartitionIDs() {
		partition, _ := iam.LookupPartition(id)
		known = append(known, partition.Regions()...)
	}
	return suggest.DidYouMean(name, known)
}
