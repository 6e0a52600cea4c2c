package imap

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
)

// How many messages are looked up at a time. A view of the state is never held
// while something is sent, so these bound what one batch keeps in memory.
const (
	rowBatch     = 1000
	summaryBatch = 200
)

// need says how deep a FETCH has to look.
type need uint8

const (
	needRow     need = iota // flags, numbers, dates
	needSummary             // ENVELOPE, BODYSTRUCTURE, usual header fields
	needBody
)

// fetcher is one FETCH in execution.
type fetcher struct {
	c    *call
	s    *session
	atts []imapwire.FetchAtt
	need need
	cur  cursor

	env    message.Envelope
	fields []byte            // room for header fields
	seen   []mailstore.Range // messages to be marked \Seen

	// Of a batch.
	rows []mailstore.Message
	ids  []mailstore.ContentID

	unknownEncoding, expunged bool
}

// fetchNeed says what items need; those not in it are of the row. Extensions
// add to it, and to fetcher.item or small.
var fetchNeed = map[imapwire.FetchItem]need{
	imapwire.FetchEnvelope:      needSummary,
	imapwire.FetchBody:          needSummary,
	imapwire.FetchBodyStructure: needSummary,
	imapwire.FetchSection:       needBody,
	imapwire.FetchBinary:        needBody,
	imapwire.FetchBinarySize:    needBody,
}

// cmdFetch is of RFC 9051 section 6.4.5.
func cmdFetch(c *call) error {
	q := c.args.Fetch()
	if err := c.args.End(); err != nil {
		return err
	}
	s := c.s
	if q.Vanished {
		if err := c.earlier(&q); err != nil {
			return err
		}
	}
	f := fetcher{c: c, s: s, cur: cursor{list: &s.box.list}}
	markSeen := f.plan(&q)
	uids, missing, err := c.pick(q.Set)
	if err != nil {
		return err
	}
	var since mailstore.ModSeq
	if q.ChangedSince != nil {
		since = mailstore.ModSeq(*q.ChangedSince)
	}
	if err := f.run(uids, since, markSeen); err != nil {
		return err
	}
	if len(f.seen) > 0 {
		f.markSeen()
	}
	switch {
	case f.unknownEncoding:
		return message.ErrUnknownEncoding
	case missing || f.expunged && !c.uid():
		// H23, RFC 2180 section 4.1.2: the rest was told.
		return no("EXPUNGEISSUED", "Some of the messages were expunged meanwhile")
	}
	return nil
}

// plan looks at what is asked for. It reports whether the messages are to be
// marked \Seen.
func (f *fetcher) plan(q *imapwire.Fetch) (markSeen bool) {
	f.atts = q.Atts
	has := func(it imapwire.FetchItem) bool {
		for _, a := range f.atts {
			if a.Item == it {
				return true
			}
		}
		return false
	}
	if q.ChangedSince != nil || has(imapwire.FetchModSeq) {
		f.s.enableCondstore()
	}
	if f.s.condst && q.ChangedSince != nil && !has(imapwire.FetchModSeq) {
		// RFC 7162 section 3.1.4.1.
		f.atts = append(f.atts, imapwire.FetchAtt{Item: imapwire.FetchModSeq})
	}
	if f.c.uid() && !has(imapwire.FetchUID) {
		// RFC 9051 section 6.4.9.
		f.atts = append([]imapwire.FetchAtt{{Item: imapwire.FetchUID}}, f.atts...)
	}
	for _, a := range f.atts {
		n := fetchNeed[a.Item]
		if a.Item == imapwire.FetchSection && isHeader(a.Section) {
			n = needSummary
		}
		f.need = max(f.need, n)
		if a.Section != nil && !a.Section.Peek && a.Item != imapwire.FetchBinarySize {
			markSeen = true
		}
	}
	return markSeen && !f.s.box.readOnly
}

// run puts out what is asked for, batch by batch.
func (f *fetcher) run(uids []mailstore.Range, since mailstore.ModSeq, markSeen bool) error {
	size := rowBatch
	if f.need > needRow {
		size = summaryBatch
	}
	if since > 0 {
		// The index by MODSEQ knows what changed; nothing else is looked at.
		return f.changed(uids, since, size, markSeen)
	}
	f.rows = make([]mailstore.Message, 0, min(size, f.s.box.count(uids)))
	for len(uids) > 0 {
		v := f.s.account.Read()
		rest, err := f.s.collect(v, &f.rows, uids, size)
		if err == nil && f.need == needSummary {
			err = f.summaries(v)
		}
		v.Close()
		if err != nil {
			return err
		}
		uids = rest
		if err := f.batch(markSeen); err != nil {
			return err
		}
	}
	return nil
}

// changed puts out the messages of the ranges with a MODSEQ above since (RFC
// 7162 section 3.1.4.1).
func (f *fetcher) changed(uids []mailstore.Range, since mailstore.ModSeq, size int, markSeen bool) error {
	v := f.s.account.Read()
	ch, err := v.Changes(f.s.box.id, since)
	v.Close()
	if errors.Is(err, mailstore.ErrNoMailbox) {
		return errBoxGone
	}
	if err != nil {
		return err
	}
	all := slices.DeleteFunc(ch.Messages, func(m mailstore.Message) bool { return !inRanges(uids, m.UID) })
	for len(all) > 0 {
		f.rows = all[:min(size, len(all))]
		all = all[len(f.rows):]
		if f.need == needSummary {
			v := f.s.account.Read()
			err := f.summaries(v)
			v.Close()
			if err != nil {
				return err
			}
		}
		if err := f.batch(markSeen); err != nil {
			return err
		}
	}
	return nil
}

// batch finishes a batch, without a view open.
func (f *fetcher) batch(markSeen bool) error {
	for i := range f.rows {
		m := &f.rows[i]
		switch f.need {
		case needRow:
			f.row(m)
		case needBody:
			if err := f.whole(m); err != nil {
				return err
			}
		}
		if markSeen && m.Flags&mailstore.FlagSeen == 0 {
			f.seen = addUID(f.seen, m.UID)
		}
	}
	f.s.w.Release()
	if err := f.s.w.Err(); err != nil {
		return &connError{err}
	}
	return f.c.ctx.Err()
}

// collect reads up to max messages of the ranges, and returns the ranges that
// are left.
func (s *session) collect(v *lookup.View, rows *[]mailstore.Message, uids []mailstore.Range, max int) ([]mailstore.Range, error) {
	out := (*rows)[:0]
	err := v.Messages(s.box.id, uids, func(m *mailstore.Message) error {
		out = append(out, *m)
		if len(out) == max {
			return errStop
		}
		return nil
	})
	*rows = out
	if errors.Is(err, mailstore.ErrNoMailbox) {
		return nil, errBoxGone
	}
	if !errors.Is(err, errStop) {
		return nil, err
	}
	return after(uids, out[len(out)-1].UID), nil
}

// after cuts off what is up to a UID.
func after(rs []mailstore.Range, u mailstore.UID) []mailstore.Range {
	for i, r := range rs {
		if r.Last > u {
			rest := append([]mailstore.Range(nil), rs[i:]...)
			rest[0].First = max(rest[0].First, u+1)
			return rest
		}
	}
	return nil
}

// rows calls fn for the messages in the ranges, without a view open.
func (c *call) rows(uids []mailstore.Range, fn func(*mailstore.Message) error) error {
	var rows []mailstore.Message
	for len(uids) > 0 {
		v := c.s.account.Read()
		rest, err := c.s.collect(v, &rows, uids, rowBatch)
		v.Close()
		if err != nil {
			return err
		}
		uids = rest
		for i := range rows {
			if err := fn(&rows[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin starts a response and returns the output to append to; ok is false if
// the client does not know the message.
func (f *fetcher) begin(m *mailstore.Message) (out []byte, ok bool) {
	seq := f.cur.seq(m.UID)
	if seq == 0 {
		return nil, false
	}
	out = append(f.s.w.Buf(), '*', ' ')
	out = strconv.AppendUint(out, uint64(seq), 10)
	return append(out, " FETCH ("...), true
}

// row answers what is known without the content.
func (f *fetcher) row(m *mailstore.Message) {
	out, ok := f.begin(m)
	if !ok {
		return
	}
	for i := range f.atts {
		if i > 0 {
			out = append(out, ' ')
		}
		out = f.item(out, &f.atts[i], m)
	}
	f.s.w.SetBuf(append(out, ")\r\n"...))
}

// item appends an item of the row.
func (f *fetcher) item(out []byte, a *imapwire.FetchAtt, m *mailstore.Message) []byte {
	switch a.Item {
	case imapwire.FetchFlags:
		out = append(out, "FLAGS ("...)
		out = f.s.appendFlags(out, m)
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
		f.s.box.shown = max(f.s.box.shown, m.ModSeq)
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

// summaries answers a batch from summaries. Nothing is sent while the view is
// open.
func (f *fetcher) summaries(v *lookup.View) error {
	f.ids = f.ids[:0]
	for i := range f.rows {
		f.ids = append(f.ids, f.rows[i].Content)
	}
	f.s.w.Hold()
	i := 0
	return v.Contents(f.ids, func(id mailstore.ContentID, content *lookup.Content) error {
		for i < len(f.rows) && f.rows[i].Content != id {
			i++
		}
		if i == len(f.rows) {
			return errors.New("imap: contents came in another order than asked for")
		}
		m := &f.rows[i]
		i++
		return f.summary(v, m, content)
	})
}

// summary answers one message from its summary.
func (f *fetcher) summary(v *lookup.View, m *mailstore.Message, content *lookup.Content) error {
	o, err := newOctets(f.c.ctx, v, content)
	if err != nil {
		return err
	}
	out, ok := f.begin(m)
	if !ok {
		return nil
	}
	for i := range f.atts {
		if i > 0 {
			out = append(out, ' ')
		}
		if out, err = f.small(out, &f.atts[i], m, &o); err != nil {
			// Nothing of this message is in the buffer yet.
			return errors.Join(f.skip(err), o.close())
		}
	}
	f.s.w.SetBuf(append(out, ")\r\n"...))
	return o.close()
}

// skip leaves out a message that cannot be told: what is left is still told.
func (f *fetcher) skip(err error) error {
	switch {
	case errors.Is(err, mailstore.ErrExpunged):
		f.expunged = true
		return nil
	case errors.Is(err, message.ErrUnknownEncoding):
		f.unknownEncoding = true
		return nil
	}
	return err
}

// small appends an item that is in memory.
func (f *fetcher) small(out []byte, a *imapwire.FetchAtt, m *mailstore.Message, o *octets) ([]byte, error) {
	utf8 := f.s.utf8
	switch a.Item {
	case imapwire.FetchEnvelope:
		if !o.sum.Envelope(&f.env) {
			header, err := o.header()
			if err != nil {
				return out, err
			}
			f.env.FromHeader(header)
		}
		out = append(out, "ENVELOPE "...)
		return message.AppendEnvelope(out, &f.env, utf8), nil
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
	case imapwire.FetchSection:
		fields, ok, err := o.fields(f.fields[:0], a.Section)
		if err != nil {
			return out, err
		}
		f.fields = fields
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
	return f.item(out, a, m), nil
}

// whole answers one message of which octets are asked for. Everything that can
// fail without harm does so before the response begins.
func (f *fetcher) whole(m *mailstore.Message) (err error) {
	v := f.s.account.Read()
	defer v.Close()
	content, err := v.Content(m.Content)
	if err != nil {
		return f.skip(err)
	}
	o, err := newOctets(f.c.ctx, v, content)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	if err := o.open(); err != nil {
		return f.skip(err)
	}
	v.Close() // the client may be slow
	bins := make([]binary, len(f.atts))
	for i := range f.atts {
		if a := &f.atts[i]; a.Item == imapwire.FetchBinary || a.Item == imapwire.FetchBinarySize {
			if bins[i], err = o.binary(a.Section); err != nil {
				return f.skip(err)
			}
		} else if a.Section != nil && len(a.Section.Path) > 0 {
			if _, err := o.tree(); err != nil {
				return f.skip(err)
			}
		}
	}
	out, ok := f.begin(m)
	if !ok {
		return nil
	}
	w := f.s.w
	for i := range f.atts {
		if i > 0 {
			out = append(out, ' ')
		}
		a := &f.atts[i]
		switch {
		case a.Item == imapwire.FetchBinarySize:
			out = append(out, a.Section.Name...)
			out = append(out, ' ')
			out = strconv.AppendInt(out, bins[i].size, 10)
			continue
		case a.Item == imapwire.FetchBinary:
			out, err = f.stream(append(out, a.Section.Name...), bins[i].nul, bins[i].ok, cut(a.Section, piece{0, bins[i].size}),
				func(to io.Writer, p piece) error { return o.decode(&window{to, p.off, p.n}, &bins[i]) })
		case a.Item == imapwire.FetchSection && !isHeader(a.Section) && !isFields(a.Section):
			p, _, ok, serr := o.section(a.Section)
			if serr != nil {
				return f.broken(serr)
			}
			out, err = f.stream(append(out, a.Section.Name...), false, ok, cut(a.Section, p),
				func(to io.Writer, p piece) error { return o.body.WriteRange(to, p.off, p.n) })
		default:
			out, err = f.small(out, a, m, &o)
		}
		if err != nil {
			return f.broken(err)
		}
	}
	w.SetBuf(append(out, ")\r\n"...))
	return nil
}

// isFields reports whether a section is a choice of header fields.
func isFields(sec *imapwire.Section) bool {
	return sec.Text == imapwire.SectionHeaderFields || sec.Text == imapwire.SectionHeaderFieldsNot
}

// broken is the end of a response that was begun: nothing but the end of the
// connection can tell the client that it is not whole.
func (f *fetcher) broken(err error) error {
	if werr := f.s.w.Err(); werr != nil {
		return &connError{werr}
	}
	f.s.srv.stats.errors.Add(1)
	f.s.srv.log.Error("imap: message could not be read to its end", "err", err)
	return fmt.Errorf("%w: %w", errCutShort, err)
}

// stream puts out octets as a literal, which write gives exactly; NIL if there
// are none to give.
func (f *fetcher) stream(out []byte, binary, ok bool, p piece, write func(io.Writer, piece) error) ([]byte, error) {
	if !ok {
		return append(out, " NIL"...), nil
	}
	out = append(out, ' ')
	if binary {
		out = append(out, '~')
	}
	out = append(out, '{')
	out = strconv.AppendInt(out, p.n, 10)
	f.s.w.SetBuf(append(out, '}', '\r', '\n'))
	if p.n > 0 {
		m := counted{w: f.s.w}
		if err := write(&m, p); err != nil {
			return nil, err
		}
		if m.n != p.n {
			return nil, mailstore.ErrDamaged
		}
	}
	return f.s.w.Buf(), nil
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

// seenChange is what reading a message does.
var seenChange = commit.FlagChange{Mode: commit.Add, Flags: mailstore.FlagSeen}

// markSeen sets \Seen on what was read (RFC 9051 section 6.4.5). The flags are
// told when the command ends. A client without a quorum goes on reading.
func (f *fetcher) markSeen() {
	s := f.s
	// The client need not wait for what it has asked for.
	if s.w.Flush() != nil {
		return // loop finds out
	}
	s.stale = true
	_, err := s.srv.cfg.Commit.Store(f.c.ctx, s.account, s.box.id, f.seen, seenChange)
	if err != nil {
		s.srv.stats.unavailable.Add(1)
		s.w.Status("*", "NO", "UNAVAILABLE", `\Seen could not be stored at this time`)
	}
}
