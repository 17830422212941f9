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

// said is what STS says: who a caller is, and what it calls its answer, which it does
// when it refuses, too.
type said struct {
	iam.Identity
	requestID string
	mapped    bool // somebody cares for the identity
}

// getCallerIdentity sends r, signed for the given cluster, and returns who STS
// says signed it. Errors are *reason.Error; they quote nothing of an answer but
// the error code, as STS echoes requests in its messages.
func (c *stsClient) getCallerIdentity(ctx context.Context, r Request, clusterID string) (said, error) {
	a, err := c.get(ctx, r.Host, r.URL(), clusterID)
	if err != nil {
		return said{}, err
	}
	s := said{requestID: a.requestID()}
	if a.status != http.StatusOK {
		return s, c.refusal(r.Host, a)
	}
	s.Identity, err = parseAnswer(r, a.body)
	return s, err
}

// probe sends a host a request that nobody signed, and returns how STS refuses it: an
// error in any case. Callers can't influence what such a request meets.
func (c *stsClient) probe(ctx context.Context, host string) error {
	a, err := c.get(ctx, host, "https://"+host+"/?Action="+action+"&Version="+apiVersion, "")
	switch {
	case err != nil:
		if t, ok := c.transport.(*Transport); ok {
			t.CloseIdle(host) // the next probe gets a connection of its own
		}
		return err
	case a.status == http.StatusOK:
		return reason.New(reason.STSAnswerInvalid, "%s answers what nobody signed", host)
	}
	return c.refusal(host, a)
}

// answer is one whole HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// get makes one call and reads the answer. The cluster ID is left out if empty.
func (c *stsClient) get(ctx context.Context, host, url, clusterID string) (answer, error) {
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(callCtx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, reason.New(reason.Internal, "request to STS could not be built")
	}
	if clusterID != "" {
		req.Header.Set(ClusterIDHeader, clusterID)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)

	// A transport, unlike a client, follows no redirect and keeps no cookie.
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return answer{}, c.callFailed(ctx, host, err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		// Its "body" is the bare connection, which no context ends.
		_ = resp.Body.Close()
		return answer{}, reason.New(reason.STSAnswerInvalid, "%s answered %d", host, resp.StatusCode)
	}
	// Closing without draining gives up the connection if the body is too long.
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, c.callFailed(ctx, host, err)
	}
	if len(body) > maxAnswer {
		return answer{}, reason.New(reason.STSAnswerInvalid, "%s answered %d with over %d bytes", host, resp.StatusCode, maxAnswer)
	}
	return answer{resp.StatusCode, resp.Header, body}, nil
}

// requestID returns what STS calls the answer, if it looks like an ID, so that a proxy
// gets no word of its own into a log.
func (a answer) requestID() string {
	id := a.header.Get("X-Amzn-Requestid")
	if !all(id, 1, 64, func(c byte) bool { return c == '-' || isAlphanumeric(c) }) {
		return ""
	}
	return id
}

// callFailed tells a caller that went away from an STS that did not answer.
func (c *stsClient) callFailed(ctx context.Context, host string, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return reason.New(reason.Canceled, "the request was cancelled while %s was asked", host)
	case errors.Is(err, context.DeadlineExceeded):
		return reason.New(reason.STSUnreachable, "%s gave no answer in time (at most %s)", host, c.timeout)
	case isDeadConnection(err):
		return reason.New(reason.STSUnreachable, "call to %s: %w", host, errConnectionDied)
	default:
		return reason.New(reason.STSUnreachable, "call to %s: %s", host, describe(err))
	}
}

// errConnectionDied says that a connection ended before the answer was complete. It was
// most likely an old one: another try, on a new one, is worth while.
var errConnectionDied = errors.New("the connection was closed before the answer was complete")

func isDeadConnection(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
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
func (c *stsClient) refusal(host string, a answer) error {
	var failure struct {
		Error struct {
			Code    string `json:"Code"`
			Message string `json:"Message"`
		} `json:"Error"`
	}
	if err := unmarshalStrict(a.body, &failure); err != nil {
		failure.Error.Code = ""
	}
	code := failure.Error.Code
	name := strings.TrimSuffix(code, "Exception")
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	switch {
	case throttled || code == "Throttling" || a.status == http.StatusTooManyRequests:
		return reason.New(reason.STSThrottled, "%s asks for fewer calls", host)
	case isTransient(code, a.status):
		return reason.New(reason.STSUnreachable, "%s answered %d %s", host, a.status, codeOr(code))
	case a.status >= 500:
		return reason.New(reason.STSUnreachable, "%s answered %d", host, a.status)
	case a.status < 400 || !isErrorCode(code):
		return reason.New(reason.STSAnswerInvalid, "%s answered %d without an error code of STS", host, a.status)
	case name == "SignatureDoesNotMatch" && strings.HasPrefix(failure.Error.Message, "Signature expired:"):
		return reason.New(reason.TokenExpired, "%s says that the signature is too old%s", host, c.skew(a))
	case name == "SignatureDoesNotMatch" && strings.HasPrefix(failure.Error.Message, "Signature not yet current:"):
		return reason.New(reason.TokenFromFuture, "%s says that the signature is from the future%s", host, c.skew(a))
	}
	if found, ok := refusals[name]; ok {
		detail := fmt.Sprintf("%s answered %s", host, name)
		switch found {
		case reason.SignatureMismatch:
			detail += ": the token was signed for another cluster ID, or with a wrong secret key"
		case reason.TokenExpired:
			detail += c.skew(a)
		}
		return reason.New(found, "%s", detail)
	}
	return reason.New(reason.STSRejected, "%s answered %d %s", host, a.status, code)
}

// isTransient tells whether an error of any status says no more than "try again".
func isTransient(code string, status int) bool {
	switch status {
	case http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly:
		return true
	}
	if _, retryable := retry.DefaultRetryableErrorCodes[code]; retryable {
		return true
	}
	return code == "InternalFailure" || code == "InternalError" || code == "ServiceUnavailable"
}

// codeOr returns a code if it is one.
func codeOr(code string) string {
	if isErrorCode(code) {
		return code
	}
	return "without an error code of STS"
}

// skew says how far STS's clock is from ours, if by a second or more.
func (c *stsClient) skew(a answer) string {
	date, err := http.ParseTime(a.header.Get("Date"))
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
