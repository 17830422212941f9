package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/iam-authenticator/authenticator/e2e/bed"
)

// demo is what runs while the story is told. All files are in dir.
type demo struct {
	out     *screen
	dir     string
	binDir  string // of kubectl
	cluster *bed.Cluster
}

// run sets the stage, tells the story and leaves nothing behind.
func run(ctx context.Context, out *screen, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "authenticator-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(dir); e != nil {
			err = errors.Join(err, e)
		}
	}()
	d := &demo{out: out, dir: dir}

	// An interrupted go command leaves its work directory behind.
	if err := os.Setenv("GOTMPDIR", dir); err != nil {
		return err
	}

	// A Ctrl-C reaches the programs that run here too, which may fail before the context ends.
	defer func() {
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}()

	out.say("A login with an IAM role on a real kube-apiserver, on this machine and without AWS.")
	if err := out.step("Build authenticator", func(io.Writer) error { return buildAuthenticator(ctx, d.authenticator()) }); err != nil {
		return err
	}
	if err := out.step("Build etcd, kube-apiserver and kubectl, unless they are there", func(log io.Writer) (err error) {
		d.binDir, err = buildKubernetes(ctx, log)
		return err
	}); err != nil {
		return err
	}

	var s *server
	if err := out.step("Start authenticator server --dev, with an STS emulator that knows a few people", func(io.Writer) error {
		port, err := bed.FreePort()
		if err != nil {
			return err
		}
		healthPort, err := bed.FreePort()
		if err != nil {
			return err
		}
		s, err = startServer(ctx, d.authenticator(), d.dir, port, healthPort)
		return err
	}); err != nil {
		return err
	}
	defer s.stop()

	if err := out.step("Start etcd and kube-apiserver, with authenticator as its webhook", func(io.Writer) (err error) {
		d.cluster, err = bed.Start(ctx, bed.Options{WebhookKubeconfig: s.webhookKubeconfig, WebhookVersion: "v1"})
		return err
	}); err != nil {
		return err
	}
	defer d.cluster.Stop()

	if err := out.step("Write a kubeconfig for a developer, an admin and a stranger, whose tokens authenticator makes", func(io.Writer) error {
		return d.writeKubeconfig()
	}); err != nil {
		return err
	}

	out.write("\n")
	if err := d.tell(ctx, s.log); err != nil {
		return err
	}
	if keep {
		out.say("All of it is yours until you press Ctrl-C here. In another terminal:")
		out.write("export KUBECONFIG=%s PATH=%s:\"$PATH\"\n", shellQuote(d.kubeconfig()), shellQuote(d.binDir))
		out.write("\nContexts: developer, admin, stranger\nMappings, in force when they are saved: %s\nLogs: %s\n      %s\n",
			d.mappings(), s.log, d.cluster.Log)
		select {
		case <-ctx.Done():
			out.write("\n\n")
		case <-s.done:
			return fmt.Errorf("authenticator ended: %s", s.tail())
		}
	}
	out.say("That's it. Stopping and removing everything.")
	return nil
}

func (d *demo) authenticator() string { return filepath.Join(d.dir, "authenticator") }
func (d *demo) kubeconfig() string    { return filepath.Join(d.dir, "kubeconfig") }
func (d *demo) mappings() string      { return filepath.Join(d.dir, "authenticator.yaml") }

// buildAuthenticator compiles the command of the checkout around this module.
func buildAuthenticator(ctx context.Context, path string) error {
	build := exec.CommandContext(ctx, "go", "build", "-C", "..", "-o", path, "./cmd/authenticator")
	interruptFirst(build)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", build, err, out)
	}
	return nil
}

// buildKubernetes is bed.Build, but doesn't outlast the context when another process is building and
// bed.Build waits for it.
func buildKubernetes(ctx context.Context, log io.Writer) (dir string, err error) {
	done := make(chan struct{})
	go func() {
		dir, err = bed.Build(ctx, log)
		close(done)
	}()
	select {
	case <-done:
		return dir, err
	case <-ctx.Done():
	}
	select {
	case <-done: // it has removed what it made
	case <-time.After(5 * time.Second):
	}
	return "", ctx.Err()
}

// interruptFirst makes the end of the command's context an interrupt, so that it can clean up.
func interruptFirst(cmd *exec.Cmd) {
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
}
