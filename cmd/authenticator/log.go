package main

import (
	"os"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/internal/cli"
)

// logger returns the log, which goes to standard error.
func (g *globals) logger(cmd *cobra.Command) (log *zap.Logger, stop func(), err error) {
	verbosity := g.logVerbosity
	if env := os.Getenv(envLogVerbosity); env != "" && !cmd.Flags().Changed("log-verbosity") {
		verbosity = env
	}
	log, stop, err = cli.NewLog(cmd.ErrOrStderr(), g.logFormat, verbosity)
	if err != nil {
		return nil, nil, usageError{err}
	}
	return log, stop, nil
}
