package state

import (
	"encoding/binary"
	"slices"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// purge removes what DeleteMailbox and CloseAccount left and operations that
// are old enough, up to a number of records, oldest ids first.
func (m *Mail) purge(t *tx, c *pb.Purge) (*pb.Result, error) {
	left := int(c.Limit)
	more := false
	for left > 0 {
		a, box, found, err := m.firstDying(t)
		if err != nil {
			return nil, err
		}
		if !found {
			break
		}
		n, done, err := m.purgeOne(t, a, box, left)
		if err != nil {
			return nil, err
		}
		left -= n
		if !done {
			more = true
			break
		}
	}
	if left == 0 && !more {
		_, _, found, err := m.firstDying(t)
		if err != nil {
			return nil, err
		}
		more = found
	}
	ops, err := m.forget(t, left)
	return &pb.Result{More: more || ops}, err
}

func (m *Mail) firstDying(t *tx) (a mailstore.AccountID, box mailstore.MailboxID, found bool, err error) {
	p := m.table(nil, tabDying)
	err = t.scan(p, func(k, _ []byte) (bool, error) {
		k = k[len(p):]
		if len(k) != 12 {
			return false, corrupt("dying queue")
		}
		a, box, found = mailstore.AccountID(binary.BigEndian.Uint64(k)), mailstore.MailboxID(binary.BigEndian.Uint32(k[8:])), true
		return false, nil
	})
	return a, box, found, err
}

// purgeOne removes up to limit records of a dying mailbox or account, and its
// place in the queue when nothing is left.
func (m *Mail) purgeOne(t *tx, a mailstore.AccountID, box mailstore.MailboxID, limit int) (n int, done bool, err error) {
	messages := m.mailbox(nil, tabMessage, a, box)
	plain := [][]byte{m.mailbox(nil, tabVanished, a, box)}
	if box == 0 {
		// Rows kept decoded are on their way out: write what is pending, then
		// remove them like the others.
		if err := m.flush(t); err != nil {
			return 0, false, err
		}
		for k := range m.boxes {
			if k.a == a {
				delete(m.boxes, k)
			}
		}
		messages = m.account(nil, tabMessage, a)
		plain = nil
		for _, tab := range []byte{tabVanished, tabMailbox, tabName, tabSub, tabKeyword, tabKeywordHash, tabMetadata, tabACL, tabImport, tabValidity} {
			plain = append(plain, m.account(nil, tab, a))
		}
	}
	if n, err = m.purgeMessages(t, a, messages, limit); err != nil {
		return n, false, err
	}
	for _, p := range plain {
		if n >= limit {
			return n, false, nil
		}
		k, err := m.purgeRows(t, p, limit-n)
		if err != nil {
			return n, false, err
		}
		n += k
	}
	if n >= limit {
		return n, false, nil
	}
	key := m.mailbox(nil, tabDying, a, box)
	return n + 1, true, t.del(key, t.row(key, nil))
}

func (m *Mail) purgeMessages(t *tx, a mailstore.AccountID, prefix []byte, limit int) (int, error) {
	type victim struct {
		key []byte
		box mailstore.MailboxID
		row row
	}
	var vs []victim
	err := t.scan(prefix, func(k, v []byte) (bool, error) {
		if len(vs) == limit {
			return false, nil
		}
		w := victim{key: slices.Clone(k), row: row{at: t.row(k, v)}}
		w.box = mailstore.MailboxID(binary.BigEndian.Uint32(k[len(k)-8:]))
		w.row.UID = mailstore.UID(binary.BigEndian.Uint32(k[len(k)-4:]))
		if err := w.row.decode(v); err != nil {
			return false, err
		}
		vs = append(vs, w)
		return true, nil
	})
	if err != nil {
		return 0, err
	}
	for i := range vs {
		w := &vs[i]
		if err := t.del(w.key, w.row.at); err != nil {
			return i, err
		}
		if err := m.dropModSeq(t, a, w.box, &w.row); err != nil {
			return i, err
		}
		if err := m.dropContent(t, a, w.row.Content); err != nil {
			return i, err
		}
	}
	return len(vs), nil
}

func (m *Mail) purgeRows(t *tx, prefix []byte, limit int) (int, error) {
	n := 0
	err := t.scan(prefix, func(k, v []byte) (bool, error) {
		if n == limit {
			return false, nil
		}
		n++
		return true, t.del(slices.Clone(k), t.row(k, v))
	})
	return n, err
}

func (m *Mail) openHandoff(t *tx, c *pb.OpenHandoff) (*pb.Result, error) {
	key := m.bytes(nil, tabHandoff, c.Id)
	found, err := t.get(key, nil)
	if err != nil {
		return nil, err
	}
	if found {
		return code(pb.Code_EXISTS), nil
	}
	h := HandoffRow{Time: m.clock.time, Body: cluster.BodyRef{ID: mailstore.BodyID(c.Body), Size: c.BodySize}}
	for _, it := range c.Items {
		h.Items = append(h.Items, HandoffItem{
			Group: cluster.GroupID(it.Group), Op: cluster.OpID(it.Op), Command: it.Command,
		})
	}
	if err := m.refBody(t, h.Body.ID, h.Body.Size); err != nil {
		return nil, err
	}
	_, err = t.put(key, absent, h.encode(nil))
	return code(pb.Code_OK), err
}

func (m *Mail) closeHandoff(t *tx, c *pb.CloseHandoff) (*pb.Result, error) {
	key := m.bytes(nil, tabHandoff, c.Id)
	var h HandoffRow
	var old sum
	found, err := t.get(key, func(v []byte) error { old = t.row(key, v); return h.decode(v) })
	if err != nil {
		return nil, err
	}
	if !found {
		return code(pb.Code_NO_SUCH), nil
	}
	if err := t.del(key, old); err != nil {
		return nil, err
	}
	return code(pb.Code_OK), m.unrefBody(t, h.Body.ID)
}

// bodyLost records that a body is nowhere any more, so that waiting for it
// ends (R9). The messages that had it stay.
func (m *Mail) bodyLost(t *tx, c *pb.BodyLost) (*pb.Result, error) {
	key := m.bytes(nil, tabBody, c.Body)
	var r bodyRow
	var old sum
	found, err := t.get(key, func(v []byte) error { old = t.row(key, v); return r.decode(v) })
	if err != nil {
		return nil, err
	}
	if !found {
		return code(pb.Code_NO_SUCH), nil
	}
	r.lost = true
	_, err = t.put(key, old, r.encode(nil))
	return code(pb.Code_OK), err
}

// jump raises every counter that clients remember, in one step (R23, H18): it
// is the first command after a loss, and its cost does not matter.
func (m *Mail) jump(t *tx, c *pb.Jump) (*pb.Result, error) {
	if err := m.flush(t); err != nil {
		return nil, err
	}
	var accounts []mailstore.AccountID
	err := t.scan(m.table(nil, tabAccount), func(k, _ []byte) (bool, error) {
		if len(k) != prefixLen+1+8 {
			return false, corrupt("account key")
		}
		accounts = append(accounts, mailstore.AccountID(binary.BigEndian.Uint64(k[prefixLen+1:])))
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for _, id := range accounts {
		if err := m.jumpAccount(t, id, c); err != nil {
			return nil, err
		}
	}
	return code(pb.Code_OK), nil
}

func (m *Mail) jumpAccount(t *tx, id mailstore.AccountID, c *pb.Jump) error {
	a, err := m.acct(t, id)
	if err != nil || a == nil || a.Closed {
		return err
	}
	a.ModSeq += mailstore.ModSeq(c.Modseqs)
	a.NextMailbox = saturate(a.NextMailbox, c.Uids)
	a.NextValidity = saturate(a.NextValidity, validityJump)
	a.List += c.Modseqs
	seq := m.nextModSeq(a)
	var boxes []mailstore.MailboxID
	err = t.scan(m.account(nil, tabMailbox, id), func(k, _ []byte) (bool, error) {
		boxes = append(boxes, mailstore.MailboxID(binary.BigEndian.Uint32(k[len(k)-4:])))
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, mb := range boxes {
		b, err := m.box(t, id, mb)
		if err != nil {
			return err
		}
		b.UIDNext = mailstore.UID(saturate(uint32(b.UIDNext), c.Uids))
		b.HighestModSeq = seq
		m.touchBox(b)
		m.event(id, mb, seq)
	}
	return nil
}

// saturate adds without wrapping around: a counter at its end refuses further
// use, it never begins again.
func saturate(n, by uint32) uint32 { return uint32(min(uint64(n)+uint64(by), 1<<32-1)) }
