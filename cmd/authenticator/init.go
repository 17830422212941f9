package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/internal/handover"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/server/audit"
	"github.com/iam-authenticator/authenticator/pkg/server/certs"
)

const initHelp = `Create the server's certificate and key, and the kubeconfig for kube-apiserver.

"server" does the same when it starts; "init" is for API servers that want to find the
kubeconfig when they start first. What is there already is kept, so that running it
again changes nothing.

Where neither flags nor a configuration file say where to write, the files go to the
current directory. Copy all of them, ca.pem and ca-key.pem too, to the state directory
of the server: it renews its certificate with them.

A server that is not root, as in a container, can't write to directories that root made
on the host. "init --owner 65532:65532", run as root before it, makes them and gives them,
and the files in them that are the server's, to that user; all else is then done as that
user, which shows that the server can do it.`

func newInitCommand(g *globals, std streams) *cobra.Command {
	defaults := config.Default().Server
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Create certificates and the webhook kubeconfig",
		Long:  initHelp,
		Example: `  authenticator init -i my-cluster --state-dir /var/aws-iam-authenticator --generate-kubeconfig /etc/kubernetes/authenticator/kubeconfig.yaml

  # Before a container that runs the server as user 65532:
  authenticator init --config /etc/aws-iam-authenticator/config.yaml --owner 65532:65532`,
	}
	var owner string
	cmd.Flags().StringVar(&owner, "owner", "", "`UID:GID` of the server, to hand the directories over to; wants root")
	b := newBinding(cmd.Flags(), &defaults)
	b.files()
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		log, stop, err := g.logger(cmd)
		if err != nil {
			return err
		}
		defer stop()
		c, err := b.load(g)
		if err != nil {
			return err
		}
		if c.ClusterID == "" {
			return usageError{errors.New("no cluster ID: give -i ID, or set " + envClusterID)}
		}
		s := c.Server
		if usual := config.Default().Server; g.configFile == "" {
			if !cmd.Flags().Changed("state-dir") && s.StateDir == usual.StateDir {
				s.StateDir = "."
			}
			if !cmd.Flags().Changed("generate-kubeconfig") && s.GenerateKubeconfig == usual.GenerateKubeconfig {
				s.GenerateKubeconfig = "aws-iam-authenticator.kubeconfig"
			}
		}
		if owner != "" {
			if err := handOver(owner, s); err != nil {
				return err
			}
		}
		return initFiles(std, s, log)
	}
	return cmd
}

// handOver prepares what a server with another user writes, and goes on as that user.
func handOver(owner string, s config.Server) error {
	to, err := handover.ParseOwner(owner)
	if err != nil {
		return usageError{fmt.Errorf("--%w", err)}
	}
	dirs := []handover.Dir{
		{Path: s.StateDir, Perm: 0o700, Has: certs.IsStateFile},
		{Path: filepath.Dir(s.GenerateKubeconfig), Perm: 0o755, Has: func(name string) bool {
			return certs.IsFileOf(filepath.Base(s.GenerateKubeconfig), name)
		}},
	}
	if s.Audit.Path != "" && s.Audit.Path != audit.Stdout {
		dirs = append(dirs, handover.Dir{Path: filepath.Dir(s.Audit.Path), Perm: 0o700, Has: func(name string) bool {
			return strings.HasPrefix(name, filepath.Base(s.Audit.Path)) || name == filepath.Base(s.Audit.PseudonymKeyFile)
		}})
	}
	for _, dir := range dirs {
		if err := dir.Prepare(to); err != nil {
			return fmt.Errorf("handing over to %s: %w", to, err)
		}
	}
	return handover.Become(to)
}

func initFiles(std streams, s config.Server, log *zap.Logger) error {
	certificate, err := certs.New(certificateOptions(s, log))
	if err != nil {
		return err
	}
	if err := writeKubeconfig(s, certificate, log); err != nil {
		return err
	}
	kubeconfig, err := filepath.Abs(s.GenerateKubeconfig)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, `Certificates are in %s, the webhook kubeconfig is %s.
Start kube-apiserver with:
  --authentication-token-webhook-config-file=%s
  --authentication-token-webhook-version=v1
`, s.StateDir, kubeconfig, kubeconfig)
	return err
}
