package body

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"altmail.se/altmail/cluster"
)

var _ cluster.Gate = (*Store)(nil)

// waiter is one Ensure call that waits. Its fields are under group.mu.
type waiter struct {
	index uint64
	left  int // bodies it still waits for
	done  chan struct{}
}

// Ensure implements cluster.Gate. With Options.LogInJournal a body counts as
// soon as it is in the journal, where no entry stored from then on becomes
// durable before it. Ensure waits for pushes first, and pulls what has not come
// after a short grace. What it began to pull goes on when ctx
// ends, so that a body larger than one RPC's patience arrives in the end.
func (s *Store) Ensure(ctx context.Context, group cluster.GroupID, from cluster.NodeID, index uint64, refs []cluster.BodyRef) error {
	if len(refs) == 0 {
		return nil
	}
	if err := s.failure(); err != nil {
		return err
	}
	g, err := s.group(group)
	if err != nil {
		return err
	}
	w, missing := g.register(index, refs)
	if w == nil {
		return nil
	}
	s.stats.gateWaits.Add(1)
	begun := time.Now()
	size := int64(0)
	for _, r := range missing {
		size += int64(r.Size)
	}
	timer := time.NewTimer(g.grace.get(size))
	defer timer.Stop()
	select {
	case <-w.done:
		g.grace.learn(time.Since(begun))
		return nil
	case <-ctx.Done():
		return g.leave(w, missing, index, ctx.Err())
	case <-timer.C:
	}
	s.stats.gatePulls.Add(1)
	g.pull(from, missing)
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return g.leave(w, missing, index, ctx.Err())
	case <-s.ctx.Done():
		return g.leave(w, missing, index, cluster.ErrStopped)
	}
}

// register returns nil when every body is here or proven gone; otherwise a
// waiter for the rest.
func (g *group) register(index uint64, refs []cluster.BodyRef) (*waiter, []cluster.BodyRef) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var w *waiter
	var missing []cluster.BodyRef
	for _, r := range refs {
		if _, ok := g.locate(r.ID); ok {
			continue
		}
		if d, ok := g.gone[r.ID]; ok && d >= index {
			continue
		}
		if w == nil {
			w = &waiter{index: index, done: make(chan struct{})}
		}
		w.left++
		g.waiters[r.ID] = append(g.waiters[r.ID], w)
		missing = append(missing, r)
	}
	return w, missing
}

// leave takes the waiter out again and says how it ended.
func (g *group) leave(w *waiter, missing []cluster.BodyRef, index uint64, cause error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	left := w.left
	if left == 0 {
		return nil
	}
	for _, r := range missing {
		ws := slices.DeleteFunc(g.waiters[r.ID], func(o *waiter) bool { return o == w })
		if len(ws) == 0 {
			delete(g.waiters, r.ID)
		} else {
			g.waiters[r.ID] = ws
		}
	}
	return fmt.Errorf("body: %d bodies of entry %d: %w: %w", left, index, cluster.ErrNotHere, cause)
}

// arrived takes the waiters for id whose last body this was out of the table
// and appends them to ready; called with the lock, after id was indexed or
// staged.
func (g *group) arrived(id cluster.BodyID, ready []*waiter) []*waiter {
	if len(g.waiters) == 0 {
		return ready
	}
	for _, w := range g.waiters[id] {
		if w.left--; w.left == 0 {
			ready = append(ready, w)
		}
	}
	delete(g.waiters, id)
	return ready
}

// maxGone bounds the memory of bodies proven gone; forgetting one costs a
// question to a peer.
const maxGone = 4096

// proveGone takes a member's word that the body is referred to by nothing at
// its durable index d. That answers for every entry up to d. This node is not
// whole until it has applied d itself.
func (g *group) proveGone(id cluster.BodyID, d uint64) {
	g.s.stats.goneProven.Add(1)
	g.back.until(d)
	var ready []*waiter
	g.mu.Lock()
	if len(g.gone) >= maxGone {
		clear(g.gone)
	}
	g.gone[id] = max(g.gone[id], d)
	ws := slices.DeleteFunc(g.waiters[id], func(w *waiter) bool {
		if w.index > d {
			return false
		}
		if w.left--; w.left == 0 {
			ready = append(ready, w)
		}
		return true
	})
	if len(ws) == 0 {
		delete(g.waiters, id)
	} else {
		g.waiters[id] = ws
	}
	g.mu.Unlock()
	for _, w := range ready {
		close(w.done)
	}
}

// pull has the missing bodies fetched that nobody fetches yet.
func (g *group) pull(from cluster.NodeID, missing []cluster.BodyRef) {
	if g.s.opts.Peers == nil {
		return
	}
	g.mu.Lock()
	var claim []cluster.BodyRef
	for _, r := range missing {
		if _, ok := g.pulling[r.ID]; !ok {
			g.pulling[r.ID] = struct{}{}
			claim = append(claim, r)
		}
	}
	g.mu.Unlock()
	if len(claim) == 0 {
		return
	}
	if !g.s.spawn(func() { g.pullLoop(from, claim) }) {
		g.mu.Lock()
		for _, r := range claim {
			delete(g.pulling, r.ID)
		}
		g.mu.Unlock()
	}
}

const (
	pullBackoffMin = 20 * time.Millisecond
	pullBackoffMax = 500 * time.Millisecond
)

// pullLoop asks the members in turn, the sender of the entry first, until
// everything claimed has come or nobody waits for it any more.
func (g *group) pullLoop(from cluster.NodeID, claim []cluster.BodyRef) {
	backoff := pullBackoffMin
	for {
		want, index, left := g.wanted(claim)
		if len(left) == 0 {
			return
		}
		claim = left
		for _, peer := range g.candidates(from, 0) {
			if len(want) == 0 || g.s.ctx.Err() != nil {
				break
			}
			var err error
			want, err = g.fetchInto(g.s.ctx, g.s.net.gatePulls, peer, index, want)
			if err != nil {
				g.s.stats.pullFailed.Add(1)
				g.s.log.Debug("pull failed", "group", g.id, "peer", peer, "err", err)
			}
		}
		t := time.NewTimer(backoff)
		select {
		case <-t.C:
		case <-g.s.ctx.Done():
			t.Stop()
			g.mu.Lock()
			for _, r := range claim {
				delete(g.pulling, r.ID)
			}
			g.mu.Unlock()
			return
		}
		if len(want) == 0 {
			backoff = pullBackoffMin
		} else {
			backoff = min(2*backoff, pullBackoffMax)
		}
	}
}

// wanted sorts a pull's bodies: want is to be asked for now, for an entry as
// high as index; left is what the pull still answers for, be it only because
// a push of it is being written. The claim on the rest is given up.
func (g *group) wanted(claim []cluster.BodyRef) (want []cluster.BodyRef, index uint64, left []cluster.BodyRef) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range claim {
		ws := g.waiters[r.ID]
		if len(ws) == 0 {
			delete(g.pulling, r.ID)
			continue
		}
		left = append(left, r)
		if g.inflight[r.ID] != nil {
			continue
		}
		want = append(want, r)
		for _, w := range ws {
			index = max(index, w.index)
		}
	}
	return want, index, left
}

// candidates lists the members to ask, first of all first; the others begin
// at a place that turn chooses.
func (g *group) candidates(first cluster.NodeID, turn int) []cluster.NodeID {
	members := g.s.opts.Members(g.id)
	self := g.s.opts.Peers.Self()
	list := make([]cluster.NodeID, 0, len(members)+1)
	if !first.IsZero() && first != self {
		list = append(list, first)
	}
	for i := range members {
		m := members[(i+turn)%len(members)]
		if m != first && m != self {
			list = append(list, m)
		}
	}
	return list
}

const (
	graceMin = 5 * time.Millisecond
	graceMax = 60 * time.Millisecond
	// pushRate is the speed, in bytes a second, below which a push of a large
	// body is not waited for.
	pushRate = 50 << 20
)

// graceTimer decides how long a push is waited for before a body is pulled:
// about twice as long as pushes have lately been behind their entries.
type graceTimer struct {
	mu  sync.Mutex
	avg time.Duration
	n   bool
}

func (t *graceTimer) get(size int64) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := 20 * time.Millisecond
	if t.n {
		d = min(max(2*t.avg+graceMin, graceMin), graceMax)
	}
	return d + time.Duration(size*int64(time.Second)/pushRate)
}

func (t *graceTimer) learn(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.n {
		t.avg, t.n = d, true
		return
	}
	t.avg += (d - t.avg) / 8
}
