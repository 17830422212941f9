// Command demo tells the story of a login without AWS and without a cluster: it
// starts "authenticator server --dev", makes tokens as several people, and asks the
// webhook about them as the API server would.
//
//	demo PATH-OF-AUTHENTICATOR
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		stop()
		os.Exit(1)
	}
}

// person is one who logs in, and how that has to end.
type person struct {
	profile, story, want string
}

var people = []person{
	{"developer", "Alice assumes the role team/developers, which is mapped to a name and a group.", `"username":"developer:alice"`},
	{"admin", "Bob assumes the role admins, which makes him a cluster administrator.", `"groups":["system:masters"]`},
	{"alice", "Alice without a role is mapped by her IAM user.", `"username":"alice"`},
	{"stranger", "A role that nobody mapped gets nowhere, and the API server's log says why.", `"error":"NotMapped`},
}

func run(ctx context.Context, out io.Writer, args []string) error {
	if len(args) != 1 {
		return errors.New("want the path of the authenticator (make demo)")
	}
	program, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "authenticator-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	port, err := freePort(ctx)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := exec.CommandContext(ctx, program, "server", "--dev", "--dev-dir", dir, "--port", fmt.Sprint(port), "--health-port", "0")
	server.Cancel = func() error { return server.Process.Signal(os.Interrupt) }
	server.WaitDelay = 10 * time.Second
	var log bytes.Buffer
	server.Stderr = &log
	fmt.Fprintln(out, "$ authenticator server --dev")
	if err := server.Start(); err != nil {
		return err
	}
	webhook := fmt.Sprintf("https://127.0.0.1:%d", port)
	story := func() error {
		client, err := connect(ctx, webhook, filepath.Join(dir, "state", "ca.pem"))
		if err != nil {
			return err
		}
		for _, p := range people {
			if err := login(ctx, out, client, webhook, program, filepath.Join(dir, "env"), p); err != nil {
				return err
			}
		}
		return nil
	}
	err = story()
	cancel()
	if waitErr := server.Wait(); err == nil && waitErr != nil && !errors.Is(waitErr, context.Canceled) {
		err = fmt.Errorf("server: %w", waitErr)
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, log.Bytes())
	}
	fmt.Fprintln(out, "\nWhat the server logged:")
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, " login ") {
			fmt.Fprint(out, "  ", line)
		}
	}
	fmt.Fprintln(out, "\nNext: 'make demo-cluster' does this with kubectl and a real API server.")
	return nil
}

// connect waits until the webhook serves.
func connect(ctx context.Context, webhook, caFile string) (*http.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		pem, err := os.ReadFile(caFile)
		if err == nil {
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(pem)
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
			var resp *http.Response
			req, reqErr := http.NewRequestWithContext(ctx, http.MethodGet, webhook+"/readyz", nil)
			if reqErr != nil {
				return nil, reqErr
			}
			if resp, err = client.Do(req); err == nil {
				resp.Body.Close()
				return client, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the server doesn't answer: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// login makes a token as a person and shows what the webhook says of it.
func login(ctx context.Context, out io.Writer, client *http.Client, webhook, program, env string, p person) error {
	fmt.Fprintf(out, "\n# %s\n$ AWS_PROFILE=%s authenticator token --token-only\n", p.story, p.profile)
	// A shell reads the variables, as a person's would.
	cmd := exec.CommandContext(ctx, "sh", "-c", `. "$0" && AWS_PROFILE="$1" exec "$2" token --token-only`, env, p.profile, program)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	token, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("authenticator token: %w\n%s", err, stderr.Bytes())
	}
	bearer := strings.TrimSpace(string(token))
	fmt.Fprintf(out, "%.60s… (%d characters)\n$ curl -d '{\"kind\":\"TokenReview\",…}' %s/authenticate\n", bearer, len(bearer), webhook)

	review := fmt.Sprintf(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":%q}}`, bearer)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, webhook+"/authenticate", strings.NewReader(review))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Status json.RawMessage `json:"status"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("answer %s: %w", resp.Status, err)
	}
	if !strings.Contains(string(answer.Status), p.want) {
		return fmt.Errorf("the answer %s has no %s", answer.Status, p.want)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, answer.Status, "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", &pretty)
	return err
}

func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
