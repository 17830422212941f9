package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/server/certs"
)

const initHelp = `Create the server's certificate and key, and the kubeconfig for kube-apiserver.

"server" does the same when it starts; "init" is for API servers that want to find the
kubeconfig when they start first. What is there already is kept, so that running it
again changes nothing.

Where neither flags nor a configuration file say where to write, the files go to the
current directory. Copy all of them, ca.pem and ca-key.pem too, to the state directory
of the server: it renews its certificate with them.`

func newInitCommand(g *globals, std streams) *cobra.Command {
	defaults := config.Default().Server
	cmd := &cobra.Command{
		Use:     "init",
		Short:   "Create certificates and the webhook kubeconfig",
		Long:    initHelp,
		Example: "  authenticator init -i my-cluster --state-dir /var/aws-iam-authenticator --generate-kubeconfig /etc/kubernetes/authenticator/kubeconfig.yaml",
	}
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
		return initFiles(std, s, log)
	}
	return cmd
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
