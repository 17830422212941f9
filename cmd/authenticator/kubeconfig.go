package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/iam-authenticator/authenticator/internal/eks"
	"github.com/iam-authenticator/authenticator/internal/kubeconfig"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

const kubeconfigHelp = `Add a cluster, with you as its user, to your kubeconfig.

It is what "aws eks update-kubeconfig" does, for any cluster. Where the API server is
comes from --server, from a context that you have (--from-context), or from EKS (--eks).

What is in the kubeconfig stays: an entry that has the name but another content is
replaced with --overwrite only. Running the command again changes nothing. With several
files in KUBECONFIG, entries are changed in the file that has them, and new ones go
where kubectl would put them.

With --eks, entries are named by the cluster's ARN, else by the cluster's ID.`

// kubeconfigFlags are those of the command "kubeconfig".
type kubeconfigFlags struct {
	file                   string
	server, caFile, caData string
	fromContext            string
	eks                    string
	alias, userAlias       string
	roleARN, profile       string
	region                 string
	setCurrent             bool
	overwrite, dryRun      bool
}

func newKubeconfigCommand(g *globals, std streams) *cobra.Command {
	var f kubeconfigFlags
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Add a cluster to your kubeconfig",
		Long:  kubeconfigHelp,
		Example: `  authenticator kubeconfig -i my-cluster --server https://203.0.113.7:6443 --certificate-authority ca.pem
  authenticator kubeconfig -i my-cluster --from-context admin --alias me --role-arn arn:aws:iam::111122223333:role/developers
  authenticator kubeconfig --eks my-cluster --region eu-west-1 --profile work --dry-run`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options := kubeconfig.Options{Files: kubeconfig.Files(f.file), Overwrite: f.overwrite, DryRun: f.dryRun}
			login, err := f.login(cmd.Context(), g, options.Files)
			if err != nil {
				return err
			}
			result, err := kubeconfig.Merge(cmd.Context(), login, options)
			if err != nil {
				return err
			}
			return printKubeconfig(std.out, login, result, f.dryRun)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.file, "kubeconfig", "", "kubeconfig `file` (default: those of $KUBECONFIG, else ~/.kube/config)")
	flags.StringVar(&f.server, "server", "", "`URL` of the API server")
	flags.StringVar(&f.caFile, "certificate-authority", "", "`file` with the CA of --server, which is copied (default: the system's CAs)")
	flags.StringVar(&f.caData, "certificate-authority-data", "", "the same, as `base64` of PEM")
	flags.StringVar(&f.fromContext, "from-context", "", "`name` of a context that has the cluster")
	flags.StringVar(&f.eks, "eks", "", "`name` of an EKS cluster, which EKS is asked for")
	flags.StringVar(&f.alias, "alias", "", "`name` of the context")
	flags.StringVar(&f.userAlias, "user-alias", "", "`name` of the user")
	flags.StringVar(&f.roleARN, "role-arn", "", "`ARN` of a role to log in as")
	flags.StringVar(&f.profile, "profile", "", "AWS `profile` to log in with, and to ask EKS with (default: AWS_PROFILE at that time)")
	flags.StringVar(&f.region, "region", "", "AWS `region` of STS and EKS (default: that of the AWS configuration)")
	flags.BoolVar(&f.setCurrent, "set-current", true, "make the context the current one")
	flags.BoolVar(&f.overwrite, "overwrite", false, "replace entries that have the names and another content")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print what would change, as a diff without secrets, and write nothing")
	_ = cmd.RegisterFlagCompletionFunc("from-context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return kubeconfig.Contexts(kubeconfig.Files(f.file)), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

// login returns what the flags ask for.
func (f kubeconfigFlags) login(ctx context.Context, g *globals, files []string) (kubeconfig.Login, error) {
	l := kubeconfig.Login{
		Exec:    kubeconfig.Exec{Region: f.region, RoleARN: f.roleARN, Profile: f.profile},
		Current: f.setCurrent,
	}
	switch {
	case f.server+f.fromContext+f.eks == "":
		return l, usageError{errors.New("no cluster: give --server URL, --from-context NAME or --eks NAME")}
	case f.server != "" && f.fromContext != "", f.server != "" && f.eks != "", f.fromContext != "" && f.eks != "":
		return l, usageError{errors.New("--server, --from-context and --eks exclude each other: give one of them")}
	case f.server == "" && f.caFile+f.caData != "":
		return l, usageError{errors.New("--certificate-authority is for --server, and that is not given")}
	}
	id, err := f.clusterID(g)
	if err != nil {
		return l, err
	}
	l.Exec.ClusterID, l.ClusterName = id, id
	if err := (token.GenerateOptions{ClusterID: id, RoleARN: f.roleARN, Region: f.region}).Check(); err != nil {
		return l, usageError{err}
	}
	name := id
	switch {
	case f.eks != "":
		client, err := eks.Load(ctx, eks.LoadOptions{Profile: f.profile, Region: f.region, UserAgent: userAgent()})
		if err != nil {
			return l, usageError{err}
		}
		if l.Cluster, name, l.Exec.ClusterID, err = kubeconfig.FromEKS(ctx, client, f.eks); err != nil {
			return l, err
		}
		l.ClusterName, l.Exec.Region = name, client.Region()
	case f.fromContext != "":
		if l.Cluster, l.ClusterName, err = kubeconfig.FromContext(files, f.fromContext); err != nil {
			return l, usageError{err}
		}
	default:
		if l.Cluster, err = kubeconfig.FromServer(f.server, f.caFile, f.caData); err != nil {
			return l, usageError{err}
		}
	}
	l.ContextName, l.UserName = name, name
	if f.alias != "" {
		l.ContextName = f.alias
	}
	if f.userAlias != "" {
		l.UserName = f.userAlias
	}
	return l, nil
}

// clusterID returns the ID that tokens are for. That of an EKS cluster is its name.
func (f kubeconfigFlags) clusterID(g *globals) (string, error) {
	if f.eks != "" {
		if g.clusterID != "" && g.clusterID != f.eks {
			return "", usageError{fmt.Errorf("-i %s: tokens for the EKS cluster %s must be for this name: leave -i out", g.clusterID, f.eks)}
		}
		return f.eks, nil
	}
	c, err := g.load()
	if err != nil {
		return "", err
	}
	if c.ClusterID == "" {
		return "", usageError{errors.New("no cluster ID: give -i ID, or set " + envClusterID)}
	}
	return c.ClusterID, nil
}

func printKubeconfig(w io.Writer, login kubeconfig.Login, result kubeconfig.Result, dryRun bool) error {
	if len(result.Changes) == 0 {
		_, err := fmt.Fprintf(w, "Nothing to change: the context %q is in place.\n", login.ContextName)
		return err
	}
	if dryRun {
		_, err := io.WriteString(w, result.Diff)
		return err
	}
	for _, c := range result.Changes {
		var err error
		switch {
		case c.Kind == "current-context":
			_, err = fmt.Fprintf(w, "Made %q the current context in %s\n", c.Name, c.File)
		case c.Replaced:
			_, err = fmt.Fprintf(w, "Replaced the %s %q in %s\n", c.Kind, c.Name, c.File)
		default:
			_, err = fmt.Fprintf(w, "Added the %s %q to %s\n", c.Kind, c.Name, c.File)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
