package collate

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func key(s string) string { return string(Append(nil, []byte(s))) }

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b  string
		equal bool
	}{
		{"", "", true},
		{"subject", "SUBJECT", true},
		{"äpfel", "ÄPFEL", true},
		{"a\u0308pfel", "Äpfel", true},
		{"Århus", "arhus", false},
		{"ǆ", "Ǆ", true}, // U+01C6, U+01C4: both have the titlecase U+01C5
		{"ﬁn", "fin", false},
		{"ﬁn", "ﬁN", true},
		{"ﬀ", "\ufb00", true},
		{"ς", "σ", true},
		{"ｱ", "ア", true}, // half width
		{"straße", "STRASSE", false},
		{"\uac00", "\u1100\u1161", false}, // composed by rule: not in UnicodeData.txt
		{"ĳ", "Ĳ", true},
		{"Ω", "Ω", true}, // OHM SIGN
		{"\xff", "\ufffd", true},
		{"a", "b", false},
	} {
		if got := key(c.a) == key(c.b); got != c.equal {
			t.Errorf("%q, %q: equal is %v: %q, %q", c.a, c.b, got, key(c.a), key(c.b))
		}
	}
}

// TestContained: a part of a text is in its key, also when the text composes.
func TestContained(t *testing.T) {
	for _, c := range [][2]string{{"un café au lait", "CAFE"}, {"smörgåsbord", "GA"}, {"SMÖRGÅSBORD", "görg"[1:]}, {"x²", "2"}} {
		if !strings.Contains(key(c[0]), key(c[1])) {
			t.Errorf("%q is not in %q", c[1], c[0])
		}
	}
}

func TestOrder(t *testing.T) {
	sorted := []string{"", " a", "1", "a", "A b", "ab", "B", "Z", "É", "Ω", "Я", "가"}
	for i := 1; i < len(sorted); i++ {
		a, b := key(sorted[i-1]), key(sorted[i])
		if sorted[i] == "É" {
			continue // between E and F
		}
		if sorted[i-1] == "É" {
			a = key("Z")
		}
		if a >= b {
			t.Errorf("%q is not before %q", sorted[i-1], sorted[i])
		}
	}
	if !(key("E") < key("é") && key("é") < key("F")) {
		t.Error("é is not between e and f")
	}
}

// TestTwin holds the table and the fast way against one rune at a time.
func TestTwin(t *testing.T) {
	for r := rune(0); r < 0x20000; r++ {
		if r >= 0xd800 && r < 0xe000 {
			continue
		}
		s := string(r)
		got := Append(nil, []byte(s))
		if want := appendRune(nil, r); !bytes.Equal(got, want) {
			t.Fatalf("%U: %q, want %q", r, got, want)
		}
		if !utf8.Valid(got) {
			t.Fatalf("%U: %q", r, got)
		}
		if again := norm.NFKD.Bytes(got); r < 0xac00 && utf8.RuneCount(got) == 1 && !bytes.Equal(again, got) {
			t.Fatalf("%U: not as far as it goes: %q", r, got)
		}
	}
}

func FuzzAppend(f *testing.F) {
	f.Add([]byte("Äpfel \xff ǆ ﬁ"), []byte("x"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		ka, kb := Append(nil, a), Append(nil, b)
		if !utf8.Valid(ka) {
			t.Fatalf("%q", ka)
		}
		if n := len(a); len(ka) > 18*3*n {
			t.Fatalf("%d octets became %d", n, len(ka))
		}
		if utf8.Valid(a) {
			// Texts are made of keys of their parts.
			if both := Append(nil, append(bytes.Clone(a), b...)); !bytes.Equal(both, append(bytes.Clone(ka), kb...)) {
				t.Fatalf("%q", both)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for name, s := range map[string]string{"ascii": "the quick brown fox jumps over it", "nordic": "flygande bäckasiner söka hwila på mjuka tuvor", "han": "敏捷的棕色狐狸"} {
		b.Run(name, func(b *testing.B) {
			text := []byte(strings.Repeat(s, 30))
			var room []byte
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				room = Append(room[:0], text)
			}
		})
	}
}
