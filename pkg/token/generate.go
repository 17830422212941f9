package token

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// GenerateOptions says for which cluster and as whom Generate makes a token.
// Only ClusterID is required. What isn't said here comes from the environment
// variables and files that the AWS SDKs share (AWS_PROFILE, ~/.aws/config, …).
type GenerateOptions struct {
	// ClusterID names the cluster, as its server is configured.
	ClusterID string

	// Region is the AWS region whose STS endpoint the token is for. The default
	// is the region of the AWS configuration, then the one that Server names, then
	// that of the EC2 instance this runs on. There is no default beyond these.
	Region string
	// Server is the URL of the cluster's API server, if it is known. It serves to
	// find a region only.
	Server string

	// Profile is the profile of the AWS configuration to use. The default is
	// AWS_PROFILE, then "default". Credentials in environment variables come before
	// the default, but not before a profile that is named here.
	Profile string

	// RoleARN is the role to assume with the credentials found, by one AssumeRole
	// call. The default is to assume none.
	RoleARN string
	// ExternalID is what the role's trust policy may ask for. The default is none.
	ExternalID string
	// SessionName names the role's session, in 2 to 64 characters. The default is
	// "authenticator-" and the time in nanoseconds.
	SessionName string
	// ForwardSessionName gives the role's session the name of the session that
	// assumes the role, which takes one GetCallerIdentity call. It excludes
	// SessionName, and is the default name if the caller has no session.
	ForwardSessionName bool
	// SessionDuration is how long the role's session lives, in whole seconds, from
	// 15 minutes to 12 hours. The default is that of STS, an hour.
	SessionDuration time.Duration

	// Cache keeps the credentials that sign tokens in CacheFile until they expire,
	// so that making the next token takes no network call. The default is not to.
	Cache bool
	// CacheFile is where. The default is DefaultCacheFile.
	CacheFile string

	// Prompt asks the user a question, such as for an MFA code, and returns one
	// line of answer. The default is PromptTerminal.
	Prompt func(ctx context.Context, question string) (string, error)
	// NonInteractive forbids to ask. The default is to ask when there is need.
	NonInteractive bool

	// UserAgent is this program's name and version ("name/1.2.3") for the calls to
	// AWS. The default is to leave it to the SDK.
	UserAgent string
	// Warn is told in one line what the user should know though there is a token.
	// The default is to tell nobody.
	Warn func(warning string)
	// Now is the clock. The default is time.Now.
	Now func() time.Time

	httpClient aws.HTTPClient // of all calls, for tests; nil means the SDK's
}

// Generate makes a token. It makes network calls only where it has to: to get
// credentials that are neither configured nor cached, to assume a role, and to
// find a region as a last resort.
func Generate(ctx context.Context, opts GenerateOptions) (Token, error) {
	opts = opts.withDefaults()
	if err := opts.Check(); err != nil {
		return Token{}, err
	}
	cfg, err := loadConfig(ctx, opts)
	if err != nil {
		return Token{}, err
	}
	if err := checkRoleRegion(opts.RoleARN, cfg.Region); err != nil {
		return Token{}, err
	}
	if warning := unknownRegion(cfg.Region); warning != "" {
		opts.Warn(warning)
	}
	creds, err := retrieveCredentials(ctx, cfg, opts)
	if err != nil {
		return Token{}, err
	}
	endpoint := sts.NewFromConfig(cfg).Options().EndpointOptions
	token, err := Presign(ctx, creds, PresignOptions{
		ClusterID: opts.ClusterID,
		Region:    cfg.Region,
		FIPS:      endpoint.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled,
		DualStack: endpoint.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled,
		Now:       opts.Now,
	})
	if err == nil && len(token.Value) > MaxLength {
		opts.Warn(fmt.Sprintf("the token has %d bytes, but servers look at no more than %d: use credentials with a shorter session token (fewer session tags or policies)",
			len(token.Value), MaxLength))
	}
	return token, err
}

func (o GenerateOptions) withDefaults() GenerateOptions {
	if o.Prompt == nil {
		o.Prompt = PromptTerminal
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Check finds the mistakes that need no network and no file to be found. Generate
// checks too.
func (o GenerateOptions) Check() error {
	if err := CheckClusterID(o.ClusterID); err != nil {
		return err
	}
	if o.RoleARN != "" {
		if role, err := iam.ParsePrincipal(o.RoleARN); err != nil {
			return fmt.Errorf("role to assume: %w", err)
		} else if role.Kind != iam.Role || role.SessionName != "" {
			return fmt.Errorf("role to assume: %q is not the ARN of a role, want arn:PARTITION:iam::ACCOUNT:role/NAME", o.RoleARN)
		}
	}
	if o.Region != "" {
		if err := checkRegionName(o.Region); err != nil {
			return err
		}
	}
	if o.SessionName != "" && o.ForwardSessionName {
		return fmt.Errorf("session name %q: a session name and a forwarded one exclude each other", o.SessionName)
	}
	if o.SessionName != "" && !all(o.SessionName, 2, 64, isSessionNameByte) {
		return fmt.Errorf("session name %q, want 2 to 64 ASCII letters, digits and characters of _+=,.@-", o.SessionName)
	}
	if d := o.SessionDuration; d != 0 && (d < 15*time.Minute || d > 12*time.Hour || d%time.Second != 0) {
		return fmt.Errorf("session duration %v, want whole seconds from 15m to 12h", d)
	}
	return nil
}

// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func isSessionNameByte(c byte) bool {
	switch c {
	case '_', '+', '=', ',', '.', '@', '-':
		return true
	}
	return isAlphanumeric(c)
}

// PresignOptions says what a token is for.
type PresignOptions struct {
	// ClusterID names the cluster. Required.
	ClusterID string
	// Region is the region whose STS endpoint the token is for. Required.
	Region string
	// FIPS and DualStack choose that variant of the endpoint. The default is
	// neither.
	FIPS, DualStack bool
	// Now is the clock. The default is time.Now.
	Now func() time.Time
}

const (
	// presignExpires is the X-Amz-Expires of a token, in seconds. STS and servers
	// go by Lifetime; aws-iam-authenticator and the AWS CLI say 60, and so do we.
	presignExpires = 60
	// emptyHash is the SHA-256 of the body of a GET.
	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Presign makes a token that is signed with creds. It calls nobody. It is for
// programs that have credentials and a region of their own; others use Generate.
func Presign(ctx context.Context, creds aws.Credentials, opts PresignOptions) (Token, error) {
	if err := CheckClusterID(opts.ClusterID); err != nil {
		return Token{}, err
	}
	if err := checkRegionName(opts.Region); err != nil {
		return Token{}, err
	}
	if !creds.HasKeys() {
		return Token{}, errors.New("credentials without an access key ID or secret access key")
	}
	now := time.Now()
	if opts.Now != nil {
		now = opts.Now()
	}
	now = now.UTC().Truncate(time.Second) // as X-Amz-Date is
	if creds.CanExpire && !now.Before(creds.Expires) {
		return Token{}, fmt.Errorf("the credentials of access key %s expired at %s: get new ones, or set the clock, which says %s",
			creds.AccessKeyID, creds.Expires.UTC().Format(time.RFC3339), now.Format(time.RFC3339))
	}
	host, err := regionalHost(opts.Region, opts.FIPS, opts.DualStack)
	if err != nil {
		return Token{}, fmt.Errorf("STS endpoint of region %q: %w", opts.Region, err)
	}
	query := url.Values{
		"Action":        {action},
		"Version":       {apiVersion},
		"X-Amz-Expires": {strconv.Itoa(presignExpires)},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/?"+query.Encode(), nil)
	if err != nil {
		return Token{}, fmt.Errorf("STS endpoint of region %q: %w", opts.Region, err)
	}
	request.Header.Set(ClusterIDHeader, opts.ClusterID)
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, creds, request, emptyHash, "sts", opts.Region, now)
	if err != nil {
		return Token{}, fmt.Errorf("presign GetCallerIdentity: %w", err)
	}
	expiration := now.Add(Lifetime - expiryMargin)
	if creds.CanExpire && creds.Expires.Before(expiration) {
		expiration = creds.Expires.UTC()
	}
	return Token{Value: Prefix + base64.RawURLEncoding.EncodeToString([]byte(signed)), Expiration: expiration}, nil
}

// checkRoleRegion returns an error if a role can't be assumed in a region, as it
// is in another partition. Regions that aren't known are let pass.
func checkRoleRegion(roleARN, region string) error {
	partition, known := iam.PartitionOfRegion(region)
	if roleARN == "" || !known {
		return nil
	}
	role, err := iam.ParsePrincipal(roleARN)
	if err != nil || role.Partition == partition.ID {
		return err
	}
	home, _ := iam.LookupPartition(role.Partition)
	return fmt.Errorf("role %s is in the partition %s, but the region %s is in %s: give a region of the role's partition, such as %s",
		roleARN, role.Partition, region, partition.ID, home.DefaultRegion)
}
