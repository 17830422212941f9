package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/internal/awsauth"
	"github.com/iam-authenticator/authenticator/internal/eks"
	"github.com/iam-authenticator/authenticator/internal/entries"
	"github.com/iam-authenticator/authenticator/internal/migrate"
)

const migrateHelp = `Make access entries of the mappings in aws-auth, of IAMIdentityMapping objects, or of
the access entries of an EKS cluster.

Without --approve it prints the plan and writes nothing: what becomes of each entry,
and why some stay where they are. Either way the logins of every principal are compared,
by the source alone and by the access entries before it; if one differs, nothing is done.

With --approve it backs up aws-auth, creates the access entries, and with --remove takes
what was carried from aws-auth, once a server says that the access entries are in force.
A second run goes on where the first ended. 'authenticator migrate undo' takes it back.

With -o json: from; rows with the keys place, principalARN, username, groups, outcome
(carried, shadowed or left), why, notes and accessEntry; and proof with principals, logins,
differences and dropped.`

func newMigrateCommand(std streams) *cobra.Command {
	f := migrateFlags{from: migrate.AWSAuth, output: "table"}
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Make access entries of aws-auth",
		Long:  migrateHelp,
		Example: `  authenticator migrate
  authenticator migrate --approve --remove
  authenticator migrate --file aws-auth.yaml -o eksctl
  authenticator migrate --from eks --eks production --region eu-west-1 -o yaml
  authenticator migrate undo --backup aws-auth-backup-20261122T120000Z.yaml`,
	}
	f.kube.bind(cmd.Flags())
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", f.from, "`source`: aws-auth, iamidentitymappings or eks")
	flags.StringVar(&f.file, "file", "", "read manifests from this `file` instead of the cluster; - is standard input")
	flags.StringVar(&f.eks, "eks", "", "`name` of the EKS cluster whose access entries are read; implies --from eks")
	flags.StringVar(&f.region, "region", "", "AWS `region` of the EKS cluster")
	flags.StringVar(&f.profile, "profile", "", "AWS `profile` to ask EKS with")
	flags.StringVarP(&f.output, "output", "o", f.output, "`format`: table, yaml (manifests), eksctl (of a ClusterConfig) or json (the whole plan)")
	flags.BoolVar(&f.options.Nodes, "nodes", false, "carry mappings of nodes too, without the group system:bootstrappers")
	flags.BoolVar(&f.options.MastersAsPolicy, "masters-as-policy", false, "carry mappings with the group system:masters too, with the policy AmazonEKSClusterAdminPolicy in its place")
	flags.BoolVar(&f.approve, "approve", false, "do what the plan says")
	flags.StringVar(&f.backup, "backup", "", "`file` for what was there, which must not exist (default aws-auth-backup-TIME.yaml)")
	flags.BoolVar(&f.overwrite, "overwrite", false, "change access entries that say something else")
	flags.BoolVar(&f.remove, "remove", false, "take what was carried from aws-auth")
	flags.BoolVar(&f.force, "force", false, "remove although no server says that the access entries are in force; with --masters-as-policy, take system:masters away")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "`time` to wait at most until a server says so of one more access entry")
	completeWords(cmd, "from", migrate.AWSAuth, migrate.IdentityMappings, migrate.EKS)
	completeWords(cmd, "output", "table", "yaml", "eksctl", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.eks != "" && !cmd.Flags().Changed("from") {
			f.from = migrate.EKS
		}
		if err := f.check(); err != nil {
			return err
		}
		return f.run(cmd.Context(), std)
	}
	cmd.AddCommand(newMigrateUndoCommand(std))
	return cmd
}

type migrateFlags struct {
	kube                              kubeFlags
	from, file, eks, region, profile  string
	output, backup                    string
	approve, overwrite, remove, force bool
	timeout                           time.Duration
	options                           migrate.Options
}

func (f *migrateFlags) check() error {
	var mistake string
	switch {
	case !slices.Contains([]string{migrate.AWSAuth, migrate.IdentityMappings, migrate.EKS}, f.from):
		mistake = fmt.Sprintf("--from %q, want aws-auth, iamidentitymappings or eks", f.from)
	case !slices.Contains([]string{"table", "yaml", "eksctl", "json"}, f.output):
		mistake = fmt.Sprintf("--output %q, want table, yaml, eksctl or json", f.output)
	case f.from == migrate.EKS && f.eks == "":
		mistake = "--from eks: which cluster? Give --eks NAME"
	case f.from != migrate.EKS && f.eks+f.region+f.profile != "":
		mistake = "--eks, --region and --profile are for --from eks"
	case f.from == migrate.EKS && f.file != "":
		mistake = "--file is for --from aws-auth and iamidentitymappings: EKS is asked itself"
	case f.approve && f.file != "":
		mistake = "--approve with --file: the file need not say what the cluster does; leave out --file, or give -o yaml and apply that with kubectl"
	case f.approve && f.from == migrate.EKS:
		mistake = "--approve with --from eks: give -o yaml and apply that with kubectl"
	case !f.approve && (f.overwrite || f.remove || f.backup != ""):
		mistake = "--overwrite, --remove and --backup are for --approve"
	case f.remove && f.from != migrate.AWSAuth:
		mistake = "--remove is for --from aws-auth; IAMIdentityMapping objects go with kubectl delete"
	case f.approve && f.options.MastersAsPolicy && !f.force:
		mistake = "--masters-as-policy takes the group system:masters away, and the policy in its place gives rights only where 'authenticator controller' runs: without it, people would lose their rights as administrators. Give --force if it runs"
	default:
		return nil
	}
	return usageError{errors.New(mistake)}
}

func (f *migrateFlags) run(ctx context.Context, std streams) error {
	progress := func(text string) { fmt.Fprintln(std.err, text) }
	if f.from == migrate.EKS {
		client, err := eks.Load(ctx, eks.LoadOptions{Profile: f.profile, Region: f.region, UserAgent: userAgent()})
		if err != nil {
			return usageError{err}
		}
		plan, err := migrate.FromEKS(ctx, client, f.eks, progress)
		if err != nil {
			return err
		}
		return f.print(std, plan, nil)
	}
	var kube *rest.Config
	if f.file == "" {
		var err error
		if kube, err = f.kube.config(); err != nil {
			return err
		}
	}
	source, err := f.source(ctx, kube, std.in)
	if err != nil {
		return err
	}
	plan := migrate.NewPlan(source, f.options)
	proof, err := plan.Prove(ctx)
	if err != nil {
		return err
	}
	if !f.approve || f.output != "table" {
		if err := f.print(std, plan, &proof); err != nil {
			return err
		}
	} else {
		progress(proof.String())
	}
	if err := proof.Err(); err != nil {
		return err
	}
	if f.approve {
		return f.apply(ctx, kube, plan, std)
	}
	if f.file == "" {
		f.showConflicts(ctx, kube, plan, std)
	}
	fmt.Fprintln(std.err, "Nothing was written.")
	return nil
}

// source reads what is migrated.
func (f *migrateFlags) source(ctx context.Context, kube *rest.Config, in io.Reader) (*migrate.Source, error) {
	var data []byte
	var err error
	if f.file != "" {
		if data, err = readFile(f.file, in); err != nil {
			return nil, usageError{err}
		}
	}
	if f.from == migrate.IdentityMappings {
		var objects []json.RawMessage
		if f.file == "" {
			objects, err = migrate.ReadIdentityMappings(ctx, kube)
		} else if objects, err = migrate.Manifests(data); err != nil {
			err = usageError{fmt.Errorf("%s: %w", f.file, err)}
		}
		if err != nil {
			return nil, mappingError(err)
		}
		return migrate.FromIdentityMappings(objects)
	}
	var doc awsauth.Document
	if f.file != "" {
		if doc, err = migrate.ParseAWSAuth(data); err != nil {
			return nil, usageError{fmt.Errorf("%s: %w", f.file, err)}
		}
		return migrate.FromAWSAuth(doc)
	}
	client, err := awsauth.NewClient(kube)
	if err != nil {
		return nil, err
	}
	if doc, err = client.Get(ctx); err != nil {
		return nil, mappingError(err)
	}
	return migrate.FromAWSAuth(doc)
}

// readFile reads a file of bounded size, or standard input.
func readFile(name string, in io.Reader) ([]byte, error) {
	const most = 64 << 20
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("%s: more than %d MiB", name, most>>20)
	}
	return data, err
}

// print prints the plan. What is no part of a format goes to standard error.
func (f *migrateFlags) print(std streams, plan *migrate.Plan, proof *migrate.Proof) error {
	if f.output == "json" {
		return plan.PrintJSON(std.out, proof)
	}
	print, to := plan.PrintTable, std.out
	if f.output != "table" {
		print, to = plan.PrintManifests, std.err
		if f.output == "eksctl" {
			print = plan.PrintEksctl
		}
		for _, r := range plan.Rows {
			if r.Outcome == migrate.Left {
				fmt.Fprintf(std.err, "Warning: not carried: %s: %s\n", r.Name(), r.Why)
			}
		}
	}
	if err := print(std.out); err != nil || proof == nil {
		return err
	}
	_, err := fmt.Fprintln(to, proof)
	return err
}

// showConflicts warns of access entries in the way. A plan can do without the answer.
func (f *migrateFlags) showConflicts(ctx context.Context, kube *rest.Config, plan *migrate.Plan, std streams) {
	tool, err := newMigrateTool(kube, std)
	if err == nil {
		err = tool.Conflicts(ctx, plan)
	}
	if err != nil {
		fmt.Fprintln(std.err, "Warning:", err)
	}
}

func newMigrateTool(kube *rest.Config, std streams) (*migrate.Tool, error) {
	mappings, err := awsauth.NewClient(kube)
	if err != nil {
		return nil, err
	}
	warn := func(warning string) { fmt.Fprintln(std.err, "Warning:", warning) }
	client, err := entries.New(entries.Options{Config: kube, Warn: warn})
	if err != nil {
		return nil, err
	}
	return &migrate.Tool{AWSAuth: mappings, Entries: client, Progress: func(text string) { fmt.Fprintln(std.err, text) }}, nil
}

func (f *migrateFlags) apply(ctx context.Context, kube *rest.Config, plan *migrate.Plan, std streams) error {
	tool, err := newMigrateTool(kube, std)
	if err != nil {
		return err
	}
	tool.Overwrite, tool.Remove, tool.Force, tool.Patience = f.overwrite, f.remove, f.force, f.timeout
	tool.Backup = f.writeBackup
	return migrateDone(std, tool.Apply(ctx, plan))
}

// writeBackup writes a file that must not exist.
func (f *migrateFlags) writeBackup(data []byte) (string, error) {
	name := f.backup
	if name == "" {
		name = "aws-auth-backup-" + time.Now().UTC().Format("20060102T150405Z") + ".yaml"
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("%w; give --backup FILE for another one", err)
	}
	_, err = file.Write(data)
	return name, errors.Join(err, file.Sync(), file.Close())
}

// migrateDone says that there was nothing to do, and gives an error its exit code.
func migrateDone(std streams, err error) error {
	if errors.Is(err, migrate.ErrNothingToDo) {
		fmt.Fprintln(std.err, "Nothing to do.")
		return nil
	}
	return mappingError(err)
}

func newMigrateUndoCommand(std streams) *cobra.Command {
	var kube kubeFlags
	var backup string
	cmd := &cobra.Command{
		Use:   "undo",
		Short: "Take a migration of aws-auth back",
		Long: `Restore aws-auth as the backup has it, delete the access entries that the migration made,
and restore those that it overwrote. If any of these was changed since, nothing is done.`,
		Example: "  authenticator migrate undo --backup aws-auth-backup-20261122T120000Z.yaml",
	}
	kube.bind(cmd.Flags())
	cmd.Flags().StringVar(&backup, "backup", "", "`file` that the migration wrote; - is standard input")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if backup == "" {
			return usageError{errors.New("no backup: give --backup FILE")}
		}
		data, err := readFile(backup, std.in)
		if err != nil {
			return usageError{err}
		}
		b, err := migrate.ParseBackup(data)
		if err != nil {
			return usageError{fmt.Errorf("%s: %w", backup, err)}
		}
		config, err := kube.config()
		if err != nil {
			return err
		}
		tool, err := newMigrateTool(config, std)
		if err != nil {
			return err
		}
		return migrateDone(std, tool.Undo(cmd.Context(), b))
	}
	return cmd
}
