package token

import (
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/reason"
)

const (
	testHost      = "sts.us-east-1.amazonaws.com"
	testSignature = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

var testDate = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// testParams are the parameters of a valid token, escaped.
func testParams() []string {
	return []string{
		"Action=GetCallerIdentity",
		"Version=2011-06-15",
		"X-Amz-Algorithm=AWS4-HMAC-SHA256",
		"X-Amz-Credential=ASIAIOSFODNN7EXAMPLE%2F20261122%2Fus-east-1%2Fsts%2Faws4_request",
		"X-Amz-Date=20261122T120000Z",
		"X-Amz-Expires=60",
		"X-Amz-Security-Token=a%2Bb%2Fc%3D%3D",
		"X-Amz-Signature=" + testSignature,
		"X-Amz-SignedHeaders=host%3Bx-k8s-aws-id",
	}
}

func encodeToken(url string) string {
	return Prefix + base64.RawURLEncoding.EncodeToString([]byte(url))
}

func tokenWith(params ...string) string {
	return encodeToken("https://" + testHost + "/?" + strings.Join(params, "&"))
}

// without returns the parameters but the named one.
func without(params []string, name string) []string {
	return slices.DeleteFunc(params, func(p string) bool { return strings.HasPrefix(p, name+"=") })
}

// with returns the parameters with the named one's value replaced.
func with(params []string, name, escaped string) []string {
	return append(without(params, name), name+"="+escaped)
}

func TestParse(t *testing.T) {
	want := Request{
		Host: testHost, Region: "us-east-1", AccessKeyID: "ASIAIOSFODNN7EXAMPLE", Date: testDate,
		Expires: 60, SecurityToken: "a+b/c==", Signature: testSignature,
	}
	reversed := testParams()
	slices.Reverse(reversed)
	longTerm := want
	longTerm.SecurityToken = ""
	cases := []struct {
		name  string
		token string
		want  Request
	}{
		{"sorted", tokenWith(testParams()...), want},
		{"any order", tokenWith(reversed...), want},
		{"long-term key", tokenWith(without(testParams(), "X-Amz-Security-Token")...), longTerm},
	}
	for _, expires := range []int{0, 1, 60, 899, 900} {
		w := want
		w.Expires = expires
		cases = append(cases, struct {
			name  string
			token string
			want  Request
		}{"expires", tokenWith(with(testParams(), "X-Amz-Expires", strconv.Itoa(expires))...), w})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(c.token)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("Parse = %+v\nwant    %+v", got, c.want)
			}
			if url := got.URL(); !sameParameters(url, c.token) {
				t.Errorf("URL() = %s, not what the token says", url)
			}
		})
	}
}

func TestParseRejectsRepeatedParameter(t *testing.T) {
	for _, param := range testParams() {
		name, value, _ := strings.Cut(param, "=")
		for what, second := range map[string]string{
			"the same again":        param,
			"another value":         name + "=x",
			"an empty value":        name + "=",
			"no value":              name,
			"lower case":            strings.ToLower(name) + "=" + value,
			"upper case":            strings.ToUpper(name) + "=" + value,
			"a letter in lower":     strings.ToLower(name[:1]) + name[1:] + "=" + value,
			"an escaped letter":     "%" + hexOf(name[0]) + name[1:] + "=" + value,
			"an escaped dash":       strings.Replace(name, "-", "%2D", 1) + "%00=" + value,
			"a space before":        "+" + name + "=" + value,
			"a space behind":        name + "%20=" + value,
			"brackets":              name + "[]=" + value,
			"an array index":        name + ".1=" + value,
			"a semicolon in front":  ";" + name + "=" + value,
			"a NUL behind the name": name + "\x00=" + value,
		} {
			for where, params := range map[string][]string{
				"behind":   append(testParams(), second),
				"in front": append([]string{second}, testParams()...),
			} {
				t.Run(name+" "+what+" "+where, func(t *testing.T) {
					mustReject(t, tokenWith(params...), reason.MalformedToken)
				})
			}
		}
	}
}

func TestParseRejectsMissingAndMisspeltParameter(t *testing.T) {
	for _, param := range testParams() {
		name, value, _ := strings.Cut(param, "=")
		rest := without(testParams(), name)
		if name != "X-Amz-Security-Token" {
			mustReject(t, tokenWith(rest...), reason.MalformedToken)
		}
		mustReject(t, tokenWith(append(rest, name+"=")...), reason.MalformedToken)
		mustReject(t, tokenWith(append(rest, name)...), reason.MalformedToken)
		mustReject(t, tokenWith(append(rest, strings.ToLower(name)+"="+value)...), reason.MalformedToken)
		mustReject(t, tokenWith(append(rest, strings.ToUpper(name)+"="+value)...), reason.MalformedToken)
	}
}

func TestParseRejectsValues(t *testing.T) {
	cases := []struct{ rule, name, escaped string }{
		{"wrong action", "Action", "AssumeRole"},
		{"action in lower case", "Action", "getcalleridentity"},
		{"action with a space", "Action", "GetCallerIdentity%20"},
		{"wrong version", "Version", "2012-10-17"},
		{"other algorithm", "X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256"},
		{"unsigned cluster header", "X-Amz-SignedHeaders", "host"},
		{"unsigned host", "X-Amz-SignedHeaders", "x-k8s-aws-id"},
		{"extra signed header", "X-Amz-SignedHeaders", "host%3Bx-amz-date%3Bx-k8s-aws-id"},
		{"signed headers out of order", "X-Amz-SignedHeaders", "x-k8s-aws-id%3Bhost"},
		{"signed headers in upper case", "X-Amz-SignedHeaders", "Host%3BX-K8s-Aws-Id"},
		{"signed headers unescaped", "X-Amz-SignedHeaders", "host;x-k8s-aws-id"},
		{"signed headers escaped in lower case", "X-Amz-SignedHeaders", "host%3bx-k8s-aws-id"},
		{"a repeated signed header", "X-Amz-SignedHeaders", "host%3Bx-k8s-aws-id%3Bx-k8s-aws-id"},

		{"expires −1", "X-Amz-Expires", "-1"},
		{"expires 901", "X-Amz-Expires", "901"},
		{"expires abc", "X-Amz-Expires", "abc"},
		{"expires with sign", "X-Amz-Expires", "%2B60"},
		{"expires with leading zero", "X-Amz-Expires", "060"},
		{"expires −0", "X-Amz-Expires", "-0"},
		{"expires hexadecimal", "X-Amz-Expires", "0x3c"},
		{"expires with underscore", "X-Amz-Expires", "6_0"},
		{"expires a fraction", "X-Amz-Expires", "60.0"},
		{"expires beyond 64 bits", "X-Amz-Expires", "99999999999999999999"},

		{"date without Z", "X-Amz-Date", "20261122T120000"},
		{"date with zone", "X-Amz-Date", "20261122T120000%2B0000"},
		{"date with a fraction", "X-Amz-Date", "20261122T120000.5Z"},
		{"date with a comma fraction", "X-Amz-Date", "20261122T120000%2C5Z"},
		{"date of 30 February", "X-Amz-Date", "20260230T120000Z"},
		{"date at 24 h", "X-Amz-Date", "20261122T240000Z"},
		{"date in RFC 3339", "X-Amz-Date", "2026-11-22T12%3A00%3A00Z"},
		{"date on another day than the scope", "X-Amz-Date", "20261123T120000Z"},

		{"scope of another service", "X-Amz-Credential", "ASIAIOSFODNN7EXAMPLE%2F20261122%2Fus-east-1%2Fiam%2Faws4_request"},
		{"scope of another day", "X-Amz-Credential", "ASIAIOSFODNN7EXAMPLE%2F20261121%2Fus-east-1%2Fsts%2Faws4_request"},
		{"scope without terminator", "X-Amz-Credential", "ASIAIOSFODNN7EXAMPLE%2F20261122%2Fus-east-1%2Fsts"},
		{"scope with a sixth part", "X-Amz-Credential", "ASIAIOSFODNN7EXAMPLE%2F20261122%2Fus-east-1%2Fsts%2Faws4_request%2F"},
		{"scope unescaped", "X-Amz-Credential", "ASIAIOSFODNN7EXAMPLE/20261122/us-east-1/sts/aws4_request"},
		{"scope escaped in lower case", "X-Amz-Credential", "ASIAIOSFODNN7EXAMPLE%2f20261122%2fus-east-1%2fsts%2faws4_request"},
		{"scope escaped twice", "X-Amz-Credential", "ASIAIOSFODNN7EXAMPLE%252F20261122%252Fus-east-1%252Fsts%252Faws4_request"},
		{"scope without a region", "X-Amz-Credential", "ASIAIOSFODNN7EXAMPLE%2F20261122%2F%2Fsts%2Faws4_request"},
		{"scope with an odd region", "X-Amz-Credential", "ASIAIOSFODNN7EXAMPLE%2F20261122%2Fus_east%2Fsts%2Faws4_request"},
		{"no access key", "X-Amz-Credential", "%2F20261122%2Fus-east-1%2Fsts%2Faws4_request"},
		{"short access key", "X-Amz-Credential", "ASIAIOSFODNN7EX%2F20261122%2Fus-east-1%2Fsts%2Faws4_request"},
		{"access key with dash", "X-Amz-Credential", "ASIAIOSFODNN7-EXAMPLE%2F20261122%2Fus-east-1%2Fsts%2Faws4_request"},
		{"long access key", "X-Amz-Credential", strings.Repeat("A", 129) + "%2F20261122%2Fus-east-1%2Fsts%2Faws4_request"},

		{"short signature", "X-Amz-Signature", testSignature[1:]},
		{"long signature", "X-Amz-Signature", testSignature + "0"},
		{"signature in upper case", "X-Amz-Signature", strings.ToUpper(testSignature)},
		{"signature with another letter", "X-Amz-Signature", "g" + testSignature[1:]},

		{"security token with plus", "X-Amz-Security-Token", "a+b"},
		{"security token with space", "X-Amz-Security-Token", "a%20b"},
		{"security token with line end", "X-Amz-Security-Token", "a%0D%0AHost%3A%20evil"},
		{"security token with NUL", "X-Amz-Security-Token", "a%00b"},
		{"security token with DEL", "X-Amz-Security-Token", "a%7Fb"},
		{"security token with UTF-8", "X-Amz-Security-Token", "%C3%A9"},
		{"security token with raw UTF-8", "X-Amz-Security-Token", "é"},
		{"an unreserved letter escaped", "X-Amz-Security-Token", "%61"},
		{"an escaped tilde", "X-Amz-Security-Token", "%7E"},
		{"%zz", "X-Amz-Security-Token", "%zz"},
		{"a lone percent sign", "X-Amz-Security-Token", "a%"},
		{"half an escape", "X-Amz-Security-Token", "a%2"},
		{"a raw equals sign", "X-Amz-Security-Token", "a=b"},
		{"a raw semicolon", "X-Amz-Security-Token", "a;b"},
		{"a raw slash", "X-Amz-Security-Token", "a/b"},
		{"a raw question mark", "X-Amz-Security-Token", "a?b"},
		{"a fragment", "X-Amz-Security-Token", "a#b"},
		{"a backslash", "X-Amz-Security-Token", `a\b`},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			mustReject(t, tokenWith(with(testParams(), c.name, c.escaped)...), reason.MalformedToken)
		})
	}
}

func TestParseRejectsURLs(t *testing.T) {
	query := strings.Join(testParams(), "&")
	for rule, url := range map[string]string{
		"http":                     "http://" + testHost + "/?" + query,
		"upper-case scheme":        "HTTPS://" + testHost + "/?" + query,
		"no scheme":                testHost + "/?" + query,
		"scheme-relative":          "//" + testHost + "/?" + query,
		"space before":             " https://" + testHost + "/?" + query,
		"line end behind":          "https://" + testHost + "/?" + query + "\n",
		"userinfo":                 "https://user@" + testHost + "/?" + query,
		"userinfo with password":   "https://" + testHost + ":x@evil.example/?" + query,
		"port":                     "https://" + testHost + ":443/?" + query,
		"empty port":               "https://" + testHost + ":/?" + query,
		"upper-case host":          "https://STS.us-east-1.amazonaws.com/?" + query,
		"escaped host":             "https://sts%2Eus-east-1.amazonaws.com/?" + query,
		"host with non-ASCII dot":  "https://sts。us-east-1.amazonaws.com/?" + query,
		"host with Kelvin sign":    "https://sts.us-east-1.amazonaws.com\u212A/?" + query,
		"host with underscore":     "https://sts_.us-east-1.amazonaws.com/?" + query,
		"IPv6":                     "https://[::1]/?" + query,
		"empty host":               "https:///?" + query,
		"path":                     "https://" + testHost + "/x?" + query,
		"dot path":                 "https://" + testHost + "/./?" + query,
		"two slashes":              "https://" + testHost + "//?" + query,
		"no path":                  "https://" + testHost + "?" + query,
		"no query":                 "https://" + testHost + "/",
		"empty query":              "https://" + testHost + "/?",
		"backslash":                `https://` + testHost + `\@evil.example/?` + query,
		"fragment":                 "https://" + testHost + "/?" + query + "#x",
		"fragment before query":    "https://" + testHost + "/#/?" + query,
		"second question mark":     "https://" + testHost + "/??" + query,
		"leading ampersand":        "https://" + testHost + "/?&" + query,
		"trailing ampersand":       "https://" + testHost + "/?" + query + "&",
		"two ampersands":           "https://" + testHost + "/?" + strings.Replace(query, "&", "&&", 1),
		"semicolons":               "https://" + testHost + "/?" + strings.ReplaceAll(query, "&", ";"),
		"an empty key":             "https://" + testHost + "/?=x&" + query,
		"an unknown key":           "https://" + testHost + "/?" + query + "&X-Amz-Meta=x",
		"%zz as a key":             "https://" + testHost + "/?" + query + "&%zz=x",
		"POST form behind the URL": "https://" + testHost + "/?" + query + " HTTP/1.1\r\nHost: evil\r\n\r\nAction=AssumeRole",
		"POST form":                "POST / HTTP/1.1\r\nHost: " + testHost + "\r\n\r\n" + query,
		"empty":                    "",
	} {
		t.Run(rule, func(t *testing.T) { mustReject(t, encodeToken(url), reason.MalformedToken) })
	}
}

func TestParseRejectsEncodings(t *testing.T) {
	valid := tokenWith(testParams()...)
	if _, err := Parse(valid); err != nil {
		t.Fatal(err)
	}
	url := "https://" + testHost + "/?" + strings.Join(testParams(), "&")
	for len(url)%3 != 1 { // so that padding and unused bits exist
		url = strings.Replace(url, "c%3D%3D&", "cc%3D%3D&", 1)
	}
	unused := encodeToken(url)
	unused = unused[:len(unused)-1] + string(unused[len(unused)-1]+1)
	long := with(testParams(), "X-Amz-Security-Token", "")
	for n := 1; len(tokenWith(long...)) <= MaxLength; n++ { // a valid token, but for its length
		long = with(testParams(), "X-Amz-Security-Token", strings.Repeat("a", n))
	}
	padded := Prefix + base64.URLEncoding.EncodeToString([]byte(url))
	cases := []struct {
		rule  string
		token string
		want  reason.Code
	}{
		{"padded", padded, reason.MalformedToken},
		{"standard alphabet", Prefix + base64.RawStdEncoding.EncodeToString([]byte("https://"+testHost+"/?x=\xff\xfe\xfb")), reason.MalformedToken},
		{"line end inside", valid[:40] + "\n" + valid[40:], reason.MalformedToken},
		{"carriage return inside", valid[:40] + "\r" + valid[40:], reason.MalformedToken},
		{"line end behind", valid + "\n", reason.MalformedToken},
		{"space behind", valid + " ", reason.MalformedToken},
		{"unused bits set", unused, reason.MalformedToken},
		{"valid but too long", tokenWith(long...), reason.MalformedToken},
		{"prefix only", Prefix, reason.MalformedToken},
		{"4 KiB and a byte", Prefix + strings.Repeat("A", MaxLength-len(Prefix)+1), reason.MalformedToken},
		{"10 MB", Prefix + strings.Repeat("A", 10_000_000), reason.MalformedToken},
		{"empty", "", reason.ForeignToken},
		{"no prefix", valid[len(Prefix):], reason.ForeignToken},
		{"upper-case prefix", "K8S-AWS-V1." + valid[len(Prefix):], reason.ForeignToken},
		{"other version", "k8s-aws-v2." + valid[len(Prefix):], reason.ForeignToken},
		{"JWT", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", reason.ForeignToken},
		{"10 MB of something else", strings.Repeat("A", 10_000_000), reason.ForeignToken},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) { mustReject(t, c.token, c.want) })
	}
}

func TestParseNeverQuotesSecrets(t *testing.T) {
	const secret = "hunter2hunter2hunter2"
	for _, params := range [][]string{
		with(testParams(), "X-Amz-Security-Token", secret+"%zz"),
		with(testParams(), "X-Amz-Signature", secret),
		append(testParams(), "X-Amz-Security-Token="+secret),
		append(testParams(), "X-Amz-Signature="+secret),
		append(testParams(), secret+"=x"),
		{strings.ReplaceAll(strings.Join(testParams(), "&"), "=", secret)},
	} {
		if _, err := Parse(tokenWith(params...)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("error %v", err)
		}
	}
}

func TestCheckTime(t *testing.T) {
	cases := []struct {
		name string
		now  time.Time
		want reason.Code
	}{
		{"at once", testDate, reason.Granted},
		{"at its end", testDate.Add(15 * time.Minute), reason.Granted},
		{"a second past its end", testDate.Add(15*time.Minute + time.Second), reason.TokenExpired},
		{"a year late", testDate.AddDate(1, 0, 0), reason.TokenExpired},
		{"dated within the skew", testDate.Add(-5 * time.Minute), reason.Granted},
		{"dated a second beyond the skew", testDate.Add(-5*time.Minute - time.Second), reason.TokenFromFuture},
		{"dated an hour ahead", testDate.Add(-time.Hour), reason.TokenFromFuture},
		{"dated 10,000 years ahead", testDate.AddDate(-8000, 0, 0), reason.TokenFromFuture},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := Request{Date: testDate}.CheckTime(c.now, 5*time.Minute)
			if reason.Of(err) != c.want {
				t.Errorf("CheckTime = %v, want %s", err, c.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	params := testParams()
	f.Add(tokenWith(params...))
	f.Add(tokenWith(without(params, "X-Amz-Security-Token")...))
	f.Add(tokenWith(with(params, "X-Amz-Security-Token", "%zz")...))
	f.Add("k8s-aws-v1.")
	f.Fuzz(func(t *testing.T, token string) {
		checkParse(t, token)
		// Most mutations of base64 decode to noise: mutate the URL as well.
		checkParse(t, encodeToken(token))
		checkParse(t, encodeToken("https://"+testHost+"/?"+token))
	})
}

func checkParse(t *testing.T, token string) {
	t.Helper()
	r, err := Parse(token)
	if err != nil {
		if _, ok := errors.AsType[*reason.Error](err); !ok {
			t.Fatalf("error without a reason: %v", err)
		}
		if r != (Request{}) {
			t.Fatalf("a refused token gave %+v", r)
		}
		return
	}
	url := r.URL()
	if !sameParameters(url, token) {
		t.Fatalf("%q would be sent as %q", token, url)
	}
	again, err := Parse(encodeToken(url))
	if err != nil || again != r {
		t.Fatalf("what is sent for %q says %+v, the token says %+v (%v)", token, again, r, err)
	}
}

// sameParameters tells whether url and the token's URL have the same host and,
// byte for byte, the same parameters.
func sameParameters(url, token string) bool {
	decoded, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, Prefix))
	if err != nil {
		return false
	}
	host, query, _ := strings.Cut(string(decoded), "?")
	urlHost, urlQuery, _ := strings.Cut(url, "?")
	a, b := strings.Split(query, "&"), strings.Split(urlQuery, "&")
	slices.Sort(a)
	slices.Sort(b)
	return host == urlHost && slices.Equal(a, b)
}

func mustReject(t *testing.T, token string, want reason.Code) {
	t.Helper()
	r, err := Parse(token)
	if err == nil {
		t.Fatalf("accepted as %+v", r)
	}
	if reason.Of(err) != want {
		t.Errorf("reason %v, want %s", err, want)
	}
	if len(err.Error()) > 600 {
		t.Errorf("error of %d bytes", len(err.Error()))
	}
}

func hexOf(c byte) string {
	const hex = "0123456789ABCDEF"
	return string([]byte{hex[c>>4], hex[c&15]})
}

func BenchmarkParse(b *testing.B) {
	token := tokenWith(with(testParams(), "X-Amz-Security-Token", strings.Repeat("a%2B", 300))...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkURL(b *testing.B) {
	r, err := Parse(tokenWith(with(testParams(), "X-Amz-Security-Token", strings.Repeat("a%2B", 300))...))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = r.URL()
	}
}
