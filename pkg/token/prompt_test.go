package token

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestPromptOn(t *testing.T) {
	cases := []struct{ name, input, want, fails string }{
		{"line", "123456\nrest", "123456\n", ""},
		{"line without an end", "123456", "123456", ""},
		{"nothing", "", "", "ended without an answer"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			got, err := promptOn(t.Context(), strings.NewReader(c.input), &out, "Code: ")
			if c.fails != "" {
				wantError(t, err, c.fails)
			} else if err != nil {
				t.Fatal(err)
			}
			if got != c.want || out.String() != "Code: " {
				t.Errorf("answer %q to %q", got, out.String())
			}
		})
	}
}

func TestPromptEndsWithItsContext(t *testing.T) {
	in, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	asked := writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	if _, err := promptOn(ctx, in, asked, "Code: "); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
