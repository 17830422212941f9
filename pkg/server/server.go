package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/iam-authenticator/authenticator/pkg/node"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

// Options is what a Server is made of. Listener, TLS, Webhook, Metrics and Log are
// required.
type Options struct {
	// Listener is where the webhook is served over TLS. The Server closes it.
	Listener net.Listener
	TLS      *tls.Config
	Webhook  http.Handler
	// Others are further handlers on the webhook's port, by path.
	Others  map[string]http.Handler
	Metrics *Metrics
	// HealthListener is where health and metrics are served over plain HTTP, beside
	// the webhook's own port. Nil for none. The Server closes it.
	HealthListener net.Listener
	// Checks returns what decides /readyz. Nil for nothing.
	Checks func() []Check
	// Profiling serves /debug/pprof/ on the HealthListener.
	Profiling bool
	Log       *zap.Logger
}

// MaxConcurrentStreams is how many requests an HTTP/2 connection of the webhook
// carries at a time. The API server sends all of its logins over one: there is room for
// all that may wait for STS and for EC2, and then for those that don't have to.
const MaxConcurrentStreams = token.MaxWaiting + node.MaxWaiting + 250

// Server serves the webhook, health and metrics.
type Server struct {
	options     Options
	readTimeout time.Duration
	stopping    atomic.Bool
}

const (
	// A TokenReview is a few kilobytes from a neighbour: whoever takes longer to
	// send one is broken or means harm.
	readTimeout  = 5 * time.Second
	writeTimeout = decisionTimeout + 5*time.Second
	idleTimeout  = 3 * time.Minute
	// shutdownTimeout is enough for every login in flight to be decided.
	shutdownTimeout = decisionTimeout + time.Second

	profileTimeout = 5 * time.Minute

	maxHeader = 64 << 10 // bytes
)

// New returns a Server that doesn't serve yet.
func New(o Options) *Server { return &Server{options: o, readTimeout: readTimeout} }

// Run serves until ctx ends, then finishes the requests in flight and returns nil.
// It returns an error if serving fails.
func (s *Server) Run(ctx context.Context) error {
	webhook := s.httpServer(s.webhookRoutes())
	webhook.TLSConfig = s.options.TLS
	webhook.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams: MaxConcurrentStreams,
		// WriteTimeout ends requests; this ends a connection whose client doesn't read.
		WriteByteTimeout: writeTimeout,
	}
	servers := []*http.Server{webhook}

	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return served(webhook.ServeTLS(s.options.Listener, "", "")) })
	if s.options.HealthListener != nil {
		health := s.httpServer(s.healthRoutes())
		if s.options.Profiling {
			health.WriteTimeout = profileTimeout // a profile takes the time it measures
		}
		servers = append(servers, health)
		group.Go(func() error { return served(health.Serve(s.options.HealthListener)) })
	}
	group.Go(func() error {
		<-groupCtx.Done()
		s.stopping.Store(true)
		return shutdown(servers)
	})
	return group.Wait()
}

// shutdown lets requests in flight finish, the webhook's first, so that health
// checks see the server to its end.
func shutdown(servers []*http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	var errs []error
	for _, server := range servers {
		if err := server.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("requests were cut off at shutdown: %w", err), server.Close())
		}
	}
	return errors.Join(errs...)
}

func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve: %w", err)
}

func (s *Server) httpServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: s.readTimeout,
		ReadTimeout:       s.readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// Broken handshakes are for anybody to make: debug only.
		ErrorLog: must(zap.NewStdLogAt(s.options.Log, zap.DebugLevel)),
	}
}

func (s *Server) webhookRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/authenticate", s.options.Webhook)
	for path, handler := range s.options.Others {
		mux.Handle(path, handler)
	}
	s.addHealth(mux)
	return mux
}

func (s *Server) healthRoutes() http.Handler {
	mux := http.NewServeMux()
	s.addHealth(mux)
	if s.options.Profiling {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func (s *Server) addHealth(mux *http.ServeMux) {
	checks := func() []Check {
		all := []Check{{Name: "serving", Err: s.serving}}
		if s.options.Checks != nil {
			all = append(all, s.options.Checks()...)
		}
		return all
	}
	mux.HandleFunc("/healthz", live)
	mux.HandleFunc("/livez", live)
	mux.HandleFunc("/readyz", ready(checks))
	mux.Handle("/metrics", promhttp.HandlerFor(s.options.Metrics.Gatherer(), promhttp.HandlerOpts{
		ErrorLog: must(zap.NewStdLogAt(s.options.Log, zap.ErrorLevel)),
	}))
}

func (s *Server) serving() error {
	if s.stopping.Load() {
		return errors.New("the server is shutting down")
	}
	return nil
}

// must is for calls that fail only on constants that are wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TLSConfig returns the TLS settings of the webhook: TLS 1.2 or later, with
// HTTP/2, which the API server prefers.
func TLSConfig(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: certificate,
		NextProtos:     []string{"h2", "http/1.1"},
	}
}
