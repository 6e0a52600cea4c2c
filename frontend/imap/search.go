package imap

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// cmdSearch is of RFC 9051 section 6.4.4, RFC 4731 and RFC 5182.
func cmdSearch(c *call) error {
	q := c.args.Search()
	if err := c.args.End(); err != nil {
		return err
	}
	s := c.s
	save := q.Return&imapwire.ReturnSave != 0
	if q.ModSeq {
		s.enableCondstore()
	}
	c.numbered = q.Numbered
	m, err := c.compile(&q)
	r := searchRun{c: c, root: m, modseq: q.ModSeq}
	if err == nil {
		err = r.run()
	}
	if err != nil {
		if save {
			s.box.saved = nil // RFC 5182 section 2.1
		}
		return err
	}
	if save {
		s.box.saved = r.toSave(q.Return)
	}
	if q.Extended || s.rev2 {
		if !q.Extended {
			q.Return = imapwire.ReturnAll
		}
		r.extended(q.Return)
		return nil
	}
	out := append(s.w.Buf(), "* SEARCH"...)
	for _, n := range r.found {
		out = append(out, ' ')
		out = strconv.AppendUint(out, uint64(r.number(n)), 10)
	}
	if q.ModSeq && len(r.found) > 0 {
		// RFC 7162 section 3.1.5.
		out = append(out, " (MODSEQ "...)
		out = strconv.AppendUint(out, uint64(r.highest), 10)
		out = append(out, ')')
	}
	s.w.SetBuf(append(out, "\r\n"...))
	return nil
}

// searchRun is one search in execution.
type searchRun struct {
	c      *call
	root   *matcher
	modseq bool

	found   []mailstore.UID
	modseqs []mailstore.ModSeq // of found, when asked for
	highest mailstore.ModSeq
	cur     cursor
}

// searchBatch is the part of a search that is about a few messages. It may be
// worked on by another goroutine.
type searchBatch struct {
	r    *searchRun // which is only read here
	ctx  context.Context
	uids []mailstore.Range
	err  error

	rows     []mailstore.Message
	verdicts []verdict
	ids      []mailstore.ContentID
	gathered lookup.Gathered
	content  lookup.Content
	o        octets
}

var searchBatches = sync.Pool{New: func() any { return new(searchBatch) }}

func (r *searchRun) number(u mailstore.UID) uint32 {
	if r.c.uid() {
		return uint32(u)
	}
	return r.c.s.box.list.seq(u)
}

func (r *searchRun) add(m *mailstore.Message) {
	if r.cur.seq(m.UID) == 0 || r.c.s.box.isGone(m.UID) {
		return // not announced, or expunged
	}
	r.found = append(r.found, m.UID)
	if r.modseq {
		r.modseqs = append(r.modseqs, m.ModSeq)
		r.highest = max(r.highest, m.ModSeq)
	}
}

func (r *searchRun) run() error {
	s := r.c.s
	r.cur.list = &s.box.list
	uids := s.box.known([]mailstore.Range{{First: 1, Last: s.box.list.last()}})
	if narrow, ok := r.root.narrow(); ok {
		uids = s.box.known(narrow)
	}
	if r.root.cost == costNone && !r.modseq {
		// Nothing of a message has to be looked at.
		cand := candidate{row: &mailstore.Message{}}
		for _, rg := range uids {
			s.box.list.each(rg, func(u mailstore.UID) {
				cand.row.UID = u
				if r.root.eval(&cand) == yes {
					r.add(cand.row)
				}
			})
		}
		return nil
	}
	ctx := r.c.ctx
	if r.root.cost >= costSummary {
		// This may take long: a client that goes away ends it.
		var stop func() error
		var err error
		if ctx, stop, err = s.watched(ctx); err != nil {
			return err
		}
		err = r.scan(ctx, uids)
		if serr := stop(); serr != nil {
			return serr
		}
		return err
	}
	return r.scan(ctx, uids)
}

// watched returns a context that ends when the client goes away. stop has to
// be called before anything else is read.
func (s *session) watched(parent context.Context) (ctx context.Context, stop func() error, err error) {
	if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, nil, &connError{err}
	}
	if err := s.ending(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(parent)
	news := s.rd.Watch(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-news:
			if s.rd.Broken() {
				cancel()
			}
		case <-ctx.Done():
		}
	}()
	return ctx, func() error {
		cancel()
		<-done
		if err := s.rd.Unwatch(); err != nil {
			return &connError{err}
		}
		return s.ending()
	}, nil
}

// scan looks at the messages in batches. A view is open for one batch, and no
// longer than it takes to read what is sealed.
func (r *searchRun) scan(ctx context.Context, uids []mailstore.Range) error {
	size, held := uint32(rowBatch), int64(rowBatch)<<8
	if r.root.cost >= costSummary {
		size, held = summaryBatch, summaryBatch<<10
	}
	next := func() (*searchBatch, int64, bool, error) {
		b := searchBatches.Get().(*searchBatch)
		b.r, b.ctx = r, ctx
		b.uids, uids = r.c.s.box.list.cut(uids, size)
		return b, held, len(uids) == 0, ctx.Err()
	}
	put := func(b *searchBatch) error {
		if b.err != nil {
			return b.err
		}
		for i := range b.rows {
			if b.verdicts[i] == yes {
				r.add(&b.rows[i])
			}
		}
		b.r, b.ctx, b.o = nil, nil, octets{}
		clear(b.rows)
		searchBatches.Put(b)
		return nil
	}
	if len(uids) == 0 {
		return nil
	}
	return inOrder(&r.c.s.srv.ahead, next, (*searchBatch).work, put)
}

func (b *searchBatch) work() { b.err = b.decide() }

// decide finds the verdict on each row.
func (b *searchBatch) decide() error {
	s := b.r.c.s
	v := s.account.Read()
	defer v.Close()
	if _, err := s.collect(v, &b.rows, b.uids, rowBatch); err != nil {
		return err
	}
	cand := candidate{ctx: b.ctx, recentFrom: s.box.recentFrom}
	if s.rev2 {
		cand.recentFrom = 1<<32 - 1
	}
	// What the rows alone decide.
	b.verdicts, b.ids = b.verdicts[:0], b.ids[:0]
	for i := range b.rows {
		cand.row = &b.rows[i]
		answer := b.r.root.eval(&cand)
		if b.verdicts = append(b.verdicts, answer); answer == maybe {
			b.ids = append(b.ids, cand.row.Content)
		}
	}
	if len(b.ids) == 0 {
		return nil
	}
	if err := v.Gather(&b.gathered, b.ids); err != nil {
		return err
	}
	v.Close()
	k := 0
	for i := range b.rows {
		if b.verdicts[i] != maybe {
			continue
		}
		if err := b.ctx.Err(); err != nil {
			return err
		}
		cand.row = &b.rows[i]
		var err error
		if b.verdicts[i], err = b.look(k, &cand); err != nil {
			return err
		}
		k++
	}
	return nil
}

// look decides on a message by its summary or, if that does not do, by its
// octets.
func (b *searchBatch) look(i int, cand *candidate) (verdict, error) {
	ok, err := b.gathered.Open(i, &b.content)
	if !ok || err != nil {
		return never, err
	}
	if b.o, err = newOctets(b.ctx, b.r.c.s.account, &b.content); err != nil {
		return never, err
	}
	cand.o, cand.deep, cand.err = &b.o, false, nil
	answer := b.r.root.eval(cand)
	if answer == maybe {
		cand.deep = true
		answer = b.r.root.eval(cand)
	}
	if err := errors.Join(cand.err, b.o.close()); err != nil {
		if errors.Is(err, mailstore.ErrExpunged) {
			err = nil
		}
		return never, err
	}
	return answer, nil
}

// toSave returns what SAVE keeps (RFC 5182 section 2.4): of MIN and MAX alone
// only these.
func (r *searchRun) toSave(ret imapwire.SearchReturn) []mailstore.Range {
	uids := r.found
	if ret&(imapwire.ReturnMin|imapwire.ReturnMax) != 0 && ret&(imapwire.ReturnAll|imapwire.ReturnCount) == 0 && len(uids) > 0 {
		var few []mailstore.UID
		if ret&imapwire.ReturnMin != 0 {
			few = append(few, uids[0])
		}
		if ret&imapwire.ReturnMax != 0 {
			few = append(few, uids[len(uids)-1])
		}
		uids = slices.Compact(few)
	}
	var rs []mailstore.Range
	for _, u := range uids {
		rs = addUID(rs, u)
	}
	return rs
}

// extended writes an ESEARCH response (RFC 4731 section 3.1). Nothing that was
// not asked for is in it.
func (r *searchRun) extended(ret imapwire.SearchReturn) {
	s := r.c.s
	if ret == imapwire.ReturnSave {
		return // RFC 5182 section 2.1: nothing is returned
	}
	out := append(s.w.Buf(), "* ESEARCH (TAG "...)
	// The tag is a string: some clients want its quotes.
	out = imapwire.AppendString(out, s.frame.Tag, false)
	out = append(out, ')')
	if r.c.uid() {
		out = append(out, " UID"...)
	}
	num := func(name string, n uint64) {
		out = append(out, ' ')
		out = append(out, name...)
		out = append(out, ' ')
		out = strconv.AppendUint(out, n, 10)
	}
	highest := r.highest
	if n := len(r.found); n > 0 {
		if ret&imapwire.ReturnMin != 0 {
			num("MIN", uint64(r.number(r.found[0])))
		}
		if ret&imapwire.ReturnMax != 0 {
			num("MAX", uint64(r.number(r.found[n-1])))
		}
		if ret&imapwire.ReturnAll != 0 {
			out = append(out, " ALL "...)
			out = imapwire.AppendSet(out, r.c.numbers(r.found))
		}
		if r.modseq && ret&(imapwire.ReturnAll|imapwire.ReturnCount) == 0 {
			// RFC 4731 section 3.2: then of what is returned.
			highest = 0
			if ret&imapwire.ReturnMin != 0 {
				highest = r.modseqs[0]
			}
			if ret&imapwire.ReturnMax != 0 {
				highest = max(highest, r.modseqs[n-1])
			}
		}
	}
	if ret&imapwire.ReturnCount != 0 {
		num("COUNT", uint64(len(r.found)))
	}
	if r.modseq && len(r.found) > 0 {
		num("MODSEQ", uint64(highest))
	}
	s.w.SetBuf(append(out, "\r\n"...))
}
