package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const logName = "authenticator.log"

// scene is a command and what comes of it.
type scene struct {
	says  string                 // before the command
	does  func() (string, error) // before the command, too; returns what to show of it
	types string                 // words that need no quoting
	fails bool                   // the command, as it should
	sees  []string               // regular expressions that lines of the output match, all of them
}

func (d *demo) story() []scene {
	return []scene{
		{
			says:  "Alice is a developer: she may assume the IAM role developers.\nSTS vouches for that, and the mapping makes a Kubernetes user of it.",
			types: "kubectl --context=developer auth whoami",
			sees: []string{
				`^Username +developer:alice$`,
				`^Groups +\[developers system:authenticated\]$`,
				`^Extra: arn +\[arn:aws:sts::111122223333:assumed-role/developers/alice\]$`,
				`^Extra: canonicalArn +\[arn:aws:iam::111122223333:role/developers\]$`,
				`^Extra: sessionName +\[alice\]$`,
			},
		},
		{
			says:  "Being known is not being allowed: nobody has given her rights yet.",
			types: "kubectl --context=developer get configmaps",
			fails: true,
			sees:  []string{`Forbidden.*User "developer:alice" cannot list resource "configmaps"`},
		},
		{
			says:  "Bob is an administrator. He gives rights to the group that the mapping put Alice in.",
			types: "kubectl --context=admin auth whoami",
			sees:  []string{`^Username +admin:bob$`, `^Groups +\[system:masters system:authenticated\]$`},
		},
		{
			types: "kubectl --context=admin create role editor --verb=get,list,create --resource=configmaps",
			sees:  []string{`^role.rbac.authorization.k8s.io/editor created$`},
		},
		{
			types: "kubectl --context=admin create rolebinding developers --role=editor --group=developers",
			sees:  []string{`^rolebinding.rbac.authorization.k8s.io/developers created$`},
		},
		{
			says:  "Now Alice may do that, and no more.",
			types: "kubectl --context=developer create configmap prices --from-literal=tea=3",
			sees:  []string{`^configmap/prices created$`},
		},
		{
			types: "kubectl --context=developer get configmaps",
			sees:  []string{`^prices +1 +`},
		},
		{
			types: "kubectl --context=developer get secrets",
			fails: true,
			sees:  []string{`Forbidden.*User "developer:alice" cannot list resource "secrets"`},
		},
		{
			says:  "A stranger has credentials that are good in AWS, with a role that no mapping names.\nHe learns no more than that he is not let in; the log knows why.",
			types: "kubectl --context=stranger auth whoami",
			fails: true,
			sees:  []string{`Unauthorized`},
		},
		{
			types: "tail -n 1 " + logName,
			sees:  []string{`login refused: NotMapped .*"arn": "arn:aws:sts::111122223333:assumed-role/auditors/`},
		},
		{
			says:  "A mapping for that role is added to " + d.mappings() + ":",
			does:  d.mapAuditors,
			types: "kubectl --context=stranger auth whoami",
			sees:  []string{`^Username +auditor$`, `^Groups +\[auditors system:authenticated\]$`},
		},
	}
}

// tell plays the scenes, and fails at the first that doesn't end as it should.
func (d *demo) tell(ctx context.Context, log string) error {
	for _, s := range d.story() {
		if s.says != "" {
			d.out.say(s.says)
		}
		if s.does != nil {
			text, err := s.does()
			if err != nil {
				return err
			}
			d.out.write("%s", text)
		}
		d.out.command(s.types)
		output, err := d.play(ctx, s)
		d.out.write("%s\n", output)
		if err != nil {
			return fmt.Errorf("%s: %w\nauthenticator logged last:\n%s", s.types, err, tail(log))
		}
	}
	return nil
}

// play runs the scene's command until it ends as it should: kube-apiserver and authenticator follow a change
// in a moment, not at once.
func (d *demo) play(ctx context.Context, s scene) (output string, err error) {
	const timeout = 15 * time.Second
	deadline := time.Now().Add(timeout)
	for {
		output, err = d.execute(ctx, s.types)
		err = s.check(output, err)
		if err == nil || ctx.Err() != nil {
			return output, err
		}
		if time.Now().After(deadline) {
			return output, fmt.Errorf("%w (for %v)", err, timeout)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// execute runs a command line in dir, with the demo's kubectl and kubeconfig.
func (d *demo) execute(ctx context.Context, line string) (output string, err error) {
	words := strings.Fields(line)
	if words[0] == "kubectl" {
		words[0] = filepath.Join(d.binDir, "kubectl")
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+d.kubeconfig(), "KUBECACHEDIR="+filepath.Join(d.dir, "kubectl"))
	interruptFirst(cmd)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// check compares the output and the error of the scene's command with what they should be.
func (s scene) check(output string, err error) error {
	switch {
	case s.fails && err == nil:
		return fmt.Errorf("it succeeded, and should have failed")
	case !s.fails && err != nil:
		return err
	}
	for _, pattern := range s.sees {
		if !regexp.MustCompile("(?m)" + pattern).MatchString(output) {
			return fmt.Errorf("its output has no %s", pattern)
		}
	}
	return nil
}

// mapAuditors edits the mappings as a person would.
func (d *demo) mapAuditors() (string, error) {
	const (
		head = "  mapRoles:\n"
		add  = "  - rolearn: arn:aws:iam::111122223333:role/auditors\n    username: auditor\n    groups: [auditors]\n"
	)
	data, err := os.ReadFile(d.mappings())
	if err != nil {
		return "", err
	}
	before, after, found := strings.Cut(string(data), head)
	if !found {
		return "", fmt.Errorf("%s: no line %q", d.mappings(), head)
	}
	if err := os.WriteFile(d.mappings(), []byte(before+head+add+after), 0o600); err != nil {
		return "", err
	}
	var text strings.Builder
	text.WriteString(" " + head)
	for line := range strings.Lines(add) {
		text.WriteString("+" + line)
	}
	return text.String() + "\n", nil
}

// asToldByEnv reads the shell variables that --dev wrote, which clear what kubectl told the plugin, too.
const asToldByEnv = `info=$KUBERNETES_EXEC_INFO && . "$0" && export KUBERNETES_EXEC_INFO="$info" && exec "$@"`

// writeKubeconfig writes a kubeconfig that needs nothing of its user's environment.
func (d *demo) writeKubeconfig() error {
	var users, contexts strings.Builder
	for _, profile := range []string{"developer", "admin", "stranger"} {
		fmt.Fprintf(&users, `- name: %[1]s
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      interactiveMode: IfAvailable
      command: sh
      args: [-c, '%[2]s', %[3]q, %[4]q, token, --profile, %[1]s]
`, profile, asToldByEnv, filepath.Join(d.dir, "env"), d.authenticator())
		fmt.Fprintf(&contexts, "- name: %[1]s\n  context: {cluster: demo, user: %[1]s}\n", profile)
	}
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: developer
clusters:
- name: demo
  cluster:
    server: %s
    certificate-authority: %q
contexts:
%susers:
%s`, d.cluster.Server, d.cluster.CAFile, &contexts, &users)
	return os.WriteFile(d.kubeconfig(), []byte(text), 0o600)
}

// shellQuote quotes s for a POSIX shell.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
