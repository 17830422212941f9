package awstest

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	service    = "sts"
	terminator = "aws4_request"

	// amzDate is the layout of X-Amz-Date.
	amzDate = "20060102T150405Z"

	// maxAge is how long STS honours a signature, counted from X-Amz-Date. For
	// a presigned request too: X-Amz-Expires does not change it.
	maxAge = 15 * time.Minute
	// maxAhead is how far in the future STS lets X-Amz-Date be.
	maxAhead = 5 * time.Minute
	// maxExpires is the largest X-Amz-Expires, in seconds (seven days).
	maxExpires = 604800
)

// authorization is what a request says about its signature, before any of it is
// believed.
type authorization struct {
	accessKeyID   string
	scope         scope
	signedHeaders []string
	signature     string
	date          string // X-Amz-Date, as sent
	securityToken string
	query         []pair // without X-Amz-Signature
}

// scope is the credential scope: for which day, region and service the signing
// key was derived.
type scope struct{ date, region, service, terminator string }

func (s scope) String() string {
	return s.date + "/" + s.region + "/" + s.service + "/" + s.terminator
}

// authenticate verifies the request's signature and returns whose key made it.
func (s *STS) authenticate(r *http.Request, query []pair, body []byte) (caller, *apiError) {
	auth, err := parseAuthorization(r, query)
	if err != nil {
		return caller{}, err
	}
	now := s.now().UTC()
	c, secret, err := s.lookup(auth.accessKeyID, auth.securityToken, now)
	if err != nil {
		return caller{}, err
	}
	if err := s.checkScope(r.Host, auth, c.partition); err != nil {
		return caller{}, err
	}
	if err := checkDate(auth.date, now); err != nil {
		return caller{}, err
	}
	if err := checkSignedHeaders(r, auth.signedHeaders); err != nil {
		return caller{}, err
	}

	canonical, err := canonicalRequest(r, auth, body)
	if err != nil {
		return caller{}, err
	}
	toSign := stringToSign(auth, canonical)
	want := sign(secret, auth.scope, toSign)
	if !hmac.Equal([]byte(want), []byte(auth.signature)) {
		// STS has sent this message both with and without the two strings; the
		// long one is the harder peer, as it echoes what the caller wrote.
		return caller{}, signatureMismatch("The request signature we calculated does not match the signature you provided. " +
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\n" +
			"The Canonical String for this request should have been\n'" + canonical + "'\n\n" +
			"The String-to-Sign should have been\n'" + toSign + "'\n")
	}
	return c, nil
}

// verify is authenticate for another service than STS, whose hosts serves tells apart. It also
// returns the region that the request is signed for.
func (s *STS) verify(r *http.Request, query []pair, body []byte, service string, serves func(host, region string) bool) (caller, string, *apiError) {
	auth, err := parseAuthorization(r, query)
	if err != nil {
		return caller{}, "", err
	}
	now := s.now().UTC()
	c, secret, err := s.lookup(auth.accessKeyID, auth.securityToken, now)
	if err != nil {
		return caller{}, "", err
	}
	switch {
	case !serves(r.Host, auth.scope.region):
		return caller{}, "", signatureMismatch("Credential should be scoped to a valid region.")
	case partitionOf(auth.scope.region) != c.partition:
		return caller{}, "", invalidToken() // a key is unknown outside its partition
	case auth.scope.service != service:
		return caller{}, "", signatureMismatch("Credential should be scoped to correct service: '" + service + "'.")
	case auth.scope.terminator != terminator:
		return caller{}, "", signatureMismatch("Credential should be scoped with a valid terminator: '" + terminator + "', not '" + auth.scope.terminator + "'.")
	case !strings.HasPrefix(auth.date, auth.scope.date+"T"):
		return caller{}, "", signatureMismatch("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")
	}
	if err := checkDate(auth.date, now); err != nil {
		return caller{}, "", err
	}
	if err := checkSignedHeaders(r, auth.signedHeaders); err != nil {
		return caller{}, "", err
	}
	canonical, err := canonicalRequest(r, auth, body)
	if err != nil {
		return caller{}, "", err
	}
	// Unlike STS, services have paths. All but S3 encode them once more than they are
	// encoded on the wire.
	segments := strings.Split(r.URL.EscapedPath(), "/")
	for i, s := range segments {
		segments[i] = escape(s)
	}
	rest, _ := strings.CutPrefix(canonical, r.Method+"\n/\n")
	canonical = r.Method + "\n" + strings.Join(segments, "/") + "\n" + rest
	if want := sign(secret, auth.scope, stringToSign(auth, canonical)); !hmac.Equal([]byte(want), []byte(auth.signature)) {
		return caller{}, "", signatureMismatch("The request signature we calculated does not match the signature you provided. " +
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return c, auth.scope.region, nil
}

// parseAuthorization reads the signature's parameters from the query if the
// request is presigned, else from its headers. It is an error to sign in both.
func parseAuthorization(r *http.Request, query []pair) (*authorization, *apiError) {
	header := r.Header.Values("Authorization")
	presigned := slices.ContainsFunc(query, func(p pair) bool {
		return p.name == "X-Amz-Algorithm" || p.name == "X-Amz-Signature"
	})
	switch {
	case presigned && len(header) > 0, len(header) > 1:
		return nil, incompleteSignature("Only one authentication mechanism is allowed.")
	case presigned:
		return parsePresigned(query)
	case len(header) == 1:
		return parseAuthorizationHeader(r, header[0], query)
	}
	return nil, &apiError{http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token"}
}

func parsePresigned(query []pair) (*authorization, *apiError) {
	get := func(name string) string {
		i := slices.IndexFunc(query, func(p pair) bool { return p.name == name })
		if i < 0 {
			return ""
		}
		return query[i].value
	}
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature"} {
		if get(name) == "" {
			return nil, incompleteSignature("AWS query-string parameters must include '" + name + "'. Re-examine the query-string parameters.")
		}
	}
	if a := get("X-Amz-Algorithm"); a != algorithm {
		return nil, incompleteSignature("Unsupported AWS 'algorithm': '" + a + "'.")
	}
	// Presigning without X-Amz-Expires is accepted; the SDK for Go does so by
	// default.
	if slices.ContainsFunc(query, func(p pair) bool { return p.name == "X-Amz-Expires" }) {
		v := get("X-Amz-Expires")
		if n, err := strconv.ParseUint(v, 10, 32); err != nil || n > maxExpires {
			return nil, incompleteSignature(fmt.Sprintf("X-Amz-Expires must be a number of seconds between 0 and %d, got '%s'.", maxExpires, v))
		}
	}
	a := &authorization{
		signature:     get("X-Amz-Signature"),
		date:          get("X-Amz-Date"),
		securityToken: get("X-Amz-Security-Token"),
		signedHeaders: strings.Split(get("X-Amz-SignedHeaders"), ";"),
		query:         slices.DeleteFunc(slices.Clone(query), func(p pair) bool { return p.name == "X-Amz-Signature" }),
	}
	return a, a.setCredential(get("X-Amz-Credential"))
}

func parseAuthorizationHeader(r *http.Request, header string, query []pair) (*authorization, *apiError) {
	name, rest, _ := strings.Cut(header, " ")
	if name != algorithm {
		return nil, incompleteSignature("Unsupported AWS 'algorithm': '" + name + "'.")
	}
	fields := make(map[string]string, 3)
	for field := range strings.SplitSeq(rest, ",") {
		k, v, ok := strings.Cut(strings.TrimSpace(field), "=")
		if _, twice := fields[k]; !ok || twice {
			return nil, incompleteSignature("'" + field + "' not a valid key=value pair (missing equal-sign) in Authorization header.")
		}
		fields[k] = v
	}
	var missing []string
	for _, k := range []string{"Credential", "Signature", "SignedHeaders"} {
		if fields[k] == "" {
			missing = append(missing, "Authorization header requires '"+k+"' parameter.")
		}
	}
	if len(r.Header.Values("X-Amz-Date")) != 1 {
		missing = append(missing, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if len(r.Header.Values("X-Amz-Security-Token")) > 1 {
		missing = append(missing, "Header 'X-Amz-Security-Token' is given twice.")
	}
	if len(missing) > 0 {
		return nil, incompleteSignature(strings.Join(missing, " "))
	}
	a := &authorization{
		signature:     fields["Signature"],
		date:          r.Header.Get("X-Amz-Date"),
		securityToken: r.Header.Get("X-Amz-Security-Token"),
		signedHeaders: strings.Split(fields["SignedHeaders"], ";"),
		query:         query,
	}
	return a, a.setCredential(fields["Credential"])
}

func (a *authorization) setCredential(credential string) *apiError {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 {
		return incompleteSignature("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + credential + "'")
	}
	a.accessKeyID = parts[0]
	a.scope = scope{parts[1], parts[2], parts[3], parts[4]}
	return nil
}

// checkScope refuses a credential scope that doesn't fit the host called, the
// key's partition, the service or the request's date. AWS names every fault it
// finds, in one message.
func (s *STS) checkScope(host string, auth *authorization, partition string) *apiError {
	var wrong []string
	if !s.hosts.serves(host, auth.scope.region) {
		wrong = append(wrong, "Credential should be scoped to a valid region.")
	} else if partitionOf(auth.scope.region) != partition && !isLoopback(host) {
		return invalidToken() // a key is unknown outside its partition
	}
	if auth.scope.service != service {
		wrong = append(wrong, "Credential should be scoped to correct service: '"+service+"'.")
	}
	if auth.scope.terminator != terminator {
		wrong = append(wrong, "Credential should be scoped with a valid terminator: '"+terminator+"', not '"+auth.scope.terminator+"'.")
	}
	if day, _, _ := strings.Cut(auth.date, "T"); auth.scope.date != day {
		wrong = append(wrong, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '"+
			auth.scope.date+"' != '"+day+"', from '"+auth.date+"'.")
	}
	if len(wrong) > 0 {
		return signatureMismatch(strings.Join(wrong, " "))
	}
	return nil
}

func checkDate(date string, now time.Time) *apiError {
	t, err := time.Parse(amzDate, date)
	if err != nil || t.Format(amzDate) != date {
		return incompleteSignature("Date must be in ISO-8601 'basic format'. Got '" + date + "'. See http://en.wikipedia.org/wiki/ISO_8601")
	}
	if oldest := now.Add(-maxAge); t.Before(oldest.Truncate(time.Second)) {
		return signatureMismatch(fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 15 min.)",
			date, oldest.Format(amzDate), now.Format(amzDate)))
	}
	if newest := now.Add(maxAhead); t.After(newest) {
		return signatureMismatch(fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 5 min.)",
			date, newest.Format(amzDate), now.Format(amzDate)))
	}
	return nil
}

// checkSignedHeaders demands that the list is sorted, lower case and without
// repetition, that every header in it was sent, and that host, Content-Type and
// every X-Amz-* header sent are in it.
func checkSignedHeaders(r *http.Request, signed []string) *apiError {
	for i, name := range signed {
		if name == "" || name != strings.ToLower(name) || i > 0 && name <= signed[i-1] {
			return incompleteSignature("SignedHeaders must be lower case, sorted and without repetition, got '" + strings.Join(signed, ";") + "'.")
		}
	}
	required := []string{"host"}
	for name := range r.Header {
		if lower := strings.ToLower(name); lower == "content-type" || strings.HasPrefix(lower, "x-amz-") {
			required = append(required, lower)
		}
	}
	slices.Sort(required)
	for _, name := range required {
		if _, found := slices.BinarySearch(signed, name); !found {
			return signatureMismatch("'" + name + "' must be a 'SignedHeader' in the AWS Authorization.")
		}
	}
	return nil
}

// canonicalRequest is AWS's canonical form of the request: method, path (always
// "/", there is no other), query, signed headers, their names, and the hash of
// the body.
func canonicalRequest(r *http.Request, auth *authorization, body []byte) (string, *apiError) {
	var b strings.Builder
	b.WriteString(r.Method + "\n/\n" + canonicalQuery(auth.query) + "\n")
	for _, name := range auth.signedHeaders {
		values := headerValues(r, name)
		if len(values) == 0 {
			return "", signatureMismatch("Signed header '" + name + "' is not in the request.")
		}
		b.WriteString(name + ":")
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(trimSpaces(v))
		}
		b.WriteByte('\n')
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	if claimed := r.Header.Get("X-Amz-Content-Sha256"); claimed != "" && claimed != hash {
		return "", signatureMismatch("The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	b.WriteString("\n" + strings.Join(auth.signedHeaders, ";") + "\n" + hash)
	return b.String(), nil
}

// headerValues returns what was sent under a signed header's name. Go's server
// keeps some headers apart from the others.
func headerValues(r *http.Request, name string) []string {
	switch name {
	case "host":
		return []string{r.Host}
	case "content-length":
		return []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	return r.Header.Values(name)
}

// trimSpaces removes spaces around a header's value and makes sequences of
// spaces within it one.
func trimSpaces(v string) string {
	v = strings.Trim(v, " \t")
	if !strings.Contains(v, "  ") {
		return v
	}
	return strings.Join(strings.FieldsFunc(v, func(c rune) bool { return c == ' ' }), " ")
}

// canonicalQuery sorts by encoded name, then by encoded value.
func canonicalQuery(query []pair) string {
	encoded := make([]pair, len(query))
	for i, p := range query {
		encoded[i] = pair{escape(p.name), escape(p.value)}
	}
	slices.SortFunc(encoded, func(a, b pair) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value, b.value))
	})
	var b strings.Builder
	for i, p := range encoded {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name + "=" + p.value)
	}
	return b.String()
}

func stringToSign(auth *authorization, canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return algorithm + "\n" + auth.date + "\n" + auth.scope.String() + "\n" + hex.EncodeToString(sum[:])
}

// sign derives the signing key for the scope and returns the signature in hex.
func sign(secret string, s scope, toSign string) string {
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, s.terminator, toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}

// pair is one query parameter, decoded.
type pair struct{ name, value string }

// parseQuery decodes a raw query. Unlike url.ParseQuery it takes ';' for an
// ordinary character, as AWS does. A name given twice is an error, which is
// stricter than need be: nothing tells which of the two STS would mean.
func parseQuery(raw string) ([]pair, error) {
	if raw == "" {
		return nil, nil
	}
	var pairs []pair
	for field := range strings.SplitSeq(raw, "&") {
		if field == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(field, "=")
		name, nameErr := url.QueryUnescape(rawName)
		value, valueErr := url.QueryUnescape(rawValue)
		if err := errors.Join(nameErr, valueErr); err != nil {
			return nil, errors.New("The query string contains a syntax error: '" + field + "'")
		}
		if slices.ContainsFunc(pairs, func(p pair) bool { return p.name == name }) {
			return nil, errors.New("Parameter '" + name + "' is given twice.")
		}
		pairs = append(pairs, pair{name, value})
	}
	return pairs, nil
}

// escape percent-encodes everything but RFC 3986's unreserved characters.
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+16)
	for _, c := range []byte(s) {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~':
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}
