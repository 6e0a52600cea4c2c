package transport

import (
	"bufio"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"

	"altmail.se/altmail/cluster"
)

// holdMax is how much ciphertext is gathered for one write to the network.
const holdMax = 128 << 10

// rawConn is the TCP connection below TLS. TLS writes record by record of at
// most 16 KiB; while held, they are gathered so that a large write costs few
// system calls and wakes the other side seldom.
type rawConn struct {
	net.Conn
	r    *bufio.Reader
	mu   sync.Mutex
	held bool
	buf  []byte

	in, out atomic.Uint64 // bytes that came, and that the kernel took
}

func newRawConn(c net.Conn) *rawConn {
	return &rawConn{Conn: c, r: bufio.NewReaderSize(c, 32<<10)}
}

func (c *rawConn) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.in.Add(uint64(n))
	return n, err
}

func (c *rawConn) put(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.out.Add(uint64(n))
	return n, err
}

func (c *rawConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.held {
		return c.put(p)
	}
	if len(c.buf) > 0 && len(c.buf)+len(p) > holdMax {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

// flush is called with mu held.
func (c *rawConn) flush() error {
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.put(c.buf)
	c.buf = c.buf[:0]
	return err
}

func (c *rawConn) hold() {
	c.mu.Lock()
	c.held = true
	c.mu.Unlock()
}

func (c *rawConn) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	err := c.flush()
	if cap(c.buf) > 2*holdMax {
		c.buf = nil
	}
	return err
}

// secureConn is an authenticated connection.
type secureConn struct {
	*tls.Conn
	raw  *rawConn
	peer cluster.NodeID
	wmu  sync.Mutex
}

// Write writes p in as few pieces as possible.
func (c *secureConn) Write(p []byte) (int, error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if len(p) <= 16<<10 {
		return c.Conn.Write(p)
	}
	c.raw.hold()
	n, err := c.Conn.Write(p)
	if rerr := c.raw.release(); err == nil {
		err = rerr
	}
	return n, err
}

// writeParts writes all parts with one flush.
func (c *secureConn) writeParts(first []byte, parts [][]byte) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.raw.hold()
	_, err := c.Conn.Write(first)
	for _, p := range parts {
		if err != nil {
			break
		}
		if len(p) > 0 {
			_, err = c.Conn.Write(p)
		}
	}
	if rerr := c.raw.release(); err == nil {
		err = rerr
	}
	return err
}

// Close closes the connection at once. tls.Conn.Close would first wait up to
// five seconds for a stuck write to send its alert; nothing here needs the
// alert, because every protocol above knows its own end.
func (c *secureConn) Close() error { return c.raw.Conn.Close() }
