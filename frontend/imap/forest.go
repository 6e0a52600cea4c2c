package imap

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"

	"altmail.se/altmail/mailstore"
)

// forest is the tree of threads that THREAD builds. A node is a message, or
// stands for one that others refer to and that is not there.
type forest struct {
	order threadOrder
	nodes []threadNode
	// byID finds the node of a message id, by its hash. Seeds differ from
	// command to command, so nobody can make ids collide.
	byID map[uint64]int32
	// steps bounds what looking for circles may take in all.
	steps int
	// room for putting siblings in order.
	room []int32
}

type threadNode struct {
	parent, child, next, last int32 // last is the last child
	date                      uint64
	uid                       mailstore.UID // 0: not there
	reply                     bool
	subject                   []byte // collated; of a message
}

// forestNodeSize is about what a node costs, with its place in byID.
const forestNodeSize = 72 + 32

const (
	none int32 = -1
	root int32 = 0
)

// threadMessage is a message as its thread fields have it.
type threadMessage struct {
	uid     mailstore.UID
	date    uint64
	reply   bool
	id      uint64 // 0: none
	subject []byte
}

func (f *forest) init(n int) {
	f.nodes = make([]threadNode, 0, n+1)
	f.byID = map[uint64]int32{}
	f.node(threadMessage{})
	f.steps = 64*n + 1<<20
}

func (f *forest) node(m threadMessage) int32 {
	f.nodes = append(f.nodes, threadNode{
		parent: none, child: none, next: none, last: none,
		uid: m.uid, date: m.date, reply: m.reply, subject: m.subject,
	})
	return int32(len(f.nodes) - 1)
}

// add takes in a message and what it refers to, oldest first: step 1 of
// REFERENCES in RFC 5256 section 3. Messages come in the order of the mailbox.
func (f *forest) add(m threadMessage, refs []uint64) {
	n := none
	if m.id != 0 {
		if at, ok := f.byID[m.id]; !ok {
			n = f.node(m)
			f.byID[m.id] = n
		} else if f.nodes[at].uid == 0 {
			n = at
			f.nodes[n].uid, f.nodes[n].date, f.nodes[n].reply, f.nodes[n].subject = m.uid, m.date, m.reply, m.subject
		}
	}
	if n == none {
		n = f.node(m) // no id, or one that another message has already
	}
	// (A) Those referred to follow each other, unless something else is known.
	last := none
	for _, id := range refs {
		at, ok := f.byID[id]
		if !ok {
			at = f.node(threadMessage{})
			f.byID[id] = at
		}
		if last != none && f.nodes[at].parent == none && !f.above(at, last) {
			f.link(at, last)
		}
		last = at
	}
	// (B) The message follows the last of them, whatever was thought before.
	if last == none || last == n {
		f.unlink(n)
		return
	}
	if f.nodes[n].parent == last || f.nodes[n].parent != none && f.steps < 0 {
		return
	}
	if f.above(n, last) {
		f.unlink(n)
		return
	}
	f.unlink(n)
	f.link(n, last)
}

// above reports whether n is at or above m. When that has been asked for too
// long it is assumed: no link is made then.
func (f *forest) above(n, m int32) bool {
	if n == m {
		return true
	}
	if f.nodes[n].child == none {
		return false
	}
	for ; m != none; m = f.nodes[m].parent {
		if m == n {
			return true
		}
		if f.steps--; f.steps < 0 {
			return true
		}
	}
	return false
}

// link makes n, which has no parent, the last child of another.
func (f *forest) link(n, parent int32) {
	f.nodes[n].parent, f.nodes[n].next = parent, none
	p := &f.nodes[parent]
	if p.last == none {
		p.child = n
	} else {
		f.nodes[p.last].next = n
	}
	p.last = n
}

// unlink takes n away from its parent, if it has one.
func (f *forest) unlink(n int32) {
	parent := f.nodes[n].parent
	if parent == none {
		return
	}
	before := none
	for k := f.nodes[parent].child; k != n; k = f.nodes[k].next {
		before = k
		f.steps--
	}
	if before == none {
		f.nodes[parent].child = f.nodes[n].next
	} else {
		f.nodes[before].next = f.nodes[n].next
	}
	if f.nodes[parent].last == n {
		f.nodes[parent].last = before
	}
	f.nodes[n].parent, f.nodes[n].next = none, none
}

// kids returns the children of a node. The result is good until the next call.
func (f *forest) kids(n int32) []int32 {
	f.room = f.room[:0]
	for k := f.nodes[n].child; k != none; k = f.nodes[k].next {
		f.room = append(f.room, k)
	}
	return f.room
}

// setKids makes kids the children of a node, in this order.
func (f *forest) setKids(n int32, kids []int32) {
	f.nodes[n].child, f.nodes[n].last = none, none
	for _, k := range kids {
		f.link(k, n)
	}
}

// references is steps 2 to 6 of REFERENCES in RFC 5256 section 3.
func (f *forest) references() {
	f.gather()
	f.prune()
	f.sortRoots()
	f.bySubject()
	f.sortBelow()
	f.sortRoots()
}

// refs is REFS: REFERENCES that leaves subjects alone, the thread in which
// something happened last at the end.
func (f *forest) refs() {
	f.gather()
	f.prune()
	f.sortBelow()
	f.sortRoots()
}

// gather is step 2: what has no parent is below the root.
func (f *forest) gather() {
	for n := int32(1); n < int32(len(f.nodes)); n++ {
		if f.nodes[n].parent == none {
			f.link(n, root)
		}
	}
	f.byID = nil
}

// prune is step 3: those that are not there go, their children take their
// place. Below the root one stays that holds several together.
func (f *forest) prune() {
	for _, n := range f.downward() {
		if f.nodes[n].child == none {
			continue
		}
		dummies := false
		for k := f.nodes[n].child; k != none; k = f.nodes[k].next {
			dummies = dummies || f.nodes[k].uid == 0
		}
		if !dummies {
			continue
		}
		// What is below is done already.
		var kids []int32
		for k := f.nodes[n].child; k != none; k = f.nodes[k].next {
			d := &f.nodes[k]
			if d.uid != 0 || n == root && d.child != d.last {
				kids = append(kids, k)
				continue
			}
			for g := d.child; g != none; g = f.nodes[g].next {
				kids = append(kids, g)
			}
		}
		f.setKids(n, kids)
	}
}

// downward returns all nodes below the root and it, each behind those below
// it.
func (f *forest) downward() []int32 {
	order := make([]int32, 0, len(f.nodes))
	order = append(order, root)
	for i := 0; i < len(order); i++ {
		for k := f.nodes[order[i]].child; k != none; k = f.nodes[k].next {
			order = append(order, k)
		}
	}
	slices.Reverse(order)
	return order
}

// dated returns the message by which a node is put in order: itself, or its
// first child if it is not there.
func (f *forest) dated(n int32) *threadNode {
	for f.nodes[n].uid == 0 && f.nodes[n].child != none {
		n = f.nodes[n].child
	}
	return &f.nodes[n]
}

// compare orders by sent date and then by place in the mailbox.
func (f *forest) compare(a, b int32) int {
	x, y := f.dated(a), f.dated(b)
	if x.date != y.date {
		return cmp.Compare(x.date, y.date)
	}
	return cmp.Compare(x.uid, y.uid)
}

// sortKids puts the children of a node in order.
func (f *forest) sortKids(n int32) {
	if c := f.nodes[n].child; c == none || f.nodes[c].next == none {
		return
	}
	kids := f.kids(n)
	slices.SortFunc(kids, f.compare)
	f.setKids(n, kids)
}

// sortRoots is step 4, and the end: the threads among each other.
func (f *forest) sortRoots() {
	for n := f.nodes[root].child; n != none; n = f.nodes[n].next {
		if f.nodes[n].uid == 0 {
			f.sortKids(n)
		}
	}
	if f.order == byFirst {
		f.sortKids(root)
		return
	}
	latest := make(map[int32]uint64)
	for n := f.nodes[root].child; n != none; n = f.nodes[n].next {
		latest[n] = f.latest(n)
	}
	kids := f.kids(root)
	slices.SortFunc(kids, func(a, b int32) int {
		if latest[a] != latest[b] {
			return cmp.Compare(latest[a], latest[b])
		}
		return cmp.Compare(f.nodes[a].uid, f.nodes[b].uid)
	})
	f.setKids(root, kids)
}

// latest returns the latest date at or below a node.
func (f *forest) latest(n int32) uint64 {
	latest := uint64(0)
	below := []int32{n}
	for len(below) > 0 {
		n := below[len(below)-1]
		below = below[:len(below)-1]
		if m := &f.nodes[n]; m.uid != 0 {
			latest = max(latest, m.date)
		}
		for k := f.nodes[n].child; k != none; k = f.nodes[k].next {
			below = append(below, k)
		}
	}
	return latest
}

// sortBelow is step 6: siblings by sent date, the deepest first.
func (f *forest) sortBelow() {
	for _, n := range f.downward() {
		if n != root {
			f.sortKids(n)
		}
	}
}

// subjectOf returns the base subject of a thread; of one whose first message
// is not there, that of its first child.
func (f *forest) subjectOf(n int32) []byte { return f.dated(n).subject }

// bySubject is step 5: threads with one base subject become one.
func (f *forest) bySubject() {
	seed := maphash.MakeSeed()
	table := make(map[uint64]int32)
	key := func(n int32) (uint64, bool) {
		s := f.subjectOf(n)
		return maphash.Bytes(seed, s), len(s) > 0
	}
	tops := slices.Clone(f.kids(root))
	// (B) The thread that is to take the others in: one that is not there
	// before one that is, what is no reply before a reply.
	for _, n := range tops {
		k, ok := key(n)
		if !ok {
			continue
		}
		old, ok := table[k]
		if !ok || f.nodes[old].uid != 0 && (f.nodes[n].uid == 0 || f.nodes[old].reply && !f.nodes[n].reply) {
			table[k] = n
		}
	}
	// (C)
	gone := make(map[int32]bool)
	moved := make(map[int32]int32) // what stands for a thread that went into a new one
	for _, n := range tops {
		k, ok := key(n)
		if !ok || f.nodes[n].parent != root { // that went into a new one
			continue
		}
		into := table[k]
		if into == n {
			continue
		}
		here, there := f.nodes[n].uid != 0, f.nodes[into].uid != 0
		switch {
		case !here && !there:
			kids := slices.Clone(f.kids(n))
			f.nodes[n].child, f.nodes[n].last = none, none
			for _, kid := range kids {
				f.link(kid, into)
			}
			gone[n] = true
		case !there, f.nodes[n].reply && !f.nodes[into].reply:
			gone[n] = true
			f.nodes[n].parent = none
			f.link(n, into)
		default:
			d := f.node(threadMessage{})
			moved[into] = d
			gone[n] = true
			f.nodes[into].parent, f.nodes[n].parent = none, none
			f.link(into, d)
			f.link(n, d)
			table[k] = d
		}
	}
	kept := tops[:0]
	for _, n := range tops {
		if d, ok := moved[n]; ok {
			n = d
		}
		if !gone[n] {
			kept = append(kept, n)
		}
	}
	f.setKids(root, kept)
}

// orderedSubject is ORDEREDSUBJECT of RFC 5256 section 3: the messages with
// one base subject by date, the later ones all below the first.
func (f *forest) orderedSubject() {
	order := make([]int32, 0, len(f.nodes))
	for n := int32(1); n < int32(len(f.nodes)); n++ {
		order = append(order, n)
	}
	slices.SortFunc(order, func(a, b int32) int {
		if n := bytes.Compare(f.nodes[a].subject, f.nodes[b].subject); n != 0 {
			return n
		}
		return f.compare(a, b)
	})
	var tops []int32
	for i, n := range order {
		if i > 0 && bytes.Equal(f.nodes[n].subject, f.nodes[tops[len(tops)-1]].subject) {
			f.link(n, tops[len(tops)-1])
			continue
		}
		tops = append(tops, n)
	}
	f.setKids(root, tops)
	f.sortKids(root)
}
