package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/internal/awsauth"
	"github.com/iam-authenticator/authenticator/internal/entries"
)

const mappingHelp = `Show and change who the ConfigMap aws-auth in kube-system lets in.

Only the lines of the mapping concerned change: comments, order and quoting of the
others stay byte for byte. Somebody else's change at the same time is never lost. The
result is checked before it is written, and what would take away the last
administrator's, every node's or your own access is refused without --force.`

func newMappingCommand(std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mapping",
		Short: "Show and change who aws-auth lets in",
		Long:  mappingHelp,
		Example: `  authenticator mapping get
  authenticator mapping create --arn arn:aws:iam::111122223333:role/developers --username dev:{{SessionName}} --group developers`,
	}
	cmd.AddCommand(newMappingGetCommand(std), newMappingCreateCommand(std), newMappingUpdateCommand(std), newMappingDeleteCommand(std))
	return cmd
}

// mappingFlags are the flags of several subcommands.
type mappingFlags struct {
	kube          kubeFlags
	arn, account  string
	username      string
	groups        []string
	dryRun, force bool
}

// bindARN binds --arn for an ARN that is mapped.
func (f *mappingFlags) bindARN(cmd *cobra.Command, usage string) {
	cmd.Flags().StringVar(&f.arn, "arn", "", usage)
	_ = cmd.RegisterFlagCompletionFunc("arn", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return f.arns(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	})
}

func (f *mappingFlags) bindEntry(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.username, "username", "", "`name` in Kubernetes; may have placeholders such as {{SessionName}}")
	cmd.Flags().StringArrayVar(&f.groups, "group", nil, "`group` in Kubernetes; give it once for each")
}

func (f *mappingFlags) bindWrite(cmd *cobra.Command) {
	f.kube.bind(cmd.Flags())
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print what would change, as a diff, and write nothing")
	cmd.Flags().BoolVar(&f.force, "force", false, "change it even if that takes away the last administrator's, every node's or your own access")
}

func (f *mappingFlags) client() (*awsauth.Client, error) {
	config, err := f.kube.config()
	if err != nil {
		return nil, err
	}
	return awsauth.NewClient(config)
}

// arns returns the ARNs that are mapped, for completion: quickly or not at all.
func (f *mappingFlags) arns(ctx context.Context) []string {
	client, err := f.client()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	d, err := client.Get(ctx)
	if err != nil {
		return nil
	}
	mapped, _ := d.Entries()
	var arns []string
	for _, e := range mapped {
		if e.ARN != "" {
			arns = append(arns, e.ARN)
		}
	}
	return arns
}

// selector returns which entries are meant; exactly one flag says it.
func (f *mappingFlags) selector() (awsauth.Selector, error) {
	if (f.arn == "") == (f.account == "") {
		return awsauth.Selector{}, usageError{errors.New("whom is it about? Give --arn ARN or --account ID, one of them")}
	}
	return awsauth.Selector{ARN: f.arn, Account: f.account}, nil
}

// write makes a change and says what came of it: results on standard output, and what
// else is to be known on standard error.
func (f *mappingFlags) write(ctx context.Context, std streams, change awsauth.Change) error {
	client, err := f.client()
	if err != nil {
		return err
	}
	tool := awsauth.Tool{Client: client, Force: f.force, DryRun: f.dryRun}
	result, err := tool.Run(ctx, change)
	for _, w := range result.Warnings {
		fmt.Fprintln(std.err, "Warning:", w)
	}
	if f.dryRun {
		io.WriteString(std.out, result.Diff)
	} else if err == nil {
		for _, line := range result.Done {
			fmt.Fprintln(std.out, line)
		}
	}
	return mappingError(err)
}

// mappingError gives an error its exit code.
func mappingError(err error) error {
	if entries.NoAnswer(err) {
		return noAnswerError{fmt.Errorf("no answer of the API server: %w; check --kubeconfig and --context", err)}
	}
	return err
}

func newMappingGetCommand(std streams) *cobra.Command {
	var f mappingFlags
	output := "table"
	cmd := &cobra.Command{
		Use:   "get",
		Short: "List the mappings of aws-auth",
		Long: `List the mappings of aws-auth, all or those of one principal.

With -o json or yaml: a list of objects with the keys rolearn, userarn or account;
username; groups; sso, userid, sessionNamePattern and requireTemporaryCredentials if the
entry has them; and problem, which says why the server skips the entry.`,
		Example: `  authenticator mapping get
  authenticator mapping get --arn arn:aws:iam::111122223333:role/developers -o yaml`,
	}
	f.kube.bind(cmd.Flags())
	f.bindARN(cmd, "only mappings of this principal: an `ARN`, of a role with or without its path")
	cmd.Flags().StringVarP(&output, "output", "o", output, "`format`: table, json or yaml")
	completeWords(cmd, "output", "table", "json", "yaml")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		print, ok := mappingPrinters[output]
		if !ok {
			return usageError{fmt.Errorf("--output %q, want table, json or yaml", output)}
		}
		client, err := f.client()
		if err != nil {
			return err
		}
		d, err := client.Get(cmd.Context())
		if err != nil {
			return mappingError(err)
		}
		found, unread := d.Entries()
		if f.arn != "" && unread == nil {
			if found, unread = d.FindARN(f.arn); unread == nil && len(found) == 0 {
				return fmt.Errorf("%w: %s", awsauth.ErrNotFound, f.arn)
			}
		}
		for _, e := range found {
			if e.Problem != "" {
				fmt.Fprintf(std.err, "Warning: %s: skipped by the server: %s\n", e, e.Problem)
			}
		}
		return errors.Join(print(std.out, found), unread)
	}
	return cmd
}

func newMappingCreateCommand(std streams) *cobra.Command {
	var f mappingFlags
	var noDuplicates bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Let a role, a user or an account in",
		Long: `Add a mapping behind the others, written as they are. aws-auth is created if it is not
there. What the server would skip is refused.`,
		Example: `  authenticator mapping create --arn arn:aws:iam::111122223333:role/admins --username admin:{{SessionName}} --group system:masters
  authenticator mapping create --arn arn:aws:iam::111122223333:user/bob --username bob --group developers --group readers --dry-run
  authenticator mapping create --account 111122223333`,
	}
	cmd.Flags().StringVar(&f.arn, "arn", "", "`ARN` of the role or user")
	f.bindEntry(cmd)
	f.bindWrite(cmd)
	cmd.Flags().StringVar(&f.account, "account", "", "`ID` of an account; each of its principals gets in under its ARN, without groups")
	cmd.Flags().BoolVar(&noDuplicates, "no-duplicate-arns", false, "fail if the principal is mapped already")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := f.selector(); err != nil {
			return err
		}
		if f.account != "" && (f.username != "" || len(f.groups) > 0) {
			return usageError{errors.New("--account goes without --username and --group: principals get in under their ARNs")}
		}
		if f.arn != "" && f.username == "" {
			return usageError{errors.New("no username: give --username NAME, for a role with {{SessionName}} in it to tell people apart")}
		}
		entry, err := awsauth.NewAccount(f.account)
		if f.arn != "" {
			entry, err = awsauth.NewEntry(f.arn, f.username, f.groups)
		}
		if err != nil {
			return usageError{err}
		}
		return f.write(cmd.Context(), std, awsauth.Create(entry, noDuplicates))
	}
	return cmd
}

func newMappingUpdateCommand(std streams) *cobra.Command {
	var f mappingFlags
	var noGroups, all bool
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Change the username or the groups of a mapping",
		Long: `Change the username or the groups of a mapping. What is not given stays. Groups that
are given take the place of those that there are.`,
		Example: `  authenticator mapping update --arn arn:aws:iam::111122223333:role/developers --group developers --group readers
  authenticator mapping update --arn arn:aws:iam::111122223333:user/bob --username robert --dry-run`,
	}
	f.bindARN(cmd, "`ARN` of the role or user")
	f.bindEntry(cmd)
	f.bindWrite(cmd)
	cmd.Flags().BoolVar(&noGroups, "no-groups", false, "leave the mapping without groups")
	cmd.Flags().BoolVar(&all, "all", false, "change all mappings of the principal, if there are several")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		flags := cmd.Flags()
		switch {
		case f.arn == "":
			return usageError{errors.New("whom is it about? Give --arn ARN")}
		case flags.Changed("username") && f.username == "":
			return usageError{errors.New("--username is empty: the server would skip the mapping")}
		case noGroups && len(f.groups) > 0:
			return usageError{errors.New("--group and --no-groups, want one of them")}
		case !noGroups && len(f.groups) == 0 && f.username == "":
			return usageError{errors.New("nothing to change: give --username, --group or --no-groups")}
		}
		var p awsauth.Patch
		if f.username != "" {
			p.Username = &f.username
		}
		if noGroups || len(f.groups) > 0 {
			p.Groups = &f.groups
		}
		return f.write(cmd.Context(), std, awsauth.Update(f.arn, p, all))
	}
	return cmd
}

func newMappingDeleteCommand(std streams) *cobra.Command {
	var f mappingFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "delete",
		Short: "Take a mapping out of aws-auth",
		Long:  `Take the first mapping of a principal, or of an account, out of aws-auth; with --all every one.`,
		Example: `  authenticator mapping delete --arn arn:aws:iam::111122223333:user/bob --dry-run
  authenticator mapping delete --arn arn:aws:iam::111122223333:role/developers --all`,
	}
	f.bindARN(cmd, "`ARN` of the role or user, or as the mapping writes it")
	f.bindWrite(cmd)
	cmd.Flags().StringVar(&f.account, "account", "", "`ID` of an account that is mapped as a whole")
	cmd.Flags().BoolVar(&all, "all", false, "delete all mappings of the principal, if there are several")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := f.selector()
		if err != nil {
			return err
		}
		return f.write(cmd.Context(), std, awsauth.Delete(s, all))
	}
	return cmd
}

// printedMapping has the keys of aws-auth; account and problem are beside them.
type printedMapping struct {
	RoleARN                     string      `json:"rolearn,omitempty"`
	UserARN                     string      `json:"userarn,omitempty"`
	Account                     string      `json:"account,omitempty"`
	SSO                         *printedSSO `json:"sso,omitempty"`
	Username                    string      `json:"username,omitempty"`
	Groups                      []string    `json:"groups,omitempty"`
	UserID                      string      `json:"userid,omitempty"`
	SessionNamePattern          string      `json:"sessionNamePattern,omitempty"`
	RequireTemporaryCredentials bool        `json:"requireTemporaryCredentials,omitempty"`
	Problem                     string      `json:"problem,omitempty"`
}

type printedSSO struct {
	PermissionSetName string `json:"permissionSetName"`
	AccountID         string `json:"accountID"`
	Partition         string `json:"partition"`
}

func printed(entries []awsauth.Entry) []printedMapping {
	list := make([]printedMapping, len(entries))
	for i, e := range entries {
		p := printedMapping{
			Account: e.Account, Username: e.Username, Groups: e.Groups, UserID: e.UserID, SessionNamePattern: e.SessionNamePattern,
			RequireTemporaryCredentials: e.RequireTemporaryCredentials, Problem: e.Problem,
		}
		switch set := e.PermissionSet; {
		case set.Name != "":
			p.SSO = &printedSSO{set.Name, set.Account, set.Partition}
		case e.IsUser():
			p.UserARN = e.ARN
		default:
			p.RoleARN = e.ARN
		}
		list[i] = p
	}
	return list
}

var mappingPrinters = map[string]func(io.Writer, []awsauth.Entry) error{
	"json": func(w io.Writer, entries []awsauth.Entry) error {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(printed(entries))
	},
	"yaml": func(w io.Writer, entries []awsauth.Entry) error {
		data, err := yaml.Marshal(printed(entries))
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	},
	"table": func(w io.Writer, entries []awsauth.Entry) error {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ARN\tUSERNAME\tGROUPS\tACCOUNT")
		for _, e := range entries {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", awsauth.Printable(e.ARN), awsauth.Printable(e.Username),
				awsauth.Printable(strings.Join(e.Groups, ",")), awsauth.Printable(e.Account))
		}
		return table.Flush()
	},
}
