package proxyproto

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Listener accepts connections of clients and of proxies. One from a proxy has
// to begin with a header, and is given on once it was read, under the client's
// address. From everybody else a header is nothing but bad input.
type Listener struct {
	net.Listener
	cfg   Config
	ready chan accepted
	done  chan struct{}
	once  sync.Once

	mu      sync.Mutex
	reading map[net.Conn]struct{} // connections of which the header is read
}

// Config says who is a proxy.
type Config struct {
	From    []netip.Prefix // the proxies
	Timeout time.Duration  // for a header to come; 0 for 5 s
	Logger  *slog.Logger   // nil for none
}

// maxReading bounds the headers that are waited for at a time.
const maxReading = 4096

type accepted struct {
	conn net.Conn
	err  error
}

// Listen wraps a listener. Without proxies it is returned as it is.
func Listen(l net.Listener, cfg Config) net.Listener {
	if len(cfg.From) == 0 {
		return l
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Listener{Listener: l, cfg: cfg, ready: make(chan accepted), done: make(chan struct{}), reading: map[net.Conn]struct{}{}}
	go p.run()
	return p
}

// Accept returns the next connection of a client.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends the listener, and the connections that have no client yet.
func (l *Listener) Close() error {
	err := error(net.ErrClosed)
	l.once.Do(func() {
		close(l.done)
		err = l.Listener.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		for c := range l.reading {
			l.drop(c)
		}
	})
	return err
}

func (l *Listener) drop(c net.Conn) {
	if err := c.Close(); err != nil {
		l.cfg.Logger.Debug("proxyproto: close", "err", err)
	}
}

// run accepts, so that no client waits for another's proxy.
func (l *Listener) run() {
	for {
		c, err := l.Listener.Accept()
		switch {
		case err != nil:
			if !l.give(accepted{err: err}) {
				return
			}
		case !l.isProxy(c.RemoteAddr()):
			l.give(accepted{conn: c})
		case l.begin(c):
			go l.read(c)
		default:
			l.drop(c)
		}
	}
}

// give hands a connection to Accept; it reports false after Close.
func (l *Listener) give(a accepted) bool {
	select {
	case l.ready <- a:
		return true
	case <-l.done:
		if a.conn != nil {
			l.drop(a.conn)
		}
		return false
	}
}

func (l *Listener) isProxy(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	return slices.ContainsFunc(l.cfg.From, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// begin makes a connection known to Close.
func (l *Listener) begin(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		return false
	default:
	}
	if len(l.reading) >= maxReading {
		return false
	}
	l.reading[c] = struct{}{}
	return true
}

// read reads the header of one connection.
func (l *Listener) read(c net.Conn) {
	client, err := l.header(c)
	l.mu.Lock()
	delete(l.reading, c)
	l.mu.Unlock()
	if err != nil {
		l.cfg.Logger.Info("proxyproto: connection of a proxy without a header is refused", "proxy", c.RemoteAddr().String(), "err", err)
		l.drop(c)
		return
	}
	if client != nil {
		c = &conn{c, client}
	}
	l.give(accepted{conn: c})
}

func (l *Listener) header(c net.Conn) (*net.TCPAddr, error) {
	if err := c.SetReadDeadline(time.Now().Add(l.cfg.Timeout)); err != nil {
		return nil, err
	}
	client, err := readHeader(c)
	if err != nil {
		return nil, err
	}
	return client, c.SetReadDeadline(time.Time{})
}

// conn is a connection through a proxy.
type conn struct {
	net.Conn
	client *net.TCPAddr
}

// RemoteAddr returns the client's address.
func (c *conn) RemoteAddr() net.Addr { return c.client }
