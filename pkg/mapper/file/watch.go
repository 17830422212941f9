package file

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

// Run follows the file until the context ends, and returns nil then.
func (m *Mapper) Run(ctx context.Context) error {
	poll := m.options.Poll
	if poll == nil {
		ticker := time.NewTicker(pollInterval)
		defer ticker.Stop()
		poll = ticker.C
	}
	w := m.newWatch()
	defer w.close()

	// What changed between New and the watch.
	m.reload(ctx)

	var first time.Time // of the events since the last load; zero: there was none
	timer := time.NewTimer(0)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-poll:
			w.add()
			m.reload(ctx)
		case <-timer.C:
			first = time.Time{}
			m.reload(ctx)
		case <-w.events:
			now := time.Now()
			if first.IsZero() {
				first = now
			}
			timer.Reset(min(settle, maxSettle-now.Sub(first)))
		case err := <-w.errors:
			// Such as an overflow of the queue: events were lost.
			m.log.Warn("watching the mapping file", zap.Error(err))
			m.reload(ctx)
		}
	}
}

// reload is Reload for Run: what is wrong is logged and in Status.
func (m *Mapper) reload(ctx context.Context) { _ = m.Reload(ctx) }

// watch tells of changes in the directory of the file. Without file events (too
// many watches in the system, a directory that is not there) its channels stay
// silent and polling has to do.
type watch struct {
	watcher *fsnotify.Watcher // nil if there can't be one
	dir     string
	log     *zap.Logger
	failed  bool // the last add; logged once

	events chan fsnotify.Event
	errors chan error
}

func (m *Mapper) newWatch() *watch {
	w := &watch{dir: filepath.Dir(m.options.Path), log: m.log}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		w.log.Warn("no file events, changes are found by polling only", zap.Error(err))
		return w
	}
	w.watcher, w.events, w.errors = watcher, watcher.Events, watcher.Errors
	w.add()
	return w
}

// add watches the directory. It is called again with every poll, as the directory
// may have come, or have been replaced, since.
func (w *watch) add() {
	if w.watcher == nil {
		return
	}
	err := w.watcher.Add(w.dir)
	if err != nil && !w.failed && !errors.Is(err, fsnotify.ErrClosed) {
		w.log.Warn("no file events, changes are found by polling only", zap.Error(err))
	}
	w.failed = err != nil
}

func (w *watch) close() {
	if w.watcher != nil {
		_ = w.watcher.Close()
	}
}
