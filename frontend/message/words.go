package message

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
)

// DecodeWords decodes the encoded words of RFC 2047 in an unfolded header
// value to UTF-8. Words that cannot be decoded stay as they are; bytes that
// are not UTF-8 are taken for Windows-1252, the usual culprit.
func DecodeWords(v []byte) []byte {
	if !bytes.Contains(v, []byte("=?")) {
		return toUTF8(v)
	}
	out := make([]byte, 0, len(v))
	afterWord := false
	for len(v) > 0 {
		i := bytes.Index(v, []byte("=?"))
		if i < 0 {
			break
		}
		text, n := decodeWord(v[i:])
		if n == 0 {
			out = append(out, toUTF8(v[:i+2])...)
			v = v[i+2:]
			afterWord = false
			continue
		}
		// Section 6.2: white space between encoded words is not shown.
		if gap := v[:i]; !afterWord || len(bytes.TrimLeft(gap, " \t\r\n")) > 0 {
			out = append(out, toUTF8(gap)...)
		}
		out = append(out, text...)
		v = v[i+n:]
		afterWord = true
	}
	return append(out, toUTF8(v)...)
}

func toUTF8(v []byte) []byte {
	if utf8.Valid(v) {
		return v
	}
	return decodeCharset("windows-1252", v)
}

// maxWord bounds an encoded word. RFC 2047 section 2 allows 75 characters;
// mailers write longer ones.
const maxWord = 2 << 10

// decodeWord decodes the encoded word at the start of v and returns its
// length; 0 if there is none.
func decodeWord(v []byte) ([]byte, int) {
	v = v[:min(len(v), maxWord)]
	charset, rest, ok := bytes.Cut(v[2:], []byte("?"))
	if !ok || len(charset) == 0 || len(charset) > 64 || len(rest) < 2 || rest[1] != '?' {
		return nil, 0
	}
	enc := lower(rest[0])
	text, _, ok := bytes.Cut(rest[2:], []byte("?="))
	// A question mark in the text is wrong (section 2) and often meant; the
	// beginning of another word says that this one has no end.
	if !ok || bytes.Contains(text, []byte("=?")) {
		return nil, 0
	}
	n := 2 + len(charset) + 1 + 2 + len(text) + 2
	var raw []byte
	switch enc {
	case 'b':
		clean := bytes.TrimRight(text, "= ")
		raw = make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
		m, err := base64.RawStdEncoding.Decode(raw, clean)
		if err != nil {
			return nil, 0
		}
		raw = raw[:m]
	case 'q':
		raw = make([]byte, 0, len(text))
		for i := 0; i < len(text); i++ {
			switch c := text[i]; {
			case c == '_':
				raw = append(raw, ' ')
			case c == '=' && i+2 < len(text) && unhex(text[i+1]) < 16 && unhex(text[i+2]) < 16:
				raw = append(raw, unhex(text[i+1])<<4|unhex(text[i+2]))
				i += 2
			default:
				raw = append(raw, c)
			}
		}
	default:
		return nil, 0
	}
	// RFC 2231 section 5: a language may follow the charset.
	name, _, _ := bytes.Cut(charset, []byte("*"))
	return decodeCharset(string(name), raw), n
}

// decodeCharset converts to UTF-8, with U+FFFD for what has no meaning. A
// charset that is not known is taken for UTF-8, which US-ASCII is too.
func decodeCharset(name string, b []byte) []byte {
	enc := lookupCharset(name)
	if enc == nil {
		return bytes.ToValidUTF8(b, []byte("\uFFFD"))
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		return bytes.ToValidUTF8(b, []byte("\uFFFD"))
	}
	return out
}

func lookupCharset(name string) encoding.Encoding {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return nil
	}
	enc, err := htmlindex.Get(name)
	if err != nil {
		return nil
	}
	return enc
}

// NewTextReader reads a part's decoded text as UTF-8, for searching and
// previews: the transfer encoding and the charset are undone, and bytes
// without meaning become U+FFFD. r gives the part's body.
func (p *Part) NewTextReader(r io.Reader) (io.Reader, error) {
	r, err := p.NewDecoder(r)
	if err != nil {
		return nil, err
	}
	charset, _ := p.Param("charset")
	enc := lookupCharset(string(charset))
	if enc == nil {
		return transform.NewReader(r, runes.ReplaceIllFormed()), nil
	}
	return enc.NewDecoder().Reader(r), nil
}
