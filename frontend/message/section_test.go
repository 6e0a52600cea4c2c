package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"
)

// rfc is like the example of RFC 9051 section 6.4.5.1.
var nested = crlf(`Subject: outer
Content-Type: multipart/mixed; boundary=o

--o
Content-Type: text/plain

one
--o
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/alternative; boundary=i

--i

two one
--i
Content-Type: text/html

two two
--i--
--o
Content-Type: message/rfc822
Content-ID: <3>

Subject: simple

three
--o--
`)

func TestSection(t *testing.T) {
	for _, c := range []struct {
		raw  []byte
		path []int
		what What
		want string // "-" for NIL
	}{
		{nested, nil, Whole, string(nested)},
		{nested, nil, Header, "Subject: outer\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n"},
		{nested, nil, Text, string(nested[bytes.Index(nested, []byte("--o")):])},
		{nested, nil, MIME, "-"},
		{nested, []int{1}, Whole, "one"},
		{nested, []int{1}, MIME, "Content-Type: text/plain\r\n\r\n"},
		{nested, []int{1}, Header, "-"},
		{nested, []int{1}, Text, "-"},
		{nested, []int{1, 1}, Whole, "-"},
		{nested, []int{2}, MIME, "Content-Type: message/rfc822\r\n\r\n"},
		{nested, []int{2}, Header, "Subject: inner\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n"},
		{nested, []int{2}, Text, "--i\r\n\r\ntwo one\r\n--i\r\nContent-Type: text/html\r\n\r\ntwo two\r\n--i--"},
		{nested, []int{2, 1}, Whole, "two one"},
		{nested, []int{2, 1}, MIME, "\r\n"},
		{nested, []int{2, 2}, Whole, "two two"},
		{nested, []int{2, 2}, MIME, "Content-Type: text/html\r\n\r\n"},
		{nested, []int{2, 3}, Whole, "-"},
		{nested, []int{3}, Whole, "Subject: simple\r\n\r\nthree"},
		{nested, []int{3}, Header, "Subject: simple\r\n\r\n"},
		{nested, []int{3}, Text, "three"},
		{nested, []int{3, 1}, Whole, "three"},
		{nested, []int{3, 1}, MIME, "Subject: simple\r\n\r\n"},
		{nested, []int{3, 1, 1}, Whole, "-"},
		{nested, []int{4}, Whole, "-"},
		{nested, []int{0}, Whole, "-"},
		{crlf("A: b\n\nx\n"), []int{1}, Whole, "x\r\n"},
		{crlf("A: b\n\nx\n"), []int{1}, MIME, "A: b\r\n\r\n"},
		{crlf("A: b\n\nx\n"), []int{2}, Whole, "-"},
		{crlf("A: b\n\nx\n"), []int{1, 1}, Whole, "-"},
		{crlf("Content-Type: multipart/mixed\n\nx\n"), []int{1}, Whole, "x\r\n"},
		{crlf("Content-Type: multipart/mixed\n\nx\n"), []int{1}, MIME, ""},
		{nil, nil, Whole, ""},
		{nil, []int{1}, Whole, ""},
		{crlf("Content-Type: message/rfc822\n\nA: b\n\nx\n"), []int{1}, Whole, "A: b\r\n\r\nx\r\n"},
		{crlf("Content-Type: message/rfc822\n\nA: b\n\nx\n"), []int{1}, Header, "A: b\r\n\r\n"},
		{crlf("Content-Type: message/rfc822\n\nA: b\n\nx\n"), []int{1, 1}, Whole, "x\r\n"},
	} {
		x := Parse(c.raw)
		b, err := x.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		y, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []*Index{x, y} {
			s, ok := x.Section(c.path, c.what)
			got := "-"
			if ok {
				got = string(s.Of(c.raw))
			}
			if got != c.want {
				t.Errorf("%v %d: %q, want %q", c.path, c.what, got, c.want)
			}
			if want := ok && s.Off == 0 && c.what != Text && !(len(c.path) == 1 && c.what == Whole); s.Prefixed != want {
				t.Errorf("%v %d: prefixed %v", c.path, c.what, s.Prefixed)
			}
		}
	}
}

func TestHeaderFields(t *testing.T) {
	h := crlf("From: a\nTo: b,\n c\n\td\nbroken line\n more of it\nto : e\nX: y\n\n")
	for _, c := range []struct {
		names []string
		not   bool
		want  string
	}{
		{[]string{"TO"}, false, "To: b,\n c\n\td\nto : e\n\n"},
		{[]string{"x", "from"}, false, "From: a\nX: y\n\n"},
		{[]string{"none"}, false, "\n"},
		{[]string{"TO", "from"}, true, "broken line\n more of it\nX: y\n\n"},
		{[]string{"broken line"}, false, "\n"},
	} {
		if got := AppendFields(nil, c.names, c.not, h); string(got) != string(crlf(c.want)) {
			t.Errorf("%v %v: %q", c.names, c.not, got)
		}
	}
	if got := AppendFields(nil, []string{"a", "b"}, false, crlf("A: 1\n"), []byte("B: 2\r\n\r\n")); string(got) != "A: 1\r\nB: 2\r\n\r\n" {
		t.Errorf("two blocks: %q", got)
	}
	// RFC 3501 section 6.4.5: a message without a body and an empty line has
	// none in the answer either.
	for _, raw := range []string{"A: 1\r\nB: 2\r\n", "A: 1\r\nB: 2", "A: 1\r\nno colon"} {
		want := raw[:6]
		if got := AppendFields(nil, []string{"a"}, false, []byte(raw)); string(got) != want {
			t.Errorf("no empty line: %q", got)
		}
		b, err := Parse([]byte(raw)).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := OpenSummary(b); err != nil {
			t.Error(err)
		} else if got, ok := s.AppendFields(nil, []string{"subject"}); ok {
			t.Errorf("a summary knows of the empty line: %q", got)
		}
	}
	if got := Lookup(h, "tO"); string(got) != "b, c\td" {
		t.Errorf("Lookup: %q", got)
	}
	if Lookup(h, "Y") != nil || Lookup(crlf("Y:\n"), "Y") == nil {
		t.Error("absent and empty are not told apart")
	}
	if got := LookupAll(h, "to"); len(got) != 2 || string(got[0]) != "To: b,\r\n c\r\n\td\r\n" {
		t.Errorf("LookupAll: %q", got)
	}
}

func TestTransfer(t *testing.T) {
	for _, c := range []struct {
		enc, in, want string
		err           error
	}{
		{"", "x=20", "x=20", nil},
		{"8BIT", "x", "x", nil},
		{"BASE64", "aGVsbG8=", "hello", nil},
		{"base64", " aG\r\nVs!bG8 = \r\n", "hello", nil},
		{"base64", "aGVsbG8", "hello", nil},
		{"base64", "aGVsbG8=aGVsbG8=", "hellohello", nil},
		{"base64", "aGVsb", "hel", ErrBadEncoding},
		{"base64", "", "", nil},
		{"base64", "====", "", nil},
		{"quoted-printable", "a=3Db=\r\nc =\nd  \r\ne\t\n=C3=b8", "a=bc d\r\ne\n\xc3\xb8", nil},
		{"quoted-printable", "100% =zz = x =", "100% =zz = x ", nil},
		{"quoted-printable", "a=", "a", nil},
		{"quoted-printable", "a=2", "a=2", nil},
		{"quoted-printable", "a = \t\r\nb", "a b", nil},
		{"quoted-printable", strings.Repeat(" ", 5000) + "x", strings.Repeat(" ", 5000) + "x", nil},
		{"quoted-printable", "a \rb", "a \rb", nil},
	} {
		for _, wrap := range []func(io.Reader) io.Reader{
			func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader, iotest.HalfReader,
		} {
			r, err := NewDecoder([]byte(c.enc), wrap(strings.NewReader(c.in)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if string(got) != c.want || !errors.Is(err, c.err) {
				t.Errorf("%s %.40q: %.60q %v, want %.60q %v", c.enc, c.in, got, err, c.want, c.err)
			}
		}
	}
	if _, err := NewDecoder([]byte("x-uuencode"), nil); !errors.Is(err, ErrUnknownEncoding) {
		t.Errorf("unknown encoding: %v", err)
	}
	broken := errors.New("broken")
	r, _ := NewDecoder([]byte("base64"), io.MultiReader(strings.NewReader("aGVsbG8haGVs"), iotest.ErrReader(broken)))
	if got, err := io.ReadAll(r); string(got) != "hello!hel" || !errors.Is(err, broken) {
		t.Errorf("read error: %q %v", got, err)
	}
}

func TestTransferRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		in := make([]byte, rnd.IntN(20000))
		for i := range in {
			in[i] = byte(rnd.IntN([]int{256, 64}[i%2]))
		}
		var q bytes.Buffer
		w := quotedprintable.NewWriter(&q)
		w.Binary = true
		if _, err := w.Write(in); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for enc, text := range map[string]string{"base64": base64.StdEncoding.EncodeToString(in), "quoted-printable": q.String()} {
			r, err := NewDecoder([]byte(enc), strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(iotest.HalfReader(r)); err != nil || !bytes.Equal(got, in) {
				t.Fatalf("%s of %d bytes gave %d: %v", enc, len(in), len(got), err)
			}
		}
	}
}

func TestTextReader(t *testing.T) {
	for _, c := range []struct{ header, body, want string }{
		{"text/plain; charset=iso-8859-1", "\xf8", "ø"},
		{"text/plain", "\xf8x", "\uFFFDx"},
		{"text/plain; charset=utf-8", "\xc3\xb8", "ø"},
		{"text/plain; charset=koi8-r", "\xc1", "а"},
		{"text/plain; charset=nonesuch", "a", "a"},
	} {
		raw := []byte("Content-Type: " + c.header + "\r\n\r\n" + c.body)
		x := Parse(raw)
		r, err := x.Parts[0].NewTextReader(bytes.NewReader(x.Parts[0].Body.Of(raw)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != c.want {
			t.Errorf("%s: %q %v", c.header, got, err)
		}
	}
}
