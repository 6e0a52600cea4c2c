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

// cmdSearch is of RFC 9051 section 6.4.4, RFC 4731, RFC 5182 and RFC 9394.
func cmdSearch(c *call) error {
	q := c.args.Search()
	if err := c.args.End(); err != nil {
		return err
	}
	r, err := c.search(&q, false)
	if err != nil {
		c.notSaved(&q)
		return err
	}
	if c.s.rev2 && !q.Extended {
		q.Extended, q.Return = true, imapwire.ReturnAll
	}
	r.order = r.found
	r.finish(&q, "SEARCH", nil)
	return nil
}

// search finds what a search asks for. whole is set where all that is found is
// told together.
func (c *call) search(q *imapwire.Search, whole bool) (*searchRun, error) {
	if q.ModSeq {
		c.s.enableCondstore()
	}
	if err := c.tagInUse(q); err != nil {
		return nil, err
	}
	if q.Numbered && c.s.uidonly {
		return nil, errUIDRequired
	}
	c.numbered = q.Numbered
	r := &searchRun{c: c, box: c.s.box, modseq: q.ModSeq, scored: q.Relevancy, whole: whole}
	var err error
	if r.root, err = c.compile(q, r.box); err != nil {
		return nil, err
	}
	return r, r.run()
}

// notSaved is called for a search with SAVE that failed (RFC 5182 section
// 2.1).
func (c *call) notSaved(q *imapwire.Search) {
	if q.Return&imapwire.ReturnSave != 0 {
		c.s.box.saved = nil
	}
}

// finish keeps and tells the result, in order. name is that of the response
// where none was asked for by RETURN, keys are those of a SORT.
func (r *searchRun) finish(q *imapwire.Search, name string, keys []imapwire.SortKey) {
	s := r.c.s
	if q.Return&imapwire.ReturnSave != 0 {
		s.box.saved = r.toSave(q)
	}
	if q.Return&imapwire.ReturnUpdate != 0 {
		r.follow(keys, "")
	}
	if q.Extended {
		r.extended(q, "")
		return
	}
	out := append(s.w.Buf(), "* "...)
	out = append(out, name...)
	for _, n := range r.order {
		out = append(out, ' ')
		out = strconv.AppendUint(out, uint64(r.number(n)), 10)
	}
	if q.ModSeq && len(r.order) > 0 {
		// RFC 7162 section 3.1.5, 3.1.6.
		out = append(out, " (MODSEQ "...)
		out = strconv.AppendUint(out, uint64(r.highest), 10)
		out = append(out, ')')
	}
	s.w.SetBuf(append(out, "\r\n"...))
}

// searchRun is one search in execution.
type searchRun struct {
	c      *call
	box    *view // that is searched
	root   *matcher
	modseq bool
	whole  bool // none may be left out

	found   []mailstore.UID    // ascending
	order   []mailstore.UID    // as they are told
	modseqs []mailstore.ModSeq // of found, when asked for
	highest mailstore.ModSeq
	cur     cursor
	// progress is told, if it is set.
	progress *progress

	scored bool    // whether relevancies are wanted
	scores []uint8 // of found, then

	asked  sync.Once // whether the full-text index was
	askErr error
}

// readAnyway is how many messages of a batch are opened rather than the index
// asked, which is about a whole account.
const readAnyway = 8

// maxTexts bounds the texts that the index is asked for in one command: an
// answer takes an eighth of an octet for each message of the account.
const maxTexts = 64

// textKey is a text that the index was asked for.
type textKey struct {
	account *lookup.Account
	text    string
	body    bool
}

// ask asks the full-text index for the texts of a search, once. It may be
// called on other goroutines than the session's.
func (r *searchRun) ask(ctx context.Context) error {
	r.asked.Do(func() {
		r.askErr = r.askFor(ctx, r.root)
		if !r.scored {
			return
		}
		for _, s := range r.c.scorers {
			for _, p := range s {
				r.askErr = errors.Join(r.askErr, r.askFor(ctx, p.m))
			}
		}
	})
	return r.askErr
}

func (r *searchRun) askFor(ctx context.Context, m *matcher) error {
	for _, k := range m.kids {
		if err := r.askFor(ctx, k); err != nil {
			return err
		}
	}
	if m.op != imapwire.SearchBody && m.op != imapwire.SearchText || r.progress == nil {
		return nil
	}
	key := textKey{r.box.owner, string(m.needle.Folded()), m.op == imapwire.SearchBody}
	f := r.c.texts[key]
	if f == nil && len(r.c.texts) >= maxTexts {
		return nil
	}
	if f == nil {
		// An answer is about all of the account: that of one mailbox is that of
		// the next.
		var err error
		if f, err = key.account.Search(ctx, m.needle.Folded(), key.body, r.progress.total); err != nil {
			return err
		}
		if r.c.texts == nil {
			r.c.texts = map[textKey]*lookup.Found{}
		}
		r.c.texts[key] = f
	}
	m.found.Store(f)
	return nil
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
	scores   []uint8
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
	return r.box.list.seq(u)
}

func (r *searchRun) add(m *mailstore.Message, score uint8) {
	if r.cur.seq(m.UID) == 0 || r.box.isGone(m.UID) {
		return // not announced, or expunged
	}
	r.found = append(r.found, m.UID)
	if r.scored {
		r.scores = append(r.scores, score)
	}
	if r.modseq {
		r.modseqs = append(r.modseqs, m.ModSeq)
		r.highest = max(r.highest, m.ModSeq)
	}
}

// run searches. This may take long: a client that goes away ends it.
func (r *searchRun) run() error {
	s := r.c.s
	uids, err := r.limitSearch(r.candidates())
	if err != nil {
		return err
	}
	if r.root.cost < costSummary {
		return r.look(r.c.ctx, uids)
	}
	r.progress = s.progress(r.box.count(uids))
	ctx, stop, err := s.watched(r.c.ctx)
	if err != nil {
		return err
	}
	err = r.look(ctx, uids)
	if serr := stop(); serr != nil {
		return serr
	}
	return err
}

// candidates returns the messages outside of which nothing matches.
func (r *searchRun) candidates() []mailstore.Range {
	if narrow, ok := r.root.narrow(); ok {
		return r.box.known(narrow)
	}
	return r.box.known([]mailstore.Range{{First: 1, Last: r.box.list.last()}})
}

// look finds what matches among the candidates.
func (r *searchRun) look(ctx context.Context, uids []mailstore.Range) error {
	r.cur.list = &r.box.list
	if r.root.cost == costNone && !r.modseq {
		// Nothing of a message has to be looked at.
		cand := candidate{row: &mailstore.Message{}}
		for _, rg := range uids {
			r.box.list.each(rg, func(u mailstore.UID) {
				cand.row.UID = u
				if r.root.eval(&cand) == yes {
					r.add(cand.row, 100)
				}
			})
		}
		return nil
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
		b.uids, uids = r.box.list.cut(uids, size)
		return b, held, len(uids) == 0, ctx.Err()
	}
	put := func(b *searchBatch) error {
		if b.err != nil {
			return b.err
		}
		for i := range b.rows {
			if b.verdicts[i] == yes {
				r.add(&b.rows[i], b.scores[i])
			}
		}
		n := len(b.rows)
		b.r, b.ctx, b.o = nil, nil, octets{}
		clear(b.rows)
		searchBatches.Put(b)
		return r.progress.step(n)
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
	v := b.r.box.owner.Read()
	defer v.Close()
	if _, err := collect(v, b.r.box.id, &b.rows, b.uids, rowBatch); err != nil {
		return err
	}
	cand := candidate{ctx: b.ctx, recentFrom: b.r.box.recentFrom}
	if s.rev2 {
		cand.recentFrom = 1<<32 - 1
	}
	b.evalRows(&cand)
	if len(b.ids) > readAnyway && b.r.root.cost >= costBody {
		if err := b.r.ask(b.ctx); err != nil {
			return err
		}
		b.evalRows(&cand)
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
		if !b.opens(b.verdicts[i]) {
			continue
		}
		if err := b.ctx.Err(); err != nil {
			return err
		}
		cand.row = &b.rows[i]
		var err error
		if b.verdicts[i], b.scores[i], err = b.open(k, &cand); err != nil {
			return err
		}
		k++
	}
	return nil
}

// opens reports whether a message has to be opened: to decide on it, or to tell
// how relevant it is.
func (b *searchBatch) opens(v verdict) bool {
	return v == maybe || v == yes && b.r.scored && len(b.r.c.scorers) > 0
}

// evalRows finds what the rows alone decide, and the index.
func (b *searchBatch) evalRows(cand *candidate) {
	b.verdicts, b.scores, b.ids = b.verdicts[:0], b.scores[:0], b.ids[:0]
	for i := range b.rows {
		cand.row = &b.rows[i]
		answer := b.r.root.eval(cand)
		b.verdicts, b.scores = append(b.verdicts, answer), append(b.scores, 100)
		if b.opens(answer) {
			b.ids = append(b.ids, cand.row.Content)
		}
	}
}

// open decides on a message by its summary or, if that does not do, by its
// octets.
func (b *searchBatch) open(i int, cand *candidate) (answer verdict, score uint8, err error) {
	ok, err := b.gathered.Open(i, &b.content)
	if !ok || err != nil {
		return never, 0, err
	}
	if b.o, err = newOctets(b.ctx, b.r.box.owner, &b.content); err != nil {
		return never, 0, err
	}
	cand.o, cand.deep, cand.err = &b.o, false, nil
	if answer = b.r.root.eval(cand); answer == maybe {
		cand.deep = true
		answer = b.r.root.eval(cand)
	}
	if answer == yes && b.r.scored {
		cand.deep = true
		score = b.r.c.relevancy(cand)
	}
	if err := errors.Join(cand.err, b.o.close()); err != nil {
		if errors.Is(err, mailstore.ErrExpunged) {
			err = nil
		}
		return never, 0, err
	}
	return answer, score, nil
}

// toSave returns what SAVE keeps: of MIN, MAX and PARTIAL alone only these
// (RFC 5182 section 2.4, RFC 9394 section 3.2).
func (r *searchRun) toSave(q *imapwire.Search) []mailstore.Range {
	var rs []mailstore.Range
	for _, u := range r.few(q, r.found) {
		rs = addUID(rs, u)
	}
	return rs
}

// few returns of all the messages those that are told one by one, ascending,
// where no option is about all of them.
func (r *searchRun) few(q *imapwire.Search, all []mailstore.UID) []mailstore.UID {
	const some = imapwire.ReturnMin | imapwire.ReturnMax | imapwire.ReturnPartial
	n := len(r.order)
	if q.Return&some == 0 || q.Return&(imapwire.ReturnAll|imapwire.ReturnCount) != 0 || n == 0 {
		return all
	}
	var few []mailstore.UID
	if q.Return&imapwire.ReturnMin != 0 {
		few = append(few, r.order[0])
	}
	if q.Return&imapwire.ReturnMax != 0 {
		few = append(few, r.order[n-1])
	}
	if q.Return&imapwire.ReturnPartial != 0 {
		from, to := q.Partial.Of(n)
		few = append(few, r.order[from:to]...)
	}
	slices.Sort(few)
	return slices.Compact(few)
}

// extended writes an ESEARCH response (RFC 4731 section 3.1, for SORT RFC 5267
// section 3.2). Nothing that was not asked for is in it. where says which
// mailbox it is about, if that is not known to be the selected one.
func (r *searchRun) extended(q *imapwire.Search, where string) {
	s, ret := r.c.s, q.Return
	if ret&^(imapwire.ReturnUpdate|imapwire.ReturnContext) == imapwire.ReturnSave {
		return // RFC 5182 section 2.1: nothing is returned
	}
	out := append(s.w.Buf(), "* ESEARCH (TAG "...)
	// The tag is a string: some clients want its quotes.
	out = imapwire.AppendString(out, s.frame.Tag, false)
	out = append(append(out, where...), ')')
	if r.c.uid() {
		out = append(out, " UID"...)
	}
	num := func(name string, n uint64) {
		out = append(out, ' ')
		out = append(out, name...)
		out = append(out, ' ')
		out = strconv.AppendUint(out, n, 10)
	}
	if n := len(r.order); n > 0 {
		if ret&imapwire.ReturnMin != 0 {
			num("MIN", uint64(r.number(r.order[0])))
		}
		if ret&imapwire.ReturnMax != 0 {
			num("MAX", uint64(r.number(r.order[n-1])))
		}
		if ret&imapwire.ReturnAll != 0 {
			out = append(out, " ALL "...)
			out = r.appendOrder(out, r.order)
		}
	}
	if ret&imapwire.ReturnPartial != 0 {
		// RFC 9394 section 3.1.
		out = append(out, " PARTIAL ("...)
		out = append(q.Partial.Append(out), ' ')
		if from, to := q.Partial.Of(len(r.order)); from < to {
			out = r.appendOrder(out, r.order[from:to])
		} else {
			out = append(out, "NIL"...)
		}
		out = append(out, ')')
	}
	if n := len(r.order); ret&imapwire.ReturnRelevancy != 0 && n > 0 {
		from, to := 0, n
		if ret&imapwire.ReturnPartial != 0 {
			from, to = q.Partial.Of(n)
		}
		if from < to {
			out = r.appendRelevancy(out, r.order[from:to])
		}
	}
	if ret&imapwire.ReturnCount != 0 {
		num("COUNT", uint64(len(r.order)))
	}
	if r.modseq && len(r.order) > 0 {
		// RFC 4731 section 3.2: of what is told one by one, or of all.
		highest := mailstore.ModSeq(0)
		for _, u := range r.few(q, nil) {
			if i, ok := slices.BinarySearch(r.found, u); ok {
				highest = max(highest, r.modseqs[i])
			}
		}
		if highest == 0 {
			highest = r.highest
		}
		num("MODSEQ", uint64(highest))
	}
	s.w.SetBuf(append(out, "\r\n"...))
}
