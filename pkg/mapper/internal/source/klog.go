package source

import (
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/zap"
)

// clientLog returns a logger for client-go, which takes it from the context. Without
// one, client-go would write to standard error through the global logger of klog.
func clientLog(log *zap.Logger) logr.Logger {
	return logr.New(sink{log.WithOptions(zap.AddCallerSkip(2)).Sugar()})
}

// sink writes what client-go says at the debug level: what matters of it is in
// Status, and logged once.
type sink struct{ log *zap.SugaredLogger }

// maxVerbosity is the highest level of detail that is written: above it, client-go
// logs each request.
const maxVerbosity = 4

func (sink) Init(logr.RuntimeInfo) {}

func (s sink) Enabled(level int) bool {
	return level <= maxVerbosity && s.log.Level().Enabled(zap.DebugLevel)
}

func (s sink) Info(_ int, text string, fields ...any) {
	s.log.Debugw("client-go: "+text, plain(fields)...)
}

func (s sink) Error(err error, text string, fields ...any) {
	s.log.Debugw("client-go: "+text, append(plain(fields), "error", err)...)
}

func (s sink) WithValues(fields ...any) logr.LogSink { return sink{s.log.With(plain(fields)...)} }

func (s sink) WithName(string) logr.LogSink { return s } // the source is a field already

// plain leaves values as they are and turns objects into the name of their type:
// what is in them does not belong in a log.
func plain(fields []any) []any {
	out := make([]any, len(fields))
	for i, f := range fields {
		switch f := f.(type) {
		case string, bool, int, time.Duration, error:
			out[i] = f
		default:
			out[i] = fmt.Sprintf("%T", f)
		}
	}
	return out
}
