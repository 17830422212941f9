package token

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPromptTerminalChild is not a test but the process in which the tests below
// call PromptTerminal.
func TestPromptTerminalChild(t *testing.T) {
	if os.Getenv("PROMPT_TERMINAL_CHILD") == "" {
		t.Skip("runs in a process of its own")
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
	defer stop()
	answer, err := PromptTerminal(ctx, "Code: ")
	fmt.Printf("answer %q error %v\n", answer, err)
	os.Exit(0)
}

func promptChild(t *testing.T) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // against hanging
	t.Cleanup(cancel)
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd = exec.CommandContext(ctx, os.Args[0], "-test.run=^TestPromptTerminalChild$")
	cmd.Env = append(os.Environ(), "PROMPT_TERMINAL_CHILD=1")
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, stdout, stderr
}

// openPTY returns a new terminal and the program's side of it.
func openPTY(t *testing.T) (terminal, program *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { terminal.Close() })
	if err := unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return terminal, program
}

// readUntil reads from a terminal until it shows text.
func readUntil(t *testing.T, terminal io.Reader, text string) {
	t.Helper()
	r, shown := bufio.NewReader(terminal), ""
	for !strings.HasSuffix(shown, text) {
		b, err := r.ReadByte()
		if err != nil {
			t.Fatalf("the terminal shows %q, then %v, want %q", shown, err, text)
		}
		shown += string(b)
	}
}

func TestPromptTerminalAsksOnTheControllingTerminal(t *testing.T) {
	terminal, program := openPTY(t)
	cmd, stdout, stderr := promptChild(t)
	// stdin is at its end, as kubectl's may be; the terminal is reached all the same.
	cmd.ExtraFiles = []*os.File{program}
	cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, 3
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, terminal, "Code: ")
	if _, err := io.WriteString(terminal, "123456\n"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got, want := stdout.String(), "answer \"123456\\n\" error <nil>\n"; got != want || stderr.Len() != 0 {
		t.Errorf("stdout %q, stderr %q, want %q only", got, stderr, want)
	}
}

func TestPromptTerminalEndsOnInterrupt(t *testing.T) {
	terminal, program := openPTY(t)
	cmd, stdout, _ := promptChild(t)
	cmd.ExtraFiles = []*os.File{program}
	cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, 3
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, terminal, "Code: ")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := stdout.String(); !strings.Contains(got, `answer ""`) || !strings.Contains(got, "context canceled") && !strings.Contains(got, "interrupt") {
		t.Errorf("stdout %q", got)
	}
}

func TestPromptTerminalFallsBackToStdinAndStderr(t *testing.T) {
	terminal, program := openPTY(t)
	cmd, stdout, stderr := promptChild(t)
	cmd.Stdin = program // a terminal, but not the controlling one
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(terminal, "654321\n"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got, want := stdout.String(), "answer \"654321\\n\" error <nil>\n"; got != want || stderr.String() != "Code: " {
		t.Errorf("stdout %q, stderr %q", got, stderr)
	}
}

func TestPromptTerminalWithoutTerminal(t *testing.T) {
	cmd, stdout, _ := promptChild(t)
	cmd.Stdin = strings.NewReader("123456\n")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if got := stdout.String(); !strings.Contains(got, "there is no terminal to ask on") {
		t.Errorf("stdout %q", got)
	}
}
