package body

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"altmail.se/altmail/cluster"
)

// badSuffix marks a segment that could not be read at all. It is kept for
// EraseAfter in case somebody wants to look at it.
const badSuffix = ".bad"

// openGroup makes or opens a group's folder and starts its writer.
func (s *Store) openGroup(id cluster.GroupID) (*group, error) {
	g := newGroup(s, id)
	if err := s.mkdirDurable(g.dir); err != nil {
		return nil, fmt.Errorf("making its folder: %w", err)
	}
	found, err := g.redo()
	if err != nil {
		return nil, err
	}
	doubtful, err := g.load()
	if err != nil {
		return nil, err
	}
	if err := g.joinJournal(); err != nil {
		return nil, err
	}
	go g.writeLoop()
	err = g.settle(doubtful)
	if err == nil && found {
		err = g.recall()
	}
	if err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

// load reads what is in the folder into the table. It returns the segments
// whose last batch may not have been synced.
func (g *group) load() (doubtful []*scanned, err error) {
	fs := g.s.fs
	names, err := fs.List(g.dir)
	if err != nil {
		return nil, fmt.Errorf("listing segments: %w", err)
	}
	var seqs []uint32
	indexed := make(map[uint32]bool)
	for _, name := range names {
		if seq, ok := parseFileName(name, segSuffix); ok {
			seqs = append(seqs, seq)
			g.nextSeq = max(g.nextSeq, seq+1)
		} else if seq, ok := parseFileName(name, indexSuffix); ok {
			indexed[seq] = true
			g.nextSeq = max(g.nextSeq, seq+1)
		} else if bytes.HasSuffix([]byte(name), []byte(tempSuffix)) {
			if err := fs.Remove(fs.PathJoin(g.dir, name)); err != nil {
				return nil, fmt.Errorf("removing a temporary file: %w", err)
			}
		}
	}
	notes, err := g.loadNotes()
	if err != nil {
		return nil, err
	}
	slices.Sort(seqs)
	for _, seq := range seqs {
		path := fs.PathJoin(g.dir, fileName(seq, segSuffix))
		var x *segIndex
		if indexed[seq] {
			delete(indexed, seq)
			if x, err = g.readIndex(seq); err != nil && !errors.Is(err, errFormat) {
				return nil, err
			}
		}
		if x != nil {
			if x, err = g.checkSize(path, x); err != nil {
				return nil, err
			}
		}
		if x == nil {
			sc, err := g.scan(seq, path)
			if errors.Is(err, errFormat) {
				g.s.stats.badSegments.Add(1)
				g.s.log.Error("segment unreadable, set aside", "group", g.id, "segment", seq, "err", err)
				if err := fs.Rename(path, fs.PathJoin(g.dir, fileName(seq, badSuffix))); err != nil {
					return nil, fmt.Errorf("setting a segment aside: %w", err)
				}
				continue
			} else if err != nil {
				return nil, err
			}
			doubtful = append(doubtful, sc)
			x = sc.index
		}
		g.addSegment(x, path, notes[seq])
	}
	for seq := range indexed { // its segment was unlinked, then we died
		if err := fs.Remove(fs.PathJoin(g.dir, fileName(seq, indexSuffix))); err != nil {
			return nil, fmt.Errorf("removing an index without a segment: %w", err)
		}
	}
	return doubtful, nil
}

// checkSize distrusts an index whose segment is shorter than it says.
func (g *group) checkSize(path string, x *segIndex) (*segIndex, error) {
	st, err := g.s.fs.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("measuring a segment: %w", err)
	}
	if uint64(st.Size()) < x.valid {
		return nil, nil
	}
	return x, nil
}

// addSegment takes the records of a segment into the table. A body that is in
// two segments counts where it was written last.
func (g *group) addSegment(x *segIndex, path string, n segNotes) {
	seg := &segment{
		seq: x.seq, salt: x.salt, created: x.created, path: path,
		size: int64(x.valid), sealed: max(x.sealed, 1), indexed: true,
		deadSince: n.since, damaged: n.damaged, old: true,
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.segs[seg.seq] = seg
	now := time.Now()
	for i := range x.entries {
		e := &x.entries[i]
		if _, bad := seg.damaged[e.off]; bad {
			seg.bury(now)
			continue
		}
		g.index(keyOf(e.id), place{seg.seq, e.off, e.size}, now)
	}
}

func (g *group) readIndex(seq uint32) (*segIndex, error) {
	b, err := g.readFile(fileName(seq, indexSuffix))
	if err != nil {
		return nil, fmt.Errorf("reading an index: %w", err)
	}
	x, err := parseSegIndex(b)
	if err != nil {
		return nil, err
	}
	if x.seq != seq || x.group != g.id {
		return nil, fmt.Errorf("%w: index of another segment", errFormat)
	}
	return x, nil
}

func (g *group) readFile(name string) ([]byte, error) {
	f, err := g.s.fs.Open(g.s.fs.PathJoin(g.dir, name))
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b := make([]byte, st.Size())
	_, err = io.ReadFull(f, b)
	return b, errors.Join(err, f.Close())
}

// scanned is what was found in a segment without an index.
type scanned struct {
	index *segIndex
	last  []indexEntry // the last batch: perhaps never synced
}

// scan reads a segment that was being written when the process or the machine
// stopped. What follows the last whole record is a torn tail and is cut, by
// not being listed. A damaged record in between is skipped, not taken for the
// end: whatever was answered must not be lost for it.
func (g *group) scan(seq uint32, path string) (*scanned, error) {
	f, err := g.s.fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening a segment: %w", err)
	}
	sc, err := scanSegment(f, g.id, seq)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("scanning segment %d: %w", seq, err)
	}
	return sc, nil
}

// readSegHeader reads the header of the segment that is to be seq of gid.
func readSegHeader(r io.ReaderAt, gid cluster.GroupID, seq uint32) (segHeader, error) {
	var b [segHeaderLen]byte
	if n, err := r.ReadAt(b[:], 0); err != nil && (err != io.EOF || n < len(b)) {
		if err == io.EOF {
			err = fmt.Errorf("%w: segment of %d bytes", errFormat, n)
		}
		return segHeader{}, err
	}
	h, err := parseSegHeader(b[:])
	if err == nil && (h.seq != seq || h.group != gid) {
		err = fmt.Errorf("%w: segment %d of group %v under this name", errFormat, h.seq, h.group)
	}
	return h, err
}

func scanSegment(r io.ReaderAt, gid cluster.GroupID, seq uint32) (*scanned, error) {
	h, err := readSegHeader(r, gid, seq)
	if err != nil {
		return nil, err
	}
	sc := &scanned{
		index: &segIndex{group: gid, seq: seq, salt: h.salt, created: h.created, valid: segHeaderLen},
	}
	var all []indexEntry
	lastBatch := 0
	br := bufio.NewReaderSize(io.NewSectionReader(r, segHeaderLen, maxSegment*2), 1<<20)
	off := int64(segHeaderLen)
	for {
		b, err := br.Peek(recHeaderLen)
		if len(b) < recHeaderLen {
			if err == io.EOF {
				break
			}
			return nil, err
		}
		rh, err := parseRecHeader(b, h.salt, uint32(off))
		if err != nil {
			// Not a record: look for the next one, byte by byte.
			n := 1 + max(0, bytes.IndexByte(b[1:], byte(recMagic&0xff)))
			if err := skip(br, n); err != nil {
				return nil, err
			}
			off += int64(n)
			continue
		}
		if rh.flags&flagBatch != 0 {
			lastBatch = len(all)
		}
		if err := skip(br, recHeaderLen); err != nil {
			return nil, err
		}
		crc := crc32.New(castagnoli)
		n, err := io.CopyN(crc, br, int64(rh.size))
		if err == io.EOF {
			break // torn
		} else if err != nil {
			return nil, err
		}
		if crc.Sum32() == rh.crc {
			all = append(all, indexEntry{rh.id, uint32(off), rh.size})
			sc.index.valid = uint64(off) + recHeaderLen + uint64(rh.size)
		}
		off += recHeaderLen + n
	}
	sc.index.entries = all[:lastBatch:lastBatch]
	sc.last = all[lastBatch:]
	return sc, nil
}

func skip(br *bufio.Reader, n int) error {
	_, err := br.Discard(n)
	return err
}

// settle makes the last batch of scanned segments certain. Its records may
// only be in the page cache, and after an fsync that failed the kernel would
// let the next one succeed without writing them, so they are written again,
// into a new segment. Only when there is no room for that is the old file
// synced and trusted.
func (g *group) settle(doubtful []*scanned) error {
	for _, sc := range doubtful {
		g.mu.Lock()
		seg := g.segs[sc.index.seq]
		g.mu.Unlock()
		if err := g.rewriteLast(seg, sc); err != nil {
			return err
		}
		g.mu.Lock()
		seg.entries = sc.index.entries
		seg.sealed = uint32(time.Now().Unix())
		seg.indexed = false
		g.mu.Unlock()
		g.s.stats.recovered.Add(1)
		if err := g.writeIndex(seg); err != nil && !errors.Is(err, cluster.ErrNoRoom) {
			return err
		}
	}
	return nil
}

func (g *group) rewriteLast(seg *segment, sc *scanned) error {
	f, err := g.s.files.acquire(seg)
	if err != nil {
		return err
	}
	defer g.s.files.release(seg)
	var mu sync.Mutex
	var trusted []indexEntry // under mu
	var eg errgroup.Group
	eg.SetLimit(64) // they share syncs
	for _, e := range sc.last {
		eg.Go(func() error {
			data := make([]byte, e.size)
			if _, err := f.ReadAt(data, int64(e.off)+recHeaderLen); err != nil {
				return fmt.Errorf("reading the last batch of a segment: %w", err)
			}
			if sha256.Sum256(data) != e.id {
				g.s.stats.badHash.Add(1)
				return nil
			}
			err := g.put(context.Background(), e.id, data, putMove)
			if errors.Is(err, cluster.ErrNoRoom) {
				mu.Lock()
				defer mu.Unlock()
				trusted = append(trusted, e)
			} else if err != nil {
				return fmt.Errorf("writing the last batch of a segment again: %w", err)
			}
			return nil
		})
	}
	if err := eg.Wait(); err != nil {
		return err
	}
	// Also without any: if the journal that had it is lost, what lies before
	// the last mark may be only in the page cache.
	if err := f.Sync(); err != nil {
		return g.s.fail(fmt.Errorf("syncing a segment: %w", err))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for _, e := range trusted {
		g.index(keyOf(e.id), place{seg.seq, e.off, e.size}, now)
	}
	sc.index.entries = append(sc.index.entries, trusted...)
	return nil
}

// writeIndex writes the index file of a sealed segment. Until that is durable
// the segment is scanned at open.
func (g *group) writeIndex(seg *segment) error {
	g.mu.Lock()
	seg.indexing = true
	x := segIndex{
		group: g.id, seq: seg.seq, salt: seg.salt, created: seg.created,
		sealed: seg.sealed, valid: uint64(seg.size), entries: seg.entries,
	}
	g.mu.Unlock()
	b := x.append(make([]byte, 0, indexHeaderLen+len(x.entries)*indexEntryLen+4))
	err := g.s.replaceFile(g.dir, fileName(seg.seq, indexSuffix), b)
	g.mu.Lock()
	defer g.mu.Unlock()
	seg.indexing = false
	if err != nil {
		return fmt.Errorf("writing an index: %w", err)
	}
	seg.indexed = true
	seg.entries = nil
	return nil
}

// list returns the records of a sealed segment.
func (g *group) list(seg *segment) ([]indexEntry, error) {
	g.mu.Lock()
	indexed, entries := seg.indexed, seg.entries
	g.mu.Unlock()
	if !indexed {
		return entries, nil
	}
	x, err := g.readIndex(seg.seq)
	if err == nil {
		return x.entries, nil
	}
	if !errors.Is(err, errFormat) && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// The index rotted; the segment tells the same, more slowly.
	f, err := g.s.files.acquire(seg)
	if err != nil {
		return nil, err
	}
	defer g.s.files.release(seg)
	sc, err := scanSegment(f, g.id, seg.seq)
	if err != nil {
		return nil, err
	}
	return append(sc.index.entries, sc.last...), nil
}

// segNotes is what the notes file says of one segment.
type segNotes struct {
	since   int64
	damaged map[uint32]struct{}
}

func (g *group) loadNotes() (map[uint32]segNotes, error) {
	m := make(map[uint32]segNotes)
	b, err := g.readFile(notesName)
	if errors.Is(err, os.ErrNotExist) {
		return m, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading notes: %w", err)
	}
	g.savedNotes = b
	notes, err := parseNotes(b)
	if err != nil {
		// Scrub and the sweep find all of it again.
		g.s.log.Error("notes unreadable, starting without", "group", g.id, "err", err)
		return m, nil
	}
	for _, n := range notes {
		sn := m[n.seq]
		if n.off == 0 {
			sn.since = int64(n.since)
		} else {
			if sn.damaged == nil {
				sn.damaged = make(map[uint32]struct{})
			}
			sn.damaged[n.off] = struct{}{}
		}
		m[n.seq] = sn
	}
	return m, nil
}

// saveNotes writes down since when segments hold dead bodies, so that a
// restart does not begin the erasure deadline anew, and which records are
// damaged.
func (g *group) saveNotes() error {
	g.notesMu.Lock()
	defer g.notesMu.Unlock()
	var notes []note
	g.mu.Lock()
	for seq, seg := range g.segs {
		if seg.deadSince != 0 {
			notes = append(notes, note{seq: seq, since: uint64(seg.deadSince)})
		}
		for off := range seg.damaged {
			notes = append(notes, note{seq: seq, off: off})
		}
	}
	g.mu.Unlock()
	slices.SortFunc(notes, func(a, b note) int {
		return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.off, b.off))
	})
	b := appendNotes(nil, notes)
	if g.savedNotes != nil && bytes.Equal(b, g.savedNotes) {
		return nil
	}
	if len(notes) == 0 && g.savedNotes == nil {
		return nil
	}
	if err := g.s.replaceFile(g.dir, notesName, b); err != nil {
		return fmt.Errorf("writing notes: %w", err)
	}
	g.savedNotes = b
	return nil
}
