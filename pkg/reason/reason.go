// Package reason lists the reason codes that name why a login was decided as it was.
//
// The same code stands in the log line, the metric label, status.error of the
// TokenReview and the output of the command line, so that one search finds all
// of them. The list is closed: nothing a caller sends can add to it.
package reason

import (
	"errors"
	"fmt"
	"strings"
)

// Code names one reason. Codes are stable: dashboards and runbooks refer to them.
type Code string

// The reason codes, by outcome.
const (
	// Granted is the reason of every successful login.
	Granted Code = "Granted"

	// Tokens that can never become valid.
	ForeignToken       Code = "ForeignToken"       // not one of ours: no k8s-aws-v1. prefix
	MalformedToken     Code = "MalformedToken"     // not exactly a presigned GetCallerIdentity request
	EndpointNotAllowed Code = "EndpointNotAllowed" // signed for a host that is not a known STS endpoint
	TokenExpired       Code = "TokenExpired"       // more than 15 minutes old
	SignatureMismatch  Code = "SignatureMismatch"  // STS: cluster ID, a signed header or the secret key differs
	CredentialsInvalid Code = "CredentialsInvalid" // STS: no such access key, or it is disabled
	CredentialsExpired Code = "CredentialsExpired" // STS: the session behind the token has ended

	// Logins that are refused now and could be accepted after a change.
	TokenFromFuture              Code = "TokenFromFuture"              // dated ahead of our clock
	STSRejected                  Code = "STSRejected"                  // STS refused the request for a reason not listed here
	PartitionMismatch            Code = "PartitionMismatch"            // a principal of another AWS partition
	NotMapped                    Code = "NotMapped"                    // no mapping for the principal
	EntryInvalid                 Code = "EntryInvalid"                 // the principal's mapping has a mistake in it
	PrincipalIDMismatch          Code = "PrincipalIDMismatch"          // the mapping pins another unique ID
	SessionNameRefused           Code = "SessionNameRefused"           // sessionNamePattern does not match
	TemporaryCredentialsRequired Code = "TemporaryCredentialsRequired" // the mapping refuses long-term keys
	TemplateFailed               Code = "TemplateFailed"               // a username or group could not be rendered
	NameReserved                 Code = "NameReserved"                 // a rendered name has a reserved prefix
	NotAnInstance                Code = "NotAnInstance"                // the mapping is for EC2 instances, and the session is not named after one
	InstanceNotFound             Code = "InstanceNotFound"             // EC2 knows no such instance, or it has been terminated
	InstanceAccountMismatch      Code = "InstanceAccountMismatch"      // the instance is not in the caller's account
	InstanceRoleMismatch         Code = "InstanceRoleMismatch"         // the instance does not have the caller's role
	NodeRoleShared               Code = "NodeRoleShared"               // others than EC2 may assume the role of the node
	NodeNameRefused              Code = "NodeNameRefused"              // not a name that such a node can have

	// Questions that could not be answered.
	STSThrottled     Code = "STSThrottled"     // STS asks us to slow down
	STSUnreachable   Code = "STSUnreachable"   // no connection, no answer in time, or a 5xx
	STSAnswerInvalid Code = "STSAnswerInvalid" // not the answer STS gives; nothing is believed of it
	Overloaded       Code = "Overloaded"       // more calls to STS in flight than are allowed
	EC2Throttled     Code = "EC2Throttled"     // EC2 or IAM, or our own bound, allows no further call in time
	EC2Unavailable   Code = "EC2Unavailable"   // EC2 or IAM gives no answer, or none that is understood
	EC2AccessDenied  Code = "EC2AccessDenied"  // this server may not ask EC2 or IAM
	MapperNotReady   Code = "MapperNotReady"   // a source of mappings has not been read yet
	AuditFailed      Code = "AuditFailed"      // the audit record could not be written, and is required
	Canceled         Code = "Canceled"         // the API server gave up waiting
	Internal         Code = "Internal"         // a defect of this program
)

// Outcome says how a reason is answered; see Code.Outcome.
type Outcome int

const (
	// Unavailable means that no answer was found: 503, the caller tries again.
	// It is the zero value, so that an unknown error never becomes a denial.
	Unavailable Outcome = iota
	// Rejected means that the token can never become valid: a plain
	// "authenticated: false", which the API server may cache.
	Rejected
	// Denied means that the login could become valid: "authenticated: false" with
	// an error, which the API server does not cache.
	Denied
	// Accepted means that the caller is who the token says and has a name here.
	Accepted
)

// String returns the outcome in one lower-case word, as in logs and metrics.
func (o Outcome) String() string {
	switch o {
	case Rejected:
		return "rejected"
	case Denied:
		return "denied"
	case Accepted:
		return "granted"
	default:
		return "unavailable"
	}
}

type info struct {
	code    Code
	outcome Outcome
	hint    string
}

// table is the closed list, in the order in which documentation shows it.
var table = [...]info{
	{Granted, Accepted, ""},
	{ForeignToken, Rejected, "the token was made by something else; other authenticators of the API server may accept it"},
	{MalformedToken, Rejected, "make the token with 'authenticator token' or 'aws eks get-token'"},
	{EndpointNotAllowed, Rejected, "check --region of the client, and --partition and stsRegions of the server"},
	{TokenExpired, Rejected, "make a new token; a token lives 15 minutes; check the client's clock"},
	{SignatureMismatch, Rejected, "check that the client's cluster ID is the server's, and that its secret key is right"},
	{CredentialsInvalid, Rejected, "check that the access key exists and is active (aws sts get-caller-identity)"},
	{CredentialsExpired, Rejected, "renew the client's AWS session (aws sso login, or assume the role again)"},
	{TokenFromFuture, Denied, "synchronise the clocks of the client and of this server"},
	{STSRejected, Denied, "try 'aws sts get-caller-identity' with the same credentials and region"},
	{PartitionMismatch, Denied, "set --partition of the server to the partition of its principals"},
	{NotMapped, Denied, "add a mapping for the canonical ARN"},
	{EntryInvalid, Denied, "correct the mapping; the server's log says what is wrong with it"},
	{PrincipalIDMismatch, Denied, "the principal was deleted and created again: update the ID in the mapping if that was intended"},
	{SessionNameRefused, Denied, "assume the role with a session name that the mapping's sessionNamePattern accepts"},
	{TemporaryCredentialsRequired, Denied, "log in with a role session instead of a long-term access key"},
	{TemplateFailed, Denied, "correct the template of the mapping"},
	{NameReserved, Denied, "use a username and groups without a reserved prefix"},
	{NotAnInstance, Denied, "let instances assume the role, and people another one; whoever assumes it names the session"},
	{InstanceNotFound, Denied, "check that the instance exists in the region and the account of this server, or of ec2DescribeInstancesRoleARN"},
	{InstanceAccountMismatch, Denied, "check who assumed the role: a node's role is in the account of its instance"},
	{InstanceRoleMismatch, Denied, "check who assumed the role, and the instance profile of the instance; see nodeProof"},
	{NodeRoleShared, Denied, "let nobody but EC2 assume the role of nodes; see nodeRoleExclusive"},
	{NodeNameRefused, Denied, "give the session, or the node, a name that the mapping's type of node has; see docs/nodes.md"},
	{STSThrottled, Unavailable, "wait; if it lasts, look for a client that makes many tokens"},
	{STSUnreachable, Unavailable, "check this server's way to the STS endpoint (DNS, routes, proxies)"},
	{STSAnswerInvalid, Unavailable, "look for a proxy between this server and STS"},
	{Overloaded, Unavailable, "look for a client that makes many tokens, or for an STS that hangs; see stsConcurrency"},
	{EC2Throttled, Unavailable, "wait; if it lasts, see ec2DescribeInstancesQps, and look for what else calls EC2 in the account"},
	{EC2Unavailable, Unavailable, "check this server's AWS region, and its way to EC2 and IAM (DNS, routes, proxies)"},
	{EC2AccessDenied, Unavailable, "give this server AWS credentials that allow ec2:DescribeInstances and iam:GetInstanceProfile"},
	{MapperNotReady, Unavailable, "wait until /readyz?verbose shows every mapper as ready"},
	{AuditFailed, Unavailable, "see to the disk of the audit file; /readyz?verbose says what is wrong with it"},
	{Canceled, Unavailable, "the client ended the request before it was answered"},
	{Internal, Unavailable, "report this as a defect"},
}

// Codes returns every reason code.
func Codes() []Code {
	codes := make([]Code, len(table))
	for i := range table {
		codes[i] = table[i].code
	}
	return codes
}

func (c Code) info() info {
	for i := range table {
		if table[i].code == c {
			return table[i]
		}
	}
	return info{code: c, outcome: Unavailable}
}

// Outcome returns how a decision for this reason is answered.
func (c Code) Outcome() Outcome { return c.info().outcome }

// Hint returns what to try next, in a clause without a full stop. It names no
// caller and no secret. It is empty for Granted.
func (c Code) Hint() string { return c.info().hint }

// troubleshooting has a section for each code.
const troubleshooting = "https://github.com/iam-authenticator/authenticator/blob/main/docs/troubleshooting.md"

// URL returns where to read what the reason means and how to mend it. It is empty where
// there is nothing to mend.
func (c Code) URL() string {
	if c.Hint() == "" {
		return ""
	}
	return troubleshooting + "#" + strings.ToLower(string(c))
}

// Error is an error with a reason code. Its text may be shown to whoever reads
// the API server's log: it never contains a token, a signature or a secret.
type Error struct {
	Code   Code
	Detail string // what was wrong, lower case, without the code; may be empty
	Err    error  // the cause, or nil
}

// New returns an Error with a formatted detail. A %w verb in format sets its cause.
func New(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Detail: err.Error(), Err: errors.Unwrap(err)}
}

// Error returns "Code: detail".
func (e *Error) Error() string {
	if e.Detail == "" {
		return string(e.Code)
	}
	return string(e.Code) + ": " + e.Detail
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Of returns the reason code of err: Granted for nil, Internal for an error
// that carries none.
func Of(err error) Code {
	if err == nil {
		return Granted
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
