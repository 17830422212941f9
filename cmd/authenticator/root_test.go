package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/pkg/config"
)

// logLines runs the command "server" with a function in place of the server that logs
// one line of each level, and returns what was logged.
func logLines(t *testing.T, args ...string) (lines []string, code int) {
	t.Helper()
	var out, log bytes.Buffer
	root := newRootCommand(streams{strings.NewReader(""), &out, &log}, func(_ context.Context, _ config.Config, _ string, log *zap.Logger) error {
		log.Debug("debug line")
		log.Info("info line", zap.String("key", "value"))
		log.Warn("warn line")
		log.Error("error line")
		return nil
	})
	root.SetArgs(append([]string{"server", "-i", "demo"}, args...))
	code = exitCode(root.ExecuteContext(t.Context()))
	if out.Len() > 0 {
		t.Errorf("the log went to standard output: %q", &out)
	}
	return slices.Collect(strings.Lines(log.String())), code
}

func TestLogVerbosity(t *testing.T) {
	for _, c := range []struct {
		env, flag string
		want      int // lines of the four
	}{
		{"", "", 3},
		{"", "trace", 4},
		{"", "debug", 4},
		{"", "info", 3},
		{"", "INFO", 3},
		{"", "warn", 2},
		{"", "warning", 2},
		{"", "error", 1},
		{"", "fatal", 1},
		{"", "panic", 1},
		{"debug", "", 4},
		{"error", "", 1},
		{"error", "debug", 4},
		{"error", "info", 3}, // the default, but given
		{"loud", "warn", 2},
	} {
		t.Setenv(envLogVerbosity, c.env)
		var args []string
		if c.flag != "" {
			args = []string{"-v", c.flag}
		}
		lines, code := logLines(t, args...)
		if code != exitOK || len(lines) != c.want {
			t.Errorf("environment %q, flag %q: exit code %d and %d lines, want %d", c.env, c.flag, code, len(lines), c.want)
		}
		if len(lines) > 0 && !strings.Contains(lines[len(lines)-1], "ERROR error line") {
			t.Errorf("environment %q, flag %q: errors are not logged: %q", c.env, c.flag, lines)
		}
	}
	for _, c := range []struct{ env, flag string }{{"", "loud"}, {"loud", "info "}, {"debug", ""}} {
		t.Setenv(envLogVerbosity, c.env)
		if lines, code := logLines(t, "-v", c.flag); code != exitUsage || len(lines) != 0 {
			t.Errorf("environment %q, flag %q: exit code %d, want %d; logged %q", c.env, c.flag, code, exitUsage, lines)
		}
	}
	t.Setenv(envLogVerbosity, "loud")
	if _, code := logLines(t); code != exitUsage {
		t.Errorf("environment \"loud\": exit code %d, want %d", code, exitUsage)
	}
}

func TestLogFormat(t *testing.T) {
	t.Setenv(envLogVerbosity, "")
	lines, _ := logLines(t, "-l", "json")
	if len(lines) != 3 {
		t.Fatalf("%d lines, want 3", len(lines))
	}
	var line struct{ Level, Time, Msg, Key string }
	if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
		t.Fatal(err)
	}
	if line.Level != "info" || line.Time == "" || line.Msg != "info line" || line.Key != "value" {
		t.Errorf("got %+v from %s", line, lines[0])
	}
	lines, _ = logLines(t, "-l", "text")
	if len(lines) != 3 || !strings.HasSuffix(lines[0], "INFO info line {\"key\": \"value\"}\n") {
		t.Errorf("text: got %q", lines)
	}
	if _, code := logLines(t, "-l", "xml"); code != exitUsage {
		t.Errorf("xml: exit code %d, want %d", code, exitUsage)
	}
}
