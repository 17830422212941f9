package node

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// LoadOptions say as whom EC2 and IAM are asked.
type LoadOptions struct {
	// RoleARN is a role to assume. Default: none.
	RoleARN string
	// SourceARN is the cluster on whose behalf the role is assumed, for conditions of its
	// trust policy: it is sent with its account in the headers of AssumeRole. Default: none.
	SourceARN string
}

// Loader returns an Options.Load that reads the environment variables and files that the
// AWS SDKs share. Where those name no region, it is that of the instance.
func Loader(o LoadOptions) func(context.Context) (aws.Config, error) {
	return func(ctx context.Context) (aws.Config, error) {
		cfg, err := config.LoadDefaultConfig(ctx,
			config.WithLogger(logging.Nop{}),
			config.WithDefaultsMode(aws.DefaultsModeStandard), // short connection timeouts
		)
		if err != nil {
			return cfg, fmt.Errorf("read the AWS configuration: %w", err)
		}
		if cfg.Region == "" {
			if cfg.Region, err = instanceRegion(ctx, cfg); err != nil {
				return cfg, fmt.Errorf("no AWS region: set AWS_REGION (%w)", err)
			}
		}
		if o.RoleARN != "" {
			cfg.Credentials, err = assume(cfg, o)
		}
		return cfg, err
	}
}

func instanceRegion(ctx context.Context, cfg aws.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	out, err := imds.NewFromConfig(cfg).GetRegion(ctx, nil)
	if err != nil {
		return "", err
	}
	return out.Region, nil
}

// assume returns the credentials of the role. The headers are those of aws-iam-authenticator:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
func assume(cfg aws.Config, o LoadOptions) (aws.CredentialsProvider, error) {
	client := cfg.Copy()
	if o.SourceARN != "" {
		account, err := iam.AccountOf(o.SourceARN)
		if err != nil {
			return nil, fmt.Errorf("the source %w", err)
		}
		client.APIOptions = append(client.APIOptions,
			smithyhttp.AddHeaderValue("x-amz-source-arn", o.SourceARN),
			smithyhttp.AddHeaderValue("x-amz-source-account", account))
	}
	provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(client), o.RoleARN, func(a *stscreds.AssumeRoleOptions) {
		a.RoleSessionName = "iam-authenticator"
	})
	return aws.NewCredentialsCache(provider), nil
}
