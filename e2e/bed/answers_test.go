package bed_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/e2e/bed"
)

// TestAnswersTheAPIServerUnderstands measures what each answer to a TokenReview makes the API server do
// with one token that is sent three times: how often it asks, which is what our answers are chosen by.
func TestAnswersTheAPIServerUnderstands(t *testing.T) {
	refuse := func(status string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":` + status + `}`))
		}
	}
	unavailable := func(retryAfter func() string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if retryAfter != nil {
				w.Header().Set("Retry-After", retryAfter())
			}
			http.Error(w, "STSUnreachable", http.StatusServiceUnavailable)
		}
	}
	tests := []struct {
		token  string
		answer http.HandlerFunc
		asked  int
		why    string
	}{
		{"rejected", refuse(`{"authenticated":false}`), 1, "the refusal is remembered"},
		{"denied", refuse(`{"authenticated":false,"error":"NotMapped"}`), 3, "an error is not remembered, nor tried again"},
		{"unavailable", unavailable(nil), 3, "a 503 is not remembered, nor tried again"},
		{"unavailable-date", unavailable(func() string { return time.Now().Add(time.Second).UTC().Format(http.TimeFormat) }), 3,
			"client-go reads no date in Retry-After"},
	}

	var mu sync.Mutex
	asked := map[string]int{}
	webhook := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review tokenReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Error(err)
		}
		mu.Lock()
		asked[review.Spec.Token]++
		mu.Unlock()
		for _, tt := range tests {
			if tt.token == review.Spec.Token {
				tt.answer(w, r)
				return
			}
		}
		unavailable(func() string { return "1" })(w, r)
	}))
	webhook.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	webhook.StartTLS()
	t.Cleanup(webhook.Close)
	cluster := start(t, bed.Options{WebhookKubeconfig: webhookKubeconfig(t, webhook), WebhookVersion: "v1"})

	pem, err := os.ReadFile(cluster.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	send := func(token string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, cluster.Server+"/api", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: the API server answered %d", token, resp.StatusCode)
		}
	}
	for _, tt := range tests {
		for range 3 {
			send(tt.token)
		}
		mu.Lock()
		got := asked[tt.token]
		mu.Unlock()
		if got != tt.asked {
			t.Errorf("%s: asked %d times for 3 requests, want %d: %s", tt.token, got, tt.asked, tt.why)
		}
	}

	// Why Retry-After is a date: with a number of seconds one request is asked for again and again, for half
	// a minute. Three seconds show it.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cluster.Server+"/api", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer unavailable-seconds")
	if resp, err := client.Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("with Retry-After: 1 the API server answered %d at once; a number would do no harm now", resp.StatusCode)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := asked["unavailable-seconds"]; got < 2 {
		t.Errorf("with Retry-After: 1 the API server asked %d times in 3 s", got)
	}
}
