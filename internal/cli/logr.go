package cli

import (
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/zap"
	"k8s.io/klog/v2"
)

// Logr returns a log for client-go and controller-runtime. Their details are written
// at the debug level.
func Logr(log *zap.Logger) logr.Logger {
	return logr.New(sink{log.WithOptions(zap.WithCaller(false), zap.AddStacktrace(zap.DPanicLevel)).Sugar()})
}

type sink struct{ log *zap.SugaredLogger }

// maxVerbosity is the highest level of detail that is written: above it, client-go
// logs each request.
const maxVerbosity = 4

func (sink) Init(logr.RuntimeInfo) {}

func (s sink) Enabled(level int) bool {
	return level == 0 || level <= maxVerbosity && s.log.Level().Enabled(zap.DebugLevel)
}

func (s sink) Info(level int, text string, fields ...any) {
	if level > 0 {
		s.log.Debugw(text, readable(fields)...)
		return
	}
	s.log.Infow(text, readable(fields)...)
}

func (s sink) Error(err error, text string, fields ...any) {
	s.log.Errorw(text, append(readable(fields), "error", err)...)
}

func (s sink) WithValues(fields ...any) logr.LogSink { return sink{s.log.With(readable(fields)...)} }

func (s sink) WithName(string) logr.LogSink { return s } // the messages tell

// readable leaves values as they are that name things, and turns objects into the name
// of their type: what is in them does not belong in a log.
func readable(fields []any) []any {
	out := make([]any, len(fields))
	for i, f := range fields {
		switch f := f.(type) {
		case string, bool, int, time.Duration, error:
			out[i] = f
		case klog.ObjectRef:
			out[i] = f.String()
		default:
			out[i] = fmt.Sprintf("%T", f)
		}
	}
	return out
}
