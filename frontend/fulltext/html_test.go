package fulltext

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func shown(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(newHTMLReader(r))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHTML(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"plain", "plain"},
		{"<p>Hello <b>wor</b>ld</p>", "Hello world"},
		{"<p>one</p><p>two</p>", "one\ntwo"},
		{"one\r\n   two<br>three", "one two\nthree"},
		{"<td>a</td><td>b</td>", "a b"},
		{"a<td>b</td></tr><tr>c", "a b\nc"},
		{"sm&ouml;rg&aring;s &amp; &lt;b&gt; &#x4e2d;&#25991;", "smörgås & <b> 中文"},
		{"a&nbsp;&nbsp; b &copy 1 &unknown; &", "a b © 1 &unknown; &"},
		{"&notit; x&#0;", "¬it; x\ufffd"},
		{"<!-- no <b> --> yes <!-->yes<!-- a -- b > -->yes<!-- never ends", "yes yesyes"},
		{"<style>p { color: red }</style>text<SCRIPT>if (a</b) '</scripts>'</script >more", "text\nmore"},
		{"<a title=\"a > b\" href='x>y' alt=z>w>ord</a>", "w>ord"},
		{"<a title=it's>quote</a>", "quote"},
		{"a < b, a <3, a<b>c</b>", "a < b, a <3, ac"},
		{"<!DOCTYPE html><?xml x?>x</ >y</>z", "xyz"},
		{"<o:p>office</o:p>text", "officetext"},
		{"end <b", "end"},
		{"end <", "end <"},
		{"end &ouml", "end ö"},
		{"<title>Title</title><body>x", "Title\nx"},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(c.in), "octet by octet": iotest.OneByteReader(strings.NewReader(c.in))} {
			if got := shown(t, r); got != c.want {
				t.Errorf("%s: %q: %q, want %q", name, c.in, got, c.want)
			}
		}
	}
}

// What is not shown may be long, and nothing is ever kept of it.
func TestHTMLLong(t *testing.T) {
	for _, open := range []string{"<!--", "<style>", "<a b=\"", "<", "<" + strings.Repeat("a", 100)} {
		h := newHTMLReader(io.MultiReader(strings.NewReader("before "+open), strings.NewReader(strings.Repeat("x", 8<<20))))
		b, err := io.ReadAll(h)
		if err != nil || strings.TrimSpace(strings.TrimRight(string(b), "<x")) != "before" {
			t.Errorf("%q: %.40q, %v", open, b, err)
		}
		if cap(h.name) > 64 || cap(h.ref) > 64 || cap(h.out) > 64<<10 {
			t.Errorf("%q: %d, %d, %d octets are kept", open, cap(h.name), cap(h.ref), cap(h.out))
		}
	}
}

func FuzzHTML(f *testing.F) {
	f.Add("<p>a &amp; b<!-- c --><style>d</style>e</p>")
	f.Add("<a b='c' d=\"e\">&#x41;&nbsp;</a></")
	f.Fuzz(func(t *testing.T, s string) {
		a, b := shown(t, strings.NewReader(s)), shown(t, iotest.OneByteReader(strings.NewReader(s)))
		if a != b {
			t.Fatalf("%q at once, %q octet by octet", a, b)
		}
		if utf8.ValidString(s) && !utf8.ValidString(a) {
			t.Fatalf("%q", a)
		}
		if len(a) > 4*len(s)+4 {
			t.Fatalf("%d octets became %d", len(s), len(a))
		}
	})
}

func BenchmarkHTML(b *testing.B) {
	text := strings.Repeat("<tr><td style=\"padding: 0 10px; font: 12px Arial\">Some text, as newsletters have it &amp; more</td></tr>\r\n", 1000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := io.Copy(io.Discard, newHTMLReader(strings.NewReader(text))); err != nil {
			b.Fatal(err)
		}
	}
}
