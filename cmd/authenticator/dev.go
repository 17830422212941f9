package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/internal/dev"
	"github.com/iam-authenticator/authenticator/pkg/config"
)

type devFlags struct {
	on  bool
	dir string
}

// devAllows are the flags that --dev goes with; all others are about production.
var devAllows = []string{"dev", "dev-dir", "port", "health-port", "log-format", "log-verbosity", "help"}

func (d *devFlags) bind(flags *pflag.FlagSet) {
	flags.BoolVar(&d.on, "dev", false, "try it out: run on loopback with an STS emulator and example identities; NOT for production")
	flags.StringVar(&d.dir, "dev-dir", "", "`directory` for the files of --dev (default: a temporary one, removed at the end)")
}

func (d *devFlags) check(cmd *cobra.Command) error {
	var others []string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !slices.Contains(devAllows, f.Name) {
			others = append(others, "--"+f.Name)
		}
	})
	if len(others) > 0 {
		return usageError{fmt.Errorf("--dev is not for production and doesn't go with %s", strings.Join(others, ", "))}
	}
	return nil
}

// runDev runs the server in an environment of its own; of s it takes the ports.
func runDev(ctx context.Context, std streams, d devFlags, s config.Server, log *zap.Logger, run serverFunc) (err error) {
	environment, err := dev.New(d.dir)
	if err != nil {
		return fmt.Errorf("--dev: %w", err)
	}
	defer func() { err = errors.Join(err, environment.Close()) }()

	c, err := config.Load(environment.ConfigFile)
	if err != nil {
		return usageError{err}
	}
	c.Server.Port, c.Server.HealthPort = s.Port, s.HealthPort
	c.Server.StateDir, c.Server.GenerateKubeconfig = environment.StateDir, environment.Kubeconfig
	c.Server.STSEmulator = config.STSEmulator{Address: environment.STSAddress, CAFile: environment.STSCAFile}
	if err := c.CompleteServer(); err != nil {
		return usageError{err}
	}
	if _, err := fmt.Fprintf(std.out, devBanner, dev.ShellQuote(environment.EnvFile), dev.ShellQuote(filepath.Join(environment.StateDir, "ca.pem")), s.Port,
		environment.ConfigFile, environment.Kubeconfig); err != nil {
		return err
	}
	return run(ctx, c, environment.ConfigFile, log)
}

const devBanner = `
==> DEVELOPMENT MODE: an STS emulator decides who gets in. Never use this in production.

Paste into another terminal:

  . %s
  curl -sS --cacert %s -H 'Content-Type: application/json' https://127.0.0.1:%d/authenticate -d \
    '{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"'$(authenticator token --token-only)'"}}'

Profiles to try with AWS_PROFILE: developer, admin, alice, and two that nobody mapped: bob, stranger.
Mappings, reloaded when they change: %s
For kube-apiserver's --authentication-token-webhook-config-file: %s

`
