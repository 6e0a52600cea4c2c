package imap

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// countingConn counts writes.
type countingConn struct {
	net.Conn
	writes atomic.Int64
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// A large answer over TLS is a write for each piece, not for each record, and
// what the TLS layer writes by itself meanwhile is in order.
func TestCork(t *testing.T) {
	server, client := testTLS(t)
	a, b := net.Pipe()
	count := &countingConn{Conn: a}
	under := &cork{Conn: count}
	c, sc := tls.Client(b, client), tls.Server(under, server)
	s := &session{conn: sc, cork: under}
	want := bytes.Repeat([]byte("0123456789abcdef"), outputPiece/16)
	const pieces = 20
	failed := make(chan error, 1)
	go func() {
		if err := sc.Handshake(); err != nil {
			failed <- err
			return
		}
		for range pieces {
			if _, err := s.put(want); err != nil {
				failed <- err
				return
			}
			if _, err := s.put([]byte("small")); err != nil {
				failed <- err
				return
			}
		}
		failed <- s.conn.Close()
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, bytes.Repeat(append(bytes.Clone(want), "small"...), pieces)) {
		t.Errorf("%d octets came, want %d", len(got), pieces*(len(want)+5))
	}
	// The handshake and the goodbye take a few.
	if n := count.writes.Load(); n > 2*pieces+8 {
		t.Errorf("%d writes for %d pieces", n, 2*pieces)
	}
	if under.held != nil {
		t.Error("still holding")
	}
}

// A connection that is gone is an error of the piece that could not be sent.
func TestCorkBroken(t *testing.T) {
	a, b := net.Pipe()
	under := &cork{Conn: a}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	s := &session{conn: under, cork: under}
	if _, err := s.put(make([]byte, outputPiece)); err == nil {
		t.Error("written to nobody")
	}
	if _, err := s.put(make([]byte, 10)); err == nil {
		t.Error("written to nobody")
	}
}
