package lint

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// apiServer answers with what stands in the map, by path and continue token, and with
// the status in codes elsewhere.
func apiServer(t *testing.T, answers map[string]string, codes map[string]int) *rest.Config {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method != http.MethodGet {
			t.Errorf("%s %s: the linter only reads", r.Method, r.URL)
		}
		path := r.URL.Path + r.URL.Query().Get("continue")
		if answer, ok := answers[path]; ok {
			fmt.Fprint(w, answer)
			return
		}
		code := codes[path]
		if code == 0 {
			code = http.StatusNotFound
		}
		w.WriteHeader(code)
		reasons := map[int]string{http.StatusNotFound: "NotFound", http.StatusForbidden: "Forbidden"}
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reasons[code], code)
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}
}

const (
	pathConfigMap = "/api/v1/namespaces/kube-system/configmaps/aws-auth"
	pathEntries   = "/apis/iam-authenticator.dev/v1alpha1/accessentries"
	pathCluster   = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
	pathRoles     = "/apis/rbac.authorization.k8s.io/v1/rolebindings"
)

func TestReadLive(t *testing.T) {
	config := apiServer(t, map[string]string{
		pathConfigMap: `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"aws-auth","namespace":"kube-system","managedFields":[{"manager":"x"}]},
			"data":{"mapRoles":"- rolearn: arn:aws:iam::111122223333:role/Admins\n  username: 1\n"}}`,
		pathEntries:           `{"metadata":{"continue":"page2"},"items":[{"metadata":{"name":"one","managedFields":[]},"spec":{"principalARN":"arn:aws:iam::111122223333:user/a","kubernetesGroups":["devs"]}}]}`,
		pathEntries + "page2": `{"metadata":{},"items":[{"metadata":{"name":"two"},"spec":{"principalARN":"arn:aws:iam::111122223333:user/b","kubernetesGroups":["admin"]}}]}`,
		pathCluster:           `{"items":[{"subjects":[{"kind":"Group","name":"devs"},{"kind":"User","name":"admin"}]},{"subjects":null}]}`,
		pathRoles:             `{"items":[{"subjects":[{"kind":"Group","name":"devs"},{"kind":"Group","name":"ops"}]}]}`,
	}, nil)
	live, err := ReadLive(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(live.BoundGroups, []string{"devs", "ops"}) || len(live.Missing) > 0 {
		t.Errorf("groups %q, missing %q", live.BoundGroups, live.Missing)
	}
	var got []string
	for _, f := range CheckAll(live.Inputs, Options{BoundGroups: live.BoundGroups}) {
		got = append(got, fmt.Sprintf("%s:%d:%d %s", f.File, f.Line, f.Column, f.Rule))
	}
	if want := []string{"kube-system/aws-auth:5:17 not-a-string", "accessentries/two:7:5 unbound-group"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, in := range live.Inputs {
		if strings.Contains(string(in.Data), "managedFields") {
			t.Errorf("%s has managedFields:\n%s", in.Name, in.Data)
		}
	}
}

func TestReadLiveWithoutRightsOrObjects(t *testing.T) {
	config := apiServer(t, nil, map[string]int{pathCluster: http.StatusForbidden})
	live, err := ReadLive(t.Context(), config)
	if err != nil || live.BoundGroups != nil || len(live.Inputs) != 0 {
		t.Fatalf("%+v, %v", live, err)
	}
	for i, want := range []string{"no ConfigMap", "no kind AccessEntry", "may not list clusterrolebindings"} {
		if i >= len(live.Missing) || !strings.Contains(live.Missing[i], want) {
			t.Errorf("missing %q, want %q", live.Missing, want)
		}
	}
	if _, err := ReadLive(t.Context(), apiServer(t, nil, map[string]int{pathConfigMap: http.StatusForbidden})); err == nil || !strings.Contains(err.Error(), "kube-system/aws-auth") {
		t.Errorf("without the right to read aws-auth: %v", err)
	}
}
