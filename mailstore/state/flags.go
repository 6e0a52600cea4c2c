package state

import (
	"encoding/binary"
	"fmt"
	"slices"

	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// row is a message row together with its hash.
type row struct {
	MessageRow
	at sum
}

// rows returns the messages of a mailbox within ranges that keep accepts (nil:
// all), at most one over MaxAffected.
func (m *Mail) rows(t *tx, b *hotMailbox, ranges []*pb.UIDRange, keep func(*MessageRow) bool) ([]row, error) {
	var out []row
	take := func(k, v []byte) error {
		r := row{at: t.row(k, v)}
		r.UID = mailstore.UID(binary.BigEndian.Uint32(k[len(k)-4:]))
		if err := r.decode(v); err != nil {
			return err
		}
		if keep == nil || keep(&r.MessageRow) {
			out = append(out, r)
		}
		return nil
	}
	if len(ranges) == 1 && ranges[0].First == ranges[0].Last {
		// The common case is cheaper without an iterator.
		key := m.message(nil, b.Account, b.ID, mailstore.UID(ranges[0].First))
		_, err := t.get(key, func(v []byte) error { return take(key, v) })
		return out, err
	}
	prefix := m.mailbox(nil, tabMessage, b.Account, b.ID)
	it, err := t.iter(prefix, upper(prefix))
	if err != nil {
		return nil, err
	}
	at := uint32(0) // where the iterator stands; 0: nowhere
	for _, r := range ranges {
		if r.First >= uint32(b.UIDNext) {
			break
		}
		if at < r.First {
			it.SeekGE(m.message(nil, b.Account, b.ID, mailstore.UID(r.First)))
		}
		for ; it.Valid(); it.Next() {
			k := it.Key()
			if at = binary.BigEndian.Uint32(k[len(k)-4:]); at > r.Last {
				break
			}
			var v []byte
			if v, err = it.ValueAndErr(); err == nil {
				err = take(k, v)
			}
			if err != nil || len(out) > MaxAffected {
				return out, closeIter(it, err)
			}
		}
		if !it.Valid() {
			break
		}
	}
	return out, closeIter(it, nil)
}

// storeFlags changes flags where they differ. A STORE that changes nothing
// gives no new MODSEQ.
func (m *Mail) storeFlags(t *tx, c *pb.StoreFlags) (*pb.Result, error) {
	a, b, cd, err := m.openBox(t, c.Account, c.Mailbox)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	rs, err := m.rows(t, b, c.Uids, nil)
	if err != nil {
		return nil, err
	}
	if len(rs) > MaxAffected {
		return code(pb.Code_LIMIT), nil
	}
	res := &pb.Result{Modseq: uint64(a.ModSeq), Mailbox: uint32(b.ID), UidValidity: b.UIDValidity}
	if c.UnchangedSince != nil {
		// RFC 7162 section 3.1.3: such messages are left alone and listed.
		rs = slices.DeleteFunc(rs, func(r row) bool {
			old := uint64(r.ModSeq) > *c.UnchangedSince
			if old {
				res.Modified = append(res.Modified, uint32(r.UID))
			}
			return old
		})
	}
	if len(rs) == 0 {
		return res, nil
	}
	kw, cd, err := m.storeKeywords(t, a, c)
	if err != nil {
		return nil, err
	}
	if cd != pb.Code_OK {
		return code(cd), nil
	}
	seq := mailstore.ModSeq(0)
	for i := range rs {
		r := &rs[i]
		flags, words := apply(c.Mode, r.Flags, r.Keywords, mailstore.Flags(c.Flags), kw)
		keep := mailstore.Flags(c.Keep)
		if flags = flags&^keep | r.Flags&keep; c.KeepKeywords {
			words = r.Keywords
		}
		if flags == r.Flags && slices.Equal(words, r.Keywords) {
			continue
		}
		if seq == 0 {
			seq = m.nextModSeq(a)
		}
		if err := m.restamp(t, a.ID, b, r, seq, flags, words); err != nil {
			return nil, err
		}
		res.Changed = append(res.Changed, &pb.Changed{Uid: uint32(r.UID)})
	}
	if seq != 0 {
		b.HighestModSeq = seq
		m.touchBox(b)
		m.event(a.ID, b.ID, seq)
		res.Modseq = uint64(seq)
	}
	return res, nil
}

// storeKeywords resolves the keywords of a STORE. Removing one that nobody
// ever set needs no registration.
func (m *Mail) storeKeywords(t *tx, a *hotAccount, c *pb.StoreFlags) ([]uint16, pb.Code, error) {
	if c.KeepKeywords {
		return nil, pb.Code_OK, nil
	}
	if c.Mode == pb.StoreFlags_REMOVE {
		m.kw = m.kw[:0]
		for _, k := range c.Keywords {
			id, found, err := m.keywordID(t, a.ID, k.Hash)
			if err != nil {
				return nil, 0, err
			}
			if found {
				m.kw = append(m.kw, id)
			}
		}
		slices.Sort(m.kw)
		return m.kw, pb.Code_OK, nil
	}
	cd, err := m.mayRegister(t, a, func(yield func([]*pb.Keyword) bool) { yield(c.Keywords) })
	if err != nil || cd != pb.Code_OK {
		return nil, cd, err
	}
	kw, err := m.register(t, a, c.Keywords)
	return kw, pb.Code_OK, err
}

// apply returns the flags and keywords a message has after a STORE.
func apply(mode pb.StoreFlags_Mode, f mailstore.Flags, kw []uint16, by mailstore.Flags, byKw []uint16) (mailstore.Flags, []uint16) {
	switch mode {
	case pb.StoreFlags_ADD:
		if len(byKw) == 0 {
			return f | by, kw
		}
		all := slices.Concat(kw, byKw)
		slices.Sort(all)
		return f | by, slices.Compact(all)
	case pb.StoreFlags_REMOVE:
		if len(byKw) == 0 || len(kw) == 0 {
			return f &^ by, kw
		}
		return f &^ by, slices.DeleteFunc(slices.Clone(kw), func(k uint16) bool {
			_, found := slices.BinarySearch(byKw, k)
			return found
		})
	default:
		return by, byKw
	}
}

// restamp rewrites a message row with new flags and modification sequence.
func (m *Mail) restamp(t *tx, a mailstore.AccountID, b *hotMailbox, r *row, seq mailstore.ModSeq, f mailstore.Flags, kw []uint16) error {
	if err := m.dropModSeq(t, a, b.ID, r); err != nil {
		return err
	}
	count(b, &r.MessageRow, -1)
	r.Flags, r.Keywords, r.ModSeq = f, kw, seq
	count(b, &r.MessageRow, 1)
	t.kb, t.vb = m.message(t.kb[:0], a, b.ID, r.UID), r.encode(t.vb[:0])
	if _, err := t.put(t.kb, r.at, t.vb); err != nil {
		return err
	}
	t.kb = m.modSeq(t.kb[:0], a, b.ID, seq, r.UID)
	_, err := t.put(t.kb, absent, nil)
	return err
}

func (m *Mail) dropModSeq(t *tx, a mailstore.AccountID, b mailstore.MailboxID, r *row) error {
	t.kb = m.modSeq(t.kb[:0], a, b, r.ModSeq, r.UID)
	return t.del(t.kb, t.row(t.kb, nil))
}

// expunge removes messages. Whether \Deleted is set is decided here, where the
// order of changes is known, never by the proposer (H16).
func (m *Mail) expunge(t *tx, c *pb.Expunge) (*pb.Result, error) {
	a, b, cd, err := m.openBox(t, c.Account, c.Mailbox)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	res := &pb.Result{Modseq: uint64(a.ModSeq), Mailbox: uint32(b.ID), UidValidity: b.UIDValidity}
	if !c.Any && b.Deleted == 0 {
		return res, nil
	}
	rs, err := m.rows(t, b, c.Uids, func(r *MessageRow) bool {
		return c.Any || r.Flags&mailstore.FlagDeleted != 0
	})
	if err != nil {
		return nil, err
	}
	if len(rs) > MaxAffected {
		return code(pb.Code_LIMIT), nil
	}
	if len(rs) == 0 {
		return res, nil
	}
	seq := m.nextModSeq(a)
	res.Modseq, res.Expunged = uint64(seq), toRanges(rs)
	return res, m.remove(t, a, b, rs, seq, true)
}

// remove takes messages out of a mailbox under one modification sequence. With
// drop their contents lose a reference; a move hands it on instead.
func (m *Mail) remove(t *tx, a *hotAccount, b *hotMailbox, rs []row, seq mailstore.ModSeq, drop bool) error {
	for i := range rs {
		r := &rs[i]
		t.kb = m.message(t.kb[:0], a.ID, b.ID, r.UID)
		if err := t.del(t.kb, r.at); err != nil {
			return err
		}
		if err := m.dropModSeq(t, a.ID, b.ID, r); err != nil {
			return err
		}
		count(b, &r.MessageRow, -1)
		a.UsedBytes -= uint64(r.Size)
		a.UsedMessages--
		if drop {
			if err := m.dropContent(t, a.ID, r.Content); err != nil {
				return err
			}
		}
	}
	if reuseUID {
		for i := len(rs) - 1; i >= 0 && rs[i].UID == b.UIDNext-1; i-- {
			b.UIDNext--
		}
	}
	b.HighestModSeq = seq
	m.touch(a)
	m.touchBox(b)
	m.event(a.ID, b.ID, seq)
	return m.vanish(t, b, rs, seq)
}

// vanish logs which UIDs went at seq, and merges what is old (H23).
func (m *Mail) vanish(t *tx, b *hotMailbox, rs []row, seq mailstore.ModSeq) error {
	if dropVanished {
		if rs = slices.DeleteFunc(slices.Clone(rs), func(r row) bool { return r.UID%4 == 0 }); len(rs) == 0 {
			return nil
		}
	}
	v := vanishedRow{time: m.now(), ranges: rangesOf(rs)}
	t.kb, t.vb = m.mailboxModSeq(t.kb[:0], tabVanished, b.Account, b.ID, seq), v.encode(t.vb[:0])
	if _, err := t.put(t.kb, absent, t.vb); err != nil {
		return err
	}
	for range 2 {
		more, err := m.mergeVanished(t, b)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// mergeVanished merges the two oldest rows of the log that are neither full
// nor young, under the later one's modification sequence: a reader between the
// two is told of UIDs it may know to be gone, which RFC 7162 section 3.2.10.1
// allows.
func (m *Mail) mergeVanished(t *tx, b *hotMailbox) (bool, error) {
	var rows [2]vanishedRow
	var keys [2][]byte
	var sums [2]sum
	n := 0
	from := m.mailboxModSeq(nil, tabVanished, b.Account, b.ID, b.full)
	it, err := t.iter(from, upper(m.mailbox(nil, tabVanished, b.Account, b.ID)))
	if err != nil {
		return false, err
	}
	size := 0
	for ok := it.First(); ok && n < 2; ok = it.Next() {
		var v []byte
		if v, err = it.ValueAndErr(); err != nil {
			break
		}
		if err = rows[n].decode(v); err != nil {
			break
		}
		size += len(v)
		keys[n] = slices.Clone(it.Key())
		sums[n] = t.row(keys[n], v)
		n++
	}
	if err := closeIter(it, err); err != nil {
		return false, err
	}
	if n < 2 || rows[1].time+vanishedAge > m.now() {
		return false, nil
	}
	if size > vanishedRowMax {
		// The first row is full: later merges begin with the second.
		k := keys[1]
		b.full = mailstore.ModSeq(binary.BigEndian.Uint64(k[len(k)-8:]))
		m.touchBox(b)
		return true, nil
	}
	rows[1].ranges = mergeRanges(rows[0].ranges, rows[1].ranges)
	if err := t.del(keys[0], sums[0]); err != nil {
		return false, err
	}
	t.vb = rows[1].encode(t.vb[:0])
	if _, err := t.put(keys[1], sums[1], t.vb); err != nil {
		return false, err
	}
	return true, nil
}

// copy adds messages to another mailbox, all or none; with move they leave
// where they were in the same step (RFC 6851 section 3.3).
func (m *Mail) copy(t *tx, c *pb.Copy) (*pb.Result, error) {
	a, b, cd, err := m.openBox(t, c.Account, c.Mailbox)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	to, err := m.box(t, a.ID, mailstore.MailboxID(c.Target))
	if err != nil {
		return nil, err
	}
	if to == nil {
		return code(pb.Code_NO_MAILBOX), nil
	}
	rs, err := m.rows(t, b, c.Uids, nil)
	if err != nil {
		return nil, err
	}
	if len(rs) > MaxAffected || !room(to, len(rs)) {
		return code(pb.Code_LIMIT), nil
	}
	res := &pb.Result{Modseq: uint64(a.ModSeq), Mailbox: uint32(to.ID), UidValidity: to.UIDValidity}
	if len(rs) == 0 {
		return res, nil
	}
	if !c.Move {
		var size uint64
		for i := range rs {
			size += uint64(rs[i].Size)
		}
		if overQuota(a, size, uint64(len(rs)), 0, 0) {
			return code(pb.Code_OVER_QUOTA), nil
		}
	}
	seq := m.nextModSeq(a)
	res.Modseq = uint64(seq)
	stored := make([]pb.Stored, len(rs))
	for i := range rs {
		src := rs[i].UID
		next := rs[i].MessageRow
		next.UID, next.ModSeq, next.SaveDate = to.UIDNext, seq, m.now()
		if next.Flags &^= mailstore.Flags(c.Drop); c.DropKeywords {
			next.Keywords = nil
		}
		if err := m.insert(t, a, to, &next); err != nil {
			return nil, err
		}
		if !c.Move {
			if _, err := m.refContent(t, a.ID, next.Content, 1); err != nil {
				return nil, err
			}
		}
		s := &stored[i]
		s.UidValidity, s.Uid, s.Mailbox, s.Source = to.UIDValidity, uint32(next.UID), uint32(to.ID), uint32(src)
		res.Stored = append(res.Stored, s)
	}
	if c.Move {
		res.Expunged = toRanges(rs)
		if err := m.remove(t, a, b, rs, seq, false); err != nil {
			return nil, fmt.Errorf("move: %w", err)
		}
	}
	return res, nil
}
