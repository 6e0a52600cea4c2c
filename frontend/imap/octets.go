package imap

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// octets reads one message as deep as it has to: its summary, its header, its
// body. Offsets are those of the message as clients see it, with the
// recipient's own header lines in front.
type octets struct {
	ctx     context.Context
	account *lookup.Account
	content *lookup.Content
	sum     message.Summary

	body  *lookup.Body
	block []byte // the shared header block
	index *message.Index
	room  *message.Index // for index; nil: a new one
}

// newOctets opens the summary of a message.
func newOctets(ctx context.Context, a *lookup.Account, c *lookup.Content) (octets, error) {
	sum, err := message.OpenSummary(c.Summary)
	if err != nil {
		return octets{}, errors.Join(mailstore.ErrDamaged, err)
	}
	return octets{ctx: ctx, account: a, content: c, sum: sum}, nil
}

func (o *octets) close() error {
	if o.body == nil {
		return nil
	}
	return o.body.Close()
}

func (o *octets) prefix() int64 { return int64(len(o.content.Prefix)) }

// open opens the body.
func (o *octets) open() (err error) {
	if o.body == nil {
		o.body, err = o.account.OpenBody(o.ctx, o.content)
	}
	return err
}

// copy writes a range of the message.
func (o *octets) copy(w io.Writer, p piece) (err error) {
	if m, ok := w.(*memory); ok {
		m.b, err = o.body.AppendRange(m.b, p.off, p.n)
		return err
	}
	return o.body.WriteRange(w, p.off, p.n)
}

// read returns a range of the message.
func (o *octets) read(off, n int64) ([]byte, error) {
	if err := o.open(); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	m, err := o.body.ReadAt(b, off)
	if int64(m) < n {
		return nil, errors.Join(mailstore.ErrDamaged, err)
	}
	return b, nil
}

// header returns the shared header block.
func (o *octets) header() ([]byte, error) {
	if o.block == nil {
		b, err := o.read(o.prefix(), int64(o.sum.HeaderLen))
		if err != nil {
			return nil, err
		}
		o.block = b
	}
	return o.block, nil
}

// Prefix, Header, Tree and Octets make it a fulltext.Source.
func (o *octets) Prefix() []byte { return o.content.Prefix }

func (o *octets) Header() ([]byte, error) { return o.header() }

func (o *octets) Tree() (*message.Index, error) { return o.tree() }

func (o *octets) Octets() (io.ReaderAt, error) {
	err := o.open()
	return o.body, err
}

// tree returns the index with its parts. A message whose tree is too large for
// a summary is parsed anew.
func (o *octets) tree() (*message.Index, error) {
	if o.index != nil {
		return o.index, nil
	}
	x := o.room
	if x == nil {
		x = new(message.Index)
	}
	if err := o.sum.IndexInto(x); err != nil {
		return nil, errors.Join(mailstore.ErrDamaged, err)
	}
	if len(x.Parts) == 0 {
		raw, err := o.read(o.prefix(), int64(o.sum.Size))
		if err != nil {
			return nil, err
		}
		x = message.Parse(raw)
	}
	o.index = x
	return x, nil
}

// piece is a range of a message, or of something that was made of it.
type piece struct{ off, n int64 }

// cut applies the partial range of a section to its octets.
func cut(sec *imapwire.Section, p piece) piece {
	if !sec.Partial {
		return p
	}
	off := int64(min(sec.Offset, math.MaxInt64, uint64(p.n)))
	return piece{p.off + off, int64(min(sec.Length, uint64(p.n-off)))}
}

var sectionWhat = map[imapwire.SectionText]message.What{
	imapwire.SectionAll:             message.Whole,
	imapwire.SectionHeader:          message.Header,
	imapwire.SectionHeaderFields:    message.Header,
	imapwire.SectionHeaderFieldsNot: message.Header,
	imapwire.SectionBody:            message.Text,
	imapwire.SectionMIME:            message.MIME,
}

// section finds a section of the message; ok is false if it has none such.
func (o *octets) section(sec *imapwire.Section) (p piece, prefixed, ok bool, err error) {
	x := &message.Index{Size: o.sum.Size, HeaderLen: o.sum.HeaderLen}
	if len(sec.Path) > 0 {
		if x, err = o.tree(); err != nil {
			return p, false, false, err
		}
	}
	found, ok := x.Section(sec.Path, sectionWhat[sec.Text])
	if !ok {
		return p, false, false, nil
	}
	p = piece{int64(found.Off), int64(found.Len)}
	if found.Prefixed {
		p.n += o.prefix()
	} else {
		p.off += o.prefix()
	}
	return p, found.Prefixed, true, nil
}

// fields appends the answer to HEADER, HEADER.FIELDS or HEADER.FIELDS.NOT; ok
// is false if there is no such part.
func (o *octets) fields(dst []byte, sec *imapwire.Section) (_ []byte, ok bool, err error) {
	not := sec.Text == imapwire.SectionHeaderFieldsNot
	if len(sec.Path) > 0 {
		p, prefixed, ok, err := o.section(sec)
		if !ok || err != nil {
			return dst, false, err
		}
		b, err := o.read(p.off, p.n)
		if err != nil {
			return dst, false, err
		}
		if sec.Text == imapwire.SectionHeader {
			return append(dst, b...), true, nil
		}
		if prefixed {
			return message.AppendFields(dst, sec.Fields, not, b[:o.prefix()], b[o.prefix():]), true, nil
		}
		return message.AppendFields(dst, sec.Fields, not, b), true, nil
	}
	if sec.Text == imapwire.SectionHeaderFields {
		start := len(dst)
		if o.prefix() > 0 {
			// The empty line comes with the rest.
			dst = message.AppendFields(dst, sec.Fields, false, o.content.Prefix)
		}
		out, ok := o.sum.AppendFields(dst, sec.Fields)
		if ok {
			return out, true, nil
		}
		dst = dst[:start]
	}
	h, err := o.header()
	if err != nil {
		return dst, false, err
	}
	if sec.Text == imapwire.SectionHeader {
		return append(append(dst, o.content.Prefix...), h...), true, nil
	}
	return message.AppendFields(dst, sec.Fields, not, o.content.Prefix, h), true, nil
}

// isHeader reports whether a section is one of the outermost header, which is
// small.
func isHeader(sec *imapwire.Section) bool {
	if len(sec.Path) > 0 {
		return false
	}
	switch sec.Text {
	case imapwire.SectionHeader, imapwire.SectionHeaderFields, imapwire.SectionHeaderFieldsNot:
		return true
	}
	return false
}

// binary describes a part as BINARY gives it: decoded (RFC 3516).
type binary struct {
	part *message.Part // nil: the whole message, which has no encoding
	at   piece
	ok   bool
	// size and nul are of the decoded octets.
	size int64
	nul  bool
}

// binary finds and measures a part.
func (o *octets) binary(sec *imapwire.Section) (b binary, err error) {
	if err := o.open(); err != nil {
		return b, err
	}
	if b.at, _, b.ok, err = o.section(sec); err != nil || !b.ok {
		return b, err
	}
	if len(sec.Path) > 0 {
		i, ok := o.index.Find(sec.Path)
		if !ok {
			return binary{}, nil
		}
		b.part = &o.index.Parts[i]
	}
	m := measure{}
	if err := o.decode(&m, &b); err != nil {
		return b, err
	}
	b.size, b.nul = m.n, m.nul
	return b, nil
}

// decode writes the decoded octets of a part.
func (o *octets) decode(w io.Writer, b *binary) error {
	var r io.Reader = bufio.NewReaderSize(io.NewSectionReader(o.body, b.at.off, b.at.n), 64<<10)
	if b.part != nil {
		var err error
		if r, err = b.part.NewDecoder(r); err != nil {
			return err
		}
	}
	_, err := io.Copy(w, r)
	if errors.Is(err, message.ErrBadEncoding) {
		return nil // what can be decoded is what there is
	}
	return err
}

type measure struct {
	n   int64
	nul bool
}

func (m *measure) Write(p []byte) (int, error) {
	m.n += int64(len(p))
	for _, c := range p {
		if c == 0 {
			m.nul = true
			break
		}
	}
	return len(p), nil
}

// window passes a range of what is written through it.
type window struct {
	w       io.Writer
	skip, n int64
}

func (w *window) Write(p []byte) (int, error) {
	total := len(p)
	k := min(w.skip, int64(len(p)))
	p = p[k:]
	w.skip -= k
	if k := min(w.n, int64(len(p))); k > 0 {
		if _, err := w.w.Write(p[:k]); err != nil {
			return 0, err
		}
		w.n -= k
	}
	return total, nil
}
