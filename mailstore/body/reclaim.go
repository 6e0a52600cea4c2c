package body

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

const (
	maxDead   = 1 << 18 // hints kept; beyond, the sweep finds the dead
	moveBytes = 4 << 20 // records moved under one sync
	manySmall = 8       // that many small segments are merged
)

// Dead tells that applying the entry at index took the last reference to
// bodies away. It is a hint: Reclaim asks the state again, once that index is
// durable, and what was never hinted is found by the sweep. It is cheap enough
// to be called while entries are applied.
func (s *Store) Dead(group cluster.GroupID, index uint64, ids ...cluster.BodyID) {
	g := s.known(group)
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range ids {
		if len(g.dead) >= maxDead {
			for _, seg := range g.segs {
				seg.swept = false
			}
			return
		}
		g.dead[id] = max(g.dead[id], index)
	}
}

// Reclaimed is what one pass of Reclaim did.
type Reclaimed struct {
	Freed    int   // bodies let go
	Segments int   // segments rewritten or dropped
	Bytes    int64 // by how much the segments on disk shrank
}

// Reclaim makes one pass over a group: it frees dead bodies, looks through
// segments for bodies that no entry named, and rewrites segments that are
// mostly dead, hold a damaged record, or have held a dead body for
// Options.EraseAfter. It does nothing before Reconcile, keeps to
// Options.ReclaimRate, and may be called at any time; Run calls it.
func (s *Store) Reclaim(ctx context.Context, group cluster.GroupID) (Reclaimed, error) {
	var done Reclaimed
	g := s.known(group)
	if g == nil || !g.back.ready() {
		return done, nil
	}
	g.reclaimMu.Lock()
	defer g.reclaimMu.Unlock()
	pace := &pacer{rate: s.opts.ReclaimRate}
	if err := g.retryIndexes(); err != nil {
		return done, err
	}
	if err := g.retire(ctx); err != nil {
		return done, err
	}
	if err := g.sweep(ctx, pace); err != nil {
		return done, err
	}
	freed, err := g.freeDead(ctx)
	done.Freed = freed
	if err != nil {
		return done, err
	}
	if err := g.saveNotes(); err != nil {
		return done, err
	}
	for _, seg := range g.worth() {
		n, err := g.rewrite(ctx, seg, pace)
		if err != nil {
			return done, err
		}
		done.Segments++
		done.Bytes += n
	}
	return done, g.removeBad()
}

// retire seals the active segment when the sweep or the erasure deadline
// needs it.
func (g *group) retire(ctx context.Context) error {
	now := time.Now()
	g.mu.Lock()
	a := g.active
	due := a != nil && !a.fresh &&
		(now.Sub(time.Unix(int64(a.created), 0)) > g.s.opts.OrphanAfter || g.overdue(a, now))
	g.mu.Unlock()
	if !due {
		return nil
	}
	return g.rotate(ctx)
}

// overdue reports whether seg has held a dead body for too long (R17);
// called with the lock.
func (g *group) overdue(seg *segment, now time.Time) bool {
	return seg.deadSince != 0 && now.Sub(time.Unix(seg.deadSince, 0)) >= g.s.opts.EraseAfter
}

// retryIndexes writes the index files that a full disk had kept back.
func (g *group) retryIndexes() error {
	g.mu.Lock()
	var todo []*segment
	for _, seg := range g.segs {
		if seg.sealed != 0 && !seg.indexed && !seg.indexing {
			todo = append(todo, seg)
		}
	}
	g.mu.Unlock()
	for _, seg := range todo {
		if err := g.writeIndex(seg); err != nil {
			return err
		}
	}
	return nil
}

// sweep looks for bodies in sealed segments that nothing refers to: those
// whose entry never came, and those whose death was hinted before a crash. A
// segment of before the start is due at once, a newer one after OrphanAfter.
func (g *group) sweep(ctx context.Context, pace *pacer) error {
	if g.s.opts.Live.Applied(g.id) == 0 {
		// This node enters the group anew, its log was lost (R25): the state is
		// still to come, and these are copies of what it will refer to.
		return nil
	}
	now := time.Now()
	g.mu.Lock()
	var todo []*segment
	for _, seg := range g.segs {
		if seg.sealed != 0 && seg.indexed && !seg.swept &&
			(seg.old || now.Sub(time.Unix(int64(seg.sealed), 0)) >= g.s.opts.OrphanAfter) {
			todo = append(todo, seg)
		}
	}
	g.mu.Unlock()
	for _, seg := range todo {
		entries, err := g.list(seg)
		if err != nil {
			return fmt.Errorf("body: sweeping a segment: %w", err)
		}
		for i := range entries {
			e := &entries[i]
			if err := pace.wait(ctx, indexEntryLen); err != nil {
				return err
			}
			g.mu.Lock()
			p, ok := g.tab.get(keyOf(e.id))
			g.mu.Unlock()
			if !ok || p != (place{seg.seq, e.off, e.size}) {
				continue
			}
			ref, err := g.s.opts.Live.Referenced(g.id, e.id)
			if err != nil {
				return fmt.Errorf("body: asking the state: %w", err)
			}
			if ref {
				continue
			}
			at := g.s.opts.Live.Applied(g.id)
			g.mu.Lock()
			if _, hinted := g.dead[e.id]; !hinted {
				g.dead[e.id] = at
				g.s.stats.orphans.Add(1)
			}
			g.mu.Unlock()
		}
		g.mu.Lock()
		seg.swept = true
		g.mu.Unlock()
	}
	return nil
}

// freeDead lets go of the bodies whose death is durable: a body is freed only
// if, under the lock, nothing refers to it, nobody has pinned it, and the
// state that says so is on disk (R11).
func (g *group) freeDead(ctx context.Context) (int, error) {
	durable := g.s.opts.Live.DurableApplied(g.id)
	g.mu.Lock()
	var ids []cluster.BodyID
	for id, at := range g.dead {
		if at <= durable {
			ids = append(ids, id)
		}
	}
	g.mu.Unlock()
	freed := 0
	defer func() { g.s.stats.freed.Add(uint64(freed)) }()
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return freed, err
		}
		ok, err := g.freeOne(id, durable)
		if err != nil {
			return freed, err
		}
		if ok {
			freed++
		}
	}
	return freed, nil
}

func (g *group) freeOne(id cluster.BodyID, durable uint64) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pins[id] > 0 || g.inflight[id] != nil || g.dead[id] > durable {
		return false, nil // the hint stays for the next pass
	}
	// Asked under the lock: whoever is about to need the body pins it first
	// and waits here.
	ref, err := g.s.opts.Live.Referenced(g.id, id)
	if err != nil {
		return false, fmt.Errorf("body: asking the state: %w", err)
	}
	delete(g.dead, id)
	if ref {
		return false, nil
	}
	p, ok := g.tab.del(keyOf(id))
	if ok {
		g.drop(p, time.Now())
	}
	return ok, nil
}

// worth returns the sealed segments worth rewriting, the emptiest first, so
// that a nearly full disk gains before it spends.
func (g *group) worth() []*segment {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	var list, small []*segment
	for _, seg := range g.segs {
		switch {
		case seg.sealed == 0 || !seg.indexed:
		case seg.count == 0 || len(seg.damaged) > 0 || 2*seg.live < seg.size-segHeaderLen || g.overdue(seg, now):
			list = append(list, seg)
		case seg.size < g.s.opts.SegmentSize/8:
			small = append(small, seg)
		}
	}
	if len(small) > manySmall {
		list = append(list, small...)
	}
	live := make(map[*segment]int64, len(list))
	for _, seg := range list {
		live[seg] = seg.live
	}
	slices.SortFunc(list, func(a, b *segment) int {
		return cmp.Or(cmp.Compare(live[a], live[b]), cmp.Compare(a.seq, b.seq))
	})
	return list
}

// rewrite copies what is alive in seg to the active segment and unlinks seg.
// The order is what makes it safe: the copies and the name of the file they
// are in are durable before the table points to them, and the table points to
// nothing in seg before it is unlinked. Readers that have it open keep it.
func (g *group) rewrite(ctx context.Context, seg *segment, pace *pacer) (int64, error) {
	entries, err := g.list(seg)
	if err != nil {
		return 0, fmt.Errorf("body: rewriting a segment: %w", err)
	}
	g.mu.Lock()
	before := seg.size
	moved := seg.live
	g.mu.Unlock()
	for len(entries) > 0 {
		n, total := 0, int64(0)
		for n < len(entries) && (n == 0 || total+int64(entries[n].size) <= moveBytes) {
			total += int64(entries[n].size)
			n++
		}
		if err := g.move(ctx, seg, entries[:n], pace); err != nil {
			return 0, err
		}
		entries = entries[n:]
	}
	g.mu.Lock()
	if seg.count != 0 {
		g.mu.Unlock()
		return 0, fmt.Errorf("body: segment %d of group %v still holds %d bodies", seg.seq, g.id, seg.count)
	}
	delete(g.segs, seg.seq)
	g.mu.Unlock()
	g.s.files.remove(seg)
	for _, suffix := range []string{segSuffix, indexSuffix} {
		path := g.s.fs.PathJoin(g.dir, fileName(seg.seq, suffix))
		if err := g.s.fs.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, g.s.fail(fmt.Errorf("unlinking a segment: %w", err))
		}
	}
	if err := g.s.syncDir(g.dir); err != nil {
		return 0, err
	}
	g.s.space.expire()
	g.s.stats.rewritten.Add(1)
	g.s.stats.reclaimedBytes.Add(uint64(max(0, before-moved)))
	return before - moved, nil
}

// move copies those of the records that are alive under one sync.
func (g *group) move(ctx context.Context, seg *segment, entries []indexEntry, pace *pacer) error {
	f, err := g.s.files.acquire(seg)
	if err != nil {
		return err
	}
	defer g.s.files.release(seg)
	var reqs []*request
	for _, e := range entries {
		at := place{seg.seq, e.off, e.size}
		g.mu.Lock()
		p, ok := g.tab.get(keyOf(e.id))
		g.mu.Unlock()
		if !ok || p != at {
			continue
		}
		b := make([]byte, recHeaderLen+int(e.size))
		if err := pace.wait(ctx, len(b)); err != nil {
			return errors.Join(err, g.awaitAll(reqs))
		}
		_, rerr := f.ReadAt(b, int64(e.off))
		if rerr == nil {
			rerr = checkRecord(b, seg, e)
		}
		data := b[recHeaderLen:]
		if rerr == nil && sha256.Sum256(data) != e.id {
			rerr = mailstore.ErrDamaged
		}
		if rerr != nil {
			g.quarantine(cluster.BodyRef{ID: e.id, Size: e.size}, at)
			continue
		}
		r := &request{id: e.id, data: data, crc: crc32.Checksum(data, castagnoli), class: putMove, moved: at, done: make(chan struct{})}
		if _, err := g.enqueue(r); err != nil {
			return errors.Join(err, g.awaitAll(reqs))
		}
		reqs = append(reqs, r)
	}
	return g.awaitAll(reqs)
}

func (g *group) awaitAll(reqs []*request) error {
	var first error
	for _, r := range reqs {
		<-r.done
		if r.err != nil && first == nil {
			first = r.err
		}
	}
	return first
}

// removeBad erases segments that were set aside as unreadable, once they are
// older than the erasure deadline.
func (g *group) removeBad() error {
	names, err := g.s.fs.List(g.dir)
	if err != nil {
		return fmt.Errorf("body: listing a group: %w", err)
	}
	for _, name := range names {
		if _, ok := parseFileName(name, badSuffix); !ok {
			continue
		}
		path := g.s.fs.PathJoin(g.dir, name)
		st, err := g.s.fs.Stat(path)
		if err != nil {
			return fmt.Errorf("body: looking at a bad segment: %w", err)
		}
		if time.Since(st.ModTime()) < g.s.opts.EraseAfter {
			continue
		}
		if err := g.s.fs.Remove(path); err != nil {
			return fmt.Errorf("body: removing a bad segment: %w", err)
		}
	}
	return nil
}
