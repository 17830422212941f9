package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLog returns a log of a format, text or json, that writes messages from a level
// on, whatever aws-iam-authenticator calls it. The caller must stop it.
func NewLog(w io.Writer, format, verbosity string) (log *zap.Logger, stop func(), err error) {
	level, err := parseLevel(verbosity)
	if err != nil {
		return nil, nil, err
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.TimeKey = "time"
	encoding.MessageKey = "msg"
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	switch format {
	case "json":
		encoder = zapcore.NewJSONEncoder(encoding)
	case "text":
		encoding.EncodeTime = zapcore.ISO8601TimeEncoder
		encoding.EncodeLevel = zapcore.CapitalLevelEncoder
		encoding.ConsoleSeparator = " "
		encoder = zapcore.NewConsoleEncoder(encoding)
	default:
		return nil, nil, fmt.Errorf("--log-format %q, want text or json", format)
	}
	// A writer and no more: to sync standard error is an error, or waits for a disk.
	writer := zapcore.AddSync(struct{ io.Writer }{w})
	batched := &zapcore.BufferedWriteSyncer{WS: writer, Size: logBatch, FlushInterval: LogDelay}
	return zap.New(promptCore{zapcore.NewCore(encoder, batched, level)}), func() { _ = batched.Stop() }, nil
}

// Lines about what went well are written together: one write for each login would
// cost a good part of what the login does. A crash may lose the last LogDelay of them.
const (
	LogDelay = 100 * time.Millisecond
	logBatch = 64 << 10 // bytes
)

// promptCore writes warnings and errors, and all before them, at once.
type promptCore struct{ zapcore.Core }

func (c promptCore) With(fields []zapcore.Field) zapcore.Core { return promptCore{c.Core.With(fields)} }

func (c promptCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

func (c promptCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	err := c.Core.Write(e, fields)
	if e.Level >= zapcore.WarnLevel {
		err = errors.Join(err, c.Sync())
	}
	return err
}

// parseLevel accepts the level names of aws-iam-authenticator too.
func parseLevel(s string) (zapcore.Level, error) {
	switch strings.ToLower(s) {
	case "trace", "debug":
		return zapcore.DebugLevel, nil
	case "info":
		return zapcore.InfoLevel, nil
	case "warn", "warning":
		return zapcore.WarnLevel, nil
	case "error", "fatal", "panic":
		return zapcore.ErrorLevel, nil
	default:
		return 0, fmt.Errorf("log verbosity %q, want debug, info, warn or error", s)
	}
}
