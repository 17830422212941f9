package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/iam-authenticator/authenticator/internal/docs"
	"github.com/iam-authenticator/authenticator/pkg/config"
)

var assignment = regexp.MustCompile(`^[A-Z_]+=`)

// A command line in a document is one that the program takes.
func TestCommandLinesOfDocumentsParse(t *testing.T) {
	all, err := docs.All(filepath.Join("..", ".."))
	must(t, err)
	checked := 0
	check := func(d docs.Document, line docs.Line) {
		commands, _ := docs.Split(line.Text)
		for _, words := range commands {
			for len(words) > 0 && assignment.MatchString(words[0]) {
				words = words[1:]
			}
			if len(words) == 0 || words[0] != "authenticator" && words[0] != "bin/authenticator" {
				continue
			}
			checked++
			if err := parses(words[1:]); err != nil {
				t.Errorf("%s:%d: %s: %v", d.Path, line.Number, strings.Join(words, " "), err)
			}
		}
	}
	for _, d := range all {
		for _, s := range d.Spans {
			if !strings.Contains(s.Text, "…") {
				check(d, docs.Line{Text: strings.ReplaceAll(s.Text, `\|`, "|"), Number: s.Number})
			}
		}
		for _, block := range d.Blocks {
			for _, command := range block.Commands() {
				check(d, command)
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d command lines found", checked)
	}
}

// parses finds the command of a command line, and reads its flags and arguments.
func parses(args []string) error {
	for i, arg := range args {
		if arg == "<" || arg == ">" { // a redirection, or a placeholder
			args = append(args[:i:i], args[min(i+2, len(args)):]...)
			break
		}
	}
	cmd, rest, err := newRootCommand(streams{}, nil).Find(args)
	if err != nil || cmd.DisableFlagParsing {
		return err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err
	}
	return nil
}

// The flags and environment variables of aws-iam-authenticator v0.7 are ours too.
func TestMigrationNamesEveryFlagOfTheOriginal(t *testing.T) {
	page, err := docs.Read(filepath.Join("..", ".."), filepath.Join("..", "..", "docs", "migration.md"))
	must(t, err)
	for command, flags := range originalFlags {
		var cmd *cobra.Command
		if cmd, _, err = newRootCommand(streams{}, nil).Find(strings.Fields(command)); err != nil {
			t.Fatal(err)
		}
		for _, name := range flags {
			here := cmd.Flags().Lookup(name) != nil || cmd.InheritedFlags().Lookup(name) != nil
			if !here && command != "mapping create" { // "add" has become "mapping create", with flags of its own
				t.Errorf("%s lacks --%s", cmd.CommandPath(), name)
			}
			if !strings.Contains(page.Text, fmt.Sprintf("`--%s`", name)) {
				t.Errorf("docs/migration.md doesn't tell of --%s", name)
			}
		}
	}
}

// Its keys are read, and its metrics are told of.
func TestMigrationNamesEveryKeyAndMetricOfTheOriginal(t *testing.T) {
	page, err := docs.Read(filepath.Join("..", ".."), filepath.Join("..", "..", "docs", "migration.md"))
	must(t, err)
	ours := flatten(config.Default())
	for _, key := range originalKeys {
		if _, ok := ours[key]; !ok {
			t.Errorf("the configuration lacks %s", key)
		}
	}
	for _, name := range append(originalKeys, originalMetrics...) {
		if !strings.Contains(page.Text, "`"+name+"`") && !strings.Contains(page.Text, "`"+name+"{") {
			t.Errorf("docs/migration.md doesn't tell of %s", name)
		}
	}
}

var originalKeys = []string{
	"clusterID", "defaultRole", "server.partition", "server.port", "server.address", "server.hostname", "server.stateDir",
	"server.generateKubeconfig", "server.kubeconfigPregenerated", "server.kubeconfig", "server.master", "server.backendMode",
	"server.ec2DescribeInstancesQps", "server.ec2DescribeInstancesBurst", "server.ec2DescribeInstancesRoleARN", "server.sourceARN",
	"server.scrubbedAccounts", "server.dynamicfilepath", "server.dynamicfileUserIDStrict", "server.dynamicBackendModePath",
	"server.reservedPrefixConfig", "server.mapRoles", "server.mapUsers", "server.mapAccounts",
}

// originalMetrics are those of the namespace aws_iam_authenticator.
var originalMetrics = []string{
	"authenticate_latency_seconds", "sts_connection_failures_total", "sts_throttling_total", "sts_responses_total",
	"configmap_watch_failures_total", "dynamicfile_failures_total", "ec2_describe_instances_calls_total",
	"dynamic_e2e_latency_seconds", "dynamic_file_enabled", "dynamic_file_only",
}

// originalFlags are the flags of aws-iam-authenticator v0.7, by the command that has them
// here.
var originalFlags = map[string][]string{
	"server": {
		"config", "log-format", "log-verbosity", "cluster-id", "feature-gates",
		"partition", "port", "address", "state-dir", "generate-kubeconfig", "kubeconfig-pregenerated", "kubeconfig", "master",
		"backend-mode", "ec2-describeInstances-qps", "ec2-describeInstances-burst",
	},
	"init":   {"cluster-id", "hostname", "address"},
	"token":  {"cluster-id", "region", "role", "external-id", "session-name", "forward-session-name", "token-only", "cache"},
	"verify": {"token", "output", "partition"},
	"mapping create": {
		"userarn", "rolearn", "sso", "username", "groups", "kubeconfig", "kubeconfig-context", "master-url", "prompt",
	},
}
