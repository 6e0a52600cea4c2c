package body

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/journal"
)

// group is one group's bodies on this node.
type group struct {
	s   *Store
	id  cluster.GroupID
	dir string

	mu       sync.Mutex // guards what follows; never held over a disk write
	tab      table
	segs     map[uint32]*segment
	active   *segment // the one being written; nil before the first write
	nextSeq  uint32
	queue    []*request
	inflight map[cluster.BodyID]*request // queued or being written
	pins     map[cluster.BodyID]int
	waiters  map[cluster.BodyID][]*waiter // Ensure calls
	pulling  map[cluster.BodyID]struct{}
	dead     map[cluster.BodyID]uint64 // hint: the index at which it died
	gone     map[cluster.BodyID]uint64 // proven gone at this durable index
	back     backfill
	grace    graceTimer
	closing  bool
	sealed   bool // nothing is written any more
	flushing bool // a segment is being synced for the journal

	kick       chan struct{}  // wakes the writer
	stopped    chan struct{}  // closed when the writer has ended
	indexers   sync.WaitGroup // and who syncs for the journal
	reclaimMu  sync.Mutex     // one pass of Reclaim at a time
	notesMu    sync.Mutex     // one writer of the notes file
	savedNotes []byte         // under notesMu: what it holds

	jw      *journal.Writer // nil: every batch is synced in its segment
	pending sync.WaitGroup  // batches that wait for the journal

	// The writer's own.
	buf  []byte
	last journal.Ticket // of the newest batch in the journal
}

// request is one record on its way to the disk.
type request struct {
	id     cluster.BodyID
	data   []byte
	crc    uint32
	moved  place // reclaim: where the record lies now
	class  putClass
	rotate bool // no record: seal the active segment
	done   chan struct{}

	err     error // this and the rest: valid after done
	at      place
	sealing <-chan struct{} // rotate: closed when the index was written

	joined int  // under group.mu: other Puts that wait for this one
	taken  bool // under group.mu: the writer uses data
	staged bool // under group.mu: written at at, durable before any entry stored from now on
}

func newGroup(s *Store, id cluster.GroupID) *group {
	g := &group{
		s: s, id: id, dir: s.fs.PathJoin(s.dir, id.String()),
		segs:     make(map[uint32]*segment),
		nextSeq:  1,
		inflight: make(map[cluster.BodyID]*request),
		pins:     make(map[cluster.BodyID]int),
		waiters:  make(map[cluster.BodyID][]*waiter),
		pulling:  make(map[cluster.BodyID]struct{}),
		dead:     make(map[cluster.BodyID]uint64),
		gone:     make(map[cluster.BodyID]uint64),
		kick:     make(chan struct{}, 1),
		stopped:  make(chan struct{}),
	}
	g.back.init()
	return g
}

// locate returns where a body lies that is durable here, or staged: an entry
// that is stored from now on finds it there. Called with the lock.
func (g *group) locate(id cluster.BodyID) (place, bool) {
	if p, ok := g.tab.get(keyOf(id)); ok {
		return p, true
	}
	if r := g.inflight[id]; r != nil && r.staged {
		return r.at, true
	}
	return place{}, false
}

// join answers a Put without writing: the body is here, or somebody else is
// just putting it.
func (g *group) join(ctx context.Context, id cluster.BodyID) (done bool, err error) {
	g.mu.Lock()
	if _, ok := g.tab.get(keyOf(id)); ok {
		g.mu.Unlock()
		return true, nil
	}
	r := g.inflight[id]
	if r == nil {
		g.mu.Unlock()
		return false, nil
	}
	r.joined++
	g.mu.Unlock()
	select {
	case <-r.done:
		return true, r.err
	case <-ctx.Done():
		g.mu.Lock()
		r.joined--
		g.mu.Unlock()
		return true, fmt.Errorf("body: waiting for a write: %w", ctx.Err())
	}
}

// enqueue hands r to the writer, unless its body has come meanwhile.
func (g *group) enqueue(r *request) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.s.failure(); err != nil {
		return false, err
	}
	if g.closing {
		return false, cluster.ErrStopped
	}
	if r.moved.seq == 0 && !r.rotate {
		if g.inflight[r.id] != nil {
			return false, nil
		}
		if _, ok := g.tab.get(keyOf(r.id)); ok {
			return false, nil
		}
		g.inflight[r.id] = r
	}
	g.queue = append(g.queue, r)
	g.wake()
	return true, nil
}

func (g *group) wake() {
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

// await waits until r is durable. When ctx ends it withdraws r, unless the
// writer has it or others wait for it: then the data is in use until the
// write has ended.
func (g *group) await(ctx context.Context, r *request) error {
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
	}
	g.mu.Lock()
	if !r.taken && r.joined == 0 {
		if i := slices.Index(g.queue, r); i >= 0 {
			g.queue = slices.Delete(g.queue, i, i+1)
			if g.inflight[r.id] == r {
				delete(g.inflight, r.id)
			}
			g.mu.Unlock()
			return fmt.Errorf("body: waiting for a write: %w", ctx.Err())
		}
	}
	g.mu.Unlock()
	<-r.done
	return r.err
}

// writeLoop is the group's only writer. While one batch is written and synced
// the next collects in the queue; there is no timer.
func (g *group) writeLoop() {
	defer close(g.stopped)
	for {
		g.mu.Lock()
		for len(g.queue) == 0 {
			if g.closing {
				g.mu.Unlock()
				return
			}
			g.mu.Unlock()
			<-g.kick
			g.mu.Lock()
		}
		batch, rotate := g.take()
		g.mu.Unlock()

		err := g.s.failure()
		if err == nil && rotate {
			batch[0].sealing, err = g.seal()
		}
		if err == nil && !batch[0].rotate {
			var later bool
			if later, err = g.commit(batch); later {
				continue
			}
		}
		g.finish(batch, err)
	}
}

// take returns the requests of the next batch and whether the active segment
// must be sealed before it. A request to rotate stands for itself.
func (g *group) take() (batch []*request, rotate bool) {
	room := int64(0)
	if g.active != nil {
		room = g.s.opts.SegmentSize - g.active.end
	}
	if g.queue[0].rotate {
		batch, rotate = g.queue[:1], true
	} else {
		n, total := 0, int64(0)
		for n < len(g.queue) && !g.queue[n].rotate {
			size := recHeaderLen + int64(len(g.queue[n].data))
			if n == 0 && size > room {
				rotate = true
				room = max(size, g.s.opts.SegmentSize-segHeaderLen)
			}
			if n > 0 && (total+size > room || total+size > g.s.opts.MaxBatch) {
				break
			}
			total += size
			n++
		}
		batch = g.queue[:n]
	}
	for _, r := range batch {
		r.taken = true
	}
	batch = slices.Clone(batch)
	g.queue = slices.Delete(g.queue, 0, len(batch))
	if len(g.queue) == 0 && cap(g.queue) > 1024 {
		g.queue = nil
	}
	return batch, rotate
}

// directWrite is the size from which a body is written from where it lies
// instead of being copied beside its neighbours.
const directWrite = 128 << 10

// commit appends the records of batch to the active segment and syncs it, or
// has the journal keep them until the segment is synced; later is true then,
// and the batch is answered when the journal has it. It runs on the writer's
// goroutine, without the lock.
func (g *group) commit(batch []*request) (later bool, err error) {
	seg, fresh, err := g.writable()
	if err != nil {
		return false, g.writeError(seg, err)
	}
	f, err := g.s.files.acquire(seg)
	if err != nil {
		return false, g.writeError(seg, err)
	}
	defer g.s.files.release(seg)

	begin := seg.end // written by this goroutine only
	mark, err := g.mayMark(seg, fresh)
	if err != nil {
		return false, err
	}
	off := begin
	buf := g.buf[:0]
	if fresh {
		off = 0
		buf = appendSegHeader(buf, segHeader{g.id, seg.seq, seg.salt, seg.created})
	}
	small := g.small(batch, fresh)
	flush := func() error {
		if len(buf) == 0 {
			return nil
		}
		if _, err := f.WriteAt(buf, off); err != nil {
			return err
		}
		off += int64(len(buf))
		if !small { // else the journal needs it
			buf = buf[:0]
		}
		return nil
	}
	for i, r := range batch {
		h := recHeader{size: uint32(len(r.data)), crc: r.crc, id: r.id}
		if i == 0 && mark {
			h.flags = flagBatch
		}
		at := uint32(off) + uint32(len(buf))
		r.at = place{seg.seq, at, h.size}
		buf = appendRecHeader(buf, h, seg.salt, at)
		if len(r.data) < directWrite {
			buf = append(buf, r.data...)
			if small || len(buf) < 1<<20 {
				continue
			}
		}
		if err := flush(); err != nil {
			return false, g.writeError(seg, err)
		}
		if len(r.data) >= directWrite {
			if _, err := f.WriteAt(r.data, off); err != nil {
				return false, g.writeError(seg, err)
			}
			off += int64(len(r.data))
		}
	}
	if err := flush(); err != nil {
		return false, g.writeError(seg, err)
	}
	g.buf = buf
	seg.end = off
	if small {
		t, ok, err := g.log(seg, begin, buf)
		if err != nil {
			return false, err
		}
		if ok {
			g.later(batch, seg, off, t)
			return true, nil
		}
	}
	logged := seg.logged // written by this goroutine only
	if !noSyncSegment {
		if err := f.SyncData(); err != nil {
			return false, g.s.fail(fmt.Errorf("syncing a segment: %w", err))
		}
	}
	g.s.stats.syncs.Add(1)
	if fresh && !noSyncDir {
		if err := g.s.syncDir(g.dir); err != nil {
			return false, err
		}
	}
	g.mu.Lock()
	seg.size = off
	seg.fresh = false
	g.mu.Unlock()
	g.home(seg, logged)
	return false, nil
}

// mayMark reports whether everything in seg is durable by now, so that the next
// record may say so. When none could for long it waits until that is so.
func (g *group) mayMark(seg *segment, fresh bool) (bool, error) {
	g.mu.Lock()
	mark := fresh || seg.size == seg.end
	g.mu.Unlock()
	if !mark && seg.end-seg.marked >= markEvery {
		if err := g.drain(); err != nil {
			return false, err
		}
		mark = true
	}
	if mark {
		seg.marked = seg.end
	}
	return mark, nil
}

// writable returns the active segment, making one if there is none.
func (g *group) writable() (seg *segment, fresh bool, err error) {
	if g.active != nil { // written by this goroutine only
		return g.active, g.active.fresh, nil
	}
	var salt [8]byte
	rand.Read(salt[:]) // never fails (crypto/rand)
	g.mu.Lock()
	seq := g.nextSeq
	g.nextSeq++
	g.mu.Unlock()
	seg = &segment{
		seq: seq, salt: binary.LittleEndian.Uint64(salt[:]),
		created: uint32(time.Now().Unix()),
		path:    g.s.fs.PathJoin(g.dir, fileName(seq, segSuffix)),
		size:    segHeaderLen, end: segHeaderLen, fresh: true,
	}
	f, err := g.s.fs.OpenReadWrite(seg.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return seg, true, fmt.Errorf("making a segment: %w", err)
	}
	g.s.files.adopt(seg, f)
	g.mu.Lock()
	g.segs[seq] = seg
	g.active = seg
	g.mu.Unlock()
	return seg, true, nil
}

// writeError judges a failed write. A full disk is no reason to die: nothing
// of the batch was promised, so the file is left as it is, never written
// again, and ends where its last synced record does. Anything else is fatal.
func (g *group) writeError(seg *segment, err error) error {
	if !vfs.IsNoSpaceError(err) {
		return g.s.fail(fmt.Errorf("writing a segment: %w", err))
	}
	g.s.stats.noSpace.Add(1)
	g.s.space.expire()
	if seg != nil && g.active == seg {
		if _, serr := g.seal(); serr != nil {
			return serr
		}
	}
	return fmt.Errorf("body: %w: %w", cluster.ErrNoRoom, err)
}

// seal ends the active segment, if there is one, and has its index file
// written; the channel is closed when that has been tried. It runs on the
// writer's goroutine.
func (g *group) seal() (<-chan struct{}, error) {
	done := make(chan struct{})
	if err := g.drain(); err != nil {
		return nil, err
	}
	g.mu.Lock()
	seg := g.active
	g.mu.Unlock()
	if seg != nil {
		if err := g.bringHome(seg); err != nil {
			return nil, err
		}
	}
	g.mu.Lock()
	if seg == nil {
		g.mu.Unlock()
		close(done)
		return done, nil
	}
	g.active = nil
	seg.sealed = uint32(time.Now().Unix())
	if seg.fresh { // nothing in it was ever synced
		delete(g.segs, seg.seq)
		g.mu.Unlock()
		close(done)
		g.s.files.remove(seg)
		g.s.files.release(seg)
		if err := g.s.fs.Remove(seg.path); err != nil {
			return nil, g.s.fail(fmt.Errorf("removing an empty segment: %w", err))
		}
		return done, nil
	}
	seg.indexing = true
	g.mu.Unlock()
	g.s.files.release(seg)
	g.indexers.Go(func() {
		defer close(done)
		if err := g.writeIndex(seg); err != nil {
			g.s.log.Error("segment left without an index", "group", g.id, "segment", seg.seq, "err", err)
		}
	})
	return done, nil
}

// finish answers the requests of a batch.
func (g *group) finish(batch []*request, err error) {
	g.mu.Lock()
	var ready []*waiter
	now := time.Now()
	for _, r := range batch {
		r.err = err
		if r.rotate {
			continue
		}
		if r.moved.seq == 0 {
			delete(g.inflight, r.id)
		}
		if err != nil {
			continue
		}
		seg := g.segs[r.at.seq]
		seg.entries = append(seg.entries, indexEntry{r.id, r.at.off, r.at.size})
		k := keyOf(r.id)
		if r.moved.seq != 0 {
			// Freed or healed while it was copied: the copy is born dead.
			if cur, ok := g.tab.get(k); !ok || cur != r.moved {
				seg.bury(now)
				continue
			}
		}
		g.index(k, r.at, now)
		delete(g.gone, r.id)
		if g.back.settle(r.id) {
			g.s.stats.healed.Add(1)
		}
		ready = g.arrived(r.id, ready)
	}
	g.mu.Unlock()
	if err == nil {
		g.s.stats.puts.Add(uint64(len(batch)))
	}
	for _, r := range batch {
		close(r.done)
	}
	for _, w := range ready {
		close(w.done)
	}
}

// index notes that the body with key k lies at p; called with the lock.
func (g *group) index(k key, p place, now time.Time) {
	seg := g.segs[p.seq]
	seg.live += recHeaderLen + int64(p.size)
	seg.count++
	if old, had := g.tab.put(k, p); had {
		g.drop(old, now)
	}
}

// drop notes that the record at p is dead; called with the lock.
func (g *group) drop(p place, now time.Time) {
	seg := g.segs[p.seq]
	if seg == nil {
		return
	}
	seg.live -= recHeaderLen + int64(p.size)
	seg.count--
	seg.bury(now)
}

// rotate seals the active segment, if there is one, and waits for its index.
func (g *group) rotate(ctx context.Context) error {
	r := &request{rotate: true, done: make(chan struct{})}
	if _, err := g.enqueue(r); err != nil {
		return err
	}
	if err := g.await(ctx, r); err != nil {
		return err
	}
	<-r.sealing
	return nil
}

// close writes what is queued, seals the active segment and ends the writer.
func (g *group) close() error {
	g.mu.Lock()
	g.closing = true
	g.wake()
	g.mu.Unlock()
	<-g.stopped
	err := g.drain()
	failed := err != nil
	if !failed {
		_, err = g.seal()
	}
	g.mu.Lock()
	g.sealed = true
	g.mu.Unlock()
	g.indexers.Wait()
	if failed {
		return g.leaveJournal() // reported by Fatal; nothing may be written any more
	}
	return errors.Join(err, g.saveNotes(), g.leaveJournal())
}
