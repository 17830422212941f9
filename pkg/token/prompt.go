package token

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/term"
)

// PromptTerminal asks a question on the terminal of the process and returns the
// line of answer, which is echoed. If the process has no terminal of its own but
// stdin is one, it asks on stderr. It never writes to stdout, which is for the
// token. It returns as soon as ctx is done.
func PromptTerminal(ctx context.Context, question string) (string, error) {
	in, out, err := openTerminal()
	if err != nil {
		if !term.IsTerminal(int(os.Stdin.Fd())) {
			return "", fmt.Errorf("there is no terminal to ask on: %w", err)
		}
		return promptOn(ctx, os.Stdin, os.Stderr, question)
	}
	// Closing wakes a reader that is no longer waited for.
	defer in.Close()
	defer out.Close()
	return promptOn(ctx, in, out, question)
}

func openTerminal() (in, out *os.File, err error) {
	inName, outName := "/dev/tty", "/dev/tty"
	if runtime.GOOS == "windows" {
		inName, outName = "CONIN$", "CONOUT$"
	}
	if in, err = os.OpenFile(inName, os.O_RDWR, 0); err != nil {
		return nil, nil, err
	}
	if out, err = os.OpenFile(outName, os.O_RDWR, 0); err != nil {
		in.Close()
		return nil, nil, err
	}
	return in, out, nil
}

func promptOn(ctx context.Context, in io.Reader, out io.Writer, question string) (string, error) {
	if _, err := io.WriteString(out, question); err != nil {
		return "", err
	}
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(in).ReadString('\n')
		if errors.Is(err, io.EOF) && line != "" {
			err = nil
		}
		answers <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		io.WriteString(out, "\n")
		return "", ctx.Err()
	case a := <-answers:
		if errors.Is(a.err, io.EOF) {
			return "", errors.New("the input ended without an answer")
		}
		return a.line, a.err
	}
}
