package imap

import (
	"context"
	"errors"
	"sync"

	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// keyPass reads something of each of a number of messages, from their rows or
// summaries; of a header only where a summary has not room for it. SORT and
// THREAD are made of it.
type keyPass struct {
	c *call
	// summaries is set if rows do not do.
	summaries bool
	// make appends what is wanted of a message. It runs on several
	// goroutines.
	make func(dst []byte, row *mailstore.Message, o *octets) ([]byte, error)
	// take is given what make appended, in the order of UIDs; it stays.
	take func(u mailstore.UID, key []byte)

	held     int64     // of Server.sorting
	progress *progress // is told, if it is set
}

// maxSorting bounds the octets that all SORTs and THREADs of a server may
// hold.
const maxSorting = 512 << 20

// grab takes octets of what may be held.
func (p *keyPass) grab(n int) error {
	if !p.c.s.srv.sorting.TryAcquire(int64(n)) {
		return no("LIMIT", "Too many messages to sort at this time")
	}
	p.held += int64(n)
	return nil
}

// release gives it back.
func (p *keyPass) release() { p.c.s.srv.sorting.Release(p.held) }

// run reads the messages with these UIDs. Those that were expunged meanwhile
// are passed over.
func (p *keyPass) run(ctx context.Context, uids []mailstore.UID) error {
	if len(uids) == 0 {
		return nil
	}
	var rs []mailstore.Range
	for _, u := range uids {
		rs = addUID(rs, u)
	}
	return p.scan(ctx, rs)
}

func (p *keyPass) scan(ctx context.Context, uids []mailstore.Range) error {
	s := p.c.s
	size, held := uint32(rowBatch), int64(rowBatch)<<8
	if p.summaries {
		size, held = summaryBatch, summaryBatch<<10
	}
	next := func() (*keyBatch, int64, bool, error) {
		b := keyBatches.Get().(*keyBatch)
		b.p, b.ctx = p, ctx
		b.uids, uids = s.box.list.cut(uids, size)
		return b, held, len(uids) == 0, ctx.Err()
	}
	put := func(b *keyBatch) error {
		if b.err != nil {
			return b.err
		}
		if err := p.grab(len(b.keys)); err != nil {
			return err
		}
		// Of its own size: it stays until the end.
		keys := append([]byte(nil), b.keys...)
		for i := range b.marks {
			m := &b.marks[i]
			p.take(m.uid, keys[m.off:m.end:m.end])
		}
		n := len(b.rows)
		b.p, b.ctx, b.o = nil, nil, octets{}
		clear(b.rows)
		keyBatches.Put(b)
		return p.progress.step(n)
	}
	return inOrder(&s.srv.ahead, next, (*keyBatch).work, put)
}

// keyBatch is the part of a keyPass that is about a few messages.
type keyBatch struct {
	p    *keyPass // which is only read here
	ctx  context.Context
	uids []mailstore.Range
	err  error

	keys  []byte
	marks []keyMark

	rows     []mailstore.Message
	ids      []mailstore.ContentID
	gathered lookup.Gathered
	content  lookup.Content
	o        octets
}

type keyMark struct {
	uid      mailstore.UID
	off, end uint32
}

var keyBatches = sync.Pool{New: func() any { return new(keyBatch) }}

func (b *keyBatch) work() { b.err = b.read() }

func (b *keyBatch) read() error {
	s := b.p.c.s
	b.keys, b.marks = b.keys[:0], b.marks[:0]
	v := s.box.owner.Read()
	defer v.Close()
	if _, err := collect(v, s.box.id, &b.rows, b.uids, rowBatch); err != nil {
		return err
	}
	if b.p.summaries {
		b.ids = b.ids[:0]
		for i := range b.rows {
			b.ids = append(b.ids, b.rows[i].Content)
		}
		if err := v.Gather(&b.gathered, b.ids); err != nil {
			return err
		}
	}
	v.Close()
	for i := range b.rows {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		at := len(b.keys)
		if err := b.one(i); errors.Is(err, mailstore.ErrExpunged) {
			b.keys = b.keys[:at]
			continue
		} else if err != nil {
			return err
		}
		b.marks = append(b.marks, keyMark{b.rows[i].UID, uint32(at), uint32(len(b.keys))})
	}
	return nil
}

func (b *keyBatch) one(i int) (err error) {
	if !b.p.summaries {
		b.keys, err = b.p.make(b.keys, &b.rows[i], nil)
		return err
	}
	ok, err := b.gathered.Open(i, &b.content)
	if err != nil {
		return err
	}
	if !ok {
		return mailstore.ErrExpunged
	}
	if b.o, err = newOctets(b.ctx, b.p.c.s.box.owner, &b.content); err != nil {
		return err
	}
	b.keys, err = b.p.make(b.keys, &b.rows[i], &b.o)
	return errors.Join(err, b.o.close())
}

// value returns the first field of the header with a name, unfolded; nil if
// there is none.
func (o *octets) value(name string) ([]byte, error) {
	if v, ok := o.sum.Value(name); ok {
		return v, nil
	}
	h, err := o.header()
	if err != nil {
		return nil, err
	}
	return message.Lookup(h, name), nil
}

// sentDate is the sent date of RFC 5256 section 2.2, in seconds as a number
// that orders like it.
func sentDate(row *mailstore.Message, o *octets) (uint64, error) {
	v, err := o.value("Date")
	if err != nil {
		return 0, err
	}
	t, ok := message.ParseDate(v)
	if !ok {
		t = row.InternalDate
	}
	return orderedTime(t.Unix()), nil
}

func orderedTime(seconds int64) uint64 { return uint64(seconds) ^ 1<<63 }
