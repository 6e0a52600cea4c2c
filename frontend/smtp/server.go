package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"altmail.se/altmail/frontend/sasl"
)

// ErrClosed is returned by Serve after Shutdown.
var ErrClosed = errors.New("smtp: server is shut down")

// Server serves one role on any number of listeners.
type Server struct {
	cfg    Config
	engine *gosmtp.Server
	views  *viewListener
	stats  counters

	ctx    context.Context // of everything done for clients
	cancel context.CancelFunc

	mu        sync.Mutex
	down      bool
	listeners map[net.Listener]struct{}
	links     map[*link]struct{}
	perIP     map[string]int
	empty     chan struct{} // closed when down and no link is left

	wg sync.WaitGroup // accepting, handshakes, the engine
}

type counters struct {
	accepted, rejected, handshakes atomic.Uint64
	authOK, authFailed             atomic.Uint64
	messages, octets               atomic.Uint64
	refused, failed, partial       atomic.Uint64
}

// Stats are counts since the start, but for Connections.
type Stats struct {
	Connections        int    // open now
	Accepted           uint64 // connections
	Rejected           uint64 // connections over a limit
	FailedHandshakes   uint64
	Logins, BadLogins  uint64
	Messages, Octets   uint64 // stored for one recipient at least
	RefusedRecipients  uint64
	FailedMessages     uint64 // stored for none
	PartlyStored       uint64 // stored for some recipients only
	MessageMemoryInUse int64
}

// New makes a server. Serve starts it.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:       cfg,
		views:     &viewListener{views: make(chan *view), done: make(chan struct{})},
		listeners: map[net.Listener]struct{}{},
		links:     map[*link]struct{}{},
		perIP:     map[string]int{},
		empty:     make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	e := gosmtp.NewServer(gosmtp.BackendFunc(s.newSession))
	e.LMTP = cfg.Role == LMTP
	e.Domain = cfg.Hostname
	e.MaxRecipients = cfg.MaxRecipients
	// TLS, line limits, sizes and timeouts are the link's. Whether AUTH is
	// allowed in clear is the session's.
	e.MaxLineLength = 0
	e.MaxMessageBytes = 0
	e.AllowInsecureAuth = true
	e.EnableSMTPUTF8 = true
	e.EnableBINARYMIME = true
	e.ErrorLog = engineLog{cfg.Log}
	s.engine = e
	s.wg.Go(func() {
		if err := e.Serve(s.views); err != nil && !errors.Is(err, net.ErrClosed) {
			cfg.Log.Error("smtp: engine", "error", err)
		}
	})
	return s, nil
}

// engineLog takes in what the engine logs, which is panics: the stack, and no
// address.
type engineLog struct{ log *slog.Logger }

func (e engineLog) Printf(format string, v ...any) {
	stack := ""
	for _, a := range v {
		if b, ok := a.([]byte); ok {
			stack = string(b)
		}
	}
	e.log.Error("smtp: engine", "event", format, "stack", stack)
}

func (e engineLog) Println(...any) { e.log.Error("smtp: engine") }

// viewListener hands views to the engine.
type viewListener struct {
	views chan *view
	done  chan struct{}
	once  sync.Once
}

func (a *viewListener) Accept() (net.Conn, error) {
	select {
	case v := <-a.views:
		return v, nil
	case <-a.done:
		return nil, net.ErrClosed
	}
}

func (a *viewListener) Close() error {
	a.once.Do(func() { close(a.done) })
	return nil
}

func (a *viewListener) Addr() net.Addr { return &net.UnixAddr{Name: "link", Net: "unix"} }

// hand gives a view to the engine; it reports false after the engine stopped.
func (s *Server) hand(v *view) bool {
	select {
	case s.views.views <- v:
		return true
	case <-s.views.done:
		return false
	}
}

// Serve accepts connections until the listener fails or Shutdown is called,
// then returns ErrClosed. It closes the listener.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	if s.down {
		s.mu.Unlock()
		return errors.Join(ErrClosed, ln.Close())
	}
	s.listeners[ln] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	defer s.wg.Done()
	pause := 5 * time.Millisecond
	for {
		nc, err := ln.Accept()
		if err == nil {
			pause = 5 * time.Millisecond
			s.accept(nc)
			continue
		}
		s.mu.Lock()
		down := s.down
		s.mu.Unlock()
		if down {
			return ErrClosed
		}
		var ne net.Error
		if errors.Is(err, net.ErrClosed) || !errors.As(err, &ne) {
			return err
		}
		// Out of file descriptors, most likely: others will end.
		s.cfg.Log.Warn("smtp: accept", "error", err)
		select {
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		case <-s.ctx.Done():
			return ErrClosed
		}
	}
}

// accept admits a connection within the limits.
func (s *Server) accept(nc net.Conn) {
	ip := ""
	if t, ok := nc.RemoteAddr().(*net.TCPAddr); ok && s.cfg.Role != LMTP {
		ip = network(t.IP)
	}
	l := newLink(s, nc, ip)
	s.mu.Lock()
	why := ""
	switch {
	case s.down:
		why = "421 4.3.2 shutting down\r\n"
	case len(s.links) >= s.cfg.MaxConns:
		why = "421 4.3.2 too many connections\r\n"
	case ip != "" && s.perIP[ip] >= s.cfg.MaxConnsPerIP:
		why = "421 4.7.0 too many connections from your address\r\n"
	default:
		s.links[l] = struct{}{}
		if ip != "" {
			s.perIP[ip]++
		}
		s.wg.Add(1)
	}
	s.mu.Unlock()
	if why != "" {
		s.stats.rejected.Add(1)
		reject(nc, why, s.cfg.Implicit)
		return
	}
	s.stats.accepted.Add(1)
	go func() {
		defer s.wg.Done()
		if s.cfg.Implicit {
			if err := l.handshake(); err != nil {
				l.close()
				return
			}
		}
		if !s.hand(l.view) {
			l.close()
		}
	}()
}

// network is what one client has of the addresses: one of IPv4, a /64 of IPv6.
func network(ip net.IP) string {
	if ip.To4() == nil {
		ip = ip.Mask(net.CIDRMask(64, 128))
	}
	return ip.String()
}

// reject says why, if it can be said at once.
func reject(nc net.Conn, why string, implicit bool) {
	if !implicit && nc.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		nc.Write([]byte(why)) //nolint:errcheck // the client is turned away in any case
	}
	nc.Close() //nolint:errcheck // nothing was written that must arrive
}

// forget is called once for each link that was closed.
func (s *Server) forget(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.links, l)
	if l.ip != "" {
		if s.perIP[l.ip]--; s.perIP[l.ip] <= 0 {
			delete(s.perIP, l.ip)
		}
	}
	s.checkEmpty()
}

func (s *Server) checkEmpty() {
	if s.down && len(s.links) == 0 {
		select {
		case <-s.empty:
		default:
			close(s.empty)
		}
	}
}

// Shutdown accepts no more connections, lets messages that are being taken in
// finish, and ends each connection before its next command with 421. When ctx
// ends first, what is left is cut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.down = true
	for ln := range s.listeners {
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.cfg.Log.Warn("smtp: close listener", "error", err)
		}
	}
	for l := range s.links {
		l.drain()
	}
	s.checkEmpty()
	s.mu.Unlock()

	var err error
	select {
	case <-s.empty:
	case <-ctx.Done():
		err = ctx.Err()
		s.cancel()
		s.mu.Lock()
		for l := range s.links {
			if cerr := l.raw.Close(); cerr != nil && !errors.Is(cerr, net.ErrClosed) {
				s.cfg.Log.Debug("smtp: cut", "error", cerr)
			}
		}
		s.mu.Unlock()
		<-s.empty
	}
	s.cancel()
	if cerr := s.engine.Close(); cerr != nil && !errors.Is(cerr, gosmtp.ErrServerClosed) && err == nil {
		err = cerr
	}
	s.wg.Wait()
	return err
}

// Stats returns the counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	open := len(s.links)
	s.mu.Unlock()
	c := &s.stats
	return Stats{
		Connections: open, Accepted: c.accepted.Load(), Rejected: c.rejected.Load(), FailedHandshakes: c.handshakes.Load(),
		Logins: c.authOK.Load(), BadLogins: c.authFailed.Load(),
		Messages: c.messages.Load(), Octets: c.octets.Load(),
		RefusedRecipients: c.refused.Load(), FailedMessages: c.failed.Load(), PartlyStored: c.partial.Load(),
		MessageMemoryInUse: s.cfg.Memory.Used(),
	}
}

// binding returns the channel bindings of a connection.
func (s *Server) binding(state *tls.ConnectionState) func(string) ([]byte, bool) {
	if s.cfg.Certificate == nil {
		return sasl.TLSBinding(*state, nil)
	}
	return sasl.TLSBinding(*state, s.cfg.Certificate(state.ServerName))
}
