package access

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// apiServer answers reads from a map of paths, and notes every request.
type apiServer struct {
	t       *testing.T
	answers map[string]string

	mu       sync.Mutex
	requests []string
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.requests = append(a.requests, r.Method+" "+r.URL.Path)
	a.mu.Unlock()
	path := r.URL.Path
	if token := r.URL.Query().Get("continue"); token != "" {
		path += "?" + token
	}
	w.Header().Set("Content-Type", "application/json")
	answer, ok := a.answers[path]
	switch {
	case !ok:
		w.Header().Set("Content-Type", "text/plain")
		http.Error(w, "404 page not found", http.StatusNotFound)
	case strings.HasPrefix(answer, "{\"kind\":\"Status\""):
		var status struct{ Code int }
		if err := json.Unmarshal([]byte(answer), &status); err != nil {
			a.t.Error(err)
		}
		w.WriteHeader(status.Code)
		fallthrough
	default:
		_, _ = w.Write([]byte(answer))
	}
}

const (
	awsAuthPath  = "/api/v1/namespaces/kube-system/configmaps/aws-auth"
	entriesPath  = "/apis/iam-authenticator.dev/v1alpha1/accessentries"
	bindingsPath = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"

	awsAuthJSON = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"aws-auth","namespace":"kube-system"},"data":{"mapRoles":"- rolearn: arn:aws:iam::111122223333:role/a\n  username: a\n  groups: [ops]\n- rolearn: arn:aws:iam::111122223333:role/b\n  username: b\n  gruops: []\n"}}`
	firstPage   = `{"kind":"AccessEntryList","apiVersion":"iam-authenticator.dev/v1alpha1","metadata":{"continue":"more"},"items":[{"apiVersion":"iam-authenticator.dev/v1alpha1","kind":"AccessEntry","metadata":{"name":"b","creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"principalARN":"arn:aws:iam::111122223333:role/b","username":"from-entry"}}]}`
	secondPage  = `{"kind":"AccessEntryList","apiVersion":"iam-authenticator.dev/v1alpha1","metadata":{},"items":[{"apiVersion":"iam-authenticator.dev/v1alpha1","kind":"AccessEntry","metadata":{"name":"a-later","creationTimestamp":"2026-01-02T00:00:00Z"},"spec":{"principalARN":"arn:aws:iam::111122223333:role/b","username":"later"}}]}`
	bindings    = `{"kind":"ClusterRoleBindingList","metadata":{},"items":[{"roleRef":{"kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"kind":"Group","name":"ops"},{"kind":"User","name":"x"}]},{"roleRef":{"kind":"ClusterRole","name":"view"},"subjects":[{"kind":"Group","name":"viewers"}]}]}`
	forbidden   = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no, you may not","reason":"Forbidden","code":403}`
	noAWSAuth   = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"configmaps \"aws-auth\" not found","reason":"NotFound","details":{"name":"aws-auth","kind":"configmaps"},"code":404}`
	groups      = `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`
)

func serve(t *testing.T, answers map[string]string) (*apiServer, *Cluster) {
	t.Helper()
	a := &apiServer{t: t, answers: answers}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return a, &Cluster{Connect: func() (*rest.Config, error) { return &rest.Config{Host: server.URL}, nil }}
}

func TestReadOfAnAPIServer(t *testing.T) {
	api, cluster := serve(t, map[string]string{
		awsAuthPath: awsAuthJSON, entriesPath: firstPage, entriesPath + "?more": secondPage, bindingsPath: bindings,
	})
	s := read(t, options(t, cluster, config.BackendAccessEntry, config.BackendEKSConfigMap))
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	type row struct {
		entry  string
		status Status
		admin  bool
	}
	var got []row
	for _, e := range s.List(nil).Entries {
		got = append(got, row{e.Entry, e.Status, e.Admin})
	}
	// Of two entries for a principal the older one stands, as in the server.
	want := []row{
		{"kube-system/aws-auth mapRoles[0] (line 1)", InForce, true},
		{"AccessEntry/b", InForce, false},
		{"AccessEntry/a-later", Replaced, false},
		{"kube-system/aws-auth mapRoles[1] (line 4)", Skipped, false},
	}
	if !slices.Equal(got, want) {
		t.Errorf("entries\n%+v, want\n%+v", got, want)
	}
	// The mappers would write events and statuses: nothing of it reaches the cluster.
	for _, request := range api.requests {
		if !strings.HasPrefix(request, "GET ") {
			t.Errorf("a request to the API server is %s", request)
		}
	}
}

func TestObjectsThatAreNotThere(t *testing.T) {
	_, cluster := serve(t, map[string]string{awsAuthPath: noAWSAuth, "/apis": groups, bindingsPath: bindings})
	s := read(t, options(t, cluster, config.BackendAccessEntry, config.BackendEKSConfigMap))
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	if e := explain(t, s, arns+"role/a"); e.Reason != reason.NotMapped {
		t.Errorf("explained as %s (%s), want NotMapped", e.Reason, e.Detail)
	}
}

// What can't be read is not taken for nothing: nobody is called unmapped for it.
func TestSourceThatCannotBeReadIsNoRefusal(t *testing.T) {
	for name, c := range map[string]struct {
		answers map[string]string
		says    string
	}{
		"forbidden":             {map[string]string{awsAuthPath: forbidden, bindingsPath: bindings}, "no, you may not"},
		"no API server":         {map[string]string{}, "could not find the requested resource"},
		"something else's list": {map[string]string{awsAuthPath: awsAuthJSON, "/apis": "{}"}, "is no API server"},
	} {
		t.Run(name, func(t *testing.T) {
			_, cluster := serve(t, c.answers)
			s := read(t, options(t, cluster, config.BackendEKSConfigMap, config.BackendAccessEntry))
			err := s.Err()
			if err == nil || !strings.Contains(err.Error(), c.says) || reason.Of(err) != Undecided {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
			e := explain(t, s, arns+"role/nobody")
			if e.Outcome != "unavailable" || e.Reason != Undecided || !strings.Contains(e.Detail, c.says) {
				t.Errorf("explained as %s, %s: %s", e.Outcome, e.Reason, e.Detail)
			}
		})
	}
}

func TestUnknownWayToTheClusterEndsIt(t *testing.T) {
	broken := errors.New("no such context")
	o := options(t, &Cluster{Connect: func() (*rest.Config, error) { return nil, broken }}, config.BackendAccessEntry)
	if _, err := Read(t.Context(), o); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	o.Cluster.Connect = nil
	if _, err := Read(t.Context(), o); err == nil || !strings.Contains(err.Error(), "give --kubeconfig") {
		t.Errorf("error %v", err)
	}
}

// silent is an API server that never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestWaitIsBoundedAndShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var said []string
		cluster := &Cluster{
			Connect: func() (*rest.Config, error) {
				return &rest.Config{Host: "http://silent.invalid", Transport: silent{}}, nil
			},
			Timeout: 7 * time.Second,
			Progress: func(text string) {
				mu.Lock()
				defer mu.Unlock()
				said = append(said, text)
			},
		}
		start := time.Now()
		s := read(t, options(t, cluster, config.BackendEKSConfigMap))
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), "no answer within 7s") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("it took %s", took)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(said) != 1 || said[0] != "waiting for "+awsAuthPath+" from http://silent.invalid" {
			t.Errorf("progress %q", said)
		}
	})
}

func TestManifests(t *testing.T) {
	const entry = "apiVersion: iam-authenticator.dev/v1alpha1\nkind: AccessEntry\nmetadata: {name: NAME}\nspec: {principalARN: \"arn:aws:iam::111122223333:role/NAME\"}\n"
	named := func(name string) string { return strings.ReplaceAll(entry, "NAME", name) }
	for name, c := range map[string]struct {
		awsAuth string
		entries []string
		want    int    // entries in force
		fails   string // or the error
	}{
		"aws-auth":                      {awsAuth: awsAuth(map[string]string{"mapRoles": "- {rolearn: \"arn:aws:iam::111122223333:role/a\", username: a}"}), want: 1},
		"aws-auth without its name":     {awsAuth: "apiVersion: v1\nkind: ConfigMap\ndata: {mapAccounts: '[\"111122223333\"]'}\n", want: 1},
		"aws-auth in JSON":              {awsAuth: awsAuthJSON, want: 1},
		"another ConfigMap":             {awsAuth: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auht}\n", fails: "is not read by anybody"},
		"another namespace":             {awsAuth: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth, namespace: default}\n", fails: "is not read by anybody"},
		"no ConfigMap":                  {awsAuth: "mapRoles: []\n", fails: "want a ConfigMap"},
		"no object":                     {awsAuth: "# nothing\n", fails: "0 objects"},
		"no YAML":                       {awsAuth: "a: [", fails: "aws-auth.yaml"},
		"a key twice":                   {awsAuth: "kind: ConfigMap\nkind: ConfigMap\n", fails: "already set"},
		"entries in one file":           {entries: []string{named("a") + "---\n" + named("b")}, want: 2},
		"entries in two files":          {entries: []string{named("a"), named("b")}, want: 2},
		"a list":                        {entries: []string{"apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSpace(named("a")), "\n", "\n  ") + "\n"}, want: 1},
		"an entry twice":                {entries: []string{named("a"), named("a")}, fails: "too"},
		"an entry without a name":       {entries: []string{"kind: AccessEntry\n"}, fails: "without metadata.name"},
		"an object of another kind":     {entries: []string{"kind: Pod\n"}, fails: `kind "Pod"`},
		"an empty file has no entries":  {entries: []string{"---\n"}},
		"an entry with a spec mistaken": {entries: []string{named("a") + "---\nkind: AccessEntry\nmetadata: {name: x}\nspec: 7\n"}, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var backends []string
			cluster := &Cluster{}
			if c.awsAuth != "" {
				cluster.AWSAuth = write(t, "aws-auth.yaml", c.awsAuth)
				backends = append(backends, config.BackendEKSConfigMap)
			}
			for _, text := range c.entries {
				cluster.AccessEntries = append(cluster.AccessEntries, write(t, "entries.yaml", text))
			}
			if len(c.entries) > 0 {
				backends = append(backends, config.BackendAccessEntry)
			}
			s := read(t, options(t, cluster, backends...))
			if err := s.Err(); (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Fatalf("error %v, want %q", err, c.fails)
			}
			if got := s.List(nil).Sources[0].InForce; got != c.want {
				t.Errorf("%d entries in force, want %d: %+v", got, c.want, s.List(nil).Entries)
			}
		})
	}
}

func TestIdentityMappingsOfTheOriginal(t *testing.T) {
	const path = "/apis/iamauthenticator.k8s.aws/v1alpha1/iamidentitymappings"
	_, cluster := serve(t, map[string]string{bindingsPath: bindings, path: `{"kind":"IAMIdentityMappingList","apiVersion":"iamauthenticator.k8s.aws/v1alpha1","metadata":{},"items":[` +
		`{"apiVersion":"iamauthenticator.k8s.aws/v1alpha1","kind":"IAMIdentityMapping","metadata":{"name":"a"},"spec":{"arn":"arn:aws:iam::111122223333:role/a","username":"a","groups":["ops"]}},` +
		`{"apiVersion":"iamauthenticator.k8s.aws/v1alpha1","kind":"IAMIdentityMapping","metadata":{"name":"b"},"spec":{"arn":"arn:aws:iam::111122223333:role/b"}}]}`})
	s := read(t, options(t, cluster, config.BackendCRD))
	if e := explain(t, s, arns+"role/a"); e.User == nil || e.User.Username != "a" || e.User.Entry != "IAMIdentityMapping/a" {
		t.Errorf("%+v", e)
	}
	if e := explain(t, s, arns+"role/c"); !strings.Contains(e.Suggestions[len(e.Suggestions)-1].Snippet, "kind: IAMIdentityMapping") {
		t.Errorf("suggestions %+v", e.Suggestions)
	}
	entries := s.List(nil).Entries
	if len(entries) != 2 || entries[0].Status != InForce || !entries[0].Admin || entries[1].Status != Skipped || !strings.Contains(entries[1].Why, "spec.username") {
		t.Errorf("%+v", entries)
	}
}

func TestModeFileNamesTheSources(t *testing.T) {
	_, cluster := serve(t, map[string]string{awsAuthPath: awsAuthJSON, "/apis": groups, bindingsPath: bindings})
	o := options(t, cluster, config.BackendAccessEntry)
	o.Server.DynamicBackendModePath = write(t, "mode.json", `{"backendMode":"EKSConfigMap"}`)
	s := read(t, o)
	if len(s.Warnings()) > 0 || s.list[0].Name() != config.BackendEKSConfigMap {
		t.Errorf("%s, warnings %q", s.list[0].Name(), s.Warnings())
	}
	o.Server.DynamicBackendModePath = write(t, "mode.json", `{}`)
	if s = read(t, o); len(s.Warnings()) != 1 || s.list[0].Name() != config.BackendAccessEntry {
		t.Errorf("%s, warnings %q", s.list[0].Name(), s.Warnings())
	}
}

func TestFilesThatNoSourceReadsAreRefused(t *testing.T) {
	o := options(t, &Cluster{AWSAuth: write(t, "aws-auth.yaml", awsAuthJSON), AccessEntries: []string{write(t, "e.yaml", "")}}, config.BackendAccessEntry)
	if _, err := Read(t.Context(), o); err == nil || !strings.Contains(err.Error(), "does not read EKSConfigMap") {
		t.Errorf("error %v", err)
	}
}

// Whom a section that can't be read would map is not known.
func TestSectionThatCannotBeReadIsNoRefusal(t *testing.T) {
	s := roles(t, "- rolearn: x\n username: y\n")
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "EKSConfigMap: mapRoles: ") {
		t.Errorf("error %v", err)
	}
	if e := explain(t, s, arns+"role/a"); e.Outcome != "unavailable" || e.Reason != reason.MapperNotReady {
		t.Errorf("explained as %s, %s (%s)", e.Outcome, e.Reason, e.Detail)
	}
	var out strings.Builder
	if err := s.List(nil).WriteTable(&out); err != nil || !strings.Contains(out.String(), "not every source could be read") {
		t.Errorf("%s, %v", out.String(), err)
	}
}

func TestReplayRefusesWrites(t *testing.T) {
	cfg, err := objects{kind: kinds[config.BackendEKSConfigMap]}.config()
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete} {
		request, err := http.NewRequestWithContext(t.Context(), method, cfg.Host+"/api/v1/namespaces/kube-system/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := cfg.Transport.RoundTrip(request)
		if err != nil || response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %v, %v", method, response, err)
		}
		response.Body.Close()
	}
}
