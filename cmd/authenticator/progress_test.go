package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestProgressIsShownOnceASecond(t *testing.T) {
	var out bytes.Buffer
	at := time.Unix(0, 0)
	p := &progress{out: &out, now: func() time.Time { return at }, total: 8 << 20, next: at.Add(time.Second)}
	in := p.of(bytes.NewReader(make([]byte, 9<<20))) // the file grew
	for range 18 {
		if _, err := io.ReadFull(in, make([]byte, 512<<10)); err != nil {
			t.Fatal(err)
		}
		at = at.Add(200 * time.Millisecond)
	}
	p.end()
	const want = "3 of 8 MiB read (37 %)|5 of 8 MiB read (68 %)|8 of 8 MiB read (100 %)|"
	if got := strings.TrimPrefix(strings.ReplaceAll(out.String(), clearLine, "|"), "|"); got != want {
		t.Errorf("shown %q, want %q", got, want)
	}
}

func TestProgressOfWhatIsFastIsNotShown(t *testing.T) {
	var out bytes.Buffer
	at := time.Unix(0, 0)
	p := &progress{out: &out, now: func() time.Time { return at }, total: 1, next: at.Add(time.Second)}
	if _, err := io.ReadAll(p.of(strings.NewReader("x"))); err != nil {
		t.Fatal(err)
	}
	if p.end(); out.Len() > 0 {
		t.Errorf("shown %q", &out)
	}
}

func TestProgressIsForTerminals(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "err"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, out := range []io.Writer{file, &bytes.Buffer{}} {
		p := newProgress(out, nil)
		if in := io.Reader(file); p != nil || p.of(in) != in {
			t.Errorf("%T: progress is shown", out)
		}
		p.end()
	}
}
