package imapwire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"
)

// seeds are one of each command, and of each form of each.
var seeds = []string{
	"a ESEARCH IN (selected personal subtree-one (x y) mailboxes \"z\") RETURN (MIN PARTIAL 1:2) CHARSET utf-8 SUBJECT x\r\n", "a ESEARCH ALL\r\n",
	"a CAPABILITY\r\n", "a NOOP\r\n", "a LOGOUT\r\n", "a STARTTLS\r\n", "a IDLE\r\nDONE\r\n",
	"a ID NIL\r\n", "a ID (\"name\" \"x\" \"version\" NIL)\r\n", "a ID ({4+}\r\nname {1+}\r\nx)\r\n",
	"a LOGIN user pass\r\n", "a LOGIN \"us\\\"er\" {4}\r\npass\r\n", "a LOGIN {4+}\r\nuser {4+}\r\npass\r\n",
	"a AUTHENTICATE PLAIN\r\nAHUAcA==\r\n", "a AUTHENTICATE PLAIN AHUAcA==\r\n", "a AUTHENTICATE PLAIN =\r\n",
	"a ENABLE CONDSTORE IMAP4rev2 UTF8=ACCEPT\r\n",
	"a SELECT INBOX\r\n", "a EXAMINE \"Tom &- Jerry\" (CONDSTORE)\r\n", "a SELECT {3+}\r\nabc\r\n",
	"a SELECT x (QRESYNC (67890007 20050715194045000 41,43:211,214:541))\r\n", "a EXAMINE x (CONDSTORE QRESYNC (1 9223372036854775807))\r\n",
	"a SELECT x (qresync (1 2 1:29997 (5000,7500,9990:9999 15000,22500,29970:29979)) condstore)\r\n", "a SELECT x (QRESYNC (1 2 (1,3 2,9)))\r\n",
	"a CREATE x (USE (\\Drafts))\r\n", "a DELETE x\r\n", "a RENAME x y\r\n", "a SUBSCRIBE x\r\n", "a UNSUBSCRIBE x\r\n",
	"a LIST \"\" *\r\n", "a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (\"%\" INBOX/*) RETURN (CHILDREN SPECIAL-USE STATUS (MESSAGES SIZE))\r\n",
	"a LSUB \"\" %\r\n", "a NAMESPACE\r\n", "a STATUS x (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ APPENDLIMIT MAILBOXID)\r\n",
	"a APPEND x (\\Seen $Junk) \" 5-Nov-2026 01:02:03 +0100\" {5}\r\nhello\r\n",
	"a APPEND x {5+}\r\nhello {3+}\r\nyou\r\n", "a APPEND x ~{3+}\r\na\x00b\r\n", "a APPEND x UTF8 (~{3+}\r\nabc)\r\n",
	"a APPEND x CATENATE (TEXT {1+}\r\nb URL \"/x;UIDVALIDITY=3/;UID=1/;SECTION=1.MIME\" UTF8 (~{1+}\r\nc)) {1+}\r\nd\r\n",
	"a REPLACE 4 x (\\Draft) {1+}\r\nb\r\n", "a UID REPLACE * {1+}\r\nx CATENATE (URL {1+}\r\ny)\r\n",
	"a NOTIFY NONE\r\n", "a NOTIFY SET STATUS (SELECTED (MessageNew (UID BODY.PEEK[HEADER.FIELDS (From)]) MessageExpunge FlagChange)) (SUBTREE (x y) (MailboxName)) (MAILBOXES z NONE)\r\n",
	"a GETMETADATA \"\" /shared/comment\r\n", "a GETMETADATA (MAXSIZE 1024 DEPTH infinity) INBOX (/shared/comment {3+}\r\n/xy)\r\n", "a GETMETADATA INBOX (DEPTH 1) (/private/x)\r\n",
	"a SETMETADATA INBOX (/private/comment {3+}\r\nabc /shared/x ~{2+}\r\na\x00 /shared/y NIL)\r\n", "a LIST \"\" % RETURN (METADATA (\"/shared/x\") STATUS (MESSAGES))\r\n",
	"a CHECK\r\n", "a CLOSE\r\n", "a UNSELECT\r\n", "a EXPUNGE\r\n", "a UID EXPUNGE 1:*\r\n",
	"a SEARCH ALL\r\n", "a UID SEARCH RETURN (MIN MAX COUNT SAVE) CHARSET UTF-8 OR NOT SEEN (FROM x TO {1+}\r\ny) 1:5,7 UID $ HEADER X-Y \"\"\r\n",
	"a UID SORT RETURN (PARTIAL -1:-5 UPDATE) (REVERSE DATE SUBJECT) UTF-8 ALL\r\n", "a THREAD REFERENCES UTF-8 UNSEEN 1:9\r\n",
	"a SEARCH MODSEQ \"/flags/\\\\draft\" all 620162338 YOUNGER 3 SINCE 1-Feb-1994 SAVEDON \"01-Feb-1994\" KEYWORD $Junk LARGER 3\r\n",
	"a FETCH 1 ALL\r\n", "a FETCH 1 PREVIEW (LAZY)\r\n", "a FETCH 1 (PREVIEW (LAZY) UID PREVIEW)\r\n", "a FETCH 1:*,3 (FLAGS UID BODY[1.2.HEADER.FIELDS (From \"To\")]<0.100> BINARY.SIZE[1] BINARY.PEEK[2]<1.2> RFC822.TEXT) (CHANGEDSINCE 12)\r\n",
	"a UID FETCH $ (BODY.PEEK[TEXT] BODYSTRUCTURE BODY ENVELOPE INTERNALDATE RFC822.SIZE MODSEQ EMAILID THREADID SAVEDATE)\r\n",
	"a UID FETCH 300:500,* (FLAGS) (VANISHED CHANGEDSINCE 12345)\r\n",
	"a STORE 1 FLAGS ()\r\n", "a STORE 1:3 (UNCHANGEDSINCE 12) +FLAGS.SILENT (\\Seen a)\r\n", "a UID STORE * -FLAGS \\Deleted b\r\n",
	"a COPY 1 x\r\n", "a UID COPY 1:2 {1+}\r\nx\r\n", "a MOVE 1 x\r\n", "a UID MOVE $ x\r\n",
}

// scanner frames one command and returns a scanner of its arguments.
func scanner(in string, utf8 bool) (*Scanner, error) {
	rd := NewReader(&pipe{in: bytes.NewReader([]byte(in + "\r\n"))}, func() error { return nil })
	f := new(Frame)
	if err := rd.ReadFrame(f, &testGate{lim: Limits{Command: 1 << 20, Literal: 1 << 20, Drain: 1 << 20}}); err != nil {
		return nil, err
	}
	return NewScanner(f, utf8), nil
}

func scan(t *testing.T, in string, utf8 bool) *Scanner {
	t.Helper()
	s, err := scanner(in, utf8)
	if err != nil {
		t.Fatalf("%q: %v", in, err)
	}
	return s
}

// any parse of a command, by its name.
func parseAny(name string, s *Scanner) any {
	switch name {
	case "FETCH", "UID FETCH":
		return s.Fetch()
	case "STORE", "UID STORE":
		return s.Store()
	case "SEARCH", "UID SEARCH":
		return s.Search()
	case "ESEARCH":
		return s.MultiSearch()
	case "SORT", "UID SORT":
		return s.Sort()
	case "THREAD", "UID THREAD":
		return s.Thread()
	case "LIST":
		return s.ListArgs()
	case "STATUS":
		m, it := s.Status()
		return fmt.Sprint(m, it)
	case "SELECT", "EXAMINE":
		return s.Select()
	case "CREATE":
		m, u := s.Create()
		return fmt.Sprint(m, u)
	case "APPEND":
		return s.Append()
	case "GETMETADATA":
		return s.GetMetadata()
	case "SETMETADATA":
		m, v := s.SetMetadata()
		return fmt.Sprint(m, v)
	case "NOTIFY":
		return s.Notify()
	case "REPLACE", "UID REPLACE":
		n, a := s.Replace()
		return fmt.Sprint(n, a)
	case "ID":
		return s.ID()
	case "COPY", "UID COPY", "MOVE", "UID MOVE":
		s.SP()
		n := s.NumSet()
		s.SP()
		return fmt.Sprint(n, s.Mailbox())
	case "LOGIN", "RENAME":
		s.SP()
		a := s.Astring()
		s.SP()
		return fmt.Sprintf("%s %s", a, s.Astring())
	case "AUTHENTICATE":
		s.SP()
		a := s.Word()
		if s.Peek(' ') {
			s.SP()
			return a + string(s.Base64())
		}
		return a
	}
	return nil
}

func TestSeedsParse(t *testing.T) {
	for _, in := range seeds {
		s := scan(t, strings.TrimSuffix(in, "\r\n"), false)
		if name := s.f.Name; parseAny(name, s) != nil {
			if err := s.End(); err != nil {
				t.Errorf("%q: %v", in, err)
			}
		}
	}
}

func TestScanErrors(t *testing.T) {
	deep := strings.Repeat
	for _, in := range []string{
		"a FETCH", "a FETCH 1", "a FETCH 0 FLAGS", "a FETCH 1 (FLAGS", "a FETCH 1 ()", "a FETCH 1 FLAGS x", "a FETCH 1,, FLAGS",
		"a FETCH 4294967296 FLAGS", "a FETCH 1 BODY[", "a FETCH 1 BODY[1.]", "a FETCH 1 BODY[1TEXT]", "a FETCH 1 BODY[MIME]",
		"a FETCH 1 BODY[HEADER.FIELDS ()]", "a FETCH 1 BODY[]<1>", "a FETCH 1 BODY[]<1.0>", "a FETCH 1 BODY[]<1.99999999999999999999>",
		"a FETCH 1 BODY[0]", "a FETCH 1 NOSUCH", "a FETCH 1 FLAGS (NOSUCH 1)", "a FETCH 1 (ALL)", "a FETCH 1:2:3 FLAGS", "a FETCH 1 \x00",
		"a STORE 1 FLAGS", "a STORE 1 FLAGS (\\)", "a STORE 1 *FLAGS x", "a STORE 1 (UNCHANGEDSINCE) FLAGS x", "a STORE 1 FLAGS (a) b",
		"a SEARCH", "a SEARCH NOSUCH", "a SEARCH OR ALL", "a SEARCH NOT", "a SEARCH (ALL", "a SEARCH FROM", "a SEARCH SINCE 32-Feb-1994x",
		"a SEARCH RETURN (X) ALL", "a SEARCH MODSEQ x", "a SEARCH ALL)", "a SEARCH YOUNGER 0", "a SEARCH HEADER X",
		"a SEARCH " + deep("NOT ", 60) + "ALL", "a SEARCH " + deep("OR ", 60) + deep("ALL ", 61), "a SEARCH " + deep("(", 60) + "ALL" + deep(")", 60),
		"a SEARCH " + deep("SEEN ", maxKeys+1) + "SEEN",
		"a LIST", "a LIST \"\"", "a LIST (X) \"\" *", "a LIST (RECURSIVEMATCH) \"\" *", "a LIST \"\" () RETURN ()", "a LIST \"\" * RETURN (X)",
		"a STATUS x ()", "a STATUS x MESSAGES", "a STATUS x (X)", "a SELECT x (X)", "a SELECT \"x", "a SELECT \"x\\y\"", "a SELECT x y",
		"a SELECT &", "a SELECT &AGE-", "a SELECT \"R&D\"", "a SELECT &AAA", "a SELECT \xff", "a CREATE x (USE \\All)",
		"a APPEND x", "a APPEND x y", "a APPEND x (a {1+}\r\nb", "a APPEND x {1+}\r\nb c", "a APPEND x \"1-Foo-2020 00:00:00 +0000\" {1+}\r\nb",
		"a APPEND x UTF8 (~{1+}\r\nb", "a ID x", "a ID (\"a\")", "a LOGIN a {1+}\r\n\x00", "a LOGIN \"a\"b c",
		"a SELECT x {1+}\r\nb", "a SELECT \"x {1+}\r\nb\"",
	} {
		s := scan(t, in, false)
		parseAny(s.f.Name, s)
		err := s.End()
		var syn *SyntaxError
		if !errors.As(err, &syn) {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if syn.Text == "" || len(syn.Text) > 80 {
			t.Errorf("%q: text %q", in, syn.Text)
		}
	}
}

func TestFetchArgs(t *testing.T) {
	for in, want := range map[string]string{
		"BODY[]":                            "BODY[]",
		"body.peek[header]":                 "BODY[HEADER]",
		"BODY[1.2.HEADER]":                  "BODY[1.2.HEADER]",
		"BODY[1.MIME]<5.10>":                "BODY[1.MIME]<5>",
		"BODY[TEXT]<0.1>":                   "BODY[TEXT]<0>",
		"BODY[header.fields (a {1+}\r\nb)]": "BODY[HEADER.FIELDS (a b)]",
		"BODY[HEADER.FIELDS.NOT (\"a b\")]": `BODY[HEADER.FIELDS.NOT ("a b")]`,
		"BINARY[1.2]":                       "BINARY[1.2]",
		"BINARY.PEEK[]<3.4>":                "BINARY[]<3>",
		"BINARY.SIZE[1]":                    "BINARY.SIZE[1]",
		"RFC822.HEADER":                     "RFC822.HEADER",
	} {
		s := scan(t, "a FETCH 1 "+in, false)
		f := s.Fetch()
		if err := s.End(); err != nil || len(f.Atts) != 1 || f.Atts[0].Section.Name != want {
			t.Errorf("%s: %v, %+v", in, err, f.Atts)
		}
	}
	s := scan(t, "a FETCH 5:2,* (FLAGS BODY) (CHANGEDSINCE 7 VANISHED)", false)
	f := s.Fetch()
	if err := s.End(); err != nil || *f.ChangedSince != 7 || !f.Vanished || len(f.Atts) != 2 || f.Atts[1].Item != FetchBody {
		t.Errorf("%v %+v", err, f)
	}
	if got := f.Set.Resolve(9); !slices.Equal(got, []NumRange{{2, 5}, {9, 9}}) {
		t.Error(got)
	}
}

func TestDates(t *testing.T) {
	s := scan(t, `a X " 5-Nov-2026 01:02:03 -0830"`, false)
	s.SP()
	got := s.DateTime()
	if err := s.End(); err != nil || got.Format(time.RFC3339) != "2026-11-05T01:02:03-08:30" {
		t.Error(got, err)
	}
	if b := AppendDateTime(nil, got); string(b) != `" 5-Nov-2026 01:02:03 -0830"` {
		t.Errorf("%s", b)
	}
	s = scan(t, `a X 5-nov-2026 "05-Nov-2026"`, false)
	s.SP()
	a := s.Date()
	s.SP()
	if b := s.Date(); s.End() != nil || !a.Equal(b) || a.Day() != 5 {
		t.Error(a, b, s.Err())
	}
}

func TestUTF7(t *testing.T) {
	for utf8, enc := range map[string]string{
		"": "", "INBOX": "INBOX", "R&D": "R&-D", "Entwürfe": "Entw&APw-rfe", "台北": "&U,BTFw-", "~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
		"😀": "&2D3eAA-", "a&ü&": "a&-&APw-&-", "Gesendete Elemente": "Gesendete Elemente",
	} {
		if got := string(AppendUTF7(nil, utf8)); got != enc {
			t.Errorf("%q: %q, want %q", utf8, got, enc)
		}
		if got, ok := DecodeUTF7(enc); !ok || got != utf8 {
			t.Errorf("%q: %q %v, want %q", enc, got, ok, utf8)
		}
	}
	for _, bad := range []string{"&", "&AGE-", "&U,BTFw", "&U-", "&2D0-", "&3gA-", "&APw-&APw-", "&====-", "a&*-"} {
		if got, ok := DecodeUTF7(bad); ok {
			t.Errorf("%q decodes to %q", bad, got)
		}
	}
}

// A name in raw UTF-8 is taken in either mode; an ampersand is only itself
// when UTF-8 is on.
func TestMailboxNames(t *testing.T) {
	for _, c := range []struct {
		in   string
		utf8 bool
		want string
	}{
		{`"R&D"`, true, "R&D"}, {`"Tom & Jerry"`, true, "Tom & Jerry"}, {"R&-D", false, "R&D"}, {"R&-D", true, "R&-D"},
		{"inbox", false, "INBOX"}, {"InBox/x", true, "INBOX/x"}, {"inboxes", false, "inboxes"}, {`"Entwürfe"`, false, "Entwürfe"}, {"Entwürfe", true, "Entwürfe"},
		{"a]b", false, "a]b"}, {"{3+}\r\na b", false, "a b"},
	} {
		s := scan(t, "a X "+c.in, c.utf8)
		s.SP()
		got := s.Mailbox()
		if err := s.End(); err != nil || got != c.want {
			t.Errorf("%s %v: %q, %v", c.in, c.utf8, got, err)
		}
	}
}

// Resolve against a set of all numbers.
func TestNumSetTwin(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	for range 2000 {
		most := uint32(rnd.Intn(30))
		var parts []string
		want := map[uint32]bool{}
		for range 1 + rnd.Intn(6) {
			num := func() (string, uint32) {
				if rnd.Intn(5) == 0 {
					return "*", most
				}
				n := uint32(1 + rnd.Intn(40))
				return fmt.Sprint(n), n
			}
			s, a := num()
			b := a
			if rnd.Intn(2) == 0 {
				var s2 string
				s2, b = num()
				s += ":" + s2
			}
			parts = append(parts, s)
			for n := min(a, b); n <= max(a, b); n++ {
				if n > 0 && (most > 0 || !strings.Contains(s, "*")) {
					want[n] = true
				}
			}
		}
		s := scan(t, "a X "+strings.Join(parts, ","), false)
		s.SP()
		set := s.NumSet()
		if err := s.End(); err != nil {
			t.Fatal(parts, err)
		}
		got := map[uint32]bool{}
		last := uint32(0)
		for _, r := range set.Resolve(most) {
			if r.First > r.Last || last != 0 && r.First <= last+1 {
				t.Fatalf("%v of %d: not merged: %v", parts, most, set.Resolve(most))
			}
			last = r.Last
			for n := r.First; n <= r.Last; n++ {
				got[n] = true
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%v of %d: %v, want %v", parts, most, got, want)
		}
	}
	if got := merge([]NumRange{{1, 1<<32 - 1}, {5, 6}}); len(got) != 1 {
		t.Error(got)
	}
}

func FuzzParser(f *testing.F) {
	for _, s := range seeds {
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, in string, utf8 bool) {
		s, err := scanner(in, utf8)
		if err != nil {
			return
		}
		parseAny(s.f.Name, s)
		_ = s.End()
		if s.pos > len(s.b) {
			t.Fatal("read past the end")
		}
		if s, err = scanner(in, utf8); err == nil {
			if _, _, err := s.AppendSoFar(); err != nil {
				var syn *SyntaxError
				if !errors.As(err, &syn) {
					t.Fatal(err)
				}
			}
		}
	})
}

func FuzzUTF7(f *testing.F) {
	f.Add("R&-D")
	f.Add("&2D3eAA-x")
	f.Fuzz(func(t *testing.T, in string) {
		name, ok := DecodeUTF7(in)
		if !ok {
			return
		}
		if strings.Contains(in, "&") {
			if back := string(AppendUTF7(nil, name)); isASCII(in) && back != in {
				t.Fatalf("%q is %q is %q", in, name, back)
			}
		}
	})
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func TestWriter(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out)
	w.Status("a", "OK", "", "bye\r\nb OK injected")
	w.Untagged("LIST").SP().Open().Item().Raw(`\A`).Item().Raw(`\B`).Close().Raw(` "/" `).Mailbox("Entwürfe & Co").CRLF()
	w.Untagged("X").SP().String("a\"b\\c").SP().String("ä").SP().String("a\r\nb").SP().Astring("").SP().Astring("NIL").SP().String("nul\x00").CRLF()
	w.UTF8 = true
	w.Untagged("X").SP().String("ä").SP().String("\xff").SP().Mailbox("R&D").SP().Mailbox("ü").CRLF()
	w.UntaggedNum(3, "FETCH").SP().Set([]NumRange{{1, 1}, {3, 9}}).CRLF()
	if out.Len() != 0 {
		t.Error("sent before it had to be")
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "a OK byeb OK injected\r\n" +
		"* LIST (\\A \\B) \"/\" \"Entw&APw-rfe &- Co\"\r\n" +
		"* X \"a\\\"b\\\\c\" {2}\r\nä {4}\r\na\r\nb \"\" \"NIL\" \"nul\"\r\n" +
		"* X \"ä\" {1}\r\n\xff R&D \"ü\"\r\n* 3 FETCH 1,3:9\r\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	if w.held != nil || w.buf != nil {
		t.Error("holds a buffer after Flush")
	}
}

type failing struct{ n int }

func (f *failing) Write(p []byte) (int, error) {
	if f.n--; f.n < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// After the connection failed, nothing piles up.
func TestWriterFails(t *testing.T) {
	w := NewWriter(&failing{1})
	big := make([]byte, 100<<10)
	for range 100 {
		w.SetBuf(append(w.Buf(), big...))
	}
	if err := w.Flush(); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	if _, err := w.Write(big); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

type sizes struct{ n []int }

func (s *sizes) Write(p []byte) (int, error) { s.n = append(s.n, len(p)); return len(p), nil }

// Many small responses are few writes (facts: one for each line cost 13 times
// the speed).
func TestWriterCoalesces(t *testing.T) {
	var s sizes
	w := NewWriter(&s)
	for i := range 10000 {
		w.UntaggedNum(uint32(i), "FETCH (FLAGS ())").CRLF()
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if len(s.n) > 10 {
		t.Errorf("%d writes", len(s.n))
	}
}
