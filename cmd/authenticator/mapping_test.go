package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestMappingGet prints every kind of entry in every format. Writing is told in
// e2e/testdata/mapping.txtar, on a real API server.
func TestMappingGet(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/api/v1/namespaces/kube-system/configmaps/aws-auth" {
			t.Errorf("unexpected %s %s", r.Method, r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Data: map[string]string{
			"mapRoles": `
- rolearn: arn:aws:iam::111122223333:role/team/dev
  username: dev:{{SessionName}}
  groups: [dev, readers]
- sso: {permissionSetName: View, accountID: "111122223333"}
  username: view
- rolearn: "\e[31m"
  username: x
`,
			"mapUsers":    "- {userarn: 'arn:aws:iam::111122223333:user/bob', username: bob, userid: AIDAX, requireTemporaryCredentials: true}",
			"mapAccounts": "- 012345678901",
		}})
	}))
	defer api.Close()
	kubeconfig := filepath.Join(t.TempDir(), "config")
	config := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c"}}],
"clusters": [{"name": "c", "cluster": {"server": %q}}]}`, api.URL)
	if err := os.WriteFile(kubeconfig, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	const skipped = "Warning: mapRoles[2] (line 7), \"\\x1b[31m\": skipped by the server: principal ARN \"\\x1b[31m\": want arn:PARTITION:iam::ACCOUNT:role/NAME or the like\n"

	for _, c := range []struct {
		args      []string
		code      int
		out, warn string
	}{
		{nil, exitOK, "ARN                                                   USERNAME             GROUPS       ACCOUNT\n" +
			"arn:aws:iam::111122223333:role/team/dev               dev:{{SessionName}}  dev,readers  \n" +
			"arn:aws:iam::111122223333:role/AWSReservedSSO_View_*  view                              \n" +
			"\"\\x1b[31m\"                                            x                                 \n" +
			"arn:aws:iam::111122223333:user/bob                    bob                               \n" +
			"                                                                                        012345678901\n", skipped},
		{[]string{"-o", "json"}, exitOK, `[
  {
    "rolearn": "arn:aws:iam::111122223333:role/team/dev",
    "username": "dev:{{SessionName}}",
    "groups": [
      "dev",
      "readers"
    ]
  },
  {
    "sso": {
      "permissionSetName": "View",
      "accountID": "111122223333",
      "partition": "aws"
    },
    "username": "view"
  },
  {
    "rolearn": "\u001b[31m",
    "username": "x",
    "problem": "principal ARN \"\\x1b[31m\": want arn:PARTITION:iam::ACCOUNT:role/NAME or the like"
  },
  {
    "userarn": "arn:aws:iam::111122223333:user/bob",
    "username": "bob",
    "userid": "AIDAX",
    "requireTemporaryCredentials": true
  },
  {
    "account": "012345678901"
  }
]
`, skipped},
		{[]string{"-o", "yaml", "--arn", "arn:aws:iam::111122223333:role/DEV"}, exitOK, `- groups:
  - dev
  - readers
  rolearn: arn:aws:iam::111122223333:role/team/dev
  username: dev:{{SessionName}}
`, ""},
		{[]string{"--arn", "arn:aws:iam::111122223333:role/other"}, exitFailure, "", "Error: no such mapping: arn:aws:iam::111122223333:role/other\n"},
	} {
		var out, warn bytes.Buffer
		args := append([]string{"mapping", "get", "--kubeconfig", kubeconfig}, c.args...)
		if code := run(t.Context(), streams{nil, &out, &warn}, args); code != c.code {
			t.Errorf("%q: exit code %d, want %d", c.args, code, c.code)
		}
		if out.String() != c.out || warn.String() != c.warn {
			t.Errorf("%q: got\n%s%s\nwant\n%s%s", c.args, &out, &warn, c.out, c.warn)
		}
	}
}
