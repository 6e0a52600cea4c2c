package imap

import (
	"crypto/tls"

	"altmail.se/altmail/frontend/deflate"
	"altmail.se/altmail/frontend/imapwire"
)

// cmdCompress is of RFC 4978 section 3.
func cmdCompress(c *call) error {
	c.args.SP()
	mechanism := c.args.Word()
	if err := c.args.End(); err != nil {
		return err
	}
	s := c.s
	if mechanism != "DEFLATE" {
		return bad("No such compression")
	}
	if s.compressed() {
		return no("COMPRESSIONACTIVE", "Compression is on already")
	}
	if s.rd.Buffered() {
		// Nobody can tell whether what follows is compressed. It was sent
		// before the OK, so it is not; and it is executed as what it is.
		return &imapwire.SyntaxError{Text: "COMPRESS is the last command before its response"}
	}
	s.w.Status(s.frame.Tag, "OK", "", "Compression is on from here")
	if err := s.w.Flush(); err != nil {
		return &connError{err}
	}
	c.done = true
	s.conn = deflate.NewConn(s.conn)
	s.rd.Discard(s.conn) // there is nothing
	return nil
}

// compressed reports whether the connection is.
func (s *session) compressed() bool {
	_, ok := s.conn.(*deflate.Conn)
	return ok
}

// tlsConn returns the TLS of the connection, also below compression.
func (s *session) tlsConn() (*tls.Conn, bool) {
	conn := s.conn
	if z, ok := conn.(*deflate.Conn); ok {
		conn = z.Conn
	}
	c, ok := conn.(*tls.Conn)
	return c, ok
}
