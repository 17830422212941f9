// Package sourcetest is an API server with one collection of objects, for tests of
// what reads from one. It lists and watches over HTTP as the real one does, and is
// cut off, restarted and broken on command. There is no network in it, so that it
// can be used with testing/synctest.
package sourcetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// Object is an object as JSON has it.
type Object = map[string]any

// Server serves the objects of one kind at every path that is asked for, and takes
// events.
type Server struct {
	// What to do, to be set before it matters or with Set.
	NoStreaming  bool   // lists don't come through watches
	Status       int    // the status of the answer to every list and watch; 0: as it should be
	WatchStatus  int    // the same for watches
	WatchError   int    // a watch begins with an error of that code
	Reason       string // the text of such an answer
	NoTimeout    bool   // watches go on after their timeoutSeconds
	Hang         bool   // no request is answered
	HangUp       bool   // connections are closed as soon as they are open
	EventsStatus int    // the status of the answer to every event

	mu       sync.Mutex
	kind     string
	objects  map[string]Object // by name
	version  int               // the last resource version
	oldest   int               // versions before are compacted
	history  []change
	changed  chan struct{} // closed with every change
	cut      chan struct{} // closed when watches are to end
	down     bool
	conns    []net.Conn
	requests []string
	events   map[string]Object

	listener *listener
}

type change struct {
	version int
	kind    string // ADDED, MODIFIED, DELETED, BOOKMARK, ERROR
	object  any
}

// New returns a server of objects of the kind, which ends with the test.
func New(t testing.TB, kind string) *Server {
	s := &Server{
		kind: kind, objects: map[string]Object{}, version: 100, events: map[string]Object{},
		changed: make(chan struct{}), cut: make(chan struct{}),
		listener: &listener{conns: make(chan net.Conn), closed: make(chan struct{})},
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	done := make(chan error)
	go func() { done <- server.Serve(s.listener) }()
	t.Cleanup(func() {
		s.Cut()
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return s
}

// Config returns the way to reach the server.
func (s *Server) Config(t testing.TB) *rest.Config {
	transport := &http.Transport{DialContext: s.dial}
	t.Cleanup(transport.CloseIdleConnections)
	return &rest.Config{Host: "http://apiserver", Transport: transport}
}

func (s *Server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	client, server := net.Pipe()
	if s.HangUp {
		_ = server.Close()
		return client, nil
	}
	select {
	case s.listener.conns <- server:
		s.conns = append(s.conns, server)
		return client, nil
	case <-s.listener.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Set changes what the server does.
func (s *Server) Set(change func(s *Server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// Put creates or changes the object with the name in it.
func (s *Server) Put(o Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o = maps.Clone(o)
	metadata := maps.Clone(o["metadata"].(map[string]any))
	s.version++
	metadata["resourceVersion"] = strconv.Itoa(s.version)
	name := metadata["name"].(string)
	if metadata["uid"] == nil {
		metadata["uid"] = "uid-" + name
	}
	o["metadata"], o["kind"] = metadata, s.kind
	what := "ADDED"
	if s.objects[name] != nil {
		what = "MODIFIED"
	}
	s.objects[name] = o
	s.announce(what, o)
}

// Delete deletes an object.
func (s *Server) Delete(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := maps.Clone(s.objects[name])
	delete(s.objects, name)
	s.version++
	metadata := maps.Clone(o["metadata"].(map[string]any))
	metadata["resourceVersion"] = strconv.Itoa(s.version)
	o["metadata"] = metadata
	s.announce("DELETED", o)
}

func (s *Server) announce(what string, o Object) {
	s.history = append(s.history, change{s.version, what, o})
	close(s.changed)
	s.changed = make(chan struct{})
}

// Cut ends all watches.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.cut)
	s.cut = make(chan struct{})
}

// Compact forgets the history: who watches from a version before has to list again.
func (s *Server) Compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.oldest = s.version
	s.history = nil
}

// Stop closes all connections and refuses new ones, until Start.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

// Start ends what Stop began.
func (s *Server) Start() { s.Set(func(s *Server) { s.down = false }) }

// Requests returns the lists and watches that came since the last call.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.requests = nil }()
	return s.requests
}

// Events returns the events by name.
func (s *Server) Events() map[string]Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.events)
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	watching := query.Get("watch") != ""
	s.mu.Lock()
	if r.Method == http.MethodPost {
		defer s.mu.Unlock()
		s.takeEvent(w, r)
		return
	}
	verb, status := "list", s.Status
	if watching {
		verb = "watch"
		if s.WatchStatus != 0 {
			status = s.WatchStatus
		}
	}
	s.requests = append(s.requests, verb+" "+r.URL.Path+" "+query.Get("fieldSelector"))
	reason, hang := s.Reason, s.Hang
	if watching && query.Get("sendInitialEvents") == "true" && s.NoStreaming && status == 0 {
		status, reason = http.StatusUnprocessableEntity, "sendInitialEvents: Forbidden"
	}
	s.mu.Unlock()

	switch {
	case hang:
		<-r.Context().Done()
	case status == http.StatusNotFound:
		http.Error(w, "404 page not found", status) // as for kinds that are not there
	case status != 0:
		answer(w, status, reason)
	case watching:
		s.watch(w, r)
	default:
		s.list(w, r)
	}
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := s.selected(r)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(Object{
		"kind": s.kind + "List", "apiVersion": apiVersion(r),
		"metadata": Object{"resourceVersion": strconv.Itoa(s.version)},
		"items":    items,
	})
}

// selected returns the objects for which the request asks.
func (s *Server) selected(r *http.Request) []Object {
	items := []Object{}
	for _, name := range slices.Sorted(maps.Keys(s.objects)) {
		if selects(r, s.objects[name]) {
			items = append(items, typed(r, s.objects[name]))
		}
	}
	return items
}

func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	var timeout <-chan time.Time
	s.mu.Lock()
	cut := s.cut
	if seconds, err := strconv.Atoi(query.Get("timeoutSeconds")); err == nil && !s.NoTimeout {
		timer := time.NewTimer(time.Duration(seconds) * time.Second)
		defer timer.Stop()
		timeout = timer.C
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	send := func(what string, o any) {
		_ = json.NewEncoder(w).Encode(Object{"type": what, "object": o})
		w.(http.Flusher).Flush()
	}

	version, _ := strconv.Atoi(query.Get("resourceVersion"))
	first := []change{}
	switch {
	case s.WatchError != 0:
		first = append(first, change{kind: "ERROR", object: statusOf(s.WatchError, s.Reason)})
	case query.Get("sendInitialEvents") == "true":
		for _, o := range s.selected(r) {
			first = append(first, change{kind: "ADDED", object: o})
		}
		version = s.version
		first = append(first, change{kind: "BOOKMARK", object: typed(r, Object{"kind": s.kind, "metadata": Object{
			"resourceVersion": strconv.Itoa(version),
			"annotations":     Object{metav1.InitialEventsAnnotationKey: "true"},
		}})})
	case version < s.oldest:
		first = append(first, change{kind: "ERROR", object: statusOf(http.StatusGone, "too old resource version")})
	}
	s.mu.Unlock()
	for _, c := range first {
		send(c.kind, c.object)
		if c.kind == "ERROR" {
			return
		}
	}
	for {
		s.mu.Lock()
		changed := s.changed
		history := s.history
		s.mu.Unlock()
		for _, c := range history {
			if o, ok := c.object.(Object); ok && c.version > version {
				version = c.version
				if selects(r, o) {
					send(c.kind, typed(r, o))
				}
			}
		}
		select {
		case <-changed:
		case <-cut:
			return
		case <-timeout:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (s *Server) takeEvent(w http.ResponseWriter, r *http.Request) {
	var event Object
	if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
		answer(w, http.StatusBadRequest, err.Error())
		return
	}
	name := event["metadata"].(map[string]any)["name"].(string)
	switch {
	case s.EventsStatus != 0:
		answer(w, s.EventsStatus, s.Reason)
	case s.events[name] != nil:
		answer(w, http.StatusConflict, "event exists")
	default:
		s.events[name] = event
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(event)
	}
}

func selects(r *http.Request, o Object) bool {
	name, ok := strings.CutPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name=")
	return !ok || o["metadata"].(map[string]any)["name"] == name
}

// typed returns the object with the API version of the path.
func typed(r *http.Request, o Object) Object {
	o = maps.Clone(o)
	o["apiVersion"] = apiVersion(r)
	return o
}

func apiVersion(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if parts[0] == "apis" {
		return parts[1] + "/" + parts[2]
	}
	return parts[1]
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(statusOf(status, text))
}

func statusOf(status int, text string) Object {
	reasons := map[int]metav1.StatusReason{
		http.StatusUnauthorized:        metav1.StatusReasonUnauthorized,
		http.StatusForbidden:           metav1.StatusReasonForbidden,
		http.StatusConflict:            metav1.StatusReasonAlreadyExists,
		http.StatusGone:                metav1.StatusReasonExpired,
		http.StatusUnprocessableEntity: metav1.StatusReasonInvalid,
		http.StatusInternalServerError: metav1.StatusReasonInternalError,
	}
	return Object{
		"kind": "Status", "apiVersion": "v1", "status": "Failure",
		"code": status, "reason": reasons[status], "message": fmt.Sprintf("%d: %s", status, text),
	}
}

// listener hands over the server's ends of connections.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "apiserver", Net: "memory"} }
