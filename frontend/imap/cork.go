package imap

import (
	"net"
	"sync"
)

// cork is the connection under TLS, which writes each record of at most 16 KiB
// by itself. Between hold and release the records are collected, so that a
// large piece of output is one write to the system. Another goroutine may
// write meanwhile, as TLS does when it answers what it reads.
type cork struct {
	net.Conn

	mu   sync.Mutex
	held *[]byte // nil: nothing is held
}

// corkBuffer has room for a piece of output and what TLS adds to it.
const corkBuffer = outputPiece + 1<<10

var corkBuffers = sync.Pool{New: func() any { b := make([]byte, 0, corkBuffer); return &b }}

func (c *cork) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		return c.Conn.Write(p)
	}
	*c.held = append(*c.held, p...)
	return len(p), nil
}

// hold begins to collect. What is held is bounded by what is written until
// release.
func (c *cork) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = corkBuffers.Get().(*[]byte)
	}
}

// release sends what was collected.
func (c *cork) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		return nil
	}
	_, err := c.Conn.Write(*c.held)
	*c.held = (*c.held)[:0]
	corkBuffers.Put(c.held)
	c.held = nil
	return err
}
