package imap

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/frontend/auth"
	"altmail.se/altmail/mailstore"
)

// testTLS returns a server's and a client's configuration.
func testTLS(t testing.TB) (server, cl *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"mail.example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: pool, ServerName: "mail.example.org"}
}

// eventually waits for something that another goroutine does.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(clientWait)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
		runtime.Gosched()
	}
}

// closed makes sure that the server ends the connection, with a BYE before.
func (c *client) closed(bye string) {
	c.t.Helper()
	last := ""
	for {
		s, err := c.read()
		if errors.Is(err, errGone) {
			break
		}
		if err != nil {
			c.t.Fatal(err)
		}
		last = s
	}
	if !strings.Contains(last, bye) {
		c.t.Fatalf("ended with %q, want %q", last, bye)
	}
}

func TestStartTLS(t *testing.T) {
	server, cl := testTLS(t)
	k := newKit(t, func(c *Config) { c.TLS = server; c.AllowPlaintext = false })
	c := k.dial()
	c.line()
	// What an attacker in the middle puts behind STARTTLS in clear is not
	// executed under TLS (CVE-2011-0411 and its kin).
	c.send("a STARTTLS\r\nevil NOOP\r\n")
	if s := c.line(); !strings.HasPrefix(s, "a OK") {
		t.Fatal(s)
	}
	conn := tls.Client(c.conn, cl)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	secure := k.wrap(conn)
	caps := secure.ok("CAPABILITY")
	if len(caps) != 1 || strings.Contains(caps[0], "STARTTLS") || strings.Contains(caps[0], "LOGINDISABLED") || !strings.Contains(caps[0], "AUTH=SCRAM-SHA-256-PLUS") {
		t.Fatal(caps)
	}
	secure.gets("STARTTLS", "BAD")
	secure.ok("LOGIN alice@example.org secret")
	secure.ok("LOGOUT")
	if _, err := secure.read(); !errors.Is(err, errGone) {
		t.Error(err)
	}
}

func (k *kit) wrap(conn net.Conn) *client {
	c := &client{t: k.t, conn: conn, log: func(string) {}}
	c.r = newReader(conn)
	k.t.Cleanup(func() { conn.Close() })
	return c
}

func TestImplicitTLS(t *testing.T) {
	server, cl := testTLS(t)
	k := newKit(t, nil)
	k.serve(func(c *Config) { c.TLS = server; c.AllowPlaintext = false; c.Limits.Handshake = 50 * time.Millisecond }, true)
	conn, err := tls.Dial("tcp", k.addr, cl)
	if err != nil {
		t.Fatal(err)
	}
	c := k.wrap(conn)
	if s := c.line(); !strings.HasPrefix(s, "* OK [CAPABILITY ") || !strings.Contains(s, "AUTH=PLAIN") {
		t.Fatal(s)
	}
	c.ok("LOGIN alice@example.org secret")
	// A connection that never begins its handshake does not live (facts
	// §2.10: for ever).
	silent, err := net.Dial("tcp", k.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := silent.SetReadDeadline(time.Now().Add(clientWait)); err != nil {
		t.Fatal(err)
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Fatal("a silent connection is kept", err)
	}
	if k.srv.Stats().HandshakeFailed != 1 {
		t.Error(k.srv.Stats())
	}
	// IDLE over TLS: the background read is interrupted and goes on.
	c.ok("SELECT INBOX")
	for i := range 5 {
		c.send("i IDLE\r\n")
		if s := c.line(); s != "+ idling" {
			t.Fatal(s)
		}
		raw := "Subject: x\r\n\r\n"
		other := k.wrapDial(t, cl)
		other.ok(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(raw), raw))
		if s := c.line(); s != fmt.Sprintf("* %d EXISTS", i+1) {
			t.Fatal(s)
		}
		c.line()
		c.send("DONE\r\n")
		c.until("i")
		c.ok("NOOP")
	}
}

func (k *kit) wrapDial(t *testing.T, cl *tls.Config) *client {
	conn, err := tls.Dial("tcp", k.addr, cl)
	if err != nil {
		t.Fatal(err)
	}
	c := k.wrap(conn)
	c.line()
	c.ok("LOGIN alice@example.org secret")
	return c
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// Deadlines: each ends the connection with a word about it.
func TestDeadlines(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*Limits)
		do   func(*client)
		bye  string
	}{
		{"before login", func(l *Limits) { l.PreAuth = 30 * time.Millisecond }, func(*client) {}, "Idle for too long"},
		{"login never", func(l *Limits) { l.Login = 100 * time.Millisecond }, func(c *client) {
			for range 1000 {
				if _, err := io.WriteString(c.conn, "a NOOP\r\n"); err != nil {
					return
				}
				if _, err := c.read(); err != nil {
					return
				}
			}
		}, ""},
		{"autologout", func(l *Limits) { l.Idle = 50 * time.Millisecond }, func(c *client) { c.ok("LOGIN alice@example.org secret") }, "Idle for too long"},
		{"half a command", func(l *Limits) { l.Progress = 50 * time.Millisecond }, func(c *client) {
			c.ok("LOGIN alice@example.org secret")
			c.send("a SELE")
		}, "Idle for too long"},
		{"half a literal", func(l *Limits) { l.Progress = 50 * time.Millisecond }, func(c *client) {
			c.ok("LOGIN alice@example.org secret")
			c.send("a APPEND INBOX {100}\r\n")
			c.line()
			c.send("Subject")
		}, "Idle for too long"},
		{"idle", func(l *Limits) { l.Idle = 80 * time.Millisecond; l.StillHere = 20 * time.Millisecond }, func(c *client) {
			c.ok("LOGIN alice@example.org secret")
			c.send("a IDLE\r\n")
			c.line()
			if s := c.line(); s != "* OK Still here" {
				c.t.Error(s)
			}
		}, "Idle for too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKit(t, func(cfg *Config) { c.set(&cfg.Limits) })
			cl := k.dial()
			cl.line()
			c.do(cl)
			if c.bye != "" {
				cl.closed(c.bye)
			}
			eventually(t, "the session goes on", func() bool { return k.srv.Stats().Open == 0 })
		})
	}
}

// An upload that goes on slowly is not cut off, however long it takes as a
// whole (facts §2.10: 5 minutes for all of it).
func TestSlowUpload(t *testing.T) {
	k := newKit(t, func(c *Config) { c.Limits.Progress = time.Second })
	c := k.login("alice")
	c.send("a APPEND INBOX {40}\r\n")
	c.line()
	tick := time.NewTicker(35 * time.Millisecond)
	defer tick.Stop()
	for i := range 40 {
		<-tick.C
		c.send(string("Subject: 0123456789012345678901234567\r\n\r\n"[min(i, 39)]))
	}
	c.send("\r\n")
	if _, s := c.until("a"); !strings.HasPrefix(s, "OK") {
		t.Error(s)
	}
}

// A client that does not read is not waited for.
func TestClientThatDoesNotRead(t *testing.T) {
	k := newKit(t, nil)
	raw := "Subject: x\r\n\r\n" + strings.Repeat("0123456789abcde\r\n", 1<<18)
	k.deliver("INBOX", raw)
	// Only now, because a busy machine may take its time for so many octets.
	k.serve(func(c *Config) { c.Limits.Progress = 100 * time.Millisecond }, false)
	c := k.login("alice")
	c.ok("SELECT INBOX")
	for range 10 {
		c.send("f FETCH 1 BODY.PEEK[]\r\n")
	}
	eventually(t, "the session goes on", func() bool { return k.srv.Stats().Open == 0 })
	if k.srv.Stats().Lost != 1 {
		t.Error(k.srv.Stats())
	}
}

func TestShutdown(t *testing.T) {
	k := newKit(t, nil)
	waiting, idling, half := k.login("alice"), k.login("alice"), k.login("bob")
	idling.ok("SELECT INBOX")
	idling.send("a IDLE\r\n")
	idling.line()
	half.send("a APPEND INBOX {10}\r\n")
	half.line()
	half.send("x")
	fresh := k.dial()
	fresh.line()
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), clientWait)
		defer cancel()
		done <- k.srv.Shutdown(ctx)
	}()
	for _, c := range []*client{waiting, idling, half, fresh} {
		c.closed("* BYE [UNAVAILABLE] Server is shutting down")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if st := k.srv.Stats(); st.Open != 0 || st.Idle != 0 {
		t.Error(st)
	}
	if _, err := net.Dial("tcp", k.addr); err == nil {
		t.Error("still accepts")
	}
}

func TestKick(t *testing.T) {
	k := newKit(t, nil)
	a, b := k.login("alice"), k.login("bob")
	if ss := k.srv.Sessions(); len(ss) != 2 || ss[0].Account != k.alice || ss[0].TLS || ss[0].Idle {
		t.Fatal(ss)
	}
	if n := k.srv.Kick(func(s SessionInfo) bool { return s.Account == k.alice }); n != 1 {
		t.Fatal(n)
	}
	a.closed("* BYE Connection ended by an operator")
	b.ok("NOOP")
}

func TestConnectionLimits(t *testing.T) {
	k := newKit(t, func(c *Config) { c.Limits.ConnectionsPerAccount = 2; c.Limits.Connections = 4 })
	first := k.login("alice")
	k.login("alice")
	c := k.dial()
	c.line()
	c.gets("LOGIN alice@example.org secret", "NO [LIMIT]")
	c.ok("LOGIN bob@example.org secret")
	k.dial().line()
	k.dial().closed("Too many connections")
	// One that ends makes room.
	first.ok("LOGOUT")
	eventually(t, "no room", func() bool { return k.srv.Stats().Open == 3 })
	k.login("alice")
}

// \Recent: for the session that is told first, and for none after that (RFC
// 3501 section 2.3.2, H23).
func TestRecent(t *testing.T) {
	k := newKit(t, nil)
	k.deliver("INBOX", "Subject: 1\r\n\r\n")
	recent := func(lines []string) string {
		for _, l := range lines {
			if strings.HasSuffix(l, " RECENT") {
				return l
			}
		}
		return "none"
	}
	touched := func(from mailstore.UID) {
		t.Helper()
		eventually(t, "not touched", func() bool {
			box, err := k.stack.Open(k.alice).Mailbox("INBOX")
			return err == nil && box.RecentFrom == from
		})
	}
	a := k.login("alice")
	if s := a.ok("STATUS INBOX (RECENT)"); s[0] != "* STATUS INBOX (RECENT 1)" {
		t.Error(s)
	}
	// EXAMINE sees it and takes nothing.
	if s := recent(a.ok("EXAMINE INBOX")); s != "* 1 RECENT" {
		t.Error(s)
	}
	b := k.login("alice")
	if s := recent(b.ok("SELECT INBOX")); s != "* 1 RECENT" {
		t.Error(s)
	}
	touched(2)
	if s := b.ok("FETCH 1 FLAGS"); s[0] != `* 1 FETCH (FLAGS (\Recent))` {
		t.Error(s)
	}
	c := k.login("alice")
	if s := recent(c.ok("SELECT INBOX")); s != "* 0 RECENT" {
		t.Error(s)
	}
	if s := c.ok("FETCH 1 FLAGS"); s[0] != `* 1 FETCH (FLAGS ())` {
		t.Error(s)
	}
	if s := c.ok("SEARCH RECENT"); s[0] != "* SEARCH" {
		t.Error(s)
	}
	k.deliver("INBOX", "Subject: 2\r\n\r\n")
	if s := b.ok("NOOP"); fmt.Sprint(s) != "[* 2 EXISTS * 2 RECENT]" {
		t.Error(s)
	}
	touched(3)
	if s := b.ok("SEARCH RECENT"); s[0] != "* SEARCH 1 2" {
		t.Error(s)
	}
}

// A SEARCH ends when its client goes away (facts §2.1: it went on).
func TestSearchEndsWithItsClient(t *testing.T) {
	k := newKit(t, nil)
	c := k.login("alice")
	text := "Subject: x\r\n\r\n" + strings.Repeat("some text that does not match\r\n", 1<<15)
	var cmd strings.Builder
	cmd.WriteString("APPEND INBOX")
	for range 20 {
		fmt.Fprintf(&cmd, " {%d+}\r\n%s", len(text), text)
	}
	c.ok(cmd.String())
	c.ok("SELECT INBOX")
	// Bounded by the keys: each looks through all of it.
	c.send("s SEARCH" + strings.Repeat(" OR BODY nothing SUBJECT never", 40) + " BODY naught\r\n")
	c.conn.Close()
	eventually(t, "the search goes on", func() bool { return k.srv.Stats().Open == 0 })
}

// The throttle is asked before each attempt and told how it went.
func TestThrottle(t *testing.T) {
	th := &testThrottle{}
	k := newKit(t, func(c *Config) { c.Throttle = th })
	c := k.dial()
	c.line()
	c.gets("LOGIN alice@example.org wrong", "NO [AUTHENTICATIONFAILED]")
	th.refuse = true
	c.gets("LOGIN alice@example.org secret", "NO [LIMIT]")
	th.refuse = false
	c.ok("LOGIN alice@example.org secret")
	// What is not a guess does not ask; an exchange that goes on decides
	// nothing.
	d := k.dial()
	d.line()
	d.send("a AUTHENTICATE LOGIN\r\n")
	d.line()
	d.send("YWxpY2VAZXhhbXBsZS5vcmc=\r\n")
	d.line()
	d.send("d3Jvbmc=\r\n")
	if s := d.line(); !strings.HasPrefix(s, "a NO [AUTHENTICATIONFAILED]") {
		t.Error(s)
	}
	if want := fmt.Sprint([]auth.Outcome{auth.Wrong, auth.Right, auth.Undecided, auth.Wrong}); fmt.Sprint(th.results) != want {
		t.Error(th.results, want)
	}
}

// A client that is made to wait is told of a shutdown all the same.
func TestShutdownEndsPause(t *testing.T) {
	th := auth.NewThrottle(nil)
	k := newKit(t, nil)
	behind(k, func(c *Config) { c.Throttle = th; c.Limits.BadLogins = 100 }, false)
	c := k.through("192.0.2.1")
	c.line()
	// The pauses are 200, 400 and 800 ms, and then 1.6 s.
	for range 9 {
		c.gets("LOGIN alice@example.org wrong", "NO [AUTHENTICATIONFAILED]")
	}
	c.send("a LOGIN alice@example.org secret\r\n")
	eventually(t, "no pause", func() bool { return th.Stats().Delayed == 4 })
	begin := time.Now()
	if err := k.srv.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	c.closed("* BYE [UNAVAILABLE] Server is shutting down")
	if d := time.Since(begin); d > time.Second {
		t.Errorf("took %s", d)
	}
}

type testThrottle struct {
	refuse  bool
	results []auth.Outcome
}

func (th *testThrottle) Begin(context.Context, net.Addr) (func(auth.Outcome), error) {
	if th.refuse {
		return nil, auth.ErrThrottled
	}
	return func(how auth.Outcome) { th.results = append(th.results, how) }, nil
}

// A session that is open when its account is closed is served no further.
func TestClosedAccount(t *testing.T) {
	k := newKit(t, nil)
	k.deliver("INBOX", "Subject: x\r\n\r\nx\r\n")
	idle, busy := k.login("alice"), k.login("alice")
	for _, c := range []*client{idle, busy} {
		c.ok("SELECT INBOX")
	}
	idle.send("a IDLE\r\n")
	idle.line()
	if err := k.stack.Commit.CloseAccount(context.Background(), k.alice); err != nil {
		t.Fatal(err)
	}
	idle.closed("* BYE Selected mailbox is gone")
	busy.send("a FETCH 1 BODY[]\r\n")
	busy.closed("* BYE Selected mailbox is gone")
}
