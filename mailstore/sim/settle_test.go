package sim

import (
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/group"
	"altmail.se/altmail/cluster/logstore"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/body"
)

// compareLog notes which entries of a dead node's log name a body that its disk
// does not have. Such an entry must have been committed when it was stored,
// which the end of the schedule knows.
func (w *world) compareLog(n *node) {
	fail := func(err error) { w.violation("node %d: after the loss of power: %v", n.i, err) }
	// Redoing twice is no harm: the journal itself is opened by the next process.
	jour, err := openJournal(n.disk.mem.CrashClone(vfs.CrashCloneCfg{}), fail)
	if err != nil {
		fail(err)
		return
	}
	defer func() {
		if err := jour.Close(); err != nil {
			fail(err)
		}
	}()
	log, err := logstore.Open(n.logOptions(jour))
	if err != nil {
		fail(err)
		return
	}
	store, err := body.Open(n.disk.mem.CrashClone(vfs.CrashCloneCfg{}), "bodies", body.Options{Fatal: fail, Live: nobody{}, Journal: jour})
	if err != nil {
		fail(errors.Join(err, log.Close()))
		return
	}
	first, _ := log.FirstIndex()
	last, _ := log.LastIndex()
	for i := max(first, w.img.base); i <= last && i > 0; i++ {
		var l raft.Log
		if err := log.GetLog(i, &l); err != nil {
			fail(err)
			break
		}
		if l.Type != raft.LogCommand {
			continue
		}
		refs, err := group.DecodeBodies(l.Data)
		if err != nil {
			fail(err)
			break
		}
		for _, r := range refs {
			if !store.Has(mailGroup, r.ID) {
				w.mu.Lock()
				w.lacks = append(w.lacks, lack{n.i, l.Index, l.Term})
				w.mu.Unlock()
			}
		}
	}
	if err := errors.Join(store.Close(), log.Close()); err != nil {
		fail(err)
	}
}

// nobody knows of no state.
type nobody struct{}

func (nobody) Referenced(cluster.GroupID, cluster.BodyID) (bool, error) { return true, nil }
func (nobody) Applied(cluster.GroupID) uint64                           { return 0 }
func (nobody) DurableApplied(cluster.GroupID) uint64                    { return 0 }

// patience is how long the cluster has to become whole again.
const patience = 2 * time.Minute

// settle ends all faults, waits until the cluster is whole, and compares
// everything with the model.
func (w *world) settle(clients []*client) {
	w.note("settling")
	w.net.heal()
	w.net.set(w.plan.delay, 0, 0)
	for _, n := range w.alive() {
		n.disk.mu.Lock()
		n.disk.failIn = 0
		n.disk.mu.Unlock()
	}
	// One whose disk just broke ends before time goes on.
	if err := pause(context.Background(), time.Millisecond); err != nil {
		w.violation("%v", err)
		return
	}
	for _, n := range w.alive() {
		n.skew.Store(0)
		if p := w.proc(n.i); p == nil || p.dead.Load() {
			w.lose(n)
			w.restart(n)
		}
	}
	if w.failed() {
		return
	}
	w.bg.Wait() // the one that joins
	for _, n := range w.alive() {
		if n.leaving {
			w.leaveFor(n, patience)
		}
	}
	if w.failed() {
		return
	}
	target := uint64(0)
	if !w.until(patience, func() bool {
		l := w.leader(time.Second)
		if l == nil {
			return false
		}
		defer l.leave()
		ctx, cancel := context.WithTimeout(l.ctx, 5*time.Second)
		defer cancel()
		if w.nothing(ctx, l, 1<<40) != nil {
			return false
		}
		target, _ = l.mail.Applied()
		return true
	}) {
		w.violation("no leader answers after all faults have ended")
		w.states()
		return
	}
	if !w.until(patience, func() bool {
		for _, n := range w.alive() {
			p := w.proc(n.i)
			if at, _ := p.mail.Applied(); at < target || !p.bodies.Whole(mailGroup) {
				return false
			}
		}
		return true
	}) {
		w.violation("the nodes do not become whole up to %d", target)
		w.states()
		return
	}
	for _, c := range clients {
		for range 4 {
			c.read()
		}
	}
	w.digests()
	w.judge()
}

func (w *world) states() {
	for _, n := range w.alive() {
		p := w.proc(n.i)
		if p == nil {
			w.note("node %d is down", n.i)
			continue
		}
		w.note("node %d: %+v whole %v, bodies %+v", n.i, p.group.Status(), p.bodies.Whole(mailGroup), p.bodies.Stats())
	}
}

// digests has the group compare its states at one index, and each node its
// running digest with the stored rows.
func (w *world) digests() {
	done := w.until(patience, func() bool {
		l := w.leader(time.Second)
		if l == nil {
			return false
		}
		defer l.leave()
		ctx, cancel := context.WithTimeout(l.ctx, 10*time.Second)
		defer cancel()
		if err := l.group.Check(ctx); err != nil {
			return false
		}
		c := l.group.Status().Check
		if c.Differ > 0 {
			w.violation("digests at %d differ: %+v", c.Index, c)
		}
		return c.Unknown == 0
	})
	if !done {
		w.violation("the digests are not compared")
	}
	ctx := context.Background()
	for _, n := range w.alive() {
		p := w.proc(n.i)
		got, running, index, err := p.mail.Recompute(ctx)
		if err != nil || got != running {
			w.violation("node %d: digest at %d is %s, recomputed %s: %v", n.i, index, running, got, err)
		}
		ps, err := p.mail.Check(ctx)
		if err != nil {
			w.violation("node %d: check: %v", n.i, err)
		}
		for _, x := range ps {
			w.violation("node %d: check: %s", n.i, x)
		}
	}
}

// judge replays the history on the model and compares with it what clients
// were told, and what every node holds.
func (w *world) judge() {
	m := newModel(w.img)
	last := w.hist.at()
	at := map[uint64][]readRec{}
	for _, r := range w.reads {
		at[r.index] = append(at[r.index], r)
	}
	term, holes := uint64(0), uint64(0)
	for i := w.img.base + 1; i <= last; i++ {
		e := w.hist.get(i)
		if e == nil {
			holes++
			continue
		}
		// raft's own entry at the start of a term reaches no machine.
		if term != 0 && holes > e.term-term {
			w.violation("%d entries before %d were executed by nobody, in terms %d to %d", holes, i, term, e.term)
			return
		}
		term, holes = e.term, 0
		if err := m.exec(i, e); err != nil {
			w.violation("%v", err)
			return
		}
		for _, r := range at[i] {
			if want := m.boxes[r.box].listing(); r.listing != want {
				w.violation("node %d at index %d showed mailbox %d as\n%s, it is\n%s", r.node, i, r.box, r.listing, want)
			}
		}
	}
	w.judgeOps(m)
	w.judgeReads(m)
	for _, l := range w.lacks {
		if e := w.hist.get(l.index); e == nil || e.term != l.term {
			w.violation("node %d held entry %d of term %d, never committed, without its body", l.node, l.index, l.term)
		}
	}
	for _, n := range w.alive() {
		w.judgeNode(n, m)
	}
}

// executed is where an operation took place, 0 if it did not.
func (m *model) executed(r *opRec) uint64 {
	if r.date != 0 {
		return m.dates[r.date]
	}
	return m.done[r.op]
}

// judgeOps: what was answered happened, with the result that was told, and in
// an order that nobody can call wrong: after all that was answered before it
// was asked for.
func (w *world) judgeOps(m *model) {
	for i := range w.ops {
		r := &w.ops[i]
		index := m.executed(r)
		if r.refused && index != 0 {
			w.violation("operation %x, message %d, was refused for good by everybody and executed at %d", r.op, r.date, index)
		}
		if r.answered == 0 {
			continue
		}
		if index == 0 {
			w.violation("node %d answered operation %x, message %d, which is nowhere", r.node, r.op, r.date)
			continue
		}
		if r.date == 0 {
			if index > r.index {
				w.violation("operation %x was answered at %d and executed at %d", r.op, r.index, index)
			}
			if string(m.value[r.op]) != string(r.value) {
				w.violation("operation %x was answered otherwise than executed", r.op)
			}
		}
		for j := range w.ops {
			if o := &w.ops[j]; o.answered != 0 && o.answered < r.invoked && m.executed(o) > index {
				w.violation("operation at %d was asked for after that at %d was answered", index, m.executed(o))
			}
		}
	}
}

// judgeReads: a read index covers all that was answered before it was asked.
func (w *world) judgeReads(m *model) {
	for _, r := range w.reads {
		for j := range w.ops {
			if o := &w.ops[j]; o.answered != 0 && o.answered < r.begun && m.executed(o) > r.index {
				w.violation("node %d read at %d what was answered at %d before", r.node, r.index, m.executed(o))
			}
		}
	}
}

// judgeNode compares all of a node with the model, bodies included.
func (w *world) judgeNode(n *node, m *model) {
	p := w.proc(n.i)
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	a, err := p.look.Open(ctx, w.img.account)
	if err != nil {
		w.violation("node %d: %v", n.i, err)
		return
	}
	v := a.Read()
	defer v.Close()
	c := &client{w: w}
	for _, box := range w.img.boxes {
		mb, err := v.Mailbox(box)
		var ms []mailstore.Message
		if err == nil {
			err = v.Messages(box, []mailstore.Range{{First: 1, Last: 1<<32 - 1}}, func(m *mailstore.Message) error {
				ms = append(ms, *m)
				return nil
			})
		}
		if err != nil {
			w.violation("node %d: mailbox %d: %v", n.i, box, err)
			return
		}
		want := m.boxes[uint32(box)]
		if got := listingOf(mb.UIDNext, ms); got != want.listing() {
			w.violation("node %d ends with mailbox %d as\n%s, it is\n%s", n.i, box, got, want.listing())
		}
		for i := range ms {
			ref := want.rows[uint32(ms[i].UID)].body
			if err := p.bodies.Verify(ctx, mailGroup, ref); err != nil {
				w.violation("node %d is whole and lacks the body of message %d: %v", n.i, ms[i].InternalDate.Unix(), err)
			}
			if i%4 == 0 {
				c.body(ctx, p, v, &ms[i])
			}
		}
	}
}
