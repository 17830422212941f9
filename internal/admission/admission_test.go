package admission

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/internal/lint"
)

const (
	admins = "- {rolearn: 'arn:aws:iam::111122223333:role/admins', username: admin, groups: ['system:masters']}\n"
	nodes  = "- {rolearn: 'arn:aws:iam::111122223333:role/nodes', username: 'system:node:{{EC2PrivateDNSName}}', groups: ['system:bootstrappers', 'system:nodes']}\n"
	dev    = "- {rolearn: 'arn:aws:iam::111122223333:role/dev', username: 'dev:{{SessionName}}', groups: [developers]}\n"
	typo   = "- {rolearn: 'arn:aws:iam::111122223333:role/typo', username: typo, gruops: [developers]}\n"
)

// awsAuth returns a ConfigMap with the given mapRoles, in JSON; null for none.
func awsAuth(mapRoles string, annotations ...string) string {
	if mapRoles == "" {
		return "null"
	}
	a := map[string]string{}
	for _, name := range annotations {
		a[name] = "true"
	}
	data, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": "aws-auth", "namespace": "kube-system", "annotations": a},
		"data":     map[string]string{"mapRoles": mapRoles},
	})
	if err != nil {
		panic(err)
	}
	return string(data)
}

func entry(arn string) string {
	return fmt.Sprintf(`{"apiVersion":"iam-authenticator.dev/v1alpha1","kind":"AccessEntry","metadata":{"name":"e"},"spec":{"principalARN":%q,"username":"u","kubernetesGroups":["g"]}}`, arn)
}

func ask(t *testing.T, path, operation, name, object, old string) response {
	t.Helper()
	body := fmt.Sprintf(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1-2-3","operation":%q,"namespace":"kube-system","name":%q,"object":%s,"oldObject":%s,"userInfo":{}}}`,
		operation, name, object, old)
	code, answer := post(t, path, "application/json", body)
	var out review
	if err := json.Unmarshal([]byte(answer), &out); err != nil || code != 200 || out.Response == nil || out.Response.UID != "1-2-3" || out.APIVersion != "admission.k8s.io/v1" || out.Kind != "AdmissionReview" {
		t.Fatalf("answer %d %s, %v", code, answer, err)
	}
	return *out.Response
}

func post(t *testing.T, path, contentType, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	Handlers(lint.Options{}, zap.NewNop())[path].ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestChangesOfAWSAuth(t *testing.T) {
	for _, c := range []struct {
		rule, operation, object, old string
		refused                      string // what the message says; empty if the change is let pass
		warned                       string
	}{
		{"created as it should be", "CREATE", awsAuth(admins + nodes), "null", "", ""},
		{"created with a mistake", "CREATE", awsAuth(admins + typo), "null", "gruops", ""},
		{"a good entry is added", "UPDATE", awsAuth(admins + nodes + dev), awsAuth(admins + nodes), "", ""},
		{"a mistake is added", "UPDATE", awsAuth(admins + typo), awsAuth(admins), "gruops", ""},
		{"another entry is mended while a mistake stands", "UPDATE", awsAuth(admins + typo + dev), awsAuth(admins + typo), "", "still wrong"},
		{"another entry goes before a mistake that stands", "UPDATE", awsAuth(admins + dev + typo), awsAuth(admins + typo), "", "still wrong"},
		{"the entry before a mistake that stands goes", "UPDATE", awsAuth(admins + typo), awsAuth(admins + dev + typo), "", "still wrong"},
		{"a mistake is made a second time", "UPDATE", awsAuth(admins + typo + typo), awsAuth(admins + typo), "mapRoles[2]", "still wrong"},
		{"another mistake takes the place of one", "UPDATE", awsAuth(admins + strings.ReplaceAll(typo, "gruops", "gropus")), awsAuth(admins + typo), "gropus", ""},
		{"a mistake moves to another entry", "UPDATE", awsAuth(admins + strings.ReplaceAll(typo, "role/typo", "role/other")), awsAuth(admins + typo), "gruops", ""},
		{"a mistake is mended", "UPDATE", awsAuth(admins + dev), awsAuth(admins + typo), "", ""},
		{"no list any more", "UPDATE", awsAuth("oops"), awsAuth(admins), "last administrators", ""},
		{"the last administrator goes", "UPDATE", awsAuth(nodes), awsAuth(admins + nodes), "last administrators", ""},
		{"and is meant to", "UPDATE", awsAuth(nodes, AllowLoss), awsAuth(admins + nodes), "", "this takes away the last administrators"},
		{"losses are allowed before they are made", "UPDATE", awsAuth(admins+nodes, AllowLoss), awsAuth(admins + nodes), "", "allows every loss until it is removed"},
		{"losses are still allowed", "UPDATE", awsAuth(admins+nodes+dev, AllowLoss), awsAuth(admins+nodes, AllowLoss), "", "allows every loss until it is removed"},
		{"losses are allowed no more", "UPDATE", awsAuth(admins + nodes), awsAuth(admins+nodes, AllowLoss), "", ""},
		{"the last administrator can log in no more", "UPDATE", awsAuth(strings.Replace(admins, "username:", "sessionNamePattern: 'no one', username:", 1)), awsAuth(admins), "last administrators", ""},
		{"the last node mapping goes", "UPDATE", awsAuth(admins), awsAuth(admins + nodes), "every mapping of nodes", ""},
		{"one of two administrators goes", "UPDATE", awsAuth(admins), awsAuth(admins + strings.ReplaceAll(admins, "role/admins", "role/more")), "", ""},
		{"deleted", "DELETE", "null", awsAuth(admins + nodes), "last administrators", ""},
		{"deleted as was announced", "DELETE", "null", awsAuth(admins+nodes, AllowLoss), "", "this takes away the last administrators"},
		{"deleted, with nothing to lose", "DELETE", "null", awsAuth(dev), "", ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			got := ask(t, PathAWSAuth, c.operation, "aws-auth", c.object, c.old)
			if got.Allowed != (c.refused == "") || !got.Allowed && !strings.Contains(got.Status.Message, c.refused) {
				t.Errorf("allowed %t, %+v, want it to say %q", got.Allowed, got.Status, c.refused)
			}
			if all := strings.Join(got.Warnings, "\n"); !strings.Contains(all, c.warned) || c.warned == "" && c.refused == "" && all != "" {
				t.Errorf("warnings %q, want %q", all, c.warned)
			}
		})
	}
}

// JSON has characters that YAML has not: in an annotation, they say nothing about who
// gets in, and must hide nothing either.
func TestCharactersThatYAMLHasNotChangeNothing(t *testing.T) {
	annotated := func(object string) string {
		return strings.Replace(object, `"metadata":{`, `"metadata":{"labels":{"odd":"`+"\u0080\u0085\u009f\ufffe"+`\u0001\ud83d\ude00\/"},`, 1)
	}
	awsAuth := func(mapRoles string) string { return annotated(awsAuth(mapRoles)) }
	if got := ask(t, PathAWSAuth, "UPDATE", "aws-auth", awsAuth(admins+dev), awsAuth(admins)); !got.Allowed || len(got.Warnings) > 0 {
		t.Errorf("a good change: %+v", got)
	}
	if got := ask(t, PathAWSAuth, "UPDATE", "aws-auth", awsAuth(admins+typo), awsAuth(admins)); got.Allowed || !strings.Contains(got.Status.Message, "gruops") {
		t.Errorf("a mistake: %+v", got.Status)
	}
	const good, bad = "arn:aws:iam::111122223333:role/dev", "arn:aws:sts::111122223333:assumed-role/dev/bob"
	if got := ask(t, PathAccessEntries, "CREATE", "e", annotated(entry(good)), "null"); !got.Allowed || len(got.Warnings) > 0 {
		t.Errorf("a good entry: %+v", got)
	}
	if got := ask(t, PathAccessEntries, "UPDATE", "e", annotated(entry(bad)), annotated(entry(good))); got.Allowed {
		t.Error("an entry for a session is let pass")
	}
}

func TestABrokenSectionHidesNoLoss(t *testing.T) {
	with := func(mapRoles string) string {
		data, err := json.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "aws-auth", "namespace": "kube-system"},
			"data": map[string]string{"mapRoles": mapRoles, "mapUsers": "- {a: ["},
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if got := ask(t, PathAWSAuth, "UPDATE", "aws-auth", with(dev), with(admins+dev)); got.Allowed {
		t.Error("the last administrator goes")
	}
	if got := ask(t, PathAWSAuth, "DELETE", "aws-auth", "null", with(admins)); got.Allowed {
		t.Error("aws-auth is deleted")
	}
	if got := ask(t, PathAWSAuth, "UPDATE", "aws-auth", awsAuth(admins+dev), with(admins)); !got.Allowed {
		t.Errorf("the section is mended: %+v", got.Status)
	}
}

func TestOtherObjectsAreOfNoConcern(t *testing.T) {
	if got := ask(t, PathAWSAuth, "UPDATE", "other", awsAuth(typo), awsAuth(admins)); !got.Allowed || len(got.Warnings) > 0 {
		t.Errorf("%+v", got)
	}
}

// Deleting all ConfigMaps is one request, which names none.
func TestDeletionOfAllIsLookedAt(t *testing.T) {
	if got := ask(t, PathAWSAuth, "DELETE", "", "null", awsAuth(admins)); got.Allowed {
		t.Error("aws-auth may be deleted among others")
	}
	other := strings.Replace(awsAuth(admins), "aws-auth", "other", 1)
	if got := ask(t, PathAWSAuth, "DELETE", "", "null", other); !got.Allowed {
		t.Errorf("another ConfigMap: %+v", got.Status)
	}
}

func TestErrorsAreFew(t *testing.T) {
	got := ask(t, PathAWSAuth, "CREATE", "aws-auth", awsAuth(strings.Repeat(typo, 1000)), "null")
	if got.Allowed || len(got.Status.Message) > 4096 || !strings.Contains(got.Status.Message, "989 more") {
		t.Errorf("%+v", got.Status)
	}
}

func TestChangesOfAccessEntries(t *testing.T) {
	const good, bad = "arn:aws:iam::111122223333:role/dev", "arn:aws:sts::111122223333:assumed-role/dev/bob"
	if got := ask(t, PathAccessEntries, "CREATE", "e", entry(good), "null"); !got.Allowed {
		t.Errorf("a good entry: %+v", got.Status)
	}
	if got := ask(t, PathAccessEntries, "CREATE", "e", entry(bad), "null"); got.Allowed {
		t.Error("an entry for a session is let pass")
	}
	if got := ask(t, PathAccessEntries, "UPDATE", "e", entry(bad), entry(bad)); !got.Allowed {
		t.Errorf("a label on a broken entry: %+v", got.Status)
	}
	if got := ask(t, PathAccessEntries, "DELETE", "e", "null", entry(bad)); !got.Allowed {
		t.Errorf("deleting a broken entry: %+v", got.Status)
	}
}

// What can't be made out is let pass.
func TestWhatCannotBeCheckedPasses(t *testing.T) {
	if got := ask(t, PathAWSAuth, "UPDATE", "aws-auth", `{"data":7}`, awsAuth(admins)); !got.Allowed || len(got.Warnings) == 0 {
		t.Errorf("%+v", got)
	}
	h := &handler{log: zap.NewNop(), check: func(request) verdict { panic("a defect") }}
	if v := h.safely(request{}); len(v.errors) > 0 || len(v.warnings) == 0 {
		t.Errorf("%+v", v)
	}
}

func TestWhatIsNoReviewIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		contentType, body string
		want              int
	}{
		"no JSON":         {"application/json", "{", 400},
		"another kind":    {"application/json", `{"apiVersion":"admission.k8s.io/v1","kind":"TokenReview","request":{}}`, 400},
		"another version": {"application/json", `{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{}}`, 400},
		"no request":      {"application/json", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, 400},
		"a form":          {"text/plain", `{}`, 415},
		"five megabytes":  {"application/json", strings.Repeat(" ", 5<<20), 413},
	} {
		if code, body := post(t, PathAWSAuth, c.contentType, c.body); code != c.want {
			t.Errorf("%s: %d %s, want %d", name, code, body, c.want)
		}
	}
	w := httptest.NewRecorder()
	Handlers(lint.Options{}, zap.NewNop())[PathAWSAuth].ServeHTTP(w, httptest.NewRequest(http.MethodGet, PathAWSAuth, nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

func TestWarningsAreShortAndFew(t *testing.T) {
	var many []string
	for range 50 {
		many = append(many, strings.Repeat("ä", 300))
	}
	got := shorten(many)
	total := 0
	for _, text := range got {
		total += len(text)
		if len(text) > maxWarning || strings.ToValidUTF8(text, "") != text {
			t.Errorf("%d bytes: %q", len(text), text)
		}
	}
	if total > 4096 || !strings.Contains(got[len(got)-1], "39 more") {
		t.Errorf("%d warnings of %d bytes, the last %q", len(got), total, got[len(got)-1])
	}
}

// What is too large is not looked through for mistakes, but hides no loss.
func TestWhatIsTooMuchToCheckPasses(t *testing.T) {
	many := strings.Repeat("# nothing\n", maxItems+1)
	if got := ask(t, PathAWSAuth, "UPDATE", "aws-auth", awsAuth(many+admins+typo), awsAuth(admins)); !got.Allowed || len(got.Warnings) != 1 {
		t.Errorf("%+v", got)
	}
	for _, many := range []string{many + dev, "[" + strings.Repeat("a,", 500_000) + "a]"} {
		if got := ask(t, PathAWSAuth, "UPDATE", "aws-auth", awsAuth(many), awsAuth(admins)); got.Allowed {
			t.Errorf("the last administrator goes: %+v", got)
		}
	}
}

func TestChangesAreCheckedAFewAtATime(t *testing.T) {
	stuck, checking := make(chan struct{}), make(chan struct{})
	h := &handler{log: zap.NewNop(), turns: make(chan struct{}, maxChecks), check: func(request) verdict {
		checking <- struct{}{}
		<-stuck
		return verdict{}
	}}
	post := func() int {
		r := httptest.NewRequest(http.MethodPost, PathAWSAuth, strings.NewReader(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1"}}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	done := make(chan int)
	for range maxChecks {
		go func() { done <- post() }()
		<-checking
	}
	if code := post(); code != http.StatusServiceUnavailable {
		t.Errorf("one more: %d, want 503", code)
	}
	close(stuck)
	for range maxChecks {
		if code := <-done; code != http.StatusOK {
			t.Errorf("answered %d", code)
		}
	}
}
