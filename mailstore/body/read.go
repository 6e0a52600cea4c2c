package body

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

// Handle reads one body. It stays readable until Close, whatever becomes of
// the body meanwhile. ReadAt may be called concurrently.
type Handle struct {
	size   int64
	mem    *bytes.Reader // a body fetched from a peer
	s      *Store
	seg    *segment
	file   io.ReaderAt
	off    int64
	closed atomic.Bool
	free   func() // fetched: gives the memory's share back
}

var _ io.ReaderAt = (*Handle)(nil)

// Open returns a reader of a body on this node, or cluster.ErrNotHere.
func (s *Store) Open(group cluster.GroupID, id cluster.BodyID) (*Handle, error) {
	g := s.known(group)
	if g == nil {
		return nil, cluster.ErrNotHere
	}
	for {
		g.mu.Lock()
		p, ok := g.locate(id)
		seg := g.segs[p.seq]
		g.mu.Unlock()
		if !ok {
			return nil, cluster.ErrNotHere
		}
		h, err := s.openAt(seg, p)
		if errors.Is(err, errSegmentGone) {
			continue // reclaim moved it between the two locks
		}
		return h, err
	}
}

func (s *Store) openAt(seg *segment, p place) (*Handle, error) {
	f, err := s.files.acquire(seg)
	if err != nil {
		return nil, err
	}
	return &Handle{size: int64(p.size), s: s, seg: seg, file: f, off: int64(p.off) + recHeaderLen}, nil
}

// Size returns the length of the body in bytes.
func (h *Handle) Size() int64 { return h.size }

// ReadAt implements io.ReaderAt. An error of the disk comes wrapped in
// mailstore.ErrDamaged: Store.Verify then finds out and has it healed.
func (h *Handle) ReadAt(p []byte, off int64) (int, error) {
	if h.mem != nil {
		return h.mem.ReadAt(p, off)
	}
	if off < 0 {
		return 0, errors.New("body: negative offset")
	}
	if off >= h.size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), h.size-off)]
	n, err := h.file.ReadAt(want, h.off+off)
	h.s.stats.readBytes.Add(uint64(n))
	if n < len(want) {
		return n, fmt.Errorf("body: reading: %w: %w", mailstore.ErrDamaged, err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close lets go of the body. Closing twice is allowed.
func (h *Handle) Close() error {
	h.release()
	return nil
}

func (h *Handle) release() {
	if h.closed.Swap(true) {
		return
	}
	if h.seg != nil {
		h.s.files.release(h.seg)
	}
	if h.free != nil {
		h.free()
	}
}

// Verify reads a body on this node whole and compares it with its id. When it
// is damaged it is set aside, fetched again from a member in the background,
// and the error is mailstore.ErrDamaged. Readers call it when a body does not
// open.
func (s *Store) Verify(ctx context.Context, group cluster.GroupID, id cluster.BodyID) error {
	g := s.known(group)
	if g == nil {
		return cluster.ErrNotHere
	}
	g.mu.Lock()
	p, ok := g.tab.get(keyOf(id))
	seg := g.segs[p.seq]
	g.mu.Unlock()
	if !ok {
		return cluster.ErrNotHere
	}
	err := g.verify(ctx, seg, indexEntry{id, p.off, p.size}, nil)
	if errors.Is(err, mailstore.ErrDamaged) {
		g.quarantine(cluster.BodyRef{ID: id, Size: p.size}, p)
		return errors.Join(err, g.saveNotes())
	}
	return err
}

// verify reads one record and checks header and hash. With pace it goes no
// faster than that allows.
func (g *group) verify(ctx context.Context, seg *segment, e indexEntry, pace *pacer) error {
	f, err := g.s.files.acquire(seg)
	if err != nil {
		return err
	}
	defer g.s.files.release(seg)
	sum := sha256.New()
	buf := make([]byte, min(recHeaderLen+int64(e.size), 256<<10))
	off, left := int64(e.off), recHeaderLen+int64(e.size)
	for first := true; left > 0; first = false {
		b := buf[:min(left, int64(len(buf)))]
		if err := pace.wait(ctx, len(b)); err != nil {
			return err
		}
		if n, err := f.ReadAt(b, off); n < len(b) {
			return fmt.Errorf("body: %w: %w", mailstore.ErrDamaged, err)
		}
		off += int64(len(b))
		left -= int64(len(b))
		if first {
			if err := checkRecord(b, seg, e); err != nil {
				return err
			}
			b = b[recHeaderLen:]
		}
		sum.Write(b)
	}
	return checkSum(sum, e.id)
}

// checkRecord compares a record's header with what the index says of it.
func checkRecord(b []byte, seg *segment, e indexEntry) error {
	h, err := parseRecHeader(b, seg.salt, e.off)
	if err != nil {
		return fmt.Errorf("%w: %w", mailstore.ErrDamaged, err)
	}
	if h.id != e.id || h.size != e.size {
		return fmt.Errorf("body: %w: another body in its place", mailstore.ErrDamaged)
	}
	return nil
}

func checkSum(sum hash.Hash, id cluster.BodyID) error {
	var got cluster.BodyID
	sum.Sum(got[:0])
	if got != id {
		return fmt.Errorf("body: %w: hash differs", mailstore.ErrDamaged)
	}
	return nil
}

// quarantine takes a damaged body out of the table, so that it counts as
// missing and is fetched again. Its segment is rewritten soon, without it.
func (g *group) quarantine(ref cluster.BodyRef, p place) {
	g.mu.Lock()
	if cur, ok := g.tab.get(keyOf(ref.ID)); !ok || cur != p {
		g.mu.Unlock()
		return
	}
	g.tab.del(keyOf(ref.ID))
	g.drop(p, time.Now())
	seg := g.segs[p.seq]
	if seg.damaged == nil {
		seg.damaged = make(map[uint32]struct{})
	}
	seg.damaged[p.off] = struct{}{}
	g.mu.Unlock()
	g.s.stats.damaged.Add(1)
	g.s.log.Error("damaged body set aside", "group", g.id, "segment", p.seq, "offset", p.off)
	g.back.add(g.s, max(g.s.opts.Live.Applied(g.id), 1), true, ref)
}

// Pin keeps bodies from being reclaimed until release is called. The gate's
// caller and the proposer pin before they check that a body is here, until the
// entry that names it is durably applied or overwritten. Bodies need not be
// here yet.
func (s *Store) Pin(group cluster.GroupID, refs []cluster.BodyRef) (release func()) {
	g, err := s.group(group)
	if err != nil || len(refs) == 0 {
		return func() {} // closed or failed: nothing is reclaimed any more
	}
	refs = slices.Clone(refs)
	g.mu.Lock()
	for i := range refs {
		g.pins[refs[i].ID]++
	}
	g.mu.Unlock()
	var once atomic.Bool
	return func() {
		if once.Swap(true) {
			return
		}
		var absent []cluster.BodyRef
		g.mu.Lock()
		for _, r := range refs {
			if g.pins[r.ID]--; g.pins[r.ID] > 0 {
				continue
			}
			delete(g.pins, r.ID)
			if _, here := g.locate(r.ID); !here {
				absent = append(absent, r)
			}
		}
		g.mu.Unlock()
		if len(absent) > 0 {
			g.unpinned(absent)
		}
	}
}

// pacer keeps a background job to a rate. A nil pacer does not.
type pacer struct {
	rate int64 // bytes per second
	next time.Time
}

// wait takes n bytes from the budget and returns when they are due.
func (p *pacer) wait(ctx context.Context, n int) error {
	if p == nil {
		return ctx.Err()
	}
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	due := p.next
	p.next = p.next.Add(time.Duration(int64(n) * int64(time.Second) / p.rate))
	// Short debts are let run up, for timers are coarse.
	if d := due.Sub(now); d > 5*time.Millisecond {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}
