package bed

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// binary is a program that Build makes out of a package of the tools module.
type binary struct {
	name, pkg, hint string
}

// module is where programs come from.
type module struct {
	dir      string // below that of the e2e module
	binaries []binary
	// The version of the module versionOf goes into the variables.
	versionOf string
	variables []string
}

var kubernetes = module{dir: "tools", binaries: []binary{
	{"etcd", "go.etcd.io/etcd/server/v3", "about a minute"},
	{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", "about 5 minutes"},
	{"kubectl", "k8s.io/kubernetes/cmd/kubectl", "about half a minute"},
	{"kubeadm", "k8s.io/kubernetes/cmd/kubeadm", "about half a minute"}, // which says whether the configurations of deploy/ are right
	// Without its version the API server answers /version with something kubectl can't parse.
}, versionOf: "k8s.io/kubernetes", variables: []string{"k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"}}

var original = module{dir: "tools/original", binaries: []binary{
	{"aws-iam-authenticator", "sigs.k8s.io/aws-iam-authenticator/cmd/aws-iam-authenticator", "about a minute"},
}, versionOf: "sigs.k8s.io/aws-iam-authenticator", variables: []string{"sigs.k8s.io/aws-iam-authenticator/pkg.Version"}}

// buildFlags leave out what costs compile and link time and a test bed has no use for: debug
// information, paths, the notest parts of etcd's dependencies, gRPC's request tracing.
var buildFlags = [...]string{
	"-trimpath",
	"-buildvcs=false",
	"-tags=notest,grpcnotrace",
	"-gcflags=all=-dwarf=false",
}

// Build makes etcd, kube-apiserver, kubectl and kubeadm from the module e2e/tools, whose go.mod and go.sum pin
// every line that goes in, and returns the directory that holds them. It must run inside the e2e module.
//
// Built once they stay in $AUTHENTICATOR_E2E_CACHE (by default authenticator-e2e in the user's cache
// directory) under a name that changes with the pins, the flags and the Go version; with the binaries
// there, Build takes milliseconds. Concurrent builds, also of other processes, wait for the first.
// Progress goes to log.
func Build(ctx context.Context, log io.Writer) (string, error) { return build(ctx, kubernetes, log) }

// BuildOriginal does for the module e2e/tools/original, which is aws-iam-authenticator, what Build does for
// Kubernetes.
func BuildOriginal(ctx context.Context, log io.Writer) (string, error) {
	return build(ctx, original, log)
}

func build(ctx context.Context, m module, log io.Writer) (string, error) {
	env, err := goEnv(ctx)
	if err != nil {
		return "", err
	}
	tools := filepath.Join(filepath.Dir(env.GOMOD), filepath.FromSlash(m.dir))
	key, err := cacheKey(tools, m, env)
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, key)
	if exists(dir) {
		return dir, nil
	}

	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	unlock, err := lockedfile.MutexAt(filepath.Join(cache, key+".lock")).Lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(dir) {
		return dir, nil
	}

	tmp, err := os.MkdirTemp(cache, key+".tmp-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := buildAll(ctx, m, tools, tmp, log); err != nil {
		return "", err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	return dir, os.Rename(tmp, dir)
}

func buildAll(ctx context.Context, m module, tools, dir string, log io.Writer) error {
	version, err := goOutput(ctx, "-C", tools, "list", "-m", "-f", "{{.Version}}", m.versionOf)
	if err != nil {
		return err
	}
	ldflags := []string{"-s", "-w"}
	for _, variable := range m.variables {
		ldflags = append(ldflags, "-X", variable+"="+strings.TrimSpace(version))
	}
	for _, b := range m.binaries {
		args := append([]string{"-C", tools, "build"}, buildFlags[:]...)
		cmd := goCommand(ctx, append(args, "-ldflags="+strings.Join(ldflags, " "), "-o", filepath.Join(dir, b.name), b.pkg)...)
		cmd.Stdout, cmd.Stderr = log, log
		if err := withProgress(log, b, cmd.Run); err != nil {
			return fmt.Errorf("building %s: %w", b.name, err)
		}
	}
	return nil
}

// withProgress says what is being built, and every half minute that it still is.
func withProgress(log io.Writer, b binary, run func() error) error {
	start := time.Now()
	elapsed := func() time.Duration { return time.Since(start).Round(time.Second) }
	fmt.Fprintf(log, "building %s (%s the first time) …\n", b.name, b.hint)

	done := make(chan error)
	go func() { done <- run() }()
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err == nil {
				fmt.Fprintf(log, "built %s in %s\n", b.name, elapsed())
			}
			return err
		case <-tick.C:
			fmt.Fprintf(log, "still building %s, %s so far\n", b.name, elapsed())
		}
	}
}

// goEnvironment is the part of `go env -json` that decides what Build builds, and where from.
type goEnvironment struct {
	GOMOD, GOVERSION, GOOS, GOARCH string
}

func goEnv(ctx context.Context) (goEnvironment, error) {
	var env goEnvironment
	out, err := goOutput(ctx, "env", "-json", "GOMOD", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return env, err
	}
	return env, json.Unmarshal([]byte(out), &env)
}

// cacheKey is a name for the binaries of a module that the pins in tools, this Go and our flags lead to.
func cacheKey(tools string, m module, env goEnvironment) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, env.GOVERSION, env.GOOS, env.GOARCH, m.binaries, buildFlags)
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(tools, name))
		if err != nil {
			return "", fmt.Errorf("%w (run inside the e2e module, for example with `go -C e2e run ./build`)", err)
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

func cacheDir() (string, error) {
	if dir := os.Getenv("AUTHENTICATOR_E2E_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w (or name a directory in $AUTHENTICATOR_E2E_CACHE)", err)
	}
	return filepath.Join(dir, "authenticator-e2e"), nil
}

// goCommand runs the go command without the caller's GOFLAGS and workspace, so that -race or -mod=vendor,
// meant for our own code, doesn't reach Kubernetes.
func goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0", "GOGC=400")
	return cmd
}

func goOutput(ctx context.Context, args ...string) (string, error) {
	cmd := goCommand(ctx, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
