package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/iam-authenticator/authenticator/pkg/server/audit"
)

// clearLine has a terminal write its line anew.
const clearLine = "\r\x1b[K"

// progress shows on a terminal how much of some files was read, if that takes longer
// than a second. A nil *progress shows nothing.
type progress struct {
	out         io.Writer
	now         func() time.Time
	total, read int64 // bytes
	next        time.Time
	shown       bool
}

// newProgress returns nil if nobody looks at out.
func newProgress(out io.Writer, files []*audit.File) *progress {
	if f, ok := out.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	p := &progress{out: out, now: time.Now, next: time.Now().Add(time.Second)}
	for _, file := range files {
		p.total += file.Size()
	}
	return p
}

// of returns a reader of a file whose progress is shown.
func (p *progress) of(in io.Reader) io.Reader {
	if p == nil {
		return in
	}
	return &watched{in, p}
}

// end takes away what was shown.
func (p *progress) end() {
	if p != nil && p.shown {
		_, _ = io.WriteString(p.out, clearLine)
	}
}

type watched struct {
	in io.Reader
	p  *progress
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.in.Read(b)
	w.p.add(int64(n))
	return n, err
}

func (p *progress) add(n int64) {
	p.read += n
	now := p.now()
	if now.Before(p.next) {
		return
	}
	p.next, p.shown = now.Add(time.Second), true
	percent := int64(100)
	if p.read < p.total {
		percent = 100 * p.read / p.total
	}
	fmt.Fprintf(p.out, clearLine+"%d of %d MiB read (%d %%)", p.read>>20, max(p.read, p.total)>>20, percent)
}
