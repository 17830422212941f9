package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/iam-authenticator/authenticator/internal/cli"
)

// version and commit are set when a release is linked (-ldflags -X).
var (
	version string
	commit  string
)

func buildInfo() cli.Build { return cli.BuildInfo(version, commit) }

// userAgent names the program to AWS.
func userAgent() string { return "authenticator/" + buildInfo().Version }

func newVersionCommand(std streams) *cobra.Command {
	output, short := "text", false
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := buildInfo()
			switch {
			case short && cmd.Flags().Changed("output"):
				return usageError{errors.New("--short and --output exclude each other")}
			case short:
				_, err := fmt.Fprintln(std.out, b.Version)
				return err
			}
			switch output {
			case "json":
				return json.NewEncoder(std.out).Encode(b)
			case "text":
				_, err := fmt.Fprintf(std.out, "authenticator %s\ncommit %s\n%s %s\n", b.Version, b.Commit, b.GoVersion, b.Platform)
				return err
			default:
				return usageError{fmt.Errorf("--output %q, want text or json", output)}
			}
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", output, "`format`: text or json")
	cmd.Flags().BoolVar(&short, "short", short, "print the version alone")
	completeWords(cmd, "output", "text", "json")
	return cmd
}
