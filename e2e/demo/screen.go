package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"
)

// screen is what the person watches.
type screen struct {
	w     io.Writer
	color bool
}

// newScreen uses colours on a terminal that knows them.
func newScreen(f *os.File) *screen {
	info, err := f.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &screen{f, terminal && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""}
}

func (s *screen) write(format string, args ...any) { fmt.Fprintf(s.w, format, args...) }

// say shows a paragraph.
func (s *screen) say(text string) { s.write("%s\n\n", s.paint("36", text)) } // cyan

// command shows what is typed.
func (s *screen) command(line string) { s.write("%s\n", s.paint("1", "$ "+line)) } // bold

func (s *screen) paint(code, text string) string {
	if !s.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// step shows what is being done and, when it is, how long it took. What f logs stands indented below.
func (s *screen) step(title string, f func(log io.Writer) error) error {
	s.write("- %s ...", title)
	log := &indented{w: s.w}
	start := time.Now()
	err := f(log)
	lead := " "
	if log.used {
		lead = "  "
	}
	if err != nil {
		s.write("%sfailed\n", lead)
		return err
	}
	s.write("%s%.1f s\n", lead, time.Since(start).Seconds())
	return nil
}

// indented writes whole lines below an unfinished one, indented.
type indented struct {
	w    io.Writer
	used bool
}

func (i *indented) Write(p []byte) (int, error) {
	var b bytes.Buffer
	if !i.used {
		b.WriteByte('\n')
		i.used = true
	}
	for line := range bytes.Lines(p) {
		b.WriteString("  ")
		b.Write(line)
	}
	if _, err := i.w.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}
