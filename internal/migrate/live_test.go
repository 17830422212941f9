package migrate

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"
)

func TestIdentityMappingsAreReadFromAllPages(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/apis/iamauthenticator.k8s.aws/v1alpha1/iamidentitymappings" || r.URL.Query().Get("limit") == "" {
			t.Errorf("unexpected %s", r.URL)
		}
		name, next := "a", "more"
		if r.URL.Query().Get("continue") == "more" {
			name, next = "b", ""
		}
		fmt.Fprintf(w, `{"kind":"IAMIdentityMappingList","metadata":{"continue":%q},"items":[{"metadata":{"name":%q},"spec":{"arn":"arn:aws:iam::111122223333:user/%s","username":%q}}]}`, next, name, name, name)
	}))
	defer server.Close()
	objects, err := ReadIdentityMappings(t.Context(), &rest.Config{Host: server.URL})
	if err != nil || len(objects) != 2 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	source, err := FromIdentityMappings(objects)
	if err != nil {
		t.Fatal(err)
	}

	// They become entries, and nothing is left to take back but these.
	s, tool, lines := newTool(t, careful())
	if err := tool.Apply(t.Context(), NewPlan(source, Options{})); err != nil {
		t.Fatal(err)
	}
	if len(s.entries) != 2 || s.entries["user.111122223333.b"].Labels[Label] != IdentityMappings || len(*lines) != 3 {
		t.Errorf("%+v, said %q", s.entries, *lines)
	}
	wantError(t, tool.Undo(t.Context(), Backup{}), "no ConfigMap aws-auth", "migrated-from=iamidentitymappings")
}

func TestAClusterWithoutIdentityMappingsSaysSo(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, err := ReadIdentityMappings(t.Context(), &rest.Config{Host: server.URL})
	wantError(t, err, "this cluster has no IAMIdentityMapping objects", "--context")
}
