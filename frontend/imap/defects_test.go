package imap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"altmail.se/altmail/frontend/auth"
	"altmail.se/altmail/frontend/imapwire"
)

// Each test here is a defect found in another server (the facts behind DESIGN.md
// §4); none of them may ever be one of ours.

// No octet of a command that was refused is executed: the literals are drained
// and the mailbox they wanted to delete is still there.
func TestInjection(t *testing.T) {
	k := newKit(t, func(c *Config) { c.Limits.MessageSize = 3 << 20 })
	evil := "\r\nEVIL DELETE Victim\r\n"
	big := strings.Repeat("x", 1<<20)
	for name, cmd := range map[string]string{
		"a literal too long":         fmt.Sprintf("SEARCH TEXT {%d+}\r\n%s%s", len(big)+len(evil), big, evil),
		"a message too long":         fmt.Sprintf("APPEND INBOX {%d+}\r\n%s%s%s%s%s", 4*len(big)+len(evil), big, big, big, big, evil),
		"a message over quota":       fmt.Sprintf("APPEND INBOX {%d+}\r\n%s%s", len(big)+len(evil), big, evil),
		"a line too long":            "SEARCH TEXT \"" + big + "\" EVIL DELETE Victim",
		"text behind a message":      fmt.Sprintf("APPEND INBOX {5+}\r\nhello {%d+}\r\n%s x", len(evil), evil),
		"an unknown command":         fmt.Sprintf("NOSUCH {%d+}\r\n%s", len(evil), evil),
		"a command without args":     fmt.Sprintf("NOOP {%d+}\r\n%s", len(evil), evil),
		"a literal in a quoted text": fmt.Sprintf("SELECT \"x {%d+}\r\n%s\"", len(evil), evil),
		"a message with a bad part":  fmt.Sprintf("APPEND INBOX CATENATE (TEXT {%d+}\r\n%s URL {3+}\r\nx/y)", len(evil), evil),
		"a message of unknown parts": fmt.Sprintf("APPEND INBOX CATENATE (BLOB {%d+}\r\n%s)", len(evil), evil),
		"replacing nothing":          fmt.Sprintf("UID REPLACE 1 INBOX {%d+}\r\n%s", len(evil), evil),
		"a literal without its tag":  "",
	} {
		c := k.login("alice")
		if name == "a message over quota" {
			k.option("quota 100000")
		}
		if _, tagged := c.do("CREATE Victim"); !strings.HasPrefix(tagged, "OK") && !strings.Contains(tagged, "ALREADYEXISTS") {
			t.Fatal(tagged)
		}
		c.ok("SELECT Victim")
		if cmd == "" {
			c.send(fmt.Sprintf("{%d+}\r\n%s\r\n", len(evil), evil))
			if s := c.line(); !strings.HasPrefix(s, "* BAD") {
				t.Errorf("%s: %s", name, s)
			}
		} else if lines, tagged := c.do(cmd); strings.HasPrefix(tagged, "OK") || len(lines) > 0 {
			t.Errorf("%s: %q %s", name, lines, tagged)
		}
		if s := c.ok("LIST \"\" Victim"); len(s) != 1 {
			t.Errorf("%s: the mailbox is gone", name)
		}
		c.ok("NOOP")
		if name == "a message over quota" {
			k.option("quota 0")
		}
	}
}

// A set of UIDs of any length that fits is a set, and no end of the connection.
func TestLongSet(t *testing.T) {
	k := newKit(t, nil)
	c := k.login("alice")
	c.ok("SELECT INBOX")
	var set strings.Builder
	for i := range 50000 {
		fmt.Fprintf(&set, "%d,", 2*i+1)
	}
	c.ok("UID FETCH " + set.String() + "1 FLAGS")
}

// A blank line, a bad tag, and garbage: BAD, and the next command works.
func TestBadLines(t *testing.T) {
	k := newKit(t, nil)
	c := k.login("alice")
	for _, line := range []string{"", " ", "x", "(", "a", "\x00", "a  NOOP", "+ NOOP", "\xff\xfe NOOP", "a \x00", "a {", "%s%s SEARCH"} {
		c.send(line + "\r\n")
		if s := c.line(); !strings.Contains(s, " BAD ") {
			t.Errorf("%q: %s", line, s)
		}
	}
	c.ok("NOOP")
	// Not without end.
	for range 60 {
		if _, err := io.WriteString(c.conn, "\r\n"); err != nil {
			break
		}
	}
	c.closed("* BYE Too many bad commands")
	// Before login there is less patience: HTTP ends soon.
	h := k.dial()
	h.line()
	h.send("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nC: d\r\nE: f\r\nG: h\r\n\r\n")
	h.closed("* BYE Too many bad commands")
}

// Before login neither a long line nor a deep one is parsed or kept.
func TestBeforeLogin(t *testing.T) {
	k := newKit(t, nil)
	c := k.dial()
	c.line()
	if lines, tagged := c.do("SEARCH " + strings.Repeat("OR ", 15000)); tagged != "BAD Log in first" || len(lines) != 0 {
		t.Error(lines, tagged)
	}
	c.gets("LOGIN {8193}", "BAD")
	c.gets("APPEND INBOX {10}", "BAD Log in first")
	c.gets("APPEND INBOX {10+}\r\n0123456789", "BAD Log in first")
	c.ok("ID ({4+}\r\nname {7+}\r\nOutlook)") // what new Outlooks send first
	c.ok("LOGIN {17+}\r\nalice@example.org {6+}\r\nsecret")
	// More than may be skipped ends the connection.
	d := k.dial()
	d.line()
	if _, err := io.WriteString(d.conn, "a LOGIN {9999999+}\r\n"); err != nil {
		t.Fatal(err)
	}
	d.closed("* BYE Command too long")
}

// Nothing of a message that other servers choke on ends a session.
func TestCraftedMessages(t *testing.T) {
	k := newKit(t, nil)
	c := k.login("alice")
	crafted := []string{
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n",
		"Content-Type: multipart/mixed\r\n\r\n--\r\n",
		">From x\r\nno colon\r\nSubject: a\r\n\r\nbody\r\n",
		"Subject: bare\nTo: lf\n\nbody\nwith\nlf",
		"Subject: header only",
		"\r\n",
		strings.Repeat("Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n", 300),
		strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 300),
		"From: " + strings.Repeat("(", 5000) + "\r\nTo: " + strings.Repeat("a:,;<@", 5000) + "\r\n\r\n",
		"Subject: \xff\xfe\x80 \"quote\\\r\n\tfolded\r\n\r\n\xff",
		"Content-Type: text/plain; charset=\"no\\such\"; a=b; a=c\r\nContent-Disposition: ;;;\r\nContent-Language: ,,\r\n\r\nx",
		"Content-Transfer-Encoding: base64\r\n\r\n====!!!AA",
	}
	for _, raw := range crafted {
		c.ok(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(raw), raw))
	}
	c.ok("SELECT INBOX")
	for _, cmd := range []string{"FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY)", "FETCH 1:* (BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[1.1.1.1])",
		"FETCH 1:* (BODY.PEEK[HEADER.FIELDS (Subject From)] BODY.PEEK[HEADER.FIELDS.NOT (Subject)] BODY.PEEK[TEXT])",
		"FETCH 1:* BINARY.PEEK[1]", "FETCH 1:* BINARY.SIZE[1]"} {
		if lines := c.ok(cmd); len(lines) != len(crafted) {
			t.Errorf("%s: %d answers", cmd, len(lines))
		}
	}
	c.ok("SEARCH OR TEXT nothing HEADER x y SENTON 1-Jan-2020")
	// Byte for byte.
	for i, raw := range crafted {
		want := fmt.Sprintf("* %d FETCH (BODY[] {%d}\r\n%s)", i+1, len(raw), raw)
		if got := c.ok(fmt.Sprintf("FETCH %d BODY.PEEK[]", i+1)); got[0] != want {
			t.Errorf("got %.200q\nwant %.200q", got[0], want)
		}
	}
}

// Long SASL lines: tokens of tens of KiB are in use.
func TestLongSASL(t *testing.T) {
	k := newKit(t, nil)
	c := k.dial()
	c.line()
	c.send("a AUTHENTICATE PLAIN\r\n")
	c.line()
	c.send(strings.Repeat("QUFB", 12000) + "\r\n")
	if _, s := c.until("a"); !strings.HasPrefix(s, "NO") {
		t.Error(s)
	}
	c.ok("LOGIN alice@example.org secret")
}

// The real mechanisms against the real verifiers, under TLS.
func TestRealLogin(t *testing.T) {
	k := newKit(t, nil)
	a, err := auth.New(k.stack.Lookup, 2, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	k.serve(func(c *Config) { c.Auth = a }, false)
	c := k.dial()
	c.line()
	c.gets("LOGIN alice@example.org wrong", "NO [AUTHENTICATIONFAILED]")
	c.ok("LOGIN alice@example.org secret")
	c.ok("SELECT INBOX")
}

// The state decides before the arguments are looked at, in every state and for
// every command.
func TestStateBeforeArguments(t *testing.T) {
	for name, cmd := range commands {
		s := &session{srv: New(Config{})}
		_, err := s.command(name)
		if allowed := cmd.states&notAuthenticated != 0; allowed != (err == nil) {
			t.Errorf("%s before login: %v", name, err)
		}
		var syn *imapwire.SyntaxError
		if errors.As(err, &syn) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A message of a mailbox opened with EXAMINE is never changed, by no command.
func TestReadOnly(t *testing.T) {
	k := newKit(t, nil)
	k.deliver("INBOX", "Subject: x\r\n\r\nx\r\n")
	c := k.login("alice")
	c.ok("EXAMINE INBOX")
	for _, cmd := range []string{"STORE 1 +FLAGS (\\Deleted)", "UID STORE 1 FLAGS.SILENT ()", "EXPUNGE", "UID EXPUNGE 1", "MOVE 1 Trash", "UID MOVE 1 Trash"} {
		c.gets(cmd, "NO [READ-ONLY]")
	}
	c.ok("FETCH 1 BODY[]")
	c.ok("CLOSE")
	box, err := k.stack.Open(k.alice).Mailbox("INBOX")
	if err != nil || box.HighestModSeq != 2 || box.Exists != 1 || box.Unseen != 1 {
		t.Error(box, err)
	}
}

// IDLE and the end of its connection: what runs beside it is over before the
// session lets go of anything. Under the race detector.
func TestIdleEnds(t *testing.T) {
	k := newKit(t, nil)
	for range 20 {
		c := k.login("alice")
		c.ok("SELECT INBOX")
		c.send("a IDLE\r\n")
		c.line()
		done := make(chan struct{})
		go func() {
			defer close(done)
			k.stack.Feed.Publish(nil)
		}()
		c.conn.Close()
		<-done
	}
	eventually(t, "sessions go on", func() bool { return k.srv.Stats().Open == 0 })
}

// The memory for messages on their way in is bounded over all connections, and
// given back however an APPEND ends.
func TestAppendMemory(t *testing.T) {
	k := newKitWith(t, impatient, func(c *Config) { c.Limits.MessageSize = 1000; c.Limits.AppendMemory = 1500 })
	a, b := k.login("alice"), k.login("bob")
	a.send("a APPEND INBOX {1000}\r\n")
	if s := a.line(); s != "+ Ready" {
		t.Fatal(s)
	}
	b.gets("APPEND INBOX {600}", "NO [LIMIT]")
	a.conn.Close()
	eventually(t, "memory is kept", func() bool { return k.srv.Stats().Open == 1 })
	raw := strings.Repeat("x", 999) + "\n"
	for range 3 {
		b.ok(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(raw), raw))
		b.gets(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s garbage", len(raw), raw), "BAD")
		b.gets(fmt.Sprintf("APPEND nosuch {%d+}\r\n%s", len(raw), raw), "NO [TRYCREATE]")
	}
	if err := k.srv.memory.Acquire(context.Background(), 1500); err != nil {
		t.Fatal(err)
	}
	k.srv.memory.Release(1500)
}
