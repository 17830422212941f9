// Command login measures what logins cost `authenticator server`, beside a floor: the least that a TLS server in Go
// does that reads a TokenReview and answers. It builds the server and runs it, the floor and an STS emulator as
// processes of their own:
//
//	go run ./bench/login [-only NAMES] [-duration TIME] [-short] [-plot FILE]
//
// It prints Markdown, which docs/performance.md shows, and tells on standard error how far it is. It checks every
// answer; a wrong one ends it. It needs Linux, and takes less than 10 minutes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/iam-authenticator/authenticator/bench/report"
)

const authenticatorPackage = "github.com/iam-authenticator/authenticator/cmd/authenticator"

// childArgument, and what kind of child, are the arguments with which this program runs itself.
const childArgument = "child"

func main() {
	if kind, ok := isChild(os.Args); ok {
		if err := runChild(kind); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	var o options
	flag.StringVar(&o.only, "only", strings.Join(names(), ","), "`names` of what to measure")
	flag.DurationVar(&o.duration, "duration", time.Second, "`time` of each round")
	flag.BoolVar(&o.short, "short", false, "one short round of everything, to see that it works")
	flag.StringVar(&o.plot, "plot", "", "`file` for a plot of cached logins, in SVG")
	flag.StringVar(&o.binary, "binary", "", "`path` of an authenticator to measure (default: build this one)")
	flag.BoolVar(&o.cache, "cache", true, "configure the cache of verified tokens; false for a version without one")
	flag.Parse()
	if err := run(ctx, o); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}

func isChild(args []string) (kind string, ok bool) {
	if len(args) != 3 || args[1] != childArgument {
		return "", false
	}
	return args[2], true
}

func runChild(kind string) error {
	switch kind {
	case "floor":
		return runFloor()
	case "sts":
		return runSTS()
	}
	return fmt.Errorf("unknown child %q", kind)
}

type options struct {
	only     string
	duration time.Duration
	short    bool
	plot     string
	binary   string
	cache    bool
}

// scenarios are what can be measured. Each prints a section.
var scenarios = []struct {
	name    string
	measure func(*bench, context.Context) error
}{
	{"cached", (*bench).cached},
	{"invalid", (*bench).invalid},
	{"distinct", (*bench).distinct},
	{"flood", (*bench).flood},
	{"flight", (*bench).flight},
	{"memory", (*bench).memory},
}

func names() (names []string) {
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

// bench is what all measurements need.
type bench struct {
	options
	rounds int
	dir    string // temporary
	sts    *emulator
}

func run(ctx context.Context, o options) (err error) {
	b := &bench{options: o, rounds: 7}
	if o.short {
		b.rounds, b.duration = 1, 300*time.Millisecond
	}
	if b.duration < 100*time.Millisecond {
		return fmt.Errorf("-duration %v, want at least 100ms", b.duration)
	}
	only := strings.Split(o.only, ",")
	for _, name := range only {
		if !slices.Contains(names(), name) {
			return fmt.Errorf("-only %q, want some of %s", name, strings.Join(names(), ","))
		}
	}
	if o.plot != "" && !slices.Contains(only, "cached") {
		return errors.New("-plot shows cached logins: have -only name cached too")
	}
	where, err := report.Machine(ctx)
	if err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "bench-login-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.binary != "" {
		where += "\n> The authenticator is " + b.binary + ", of whatever commit that is."
	} else if err := b.build(ctx); err != nil {
		return err
	}
	if b.sts, err = startSTS(ctx); err != nil {
		return err
	}
	defer b.sts.process.stop()

	fmt.Printf("> %s\n", where)
	for _, s := range scenarios {
		if !slices.Contains(only, s.name) {
			continue
		}
		fmt.Fprintln(os.Stderr, s.name, "…")
		if err := s.measure(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// build builds the server as it is released.
func (b *bench) build(ctx context.Context) error {
	fmt.Fprintln(os.Stderr, "building …")
	b.binary = filepath.Join(b.dir, "authenticator")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.binary, authenticatorPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTMPDIR="+b.dir) // an interrupted go build leaves its work there
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return nil
}
