package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and commit are set when a release is linked (-ldflags -X).
var (
	version string
	commit  string
)

// build describes this binary.
type build struct {
	Version   string `json:"version"`
	Commit    string `json:"commit"`
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

func buildInfo() build {
	b := build{Version: version, Commit: commit, GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if b.Version == "" {
			b.Version = info.Main.Version
		}
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" && b.Commit == "" {
				b.Commit = setting.Value
			}
		}
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	return b
}

// userAgent names the program to AWS.
func userAgent() string { return "authenticator/" + buildInfo().Version }

func newVersionCommand(std streams) *cobra.Command {
	output := "text"
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		RunE: func(*cobra.Command, []string) error {
			b := buildInfo()
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
	completeWords(cmd, "output", "text", "json")
	return cmd
}
