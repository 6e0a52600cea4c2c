package journal

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// found is a record that Open met.
type found struct {
	seg *segment
	off int64
	lsn uint64
}

// Open opens the journal in dir, which is made if missing. The records that it
// still holds are there for Replay until Settle; ErrDamaged if one that was
// synced can't be read.
func Open(fs vfs.FS, dir string, o Options) (*Journal, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	j := &Journal{
		fs: fs, dir: dir, o: o, log: o.Logger,
		build:   &batch{done: make(chan struct{})},
		streams: make(map[Stream]*Writer),
		found:   make(map[Stream][]found),
		kept:    make(map[Stream]uint64),
		dropped: make(map[Stream]bool),
		redone:  make(map[Stream]bool),
		stopped: make(chan struct{}),
	}
	j.work.L, j.room.L = &j.mu, &j.mu
	if err := j.open(); err != nil {
		var errs []error
		for _, s := range append(j.segs, j.free...) {
			errs = append(errs, s.file.Close())
		}
		return nil, errors.Join(append([]error{fmt.Errorf("journal: %w", err)}, errs...)...)
	}
	go j.run()
	return j, nil
}

func (j *Journal) open() error {
	if err := j.makeDir(j.dir); err != nil {
		return err
	}
	if err := j.list(); err != nil {
		return err
	}
	if len(j.segs) == 0 {
		if _, err := rand.Read(j.id[:]); err != nil {
			return err
		}
	}
	end, err := j.scan()
	if err != nil {
		return err
	}
	// What follows is written to a segment of its own: the tail of the last one
	// may be torn, and must stay what it is until everything in it is home.
	j.next, j.durable = end, end
	return j.advance(end, true)
}

func (j *Journal) makeDir(dir string) error {
	parent := j.fs.PathDir(dir)
	if _, err := j.fs.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if parent != dir {
			if err := j.makeDir(parent); err != nil {
				return err
			}
		}
		if err := j.fs.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	d, err := j.fs.OpenDir(parent)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// list opens the files: those with a header into segs, by the order of their
// records, the rest into free.
func (j *Journal) list() error {
	names, err := j.fs.List(j.dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		hex, ok := strings.CutSuffix(name, ".journal")
		serial, err := strconv.ParseUint(hex, 16, 32)
		if !ok || err != nil || segName(uint32(serial)) != name {
			continue
		}
		j.serial = max(j.serial, uint32(serial))
		f, err := j.fs.OpenReadWrite(j.fs.PathJoin(j.dir, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		s := &segment{name: name, file: f, last: make(map[Stream]uint64)}
		id, base, size, ok, err := readSegHeader(f)
		if err != nil {
			j.free = append(j.free, s)
			return err
		}
		switch {
		case ok:
			if len(j.segs) == 0 {
				j.o.SegmentSize = size // of an earlier configuration: it stays
				j.id = id
			}
			if id != j.id {
				j.free = append(j.free, s)
				return fmt.Errorf("%w: %s is a file of another journal", ErrDamaged, name)
			}
			s.base = base
			j.segs = append(j.segs, s)
		case size != j.o.SegmentSize:
			// Its making was cut off, or it was free and of another size.
			if err := errors.Join(f.Close(), j.fs.Remove(j.fs.PathJoin(j.dir, name))); err != nil {
				return err
			}
		default:
			j.free = append(j.free, s)
		}
	}
	slices.SortFunc(j.segs, func(a, b *segment) int {
		// A file begun by Open or Renew may have the base of an empty one before it.
		return cmp.Or(cmp.Compare(a.base, b.base), cmp.Compare(a.name, b.name))
	})
	return nil
}

// readSegHeader returns the newer of the two headers that hold.
func readSegHeader(f vfs.File) (id ID, base uint64, size int64, ok bool, err error) {
	st, err := f.Stat()
	if err != nil {
		return id, 0, 0, false, err
	}
	size = st.Size()
	var h [segHeader]byte
	for _, off := range []int64{0, size - segHeader} {
		if off < 0 || size < 2*segHeader {
			continue
		}
		if _, err := f.ReadAt(h[:], off); err != nil && !errors.Is(err, io.EOF) {
			return id, 0, 0, false, err
		}
		who, b, good, err := parseSegHeader(h[:])
		if err != nil {
			return id, 0, 0, false, err
		}
		if good {
			id, base, ok = who, max(base, b), true
		}
	}
	return id, base, size, ok, nil
}

// scan reads all records in order and returns where they end.
func (j *Journal) scan() (end uint64, err error) {
	total := 0
	for i, s := range j.segs {
		if i > 0 && s.base != end {
			return 0, fmt.Errorf("%w: records end at %d, the next file begins at %d", ErrDamaged, end, s.base)
		}
		content, err := readAll(s.file)
		if err != nil {
			return 0, err
		}
		end = s.base
		off := segHeader
		for off < len(content) {
			r, _, ok := parseRecord(content[off:])
			if !ok || r.lsn != end {
				break
			}
			j.found[r.stream] = append(j.found[r.stream], found{s, int64(off), r.lsn})
			total++
			s.last[r.stream] = r.lsn + 1
			off += span(r.size)
			end += uint64(span(r.size))
		}
		s.used = int64(off)
		if i == len(j.segs)-1 {
			// The last batch may be only in the page cache, and after an fsync
			// that failed the next would succeed without writing it.
			if _, err := s.file.WriteAt(content[:off], 0); err != nil {
				return 0, err
			}
			if err := s.file.Sync(); err != nil {
				return 0, err
			}
		}
		if err := proveEnd(content[min(off, len(content)):], end); err != nil {
			return 0, err
		}
	}
	for _, s := range j.free {
		content, err := readAll(s.file)
		if err == nil {
			err = proveEnd(content, end)
		}
		if err != nil {
			return 0, err
		}
	}
	if total > 0 {
		j.log.Info("journal holds records to redo", "records", total, "files", len(j.segs))
	}
	return end, nil
}

// proveEnd looks for a record behind the end that was appended when more than
// that was already synced: something synced is missing then. A torn tail has
// none, because all of it was appended before its predecessor was synced.
func proveEnd(content []byte, end uint64) error {
	for off := 0; off+recHeader <= len(content); off += align {
		if r, _, ok := parseRecord(content[off:]); ok && r.lsn >= end && r.durable > end {
			return fmt.Errorf("%w: no record at %d, which was synced", ErrDamaged, end)
		}
	}
	return nil
}

func readAll(f vfs.File) ([]byte, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, st.Size())
	if n, err := f.ReadAt(b, 0); err != nil && !(errors.Is(err, io.EOF) && n == len(b)) {
		return nil, err
	}
	return b, nil
}

// Replay calls f with each record of a stream that Open found, in order, and
// the LSN after it. The content is only valid during the call.
func (j *Journal) Replay(s Stream, f func(end uint64, content []byte) error) error {
	j.mu.Lock()
	list := j.found[s]
	j.redone[s] = true
	j.mu.Unlock()
	var buf []byte
	for _, r := range list {
		buf = append(buf[:0], make([]byte, recHeader)...)
		if _, err := r.seg.file.ReadAt(buf, r.off); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		buf = append(buf, make([]byte, contentSize(buf))...)
		if _, err := r.seg.file.ReadAt(buf[recHeader:], r.off+recHeader); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		rec, content, ok := parseRecord(buf)
		if !ok || rec.lsn != r.lsn || rec.stream != s {
			return fmt.Errorf("%w: record at %d changed since it was found", ErrDamaged, r.lsn)
		}
		if err := f(rec.lsn+uint64(span(rec.size)), content); err != nil {
			return err
		}
	}
	return nil
}

// Streams lists the streams of which Open found records.
func (j *Journal) Streams() []Stream {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []Stream
	for s := range j.found {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Stream) int {
		if a.Group != b.Group {
			return int(int64(a.Group) - int64(b.Group))
		}
		return int(a.Kind) - int(b.Kind)
	})
	return out
}

// Settle forgets what Open found: every owner has redone its records, and the
// rest belongs to groups that are not here any more. Files that were needed for
// them are removed.
func (j *Journal) Settle() error {
	j.mu.Lock()
	for s := range j.found {
		if !j.redone[s] {
			j.dropped[s] = true
		}
	}
	clear(j.found)
	j.collect()
	j.mu.Unlock()
	return j.trim(keepFree)
}

// Dropped reports whether Settle forgot records of a stream that nobody had
// asked for: whoever opens the stream's old files now would miss them.
func (j *Journal) Dropped(s Stream) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dropped[s]
}

// keepFree is how many files without records are kept for the next ones.
const keepFree = 2

// trim removes free files, the oldest first and each durably: with a gap among
// them Open would take the journal for damaged.
func (j *Journal) trim(keep int) error {
	j.files.Lock()
	defer j.files.Unlock()
	for {
		j.mu.Lock()
		if len(j.free) <= keep || j.shut {
			j.mu.Unlock()
			return nil
		}
		s := j.free[0]
		j.free = j.free[1:]
		j.mu.Unlock()
		if err := errors.Join(s.file.Close(), j.fs.Remove(j.fs.PathJoin(j.dir, s.name)), j.syncDir()); err != nil {
			return fmt.Errorf("journal: removing a file: %w", err)
		}
	}
}

// Renew removes every file that was written before the call, so that nothing
// an erased record held stays on the disk. The owners are asked to take their
// records home; it returns when that is done and the old files are gone.
func (j *Journal) Renew() error {
	j.mu.Lock()
	if j.closing {
		j.mu.Unlock()
		return errClosed
	}
	b := j.build
	b.turn = true
	j.work.Signal()
	j.mu.Unlock()
	<-b.done
	if b.err != nil {
		return b.err
	}
	j.mu.Lock()
	upTo := j.segs[len(j.segs)-1].base
	for {
		if j.failed != nil || j.closing {
			err := j.failed
			j.mu.Unlock()
			if err == nil {
				err = errClosed
			}
			return err
		}
		j.collect()
		if j.segs[0].base >= upTo || len(j.segs) == 1 {
			break
		}
		j.ask(true)
		t := time.AfterFunc(askAgain, func() {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.room.Broadcast()
		})
		j.room.Wait()
		t.Stop()
	}
	j.mu.Unlock()
	return j.trim(0)
}
