package imap

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"mime/quotedprintable"
	"slices"
	"strings"
)

// hostile makes messages of every kind that mailers, gateways and their bugs
// have made, and then hurts some of them. The same seed makes the same ones.
type hostile struct {
	mailings
	last []byte // the message before, for splices
	// tame is set while a message is made that is what it says it is, however
	// odd.
	tame bool
}

// odd returns one of the values of right form, or, in a message that is not
// tame, of all.
func (g *hostile) odd(right []string, odd ...string) string {
	if g.tame {
		return g.one(right...)
	}
	return g.one(append(slices.Clone(right), odd...)...)
}

func newHostile(seed uint64) *hostile {
	return &hostile{mailings: mailings{Rand: rand.New(rand.NewPCG(seed, 2047))}}
}

func (g *hostile) chance(of int) bool { return g.IntN(of) == 0 }

var hostileWords = strings.Fields("supper invoice Grüße naïve zoo meeting = == =? ?= =?utf-8?q? résumé 你好 Здравствуй x.y a@b -- --b From >From 3:30 re: ÅÄÖ ß ﬁ e\u0301 \U0001F600 plain")

func (g *hostile) word() string { return hostileWords[g.IntN(len(hostileWords))] }

func (g *hostile) text(lines int) string {
	var b strings.Builder
	for range lines {
		for range g.IntN(9) {
			b.WriteString(g.word() + " ")
		}
		b.WriteString("\r\n")
	}
	return b.String()
}

// encodedWord is one of RFC 2047, or nearly.
func (g *hostile) encodedWord() string {
	if g.tame {
		return g.one("=?utf-8?q?gr=C3=BC=C3=9Fe?=", "=?UTF-8?B?R3LDvMOfZQ==?=", "=?iso-8859-1?Q?Gr=FC=DFe?=", "=?utf-8?q?a_b?= =?utf-8?q?c_d?=", "=?koi8-r?b?8NLJ18XU?=", "=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=")
	}
	return g.one("=?utf-8?q?gr=C3=BC=C3=9Fe?=", "=?UTF-8?B?R3LDvMOfZQ==?=", "=?iso-8859-1?Q?Gr=FC=DFe?=", "=?utf-8?q?a_b?= =?utf-8?q?c_d?=",
		"=?utf-8?q?gr=C3?= =?utf-8?q?=BC=C3=9Fe?=", "=?utf-8?x?abc?=", "=?utf-8?q?abc", "=?utf-8?q?a b?=", "=?utf-8?b?!!!!?=", "=?utf-8?b?R3I?=", "=?nonsense?q?abc?=",
		"=?utf-8?q?=ZZ=?=", "=??q?abc?=", "=?utf-8??abc?=", "x=?utf-8?q?abc?=y", "=?utf-8*en?q?abc?=", "=?us-ascii?q?=E9?=", "=?utf-8?q??=", "=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=",
		"=?utf-8?q?=00nul?=", "=?utf-8?q?a=0Ab?=", "=?koi8-r?b?8NLJ18XU?=", "=?utf-8?q?"+strings.Repeat("x", 90)+"?=", "=?utf-8?q?=E2=98?=")
}

func (g *hostile) unstructured() string {
	switch g.IntN(6) {
	case 0:
		return g.encodedWord()
	case 1:
		return g.word() + " " + g.encodedWord() + g.one("", " ", "\r\n ", "\r\n\t") + g.encodedWord()
	case 2:
		if g.tame {
			return g.one("naïve", "{3}", "()", "\\", "x  y", "🙂")
		}
		return g.one("\x80\xff raw", "caf\xe9", "a\x00b", "a\rb", "tab\there", "trailing   ", "", "   ", "\x7f\x01", `q"uo\te`, "{3}", "()")
	case 3:
		return g.subject() + "\r\n " + g.word()
	}
	return g.subject()
}

// addressList is an address list of RFC 5322, or nearly.
func (g *hostile) addressList() string {
	var all []string
	for range 1 + g.IntN(3) {
		if g.tame {
			all = append(all, g.one("fred@example.org", "Fred <fred@example.org>", `"Fred, B." <FRED@example.org>`, "Åsa <aasa@example.org>", "<anna@example.org>", `"q\\"uote" <q@example.org>`,
				"Friends: a@example.org, B <b@example.org>;", "undisclosed-recipients:;", `"a b"@example.org`, "a@[127.0.0.1]", g.encodedWord()+" <e@example.org>"))
			continue
		}
		all = append(all, g.one(g.address(), g.address(), g.encodedWord()+" <e@example.org>", "<@a.example,@b.example:route@example.org>", "<@route.example:u@example.org>",
			"no at sign", "<>", "a@", "@b", "<a@>", "<@b>", "a@b@c", "a..b@example.org", ".a@example.org", `"quoted local"@example.org`, `"q\"uote" <q@example.org>`,
			"(comment) a@example.org (Name (nested))", "a (c) @ (d) example.org", "a . b @ example . org", "Name <a@example.org", "Name a@example.org>", "<a@example.org> trailing",
			"a@[127.0.0.1]", "a@[IPv6:::1]", "Group: ;", "Group: a@example.org, B <b@example.org>;", "Group: Inner: a@example.org; ;", "Group: a@example.org", "a@example.org;", "a@example.org; b@example.org",
			"Last, First <lf@example.org>", `"Last, First" <lf@example.org>`, "caf\xe9 <c@example.org>", "a\x00b@example.org", "a@example.org\r\n (folded)", "\"unclosed <u@example.org>", "(unclosed <u@example.org>",
			"Dr. X. Y. <xy@example.org>", "a@b.c <d@e.f>", "Name <a@example.org> <b@example.org>", ",", ",,", ":", ";", "MAILER-DAEMON", "<MAILER-DAEMON>", "user%host@example.org", "host!user",
			"<a b@example.org>", "<a@exam ple.org>", `\a@example.org`, "a\\@example.org", "=?utf-8?q?=22a=2C_b=22?= <ab@example.org>", `"a" "b" <two@example.org>`, `a "b" c <mix@example.org>`, "a:b@example.org", "[x] <br@example.org>",
			"undisclosed-recipients: ;", "Name (c1) <a@example.org> (c2)", "a@example.org (c1) (c2)", "\"\" <e@example.org>", "<\"a b\"@example.org>", "<a@b", "é@example.org", "Ünï <ü@exämple.org>"))
	}
	if g.tame {
		return strings.Join(all, g.one(", ", ",", ",\r\n "))
	}
	return strings.Join(all, g.one(", ", ",", " , ", ",\r\n ", ", ,", "; "))
}

func (g *hostile) param(name, value string) string {
	if g.tame {
		return fmt.Sprintf(g.one("%s=%q", "%s*0=%q", "%s=%q (comment)"), g.one(name, strings.ToUpper(name)), value)
	}
	switch g.IntN(10) {
	case 0:
		return fmt.Sprintf("%s = %q", name, value)
	case 1:
		return fmt.Sprintf("%s=%s (comment)", name, value)
	case 2:
		return fmt.Sprintf("%s*=utf-8''%s", name, value)
	case 3:
		return fmt.Sprintf("%s*0=%q; %s*1=%q", name, value, name, value)
	case 4:
		return fmt.Sprintf("%s=\"%s", name, value)
	case 5:
		return strings.ToUpper(name) + "=" + value
	case 6:
		return g.one(name, name+"=", "="+value, name+`=""`, name+"=a b c", name+"=\"a\\\"b\"", name+"=caf\xe9", name+"=a;;")
	}
	return fmt.Sprintf("%s=%q", name, value)
}

func (g *hostile) sep() string {
	if g.tame {
		return g.one("; ", ";", ";\r\n\t", " ; ")
	}
	return g.one("; ", ";", ";\r\n\t", ";\r\n ", " ; ", ";; ", " ")
}

// extra are the MIME fields a part may have besides its type.
func (g *hostile) extra(b *strings.Builder) {
	if g.chance(5) {
		fmt.Fprintf(b, "Content-Disposition: %s%s%s\r\n", g.odd([]string{"attachment", "inline", "ATTACHMENT", "form-data"}, "", "x y", "\"inline\"", "attachment (c)"), g.sep(), g.param("filename", g.one("a.pdf", "my file.txt", "=?utf-8?q?=C3=A5.txt?=", "%e2%82%ac.txt")))
	}
	if g.chance(9) {
		fmt.Fprintf(b, "Content-ID: %s\r\n", g.odd([]string{"<a@b>"}, "a@b", "", "<a@b> <c@d>", "(c) <a@b>", "<a\r\n b@c>"))
	}
	if g.chance(9) {
		fmt.Fprintf(b, "Content-Description: %s\r\n", g.unstructured())
	}
	if g.chance(12) {
		fmt.Fprintf(b, "Content-MD5: %s\r\n", g.one("Q2hlY2sgSW50ZWdyaXR5IQ==", "", "(c) Q2hl", "a b"))
	}
	if g.chance(12) {
		fmt.Fprintf(b, "Content-Language: %s\r\n", g.odd([]string{"en", "en, sv"}, "en,sv (Swedish)", "", ",", "i-mingo", "en sv", "EN-us,,fr"))
	}
	if g.chance(12) {
		fmt.Fprintf(b, "Content-Location: %s\r\n", g.one("http://example.org/a", "a b", "", "http://example.org/\r\n a", "(c) x"))
	}
}

// part writes a MIME entity: the fields of its header that are about MIME, an
// empty line, its body.
func (g *hostile) part(depth int) string {
	var b strings.Builder
	kind := g.IntN(10)
	if depth > 5 && kind >= 6 {
		kind = 0
	}
	switch {
	case kind < 6:
		g.leaf(&b)
	case kind < 8 || depth == 0 && kind < 9:
		g.multipart(&b, depth)
	default:
		typ := g.odd([]string{"message/rfc822", "message/rfc822", "Message/RFC822"}, "message/global", "message/partial; id=x; number=1", "message/rfc822; x=y", "message/external-body; access-type=local-file; name=x")
		fmt.Fprintf(&b, "Content-Type: %s\r\n", typ)
		if g.chance(5) {
			fmt.Fprintf(&b, "Content-Transfer-Encoding: %s\r\n", g.odd([]string{"7bit", "8bit", "BINARY"}, "base64", "quoted-printable"))
		}
		g.extra(&b)
		b.WriteString("\r\n")
		if !g.chance(12) {
			b.WriteString(g.entity(depth + 1))
		}
	}
	return b.String()
}

func (g *hostile) leaf(b *strings.Builder) {
	typ := g.odd([]string{"text/plain", "text/plain", "TEXT/PLAIN", "text/html", "application/pdf", "image/png", "application/octet-stream", "message/delivery-status", "text/calendar"}, "text", "text/", "/plain", "text/plain/x", "", "garbage here", "text /plain", "text/ plain",
		"application/x-(c)y", "multipart", "a/b", "text/plain\r\n", "te\x00xt/plain", "\"text/plain\"")
	if !g.tame && g.chance(8) {
		typ = ""
	} else {
		fmt.Fprintf(b, "Content-Type: %s", typ)
		for range g.IntN(3) {
			switch g.IntN(4) {
			case 0:
				b.WriteString(g.sep() + g.param("name", g.one("a.pdf", "my file.txt", "=?utf-8?q?=C3=A5.txt?=")))
			case 1:
				b.WriteString(g.sep() + "format=flowed")
			default:
				b.WriteString(g.sep() + g.param("charset", g.odd([]string{"utf-8", "UTF-8"}, "iso-8859-1", "us-ascii", "windows-1252", "koi8-r", "nonsense", "iso-2022-jp", "utf-16", "")))
			}
		}
		if !strings.HasSuffix(typ, "\r\n") {
			b.WriteString("\r\n")
		}
	}
	body := g.text(g.IntN(6))
	if g.chance(3) {
		body = "<html><body><p>" + body + "</p></body></html>\r\n"
	}
	enc := g.odd([]string{"", "", "7bit", "8bit", "quoted-printable", "QUOTED-PRINTABLE", "base64", "BASE64", "binary"}, "x-uuencode", "base64 (c)", "\"base64\"", "base 64", "8-bit", "; base64", "quoted-printable;")
	if enc != "" {
		fmt.Fprintf(b, "Content-Transfer-Encoding: %s\r\n", enc)
	}
	g.extra(b)
	b.WriteString("\r\n")
	switch strings.ToLower(enc) {
	case "base64", "base64 (c)":
		s := base64.StdEncoding.EncodeToString([]byte(g.odd([]string{body}, "\x00\x01\x02\x03", body+"\x00"+body)))
		how := g.IntN(8)
		if g.tame {
			how = 7
		}
		switch how {
		case 0:
			s = s[:max(len(s)-1-g.IntN(3), 0)]
		case 1:
			s = "====" + s
		case 2:
			s += "!" + s
		case 3:
			s = s + "\r\n\r\n" + s
		case 4:
			s = "begin " + s
		}
		for len(s) > 60 {
			b.WriteString(s[:60] + g.odd([]string{"\r\n"}, " \r\n"))
			s = s[60:]
		}
		b.WriteString(s + "\r\n")
	case "quoted-printable", "quoted-printable;":
		var q strings.Builder
		w := quotedprintable.NewWriter(&q)
		w.Write([]byte(body))
		w.Close()
		s := q.String()
		how := g.IntN(6)
		if g.tame {
			how = 5
		}
		switch how {
		case 0:
			s = strings.ReplaceAll(s, "=C3", "=c3")
		case 1:
			s += "=\r\n=ZZ = = \r\n=4\r\n="
		case 2:
			s = strings.ReplaceAll(s, "=", "==")
		case 3:
			s += "trailing \t \r\n=20\r\n"
		}
		b.WriteString(s)
	default:
		b.WriteString(body)
	}
	if g.chance(10) {
		b.WriteString(g.odd([]string{"no line end", "\r\n\r\n\r\n", "-- \r\nsignature\r\n"}, "a\x00b\r\n", "bare\rcr\r\n", "\xff\xfe\r\n", "--\r\n", "-- \r\nsignature\r\n"))
	}
}

func (g *hostile) multipart(b *strings.Builder, depth int) {
	bound := g.odd([]string{fmt.Sprintf("=_%d_%x", depth, g.Uint32())}, "b", fmt.Sprintf("=_%d_%x", depth, g.Uint32()), fmt.Sprintf("=_%d_%x", depth, g.Uint32()), "----=_Part_1.2", "b b", "'()+_,-./:=?", "----", strings.Repeat("y", 70), strings.Repeat("z", 100), "B", "bb", "a\"b", "ä", "b ", "")
	shown := fmt.Sprintf("boundary=%s", g.one(`"`+strings.ReplaceAll(bound, `"`, `\"`)+`"`, `"`+strings.ReplaceAll(bound, `"`, `\"`)+`"`, bound))
	if g.tame {
		shown = fmt.Sprintf("boundary=%q", bound)
	}
	how := g.IntN(12)
	if g.tame {
		how += 12
	}
	switch how {
	case 0:
		shown = "x=y"
	case 1:
		shown = strings.ToUpper(shown[:8]) + shown[8:]
	case 2:
		shown = shown + "; boundary=other"
	case 3:
		shown = "type=x; " + shown + "; charset=utf-8"
	}
	fmt.Fprintf(b, "Content-Type: %s%s%s\r\n", g.one("multipart/mixed", "multipart/mixed", "multipart/alternative", "multipart/digest", "multipart/related", "Multipart/MIXED", "multipart/signed", "multipart/x-odd", "multipart/report"), g.sep(), shown)
	if g.chance(8) {
		fmt.Fprintf(b, "Content-Transfer-Encoding: %s\r\n", g.odd([]string{"7bit", "8bit", "binary"}, "base64", "quoted-printable"))
	}
	g.extra(b)
	b.WriteString("\r\n")
	if g.chance(3) {
		b.WriteString("preamble\r\n" + g.one("", "\r\n", "--not it\r\n"))
	}
	parts := g.IntN(4)
	if g.tame {
		parts++
	}
	for range parts {
		pad := g.one("", "", "", " ", "\t ")
		if !g.tame && g.chance(40) {
			pad = "x"
		}
		b.WriteString("--" + bound + pad + "\r\n")
		if !g.tame && g.chance(15) {
			continue // nothing at all, not even an empty line
		}
		b.WriteString(g.part(depth + 1))
		if g.tame || !g.chance(4) {
			b.WriteString("\r\n")
		}
	}
	if g.tame || !g.chance(6) {
		b.WriteString("--" + bound + g.odd([]string{"--"}, "--", "--", "--", "-- ", "--", "--", "--", "--", "--x", "-") + g.one("\r\n", "\r\n", ""))
	}
	if g.chance(4) {
		b.WriteString(g.odd([]string{"\r\n"}, "") + "epilogue\r\n" + g.odd([]string{""}, "--"+bound+"\r\n\r\nafter the end\r\n"))
	}
}

// entity is a message: header and body.
func (g *hostile) entity(depth int) string {
	var b strings.Builder
	if !g.tame && g.chance(12) {
		b.WriteString(g.one("From a@example.org Thu Jan  1 00:00:00 1970\r\n", ">From x\r\n", "no colon in this line\r\n", " leading white space\r\n", ": no name\r\n", "X Y: space in the name\r\n", "X-\xe9: 8 bit name\r\n", "X-A :space before\r\n"))
	}
	field := func(name string, value func() string) {
		for !g.chance(8) {
			if !g.tame && g.chance(20) {
				name = g.one(strings.ToLower(name), strings.ToUpper(name), name+" ", name+"\t")
			}
			fmt.Fprintf(&b, "%s:%s%s\r\n", name, g.odd([]string{" ", "\t"}, " ", "", "  ", "\r\n "), value())
			if g.tame || !g.chance(25) {
				return
			}
		}
	}
	field("Date", func() string {
		return g.odd([]string{g.date(), g.date(), "Thu, 1 Jan 1970 00:00:00 GMT"}, "1 Jan 99 1:2 EST", "31 Feb 2020 10:00:00 +0000", "Mon, 23 Nov 2026 10:00:00", "2026-11-23T10:00:00Z", "Mon 23 Nov 2026 10:00:00 +0100", "23 Nov 2026 10:00:00 +0100 (CET)", "Mon, 23 Nov 2026 25:00:00 +0100", "Mon, 23\r\n Nov 2026 10:00:00 +0100", "", "23 November 2026 10:00:00 +0100", "Mon, 23 Nov 126 10:00:00 Z", "(c) 23 Nov 2026 10:00 +0100", "Sun, 6 Nov 1994 08:49:37 PST")
	})
	field("Subject", g.unstructured)
	for _, f := range []string{"From", "To", "Cc"} {
		field(f, g.addressList)
	}
	for _, f := range []string{"Sender", "Reply-To", "Bcc"} {
		if g.chance(3) {
			field(f, g.addressList)
		}
	}
	n := g.n
	field("Message-ID", func() string {
		return g.odd([]string{g.id(n)}, g.id(n), "nonsense", "<a b@c>", "<a@b> <c@d>", "(c) <a@b>", "<>", "<a@b", "", `<"q"@b>`, "<a@\r\n b>", "<\xe9@b>")
	})
	if g.chance(3) {
		field("In-Reply-To", func() string { return g.one(g.id(max(n-1, 0)), "your mail of <a@b> today", "<a@b>\r\n <c@d>", "") })
	}
	if g.chance(4) {
		field("References", func() string { return g.id(max(n-2, 0)) + " " + g.id(max(n-1, 0)) })
	}
	for range g.IntN(3) {
		fmt.Fprintf(&b, "X-%s: %s\r\n", g.one("Mailer", "Test", "Spam-Score", "A-B"), g.unstructured())
	}
	if g.chance(60) {
		fmt.Fprintf(&b, "X-Huge: %s\r\n", strings.Repeat(g.word()+" ", 1+g.IntN(8000)))
	}
	if g.chance(60) {
		for i := range 1 + g.IntN(600) {
			fmt.Fprintf(&b, "Received: from a%d by b; %s\r\n", i, g.date())
		}
	}
	if g.chance(80) {
		fmt.Fprintf(&b, "To: %s\r\n", strings.Repeat("Someone <someone@example.org>,\r\n ", 1+g.IntN(300)))
	}
	if g.tame || !g.chance(6) {
		b.WriteString(g.one("MIME-Version: 1.0\r\n", "Mime-Version: 1.0 (x)\r\n", "MIME-Version: 2.0\r\n"))
	}
	b.WriteString(g.part(depth))
	return b.String()
}

// next makes the next message. It has at least one octet that is no white
// space, as any server may demand.
func (g *hostile) next() []byte {
	g.tame = g.chance(2)
	raw := []byte(g.entity(0))
	g.n++
	if !g.tame && !g.chance(3) {
		for range 1 + g.IntN(3) {
			raw = g.mutate(raw)
		}
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		raw = []byte("x\r\n")
	}
	g.last = raw
	return raw
}

func (g *hostile) mutate(raw []byte) []byte {
	if len(raw) < 4 {
		return raw
	}
	at := g.IntN(len(raw))
	insert := func(s string) []byte { return append(append(append([]byte(nil), raw[:at]...), s...), raw[at:]...) }
	lines := bytes.SplitAfter(raw, []byte("\n"))
	i, j := g.IntN(len(lines)), g.IntN(len(lines))
	switch g.IntN(16) {
	case 0:
		return raw[:at+1]
	case 1:
		return insert("\x00")
	case 2:
		return insert("\r")
	case 3:
		return insert("\n")
	case 4:
		return insert("\r\n")
	case 5:
		return insert(g.one("\r\n\r\n", " ", ":", "\"", "(", "=?", "--b\r\n", "\xff", "\\", ";", "<", "\t", "="))
	case 6: // a line is lost
		return bytes.Join(append(append([][]byte(nil), lines[:i]...), lines[i+1:]...), nil)
	case 7: // a line comes twice
		return bytes.Join(append(append([][]byte(nil), lines[:i+1]...), lines[i:]...), nil)
	case 8:
		out := append([][]byte(nil), lines...)
		out[i], out[j] = out[j], out[i]
		return bytes.Join(out, nil)
	case 9: // line ends of another system
		return bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	case 10: // of several
		out := append([][]byte(nil), lines...)
		for k := range out {
			if g.chance(4) {
				out[k] = bytes.Replace(out[k], []byte("\r\n"), []byte(g.one("\n", "\r", "\r\r\n", "\r\n\r\n")), 1)
			}
		}
		return bytes.Join(out, nil)
	case 11: // the last boundary is lost
		if k := bytes.LastIndex(raw, []byte("\r\n--")); k > 0 {
			return raw[:k+2]
		}
	case 12: // no empty line behind the header
		return bytes.Replace(raw, []byte("\r\n\r\n"), []byte("\r\n"), 1)
	case 13:
		end := min(at+g.IntN(40), len(raw))
		return append(append([]byte(nil), raw[:at]...), raw[end:]...)
	case 14:
		if len(g.last) > 0 {
			from := g.IntN(len(g.last))
			return insert(string(g.last[from:min(from+200, len(g.last))]))
		}
	case 15:
		out := append([]byte(nil), raw...)
		out[at] = byte(g.IntN(256))
		return out
	}
	return raw
}
