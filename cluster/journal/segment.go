package journal

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// segment is one file of the journal. It is used again and again: overwriting
// costs the file system no change of its own metadata, so that its fdatasync
// is about half the price of one after an append.
type segment struct {
	name string
	file vfs.File
	base uint64            // LSN of its first record
	used int64             // bytes written in this life, the header included
	last map[Stream]uint64 // per stream the end of its last record here
}

func segName(serial uint32) string { return fmt.Sprintf("%08x.journal", serial) }

// newSegment makes a file and fills it, so that writing to it later changes
// nothing but its content.
func (j *Journal) newSegment(serial uint32) (*segment, error) {
	s := &segment{name: segName(serial)}
	f, err := j.fs.OpenReadWrite(j.fs.PathJoin(j.dir, s.name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	s.file = f
	zero := make([]byte, min(j.o.SegmentSize, 1<<20))
	for off := int64(0); off < j.o.SegmentSize; off += int64(len(zero)) {
		zero = zero[:min(int64(len(zero)), j.o.SegmentSize-off)]
		if _, err := f.WriteAt(zero, off); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	if err := f.Sync(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := j.syncDir(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

func (j *Journal) syncDir() error {
	d, err := j.fs.OpenDir(j.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// run is the only writer: it takes what has collected, writes it and syncs it.
// While it does, the next batch collects.
func (j *Journal) run() {
	defer close(j.stopped)
	for {
		b, durable := j.take()
		if b == nil {
			return
		}
		err := j.write(b)
		if err == nil && b.turn {
			err = j.advance(durable, true)
		}
		switch {
		case errors.Is(err, errClosed):
			// Not a failure of the disk, but nothing may follow the gap.
			j.mu.Lock()
			j.failed = err
			j.mu.Unlock()
		case err != nil:
			err = j.fail(err)
		}
		j.mu.Lock()
		b.err = err
		if err == nil {
			j.durable = durable
		}
		close(b.done)
		if j.spare == nil && cap(b.buf) <= keepBatch {
			// Tickets keep the batch; its buffers may be used again.
			j.spare = &batch{buf: b.buf[:0], recs: b.recs[:0]}
		}
		b.buf, b.recs = nil, nil
		j.mu.Unlock()
	}
}

// take waits for records and returns the batch of them, and the LSN up to
// which the journal is durable once it is synced; nil at the end.
func (j *Journal) take() (*batch, uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		b := j.build
		switch {
		case j.failed != nil:
			// Nothing may be written any more: who waits is told.
			if len(b.buf) > 0 || b.turn {
				b.err = j.failed
				close(b.done)
				j.swap()
			}
			if j.closing {
				return nil, 0
			}
			j.work.Wait()
		case len(b.buf) == 0 && !b.turn:
			if j.closing {
				return nil, 0
			}
			j.work.Wait()
		case !b.urgent && !b.turn && !j.closing && len(b.buf) < j.maxBatch()/2:
			left := j.o.Linger - time.Since(b.begun)
			if left <= 0 {
				b.urgent = true
				continue
			}
			t := time.AfterFunc(left, func() {
				j.mu.Lock()
				defer j.mu.Unlock()
				j.work.Signal()
			})
			j.work.Wait()
			t.Stop()
		default:
			j.swap()
			return b, j.next
		}
	}
}

// swap begins a new batch; called with the lock.
func (j *Journal) swap() {
	n := j.spare
	j.spare = nil
	if n == nil {
		n = &batch{}
	}
	n.done = make(chan struct{})
	j.build = n
	j.room.Broadcast()
}

// write puts a batch into the segments and syncs each that it touched.
func (j *Journal) write(b *batch) error {
	at := 0
	for i := 0; i < len(b.recs); {
		j.mu.Lock()
		s := j.segs[len(j.segs)-1]
		j.mu.Unlock()
		n := i
		for n < len(b.recs) && s.used+int64(b.recs[n].end-at) <= j.o.SegmentSize-segHeader {
			n++
		}
		if n == i {
			if err := j.advance(b.recs[i].lsn, false); err != nil {
				return err
			}
			continue
		}
		piece := b.buf[at:b.recs[n-1].end]
		if _, err := s.file.WriteAt(piece, s.used); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
		if !noSync {
			if err := s.file.SyncData(); err != nil {
				return fmt.Errorf("syncing: %w", err)
			}
		}
		j.stats.syncs.Add(1)
		j.stats.bytes.Add(uint64(len(piece)))
		j.mu.Lock()
		s.used += int64(len(piece))
		for _, r := range b.recs[i:n] {
			s.last[r.stream] = r.lsn + 1
		}
		j.mu.Unlock()
		at, i = b.recs[n-1].end, n
	}
	return nil
}

// advance makes the next segment the one written to: a free one, a new one, or
// it waits until the owners have taken their records home. fresh demands a new
// one.
func (j *Journal) advance(base uint64, fresh bool) error {
	j.mu.Lock()
	j.collect()
	for !fresh && len(j.free) == 0 && len(j.segs) >= j.o.Segments {
		if j.failed != nil {
			j.mu.Unlock()
			return j.failed
		}
		if j.closing {
			j.mu.Unlock()
			return errClosed
		}
		j.stats.waits.Add(1)
		j.ask(true)
		// An owner may have been asked before it knew of its newest records.
		t := time.AfterFunc(askAgain, func() {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.room.Broadcast()
		})
		j.room.Wait()
		t.Stop()
	}
	j.mu.Unlock()
	if err := j.use(base, fresh); err != nil {
		return err
	}
	return j.trim(keepFree)
}

// use makes a free or a new file the one written to.
func (j *Journal) use(base uint64, fresh bool) error {
	j.files.Lock()
	defer j.files.Unlock()
	j.mu.Lock()
	var s *segment
	if !fresh && len(j.free) > 0 {
		s, j.free = j.free[0], j.free[1:]
	} else {
		j.serial++
	}
	serial := j.serial
	j.mu.Unlock()
	if s == nil {
		var err error
		if s, err = j.newSegment(serial); err != nil {
			return fmt.Errorf("making a segment: %w", err)
		}
	}
	if err := j.begin(s, base); err != nil {
		return err
	}
	j.mu.Lock()
	j.segs = append(j.segs, s)
	j.ask(false)
	j.mu.Unlock()
	return nil
}

// begin starts a segment's life at base. The header, and its copy at the end,
// are durable before the first record is written over what an earlier life left:
// records of two lives under the old header would look like damage.
func (j *Journal) begin(s *segment, base uint64) error {
	var h [segHeader]byte
	putSegHeader(h[:], j.id, base)
	for _, off := range []int64{0, j.o.SegmentSize - segHeader} {
		if _, err := s.file.WriteAt(h[:], off); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
	}
	if err := s.file.SyncData(); err != nil {
		return fmt.Errorf("syncing: %w", err)
	}
	s.base, s.used, s.last = base, segHeader, make(map[Stream]uint64)
	return nil
}

// askAgain is the pause between two requests to an owner while the journal is
// full.
const askAgain = 10 * time.Millisecond

// lag is how many full segments may hold an owner's records before it is asked
// to take them home: large pieces are cheaper than small ones.
const lag = 2

// ask tells every owner with records in an old segment to take them home; all
// asks those with any records, also those that were asked before. Called with
// the lock.
func (j *Journal) ask(all bool) {
	old := uint64(0)
	if n := len(j.segs) - 1 - lag; n >= 0 {
		old = j.segs[n+1].base
	}
	for _, w := range j.streams {
		if w.home < w.last && (all || w.home < old && w.asked < w.last) && w.flush != nil {
			w.asked = w.last
			go w.flush()
		}
	}
}
