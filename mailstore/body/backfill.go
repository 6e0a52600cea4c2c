package body

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"altmail.se/altmail/cluster"
)

const (
	// maxMissing bounds the memory of the queue. The rest is found by going
	// on with the scan when the queue has shrunk.
	maxMissing     = 1 << 16
	backfillRest   = time.Second
	backfillMaxGap = time.Minute
	backfillGroups = 1 // groups filled at the same time: nobody waits for it
)

// Live iterates over the bodies that a group's state refers to, in ascending
// order of their ids, from the first one greater than after.
type Live func(after cluster.BodyID) iter.Seq2[cluster.BodyRef, error]

// backfill is the set of a group's bodies that should be here and are not. It
// needs no file: Reconcile computes it anew.
type backfill struct {
	n       atomic.Int64 // len(missing), for a look without the lock
	replays atomic.Int64 // len(replay), likewise

	mu      sync.Mutex
	missing map[cluster.BodyID]*lack
	// replay holds bodies that were pinned and not here when Reconcile began:
	// log entries that are still to be applied name them. Whether the state
	// then refers to them is known when their pin is released.
	replay  map[cluster.BodyID]struct{}
	limit   int // maxMissing
	live    Live
	scan    int // counts scans begun
	cursor  cluster.BodyID
	after   uint64 // the scan waits until this index is applied
	scanned bool   // the scan has come to the end
	begun   bool   // Reconcile was called: pins are in place
	gone    uint64 // whole only once this index is applied
	busy    bool   // a fill is running
}

// lack is one missing body.
type lack struct {
	ref   cluster.BodyRef
	index uint64 // an entry as high as the one that names it, or higher
	heal  bool   // it had been here
	tries int
	next  time.Time
}

func (b *backfill) init() {
	b.missing = make(map[cluster.BodyID]*lack)
	b.replay = make(map[cluster.BodyID]struct{})
	b.limit = maxMissing
}

// restart begins the scan anew; called with the lock.
func (b *backfill) restart() {
	b.scan++
	b.scanned, b.cursor = false, cluster.BodyID{}
}

func (b *backfill) len() int { return int(b.n.Load()) }

// add queues bodies that are not queued yet; called without group.mu. A member
// that is below index proves nothing about them (R8): for a body of the state,
// index is where this node's state is.
func (b *backfill) add(s *Store, index uint64, heal bool, refs ...cluster.BodyRef) {
	b.mu.Lock()
	for _, r := range refs {
		if l := b.missing[r.ID]; l != nil {
			l.index = max(l.index, index)
			continue
		}
		if len(b.missing) >= b.limit && b.live != nil {
			// No place. The scan finds the body once the entry that names it
			// has been applied.
			b.after = max(b.after, index)
			b.restart()
			break
		}
		b.missing[r.ID] = &lack{ref: r, index: index, heal: heal}
	}
	b.n.Store(int64(len(b.missing)))
	b.mu.Unlock()
	s.wakeFill()
}

// settle takes a body off the queue: it has come, or is not wanted any more.
// It reports whether the body had been here before.
func (b *backfill) settle(id cluster.BodyID) (healed bool) {
	if b.n.Load() == 0 && b.replays.Load() == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.missing[id]
	delete(b.missing, id)
	b.n.Store(int64(len(b.missing)))
	b.replayed(id)
	return l != nil && l.heal
}

// replayed takes a body off the replay set; called with the lock.
func (b *backfill) replayed(id cluster.BodyID) {
	delete(b.replay, id)
	b.replays.Store(int64(len(b.replay)))
}

// unpinned is told of bodies whose last pin was released while they were not
// here. The entry that named one may have been stored as committed, with its
// body on the way, in a life before this one: then it is in no queue, and the
// scan may have been before the entry.
func (g *group) unpinned(refs []cluster.BodyRef) {
	b := &g.back
	if !b.ready() {
		return // the scan is yet to come, and sees what is applied now
	}
	index := max(g.s.opts.Live.Applied(g.id), 1)
	for _, r := range refs {
		// An error is judged when it is asked again, by stillWanted.
		if ref, err := g.s.opts.Live.Referenced(g.id, r.ID); ref || err != nil {
			b.add(g.s, index, false, r)
		}
		b.mu.Lock()
		b.replayed(r.ID)
		b.mu.Unlock()
	}
}

func (b *backfill) until(d uint64) {
	b.mu.Lock()
	b.gone = max(b.gone, d)
	b.mu.Unlock()
}

func (b *backfill) ready() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.begun
}

// due returns bodies whose turn it is, at most n, and the highest index of an
// entry that names one of them.
func (b *backfill) due(now time.Time, n int) (refs []cluster.BodyRef, index uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.missing {
		if len(refs) >= n {
			break
		}
		if l.next.After(now) {
			continue
		}
		refs = append(refs, l.ref)
		index = max(index, l.index)
	}
	return refs, index
}

// Backfill implements cluster.Gate: bodies of a committed entry that are not
// here are fetched in the background.
func (s *Store) Backfill(group cluster.GroupID, index uint64, refs []cluster.BodyRef) {
	g, err := s.group(group)
	if err != nil {
		return // closed or failed: Reconcile finds them after the restart
	}
	var missing []cluster.BodyRef
	g.mu.Lock()
	for _, r := range refs {
		if _, ok := g.locate(r.ID); !ok {
			missing = append(missing, r)
			continue
		}
		// It came before its entry, which nobody pins. As long as nothing
		// refers to it, it must not be taken for an orphan (R11): it is
		// looked at once the entry is durable, not before.
		if _, hinted := g.dead[r.ID]; hinted || len(g.dead) < maxDead {
			g.dead[r.ID] = max(g.dead[r.ID], index)
		}
	}
	g.mu.Unlock()
	if len(missing) > 0 {
		g.back.add(s, index, false, missing...)
	}
}

// Reconcile compares the group's bodies with what its state refers to: what
// is missing is queued for backfill, and from now on what nothing refers to
// may be reclaimed. It is called after every start, once the bodies named by
// log entries above the durable index have been pinned, and after a state was
// installed. It returns when the first scan has ended or the queue is full;
// then Run goes on with it.
func (s *Store) Reconcile(ctx context.Context, group cluster.GroupID, live Live) error {
	g, err := s.group(group)
	if err != nil {
		return err
	}
	g.distrust(live)
	return g.scanLive(ctx)
}

// distrust begins the comparison anew: from here on the node is not whole.
func (g *group) distrust(live Live) {
	b := &g.back
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, seg := range g.segs {
		seg.swept = false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.live, b.begun = live, true
	b.restart()
	for id := range g.pins {
		if _, here := g.locate(id); !here {
			b.replay[id] = struct{}{}
		}
	}
	b.replays.Store(int64(len(b.replay)))
}

// scanLive goes on with the comparison until the queue is full.
func (g *group) scanLive(ctx context.Context) error {
	b := &g.back
	index := g.s.opts.Live.Applied(g.id)
	b.mu.Lock()
	live, cursor, scan := b.live, b.cursor, b.scan
	idle := b.scanned || live == nil || index < b.after
	b.mu.Unlock()
	if idle {
		return nil
	}
	for ref, err := range live(cursor) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("body: comparing with the state: %w", err)
		}
		g.mu.Lock()
		_, here := g.locate(ref.ID)
		g.mu.Unlock()
		if !here {
			if b.len() >= b.limit {
				b.pause(scan, cursor)
				return nil
			}
			b.add(g.s, max(index, 1), false, ref)
		}
		cursor = ref.ID
	}
	b.mu.Lock()
	if b.scan == scan {
		b.scanned = true
	}
	b.mu.Unlock()
	return nil
}

// pause notes where a scan stopped because the queue is full, unless another
// has begun meanwhile.
func (b *backfill) pause(scan int, cursor cluster.BodyID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.scan == scan {
		b.cursor = cursor
	}
}

// Whole implements cluster.Gate: every body that the group's state refers to
// is durable here, as far as Reconcile and the gate know.
func (s *Store) Whole(group cluster.GroupID) bool {
	g := s.known(group)
	if g == nil {
		return false
	}
	applied := s.opts.Live.Applied(group)
	b := &g.back
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.scanned && len(b.missing) == 0 && len(b.replay) == 0 && applied >= b.gone
}

// GiveUp takes a body that no member has any more off the queue, after the
// operator has logged the loss.
func (s *Store) GiveUp(group cluster.GroupID, id cluster.BodyID) {
	if g := s.known(group); g != nil {
		g.back.settle(id)
	}
}

// wakeFill makes Run look at the queues.
func (s *Store) wakeFill() {
	select {
	case s.fillKick <- struct{}{}:
	default:
	}
}

// fillLoop runs the backfill of all groups until ctx ends.
func (s *Store) fillLoop(ctx context.Context) {
	slots := make(chan struct{}, backfillGroups)
	t := time.NewTicker(backfillRest)
	defer t.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		for _, g := range s.all() {
			if s.opts.Peers == nil || !g.claimFill() {
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				g.releaseFill()
				return
			}
			wg.Go(func() {
				defer func() { g.releaseFill(); <-slots }()
				g.fill(ctx)
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-s.fillKick:
		}
	}
}

func (g *group) claimFill() bool {
	b := &g.back
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy || len(b.missing) == 0 && (b.scanned || b.live == nil) {
		return false
	}
	b.busy = true
	return true
}

func (g *group) releaseFill() {
	g.back.mu.Lock()
	g.back.busy = false
	g.back.mu.Unlock()
}

// fill fetches what is due. The bodies are spread over the members by their
// ids, so that no single one bears it all.
func (g *group) fill(ctx context.Context) {
	for ctx.Err() == nil {
		if g.back.len() <= g.back.limit/2 {
			if err := g.scanLive(ctx); err != nil {
				g.s.log.Warn("backfill scan failed", "group", g.id, "err", err)
				return
			}
		}
		refs, index := g.back.due(time.Now(), 4*maxItems)
		refs = g.stillWanted(refs, index)
		peers := len(g.s.opts.Members(g.id))
		if len(refs) == 0 || peers == 0 {
			return
		}
		shares := make([][]cluster.BodyRef, peers)
		for _, r := range refs {
			i := int(r.ID[31]) % peers
			shares[i] = append(shares[i], r)
		}
		for i, share := range shares {
			if len(share) > 0 {
				g.fillShare(ctx, i, index, share)
			}
		}
	}
}

func (g *group) fillShare(ctx context.Context, turn int, index uint64, refs []cluster.BodyRef) {
	asked := len(refs)
	sure := true
	for _, peer := range g.candidates(cluster.NodeID{}, turn) {
		if len(refs) == 0 || ctx.Err() != nil {
			break
		}
		var err error
		if refs, err = g.fetchInto(ctx, g.s.net.backPulls, peer, index, refs); err != nil {
			sure = false
			g.s.stats.pullFailed.Add(1)
			g.s.log.Debug("backfill failed", "group", g.id, "peer", peer, "err", err)
		}
	}
	g.s.stats.backfilled.Add(uint64(asked - len(refs)))
	if len(refs) > 0 && sure && ctx.Err() == nil {
		g.s.stats.noGive.Add(1)
	}
	now := time.Now()
	b := &g.back
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range refs {
		if l := b.missing[r.ID]; l != nil {
			l.next = now.Add(min(backfillRest<<min(l.tries, 6), backfillMaxGap))
			l.tries++
		}
	}
}

// stillWanted drops what has come or died meanwhile from the queue and from
// refs.
func (g *group) stillWanted(refs []cluster.BodyRef, index uint64) []cluster.BodyRef {
	applied := g.s.opts.Live.Applied(g.id)
	keep := refs[:0]
	for _, r := range refs {
		g.mu.Lock()
		_, here := g.tab.get(keyOf(r.ID))
		pinned := g.pins[r.ID] > 0 // an entry still to be applied names it
		g.mu.Unlock()
		if !here && !pinned && applied >= index {
			ref, err := g.s.opts.Live.Referenced(g.id, r.ID)
			here = err == nil && !ref
		}
		if here {
			g.back.settle(r.ID)
			continue
		}
		keep = append(keep, r)
	}
	return keep
}
