package accessentry

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// entryJSON is an entry as kubectl apply and a report leave it on the API server.
func entryJSON(i int) []byte {
	kind := "role"
	if i%2 == 1 {
		kind = "user"
	}
	arn := fmt.Sprintf("arn:aws:iam::111122223333:%s/team/n%d", kind, i)
	return fmt.Appendf(nil, `{"apiVersion":"iam-authenticator.dev/v1alpha1","kind":"AccessEntry","metadata":{"name":"entry-%d",`+
		`"uid":"8c5a1e0c-54b5-4b39-8d5b-%012d","resourceVersion":"%d","generation":1,"creationTimestamp":"2026-01-01T00:00:00Z",`+
		`"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"spec\":{\"principalARN\":\"%s\"}}"},`+
		`"managedFields":[{"apiVersion":"iam-authenticator.dev/v1alpha1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/last-applied-configuration":{}}},"f:spec":{".":{},"f:kubernetesGroups":{},"f:principalARN":{},"f:type":{},"f:username":{}}},"manager":"kubectl-client-side-apply","operation":"Update","time":"2026-01-01T00:00:00Z"},`+
		`{"apiVersion":"iam-authenticator.dev/v1alpha1","fieldsType":"FieldsV1","fieldsV1":{"f:status":{"f:canonicalARN":{},"f:conditions":{"k:{\"type\":\"Accepted\"}":{".":{},"f:lastTransitionTime":{},"f:message":{},"f:observedGeneration":{},"f:reason":{},"f:status":{},"f:type":{}}}}},"manager":"iam-authenticator","operation":"Apply","subresource":"status","time":"2026-01-01T00:00:00Z"}]},`+
		`"spec":{"principalARN":%q,"type":"STANDARD","username":"team:%d","kubernetesGroups":["developers","oncall"]},`+
		`"status":{"canonicalARN":"arn:aws:iam::111122223333:%s/n%d","conditions":[{"type":"Accepted","status":"True","reason":"InForce","message":"The principal gets in as the spec says.","observedGeneration":1,"lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`,
		i, i, 1000+i, arn, arn, i, kind+map[string]string{"role": "", "user": "/team"}[kind], i)
}

// newListServer serves a list of n entries, as a stream, and no changes.
func newListServer(b *testing.B, n int) *rest.Config {
	var stream bytes.Buffer
	for i := range n {
		fmt.Fprintf(&stream, `{"type":"ADDED","object":%s}`+"\n", entryJSON(i))
	}
	stream.WriteString(`{"type":"BOOKMARK","object":{"apiVersion":"iam-authenticator.dev/v1alpha1","kind":"AccessEntry",` +
		`"metadata":{"resourceVersion":"9999999","annotations":{"k8s.io/initial-events-end":"true"}}}}` + "\n")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("sendInitialEvents") != "true" {
			b.Errorf("%s %s, want nothing but a watch that begins with a list", r.Method, r.URL)
			http.Error(w, "unexpected", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(stream.Bytes())
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	b.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return &rest.Config{Host: s.URL}
}

// synced returns a mapper that has its list, and how to end it.
func synced(b *testing.B, config *rest.Config) (*Mapper, func()) {
	m, err := New(Options{Config: config})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	for m.Status().Ready() != nil && !b.Failed() {
		time.Sleep(time.Millisecond)
	}
	return m, func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkSync reads 100,000 entries over HTTP.
func BenchmarkSync(b *testing.B) {
	const n = 100_000
	config := newListServer(b, n)
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		m, stop := synced(b, config)
		runtime.GC()
		runtime.ReadMemStats(&after)
		if s := m.Status(); s.Entries != n || len(s.Problems) > 0 {
			b.Fatalf("status %d entries, %d problems", s.Entries, len(s.Problems))
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "bytes/entry")
		b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/n, "allocated-bytes/entry")
		stop()
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		m, stop := synced(b, newListServer(b, n))
		ids := map[string][]iam.Identity{}
		for i := range min(n/2, 1024) {
			at := i * (n / 2 / min(n/2, 1024)) * 2
			ids["role"] = append(ids["role"], session(b, fmt.Sprintf("n%d", at), "s"))
			ids["user"] = append(ids["user"], identity(b, fmt.Sprintf("arn:aws:iam::111122223333:user/team/n%d", at+1), "AIDAEXAMPLE"))
			ids["miss"] = append(ids["miss"], session(b, fmt.Sprintf("none%d", at), "s"))
		}
		for _, kind := range []string{"role", "user", "miss"} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, err := m.Lookup(ids[kind][i%len(ids[kind])]); (err == nil) != (kind != "miss") {
						b.Fatal(err)
					}
				}
			})
		}
		stop()
	}
}
