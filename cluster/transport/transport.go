package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/pki"
)

// The errors of this package; Call also returns those of package cluster that
// the other node's handler returned, as a RemoteError.
var (
	// ErrNotSent: the request was never given to the network, so nothing
	// happened and it may be sent again.
	ErrNotSent = errors.New("transport: not sent")
	// ErrUnknown: the request may have been executed; no answer came.
	ErrUnknown = errors.New("transport: no answer, outcome unknown")
	// ErrNoMethod: the node has no handler for the method; nothing happened.
	ErrNoMethod = errors.New("transport: method not served")
)

// The times of the protocol.
const (
	handshakeTimeout = 5 * time.Second
	pingInterval     = 3 * time.Second
	// idlePings is how many pings a server misses before it gives up.
	idlePings   = 5
	dialTimeout = 3 * time.Second
	joinTimeout = 2 * time.Minute
	// lingerTimeout is how long Shutdown waits for clients to hang up.
	lingerTimeout = time.Second
	backoffMin    = 20 * time.Millisecond
	backoffMax    = time.Second
)

// The limits on connections others open to us.
const (
	maxConns        = 4096
	maxConnsPerPeer = 1024
	maxShaking      = 256 // handshakes at once
	maxShakingPerIP = 64
	maxJoins        = 8
)

// Resolver finds the address (host:port) of a node.
type Resolver interface {
	Addr(id cluster.NodeID) (string, error)
}

// JoinHandler serves the connection of a node that wants to join. The
// exporter binds what is proven to this connection (pki.ExporterLabel). The
// connection is closed when it returns; it has two minutes.
type JoinHandler func(ctx context.Context, conn net.Conn, exporter []byte)

// Config is what a Transport needs. All functions are called from many
// goroutines.
type Config struct {
	Self      cluster.NodeID
	ClusterID string // the cluster incarnation; peers of another are refused
	// Certificate returns the node's certificate chain (node, then CA) and
	// key; asked at each handshake, so that a renewed one is used at once.
	Certificate func() (*tls.Certificate, error)
	// CAs returns the CAs whose signature is accepted.
	CAs      func() []*x509.Certificate
	Resolver Resolver
	// Admit returns an error unless the node is a member now and spki (its
	// public key as SubjectPublicKeyInfo) is the one it is known by. Both
	// sides of every connection are asked about.
	Admit func(id cluster.NodeID, spki []byte) error
	// Join serves joining nodes; nil refuses them.
	Join JoinHandler
	// Guest serves clients that are no members; nil refuses them.
	Guest *Guest
	Log   *slog.Logger
	Now   func() time.Time // nil for time.Now
	// Dial opens a TCP connection; nil for the system's.
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	ping time.Duration // pingInterval but for tests
}

// Transport is this node's port. It implements cluster.Peers. All methods are
// safe for concurrent use.
type Transport struct {
	cfg    Config
	log    *limitedLog
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	handlers atomic.Pointer[map[cluster.Method]cluster.Handler]

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[*secureConn]bool // value: accepted (not dialed)
	servers   map[*serverConn]struct{}
	shaking   map[string]int // by IP, and in all under ""
	groups    map[cluster.GroupID]*raftLayer
	peers     map[cluster.NodeID]*peer
	joins     int
	guests    int

	draining atomic.Bool
	running  running // handlers

	accepted, refused atomic.Uint64
}

var _ cluster.Peers = (*Transport)(nil)

// New makes a Transport. It listens nowhere until Serve.
func New(cfg Config) (*Transport, error) {
	if cfg.Self.IsZero() || cfg.ClusterID == "" || cfg.Certificate == nil || cfg.CAs == nil ||
		cfg.Resolver == nil || cfg.Admit == nil || cfg.Log == nil {
		return nil, errors.New("transport: incomplete configuration")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.ping == 0 {
		cfg.ping = pingInterval
	}
	if cfg.Dial == nil {
		d := &net.Dialer{KeepAliveConfig: keepAlive}
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	t := &Transport{
		cfg:       cfg,
		log:       newLimitedLog(cfg.Log, cfg.Now),
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*secureConn]bool),
		servers:   make(map[*serverConn]struct{}),
		shaking:   make(map[string]int),
		groups:    make(map[cluster.GroupID]*raftLayer),
		peers:     make(map[cluster.NodeID]*peer),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.handlers.Store(&map[cluster.Method]cluster.Handler{cluster.MethodPing: pong})
	return t, nil
}

func pong(context.Context, cluster.NodeID, []byte) ([]byte, error) { return nil, nil }

// keepAlive lets the kernel end connections whose other side is gone without
// a word. RPC connections notice sooner, by their own pings.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3}

// Listen opens a listener for Serve.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("transport: listen: %w", err)
	}
	return ln, nil
}

// Self returns this node's id.
func (t *Transport) Self() cluster.NodeID { return t.cfg.Self }

// Handle registers the handler of a method. Its request bytes are reused
// after it returns; its response belongs to the transport.
func (t *Transport) Handle(m cluster.Method, h cluster.Handler) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := make(map[cluster.Method]cluster.Handler)
	for k, v := range *t.handlers.Load() {
		next[k] = v
	}
	next[m] = h
	t.handlers.Store(&next)
}

func (t *Transport) handler(m cluster.Method) cluster.Handler { return (*t.handlers.Load())[m] }

// Serve accepts connections until the listener fails or Close, which closes
// it; then it returns cluster.ErrStopped.
func (t *Transport) Serve(ln net.Listener) error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return errors.Join(cluster.ErrStopped, ln.Close())
	}
	t.listeners[ln] = struct{}{}
	t.wg.Add(1)
	t.mu.Unlock()
	defer t.wg.Done()
	delay := time.Duration(0)
	for {
		c, err := ln.Accept()
		if err != nil {
			if t.ctx.Err() != nil {
				return cluster.ErrStopped
			}
			var ne net.Error
			if errors.Is(err, net.ErrClosed) || !errors.As(err, &ne) {
				return fmt.Errorf("transport: accept: %w", err)
			}
			// Out of file descriptors, most likely: it passes.
			t.log.warn("accept failed", "error", err)
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(delay):
			case <-t.ctx.Done():
			}
			continue
		}
		delay = 0
		t.accept(c)
	}
}

// accept takes a new connection unless there are too many.
func (t *Transport) accept(c net.Conn) {
	ip := hostOf(c.RemoteAddr())
	t.mu.Lock()
	full := t.closed || len(t.conns)+t.shaking[""] >= maxConns ||
		t.shaking[""] >= maxShaking || t.shaking[ip] >= maxShakingPerIP
	if !full {
		t.shaking[""]++
		t.shaking[ip]++
		t.wg.Add(1)
	}
	t.mu.Unlock()
	if full {
		t.refused.Add(1)
		t.log.warn("connection refused: too many", "from", ip)
		t.discard(c)
		return
	}
	go func() {
		defer t.wg.Done()
		t.serveConn(c, ip)
	}()
}

// shaken ends the accounting of a handshake.
func (t *Transport) shaken(ip string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range []string{"", ip} {
		if t.shaking[k]--; t.shaking[k] == 0 {
			delete(t.shaking, k)
		}
	}
}

// serveConn does the handshake of an accepted connection and hands it to the
// protocol the peer chose.
func (t *Transport) serveConn(c net.Conn, ip string) {
	raw := newRawConn(c)
	tc := tls.Server(raw, t.serverConfig())
	stop := context.AfterFunc(t.ctx, func() { t.discard(c) })
	defer stop()
	ctx, cancel := context.WithTimeout(t.ctx, handshakeTimeout)
	err := tc.HandshakeContext(ctx)
	cancel()
	t.shaken(ip)
	if err != nil {
		t.refused.Add(1)
		if t.ctx.Err() == nil {
			t.log.warn("connection refused", "from", ip, "error", err)
		}
		t.discard(c)
		return
	}
	state := tc.ConnectionState()
	if state.NegotiatedProtocol == alpnJoin {
		t.serveJoin(tc, raw, ip)
		return
	}
	if g := t.cfg.Guest; g != nil && state.NegotiatedProtocol == g.Proto {
		t.serveGuest(g, tc, raw, ip)
		return
	}
	sc, err := t.register(tc, raw, state, true)
	if err != nil {
		t.refused.Add(1)
		t.log.warn("connection refused", "from", ip, "error", err)
		t.discard(c)
		return
	}
	t.accepted.Add(1)
	stop() // register took over
	switch state.NegotiatedProtocol {
	case alpnRaft:
		t.serveRaft(sc)
	case alpnRPC:
		t.serveRPC(sc)
	default: // a TLS server accepts clients that offer no ALPN at all
		t.drop(sc)
	}
}

// register enters an authenticated connection among the live ones.
func (t *Transport) register(tc *tls.Conn, raw *rawConn, state tls.ConnectionState, accepted bool) (*secureConn, error) {
	id, err := peerID(state)
	if err != nil {
		return nil, err
	}
	sc := &secureConn{Conn: tc, raw: raw, peer: id}
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, cluster.ErrStopped
	}
	if accepted {
		n := 0
		for c, in := range t.conns {
			if in && c.peer == id {
				n++
			}
		}
		if n >= maxConnsPerPeer {
			t.mu.Unlock()
			return nil, fmt.Errorf("transport: %d connections of node %s", n, id)
		}
	}
	t.conns[sc] = accepted
	t.mu.Unlock()
	// Asked once more: an eviction between the handshake and here found
	// nothing to cut.
	if err := t.cfg.Admit(id, state.PeerCertificates[0].RawSubjectPublicKeyInfo); err != nil {
		t.forget(sc)
		return nil, fmt.Errorf("transport: node %s not admitted: %w", id, err)
	}
	return sc, nil
}

func (t *Transport) forget(sc *secureConn) {
	t.mu.Lock()
	delete(t.conns, sc)
	t.mu.Unlock()
}

// drop closes a registered connection.
func (t *Transport) drop(sc *secureConn) {
	t.forget(sc)
	t.discard(sc)
}

// discard closes a connection nothing more is expected of.
func (t *Transport) discard(c net.Conn) {
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.cfg.Log.Debug("close of a connection", "error", err)
	}
}

// Disconnect cuts all live connections with a node, in both directions, as an
// eviction needs. Admit decides whether it may come back.
func (t *Transport) Disconnect(id cluster.NodeID) {
	t.mu.Lock()
	var cut []*secureConn
	for sc := range t.conns {
		if sc.peer == id {
			cut = append(cut, sc)
		}
	}
	t.mu.Unlock()
	for _, sc := range cut {
		t.discard(sc)
	}
}

// Shutdown refuses new requests, waits until those being served are answered
// and the answers have been taken, or ctx ends, and closes.
func (t *Transport) Shutdown(ctx context.Context) error {
	t.draining.Store(true)
	err := t.running.wait(ctx)
	t.mu.Lock()
	servers := make([]*serverConn, 0, len(t.servers))
	for s := range t.servers {
		servers = append(servers, s)
	}
	t.mu.Unlock()
	// To close a connection with bytes unread would take back answers still
	// on their way. So only our direction is ended; the client ends the rest.
	lingering, cancel := context.WithTimeout(ctx, lingerTimeout)
	defer cancel()
	for _, s := range servers {
		s.finish()
	}
	for _, s := range servers {
		select {
		case <-s.ctx.Done():
		case <-lingering.Done():
		}
	}
	return errors.Join(err, t.Close())
}

// Close ends everything: listeners, connections, calls and the contexts of
// handlers. It returns when all goroutines have ended, so not before every
// handler has returned.
func (t *Transport) Close() error {
	t.draining.Store(true)
	t.mu.Lock()
	t.closed = true
	listeners, conns := t.listeners, t.conns
	t.listeners = nil
	cut := make([]*secureConn, 0, len(conns))
	for sc := range conns {
		cut = append(cut, sc)
	}
	layers := make([]*raftLayer, 0, len(t.groups))
	for _, l := range t.groups {
		layers = append(layers, l)
	}
	t.mu.Unlock()
	t.cancel()
	var errs []error
	for ln := range listeners {
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("transport: close listener: %w", err))
		}
	}
	for _, l := range layers {
		errs = append(errs, l.Close())
	}
	for _, sc := range cut {
		t.discard(sc)
	}
	t.wg.Wait()
	return errors.Join(errs...)
}

// spawn runs f in a goroutine Close waits for; not after Close.
func (t *Transport) spawn(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.wg.Add(1)
	go func() {
		defer t.wg.Done()
		f()
	}()
	return true
}

func (t *Transport) verify(cs tls.ConnectionState) (*pki.Peer, error) {
	shown := make([][]byte, len(cs.PeerCertificates))
	for i, c := range cs.PeerCertificates {
		shown[i] = c.Raw
	}
	return pki.VerifyPeer(shown, t.cfg.CAs(), t.cfg.ClusterID, t.cfg.Now())
}

func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// running counts handlers and lets one wait until there are none.
type running struct {
	n    atomic.Int64
	mu   sync.Mutex
	idle chan struct{} // closed when n falls to 0; nil if nobody waits
}

func (r *running) enter() { r.n.Add(1) }

func (r *running) leave() {
	if r.n.Add(-1) != 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.idle != nil && r.n.Load() == 0 {
		close(r.idle)
		r.idle = nil
	}
}

func (r *running) wait(ctx context.Context) error {
	r.mu.Lock()
	if r.n.Load() == 0 {
		r.mu.Unlock()
		return nil
	}
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	idle := r.idle
	r.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("transport: %d requests still being served: %w", r.n.Load(), ctx.Err())
	}
}

// limitedLog writes at most one warning a second, so that whoever knocks at
// the port can't fill the disk.
type limitedLog struct {
	log  *slog.Logger
	now  func() time.Time
	mu   sync.Mutex
	next time.Time
	lost int
}

func newLimitedLog(l *slog.Logger, now func() time.Time) *limitedLog {
	return &limitedLog{log: l, now: now}
}

func (l *limitedLog) warn(msg string, args ...any) {
	l.mu.Lock()
	now := l.now()
	if now.Before(l.next) {
		l.lost++
		l.mu.Unlock()
		return
	}
	l.next = now.Add(time.Second)
	lost := l.lost
	l.lost = 0
	l.mu.Unlock()
	if lost > 0 {
		args = append(args, "suppressed", lost)
	}
	l.log.Warn(msg, args...)
}
