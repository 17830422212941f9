package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

const rootHelp = `authenticator logs people in to Kubernetes with their AWS IAM identity.

On a person's machine, "authenticator token" is what kubectl runs to get a token.
On the control plane, "authenticator server" answers the API server's question who
made a token. It reads the configuration of aws-iam-authenticator and takes its place.

Exit codes: 0 success, 1 failure or a refused login, 2 wrong usage or configuration,
3 AWS or the API server could not be asked.`

// globals are the flags of every command.
type globals struct {
	configFile   string
	clusterID    string
	logFormat    string
	logVerbosity string
	featureGates string
}

const (
	envClusterID    = "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID"
	envLogVerbosity = "AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY"
)

func newRootCommand(std streams, serve serverFunc) *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:           "authenticator",
		Short:         "AWS IAM authentication for Kubernetes",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w%s\nSee '%s --help'", err, suggestFlag(cmd, err), cmd.CommandPath())}
	})
	flags := root.PersistentFlags()
	flags.StringVarP(&g.configFile, "config", "c", "", "configuration `file`")
	flags.StringVarP(&g.clusterID, "cluster-id", "i", "", "`ID` of the cluster that tokens are for (env "+envClusterID+")")
	flags.StringVarP(&g.logFormat, "log-format", "l", "text", "`format` of the log: text or json")
	flags.StringVarP(&g.logVerbosity, "log-verbosity", "v", "info", "lowest `level` to log: debug, info, warn or error (env "+envLogVerbosity+")")
	flags.StringVar(&g.featureGates, "feature-gates", "", "`gates` of aws-iam-authenticator; accepted, and all on")

	root.AddCommand(
		newServerCommand(g, std, serve),
		newTokenCommand(g, std),
		newVerifyCommand(g, std),
		newInitCommand(g, std),
		newReadyCommand(g, std),
		newKubeconfigCommand(g, std),
		newAccessEntryCommand(g, std),
		newMappingCommand(std),
		newMigrateCommand(std),
		newAccessCommand(g, std),
		newVersionCommand(std),
	)
	completeWords(root, "log-format", "text", "json")
	completeWords(root, "log-verbosity", "debug", "info", "warn", "error")

	// The commands that cobra adds are as strict about arguments as ours.
	root.InitDefaultCompletionCmd()
	takeNoArgs(root)
	root.AddCommand( // behind takeNoArgs, as they take files or flags of another program
		newAuditCommand(g, std),
		newLintCommand(g, std),
		newExplainCommand(g, std),
		newControllerCommand(std),
	)
	root.InitDefaultHelpCmd()
	help, _, _ := root.Find([]string{"help"})
	help.Args = func(_ *cobra.Command, args []string) error {
		topic, rest, _ := root.Find(args)
		return noArgs(topic, rest)
	}
	return root
}

// takeNoArgs makes cmd and the commands under it refuse arguments.
func takeNoArgs(cmd *cobra.Command) {
	cmd.Args = noArgs
	if !cmd.Runnable() { // cobra looks at no arguments then
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	for _, sub := range cmd.Commands() {
		takeNoArgs(sub)
	}
}

// noArgs refuses arguments, and names the command that a misspelt one was meant to be.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if strings.Contains(args[0], token.Prefix) {
		return usageError{fmt.Errorf("a token is no argument: give it on standard input, or with --token\nSee '%s --help'", cmd.CommandPath())}
	}
	err := fmt.Errorf("unexpected argument %q", args[0])
	if groups := cmd.Flags().Lookup("kubernetes-groups"); groups != nil && groups.Changed {
		// As the AWS CLI has it. Which arguments are groups would be a guess.
		err = fmt.Errorf("%w: groups have commas between them, --kubernetes-groups a,b", err)
	}
	if cmd.HasSubCommands() {
		var known []string
		for _, sub := range cmd.Commands() {
			known = append(known, sub.Name())
		}
		err = fmt.Errorf("unknown command %q%s", args[0], suggest.DidYouMean(args[0], known))
	}
	return usageError{fmt.Errorf("%w\nSee '%s --help'", err, cmd.CommandPath())}
}

// suggestFlag names the flag that a misspelt one was meant to be.
func suggestFlag(cmd *cobra.Command, err error) string {
	word, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return ""
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if nearest := suggest.Nearest(word, known); nearest != "" {
		return ", did you mean --" + nearest + "?"
	}
	return ""
}

func completeWords(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// load reads the configuration: defaults, then the file, the environment, flags.
func (g *globals) load() (config.Config, error) {
	if err := g.checkFeatureGates(); err != nil {
		return config.Config{}, err
	}
	c, err := config.Load(g.configFile)
	if err != nil {
		return c, usageError{err}
	}
	if env := os.Getenv(envClusterID); env != "" {
		c.ClusterID = env
	}
	if g.clusterID != "" {
		c.ClusterID = g.clusterID
	}
	return c, nil
}

// checkFeatureGates names gates that aws-iam-authenticator doesn't have.
func (g *globals) checkFeatureGates() error {
	known := []string{"ConfiguredInitDirectories", "IAMIdentityMappingCRD", "SSORoleMatch", "AllAlpha", "AllBeta"}
	for gate := range strings.SplitSeq(g.featureGates, ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(gate), "=")
		if name != "" && suggest.Nearest(name, known) != name {
			return usageError{fmt.Errorf("--feature-gates: unknown gate %q, want one of %s", name, strings.Join(known, ", "))}
		}
	}
	return nil
}
