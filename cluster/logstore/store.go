package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/journal"
)

// FileName is the name of the log file in a group's directory.
const FileName = "raft.db"

// Op names an operation on the disk to the fault hook of tests.
type Op string

// The operations that can be made to fail or hang.
const (
	OpStoreLogs   Op = "store-logs"
	OpDeleteRange Op = "delete-range"
	OpSetStable   Op = "set-stable"
	OpCompact     Op = "compact"
	OpFlush       Op = "flush" // of the journal's entries to the file
)

const (
	defaultCache = 4 << 20
	// deleteChunk bounds a transaction of a prefix delete: bbolt has one
	// writer, and StoreLogs waits behind it.
	deleteChunk = 8192
	mmapSize    = 128 << 20
	lockWait    = 2 * time.Second
)

// Options of Open.
type Options struct {
	Dir   string // the group's directory, made if it is not there
	Node  cluster.NodeID
	Group cluster.GroupID
	Keys  Keys
	// Journal takes the entries first, with one sync for all groups of the
	// node; nil means that each StoreLogs is a transaction of the file. A file
	// that had one is not opened without.
	Journal *journal.Journal
	// Create makes the file when it is not there. Without it a missing file is
	// ErrMissing: a member that lost its log may have lost its vote.
	Create bool
	// CacheBytes bounds the cache of the newest entries; 0 means 4 MiB.
	CacheBytes int
	// OnError is told the first failure of the disk or the seal. The process
	// is expected to end: a write that failed is never tried again.
	OnError func(error)
	// Fault, if set, runs before each disk operation; its error is the
	// operation's. For tests.
	Fault func(Op) error
	// NoSync skips the fsyncs, for tests that do not need them.
	NoSync bool
}

// Store is the raft.LogStore and raft.StableStore of one group.
type Store struct {
	o      Options
	path   string
	sealer *Sealer

	// handle is held for writing while Compact exchanges db.
	handle sync.RWMutex
	db     *raftboltdb.BoltStore

	// write orders StoreLogs, DeleteRange and Compact.
	write   sync.Mutex
	scratch []byte
	plain   []byte
	redo    *redo // nil without a journal

	mu          sync.Mutex
	first, last uint64 // 0, 0 when empty
	cache       cache
	base        raft.Log // the newest marker, as an entry without content
	vote        vote
	staged      uint64 // a vote term waiting for its candidate
	holds       map[*hold]struct{}
	made        time.Time
	failed      error

	busySince atomic.Int64 // nanoseconds on the monotonic base, 0 when idle
	epoch     time.Time
	stats     counters
}

type hold struct{ index uint64 }

type counters struct {
	batches, entries, bytes, misses, flushes atomic.Uint64
	nanos, slowest                           atomic.Int64
}

// Stats counts since Open.
type Stats struct {
	Batches, Entries, Bytes uint64
	// Misses counts reads that the cache did not answer.
	Misses uint64
	// Flushes counts the times that entries went from the journal to the file.
	Flushes uint64
	// StoreTime is the sum of all StoreLogs, SlowestStore the longest one.
	StoreTime, SlowestStore time.Duration
}

// Open opens the group's log, or makes it.
func Open(o Options) (*Store, error) {
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCache
	}
	s := &Store{
		o: o, path: filepath.Join(o.Dir, FileName),
		sealer: NewSealer(o.Node, o.Group, o.Keys),
		cache:  cache{limit: o.CacheBytes},
		holds:  make(map[*hold]struct{}),
		epoch:  time.Now(),
	}
	if err := makeDir(o.Dir); err != nil {
		return nil, err
	}
	info, err := os.Stat(s.path)
	missing := errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0
	switch {
	case missing && !o.Create:
		return nil, fmt.Errorf("%w: group %s", ErrMissing, o.Group)
	case err != nil && !missing:
		return nil, fmt.Errorf("logstore: %w", err)
	}
	if err := os.Remove(s.path + compactSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("logstore: %w", err)
	}
	if !missing {
		if err := sound(s.path); err != nil {
			return nil, err
		}
	}
	if s.db, err = s.openDB(); err != nil {
		return nil, err
	}
	if err := s.load(missing); err != nil {
		if s.redo != nil && s.redo.w != nil {
			err = errors.Join(err, s.redo.w.Close())
		}
		return nil, errors.Join(err, s.db.Close())
	}
	if s.redo != nil {
		go s.flusher()
	}
	return s, nil
}

func (s *Store) boltOptions() *bbolt.Options {
	return &bbolt.Options{
		Timeout: lockWait,
		// The free list is rebuilt at start; writing it would add pages to
		// every commit, growing with the log.
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mmapSize,
	}
}

func (s *Store) openDB() (db *raftboltdb.BoltStore, err error) {
	// bbolt panics on some kinds of damage instead of returning an error.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	db, err = raftboltdb.New(raftboltdb.Options{Path: s.path, BoltOptions: s.boltOptions(), NoSync: s.o.NoSync || noSyncLog})
	if err != nil {
		if errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) || errors.Is(err, berrors.ErrVersionMismatch) {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil, fmt.Errorf("logstore: open: %w", err)
	}
	return db, nil
}

func (s *Store) load(fresh bool) error {
	if !fresh {
		if err := s.readStamp(); err != nil {
			return err
		}
	}
	if err := s.openRedo(); err != nil {
		return err
	}
	if fresh {
		// Last: a file with a stamp is one that was finished.
		if err := s.writeStamp(); err != nil {
			return err
		}
		if err := syncDir(s.o.Dir); err != nil {
			return err
		}
	}
	if err := s.readVote(); err != nil {
		return err
	}
	var err error
	if s.first, err = s.db.FirstIndex(); err != nil {
		return fmt.Errorf("logstore: %w", err)
	}
	if s.last, err = s.db.LastIndex(); err != nil {
		return fmt.Errorf("logstore: %w", err)
	}
	return nil
}

// fail records the first failure and reports it.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	seen := s.failed != nil
	if !seen {
		s.failed = err
		if s.redo != nil {
			s.redo.room.Broadcast()
		}
	}
	s.mu.Unlock()
	if !seen && s.o.OnError != nil {
		s.o.OnError(err)
	}
	return err
}

func (s *Store) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *Store) fault(op Op) error {
	if s.o.Fault == nil {
		return nil
	}
	return s.o.Fault(op)
}

// IsMonotonic tells raft to empty the log after an install instead of leaving
// a gap in it.
func (s *Store) IsMonotonic() bool { return true }

// FirstIndex returns the first index stored, 0 for an empty log.
func (s *Store) FirstIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, nil
}

// LastIndex returns the last index stored, 0 for an empty log.
func (s *Store) LastIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, nil
}

// SetBase tells the store the newest marker. Index and term of the entry there
// stay readable when the entry itself has been removed: raft asks for them to
// check that two logs meet, and looks only in the log.
func (s *Store) SetBase(index, term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base = raft.Log{Index: index, Term: term, Type: raft.LogNoop}
}

// GetLog reads one entry. Its bytes may be shared with the cache: they are not
// to be changed.
func (s *Store) GetLog(index uint64, out *raft.Log) error {
	s.mu.Lock()
	if index == s.base.Index && index > 1 && (index < s.first || s.last == 0) {
		*out = s.base
		s.mu.Unlock()
		return nil
	}
	if index < s.first || index > s.last || s.last == 0 {
		s.mu.Unlock()
		return raft.ErrLogNotFound
	}
	if s.cache.get(index, out) {
		s.mu.Unlock()
		return nil
	}
	var rec raft.Log
	pending := s.redo.find(index, &rec)
	s.mu.Unlock()
	s.stats.misses.Add(1)
	if !pending {
		if err := s.readLog(index, &rec); err != nil {
			return err
		}
	}
	plain, err := s.sealer.Open(nil, PurposeEntry, uint8(rec.Type), rec.Index, rec.Term, rec.Data)
	if err != nil {
		return s.fail(err)
	}
	n, used := binary.Uvarint(plain)
	if used <= 0 || n > uint64(len(plain)-used) {
		return s.fail(fmt.Errorf("%w: entry %d: length", ErrDamaged, index))
	}
	plain = plain[used:]
	rec.Data, rec.Extensions = plain[:n:n], nil
	if ext := plain[n:]; len(ext) > 0 {
		rec.Extensions = ext
	}
	*out = rec
	return nil
}

// readLog reads the sealed record of an entry from the file.
func (s *Store) readLog(index uint64, rec *raft.Log) error {
	s.handle.RLock()
	if s.db == nil {
		s.handle.RUnlock()
		return cluster.ErrStopped
	}
	err := s.db.GetLog(index, rec)
	s.handle.RUnlock()
	if errors.Is(err, raft.ErrLogNotFound) {
		// Deleted since the check above, or a hole.
		if first, _ := s.FirstIndex(); index >= first && first != 0 {
			return s.fail(fmt.Errorf("%w: no entry %d in [%d, …]", ErrDamaged, index, first))
		}
		return raft.ErrLogNotFound
	}
	if err != nil {
		return s.fail(fmt.Errorf("%w: entry %d: %w", ErrDamaged, index, err))
	}
	if rec.Index != index {
		return s.fail(fmt.Errorf("%w: entry %d says it is %d", ErrDamaged, index, rec.Index))
	}
	return nil
}

// StoreLog stores one entry.
func (s *Store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs makes the entries durable at once: with one record of the journal,
// or in one transaction. They must follow the last stored entry without a gap.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	start := time.Now()
	s.busySince.Store(max(1, int64(start.Sub(s.epoch))))
	defer func() {
		s.busySince.Store(0)
		d := int64(time.Since(start))
		s.stats.nanos.Add(d)
		for old := s.stats.slowest.Load(); d > old && !s.stats.slowest.CompareAndSwap(old, d); old = s.stats.slowest.Load() {
		}
	}()

	s.write.Lock()
	defer s.write.Unlock()
	if err := s.broken(); err != nil {
		return err
	}
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	for i, l := range logs {
		if want := logs[0].Index + uint64(i); l.Index != want || last != 0 && i == 0 && l.Index != last+1 {
			return s.fail(fmt.Errorf("%w: entry %d after %d", ErrGap, l.Index, max(last, want-1)))
		}
	}

	sealed, size, err := s.sealBatch(logs)
	if err != nil {
		return s.fail(err)
	}
	if err := s.fault(OpStoreLogs); err != nil {
		return s.fail(fmt.Errorf("logstore: store: %w", err))
	}
	if s.redo != nil {
		err = s.storeRedo(sealed, size)
	} else {
		s.handle.RLock()
		err = s.db.StoreLogs(sealed)
		s.handle.RUnlock()
	}
	if err != nil {
		return s.fail(fmt.Errorf("logstore: store: %w", err))
	}

	s.stats.batches.Add(1)
	s.stats.entries.Add(uint64(len(logs)))
	s.stats.bytes.Add(uint64(size))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == 0 {
		s.first = logs[0].Index
	}
	s.last = logs[len(logs)-1].Index
	for _, l := range logs {
		s.cache.add(l)
	}
	return nil
}

// sealBatch seals into a scratch buffer that is reused without a journal:
// raft-boltdb copies it into its own encoding before it commits.
func (s *Store) sealBatch(logs []*raft.Log) ([]*raft.Log, int, error) {
	need := 0
	for _, l := range logs {
		need += sealOverhead + binary.MaxVarintLen64 + len(l.Data) + len(l.Extensions)
	}
	if cap(s.scratch) < need {
		room := need + need/2
		if s.redo != nil {
			room = need // it stays with the entries until they are in the file
		}
		s.scratch = make([]byte, 0, room)
	}
	buf := s.scratch[:0]
	recs := make([]raft.Log, len(logs))
	out := make([]*raft.Log, len(logs))
	for i, l := range logs {
		s.plain = binary.AppendUvarint(s.plain[:0], uint64(len(l.Data)))
		s.plain = append(append(s.plain, l.Data...), l.Extensions...)
		at := len(buf)
		var err error
		if buf, err = s.sealer.Seal(buf, PurposeEntry, uint8(l.Type), l.Index, l.Term, s.plain); err != nil {
			return nil, 0, err
		}
		recs[i] = *l
		recs[i].Data, recs[i].Extensions = buf[at:len(buf):len(buf)], nil
		out[i] = &recs[i]
	}
	if s.redo != nil || cap(s.scratch) > 8<<20 {
		s.scratch = nil
	}
	if cap(s.plain) > 1<<20 {
		s.plain = nil
	}
	return out, len(buf), nil
}

// Busy returns how long the running StoreLogs has been at it, 0 if none is.
func (s *Store) Busy() time.Duration {
	since := s.busySince.Load()
	if since == 0 {
		return 0
	}
	return time.Since(s.epoch) - time.Duration(since)
}

// Oldest returns index and time of the first entry; index 0 when empty.
func (s *Store) Oldest() (uint64, time.Time, error) {
	for {
		first, _ := s.FirstIndex()
		if first == 0 {
			return 0, time.Time{}, nil
		}
		var l raft.Log
		err := s.GetLog(first, &l)
		if errors.Is(err, raft.ErrLogNotFound) {
			continue // truncated in between: look again
		}
		return first, l.AppendedAt, err
	}
}

// Size returns the bytes of the log file, without what is only in the journal.
func (s *Store) Size() (int64, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return 0, fmt.Errorf("logstore: %w", err)
	}
	return info.Size(), nil
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	return Stats{
		Batches: s.stats.batches.Load(), Entries: s.stats.entries.Load(),
		Bytes: s.stats.bytes.Load(), Misses: s.stats.misses.Load(), Flushes: s.stats.flushes.Load(),
		StoreTime:    time.Duration(s.stats.nanos.Load()),
		SlowestStore: time.Duration(s.stats.slowest.Load()),
	}
}

// Sealer returns the sealer of this store, for the markers beside it.
func (s *Store) Sealer() *Sealer { return s.sealer }

// Close closes the file. Nothing else may be running.
func (s *Store) Close() error {
	s.write.Lock()
	defer s.write.Unlock()
	err := s.closeRedo()
	s.handle.Lock()
	defer s.handle.Unlock()
	if s.db == nil {
		return nil
	}
	err = errors.Join(err, s.db.Close())
	s.db = nil
	s.mu.Lock()
	if s.failed == nil {
		s.failed = cluster.ErrStopped
	}
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("logstore: close: %w", err)
	}
	return nil
}
