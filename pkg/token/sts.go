package token

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"sigs.k8s.io/json"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// maxAnswer bounds the body of an answer, in bytes. STS sends about 400.
const maxAnswer = 64 << 10

// stsClient has STS answer presigned requests.
type stsClient struct {
	transport http.RoundTripper
	userAgent string
	timeout   time.Duration
	now       func() time.Time
}

// getCallerIdentity sends r, signed for the given cluster, and returns who STS
// says signed it. Errors are *reason.Error; they quote nothing of an answer but
// the error code, as STS echoes requests in its messages.
func (c *stsClient) getCallerIdentity(ctx context.Context, r Request, clusterID string) (iam.Identity, error) {
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(callCtx, http.MethodGet, r.URL(), nil)
	if err != nil {
		return iam.Identity{}, reason.New(reason.Internal, "request to STS could not be built")
	}
	req.Header.Set(ClusterIDHeader, clusterID)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)

	// A transport, unlike a client, follows no redirect and keeps no cookie.
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return iam.Identity{}, c.callFailed(ctx, r.Host, err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		// Its "body" is the bare connection, which no context ends.
		_ = resp.Body.Close()
		return iam.Identity{}, reason.New(reason.STSAnswerInvalid, "%s answered %d", r.Host, resp.StatusCode)
	}
	// Closing without draining gives up the connection if the body is too long.
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return iam.Identity{}, c.callFailed(ctx, r.Host, err)
	}
	if len(body) > maxAnswer {
		return iam.Identity{}, reason.New(reason.STSAnswerInvalid, "%s answered %d with over %d bytes", r.Host, resp.StatusCode, maxAnswer)
	}
	if resp.StatusCode != http.StatusOK {
		return iam.Identity{}, c.refusal(r.Host, resp, body)
	}
	return parseAnswer(r, body)
}

// callFailed tells a caller that went away from an STS that did not answer.
func (c *stsClient) callFailed(ctx context.Context, host string, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return reason.New(reason.Canceled, "the request was cancelled while %s was asked", host)
	case errors.Is(err, context.DeadlineExceeded):
		return reason.New(reason.STSUnreachable, "%s gave no answer in time (at most %s)", host, c.timeout)
	default:
		return reason.New(reason.STSUnreachable, "call to %s: %s", host, describe(err))
	}
}

// describe says why a call failed in words of ours: the HTTP library quotes what it
// couldn't parse, which may be an echo of the request.
func describe(err error) string {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "certificate: " + quote(e.Err.Error())
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "the name could not be resolved"
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return "timeout"
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the connection was closed before the answer was complete"
	}
	return "no valid HTTP answer"
}

// parseAnswer reads the one form that a GetCallerIdentity answer has. Fields that
// AWS may add are let pass; a field twice, or anything behind the end, is not.
func parseAnswer(r Request, body []byte) (iam.Identity, error) {
	var answer struct {
		Response struct {
			Result struct {
				Account string `json:"Account"`
				ARN     string `json:"Arn"`
				UserID  string `json:"UserId"`
			} `json:"GetCallerIdentityResult"`
		} `json:"GetCallerIdentityResponse"`
	}
	if err := unmarshalStrict(body, &answer); err != nil {
		return iam.Identity{}, reason.New(reason.STSAnswerInvalid, "%s answered 200 with something else than a GetCallerIdentity answer in JSON", r.Host)
	}
	result := answer.Response.Result
	id, err := iam.NewIdentity(result.ARN, result.Account, result.UserID, r.AccessKeyID)
	if err != nil {
		return iam.Identity{}, reason.New(reason.STSAnswerInvalid, "%s answered 200: %w", r.Host, err)
	}
	return id, nil
}

// unmarshalStrict decodes JSON, minding letter case and refusing repeated fields.
func unmarshalStrict(data []byte, into any) error {
	strict, err := json.UnmarshalStrict(data, into, json.DisallowDuplicateFields)
	return errors.Join(append(strict, err)...)
}

// The codes with which STS refuses a presigned GetCallerIdentity request:
// https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
var refusals = map[string]reason.Code{
	"SignatureDoesNotMatch":      reason.SignatureMismatch,
	"InvalidClientTokenId":       reason.CredentialsInvalid,
	"UnrecognizedClient":         reason.CredentialsInvalid,
	"ExpiredToken":               reason.CredentialsExpired,
	"RequestExpired":             reason.TokenExpired,
	"IncompleteSignature":        reason.MalformedToken,
	"MissingAuthenticationToken": reason.MalformedToken,
}

// refusal turns an answer other than 200 into an error. It goes by the HTTP status
// and the error code alone: the message may hold what the caller wrote. The one
// exception is how STS says that a signature is too old or too young, which is the
// code SignatureDoesNotMatch with a message that begins with words of STS's own.
func (c *stsClient) refusal(host string, resp *http.Response, body []byte) error {
	var answer struct {
		Error struct {
			Code    string `json:"Code"`
			Message string `json:"Message"`
		} `json:"Error"`
	}
	if err := unmarshalStrict(body, &answer); err != nil {
		answer.Error.Code = ""
	}
	code := answer.Error.Code
	name := strings.TrimSuffix(code, "Exception")
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	switch {
	case throttled || code == "Throttling" || resp.StatusCode == http.StatusTooManyRequests:
		return reason.New(reason.STSThrottled, "%s asks for fewer calls", host)
	case resp.StatusCode >= 500:
		return reason.New(reason.STSUnreachable, "%s answered %d", host, resp.StatusCode)
	case resp.StatusCode < 400 || !isErrorCode(code):
		return reason.New(reason.STSAnswerInvalid, "%s answered %d without an error code of STS", host, resp.StatusCode)
	case name == "SignatureDoesNotMatch" && strings.HasPrefix(answer.Error.Message, "Signature expired:"):
		return reason.New(reason.TokenExpired, "%s says that the signature is too old%s", host, c.skew(resp))
	case name == "SignatureDoesNotMatch" && strings.HasPrefix(answer.Error.Message, "Signature not yet current:"):
		return reason.New(reason.TokenFromFuture, "%s says that the signature is from the future%s", host, c.skew(resp))
	}
	if found, ok := refusals[name]; ok {
		detail := fmt.Sprintf("%s answered %s", host, name)
		switch found {
		case reason.SignatureMismatch:
			detail += ": the token was signed for another cluster ID, or with a wrong secret key"
		case reason.TokenExpired:
			detail += c.skew(resp)
		}
		return reason.New(found, "%s", detail)
	}
	return reason.New(reason.STSRejected, "%s answered %d %s", host, resp.StatusCode, code)
}

// skew says how far STS's clock is from ours, if by a second or more.
func (c *stsClient) skew(resp *http.Response) string {
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return ""
	}
	switch skew := date.Sub(c.now()).Round(time.Second); {
	case skew > time.Second:
		return fmt.Sprintf("; this server's clock is %s behind that of STS", skew)
	case skew < -time.Second:
		return fmt.Sprintf("; this server's clock is %s ahead of that of STS", -skew)
	default:
		return ""
	}
}

// isErrorCode tells whether s looks like an AWS error code, so that a proxy's
// answer does not get a word of its own into the log.
func isErrorCode(s string) bool { return all(s, 1, 64, isAlphanumeric) }
