package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/signin"
	"github.com/aws/aws-sdk-go-v2/service/sso"
	"github.com/aws/aws-sdk-go-v2/service/ssooidc"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// stsTimeout bounds a call to STS with its retries.
const stsTimeout = 30 * time.Second

// retrieveCredentials returns the credentials that are to sign the token: those
// of the assumed role if there is one, else those of the AWS configuration.
func retrieveCredentials(ctx context.Context, cfg aws.Config, opts GenerateOptions) (aws.Credentials, error) {
	if !opts.Cache {
		return fetchCredentials(ctx, cfg, opts)
	}
	cache, err := openCache(opts)
	if err != nil {
		opts.Warn("credentials are not cached: " + err.Error())
		return fetchCredentials(ctx, cfg, opts)
	}
	key, err := cacheKey(cfg, opts)
	if err != nil {
		opts.Warn("credentials are not cached: " + err.Error())
		return fetchCredentials(ctx, cfg, opts)
	}
	if creds, ok := cache.get(key); ok {
		return creds, nil
	}
	creds, err := fetchCredentials(ctx, cfg, opts)
	if err != nil {
		return aws.Credentials{}, err
	}
	// If somebody logged in meanwhile, or the SDK refreshed the login, there is no
	// telling whose credentials these are. The next call will cache its own.
	if after, err := cacheKey(cfg, opts); err == nil && after == key {
		cache.put(ctx, key, creds)
	}
	return creds, nil
}

func fetchCredentials(ctx context.Context, cfg aws.Config, opts GenerateOptions) (aws.Credentials, error) {
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, explainCredentials(ctx, cfg, err)
	}
	if opts.RoleARN == "" {
		return creds, nil
	}
	client := sts.NewFromConfig(cfg)
	if opts.ForwardSessionName {
		name, err := currentSessionName(ctx, client)
		if err != nil {
			return aws.Credentials{}, err
		}
		if opts.SessionName = name; name == "" {
			opts.Warn("there is no session name to forward: the current credentials are not those of a role's session")
		}
	}
	return assumeRole(ctx, client, opts)
}

// currentSessionName returns the name of the session that makes the call, or ""
// if the caller is none.
func currentSessionName(ctx context.Context, client *sts.Client) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stsTimeout)
	defer cancel()
	out, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", fmt.Errorf("get the session name to forward: %w", err)
	}
	caller, err := iam.ParsePrincipal(aws.ToString(out.Arn))
	if err != nil {
		return "", fmt.Errorf("get the session name to forward: %w", err)
	}
	return caller.SessionName, nil
}

func assumeRole(ctx context.Context, client *sts.Client, opts GenerateOptions) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, stsTimeout)
	defer cancel()
	in := &sts.AssumeRoleInput{RoleArn: &opts.RoleARN, RoleSessionName: &opts.SessionName}
	if opts.SessionName == "" {
		in.RoleSessionName = aws.String("authenticator-" + strconv.FormatInt(opts.Now().UnixNano(), 10))
	}
	if opts.ExternalID != "" {
		in.ExternalId = &opts.ExternalID
	}
	if opts.SessionDuration != 0 {
		in.DurationSeconds = aws.Int32(int32(opts.SessionDuration / time.Second))
	}
	out, err := client.AssumeRole(ctx, in)
	if err != nil {
		return aws.Credentials{}, explainAssumeRole(opts, err)
	}
	if out.Credentials == nil {
		return aws.Credentials{}, fmt.Errorf("assume role %s: STS answered without credentials", opts.RoleARN)
	}
	return aws.Credentials{
		AccessKeyID:     aws.ToString(out.Credentials.AccessKeyId),
		SecretAccessKey: aws.ToString(out.Credentials.SecretAccessKey),
		SessionToken:    aws.ToString(out.Credentials.SessionToken),
		CanExpire:       true,
		Expires:         aws.ToTime(out.Credentials.Expiration),
		Source:          "AssumeRole",
	}, nil
}

// mfaError is the lack of an MFA code.
type mfaError struct{ error }

func (e *mfaError) Unwrap() error { return e.error }

// mfaCode asks for the code that a profile with an mfa_serial needs.
func (o GenerateOptions) mfaCode(ctx context.Context) (string, error) {
	if o.NonInteractive {
		return "", &mfaError{errors.New("there is nobody to ask: kubectl runs it without a user (spec.interactive is false), as its input is in use or interactiveMode in the kubeconfig is Never; with --cache, the credentials of a call from a terminal serve here too until they expire")}
	}
	answer, err := o.Prompt(ctx, "Assume Role MFA token code: ")
	if err != nil {
		return "", &mfaError{err}
	}
	code := strings.TrimSpace(answer)
	if !all(code, 6, 6, func(c byte) bool { return '0' <= c && c <= '9' }) {
		return "", &mfaError{fmt.Errorf("got one of %d characters, want 6 digits", len(code))}
	}
	return code, nil
}

// The functions below put into words what went wrong and what to do about it,
// before the SDK's own error, which is wrapped.

func explainConfig(err error) error {
	if missing, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
		return fmt.Errorf("the AWS profile %q does not exist: \"aws configure list-profiles\" lists those that do: %w", missing.Profile, err)
	}
	return fmt.Errorf("read the AWS configuration: %w", err)
}

func explainCredentials(ctx context.Context, cfg aws.Config, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	_, profile, _ := configSources(cfg)
	_, noCode := errors.AsType[*mfaError](err)
	switch {
	case noCode:
		return fmt.Errorf("the AWS profile %q needs an MFA code: %w", profile.Profile, err)
	case lacksLogin(profile, err, usesSSO, sso.ServiceID, ssooidc.ServiceID):
		return fmt.Errorf("the SSO session of the AWS profile %q has expired or was never started: run \"aws sso login%s\": %w",
			profile.Profile, profileFlag(profile), err)
	case lacksLogin(profile, err, usesLogin, signin.ServiceID):
		return fmt.Errorf("the login session of the AWS profile %q has expired or was never started: run \"aws login%s\": %w",
			profile.Profile, profileFlag(profile), err)
	case isFrom(err, imds.ServiceID):
		return fmt.Errorf("no AWS credentials found: choose a profile (--profile or AWS_PROFILE), log in (\"aws sso login\"), set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run \"aws configure\" (EC2 instance metadata has none either: %w)", err)
	case isFrom(err, sts.ServiceID):
		return fmt.Errorf("assume the role of the AWS profile %q: %w", profile.Profile, err)
	default:
		return fmt.Errorf("get AWS credentials: %w", err)
	}
}

func explainAssumeRole(opts GenerateOptions, err error) error {
	hint := ""
	if refusal, ok := errors.AsType[smithy.APIError](err); ok {
		switch code, message := refusal.ErrorCode(), refusal.ErrorMessage(); {
		case code == "AccessDenied":
			hint = "not allowed: the role's trust policy must name you (and the external ID, if it asks for one), and your own policies must allow sts:AssumeRole: "
		case code == "ValidationError" && strings.Contains(message, "DurationSeconds"):
			hint = fmt.Sprintf("a session of %v is too long: the role's maximum session duration is less, or a role assumes it, for which an hour is the most: ", opts.SessionDuration)
		case code == "ExpiredToken":
			hint = "your current credentials have expired: "
		}
	}
	return fmt.Errorf("assume role %s: %s%w", opts.RoleARN, hint, err)
}

// lacksLogin tells whether err says that a profile has no valid login: nothing
// usable is on disk, or one of the services refused it.
func lacksLogin(profile config.SharedConfig, err error, uses func(config.SharedConfig) bool, services ...string) bool {
	if !slices.ContainsFunc(profileChain(profile), uses) {
		return false
	}
	if refusal, ok := errors.AsType[smithy.APIError](err); ok {
		return isFrom(err, services...) && slices.Contains([]string{
			"UnauthorizedException", "InvalidGrantException", "ExpiredTokenException",
			"InvalidClientException", "UnauthorizedClientException", "AccessDeniedException",
		}, refusal.ErrorCode())
	}
	_, unreachable := errors.AsType[*smithyhttp.RequestSendError](err)
	return !unreachable
}

// isFrom tells whether err arose in a call to one of the services. Of nested
// calls, such as those for the credentials to make a call with, the innermost
// counts.
func isFrom(err error, services ...string) bool {
	service := ""
	for {
		operation, ok := errors.AsType[*smithy.OperationError](err)
		if !ok {
			return slices.Contains(services, service)
		}
		service, err = operation.ServiceID, operation.Err
	}
}

func usesSSO(p config.SharedConfig) bool   { return p.SSOAccountID != "" || p.SSOSessionName != "" }
func usesLogin(p config.SharedConfig) bool { return p.LoginSession != "" }

// profileChain returns a profile and the source profiles that it leads to.
func profileChain(p config.SharedConfig) []config.SharedConfig {
	chain := []config.SharedConfig{p}
	for p.Source != nil {
		p = *p.Source
		chain = append(chain, p)
	}
	return chain
}

func profileFlag(p config.SharedConfig) string {
	if p.Profile == "" || p.Profile == config.DefaultSharedConfigProfile {
		return ""
	}
	return " --profile " + p.Profile
}

// configSources returns what the SDK read from the environment and the files.
func configSources(cfg aws.Config) (env config.EnvConfig, profile config.SharedConfig, ok bool) {
	var haveEnv, haveProfile bool
	for _, source := range cfg.ConfigSources {
		switch s := source.(type) {
		case config.EnvConfig:
			env, haveEnv = s, true
		case config.SharedConfig:
			profile, haveProfile = s, true
		}
	}
	return env, profile, haveEnv && haveProfile
}
