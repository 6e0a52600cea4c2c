package message

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// crlf makes CRLF lines of a readable text.
func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

func structure(x *Index, extended bool) string {
	b, _ := x.AppendBodyStructure(nil, extended, false)
	return string(b)
}

// outline is the tree in one line: type, header and body range of each part.
func outline(x *Index) string {
	var b strings.Builder
	var walk func(i int)
	walk = func(i int) {
		p := &x.Parts[i]
		fmt.Fprintf(&b, "%s/%s[%d+%d+%d", p.Type, p.Subtype, p.Header.Off, p.Header.Len, p.Body.Len)
		if p.Made {
			b.WriteString(" made")
		}
		for c := p.Child; c >= 0; c = x.Parts[c].Next {
			b.WriteByte(' ')
			walk(c)
		}
		b.WriteByte(']')
	}
	walk(0)
	return b.String()
}

var structures = []struct {
	name, raw, body, extended string
}{
	{"empty", "", `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)`, ""},
	{"plain", "Subject: x\n\nhello\nyou\n", `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 12 2)`,
		`("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 12 2 NIL NIL NIL NIL)`},
	{"no header", "\nhello\n", `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 7 1)`, ""},
	{"header only", "Subject: x\n", `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)`, ""},
	{"last line open", "Subject: x\n\na\nb", `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 4 2)`, ""},
	{"type kept as spelled", "Content-Type: TEXT/Html; CharSet=\"UTF-8\"; format = flowed (c)\nContent-Transfer-Encoding: Quoted-Printable\n\nx\n",
		`("TEXT" "Html" ("CharSet" "UTF-8" "format" "flowed") NIL NIL "Quoted-Printable" 3 1)`, ""},
	{"duplicate parameters", "Content-Type: image/png; name=a; name=b\n\n", `("image" "png" ("name" "a" "name" "b") NIL NIL "7bit" 0)`, ""},
	{"unquoted with spaces", "Content-Type: application/pdf; name=my file.pdf\n\n", `("application" "pdf" ("name" "my file.pdf") NIL NIL "7bit" 0)`, ""},
	{"bad type", "Content-Type: nonsense; charset=x\n\n", `("text" "plain" ("charset" "x") NIL NIL "7bit" 0 0)`, ""},
	{"bad type tokens", "Content-Type: te(c)xt/x<y\n\n", `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)`, ""},
	{"all fields", "Content-Type: image/gif\nContent-ID: <a@b>\nContent-Description: A\n \"picture\"\nContent-MD5: Q2hlY2s=\nContent-Disposition: attachment; filename*=utf-8''x; size=3\nContent-Language: en, no (c), da\nContent-Location: http://x/\nContent-Transfer-Encoding: base64\n\nAAAA\n",
		`("image" "gif" NIL "<a@b>" "A \"picture\"" "base64" 6)`,
		`("image" "gif" NIL "<a@b>" "A \"picture\"" "base64" 6 "Q2hlY2s=" ("attachment" ("filename*" "utf-8''x" "size" "3")) ("en" "no" "da") "http://x/")`},
	{"alternative", "Content-Type: multipart/alternative; boundary=b\n\npre\n--b\n\nx\n--b\nContent-Type: text/html\n\n<p>\n\n--b--\npost\n",
		`(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 1)("text" "html" ("charset" "us-ascii") NIL NIL "7bit" 5 1) "alternative")`,
		`(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 1 NIL NIL NIL NIL)("text" "html" ("charset" "us-ascii") NIL NIL "7bit" 5 1 NIL NIL NIL NIL) "alternative" ("boundary" "b") NIL NIL NIL)`},
	{"no boundary", "Content-Type: multipart/mixed\n\n--b\n\nx\n--b--\n",
		`(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 17 4) "mixed")`, ""},
	{"empty boundary", "Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\nx\n----\n",
		`(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 15 4) "mixed")`, ""},
	{"boundary never met", "Content-Type: multipart/mixed; boundary=b\n\n--c\n\nx\n",
		`(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 3) "mixed")`, ""},
	{"only closed", "Content-Type: multipart/mixed; boundary=b\n\n--b--\n",
		`(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 7 1) "mixed")`, ""},
	{"never closed", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n",
		`(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1) "mixed")`, ""},
	{"boundary is the start of another", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\n\nx\n--bb--\n--b\n\ny\n--b--\n",
		`((("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 1) "mixed")("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 1) "mixed")`, ""},
	{"same boundary nested", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n--b\n\ny\n--b--\n",
		`((("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 1) "mixed")("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 1) "mixed")`, ""},
	{"inner left open", "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\nx\n--o\n\ny\n--o--\n",
		`((("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 1) "mixed")("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 1) "mixed")`, ""},
	{"padding after the boundary", "Content-Type: multipart/mixed; boundary=\"b \"\n\n--b \t\n\nx\n--b-- \n",
		`(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 1) "mixed")`, ""},
	{"boundary like text", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--bx\n---b\n--B\n --b\n--b--\n",
		`(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 21 4) "mixed")`, ""},
	{"part without an empty line", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: image/png\n--b\n--b--\n",
		`(("image" "png" NIL NIL NIL "7bit" 0)("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) "mixed")`, ""},
	{"message", "Content-Type: message/rfc822\n\nSubject: in\nFrom: a@b\n\nx\ny\n",
		`("message" "rfc822" NIL NIL NIL "7bit" 32 (NIL "in" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 2) 5)`, ""},
	{"message, global", "Content-Type: message/global\n\nSubject: in\n\nx\n",
		`("message" "global" NIL NIL NIL "7bit" 18 (NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1) 3)`, ""},
	{"message, encoded", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeA==\n",
		`("message" "rfc822" NIL NIL NIL "base64" 18 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) 1)`, ""},
	{"digest", "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: in\n\nx\n--b--\n",
		`(("message" "rfc822" NIL NIL NIL "7bit" 16 (NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 1) 3) "digest")`, ""},
	{"8-bit and control bytes", "Content-Type: image/png; name=\"\xe5\x00b\"\n\n", "(\"image\" \"png\" (\"name\" {2}\r\n\xe5b) NIL NIL \"7bit\" 0)", ""},
	{"disposition without a type", "Content-Type: image/png\nContent-Disposition: ; filename=x\n\n", `("image" "png" NIL NIL NIL "7bit" 0)`,
		`("image" "png" NIL NIL NIL "7bit" 0 NIL ("attachment" ("filename" "x")) NIL NIL)`},
	// RFC 2231 sections 3, 4.1 and 6.
	{"parameters in pieces", "Content-Type: application/pdf; x=y; name*1=b; name*0=\"a \"; z=1; name*10=no\n\n", `("application" "pdf" ("x" "y" "name" "a b" "z" "1" "name*10" "no") NIL NIL "7bit" 0)`, ""},
	{"parameters in encoded pieces", "Content-Type: image/png\nContent-Disposition: attachment; filename*0*=utf-8'sv'%C3%A5; filename*1=\"% b\"; filename*2*=%C3%A4\n\n", `("image" "png" NIL NIL NIL "7bit" 0)`,
		`("image" "png" NIL NIL NIL "7bit" 0 NIL ("attachment" ("filename*" "utf-8'sv'%C3%A5%25%20b%C3%A4")) NIL NIL)`},
	{"parameters in pieces, a later one encoded", "Content-Type: image/png; name*0=a; name*1*=%20b\n\n", `("image" "png" ("name*" "''a%20b") NIL NIL "7bit" 0)`, ""},
	{"parameters in pieces without the first", "Content-Type: image/png; name*1=a; name*01=b; *0=c; name**=d\n\n", `("image" "png" ("name*1" "a" "name*01" "b" "*0" "c" "name**" "d") NIL NIL "7bit" 0)`, ""},
	{"charset in pieces", "Content-Type: text/plain; charset*0=ut; charset*1=f-8; charset*0=x\n\n", `("text" "plain" ("charset" "utf-8" "charset" "x") NIL NIL "7bit" 0 0)`, ""},
	{"boundary in pieces", "Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\n\n--ab\n\nx\n--ab--\n", `(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 1) "mixed")`, ""},
	{"broken header lines", ">From x\nno colon here\nContent-Type: text/html\n\n<p>\n", `("text" "html" ("charset" "us-ascii") NIL NIL "7bit" 5 1)`, ""},
	{"folded type", "Content-Type:\n multipart/mixed;\n\tboundary=\"b\"\n\n--b\n\nx\n--b--\n",
		`(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 1) "mixed")`, ""},
}

func TestStructure(t *testing.T) {
	for _, c := range structures {
		x := Parse(crlf(c.raw))
		check(t, x)
		if got := structure(x, false); got != c.body {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.body)
		}
		if got := structure(x, true); c.extended != "" && got != c.extended {
			t.Errorf("%s, extended:\n got %s\nwant %s", c.name, got, c.extended)
		}
	}
}

// check tells whether an index is sound, and its summary gives the same
// answers.
func check(t *testing.T, x *Index) {
	t.Helper()
	if x.Size != len(x.raw) || len(x.Parts) == 0 {
		t.Fatalf("size %d, %d parts", x.Size, len(x.Parts))
	}
	if got := headerLen(x.raw); got != x.HeaderLen {
		t.Errorf("header length %d, want %d", x.HeaderLen, got)
	}
	seen := make([]bool, len(x.Parts))
	var walk func(i, from, depth int)
	walk = func(i, from, depth int) {
		p := &x.Parts[i]
		if seen[i] || depth > MaxDepth {
			t.Fatalf("part %d is seen twice, or at depth %d", i, depth)
		}
		seen[i] = true
		if p.Header.Off < from || p.Header.Len < 0 || p.Body.Off != p.Header.End() || p.Body.Len < 0 || p.Body.End() > x.Size {
			t.Fatalf("part %d has ranges %v %v after %d of %d", i, p.Header, p.Body, from, x.Size)
		}
		body := p.Body.Of(x.raw)
		lines := bytes.Count(body, []byte("\n"))
		if len(body) > 0 && body[len(body)-1] != '\n' {
			lines++
		}
		if p.Lines != lines {
			t.Errorf("part %d has %d lines, want %d", i, p.Lines, lines)
		}
		if (p.Kind == Leaf) != (p.Child < 0) {
			t.Fatalf("part %d of kind %d has child %d", i, p.Kind, p.Child)
		}
		at := p.Body.Off
		for c := p.Child; c >= 0; c = x.Parts[c].Next {
			walk(c, at, depth+1)
			at = x.Parts[c].Body.End()
		}
	}
	walk(0, 0, 0)
	for i, s := range seen {
		if !s {
			t.Fatalf("part %d hangs nowhere", i)
		}
	}

	b, err := x.AppendBinary(nil)
	if err != nil || len(b) > MaxSummary {
		t.Fatalf("summary of %d bytes: %v", len(b), err)
	}
	y, err := Decode(b)
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	if y.Size != x.Size || y.HeaderLen != x.HeaderLen {
		t.Errorf("decoded size %d, header %d", y.Size, y.HeaderLen)
	}
	var e, f Envelope
	x.Envelope(&e)
	if y.Envelope(&f) {
		if got, want := AppendEnvelope(nil, &f, true), AppendEnvelope(nil, &e, true); !bytes.Equal(got, want) {
			t.Errorf("decoded envelope\n got %q\nwant %q", got, want)
		}
	}
	if len(y.Parts) > 0 {
		if got, want := structure(y, true), structure(x, true); got != want {
			t.Errorf("decoded structure\n got %q\nwant %q", got, want)
		}
		if got, want := outline(y), outline(x); got != want {
			t.Errorf("decoded tree\n got %s\nwant %s", got, want)
		}
	}
	again, err := y.AppendBinary(nil)
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("the summary of the decoded index differs: %v\n%q\n%q", err, b, again)
	}
	s, err := OpenSummary(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(x.raw) < maxHeader {
		for _, names := range [][]string{{"from", "TO", "Subject", "content-type"}, {"Message-Id"}, fieldNames[1:]} {
			if got, ok := s.AppendFields(nil, names); ok {
				if want := AppendFields(nil, names, false, x.raw[:x.HeaderLen]); !bytes.Equal(got, want) {
					t.Errorf("fields %v\n got %q\nwant %q", names, got, want)
				}
			}
		}
	}
}

// naive finds the parts of nested multiparts by looking at each line against
// each boundary, over and over.
func naive(lines []string) string {
	text := strings.Join(lines, "")
	// The header.
	h := 0
	boundary := ""
	for h < len(lines) && strings.TrimRight(lines[h], "\r\n") != "" {
		if b, ok := strings.CutPrefix(lines[h], "Content-Type: multipart/mixed; boundary="); ok && boundary == "" {
			boundary = strings.TrimRight(b, "\r\n")
		}
		h++
	}
	if h < len(lines) {
		h++
	}
	if boundary == "" {
		return fmt.Sprintf("%q", text)
	}
	out := ""
	start := -1
	cut := func(end int, delimited bool) {
		if start < 0 {
			return
		}
		part := append([]string(nil), lines[start:end]...)
		if n := len(part); n > 0 && delimited {
			part[n-1] = strings.TrimSuffix(strings.TrimSuffix(part[n-1], "\n"), "\r")
			if part[n-1] == "" {
				part = part[:n-1]
			}
		}
		out += naive(part)
	}
	i := h
	for ; i < len(lines); i++ {
		l := strings.TrimRight(lines[i], "\r\n\t ")
		if l == "--"+boundary {
			cut(i, true)
			start = i + 1
		} else if l == "--"+boundary+"--" {
			cut(i, true)
			start = -1
			break
		}
	}
	if i == len(lines) {
		cut(i, false)
	}
	return "(" + out + ")"
}

func (x *Index) asNaive(i int) string {
	p := &x.Parts[i]
	if p.Kind == Leaf {
		return fmt.Sprintf("%q", x.raw[p.Header.Off:p.Body.End()])
	}
	out := ""
	for c := p.Child; c >= 0; c = x.Parts[c].Next {
		if !x.Parts[c].Made {
			out += x.asNaive(c)
		}
	}
	return "(" + out + ")"
}

// TestNaive compares with a slow twin on random lines. Boundaries are
// different at each level, because the twin knows only one at a time, and
// each multipart is closed by its own or by the end of the one around it.
func TestNaive(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var gen func(b *strings.Builder, depth int, id string)
	gen = func(b *strings.Builder, depth int, id string) {
		eol := []string{"\n", "\r\n"}[rnd.IntN(2)]
		noise := func() {
			for range rnd.IntN(4) {
				b.WriteString([]string{"", "x", "--", "---", "--" + id + "zz", "-- " + id, "--y", " "}[rnd.IntN(8)] + eol)
			}
		}
		if depth == 0 || rnd.IntN(3) == 0 {
			if rnd.IntN(4) > 0 {
				b.WriteString("Subject: x" + eol + eol)
			}
			noise()
			return
		}
		b.WriteString("Content-Type: multipart/mixed; boundary=" + id + eol + eol)
		noise()
		for i := range rnd.IntN(4) {
			b.WriteString("--" + id + []string{"", " ", "\t "}[rnd.IntN(3)] + eol)
			gen(b, depth-1, fmt.Sprintf("%s%d.%d", id, depth, i))
			b.WriteString(eol)
		}
		if rnd.IntN(4) > 0 {
			b.WriteString("--" + id + "--" + eol)
			noise()
		}
	}
	for range 20000 {
		var b strings.Builder
		gen(&b, 4, "q")
		raw := b.String()
		x := Parse([]byte(raw))
		if got, want := x.asNaive(0), naive(strings.SplitAfter(raw, "\n")); got != want {
			t.Fatalf("%q\n got %s\nwant %s", raw, got, want)
		}
		check(t, x)
	}
}

func TestDeep(t *testing.T) {
	for _, depth := range []int{100, 126, 127, 128, 129, 2000} {
		var b strings.Builder
		for i := range depth {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
		}
		b.WriteString("\r\nhello\r\n")
		x := Parse([]byte(b.String()))
		check(t, x)
		found := false
		for _, p := range x.Parts {
			found = found || p.Kind == Leaf && !p.Made && string(p.Body.Of(x.raw)) == "hello\r\n"
		}
		if found != (depth < MaxDepth) {
			t.Errorf("depth %d: leaf found: %v", depth, found)
		}
		// Messages in messages.
		m := strings.Repeat("Content-Type: message/rfc822\r\n\r\n", depth) + "\r\nhello\r\n"
		check(t, Parse([]byte(m)))
	}
}

func TestManyParts(t *testing.T) {
	for _, n := range []int{10000, 30000} {
		raw := []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", n) + "--b--\r\n")
		x := Parse(raw)
		if want := min(n+1, MaxParts); len(x.Parts) != want {
			t.Errorf("%d parts, want %d", len(x.Parts), want)
		}
		if x.Parts[0].Body.End() != len(raw) {
			t.Error("the multipart does not hold everything")
		}
		check(t, x)
	}
}
