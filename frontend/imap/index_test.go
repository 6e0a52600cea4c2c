package imap

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"altmail.se/altmail/frontend/fulltext"
	"altmail.se/altmail/mailstore/storetest"
)

// indexed has a full-text index that knows all mail.
var indexed = storetest.Options{Extract: fulltext.Extract}

// strangeLetter makes a message of many kinds of text, and breaks some.
func strangeLetter(rnd *rand.Rand) string {
	words := []string{"meeting", "möte", "MÖTE", "smörgåsbord", "Straße", "ﬁne", "中文字", "naïve", "<b>bold</b>", "&aring;r", "=E4", "a@b.example",
		"http://example.org/?q=abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789", "e\u0301te\u0301", "x", "42"}
	text := func(n int) string {
		s := ""
		for range rnd.IntN(n) {
			s += words[rnd.IntN(len(words))] + []string{" ", " ", "\r\n", ", ", "-"}[rnd.IntN(5)]
		}
		return s
	}
	latin := func(s string) string {
		out := ""
		for _, r := range s {
			if r < 256 {
				out += string([]byte{byte(r)})
			}
		}
		return out
	}
	part := func() string {
		switch rnd.IntN(8) {
		case 0:
			return "Content-Type: text/plain; charset=iso-8859-1\r\n\r\n" + latin(text(40))
		case 1:
			return "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>" + strings.ReplaceAll(text(40), "ö", "=C3=B6") + "</p>"
		case 2:
			return "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nbWVldGluZyBpbiBiYXNlNjQgbcO2dGU=\r\n" + []string{"", "!!!", "bWV"}[rnd.IntN(3)]
		case 3:
			return "Content-Type: application/pdf; name=\"meeting.pdf\"\r\nContent-Disposition: attachment; filename*=utf-8''m%C3%B6te.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nbWVldGluZw==\r\n"
		case 4:
			return "Content-Type: message/rfc822\r\n\r\nSubject: inner meeting\r\nFrom: a@b.example\r\n\r\n" + text(10)
		case 5:
			return "Content-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: x-odd\r\n\r\n" + text(10)
		case 6:
			return "Content-Type: text/x-log; charset=koi8-r\r\n\r\n" + "\xf7\xd3\xd4\xd2\xc5\xde\xc1 " + latin(text(10))
		}
		return "Content-Type: text/plain; charset=utf-8\r\n\r\n" + text(60)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "From: A Person <a@b.example>\r\nSubject: %s =?utf-8?Q?m=C3=B6te?= =?iso-8859-1?Q?=E5r?=\r\n folded\tmeeting\r\nMessage-ID: <%d@example.org>\r\n", strings.ReplaceAll(text(3), "\r\n", " "), rnd.Uint64())
	if rnd.IntN(3) == 0 {
		b.WriteString(part())
	} else {
		b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\npreamble meeting\r\n")
		for range 1 + rnd.IntN(4) {
			b.WriteString("--cut\r\n" + part() + "\r\n")
		}
		if rnd.IntN(3) > 0 {
			b.WriteString("--cut--\r\n")
		}
	}
	raw := []byte(b.String())
	if rnd.IntN(3) == 0 {
		for range 1 + rnd.IntN(6) {
			switch i := rnd.IntN(len(raw)); rnd.IntN(3) {
			case 0:
				raw[i] = byte(1 + rnd.IntN(255))
			case 1:
				raw = raw[:min(len(raw), max(i, 20))]
			case 2:
				raw = append(raw[:i:i], raw[min(len(raw), i+rnd.IntN(10)):]...)
			}
		}
	}
	return string(raw)
}

// TestIndexTwin: with the index a search finds what it finds by reading.
func TestIndexTwin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	k := newKitWith(t, indexed, nil)
	c := k.login("alice")
	var letters []string
	for range 250 {
		raw := strangeLetter(rnd)
		if strings.Contains(raw, "\x00") {
			continue
		}
		c.ok(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(raw), raw))
		letters = append(letters, raw)
	}
	c.ok("CREATE Other")
	c.ok("SELECT INBOX")
	needles := []string{"meeting", "MEETING IN", "möte", "mote", "o\u0308te", "straße", "fi", "ﬁ", "文", "a", "x", "<b>", "=e4", "abcdefghijklmnopqrstuvwxyz0123456789abc",
		"subject: ", "folded meeting", "inner meeting", "not there at all", "@", " ", "\r\n", "bord, ", "Встреча", "möteår", "pdf", "Content-Type"}
	for range 30 {
		l := letters[rnd.IntN(len(letters))]
		r := []rune(strings.ToValidUTF8(l, ""))
		if len(r) < 20 {
			continue
		}
		i := rnd.IntN(len(r) - 10)
		needles = append(needles, string(r[i:i+1+rnd.IntN(9)]))
	}
	hits := 0
	look := func() {
		for _, n := range needles {
			for _, form := range []string{"TEXT %s", "BODY %s", "NOT TEXT %s", "OR BODY %s SUBJECT inner", "UNDELETED BODY %s LARGER 300"} {
				key := fmt.Sprintf(form, fmt.Sprintf("{%d+}\r\n%s", len(n), n))
				k.stack.Search.Off(true)
				want := c.ok("SEARCH CHARSET UTF-8 " + key)
				k.stack.Search.Off(false)
				if got := c.ok("SEARCH CHARSET UTF-8 " + key); strings.Join(got, "\n") != strings.Join(want, "\n") {
					t.Fatalf("%q: %q, want %q", key, got, want)
				}
				hits += len(strings.Fields(want[0])) - 2
			}
		}
	}
	look()
	if hits < 1000 {
		t.Errorf("only %d hits", hits)
	}
	before := k.stack.Search.Index.Stats()
	c.ok("STORE 5:20 +FLAGS.SILENT (\\Deleted)")
	c.ok("COPY 10:60 INBOX")
	c.ok("MOVE 30:40 Other")
	c.ok("EXPUNGE")
	look()
	after := k.stack.Search.Index.Stats()
	if after.Indexed != before.Indexed {
		t.Errorf("copies were indexed: %d messages, %d before", after.Indexed, before.Indexed)
	}
	if after.Searches == 0 || after.Failed > 0 || after.Dropped > 0 {
		t.Errorf("%+v", after)
	}
}

// TestFuzzyTwin: with the index, fuzzy searches and how relevant messages are
// come out the same.
func TestFuzzyTwin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(6, 6))
	k := newKitWith(t, indexed, nil)
	c := k.login("alice")
	for range 60 {
		raw := strangeLetter(rnd)
		if !strings.Contains(raw, "\x00") {
			c.ok(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(raw), raw))
		}
	}
	c.ok("SELECT INBOX")
	different := map[string]bool{}
	for _, text := range []string{"meeting", "möte meeting", "42 x", "smörgåsbord, naïve!", "bold", "inner meeting", "absent meeting"} {
		lit := fmt.Sprintf("{%d+}\r\n%s", len(text), text)
		for _, cmd := range []string{
			"SEARCH RETURN (RELEVANCY ALL) CHARSET UTF-8 FUZZY TEXT " + lit,
			"SEARCH RETURN (RELEVANCY ALL COUNT) CHARSET UTF-8 OR FUZZY BODY " + lit + " FUZZY SUBJECT " + lit,
			"SORT RETURN (RELEVANCY ALL) (RELEVANCY DATE) UTF-8 FUZZY TEXT " + lit,
			"SORT (REVERSE RELEVANCY) UTF-8 FUZZY BODY " + lit,
		} {
			k.stack.Search.Off(true)
			want := c.ok(cmd)
			k.stack.Search.Off(false)
			got := c.ok(cmd)
			// The tags differ.
			cut := func(lines []string) string {
				_, rest, ok := strings.Cut(strings.Join(lines, "\n"), ")")
				if !ok {
					return strings.Join(lines, "\n")
				}
				return rest
			}
			if cut(got) != cut(want) {
				t.Fatalf("%q: %q, want %q", cmd, got, want)
			}
			if _, scores, ok := strings.Cut(cut(want), "RELEVANCY ("); ok {
				scores, _, _ = strings.Cut(scores, ")")
				for _, s := range strings.Fields(scores) {
					different[s] = true
				}
			}
		}
	}
	if len(different) < 4 {
		t.Errorf("relevancies are only %v", different)
	}
}
