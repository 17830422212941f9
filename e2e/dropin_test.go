package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/e2e/bed"
)

// TestFlagsOfTheOriginalAreAccepted compares the help of both programs, and looks for the flags that the original's
// DaemonSet has, or proposes in comments.
func TestFlagsOfTheOriginalAreAccepted(t *testing.T) {
	dir, err := bed.BuildOriginal(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(dir, "aws-iam-authenticator")
	ours := filepath.Join(buildAuthenticator(t), "authenticator")
	for _, command := range []string{"server", "init", "token", "verify"} {
		theirs := helpedFlags(t, original, command)
		if len(theirs) < 5 {
			t.Fatalf("%s: the original has the flags %q, which are too few", command, theirs)
		}
		if missing := without(theirs, helpedFlags(t, ours, command)); len(missing) > 0 {
			t.Errorf("%s: flags of the original that ours doesn't have: %q", command, missing)
		}
	}

	module, err := exec.Command("go", "-C", "tools/original", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/aws-iam-authenticator").Output()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(module)), "deploy", "example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	args := submatches(regexp.MustCompile(`(?m)^ +(?:# )?- (--[a-z-]+)=`), string(manifest))
	if !slices.Contains(args, "--state-dir") || !slices.Contains(args, "--kubeconfig-pregenerated") {
		t.Fatalf("the DaemonSet has the flags %q", args)
	}
	if missing := without(args, helpedFlags(t, ours, "server")); len(missing) > 0 {
		t.Errorf("flags of the original's DaemonSet that ours doesn't have: %q", missing)
	}
}

// helpedFlags are the flags that the help of a command lists.
func helpedFlags(t *testing.T, program, command string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, command, "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s --help: %v\n%s", program, command, err, out)
	}
	return submatches(regexp.MustCompile(`(?m)^ +(?:-[a-z], )?(--[A-Za-z0-9-]+)`), string(out))
}
