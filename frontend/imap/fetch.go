package imap

import (
	"errors"
	"slices"

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
	summaryBatch = 250
)

// Bounds in octets of what is asked for of a batch of bodies: one is as large
// as that, or a single message that is. What is larger is streamed.
const (
	bodyBatch = 256 << 10
	maxBody   = 2560 << 10
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
	c        *call
	s        *session
	atts     []imapwire.FetchAtt
	need     need
	markSeen bool

	rows []mailstore.Message // looked up and not in a batch yet
	// What came of the batches that were sent.
	seen                      []mailstore.Range // messages to be marked \Seen
	unknownEncoding, expunged bool
}

// fetchNeed says what items need; those not in it are of the row. Extensions
// add to it, and to fetcher.item or small.
var fetchNeed = map[imapwire.FetchItem]need{
	imapwire.FetchEnvelope:      needSummary,
	imapwire.FetchBody:          needSummary,
	imapwire.FetchBodyStructure: needSummary,
	imapwire.FetchPreview:       needSummary, // and a chunk of the body
	imapwire.FetchPreviewLazy:   needSummary,
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
	f := fetcher{c: c, s: s}
	f.plan(&q)
	uids, missing, err := c.pick(q.Set)
	if err == nil && q.Partial != nil {
		uids, err = c.partial(uids, *q.Partial)
	}
	if err != nil {
		return err
	}
	var since mailstore.ModSeq
	if q.ChangedSince != nil {
		since = mailstore.ModSeq(*q.ChangedSince)
	}
	if since == 0 {
		uids = c.limit(uids)
	}
	if err := f.run(uids, since); err != nil {
		return err
	}
	if len(f.seen) > 0 {
		f.storeSeen()
	}
	switch {
	case f.unknownEncoding:
		return message.ErrUnknownEncoding
	case missing || f.expunged && !c.uid():
		// H23, RFC 2180 section 4.1.2: the rest was told.
		return c.issued()
	}
	return nil
}

// plan looks at what is asked for.
func (f *fetcher) plan(q *imapwire.Fetch) {
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
	if f.c.uid() && !f.s.uidonly && !has(imapwire.FetchUID) {
		// RFC 9051 section 6.4.9; a UIDFETCH response begins with it.
		f.atts = append([]imapwire.FetchAtt{{Item: imapwire.FetchUID}}, f.atts...)
	}
	for _, a := range f.atts {
		n := fetchNeed[a.Item]
		if a.Item == imapwire.FetchSection && isHeader(a.Section) {
			n = needSummary
		}
		f.need = max(f.need, n)
		if a.Section != nil && !a.Section.Peek && a.Item != imapwire.FetchBinarySize {
			// RFC 4314 section 4: not without the right.
			f.markSeen = !f.s.box.readOnly && f.s.box.rights.Has(mailstore.RightSeen)
		}
	}
}

// run puts out what is asked for, batch by batch.
func (f *fetcher) run(uids []mailstore.Range, since mailstore.ModSeq) error {
	if since > 0 {
		// The index by MODSEQ knows what changed; nothing else is looked at.
		v := f.s.box.owner.Read()
		ch, err := v.Changes(f.s.box.id, since)
		v.Close()
		if errors.Is(err, mailstore.ErrNoMailbox) {
			return errBoxGone
		}
		if err != nil {
			return err
		}
		f.rows = f.c.limitRows(slices.DeleteFunc(ch.Messages, func(m mailstore.Message) bool { return !inRanges(uids, m.UID) }))
		uids = nil
	}
	next := func() (*fetchBatch, int64, bool, error) { return f.next(&uids) }
	return inOrder(&f.s.srv.ahead, next, (*fetchBatch).work, f.put)
}

// next makes the next batch. What of it can be looked up elsewhere is not
// looked up here.
func (f *fetcher) next(uids *[]mailstore.Range) (b *fetchBatch, octets int64, last bool, err error) {
	b = f.batch()
	size := rowBatch
	if f.need == needSummary {
		size = summaryBatch
	}
	if f.need < needBody && len(f.rows) == 0 {
		b.uids, *uids = f.s.box.list.cut(*uids, uint32(size))
		return b, int64(size) << 10, len(*uids) == 0, nil
	}
	if len(f.rows) == 0 && len(*uids) > 0 {
		v := f.s.box.owner.Read()
		f.rows = nil // batches have the old ones
		*uids, err = collect(v, f.s.box.id, &f.rows, *uids, rowBatch)
		v.Close()
		if err != nil {
			return b, 0, true, err
		}
	}
	n := 0
	for n < len(f.rows) && n < size && (octets < bodyBatch || f.need < needBody) {
		if o := f.octets(&f.rows[n]); n == 0 || octets+o <= maxBody {
			octets += o
			n++
			continue
		}
		break
	}
	b.rows, f.rows = f.rows[:n:n], f.rows[n:]
	b.found = true
	if b.streamed = f.need == needBody && octets > maxBody; b.streamed {
		octets = bodyBatch
	}
	return b, octets, len(f.rows) == 0 && len(*uids) == 0, nil
}

// octets returns about how much is asked for of a message.
func (f *fetcher) octets(m *mailstore.Message) int64 {
	if f.need < needBody {
		return 1 << 10
	}
	n := int64(1 << 10)
	for i := range f.atts {
		if sec := f.atts[i].Section; sec != nil {
			k := int64(m.Size)
			if sec.Partial {
				k = min(k, int64(min(sec.Length, 1<<40)))
			}
			n += k
		}
	}
	return n
}

// put sends a batch.
func (f *fetcher) put(b *fetchBatch) error {
	s := f.s
	for {
		if len(b.out.b) > 0 {
			if _, err := s.w.Write(b.out.b); err != nil {
				return &connError{err}
			}
		}
		if b.err != nil {
			return b.err
		}
		if b.streamed {
			b.out.b = b.out.b[:0]
			if b.err = b.messages(s.w); b.err != nil {
				return b.err
			}
		}
		if len(b.rows) == 0 {
			break
		}
		b.work() // what is left of it
	}
	if err := s.w.Err(); err != nil {
		return &connError{err}
	}
	for _, r := range b.seen {
		if k := len(f.seen) - 1; k >= 0 && f.seen[k].Last+1 == r.First {
			f.seen[k].Last = r.Last
			continue
		}
		f.seen = append(f.seen, r)
	}
	f.unknownEncoding = f.unknownEncoding || b.unknownEncoding
	f.expunged = f.expunged || b.expunged
	s.box.shown = max(s.box.shown, b.shown)
	b.reset()
	batches.Put(b)
	return f.c.ctx.Err()
}

// collect reads up to max messages of the ranges of a mailbox, and returns the
// ranges that are left.
func collect(v *lookup.View, box mailstore.MailboxID, rows *[]mailstore.Message, uids []mailstore.Range, max int) ([]mailstore.Range, error) {
	out := (*rows)[:0]
	err := v.Messages(box, uids, func(m *mailstore.Message) error {
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
		v := c.s.box.owner.Read()
		rest, err := collect(v, c.s.box.id, &rows, uids, rowBatch)
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

// seenChange is what reading a message does.
var seenChange = commit.FlagChange{Mode: commit.Add, Flags: mailstore.FlagSeen}

// storeSeen sets \Seen on what was read (RFC 9051 section 6.4.5). The flags are
// told when the command ends. A client without a quorum goes on reading.
func (f *fetcher) storeSeen() {
	s := f.s
	// The client need not wait for what it has asked for.
	if s.w.Flush() != nil {
		return // loop finds out
	}
	s.stale = true
	_, err := s.srv.cfg.Commit.Store(f.c.ctx, s.box.owner, s.box.id, f.seen, seenChange)
	if err != nil {
		s.srv.stats.unavailable.Add(1)
		s.w.Status("*", "NO", "UNAVAILABLE", `\Seen could not be stored at this time`)
	}
}
