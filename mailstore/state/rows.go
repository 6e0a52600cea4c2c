package state

import (
	"encoding/binary"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

// NameRow is a name the state cannot read: a keyed hash and the sealed text.
type NameRow struct {
	Hash   mailstore.Hash
	Sealed []byte
}

// KeywordRow is one entry of an account's keyword registry. Ids are given in
// order from 0 and never change.
type KeywordRow struct {
	ID uint16
	NameRow
}

// AccountRow is an account as its mail group knows it.
type AccountRow struct {
	ID            mailstore.AccountID
	QuotaBytes    uint64 // 0: none
	QuotaMessages uint64 // 0: none
	UsedBytes     uint64 // sum of RFC822.SIZE over the messages of all mailboxes
	UsedMessages  uint64
	NextMailbox   uint32 // next MailboxID
	NextValidity  uint32 // next UIDVALIDITY; never repeats within the account
	ModSeq        mailstore.ModSeq
	List          uint64 // raised by every change of mailboxes or subscriptions
	Keywords      uint16 // size of the keyword registry
	Mailboxes     uint32
	Subscriptions uint32
	// Newest is the greatest content id the account ever had: an id above it is
	// new without a look.
	Newest mailstore.ContentID
	Frozen bool // no changes but deliveries
	Closed bool // a tombstone; every other row is going or gone
}

func (a *AccountRow) encode(b []byte) []byte {
	b = append(b, rowVersion)
	b = putUint(b, a.QuotaBytes)
	b = putUint(b, a.QuotaMessages)
	b = putUint(b, a.UsedBytes)
	b = putUint(b, a.UsedMessages)
	b = putUint(b, uint64(a.NextMailbox))
	b = putUint(b, uint64(a.NextValidity))
	b = putUint(b, uint64(a.ModSeq))
	b = putUint(b, a.List)
	b = putUint(b, uint64(a.Keywords))
	b = putUint(b, uint64(a.Mailboxes))
	b = putUint(b, uint64(a.Subscriptions))
	b = append(b, a.Newest[:]...)
	b = putBool(b, a.Frozen)
	return putBool(b, a.Closed)
}

func (a *AccountRow) decode(v []byte) error {
	d := decode(v)
	a.QuotaBytes = d.uint()
	a.QuotaMessages = d.uint()
	a.UsedBytes = d.uint()
	a.UsedMessages = d.uint()
	a.NextMailbox = d.uint32()
	a.NextValidity = d.uint32()
	a.ModSeq = mailstore.ModSeq(d.uint())
	a.List = d.uint()
	kw := d.uint()
	if kw > MaxKeywordsPerAccount {
		d.fail()
	}
	a.Keywords = uint16(kw)
	a.Mailboxes = d.uint32()
	a.Subscriptions = d.uint32()
	a.Newest = d.content()
	a.Frozen = d.bool()
	a.Closed = d.bool()
	return d.done("account")
}

// MailboxRow is a mailbox with its name sealed.
type MailboxRow struct {
	mailstore.Mailbox // Name and Subscribed are not set
	Account           mailstore.AccountID
	NameRow
	// full is where the vanished log's rows begin that may still be merged.
	full mailstore.ModSeq
}

func (m *MailboxRow) encode(b []byte) []byte {
	b = append(b, rowVersion)
	b = putUint(b, uint64(m.UIDValidity))
	b = putUint(b, uint64(m.UIDNext))
	b = putUint(b, uint64(m.HighestModSeq))
	b = putUint(b, uint64(m.Exists))
	b = putUint(b, uint64(m.Unseen))
	b = putUint(b, uint64(m.Deleted))
	b = putUint(b, m.Size)
	b = putUint(b, m.DeletedSize)
	b = putUint(b, uint64(m.RecentFrom))
	b = putUint(b, uint64(m.full))
	b = append(b, byte(m.SpecialUse))
	b = append(b, m.Hash[:]...)
	return putBytes(b, m.Sealed)
}

// decode leaves the ids, which are in the key, alone; Sealed aliases v.
func (m *MailboxRow) decode(v []byte) error {
	d := decode(v)
	m.UIDValidity = d.uint32()
	m.UIDNext = mailstore.UID(d.uint32())
	m.HighestModSeq = mailstore.ModSeq(d.uint())
	m.Exists = d.uint32()
	m.Unseen = d.uint32()
	m.Deleted = d.uint32()
	m.Size = d.uint()
	m.DeletedSize = d.uint()
	m.RecentFrom = mailstore.UID(d.uint32())
	m.full = mailstore.ModSeq(d.uint())
	m.SpecialUse = mailstore.SpecialUse(d.byte())
	m.Hash = d.hash()
	m.Sealed = d.bytes()
	return d.done("mailbox")
}

// MessageRow is one message of a mailbox.
type MessageRow struct {
	UID          mailstore.UID
	ModSeq       mailstore.ModSeq
	Flags        mailstore.Flags
	Keywords     []uint16 // ids of the account's registry, ascending
	InternalDate int64    // seconds since the Unix epoch
	Zone         int32    // minutes east, as it was given
	SaveDate     int64    // seconds since the Unix epoch
	Size         uint32   // RFC822.SIZE
	Content      mailstore.ContentID
	Thread       mailstore.ContentID
}

func (m *MessageRow) encode(b []byte) []byte {
	b = append(b, rowVersion, byte(m.Flags))
	b = putUint(b, uint64(m.ModSeq))
	b = putInt(b, m.InternalDate)
	b = putInt(b, int64(m.Zone))
	b = putInt(b, m.SaveDate)
	b = putUint(b, uint64(m.Size))
	b = append(b, m.Content[:]...)
	if m.Thread == m.Content {
		b = append(b, 0)
	} else {
		b = append(append(b, 1), m.Thread[:]...)
	}
	last := uint16(0)
	for i, k := range m.Keywords {
		if i == 0 {
			b = putUint(b, uint64(k))
		} else {
			b = putUint(b, uint64(k-last-1))
		}
		last = k
	}
	return b
}

// decode reads all but the UID, which is in the key. It reuses m.Keywords.
func (m *MessageRow) decode(v []byte) error {
	d := decode(v)
	m.Flags = mailstore.Flags(d.byte())
	m.ModSeq = mailstore.ModSeq(d.uint())
	m.InternalDate = d.int()
	zone := d.int()
	if m.Zone = int32(zone); int64(m.Zone) != zone {
		d.fail()
	}
	m.SaveDate = d.int()
	m.Size = d.uint32()
	m.Content = d.content()
	m.Thread = m.Content
	if d.bool() {
		if m.Thread = d.content(); m.Thread == m.Content {
			d.fail()
		}
	}
	m.Keywords = m.Keywords[:0]
	next := uint64(0)
	for !d.bad && len(d.b) > 0 {
		delta := d.uint()
		if delta >= MaxKeywordsPerAccount || next+delta >= MaxKeywordsPerAccount {
			d.fail()
			break
		}
		m.Keywords = append(m.Keywords, uint16(next+delta))
		next += delta + 1
	}
	return d.done("message")
}

// ContentRow is the immutable part of an account's copy of a message.
type ContentRow struct {
	ID         mailstore.ContentID
	Body       cluster.BodyRef
	Size       uint32 // RFC822.SIZE
	Thread     mailstore.ContentID
	WrappedKey []byte
	// Threads are the hashes of the Message-ID (first; Own tells whether there
	// is one) and of the ids it refers to.
	Threads []mailstore.Hash
	Own     bool
	// Subject is the hash of the base subject; HasSubject whether it has one.
	Subject    mailstore.Hash
	HasSubject bool
	Summary    []byte
}

func (c *ContentRow) encode(b []byte) []byte {
	var bits byte
	if c.Own {
		bits |= 1
	}
	if c.HasSubject {
		bits |= 2
	}
	if c.Thread != c.ID {
		bits |= 4
	}
	b = append(b, rowVersion, bits)
	b = append(b, c.Body.ID[:]...)
	b = putUint(b, uint64(c.Body.Size))
	b = putUint(b, uint64(c.Size))
	b = putBytes(b, c.WrappedKey)
	b = putUint(b, uint64(len(c.Threads)))
	for i := range c.Threads {
		b = append(b, c.Threads[i][:]...)
	}
	if c.HasSubject {
		b = append(b, c.Subject[:]...)
	}
	if c.Thread != c.ID {
		b = append(b, c.Thread[:]...)
	}
	return append(b, c.Summary...)
}

// decode reads all but the id. Slices of bytes alias v; Threads is reused.
func (c *ContentRow) decode(v []byte) error {
	d := decode(v)
	bits := d.byte()
	if bits > 7 {
		d.fail()
	}
	c.Own, c.HasSubject = bits&1 != 0, bits&2 != 0
	copy(c.Body.ID[:], d.take(len(c.Body.ID)))
	c.Body.Size = d.uint32()
	c.Size = d.uint32()
	c.WrappedKey = d.bytes()
	n := d.uint()
	c.Threads = c.Threads[:0]
	for ; n > 0 && !d.bad; n-- {
		c.Threads = append(c.Threads, d.hash())
	}
	c.Subject = mailstore.Hash{}
	if c.HasSubject {
		c.Subject = d.hash()
	}
	c.Thread = c.ID
	if bits&4 != 0 {
		if c.Thread = d.content(); c.Thread == c.ID {
			d.fail()
		}
	}
	c.Summary = d.b
	if d.bad {
		return corrupt("content")
	}
	return nil
}

// threadRow counts the contents that carry a thread hash and names the thread
// it belongs to.
type threadRow struct {
	refs   uint64
	thread mailstore.ContentID
}

func (t *threadRow) encode(b []byte) []byte {
	return append(putUint(append(b, rowVersion), t.refs), t.thread[:]...)
}

func (t *threadRow) decode(v []byte) error {
	d := decode(v)
	t.refs = d.uint()
	t.thread = d.content()
	return d.done("thread")
}

// bodyRow counts what refers to a body in this group.
type bodyRow struct {
	refs uint64
	size uint32
	lost bool // no member has it any more
}

func (r *bodyRow) encode(b []byte) []byte {
	b = putUint(append(b, rowVersion), r.refs)
	return putBool(putUint(b, uint64(r.size)), r.lost)
}

func (r *bodyRow) decode(v []byte) error {
	d := decode(v)
	r.refs = d.uint()
	r.size = d.uint32()
	r.lost = d.bool()
	return d.done("body")
}

// vanishedRow is one row of a mailbox's vanished log.
type vanishedRow struct {
	time   int64 // seconds, when the newest of its ranges vanished
	ranges []mailstore.Range
}

func (r *vanishedRow) encode(b []byte) []byte {
	b = putInt(append(b, rowVersion), r.time)
	next := mailstore.UID(0)
	for _, g := range r.ranges {
		b = putUint(b, uint64(g.First-next))
		b = putUint(b, uint64(g.Last-g.First))
		next = g.Last
	}
	return b
}

func (r *vanishedRow) decode(v []byte) error {
	d := decode(v)
	r.time = d.int()
	r.ranges = r.ranges[:0]
	next := uint64(0)
	for !d.bad && len(d.b) > 0 {
		lead := d.uint()
		span := d.uint()
		first := next + lead
		last := first + span
		if lead == 0 || lead > 1<<32 || span > 1<<32 || last > 1<<32-1 {
			d.fail()
			break
		}
		r.ranges = append(r.ranges, mailstore.Range{First: mailstore.UID(first), Last: mailstore.UID(last)})
		next = last
	}
	return d.done("vanished")
}

// clockRow is what a group knows of time and of its own history.
type clockRow struct {
	time      uint64 // greatest entry time, ms
	commands  uint64 // commands executed
	forgotten uint64 // time of the newest operation whose id was forgotten
	firstOp   uint64 // sequence of the oldest remembered operation
	level     uint32
}

func (c *clockRow) encode(b []byte) []byte {
	b = putUint(append(b, rowVersion), c.time)
	b = putUint(b, c.commands)
	b = putUint(b, c.forgotten)
	b = putUint(b, c.firstOp)
	return putUint(b, uint64(c.level))
}

func (c *clockRow) decode(v []byte) error {
	d := decode(v)
	c.time = d.uint()
	c.commands = d.uint()
	c.forgotten = d.uint()
	c.firstOp = d.uint()
	c.level = d.uint32()
	return d.done("clock")
}

// opRow remembers an operation: where it was executed and what it answered.
type opRow struct {
	index  uint64
	result []byte
}

func (o *opRow) encode(b []byte) []byte {
	return append(putUint(append(b, rowVersion), o.index), o.result...)
}

func (o *opRow) decode(v []byte) error {
	d := decode(v)
	o.index = d.uint()
	o.result = d.b
	if d.bad {
		return corrupt("operation")
	}
	return nil
}

// opAgeRow orders operations by age, so that they are forgotten in order.
type opAgeRow struct {
	op   cluster.OpID
	time uint64 // ms
}

func (o *opAgeRow) encode(b []byte) []byte {
	return putUint(append(append(b, rowVersion), o.op[:]...), o.time)
}

func (o *opAgeRow) decode(v []byte) error {
	d := decode(v)
	copy(o.op[:], d.take(len(o.op)))
	o.time = d.uint()
	return d.done("operation age")
}

// appliedRow is where the group stands. It is the one row outside the digest.
type appliedRow struct {
	index, term uint64
	sum         sum
}

func (a *appliedRow) encode(b []byte) []byte {
	b = append(b, rowVersion)
	b = binary.BigEndian.AppendUint64(b, a.index)
	b = binary.BigEndian.AppendUint64(b, a.term)
	d := a.sum.digest()
	return append(b, d[:]...)
}

func (a *appliedRow) decode(v []byte) error {
	d := decode(v)
	if f := d.take(16); f != nil {
		a.index = binary.BigEndian.Uint64(f)
		a.term = binary.BigEndian.Uint64(f[8:])
	}
	if f := d.take(16); f != nil {
		a.sum = sum{binary.BigEndian.Uint64(f), binary.BigEndian.Uint64(f[8:])}
	}
	return d.done("applied index")
}

// HandoffItem is one command kept for another group.
type HandoffItem struct {
	Group   cluster.GroupID
	Op      cluster.OpID
	Command []byte
}

// HandoffRow keeps deliveries to other groups, and their body, until they are
// answered there.
type HandoffRow struct {
	ID    [16]byte
	Time  uint64 // machine time when it was opened, ms
	Body  cluster.BodyRef
	Items []HandoffItem
}

func (h *HandoffRow) encode(b []byte) []byte {
	b = putUint(append(b, rowVersion), h.Time)
	b = append(b, h.Body.ID[:]...)
	b = putUint(b, uint64(h.Body.Size))
	b = putUint(b, uint64(len(h.Items)))
	for i := range h.Items {
		it := &h.Items[i]
		b = putUint(b, uint64(it.Group))
		b = append(b, it.Op[:]...)
		b = putBytes(b, it.Command)
	}
	return b
}

// decode reads all but the id; commands alias v.
func (h *HandoffRow) decode(v []byte) error {
	d := decode(v)
	h.Time = d.uint()
	copy(h.Body.ID[:], d.take(len(h.Body.ID)))
	h.Body.Size = d.uint32()
	h.Items = h.Items[:0]
	for n := d.uint(); n > 0 && !d.bad; n-- {
		var it HandoffItem
		it.Group = cluster.GroupID(d.uint32())
		copy(it.Op[:], d.take(len(it.Op)))
		it.Command = d.bytes()
		h.Items = append(h.Items, it)
	}
	return d.done("handoff")
}
