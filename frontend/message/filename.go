package message

import (
	"bytes"
	"strconv"
	"strings"
)

// FileName returns the name that a part gives itself, decoded to UTF-8: the
// filename of its Content-Disposition (RFC 2183 section 2.3), or else the name
// of its Content-Type; nil if it has none. It is what a user knows it by, and
// no path that anything could be stored under.
func (p *Part) FileName() []byte {
	if n := paramText(p.DispositionParams, "filename"); n != nil {
		return n
	}
	return paramText(p.Params, "name")
}

// maxSections bounds the pieces of a parameter that are put together.
const maxSections = 64

// paramText returns the value of a parameter as text: whole, in pieces, with
// its charset and percent signs (RFC 2231 sections 3 and 4), or with encoded
// words, which are not allowed there and common.
func paramText(params []Param, name string) []byte {
	var plain, coded []byte
	pieces := map[int]Param{}
	for _, q := range params {
		rest, ok := cutFold(q.Name, name)
		switch {
		case !ok:
		case rest == "" && plain == nil:
			plain = DecodeWords(q.Value)
		case rest == "*" && coded == nil:
			coded = decodeExtended(q.Value)
		case strings.HasPrefix(rest, "*"):
			n, err := strconv.Atoi(strings.TrimSuffix(rest[1:], "*"))
			if err == nil && n >= 0 && n < maxSections {
				if _, ok := pieces[n]; !ok {
					pieces[n] = q
				}
			}
		}
	}
	if coded != nil {
		return coded
	}
	if _, ok := pieces[0]; ok {
		return joinPieces(pieces)
	}
	return plain
}

// cutFold cuts a name off the beginning of another, in any case.
func cutFold(s []byte, name string) (rest string, ok bool) {
	if len(s) < len(name) || !equalFold(s[:len(name)], name) {
		return "", false
	}
	return string(s[len(name):]), true
}

// joinPieces puts the pieces of a parameter together. The first tells the
// charset of those that are encoded.
func joinPieces(pieces map[int]Param) []byte {
	var raw []byte
	charset := ""
	for n := 0; ; n++ {
		q, ok := pieces[n]
		if !ok {
			break
		}
		v := q.Value
		if bytes.HasSuffix(q.Name, []byte("*")) {
			if n == 0 {
				charset, v = cutCharset(v)
			}
			v = unpercent(v)
		}
		raw = append(raw, v...)
	}
	return fromCharset(charset, raw)
}

func decodeExtended(v []byte) []byte {
	charset, v := cutCharset(v)
	return fromCharset(charset, unpercent(v))
}

// cutCharset splits charset'language'text.
func cutCharset(v []byte) (charset string, rest []byte) {
	parts := bytes.SplitN(v, []byte("'"), 3)
	if len(parts) < 3 {
		return "", v
	}
	return string(parts[0]), parts[2]
}

func fromCharset(charset string, v []byte) []byte {
	switch strings.ToLower(charset) {
	case "", "utf-8", "us-ascii":
		return toUTF8(v)
	}
	return decodeCharset(charset, v)
}

// unpercent undoes percent encoding; what is none stays.
func unpercent(v []byte) []byte {
	if bytes.IndexByte(v, '%') < 0 {
		return v
	}
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] == '%' && i+2 < len(v) {
			if n, err := strconv.ParseUint(string(v[i+1:i+3]), 16, 8); err == nil {
				out = append(out, byte(n))
				i += 2
				continue
			}
		}
		out = append(out, v[i])
	}
	return out
}
