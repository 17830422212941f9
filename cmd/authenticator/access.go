package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/internal/access"
	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/backend"
)

const sourcesHelp = `
Mappings are read as the server reads them: give its configuration with --config, or
name the sources. Without either they are those of EKS, access entries and aws-auth.
Sources in the cluster are read from the API server (--kubeconfig, --context; else as
the configuration says), or from manifests in files. Nothing is written anywhere.`

const accessListHelp = `List everyone who can get in, from every source, and what of it is not in force and why.

A group that is a cluster administrator's has a * behind it: system:masters, and, with
a cluster at hand, the groups bound to cluster-admin.
` + sourcesHelp + `

Exit codes: 0 listed, 1 --problems found some, or --for found nothing, 2 wrong usage or
configuration, 3 not every source could be read.`

func newAccessCommand(g *globals, std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "access",
		Short: "See who gets in",
		Long:  "See who gets in to a cluster, from all sources of mappings.",
		Example: `  authenticator access list
  authenticator access list --for arn:aws:iam::111122223333:role/developers`,
	}
	cmd.AddCommand(newAccessListCommand(g, std))
	return cmd
}

func newAccessListCommand(g *globals, std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List everyone who can get in",
		Long:  accessListHelp,
		Example: `  authenticator access list
  authenticator access list --config /etc/authenticator/config.yaml -o wide
  authenticator access list --aws-auth aws-auth.yaml --access-entries entries.yaml --problems
  authenticator access list --for arn:aws:iam::111122223333:role/developers`,
	}
	sources := newSourceFlags(g, std, cmd)
	sources.b.flags.StringVar(&sources.b.server.Partition, "partition", sources.b.server.Partition, "AWS `partition` of the principals")
	var output, principal string
	var problems bool
	cmd.Flags().StringVarP(&output, "output", "o", "table", "`format`: table, wide, json or yaml")
	cmd.Flags().StringVar(&principal, "for", "", "list only what concerns the principal with this `ARN`")
	cmd.Flags().BoolVar(&problems, "problems", false, "list only what is not in force or doubtful")
	completeWords(cmd, "output", "table", "wide", "json", "yaml")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		print, ok := listPrinters[output]
		if !ok {
			return usageError{fmt.Errorf("--output %q, want table, wide, json or yaml", output)}
		}
		var only *iam.Principal
		if principal != "" {
			p, err := iam.ParsePrincipal(principal)
			if err != nil {
				return usageError{fmt.Errorf("--for: %w", err)}
			}
			only = &p
		}
		c, err := sources.load()
		if err != nil {
			return err
		}
		read, err := sources.read(cmd.Context(), c, access.NoNodes{})
		if err != nil {
			return err
		}
		list := read.List(only)
		if problems {
			list = list.OnlyProblems()
			if output == "table" {
				print = access.List.WriteProblems
			}
		}
		if problems && list.Findings() == 0 && output != "json" && output != "yaml" {
			fmt.Fprintln(std.err, "No problems found.")
		} else if err := print(list, std.out); err != nil {
			return err
		}
		switch err := read.Err(); {
		case err != nil:
			return err
		case problems && list.Findings() > 0:
			return fmt.Errorf("%d problems found", list.Findings())
		case only != nil && !problems && len(list.Entries) == 0:
			return fmt.Errorf("nothing concerns %s\nSee 'authenticator explain --arn %s'", only.Canonical(), only.Canonical())
		}
		return nil
	}
	return cmd
}

var listPrinters = map[string]func(access.List, io.Writer) error{
	"table": access.List.WriteTable,
	"wide":  access.List.WriteWide,
	"json":  func(l access.List, w io.Writer) error { return access.WriteJSON(w, l) },
	"yaml":  func(l access.List, w io.Writer) error { return access.WriteYAML(w, l) },
}

// sourceFlags say where the sources of mappings are.
type sourceFlags struct {
	g             *globals
	std           streams
	b             *binding
	kube          kubeFlags
	awsAuth       string
	accessEntries []string
	timeout       time.Duration
}

func newSourceFlags(g *globals, std streams, cmd *cobra.Command) *sourceFlags {
	defaults := config.Default().Server
	f := &sourceFlags{g: g, std: std, b: newBinding(cmd.Flags(), &defaults)}
	flags, s := cmd.Flags(), f.b.server
	flags.StringSliceVar(&s.BackendMode, "backend-mode", s.BackendMode, "`sources` of mappings, in order: MountedFile, DynamicFile, EKSConfigMap, AccessEntry, CRD")
	flags.StringVar(&s.AuthenticationMode, "authentication-mode", s.AuthenticationMode, "the sources by EKS's `name`: CONFIG_MAP, API_AND_CONFIG_MAP or API")
	flags.StringSliceVar(&s.BootstrapAdmin, "bootstrap-admin", s.BootstrapAdmin, "`ARN` of a role or user that the server always lets in; may be given again")
	flags.StringVar(&s.DynamicFilePath, "dynamic-file", s.DynamicFilePath, "`file` of the backend DynamicFile")
	flags.StringVar(&f.awsAuth, "aws-auth", "", "`file` with the manifest of kube-system/aws-auth, instead of the cluster's")
	flags.StringArrayVar(&f.accessEntries, "access-entries", nil, "`file` with manifests of AccessEntry objects, instead of the cluster's; may be given again")
	flags.DurationVar(&f.timeout, "request-timeout", 10*time.Second, "bound of one request to the API server")
	f.kube.bind(flags)
	completeWords(cmd, "backend-mode", config.BackendMountedFile, config.BackendDynamicFile, config.BackendEKSConfigMap, config.BackendAccessEntry, config.BackendCRD)
	completeWords(cmd, "authentication-mode", "CONFIG_MAP", "API_AND_CONFIG_MAP", "API")
	return f
}

// load returns the completed configuration. Sources have no use for a cluster ID, which
// may be missing.
func (f *sourceFlags) load() (config.Config, error) {
	c, err := f.b.load(f.g)
	if err != nil {
		return c, err
	}
	if f.g.configFile == "" && c.Server.AuthenticationMode == "" && len(c.Server.BackendMode) == 0 {
		switch {
		case f.awsAuth != "" && len(f.accessEntries) == 0:
			c.Server.AuthenticationMode = "CONFIG_MAP"
		case f.awsAuth == "" && len(f.accessEntries) > 0:
			c.Server.AuthenticationMode = "API"
		default:
			c.Server.AuthenticationMode = "API_AND_CONFIG_MAP"
		}
	}
	id := c.ClusterID
	c.ClusterID = cmp.Or(id, "unknown")
	err = c.CompleteServer()
	c.ClusterID = id
	if err != nil {
		return c, usageError{fmt.Errorf("the configuration is not valid:\n%w", err)}
	}
	return c, nil
}

// read reads the sources of a completed configuration. Logins of nodes are asked about of
// nodes.
func (f *sourceFlags) read(ctx context.Context, c config.Config, nodes mapper.Nodes) (*access.Sources, error) {
	sources, err := access.Read(ctx, access.Options{
		Server:     c.Server,
		ConfigFile: f.g.configFile,
		Cluster: &access.Cluster{
			AWSAuth: f.awsAuth, AccessEntries: f.accessEntries, Timeout: f.timeout,
			Connect:  func() (*rest.Config, error) { return f.connect(c.Server) },
			Progress: func(text string) { fmt.Fprintln(f.std.err, text) },
		},
		Make: func(name string, cluster *rest.Config) (backend.Runner, error) {
			return newBackend(name, c.Server, f.g.configFile, func() (*rest.Config, error) { return cluster, nil }, zap.NewNop())
		},
		Chain: chainOptions(c.Server, nodes),
	})
	if err != nil {
		if ctx.Err() == nil {
			err = usageError{err}
		}
		return nil, err
	}
	for _, text := range sources.Warnings() {
		fmt.Fprintln(f.std.err, "Warning:", text)
	}
	return sources, nil
}

// connect says how to reach the API server: as the flags say, else as the
// configuration does, else as kubectl would.
func (f *sourceFlags) connect(s config.Server) (*rest.Config, error) {
	if f.kube.kubeconfig == "" && f.kube.context == "" {
		c, err := clusterConfig(s)
		if !errors.Is(err, rest.ErrNotInCluster) {
			return c, err
		}
	}
	return f.kube.config()
}

// checkOutput refuses a format that is not one of those known.
func checkOutput(output string, known ...string) error {
	if slices.Contains(known, output) {
		return nil
	}
	return usageError{fmt.Errorf("--output %q, want %s%s", output, strings.Join(known, " or "), suggest.DidYouMean(output, known))}
}
