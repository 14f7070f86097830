package etcdserver

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/zeromicro/go-zero/core/logx"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLogger returns the logger that etcd wants. It passes errors on to logx and drops the rest, which is much. While
// closing, it drops the complaints that listeners are closed too.
func newLogger(closing *atomic.Bool) *zap.Logger { return zap.New(core{closing, nil}) }

type core struct {
	closing *atomic.Bool
	fields  []zapcore.Field
}

var _ zapcore.Core = core{}

// With returns a core that says these fields with each entry.
func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{c.closing, append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

// Enabled tells whether entries of a level are logged.
func (c core) Enabled(level zapcore.Level) bool {
	return level > zapcore.ErrorLevel || level == zapcore.ErrorLevel && !c.closing.Load()
}

// Check takes an entry that is bad enough.
func (c core) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

// Write logs an entry. After a fatal one zap ends the process: etcd cannot go on, its disk may have failed.
func (c core) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	encoder := zapcore.NewMapObjectEncoder()
	var text strings.Builder
	for _, field := range append(c.fields[:len(c.fields):len(c.fields)], fields...) {
		field.AddTo(encoder)
		if value, ok := encoder.Fields[field.Key]; ok {
			_, _ = fmt.Fprintf(&text, " %s=%v", field.Key, value)
		}
	}
	logx.Errorf("etcd server: %s%s", entry.Message, text.String())
	return nil
}

// Sync has nothing to do.
func (c core) Sync() error { return nil }
