// Command authenticator logs people in to Kubernetes with their AWS IAM identity.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/iam-authenticator/authenticator/internal/eks"
	"github.com/iam-authenticator/authenticator/internal/redact"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// Exit codes, as the help of the root command says.
const (
	exitOK          = 0
	exitFailure     = 1 // it failed, or the login is refused
	exitUsage       = 2 // flags, arguments or configuration are wrong
	exitUnavailable = 3 // nobody answered: AWS, the API server or the network
)

func main() {
	// The first signal ends the program gracefully, the second at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, streams{os.Stdin, os.Stdout, os.Stderr}, os.Args[1:]))
}

// streams are where a command reads and writes. Results go to out and nothing
// else does: kubectl parses it. Logs, warnings, prompts and errors go to err.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func run(ctx context.Context, std streams, args []string) int {
	root := newRootCommand(std, runServer)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if e, ok := errors.AsType[exitError](err); ok {
		return e.code
	}
	if _, told := errors.AsType[toldError](err); err != nil && !told {
		fmt.Fprintln(std.err, "Error:", redact.Text(err.Error()))
		if e, ok := errors.AsType[*reason.Error](err); ok && e.Code.Hint() != "" {
			fmt.Fprintln(std.err, "Hint:", e.Code.Hint())
		}
	}
	return exitCode(err)
}

// toldError is a failure of which the command's own output has told already.
type toldError struct{ error }

func (e toldError) Unwrap() error { return e.error }

// told returns an error that is not told again, or nil.
func told(err error) error {
	if err == nil {
		return nil
	}
	return toldError{err}
}

// usageError is a mistake in flags, arguments or configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitCode is the one place where an error becomes an exit code.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if e, ok := errors.AsType[*reason.Error](err); ok && e.Code.Outcome() == reason.Unavailable {
		return exitUnavailable
	}
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return exitUnavailable
	}
	if _, ok := errors.AsType[noAnswerError](err); ok {
		return exitUnavailable
	}
	if e, ok := errors.AsType[*eks.Error](err); ok && (e.Status == http.StatusTooManyRequests || e.Status >= 500) {
		return exitUnavailable
	}
	return exitFailure
}
