package imap

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// FuzzSession throws input at a session in each state. Whatever it is, the
// server answers in the protocol's terms, does not panic, and an untouched
// mailbox is still there.
func FuzzSession(f *testing.F) {
	for _, s := range sessionSeeds {
		for state := range 4 {
			f.Add(uint8(state), []byte(s+"\r\n"))
		}
	}
	k := newKit(f, func(c *Config) {
		c.Limits.Bad, c.Limits.BadPreAuth, c.Limits.BadLogins = 5, 5, 5
		c.Limits.MessageSize = 1 << 16
	})
	k.deliver("INBOX", "Subject: kept\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ntwo\r\n--b--\r\n")
	f.Fuzz(func(t *testing.T, state uint8, in []byte) {
		// What a fuzzer finds out about IDLE is how long it lasts.
		if len(in) > 1<<14 || bytes.Contains(bytes.ToUpper(in), []byte("INBOX")) && bytes.Contains(bytes.ToUpper(in), []byte("EXPUNGE")) {
			return
		}
		c := &client{t: t, log: func(string) {}}
		conn := k.dialFor(t)
		defer conn.Close()
		c.conn, c.r = conn, bufio.NewReader(conn)
		c.line()
		if state%4 > 0 {
			c.ok("LOGIN alice@example.org secret")
		}
		switch state % 4 {
		case 2:
			c.ok("EXAMINE INBOX")
		case 3:
			c.ok("ENABLE IMAP4rev2")
			c.ok("EXAMINE INBOX")
		}
		go func() {
			// The end ends whatever the input began: a literal, IDLE, SASL.
			if _, err := conn.Write(in); err == nil {
				conn.(interface{ CloseWrite() error }).CloseWrite()
			}
		}()
		for {
			s, err := c.read()
			if errors.Is(err, errGone) || errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(s, "* ") && !strings.HasPrefix(s, "+ ") && !strings.Contains(s, " OK ") && !strings.Contains(s, " NO ") && !strings.Contains(s, " BAD ") {
				t.Fatalf("not a response: %q", s)
			}
			if strings.Contains(s, "SERVERBUG") {
				t.Fatalf("%q to %q", s, in)
			}
		}
		if n := k.srv.Stats().Panics; n != 0 {
			t.Fatal("panic")
		}
	})
}

var sessionSeeds = []string{
	"a CAPABILITY", "a LOGIN alice@example.org secret", "a AUTHENTICATE PLAIN\r\nAGFsaWNl", "a ID (\"a\" NIL)", "a STARTTLS",
	"a ENABLE CONDSTORE UTF8=ACCEPT", "a SELECT Trash (CONDSTORE)", "a EXAMINE INBOX", "a CREATE x/y (USE (\\Junk))", "a DELETE x", "a RENAME x y",
	"a SUBSCRIBE x", "a UNSUBSCRIBE x", "a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (% *) RETURN (CHILDREN STATUS (MESSAGES SIZE))", "a LSUB \"\" %",
	"a SETACL Trash bob@example.org +lrc", "a DELETEACL INBOX \"-x\"", "a GETACL INBOX", "a LISTRIGHTS {5+}\r\nTrash anyone", "a MYRIGHTS \"Other Users/bob@example.org/x\"",
	"a LIST \"Other Users/\" (% *) RETURN (MYRIGHTS SUBSCRIBED)", "a EXAMINE \"Other Users/bob@example.org/x\"",
	"a NAMESPACE", "a STATUS INBOX (MESSAGES RECENT UIDNEXT HIGHESTMODSEQ)", "a APPEND Trash (\\Seen x) \" 5-Nov-2026 01:02:03 +0100\" {5+}\r\nhello {2+}\r\nyo",
	"a APPEND Trash ~{3+}\r\n\x00\x01\x02", "a IDLE\r\nDONE", "a CHECK", "a CLOSE", "a UNSELECT", "a UID EXPUNGE 9",
	"a ENABLE QRESYNC\r\nb EXAMINE INBOX (QRESYNC (1 1 1:5,9 (1 1)) CONDSTORE)\r\nc UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)\r\nd EXAMINE INBOX (QRESYNC (2 9223372036854775807))",
	"a SORT RETURN (ALL UPDATE) (REVERSE DATE SUBJECT) UTF-8 ALL", "a UID THREAD REFERENCES UTF-8 1:*", "a CANCELUPDATE \"a\"", "a UID FETCH 1:* UID (PARTIAL -1:-2)", "a COMPRESS DEFLATE",
	"a SEARCH OR NOT SEEN (FROM x) BODY one TEXT two SENTSINCE 1-Feb-1994 HEADER X \"\"", "a UID SEARCH RETURN (MIN MAX ALL COUNT SAVE) CHARSET utf-8 1:* MODSEQ 1",
	"a ESEARCH IN (personal subtree-one Trash mailboxes (INBOX x)) RETURN (COUNT) TEXT one", "a ESEARCH RETURN (UPDATE) 1 SUBJECT kept",
	"a FETCH 1:* (FLAGS UID ENVELOPE BODY BODYSTRUCTURE INTERNALDATE RFC822.SIZE MODSEQ EMAILID THREADID SAVEDATE)",
	"a FETCH 1 (BODY[] BODY[HEADER] BODY[TEXT] BODY[1] BODY[1.MIME] BODY[2.HEADER.FIELDS (A)]<1.2> BINARY[1] BINARY.SIZE[2] RFC822.HEADER)",
	"a UID FETCH $ FLAGS (CHANGEDSINCE 1)", "a STORE 1 (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Seen a)", "a UID STORE 1 FLAGS ()", "a COPY 1 Trash", "a UID MOVE 1 Trash",
}
