// Package objectstest is an API server for one kind of custom resources, as far as a
// client that lists, watches and applies a status can tell.
package objectstest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// Object is an object as JSON has it.
type Object = map[string]any

// Server is the API server.
type Server struct {
	url  string
	path string // of the list
	kind string

	mu        sync.Mutex
	version   int
	objects   map[string]Object
	events    []event
	wake      chan struct{} // closed by the next event
	absent    bool
	misrouted bool
	refuse    int // HTTP status for patches; 0: none
	patches   int
}

type event struct {
	version int
	kind    string
	object  Object
}

// New starts a server for a kind, until the end of the test. Its path is that of a
// group, version and resource, such as "/apis/example.com/v1/things".
func New(t testing.TB, path, kind string) *Server {
	s := &Server{path: path, kind: kind, version: 1, objects: map[string]Object{}, wake: make(chan struct{})}
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		h.CloseClientConnections() // ends the watches
		h.Close()
	})
	s.url = h.URL
	return s
}

// Config leads to the server.
func (s *Server) Config() *rest.Config { return &rest.Config{Host: s.url} }

// Put stores an object with a spec. A name that is new gets the metadata of a new
// object, and created as the second of its creation; of others the generation counts
// up.
func (s *Server) Put(name string, created int, spec any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.objects[name]
	if !ok {
		s.store("ADDED", name, Object{ // as kubectl apply makes it
			"metadata": Object{
				"name":              name,
				"uid":               fmt.Sprintf("uid-%d", s.version),
				"generation":        1,
				"creationTimestamp": fmt.Sprintf("2026-01-01T00:00:%02dZ", created),
				"labels":            Object{"a": "b"},
				"annotations":       Object{"kubectl.kubernetes.io/last-applied-configuration": "{}"},
				"managedFields":     []any{Object{"manager": "kubectl", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": Object{"f:spec": Object{}}}},
			},
			"spec": spec,
		})
		return
	}
	next := clone(last)
	next["spec"] = spec
	meta := next["metadata"].(Object)
	meta["generation"] = meta["generation"].(float64) + 1
	s.store("MODIFIED", name, next)
}

// PutStatus stores a status, as somebody who may write it does.
func (s *Server) PutStatus(name string, status any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := clone(s.objects[name])
	next["status"] = status
	s.store("MODIFIED", name, next)
}

// Delete deletes an object.
func (s *Server) Delete(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store("DELETED", name, s.objects[name])
	delete(s.objects, name)
}

// Install makes the kind known, or not.
func (s *Server) Install(installed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.absent = !installed
}

// RefusePatches answers patches with an HTTP status. 0: does as they say.
func (s *Server) RefusePatches(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = status
}

// Patches is the number of patches that changed something.
func (s *Server) Patches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.patches
}

// Status returns the status of an object, decoded into a value of type T.
func Status[T any](t testing.TB, s *Server, name string) (status T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := json.Marshal(s.objects[name]["status"])
	if err == nil {
		err = json.Unmarshal(data, &status)
	}
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func (s *Server) store(kind, name string, o Object) {
	s.version++
	o = clone(o)
	o["apiVersion"], o["kind"] = s.apiVersion(), s.kind
	o["metadata"].(Object)["resourceVersion"] = strconv.Itoa(s.version)
	s.objects[name] = o
	s.events = append(s.events, event{s.version, kind, o})
	close(s.wake)
	s.wake = make(chan struct{})
}

// clone copies an object, which is JSON.
func clone(o Object) (c Object) {
	data, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		panic(err)
	}
	return c
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	absent, misrouted := s.absent, s.misrouted
	s.mu.Unlock()
	if misrouted {
		http.Error(w, "<h1>no such cluster</h1>", http.StatusNotFound)
		return
	}
	if s.discovery(w, r, absent) {
		return
	}
	name, sub, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, s.path), "/"), "/")
	switch {
	case absent || !strings.HasPrefix(r.URL.Path, s.path):
		fail(w, http.StatusNotFound, metav1.StatusReasonNotFound)
	case r.Method == http.MethodPatch && sub == "status":
		s.patch(w, r, name)
	case r.Method != http.MethodGet || name != "":
		fail(w, http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed)
	case r.URL.Query().Get("watch") != "":
		s.watch(w, r)
	default:
		s.list(w)
	}
}

// discovery answers what the API server says of the kinds that it knows.
func (s *Server) discovery(w http.ResponseWriter, r *http.Request, absent bool) bool {
	group, version, _ := strings.Cut(s.apiVersion(), "/")
	switch r.URL.Path {
	case "/apis":
		names := []string{"apps", "apiextensions.k8s.io"}
		if !absent {
			names = append(names, group)
		}
		var groups []Object
		for _, name := range names {
			groups = append(groups, Object{"name": name, "versions": []Object{{"groupVersion": name + "/" + version, "version": version}}})
		}
		reply(w, Object{"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
	case "/apis/" + s.apiVersion():
		if absent {
			return false
		}
		reply(w, Object{"kind": "APIResourceList", "groupVersion": s.apiVersion(), "resources": []Object{{"name": s.path[strings.LastIndex(s.path, "/")+1:]}}})
	default:
		return false
	}
	return true
}

// Misroute has something else answer that knows no such address, as a proxy does.
func (s *Server) Misroute(misrouted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.misrouted = misrouted
	close(s.wake) // ends the watches
	s.wake = make(chan struct{})
}

func (s *Server) list(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply(w, Object{
		"apiVersion": s.apiVersion(),
		"kind":       s.kind + "List",
		"metadata":   Object{"resourceVersion": strconv.Itoa(s.version)},
		"items":      slices.Collect(maps.Values(s.objects)),
	})
}

func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		s.mu.Lock()
		for _, o := range s.objects {
			_ = encoder.Encode(Object{"type": "ADDED", "object": o})
		}
		from = s.version
		_ = encoder.Encode(Object{"type": "BOOKMARK", "object": Object{
			"apiVersion": s.apiVersion(), "kind": s.kind,
			"metadata": Object{
				"resourceVersion": strconv.Itoa(from),
				"annotations":     Object{metav1.InitialEventsAnnotationKey: "true", "other": "x"},
			},
		}})
		s.mu.Unlock()
	}
	for {
		w.(http.Flusher).Flush()
		s.mu.Lock()
		for _, e := range s.events {
			if e.version > from {
				_ = encoder.Encode(Object{"type": e.kind, "object": e.object})
				from = e.version
			}
		}
		wake, misrouted := s.wake, s.misrouted
		s.mu.Unlock()
		w.(http.Flusher).Flush()
		if misrouted {
			return
		}
		select {
		case <-wake:
		case <-r.Context().Done():
			return
		}
	}
}

// patch applies a status, which is taken over as a whole.
func (s *Server) patch(w http.ResponseWriter, r *http.Request, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var patch struct {
		Metadata metav1.ObjectMeta
		Status   Object
	}
	err := json.NewDecoder(r.Body).Decode(&patch)
	o, ok := s.objects[name]
	switch {
	case err != nil || r.Header.Get("Content-Type") != "application/apply-patch+yaml" || r.URL.Query().Get("fieldManager") == "":
		fail(w, http.StatusBadRequest, metav1.StatusReasonBadRequest)
	case s.refuse == http.StatusForbidden:
		fail(w, s.refuse, metav1.StatusReasonForbidden)
	case s.refuse != 0:
		fail(w, s.refuse, metav1.StatusReasonUnknown)
	case !ok:
		fail(w, http.StatusNotFound, metav1.StatusReasonNotFound)
	case patch.Metadata.ResourceVersion != o["metadata"].(Object)["resourceVersion"] || string(patch.Metadata.UID) != o["metadata"].(Object)["uid"]:
		fail(w, http.StatusConflict, metav1.StatusReasonConflict)
	default:
		next := clone(o)
		next["status"] = patch.Status
		s.patches++
		s.store("MODIFIED", name, next)
		reply(w, s.objects[name])
	}
}

func (s *Server) apiVersion() string {
	group, rest, _ := strings.Cut(strings.TrimPrefix(s.path, "/apis/"), "/")
	version, _, _ := strings.Cut(rest, "/")
	return group + "/" + version
}

func reply(w http.ResponseWriter, o Object) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(o)
}

func fail(w http.ResponseWriter, code int, reason metav1.StatusReason) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure,
		Code:     int32(code),
		Reason:   reason,
		Message:  http.StatusText(code),
	})
}
