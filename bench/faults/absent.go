package faults

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"altmail.se/altmail/bench/faults/check"
	"altmail.se/altmail/bench/faults/client"
)

// replica is a mailbox as a client keeps it that comes and goes.
type replica struct {
	validity uint32
	highest  uint64
	rows     map[uint32]check.Row
}

// comeBack opens a mailbox after a while away, catches up by what changed
// (RFC 7162 sections 3.1.4 and 3.2.5), and compares with a full listing.
func (w *worker) comeBack() {
	w.drop()
	box := []string{"Flags", "INBOX"}[w.rng.IntN(2)]
	if w.session() {
		_, _ = w.catchUp(box, false) // what it saw is recorded
	}
}

func (w *worker) catchUp(box string, rest bool) (*check.Op, error) {
	op, err := w.tryCatchUp(box, rest)
	if err != nil {
		w.failed(err)
	}
	return op, err
}

func (w *worker) tryCatchUp(box string, rest bool) (*check.Op, error) {
	quick := w.imap.Can("QRESYNC")
	if quick {
		if _, err := w.imap.Do("ENABLE QRESYNC"); err != nil {
			return nil, err
		}
	}
	op, done := w.op(check.Look)
	op.From = w.place(box)
	was := w.kept[box]
	param := "CONDSTORE"
	if quick && was != nil {
		param = fmt.Sprintf("QRESYNC (%d %d)", was.validity, was.highest)
	}
	sel, err := w.imap.Select(box, param)
	if err != nil {
		return nil, err
	}
	now := &replica{sel.Validity, sel.Highest, map[uint32]check.Row{}}
	first := was == nil || was.validity != sel.Validity
	if !first {
		maps.Copy(now.rows, was.rows)
	}
	vanished := map[uint32]bool{} // in this session
	w.imap.OnUpdate = func(u client.Update) {
		for _, uid := range u.Vanished {
			vanished[uid] = !u.Earlier
		}
	}
	defer func() {
		if w.imap != nil {
			w.imap.OnUpdate = nil
		}
	}()
	before, err := w.imap.Search("ALL")
	if err != nil {
		return nil, err
	}
	changed := sel.Changed
	switch {
	case first:
		changed, err = w.changes(sel.Exists, "")
	case quick:
		for _, uid := range sel.Vanished {
			delete(now.rows, uid)
		}
	default:
		there := map[uint32]bool{}
		for _, uid := range before {
			there[uid] = true
		}
		maps.DeleteFunc(now.rows, func(uid uint32, _ check.Row) bool { return !there[uid] })
		changed, err = w.changes(sel.Exists, fmt.Sprintf("CHANGEDSINCE %d", was.highest))
	}
	if err != nil {
		return nil, err
	}
	for _, f := range changed {
		if f.HasFlags && f.UID != 0 {
			now.rows[f.UID] = row(&f, box, false)
		}
	}
	v := &check.View{Validity: sel.Validity, Next: sel.Next, Highest: sel.Highest, Rest: rest, KeptAt: sel.Highest, KeptNext: sel.Next}
	if sel.Exists > 0 {
		if v.Rows, err = w.list(box, false); err != nil {
			return nil, err
		}
	}
	// What others expunge meanwhile is announced by the end of NOOP.
	if _, err := w.imap.Do("NOOP"); err != nil {
		return nil, err
	}
	after, err := w.imap.Search("ALL")
	if err != nil {
		return nil, err
	}
	gone := vanished
	for _, uid := range before {
		gone[uid] = true
	}
	for _, uid := range after {
		delete(gone, uid)
	}
	maps.DeleteFunc(now.rows, func(uid uint32, _ check.Row) bool { return gone[uid] })
	v.Rows = slices.DeleteFunc(v.Rows, func(r check.Row) bool { return gone[r.UID] })
	for _, uid := range slices.Sorted(maps.Keys(now.rows)) {
		v.Kept = append(v.Kept, now.rows[uid])
	}
	op.View = v
	w.kept[box] = now
	return done(op, nil, check.Answered), nil
}

func (w *worker) changes(exists uint32, modifier string) ([]client.Fetched, error) {
	if exists == 0 {
		return nil, nil
	}
	return w.imap.Fetch("1:*", "UID FLAGS MODSEQ", modifier)
}

// watcher hears of changes to an INBOX by IDLE.
type watcher struct {
	*load
	account Account
	rng     *rand.Rand

	mu    sync.Mutex
	node  string // empty: not connected
	count int    // messages as it was told
}

// heard tells what the watcher knows.
func (w *watcher) heard() (node string, count int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.node, w.count
}

func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		n := w.pick(w.rng)
		if c, err := client.DialIMAP(n.IMAP, w.account.Address, w.account.Password, answerTime); err == nil {
			w.watch(ctx, n, c)
			_ = c.Close() // it has ended already
		}
		w.mu.Lock()
		w.node = ""
		w.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(w.think):
		}
	}
}

func (w *watcher) watch(ctx context.Context, n *Node, c *client.IMAP) {
	c.OnUpdate = func(u client.Update) {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case u.Exists != nil:
			w.count = int(*u.Exists)
		case u.Expunged != 0:
			w.count--
		}
	}
	if _, err := c.Select("INBOX", ""); err != nil {
		return
	}
	w.mu.Lock()
	w.node = n.Name
	w.mu.Unlock()
	for ctx.Err() == nil {
		if err := c.Idle(5*time.Second, ctx.Done()); err != nil {
			return
		}
	}
}
