package imap

import (
	"bytes"
	"compress/flate"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// squeezed is a client's end of a compressed connection, made of Go's library.
// Reading does not depend on the flush, which here is a sync flush always.
type squeezed struct {
	net.Conn
	r interface{ Read([]byte) (int, error) }
	w *flate.Writer
}

func squeeze(t testing.TB, conn net.Conn) *squeezed {
	w, err := flate.NewWriter(conn, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	return &squeezed{Conn: conn, r: flate.NewReader(conn), w: w}
}

func (s *squeezed) Read(p []byte) (int, error) { return s.r.Read(p) }

func (s *squeezed) Write(p []byte) (int, error) {
	if _, err := s.w.Write(p); err != nil {
		return 0, err
	}
	return len(p), s.w.Flush()
}

// compress turns compression on for a client.
func (c *client) compress() {
	c.t.Helper()
	c.ok("COMPRESS DEFLATE")
	if c.r.Buffered() > 0 {
		c.t.Fatal("something came behind the OK before anything was sent")
	}
	c.conn = squeeze(c.t, c.conn)
	c.r = newReader(c.conn)
}

func TestCompress(t *testing.T) {
	server, tlsClient := testTLS(t)
	k := newKit(t, func(c *Config) { c.TLS = server })
	for _, secure := range []bool{false, true} {
		c := k.dial()
		c.line()
		c.gets("COMPRESS DEFLATE", "BAD Log in first")
		if secure {
			c.ok("STARTTLS")
			conn := tls.Client(c.conn, tlsClient)
			if err := conn.Handshake(); err != nil {
				t.Fatal(err)
			}
			c = k.wrap(conn)
		}
		if caps := c.ok("CAPABILITY"); strings.Contains(caps[0], "COMPRESS") {
			t.Fatal(caps)
		}
		c.ok("LOGIN alice@example.org secret")
		if caps := c.ok("CAPABILITY"); !strings.Contains(caps[0], " COMPRESS=DEFLATE") {
			t.Fatal(caps)
		}
		c.gets("COMPRESS", "BAD")
		c.gets("COMPRESS LZMA", "BAD No such compression")
		c.gets("COMPRESS DEFLATE 9", "BAD")
		c.gets("COMPRESS {7+}\r\nDEFLATE", "BAD")
		c.compress()
		if caps := c.ok("CAPABILITY"); strings.Contains(caps[0], "COMPRESS") || strings.Contains(caps[0], "STARTTLS") {
			t.Fatal(caps)
		}
		c.gets("COMPRESS DEFLATE", "NO [COMPRESSIONACTIVE]")
		c.ok("SELECT INBOX")
		raw := "Subject: " + strings.Repeat("much ", 20) + "\r\n\r\n" + strings.Repeat("the same again\r\n", 20000)
		c.ok(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(raw), raw))
		// A literal that is waited for.
		c.send("s1 APPEND INBOX {14}\r\n")
		if s := c.line(); !strings.HasPrefix(s, "+ ") {
			t.Fatal(s)
		}
		c.send("Subject: y\r\n\r\n\r\n")
		c.until("s1")
		got := c.ok("FETCH 1 BODY.PEEK[]")
		if want := fmt.Sprintf("* 1 FETCH (BODY[] {%d}\r\n%s)", len(raw), raw); len(got) != 1 || got[0] != want {
			t.Fatalf("%d octets came back, want %d", len(got[0]), len(want))
		}
		// Pipelining goes on as ever.
		c.send("q1 NOOP\r\nq2 UID SEARCH ALL\r\nq3 FETCH 1 UID\r\n")
		for _, tag := range []string{"q1", "q2", "q3"} {
			if _, s := c.until(tag); !strings.HasPrefix(s, "OK") {
				t.Fatal(tag, s)
			}
		}
		// IDLE, and news while the other end waits.
		c.send("i IDLE\r\n")
		if s := c.line(); s != "+ idling" {
			t.Fatal(s)
		}
		k.deliver("INBOX", "Subject: z\r\n\r\n")
		if s := c.line(); !strings.HasSuffix(s, " EXISTS") {
			t.Fatal(s)
		}
		c.send("DONE\r\n")
		c.until("i")
		c.ok("STORE 1:* +FLAGS.SILENT \\Deleted")
		c.ok("EXPUNGE")
		c.ok("LOGOUT")
	}
}

// TestCompressPartial: a client that flushes as little as it may (iOS does) is
// answered at once.
func TestCompressPartial(t *testing.T) {
	text, err := os.ReadFile("testdata/partial.txt")
	if err != nil {
		t.Fatal(err)
	}
	k := newKit(t, nil)
	c := k.login("alice")
	plain := c.conn
	c.compress()
	for i, line := range strings.Fields(string(text)) {
		b, err := hex.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := plain.Write(b); err != nil {
			t.Fatal(err)
		}
		switch i {
		case 4:
			if s := c.line(); s != "+ idling" {
				t.Fatal(s)
			}
		case 5:
			c.until("p5")
		default:
			c.until(fmt.Sprintf("p%d", i+1))
		}
	}
}

// TestCompressPipelined: RFC 4978 section 3 forbids to send anything behind
// COMPRESS. What was sent all the same is executed as what it is, and there is
// no compression.
func TestCompressPipelined(t *testing.T) {
	k := newKit(t, nil)
	c := k.login("alice")
	c.send("a NOOP\r\nb COMPRESS DEFLATE\r\nc CREATE behind\r\nd NOOP\r\n")
	for _, x := range [][2]string{{"a", "OK"}, {"b", "BAD COMPRESS is the last"}, {"c", "OK"}, {"d", "OK"}} {
		if _, s := c.until(x[0]); !strings.HasPrefix(s, x[1]) {
			t.Fatal(x, s)
		}
	}
	c.compress()
	c.ok("NOOP")
}

// TestCompressCorrupt: what is no compressed data ends the connection, with a
// word, and executes nothing.
func TestCompressCorrupt(t *testing.T) {
	k := newKit(t, nil)
	c := k.login("alice")
	plain := c.conn
	c.compress()
	c.ok("NOOP")
	if _, err := plain.Write([]byte("\x07 CREATE evil\r\n")); err != nil {
		t.Fatal(err)
	}
	if s := c.line(); s != "* BYE Compressed data is corrupt" {
		t.Fatal(s)
	}
	if _, err := c.read(); !errors.Is(err, errGone) {
		t.Fatal(err)
	}
	if got := k.login("alice").ok(`LIST "" evil`); len(got) != 0 {
		t.Fatal(got)
	}
}

// TestCompressLimits: what is bounded is what was inflated.
func TestCompressLimits(t *testing.T) {
	k := newKit(t, func(c *Config) { c.Limits.MessageSize = 1 << 20 })
	c := k.login("alice")
	c.compress()
	c.gets("NOOP "+strings.Repeat("x", 2<<20), "BAD Command line too long")
	c.gets(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", 3<<19, bytes.Repeat([]byte{'x'}, 3<<19)), "NO [TOOBIG]")
	c.ok("NOOP")
	// A bomb is a long command as any other: 64 MiB in 64 KiB.
	c.send("b NOOP ")
	go func() {
		p := bytes.Repeat([]byte{'x'}, 1<<20)
		for range 64 {
			if _, err := c.conn.Write(p); err != nil {
				return // the server has enough
			}
		}
	}()
	for {
		s, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if s == "* BYE Command too long" {
			break
		}
	}
}

// TestCompressUnauthenticated: compression stays when the account changes
// (RFC 8437 section 3), and TLS cannot begin inside it.
func TestCompressUnauthenticated(t *testing.T) {
	server, _ := testTLS(t)
	k := newKit(t, func(c *Config) { c.TLS = server })
	c := k.login("alice")
	c.compress()
	c.ok("UNAUTHENTICATE")
	c.gets("STARTTLS", "BAD TLS is not available")
	c.ok("LOGIN bob@example.org secret")
	c.gets("COMPRESS DEFLATE", "NO [COMPRESSIONACTIVE]")
}

// TestCompressShutdown: the last word comes compressed as well.
func TestCompressShutdown(t *testing.T) {
	k := newKit(t, nil)
	c := k.login("alice")
	c.compress()
	c.send("i IDLE\r\n")
	c.line()
	k.srv.Kick(func(SessionInfo) bool { return true })
	if s := c.line(); s != "* BYE Connection ended by an operator" {
		t.Fatal(s)
	}
}
