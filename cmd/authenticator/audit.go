package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

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

-o summary prints tables, -o table a line per record, -o json the records as they are.`

type auditFlags struct {
	since, until      string
	reasons, outcomes []string
	filter            audit.Filter
	unused            bool
	output            string
}

func newAuditCommand(g *globals, std streams) *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "audit [FILE...|-]",
		Short: "Sum up audit records: who logged in, who was refused, what is unused",
		Long:  auditHelp,
		Example: `  authenticator audit --since 24h /var/log/authenticator/audit.log
  authenticator audit --principal 'arn:aws:iam::111122223333:role/*' --outcome denied -o table audit.log
  authenticator audit --unused --config /etc/authenticator/config.yaml
  kubectl logs -n kube-system ds/authenticator | authenticator audit -`,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", "`time` of the first record")
	flags.StringVar(&f.until, "until", "", "`time` before which the last record is")
	flags.StringVar(&f.filter.Principal, "principal", "", "`pattern` of the principal's ARN")
	flags.StringVar(&f.filter.User, "user", "", "`pattern` of the Kubernetes username")
	flags.StringVar(&f.filter.Entry, "entry", "", "`pattern` of the source and entry that decided, such as 'EKSConfigMap*'")
	flags.StringSliceVar(&f.reasons, "reason", nil, "reason `codes`")
	flags.StringSliceVar(&f.outcomes, "outcome", nil, "`outcomes`: granted, rejected, denied, unavailable")
	flags.BoolVar(&f.unused, "unused", false, "print the mappings of --config, and of its dynamic file, that no record used")
	flags.StringVarP(&f.output, "output", "o", "summary", "`format`: summary, table or json")
	completeWords(cmd, "output", "summary", "table", "json")
	completeWords(cmd, "outcome", audit.Outcomes()...)
	var codes []string
	for _, code := range reason.Codes() {
		codes = append(codes, string(code))
	}
	completeWords(cmd, "reason", codes...)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := f.complete(time.Now()); err != nil {
			return usageError{err}
		}
		c, err := g.load()
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
			return f.printUnused(c, std, args)
		}
		return f.print(std, args)
	}
	return cmd
}

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
	if f.output != "summary" && f.output != "table" && f.output != "json" {
		return fmt.Errorf("--output %q, want summary, table or json", f.output)
	}
	return nil
}

// print prints what the filter chooses.
func (f *auditFlags) print(std streams, paths []string) error {
	out := bufio.NewWriter(std.out)
	add, finish := f.printer(out)
	err := f.read(std, paths, func(line []byte, r *audit.Record) error { return add(line, r) })
	if err != nil {
		return err
	}
	if err := finish(); err != nil {
		return err
	}
	return out.Flush()
}

func (f *auditFlags) printer(out *bufio.Writer) (add func([]byte, *audit.Record) error, finish func() error) {
	switch f.output {
	case "json":
		return func(line []byte, _ *audit.Record) error {
			_, err := fmt.Fprintf(out, "%s\n", line)
			return err
		}, func() error { return nil }
	case "table":
		table := audit.NewTable(out)
		return func(_ []byte, r *audit.Record) error { return table.Add(r) }, table.Flush
	default:
		summary := audit.NewSummary()
		return func(_ []byte, r *audit.Record) error { summary.Add(r); return nil }, func() error { return summary.Print(out) }
	}
}

// printUnused prints the mappings that no record used.
func (f *auditFlags) printUnused(c config.Config, std streams, paths []string) error {
	pseudonyms, err := newPseudonyms(c.Server.Audit)
	if err != nil {
		return err
	}
	usage := audit.NewUsage(pseudonyms)
	if err := usage.AddFiles(c.Server); err != nil {
		return usageError{err}
	}
	if usage.Len() == 0 {
		return usageError{errors.New("--unused compares with the mappings of a file: give --config FILE with server.mapRoles and the like, or server.dynamicfilepath")}
	}
	if err := f.read(std, paths, func(_ []byte, r *audit.Record) error { usage.Add(r); return nil }); err != nil {
		return err
	}
	unused := usage.Unused()
	if f.output == "json" {
		encoder := json.NewEncoder(std.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(unused)
	}
	fmt.Fprintf(std.err, "%d of %d mappings were not used.\n", len(unused), usage.Len())
	if len(unused) == 0 {
		return nil
	}
	return audit.PrintMappings(std.out, unused)
}

// read gives each the records that the filter chooses, and says what could not be read.
func (f *auditFlags) read(std streams, paths []string, each func(line []byte, r *audit.Record) error) error {
	var tally audit.Tally
	chosen := func(line []byte, r *audit.Record) error {
		if !f.filter.Match(r) {
			return nil
		}
		return each(line, r)
	}
	var named []string
	for _, path := range paths {
		if path != audit.Stdout {
			named = append(named, path)
			continue
		}
		if err := audit.Read(std.in, &tally, chosen); err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
	}
	files, err := audit.Open(named)
	if err != nil {
		return fmt.Errorf("audit records: %w", err)
	}
	defer audit.Close(files)
	for _, file := range files {
		if err := file.Read(&tally, chosen); err != nil {
			return fmt.Errorf("audit records: %w", err)
		}
	}
	if tally.Unreadable > 0 || tally.Damaged > 0 {
		fmt.Fprintf(std.err, "Warning: %d records read; %d lines are no records (torn in a crash, or something else), and %d compressed files are damaged.\n",
			tally.Records, tally.Unreadable, tally.Damaged)
	}
	return nil
}
