package server

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authenticationv1beta1 "k8s.io/api/authentication/v1beta1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

const usual = `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","metadata":{},"spec":{"token":"k8s-aws-v1.x"},"status":{"user":{}}}`

// What an API server sends is written by the codec of client-go, as here.
func TestScanReviewReadsWhatAPIServersSend(t *testing.T) {
	const token = "k8s-aws-v1.aHR0cHM6Ly9zdHMuYW1hem9uYXdzLmNvbS8_"
	for _, audiences := range [][]string{nil, {"https://kubernetes.default.svc"}, {"a", "b", "c"}} {
		for version, object := range map[string]kruntime.Object{
			apiV1:      &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences}},
			apiV1beta1: &authenticationv1beta1.TokenReview{Spec: authenticationv1beta1.TokenReviewSpec{Token: token, Audiences: audiences}},
		} {
			codec := scheme.Codecs.LegacyCodec(authenticationv1.SchemeGroupVersion)
			if version == apiV1beta1 {
				codec = scheme.Codecs.LegacyCodec(authenticationv1beta1.SchemeGroupVersion)
			}
			body, err := kruntime.Encode(codec, object)
			check(t, err)
			old := strings.Replace(string(body), `"metadata":{}`, `"metadata":{"creationTimestamp":null}`, 1)
			if old == string(body) {
				t.Errorf("no empty metadata in %s", body)
			}
			for _, body := range []string{string(body), strings.TrimSpace(string(body)), old} {
				want := review{apiVersion: version, token: token}
				if got, ok := scanReview([]byte(body)); !ok || got != want {
					t.Errorf("%s is read as %+v, %v", body, got, ok)
				}
				if got, err := decodeReview([]byte(body)); err != nil || got != want {
					t.Errorf("%s is decoded as %+v, %v", body, got, err)
				}
			}
		}
	}
}

func TestScanReviewLeavesOtherFormsToTheLibrary(t *testing.T) {
	for _, body := range []string{
		"", "null", " " + usual, usual + " ", usual + "\n\n", usual + usual, usual[:len(usual)-1],
		strings.Replace(usual, "x", `\u0078`, 1),
		strings.Replace(usual, "x", "\u00e9", 1),
		strings.Replace(usual, "x", "\xff", 1),
		strings.Replace(usual, "x", "\x00", 1),
		strings.Replace(usual, "x", "\x7f", 1),
		strings.Replace(usual, `"k8s-aws-v1.x"`, `"k8s-aws-v1.x\"`, 1),
		strings.Replace(usual, `x"}`, `x","audiences":[]}`, 1),
		strings.Replace(usual, `x"}`, `x","audiences":["a",]}`, 1),
		strings.Replace(usual, `x"}`, `x","audiences":["a"}`, 1),
		strings.Replace(usual, `x"}`, `x","audiences":["a","b}`, 1),
		strings.Replace(usual, "/v1", "/v2", 1),
		strings.Replace(usual, `{"token":"k8s-aws-v1.x"}`, `{}`, 1),
	} {
		if r, ok := scanReview([]byte(body)); ok {
			t.Errorf("%q is read as %+v", body, r)
		}
	}
}

func TestScanReviewReadsNoPartOfAReview(t *testing.T) {
	body := strings.Replace(usual, `x"}`, `x","audiences":["a","b"]}`, 1)
	if _, ok := scanReview([]byte(body)); !ok {
		t.Fatalf("%s is not read", body)
	}
	for end := range body {
		if r, ok := scanReview([]byte(body[:end])); ok {
			t.Errorf("%s is read as %+v", body[:end], r)
		}
	}
}

func TestReadReview(t *testing.T) {
	replace := func(old, with string) string { return strings.Replace(usual, old, with, 1) }
	const notJSON, twice = "body is not a TokenReview in JSON", "body has a field twice"
	for _, c := range []struct{ rule, body, token, refusal string }{
		{"the usual form", usual, "k8s-aws-v1.x", ""},
		{"fields in another order", `{"spec":{"token":"x"},"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview"}`, "x", ""},
		{"space", strings.ReplaceAll(usual, ":", " : "), "k8s-aws-v1.x", ""},
		{"escapes", replace("x", `\u0078`), "k8s-aws-v1.x", ""},
		{"an escaped name", replace(`"token"`, `"to\u006ben"`), "k8s-aws-v1.x", ""},
		{"an unknown field", replace(`"token"`, `"new":{"token":"y"},"token"`), "k8s-aws-v1.x", ""},
		{"a field in another letter case is another field", replace(`"token"`, `"Token"`), "", ""},
		{"a field in two letter cases", replace(`"token"`, `"TOKEN":"y","token"`), "k8s-aws-v1.x", ""},
		{"no token", replace(`"token":"k8s-aws-v1.x"`, ""), "", ""},
		{"null for a token", replace(`"k8s-aws-v1.x"`, "null"), "", ""},
		{"null for a spec", replace(`{"token":"k8s-aws-v1.x"}`, "null"), "", ""},
		{"half a surrogate is no token's", replace("x", `\ud800`), "k8s-aws-v1.\ufffd", ""},

		{"two tokens", replace(`"token"`, `"token":"y","token"`), "", twice},
		{"two tokens, one escaped", replace(`"token"`, `"to\u006ben":"y","token"`), "", twice},
		{"two tokens, one null", replace(`"token"`, `"token":null,"token"`), "", twice},
		{"two specs", replace(`"spec"`, `"spec":{"token":"y"},"spec"`), "", twice},
		{"two specs, the later without a token", replace(`"status"`, `"spec":{},"status"`), "", twice},
		{"two kinds", replace(`"kind"`, `"kind":"Pod","kind"`), "", twice},
		{"two versions", replace(`"apiVersion"`, `"apiVersion":"v1","apiVersion"`), "", twice},
		{"two fields of no concern", replace(`"metadata"`, `"metadata":{},"metadata"`), "", twice},

		{"trailing data", usual + "x", "", notJSON},
		{"trailing object", usual + "{}", "", notJSON},
		{"byte order mark", "\ufeff" + usual, "", notJSON},
		{"invalid UTF-8 in the token", replace("x", "\xff"), "", notJSON},
		{"invalid UTF-8 elsewhere", replace(`"metadata":{}`, "\"n\xff\":1"), "", notJSON},
		{"a control character", replace("x", "\n"), "", notJSON},
		{"a list for a spec", replace(`{"token":"k8s-aws-v1.x"}`, "[]"), "", notJSON},
		{"a list for a token", replace(`"k8s-aws-v1.x"`, `["x"]`), "", notJSON},
		{"a number for metadata", replace(`"metadata":{}`, `"metadata":1`), "", notJSON},
		{"a string for audiences", replace(`"token"`, `"audiences":"a","token"`), "", notJSON},
		{"a number out of range", replace(`"metadata":{}`, `"metadata":{"generation":1e999999}`), "", notJSON},
		{"a comment", replace(`{"kind"`, `{/**/"kind"`), "", notJSON},
		{"200,000 arrays in each other", replace(`"metadata":{}`, `"new":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)), "", notJSON},
		{"40,000 objects in each other", replace(`"metadata":{}`, `"new":`+strings.Repeat(`{"":`, 40_000)+"1"+strings.Repeat("}", 40_000)), "", notJSON},
	} {
		t.Run(c.rule, func(t *testing.T) {
			for _, length := range []bool{true, false} {
				r := post(c.body)
				if !length {
					r.ContentLength = -1
				}
				got, err := readReview(httptest.NewRecorder(), r)
				if bad, ok := errors.AsType[*badRequest](err); c.refusal != "" && (!ok || bad.text != c.refusal || bad.status != http.StatusBadRequest) {
					t.Errorf("read as %+v, %v, want %q", got, err, c.refusal)
				}
				if c.refusal == "" && (err != nil || got != review{apiVersion: apiV1, token: c.token}) {
					t.Errorf("read as %+v, %v", got, err)
				}
			}
		})
	}
}

// A body may be longer than what is set aside for it, and may be as long as maxBody.
func TestReadReviewOfAnyLength(t *testing.T) {
	frame := len(usual) - len("x")
	for _, size := range []int{usualBody - 1, usualBody, usualBody + 1, 100 << 10, maxBody} {
		token := strings.Repeat("x", size-frame)
		got, err := readReview(httptest.NewRecorder(), post(strings.Replace(usual, "x", token, 1)))
		if err != nil || got.token != "k8s-aws-v1."+token {
			t.Errorf("%d bytes: a token of %d bytes, %v", size, len(got.token), err)
		}
	}
}

// To announce a long body costs a caller nothing, and must not cost us much.
func TestReadReviewSetsNothingAsideForWhatIsAnnounced(t *testing.T) {
	const times = 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		r := post("{")
		r.ContentLength = maxBody
		_, _ = readReview(discard{http.Header{}}, r)
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / times; n > 4*usualBody {
		t.Errorf("%d bytes allocated for a body of 1", n)
	}
}

func FuzzReadReview(f *testing.F) {
	for _, version := range []string{apiV1, apiV1beta1} {
		body := strings.Replace(usual, apiV1, version, 1)
		f.Add([]byte(body))
		f.Add([]byte(strings.Replace(body, `"metadata":{}`, `"metadata":{"creationTimestamp":null}`, 1) + "\n"))
		f.Add([]byte(strings.Replace(body, `x"}`, `x","audiences":["a","b"]}`, 1)))
		f.Add([]byte(strings.Replace(body, `x"}`, `x\u003c","token":"y"}`, 1)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		want, wantErr := decodeReview(body)
		got, err := readReview(httptest.NewRecorder(), post(string(body)))
		if (err == nil) != (wantErr == nil) || got != want {
			t.Fatalf("%q is read as %+v, %v, but decoded as %+v, %v", body, got, err, want, wantErr)
		}
	})
}
