package imap

import (
	"strings"
	"testing"
	"unicode/utf8"

	"altmail.se/altmail/mailstore/storetest"
)

func TestPreviewText(t *testing.T) {
	long := strings.Repeat("å", 500)
	for in, want := range map[string]string{
		"":                                       "",
		"  \r\n\t x \r\n\r\n  y  ":               "x y",
		"> quoted\r\nanswer\r\n> more":           "answer",
		"> only\r\n> quoted":                     "> only > quoted",
		"text\r\n-- \r\nSignature":               "text",
		"-- \r\nSignature":                       "-- Signature",
		"--\r\ntext":                             "-- text",
		"a\x00b\x1bc\u200bd\u00ade\ufefff":       "abcdef",
		"\n-----BEGIN PGP MESSAGE-----\nx":       "",
		"bad \xff utf8":                          "bad \ufffd utf8",
		long:                                     strings.Repeat("å", maxPreview),
		"x " + long:                              "x " + strings.Repeat("å", maxPreview-2),
		strings.Repeat("x", maxPreview-1) + " y": strings.Repeat("x", maxPreview-1),
		strings.Repeat("x", maxPreview-2) + " yz": strings.Repeat("x", maxPreview-2) + " y",
	} {
		if got := string(plainPreview([]byte(in))); got != want {
			t.Errorf("plain %q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"<p>One<p>Two":                                   "One Two",
		"<b>b</b>old &amp; t<i>r</i>ue":                  "bold & true",
		"<HTML><HEAD><title>no</title></HEAD><BODY>yes":  "yes",
		"<style>a > b { }</style>x<script>1<2</script>y": "xy",
		"<style>a{}":                         "",
		"a<!-- x > y -->b<!-- open":          "ab",
		"1 < 2 <3":                           "1 < 2 <3",
		`<a href="x>y" title='<b>'>link</a>`: "link",
		"<!DOCTYPE html><?xml x?>t":          "t",
		"<unfinished":                        "",
		"&lt;b&gt; &#8364; &nope; &":         "<b> € &nope; &",
		"a<br>b<br/>c<td>d</td>":             "a b c d",
		"</>x":                               "</>x",
	} {
		if got := string(squeezePreview(stripHTML([]byte(in)))); got != want {
			t.Errorf("html %q: %q, want %q", in, got, want)
		}
	}
}

func FuzzPreview(f *testing.F) {
	f.Add([]byte("<p>One<p title='>'>Two</p> <!-- x --> &amp; > q\n-- \n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, out := range [][]byte{plainPreview(in), squeezePreview(stripHTML(in))} {
			if n := utf8.RuneCount(out); n > maxPreview || !utf8.Valid(out) {
				t.Fatalf("%d characters: %q", n, out)
			}
			if strings.ContainsAny(string(out), "\r\n\x00") {
				t.Fatalf("%q", out)
			}
		}
	})
}

// TestPreviewNotHere: a lazy preview does not wait for another node.
func TestPreviewNotHere(t *testing.T) {
	var store storetest.Away
	k := newKitWith(t, storetest.Options{Bodies: store.Wrap}, nil)
	k.deliver("INBOX", "Subject: x\r\n\r\nHello\r\n")
	c := k.login("alice")
	c.ok("SELECT INBOX")
	expect := func(cmd, want string) {
		t.Helper()
		if got := c.ok(cmd); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", cmd, got, want)
		}
	}
	expect("FETCH 1 (PREVIEW (LAZY))", `* 1 FETCH (PREVIEW "Hello")`)
	store.Set(true)
	expect("FETCH 1 (UID PREVIEW (LAZY))", `* 1 FETCH (UID 1 PREVIEW NIL)`)
	if n := store.Asked(); n != 0 {
		t.Errorf("another node was asked %d times", n)
	}
	expect("FETCH 1 (PREVIEW)", `* 1 FETCH (PREVIEW "Hello")`)
	if n := store.Asked(); n != 1 {
		t.Errorf("another node was asked %d times", n)
	}
}

func BenchmarkPreview10k(b *testing.B) {
	_, c := filled(b, 10000)
	for b.Loop() {
		c.send("t FETCH 1:* (PREVIEW)\r\n")
		c.drain("t")
	}
}
