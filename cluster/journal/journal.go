package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
)

// Options of Open.
type Options struct {
	// Fatal is called once when a write or sync failed. It must end the
	// process: what the disk holds is not known any more.
	Fatal func(error)
	// Logger is told what was found at Open; nil for silence.
	Logger *slog.Logger
	// SegmentSize is the size of one file; 4 MiB. Segments is how many there
	// may be; 16. When all hold records that are not in their own files yet,
	// Append waits. Three or four are enough for a busy node.
	SegmentSize int64
	Segments    int
	// Linger is how long records that nobody waits for yet may lie before they
	// are written; 2 ms.
	Linger time.Duration
}

// Journal is the redo log of one node. Its methods may be called from any
// goroutine.
type Journal struct {
	fs  vfs.FS
	dir string
	o   Options
	log *slog.Logger
	id  ID

	// files is held while a file is taken into use or removed: the names that a
	// crash leaves behind must be a run of the newest files.
	files sync.Mutex

	mu      sync.Mutex
	work    sync.Cond // wakes the writer
	room    sync.Cond // wakes Append and the writer when segments or buffers come free
	next    uint64    // LSN of the next record
	durable uint64    // everything below is synced
	build   *batch
	spare   *batch
	streams map[Stream]*Writer
	segs    []*segment // in order of their records; the last is written to
	free    []*segment
	found   map[Stream][]found // what Open met, until Settle
	kept    map[Stream]uint64  // left behind by writers that were closed too early
	dropped map[Stream]bool    // had records that nobody redid before Settle
	redone  map[Stream]bool    // had a writer or a Replay since Open
	serial  uint32             // of the newest file's name
	failed  error
	closing bool
	shut    bool // the files are closed
	stopped chan struct{}

	stats struct{ syncs, records, bytes, waits atomic.Uint64 }
}

// batch collects records; all of it is written and synced at once.
type batch struct {
	buf    []byte
	recs   []mark
	begun  time.Time
	urgent bool
	turn   bool // Renew: go on in a new file
	done   chan struct{}
	err    error // valid after done
}

// mark says where in a batch a record ends, and whose it is.
type mark struct {
	end    int
	lsn    uint64
	stream Stream
}

// Stats counts since Open.
type Stats struct {
	Syncs, Records, Bytes uint64
	// Waits counts the times that Append found every segment in use.
	Waits uint64
	// Held is how many bytes of records are not in their own files yet.
	Held uint64
}

// errClosed answers what can't be finished because the journal closes.
var errClosed = fmt.Errorf("journal: closed: %w", cluster.ErrStopped)

const (
	maxBatch  = 8 << 20
	keepBatch = 1 << 20
)

func (o *Options) fill() error {
	if o.Fatal == nil {
		return errors.New("journal: Options.Fatal is required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = 4 << 20
	}
	if o.Segments == 0 {
		o.Segments = 16
	}
	if o.Linger == 0 {
		o.Linger = 2 * time.Millisecond
	}
	if o.SegmentSize < 4096 || o.Segments < 3 {
		return fmt.Errorf("journal: %d segments of %d bytes are too few", o.Segments, o.SegmentSize)
	}
	return nil
}

// Writer appends the records of one stream.
type Writer struct {
	j      *Journal
	stream Stream
	flush  func()
	home   uint64 // under j.mu: records below are in the owner's own files
	last   uint64 // under j.mu: end of the newest record
	asked  uint64 // under j.mu: flush was called for this much
}

// Ticket tells when what was appended is durable.
type Ticket struct {
	b *batch
	j *Journal
	// End is the LSN after the record: the argument for Home.
	End uint64
}

// Stream returns the writer of a stream. flush is called, never under a lock
// of the journal, when the records should go to their own files soon; it must
// not wait for that. There is one writer of a stream at a time.
func (j *Journal) Stream(s Stream, flush func()) (*Writer, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.streams[s] != nil {
		return nil, fmt.Errorf("journal: stream %s has a writer", s)
	}
	if _, ok := j.kept[s]; ok {
		return nil, fmt.Errorf("journal: stream %s left records that only a restart can redo", s)
	}
	w := &Writer{j: j, stream: s, flush: flush, home: j.next, last: j.next}
	j.redone[s] = true
	j.streams[s] = w
	return w, nil
}

// Append adds a record made of parts, which are copied. Records become durable
// in the order in which they were appended, over all streams. The record is
// written at once, together with all that came while the last write was under
// way.
func (w *Writer) Append(parts ...[]byte) (Ticket, error) { return w.append(true, parts) }

// AppendLazy is Append for a record that somebody else is about to append
// behind: it is written with the next Append of any stream, or after
// Options.Linger.
func (w *Writer) AppendLazy(parts ...[]byte) (Ticket, error) { return w.append(false, parts) }

func (w *Writer) append(urgent bool, parts [][]byte) (Ticket, error) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	n := span(size)
	j := w.j
	if int64(n) > j.o.SegmentSize-2*segHeader {
		return Ticket{}, fmt.Errorf("journal: a record of %d bytes: %w", size, cluster.ErrTooLarge)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.failed == nil && !j.closing && len(j.build.buf) > 0 && len(j.build.buf)+n > j.maxBatch() {
		j.room.Wait()
	}
	if j.failed != nil {
		return Ticket{}, j.failed
	}
	if j.closing || j.streams[w.stream] != w {
		return Ticket{}, cluster.ErrStopped
	}
	b := j.build
	at := len(b.buf)
	if at == 0 {
		b.begun = time.Now()
	}
	b.buf = append(b.buf, make([]byte, recHeader)...)
	for _, p := range parts {
		b.buf = append(b.buf, p...)
	}
	putRecord(b.buf[at:], record{lsn: j.next, durable: j.durable, stream: w.stream, size: size})
	b.buf = append(b.buf, make([]byte, at+n-len(b.buf))...)
	b.recs = append(b.recs, mark{end: len(b.buf), lsn: j.next, stream: w.stream})
	j.next += uint64(n)
	w.last = j.next
	if at == 0 || urgent && !b.urgent {
		j.work.Signal()
	}
	b.urgent = b.urgent || urgent
	j.stats.records.Add(1)
	return Ticket{b: b, j: j, End: j.next}, nil
}

// maxBatch bounds what is written at once to half a segment: nothing of a batch
// can go home before all of it is durable, so it must fit beside others.
func (j *Journal) maxBatch() int { return int(min(maxBatch, j.o.SegmentSize/2)) }

// Wait returns once the record is durable, or why it can't be.
func (t Ticket) Wait() error {
	select {
	case <-t.b.done:
		return t.b.err
	default:
	}
	t.j.mu.Lock()
	if t.j.build == t.b && !t.b.urgent {
		t.b.urgent = true
		t.j.work.Signal()
	}
	t.j.mu.Unlock()
	<-t.b.done
	return t.b.err
}

// Done is closed once the record is durable or can't be; Wait tells which.
// Unlike Wait it does not hurry a lazy record.
func (t Ticket) Done() <-chan struct{} { return t.b.done }

// Home tells that the stream's records below lsn are durable in its own files.
func (w *Writer) Home(lsn uint64) {
	j := w.j
	j.mu.Lock()
	defer j.mu.Unlock()
	if lsn > w.home {
		w.home = lsn
		j.collect()
	}
}

// ID tells this journal from one that was in its place before or after. A new
// one is drawn when a journal is made in an empty directory.
func (j *Journal) ID() ID { return j.id }

// MaxRecord is how many bytes one record may hold.
func (j *Journal) MaxRecord() int { return int(j.o.SegmentSize) - 2*segHeader - recHeader - align }

// LSN returns where the next record of any stream will be. Records just below
// it may not be durable yet.
func (j *Journal) LSN() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next
}

// Close gives the stream up. All its records must be home.
func (w *Writer) Close() error {
	j := w.j
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.streams[w.stream] != w {
		return nil
	}
	delete(j.streams, w.stream)
	if w.home < w.last && j.failed == nil {
		// They stay in the journal for the next Open.
		j.kept[w.stream] = w.last
	}
	j.collect()
	return nil
}

// held reports whether a segment has a record that is not home.
func (j *Journal) held(s *segment) bool {
	for stream, last := range s.last {
		if w := j.streams[stream]; w != nil && w.home < last {
			return true
		}
		if _, ok := j.kept[stream]; ok {
			return true
		}
	}
	for _, fs := range j.found {
		for _, f := range fs {
			if f.seg == s {
				return true
			}
		}
	}
	return false
}

// collect frees the oldest segments that nothing needs; called with the lock.
// Only the oldest: what is left must follow without a gap.
func (j *Journal) collect() {
	for len(j.segs) > 1 && !j.held(j.segs[0]) {
		s := j.segs[0]
		j.segs = j.segs[1:]
		s.last = nil
		j.free = append(j.free, s)
	}
	j.room.Broadcast()
}

// Stats returns the counters.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := j.next
	for _, w := range j.streams {
		if w.home < w.last {
			oldest = min(oldest, w.home)
		}
	}
	return Stats{
		Syncs: j.stats.syncs.Load(), Records: j.stats.records.Load(), Bytes: j.stats.bytes.Load(),
		Waits: j.stats.waits.Load(), Held: j.next - oldest,
	}
}

// fail records the first failure and ends the process by way of Options.Fatal.
// Nothing is written or synced after it: the kernel may have dropped the dirty
// pages, and a second fdatasync would succeed.
func (j *Journal) fail(err error) error {
	err = fmt.Errorf("journal: the disk failed: %w", err)
	j.mu.Lock()
	first := j.failed == nil
	if first {
		j.failed = err
		j.work.Broadcast()
		j.room.Broadcast()
	}
	j.mu.Unlock()
	if first {
		j.o.Fatal(err)
	}
	return err
}

// Close writes what was appended and closes the files. Records that are not
// home are found again by the next Open.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closing {
		j.mu.Unlock()
		<-j.stopped
		return nil
	}
	j.closing = true
	j.work.Broadcast()
	j.room.Broadcast()
	j.mu.Unlock()
	<-j.stopped
	j.files.Lock()
	defer j.files.Unlock()
	j.mu.Lock()
	j.shut = true
	files := slices.Concat(j.segs, j.free)
	j.segs, j.free = nil, nil
	j.mu.Unlock()
	var errs []error
	for _, s := range files {
		errs = append(errs, s.file.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("journal: closing: %w", err)
	}
	return nil
}
