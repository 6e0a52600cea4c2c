package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/klauspost/compress/zstd"

	"altmail.se/altmail/cluster"
)

// stageFile is after how many bytes a staged table is closed and the next
// begun.
const stageFile = 32 << 20

// ErrStage: a stage was used out of order, or is closed.
var ErrStage = errors.New("state: stage")

// stage receives a state as finished tables beside the database, which one
// ingest later puts in the place of the group's rows.
type stage struct {
	keys
	m           *machine
	index, term uint64
	dir         string
	dec         *zstd.Decoder

	mu       sync.Mutex
	files    []string
	w        *sstable.Writer
	written  int    // bytes in the open table
	last     []byte // newest key, without the prefix
	verified bool
	sum      sum
	closed   bool
}

func removeStage(fs vfs.FS, dir string) error {
	if err := fs.RemoveAll(dir); err != nil {
		return fmt.Errorf("state: remove staged tables: %w", err)
	}
	return nil
}

// Stage implements cluster.Machine.
func (m *machine) Stage(index, term uint64) (cluster.Stage, error) {
	m.mu.Lock()
	old, stopped := m.stage, m.stopped
	m.stage = nil
	m.mu.Unlock()
	if old != nil {
		if err := old.Abort(); err != nil {
			return nil, err
		}
	}
	if errors.Is(stopped, errStopped) {
		return nil, stopped
	}
	fs := m.db.fs
	s := &stage{keys: m.keys, m: m, index: index, term: term, dir: fs.PathJoin(m.db.stage, m.group.String())}
	if err := removeStage(fs, s.dir); err != nil {
		return nil, err
	}
	if err := fs.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("state: make stage: %w", err)
	}
	var err error
	if s.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlock)); err != nil {
		return nil, fmt.Errorf("state: stage: %w", err)
	}
	m.mu.Lock()
	m.stage = s
	m.mu.Unlock()
	return s, nil
}

// Index implements cluster.Stage.
func (s *stage) Index() (index, term uint64) { return s.index, s.term }

// Next implements cluster.Stage.
func (s *stage) Next() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.last)
}

// Write implements cluster.Stage. A block that is refused has changed nothing.
func (s *stage) Write(block []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.verified {
		return fmt.Errorf("%w: closed for writing", ErrStage)
	}
	raw, err := openBlock(s.dec, block)
	if err != nil {
		return err
	}
	last := s.last
	if err := records(raw, func(k, _ []byte) error {
		if len(k) == 0 || k[0] == tabApplied || !s.m.tables[k[0]] || bytes.Compare(k, last) <= 0 {
			return fmt.Errorf("%w: key out of order or unknown", ErrBadBlock)
		}
		last = k
		return nil
	}); err != nil {
		return err
	}
	return records(raw, s.add)
}

func (s *stage) add(k, v []byte) error {
	if s.w == nil || s.written >= stageFile {
		if err := s.closeTable(); err != nil {
			return err
		}
		if err := s.openTable(); err != nil {
			return err
		}
	}
	key := append(append(make([]byte, 0, prefixLen+len(k)), s.prefix[:]...), k...)
	if err := s.w.Set(key, v); err != nil {
		return fmt.Errorf("state: stage row: %w", err)
	}
	s.written += len(key) + len(v)
	s.last = key[prefixLen:]
	return nil
}

func (s *stage) openTable() error {
	fs := s.m.db.fs
	name := fs.PathJoin(s.dir, fmt.Sprintf("%06d.sst", len(s.files)))
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("state: make staged table: %w", err)
	}
	s.files = append(s.files, name)
	s.written = 0
	s.w = sstable.NewWriter(objstorageprovider.NewFileWritable(f), sstable.WriterOptions{
		TableFormat:  s.m.db.p.FormatMajorVersion().MaxTableFormat(),
		FilterPolicy: bloom.FilterPolicy(10),
	})
	return nil
}

// closeTable finishes the open table; the writer syncs it.
func (s *stage) closeTable() error {
	if s.w == nil {
		return nil
	}
	w := s.w
	s.w = nil
	if err := w.Close(); err != nil {
		return fmt.Errorf("state: finish staged table: %w", err)
	}
	return nil
}

// Verify implements cluster.Stage. It reads the tables again from the disk, so
// that what will be swapped in is what is compared (R6).
func (s *stage) Verify(want cluster.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("%w: closed", ErrStage)
	}
	if err := s.closeTable(); err != nil {
		return err
	}
	s.sum = absent
	for _, name := range s.files {
		if err := s.sumTable(name); err != nil {
			return err
		}
	}
	if got := s.sum.digest(); got != want {
		return fmt.Errorf("%w: digest is %s, want %s", ErrBadBlock, got, want)
	}
	s.verified = true
	return nil
}

func (s *stage) sumTable(name string) error {
	f, err := s.m.db.fs.Open(name)
	if err != nil {
		return fmt.Errorf("state: open staged table: %w", err)
	}
	rd, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(fmt.Errorf("state: open staged table: %w", err), f.Close())
	}
	ctx := context.Background()
	r, err := sstable.NewReader(ctx, rd, sstable.ReaderOptions{})
	if err != nil {
		return errors.Join(fmt.Errorf("state: open staged table: %w", err), rd.Close())
	}
	err = s.sumRows(r)
	if cerr := r.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("state: close staged table: %w", cerr)
	}
	return err
}

func (s *stage) sumRows(r *sstable.Reader) error {
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return fmt.Errorf("state: read staged table: %w", err)
	}
	var h hasher
	for kv := it.First(); kv != nil; kv = it.Next() {
		v, _, verr := kv.Value(nil)
		if verr != nil {
			err = verr
			break
		}
		s.sum.add(h.row(kv.K.UserKey, v))
	}
	if ierr := it.Error(); err == nil {
		err = ierr
	}
	if cerr := it.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("state: read staged table: %w", err)
	}
	return nil
}

// Install implements cluster.Stage. Afterwards the machine stands at the
// staged index, durably, and every reader is told to begin anew (R20). Readers
// opened before keep what they see.
func (s *stage) Install() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.verified {
		return fmt.Errorf("%w: not verified, or closed", ErrStage)
	}
	if at := s.m.applied(); s.index < at {
		return fmt.Errorf("%w: index %d would lower the applied index %d", ErrStage, s.index, at)
	}
	applied, err := s.appliedTable()
	if err != nil {
		return err
	}
	p := s.m.db.p
	span := pebble.KeyRange{Start: s.prefix[:], End: upper(s.prefix[:])}
	if _, err := p.IngestAndExcise(context.Background(), append([]string{applied}, s.files...), nil, nil, span); err != nil {
		return s.m.halt(fmt.Errorf("state: install: %w", err))
	}
	// An ingest may be logged rather than flushed: sync the log it is in.
	if err := p.LogData(nil, pebble.Sync); err != nil {
		return s.m.halt(fmt.Errorf("state: sync install: %w", err))
	}
	if err := s.m.installed(s.index); err != nil {
		return s.m.halt(err)
	}
	return s.close()
}

// appliedTable writes the row before all others, which only now is known.
func (s *stage) appliedTable() (string, error) {
	at := appliedRow{s.index, s.term, s.sum}
	if err := s.openTable(); err != nil {
		return "", err
	}
	name := s.files[len(s.files)-1]
	s.files = s.files[:len(s.files)-1]
	if err := s.w.Set(s.table(nil, tabApplied), at.encode(nil)); err != nil {
		return "", fmt.Errorf("state: stage row: %w", err)
	}
	return name, s.closeTable()
}

// halt stops the machine: what is on the disk and what it has in memory may
// differ now.
func (m *machine) halt(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = err
	return err
}

// installed takes up what Install put in place. It also revives a machine that
// had stopped: its rows were replaced.
func (m *machine) installed(index uint64) error {
	if err := m.load(); err != nil {
		return err
	}
	m.mu.Lock()
	if !errors.Is(m.stopped, errStopped) {
		m.stopped = nil
	}
	m.durable = max(m.durable, index)
	m.stage = nil
	m.mu.Unlock()
	m.exec.reset(true)
	return nil
}

// Abort implements cluster.Stage. It may be called after Install.
func (s *stage) Abort() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m.mu.Lock()
	if s.m.stage == s {
		s.m.stage = nil
	}
	s.m.mu.Unlock()
	return s.close()
}

func (s *stage) close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	s.dec.Close()
	err := s.closeTable()
	return errors.Join(err, removeStage(s.m.db.fs, s.dir))
}
