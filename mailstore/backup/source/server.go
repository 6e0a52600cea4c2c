package source

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore/backup/grant"
	"altmail.se/altmail/mailstore/backup/wire"
	"altmail.se/altmail/mailstore/body"
	"altmail.se/altmail/mailstore/state"
)

// Times of a session.
const (
	// sessionIdle is after how long without a call a session ends.
	sessionIdle = time.Minute
	// sessionMax bounds a session, whatever it does: it pins the rows of every
	// group, and what is expunged must leave the disk.
	sessionMax = 2 * time.Hour
	// maxSessions bounds those of all grants; one grant has one.
	maxSessions = 4
	syncTimeout = 5 * time.Second
)

// Machine is a group's state on this node.
type Machine interface {
	View() (cluster.View, error)
	Level() uint32
}

// Bodies are the sealed bodies on this node: *body.Store.
type Bodies interface {
	Open(group cluster.GroupID, id cluster.BodyID) (*body.Handle, error)
	Verify(ctx context.Context, group cluster.GroupID, id cluster.BodyID) error
}

// Ring is what is needed of the keyring: *keyring.Ring.
type Ring interface {
	grant.Ring
	Roots() map[keyring.Epoch][keyring.KeySize]byte
	CurrentRoot() keyring.Epoch
	IndexKey() ([keyring.KeySize]byte, bool)
	Identity() (keyPKCS8, certDER []byte, ok bool)
}

// Config is what a Server works with. What has no default is required.
type Config struct {
	Cluster string
	Node    cluster.NodeID
	CACert  []byte // DER
	Ring    Ring
	// Groups lists the mail groups on this node.
	Groups  func() []cluster.GroupID
	Group   func(cluster.GroupID) (cluster.Group, bool)
	Machine func(cluster.GroupID) (Machine, bool)
	Bodies  Bodies
	// Referenced tells whether the state refers to a body.
	Referenced func(cluster.GroupID, cluster.BodyID) (bool, error)
	Whole      func(cluster.GroupID) bool
	// Directory holds the grants.
	Directory *state.Directory
	Log       *slog.Logger
	// Now is the clock; time.Now.
	Now func() time.Time
}

// Server serves pullers. It is safe for concurrent use.
type Server struct {
	c Config

	mu       sync.Mutex
	sessions map[string]*session
	closed   bool
	stats    Stats
}

// Stats are counters since the start.
type Stats struct {
	Sessions    uint64 // begun
	Finished    uint64 // of these, those that told their snapshot
	Refused     uint64 // calls without a grant
	SealedBytes uint64 // metadata given
	Bodies      uint64 // given
	BodyBytes   uint64
	Gone        uint64 // bodies that were asked for and are expunged
}

// New returns a Server. Close it.
func New(c Config) *Server {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Server{c: c, sessions: map[string]*session{}}
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *Server) count(fn func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(&s.stats)
}

// Close ends the sessions.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	all := s.sessions
	s.sessions = map[string]*session{}
	s.mu.Unlock()
	var errs []error
	for _, x := range all {
		errs = append(errs, x.close())
	}
	return errors.Join(errs...)
}

// Grant returns what the holder of a key may do, or grant.ErrRefused.
func (s *Server) Grant(spki []byte) (grant.Grant, error) {
	r := s.c.Directory.Read()
	row, _, err := r.Setting(grant.Setting)
	if err := errors.Join(err, r.Close()); err != nil {
		return grant.Grant{}, err
	}
	list, err := grant.Open(s.c.Ring, row.Value)
	if err != nil {
		return grant.Grant{}, err
	}
	g, err := grant.ByKey(list, spki)
	if err != nil {
		s.count(func(t *Stats) { t.Refused++ })
	}
	return g, err
}

// Admit is the port's question whether the holder of a key may connect.
func (s *Server) Admit(spki []byte) error {
	_, err := s.Grant(spki)
	return err
}

type keyType struct{}

// Serve serves one connection of a puller until it ends. The grant is asked for
// at every call, so that a revoked one ends at once.
func (s *Server) Serve(ctx context.Context, conn net.Conn, spki []byte) {
	ended := make(chan struct{})
	var once sync.Once
	end := func() { once.Do(func() { close(ended) }) }
	h := &http.Server{
		Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: sessionIdle,
		BaseContext: func(net.Listener) context.Context { return context.WithValue(ctx, keyType{}, spki) },
		ErrorLog:    slog.NewLogLogger(s.c.Log.Handler(), slog.LevelDebug),
		ConnState: func(_ net.Conn, st http.ConnState) {
			if st == http.StateClosed {
				end()
			}
		},
	}
	l := &oneListener{conn: conn, ended: ended}
	if err := h.Serve(l); err != nil && !errors.Is(err, errOneConn) {
		s.c.Log.Debug("backup connection", "err", err)
	}
	if err := h.Close(); err != nil {
		s.c.Log.Debug("backup connection", "err", err)
	}
}

// oneListener accepts one connection, then nothing until that has ended.
type oneListener struct {
	conn  net.Conn
	given bool
	ended chan struct{}
}

var errOneConn = errors.New("the connection has ended")

func (l *oneListener) Accept() (net.Conn, error) {
	if !l.given {
		l.given = true
		return l.conn, nil
	}
	<-l.ended
	return nil, errOneConn
}

func (l *oneListener) Close() error   { return nil }
func (l *oneListener) Addr() net.Addr { return l.conn.LocalAddr() }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", s.granted(s.status))
	mux.HandleFunc("POST /v1/open", s.granted(s.open))
	mux.HandleFunc("GET /v1/head", s.granted(s.head))
	mux.HandleFunc("GET /v1/chunks", s.granted(s.chunks))
	mux.HandleFunc("POST /v1/sealed", s.granted(s.sealed))
	mux.HandleFunc("GET /v1/bodies", s.granted(s.bodies))
	mux.HandleFunc("POST /v1/finish", s.granted(s.finish))
	mux.HandleFunc("POST /v1/fetch", s.granted(s.fetch))
	return mux
}

type handler func(w http.ResponseWriter, r *http.Request, g *grant.Grant) error

// badRequest is a call that this protocol does not have.
type badRequest struct{ what string }

func (b badRequest) Error() string { return b.what }

func (s *Server) granted(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		spki, _ := r.Context().Value(keyType{}).([]byte)
		g, err := s.Grant(spki)
		if err == nil {
			err = h(&writer{ResponseWriter: w, c: http.NewResponseController(w)}, r, &g)
		}
		if err == nil {
			return
		}
		s.c.Log.Info("backup call failed", "call", r.URL.Path, "grant", g.Name, "err", err)
		code := http.StatusInternalServerError
		var bad badRequest
		switch {
		case errors.Is(err, grant.ErrRefused):
			code = http.StatusForbidden
		case errors.As(err, &bad):
			code = http.StatusBadRequest
		case errors.Is(err, errNoSession):
			code = http.StatusGone
		case errors.Is(err, cluster.ErrUnavailable), errors.Is(err, cluster.ErrStopped), errors.Is(err, errBusy):
			code = http.StatusServiceUnavailable
		}
		http.Error(w, err.Error(), code)
	}
}

// writer remembers whether an answer has begun: then an error is its last
// frame. A puller that does not read for as long as a session may be idle is
// cut off.
type writer struct {
	http.ResponseWriter
	c     *http.ResponseController
	begun bool
}

func (w *writer) Write(b []byte) (int, error) {
	w.begun = true
	if err := w.c.SetWriteDeadline(time.Now().Add(sessionIdle)); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(b)
}

// stream ends a stream of frames.
func stream(w http.ResponseWriter, err error) error {
	if x, ok := w.(*writer); err != nil && (!ok || !x.begun) {
		return err
	}
	if err != nil {
		return errors.Join(wire.Write(w, wire.KindError, []byte(err.Error())))
	}
	return wire.Write(w, wire.KindEnd)
}

func reply(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

func (s *Server) status(w http.ResponseWriter, r *http.Request, _ *grant.Grant) error {
	st := wire.Status{Cluster: s.c.Cluster, Node: s.c.Node.String(), Whole: true}
	for _, g := range append([]cluster.GroupID{cluster.Directory}, s.c.Groups()...) {
		if x, ok := s.c.Group(g); ok && x.IsLeader() {
			st.Leads++
		}
		st.Whole = st.Whole && (g == cluster.Directory || s.c.Whole(g))
	}
	return reply(w, st)
}

// session finds the session a call is for, and its group.
func (s *Server) session(r *http.Request, g *grant.Grant) (*session, error) {
	s.mu.Lock()
	x := s.sessions[g.Name]
	s.mu.Unlock()
	if x == nil || x.id != r.URL.Query().Get("session") || !x.touch() {
		return nil, errNoSession
	}
	return x, nil
}

func (s *Server) group(r *http.Request, g *grant.Grant) (*session, *pinned, error) {
	x, err := s.session(r, g)
	if err != nil {
		return nil, nil, err
	}
	n, err := strconv.ParseUint(r.URL.Query().Get("group"), 10, 32)
	if err != nil {
		return nil, nil, badRequest{"no group"}
	}
	for _, p := range x.groups {
		if p.id == cluster.GroupID(n) {
			return x, p, nil
		}
	}
	return nil, nil, badRequest{"no such group"}
}

// signer returns this node's key and certificate.
func (s *Server) signer() (ed25519.PrivateKey, []byte, error) {
	der, cert, ok := s.c.Ring.Identity()
	if !ok {
		return nil, nil, errors.New("source: the node has no certificate")
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, nil, errors.New("source: the node's key")
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("source: the node's key is a %T", k)
	}
	return key, cert, nil
}
