package migrate

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/internal/awsauth"
	"github.com/iam-authenticator/authenticator/internal/entries"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

// apiServer is as much of an API server as is needed to lose races at will. The story
// e2e/testdata/migrate.txtar is told on a real one.
type apiServer struct {
	*testing.T
	mu       sync.Mutex
	version  int
	document awsauth.Document
	entries  map[string]v1alpha1.AccessEntry
	writes   []string
	lastDone bool   // the last write is done, and only its answer is lost
	forbid   string // the write that nobody may do
	dead     bool
	silent   bool                        // no server says whether entries are in force
	lists    int                         // of access entries
	refuse   string                      // the name of an entry that a server refuses
	before   func(string)                // called before each write, with METHOD and name
	mutate   func(*v1alpha1.AccessEntry) // what admission makes of an entry
	left     int                         // writes until it dies; 0 if it doesn't
}

// newTool returns an API server and a tool for it. Lines are what the tool said, and
// its backups.
func newTool(t *testing.T, d awsauth.Document) (*apiServer, *Tool, *[]string) {
	s := &apiServer{T: t, version: 1, document: maps.Clone(d), entries: map[string]v1alpha1.AccessEntry{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	config := &rest.Config{Host: server.URL}
	mappings, err := awsauth.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	client, err := entries.New(entries.Options{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	say := func(text string) { lines = append(lines, text) }
	return s, &Tool{AWSAuth: mappings, Entries: client, Progress: say, Backup: func(data []byte) (string, error) {
		say(string(data))
		return "backup", nil
	}}, &lines
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if r.Method != http.MethodGet && s.before != nil {
		s.before(r.Method + " " + name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method != http.MethodGet {
		s.writes = append(s.writes, r.Method+" "+name)
		if s.left--; s.left == 0 {
			s.dead = true
		}
	}
	if s.forbid != "" && s.forbid == r.Method+" "+name {
		s.fail(w, http.StatusForbidden, metav1.StatusReasonForbidden)
		return
	}
	switch {
	case s.dead && s.lastDone && s.left == 0 && r.Method != http.MethodGet:
		defer panic(http.ErrAbortHandler) // nobody hears of it
	case s.dead:
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	if strings.HasPrefix(r.URL.Path, "/api/v1/") {
		s.configMap(w, r)
		return
	}
	old, found := s.entries[name]
	switch {
	case r.Method == http.MethodGet && name == "accessentries":
		s.lists++
		list := v1alpha1.AccessEntryList{Items: []v1alpha1.AccessEntry{}}
		for _, name := range slices.Sorted(maps.Keys(s.entries)) {
			list.Items = append(list.Items, s.entries[name])
		}
		s.answer(w, list)
	case r.Method == http.MethodPost:
		var e v1alpha1.AccessEntry
		s.decode(r, &e)
		if _, taken := s.entries[e.Name]; taken {
			s.fail(w, http.StatusConflict, metav1.StatusReasonAlreadyExists)
			return
		}
		if s.mutate != nil {
			s.mutate(&e)
		}
		s.store(e, 1, types.UID(fmt.Sprint("uid-", s.version)))
		s.answer(w, s.entries[e.Name])
	case !found:
		s.fail(w, http.StatusNotFound, metav1.StatusReasonNotFound)
	case r.Method == http.MethodGet:
		s.answer(w, old)
	case r.Method == http.MethodPut:
		var e v1alpha1.AccessEntry
		s.decode(r, &e)
		if e.ResourceVersion != old.ResourceVersion {
			s.fail(w, http.StatusConflict, metav1.StatusReasonConflict)
			return
		}
		s.store(e, old.Generation+1, old.UID)
		s.answer(w, s.entries[name])
	case r.Method == http.MethodDelete:
		var o metav1.DeleteOptions
		s.decode(r, &o)
		if p := o.Preconditions; p == nil || p.UID != nil && *p.UID != old.UID || p.ResourceVersion != nil && *p.ResourceVersion != old.ResourceVersion {
			s.fail(w, http.StatusConflict, metav1.StatusReasonConflict)
			return
		}
		delete(s.entries, name)
		s.answer(w, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess})
	default:
		s.Errorf("unexpected %s %s", r.Method, r.URL)
	}
}

// store stores an entry, and says of it what a server would.
func (s *apiServer) store(e v1alpha1.AccessEntry, generation int64, uid types.UID) {
	s.version++
	e.Generation, e.UID, e.ResourceVersion = generation, uid, fmt.Sprint(s.version)
	e.APIVersion, e.Kind = "iam-authenticator.dev/v1alpha1", "AccessEntry"
	e.Status = v1alpha1.AccessEntryStatus{}
	if !s.silent {
		c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, ObservedGeneration: generation, Reason: "InForce"}
		if e.Name == s.refuse {
			c.Status, c.Reason = metav1.ConditionFalse, "Duplicate"
		}
		e.Status.Conditions = []metav1.Condition{c}
	}
	s.entries[e.Name] = e
}

func (s *apiServer) configMap(w http.ResponseWriter, r *http.Request) {
	if s.document == nil {
		s.fail(w, http.StatusNotFound, metav1.StatusReasonNotFound)
		return
	}
	if r.Method == http.MethodPatch {
		var patch struct {
			Metadata struct{ ResourceVersion string }
			Data     map[string]string
		}
		s.decode(r, &patch)
		if patch.Metadata.ResourceVersion != fmt.Sprint(s.version) {
			s.fail(w, http.StatusConflict, metav1.StatusReasonConflict)
			return
		}
		s.version++
		maps.Copy(s.document, patch.Data)
	}
	s.answer(w, &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "aws-auth", ResourceVersion: fmt.Sprint(s.version)},
		Data:       s.document,
	})
}

// revive brings the server back, and returns how many writes it got.
func (s *apiServer) revive() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead, s.left = false, 0
	return len(s.writes)
}

// edit changes aws-auth as another administrator would.
func (s *apiServer) edit(section, from, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	text := strings.Replace(s.document[section], from, to, 1)
	if text == s.document[section] {
		s.Errorf("%q is not in %q", from, text)
	}
	s.document[section] = text
}

func (s *apiServer) decode(r *http.Request, into any) {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		s.Error(err)
	}
}

func (s *apiServer) answer(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.Error(err)
	}
}

func (s *apiServer) fail(w http.ResponseWriter, code int, reason metav1.StatusReason) {
	w.WriteHeader(code)
	s.answer(w, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: string(reason)})
}
