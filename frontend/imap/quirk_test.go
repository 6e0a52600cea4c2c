package imap

import (
	"regexp"
	"strings"
	"testing"
)

// TestManyConnections: Apple Mail, and a family behind one address, open many
// at a time. 64 for an account are always let in, and are counted for the
// account, not for the address they come from.
func TestManyConnections(t *testing.T) {
	k := newKit(t, nil)
	var all []*client
	for range 64 {
		all = append(all, k.login("alice"))
	}
	k.login("bob").ok("SELECT INBOX")
	for _, c := range all {
		c.ok("SELECT INBOX")
	}
	k.deliver("INBOX", "Subject: x\r\n\r\nx\r\n")
	for i, c := range all {
		if lines := strings.Join(c.ok("NOOP"), "\n"); !strings.Contains(lines, "* 1 EXISTS") {
			t.Errorf("connection %d: %q", i, lines)
		}
	}
}

// TestUIDValidityStays: clients throw everything away when it changes. It stays
// through all that may happen to a mailbox but its end, and no other mailbox of
// that name has it again.
func TestUIDValidityStays(t *testing.T) {
	k := newKit(t, nil)
	c := k.login("alice")
	validity := func(box string) string {
		t.Helper()
		m := regexp.MustCompile(`UIDVALIDITY (\d+)`).FindStringSubmatch(strings.Join(c.ok("STATUS "+box+" (UIDVALIDITY)"), "\n"))
		if m == nil {
			t.Fatal("no UIDVALIDITY")
		}
		return m[1]
	}
	c.ok("CREATE box")
	first := validity("box")
	for i, cmd := range []string{"APPEND box {4+}\r\na: b", "SELECT box", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE", "CLOSE", "SUBSCRIBE box", "CREATE box/below", "DELETE box/below", "RENAME box case", "RENAME case box"} {
		c.ok(cmd)
		if cmd == "RENAME box case" {
			continue
		}
		if got := validity("box"); got != first {
			t.Errorf("%d %s: %s was %s", i, cmd, got, first)
		}
	}
	seen := map[string]bool{first: true}
	for range 3 {
		c.ok("DELETE box")
		c.ok("CREATE box")
		v := validity("box")
		if seen[v] {
			t.Errorf("%s comes again", v)
		}
		seen[v] = true
		if got := c.ok("STATUS box (UIDNEXT)"); !strings.Contains(strings.Join(got, ""), "UIDNEXT 1)") {
			t.Error(got)
		}
	}
}
