// Command authenticator-controller keeps the RBAC bindings that the access policies of
// access entries stand for. "authenticator controller" runs it.
//
// It is not part of authenticator since that starts with every call of kubectl, and
// would take twice the time with the libraries of a controller.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	crlog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/iam-authenticator/authenticator/internal/cli"
	"github.com/iam-authenticator/authenticator/internal/controller"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// version and commit are set when a release is linked (-ldflags -X).
var (
	version string
	commit  string
)

// Exit codes, as the help says.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitUnavailable = 3
)

const help = `Keep the RBAC bindings that the access policies of access entries stand for.

For each AccessEntry with policies it binds the group of that entry to the ClusterRoles
of the policies: in the cluster, or in every namespace that a pattern matches, as they
come and go. What it made is repaired if it is touched, and removed with the entry; what
it did not make is never touched. The condition PoliciesApplied of the entry says where
its policies are bound, and if they are not, why.

It needs the rights of deploy/controller/rbac.yaml, and the ClusterRoles of
deploy/policies.yaml. Several may run with --leader-elect: one writes.

Exit codes: 0 success, 1 failure, such as the lease being lost, 2 wrong usage,
3 the API server could not be asked.`

func main() {
	// The first signal ends the program gracefully, the second at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Stdout, os.Stderr, os.Args[1:]))
}

func run(ctx context.Context, out, errOut io.Writer, args []string) int {
	root := newCommand()
	root.SetOut(out)
	root.SetErr(errOut)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(errOut, "Error:", err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[noAnswerError](err); ok {
		return exitUnavailable
	}
	return exitFailure
}

// usageError is a mistake in flags or arguments.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// noAnswerError is an API server that could not be asked.
type noAnswerError struct{ error }

func (e noAnswerError) Unwrap() error { return e.error }

type flags struct {
	options            controller.Options
	kubeconfig, master string
	dryRun             bool
	output             string
	format, verbosity  string
}

func newCommand() *cobra.Command {
	f := &flags{options: controller.Options{
		Concurrency: 8, MetricsAddress: "127.0.0.1:21364", HealthAddress: "127.0.0.1:21365",
	}}
	cmd := &cobra.Command{
		Use:   "authenticator-controller",
		Short: "Bind the access policies of access entries",
		Long:  help,
		Example: `  authenticator controller --leader-elect
  authenticator controller --max-policy AmazonEKSEditPolicy --namespaces 'dev-*,test-*'
  authenticator controller --dry-run --kubeconfig ~/.kube/config`,
		Version:       cli.BuildInfo(version, commit).Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unexpected argument %q\nSee 'authenticator controller --help'", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nSee 'authenticator controller --help'", err)}
	})
	cmd.CompletionOptions.DisableDefaultCmd = true // authenticator has it
	o, flags := &f.options, cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "`file` that says how to reach the API server (default: as a pod does)")
	flags.StringVar(&f.master, "master", "", "`URL` of the API server")
	flags.BoolVar(&o.LeaderElection, "leader-elect", o.LeaderElection, "wait for a lease before writing: for several controllers in a cluster")
	flags.StringVar(&o.LeaderNamespace, "leader-elect-namespace", "", "`namespace` of the lease (default: that of the pod)")
	flags.StringVar(&o.Ceiling.MaxPolicy, "max-policy", "", "`name` of the policy that is the most that access entries may give, such as "+policy.Edit)
	flags.StringSliceVar(&o.Ceiling.Namespaces, "namespaces", nil, "`patterns` of the namespaces in which access entries may give policies, such as dev-*; with it none is bound in the whole cluster")
	flags.IntVar(&o.Concurrency, "concurrency", o.Concurrency, "`number` of access entries that are worked on at the same time, and of requests at most")
	flags.StringVar(&o.MetricsAddress, "metrics-address", o.MetricsAddress, "`address` of metrics over plain HTTP; empty for none")
	flags.StringVar(&o.HealthAddress, "health-address", o.HealthAddress, "`address` of /healthz and /readyz over plain HTTP; empty for none")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print what would be changed, and write nothing")
	flags.StringVarP(&f.output, "output", "o", "table", "`format` of --dry-run: table or yaml")
	flags.StringVarP(&f.format, "log-format", "l", "text", "`format` of the log: text or json")
	flags.StringVarP(&f.verbosity, "log-verbosity", "v", "info", "lowest `level` to log: debug, info, warn or error")
	for flag, words := range map[string][]string{
		"output":        {"table", "yaml"},
		"log-format":    {"text", "json"},
		"log-verbosity": {"debug", "info", "warn", "error"},
		"max-policy":    policies(),
	} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

// policies returns the names of the shipped policies.
func policies() (names []string) {
	for _, role := range policy.Builtin() {
		names = append(names, role.Labels[policy.Label])
	}
	return names
}

func (f *flags) run(cmd *cobra.Command) error {
	log, stop, err := cli.NewLog(cmd.ErrOrStderr(), f.format, f.verbosity)
	if err != nil {
		return usageError{err}
	}
	defer stop()
	o := f.options
	o.Log, o.ClientLog = log, cli.Logr(log)
	// Parts of the libraries know no other way.
	crlog.SetLogger(o.ClientLog)
	klog.SetLogger(o.ClientLog)

	// Such as that of a variable that is not set: a ceiling was meant, and would be none.
	if flags := cmd.Flags(); flags.Changed("max-policy") && o.Ceiling.MaxPolicy == "" || flags.Changed("namespaces") && len(o.Ceiling.Namespaces) == 0 {
		return usageError{errors.New("--max-policy, --namespaces: empty, which bounds nothing: give a value or leave the flag out")}
	}
	if err := o.Ceiling.Check(); err != nil {
		return usageError{fmt.Errorf("--max-policy, --namespaces: %w", err)}
	}
	if o.Concurrency < 1 {
		return usageError{fmt.Errorf("--concurrency %d, want 1 or more", o.Concurrency)}
	}
	if f.output != "table" && f.output != "yaml" {
		return usageError{fmt.Errorf("--output %q, want table or yaml", f.output)}
	}
	o.Config, err = cli.ClusterConfig(f.master, f.kubeconfig, "authenticator-controller/"+cli.BuildInfo(version, commit).Version)
	if err != nil {
		return usageError{err}
	}
	if f.dryRun {
		return f.printPlan(cmd, o)
	}
	c, err := controller.New(o)
	if _, ok := errors.AsType[*url.Error](err); ok {
		return noAnswerError{err}
	}
	if err != nil {
		return err
	}
	return c.Run(cmd.Context())
}

// printPlan prints the steps to standard output, and the rest to standard error.
func (f *flags) printPlan(cmd *cobra.Command, o controller.Options) error {
	plan, err := controller.DryRun(cmd.Context(), o)
	if err != nil {
		return noAnswerError{fmt.Errorf("what there is can't be read: %w", err)}
	}
	for _, problem := range plan.Problems {
		fmt.Fprintln(cmd.ErrOrStderr(), "Warning:", problem)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%d access entries have policies, %d changes would be made.\n", plan.Entries, len(plan.Steps))
	if f.output == "yaml" {
		return plan.PrintYAML(cmd.OutOrStdout())
	}
	return plan.PrintTable(cmd.OutOrStdout())
}
