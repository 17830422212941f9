package entries

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

// apiServer is an API server with access entries and no rules. It has no sockets, so
// that time may be virtual.
type apiServer struct {
	mu       sync.Mutex
	version  int
	objects  map[string]map[string]any
	requests []string // METHOD path?query

	before  func(r *http.Request) // called with every request, outside the lock
	refuse  func(r *http.Request) *metav1.Status
	expired int // how many requests with a continue token find it too old
	down    bool
}

func newAPIServer() *apiServer { return &apiServer{objects: map[string]map[string]any{}} }

func (s *apiServer) config() *rest.Config {
	return &rest.Config{Host: "https://api.example.com", Transport: s}
}

func (s *apiServer) client(t *testing.T, dryRun DryRun) (*Client, *[]string) {
	t.Helper()
	var warnings []string
	c, err := New(Options{Config: s.config(), DryRun: dryRun, Warn: func(w string) { warnings = append(warnings, w) }})
	if err != nil {
		t.Fatal(err)
	}
	return c, &warnings
}

// put stores a spec under a name, as it is. Objects are created a minute apart.
func (s *apiServer) put(name string, spec map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	generation := 1.0
	meta := map[string]any{
		"name": name, "uid": fmt.Sprintf("uid-%d", s.version), "annotations": map[string]any{"kept": "yes"},
		"creationTimestamp": time.Date(2026, 1, 1, 0, s.version, 0, 0, time.UTC).Format(time.RFC3339),
		"managedFields":     []any{map[string]any{"manager": "kubectl", "operation": "Update"}},
	}
	var status any
	if old, ok := s.objects[name]; ok {
		meta = old["metadata"].(map[string]any)
		status = old["status"]
		generation = meta["generation"].(float64) + 1
	}
	meta["resourceVersion"], meta["generation"] = strconv.Itoa(s.version), generation
	s.objects[name] = clone(map[string]any{"apiVersion": "iam-authenticator.dev/v1alpha1", "kind": "AccessEntry", "metadata": meta, "spec": spec, "status": status})
}

// putEntry is put of what tests mostly want.
func (s *apiServer) putEntry(name, arn string, groups ...string) {
	spec := map[string]any{"principalARN": arn, "type": "STANDARD"}
	if len(groups) > 0 {
		spec["kubernetesGroups"] = groups
	}
	s.put(name, spec)
}

// accept writes the condition Accepted.
func (s *apiServer) accept(name string, status metav1.ConditionStatus, reason string, generation int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.objects[name]["metadata"].(map[string]any)["resourceVersion"] = strconv.Itoa(s.version)
	s.objects[name]["status"] = clone(map[string]any{"conditions": []metav1.Condition{
		{Type: "Accepted", Status: status, Reason: reason, Message: "as " + reason + " says", ObservedGeneration: generation},
	}})
}

func (s *apiServer) entry(t *testing.T, name string) *v1alpha1.AccessEntry {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects[name] == nil {
		return nil
	}
	data, err := json.Marshal(s.objects[name])
	if err != nil {
		t.Fatal(err)
	}
	e := &v1alpha1.AccessEntry{}
	if err := json.Unmarshal(data, e); err != nil {
		t.Fatal(err)
	}
	return e
}

func (s *apiServer) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// writes are the requests that were no reads.
func (s *apiServer) writes() (writes []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if !strings.HasPrefix(r, "GET ") {
			writes = append(writes, r)
		}
	}
	return writes
}

func clone(o map[string]any) (c map[string]any) {
	data, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		panic(err)
	}
	return c
}

// RoundTrip answers a request.
func (s *apiServer) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.before != nil {
		s.before(r)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.String())
	if s.down {
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	if s.refuse != nil {
		if status := s.refuse(r); status != nil {
			s.fail(w, status)
			return w.Result(), nil
		}
	}
	const path = "/apis/iam-authenticator.dev/v1alpha1/accessentries"
	name := strings.Trim(strings.TrimPrefix(r.URL.Path, path), "/")
	var body map[string]any
	if r.Body != nil {
		data, err := io.ReadAll(r.Body)
		if err == nil && len(data) > 0 {
			err = json.Unmarshal(data, &body)
		}
		if err != nil || len(data) > 0 && r.Header.Get("Content-Type") != "application/json" {
			s.fail(w, status(http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType, "not JSON"))
			return w.Result(), nil
		}
	}
	s.serve(w, r, name, body)
	return w.Result(), nil
}

func (s *apiServer) serve(w http.ResponseWriter, r *http.Request, name string, body map[string]any) {
	dryRun := r.URL.Query().Get("dryRun") == "All"
	found := s.objects[name]
	switch {
	case r.Method == http.MethodGet && name == "":
		s.list(w, r)
	case r.Method == http.MethodPost:
		name := body["metadata"].(map[string]any)["name"].(string)
		if s.objects[name] != nil {
			s.fail(w, status(http.StatusConflict, metav1.StatusReasonAlreadyExists, name+" already exists"))
			return
		}
		if dryRun {
			reply(w, body)
			return
		}
		s.mu.Unlock()
		s.put(name, body["spec"].(map[string]any))
		s.mu.Lock()
		reply(w, s.objects[name])
	case found == nil:
		s.fail(w, status(http.StatusNotFound, metav1.StatusReasonNotFound, name+" not found"))
	case r.Method == http.MethodGet:
		reply(w, found)
	case r.Method == http.MethodPut:
		old, meta := found["metadata"].(map[string]any), body["metadata"].(map[string]any)
		switch {
		case meta["resourceVersion"] != old["resourceVersion"] || meta["uid"] != old["uid"]:
			s.fail(w, status(http.StatusConflict, metav1.StatusReasonConflict, "the object has been modified"))
		case dryRun:
			reply(w, body)
		default:
			s.mu.Unlock()
			s.put(name, body["spec"].(map[string]any))
			s.mu.Lock()
			reply(w, s.objects[name])
		}
	case r.Method == http.MethodDelete:
		wanted, _ := body["preconditions"].(map[string]any)
		is := found["metadata"].(map[string]any)
		if version := wanted["resourceVersion"]; wanted["uid"] != is["uid"] || version != nil && version != is["resourceVersion"] {
			s.fail(w, status(http.StatusConflict, metav1.StatusReasonConflict, "the UID in the precondition does not match"))
			return
		}
		if version, ok := wanted["resourceVersion"]; ok && version != found["metadata"].(map[string]any)["resourceVersion"] {
			s.fail(w, status(http.StatusConflict, metav1.StatusReasonConflict, "the resourceVersion in the precondition does not match"))
			return
		}
		if all, _ := body["dryRun"].([]any); len(all) == 0 {
			delete(s.objects, name)
		}
		reply(w, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	}
}

// list serves a page. A continue token is the name to go on behind.
func (s *apiServer) list(w http.ResponseWriter, r *http.Request) {
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	after := r.URL.Query().Get("continue")
	if old, isOld := strings.CutPrefix(after, "v1:"); isOld && s.expired > 0 {
		s.expired--
		expired := status(http.StatusGone, metav1.StatusReasonExpired, "the continue token is too old")
		expired.Continue = "v2:" + old
		s.fail(w, expired)
		return
	}
	_, after, _ = strings.Cut(after, ":")
	names := slices.Sorted(maps.Keys(s.objects))
	at, found := slices.BinarySearch(names, after)
	if found {
		at++
	}
	names = names[at:]
	var next string
	if limit > 0 && len(names) > limit {
		names = names[:limit]
		next = "v1:" + names[limit-1]
	}
	items := []any{}
	for _, name := range names {
		items = append(items, s.objects[name])
	}
	reply(w, map[string]any{"apiVersion": "iam-authenticator.dev/v1alpha1", "kind": "AccessEntryList", "metadata": map[string]any{"continue": next}, "items": items})
}

func status(code int32, reason metav1.StatusReason, message string) *metav1.Status {
	return &metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}
}

func (s *apiServer) fail(w http.ResponseWriter, status *metav1.Status) {
	w.WriteHeader(int(status.Code))
	reply(w, status)
}

func reply(w io.Writer, v any) {
	var text bytes.Buffer
	if err := json.NewEncoder(&text).Encode(v); err != nil {
		panic(err)
	}
	_, _ = w.Write(text.Bytes())
}
