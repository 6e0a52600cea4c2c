package collate

import (
	"encoding/binary"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// common covers the scripts of Europe, which would take a search otherwise.
const common = 0x530

var table = sync.OnceValue(func() *[common][]byte {
	t := new([common][]byte)
	for r := range rune(common) {
		t[r] = appendRune(nil, r)
	}
	return t
})

// Append appends text in the form in which texts that are equal are equal
// octet by octet, one that is contained in another is so, too, and the order
// of octets is their order (RFC 5051 section 2). text is UTF-8; an octet that
// is not counts as U+FFFD.
func Append(dst, text []byte) []byte {
	var t *[common][]byte
	for i := 0; i < len(text); {
		if n := ascii(text[i:]); n > 0 {
			at := len(dst)
			dst = append(dst, text[i:i+n]...)
			toUpper(dst[at:])
			i += n
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		i += n
		if r < common {
			if t == nil {
				t = table()
			}
			dst = append(dst, t[r]...)
			continue
		}
		dst = appendRune(dst, r)
	}
	return dst
}

const ones = 0x0101010101010101 // times an octet: eight of it

// ascii returns how many octets of ASCII a text begins with.
func ascii(text []byte) int {
	n := 0
	for len(text)-n >= 8 && binary.LittleEndian.Uint64(text[n:])&(0x80*ones) == 0 {
		n += 8
	}
	for n < len(text) && text[n] < utf8.RuneSelf {
		n++
	}
	return n
}

// toUpper works on ASCII, eight octets at a time.
func toUpper(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		// Bit 7 of an octet: it is 'a' or more, and not more than 'z'.
		lower := (x + (0x80-'a')*ones) &^ (x + (0x80-'z'-1)*ones) & (0x80 * ones)
		binary.LittleEndian.PutUint64(b, x^lower>>2)
	}
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - ('a' - 'A')
		}
	}
}

// appendRune is steps 2 (a) and (b) of RFC 5051 section 2: the titlecase of a
// character, decomposed as far as it goes. Marks are left in their order.
func appendRune(dst []byte, r rune) []byte {
	r = unicode.ToTitle(r)
	var room [utf8.UTFMax]byte
	text := room[:utf8.EncodeRune(room[:], r)]
	if r >= hangul && r < hangulEnd {
		return append(dst, text...) // UnicodeData.txt does not decompose them
	}
	if d := norm.NFKD.Properties(text).Decomposition(); len(d) > 0 {
		text = d
	}
	return append(dst, text...)
}

// The syllables that are composed by rule.
const (
	hangul    = 0xac00
	hangulEnd = 0xd7a4
)
