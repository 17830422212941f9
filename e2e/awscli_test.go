package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/token"
)

// TestTokensOfTheAWSCLI compares a token of `aws eks get-token` with one of ours for the same credentials:
// the same host, the same parameters, and nothing in either that Parse doesn't know.
func TestTokensOfTheAWSCLI(t *testing.T) {
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("needs the AWS CLI")
	}
	ours := filepath.Join(buildAuthenticator(t), "authenticator")
	for _, sessionToken := range []string{"", "AQoDYXdzEJr1K5+/==EXAMPLE"} {
		run := func(name string, args ...string) []byte {
			cmd := exec.CommandContext(t.Context(), name, args...)
			cmd.Env = []string{
				"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1",
				"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_SESSION_TOKEN=" + sessionToken,
				"AWS_STS_REGIONAL_ENDPOINTS=regional",
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %v\n%s", cmd.Args, err, stderr.Bytes())
			}
			return out
		}
		var credential struct{ Status struct{ Token string } }
		if err := json.Unmarshal(run("aws", "eks", "get-token", "--cluster-name", "demo", "--output", "json"), &credential); err != nil {
			t.Fatal(err)
		}
		theirs := inspect(t, credential.Status.Token)
		mine := inspect(t, strings.TrimSpace(string(run(ours, "token", "-i", "demo", "--token-only"))))
		if theirs != mine {
			t.Errorf("the AWS CLI's token has\n%s\nours has\n%s", theirs, mine)
		}
	}
}

// inspect returns the host of a token and its parameters, without what differs from second to second.
func inspect(t *testing.T, bearer string) string {
	t.Helper()
	if _, err := token.Parse(bearer); err != nil {
		t.Errorf("%v in %s", err, bearer)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(bearer, token.Prefix))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{u.Scheme + "://" + u.Host + u.Path}
	for name, values := range u.Query() {
		if name == "X-Amz-Date" || name == "X-Amz-Signature" {
			values = []string{"…"}
		}
		lines = append(lines, name+"="+strings.Join(values, "|"))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
