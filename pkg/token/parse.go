package token

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// Request is what a token says: the few fields in which one presigned
// GetCallerIdentity request differs from another. The request that goes to STS is
// built from a Request alone, so nothing else of a token can reach STS.
type Request struct {
	Host          string    // lower case, without a port
	Region        string    // of the credential scope
	AccessKeyID   string    // whose secret signed the request
	Date          time.Time // when it was signed, UTC, to the second
	Expires       int       // X-Amz-Expires, 0 to 900 seconds; STS ignores it
	SecurityToken string    // of temporary credentials, else empty; secret
	Signature     string    // 64 lower-case hexadecimal digits; secret
}

// The query parameters of a presigned GetCallerIdentity request, in the order in
// which SigV4 sorts them.
const (
	paramAction = iota
	paramVersion
	paramAlgorithm
	paramCredential
	paramDate
	paramExpires
	paramSecurityToken
	paramSignature
	paramSignedHeaders
	paramCount
)

var paramNames = [paramCount]string{
	paramAction:        "Action",
	paramVersion:       "Version",
	paramAlgorithm:     "X-Amz-Algorithm",
	paramCredential:    "X-Amz-Credential",
	paramDate:          "X-Amz-Date",
	paramExpires:       "X-Amz-Expires",
	paramSecurityToken: "X-Amz-Security-Token",
	paramSignature:     "X-Amz-Signature",
	paramSignedHeaders: "X-Amz-SignedHeaders",
}

// Parse reads a token. It accepts exactly what Request can express, each
// parameter once, by its exact name, escaped as SigV4 escapes, in any order.
// Everything else is refused with a *reason.Error of the code ForeignToken or
// MalformedToken, which never quotes a secret. Parse knows no clock and no list of
// endpoints: see Request.CheckTime and Endpoints.Check.
func Parse(token string) (Request, error) {
	encoded, ok := strings.CutPrefix(token, Prefix)
	if !ok {
		return Request{}, reason.New(reason.ForeignToken, "no %s prefix", Prefix)
	}
	if len(token) > MaxLength {
		return Request{}, malformed("%d bytes, at most %d are possible", len(token), MaxLength)
	}
	// The decoder skips line ends wherever they stand, so that one token could be
	// spelt in many ways; strict mode minds the unused bits of the last character.
	if strings.ContainsAny(encoded, "\r\n") {
		return Request{}, malformed("line end in the base64 part")
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return Request{}, malformed("not unpadded base64url")
	}

	rest, ok := strings.CutPrefix(string(decoded), "https://")
	if !ok {
		return Request{}, malformed("not an https:// URL")
	}
	host, query, ok := strings.Cut(rest, "/?")
	if !ok {
		return Request{}, malformed("want https://HOST/?QUERY")
	}
	if !isHost(host) {
		return Request{}, malformed("host %s, want a lower-case DNS name without user, port and path", quote(host))
	}
	values, err := splitQuery(query)
	if err != nil {
		return Request{}, err
	}
	return newRequest(host, values)
}

func newRequest(host string, values [paramCount]string) (Request, error) {
	r := Request{
		Host:          host,
		SecurityToken: values[paramSecurityToken],
		Signature:     values[paramSignature],
	}
	if v := values[paramAction]; v != action {
		return Request{}, malformed("Action %s, want %s", quote(v), action)
	}
	if v := values[paramVersion]; v != apiVersion {
		return Request{}, malformed("Version %s, want %s", quote(v), apiVersion)
	}
	if v := values[paramAlgorithm]; v != algorithm {
		return Request{}, malformed("X-Amz-Algorithm %s, want %s", quote(v), algorithm)
	}
	if v := values[paramSignedHeaders]; v != signedHeaders {
		return Request{}, malformed("X-Amz-SignedHeaders %s, want %s", quote(v), signedHeaders)
	}

	var err error
	date := values[paramDate]
	// Formatting again refuses what the parser is lenient about.
	if r.Date, err = time.Parse(dateFormat, date); err != nil || r.Date.Format(dateFormat) != date {
		return Request{}, malformed("X-Amz-Date %s, want YYYYMMDDTHHMMSSZ", quote(date))
	}
	expires := values[paramExpires]
	if r.Expires, err = strconv.Atoi(expires); err != nil || strconv.Itoa(r.Expires) != expires || r.Expires < 0 || r.Expires > maxExpires {
		return Request{}, malformed("X-Amz-Expires %s, want 0 to %d", quote(expires), maxExpires)
	}
	scope := strings.Split(values[paramCredential], "/")
	if len(scope) != 5 || scope[1] != date[:8] || scope[3] != "sts" || scope[4] != "aws4_request" || !isRegion(scope[2]) {
		return Request{}, malformed("X-Amz-Credential is not scoped to %s/REGION/sts/aws4_request", date[:8])
	}
	r.AccessKeyID, r.Region = scope[0], scope[2]
	if !isAccessKeyID(r.AccessKeyID) {
		return Request{}, malformed("access key ID of %d characters, want 16 to 128 letters, digits and underscores", len(r.AccessKeyID))
	}
	if !isSignature(r.Signature) {
		return Request{}, malformed("X-Amz-Signature is not 64 lower-case hexadecimal digits")
	}
	return r, nil
}

// splitQuery returns the unescaped values of the nine parameters. All but the
// security token must be there and not be empty.
func splitQuery(query string) (values [paramCount]string, err error) {
	for pair := range strings.SplitSeq(query, "&") {
		name, escaped, _ := strings.Cut(pair, "=")
		i := paramIndex(name)
		if i < 0 {
			return values, unknownParameter(name)
		}
		if values[i] != "" {
			return values, malformed("parameter %s stands twice", name)
		}
		value, ok := unescape(escaped)
		if !ok {
			return values, malformed("parameter %s is not escaped as SigV4 does", name)
		}
		if value == "" {
			return values, malformed("parameter %s is empty", name)
		}
		values[i] = value
	}
	for i, value := range values {
		if value == "" && i != paramSecurityToken {
			return values, malformed("parameter %s is missing", paramNames[i])
		}
	}
	return values, nil
}

// unknownParameter quotes the name only if it is a known one in another letter case:
// in a mangled query anything may stand where a name should.
func unknownParameter(name string) error {
	for _, known := range paramNames {
		if strings.EqualFold(name, known) {
			return malformed("parameter %s, want it spelt %s", quote(name), known)
		}
	}
	return malformed("a parameter with a name of %d characters is not part of a presigned %s", len(name), action)
}

func paramIndex(name string) int {
	for i := range paramNames {
		if paramNames[i] == name {
			return i
		}
	}
	return -1
}

// URL returns the presigned URL that the request stands for.
func (r Request) URL() string {
	var b strings.Builder
	b.Grow(512 + len(r.SecurityToken) + len(r.SecurityToken)/4)
	b.WriteString("https://")
	b.WriteString(r.Host)
	b.WriteString("/?")
	r.writeQuery(&b)
	return b.String()
}

func (r Request) writeQuery(b *strings.Builder) {
	date := r.Date.Format(dateFormat)
	values := [paramCount]string{
		paramAction:        action,
		paramVersion:       apiVersion,
		paramAlgorithm:     algorithm,
		paramCredential:    r.AccessKeyID + "/" + date[:8] + "/" + r.Region + "/sts/aws4_request",
		paramDate:          date,
		paramExpires:       strconv.Itoa(r.Expires),
		paramSecurityToken: r.SecurityToken,
		paramSignature:     r.Signature,
		paramSignedHeaders: signedHeaders,
	}
	for i, value := range values {
		if i == paramSecurityToken && value == "" {
			continue
		}
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(paramNames[i])
		b.WriteByte('=')
		escape(b, value)
	}
}

// CheckTime returns an error if STS would not answer the request at the time
// now: TokenExpired after Lifetime, TokenFromFuture if it is dated ahead of now by
// more than maxSkew.
func (r Request) CheckTime(now time.Time, maxSkew time.Duration) error {
	age := now.Sub(r.Date)
	switch {
	case age > Lifetime:
		return reason.New(reason.TokenExpired, "signed at %s, %s ago; a token lives %s",
			r.Date.Format(time.RFC3339), age.Round(time.Second), Lifetime)
	case age < -maxSkew: // not -age > maxSkew: Sub saturates, and the least Duration has no negative
		return reason.New(reason.TokenFromFuture, "signed at %s, %s ahead of this server's clock; at most %s is allowed",
			r.Date.Format(time.RFC3339), age.Abs().Round(time.Second), maxSkew)
	}
	return nil
}

// unescape undoes the URI encoding of SigV4 and reports whether s was in exactly
// that form: letters, digits and -._~ as they are, every other printable ASCII
// character as %XX in upper case.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		for i := range len(s) {
			if !isUnreserved(s[i]) {
				return "", false
			}
		}
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return "", false
			}
			high, low := unhex(s[i+1]), unhex(s[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			if isUnreserved(c) || c <= ' ' || c > '~' {
				return "", false
			}
			i += 2
		} else if !isUnreserved(c) {
			return "", false
		}
		b = append(b, c)
	}
	return string(b), true
}

func escape(b *strings.Builder, s string) {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; isUnreserved(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	default:
		return -1
	}
}

func isUnreserved(c byte) bool {
	return isAlphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isHost(s string) bool {
	return all(s, 1, 253, func(c byte) bool { return isLowerAlphanumeric(c) || c == '-' || c == '.' })
}

func isRegion(s string) bool {
	return all(s, 1, 63, func(c byte) bool { return isLowerAlphanumeric(c) || c == '-' })
}

// The lengths are those of GetAccessKeyInfo:
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetAccessKeyInfo.html
func isAccessKeyID(s string) bool {
	return all(s, 16, 128, func(c byte) bool { return isAlphanumeric(c) || c == '_' })
}

func isSignature(s string) bool {
	return all(s, 64, 64, func(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' })
}

func isLowerAlphanumeric(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// all tells whether s has a length between low and high and only bytes that ok
// accepts.
func all(s string, low, high int, ok func(byte) bool) bool {
	if len(s) < low || len(s) > high {
		return false
	}
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func malformed(format string, args ...any) error {
	return reason.New(reason.MalformedToken, format, args...)
}

// quote quotes what a caller wrote, cut to a length that a log bears.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
