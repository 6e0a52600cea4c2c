package imap

import (
	"slices"
	"sort"

	"altmail.se/altmail/mailstore"
)

// uidList maps sequence numbers to UIDs and back. It is kept as runs of
// consecutive UIDs, because that is what mailboxes are made of: a session on a
// large mailbox takes little memory.
type uidList struct {
	runs []uidRun
	n    uint32
}

// uidRun begins with a UID and its sequence number; it ends where the next
// one's sequence numbers begin.
type uidRun struct {
	uid mailstore.UID
	seq uint32
}

// newUIDList takes ascending UIDs.
func newUIDList(uids []mailstore.UID) uidList {
	var l uidList
	for _, u := range uids {
		l.add(u)
	}
	return l
}

func (l *uidList) end(i int) uint32 {
	if i+1 < len(l.runs) {
		return l.runs[i+1].seq
	}
	return l.n + 1
}

// add appends a UID greater than all in the list.
func (l *uidList) add(u mailstore.UID) {
	l.n++
	if k := len(l.runs) - 1; k >= 0 && l.runs[k].uid+mailstore.UID(l.n-l.runs[k].seq) == u {
		return
	}
	l.runs = append(l.runs, uidRun{u, l.n})
}

// at returns the UID of a sequence number from 1 to n.
func (l *uidList) at(seq uint32) mailstore.UID {
	i := sort.Search(len(l.runs), func(i int) bool { return l.runs[i].seq > seq }) - 1
	r := l.runs[i]
	return r.uid + mailstore.UID(seq-r.seq)
}

// last returns the greatest UID, 0 of an empty list.
func (l *uidList) last() mailstore.UID {
	if l.n == 0 {
		return 0
	}
	return l.at(l.n)
}

// seq returns the sequence number of a UID; 0 if it is not in the list.
func (l *uidList) seq(u mailstore.UID) uint32 {
	c := cursor{list: l}
	return c.seq(u)
}

// before returns how many UIDs are less than u.
func (l *uidList) before(u mailstore.UID) uint32 {
	i := sort.Search(len(l.runs), func(i int) bool { return l.runs[i].uid >= u })
	if i == 0 {
		return 0
	}
	r := l.runs[i-1]
	return min(r.seq-1+uint32(u-r.uid), l.end(i-1)-1)
}

// count returns how many UIDs lie in a range.
func (l *uidList) count(r mailstore.Range) uint32 {
	n := l.before(r.Last)
	if l.seq(r.Last) != 0 {
		n++
	}
	return n - l.before(r.First)
}

// cut takes ranges with at most n messages off the beginning of sorted ranges.
func (l *uidList) cut(rs []mailstore.Range, n uint32) (head, rest []mailstore.Range) {
	for i, r := range rs {
		k := l.count(r)
		if k <= n {
			n -= k
			continue
		}
		if n == 0 {
			return rs[:i:i], rs[i:]
		}
		u := l.at(l.before(r.First) + n)
		head = append(rs[:i:i], mailstore.Range{First: r.First, Last: u})
		rest = append([]mailstore.Range{{First: u + 1, Last: r.Last}}, rs[i+1:]...)
		return head, rest
	}
	return rs, nil
}

// each calls fn for the UIDs of the list that lie in a range, ascending.
func (l *uidList) each(r mailstore.Range, fn func(mailstore.UID)) {
	i := max(sort.Search(len(l.runs), func(i int) bool { return l.runs[i].uid > r.First })-1, 0)
	for ; i < len(l.runs) && l.runs[i].uid <= r.Last; i++ {
		first := max(l.runs[i].uid, r.First)
		last := min(l.runs[i].uid+mailstore.UID(l.end(i)-l.runs[i].seq)-1, r.Last)
		for u := first; u <= last && u != 0; u++ {
			fn(u)
		}
	}
}

// remove takes out ascending UIDs that are in the list.
func (l *uidList) remove(gone []mailstore.UID) {
	old, n := l.runs, l.n
	was := uidList{runs: old, n: n}
	*l = uidList{runs: make([]uidRun, 0, len(old)+len(gone))}
	addRun := func(first, last mailstore.UID) {
		if first > last {
			return
		}
		l.add(first)
		l.n += uint32(last - first)
	}
	for i := range old {
		first := old[i].uid
		last := first + mailstore.UID(was.end(i)-old[i].seq) - 1
		for len(gone) > 0 && gone[0] <= last {
			addRun(first, gone[0]-1)
			first = gone[0] + 1
			gone = gone[1:]
		}
		addRun(first, last)
	}
	l.runs = slices.Clip(l.runs)
}

// cursor finds the sequence numbers of ascending UIDs without searching anew.
type cursor struct {
	list *uidList
	i    int
}

func (c *cursor) seq(u mailstore.UID) uint32 {
	runs := c.list.runs
	if c.i+1 < len(runs) && runs[c.i+1].uid <= u {
		// Near ones are found by walking, far ones by searching.
		for k := 0; k < 8 && c.i+1 < len(runs) && runs[c.i+1].uid <= u; k++ {
			c.i++
		}
		if c.i+1 < len(runs) && runs[c.i+1].uid <= u {
			rest := runs[c.i+1:]
			c.i += sort.Search(len(rest), func(i int) bool { return rest[i].uid > u })
		}
	}
	if c.i >= len(runs) || u < runs[c.i].uid {
		return 0
	}
	seq := runs[c.i].seq + uint32(u-runs[c.i].uid)
	if seq < runs[c.i].seq || seq >= c.list.end(c.i) {
		return 0
	}
	return seq
}
