package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

// snapshot is a consistent view of one group. It is an eventually-file-only
// snapshot because a plain one would show what an install swaps in under it
// (R20).
type snapshot struct {
	keys
	efos *pebble.EventuallyFileOnlySnapshot
}

func (m *machine) snapshot() *pebble.EventuallyFileOnlySnapshot {
	return m.db.p.NewEventuallyFileOnlySnapshot([]pebble.KeyRange{{Start: m.prefix[:], End: upper(m.prefix[:])}})
}

// Index returns the applied index the reader shows, 0 when that cannot be
// read.
func (s *snapshot) Index() uint64 {
	at, err := s.applied()
	if err != nil {
		return 0
	}
	return at.index
}

func (s *snapshot) applied() (appliedRow, error) {
	var at appliedRow
	_, err := s.get(s.table(nil, tabApplied), at.decode)
	return at, err
}

// Close releases the reader.
func (s *snapshot) Close() error {
	if err := s.efos.Close(); err != nil {
		return fmt.Errorf("state: close reader: %w", err)
	}
	return nil
}

func (s *snapshot) get(key []byte, fn func(v []byte) error) (bool, error) {
	return dbGet(s.efos, key, fn)
}

func (s *snapshot) iter(lower, upper []byte) (*pebble.Iterator, error) {
	it, err := s.efos.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, fmt.Errorf("state: scan: %w", err)
	}
	return it, nil
}

// scan calls fn for each row under prefix with what follows prefix in its key.
func (s *snapshot) scan(prefix []byte, fn func(rest, v []byte) error) error {
	it, err := s.iter(prefix, upper(prefix))
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var v []byte
		if v, err = it.ValueAndErr(); err == nil {
			err = fn(it.Key()[len(prefix):], v)
		}
	}
	return closeIter(it, err)
}

// Wholes returns which nodes were logged to hold every live body of the group
// (true) or not to (false).
func (s *snapshot) Wholes() (map[cluster.NodeID]bool, error) {
	out := make(map[cluster.NodeID]bool)
	err := s.scan(s.table(nil, tabWhole), func(k, v []byte) error {
		d := dec{b: v}
		whole := d.bool()
		if len(k) != 16 {
			return corrupt("wholeness")
		}
		out[cluster.NodeID(k)] = whole
		return d.done("wholeness")
	})
	return out, err
}

// Reader is a consistent, short-lived view of a mail group. It pins tables on
// the disk: close it after one client command (R17). Safe for one goroutine at
// a time.
type Reader struct{ snapshot }

// Read opens a reader of what is applied now.
func (m *Mail) Read() *Reader {
	return &Reader{snapshot{keys: m.keys, efos: m.snapshot()}}
}

func u32at(k []byte) uint32 { return binary.BigEndian.Uint32(k) }

// Account returns an account. A closed one is returned as such.
func (r *Reader) Account(a mailstore.AccountID) (AccountRow, bool, error) {
	row := AccountRow{ID: a}
	found, err := r.get(r.account(nil, tabAccount, a), row.decode)
	return row, found, err
}

// Mailbox returns a mailbox by id.
func (r *Reader) Mailbox(a mailstore.AccountID, id mailstore.MailboxID) (MailboxRow, bool, error) {
	row := MailboxRow{Account: a}
	row.ID = id
	found, err := r.get(r.mailbox(nil, tabMailbox, a, id), func(v []byte) error { return row.decode(clone(v)) })
	return row, found, err
}

// MailboxByName returns the mailbox with the name of this hash.
func (r *Reader) MailboxByName(a mailstore.AccountID, h mailstore.Hash) (MailboxRow, bool, error) {
	var id mailstore.MailboxID
	found, err := r.get(r.accountHash(nil, tabName, a, h[:]), func(v []byte) error {
		d := dec{b: v}
		id = mailstore.MailboxID(d.uint32())
		return d.done("name")
	})
	if err != nil || !found {
		return MailboxRow{}, false, err
	}
	return r.Mailbox(a, id)
}

// Mailboxes returns all mailboxes of an account in the order of their ids.
func (r *Reader) Mailboxes(a mailstore.AccountID) ([]MailboxRow, error) {
	var out []MailboxRow
	err := r.scan(r.account(nil, tabMailbox, a), func(k, v []byte) error {
		row := MailboxRow{Account: a}
		row.ID = mailstore.MailboxID(u32at(k))
		if err := row.decode(clone(v)); err != nil {
			return err
		}
		out = append(out, row)
		return nil
	})
	return out, err
}

// Subscriptions returns the subscribed names, whether or not they exist.
func (r *Reader) Subscriptions(a mailstore.AccountID) ([]NameRow, error) {
	var out []NameRow
	err := r.scan(r.account(nil, tabSub, a), func(k, v []byte) error {
		if len(k) != 16 {
			return corrupt("subscription")
		}
		out = append(out, NameRow{Hash: mailstore.Hash(k), Sealed: clone(v)})
		return nil
	})
	return out, err
}

// Keywords returns the account's keyword registry in the order of its ids,
// which are 0, 1, 2 and so on.
func (r *Reader) Keywords(a mailstore.AccountID) ([]KeywordRow, error) {
	var out []KeywordRow
	err := r.scan(r.account(nil, tabKeyword, a), func(k, v []byte) error {
		if len(k) != 2 || len(v) < 16 {
			return corrupt("keyword")
		}
		v = clone(v)
		out = append(out, KeywordRow{ID: binary.BigEndian.Uint16(k), NameRow: NameRow{Hash: mailstore.Hash(v[:16]), Sealed: v[16:]}})
		return nil
	})
	return out, err
}

// Messages calls fn for the messages of a mailbox within ranges, which ascend
// and do not overlap, by ascending UID. The row is reused between calls.
func (r *Reader) Messages(a mailstore.AccountID, box mailstore.MailboxID, ranges []mailstore.Range, fn func(*MessageRow) error) error {
	prefix := r.mailbox(nil, tabMessage, a, box)
	it, err := r.iter(prefix, upper(prefix))
	if err != nil {
		return err
	}
	var row MessageRow
	key := r.message(nil, a, box, 0)
	at, on := mailstore.UID(0), false
	for _, g := range ranges {
		if !on || at < g.First {
			binary.BigEndian.PutUint32(key[len(prefix):], uint32(g.First))
			it.SeekGE(key)
			on = true
		}
		for ; it.Valid(); it.Next() {
			if at = mailstore.UID(u32at(it.Key()[len(prefix):])); at > g.Last {
				break
			}
			v, err := it.ValueAndErr()
			if err == nil {
				row.UID = at
				err = row.decode(v)
			}
			if err == nil {
				err = fn(&row)
			}
			if err != nil {
				return closeIter(it, err)
			}
		}
		if !it.Valid() {
			break
		}
	}
	return closeIter(it, nil)
}

// UIDs returns the UIDs of a mailbox, ascending.
func (r *Reader) UIDs(a mailstore.AccountID, box mailstore.MailboxID) ([]mailstore.UID, error) {
	mb, found, err := r.Mailbox(a, box)
	if err != nil || !found {
		return nil, err
	}
	runs, err := r.UIDRuns(a, box, mb.Exists)
	if err != nil {
		return nil, err
	}
	out := make([]mailstore.UID, 0, mb.Exists)
	for _, g := range runs {
		for u := g.First; ; u++ {
			out = append(out, u)
			if u == g.Last {
				break
			}
		}
	}
	return out, nil
}

// UIDRuns returns the UIDs of a mailbox that has so many messages, as runs
// without gaps. Where nothing was ever expunged from between them it takes two
// seeks, else a scan of the keys.
func (r *Reader) UIDRuns(a mailstore.AccountID, box mailstore.MailboxID, exists uint32) ([]mailstore.Range, error) {
	prefix := r.mailbox(nil, tabMessage, a, box)
	it, err := r.iter(prefix, upper(prefix))
	if err != nil {
		return nil, err
	}
	at := func() mailstore.UID { return mailstore.UID(u32at(it.Key()[len(prefix):])) }
	if !it.Last() {
		return nil, closeIter(it, nil)
	}
	last := at()
	if !it.First() {
		return nil, closeIter(it, nil)
	}
	if first := at(); uint64(last)-uint64(first)+1 == uint64(exists) {
		// As many keys as there are UIDs in between: it is all of them.
		return []mailstore.Range{{First: first, Last: last}}, closeIter(it, nil)
	}
	var out []mailstore.Range
	for ok := true; ok; ok = it.Next() {
		u := at()
		if k := len(out) - 1; k >= 0 && out[k].Last+1 == u {
			out[k].Last = u
			continue
		}
		out = append(out, mailstore.Range{First: u, Last: u})
	}
	return out, closeIter(it, nil)
}

// Changed calls fn for the messages whose modification sequence is greater
// than since, by ascending UID. It finds them by the modification sequence
// index, not in the mailbox. The row is reused.
func (r *Reader) Changed(a mailstore.AccountID, box mailstore.MailboxID, since mailstore.ModSeq, fn func(*MessageRow) error) error {
	prefix := r.mailbox(nil, tabModSeq, a, box)
	if since == 1<<64-1 {
		return nil
	}
	it, err := r.iter(r.mailboxModSeq(nil, tabModSeq, a, box, since+1), upper(prefix))
	if err != nil {
		return err
	}
	var uids []mailstore.UID
	for ok := it.First(); ok; ok = it.Next() {
		uids = append(uids, mailstore.UID(u32at(it.Key()[len(prefix)+8:])))
	}
	if err := closeIter(it, nil); err != nil || len(uids) == 0 {
		return err
	}
	slices.Sort(uids)
	prefix = r.mailbox(nil, tabMessage, a, box)
	if it, err = r.iter(prefix, upper(prefix)); err != nil {
		return err
	}
	var row MessageRow
	key := r.message(nil, a, box, 0)
	for i, u := range uids {
		// The next row is most often the one.
		if i == 0 || !it.Next() || mailstore.UID(u32at(it.Key()[len(prefix):])) != u {
			binary.BigEndian.PutUint32(key[len(prefix):], uint32(u))
			if !it.SeekGE(key) || mailstore.UID(u32at(it.Key()[len(prefix):])) != u {
				if err := closeIter(it, nil); err != nil {
					return err
				}
				return corrupt("modification sequence without message")
			}
		}
		v, err := it.ValueAndErr()
		if err == nil {
			row.UID = u
			err = row.decode(v)
		}
		if err == nil {
			err = fn(&row)
		}
		if err != nil {
			return closeIter(it, err)
		}
	}
	return closeIter(it, nil)
}

// Vanished returns the UIDs that were expunged with a modification sequence
// greater than since, merged. It may also name some expunged long before.
func (r *Reader) Vanished(a mailstore.AccountID, box mailstore.MailboxID, since mailstore.ModSeq) ([]mailstore.Range, error) {
	if since == 1<<64-1 {
		return nil, nil
	}
	prefix := r.mailbox(nil, tabVanished, a, box)
	it, err := r.iter(r.mailboxModSeq(nil, tabVanished, a, box, since+1), upper(prefix))
	if err != nil {
		return nil, err
	}
	var all []mailstore.Range
	var row vanishedRow
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var v []byte
		if v, err = it.ValueAndErr(); err == nil {
			err = row.decode(v)
		}
		all = append(all, row.ranges...)
	}
	if err := closeIter(it, err); err != nil {
		return nil, err
	}
	return mergeRanges(all, nil), nil
}

// maxSteps is how many rows are passed over before the next one wanted is
// looked for: a step is about a tenth of a seek.
const maxSteps = 8

// Contents calls fn for the contents with these ids, each with its place in
// ids, in the order of the ids themselves, which is that of the rows: one pass
// reads them whatever order they were asked for in. Missing ones are passed
// over. The row and its slices are valid during the call.
func (r *Reader) Contents(a mailstore.AccountID, ids []mailstore.ContentID, fn func(i int, row *ContentRow) error) error {
	order := make([]int32, len(ids))
	for i := range order {
		order[i] = int32(i)
	}
	compare := func(x, y int32) int { return bytes.Compare(ids[x][:], ids[y][:]) }
	if !slices.IsSortedFunc(order, compare) {
		slices.SortFunc(order, compare)
	}
	prefix := r.account(nil, tabContent, a)
	it, err := r.iter(prefix, upper(prefix))
	if err != nil {
		return err
	}
	var row ContentRow
	key := r.accountHash(nil, tabContent, a, make([]byte, 16))
	on := false // on a row, or past the last one
	for _, i := range order {
		id := ids[i][:]
		cmp := -1
		for k := 0; on && it.Valid(); k++ {
			if cmp = bytes.Compare(it.Key()[len(prefix):], id); cmp >= 0 || k == maxSteps {
				break
			}
			it.Next()
		}
		if !on || it.Valid() && cmp < 0 {
			copy(key[len(prefix):], id)
			it.SeekGE(key)
			on = true
			if it.Valid() {
				cmp = bytes.Compare(it.Key()[len(prefix):], id)
			}
		}
		if !it.Valid() {
			break // closeIter tells an error from the end
		}
		if cmp != 0 {
			continue
		}
		v, err := it.ValueAndErr()
		if err == nil {
			row.ID = ids[i]
			err = row.decode(v)
		}
		if err == nil {
			err = fn(int(i), &row)
		}
		if err != nil {
			return closeIter(it, err)
		}
	}
	return closeIter(it, nil)
}

// Content returns one content.
func (r *Reader) Content(a mailstore.AccountID, id mailstore.ContentID) (ContentRow, bool, error) {
	row := ContentRow{ID: id}
	found, err := r.get(r.accountHash(nil, tabContent, a, id[:]), func(v []byte) error { return row.decode(clone(v)) })
	return row, found, err
}

// Thread returns the thread a hash of a Message-ID leads to.
func (r *Reader) Thread(a mailstore.AccountID, h mailstore.Hash) (mailstore.ContentID, bool, error) {
	var row threadRow
	found, err := r.get(r.accountHash(nil, tabThread, a, h[:]), row.decode)
	return row.thread, found, err
}

// Handoffs calls fn for each open handoff; the row is fn's to keep.
func (r *Reader) Handoffs(fn func(*HandoffRow) error) error {
	return r.scan(r.table(nil, tabHandoff), func(k, v []byte) error {
		if len(k) != 16 {
			return corrupt("handoff")
		}
		h := HandoffRow{ID: [16]byte(k)}
		if err := h.decode(clone(v)); err != nil {
			return err
		}
		return fn(&h)
	})
}

// Handoff returns one open handoff.
func (r *Reader) Handoff(id [16]byte) (HandoffRow, bool, error) {
	h := HandoffRow{ID: id}
	found, err := r.get(r.bytes(nil, tabHandoff, id[:]), func(v []byte) error { return h.decode(clone(v)) })
	return h, found, err
}

// NeedsPurge reports whether deleted mailboxes or closed accounts are left for
// Purge.
func (r *Reader) NeedsPurge() (bool, error) {
	p := r.table(nil, tabDying)
	it, err := r.iter(p, upper(p))
	if err != nil {
		return false, err
	}
	found := it.First()
	return found, closeIter(it, nil)
}

// Accounts calls fn for each account of the group, closed ones included.
func (r *Reader) Accounts(fn func(*AccountRow) error) error {
	return r.scan(r.table(nil, tabAccount), func(k, v []byte) error {
		if len(k) != 8 {
			return corrupt("account key")
		}
		row := AccountRow{ID: mailstore.AccountID(binary.BigEndian.Uint64(k))}
		if err := row.decode(v); err != nil {
			return err
		}
		return fn(&row)
	})
}

// BodyReferenced reports whether a body is referenced by what is applied, or
// was by what is known to be durable: false is proof that even after a power
// loss nothing at or above the durable index refers to it (R8, R11).
func (m *Mail) BodyReferenced(id mailstore.BodyID) (bool, error) {
	// In this order: a body that dies meanwhile is found in fresh, or was
	// found in the rows.
	found, err := dbGet(m.db.p, m.bytes(nil, tabBody, id[:]), nil)
	if err != nil || found {
		return found, err
	}
	m.deadMu.Lock()
	defer m.deadMu.Unlock()
	_, fresh := m.fresh[id]
	return fresh, nil
}

// LiveBodies calls fn for each body the group refers to, except those recorded
// as lost, in the order of their ids.
func (m *Mail) LiveBodies(fn func(cluster.BodyRef) error) error {
	r := m.Read()
	err := r.scan(r.table(nil, tabBody), func(k, v []byte) error {
		var b bodyRow
		if err := b.decode(v); err != nil {
			return err
		}
		if len(k) != 32 {
			return corrupt("body key")
		}
		if b.lost {
			return nil
		}
		return fn(cluster.BodyRef{ID: cluster.BodyID(k), Size: b.size})
	})
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return err
}

func clone(b []byte) []byte { return append([]byte{}, b...) }
