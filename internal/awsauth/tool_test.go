package awsauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// apiServer is as much of an API server as is needed to lose races at will: the story
// e2e/testdata/mapping.txtar is told on a real one.
type apiServer struct {
	*testing.T
	mu       sync.Mutex
	version  int
	data     map[string]string // nil: there is no ConfigMap
	caller   *authenticationv1.UserInfo
	beforeIt func() // called before each write
	writes   []string
}

func newAPIServer(t *testing.T, data map[string]string) (*apiServer, *Client) {
	s := &apiServer{T: t, version: 1, data: data, caller: &authenticationv1.UserInfo{Username: "kubernetes-admin"}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	client, err := NewClient(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return s, client
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && s.beforeIt != nil && strings.HasPrefix(r.URL.Path, "/api/") {
		s.beforeIt()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	switch r.Method + " " + r.URL.Path {
	case "POST /apis/authentication.k8s.io/v1/selfsubjectreviews":
		if s.caller == nil {
			s.fail(w, http.StatusNotFound, metav1.StatusReasonNotFound)
			return
		}
		s.answer(w, &authenticationv1.SelfSubjectReview{
			TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "SelfSubjectReview"},
			Status:   authenticationv1.SelfSubjectReviewStatus{UserInfo: *s.caller},
		})
	case "GET /api/v1/namespaces/kube-system/configmaps/aws-auth":
		if s.data == nil {
			s.fail(w, http.StatusNotFound, metav1.StatusReasonNotFound)
			return
		}
		s.answer(w, s.configMap())
	case "POST /api/v1/namespaces/kube-system/configmaps":
		if s.data != nil {
			s.fail(w, http.StatusConflict, metav1.StatusReasonAlreadyExists)
			return
		}
		var cm corev1.ConfigMap
		if err := json.Unmarshal(body, &cm); err != nil || cm.Name != "aws-auth" || cm.Namespace != "kube-system" {
			s.Errorf("created %s: %v", body, err)
		}
		s.data, s.version = cm.Data, s.version+1
		s.writes = append(s.writes, "create")
		s.answer(w, s.configMap())
	case "PATCH /api/v1/namespaces/kube-system/configmaps/aws-auth":
		var patch struct {
			Metadata struct{ ResourceVersion string }
			Data     map[string]string
		}
		if err := json.Unmarshal(body, &patch); err != nil || r.Header.Get("Content-Type") != "application/merge-patch+json" {
			s.Errorf("patch %s: %v", body, err)
		}
		if s.data == nil {
			s.fail(w, http.StatusNotFound, metav1.StatusReasonNotFound)
			return
		}
		if patch.Metadata.ResourceVersion != fmt.Sprint(s.version) {
			s.fail(w, http.StatusConflict, metav1.StatusReasonConflict)
			return
		}
		s.version++
		maps.Copy(s.data, patch.Data)
		s.writes = append(s.writes, strings.Join(slices.Sorted(maps.Keys(patch.Data)), " "))
		s.answer(w, s.configMap())
	default:
		s.Errorf("unexpected %s %s", r.Method, r.URL)
	}
}

func (s *apiServer) configMap() *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: "aws-auth", Namespace: "kube-system", ResourceVersion: fmt.Sprint(s.version)},
		Data:       s.data,
	}
}

func (s *apiServer) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.Error(err)
	}
}

func (s *apiServer) fail(w http.ResponseWriter, code int, reason metav1.StatusReason) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure", Code: int32(code), Reason: reason, Message: string(reason),
	})
}

func TestCreateMakesTheConfigMap(t *testing.T) {
	server, client := newAPIServer(t, nil)
	tool := Tool{Client: client}
	result, err := tool.Run(t.Context(), Create(roleEntry(t, "a", "a", "g"), false))
	if err != nil || !slices.Equal(result.Done, []string{"mapRoles: added " + arn + "role/a as a in [g]"}) {
		t.Errorf("got %+v, %v", result, err)
	}
	if want := long("- rolearn: @a\n  username: a\n  groups:\n    - g\n"); server.data[roles] != want || len(server.data) != 1 {
		t.Errorf("got %q, want %q alone", server.data, want)
	}
	d, err := client.Get(t.Context())
	if err != nil || d[roles] != server.data[roles] {
		t.Errorf("got %v, %v", d, err)
	}
}

func TestOnlyTheSectionConcernedIsWritten(t *testing.T) {
	server, client := newAPIServer(t, map[string]string{roles: devRole, "mapUsers": "# nobody\n", "mine": "x"})
	if _, err := (&Tool{Client: client}).Run(t.Context(), Create(roleEntry(t, "a", "a"), false)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(server.writes, []string{"mapRoles"}) {
		t.Errorf("written: %q", server.writes)
	}
}

// Somebody else is faster, and their change must be in the result too.
func TestChangeStartsOverAfterAConflict(t *testing.T) {
	for name, c := range map[string]struct {
		data  map[string]string
		other func(*apiServer)
		want  string
	}{
		"edited":  {map[string]string{roles: devRole}, func(s *apiServer) { s.data[roles] += nodeRole }, devRole + nodeRole + "- rolearn: @a"},
		"deleted": {map[string]string{roles: devRole}, func(s *apiServer) { s.data = nil }, "- rolearn: @a"},
		"created": {nil, func(s *apiServer) { s.data = map[string]string{roles: nodeRole} }, nodeRole + "- rolearn: @a"},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := newAPIServer(t, c.data)
			faster := true
			server.beforeIt = func() {
				if faster {
					faster = false
					server.mu.Lock()
					defer server.mu.Unlock()
					c.other(server)
					server.version++
				}
			}
			result, err := (&Tool{Client: client}).Run(t.Context(), Create(roleEntry(t, "a", "a"), false))
			if err != nil || len(result.Done) != 1 || len(server.writes) != 1 {
				t.Fatalf("got %+v, %v, written %q", result, err, server.writes)
			}
			if !strings.HasPrefix(server.data[roles], long(c.want)) {
				t.Errorf("got\n%s\nwant\n%s…", server.data[roles], long(c.want))
			}
		})
	}
}

func TestChangeGivesUp(t *testing.T) {
	server, client := newAPIServer(t, map[string]string{roles: devRole})
	tries := 0
	server.beforeIt = func() {
		tries++
		server.mu.Lock()
		defer server.mu.Unlock()
		server.version++
	}
	_, err := (&Tool{Client: client}).Run(t.Context(), Create(roleEntry(t, "a", "a"), false))
	if err == nil || !strings.Contains(err.Error(), "somebody else changed it 15 times") || tries != attempts {
		t.Errorf("got %v after %d tries", err, tries)
	}
}

func TestSeveralWritersLoseNothing(t *testing.T) {
	server, client := newAPIServer(t, map[string]string{roles: devRole})
	const writers = 4
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range 5 {
				if _, err := (&Tool{Client: client}).Run(t.Context(), Create(roleEntry(t, fmt.Sprintf("r%d-%d", i, j), "u"), true)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	entries, err := Document(server.data).Entries()
	if err != nil || len(entries) != 1+writers*5 {
		t.Errorf("%d entries, %v, want %d", len(entries), err, 1+writers*5)
	}
}

func TestLossesNeedForce(t *testing.T) {
	data := map[string]string{roles: adminRole + devRole}
	server, client := newAPIServer(t, maps.Clone(data))
	remove := Delete(Selector{ARN: arn + "role/admins"}, false)

	_, err := (&Tool{Client: client}).Run(t.Context(), remove)
	if loss, ok := errors.AsType[*LossError](err); !ok || len(loss.Losses) != 1 || !strings.Contains(err.Error(), "--force") {
		t.Errorf("got %v, want a loss", err)
	}
	if server.writes != nil {
		t.Errorf("written: %q", server.writes)
	}

	result, err := (&Tool{Client: client, Force: true, DryRun: true}).Run(t.Context(), remove)
	if err != nil || len(result.Warnings) != 1 || server.writes != nil {
		t.Errorf("dry run: got %+v, %v, written %q", result, err, server.writes)
	}
	want := "--- a/mapRoles\n+++ b/mapRoles\n@@ -1,6 +1,3 @@\n-" + strings.ReplaceAll(strings.TrimSpace(adminRole), "\n", "\n-") +
		"\n " + strings.ReplaceAll(strings.TrimSpace(devRole), "\n", "\n ") + "\n"
	if result.Diff != want {
		t.Errorf("got\n%s\nwant\n%s", result.Diff, want)
	}

	if _, err := (&Tool{Client: client, Force: true}).Run(t.Context(), remove); err != nil || server.data[roles] != devRole {
		t.Errorf("forced: %v, %q", err, server.data)
	}
}

func TestTheCallersOwnAccessNeedsForce(t *testing.T) {
	server, client := newAPIServer(t, map[string]string{roles: devRole + nodeRole})
	c := session("dev", "dev:sam", "dev", "readers")
	server.caller = &authenticationv1.UserInfo{Username: c.Username, UID: c.UID, Groups: c.Groups, Extra: map[string]authenticationv1.ExtraValue{}}
	for key, values := range c.Extra {
		server.caller.Extra[key] = values
	}
	groups := []string{"readers"}
	update := Update(arn+"role/dev", Patch{Groups: &groups}, false)
	_, err := (&Tool{Client: client}).Run(t.Context(), update)
	if err == nil || !strings.Contains(err.Error(), "you would no longer be in the group dev") {
		t.Errorf("got %v", err)
	}

	// An API server before 1.28 does not say who asks.
	server.caller = nil
	_, err = (&Tool{Client: client}).Run(t.Context(), update)
	if err == nil || !strings.Contains(err.Error(), "perhaps your own access") || server.writes != nil {
		t.Errorf("got %v", err)
	}
	if _, err = (&Tool{Client: client, Force: true}).Run(t.Context(), update); err != nil {
		t.Error(err)
	}
}

func TestNewMistakesAreNotWritten(t *testing.T) {
	server, client := newAPIServer(t, map[string]string{roles: "- nonsense\n"})
	result, err := (&Tool{Client: client}).Run(t.Context(), Create(roleEntry(t, "a", "a"), false))
	if err != nil || len(result.Warnings) > 0 {
		t.Errorf("a mistake of before: got %+v, %v", result, err)
	}
	lint := func(d Document) []Finding {
		findings := []Finding{{Rule: "old", Error: true}, {Rule: "old", Message: fmt.Sprint("on line ", len(d[roles]))}}
		if strings.Contains(d[roles], "role/b") {
			findings = append(findings, Finding{Rule: "doubt", Message: "doubtful"})
		}
		if strings.Contains(d[roles], "role/c") {
			findings = append(findings, Finding{Rule: "old", Error: true, Message: "a second"})
		}
		return findings
	}
	tool := Tool{Client: client, Lint: lint}
	if result, err = tool.Run(t.Context(), Create(roleEntry(t, "b", "b"), false)); err != nil || !slices.Equal(result.Warnings, []string{"doubtful"}) {
		t.Errorf("got %+v, %v, want a warning", result, err)
	}
	before := server.data[roles]
	if _, err = tool.Run(t.Context(), Create(roleEntry(t, "c", "c"), false)); err == nil || !strings.Contains(err.Error(), "a second") || server.data[roles] != before {
		t.Errorf("got %v, %q, want an error and nothing written", err, server.data)
	}
}

func TestDuplicates(t *testing.T) {
	d := Document{roles: devRole}
	again, err := NewEntry(arn+"role/dev", "dev2:{{SessionName}}", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := Create(again, true)(d); err == nil || !strings.Contains(err.Error(), "mapRoles[0] (line 1), "+arn+"role/team/dev is mapped already") {
		t.Errorf("got %v", err)
	}
	two, done, notes, err := Create(again, false)(d)
	if err != nil || len(done) != 1 || len(notes) != 1 || !strings.Contains(notes[0], "for the same principal") {
		t.Fatalf("got %q, %q, %v", done, notes, err)
	}
	same, err := NewEntry(arn+"role/team/dev", "dev:{{SessionName}}", []string{"dev", "readers"})
	if err != nil {
		t.Fatal(err)
	}
	if after, done, notes, err := Create(same, false)(d); err != nil || done != nil || len(notes) != 1 || after[roles] != d[roles] {
		t.Errorf("the same: got %q, %q, %v", done, notes, err)
	}
	path, err := NewEntry(arn+"role/p/x", "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	if after, _, notes, err := Create(path, false)(d); err != nil || len(notes) != 1 || !strings.Contains(notes[0], "only as "+arn+"role/x") || !strings.Contains(after[roles], "role/p/x") {
		t.Errorf("with a path: got %q, %v", notes, err)
	}

	groups := []string{"g"}
	if _, _, _, err := Update(arn+"role/dev", Patch{Groups: &groups}, false)(two); err == nil || !strings.Contains(err.Error(), "2 mappings for") {
		t.Errorf("update: got %v", err)
	}
	if after, done, _, err := Update(arn+"role/dev", Patch{Groups: &groups}, true)(two); err != nil || len(done) != 2 || strings.Contains(after[roles], "readers") {
		t.Errorf("update --all: got %q, %v\n%s", done, err, after[roles])
	}
	groups = []string{"readers", "dev"}
	if after, done, notes, err := Update(arn+"role/dev", Patch{Groups: &groups}, false)(d); err != nil || done != nil || len(notes) != 1 || after[roles] != d[roles] {
		t.Errorf("update to the same: got %q, %q, %v", done, notes, err)
	}
	after, done, notes, err := Delete(Selector{ARN: arn + "role/dev"}, false)(two)
	if err != nil || len(done) != 1 || len(notes) != 1 || !strings.Contains(after[roles], "dev2:") || strings.Contains(after[roles], "readers") {
		t.Errorf("delete takes the first: got %q, %q, %v\n%s", done, notes, err, after[roles])
	}
	if after, done, _, err := Delete(Selector{ARN: arn + "role/dev"}, true)(two); err != nil || len(done) != 2 || after[roles] != "" {
		t.Errorf("delete --all: got %q, %v\n%s", done, err, after[roles])
	}
	for _, change := range []Change{Delete(Selector{ARN: arn + "role/x"}, true), Delete(Selector{Account: "111122223333"}, true), Update(arn+"role/x", Patch{Groups: &groups}, true)} {
		if _, _, _, err := change(two); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	}
}

func TestLintKnowsAnEntryWhereverItStands(t *testing.T) {
	server, client := newAPIServer(t, map[string]string{roles: devRole + long("- rolearn: @a\n  username: '{{SessionName}}'\n- gruops: []\n")})
	tool := Tool{Client: client}
	result, err := tool.Run(t.Context(), Delete(Selector{ARN: arn + "role/dev"}, false))
	if err != nil || len(result.Warnings) > 0 {
		t.Errorf("findings of before: got %+v, %v", result, err)
	}
	result, err = tool.Run(t.Context(), Create(roleEntry(t, "b", "{{SessionName}}"), false))
	if err != nil || len(result.Warnings) != 1 || !strings.Contains(result.Warnings[0], "role/b: username") || !strings.Contains(server.data[roles], "role/b") {
		t.Errorf("a new one: got %+v, %v", result, err)
	}
}
