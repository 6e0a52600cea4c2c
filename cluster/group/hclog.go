package group

import (
	"context"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLog gives hashicorp/raft a logger that writes to slog. What raft tells at
// info is of use only when debugging, so everything below a warning is debug.
type raftLog struct {
	l    *slog.Logger
	name string
	args []any
}

func newRaftLog(l *slog.Logger) hclog.Logger { return &raftLog{l: l, name: "raft"} }

func slogLevel(level hclog.Level) slog.Level {
	switch {
	case level >= hclog.Error:
		// Raft logs every failed heartbeat as an error; ours are raised where
		// something has to be done.
		return slog.LevelWarn
	case level == hclog.Warn:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

func (r *raftLog) Log(level hclog.Level, msg string, args ...any) {
	l := slogLevel(level)
	if !r.l.Enabled(context.Background(), l) {
		return
	}
	out := make([]any, 0, len(args))
	for _, a := range args {
		// Only the format: its arguments may print a whole request.
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			a = f[0]
		}
		out = append(out, a)
	}
	r.l.Log(context.Background(), l, msg, out...)
}

func (r *raftLog) Trace(msg string, args ...any) {}
func (r *raftLog) Debug(msg string, args ...any) { r.Log(hclog.Debug, msg, args...) }
func (r *raftLog) Info(msg string, args ...any)  { r.Log(hclog.Info, msg, args...) }
func (r *raftLog) Warn(msg string, args ...any)  { r.Log(hclog.Warn, msg, args...) }
func (r *raftLog) Error(msg string, args ...any) { r.Log(hclog.Error, msg, args...) }

func (r *raftLog) enabled(l hclog.Level) bool {
	return r.l.Enabled(context.Background(), slogLevel(l))
}
func (r *raftLog) IsTrace() bool        { return false }
func (r *raftLog) IsDebug() bool        { return r.enabled(hclog.Debug) }
func (r *raftLog) IsInfo() bool         { return r.enabled(hclog.Info) }
func (r *raftLog) IsWarn() bool         { return r.enabled(hclog.Warn) }
func (r *raftLog) IsError() bool        { return r.enabled(hclog.Error) }
func (r *raftLog) ImpliedArgs() []any   { return r.args }
func (r *raftLog) Name() string         { return r.name }
func (r *raftLog) SetLevel(hclog.Level) {}
func (r *raftLog) GetLevel() hclog.Level {
	if r.IsDebug() {
		return hclog.Debug
	}
	return hclog.Warn
}

func (r *raftLog) With(args ...any) hclog.Logger {
	return &raftLog{l: r.l.With(args...), name: r.name, args: append(r.args[:len(r.args):len(r.args)], args...)}
}

func (r *raftLog) Named(name string) hclog.Logger {
	return &raftLog{l: r.l, name: r.name + "." + name, args: r.args}
}

func (r *raftLog) ResetNamed(name string) hclog.Logger {
	return &raftLog{l: r.l, name: name, args: r.args}
}

func (r *raftLog) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return log.New(io.Discard, "", 0)
}

func (r *raftLog) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return io.Discard }
