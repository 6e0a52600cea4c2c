package message

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrSummary is returned for bytes that are no summary of a version known
// here.
var ErrSummary = errors.New("message: malformed summary")

// Bounds of a summary. A message whose header fields or part tree are larger
// has a summary without them, and is answered from its header or its body.
const (
	// MaxFields bounds the kept header fields, in bytes.
	MaxFields = 8 << 10
	// MaxTree bounds the part tree, in bytes.
	MaxTree = 24 << 10
	// MaxSummary is more than any summary AppendBinary writes.
	MaxSummary = MaxFields + MaxTree + 64
)

const (
	summaryVersion = 1

	flagNoTree = 1 << 0

	// spelled marks a field kept with its name and line end, because they are
	// not the usual ones.
	spelled = 1 << 7
)

// fieldBlock is a run of kept fields (FORMAT.md).
type fieldBlock []byte

// knownFields tells for which fields a block is complete.
type knownFields struct {
	set     int    // fields above this number were not known to the writer
	dropped uint64 // bit n: field n occurs but was too large to keep
}

func (k knownFields) has(id byte) bool {
	return id != 0 && int(id) <= k.set && k.dropped&(1<<id) == 0
}

const envelopeBits = uint64(1)<<(lastEnvelope+1) - 2

// next cuts one field from a block. Raw is set if the field is kept as
// spelled; value never holds its last line end.
func (b fieldBlock) next() (id byte, raw, value []byte, rest fieldBlock, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, nil, false
	}
	id = b[0] &^ spelled
	n, w := binary.Uvarint(b[1:])
	if w <= 0 || n > uint64(len(b)-1-w) {
		return 0, nil, nil, nil, false
	}
	text := b[1+w : 1+w+int(n) : 1+w+int(n)]
	rest = b[1+w+int(n):]
	if b[0]&spelled == 0 {
		return id, nil, text, rest, true
	}
	_, v, ok := cutName(text)
	return id, text, trimEOL(v), rest, ok
}

// appendFields appends the fields of a header with a number up to last as a
// block of at most limit bytes, and returns which had to be dropped: all of a
// name, or the answer would be a wrong one.
func appendFields(dst []byte, header []byte, last byte, limit int) ([]byte, uint64) {
	var dropped uint64
	if len(header) > maxHeader {
		// H22: fields behind the first MiB are not known, so only ENVELOPE,
		// which is answered from that, may be; HEADER.FIELDS asks the header.
		dropped = ^uint64(0) &^ envelopeBits
	}
	for {
		start := len(dst)
		again := false
		for f := range Fields(header) {
			id := fieldID(f.Name)
			if id == 0 || id > last || dropped&(1<<id) != 0 {
				continue
			}
			before := len(dst)
			dst = appendField(dst, id, f)
			if len(dst)-start > limit {
				dst = dst[:before]
				dropped |= 1 << id
				again = true
			}
		}
		if !again {
			return dst, dropped
		}
		dst = dst[:start] // without any of the names that were dropped
	}
}

func appendField(dst []byte, id byte, f Field) []byte {
	name := fieldNames[id]
	// "Name: value CRLF" is written without name, colon, space and line end.
	if n := len(f.Raw); string(f.Name) == name && n >= len(name)+4 &&
		f.Raw[len(name)] == ':' && f.Raw[len(name)+1] == ' ' && f.Raw[n-2] == '\r' && f.Raw[n-1] == '\n' {
		dst = append(dst, id)
		return appendBytes(dst, f.Raw[len(name)+2:n-2])
	}
	return appendBytes(append(dst, id|spelled), f.Raw)
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// AppendBinary appends the summary of the index, at most MaxSummary bytes. An
// index that came from a summary gives the same bytes again.
func (x *Index) AppendBinary(dst []byte) ([]byte, error) {
	if len(x.Parts) == 0 && x.raw == nil && x.known.set == 0 {
		return dst, fmt.Errorf("message: nothing was indexed")
	}
	start := len(dst)
	dst = append(dst, summaryVersion, 0)
	dst = binary.AppendUvarint(dst, uint64(x.Size))
	dst = binary.AppendUvarint(dst, uint64(x.HeaderLen))

	fields, known := x.fields, x.known
	var room [1024]byte
	if x.known.set == 0 {
		known.set = fieldSet
		fields, known.dropped = appendFields(room[:0], x.raw[:x.HeaderLen], byte(fieldSet), MaxFields)
	}
	dst = append(dst, byte(known.set))
	dst = binary.AppendUvarint(dst, known.dropped)
	dst = appendBytes(dst, fields)

	tree := len(dst)
	if len(x.Parts) > 0 {
		w := treeWriter{x: x, dst: dst, limit: tree + MaxTree}
		w.part(0, 0)
		dst = w.dst
		if len(dst) <= w.limit && !w.full {
			return dst, nil
		}
	}
	dst[start+1] |= flagNoTree
	return dst[:tree], nil
}

// Summary answers from the binary form of an index without decoding all of
// it. It shares the bytes it was opened on. Opening does not allocate.
type Summary struct {
	Size      int
	HeaderLen int

	noTree bool
	known  knownFields
	fields fieldBlock
	tree   []byte
}

// OpenSummary reads the fixed part of a summary.
func OpenSummary(b []byte) (Summary, error) {
	var s Summary
	if len(b) < 2 || b[0] != summaryVersion {
		return s, ErrSummary
	}
	s.noTree = b[1]&flagNoTree != 0
	r := reader{b: b[2:]}
	s.Size = r.length()
	s.HeaderLen = r.length()
	s.known.set = int(r.byte())
	s.known.dropped = r.uvarint()
	s.fields = r.bytes()
	s.tree = r.b
	if r.bad || s.HeaderLen > s.Size || s.known.set == 0 {
		return Summary{}, ErrSummary
	}
	return s, nil
}

// Envelope fills e. It reports false if a field of the envelope was too large
// to be kept: e.FromHeader then answers from the header itself.
func (s *Summary) Envelope(e *Envelope) bool {
	if s.known.dropped&envelopeBits != 0 {
		return false
	}
	e.fromBlock(s.fields)
	return true
}

func (e *Envelope) fromBlock(b fieldBlock) {
	e.Reset()
	for {
		id, _, value, rest, ok := b.next()
		if !ok {
			return
		}
		if id <= lastEnvelope {
			e.set(id, value)
		}
		b = rest
	}
}

// AppendFields answers HEADER.FIELDS from the summary, byte for byte as the
// header would, the empty line included. It reports false, and appends
// nothing, if one of the names is not kept, or where the message may be a
// header without an empty line. Fields that a per-account prefix adds are not
// in it.
func (s *Summary) AppendFields(dst []byte, names []string) ([]byte, bool) {
	if s.HeaderLen == s.Size {
		return dst, false
	}
	var want uint64
	for _, n := range names {
		id := fieldID(n)
		if !s.known.has(id) {
			return dst, false
		}
		want |= 1 << id
	}
	b := s.fields
	for {
		id, raw, value, rest, ok := b.next()
		if !ok {
			return append(dst, '\r', '\n'), true
		}
		b = rest
		if want&(1<<id) == 0 {
			continue
		}
		if raw == nil {
			dst = append(dst, fieldNames[id]...)
			dst = append(dst, ':', ' ')
			dst = append(dst, value...)
			dst = append(dst, '\r', '\n')
			continue
		}
		dst = append(dst, raw...)
	}
}

// Kept reports whether a header field with that name would be in the summary
// if the message had it.
func (s *Summary) Kept(name string) bool { return s.known.has(fieldID(name)) }

// Value returns the value of the first field with that name, unfolded; nil if
// the message has none. It reports false if the name is not kept.
func (s *Summary) Value(name string) ([]byte, bool) {
	id := fieldID(name)
	if !s.known.has(id) {
		return nil, false
	}
	b := s.fields
	for {
		got, _, value, rest, ok := b.next()
		if !ok {
			return nil, true
		}
		if got == id {
			return Unfold(value), true
		}
		b = rest
	}
}

// Decode reads a summary in full. The index shares its bytes.
func Decode(b []byte) (*Index, error) {
	s, err := OpenSummary(b)
	if err != nil {
		return nil, err
	}
	return s.Index()
}

// Index decodes the part tree.
func (s *Summary) Index() (*Index, error) {
	x := new(Index)
	if err := s.IndexInto(x); err != nil {
		return nil, err
	}
	return x, nil
}

// IndexInto is Index into x, whose memory it uses again. The result shares the
// bytes of the summary.
func (s *Summary) IndexInto(x *Index) error {
	// The block was cut by its length; a field that does not fit in it is
	// damage that readers would take for its end.
	for b := s.fields; len(b) > 0; {
		id, _, _, rest, ok := b.next()
		if !ok || id == 0 || int(id) > s.known.set {
			return ErrSummary
		}
		b = rest
	}
	*x = Index{Size: s.Size, HeaderLen: s.HeaderLen, fields: s.fields, known: s.known, Parts: x.Parts[:0], params: x.params[:0]}
	if s.noTree {
		return nil
	}
	if x.Parts == nil {
		x.Parts = make([]Part, 0, 4)
	}
	r := treeReader{reader: reader{b: s.tree}, size: s.Size, parts: x.Parts, room: x.params}
	r.part(0, 0)
	x.Parts, x.params = r.parts, r.room
	if r.bad || len(r.b) != 0 || r.parts[0].Header.Len != s.HeaderLen {
		x.Parts = x.Parts[:0]
		return ErrSummary
	}
	return nil
}

// Envelope fills e with the envelope of the message, and reports false if an
// index that was decoded does not have all of it.
func (x *Index) Envelope(e *Envelope) bool {
	if x.raw != nil || x.known.set == 0 {
		e.FromHeader(x.raw[:x.HeaderLen])
		return true
	}
	if x.known.dropped&envelopeBits != 0 {
		return false
	}
	e.fromBlock(x.fields)
	return true
}

// PartEnvelope fills e with the envelope of the message that part i, of kind
// Message, contains.
func (x *Index) PartEnvelope(i int, e *Envelope) {
	p := &x.Parts[i]
	switch {
	case p.Kind != Message || p.Child < 0:
		e.Reset()
	case x.raw != nil:
		e.FromHeader(x.Parts[p.Child].Header.Of(x.raw))
	default:
		e.fromBlock(p.envelope)
	}
}

// reader cuts values from bytes that may be damaged. After a bad one it gives
// zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	n, w := binary.Uvarint(r.b)
	if w <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[w:]
	return n
}

// length reads a number that counts bytes of a message.
func (r *reader) length() int {
	n := r.uvarint()
	if n > 1<<40 {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}
