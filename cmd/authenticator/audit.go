package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/iam-authenticator/authenticator/internal/access"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/server/audit"
)

const auditHelp = `Say from the server's audit records who logged in as what, who was refused and why,
and which mappings nobody used.

FILE is a file of records, or - for standard input. With a file those that were put
aside from it are read too, compressed or not. Without FILE it is server.audit.path of
--config. Lines that are no records, such as one that was torn in a crash, are counted
and passed over.

Patterns have * for any characters and ? for one; letter case doesn't count. Times are
ages (24h, 7d), dates (2026-11-22) or RFC 3339.

-o summary prints tables, -o json the same as an object, -o table a line per record,
-o records the records as they are, in JSON.

--unused prints the mappings that no record used, as tables or with -o json.
` + sourcesHelp + `

Exit codes: 0 read, 1 there is no record at all or it could not be read, 2 wrong usage
or configuration, 3 with --unused, not every source could be read.`

type auditFlags struct {
	*sourceFlags
	since, until      string
	reasons, outcomes []string
	filter            audit.Filter
	unused            bool
	output            string
}

func newAuditCommand(g *globals, std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit [FILE...|-]",
		Short: "Sum up audit records: who logged in, who was refused, what is unused",
		Long:  auditHelp,
		Example: `  authenticator audit --since 24h /var/log/authenticator/audit.log
  authenticator audit --principal 'arn:aws:iam::111122223333:role/*' --outcome denied -o table audit.log
  authenticator audit --unused --since 90d audit.log
  authenticator audit --unused --config /etc/authenticator/config.yaml
  kubectl logs -n kube-system ds/authenticator | authenticator audit -`,
	}
	flags := cmd.Flags()
	f := auditFlags{sourceFlags: newSourceFlags(g, std, cmd)}
	flags.StringVar(&f.b.server.Partition, "partition", f.b.server.Partition, "AWS `partition` of the principals")
	var ofUnused []string
	flags.VisitAll(func(flag *pflag.Flag) { ofUnused = append(ofUnused, flag.Name) })
	flags.StringVar(&f.since, "since", "", "`time` of the first record")
	flags.StringVar(&f.until, "until", "", "`time` before which the last record is")
	flags.StringVar(&f.filter.Principal, "principal", "", "`pattern` of the principal's ARN")
	flags.StringVar(&f.filter.User, "user", "", "`pattern` of the Kubernetes username")
	flags.StringVar(&f.filter.Entry, "entry", "", "`pattern` of the source and entry that decided, such as 'EKSConfigMap*'")
	flags.StringSliceVar(&f.reasons, "reason", nil, "reason `codes`")
	flags.StringSliceVar(&f.outcomes, "outcome", nil, "`outcomes`: granted, rejected, denied, unavailable")
	flags.BoolVar(&f.unused, "unused", false, "print the mappings that no record used")
	flags.StringVarP(&f.output, "output", "o", "summary", "`format`: summary, json, table or records")
	completeWords(cmd, "output", auditOutputs...)
	completeWords(cmd, "outcome", audit.Outcomes()...)
	var codes []string
	for _, code := range reason.Codes() {
		codes = append(codes, string(code))
	}
	completeWords(cmd, "reason", codes...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.complete(time.Now()); err != nil {
			return usageError{err}
		}
		load := f.load
		if !f.unused {
			load = g.load
			for _, name := range ofUnused {
				if flags.Changed(name) {
					return usageError{fmt.Errorf("--%s goes with --unused", name)}
				}
			}
		}
		c, err := load()
		if err != nil {
			return err
		}
		if len(args) == 0 {
			if c.Server.Audit.Path == "" || c.Server.Audit.Path == audit.Stdout {
				return usageError{errors.New("no file of audit records: name one, - for standard input, or give --config FILE with server.audit.path")}
			}
			args = []string{c.Server.Audit.Path}
		}
		if f.unused {
			return f.printUnused(cmd.Context(), c, args)
		}
		return f.print(args)
	}
	return cmd
}

var auditOutputs = []string{"summary", "json", "table", "records"}

// complete checks the flags and makes the filter of them.
func (f *auditFlags) complete(now time.Time) (err error) {
	if f.filter.Since, err = audit.ParseTime(f.since, now); err != nil {
		return fmt.Errorf("--since %w", err)
	}
	if f.filter.Until, err = audit.ParseTime(f.until, now); err != nil {
		return fmt.Errorf("--until %w", err)
	}
	if err := f.filter.SetReasons(f.reasons); err != nil {
		return fmt.Errorf("--reason: %w", err)
	}
	if err := f.filter.SetOutcomes(f.outcomes); err != nil {
		return fmt.Errorf("--outcome: %w", err)
	}
	known := auditOutputs
	if f.unused {
		known = auditOutputs[:2] // what is not used has no records
	}
	return checkOutput(f.output, known...)
}

// print prints what the filter chooses.
func (f *auditFlags) print(paths []string) error {
	out := bufio.NewWriter(f.std.out)
	add, finish := f.printer(out)
	if err := f.records(paths, add); err != nil {
		return errors.Join(out.Flush(), err)
	}
	if err := finish(); err != nil {
		return err
	}
	return out.Flush()
}

func (f *auditFlags) printer(out *bufio.Writer) (add func([]byte, *audit.Record) error, finish func() error) {
	switch f.output {
	case "records":
		return func(line []byte, _ *audit.Record) error {
			_, err := fmt.Fprintf(out, "%s\n", line)
			return err
		}, func() error { return nil }
	case "table":
		table := audit.NewTable(out)
		return func(_ []byte, r *audit.Record) error { return table.Add(r) }, table.Flush
	}
	summary := audit.NewSummary()
	write := summary.Print
	if f.output == "json" {
		write = summary.WriteJSON
	}
	return func(_ []byte, r *audit.Record) error { summary.Add(r); return nil }, func() error { return write(out) }
}

// printUnused prints the mappings that no record used.
func (f *auditFlags) printUnused(ctx context.Context, c config.Config, paths []string) error {
	pseudonyms, err := newPseudonyms(c.Server.Audit)
	if err != nil {
		return err
	}
	sources, err := f.read(ctx, c, access.NoNodes{})
	if err != nil {
		return err
	}
	usage := sources.Usage(pseudonyms)
	if err := f.records(paths, func(_ []byte, r *audit.Record) error { usage.Add(r); return nil }); err != nil {
		return err
	}
	unused := usage.Unused()
	if usage.Hidden > 0 {
		fmt.Fprintf(f.std.err, "Warning: %d logins are of IAM users under pseudonyms with another key: whom they were is not known, and mappings of users may be used all the same. Give --config FILE with server.audit.pseudonymKeyFile.\n", usage.Hidden)
	}
	fmt.Fprintln(f.std.err, usage)
	if f.output == "json" {
		err = access.WriteJSON(f.std.out, unused)
	} else if len(unused) > 0 {
		err = unused.WriteTable(f.std.out)
	}
	return errors.Join(err, sources.Err())
}

// records gives each the records that the filter chooses, and says what could not be
// read. It is an error if there are no records at all.
func (f *auditFlags) records(paths []string, each func(line []byte, r *audit.Record) error) error {
	var tally audit.Tally
	chosen := func(line []byte, r *audit.Record) error {
		if !f.filter.Match(r) {
			return nil
		}
		return each(line, r)
	}
	named := slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return path == audit.Stdout })
	if len(named) < len(paths) {
		if err := audit.Read(f.std.in, &tally, chosen); err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
	}
	files, err := audit.Open(named)
	if err != nil {
		return fmt.Errorf("audit records: %w", err)
	}
	defer audit.Close(files)
	watch := newProgress(f.std.err, files)
	for _, file := range files {
		if err := audit.Read(watch.of(file), &tally, chosen); err != nil {
			return fmt.Errorf("audit records: %s: %w", file.Path, err)
		}
	}
	watch.end()
	if tally.Unreadable > 0 || tally.Damaged > 0 {
		fmt.Fprintf(f.std.err, "Warning: %d records read; %d lines are no records (torn in a crash, or something else), and %d compressed files are damaged.\n",
			tally.Records, tally.Unreadable, tally.Damaged)
	}
	if tally.Torn > 0 {
		fmt.Fprintf(f.std.err, "The last line of %d files is torn, as it is after a crash or while it is written.\n", tally.Torn)
	}
	if tally.Records == 0 {
		return fmt.Errorf("no audit records in %s", strings.Join(paths, ", "))
	}
	return nil
}
