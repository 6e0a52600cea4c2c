package imap

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/mailstore"
)

// TestNotifyEnds: a client that only listens is told goodbye like any other.
func TestNotifyEnds(t *testing.T) {
	k := newKit(t, nil)
	c := k.login("alice")
	c.ok("NOTIFY SET (INBOXES (MessageNew MessageExpunge))")
	if n := k.srv.Kick(func(i SessionInfo) bool { return i.Account == k.alice }); n != 1 {
		t.Fatal(n)
	}
	c.closed("* BYE Connection ended by an operator")

	c = k.login("alice")
	c.ok("NOTIFY SET (INBOXES (MessageNew MessageExpunge))")
	ctx, cancel := context.WithTimeout(context.Background(), clientWait)
	defer cancel()
	if err := k.srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	c.closed("* BYE [UNAVAILABLE] Server is shutting down, connect again")

	k = newKit(t, func(c *Config) { c.Limits.Idle = 50 * time.Millisecond })
	c = k.login("alice")
	c.send("x NOTIFY SET (INBOXES (MessageNew MessageExpunge))\r\n")
	c.until("x")
	c.closed("* BYE Idle for too long")
}

// TestNotifyOverflow: more mailboxes than a session may watch are refused at
// once, or when they come.
func TestNotifyOverflow(t *testing.T) {
	k := newKit(t, func(c *Config) { c.Limits.Watched = 8 })
	c, d := k.login("alice"), k.login("alice") // 6 mailboxes
	c.ok("NOTIFY SET (PERSONAL (MessageNew MessageExpunge))")
	d.ok("CREATE x")
	d.ok("CREATE y")
	d.ok("APPEND x {4+}\r\nabc\n")
	if s := c.line(); !strings.HasPrefix(s, "* STATUS x ") {
		t.Error(s)
	}
	d.ok("CREATE z")
	if s := c.line(); !strings.HasPrefix(s, "* OK [NOTIFICATIONOVERFLOW]") {
		t.Error(s)
	}
	// As after NOTIFY NONE.
	d.ok("APPEND x {4+}\r\nabc\n")
	c.ok("SELECT x")
	d.ok("APPEND x {4+}\r\nabc\n")
	if lines := c.ok("NOOP"); len(lines) != 0 {
		t.Errorf("%q", lines)
	}
	c.gets("NOTIFY SET (PERSONAL (MailboxName))", "NO [NOTIFICATIONOVERFLOW]")
	c.ok("NOTIFY SET (MAILBOXES (x y) (MessageNew MessageExpunge))")
}

// TestNotifyMany: more changes than are kept apart lead to the same.
func TestNotifyMany(t *testing.T) {
	n := &notify{pending: map[mailstore.MailboxID]struct{}{}}
	for i := range maxPending + 1 {
		if n.all {
			t.Fatal("too early")
		}
		n.note([]mailstore.Event{{Mailbox: mailstore.MailboxID(i + 1)}})
	}
	if !n.all || len(n.pending) != maxPending {
		t.Error(n.all, len(n.pending))
	}

	k := newKit(t, nil)
	c, d := k.login("alice"), k.login("alice")
	c.ok("NOTIFY SET (PERSONAL (MessageNew MessageExpunge FlagChange MailboxName))")
	// While the client is in a command nothing is told; then all at once.
	c.send("x SELECT {5}\r\n")
	if s := c.line(); s != "+ Ready" {
		t.Fatal(s)
	}
	for i := range 20 {
		d.ok(fmt.Sprintf("CREATE m%02d", i))
		d.ok(fmt.Sprintf("APPEND m%02d {4+}\r\nabc\n", i))
	}
	// The feed gave up on details: everything is compared.
	k.stack.Feed.Publish([]mailstore.Event{{Group: k.stack.Open(k.alice).Group(), Reset: true}})
	c.send("INBOX\r\n")
	c.until("x")
	for i := range 20 {
		if s, want := c.line(), fmt.Sprintf(`* LIST (\HasNoChildren) "/" m%02d`, i); s != want {
			t.Errorf("%q, want %q", s, want)
		}
	}
	d.ok("APPEND m07 {4+}\r\nabc\n")
	if s := c.line(); s != "* STATUS m07 (MESSAGES 2 UIDNEXT 3 UIDVALIDITY "+between(s, "UIDVALIDITY ", " ")+" UNSEEN 2)" {
		t.Error(s)
	}
}

func between(s, from, to string) string {
	_, rest, _ := strings.Cut(s, from)
	in, _, _ := strings.Cut(rest, to)
	return in
}

// TestNotifyUntold: what a client does not want to be told of it cannot count
// on knowing.
func TestNotifyUntold(t *testing.T) {
	k := newKit(t, nil)
	k.deliver("INBOX", "Subject: a\r\n\r\n")
	k.deliver("INBOX", "Subject: b\r\n\r\n")
	c, d := k.login("alice"), k.login("alice")
	c.ok("ENABLE QRESYNC")
	known := between(strings.Join(c.ok("SELECT INBOX"), "\n"), "HIGHESTMODSEQ ", "]")
	c.ok("NOTIFY SET (SELECTED-DELAYED (MessageNew MessageExpunge))")
	d.ok("SELECT INBOX")
	d.ok("STORE 1 +FLAGS (\\Flagged)")
	d.ok("STORE 2 +FLAGS (\\Deleted)")
	d.ok("EXPUNGE")
	lines, tagged := c.do("NOOP")
	if len(lines) != 1 || lines[0] != "* VANISHED 2" {
		t.Errorf("%q %s", lines, tagged)
	}
	lines = c.ok("UID FETCH 1 (MODSEQ)")
	if n := len(lines); n != 2 || lines[1] != "* OK [HIGHESTMODSEQ "+known+"] Highest" {
		t.Errorf("%q, known %s", lines, known)
	}
}
