package imap

import (
	"bytes"
	be "encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore"
)

// checkEnvelope holds an envelope against the grammar of RFC 9051 section 9.
func checkEnvelope(n *datum) error {
	if n.kind != datumList || len(n.kids) != 10 {
		return fmt.Errorf("%d fields", len(n.kids))
	}
	for i, k := range n.kids {
		if i < 2 || i > 7 {
			if k.kind != datumNil && k.kind != datumString {
				return fmt.Errorf("field %d is no nstring", i)
			}
			continue
		}
		if k.kind == datumNil {
			continue
		}
		if k.kind != datumList || len(k.kids) == 0 {
			return fmt.Errorf("field %d is no list of addresses", i)
		}
		for _, a := range k.kids {
			if a.kind != datumList || len(a.kids) != 4 {
				return fmt.Errorf("field %d has no address", i)
			}
			for _, s := range a.kids {
				if s.kind != datumNil && s.kind != datumString {
					return fmt.Errorf("field %d has an address of %s", i, s)
				}
			}
		}
	}
	return nil
}

// checkBody holds a BODYSTRUCTURE, or, if not extended, a BODY, against the
// grammar.
func checkBody(n *datum, extended bool) error {
	if n.kind != datumList || len(n.kids) == 0 {
		return fmt.Errorf("no body: %s", n)
	}
	parts, names, values := fieldsOf(n)
	basic := slices.Index(names, "md5")
	if len(parts) > 0 {
		basic = 1
	}
	if want := map[bool]int{true: len(names), false: basic}[extended]; len(values) != want {
		return fmt.Errorf("%d fields, not %d", len(values), want)
	}
	for _, p := range parts {
		if err := checkBody(p, extended); err != nil {
			return err
		}
	}
	params := func(v *datum) bool {
		if v.kind == datumNil {
			return true
		}
		return v.kind == datumList && len(v.kids) > 0 && len(v.kids)%2 == 0 && !slices.ContainsFunc(v.kids, func(k *datum) bool { return k.kind != datumString })
	}
	for i, v := range values {
		ok := false
		switch names[i] {
		case "type", "subtype", "encoding":
			ok = v.kind == datumString
		case "octets", "lines":
			_, err := strconv.ParseUint(v.text, 10, 32)
			ok = v.kind == datumAtom && err == nil
		case "parameters":
			ok = params(v)
		case "disposition":
			ok = v.kind == datumNil || v.kind == datumList && len(v.kids) == 2 && v.kids[0].kind == datumString && params(v.kids[1])
		case "language":
			ok = v.kind == datumNil || v.kind == datumString || v.kind == datumList && len(v.kids) > 0 && !slices.ContainsFunc(v.kids, func(k *datum) bool { return k.kind != datumString })
		case "envelope":
			if err := checkEnvelope(v); err != nil {
				return err
			}
			ok = true
		case "body":
			if err := checkBody(v, extended); err != nil {
				return err
			}
			ok = true
		default:
			ok = v.kind == datumNil || v.kind == datumString
		}
		if !ok {
			return fmt.Errorf("%s is %s", names[i], v)
		}
	}
	return nil
}

func hostileSeeds(f *testing.F, n int) {
	g := newHostile(20)
	for range n {
		f.Add(g.next())
	}
}

// FuzzStructure: what is written of any message, from itself or its summary, is
// an ENVELOPE, a BODY and a BODYSTRUCTURE by the grammar.
func FuzzStructure(f *testing.F) {
	hostileSeeds(f, 200)
	f.Fuzz(func(t *testing.T, raw []byte) {
		x := message.Parse(raw)
		b, err := x.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		y, err := message.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, utf8ok := range []bool{false, true} {
			for _, x := range []*message.Index{x, y} {
				var e message.Envelope
				if x.Envelope(&e) {
					r := strictReader{s: string(message.AppendEnvelope(nil, &e, utf8ok)), utf8: utf8ok}
					n := r.value()
					if r.err != nil || r.s != "" {
						t.Fatalf("%v, left %q", r.err, r.s)
					}
					if err := checkEnvelope(n); err != nil {
						t.Fatal(err)
					}
				}
				for _, extended := range []bool{false, true} {
					out, ok := x.AppendBodyStructure(nil, extended, utf8ok)
					if !ok {
						continue
					}
					r := strictReader{s: string(out), utf8: utf8ok}
					n := r.value()
					if r.err != nil || r.s != "" {
						t.Fatalf("%v, left %q", r.err, r.s)
					}
					if err := checkBody(n, extended); err != nil {
						t.Fatalf("%v in %q", err, out)
					}
				}
			}
		}
	})
}

// FuzzFetched: any message that is stored is told of by the grammar, to us and
// to a client library, and what is told of it fits together.
func FuzzFetched(f *testing.F) {
	hostileSeeds(f, 50)
	k := newKit(f, nil)
	plain, eight := k.login("alice"), k.login("alice")
	eight.ok("ENABLE IMAP4rev2")
	for _, c := range []*client{plain, eight} {
		c.ok("SELECT INBOX")
	}
	lib, err := imapclient.DialInsecure(k.addr, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { lib.Close() })
	if err := lib.Login("alice@example.org", "secret").Wait(); err != nil {
		f.Fatal(err)
	}
	if _, err := lib.Select("INBOX", nil).Wait(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(bytes.TrimSpace(raw)) == 0 || len(raw) > 1<<18 {
			return
		}
		for _, c := range []*client{plain, eight} {
			c.t = t
		}
		plain.ok(fmt.Sprintf("APPEND INBOX ~{%d+}\r\n%s", len(raw), raw))
		plain.ok("NOOP")
		d := differ{t: t, ours: plain}
		tops := []string{"ENVELOPE", "BODYSTRUCTURE", "BODY", "RFC822.SIZE", "BODY.PEEK[]", "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]", "BINARY.SIZE[]", "PREVIEW", "FLAGS"}
		got := d.fetch(plain, 1, tops)
		item := func(i int, name string) *datum {
			t.Helper()
			n := got[i].items[name]
			if n == nil {
				t.Fatalf("no %s", name)
			}
			return n
		}
		if err := checkEnvelope(item(0, "ENVELOPE")); err != nil {
			t.Fatal(err)
		}
		structure := item(1, "BODYSTRUCTURE")
		if err := checkBody(structure, true); err != nil {
			t.Fatal(err)
		}
		if err := checkBody(item(2, "BODY"), false); err != nil {
			t.Fatal(err)
		}
		whole := item(4, "BODY[]").text
		if whole != string(raw) || item(3, "RFC822.SIZE").text != strconv.Itoa(len(raw)) || item(5, "BODY[HEADER]").text+item(6, "BODY[TEXT]").text != whole {
			t.Fatal("the message is not what came, or its pieces not it")
		}
		for i, p := range partsOf(structure) {
			if i == 20 {
				break
			}
			a := d.fetch(plain, 1, []string{"BODY.PEEK[" + p.number + "]", "BINARY.SIZE[" + p.number + "]", "BINARY.PEEK[" + p.number + "]"})
			body := a[0].items["BODY["+p.number+"]"]
			if body == nil || body.kind != datumString {
				t.Fatalf("no part %s", p.number)
			}
			if !isMultipart(p.body) && p.body.kids[6].text != strconv.Itoa(len(body.text)) {
				t.Fatalf("part %s has %d octets, said were %s", p.number, len(body.text), p.body.kids[6])
			}
			if a[1].tagged == "OK" {
				if s := a[2].items["BINARY["+p.number+"]"]; s == nil || a[1].items["BINARY.SIZE["+p.number+"]"].text != strconv.Itoa(len(s.text)) {
					t.Fatalf("BINARY of %s is not of its size", p.number)
				}
			}
		}
		eight.ok("NOOP")
		for _, l := range eight.ok("FETCH 1 (ENVELOPE BODYSTRUCTURE)") {
			if _, _, err := readFetch(l, true); err != nil {
				t.Fatal(err)
			}
		}
		if bytes.IndexByte(raw, 0) < 0 {
			all, err := lib.Fetch(goimap.SeqSet{{Start: 1, Stop: 0}}, &goimap.FetchOptions{Envelope: true, BodyStructure: &goimap.FetchItemBodyStructure{Extended: true}, RFC822Size: true}).Collect()
			if err != nil {
				t.Fatalf("the client library: %v", err)
			}
			if len(all) != 1 || all[0].RFC822Size != int64(len(raw)) || all[0].Envelope == nil || all[0].BodyStructure == nil {
				t.Fatalf("the client library got %+v", all)
			}
		}
		plain.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
		plain.ok("EXPUNGE")
		eight.ok("NOOP")
		if err := lib.Noop().Wait(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzNames: names and values of any kind come back whole in LIST, LSUB,
// STATUS and METADATA, in either way of writing them.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"box", "Åsa/ö", "a b", `q"uo\te`, "&", "&AOQ-", "NIL", "{3}", "*", "%", "日本", "\U0001F600", "a/b/c", "~x", "(", "]", "inbox", "INBOX/x"} {
		f.Add(s)
	}
	k := newKit(f, nil)
	plain, eight := k.login("alice"), k.login("alice")
	eight.ok("ENABLE UTF8=ACCEPT")
	f.Fuzz(func(t *testing.T, name string) {
		if !utf8.ValidString(name) || strings.ContainsAny(name, "\x00\r\n") || len(name) > 200 {
			return
		}
		plain.t, eight.t = t, t
		quoted := func(s string) string { return string(imapwire.AppendString(nil, s, true)) }
		if _, tagged := eight.do("CREATE " + quoted(name)); !strings.HasPrefix(tagged, "OK") {
			return // refused, in the protocol's terms
		}
		name = strings.TrimSuffix(name, "/")
		eight.ok("SUBSCRIBE " + quoted(name))
		for _, c := range []*client{plain, eight} {
			mailbox := func(r *strictReader) string {
				if strings.HasPrefix(r.s, `"`) || strings.HasPrefix(r.s, "{") {
					return r.str()
				}
				return r.run("astring", func(c byte) bool { return isAtomChar(c) || c == ']' })
			}
			same := func(got string) bool {
				if c == plain {
					u, ok := imapwire.DecodeUTF7(got)
					if !ok {
						t.Fatalf("%q is not in modified UTF-7", got)
					}
					got = u
				}
				return got == name || strings.EqualFold(got, name) && strings.EqualFold(got[:min(5, len(got))], "INBOX")
			}
			for _, cmd := range []string{`LIST "" "*" RETURN (SUBSCRIBED CHILDREN SPECIAL-USE STATUS (MESSAGES UIDNEXT))`, `LSUB "" "*"`} {
				found := false
				for _, l := range c.ok(cmd) {
					r := strictReader{s: l, utf8: c == eight}
					switch {
					case r.has("* LIST "), r.has("* LSUB "):
						if n := r.value(); n.kind != datumList {
							t.Fatalf("no attributes in %q", l)
						}
						r.take(` "/" `)
						found = same(mailbox(&r)) || found
						if r.has(" ") {
							r.value()
						}
					case r.has("* STATUS "):
						mailbox(&r)
						r.take(" ")
						if n := r.value(); n.kind != datumList || len(n.kids)%2 != 0 {
							t.Fatalf("no status in %q", l)
						}
					default:
						t.Fatalf("%q", l)
					}
					if r.err != nil || r.s != "" {
						t.Fatalf("%v in %q, left %q", r.err, l, r.s)
					}
				}
				if !found {
					t.Fatalf("%s does not have %q", cmd, name)
				}
			}
		}
		value := "v " + name
		eight.ok(fmt.Sprintf("SETMETADATA %s (/private/comment {%d+}\r\n%s)", quoted(name), len(value), value))
		for _, l := range eight.ok("GETMETADATA " + quoted(name) + " (/private/comment)") {
			if !strings.Contains(l, value) && !strings.Contains(l, quoted(value)) {
				t.Fatalf("%q has no %q", l, value)
			}
		}
		eight.ok("UNSUBSCRIBE " + quoted(name))
		// Those above it that were made with it may stay: they are few.
		eight.do("DELETE " + quoted(name))
		for at := strings.LastIndexByte(name, '/'); at > 0; at = strings.LastIndexByte(name[:at], '/') {
			eight.do("DELETE " + quoted(name[:at]))
		}
	})
}

// FuzzSets: sets of numbers are read as what was written, ascending or in an
// order of their own, and threads as they were.
func FuzzSets(f *testing.F) {
	f.Add([]byte{1, 0, 2, 0, 3, 0, 9, 0, 8, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		var uids []mailstore.UID
		seen := map[mailstore.UID]bool{}
		for ; len(in) >= 2; in = in[2:] {
			u := mailstore.UID(be.LittleEndian.Uint16(in)) + 1
			if !seen[u] {
				uids = append(uids, u)
			}
			seen[u] = true
		}
		read := func(s string) (out []mailstore.UID) {
			for s != "" {
				var one string
				one, s, _ = strings.Cut(s, ",")
				a, b, ranged := strings.Cut(one, ":")
				first, err := strconv.ParseUint(a, 10, 32)
				last := first
				if err == nil && ranged {
					last, err = strconv.ParseUint(b, 10, 32)
				}
				if err != nil || first == 0 || ranged && last <= first {
					t.Fatalf("%q in a set: %v", one, err)
				}
				for u := first; u <= last; u++ {
					out = append(out, mailstore.UID(u))
				}
			}
			return out
		}
		r := &searchRun{c: &call{cmd: &command{uid: true}}}
		if got := read(string(r.appendOrder(nil, uids))); !slices.Equal(got, uids) {
			t.Fatalf("%v became %v", uids, got)
		}
		slices.Sort(uids)
		if got := read(string(imapwire.AppendSet(nil, numRanges(uids)))); !slices.Equal(got, uids) {
			t.Fatalf("%v became %v", uids, got)
		}
	})
}
