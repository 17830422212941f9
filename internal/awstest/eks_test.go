package awstest

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The emulator says yes to what the SDK's signer signed for EKS, and to nothing else.
func TestEKSVerifiesSignatures(t *testing.T) {
	const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	sts := New(Options{})
	alice, err := sts.AddUser("arn:aws:iam::111122223333:user/alice")
	if err != nil {
		t.Fatal(err)
	}
	eks := NewEKS(sts)
	eks.SetCluster(EKSCluster{ARN: "arn:aws:eks:eu-west-1:111122223333:cluster/demo", Entries: []EKSAccessEntry{{PrincipalARN: alice.ARN}}})
	const path = "/clusters/demo/access-entries/arn%3Aaws%3Aiam%3A%3A111122223333%3Auser%2Falice"
	for name, c := range map[string]struct {
		path, service, region string
		age                   time.Duration
		tamper                func(*http.Request)
		status                int
		code                  string
	}{
		"signed":             {path: path, status: 200},
		"for STS":            {path: path, service: "sts", status: 403, code: "InvalidSignatureException"},
		"for another region": {path: path, region: "eu-west-2", status: 403, code: "InvalidSignatureException"},
		"too old":            {path: path, age: 16 * time.Minute, status: 403, code: "InvalidSignatureException"},
		"another path":       {path: path, tamper: func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/clusters/demo", "" }, status: 403, code: "InvalidSignatureException"},
		"another query":      {path: path, tamper: func(r *http.Request) { r.URL.RawQuery = "x=1" }, status: 403, code: "InvalidSignatureException"},
		"not signed":         {path: path, tamper: func(r *http.Request) { r.Header = http.Header{} }, status: 403, code: "MissingAuthenticationTokenException"},
		"no such operation":  {path: "/addons", status: 404, code: "UnknownOperationException"},
		"another method":     {path: path, tamper: func(r *http.Request) { r.Method = http.MethodDelete }, status: 404, code: "UnknownOperationException"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://eks.eu-west-1.amazonaws.com"+c.path, nil)
			service, region := "eks", "eu-west-1"
			if c.service != "" {
				service = c.service
			}
			if c.region != "" {
				region = c.region
			}
			if err := v4.NewSigner().SignHTTP(t.Context(), alice.AWS(), r, emptyHash, service, region, time.Now().Add(-c.age)); err != nil {
				t.Fatal(err)
			}
			if c.tamper != nil {
				c.tamper(r)
			}
			w := httptest.NewRecorder()
			eks.ServeHTTP(w, r)
			want := c.code
			if want != "" {
				want += ":http://internal.amazon.com/coral/com.amazonaws.eks/"
			}
			if w.Code != c.status || w.Header().Get("X-Amzn-Errortype") != want {
				t.Errorf("got %d %s: %s, want %d %s", w.Code, w.Header().Get("X-Amzn-Errortype"), w.Body, c.status, c.code)
			}
		})
	}
}
