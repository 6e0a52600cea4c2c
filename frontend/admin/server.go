package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"sort"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/member"
	"altmail.se/altmail/crypto/passwd"
	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/frontend/admin/adminpb/adminpbconnect"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
)

// Probe is one line of /readyz: nil when it is well.
type Probe struct {
	Name string
	Ask  func(ctx context.Context) error
}

// Config is what the admin API works with.
type Config struct {
	Lookup  *lookup.Door
	Commit  *commit.Door
	Members *member.Manager
	// Check runs the consistency check of this node's stores.
	Check func(ctx context.Context, bodies bool) (*adminpb.CheckResponse, error)
	// Left is called after this node has left its cluster: it is to stop.
	Left    func()
	Metrics prometheus.Gatherer
	Live    []Probe
	Ready   []Probe
	Log     *slog.Logger
}

// Server serves the admin API, health, metrics and profiles.
type Server struct {
	adminpbconnect.UnimplementedAdminHandler
	c       Config
	imports chan struct{} // batches of imports in memory
}

var _ adminpbconnect.AdminHandler = (*Server)(nil)

// New returns a Server.
func New(c Config) *Server { return &Server{c: c, imports: make(chan struct{}, maxImports)} }

// maxRequest bounds one request.
const maxRequest = 1 << 20

// API is the handler of the operator's socket: everything.
func (s *Server) API() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(adminpbconnect.NewAdminHandler(s, connect.WithReadMaxBytes(maxRequest), connect.WithInterceptors(s.logged())))
	s.observe(mux)
	return mux
}

// Observe is the handler of the loopback port: nothing that changes anything.
func (s *Server) Observe() http.Handler {
	mux := http.NewServeMux()
	s.observe(mux)
	return mux
}

func (s *Server) observe(mux *http.ServeMux) {
	mux.Handle("GET /livez", probes(s.c.Live))
	mux.Handle("GET /readyz", probes(s.c.Ready))
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.c.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
}

// Listen opens the operator's socket, which only its owner may use. A socket
// file left by a process that died is replaced.
func Listen(path string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("admin: %s is in use", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func probes(ps []Probe) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		var lines []string
		bad := false
		for _, p := range ps {
			state := "ok"
			if err := p.Ask(ctx); err != nil {
				state, bad = err.Error(), true
			}
			lines = append(lines, p.Name+": "+state)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if bad {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		for _, l := range lines {
			if _, err := fmt.Fprintln(w, l); err != nil {
				return
			}
		}
	}
}

// logged writes a line for every call that changes something: who asked is
// whoever may open the socket, what is the method, never its contents.
func (s *Server) logged() connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			start := time.Now()
			resp, err := next(ctx, req)
			l := slog.LevelDebug
			if err != nil {
				l = slog.LevelInfo
			}
			s.c.Log.Log(ctx, l, "admin call", "procedure", req.Spec().Procedure, "took", time.Since(start), "code", connect.CodeOf(err).String())
			return resp, err
		}
	}
}

// fail maps an error of the rooms below to the API's.
func fail(err error) error {
	code := connect.CodeUnknown
	switch {
	case err == nil:
		return nil
	case errors.Is(err, cluster.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		code = connect.CodeUnavailable
	case errors.Is(err, mailstore.ErrNoAccount), errors.Is(err, mailstore.ErrNoAddress), errors.Is(err, member.ErrNoNode):
		code = connect.CodeNotFound
	case errors.Is(err, mailstore.ErrExists), errors.Is(err, member.ErrNameTaken):
		code = connect.CodeAlreadyExists
	case errors.Is(err, mailstore.ErrBadName), errors.Is(err, mailstore.ErrTooBig), errors.Is(err, passwd.ErrFormat):
		code = connect.CodeInvalidArgument
	case errors.Is(err, cluster.ErrQuorum), errors.Is(err, mailstore.ErrNotPermitted), errors.Is(err, cluster.ErrRefused),
		errors.Is(err, mailstore.ErrSuspended), errors.Is(err, member.ErrRemoved):
		code = connect.CodeFailedPrecondition
	case errors.Is(err, mailstore.ErrLimit), errors.Is(err, mailstore.ErrOverQuota):
		code = connect.CodeResourceExhausted
	case errors.Is(err, mailstore.ErrConflict):
		code = connect.CodeAborted
	}
	return connect.NewError(code, err)
}

// Stats answers with every sample of the metrics, as flat names.
func (s *Server) Stats(ctx context.Context, _ *connect.Request[adminpb.StatsRequest]) (*connect.Response[adminpb.StatsResponse], error) {
	fams, err := s.c.Metrics.Gather()
	if err != nil {
		return nil, fail(err)
	}
	out := &adminpb.StatsResponse{}
	add := func(name string, v float64) {
		out.Stats = append(out.Stats, &adminpb.StatsResponse_Stat{Name: name, Value: v})
	}
	for _, f := range fams {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += "." + l.GetValue()
			}
			switch {
			case m.Counter != nil:
				add(name, m.Counter.GetValue())
			case m.Gauge != nil:
				add(name, m.Gauge.GetValue())
			case m.Untyped != nil:
				add(name, m.Untyped.GetValue())
			case m.Histogram != nil:
				add(name+".count", float64(m.Histogram.GetSampleCount()))
				add(name+".sum", m.Histogram.GetSampleSum())
			case m.Summary != nil:
				add(name+".count", float64(m.Summary.GetSampleCount()))
				add(name+".sum", m.Summary.GetSampleSum())
			}
		}
	}
	sort.Slice(out.Stats, func(i, j int) bool { return out.Stats[i].Name < out.Stats[j].Name })
	return connect.NewResponse(out), nil
}

// Check answers with what the consistency check found.
func (s *Server) Check(ctx context.Context, r *connect.Request[adminpb.CheckRequest]) (*connect.Response[adminpb.CheckResponse], error) {
	resp, err := s.c.Check(ctx, r.Msg.Bodies)
	if err != nil {
		return nil, fail(err)
	}
	return connect.NewResponse(resp), nil
}
