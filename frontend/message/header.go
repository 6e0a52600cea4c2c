package message

import (
	"bytes"
	"iter"
)

// maxHeader is how much of one header block is looked at for its fields. The
// header itself may be longer: its bytes are served whole.
const maxHeader = 1 << 20

// Field is one header field as it stands in the message.
type Field struct {
	// Name is the field name as spelled; empty for a line that is none (no
	// colon, or a name that RFC 5322 section 3.6.8 does not allow).
	Name []byte
	// Value is everything after the colon, with folding, without the last
	// line end.
	Value []byte
	// Raw is the whole field including its last line end.
	Raw []byte
}

// headerLen returns the length of the header block at the start of b,
// including the empty line that ends it. Lines end with LF, whether a CR
// stands before it or not. A header without an empty line is all of b.
func headerLen(b []byte) int {
	pos := 0
	for pos < len(b) {
		if b[pos] == '\n' {
			return pos + 1
		}
		if b[pos] == '\r' && pos+1 < len(b) && b[pos+1] == '\n' {
			return pos + 2
		}
		i := bytes.IndexByte(b[pos:], '\n')
		if i < 0 {
			return len(b)
		}
		pos += i + 1
	}
	return len(b)
}

// nextField cuts the first field, with its continuation lines, from h. The
// empty line that ends a header is not a field: ok is false there and at the
// end.
func nextField(h []byte) (f Field, rest []byte, ok bool) {
	if len(h) == 0 || h[0] == '\n' || h[0] == '\r' && len(h) > 1 && h[1] == '\n' {
		return Field{}, nil, false
	}
	end := 0
	for {
		i := bytes.IndexByte(h[end:], '\n')
		if i < 0 {
			end = len(h)
			break
		}
		end += i + 1
		// A continuation begins with white space (RFC 5322 section 2.2.3), even
		// one of white space only (section 4.2, obs-FWS).
		if end == len(h) || h[end] != ' ' && h[end] != '\t' {
			break
		}
	}
	f.Raw = h[:end:end]
	if n, v, ok := cutName(f.Raw); ok {
		f.Name, f.Value = n, trimEOL(v)
	}
	return f, h[end:], true
}

// cutName splits a field at its colon. White space before the colon is
// allowed (RFC 5322 section 4.5, obsolete syntax).
func cutName(raw []byte) (name, value []byte, ok bool) {
	i := 0
	for i < len(raw) && raw[i] > ' ' && raw[i] < 0x7f && raw[i] != ':' {
		i++
	}
	n := i
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t') {
		i++
	}
	if n == 0 || i == len(raw) || raw[i] != ':' {
		return nil, nil, false
	}
	return raw[:n:n], raw[i+1:], true
}

func trimEOL(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
		if n := len(b); n > 0 && b[n-1] == '\r' {
			b = b[:n-1]
		}
	}
	return b
}

// Fields yields the fields of a header block in order, up to its empty line or
// its first MiB.
func Fields(header []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		if len(header) > maxHeader {
			header = header[:maxHeader]
		}
		for {
			f, rest, ok := nextField(header)
			if !ok || !yield(f) {
				return
			}
			header = rest
		}
	}
}

// Lookup returns the value of the first field with that name, unfolded and
// trimmed; nil if there is none.
func Lookup(header []byte, name string) []byte {
	for f := range Fields(header) {
		if equalFold(f.Name, name) {
			return Unfold(f.Value)
		}
	}
	return nil
}

// LookupAll returns every field with that name, exactly as in the message.
func LookupAll(header []byte, name string) [][]byte {
	var out [][]byte
	for f := range Fields(header) {
		if equalFold(f.Name, name) {
			out = append(out, f.Raw)
		}
	}
	return out
}

// AppendFields appends the answer to HEADER.FIELDS (or, with not, to
// HEADER.FIELDS.NOT) of RFC 9051 section 6.4.5.1: the fields of the header
// blocks as they stand, then the empty line, unless the last block has none: a
// message of a header alone. Lines that are no fields belong to
// HEADER.FIELDS.NOT. Names are compared without case.
func AppendFields(dst []byte, names []string, not bool, blocks ...[]byte) []byte {
	ended := true
	for _, h := range blocks {
		for {
			f, rest, ok := nextField(h)
			if !ok {
				ended = len(h) > 0
				break
			}
			h = rest
			if hasName(names, f.Name) != not {
				dst = append(dst, f.Raw...)
			}
		}
	}
	if !ended {
		return dst
	}
	return append(dst, '\r', '\n')
}

func hasName(names []string, name []byte) bool {
	if len(name) == 0 {
		return false
	}
	for _, n := range names {
		if equalFold(name, n) {
			return true
		}
	}
	return false
}

// equalFold compares ASCII without case and without allocating.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Unfold returns a field value as RFC 9051 section 7.5.2 wants it in an
// ENVELOPE: line ends of folding and NULs gone, white space at both ends gone,
// everything else kept. It copies only if it has to. The result is not nil.
func Unfold(v []byte) []byte {
	b, _ := unfold(nil, v)
	return b
}

// unfold is Unfold with the copy, if one is needed, made at the end of arena.
func unfold(arena, v []byte) (out, grown []byte) {
	for len(v) > 0 && isSpace(v[0]) {
		v = v[1:]
	}
	for len(v) > 0 && isSpace(v[len(v)-1]) {
		v = v[:len(v)-1]
	}
	if v == nil {
		return []byte{}, arena
	}
	if bytes.IndexByte(v, '\n') < 0 && bytes.IndexByte(v, 0) < 0 {
		return v, arena
	}
	start := len(arena)
	for i, c := range v {
		if c == 0 || c == '\n' || c == '\r' && i+1 < len(v) && v[i+1] == '\n' {
			continue
		}
		arena = append(arena, c)
	}
	return arena[start:len(arena):len(arena)], arena
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
