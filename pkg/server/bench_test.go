package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// tokenSizes are the lengths of tokens, in bytes, signed with a long-term key and
// with a session.
var tokenSizes = []int{600, 1600}

func BenchmarkReadReview(b *testing.B) {
	for _, size := range tokenSizes {
		body := sentReview(size)
		for _, c := range []struct{ name, body string }{
			{"usual", body},
			{"other", " " + body}, // a form that only the library reads
		} {
			b.Run(fmt.Sprintf("%s-%d", c.name, size), func(b *testing.B) {
				w := discard{http.Header{}}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := readReview(w, post(c.body)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkEncodeGrant(b *testing.B) {
	h, d := benchWebhook(nopCore, nil), granted()
	b.ReportAllocs()
	for b.Loop() {
		encodeGrant(apiV1, h.userInfo(d))
	}
}

func BenchmarkLogDecision(b *testing.B) {
	refused := decision{id: granted().id, err: reason.New(reason.NotMapped, "no mapping")}
	for _, c := range []struct {
		name string
		core zapcore.Core
		d    decision
	}{
		{"grant", jsonCore, granted()},
		{"refusal", jsonCore, refused},
		{"grant-off", nopCore, granted()},
		{"refusal-off", nopCore, refused},
	} {
		b.Run(c.name, func(b *testing.B) {
			h, r := benchWebhook(c.core, nil), post("")
			b.ReportAllocs()
			for b.Loop() {
				h.logDecision(r, c.d, time.Millisecond)
			}
		})
	}
}

func BenchmarkMetricsLogin(b *testing.B) {
	m := NewMetrics(MetricsOptions{})
	b.ReportAllocs()
	for b.Loop() {
		m.login(reason.Granted, time.Millisecond)
	}
}

// BenchmarkWebhook is a whole login, of a token that the Verifier knows. The request
// costs what BenchmarkRequest says.
func BenchmarkWebhook(b *testing.B) {
	for _, c := range []struct {
		name string
		core zapcore.Core
		err  error
	}{
		{"grant", jsonCore, nil},
		{"grant-off", nopCore, nil},
		{"rejected", jsonCore, reason.New(reason.CredentialsInvalid, "no such key")},
		{"denied", jsonCore, reason.New(reason.NotMapped, "no mapping")},
	} {
		for _, size := range tokenSizes {
			b.Run(fmt.Sprintf("%s-%d", c.name, size), func(b *testing.B) {
				h, body := benchWebhook(c.core, c.err), sentReview(size)
				b.ReportAllocs()
				for b.Loop() {
					h.ServeHTTP(discard{http.Header{}}, post(body))
				}
			})
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	body := sentReview(600)
	b.ReportAllocs()
	for b.Loop() {
		w, r := discard{http.Header{}}, post(body)
		_, _ = w, r
	}
}

var (
	nopCore = zapcore.NewNopCore()
	// jsonCore is the log of the server with --log-format json.
	jsonCore = func() zapcore.Core {
		encoding := zap.NewProductionEncoderConfig()
		encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
		encoding.EncodeDuration = zapcore.StringDurationEncoder
		return zapcore.NewCore(zapcore.NewJSONEncoder(encoding), zapcore.Lock(zapcore.AddSync(io.Discard)), zapcore.InfoLevel)
	}()
)

// sentReview is a TokenReview as API servers send it, with a token of size bytes.
func sentReview(size int) string {
	return fmt.Sprintf(`{"kind":"TokenReview","apiVersion":%q,"metadata":{"creationTimestamp":null},"spec":{"token":%q},"status":{"user":{}}}`+"\n",
		apiV1, "k8s-aws-v1."+strings.Repeat("x", size-len("k8s-aws-v1.")))
}

func post(body string) *http.Request {
	r, err := http.NewRequest(http.MethodPost, "/authenticate", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = "192.0.2.1:40000"
	return r
}

func granted() decision {
	id, err := iam.NewIdentity("arn:aws:sts::111122223333:assumed-role/admins/bob", "111122223333", "AROAEXAMPLEEXAMPLE000:bob", "ASIAEXAMPLEEXAMPLE00")
	if err != nil {
		panic(err)
	}
	return decision{id: id, user: mapper.User{Username: "admin:bob", Groups: []string{"admins", "111122223333"}, Mapper: "MountedFile", Entry: "mapRoles[0]"}}
}

// benchWebhook returns a Webhook whose decision is granted, or the mapper's error.
func benchWebhook(core zapcore.Core, mapperErr error) *Webhook {
	d := granted()
	return NewWebhook(WebhookOptions{
		Verifier: verifierFunc(func(context.Context, string) (iam.Identity, error) { return d.id, nil }),
		Mapper:   mapperFunc(func(context.Context, iam.Identity) (mapper.User, error) { return d.user, mapperErr }),
		Metrics:  NewMetrics(MetricsOptions{}),
		Log:      zap.New(core),
	})
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
