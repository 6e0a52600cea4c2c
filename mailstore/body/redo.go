package body

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/journal"
)

const (
	redoVersion   = 1
	redoHeaderLen = 20

	// maxSmall and maxTogether bound what goes by way of the journal, in bytes
	// of one body and of one batch: what is larger is written once, and its
	// own sync costs little beside it.
	maxSmall    = 64 << 10
	maxTogether = 512 << 10

	// markEvery is the distance, in bytes, after which the writer waits for
	// what is on its way, so that the next record can be marked. It bounds what
	// recovery must write again.
	markEvery = 2 << 20
)

// redo is the content of a journal record: bytes of a segment which may not
// have been synced there.
type redo struct {
	seq     uint32
	salt    uint64 // which life of that name
	off     uint32
	records []byte // whole records, back to back
}

func appendRedoHead(b []byte, seq uint32, salt uint64, off uint32) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, redoVersion)
	b = le.AppendUint32(b, seq)
	b = le.AppendUint64(b, salt)
	return le.AppendUint32(b, off)
}

// parseRedo checks all that the record claims: that it holds whole records
// which belong where it says.
func parseRedo(b []byte) (redo, error) {
	var r redo
	if len(b) < redoHeaderLen {
		return r, fmt.Errorf("%w: redo record is short", errFormat)
	}
	le := binary.LittleEndian
	if v := le.Uint32(b); v != redoVersion {
		return r, fmt.Errorf("%w: redo record of version %d", errFormat, v)
	}
	r = redo{seq: le.Uint32(b[4:]), salt: le.Uint64(b[8:]), off: le.Uint32(b[16:]), records: b[redoHeaderLen:]}
	if r.seq == 0 || r.off < segHeaderLen || len(r.records) == 0 || uint64(r.off)+uint64(len(r.records)) > 2*maxSegment {
		return r, fmt.Errorf("%w: place of a redo record", errFormat)
	}
	if err := r.each(func(cluster.BodyID, []byte) error { return nil }); err != nil {
		return r, err
	}
	return r, nil
}

// each calls f with every body of the record, until one is not well formed or f
// fails.
func (r redo) each(f func(id cluster.BodyID, data []byte) error) error {
	for at := 0; at < len(r.records); {
		p := r.records[at:]
		h, err := parseRecHeader(p, r.salt, r.off+uint32(at))
		if err != nil {
			return fmt.Errorf("redo record: %w", err)
		}
		if int64(h.size) > int64(len(p)-recHeaderLen) {
			return fmt.Errorf("%w: length of a body in a redo record", errFormat)
		}
		at += recHeaderLen + int(h.size)
		data := p[recHeaderLen : recHeaderLen+int(h.size)]
		if crc32.Checksum(data, castagnoli) != h.crc {
			return fmt.Errorf("%w: body in a redo record", errFormat)
		}
		if err := f(h.id, data); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) stream() journal.Stream { return journal.Stream{Group: g.id, Kind: journal.KindBody} }

// joinJournal becomes the writer of the group's stream.
func (g *group) joinJournal() (err error) {
	if g.s.opts.Journal == nil {
		return nil
	}
	if g.jw, err = g.s.opts.Journal.Stream(g.stream(), g.flush); err != nil {
		return fmt.Errorf("joining the journal: %w", err)
	}
	return nil
}

// leaveJournal gives the stream up.
func (g *group) leaveJournal() error {
	if g.jw == nil {
		return nil
	}
	return g.jw.Close()
}

// redo writes what the journal holds of segments to where it belongs, and
// syncs it. A segment that is not there, or is another one by that name, was
// rewritten since. Nothing newer can be overwritten: a segment is only ever
// appended to, and never after the life of the process that made it. It runs
// before the segments are looked at.
func (g *group) redo() (found bool, err error) {
	if g.s.opts.Journal == nil {
		return false, nil
	}
	files := make(map[uint32]*redoFile)
	defer func() {
		for _, f := range files {
			if f.file != nil {
				err = errors.Join(err, f.file.Close())
			}
		}
	}()
	err = g.s.opts.Journal.Replay(g.stream(), func(_ uint64, content []byte) error {
		r, err := parseRedo(content)
		if err != nil {
			return err
		}
		f := files[r.seq]
		if f == nil {
			if f, err = g.openRedo(r.seq); err != nil {
				return err
			}
			files[r.seq] = f
		}
		if f.file == nil || f.salt != r.salt {
			g.s.stats.redoStale.Add(1)
			return nil
		}
		// Also where it reads the same: it may be only in the page cache.
		if _, err := f.file.WriteAt(r.records, int64(r.off)); err != nil {
			return err
		}
		f.dirty, found = true, true
		g.s.stats.redone.Add(1)
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("redoing the journal: %w", err)
	}
	for _, f := range files {
		if !f.dirty {
			continue
		}
		if err := f.file.Sync(); err != nil {
			return false, g.s.fail(fmt.Errorf("syncing a segment: %w", err))
		}
	}
	return found, nil
}

// recall stores again what the journal holds of segments that are here and the
// table does not have: somebody opened the store without its journal after a
// power loss, and wrote an index of what was there. It runs after the segments
// were looked at. Bodies of segments that were rewritten stay forgotten.
func (g *group) recall() error {
	err := g.s.opts.Journal.Replay(g.stream(), func(_ uint64, content []byte) error {
		r, err := parseRedo(content)
		if err != nil {
			return err
		}
		g.mu.Lock()
		seg := g.segs[r.seq]
		g.mu.Unlock()
		if seg == nil || seg.salt != r.salt {
			return nil
		}
		return r.each(func(id cluster.BodyID, data []byte) error {
			if g.has(id) {
				return nil
			}
			if sha256.Sum256(data) != id {
				g.s.stats.badHash.Add(1)
				return nil
			}
			g.s.stats.recalled.Add(1)
			return g.put(context.Background(), id, data, putMove)
		})
	})
	if err != nil {
		return fmt.Errorf("recalling from the journal: %w", err)
	}
	return nil
}

// redoFile is a segment being redone; without a file it is not there any more.
type redoFile struct {
	file  vfs.File
	salt  uint64
	dirty bool
}

func (g *group) openRedo(seq uint32) (*redoFile, error) {
	path := g.s.fs.PathJoin(g.dir, fileName(seq, segSuffix))
	if _, err := g.s.fs.Stat(path); errors.Is(err, os.ErrNotExist) {
		return &redoFile{}, nil
	} else if err != nil {
		return nil, err
	}
	f, err := g.s.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	h, err := readSegHeader(f, g.id, seq)
	if errors.Is(err, errFormat) {
		// load sets it aside, and what it held counts as missing.
		g.s.log.Error("segment unreadable, the journal's part of it is lost", "group", g.id, "segment", seq, "err", err)
		return &redoFile{}, f.Close()
	} else if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &redoFile{file: f, salt: h.salt}, nil
}

// small reports whether a batch goes by way of the journal. What reclaim moves
// does not: nobody waits for it, and it comes in large pieces. Nor does what
// recovery writes: nothing goes home from a full journal before Settle.
func (g *group) small(batch []*request, fresh bool) bool {
	if g.jw == nil || fresh || noSyncSegment {
		return false
	}
	total := 0
	for _, r := range batch {
		total += recHeaderLen + len(r.data)
		if len(r.data) > maxSmall || total > maxTogether || r.class == putMove {
			return false
		}
	}
	return true
}

// log appends to the journal what was just written to seg at off. ok is false
// if the segment must be synced instead. It runs on the writer's goroutine.
func (g *group) log(seg *segment, off int64, records []byte) (t journal.Ticket, ok bool, err error) {
	var head [redoHeaderLen]byte
	h := appendRedoHead(head[:0], seg.seq, seg.salt, uint32(off))
	if g.s.opts.LogInJournal { // an entry that names them is about to follow
		t, err = g.jw.AppendLazy(h, records)
	} else {
		t, err = g.jw.Append(h, records)
	}
	switch {
	case errors.Is(err, cluster.ErrStopped), errors.Is(err, cluster.ErrTooLarge):
		return t, false, nil
	case err != nil:
		return t, false, g.s.fail(fmt.Errorf("writing to the journal: %w", err))
	}
	return t, true, nil
}

// later answers a batch that is in the journal, behind the writer's back, once
// it is durable there. end is where it ends in seg.
func (g *group) later(batch []*request, seg *segment, end int64, t journal.Ticket) {
	g.s.stats.journaled.Add(1)
	g.last = t
	var ready []*waiter
	g.mu.Lock()
	seg.logged = t.End
	if g.s.opts.LogInJournal {
		for _, r := range batch {
			r.staged = true
			ready = g.arrived(r.id, ready)
		}
	}
	g.mu.Unlock()
	for _, w := range ready {
		close(w.done)
	}
	g.pending.Go(func() {
		<-t.Done()
		err := t.Wait()
		if err != nil {
			err = g.s.fail(fmt.Errorf("syncing the journal: %w", err))
		} else {
			g.mu.Lock()
			seg.size = max(seg.size, end)
			g.mu.Unlock()
		}
		g.finish(batch, err)
	})
}

// drain waits until all that is on its way through the journal was answered.
// It runs on the writer's goroutine, or after it.
func (g *group) drain() error {
	if g.last.End != 0 {
		// Its error reaches the batch and ends the process there.
		_ = g.last.Wait()
	}
	g.pending.Wait()
	return g.s.failure()
}

// flush is called by the journal when it wants the group's records to go home.
func (g *group) flush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.flushing || g.sealed || g.active == nil || g.active.home >= g.active.logged {
		return
	}
	g.flushing = true
	seg := g.active
	g.indexers.Go(func() {
		err := g.bringHome(seg)
		g.mu.Lock()
		g.flushing = false
		g.mu.Unlock()
		if err != nil {
			g.s.log.Error("segment not synced", "group", g.id, "segment", seg.seq, "err", err)
		}
	})
}

// bringHome syncs a segment, so that what the journal holds of it is not needed
// any more. Writing goes on meanwhile.
func (g *group) bringHome(seg *segment) error {
	if err := g.s.failure(); err != nil {
		return err
	}
	g.mu.Lock()
	lsn := seg.logged // the bytes of all below were written before
	done := seg.home >= lsn
	g.mu.Unlock()
	if done {
		return nil
	}
	f, err := g.s.files.acquire(seg)
	if errors.Is(err, errSegmentGone) {
		return nil // sealed, so synced, and rewritten since
	} else if err != nil {
		return err
	}
	defer g.s.files.release(seg)
	if err := f.SyncData(); err != nil {
		return g.s.fail(fmt.Errorf("syncing a segment: %w", err))
	}
	g.s.stats.flushes.Add(1)
	g.home(seg, lsn)
	return nil
}

// home tells the journal that a segment's records below lsn are synced in it.
// Earlier segments of the group are sealed, and were synced before that.
func (g *group) home(seg *segment, lsn uint64) {
	if lsn == 0 {
		return
	}
	g.mu.Lock()
	seg.home = max(seg.home, lsn)
	g.mu.Unlock()
	g.jw.Home(lsn)
}
