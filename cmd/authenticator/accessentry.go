package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/internal/entries"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/config"
)

const accessEntryHelp = `Manage who gets in to the cluster: AccessEntry objects, with the flags of "aws eks".

There is one access entry for a principal. Its object is called KIND.ACCOUNT.NAME, such
as role.111122223333.admins; where there is one under another name, that is used.

The cluster is that of the kubeconfig's context. It needs the custom resource in
deploy/crd.`

// policiesNote is what everybody must know who relies on access policies.
const policiesNote = "Note: access policies give rights where 'authenticator controller' runs, and none where it doesn't."

func newAccessEntryCommand(g *globals, std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "access-entry",
		Aliases: []string{"access-entries", "accessentry"},
		Short:   "Manage access entries, as aws eks does",
		Long:    accessEntryHelp,
		Example: `  authenticator access-entry create --principal-arn arn:aws:iam::111122223333:role/developers --kubernetes-groups developers
  authenticator access-entry list`,
	}
	cmd.AddCommand(
		newEntryCreateCommand(g, std),
		newEntryGetCommand(g, std),
		newEntryListCommand(g, std),
		newEntryUpdateCommand(g, std),
		newEntryDeleteCommand(g, std),
		newEntryAssociateCommand(g, std),
		newEntryDisassociateCommand(g, std),
		newEntryPoliciesCommand(g, std),
	)
	return cmd
}

// entryCommand is what the commands about access entries have in common: flags that
// say which entry, where, and what to print.
type entryCommand struct {
	g   *globals
	std streams
	cmd *cobra.Command

	kube        kubeFlags
	clusterName string
	principal   string
	partition   string // of the principal; check sets it
	output      string
	dryRun      string
	warned      map[string]bool
}

func newEntryCommand(g *globals, std streams, cmd *cobra.Command) *entryCommand {
	c := &entryCommand{g: g, std: std, cmd: cmd, warned: map[string]bool{}}
	c.kube.bind(cmd.Flags())
	cmd.Flags().StringVar(&c.clusterName, "cluster-name", "", "`name` of the cluster, as aws eks wants it: it is compared with the cluster ID, and chooses nothing")
	return c
}

func (c *entryCommand) bindPrincipal() {
	c.cmd.Flags().StringVar(&c.principal, "principal-arn", "", "`ARN` of the IAM role or user")
}

// bindOutput binds --output. Without a default, what was done is printed in a line.
func (c *entryCommand) bindOutput(usual entries.Format) {
	usage := "`format`: table, json, yaml or name"
	if usual == "" {
		usage += " (default: a line that says what was done)"
	}
	c.cmd.Flags().StringVarP(&c.output, "output", "o", string(usual), usage)
	completeWords(c.cmd, "output", "table", "json", "yaml", "name")
}

func (c *entryCommand) bindDryRun() {
	c.cmd.Flags().StringVar(&c.dryRun, "dry-run", string(entries.DryRunNone), "`where` to only try: none, client (send nothing that writes) or server (have it checked)")
	completeWords(c.cmd, "dry-run", "none", "client", "server")
}

// check checks the flags that are bound, and returns the configuration.
func (c *entryCommand) check() (config.Config, error) {
	loaded, err := c.g.load()
	if err != nil {
		return loaded, err
	}
	flags := c.cmd.Flags()
	if flags.Lookup("principal-arn") != nil {
		if c.principal == "" {
			return loaded, usageError{errors.New("no principal: give --principal-arn ARN")}
		}
		if c.partition, err = entries.Partition(c.principal); err != nil {
			return loaded, usageError{fmt.Errorf("--principal-arn: %w", err)}
		}
	}
	if c.output != "" || flags.Changed("output") {
		if !slices.Contains([]entries.Format{entries.FormatTable, entries.FormatJSON, entries.FormatYAML, entries.FormatName}, c.format()) {
			return loaded, usageError{fmt.Errorf("--output %q, want table, json, yaml or name", c.output)}
		}
	}
	if flags.Lookup("dry-run") != nil && !slices.Contains([]entries.DryRun{entries.DryRunNone, entries.DryRunClient, entries.DryRunServer}, c.dry()) {
		return loaded, usageError{fmt.Errorf("--dry-run %q, want none, client or server", c.dryRun)}
	}
	if c.clusterName != "" && loaded.ClusterID != "" && !slices.Contains(loaded.ClusterIDs(), c.clusterName) {
		return loaded, usageError{fmt.Errorf("--cluster-name %q, but the cluster ID is %q: see that this is the cluster you mean", c.clusterName, loaded.ClusterID)}
	}
	return loaded, nil
}

func (c *entryCommand) format() entries.Format { return entries.Format(c.output) }
func (c *entryCommand) dry() entries.DryRun    { return entries.DryRun(c.dryRun) }

// client returns the client that the flags describe, which check has checked.
func (c *entryCommand) client(loaded config.Config) (*entries.Client, error) {
	kube, err := c.kube.config()
	if err != nil {
		return nil, err
	}
	if c.clusterName != "" && loaded.ClusterID == "" {
		c.warn(fmt.Sprintf("--cluster-name %s chooses nothing, and there is no cluster ID (-i) to compare it with; the cluster is that of the kubeconfig, %s", c.clusterName, kube.Host))
	}
	kube.WarningHandler = rest.NewWarningWriter(c.std.err, rest.WarningWriterOptions{Deduplicate: true})
	return entries.New(entries.Options{Config: kube, DryRun: c.dry(), Warn: c.warn})
}

// checkedClient is check and client.
func (c *entryCommand) checkedClient() (*entries.Client, error) {
	loaded, err := c.check()
	if err != nil {
		return nil, err
	}
	return c.client(loaded)
}

// warn says something once.
func (c *entryCommand) warn(warning string) {
	if !c.warned[warning] {
		c.warned[warning] = true
		fmt.Fprintln(c.std.err, "Warning:", warning)
	}
}

// done prints what was done to an entry.
func (c *entryCommand) done(e *v1alpha1.AccessEntry, done string) error {
	if c.output == "" {
		return entries.PrintDone(c.std.out, e, done, c.dry())
	}
	return entries.Print(c.std.out, e, c.format())
}

// change updates the entry, and prints it.
func (c *entryCommand) change(client *entries.Client, change func(*v1alpha1.AccessEntry) error) error {
	e, changed, err := client.Update(c.cmd.Context(), c.principal, change)
	if err != nil {
		return entryError(err)
	}
	done := "unchanged"
	if changed {
		done = "updated"
	}
	return c.done(e, done)
}

// entryError gives an error its exit code.
func entryError(err error) error {
	if _, ok := errors.AsType[entries.InvalidError](err); ok {
		return usageError{err}
	}
	if entries.NoAnswer(err) {
		return noAnswerError{err}
	}
	return err
}

func newEntryCreateCommand(g *globals, std streams) *cobra.Command {
	var (
		spec      v1alpha1.AccessEntrySpec
		entryType string
		wait      bool
		timeout   time.Duration
	)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Let a principal in",
		Long: `Create the access entry of a principal. Its type can't be changed later.

With --dry-run=client -o yaml no cluster is needed: it prints a manifest for kubectl.`,
		Example: `  authenticator access-entry create --principal-arn arn:aws:iam::111122223333:role/developers --username dev:{{SessionName}} --kubernetes-groups developers,auditors --wait
  authenticator access-entry create --principal-arn arn:aws:iam::111122223333:role/nodes --type EC2_LINUX
  authenticator access-entry create --principal-arn arn:aws:iam::111122223333:user/alice --dry-run=client -o yaml`,
	}
	c := newEntryCommand(g, std, cmd)
	c.bindPrincipal()
	c.bindOutput("")
	c.bindDryRun()
	flags := cmd.Flags()
	flags.StringVar(&entryType, "type", string(v1alpha1.Standard), "`type` of the entry: STANDARD, or that of nodes")
	flags.StringVar(&spec.Username, "username", "", "`name` in Kubernetes, {{SessionName}} and the like stand in it for what callers have (default: their ARN)")
	flags.StringSliceVar(&spec.KubernetesGroups, "kubernetes-groups", nil, "`groups` in Kubernetes, with commas between them")
	flags.StringVar(&spec.PrincipalID, "principal-id", "", "unique `ID` (AROA…, AIDA…) that the principal must have")
	flags.Func("tags", "", func(string) error {
		return errors.New("an AccessEntry has no tags; label or annotate the object that it is, with kubectl label accessentry NAME KEY=VALUE")
	})
	_ = flags.MarkHidden("tags") // it is there for those who know it from aws eks
	flags.BoolVar(&wait, "wait", false, "wait until the server says that the entry is in force")
	flags.DurationVar(&timeout, "timeout", 30*time.Second, "`time` to wait at most")
	completeWords(cmd, "type", "STANDARD", "EC2_LINUX", "EC2_WINDOWS", "FARGATE_LINUX", "HYBRID_LINUX", "EC2")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loaded, err := c.check()
		if err != nil {
			return err
		}
		if wait && c.dry() != entries.DryRunNone {
			return usageError{errors.New("--wait with a --dry-run: there is nothing to wait for")}
		}
		spec.PrincipalARN, spec.Type, spec.KubernetesGroups = c.principal, v1alpha1.AccessEntryType(entryType), trimmed(spec.KubernetesGroups)
		e, err := entries.NewEntry(spec)
		if err != nil {
			return entryError(err)
		}
		if c.dry() == entries.DryRunClient {
			return c.done(e, "created")
		}
		client, err := c.client(loaded)
		if err != nil {
			return err
		}
		if e, err = client.Create(cmd.Context(), e); err != nil {
			return entryError(err)
		}
		var waited error
		if wait {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			e, waited = client.Wait(ctx, e, func(progress string) { fmt.Fprintln(std.err, progress) })
		}
		return errors.Join(c.done(e, "created"), entryError(waited))
	}
	return cmd
}

// trimmed returns groups as they are meant in "a, b".
func trimmed(groups []string) (trimmed []string) {
	for _, g := range groups {
		trimmed = append(trimmed, strings.TrimSpace(g))
	}
	return trimmed
}

func newEntryGetCommand(g *globals, std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "get",
		Aliases: []string{"describe"},
		Short:   "Print the entry of a principal",
		Long:    "Print the access entry of a principal, and whether it is in force. 'access-entry list' prints all.",
		Example: "  authenticator access-entry get --principal-arn arn:aws:iam::111122223333:role/developers -o yaml",
	}
	c := newEntryCommand(g, std, cmd)
	c.bindPrincipal()
	c.bindOutput(entries.FormatTable)
	c.completePrincipals()
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := c.checkedClient()
		if err != nil {
			return err
		}
		e, err := client.Get(cmd.Context(), c.principal)
		if err != nil {
			return entryError(err)
		}
		return entries.Print(std.out, e, c.format())
	}
	return cmd
}

func newEntryListCommand(g *globals, std streams) *cobra.Command {
	var policy string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "Print all entries",
		Long:    "Print all access entries: who gets in, as whom, and whether the entry is in force.",
		Example: "  authenticator access-entry list\n  authenticator access-entry list --associated-policy-arn view -o name",
	}
	c := newEntryCommand(g, std, cmd)
	c.bindOutput(entries.FormatTable)
	cmd.Flags().StringVar(&policy, "associated-policy-arn", "", "print only entries with this `policy`: an ARN, or a name that list-policies prints")
	completePolicies(cmd, "associated-policy-arn")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loaded, err := c.check()
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("associated-policy-arn") {
			if policy, _, err = entries.PolicyARN(policy, loaded.Server.Partition); err != nil {
				return usageError{fmt.Errorf("--associated-policy-arn: %w", err)}
			}
		}
		client, err := c.client(loaded)
		if err != nil {
			return err
		}
		printer := entries.NewListPrinter(std.out, c.format())
		if err := client.List(cmd.Context(), func(page []v1alpha1.AccessEntry) error {
			if policy != "" {
				page = slices.DeleteFunc(page, func(e v1alpha1.AccessEntry) bool { return !entries.HasPolicy(&e, policy) })
			}
			return printer.Print(page)
		}); err != nil {
			return entryError(err)
		}
		printed, err := printer.Close()
		if printed == 0 {
			fmt.Fprintln(std.err, "No access entries found.")
		}
		return err
	}
	return cmd
}

func newEntryUpdateCommand(g *globals, std streams) *cobra.Command {
	var (
		username, principalID string
		groups                []string
	)
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Change the entry of a principal",
		Long: `Change the access entry of a principal. What no flag names stays as it is.

The groups replace all that there were, as on EKS. With --kubernetes-groups "" there are
none, and with --username "" the name is the default.`,
		Example: "  authenticator access-entry update --principal-arn arn:aws:iam::111122223333:role/developers --kubernetes-groups developers,auditors",
	}
	c := newEntryCommand(g, std, cmd)
	c.bindPrincipal()
	c.bindOutput("")
	c.bindDryRun()
	c.completePrincipals()
	flags := cmd.Flags()
	flags.StringVar(&username, "username", "", "`name` in Kubernetes")
	flags.StringSliceVar(&groups, "kubernetes-groups", nil, "`groups` in Kubernetes, with commas between them, in place of those there are")
	flags.StringVar(&principalID, "principal-id", "", "unique `ID` (AROA…, AIDA…) that the principal must have")
	cmd.RunE = func(*cobra.Command, []string) error {
		if !flags.Changed("username") && !flags.Changed("kubernetes-groups") && !flags.Changed("principal-id") {
			return usageError{errors.New("nothing to change: give --username, --kubernetes-groups or --principal-id")}
		}
		client, err := c.checkedClient()
		if err != nil {
			return err
		}
		return c.change(client, func(e *v1alpha1.AccessEntry) error {
			if flags.Changed("username") {
				e.Spec.Username = username
			}
			if flags.Changed("kubernetes-groups") {
				e.Spec.KubernetesGroups = trimmed(groups)
			}
			if flags.Changed("principal-id") {
				e.Spec.PrincipalID = principalID
			}
			return nil
		})
	}
	return cmd
}

func newEntryDeleteCommand(g *globals, std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete",
		Short: "Let a principal in no more",
		Long: `Delete the access entry of a principal; all of them, if there are several.

What else maps the principal (aws-auth, files) decides then.`,
		Example: "  authenticator access-entry delete --principal-arn arn:aws:iam::111122223333:role/developers",
	}
	c := newEntryCommand(g, std, cmd)
	c.bindPrincipal()
	c.bindDryRun()
	cmd.Flags().StringVarP(&c.output, "output", "o", "", "`format`: name (default: a line that says what was done)")
	completeWords(cmd, "output", "name")
	c.completePrincipals()
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if c.output != "" && c.format() != entries.FormatName {
			return usageError{fmt.Errorf("--output %q, want name", c.output)}
		}
		client, err := c.checkedClient()
		if err != nil {
			return err
		}
		gone, err := client.Delete(cmd.Context(), c.principal)
		for _, e := range gone {
			if err := c.done(&e, "deleted"); err != nil {
				return err
			}
		}
		return entryError(err)
	}
	return cmd
}

func newEntryAssociateCommand(g *globals, std streams) *cobra.Command {
	var policy, scope string
	cmd := &cobra.Command{
		Use:   "associate-policy",
		Short: "Give the entry of a principal an access policy",
		Long: `Associate an access policy with the access entry of a principal, within a scope. If it
is associated already, the scope replaces the one that it has.

Policies give rights where "authenticator controller" runs, and none where it doesn't.`,
		Example: `  authenticator access-entry associate-policy --principal-arn arn:aws:iam::111122223333:role/developers --policy-arn edit --access-scope 'type=namespace,namespaces=shop,dev-*'
  authenticator access-entry associate-policy --principal-arn arn:aws:iam::111122223333:role/developers --policy-arn arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy --access-scope type=cluster`,
	}
	c := newEntryCommand(g, std, cmd)
	c.bindPrincipal()
	c.bindOutput("")
	c.bindDryRun()
	c.completePrincipals()
	cmd.Flags().StringVar(&policy, "policy-arn", "", "the `policy`: an ARN, or a name that list-policies prints")
	cmd.Flags().StringVar(&scope, "access-scope", "", "`where` the policy holds: type=cluster, or type=namespace,namespaces=a,b")
	completePolicies(cmd, "policy-arn")
	completeWords(cmd, "access-scope", "type=cluster", "type=namespace,namespaces=")
	cmd.RunE = func(*cobra.Command, []string) error {
		if scope == "" {
			return usageError{errors.New("no scope: give --access-scope type=cluster or type=namespace,namespaces=NAME,NAME…")}
		}
		parsed, err := entries.ParseScope(scope)
		if err != nil {
			return usageError{fmt.Errorf("--access-scope: %w", err)}
		}
		loaded, err := c.check()
		if err != nil {
			return err
		}
		arn, err := c.policyARN(policy)
		if err != nil {
			return err
		}
		client, err := c.client(loaded)
		if err != nil {
			return err
		}
		if err := c.change(client, func(e *v1alpha1.AccessEntry) error {
			entries.Associate(e, arn, parsed)
			return nil
		}); err != nil {
			return err
		}
		fmt.Fprintln(std.err, policiesNote)
		return nil
	}
	return cmd
}

// policyARN returns the ARN of a policy in the partition of the principal, which check
// has checked.
func (c *entryCommand) policyARN(policy string) (string, error) {
	if policy == "" {
		return "", usageError{errors.New("no policy: give --policy-arn ARN, or a name that 'access-entry list-policies' prints")}
	}
	arn, known, err := entries.PolicyARN(policy, c.partition)
	if err != nil {
		return "", usageError{fmt.Errorf("--policy-arn: %w", err)}
	}
	if !known {
		c.warn(fmt.Sprintf("policy %s is not known here: see that its name is right", arn))
	}
	return arn, nil
}

func newEntryDisassociateCommand(g *globals, std streams) *cobra.Command {
	var policy string
	cmd := &cobra.Command{
		Use:     "disassociate-policy",
		Short:   "Take an access policy from the entry of a principal",
		Example: "  authenticator access-entry disassociate-policy --principal-arn arn:aws:iam::111122223333:role/developers --policy-arn edit",
	}
	c := newEntryCommand(g, std, cmd)
	c.bindPrincipal()
	c.bindOutput("")
	c.bindDryRun()
	c.completePrincipals()
	cmd.Flags().StringVar(&policy, "policy-arn", "", "the `policy`: an ARN, or a name that list-policies prints")
	completePolicies(cmd, "policy-arn")
	cmd.RunE = func(*cobra.Command, []string) error {
		loaded, err := c.check()
		if err != nil {
			return err
		}
		arn, err := c.policyARN(policy)
		if err != nil {
			return err
		}
		client, err := c.client(loaded)
		if err != nil {
			return err
		}
		return c.change(client, func(e *v1alpha1.AccessEntry) error { return entries.Disassociate(e, arn) })
	}
	return cmd
}

func newEntryPoliciesCommand(g *globals, std streams) *cobra.Command {
	output := string(entries.FormatTable)
	cmd := &cobra.Command{
		Use:   "list-policies",
		Short: "Print the known access policies",
		Long: `Print the access policies that are known by name, and what they allow. AWS has more:
give their ARNs. No cluster is asked.`,
		Example: "  authenticator access-entry list-policies\n  authenticator access-entry list-policies -o json",
	}
	c := &entryCommand{g: g, std: std, cmd: cmd}
	c.bindOutput(entries.Format(output))
	cmd.RunE = func(*cobra.Command, []string) error {
		loaded, err := c.check()
		if err != nil {
			return err
		}
		if err := entries.PrintPolicies(std.out, loaded.Server.Partition, c.format()); err != nil {
			return err
		}
		fmt.Fprintln(std.err, policiesNote)
		return nil
	}
	return cmd
}

func completePolicies(cmd *cobra.Command, flag string) {
	var words []string
	for _, p := range entries.Policies() {
		words = append(words, cobra.CompletionWithDesc(p.Name, p.Allows))
	}
	completeWords(cmd, flag, words...)
}

// completePrincipals completes --principal-arn by the principals that have entries, as
// far as the API server says so quickly.
func (c *entryCommand) completePrincipals() {
	const timeout, most = 2 * time.Second, 500
	_ = c.cmd.RegisterFlagCompletionFunc("principal-arn", func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		kube, err := c.kube.config()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		client, err := entries.New(entries.Options{Config: kube})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		var arns []string
		_ = client.List(ctx, func(page []v1alpha1.AccessEntry) error {
			for _, e := range page {
				if strings.HasPrefix(e.Spec.PrincipalARN, prefix) {
					arns = append(arns, e.Spec.PrincipalARN)
				}
			}
			if len(arns) >= most {
				cancel()
			}
			return nil
		})
		return arns, cobra.ShellCompDirectiveNoFileComp
	})
}
