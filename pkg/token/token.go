// Package token makes and verifies the bearer tokens of IAM logins.
//
// A token is a presigned STS GetCallerIdentity request: the prefix "k8s-aws-v1."
// and the unpadded base64url form of its URL. The signature covers the header
// x-k8s-aws-id, which names the cluster, so that a token for one cluster is
// worth nothing at another. Whoever has STS answer the request learns who signed
// it; the token says nothing else.
//
// Generate and Presign make tokens (the client's side), Verifier has STS answer
// them (the server's side). The format is that of aws-iam-authenticator and of
// "aws eks get-token".
package token

import "time"

const (
	// Prefix begins every token.
	Prefix = "k8s-aws-v1."
	// ClusterIDHeader is the signed header that names the cluster.
	ClusterIDHeader = "x-k8s-aws-id"
	// MaxLength is the longest token that is looked at, in bytes.
	MaxLength = 4096

	// Lifetime is how long STS answers a presigned request, from X-Amz-Date on
	// and whatever X-Amz-Expires says.
	Lifetime = 15 * time.Minute
	// expiryMargin is how long before the end of its life a token is reported as
	// expired to clients, so that none is sent that dies on the way.
	expiryMargin = time.Minute

	action        = "GetCallerIdentity"
	apiVersion    = "2011-06-15"
	algorithm     = "AWS4-HMAC-SHA256"
	signedHeaders = "host;" + ClusterIDHeader
	dateFormat    = "20060102T150405Z" // X-Amz-Date, in UTC
	maxExpires    = 900                // seconds, the most that X-Amz-Expires may say
)

// Token is a bearer token and the time after which it should not be used.
type Token struct {
	Value string
	// Expiration is Lifetime less a minute after the token was made, or when the
	// credentials that signed it end, if that is sooner.
	Expiration time.Time
}
