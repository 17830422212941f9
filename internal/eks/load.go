package eks

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/smithy-go/logging"

	"github.com/iam-authenticator/authenticator/pkg/token"
)

// LoadOptions say as whom and where EKS is asked. What isn't said comes from the
// environment variables and files that the AWS SDKs share.
type LoadOptions struct {
	// Profile is the profile of the AWS configuration. The default is AWS_PROFILE, then
	// "default".
	Profile string
	// Region is the AWS region. The default is that of the AWS configuration.
	Region string
	// UserAgent is this program's name and version.
	UserAgent string
}

// Load reads the AWS configuration and returns a client for it. It asks nobody yet, and
// the user only for the MFA code of a profile that needs one.
func Load(ctx context.Context, o LoadOptions) (*Client, error) {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(o.Region),
		config.WithSharedConfigProfile(o.Profile),
		config.WithLogger(logging.Nop{}),
		config.WithDefaultsMode(aws.DefaultsModeStandard), // short connection timeouts
		config.WithAssumeRoleCredentialOptions(func(assume *stscreds.AssumeRoleOptions) {
			assume.TokenProvider = func() (string, error) {
				code, err := token.PromptTerminal(ctx, "Assume Role MFA token code: ")
				return strings.TrimSpace(code), err
			}
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration (\"aws configure list-profiles\" lists the profiles that exist): %w", err)
	}
	return New(cfg, o.UserAgent)
}
