package eks

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
)

// Error is an answer of EKS that is none. It is a smithy.APIError. The codes are those of
// https://docs.aws.amazon.com/eks/latest/APIReference/CommonErrors.html and of each
// operation's page.
type Error struct {
	Operation string // such as "DescribeCluster"
	Status    int    // of HTTP
	Code      string // such as "ResourceNotFoundException"; empty if it was not told
	Message   string
	RequestID string
}

func (e *Error) Error() string {
	text := fmt.Sprintf("EKS %s: %s", e.Operation, cmp.Or(e.Code, http.StatusText(e.Status), "no error code"))
	if e.Message != "" {
		text += ": " + e.Message
	}
	return fmt.Sprintf("%s (status %d, request ID %s)", text, e.Status, cmp.Or(e.RequestID, "unknown"))
}

// ErrorCode is that of smithy.APIError.
func (e *Error) ErrorCode() string { return e.Code }

// ErrorMessage is that of smithy.APIError.
func (e *Error) ErrorMessage() string { return e.Message }

// ErrorFault is that of smithy.APIError.
func (e *Error) ErrorFault() smithy.ErrorFault {
	if e.Status >= http.StatusInternalServerError {
		return smithy.FaultServer
	}
	return smithy.FaultClient
}

// HTTPStatusCode is what the SDK's retryer asks for.
func (e *Error) HTTPStatusCode() int { return e.Status }

// parseError reads an error in AWS's protocol REST-JSON. The code is in a header or in
// the body, between the namespace and a URL that some services add:
// https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization
func parseError(operation string, response *http.Response, body []byte) error {
	var doc struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"` // or "Message": letter case doesn't count here
	}
	_ = json.Unmarshal(body, &doc) // a proxy's answer may be anything; its status says enough
	code := cmp.Or(response.Header.Get("X-Amzn-Errortype"), doc.Code, doc.Type)
	code, _, _ = strings.Cut(code, ":")
	if _, name, ok := strings.Cut(code, "#"); ok {
		code = name
	}
	return &Error{
		Operation: operation,
		Status:    response.StatusCode,
		Code:      code,
		Message:   doc.Message,
		RequestID: response.Header.Get("X-Amzn-Requestid"),
	}
}

// explain puts before EKS's own words what to do about them.
func (c *Client) explain(err error, operation, missing string) error {
	refusal, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	switch refusal.Code {
	case "ResourceNotFoundException":
		return fmt.Errorf("there is no %s in the region %s of these credentials' account: check the name, --region and --profile: %w", missing, c.region, err)
	case "AccessDeniedException":
		return fmt.Errorf("not allowed: your IAM policies must allow eks:%s: %w", operation, err)
	case "UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException", "ExpiredTokenException", "MissingAuthenticationTokenException":
		return fmt.Errorf("AWS doesn't accept the credentials: get new ones, and check --profile, --region and the clock: %w", err)
	}
	return err
}
