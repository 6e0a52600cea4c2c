package imap

import (
	"strings"
	"testing"
)

// TestAppendOvertaken: between the "+" and the literal the mailbox may go, or
// its name may go to another one. The message goes to the mailbox it was let in
// for, or nowhere; and the next APPEND looks again.
func TestAppendOvertaken(t *testing.T) {
	k := newKit(t, nil)
	a, b := k.login("alice"), k.login("alice")
	begin := func(tag, box string) {
		t.Helper()
		a.send(tag + " APPEND " + box + " {5}\r\n")
		if l := a.line(); !strings.HasPrefix(l, "+") {
			t.Fatalf("no place for the literal: %s", l)
		}
	}
	end := func(tag, want string) {
		t.Helper()
		a.send("a\r\n\r\n\r\n")
		if _, got := a.until(tag); !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	b.ok("CREATE box")
	begin("x1", "box")
	b.ok("DELETE box")
	end("x1", "NO [TRYCREATE]")

	b.ok("CREATE box")
	begin("x2", "box")
	b.ok("RENAME box old")
	b.ok("CREATE box")
	end("x2", "OK [APPENDUID")
	begin("x3", "box")
	end("x3", "OK [APPENDUID")
	begin("x4", "box")
	end("x4", "OK [APPENDUID")
	for box, n := range map[string]string{"old": "1", "box": "2"} {
		if got := strings.Join(b.ok("STATUS "+box+" (MESSAGES)"), " "); !strings.Contains(got, "MESSAGES "+n) {
			t.Errorf("%s: %s, want %s messages", box, got, n)
		}
	}
}
