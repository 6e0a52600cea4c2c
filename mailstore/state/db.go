package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
)

// pebbleFormat is pinned: a newer Pebble must not make a data directory that
// the previous release cannot open (P8).
const pebbleFormat = pebble.FormatTableFormatV6

// Options configure a DB. The zero value works.
type Options struct {
	CacheBytes    int64 // block cache; 0: 64 MiB
	MemTableBytes int   // one memtable; 0: 16 MiB
	Logger        *slog.Logger
	// Fatal is called, at most once, when the database can not be trusted to
	// write any more: the process should end (a failed fsync is never retried
	// on the same file). It may be called from any goroutine.
	Fatal func(error)
}

// DB is the one Pebble database of a node, which holds the machines of all its
// groups.
type DB struct {
	p     *pebble.DB
	fs    vfs.FS
	dir   string
	stage string // where states to be installed are staged
	opts  Options
	log   *slog.Logger
	fatal sync.Once

	mu       sync.Mutex
	machines map[cluster.GroupID]*machine
}

// Open opens or makes the database in dir. Anything staged and not installed
// is removed.
func Open(fs vfs.FS, dir string, opts Options) (*DB, error) {
	if opts.CacheBytes == 0 {
		opts.CacheBytes = 64 << 20
	}
	if opts.MemTableBytes == 0 {
		opts.MemTableBytes = 16 << 20
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	db := &DB{
		fs: fs, dir: dir, stage: fs.PathJoin(dir, "stage"), opts: opts, log: opts.Logger,
		machines: make(map[cluster.GroupID]*machine),
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state: make %s: %w", fs.PathBase(dir), err)
	}
	if err := removeStage(fs, db.stage); err != nil {
		return nil, err
	}
	cache := pebble.NewCache(opts.CacheBytes)
	defer cache.Unref()
	po := &pebble.Options{
		FS:                    fs,
		Cache:                 cache,
		FormatMajorVersion:    pebbleFormat,
		MemTableSize:          uint64(opts.MemTableBytes),
		L0CompactionThreshold: 4,
		// Applies come in bursts; a second memtable more rides over a flush.
		MemTableStopWritesThreshold: 4,
		L0StopWritesThreshold:       40,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                2000,
		BytesPerSync:                1 << 20,
		WALBytesPerSync:             0,
		Cleaner:                     eraser{},
		Logger:                      pebbleLog{db},
		EventListener: &pebble.EventListener{
			BackgroundError: db.backgroundError,
			DiskSlow: func(i pebble.DiskSlowInfo) {
				db.log.Warn("state: slow disk", "op", i.OpType.String(), "took", i.Duration)
			},
			WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
				db.log.Warn("state: writes stall", "reason", i.Reason)
			},
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				db.fail(fmt.Errorf("state: damaged table: %w", i.Details))
			},
		},
	}
	for i := range po.Levels {
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	p, err := pebble.Open(dir, po)
	if err != nil {
		return nil, fmt.Errorf("state: open database: %w", err)
	}
	db.p = p
	return db, nil
}

// Close closes the database. Machines, readers and views must be closed.
func (db *DB) Close() error {
	if err := db.p.Close(); err != nil {
		return fmt.Errorf("state: close database: %w", err)
	}
	return nil
}

// Compact rewrites every range of every group, so that what was deleted leaves
// the disk (P6, R17). It may take long; it stops when ctx ends.
func (db *DB) Compact(ctx context.Context) error {
	// A log is removed once what is in it was flushed.
	if err := db.p.Flush(); err != nil {
		return fmt.Errorf("state: flush: %w", err)
	}
	if err := db.p.Compact(ctx, []byte{spaceReplicated}, []byte{spaceLocal + 1}, true); err != nil {
		return fmt.Errorf("state: compact: %w", err)
	}
	return nil
}

// Metrics returns Pebble's own metrics, for the exporter.
func (db *DB) Metrics() *pebble.Metrics { return db.p.Metrics() }

// claim registers the machine of a group: there is one at a time.
func (db *DB) claim(m *machine) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.machines[m.group] != nil {
		return fmt.Errorf("state: group %s is open already", m.group)
	}
	db.machines[m.group] = m
	return nil
}

func (db *DB) release(m *machine) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.machines[m.group] == m {
		delete(db.machines, m.group)
	}
}

func (db *DB) fail(err error) {
	db.fatal.Do(func() {
		db.log.Error("state: the database failed", "err", err)
		if db.opts.Fatal != nil {
			db.opts.Fatal(err)
		}
	})
}

// backgroundError: a flush or compaction that failed may have met a failed
// fsync; the file is not to be trusted again. A cancelled one met nothing.
func (db *DB) backgroundError(err error) {
	if errors.Is(err, pebble.ErrCancelledCompaction) || errors.Is(err, context.Canceled) {
		return
	}
	db.fail(fmt.Errorf("state: background write: %w", err))
}

// eraser removes obsolete files at once. Pebble's own cleaner would keep a few
// write-ahead logs to write over later, with all that was expunged in them, for
// as long as the node is quiet (P6). It keeps none when a cleaner needs what is
// in the files, as ArchiveCleaner says; Clean and String are DeleteCleaner's,
// which is embedded less deeply.
type eraser struct {
	pebble.DeleteCleaner
	keepsNoLogs
}

type keepsNoLogs struct{ pebble.ArchiveCleaner }

// pebbleLog passes Pebble's own messages on. They carry file names and sizes,
// no keys.
type pebbleLog struct{ db *DB }

func (l pebbleLog) Infof(format string, args ...any) {
	l.db.log.Debug("pebble: " + fmt.Sprintf(format, args...))
}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.db.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf is where Pebble gives up, for example after a failed WAL sync. It
// must not return.
func (l pebbleLog) Fatalf(format string, args ...any) {
	err := fmt.Errorf("state: pebble: "+format, args...)
	l.db.fail(err)
	panic(err)
}
