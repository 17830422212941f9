package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/iam-authenticator/authenticator/e2e/bed"
	"github.com/rogpeppe/go-internal/testscript"
)

// commands are what stories have on top of testscript's own commands.
var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"authenticator":  program("authenticator"),
	"kubectl":        program("kubectl"),
	"cluster":        cluster,
	"apiserver":      apiserver,
	"serviceaccount": serviceAccount,
	"sts":            stsTrouble,
	"monitoring":     monitoring,
	"ec2":            ec2Command,
	"iam":            iamCommand,
	"ready":          ready,
	"eventually":     eventually,
	"expand":         expand,
}

// program makes a command out of a program: `kubectl get pods` for `exec kubectl get pods`.
func program(name string) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		check(ts, neg, name, ts.Exec(name, args...))
	}
}

func check(ts *testscript.TestScript, neg bool, what string, err error) {
	switch {
	case neg && err == nil:
		ts.Fatalf("%s succeeded, and should have failed", what)
	case !neg && err != nil:
		ts.Fatalf("%s: %v", what, err)
	}
}

// cluster starts an API server that asks a webhook about bearer tokens:
//
//	cluster [-webhook-version=v1] [-cache-ttl=0s] [-api-audiences=A,B] WEBHOOK-KUBECONFIG
//
// It sets $APISERVER to the URL, $APISERVER_CA to the file of the certificate to trust, $APISERVER_LOG to
// the log's file, and $KUBECONFIG to kubeconfig.yaml, which is up to the story, with the context admin
// added to it.
func cluster(ts *testscript.TestScript, neg bool, args []string) {
	var (
		o         bed.Options
		ttl       time.Duration
		audiences string
	)
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.WebhookVersion, "webhook-version", "", "")
	flags.DurationVar(&ttl, "cache-ttl", -1, "")
	flags.StringVar(&audiences, "api-audiences", "", "")
	if err := flags.Parse(args); err != nil || neg || flags.NArg() != 1 {
		ts.Fatalf("usage: cluster [-webhook-version=V] [-cache-ttl=D] [-api-audiences=A,B] WEBHOOK-KUBECONFIG")
	}
	o.WebhookKubeconfig = ts.MkAbs(flags.Arg(0))
	if ttl >= 0 {
		o.WebhookCacheTTL = &ttl
	}
	if audiences != "" {
		o.APIAudiences = strings.Split(audiences, ",")
	}

	c, err := bed.Start(context.Background(), o)
	ts.Check(err)
	ts.Defer(c.Stop)
	ts.Setenv("APISERVER", c.Server)
	ts.Setenv("APISERVER_CA", c.CAFile)
	ts.Setenv("APISERVER_LOG", c.Log)
	ts.Setenv("KUBECONFIG", ts.MkAbs("kubeconfig.yaml")+string(filepath.ListSeparator)+c.AdminKubeconfig)
	ts.Value(clusterKey{}).(*clusterRef).cluster = c
}

// clusterKey is where a story keeps its cluster.
type clusterKey struct{}

type clusterRef struct{ cluster *bed.Cluster }

// apiserver restarts the story's API server, with the same data:
//
//	apiserver restart
func apiserver(ts *testscript.TestScript, neg bool, args []string) {
	c := ts.Value(clusterKey{}).(*clusterRef).cluster
	if neg || c == nil || len(args) != 1 || args[0] != "restart" {
		ts.Fatalf("usage, behind cluster: apiserver restart")
	}
	ts.Check(c.Restart(context.Background()))
}

// serviceAccount gives a program the rights of its manifest in deploy, and writes a kubeconfig with them:
//
//	serviceaccount [-controller] KUBECONFIG
func serviceAccount(ts *testscript.TestScript, neg bool, args []string) {
	manifest, account := "rbac.yaml", "iam-authenticator"
	if len(args) == 2 && args[0] == "-controller" {
		manifest, account, args = "controller/rbac.yaml", "iam-authenticator-controller", args[1:]
	}
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serviceaccount [-controller] KUBECONFIG")
	}
	admin := func(args ...string) {
		ts.Check(ts.Exec("kubectl", append([]string{"--context=admin"}, args...)...))
	}
	admin("apply", "-f", filepath.Join(repository, "deploy", manifest))
	admin("create", "token", account, "--namespace=kube-system")
	token := strings.TrimSpace(ts.ReadFile("stdout"))
	config := tokenKubeconfig(ts.Getenv("APISERVER"), ts.Getenv("APISERVER_CA"), token)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), config, 0o600))
}

// tokenKubeconfig returns a kubeconfig of somebody with a token.
func tokenKubeconfig(server, caFile, token string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: server
clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]
contexts: [{name: server, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: %q}}]
`, server, caFile, token)
}

// ready writes the authenticator's /readyz?verbose to standard output:
//
//	ready
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 0 {
		ts.Fatalf("usage: ready")
	}
	resp, err := http.Get("http://127.0.0.1:" + ts.Getenv("HEALTH_PORT") + "/readyz?verbose")
	ts.Check(err)
	defer resp.Body.Close()
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
	if (resp.StatusCode != http.StatusOK) != neg {
		ts.Fatalf("readyz answered %d", resp.StatusCode)
	}
}

// eventually repeats a program until it succeeds, or with a ! until it fails, for 15 seconds or DURATION at most:
//
//	eventually [-within=DURATION] [-stdout=REGEXP] [-stderr=REGEXP] [!] PROGRAM [ARGS...]
//
// Output is looked at as the commands stdout and stderr do. What the last run wrote is there for them.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	timeout := 15 * time.Second
	var stdout, stderr pattern
	flags := flag.NewFlagSet("eventually", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.DurationVar(&timeout, "within", timeout, "")
	flags.Var(&stdout, "stdout", "")
	flags.Var(&stderr, "stderr", "")
	if err := flags.Parse(args); err != nil || neg || flags.NArg() == 0 {
		ts.Fatalf("usage: eventually [-within=DURATION] [-stdout=REGEXP] [-stderr=REGEXP] [!] PROGRAM [ARGS...]")
	}
	args = flags.Args()
	wantFailure := args[0] == "!"
	if wantFailure {
		args = args[1:]
	}

	start := time.Now()
	deadline := start.Add(timeout)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := ts.Exec(args[0], args[1:]...)
		if (err != nil) == wantFailure && stdout.match(ts.ReadFile("stdout")) && stderr.match(ts.ReadFile("stderr")) {
			ts.Logf("after %.2f s", time.Since(start).Seconds())
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("not within %v", timeout)
		}
		time.Sleep(pause)
	}
}

// pattern is a flag with a regular expression; without one it matches everything.
type pattern struct{ *regexp.Regexp }

func (p *pattern) String() string { return "" }

func (p *pattern) Set(s string) (err error) {
	p.Regexp, err = regexp.Compile("(?m)" + s)
	return err
}

func (p *pattern) match(s string) bool { return p.Regexp == nil || p.MatchString(s) }

// expand replaces $NAME and ${NAME} in files of the story by the environment's values:
//
//	expand FILE...
func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: expand FILE...")
	}
	for _, file := range args {
		text := os.Expand(ts.ReadFile(file), func(name string) string {
			value := ts.Getenv(name)
			if value == "" {
				ts.Fatalf("%s: $%s is not set", file, name)
			}
			return value
		})
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}
