package node

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// denials are the codes with which EC2, IAM and STS, which is asked for credentials, say
// that this server may not call them.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
// https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
var denials = [...]string{
	"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "AuthFailure", "Blocked", "OptInRequired", "NotAuthorized",
	"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException",
	"RequestExpired", "IncompleteSignature",
}

// explain gives an error of the SDK its reason.
func explain(operation string, err error) error {
	if _, ok := errors.AsType[*reason.Error](err); ok {
		return err
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		if errors.Is(err, context.DeadlineExceeded) {
			return reason.New(reason.EC2Unavailable, "%s: no answer within %s: %w", operation, callTimeout, err)
		}
		return reason.New(reason.EC2Unavailable, "%s: %w", operation, err)
	}
	code := reason.EC2Unavailable
	_, throttle := retry.DefaultThrottleErrorCodes[api.ErrorCode()]
	switch {
	case throttle:
		code = reason.EC2Throttled
	case slices.Contains(denials[:], api.ErrorCode()):
		code = reason.EC2AccessDenied
	case operation == DescribeInstances && strings.HasPrefix(api.ErrorCode(), "InvalidInstanceID."):
		code = reason.InstanceNotFound
	case operation == GetInstanceProfile && api.ErrorCode() == "NoSuchEntity":
		code = reason.InstanceRoleMismatch
	}
	// Behind that are kilobytes for sts:DecodeAuthorizationMessage.
	message, _, _ := strings.Cut(api.ErrorMessage(), " Encoded authorization failure message")
	return &reason.Error{Code: code, Detail: operation + ": " + api.ErrorCode() + ": " + message, Err: err}
}

// instancesIn returns the IDs of instances in a message of EC2: "The instance IDs
// 'i-01234567, i-0123456789abcdef0' do not exist".
func instancesIn(message string) (ids []string) {
	words := strings.FieldsFunc(message, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
	for _, word := range words {
		if iam.IsInstanceID(word) {
			ids = append(ids, word)
		}
	}
	return ids
}
