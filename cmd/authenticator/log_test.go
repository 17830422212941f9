package main

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"github.com/iam-authenticator/authenticator/internal/cli"
)

// writes records what is written, write by write.
type writes struct {
	mu   sync.Mutex
	list []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, string(p))
	return len(p), nil
}

func (w *writes) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.list)
}

func TestGrantsAreLoggedTogetherAndWarningsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writes
		cmd := &cobra.Command{}
		cmd.SetErr(&w)
		log, stop, err := (&globals{logFormat: "json", logVerbosity: "info"}).logger(cmd)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			log.Info("granted")
		}
		log.Debug("no one reads this")
		if len(w.all()) != 0 {
			t.Errorf("written at once: %q", w.all())
		}
		time.Sleep(cli.LogDelay + time.Millisecond)
		synctest.Wait()
		if len(w.all()) != 1 || strings.Count(w.all()[0], "granted") != 3 || strings.Contains(w.all()[0], "no one") {
			t.Errorf("after %s: %q, want three lines in one write", cli.LogDelay, w.all())
		}
		log.Info("before")
		log.Warn("careful")
		if len(w.all()) != 2 || strings.Index(w.all()[1], "before") > strings.Index(w.all()[1], "careful") {
			t.Errorf("a warning: %q, want it at once, and what came before it first", w.all()[1:])
		}
		log.Info("last")
		stop()
		if len(w.all()) != 3 || !strings.Contains(w.all()[2], "last") {
			t.Errorf("at the end: %q, want what is left", w.all())
		}
	})
}
