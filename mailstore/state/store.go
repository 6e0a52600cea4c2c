package state

import (
	"cmp"
	"slices"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

const maxUID = 1<<32 - 1

// deliver stores a message for each recipient on its own: what is wrong with
// one recipient is told for that one (H14). It asks no quota.
func (m *Mail) deliver(t *tx, c *pb.Deliver) (*pb.Result, error) {
	stored := make([]pb.Stored, len(c.To))
	res := &pb.Result{Stored: make([]*pb.Stored, len(c.To))}
	for i, to := range c.To {
		res.Stored[i] = &stored[i]
		if err := m.deliverTo(t, to, &stored[i]); err != nil {
			return nil, err
		}
	}
	return res, nil
}

func (m *Mail) deliverTo(t *tx, to *pb.Deliver_To, out *pb.Stored) error {
	a, err := m.acct(t, mailstore.AccountID(to.Account))
	if err != nil {
		return err
	}
	if a == nil {
		out.Code = pb.Code_NO_ACCOUNT
		return nil
	}
	if a.Closed {
		out.Code = pb.Code_GONE
		return nil
	}
	b, err := m.boxByHash(t, a.ID, to.Mailbox)
	if err == nil && (b == nil || b.UIDNext == maxUID) {
		b, err = m.box(t, a.ID, Inbox)
	}
	if err != nil {
		return err
	}
	if b == nil || b.UIDNext == maxUID || b.Exists == maxUID {
		out.Code = pb.Code_LIMIT
		return nil
	}
	known, err := m.contentKnown(t, a, to.Message.Content.Id)
	if err != nil {
		return err
	}
	if known {
		// Delivered before, under an operation id that is forgotten by now.
		out.Code = pb.Code_EXISTS
		return nil
	}
	seq := m.nextModSeq(a)
	uid, err := m.place(t, a, b, to.Message, seq)
	out.Mailbox, out.UidValidity, out.Uid = uint32(b.ID), b.UIDValidity, uint32(uid)
	return err
}

// boxByHash finds a mailbox by the hash of its name; nil when there is none.
func (m *Mail) boxByHash(t *tx, a mailstore.AccountID, hash []byte) (*hotMailbox, error) {
	if len(hash) == 0 {
		return nil, nil
	}
	if in := m.boxes[boxKey{a, Inbox}]; in != nil && string(in.Hash[:]) == string(hash) {
		return in, nil
	}
	id, found, err := m.named(t, a, hash)
	if err != nil || !found {
		return nil, err
	}
	return m.box(t, a, id)
}

// named looks a mailbox up in the name index.
func (m *Mail) named(t *tx, a mailstore.AccountID, hash []byte) (id mailstore.MailboxID, found bool, err error) {
	t.kb = m.accountHash(t.kb[:0], tabName, a, hash)
	found, err = t.get(t.kb, func(v []byte) error {
		d := dec{b: v}
		id = mailstore.MailboxID(d.uint32())
		return d.done("name")
	})
	return id, found, err
}

func (m *Mail) contentKnown(t *tx, a *hotAccount, id []byte) (bool, error) {
	if string(id) > string(a.Newest[:]) {
		return false, nil
	}
	t.kb = m.accountHash(t.kb[:0], tabContent, a.ID, id)
	return t.get(t.kb, nil)
}

// append adds messages to a mailbox, all or none.
func (m *Mail) append(t *tx, c *pb.Append) (*pb.Result, error) {
	a, b, cd, err := m.openBox(t, c.Account, c.Mailbox)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	var old []row
	from := b
	if c.Replace != 0 {
		if c.ReplaceMailbox != 0 {
			if from, err = m.box(t, a.ID, mailstore.MailboxID(c.ReplaceMailbox)); err != nil {
				return nil, err
			}
			if from == nil {
				return code(pb.Code_NO_MAILBOX), nil
			}
		}
		// RFC 8508 section 3.5: a message that is gone is not replaced.
		if old, err = m.rows(t, from, []*pb.UIDRange{{First: c.Replace, Last: c.Replace}}, nil); err != nil {
			return nil, err
		}
		if len(old) == 0 {
			return code(pb.Code_NO_SUCH), nil
		}
	}
	if cd, err := m.mayAppend(t, a, b, c.Messages, old); err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	var imp imported
	if len(c.SourceUids) > 0 {
		var cd pb.Code
		if imp, cd, err = m.mayImport(t, b, c); err != nil || cd != pb.Code_OK {
			return code(cd), err
		}
	}
	seq := m.nextModSeq(a)
	res := &pb.Result{Modseq: uint64(seq), Mailbox: uint32(b.ID), UidValidity: b.UIDValidity}
	for i, p := range c.Messages {
		if c.KeepUids {
			b.UIDNext = mailstore.UID(c.SourceUids[i])
		}
		uid, err := m.place(t, a, b, p, seq)
		if err != nil {
			return nil, err
		}
		res.Stored = append(res.Stored, &pb.Stored{UidValidity: b.UIDValidity, Uid: uint32(uid), Mailbox: uint32(b.ID)})
	}
	if len(c.SourceUids) > 0 {
		if err := m.putImported(t, b, imp, c.SourceUids[len(c.SourceUids)-1]); err != nil {
			return nil, err
		}
	}
	if len(old) > 0 {
		if err := m.remove(t, a, from, old, seq, true); err != nil {
			return nil, err
		}
		res.Expunged = toRanges(old)
	}
	return res, nil
}

// mayAppend decides everything that can refuse an Append before it changes a
// row.
func (m *Mail) mayAppend(t *tx, a *hotAccount, b *hotMailbox, ps []*pb.Placed, old []row) (pb.Code, error) {
	var size uint64
	seen := make(map[string]bool, len(ps))
	for _, p := range ps {
		size += uint64(p.Content.Size)
		known, err := m.contentKnown(t, a, p.Content.Id)
		if err != nil {
			return 0, err
		}
		if known || seen[string(p.Content.Id)] {
			return pb.Code_INVALID, nil
		}
		seen[string(p.Content.Id)] = true
	}
	if !room(b, len(ps)) {
		return pb.Code_LIMIT, nil
	}
	var freed uint64
	for i := range old {
		freed += uint64(old[i].Size)
	}
	if overQuota(a, size, uint64(len(ps)), freed, uint64(len(old))) {
		return pb.Code_OVER_QUOTA, nil
	}
	return m.mayRegister(t, a, func(yield func([]*pb.Keyword) bool) {
		for _, p := range ps {
			if !yield(p.Keywords) {
				return
			}
		}
	})
}

func room(b *hotMailbox, n int) bool {
	return uint64(b.UIDNext)+uint64(n) <= maxUID && uint64(b.Exists)+uint64(n) <= maxUID
}

func overQuota(a *hotAccount, addBytes, addMessages, freeBytes, freeMessages uint64) bool {
	return a.QuotaBytes != 0 && addBytes > freeBytes && a.UsedBytes+addBytes-freeBytes > a.QuotaBytes ||
		a.QuotaMessages != 0 && addMessages > freeMessages && a.UsedMessages+addMessages-freeMessages > a.QuotaMessages
}

// place adds a new message with its content to a mailbox.
func (m *Mail) place(t *tx, a *hotAccount, b *hotMailbox, p *pb.Placed, seq mailstore.ModSeq) (mailstore.UID, error) {
	c := p.Content
	id := mailstore.ContentID(c.Id)
	thread, err := m.thread(t, a.ID, id, c.Threads)
	if err != nil {
		return 0, err
	}
	if string(id[:]) > string(a.Newest[:]) {
		a.Newest = id
		m.touch(a)
	}
	if err := m.putContent(t, a.ID, c, thread); err != nil {
		return 0, err
	}
	if err := m.refBody(t, mailstore.BodyID(c.Body), c.BodySize); err != nil {
		return 0, err
	}
	kw, err := m.register(t, a, p.Keywords)
	if err != nil {
		return 0, err
	}
	row := MessageRow{
		UID: b.UIDNext, ModSeq: seq, Flags: mailstore.Flags(p.Flags), Keywords: kw,
		InternalDate: p.InternalDate, Zone: p.Zone, SaveDate: m.now(), Size: c.Size,
		Content: id, Thread: thread,
	}
	return row.UID, m.insert(t, a, b, &row)
}

// insert adds a message row under the mailbox's next UID.
func (m *Mail) insert(t *tx, a *hotAccount, b *hotMailbox, row *MessageRow) error {
	b.UIDNext++
	b.HighestModSeq = row.ModSeq
	count(b, row, 1)
	m.touchBox(b)
	a.UsedBytes += uint64(row.Size)
	a.UsedMessages++
	m.touch(a)
	t.kb, t.vb = m.message(t.kb[:0], a.ID, b.ID, row.UID), row.encode(t.vb[:0])
	if _, err := t.put(t.kb, absent, t.vb); err != nil {
		return err
	}
	t.kb = m.modSeq(t.kb[:0], a.ID, b.ID, row.ModSeq, row.UID)
	if _, err := t.put(t.kb, absent, nil); err != nil {
		return err
	}
	m.event(a.ID, b.ID, row.ModSeq)
	return nil
}

// count adds a message to (sign 1) or takes it from (-1) a mailbox's counters.
func count(b *hotMailbox, row *MessageRow, sign int) {
	n := uint32(sign)
	size := uint64(int64(sign) * int64(row.Size))
	b.Exists += n
	b.Size += size
	if row.Flags&mailstore.FlagSeen == 0 {
		b.Unseen += n
	}
	if row.Flags&mailstore.FlagDeleted != 0 {
		b.Deleted += n
		b.DeletedSize += size
	}
}

func (m *Mail) putContent(t *tx, a mailstore.AccountID, c *pb.Content, thread mailstore.ContentID) error {
	row := ContentRow{
		ID: mailstore.ContentID(c.Id), Body: cluster.BodyRef{ID: mailstore.BodyID(c.Body), Size: c.BodySize},
		Size: c.Size, Thread: thread, WrappedKey: c.WrappedKey, Summary: c.Summary,
	}
	row.Own = len(c.Threads) > 0 && len(c.Threads[0]) > 0
	for _, h := range distinct(c.Threads) {
		row.Threads = append(row.Threads, mailstore.Hash(h))
	}
	if len(c.Subject) > 0 {
		row.HasSubject, row.Subject = true, mailstore.Hash(c.Subject)
	}
	t.kb, t.vb = m.accountHash(t.kb[:0], tabContent, a, c.Id), row.encode(t.vb[:0])
	_, err := t.put(t.kb, absent, t.vb)
	return err
}

// distinct drops the empty first hash and repetitions, keeping the order.
func distinct(hs [][]byte) [][]byte {
	out := make([][]byte, 0, len(hs))
	for _, h := range hs {
		if len(h) > 0 && !slices.ContainsFunc(out, func(o []byte) bool { return string(o) == string(h) }) {
			out = append(out, h)
		}
	}
	return out
}

// thread finds the thread of a new message, like the REFERENCES algorithm of
// RFC 5256 without the subject: the thread of the first of its hashes that is
// known (its own id first: an answer may have come before it), or a new one
// named after itself. All its hashes then lead to that thread, unless they
// lead elsewhere already.
func (m *Mail) thread(t *tx, a mailstore.AccountID, id mailstore.ContentID, hashes [][]byte) (mailstore.ContentID, error) {
	hashes = distinct(hashes)
	rows := make([]threadRow, len(hashes))
	sums := make([]sum, len(hashes))
	thread, known := id, false
	for i, h := range hashes {
		t.kb = m.accountHash(t.kb[:0], tabThread, a, h)
		found, err := t.get(t.kb, func(v []byte) error {
			sums[i] = t.row(t.kb, v)
			return rows[i].decode(v)
		})
		if err != nil {
			return thread, err
		}
		if found && !known {
			thread, known = rows[i].thread, true
		}
	}
	for i, h := range hashes {
		if rows[i].refs == 0 {
			rows[i].thread = thread
		}
		rows[i].refs++
		t.kb, t.vb = m.accountHash(t.kb[:0], tabThread, a, h), rows[i].encode(t.vb[:0])
		if _, err := t.put(t.kb, sums[i], t.vb); err != nil {
			return thread, err
		}
	}
	return thread, nil
}

func (m *Mail) refBody(t *tx, id mailstore.BodyID, size uint32) error {
	key := m.bytes(t.kb[:0], tabBody, id[:])
	t.kb = key
	row, old := bodyRow{size: size}, absent
	if _, err := t.get(key, func(v []byte) error { old = t.row(key, v); return row.decode(v) }); err != nil {
		return err
	}
	row.refs++
	t.vb = row.encode(t.vb[:0])
	_, err := t.put(key, old, t.vb)
	return err
}

func (m *Mail) unrefBody(t *tx, id mailstore.BodyID) error {
	key := m.bytes(t.kb[:0], tabBody, id[:])
	t.kb = key
	var row bodyRow
	old := absent
	found, err := t.get(key, func(v []byte) error { old = t.row(key, v); return row.decode(v) })
	if err != nil {
		return err
	}
	if !found || row.refs == 0 {
		return corrupt("body without references")
	}
	if row.refs--; row.refs == 0 {
		m.dead = append(m.dead, id)
		return t.del(key, old)
	}
	t.vb = row.encode(t.vb[:0])
	_, err = t.put(key, old, t.vb)
	return err
}

// dropContent takes one message's reference from a content, and the content
// with all that hangs on it when that was the last.
func (m *Mail) dropContent(t *tx, a mailstore.AccountID, id mailstore.ContentID) error {
	more, err := m.refContent(t, a, id, -1)
	if err != nil || more {
		return err
	}
	key := m.accountHash(nil, tabContent, a, id[:])
	c := ContentRow{ID: id}
	var old sum
	found, err := t.get(key, func(v []byte) error { old = t.row(key, v); return c.decode(v) })
	if err != nil {
		return err
	}
	if !found {
		return corrupt("message without content")
	}
	if err := t.del(key, old); err != nil {
		return err
	}
	for _, h := range c.Threads {
		if err := m.dropThread(t, a, h); err != nil {
			return err
		}
	}
	return m.unrefBody(t, c.Body.ID)
}

// refContent changes the number of messages that share a content, which has a
// row only while it is over one, and reports whether any is left.
func (m *Mail) refContent(t *tx, a mailstore.AccountID, id mailstore.ContentID, by int) (left bool, err error) {
	t.kb = m.accountHash(t.kb[:0], tabContentRefs, a, id[:])
	n, old := uint64(1), absent
	if _, err := t.get(t.kb, func(v []byte) error {
		old = t.row(t.kb, v)
		d := dec{b: v}
		n = d.uint()
		return d.done("content references")
	}); err != nil {
		return false, err
	}
	n += uint64(by)
	if n <= 1 {
		if old != absent {
			err = t.del(t.kb, old)
		}
		return n == 1, err
	}
	t.vb = putUint(t.vb[:0], n)
	_, err = t.put(t.kb, old, t.vb)
	return true, err
}

func (m *Mail) dropThread(t *tx, a mailstore.AccountID, h mailstore.Hash) error {
	t.kb = m.accountHash(t.kb[:0], tabThread, a, h[:])
	var row threadRow
	var old sum
	found, err := t.get(t.kb, func(v []byte) error { old = t.row(t.kb, v); return row.decode(v) })
	if err != nil {
		return err
	}
	if !found || row.refs == 0 {
		return corrupt("thread without references")
	}
	if row.refs--; row.refs == 0 {
		return t.del(t.kb, old)
	}
	t.vb = row.encode(t.vb[:0])
	_, err = t.put(t.kb, old, t.vb)
	return err
}

// keywordID finds a keyword in the account's registry.
func (m *Mail) keywordID(t *tx, a mailstore.AccountID, hash []byte) (id uint16, found bool, err error) {
	t.kb = m.accountHash(t.kb[:0], tabKeywordHash, a, hash)
	found, err = t.get(t.kb, func(v []byte) error {
		d := dec{b: v}
		id = uint16(d.uint32())
		return d.done("keyword")
	})
	return id, found, err
}

// mayRegister answers LIMIT when registering the keywords would overflow the
// account's registry.
func (m *Mail) mayRegister(t *tx, a *hotAccount, lists func(func([]*pb.Keyword) bool)) (pb.Code, error) {
	var fresh map[string]bool
	for ks := range lists {
		for _, k := range ks {
			_, found, err := m.keywordID(t, a.ID, k.Hash)
			if err != nil {
				return 0, err
			}
			if !found {
				if fresh == nil {
					fresh = make(map[string]bool)
				}
				fresh[string(k.Hash)] = true
			}
		}
	}
	if int(a.Keywords)+len(fresh) > MaxKeywordsPerAccount {
		return pb.Code_LIMIT, nil
	}
	return pb.Code_OK, nil
}

// register returns the ids of keywords, ascending, and registers new ones
// while there is room: a delivery goes without the rest. The result is valid
// until the next call.
func (m *Mail) register(t *tx, a *hotAccount, ks []*pb.Keyword) ([]uint16, error) {
	m.kw = m.kw[:0]
	for _, k := range ks {
		id, found, err := m.keywordID(t, a.ID, k.Hash)
		if err != nil {
			return nil, err
		}
		if !found {
			if a.Keywords >= MaxKeywordsPerAccount {
				continue
			}
			id = a.Keywords
			a.Keywords++
			m.touch(a)
			t.kb = m.accountHash(t.kb[:0], tabKeywordHash, a.ID, k.Hash)
			if _, err := t.put(t.kb, absent, putUint(nil, uint64(id))); err != nil {
				return nil, err
			}
			t.kb = m.keyword(t.kb[:0], a.ID, id)
			if _, err := t.put(t.kb, absent, append(append([]byte{}, k.Hash...), k.Sealed...)); err != nil {
				return nil, err
			}
		}
		if at, dup := slices.BinarySearch(m.kw, id); !dup {
			m.kw = slices.Insert(m.kw, at, id)
		}
	}
	return m.kw, nil
}

// toRanges gathers the UIDs of rows, which ascend.
func toRanges(rows []row) []*pb.UIDRange {
	var out []*pb.UIDRange
	for i := range rows {
		u := uint32(rows[i].UID)
		if n := len(out); n > 0 && out[n-1].Last+1 == u {
			out[n-1].Last = u
			continue
		}
		out = append(out, &pb.UIDRange{First: u, Last: u})
	}
	return out
}

func rangesOf(rows []row) []mailstore.Range {
	var out []mailstore.Range
	for i := range rows {
		u := rows[i].UID
		if n := len(out); n > 0 && out[n-1].Last+1 == u {
			out[n-1].Last = u
			continue
		}
		out = append(out, mailstore.Range{First: u, Last: u})
	}
	return out
}

// mergeRanges returns the union of sorted range lists.
func mergeRanges(a, b []mailstore.Range) []mailstore.Range {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y mailstore.Range) int { return cmp.Compare(x.First, y.First) })
	out := all[:0]
	for _, r := range all {
		if n := len(out); n > 0 && uint64(r.First) <= uint64(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}
