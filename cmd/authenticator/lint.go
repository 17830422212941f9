package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/iam-authenticator/authenticator/internal/entries"
	"github.com/iam-authenticator/authenticator/internal/lint"
	"github.com/iam-authenticator/authenticator/internal/suggest"
)

const lintHelp = `Find mistakes in what says who gets in, before they lock somebody out.

It reads aws-auth (as a manifest, or the list under mapRoles alone), configuration
files, mapping files, and manifests of AccessEntry objects, alone or in one run, as an
access entry goes before aws-auth. What a file is, its content tells. "-" is standard
input. With --live it reads the cluster's own, and looks for groups that no binding
names. It never changes anything.

-c FILE is the server's configuration: its partition and reserved names count then.

Exit codes: 0 no errors (with --strict: nor warnings), 1 errors, 2 wrong usage or a
file that can't be read, 3 the API server could not be asked.`

// maxLintFile bounds a file to check, in bytes: the server reads none larger.
const maxLintFile = 16 << 20

func newLintCommand(g *globals, std streams) *cobra.Command {
	var kube kubeFlags
	var live, strict bool
	output, least := "text", lint.Info.String()
	cmd := &cobra.Command{
		Use:   "lint [FILE...|-]",
		Short: "Find mistakes in aws-auth, access entries and configuration files",
		Long:  lintHelp,
		Example: `  authenticator lint aws-auth.yaml
  kubectl get configmap -n kube-system aws-auth -o yaml | authenticator lint -
  authenticator lint --live
  authenticator lint --strict -o github manifests/*.yaml
  authenticator lint -o sarif config.yaml > lint.sarif`,
		RunE: func(cmd *cobra.Command, args []string) error {
			severity, err := lint.ParseSeverity(least)
			if err != nil {
				return usageError{fmt.Errorf("--min-severity: %w", err)}
			}
			if !slices.Contains(lint.Formats(), output) {
				return usageError{fmt.Errorf("--output %q, want %s%s", output, strings.Join(lint.Formats(), ", "), suggest.DidYouMean(output, lint.Formats()))}
			}
			if len(args) == 0 && !live {
				return usageError{errors.New("nothing to check: name files, - for standard input, or --live for the cluster")}
			}
			options, err := lintOptions(g)
			if err != nil {
				return err
			}
			inputs, err := readInputs(std.in, args)
			if err != nil {
				return usageError{err}
			}
			if live {
				config, err := kube.config()
				if err != nil {
					return err
				}
				cluster, err := lint.ReadLive(cmd.Context(), config)
				if entries.NoAnswer(err) {
					return noAnswerError{err}
				}
				if err != nil {
					return err
				}
				for _, missing := range cluster.Missing {
					fmt.Fprintln(std.err, "Warning:", missing)
				}
				inputs = append(inputs, cluster.Inputs...)
				options.BoundGroups = cluster.BoundGroups
			}
			findings := lint.CheckAll(inputs, options)
			shown := slices.DeleteFunc(slices.Clone(findings), func(f lint.Finding) bool { return f.Severity < severity })
			if err := lint.Write(std.out, output, shown, buildInfo().Version); err != nil {
				return err
			}
			if n := lint.Count(findings); n.Errors > 0 || strict && n.Warnings > 0 {
				return errors.New(n.String())
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&live, "live", false, "check the cluster's aws-auth and access entries")
	flags.BoolVar(&strict, "strict", false, "fail on warnings too")
	flags.StringVarP(&output, "output", "o", output, "`format`: text, json, sarif or github")
	flags.StringVar(&least, "min-severity", least, "lowest `severity` to show: info, warning or error")
	kube.bind(flags)
	completeWords(cmd, "output", lint.Formats()...)
	completeWords(cmd, "min-severity", lint.Severities()...)
	return cmd
}

// lintOptions takes over what the server's configuration says about all sources.
func lintOptions(g *globals) (o lint.Options, err error) {
	if g.configFile == "" {
		return o, nil
	}
	c, err := g.load()
	if err != nil {
		return o, err
	}
	return lint.Options{
		Partition: c.Server.Partition, UserIDStrict: c.Server.DynamicFileUserIDStrict, ReservedPrefixes: reservedPrefixes(c.Server),
	}, nil
}

// readInputs reads files, and standard input for "-".
func readInputs(in io.Reader, names []string) (inputs []lint.Input, err error) {
	for _, name := range names {
		from := in
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			from = f
		}
		data, err := io.ReadAll(io.LimitReader(from, maxLintFile+1))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(data) > maxLintFile {
			return nil, fmt.Errorf("%s has more than %d MiB, which the server doesn't read", name, maxLintFile>>20)
		}
		if name == "-" {
			name = "stdin"
		}
		inputs = append(inputs, lint.Input{Name: name, Data: data})
	}
	return inputs, nil
}
