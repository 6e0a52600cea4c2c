package group

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// streams is the stream layer under raft's transport. A connection begins with
// the server name it is meant for: a node that came back under a new
// incarnation must not be taken for the member it was, which may have voted.
// And streams remembers the open connections, so that stopping does not wait
// for the deadlines of calls under way.
type streams struct {
	raft.StreamLayer
	self string

	mu     sync.Mutex
	conns  map[*trackedConn]struct{}
	closed bool
}

type trackedConn struct {
	net.Conn
	s *streams
	// greet is what is still to be read (incoming) or written (outgoing) of
	// the name; each side has one reader and one writer.
	incoming bool
	greet    []byte
}

var errWrongServer = errors.New("group: a connection for another server")

func newStreams(l raft.StreamLayer, self raft.ServerID) *streams {
	return &streams{StreamLayer: l, self: string(self), conns: make(map[*trackedConn]struct{})}
}

func greeting(name string) []byte { return append([]byte{byte(len(name))}, name...) }

func (s *streams) track(c net.Conn, incoming bool, name string) (net.Conn, error) {
	t := &trackedConn{Conn: c, s: s, incoming: incoming, greet: greeting(name)}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	s.conns[t] = struct{}{}
	s.mu.Unlock()
	return t, nil
}

func (s *streams) Accept() (net.Conn, error) {
	c, err := s.StreamLayer.Accept()
	if err != nil {
		return nil, err
	}
	return s.track(c, true, s.self)
}

// Read checks the name first. A name that differs ends the connection.
func (c *trackedConn) Read(p []byte) (int, error) {
	if c.incoming && c.greet != nil {
		got := make([]byte, len(c.greet))
		if _, err := io.ReadFull(c.Conn, got); err != nil {
			return 0, err
		}
		if string(got) != string(c.greet) {
			return 0, errWrongServer
		}
		c.greet = nil
	}
	return c.Conn.Read(p)
}

// Write sends the name together with the first bytes.
func (c *trackedConn) Write(p []byte) (int, error) {
	if !c.incoming && c.greet != nil {
		n, err := c.Conn.Write(append(c.greet, p...))
		if n -= len(c.greet); err != nil {
			return max(n, 0), err
		}
		c.greet = nil
		return n, nil
	}
	return c.Conn.Write(p)
}

func (s *streams) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := s.StreamLayer.Dial(addr, timeout)
	if err != nil {
		return nil, err
	}
	return s.track(c, false, string(addr))
}

// cut closes every open connection; for good if last.
func (s *streams) cut(last bool) {
	s.mu.Lock()
	s.closed = s.closed || last
	all := make([]*trackedConn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		c.Close() // the peer sees the end either way
	}
}

func (c *trackedConn) Close() error {
	c.s.mu.Lock()
	delete(c.s.conns, c)
	c.s.mu.Unlock()
	return c.Conn.Close()
}
