// Package eks is a client of the few operations of Amazon EKS that authenticator uses.
//
// The SDK's own client is not used: kubectl starts this program for every call, and
// would pay for its size and its initialisation each time.
package eks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go/encoding/httpbinding"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	// timeout bounds an operation with its retries.
	timeout = 30 * time.Second
	// maxBody is the largest answer read, in bytes. EKS's are some kilobytes.
	maxBody = 1 << 20
	// emptyHash is the SHA-256 of the body of a GET.
	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Client asks EKS in one region, as one AWS identity. It is safe for concurrent use.
type Client struct {
	region      string
	endpoint    *url.URL
	credentials aws.CredentialsProvider
	http        aws.HTTPClient
	retryer     *retry.Standard
	signer      *v4.Signer
	userAgent   string
}

// New returns a client for the region, endpoint, credentials and number of attempts that
// an AWS configuration has. userAgent is this program's name and version.
func New(cfg aws.Config, userAgent string) (*Client, error) {
	endpoint, err := resolveEndpoint(cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{
		region:      cfg.Region,
		endpoint:    endpoint,
		credentials: cfg.Credentials,
		http:        cfg.HTTPClient,
		signer:      v4.NewSigner(),
		userAgent:   userAgent,
		retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			if cfg.RetryMaxAttempts > 0 {
				o.MaxAttempts = cfg.RetryMaxAttempts
			}
		}),
	}
	if c.http == nil {
		c.http = awshttp.NewBuildableClient() // as the SDK would
	}
	return c, nil
}

// Region returns the AWS region that the client asks in.
func (c *Client) Region() string { return c.region }

// get performs the operation that is a GET of the path with the given segments, and
// decodes the answer into out.
func (c *Client) get(ctx context.Context, operation string, path []string, query url.Values, out any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := c.once(ctx, operation, path, query, out)
		if err == nil || attempt >= c.retryer.MaxAttempts() || !c.retryer.IsErrorRetryable(err) {
			return err
		}
		delay, delayErr := c.retryer.RetryDelay(attempt, err)
		if delayErr != nil {
			return err
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return err
		}
	}
}

// once makes one attempt.
func (c *Client) once(ctx context.Context, operation string, path []string, query url.Values, out any) error {
	request, err := c.request(ctx, path, query)
	if err != nil {
		return fmt.Errorf("EKS %s: %w", operation, err)
	}
	credentials, err := c.credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("get AWS credentials (choose a profile with --profile or AWS_PROFILE, or log in with \"aws sso login\"): %w", err)
	}
	if err := c.signer.SignHTTP(ctx, credentials, request, emptyHash, "eks", c.region, time.Now()); err != nil {
		return fmt.Errorf("EKS %s: sign the request: %w", operation, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("EKS %s: %w", operation, &smithyhttp.RequestSendError{Err: err})
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	switch {
	case err != nil:
		return fmt.Errorf("EKS %s: read the answer: %w", operation, &smithyhttp.RequestSendError{Err: err})
	case len(body) > maxBody:
		return fmt.Errorf("EKS %s: the answer has more than %d bytes: is %s EKS?", operation, maxBody, c.endpoint)
	case response.StatusCode != http.StatusOK:
		return parseError(operation, response, body)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("EKS %s: the answer is not the JSON expected: is %s EKS? %w", operation, c.endpoint, err)
	}
	return nil
}

func (c *Client) request(ctx context.Context, path []string, query url.Values) (*http.Request, error) {
	u := *c.endpoint
	u.Path = strings.TrimSuffix(u.Path, "/")
	u.RawPath = u.EscapedPath()
	for _, segment := range path {
		if segment == "" {
			return nil, errors.New("a name is empty") // what lies above it would be asked for
		}
		u.Path += "/" + segment
		u.RawPath += "/" + httpbinding.EscapePath(segment, true)
	}
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", c.userAgent)
	return request, nil
}
