package deflate

import (
	"io"
	"net"
	"sync"
)

const (
	// idleBuffer is what a connection that waits holds for input. A usual
	// command fits.
	idleBuffer = 256
	readBuffer = 8 << 10
)

var buffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// Conn speaks compressed over another connection. Each Write can be read at
// the other end as soon as it has arrived; a Read returns whatever can be
// decoded. Errors of the connection below, deadlines among them, leave it
// usable. Like a net.Conn it may be read and written by two goroutines at a
// time.
//
// While a Read waits it holds what RFC 1951 asks for (the last 32 KiB that
// were received, if there were so many), the last 4 KiB that were sent and a
// small buffer. A corrupt stream is a *CorruptError; after the end of the
// peer's stream there is io.EOF.
type Conn struct {
	net.Conn // below

	in     Inflater
	small  [idleBuffer]byte
	pooled *[readBuffer]byte
	src    []byte // received and not decoded yet
	full   bool   // the last read filled its buffer
	more   bool   // there may be more to deliver without another octet

	mu      sync.Mutex
	out     Deflater
	waiting bool // a Read waits: the peer is to say something
	werr    error
}

// NewConn compresses over conn from the next octet on, in both directions.
func NewConn(conn net.Conn) *Conn { return &Conn{Conn: conn} }

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if c.more || len(c.src) > 0 {
			n, m, err := c.in.Inflate(p, c.src)
			c.src = c.src[m:]
			// With room left, everything there was is in p. An error waits
			// for the next call.
			c.more = n == len(p) || err != nil
			if n > 0 {
				return n, nil
			}
			if err != nil {
				return 0, err
			}
		}
		if err := c.receive(); err != nil {
			return 0, err
		}
	}
}

// receive waits for octets.
func (c *Conn) receive() error {
	buf := c.small[:]
	switch {
	case c.full:
		// There is more than a command.
		if c.pooled == nil {
			c.pooled = buffers.Get().(*[readBuffer]byte)
		}
		buf = c.pooled[:]
	case c.pooled != nil:
		buffers.Put(c.pooled)
		c.pooled = nil
	}
	c.rest(true)
	n, err := c.Conn.Read(buf)
	c.rest(false)
	c.src, c.full = buf[:n], n == len(buf)
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// rest gives the compressor away while the peer is waited for.
func (c *Conn) rest(waiting bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = waiting
	if waiting {
		c.out.Rest()
	}
}

// Write implements net.Conn. After an error, which leaves the stream in the
// middle of something, there are only errors.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.werr != nil {
		return 0, c.werr
	}
	b, err := c.out.Deflate(p)
	if err == nil && len(b) > 0 {
		_, err = c.Conn.Write(b)
	}
	if c.waiting {
		c.out.Rest()
	}
	if err != nil {
		c.werr = err
		return 0, err
	}
	return len(p), nil
}
