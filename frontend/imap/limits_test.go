package imap

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// allocates returns how many octets are allocated, by everything, while f runs:
// no less than what is held at any moment.
func allocates(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Eleven lines of 50 KB from strangers cost next to nothing, whatever they nest
// (facts §2.10: 684 MB). The client's own octets are counted too.
func TestStrangersCostLittle(t *testing.T) {
	k := newKit(t, nil)
	for name, nest := range map[string]string{"OR": "OR ", "NOT": "NOT ", "parentheses": "(", "atoms": "x "} {
		line := "a SEARCH " + strings.Repeat(nest, 50_000/len(nest)) + "\r\n"
		got := allocates(func() {
			for range 11 {
				c := k.dial()
				c.line()
				c.send(line)
				if s := c.line(); s != "a BAD Log in first" {
					t.Errorf("%s: %s", name, s)
				}
			}
		})
		if got > 20<<20 {
			t.Errorf("%s: %d KiB", name, got>>10)
		}
	}
}

// Deep nesting is refused after login as well, and costs about what the line
// does.
func TestNesting(t *testing.T) {
	k := newKit(t, nil)
	c := k.login("alice")
	c.ok("SELECT INBOX")
	const octets = 900_000 // of a line that is not too long
	deep := func(s string) string { return strings.Repeat(s, octets/len(s)) }
	for name, cmd := range map[string]string{
		"OR":             "SEARCH " + deep("OR "),
		"NOT":            "SEARCH " + deep("NOT ") + "ALL",
		"parentheses":    "SEARCH " + deep("("),
		"sort keys":      "SORT " + deep("("),
		"fetch items":    "FETCH 1 " + deep("("),
		"list":           "LIST " + deep("("),
		"status":         "STATUS INBOX " + deep("("),
		"id":             "ID " + deep("("),
		"notify":         "NOTIFY SET " + deep("("),
		"sources":        "ESEARCH IN " + deep("("),
		"sections":       "FETCH 1 BODY[" + deep("1."),
		"store":          "STORE 1 FLAGS " + deep("("),
		"metadata":       "GETMETADATA " + deep("("),
		"search results": "SEARCH RETURN " + deep("("),
	} {
		got := allocates(func() {
			if lines, tagged := c.do(cmd); !strings.HasPrefix(tagged, "BAD ") || len(lines) > 0 {
				t.Errorf("%s: %q %s", name, lines, tagged)
			}
		})
		// The line is put together here, copied by fmt and held by the server,
		// whose buffer doubles as it grows.
		if got > 16*octets {
			t.Errorf("%s: %d KiB", name, got>>10)
		}
		c.ok("NOOP")
	}
}

// A command line of more than 1 MB is passed over, and not kept.
func TestLongLine(t *testing.T) {
	k := newKit(t, nil)
	c := k.login("alice")
	const size = 30 << 20
	got := allocates(func() {
		c.send("long SEARCH TEXT \"")
		piece := bytes.Repeat([]byte("x"), 64<<10)
		for range size / len(piece) {
			if _, err := c.conn.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		c.send("\"\r\n")
		if _, tagged := c.until("long"); !strings.HasPrefix(tagged, "BAD ") {
			t.Error(tagged)
		}
	})
	if got > 8<<20 {
		t.Errorf("%d KiB for a line of %d", got>>10, size>>10)
	}
	c.ok("NOOP")
}

// Commands sent without waiting are executed one after the other, each sees
// what the one before did, and each is answered: also where one of them waits
// for input or fails.
func TestPipelining(t *testing.T) {
	k := newKit(t, nil)
	c := k.dial()
	raw := "Subject: x\r\n\r\nx\r\n"
	c.send("a ID NIL\r\nb LOGIN alice@example.org secret\r\nc SELECT INBOX\r\n" +
		fmt.Sprintf("d APPEND INBOX {%d+}\r\n%s\r\n", len(raw), raw) +
		"e UID SEARCH ALL\r\nf NOSUCH\r\ng FETCH 9 UID\r\nh IDLE\r\nDONE\r\ni STORE 1 +FLAGS.SILENT (\\Deleted)\r\nj EXPUNGE\r\nk FETCH 1 UID\r\n" +
		"l IDLE\r\ndone\r\nm UNAUTHENTICATE\r\nn LOGIN bob@example.org secret\r\no LOGOUT\r\n")
	c.line()
	for _, want := range []struct{ tag, tagged, line string }{
		{"a", "OK", "* ID"}, {"b", "OK", ""}, {"c", "OK", "* 0 EXISTS"}, {"d", "OK", "* 1 EXISTS"}, {"e", "OK", "* SEARCH 1"}, {"f", "BAD", ""}, {"g", "BAD", ""},
		{"h", "OK", "+ idling"}, {"i", "OK", ""}, {"j", "OK", "* 1 EXPUNGE"}, {"k", "BAD", ""}, {"l", "OK", "+ idling"}, {"m", "OK", ""}, {"n", "OK", ""}, {"o", "OK", "* BYE"},
	} {
		lines, tagged := c.until(want.tag)
		if !strings.HasPrefix(tagged, want.tagged) || !strings.HasPrefix(strings.Join(lines, "\n"), want.line) {
			t.Errorf("%s: %q %s", want.tag, lines, tagged)
		}
	}
	c.closed("")
}
