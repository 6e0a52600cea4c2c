package lookup

import (
	"container/list"
	"slices"
	"sync"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/state"
)

// uidCache remembers the UIDs of mailboxes as runs, for the SELECTs to come.
// What it has is of one HIGHESTMODSEQ; for a later one only what changed since
// is read. The zero value is ready for use.
type uidCache struct {
	mu    sync.Mutex
	by    map[uidKey]*list.Element
	order list.List // of *uidEntry, the one used last in front
	size  int
}

type uidKey struct {
	account mailstore.AccountID
	box     mailstore.MailboxID
}

// uidEntry is never changed once it is in the cache.
type uidEntry struct {
	key        uidKey
	validity   uint32
	generation uint64
	modseq     mailstore.ModSeq
	next       mailstore.UID
	runs       []mailstore.Range
}

// Bounds in octets of the cache and of what one mailbox may have of it.
const (
	maxUIDCache  = 8 << 20
	maxUIDsCache = maxUIDCache / 8
)

func (e *uidEntry) size() int { return 160 + 8*len(e.runs) }

func (c *uidCache) get(k uidKey) *uidEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.by[k]
	if !ok {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*uidEntry)
}

func (c *uidCache) put(e *uidEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[uidKey]*list.Element{}
	}
	if old, ok := c.by[e.key]; ok {
		c.drop(old)
	}
	if e.size() > maxUIDsCache {
		return
	}
	c.by[e.key] = c.order.PushFront(e)
	for c.size += e.size(); c.size > maxUIDCache; {
		c.drop(c.order.Back())
	}
}

func (c *uidCache) drop(el *list.Element) {
	e := c.order.Remove(el).(*uidEntry)
	delete(c.by, e.key)
	c.size -= e.size()
}

// UIDs returns the UIDs of a mailbox, ascending, or mailstore.ErrNoMailbox.
func (v *View) UIDs(id mailstore.MailboxID) ([]mailstore.UID, error) {
	if _, err := v.account(); err != nil {
		return nil, err
	}
	row, ok, err := v.r.Mailbox(v.a.id, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, mailstore.ErrNoMailbox
	}
	v.box = id
	runs, err := v.runs(&row)
	if err != nil {
		return nil, err
	}
	out := make([]mailstore.UID, 0, row.Exists)
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

// runs returns the UIDs of a mailbox as runs, which are not to be changed.
func (v *View) runs(row *state.MailboxRow) ([]mailstore.Range, error) {
	e := &uidEntry{
		key: uidKey{v.a.id, row.ID}, validity: row.UIDValidity, generation: v.a.d.generation.Load(),
		modseq: row.HighestModSeq, next: row.UIDNext,
	}
	c := &v.a.d.uids
	old := c.get(e.key)
	if old != nil && (old.validity != e.validity || old.generation != e.generation) {
		old = nil
	}
	switch {
	case old != nil && old.modseq == e.modseq:
		return old.runs, nil
	case old != nil && old.modseq < e.modseq:
		runs, err := v.since(row, old)
		if err != nil {
			return nil, err
		}
		// Counting is the proof: nothing is there that is not among these.
		if countUIDs(runs) == uint64(row.Exists) {
			e.runs = runs
			c.put(e)
			return runs, nil
		}
	}
	runs, err := v.r.UIDRuns(v.a.id, row.ID, row.Exists)
	if err != nil {
		return nil, err
	}
	if e.runs = runs; old == nil || old.modseq < e.modseq {
		c.put(e)
	}
	return runs, nil
}

// since brings what was known up to the row's state, without looking at a
// message: what was there and every UID given since, less what vanished. Where
// that is not as many as there are, UIDs were left out, and the mailbox has to
// be asked.
func (v *View) since(row *state.MailboxRow, old *uidEntry) ([]mailstore.Range, error) {
	gone, err := v.r.Vanished(v.a.id, row.ID, old.modseq)
	if err != nil {
		return nil, err
	}
	all := old.runs
	if row.UIDNext > old.next {
		given := mailstore.Range{First: old.next, Last: row.UIDNext - 1}
		all = slices.Clone(old.runs)
		if k := len(all) - 1; k >= 0 && all[k].Last+1 == given.First {
			all[k].Last = given.Last
		} else {
			all = append(all, given)
		}
	}
	if len(gone) > 0 {
		all = without(all, gone)
	}
	return all, nil
}

func countUIDs(rs []mailstore.Range) (n uint64) {
	for _, r := range rs {
		n += uint64(r.Last-r.First) + 1
	}
	return n
}

// without returns what of rs is not in gone; both are sorted and disjoint.
func without(rs, gone []mailstore.Range) []mailstore.Range {
	out := make([]mailstore.Range, 0, len(rs)+len(gone))
	for _, r := range rs {
		first, whole := uint64(r.First), false
		for len(gone) > 0 && gone[0].Last < r.First {
			gone = gone[1:]
		}
		for _, g := range gone {
			if g.First > r.Last {
				break
			}
			if uint64(g.First) > first {
				out = append(out, mailstore.Range{First: mailstore.UID(first), Last: g.First - 1})
			}
			if first = uint64(g.Last) + 1; first > uint64(r.Last) {
				whole = true
				break
			}
		}
		if !whole {
			out = append(out, mailstore.Range{First: mailstore.UID(first), Last: r.Last})
		}
	}
	return out
}
