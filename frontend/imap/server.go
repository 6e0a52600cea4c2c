package imap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"altmail.se/altmail/frontend/auth"
	"altmail.se/altmail/mailstore"
)

// ErrClosed is returned by Serve after Shutdown.
var ErrClosed = errors.New("imap: server closed")

// Server serves IMAP on any number of listeners.
type Server struct {
	cfg    Config
	log    *slog.Logger
	memory *semaphore.Weighted // octets of messages on their way in
	// sorting is how many octets SORT and THREAD may hold.
	sorting *semaphore.Weighted
	ahead   ahead

	closing chan struct{}
	done    sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	sessions  map[uint64]*session
	accounts  map[mailstore.AccountID]int
	places    map[netip.Addr]int // sessions before login
	lastID    uint64

	stats counters
}

type counters struct {
	connections, refused, handshakeFailed        atomic.Uint64
	logins, badLogins                            atomic.Uint64
	commands, bad, no, unavailable, errors, lost atomic.Uint64
	panics                                       atomic.Uint64
	idle                                         atomic.Int64
	appended, fetched                            atomic.Uint64
}

// Stats are counts since the start, but for Open and Idle.
type Stats struct {
	Open, Idle                            int64 // connections now
	Connections, Refused, HandshakeFailed uint64
	Logins, BadLogins                     uint64
	Commands, Bad, No, Unavailable        uint64 // tagged responses
	Errors                                uint64 // internal ones
	Lost                                  uint64 // connections cut in the middle of a response
	Panics                                uint64
	AppendedOctets, SentOctets            uint64
}

// New returns a server. Lookup, Commit, Feed and Auth have to be set.
func New(cfg Config) *Server {
	cfg.Limits.setDefaults()
	if cfg.TLS != nil {
		// Small first records are for browsers, which show a page while it
		// comes.
		cfg.TLS = cfg.TLS.Clone()
		cfg.TLS.DynamicRecordSizingDisabled = true
	}
	s := &Server{
		cfg: cfg, log: cfg.Logger,
		memory:    semaphore.NewWeighted(cfg.Limits.AppendMemory),
		sorting:   semaphore.NewWeighted(maxSorting),
		ahead:     newAhead(),
		closing:   make(chan struct{}),
		listeners: map[net.Listener]struct{}{},
		sessions:  map[uint64]*session{},
		accounts:  map[mailstore.AccountID]int{},
		places:    map[netip.Addr]int{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	open := int64(len(s.sessions))
	s.mu.Unlock()
	c := &s.stats
	return Stats{
		Open: open, Idle: c.idle.Load(),
		Connections: c.connections.Load(), Refused: c.refused.Load(), HandshakeFailed: c.handshakeFailed.Load(),
		Logins: c.logins.Load(), BadLogins: c.badLogins.Load(),
		Commands: c.commands.Load(), Bad: c.bad.Load(), No: c.no.Load(), Unavailable: c.unavailable.Load(),
		Errors: c.errors.Load(), Lost: c.lost.Load(), Panics: c.panics.Load(),
		AppendedOctets: c.appended.Load(), SentOctets: c.fetched.Load(),
	}
}

// Serve accepts connections until the listener fails or Shutdown is called,
// after which it returns ErrClosed.
func (s *Server) Serve(l net.Listener, implicitTLS bool) error {
	if implicitTLS && s.cfg.TLS == nil {
		return errors.New("imap: implicit TLS needs a TLS configuration")
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()
	wait := time.Duration(0)
	for {
		conn, err := l.Accept()
		if err != nil {
			select {
			case <-s.closing:
				return ErrClosed
			default:
			}
			if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) && !errors.Is(err, syscall.ECONNABORTED) {
				return fmt.Errorf("imap: accept: %w", err)
			}
			// Out of file descriptors: others have to end first.
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.log.Warn("imap: cannot accept", "err", err)
			select {
			case <-time.After(wait):
			case <-s.closing:
				return ErrClosed
			}
			continue
		}
		wait = 0
		s.start(conn, implicitTLS)
	}
}

func (s *Server) start(conn net.Conn, implicitTLS bool) {
	s.stats.connections.Add(1)
	place := place(conn)
	s.mu.Lock()
	why := ""
	switch {
	case s.closed:
		why = "[UNAVAILABLE] Server is shutting down, connect again"
	case len(s.sessions) >= s.cfg.Limits.Connections:
		why = "[UNAVAILABLE] Too many connections"
	case place.IsValid() && s.places[place] >= s.cfg.Limits.ConnectionsPerIP:
		why = "[LIMIT] Too many connections from your address without a login"
	}
	if why != "" {
		s.mu.Unlock()
		s.stats.refused.Add(1)
		// Not worth waiting for: a client that does not take it gets nothing.
		if !implicitTLS && conn.SetWriteDeadline(time.Now().Add(10*time.Millisecond)) == nil {
			if _, err := conn.Write([]byte("* BYE " + why + "\r\n")); err != nil {
				s.stats.lost.Add(1)
			}
		}
		s.close(conn)
		return
	}
	s.lastID++
	sess := newSession(s, s.lastID, conn)
	s.arrive(sess, place)
	s.sessions[sess.id] = sess
	s.done.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.done.Done()
		defer s.finish(sess)
		sess.serve(implicitTLS)
	}()
}

// place is where connections before login are counted; not valid for those
// that are not.
func place(conn net.Conn) netip.Addr {
	if a, ok := auth.Origin(conn.RemoteAddr()); ok && !a.IsLoopback() {
		return a
	}
	return netip.Addr{}
}

// arrive counts a session that is not logged in. It is called with the lock
// held, as is depart.
func (s *Server) arrive(sess *session, place netip.Addr) {
	if sess.place = place; place.IsValid() {
		s.places[place]++
	}
}

// depart undoes arrive.
func (s *Server) depart(sess *session) {
	if p := sess.place; p.IsValid() {
		if s.places[p]--; s.places[p] <= 0 {
			delete(s.places, p)
		}
	}
	sess.place = netip.Addr{}
}

func (s *Server) close(conn net.Conn) {
	if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Debug("imap: close", "err", err)
	}
}

// finish lets go of everything a session has. A panic ends the session alone.
func (s *Server) finish(sess *session) {
	if p := recover(); p != nil {
		s.stats.panics.Add(1)
		// The value may hold content; where it happened does not.
		s.log.Error("imap: panic", "type", fmt.Sprintf("%T", p), "command", sess.frame.Name, "stack", string(debug.Stack()))
	}
	sess.end()
	s.mu.Lock()
	delete(s.sessions, sess.id)
	s.depart(sess)
	if sess.account != nil {
		s.leave(sess.account.ID())
	}
	s.mu.Unlock()
	s.close(sess.raw)
}

// enter counts a session in with its account.
func (s *Server) enter(sess *session, a mailstore.AccountID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts[a] >= s.cfg.Limits.ConnectionsPerAccount {
		return false
	}
	s.accounts[a]++
	s.depart(sess)
	return true
}

// left is leave for a session that goes on without a login.
func (s *Server) left(sess *session, a mailstore.AccountID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(a)
	s.arrive(sess, place(sess.raw))
}

// leave is called with the lock held.
func (s *Server) leave(a mailstore.AccountID) {
	if s.accounts[a]--; s.accounts[a] <= 0 {
		delete(s.accounts, a)
	}
}

// Shutdown says BYE to all clients at once and waits for their sessions to
// end; when ctx is done first, it cuts them off and returns its error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	for l := range s.listeners {
		if err := l.Close(); err != nil {
			s.log.Debug("imap: close listener", "err", err)
		}
	}
	for _, sess := range s.sessions {
		sess.wake()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.done.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for _, sess := range s.sessions {
		sess.cut()
	}
	s.mu.Unlock()
	<-done
	return ctx.Err()
}

// untilClosing returns a context that also ends when Shutdown begins.
func (s *Server) untilClosing(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	go func() {
		select {
		case <-s.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// SessionInfo describes a connection to an operator.
type SessionInfo struct {
	ID      uint64
	Account mailstore.AccountID // 0 before login
	Remote  string
	Since   time.Time
	TLS     bool
	Idle    bool
}

// Sessions lists the connections, oldest first.
func (s *Server) Sessions() []SessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]SessionInfo, 0, len(s.sessions))
	for _, sess := range s.sessions {
		out = append(out, sess.info())
	}
	slices.SortFunc(out, func(a, b SessionInfo) int { return int(int64(a.ID) - int64(b.ID)) })
	return out
}

// Kick ends the connections that match, with a BYE, and returns how many.
func (s *Server) Kick(match func(SessionInfo) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, sess := range s.sessions {
		if match(sess.info()) {
			sess.kick()
			n++
		}
	}
	return n
}
