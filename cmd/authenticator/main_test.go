package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"authenticator": main})
}

// TestScripts runs the command line as people do. A script is a file in testdata, in
// the language of https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript with
// the commands below. It starts in an empty environment: no variable of the machine's
// AWS configuration reaches it. Run one with
//
//	go test -run 'TestScripts/^token$' ./cmd/authenticator
func TestScripts(t *testing.T) {
	var ports portRange
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"decode":      decode,
			"eksemulator": eksEmulator,
			"expand":      expand,
			"fails":       fails,
			"open":        open,
			"owner":       owner,
			"mode":        mode,
			"pad":         pad,
			"ready":       ready,
			"stsemulator": stsEmulator,
			"terminate":   terminate,
		},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[emulatorKey{}] = &emulator{}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			env.Setenv("GORACE", "atexit_sleep_ms=10") // with -race, every process would sleep a second at its end
			for _, name := range []string{"PORT", "HEALTH_PORT"} {
				port, err := ports.next()
				if err != nil {
					return err
				}
				env.Setenv(name, strconv.Itoa(port))
			}
			return nil
		},
	})
}

func TestExitCode(t *testing.T) {
	failure := errors.New("failure")
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"success":                             {nil, 0},
		"failure":                             {failure, 1},
		"interrupted":                         {context.Canceled, 1},
		"usage":                               {usageError{failure}, 2},
		"usage, wrapped":                      {fmt.Errorf("somewhere: %w", usageError{failure}), 2},
		"usage, joined":                       {errors.Join(failure, usageError{failure}), 2},
		"refused":                             {reason.New(reason.NotMapped, "nobody"), 1},
		"unavailable, wrapped":                {fmt.Errorf("somewhere: %w", reason.New(reason.STSThrottled, "busy")), 3},
		"usage that names an unreachable STS": {usageError{reason.New(reason.STSUnreachable, "down")}, 2},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%s: exit code %d, want %d", name, got, c.want)
		}
	}
	for _, code := range reason.Codes() {
		want := 1
		if code.Outcome() == reason.Unavailable {
			want = 3
		}
		if got := exitCode(reason.New(code, "detail")); got != want {
			t.Errorf("%s: exit code %d, want %d", code, got, want)
		}
	}
}

// fails runs a program that must fail with the given exit code, print nothing on
// standard output, and say "Error: …" on standard error:
//
//	fails CODE PROGRAM [ARGS...]
func fails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails CODE PROGRAM [ARGS...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		ts.Fatalf("%s: %v, want exit code %s", args[1], err, args[0])
	}
	if code := strconv.Itoa(exit.ExitCode()); code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
	if ts.ReadFile("stdout") != "" {
		ts.Fatalf("a failed command wrote to standard output")
	}
	if !regexp.MustCompile(`(?m)^Error: \S`).MatchString(ts.ReadFile("stderr")) {
		ts.Fatalf("a failed command did not say why")
	}
}

// stsEmulator starts an STS in this process, or stops it:
//
//	stsemulator [stop]
//
// It knows the account 111122223333 with user/alice and user/bob; alice may assume
// role/team/developers, whose sessions may assume role/auditors. Access keys are the
// profiles alice and bob, and session, which is role/team/developers as session "carol".
// $STS_ADDRESS and $STS_CA are what a server needs to be sent there; the variables of the
// AWS SDK are set.
func stsEmulator(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 1 && args[0] == "stop" {
		ts.Check(ts.Value(emulatorKey{}).(*emulator).server.Close())
		return
	}
	if neg || len(args) != 0 {
		ts.Fatalf("usage: stsemulator [stop]")
	}
	const account = "arn:aws:iam::111122223333:"
	sts := awstest.New(awstest.Options{})
	alice, err := sts.AddUser(account + "user/alice")
	ts.Check(err)
	bob, err := sts.AddUser(account + "user/bob")
	ts.Check(err)
	ts.Check(sts.AddRole(account+"role/team/developers", awstest.Role{TrustedPrincipals: []string{alice.ARN}}))
	ts.Check(sts.AddRole(account+"role/auditors", awstest.Role{TrustedPrincipals: []string{account + "role/team/developers"}}))
	ts.Check(sts.AddRole(account+"role/guarded", awstest.Role{TrustedPrincipals: []string{alice.ARN}, ExternalID: "sesame"}))
	carol, err := sts.Session(account+"role/team/developers", "carol")
	ts.Check(err)

	var credentials strings.Builder
	for profile, c := range map[string]awstest.Credentials{"alice": alice, "bob": bob, "session": carol} {
		fmt.Fprintf(&credentials, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", profile, c.AccessKeyID, c.SecretAccessKey)
		if c.SessionToken != "" {
			fmt.Fprintf(&credentials, "aws_session_token = %s\n", c.SessionToken)
		}
	}
	server, err := awstest.NewServer(sts, "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { server.Close() })
	*ts.Value(emulatorKey{}).(*emulator) = emulator{sts: sts, server: server}

	ca, keys := ts.MkAbs("sts-ca.pem"), ts.MkAbs("aws-credentials")
	ts.Check(os.WriteFile(ca, server.CAPEM(), 0o600))
	ts.Check(os.WriteFile(keys, []byte(credentials.String()), 0o600))
	for name, value := range map[string]string{
		"STS_ADDRESS":                 server.Addr(),
		"STS_CA":                      ca,
		"AWS_ENDPOINT_URL_STS":        server.URL(),
		"AWS_CA_BUNDLE":               ca,
		"AWS_SHARED_CREDENTIALS_FILE": keys,
		"AWS_REGION":                  "eu-central-1",
	} {
		ts.Setenv(name, value)
	}
}

type emulatorKey struct{}

type emulator struct {
	sts    *awstest.STS
	server *awstest.Server
	eks    *awstest.EKS
	close  func() // of EKS
}

// eksEmulator starts an EKS behind stsemulator's account, stops it, or makes it refuse or
// throttle everybody from then on:
//
//	eksemulator [stop|deny|throttle]
//
// There are the clusters demo in eu-central-1 and eu-west-1, with an access entry each for
// role/team/developers and user/bob, and young, which has no API server yet.
func eksEmulator(ts *testscript.TestScript, neg bool, args []string) {
	e := ts.Value(emulatorKey{}).(*emulator)
	switch {
	case neg || e.sts == nil || len(args) > 1:
		ts.Fatalf("usage, behind stsemulator: eksemulator [stop|deny|throttle]")
	case len(args) == 0:
		e.eks = awstest.NewEKS(e.sts)
		for _, region := range []string{"eu-central-1", "eu-west-1"} {
			arn := "arn:aws:eks:" + region + ":111122223333:cluster/"
			e.eks.SetCluster(awstest.EKSCluster{
				ARN: arn + "demo", Endpoint: "https://demo." + region + ".eks.example", CAPEM: e.server.CAPEM(),
				Entries: []awstest.EKSAccessEntry{
					{PrincipalARN: "arn:aws:iam::111122223333:role/team/developers", Username: "dev:{{SessionName}}", Groups: []string{"developers"}},
					{PrincipalARN: "arn:aws:iam::111122223333:user/bob"},
				},
			})
			e.eks.SetCluster(awstest.EKSCluster{ARN: arn + "young", Status: "CREATING"})
		}
		server := httptest.NewServer(e.eks)
		e.close = server.Close
		ts.Defer(server.Close)
		ts.Setenv("AWS_ENDPOINT_URL_EKS", server.URL)
	case args[0] == "stop":
		e.close()
	case args[0] == "deny":
		e.eks.SetFault(awstest.Fault{
			Kind: awstest.FaultRespond, Status: http.StatusForbidden,
			Body: `{"__type":"AccessDeniedException","message":"User: arn:aws:iam::111122223333:user/alice is not authorized"}`,
		})
	case args[0] == "throttle":
		e.eks.SetFault(awstest.Fault{Kind: awstest.FaultThrottle})
	default:
		ts.Fatalf("eksemulator %s: want stop, deny or throttle", args[0])
	}
}

// decode reads the token in a file, bare or in an ExecCredential, and prints the
// request that it stands for:
//
//	decode FILE
func decode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: decode FILE")
	}
	text := strings.TrimSpace(ts.ReadFile(args[0]))
	if strings.HasPrefix(text, "{") {
		var credential struct{ Status struct{ Token string } }
		ts.Check(json.Unmarshal([]byte(text), &credential))
		text = credential.Status.Token
	}
	encoded, ok := strings.CutPrefix(text, token.Prefix)
	if !ok {
		ts.Fatalf("%.20q begins no token", text)
	}
	url, err := base64.RawURLEncoding.DecodeString(encoded)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", url)
}

// expand replaces $NAME in files of the script by the environment's values:
//
//	expand FILE...
func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: expand FILE...")
	}
	for _, file := range args {
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(os.Expand(ts.ReadFile(file), ts.Getenv)), 0o600))
	}
}

// mode checks the permissions of a file, in octal digits:
//
//	mode PERMISSIONS FILE...
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mode PERMISSIONS FILE...")
	}
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	for _, file := range args[1:] {
		info, err := os.Stat(ts.MkAbs(file))
		ts.Check(err)
		if got := info.Mode().Perm(); got != fs.FileMode(want) {
			ts.Fatalf("%s has the permissions %o, want %o", file, got, want)
		}
	}
}

// owner checks who owns files, by number:
//
//	owner UID:GID FILE...
func owner(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: owner UID:GID FILE...")
	}
	for _, file := range args[1:] {
		out, err := exec.Command("stat", "-c", "%u:%g", ts.MkAbs(file)).Output()
		ts.Check(err)
		if got := strings.TrimSpace(string(out)); got != args[0] {
			ts.Fatalf("%s belongs to %s, want %s", file, got, args[0])
		}
	}
}

// open lets everybody through the directories above files, and read these:
//
//	open FILE...
func open(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: open FILE...")
	}
	for _, file := range args {
		for path := ts.MkAbs(file); len(path) > len(os.TempDir()); path = filepath.Dir(path) {
			info, err := os.Stat(path)
			ts.Check(err)
			ts.Check(os.Chmod(path, info.Mode().Perm()|0o055))
		}
	}
}

// pad appends bytes to a file:
//
//	pad FILE BYTES
func pad(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pad FILE BYTES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(ts.ReadFile(args[0])+strings.Repeat("A", n)), 0o600))
}

// ready waits until the server whose health checks are at $HEALTH_PORT is ready.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	const timeout = 20 * time.Second
	if neg || len(args) != 0 {
		ts.Fatalf("usage: ready")
	}
	client := http.Client{Timeout: timeout}
	deadline := time.Now().Add(timeout)
	for {
		response, err := client.Get("http://" + net.JoinHostPort("127.0.0.1", ts.Getenv("HEALTH_PORT")) + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
			err = errors.New(response.Status)
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the server is not ready within %v: %v", timeout, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// terminate sends a SIGTERM, which testscript's kill doesn't know, to the program that
// has been in the background for longest:
//
//	terminate
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	running := ts.BackgroundCmds()
	if neg || len(args) != 0 || len(running) == 0 {
		ts.Fatalf("usage, with a program in the background: terminate")
	}
	ts.Check(running[0].Process.Signal(syscall.SIGTERM))
}

// portRange hands out free ports on loopback, each once. They are below those that
// systems give to outgoing connections, so that none of these can take one before the
// server that it is for has started.
type portRange struct{ last atomic.Int64 }

func (p *portRange) next() (int, error) {
	const low, high = 22000, 32000
	p.last.CompareAndSwap(0, int64(rand.IntN(high-low))+1)
	var err error
	for range 100 {
		port := low + int(p.last.Add(1)%(high-low))
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port on 127.0.0.1: %w", err)
}
