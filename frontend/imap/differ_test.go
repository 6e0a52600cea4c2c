package imap

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/frontend/message"
)

var (
	differMessages = flag.Int("differ.messages", 300, "how many messages TestDiffer compares with Dovecot")
	differSeed     = flag.Uint64("differ.seed", 1, "of the messages of TestDiffer")
	differKeep     = flag.String("differ.keep", "", "a directory for the messages of TestDiffer")
	differSkip     = flag.Bool("differ.skip", false, "no FETCH")
	differAll      = flag.Bool("differ.all", false, "TestDiffer goes on after many differences")
)

// differ holds one mailbox against Dovecot's of the same messages.
type differ struct {
	t            *testing.T
	home         *dovecotHome
	ours, theirs *client
	raw          [][]byte // by sequence number - 1, with CRLF
	used         map[string]int
	failed       int
}

// kept is what Dovecot makes of a message when it takes it: every line gets the
// end that Internet mail has (of several CRs before its LF one goes, as one at
// the very end does), and a NUL becomes 0x80.
func kept(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for i, c := range raw {
		if c == '\n' && (i == 0 || raw[i-1] != '\r') {
			out = append(out, '\r')
		}
		if n := len(out); c == '\n' && n > 1 && out[n-1] == '\r' && out[n-2] == '\r' {
			out = out[:n-1]
		}
		if c == 0 {
			c = 0x80
		}
		out = append(out, c)
	}
	return bytes.TrimRight(out, "\r")
}

// TestDiffer: what FETCH and SEARCH say of hostile messages is what Dovecot
// says, or a difference that differences lists with its reason.
func TestDiffer(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	d := &differ{t: t, home: newDovecot(t), used: map[string]int{}}
	d.theirs = d.home.dial()
	k := newKit(t, nil)
	d.ours = k.login("alice")
	g := newHostile(*differSeed)
	d.ours.ok("CREATE raw")
	appendTo := func(c *client, box string, when time.Time, raw []byte) {
		mark := ""
		if bytes.IndexByte(raw, 0) >= 0 {
			mark = "~"
		}
		c.send(fmt.Sprintf("m APPEND %s %q %s{%d+}\r\n%s\r\n", box, when.Format("02-Jan-2006 15:04:05 -0700"), mark, len(raw), raw))
		if _, s := c.until("m"); !strings.HasPrefix(s, "OK") {
			t.Fatalf("%s to %q", s, raw)
		}
	}
	type twin struct {
		seq, kept int // in raw and INBOX
		raw       []byte
	}
	var twins []twin
	for n := range *differMessages {
		raw := g.next()
		when := time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(g.IntN(100000)) * time.Minute)
		whole := kept(raw)
		appendTo(d.ours, "INBOX", when, whole)
		appendTo(d.theirs, "INBOX", when, whole)
		if !bytes.Equal(whole, raw) {
			appendTo(d.ours, "raw", when, raw)
			twins = append(twins, twin{len(twins) + 1, n + 1, raw})
		}
		d.raw = append(d.raw, whole)
		if *differKeep != "" {
			if err := os.WriteFile(fmt.Sprintf("%s/%d.eml", *differKeep, n+1), whole, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	d.ours.ok("SELECT INBOX")
	d.theirs.ok("SELECT INBOX")
	for n := range d.raw {
		if *differSkip {
			break
		}
		d.message(n + 1)
		d.enough()
	}
	for _, w := range twins {
		d.twin(w.seq, w.kept, w.raw)
	}
	d.ours.ok("SELECT INBOX")
	d.search(g)
	clean := 0
	for _, raw := range d.raw {
		if x := (&difference{raw: raw, index: message.Parse(raw)}); x.clean() {
			clean++
		}
	}
	t.Logf("%d of %d messages are what they say they are, %d have twins", clean, len(d.raw), len(twins))
	var names []string
	for name := range d.used {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Logf("%6d × %s", d.used[name], name)
	}
	for _, k := range differences {
		if len(d.raw) >= 5000 && !*differSkip && d.used[k.name] == 0 {
			t.Errorf("no message has the difference %q any more", k.name)
		}
	}
}

// TestDifferences: DOVECOT.md has every difference that TestDiffer lets pass,
// and no other.
func TestDifferences(t *testing.T) {
	text, err := os.ReadFile("DOVECOT.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if name, rest, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | "); ok && strings.HasPrefix(line, "| ") && name != "difference" && name != "---" {
			listed[name] = true
			if !regexp.MustCompile(`\d{4}`).MatchString(rest) && !strings.Contains(rest, "no RFC") {
				t.Errorf("%s: no RFC is named", name)
			}
		}
	}
	for _, k := range differences {
		if !listed[k.name] {
			t.Errorf("DOVECOT.md does not have %q", k.name)
		}
		delete(listed, k.name)
	}
	for name := range listed {
		t.Errorf("DOVECOT.md has %q, which nothing looks for", name)
	}
}

func (d *differ) enough() {
	d.t.Helper()
	if d.failed >= 12 && !*differAll {
		d.t.Fatal("and so on")
	}
}

// answer is the outcome of a command for one message.
type answer struct {
	items  map[string]*datum
	tagged string // OK, NO or BAD
}

// fetch asks for items of one message, one by one: Dovecot answers FETCHes that
// come together in any order.
func (d *differ) fetch(c *client, seq int, atts []string) []answer {
	out := make([]answer, len(atts))
	for i, a := range atts {
		cmd := fmt.Sprintf("FETCH %d (%s)", seq, a)
		c.send("f " + cmd + "\r\n")
		var lines []string
		tagged := ""
		for tagged == "" {
			l, err := c.read()
			if errors.Is(err, errGone) && c == d.theirs {
				// It ends the session over what it cannot decode.
				lines, tagged = nil, "BYE"
				c.conn.Close()
				d.theirs = d.home.dial()
				d.theirs.ok("SELECT INBOX")
				c = d.theirs
				break
			}
			if err != nil {
				d.t.Fatalf("%s: %v after %q", cmd, err, l)
			}
			if rest, ok := strings.CutPrefix(l, "f "); ok {
				tagged = rest
			} else {
				lines = append(lines, l)
			}
		}
		out[i].tagged, _, _ = strings.Cut(tagged, " ")
		out[i].items = map[string]*datum{}
		for _, l := range lines {
			if !strings.Contains(l, " FETCH (") {
				continue // unilateral
			}
			n, items, err := readFetch(l, false)
			if err != nil && c == d.ours {
				d.t.Fatalf("%v in %q", err, l)
			}
			if err == nil && int(n) != seq {
				d.t.Fatalf("%d is not %d: %q", n, seq, l)
			}
			for k, v := range items {
				out[i].items[strings.ToUpper(k)] = v
			}
		}
	}
	return out
}

// message compares everything FETCH tells of one.
func (d *differ) message(seq int) {
	d.t.Helper()
	x := &difference{seq: seq, raw: d.raw[seq-1], index: message.Parse(d.raw[seq-1])}
	x.header = x.index.Parts[0].Header.Of(x.raw)
	top := []string{"RFC822.SIZE INTERNALDATE", "ENVELOPE", "BODYSTRUCTURE", "BODY", "BODY.PEEK[]", "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]", "RFC822.HEADER",
		"BODY.PEEK[]<0.10>", "BODY.PEEK[]<100.7000>", "BODY.PEEK[]<1000000.1>", "BODY.PEEK[HEADER]<3.20>", "BODY.PEEK[TEXT]<1.5>",
		"BODY.PEEK[HEADER.FIELDS (Subject FROM x-test)]", "BODY.PEEK[HEADER.FIELDS.NOT (Subject FROM x-test received)]", "BODY.PEEK[HEADER.FIELDS (To Content-Type)]<2.30>",
		"BINARY.PEEK[]", "BINARY.SIZE[]", "RFC822.TEXT", "RFC822"}
	a, b := d.fetch(d.ours, seq, top), d.fetch(d.theirs, seq, top)
	for i, att := range top {
		d.compare(x, att, a[i], b[i])
	}
	ours, theirs := a[2].items["BODYSTRUCTURE"], b[2].items["BODYSTRUCTURE"]
	if ours == nil || theirs == nil || shape(ours) != shape(theirs) {
		return // the numbers mean different parts; that was judged above
	}
	for n, p := range partsOf(ours) {
		if n == 30 {
			break
		}
		x.path = nil
		for _, n := range strings.Split(p.number, ".") {
			i, err := strconv.Atoi(n)
			if err != nil {
				d.t.Fatal(err)
			}
			x.path = append(x.path, i)
		}
		i, ok := x.index.Find(x.path)
		if !ok {
			d.t.Fatalf("there is no part %s", p.number)
		}
		x.header = x.index.Parts[i].Header.Of(x.raw)
		var atts []string
		for _, att := range []string{"BODY.PEEK[%]", "BODY.PEEK[%.MIME]", "BODY.PEEK[%.HEADER]", "BODY.PEEK[%.TEXT]", "BODY.PEEK[%.HEADER.FIELDS (Subject From)]", "BODY.PEEK[%.HEADER.FIELDS.NOT (Subject)]",
			"BODY.PEEK[%]<2.9>", "BINARY.PEEK[%]", "BINARY.SIZE[%]", "BINARY.PEEK[%]<1.4>", "BODY.PEEK[%.9]", "BINARY.PEEK[%.9]"} {
			atts = append(atts, strings.Replace(att, "%", p.number, 1))
		}
		a, b = d.fetch(d.ours, seq, atts), d.fetch(d.theirs, seq, atts)
		for i, att := range atts {
			d.compare(x, att, a[i], b[i])
		}
	}
}

// shape is the tree of a BODYSTRUCTURE and nothing else.
func shape(n *datum) string {
	var b strings.Builder
	for _, p := range partsOf(n) {
		b.WriteString(p.number + " ")
	}
	return b.String()
}

// difference is one answer of ours and Dovecot's that is not the same.
type difference struct {
	seq    int
	raw    []byte // of the message
	index  *message.Index
	path   []int  // of the part it is about
	header []byte // of that part, or of the message in it
	att    string
	item   string // what of the answer
	a, b   *datum // what we say and what Dovecot says
	// tagged, when the responses did not succeed both.
	ta, tb string
}

func (d *differ) compare(x *difference, att string, a, b answer) {
	d.t.Helper()
	y := *x
	y.att = att
	if a.tagged != b.tagged {
		y.ta, y.tb = a.tagged, b.tagged
		d.judge(&y)
		return
	}
	keys := map[string]bool{}
	for k := range a.items {
		keys[k] = true
	}
	for k := range b.items {
		keys[k] = true
	}
	for k := range keys {
		y.item, y.a, y.b = k, a.items[k], b.items[k]
		switch {
		case k == "FLAGS" || k == "UID" || same(y.a, y.b):
		case y.a == nil || y.b == nil:
			d.judge(&y)
		case k == "ENVELOPE":
			d.compareEnvelope(&y)
		case k == "BODY" || k == "BODYSTRUCTURE":
			if y.path = nil; x.index.Parts[0].Kind != message.Multipart {
				y.path = []int{1}
			}
			d.compareBody(&y, 0)
		default:
			d.judge(&y)
		}
	}
}

func same(a, b *datum) bool { return a != nil && b != nil && a.String() == b.String() }

var envelopeFields = []string{"date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id"}

func (d *differ) compareEnvelope(x *difference) {
	d.t.Helper()
	if len(x.a.kids) != len(envelopeFields) || len(x.b.kids) != len(envelopeFields) {
		d.judge(x)
		return
	}
	for i, f := range envelopeFields {
		y := *x
		y.item, y.a, y.b = "envelope "+f, x.a.kids[i], x.b.kids[i]
		if !same(y.a, y.b) {
			d.judge(&y)
		}
	}
}

// What a BODYSTRUCTURE has of a part, RFC 9051 section 7.5.2.
var (
	leafFields    = []string{"type", "subtype", "parameters", "id", "description", "encoding", "octets", "md5", "disposition", "language", "location"}
	textFields    = []string{"type", "subtype", "parameters", "id", "description", "encoding", "octets", "lines", "md5", "disposition", "language", "location"}
	messageFields = []string{"type", "subtype", "parameters", "id", "description", "encoding", "octets", "envelope", "body", "lines", "md5", "disposition", "language", "location"}
	multiFields   = []string{"subtype", "parameters", "disposition", "language", "location"}
)

func fieldsOf(n *datum) (parts []*datum, names []string, values []*datum) {
	values = n.kids
	switch {
	case isMultipart(n):
		for len(values) > 0 && values[0].kind == datumList {
			parts, values = append(parts, values[0]), values[1:]
		}
		return parts, multiFields, values
	case isMessage(n):
		return nil, messageFields, values
	case strings.EqualFold(n.kids[0].text, "text"):
		return nil, textFields, values
	}
	return nil, leafFields, values
}

// compareBody compares a part with what it contains.
func (d *differ) compareBody(x *difference, part int) {
	d.t.Helper()
	x.header = x.index.Parts[part].Header.Of(x.raw)
	ap, an, av := fieldsOf(x.a)
	bp, bn, bv := fieldsOf(x.b)
	if len(ap) != len(bp) || len(an) != len(bn) || len(av) != len(bv) || len(av) > len(an) {
		x.item = "body kind"
		d.judge(x)
		return
	}
	for i := range av {
		y := *x
		y.item, y.a, y.b = "body "+an[i], av[i], bv[i]
		switch {
		case same(y.a, y.b):
		case an[i] == "envelope":
			y.header = y.index.Parts[y.index.Parts[part].Child].Header.Of(x.raw)
			d.compareEnvelope(&y)
		case an[i] == "body":
			c := y.index.Parts[part].Child
			if y.path = slices.Clone(x.path); y.index.Parts[c].Kind != message.Multipart {
				y.path = append(y.path, 1)
			}
			d.compareBody(&y, c)
		default:
			d.judge(&y)
		}
	}
	c := x.index.Parts[part].Child
	for i := range ap {
		y := *x
		y.a, y.b = ap[i], bp[i]
		y.path = append(slices.Clone(x.path), i+1)
		d.compareBody(&y, c)
		c = x.index.Parts[c].Next
	}
}

// judge looks whether a difference is listed.
func (d *differ) judge(x *difference) {
	d.t.Helper()
	for _, k := range differences {
		if k.is(x) {
			d.used[k.name]++
			return
		}
	}
	d.failed++
	show := func(n *datum) string {
		if n == nil {
			return "nothing"
		}
		s := n.String()
		return s[:min(len(s), 500)]
	}
	d.t.Errorf("message %d, %s, %s %s%s:\n us %s\nthem %s\nhead %.300q", x.seq, x.att, x.item, x.ta, x.tb, show(x.a), show(x.b), x.header)
}
