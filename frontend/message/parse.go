package message

import (
	"bytes"
)

// Bounds of the part tree. What lies beyond is opaque: its bytes belong to the
// part around it.
const (
	MaxDepth = 128
	MaxParts = 20000
)

// Range is a run of bytes of the message.
type Range struct{ Off, Len int }

// End is the offset after the last byte.
func (r Range) End() int { return r.Off + r.Len }

// Of cuts the range out of the message it belongs to.
func (r Range) Of(raw []byte) []byte { return raw[r.Off:r.End():r.End()] }

// Kind tells what a part contains.
type Kind uint8

// The kinds of part. The numbers are in the summary format.
const (
	Leaf      Kind = 0 // content of its own
	Multipart Kind = 1 // parts
	Message   Kind = 2 // one message (RFC 2046 section 5.2.1), its only child
)

// Part is one node of the MIME tree. A nil byte slice is an absent field, an
// empty one is a field that is present and empty. Texts are as the message has
// them, unfolded.
type Part struct {
	Header Range // including the empty line that ends it
	Body   Range
	Lines  int // in Body; a last line without an end counts
	Kind   Kind

	// Child is the index in Index.Parts of the first child, Next that of the
	// next sibling; -1 for none. A Multipart and a Message have at least one
	// child.
	Child, Next int
	// Made marks a text part the message does not have. It stands in where the
	// grammar of RFC 9051 wants a part: in a multipart without parts or too
	// deeply nested, with all that is in it, and empty in an encoded or too
	// deeply nested message.
	Made bool

	Type, Subtype []byte // never nil
	Params        []Param
	ID            []byte
	Description   []byte
	Encoding      []byte // nil: 7bit
	MD5           []byte
	Disposition   []byte
	// DispositionParams are those of the Content-Disposition.
	DispositionParams []Param
	Language          [][]byte
	Location          []byte

	// envelope holds, after Decode, the kept fields of a message's header.
	envelope fieldBlock
}

// Is reports whether the part has that media type, without case.
func (p *Part) Is(typ, subtype string) bool {
	return equalFold(p.Type, typ) && equalFold(p.Subtype, subtype)
}

// Index is what is known of a message.
type Index struct {
	Size int // of the message that was parsed
	// HeaderLen is the offset of the body: the header includes its empty line.
	HeaderLen int
	// Parts is the MIME tree in the order of the message; Parts[0] is the
	// message itself. It is never empty after Parse. After Decode it is empty
	// if the tree was too large to be kept.
	Parts []Part

	raw    []byte     // after Parse
	fields fieldBlock // after Decode
	// known tells, after Decode, which fields were kept.
	known knownFields
	// params is what the parts' parameters are slices of, after Decode.
	params []Param
}

var (
	typeText      = []byte("text")
	typePlain     = []byte("plain")
	typeMessage   = []byte("message")
	typeRFC822    = []byte("rfc822")
	emptyNotNil   = []byte{}
	newlineDashes = []byte("\n--")
)

// Parse indexes a message. It keeps raw and shares its bytes: raw must not
// change while the index is in use.
func Parse(raw []byte) *Index {
	x := &Index{Size: len(raw), raw: raw}
	p := parser{raw: raw, parts: make([]Part, 0, 4)}
	p.part(0, 0, false)
	x.Parts = p.parts
	x.HeaderLen = x.Parts[0].Header.Len
	return x
}

// parser makes one pass over the message. Every byte is looked at a bounded
// number of times, whatever the nesting: for delimiters of all open multiparts
// at once, and once for counting lines.
type parser struct {
	raw   []byte
	parts []Part
	open  [][]byte // the boundaries of the open multiparts, outermost first

	counted, lines int // lines up to counted
}

// delim is a delimiter line (RFC 2046 section 5.1.1) or, with level -1, the
// end of the message.
type delim struct {
	start, end int // of the line, end after its line end
	level      int // index in parser.open
	last       bool
}

// linesTo counts the line ends before off. Calls come with a growing off, but
// for the few bytes by which a delimiter's line end precedes it.
func (p *parser) linesTo(off int) int {
	if off < p.counted {
		return p.lines - bytes.Count(p.raw[off:p.counted], newlineDashes[:1])
	}
	p.lines += bytes.Count(p.raw[p.counted:off], newlineDashes[:1])
	p.counted = off
	return p.lines
}

// match tells whether the line at start is a delimiter of an open multipart.
// RFC 2046 section 5.1.2 wants outer ones known at every level. The innermost
// is asked first, so that a nested multipart with the same boundary is closed
// before the one around it. Nothing but white space may follow: RFC 2046 would
// take a boundary that is only the beginning of the line, but then one that is
// the beginning of another would cut the wrong parts.
func (p *parser) match(start int) (delim, bool) {
	b := p.raw
	if len(p.open) == 0 || len(b)-start < 2 || b[start] != '-' || b[start+1] != '-' {
		return delim{}, false
	}
	end := len(b)
	// A boundary has at most 70 characters, but longer ones occur.
	if i := bytes.IndexByte(b[start:], '\n'); i >= 0 {
		end = start + i + 1
	}
	line := bytes.TrimRight(b[start+2:end], " \t\r\n")
	for l := len(p.open) - 1; l >= 0; l-- {
		rest, ok := bytes.CutPrefix(line, p.open[l])
		if !ok || len(rest) != 0 && (len(rest) != 2 || rest[0] != '-' || rest[1] != '-') {
			continue
		}
		return delim{start: start, end: end, level: l, last: len(rest) != 0}, true
	}
	return delim{}, false
}

// next finds the first delimiter line at or after pos, which is the start of
// a line.
func (p *parser) next(pos int) delim {
	eof := delim{start: len(p.raw), end: len(p.raw), level: -1}
	if len(p.open) == 0 {
		return eof
	}
	if d, ok := p.match(pos); ok {
		return d
	}
	for pos < len(p.raw) {
		i := bytes.Index(p.raw[pos:], newlineDashes)
		if i < 0 {
			return eof
		}
		pos += i + 1
		if d, ok := p.match(pos); ok {
			return d
		}
	}
	return eof
}

// contentEnd is where the content before a delimiter ends: the line end before
// it belongs to the delimiter.
func (p *parser) contentEnd(d delim, start int) int {
	if d.level < 0 {
		return d.start
	}
	end := d.start
	if end > start && p.raw[end-1] == '\n' {
		end--
		if end > start && p.raw[end-1] == '\r' {
			end--
		}
	}
	return end
}

// header finds the end of the header that starts at pos: after its empty
// line, or at a delimiter, or at the end.
func (p *parser) header(pos int) (end int, d delim, cut bool) {
	for pos < len(p.raw) {
		switch c := p.raw[pos]; {
		case c == '\n':
			return pos + 1, delim{}, false
		case c == '\r' && pos+1 < len(p.raw) && p.raw[pos+1] == '\n':
			return pos + 2, delim{}, false
		case c == '-':
			if d, ok := p.match(pos); ok {
				return pos, d, true
			}
		}
		i := bytes.IndexByte(p.raw[pos:], '\n')
		if i < 0 {
			break
		}
		pos += i + 1
	}
	return len(p.raw), delim{start: len(p.raw), end: len(p.raw), level: -1}, true
}

// add appends a node and returns its index.
func (p *parser) add(q Part) int {
	q.Child, q.Next = -1, -1
	p.parts = append(p.parts, q)
	return len(p.parts) - 1
}

// part parses the entity at start and returns the delimiter that ended it. It
// is called only with room for another part.
func (p *parser) part(start, depth int, digest bool) delim {
	i := p.add(Part{Type: typeText, Subtype: typePlain})
	if digest {
		// RFC 2046 section 5.1.5.
		p.parts[i].Type, p.parts[i].Subtype = typeMessage, typeRFC822
	}
	body, d, cut := p.header(start)
	if !cut {
		// The empty line right before a delimiter is the line end that belongs
		// to it, so this header has none (RFC 2046 section 5.1.1). Unless the
		// delimiter is this very part's: a boundary used again.
		if d, cut = p.match(body); cut {
			q := Part{Type: typeText}
			q.fromHeader(p.raw[start:body])
			cut = !equalFold(q.Type, "multipart") || !bytes.Equal(q.boundary(), p.open[d.level])
		}
	}
	if cut {
		body = p.contentEnd(d, start)
	}
	q := p.parts[i]
	q.Header = Range{start, body - start}
	q.fromHeader(q.Header.Of(p.raw))
	before := p.linesTo(body)

	nested := !cut && depth+1 < MaxDepth && len(p.parts) < MaxParts
	switch {
	case equalFold(q.Type, "multipart"):
		q.Kind = Multipart
		p.parts[i] = q
		if b := q.boundary(); nested && len(b) > 0 {
			d = p.multipart(i, b, body, depth, equalFold(q.Subtype, "digest"))
		} else if !cut {
			d = p.next(body)
		}
	case q.Is("message", "rfc822") || q.Is("message", "global"):
		q.Kind = Message
		p.parts[i] = q
		// RFC 6532 section 3.7 allows message/global to be encoded, RFC 2046
		// section 5.2.1 forbids it for rfc822; either is opaque then.
		if nested && identity(q.Encoding) {
			p.parts[i].Child = len(p.parts)
			d = p.part(body, depth+1, false)
		} else if !cut {
			d = p.next(body)
		}
	default:
		p.parts[i] = q
		if !cut {
			d = p.next(body)
		}
	}

	end := max(p.contentEnd(d, body), body)
	n := &p.parts[i]
	n.Body = Range{body, end - body}
	n.Lines = p.linesTo(end) - before
	if end > body && p.raw[end-1] != '\n' {
		n.Lines++
	}
	if n.Kind != Leaf && n.Child < 0 {
		made := Part{Type: typeText, Subtype: typePlain, Made: true,
			Header: Range{end, 0}, Body: Range{end, 0}}
		if n.Kind == Multipart {
			// Whatever stands there can be read.
			made.Header.Off, made.Body, made.Lines = body, n.Body, n.Lines
		}
		n.Child = len(p.parts)
		p.add(made)
	}
	return d
}

// multipart parses the parts between the delimiters of multipart i and its
// epilogue.
func (p *parser) multipart(i int, boundary []byte, body, depth int, digest bool) delim {
	level := len(p.open)
	p.open = append(p.open, boundary)
	last := -1
	d := p.next(body)
	for d.level == level && !d.last {
		if len(p.parts) >= MaxParts {
			d = p.next(d.end)
			continue
		}
		c := len(p.parts)
		if last < 0 {
			p.parts[i].Child = c
		} else {
			p.parts[last].Next = c
		}
		last = c
		d = p.part(d.end, depth+1, digest)
	}
	p.open = p.open[:level]
	if d.level == level {
		d = p.next(d.end)
	}
	return d
}

// identity reports whether a transfer encoding changes nothing (RFC 2045
// section 6.2).
func identity(enc []byte) bool {
	return len(enc) == 0 || equalFold(enc, "7bit") || equalFold(enc, "8bit") || equalFold(enc, "binary")
}
