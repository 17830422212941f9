package awstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	testUser = "arn:aws:iam::123456789012:user/team/alice"
	testRole = "arn:aws:iam::123456789012:role/team/developers"
	testHost = "sts.eu-west-1.amazonaws.com"

	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

var testTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// newSTS returns an STS whose clock is set by the pointer, one user and one
// role.
func newSTS(tb testing.TB) (s *STS, user Credentials, now *time.Time) {
	tb.Helper()
	at := testTime
	s = New(Options{Now: func() time.Time { return at }})
	user, err := s.AddUserWithKey(testUser, "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.AddRole(testRole, Role{TrustedPrincipals: []string{testUser}}); err != nil {
		tb.Fatal(err)
	}
	return s, user, &at
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// presign has the SDK presign a GetCallerIdentity request at testTime, as a
// client of the authenticator would.
func presign(tb testing.TB, c Credentials, host, region string, extra url.Values) *http.Request {
	tb.Helper()
	query := url.Values{"Action": {"GetCallerIdentity"}, "Version": {apiVersion}, "X-Amz-Expires": {"60"}}
	maps.Copy(query, extra)
	r, err := http.NewRequest(http.MethodGet, "https://"+host+"/?"+query.Encode(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("X-K8s-Aws-Id", "my-cluster")
	signed, header, err := v4.NewSigner().PresignHTTP(tb.Context(), c.AWS(), r, emptyHash, "sts", region, testTime)
	if err != nil {
		tb.Fatal(err)
	}
	out := httptest.NewRequest(http.MethodGet, signed, nil)
	for name, values := range header {
		if name != "Host" {
			out.Header[name] = values
		}
	}
	return out
}

// signHeader has the SDK sign a request in its headers at testTime.
func signHeader(tb testing.TB, c Credentials, method, rawURL, body string, header http.Header) *http.Request {
	tb.Helper()
	r := httptest.NewRequest(method, rawURL, strings.NewReader(body))
	maps.Copy(r.Header, header)
	if body != "" && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(tb.Context(), c.AWS(), r, hex.EncodeToString(sum[:]), "sts", "eu-west-1", testTime); err != nil {
		tb.Fatal(err)
	}
	return r
}

// serve answers the request in process.
func serve(s *STS, r *http.Request) (status int, body string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// The examples of AWS's documentation and of its published test suite, for the
// account AKIDEXAMPLE.
func TestSignatureOfPublishedExamples(t *testing.T) {
	const host, day, secret = "example.amazonaws.com", "20150830", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	for _, test := range []struct {
		name, host, service, query string
		header                     map[string]string
		want                       string
	}{
		{
			"documentation: IAM ListUsers", "iam.amazonaws.com", "iam", "Action=ListUsers&Version=2010-05-08",
			map[string]string{"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
			"5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
		},
		{
			"get-vanilla", host, "service", "", nil,
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
		},
		{
			"get-vanilla-query-order-key-case", host, "service", "Param2=value2&Param1=value1", nil,
			"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
		},
		{
			"get-vanilla-query-unreserved", host, "service",
			"-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", nil,
			"9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
		},
		{
			"get-header-value-trim", host, "service", "",
			map[string]string{"my-header1": " value1", "my-header2": ` "a   b   c"`},
			"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "https://"+test.host+"/?"+test.query, nil)
			r.Header.Set("X-Amz-Date", day+"T123600Z")
			for name, value := range test.header {
				r.Header.Set(name, value)
			}
			names := slices.Sorted(maps.Keys(test.header))
			signed := append(names, "host", "x-amz-date")
			slices.Sort(signed)
			auth := &authorization{
				scope:         scope{day, "us-east-1", test.service, terminator},
				date:          day + "T123600Z",
				signedHeaders: signed,
				query:         must(parseQuery(test.query)),
			}
			canonical, err := canonicalRequest(r, auth, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := sign(secret, auth.scope, stringToSign(auth, canonical)); got != test.want {
				t.Errorf("signature %s, want %s; canonical request:\n%s", got, test.want, canonical)
			}
		})
	}
}

// oddValues are what a query or a form can hold.
var oddValues = []string{
	"", " ", "a b", "a+b", "a/b=c", "%", "%41", "~-_.", "*", "a;b", "a&b=c", "é", "日本", "\u0000", "\n", `"'<>`, "a:b@c,d", strings.Repeat("x", 2000),
}

func TestSDKSignaturesAreAccepted(t *testing.T) {
	s, user, _ := newSTS(t)
	session := must(s.Session(testRole, "bob"))
	form := func(value string) string {
		return url.Values{"Action": {"GetCallerIdentity"}, "Version": {apiVersion}, "Odd": {value}, value: {"odd"}}.Encode()
	}
	for name, c := range map[string]Credentials{"user": user, "session": session} {
		for _, value := range oddValues {
			for kind, r := range map[string]*http.Request{
				"presigned":  presign(t, c, testHost, "eu-west-1", url.Values{"Odd": {value}, value: {"odd"}}),
				"header get": signHeader(t, c, "GET", "https://"+testHost+"/?"+form(value), "", nil),
				"form":       signHeader(t, c, "POST", "https://"+testHost+"/", form(value), nil),
			} {
				t.Run(name+"/"+kind+"/"+strconv.Quote(value[:min(len(value), 20)]), func(t *testing.T) {
					if status, body := serve(s, r); status != http.StatusOK || !strings.Contains(body, "<Arn>"+c.ARN+"</Arn>") {
						t.Errorf("%d %s", status, body)
					}
				})
			}
		}
	}
	for _, value := range []string{"", "a  b   c", "  a ", "a\tb", "é", `"a  b"`, "a,b", "a:b"} {
		t.Run("header value "+strconv.Quote(value), func(t *testing.T) {
			r := signHeader(t, user, "POST", "https://"+testHost+"/", form("x"), http.Header{"X-Amz-Odd": {value}, "X-Other": {value, value}})
			if status, body := serve(s, r); status != http.StatusOK {
				t.Errorf("%d %s", status, body)
			}
		})
	}
}

// rewrite returns the request with its query's parameters edited.
func rewrite(r *http.Request, edit func(q url.Values)) *http.Request {
	q := r.URL.Query()
	edit(q)
	out := r.Clone(r.Context())
	out.URL.RawQuery = q.Encode()
	return out
}

func TestTamperedPresignedRequestIsRefused(t *testing.T) {
	s, _, _ := newSTS(t)
	session := must(s.Session(testRole, "bob"))
	other := must(s.Session(testRole, "eve"))
	original := presign(t, session, testHost, "eu-west-1", nil)
	if status, body := serve(s, original); status != http.StatusOK {
		t.Fatalf("untampered: %d %s", status, body)
	}

	tampered := make(map[string]*http.Request)
	query := original.URL.Query()
	want := []string{
		"Action", "Version", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires",
		"X-Amz-Security-Token", "X-Amz-Signature", "X-Amz-SignedHeaders",
	}
	if got := slices.Sorted(maps.Keys(query)); !slices.Equal(got, want) {
		t.Fatalf("parameters %q, want %q", got, want)
	}
	for name, values := range query {
		value := values[0]
		tampered[name+" removed"] = rewrite(original, func(q url.Values) { q.Del(name) })
		tampered[name+" empty"] = rewrite(original, func(q url.Values) { q.Set(name, "") })
		tampered[name+" longer"] = rewrite(original, func(q url.Values) { q.Set(name, value+"x") })
		tampered[name+" with a space"] = rewrite(original, func(q url.Values) { q.Set(name, value+" ") })
		tampered[name+" shorter"] = rewrite(original, func(q url.Values) { q.Set(name, value[:len(value)-1]) })
		tampered[name+" twice"] = rewrite(original, func(q url.Values) { q.Add(name, value) })
		tampered[name+" also in lower case"] = rewrite(original, func(q url.Values) { q.Set(strings.ToLower(name), value) })
		tampered[name+" in lower case"] = rewrite(original, func(q url.Values) { q.Del(name); q.Set(strings.ToLower(name), value) })
		for i := range value {
			flipped := []byte(value)
			flipped[i] ^= 1
			tampered[name+" changed at "+strconv.Itoa(i)] = rewrite(original, func(q url.Values) { q.Set(name, string(flipped)) })
		}
	}
	set := func(label, name, value string) {
		tampered[label] = rewrite(original, func(q url.Values) { q.Set(name, value) })
	}
	credential := query.Get("X-Amz-Credential")
	set("another's session token", "X-Amz-Security-Token", other.SessionToken)
	set("another's access key", "X-Amz-Credential", strings.Replace(credential, session.AccessKeyID, other.AccessKeyID, 1))
	set("another region", "X-Amz-Credential", strings.Replace(credential, "eu-west-1", "us-east-1", 1))
	set("another service", "X-Amz-Credential", strings.Replace(credential, "/sts/", "/s3/", 1))
	set("another day", "X-Amz-Credential", strings.Replace(credential, "/20260304/", "/20260303/", 1))
	set("host not signed", "X-Amz-SignedHeaders", "x-k8s-aws-id")
	set("cluster ID not signed", "X-Amz-SignedHeaders", "host")
	set("signed headers in another order", "X-Amz-SignedHeaders", "x-k8s-aws-id;host")
	set("signed headers in upper case", "X-Amz-SignedHeaders", "HOST;X-K8S-AWS-ID")
	set("upper-case signature", "X-Amz-Signature", strings.ToUpper(query.Get("X-Amz-Signature")))
	set("a parameter more", "Extra", "1")
	tampered["another's session token and access key"] = rewrite(original, func(q url.Values) {
		q.Set("X-Amz-Security-Token", other.SessionToken)
		q.Set("X-Amz-Credential", strings.Replace(credential, session.AccessKeyID, other.AccessKeyID, 1))
	})

	edit := func(label string, f func(r *http.Request)) {
		r := original.Clone(t.Context())
		f(r)
		tampered[label] = r
	}
	for _, host := range []string{"", "sts.amazonaws.com", "sts.us-east-1.amazonaws.com", "sts-fips.eu-west-1.amazonaws.com", testHost + ".", "STS.eu-west-1.amazonaws.com", testHost + ":8443", "example.com", "127.0.0.1"} {
		edit("host "+host, func(r *http.Request) { r.Host = host })
	}
	for _, id := range []string{"", "other-cluster", "My-cluster", "my-cluster2"} {
		edit("cluster ID "+id, func(r *http.Request) { r.Header.Set("X-K8s-Aws-Id", id) })
	}
	edit("no cluster ID", func(r *http.Request) { r.Header.Del("X-K8s-Aws-Id") })
	edit("cluster ID twice", func(r *http.Request) { r.Header.Add("X-K8s-Aws-Id", "my-cluster") })
	edit("unsigned X-Amz header", func(r *http.Request) { r.Header.Set("X-Amz-Date", query.Get("X-Amz-Date")) })
	edit("unsigned Content-Type", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
	edit("Authorization header too", func(r *http.Request) {
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+credential+", SignedHeaders=host, Signature=0")
	})
	for _, method := range []string{"POST", "HEAD", "PUT", "get"} {
		edit("method "+method, func(r *http.Request) { r.Method = method })
	}
	for _, path := range []string{"//", "/x", "/./", "/%2F"} {
		edit("path "+path, func(r *http.Request) {
			r.URL = must(url.Parse("https://" + testHost + path + "?" + r.URL.RawQuery))
		})
	}
	edit("a body", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("Action=AssumeRole")) })
	edit("syntax error in the query", func(r *http.Request) { r.URL.RawQuery += "&a=%zz" })

	for label, r := range tampered {
		if status, body := serve(s, r); status == http.StatusOK {
			t.Errorf("%s: accepted: %s\n%s", label, r.URL.RawQuery, body)
		}
	}
}

func TestTamperedSignedHeadersAreRefused(t *testing.T) {
	s, _, _ := newSTS(t)
	session := must(s.Session(testRole, "bob"))
	const form = "Action=GetCallerIdentity&Version=2011-06-15"
	sign := func() *http.Request {
		return signHeader(t, session, "POST", "https://"+testHost+"/", form, http.Header{"X-Other": {"1"}})
	}
	if status, body := serve(s, sign()); status != http.StatusOK {
		t.Fatalf("untampered: %d %s", status, body)
	}
	for name, values := range sign().Header {
		for what, edit := range map[string]func(r *http.Request){
			"removed": func(r *http.Request) { r.Header.Del(name) },
			"longer":  func(r *http.Request) { r.Header.Set(name, values[0]+"x") },
			"shorter": func(r *http.Request) { r.Header.Set(name, values[0][:len(values[0])-1]) },
			"twice":   func(r *http.Request) { r.Header.Add(name, values[0]) },
		} {
			r := sign()
			edit(r)
			if status, body := serve(s, r); status == http.StatusOK {
				t.Errorf("%s %s: accepted: %s", name, what, body)
			}
		}
	}
	for _, body := range []string{"", form + "&Extra=1", strings.Replace(form, "Version", "version", 1)} {
		r := sign()
		r.Body = io.NopCloser(strings.NewReader(body))
		if status, answer := serve(s, r); status == http.StatusOK {
			t.Errorf("body %q: accepted: %s", body, answer)
		}
	}
}

func TestSignatureEncodingMayDiffer(t *testing.T) {
	s, user, _ := newSTS(t)
	original := presign(t, user, testHost, "eu-west-1", nil)
	fields := strings.Split(original.URL.RawQuery, "&")
	slices.Reverse(fields)
	for name, query := range map[string]string{
		"order":              strings.Join(fields, "&"),
		"lower-case escapes": strings.ReplaceAll(original.URL.RawQuery, "%2F", "%2f"),
		"fewer escapes":      strings.ReplaceAll(original.URL.RawQuery, "%2F", "/"),
		"more escapes":       strings.ReplaceAll(original.URL.RawQuery, "Action", "%41ction"),
	} {
		r := original.Clone(t.Context())
		r.URL.RawQuery = query
		if status, body := serve(s, r); status != http.StatusOK {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestSignatureIsGoodForFifteenMinutesWhateverExpiresSays(t *testing.T) {
	s, user, now := newSTS(t)
	for _, test := range []struct {
		expires string
		age     time.Duration
		want    string // of the message; "" if accepted
	}{
		{"60", 0, ""},
		{"60", 15 * time.Minute, ""},
		{"60", 15*time.Minute + 999*time.Millisecond, ""},
		{"60", 15*time.Minute + time.Second, "Signature expired: 20260304T050607Z is now earlier than 20260304T050608Z (20260304T052108Z - 15 min.)"},
		{"604800", 16 * time.Minute, "Signature expired"},
		{"604800", 0, ""},
		{"0", time.Minute, ""},
		{"60", -5 * time.Minute, ""},
		{"60", -5*time.Minute - time.Second, "Signature not yet current: 20260304T050607Z is still later than 20260304T050606Z (20260304T050106Z + 5 min.)"},
		{"-1", 0, "X-Amz-Expires"},
		{"604801", 0, "X-Amz-Expires"},
		{"abc", 0, "X-Amz-Expires"},
		{"+60", 0, "X-Amz-Expires"},
		{"", 0, "X-Amz-Expires"},
	} {
		*now = testTime.Add(test.age)
		status, body := serve(s, presign(t, user, testHost, "eu-west-1", url.Values{"X-Amz-Expires": {test.expires}}))
		if accepted := status == http.StatusOK; accepted != (test.want == "") || !strings.Contains(body, test.want) {
			t.Errorf("expires %q, age %s: %d %s, want %q", test.expires, test.age, status, body, test.want)
		}
	}

	*now = testTime
	r := presign(t, user, testHost, "eu-west-1", nil)
	if status, body := serve(s, rewrite(r, func(q url.Values) { q.Set("X-Amz-Date", "20260304T050607.0Z") })); status != http.StatusBadRequest {
		t.Errorf("fraction of a second: %d %s", status, body)
	}
}

func TestMissingExpiresIsAccepted(t *testing.T) {
	s, user, _ := newSTS(t)
	r := httptest.NewRequest("GET", "https://"+testHost+"/?Action=GetCallerIdentity&Version="+apiVersion, nil)
	signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), user.AWS(), r, emptyHash, "sts", "eu-west-1", testTime)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := serve(s, httptest.NewRequest("GET", signed, nil)); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
}

func TestScopeRegionMustFitTheHost(t *testing.T) {
	s, _, _ := newSTS(t)
	for _, test := range []struct {
		host, region, partition string
		ok                      bool
	}{
		{"sts.amazonaws.com", "us-east-1", "aws", true},
		{"sts.amazonaws.com", "eu-west-1", "aws", false},
		{"sts.us-east-1.amazonaws.com", "us-east-1", "aws", true},
		{"sts.eu-west-1.amazonaws.com", "us-east-1", "aws", false},
		{"sts-fips.us-west-2.amazonaws.com", "us-west-2", "aws", true},
		{"sts-fips.us-west-2.amazonaws.com", "us-east-2", "aws", false},
		{"sts.eu-west-1.api.aws", "eu-west-1", "aws", true},
		{"sts.cn-north-1.amazonaws.com.cn", "cn-north-1", "aws-cn", true},
		{"sts.cn-north-1.amazonaws.com.cn", "cn-northwest-1", "aws-cn", false},
		{"sts.cn-north-1.amazonaws.com", "cn-north-1", "aws-cn", false},
		{"sts.us-gov-west-1.amazonaws.com", "us-gov-west-1", "aws-us-gov", true},
		{"sts.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", "aws-iso", true},
		{"sts.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1", "aws-iso-b", true},
		{"sts.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1", "aws-iso-e", true},
		{"sts.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1", "aws-iso-f", true},
		{"sts.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", "aws-eusc", true},
		{"sts.us-east-1.amazonaws.com", "us-east-1", "aws-cn", false}, // a key of another partition
		{"sts.cn-north-1.amazonaws.com.cn", "cn-north-1", "aws", false},
		{"127.0.0.1:21000", "mars-1", "aws-cn", true},
		{"localhost", "mars-1", "aws", true},
		{"[::1]:8443", "mars-1", "aws", true},
		{"example.com", "us-east-1", "aws", false},
		{"sts.us-east-1.amazonaws.com.example.com", "us-east-1", "aws", false},
	} {
		arn := "arn:" + test.partition + ":iam::210987654321:user/p"
		c, err := s.AddUser(arn)
		if err != nil {
			c = must(s.AddKey(arn))
		}
		status, body := serve(s, presign(t, c, test.host, test.region, nil))
		if (status == http.StatusOK) != test.ok {
			t.Errorf("key of %s, scope %s, host %s: %d %s, want accepted: %t", test.partition, test.region, test.host, status, body, test.ok)
		}
	}
}

// Whatever becomes of a valid request, it verifies only if it still means the
// same.
func FuzzNoMutationOfAPresignedRequestVerifies(f *testing.F) {
	s, user, _ := newSTS(f)
	original := presign(f, user, testHost, "eu-west-1", nil)
	meaning := original.URL.Query()
	query := original.URL.RawQuery
	f.Add(query, testHost, "my-cluster")
	f.Add(strings.Replace(query, "GetCallerIdentity", "AssumeRole", 1), testHost, "my-cluster")
	f.Add(query+"&Action=GetCallerIdentity", testHost, "my-cluster")
	f.Add(query+"&a;b", testHost, " my-cluster")
	f.Add(strings.ReplaceAll(query, "%2F", "+"), testHost, "my-cluster")
	f.Add(query, "STS.eu-west-1.amazonaws.com", "my-cluster")
	f.Add(query, "127.0.0.1", "")
	f.Fuzz(func(t *testing.T, query, host, cluster string) {
		r := original.Clone(t.Context())
		r.URL.RawQuery, r.Host = query, host
		r.Header.Set("X-K8s-Aws-Id", cluster)
		status, body := serve(s, r)
		if status != http.StatusOK {
			return
		}
		got, err := url.ParseQuery(strings.ReplaceAll(query, ";", "%3B"))
		if err != nil || !maps.EqualFunc(got, meaning, slices.Equal) || host != testHost || strings.Trim(cluster, " \t") != "my-cluster" {
			t.Errorf("accepted: host %q, cluster %q, query %q: %s", host, cluster, query, body)
		}
	})
}

func FuzzParseQueryAgreesWithEscape(f *testing.F) {
	for _, v := range oddValues {
		f.Add(v, v)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		got, err := parseQuery(escape(name) + "=" + escape(value))
		if err != nil || len(got) != 1 || got[0] != (pair{name, value}) {
			t.Errorf("%q=%q: got %q, %v", name, value, got, err)
		}
		// url.QueryEscape differs in the space alone.
		if want := strings.ReplaceAll(url.QueryEscape(name), "+", "%20"); !bytes.Equal([]byte(escape(name)), []byte(want)) {
			t.Errorf("escape(%q) = %q, want %q", name, escape(name), want)
		}
	})
}
