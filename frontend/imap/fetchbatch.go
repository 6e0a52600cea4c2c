package imap

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// fetchBatch is the part of a FETCH that is about a few messages. It is put
// together in memory, perhaps on another goroutine, and sent in its turn.
type fetchBatch struct {
	f        *fetcher // which is only read here
	uids     []mailstore.Range
	rows     []mailstore.Message // not put together yet
	found    bool                // rows is set by who made the batch
	ready    bool                // what it needs was looked up
	streamed bool                // too large: put together as it is sent
	out      memory
	err      error

	seen                      []mailstore.Range
	shown                     mailstore.ModSeq // the greatest MODSEQ told
	unknownEncoding, expunged bool

	cur      cursor
	room     []mailstore.Message
	ids      []mailstore.ContentID
	gathered lookup.Gathered
	content  lookup.Content
	env      message.Envelope
	index    message.Index
	fields   []byte // room for header fields
}

var batches = sync.Pool{New: func() any { return new(fetchBatch) }}

// batch returns an empty batch.
func (f *fetcher) batch() *fetchBatch {
	b := batches.Get().(*fetchBatch)
	b.f, b.cur = f, cursor{list: &f.s.box.list}
	return b
}

// maxKept bounds the room that a batch keeps for the next one.
const maxKept = 4 << 20

// reset makes a batch ready for other messages. Its room stays.
func (b *fetchBatch) reset() {
	keep := fetchBatch{
		out: memory{b.out.b[:0]}, seen: b.seen[:0], room: b.room[:0], ids: b.ids[:0], gathered: b.gathered,
		content: b.content, env: b.env, index: b.index, fields: b.fields[:0],
	}
	if cap(keep.out.b) > maxKept {
		keep.out = memory{}
	}
	clear(keep.room[:cap(keep.room)]) // keywords and zones
	*b = keep
}

// sink is where responses go: the connection's writer or memory.
type sink interface {
	io.Writer
	// Buf returns what was written for appending to it, SetBuf takes it back.
	Buf() []byte
	SetBuf([]byte)
	Err() error
}

// memory is a sink that keeps what it gets.
type memory struct{ b []byte }

func (m *memory) Buf() []byte                 { return m.b }
func (m *memory) SetBuf(b []byte)             { m.b = b }
func (m *memory) Write(p []byte) (int, error) { m.b = append(m.b, p...); return len(p), nil }
func (m *memory) Err() error                  { return nil }

// work puts the batch together, or as much of it as may be kept in memory.
func (b *fetchBatch) work() {
	b.out.b = b.out.b[:0]
	if b.f.need == needRow && !b.found {
		b.err = b.direct()
		return
	}
	if b.err = b.find(); b.err != nil || b.streamed {
		return
	}
	switch b.f.need {
	case needRow:
		for i := range b.rows {
			b.row(&b.rows[i])
		}
		b.rows = nil
	case needSummary:
		b.err = b.summaries()
	case needBody:
		b.err = b.messages(&b.out)
	}
}

// direct answers rows as they are read.
func (b *fetchBatch) direct() error {
	s := b.f.s
	v := s.box.owner.Read()
	defer v.Close()
	err := v.Messages(s.box.id, b.uids, func(m *mailstore.Message) error { b.row(m); return nil })
	if errors.Is(err, mailstore.ErrNoMailbox) {
		return errBoxGone
	}
	return err
}

// find looks up what was not yet.
func (b *fetchBatch) find() error {
	if b.ready {
		return nil
	}
	b.ready = true
	s := b.f.s
	if !b.found || b.f.need > needRow {
		v := s.box.owner.Read()
		defer v.Close()
		if !b.found {
			if _, err := collect(v, s.box.id, &b.room, b.uids, rowBatch); err != nil {
				return err
			}
			b.rows = b.room
		}
		if b.f.need > needRow {
			for i := range b.rows {
				b.ids = append(b.ids, b.rows[i].Content)
			}
			if err := v.Gather(&b.gathered, b.ids); err != nil {
				return err
			}
		}
	}
	if b.f.markSeen {
		for i := range b.rows {
			if m := &b.rows[i]; m.Flags&mailstore.FlagSeen == 0 {
				b.seen = addUID(b.seen, m.UID)
			}
		}
	}
	return nil
}

// begin starts a response and returns the output to append to; ok is false if
// the client does not know the message.
func (b *fetchBatch) begin(w sink, m *mailstore.Message) (out []byte, ok bool) {
	seq := b.cur.seq(m.UID)
	if seq == 0 {
		return nil, false
	}
	return b.f.s.beginFetch(w.Buf(), seq, m.UID), true
}

// row answers what is known without the content.
func (b *fetchBatch) row(m *mailstore.Message) {
	out, ok := b.begin(&b.out, m)
	if !ok {
		return
	}
	for i := range b.f.atts {
		if i > 0 {
			out = append(out, ' ')
		}
		out = b.item(out, &b.f.atts[i], m)
	}
	b.out.SetBuf(append(out, ")\r\n"...))
}

// item appends an item of the row.
func (b *fetchBatch) item(out []byte, a *imapwire.FetchAtt, m *mailstore.Message) []byte {
	switch a.Item {
	case imapwire.FetchFlags:
		out = append(out, "FLAGS ("...)
		out = b.f.s.appendFlags(out, m)
		return append(out, ')')
	case imapwire.FetchUID:
		out = append(out, "UID "...)
		return strconv.AppendUint(out, uint64(m.UID), 10)
	case imapwire.FetchInternalDate:
		out = append(out, "INTERNALDATE "...)
		return imapwire.AppendDateTime(out, m.InternalDate)
	case imapwire.FetchSize:
		out = append(out, "RFC822.SIZE "...)
		return strconv.AppendUint(out, uint64(m.Size), 10)
	case imapwire.FetchModSeq:
		b.shown = max(b.shown, m.ModSeq)
		out = append(out, "MODSEQ ("...)
		out = strconv.AppendUint(out, uint64(m.ModSeq), 10)
		return append(out, ')')
	case imapwire.FetchEmailID:
		out = append(out, "EMAILID ("...)
		out = append(out, m.Content.EmailID()...)
		return append(out, ')')
	case imapwire.FetchThreadID:
		out = append(out, "THREADID ("...)
		out = append(out, m.Thread.ThreadID()...)
		return append(out, ')')
	case imapwire.FetchSaveDate:
		out = append(out, "SAVEDATE "...)
		return imapwire.AppendDateTime(out, m.SaveDate)
	}
	return out
}

// maxOut is how much of a batch is put together before it is sent.
const maxOut = 1 << 20

// summaries answers a batch from summaries.
func (b *fetchBatch) summaries() error {
	for len(b.rows) > 0 && len(b.out.b) < maxOut {
		m := &b.rows[0]
		ok, err := b.gathered.Open(len(b.ids)-len(b.rows), &b.content)
		b.rows = b.rows[1:]
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := b.summary(m); err != nil {
			return err
		}
	}
	return nil
}

// summary answers one message from its summary.
func (b *fetchBatch) summary(m *mailstore.Message) error {
	o, err := newOctets(b.f.c.ctx, b.f.s.box.owner, &b.content)
	if err != nil {
		return err
	}
	o.room = &b.index
	out, ok := b.begin(&b.out, m)
	if !ok {
		return nil
	}
	for i := range b.f.atts {
		if i > 0 {
			out = append(out, ' ')
		}
		if out, err = b.small(out, &b.f.atts[i], m, &o); err != nil {
			// Nothing of this message is in the buffer yet.
			return errors.Join(b.skip(err), o.close())
		}
	}
	b.out.SetBuf(append(out, ")\r\n"...))
	return o.close()
}

// skip leaves out a message that cannot be told: what is left is still told.
func (b *fetchBatch) skip(err error) error {
	switch {
	case errors.Is(err, mailstore.ErrExpunged):
		b.expunged = true
		return nil
	case errors.Is(err, message.ErrUnknownEncoding):
		b.unknownEncoding = true
		return nil
	}
	return err
}

// small appends an item that is in memory.
func (b *fetchBatch) small(out []byte, a *imapwire.FetchAtt, m *mailstore.Message, o *octets) ([]byte, error) {
	utf8 := b.f.s.utf8
	switch a.Item {
	case imapwire.FetchEnvelope:
		if !o.sum.Envelope(&b.env) {
			header, err := o.header()
			if err != nil {
				return out, err
			}
			b.env.FromHeader(header)
		}
		out = append(out, "ENVELOPE "...)
		return message.AppendEnvelope(out, &b.env, utf8), nil
	case imapwire.FetchBody, imapwire.FetchBodyStructure:
		extended := a.Item == imapwire.FetchBodyStructure
		if extended {
			out = append(out, "BODYSTRUCTURE "...)
		} else {
			out = append(out, "BODY "...)
		}
		x, err := o.tree()
		if err != nil {
			return out, err
		}
		out, ok := x.AppendBodyStructure(out, extended, utf8)
		if !ok {
			return out, errors.Join(mailstore.ErrDamaged, errors.New("imap: a parsed message has no parts"))
		}
		return out, nil
	case imapwire.FetchPreview, imapwire.FetchPreviewLazy:
		return o.appendPreview(out, a.Item == imapwire.FetchPreviewLazy, utf8)
	case imapwire.FetchSection:
		fields, ok, err := o.fields(b.fields[:0], a.Section)
		if err != nil {
			return out, err
		}
		b.fields = fields
		out = append(out, a.Section.Name...)
		if !ok {
			return append(out, " NIL"...), nil
		}
		p := cut(a.Section, piece{0, int64(len(fields))})
		out = append(out, ' ', '{')
		out = strconv.AppendInt(out, p.n, 10)
		out = append(out, '}', '\r', '\n')
		return append(out, fields[p.off:p.off+p.n]...), nil
	}
	return b.item(out, a, m), nil
}

// messages answers messages of which octets are asked for. In memory it ends
// early when there is much.
func (b *fetchBatch) messages(w sink) error {
	for len(b.rows) > 0 && len(b.out.b) < maxBody {
		m := &b.rows[0]
		ok, err := b.gathered.Open(len(b.ids)-len(b.rows), &b.content)
		b.rows = b.rows[1:]
		if err != nil {
			return err
		}
		if !ok {
			b.expunged = true
			continue
		}
		if err := b.whole(w, m); err != nil {
			return err
		}
	}
	return nil
}

// whole answers one message of which octets are asked for. Everything that can
// fail without harm does so before the response begins.
func (b *fetchBatch) whole(w sink, m *mailstore.Message) (err error) {
	atts := b.f.atts
	o, err := newOctets(b.f.c.ctx, b.f.s.box.owner, &b.content)
	if err != nil {
		return err
	}
	o.room = &b.index
	defer func() { err = errors.Join(err, o.close()) }()
	if err := o.open(); err != nil {
		return b.skip(err)
	}
	bins := make([]binary, len(atts))
	for i := range atts {
		if a := &atts[i]; a.Item == imapwire.FetchBinary || a.Item == imapwire.FetchBinarySize {
			if bins[i], err = o.binary(a.Section); err != nil {
				return b.skip(err)
			}
		} else if a.Section != nil && len(a.Section.Path) > 0 {
			if _, err := o.tree(); err != nil {
				return b.skip(err)
			}
		}
	}
	out, ok := b.begin(w, m)
	if !ok {
		return nil
	}
	begun := len(b.out.b)
	for i := range atts {
		if i > 0 {
			out = append(out, ' ')
		}
		a := &atts[i]
		switch {
		case a.Item == imapwire.FetchBinarySize:
			out = append(out, a.Section.Name...)
			out = append(out, ' ')
			out = strconv.AppendInt(out, bins[i].size, 10)
		case a.Item == imapwire.FetchBinary:
			out, err = b.literal(w, append(out, a.Section.Name...), bins[i].nul, bins[i].ok, cut(a.Section, piece{0, bins[i].size}),
				func(to io.Writer, p piece) error { return o.decode(&window{to, p.off, p.n}, &bins[i]) })
		case a.Item == imapwire.FetchSection && !isHeader(a.Section) && !isFields(a.Section):
			p, _, ok, serr := o.section(a.Section)
			if serr != nil {
				return b.broken(w, begun, serr)
			}
			out, err = b.literal(w, append(out, a.Section.Name...), false, ok, cut(a.Section, p), o.copy)
		default:
			out, err = b.small(out, a, m, &o)
		}
		if err != nil {
			return b.broken(w, begun, err)
		}
	}
	w.SetBuf(append(out, ")\r\n"...))
	return nil
}

// isFields reports whether a section is a choice of header fields.
func isFields(sec *imapwire.Section) bool {
	return sec.Text == imapwire.SectionHeaderFields || sec.Text == imapwire.SectionHeaderFieldsNot
}

// broken is the end of a response that was begun. In memory it can be taken
// back. On its way nothing but the end of the connection can tell the client
// that it is not whole.
func (b *fetchBatch) broken(w sink, begun int, err error) error {
	if werr := w.Err(); werr != nil {
		return &connError{werr}
	}
	if w == sink(&b.out) {
		b.out.b = b.out.b[:begun]
		return b.skip(err)
	}
	b.f.s.srv.stats.errors.Add(1)
	b.f.s.srv.log.Error("imap: message could not be read to its end", "err", err)
	return fmt.Errorf("%w: %w", errCutShort, err)
}

// literal puts out octets as a literal, which write gives exactly; NIL if
// there are none to give.
func (b *fetchBatch) literal(w sink, out []byte, binary, ok bool, p piece, write func(io.Writer, piece) error) ([]byte, error) {
	if !ok {
		return append(out, " NIL"...), nil
	}
	out = append(out, ' ')
	if binary {
		out = append(out, '~')
	}
	out = append(out, '{')
	out = strconv.AppendInt(out, p.n, 10)
	w.SetBuf(append(out, '}', '\r', '\n'))
	if p.n == 0 {
		return w.Buf(), nil
	}
	if w == sink(&b.out) {
		before := len(b.out.b)
		if err := write(&b.out, p); err != nil {
			return nil, err
		}
		if int64(len(b.out.b)-before) != p.n {
			return nil, mailstore.ErrDamaged
		}
		return b.out.b, nil
	}
	c := counted{w: w}
	if err := write(&c, p); err != nil {
		return nil, err
	}
	if c.n != p.n {
		return nil, mailstore.ErrDamaged
	}
	return w.Buf(), nil
}

// counted counts what is written.
type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
