package state

import (
	"encoding/binary"
	"fmt"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// importRow says what an account's mail is imported from.
type importRow struct{ source mailstore.Hash }

func (r *importRow) encode(b []byte) []byte { return append(append(b, rowVersion), r.source[:]...) }

func (r *importRow) decode(v []byte) error {
	d := decode(v)
	r.source = d.hash()
	return d.done("import")
}

// importedRow says how far a mailbox is imported.
type importedRow struct {
	Last mailstore.UID // of the source; 0: nothing yet
	Kept bool          // messages have the UIDs they had there
}

func (r *importedRow) encode(b []byte) []byte {
	return putBool(putUint(append(b, rowVersion), uint64(r.Last)), r.Kept)
}

func (r *importedRow) decode(v []byte) error {
	d := decode(v)
	r.Last = mailstore.UID(d.uint32())
	r.Kept = d.bool()
	return d.done("imported")
}

// firstValidityRow is where the account's own count of UIDVALIDITY began. INBOX
// tells it until it adopts another.
type firstValidityRow struct{ first uint32 }

func (r *firstValidityRow) encode(b []byte) []byte {
	return putUint(append(b, rowVersion), uint64(r.first))
}

func (r *firstValidityRow) decode(v []byte) error {
	d := decode(v)
	r.first = d.uint32()
	return d.done("first UIDVALIDITY")
}

func (k *keys) validity(b []byte, a mailstore.AccountID, v uint32) []byte {
	return binary.BigEndian.AppendUint32(k.account(b, tabValidity, a), v)
}

// imported is an importedRow and the hash of the row that was read.
type imported struct {
	importedRow
	at sum
}

func (m *Mail) imported(t *tx, b *hotMailbox) (imp imported, found bool, err error) {
	imp.at, found, err = t.fetch(m.mailbox(nil, tabImport, b.Account, b.ID), imp.decode)
	return imp, found, err
}

// beginImport decides whether mail may be imported: into an account that has
// none, or to go on with the same source. With another one every mailbox begins
// anew.
func (m *Mail) beginImport(t *tx, c *pb.BeginImport) (*pb.Result, error) {
	a, cd, err := m.open(t, c.Account)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	var row importRow
	key := m.mailbox(nil, tabImport, a.ID, 0)
	at, found, err := t.fetch(key, row.decode)
	if err != nil {
		return nil, err
	}
	source := mailstore.Hash(c.Source)
	if found && row.source == source {
		return &pb.Result{Modseq: uint64(a.ModSeq)}, nil
	}
	if a.UsedMessages > 0 && !c.Mix {
		return code(pb.Code_EXISTS), nil
	}
	if found {
		// One row for each mailbox at most.
		if _, err := m.purgeRows(t, m.account(nil, tabImport, a.ID), MaxMailboxes+1); err != nil {
			return nil, err
		}
		at = absent
	}
	row.source = source
	_, err = t.put(key, at, row.encode(nil))
	return &pb.Result{Modseq: uint64(a.ModSeq)}, err
}

// adoptMailbox gives an empty mailbox the UIDVALIDITY it had elsewhere and
// raises counters. UIDVALIDITY changes only where no UID was ever given, and to
// a value that no mailbox of the account ever had, so that no client can take
// one message for another, whatever mailboxes are renamed to later.
func (m *Mail) adoptMailbox(t *tx, c *pb.AdoptMailbox) (*pb.Result, error) {
	a, b, cd, err := m.openBox(t, c.Account, c.Mailbox)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	found, err := t.get(m.mailbox(nil, tabImport, a.ID, 0), nil)
	if err != nil {
		return nil, err
	}
	if !found {
		return code(pb.Code_CONFLICT), nil
	}
	imp, had, err := m.imported(t, b)
	if err != nil {
		return nil, err
	}
	adopt := c.UidValidity != 0 && !(had && imp.Kept && b.UIDValidity == c.UidValidity)
	if adopt {
		// Only UIDNEXT tells of messages that were expunged.
		if b.UIDNext != 1 || had {
			return code(pb.Code_CONFLICT), nil
		}
		first, used, err := m.validityUsed(t, a, c.UidValidity)
		if err == nil && used {
			used, err = m.giveUp(t, a, b, c.UidValidity)
		}
		if err != nil {
			return nil, err
		}
		if used {
			return code(pb.Code_EXISTS), nil
		}
		if err := m.adopt(t, a, b, c.UidValidity, first); err != nil {
			return nil, err
		}
	}
	res := &pb.Result{Mailbox: uint32(b.ID), UidValidity: b.UIDValidity}
	next := mailstore.UID(c.UidNext)
	if !adopt && next <= b.UIDNext && mailstore.ModSeq(c.ModSeq) <= a.ModSeq {
		res.Modseq = uint64(a.ModSeq)
		return res, nil
	}
	if next > b.UIDNext {
		if b.RecentFrom == b.UIDNext {
			b.RecentFrom = next
		}
		b.UIDNext = next
	}
	a.ModSeq = max(a.ModSeq, mailstore.ModSeq(c.ModSeq))
	seq := m.nextModSeq(a)
	b.HighestModSeq = seq
	m.touchBox(b)
	m.event(a.ID, b.ID, seq)
	res.Modseq = uint64(seq)
	return res, nil
}

// validityUsed tells whether a mailbox of the account has or had a UIDVALIDITY,
// and where the account's own count began.
func (m *Mail) validityUsed(t *tx, a *hotAccount, v uint32) (first firstValidityRow, used bool, err error) {
	_, found, err := t.fetch(m.validity(nil, a.ID, 0), first.decode)
	if err != nil {
		return first, false, err
	}
	if !found {
		in, err := m.box(t, a.ID, Inbox)
		if err != nil {
			return first, false, err
		}
		if in == nil {
			return first, false, corrupt("an account without INBOX")
		}
		first.first = in.UIDValidity
	}
	if v >= first.first && v < a.NextValidity {
		return first, true, nil
	}
	used, err = t.get(m.validity(nil, a.ID, v), nil)
	return first, used, err
}

// giveUp frees a UIDVALIDITY that a mailbox has under which no UID was ever
// given: it gets the next one, as if it had been made later. A new account's own
// mailboxes do not stand in the way of those it adopts. It answers whether the
// value stays used.
func (m *Mail) giveUp(t *tx, a *hotAccount, b *hotMailbox, v uint32) (used bool, err error) {
	if b.UIDValidity == v {
		return false, nil
	}
	// What is kept decoded may not be written yet.
	if err := m.flush(t); err != nil {
		return false, err
	}
	var ids []mailstore.MailboxID
	if err := t.scan(m.account(nil, tabMailbox, a.ID), func(k, _ []byte) (bool, error) {
		ids = append(ids, mailstore.MailboxID(binary.BigEndian.Uint32(k[len(k)-4:])))
		return true, nil
	}); err != nil {
		return false, err
	}
	for _, id := range ids {
		o, err := m.box(t, a.ID, id)
		if err != nil {
			return false, err
		}
		if o == nil || o.UIDValidity != v {
			continue
		}
		imp, had, err := m.imported(t, o)
		if err != nil {
			return false, err
		}
		if o.UIDNext != 1 || had && imp.Kept || a.NextValidity > command.MaxImportUID {
			return true, nil
		}
		o.UIDValidity = a.NextValidity
		a.NextValidity++
		m.touch(a)
		m.touchBox(o)
		m.event(a.ID, o.ID, a.ModSeq)
		return false, nil
	}
	return true, nil
}

func (m *Mail) adopt(t *tx, a *hotAccount, b *hotMailbox, v uint32, first firstValidityRow) error {
	once := func(key, row []byte) error {
		found, err := t.get(key, nil)
		if err == nil && !found {
			_, err = t.put(key, absent, row)
		}
		return err
	}
	err := once(m.validity(nil, a.ID, 0), first.encode(nil))
	if err == nil {
		err = once(m.validity(nil, a.ID, v), nil)
	}
	if err == nil {
		imp := importedRow{Kept: true}
		_, err = t.put(m.mailbox(nil, tabImport, a.ID, b.ID), absent, imp.encode(nil))
	}
	if err != nil {
		return err
	}
	b.UIDValidity = v
	if v >= a.NextValidity {
		a.NextValidity = v + 1
	}
	m.touch(a)
	m.touchBox(b)
	return nil
}

// mayImport decides what of an import can refuse an Append: what is there
// already, and UIDs that the mailbox has given to others meanwhile.
func (m *Mail) mayImport(t *tx, b *hotMailbox, c *pb.Append) (imported, pb.Code, error) {
	begun, err := t.get(m.mailbox(nil, tabImport, b.Account, 0), nil)
	if err != nil {
		return imported{}, 0, err
	}
	imp, found, err := m.imported(t, b)
	if err != nil {
		return imp, 0, err
	}
	if !found {
		imp.at = absent
	}
	first, last := mailstore.UID(c.SourceUids[0]), mailstore.UID(c.SourceUids[len(c.SourceUids)-1])
	switch {
	case !begun || imp.Kept != c.KeepUids || first <= imp.Last || c.KeepUids && first < b.UIDNext:
		return imp, pb.Code_CONFLICT, nil
	case c.KeepUids && last > command.MaxImportUID:
		return imp, pb.Code_LIMIT, nil
	}
	return imp, pb.Code_OK, nil
}

// putImported notes how far a mailbox is imported. What comes from elsewhere is
// not \Recent.
func (m *Mail) putImported(t *tx, b *hotMailbox, imp imported, last uint32) error {
	imp.Last = mailstore.UID(last)
	b.RecentFrom = b.UIDNext
	_, err := t.put(m.mailbox(nil, tabImport, b.Account, b.ID), imp.at, imp.encode(nil))
	return err
}

func (m *Mail) dropImport(t *tx, a mailstore.AccountID, box mailstore.MailboxID) error {
	key := m.mailbox(nil, tabImport, a, box)
	var row importedRow
	at, found, err := t.fetch(key, row.decode)
	if err != nil || !found {
		return err
	}
	return t.del(key, at)
}

// Imported returns up to which UID of its source a mailbox has been imported,
// and whether its messages have the UIDs they had there; ok is false for one
// that is not imported.
func (r *Reader) Imported(a mailstore.AccountID, box mailstore.MailboxID) (last mailstore.UID, kept, ok bool, err error) {
	var row importedRow
	ok, err = r.get(r.mailbox(nil, tabImport, a, box), row.decode)
	return row.Last, row.Kept, ok, err
}

// imports checks rule 17.
func (a *account) imports() error {
	c, id := a.c, a.row.ID
	rows := 0
	if err := c.scan(c.account(nil, tabImport, id), func(k, v []byte) error {
		if len(k) != 4 {
			return corrupt("import key")
		}
		rows++
		box := mailstore.MailboxID(u32at(k))
		if box == 0 {
			var row importRow
			return row.decode(v)
		}
		var row importedRow
		if err := row.decode(v); err != nil {
			return err
		}
		b := a.boxes[box]
		c.want(17, a.row.Closed || b != nil && b.row.ID != 0, "account %s: import of mailbox %d, which does not exist", id, box)
		c.want(17, a.row.Closed || !row.Kept || b == nil || row.Last < b.row.UIDNext, "account %s: mailbox %d is imported beyond its UIDNEXT", id, box)
		return nil
	}); err != nil {
		return fmt.Errorf("account %s: %w", id, err)
	}
	adopted := map[uint32]bool{}
	var first firstValidityRow
	if err := c.scan(c.account(nil, tabValidity, id), func(k, v []byte) error {
		if len(k) != 4 {
			return corrupt("UIDVALIDITY key")
		}
		rows++
		if n := u32at(k); n != 0 {
			adopted[n] = true
			c.want(1, len(v) == 0, "account %s: a row of an adopted UIDVALIDITY", id)
			return nil
		}
		return first.decode(v)
	}); err != nil {
		return fmt.Errorf("account %s: %w", id, err)
	}
	if a.row.Closed {
		c.want(12, a.dying[0] || rows == 0, "account %s is closed and purged, and has rows of an import", id)
		return nil
	}
	c.want(17, (first.first != 0) == (len(adopted) > 0), "account %s: the first UIDVALIDITY is recorded without another, or not with it", id)
	given := map[uint32]mailstore.MailboxID{}
	for box, b := range a.boxes {
		v := b.row.UIDValidity
		if b.row.ID == 0 {
			continue
		}
		c.want(17, given[v] == 0, "account %s: mailboxes %d and %d have one UIDVALIDITY", id, box, given[v])
		c.want(17, len(adopted) == 0 || adopted[v] || v >= first.first, "account %s: mailbox %d has a UIDVALIDITY from nowhere", id, box)
		given[v] = box
	}
	return nil
}
