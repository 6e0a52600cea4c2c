package body

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/journal"
)

// Liveness is what the store must know of the replicated state. Its methods
// are called under the store's locks: they must not call the store, and should
// be as quick as a point lookup.
type Liveness interface {
	// Referenced reports whether the state, as readers see it now, refers to
	// the body.
	Referenced(group cluster.GroupID, id cluster.BodyID) (bool, error)
	// Applied returns the index up to which readers see the state.
	Applied(group cluster.GroupID) uint64
	// DurableApplied returns the newest applied index known to be on disk.
	DurableApplied(group cluster.GroupID) uint64
}

// Options tune a Store. Fatal and Live are required; the zero value of the
// rest is a sensible default.
type Options struct {
	// Fatal is called once, from any goroutine, when a write or sync failed.
	// It must end the process: what the disk holds is not known any more.
	// The store refuses everything after it.
	Fatal func(error)
	// Live answers for the replicated state.
	Live Liveness
	// Peers reaches the other nodes; nil for a store that stands alone.
	Peers cluster.Peers
	// Members lists the other members of a group.
	Members func(cluster.GroupID) []cluster.NodeID
	Logger  *slog.Logger
	// DiskUsage measures the file system; by default that of the store's
	// folder. vfs.ErrUnsupported means unlimited.
	DiskUsage func() (vfs.DiskUsage, error)

	// Journal is the node's; nil: every batch of bodies is synced in its own
	// file. It must be open before the store and stay so until Close, its
	// Settle comes after Open, and a store that was written with a journal is
	// opened with it: what is only there is lost else.
	Journal *journal.Journal
	// LogInJournal says that the entries of every group are stored by way of
	// the same Journal, and that no entry is durable by another way before
	// everything that had been appended to the Journal is. Ensure is then
	// content with a small body that is in the Journal but not synced yet: the
	// entry behind it can't be acknowledged before it is.
	LogInJournal bool

	SegmentSize int64 // bytes at which a segment is sealed; 256 MiB
	MaxBatch    int64 // bytes of one group commit; 16 MiB
	MaxQueued   int64 // bytes waiting to be written, over all groups; 64 MiB
	MaxFiles    int   // segment files kept open; 256

	MaxPushBytes int64 // bytes on their way to one peer; 32 MiB
	MaxPullBytes int64 // bytes of bodies being pulled for the gate, and as much again for reads and for backfill; 64 MiB

	// RefuseFree is the free space, in bytes, below which new bodies are
	// refused; 10 % of the disk, at most 20 GiB. ReserveFree is what pushes,
	// pulls and reclaim leave alone; 1/8 of that.
	RefuseFree, ReserveFree uint64

	// EraseAfter is how long a dead body may stay in a segment; 72 h.
	EraseAfter time.Duration
	// OrphanAfter is how long a body that nothing refers to is kept for an
	// entry to name it; 24 h.
	OrphanAfter time.Duration
	ReclaimRate int64         // bytes/s copied by reclaim; 20 MiB/s
	ScrubRate   int64         // bytes/s read by scrub; 20 MiB/s
	ScrubEvery  time.Duration // pause between two scrubs; 168 h
}

func (o *Options) fill() error {
	if o.Fatal == nil || o.Live == nil {
		return errors.New("body: Options.Fatal and Options.Live are required")
	}
	if o.Members == nil {
		o.Members = func(cluster.GroupID) []cluster.NodeID { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	def(&o.SegmentSize, 256<<20)
	def(&o.MaxBatch, 16<<20)
	def(&o.MaxQueued, 64<<20)
	def(&o.MaxFiles, 256)
	def(&o.MaxPushBytes, 32<<20)
	def(&o.MaxPullBytes, 64<<20)
	def(&o.EraseAfter, 72*time.Hour)
	def(&o.OrphanAfter, 24*time.Hour)
	def(&o.ReclaimRate, 20<<20)
	def(&o.ScrubRate, 20<<20)
	def(&o.ScrubEvery, 168*time.Hour)
	if o.LogInJournal && o.Journal == nil {
		return errors.New("body: Options.LogInJournal without a Journal")
	}
	if o.SegmentSize > maxSegment {
		return fmt.Errorf("body: segments of %d bytes are over the limit of %d", o.SegmentSize, maxSegment)
	}
	return nil
}

func def[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Store holds the bodies of every group on one node. All methods are safe for
// concurrent use.
type Store struct {
	fs   vfs.FS
	dir  string
	opts Options
	log  *slog.Logger

	mu     sync.RWMutex
	groups map[cluster.GroupID]*group
	closed bool

	files  fileCache
	queued *semaphore.Weighted // bytes waiting to be written
	space  space
	net    network
	stats  stats

	fillKick chan struct{} // wakes the backfill
	failed   atomic.Pointer[error]
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	workers  sync.WaitGroup
}

// Open opens the store in dir, which is made if missing, and registers the
// body RPC methods with opts.Peers. Bodies whose Put was answered are there
// again; a torn tail is cut. Nothing runs in the background until Run, but
// pushes and pulls that are asked for do.
func Open(fs vfs.FS, dir string, opts Options) (*Store, error) {
	if err := opts.fill(); err != nil {
		return nil, err
	}
	s := &Store{
		fs: fs, dir: dir, opts: opts, log: opts.Logger,
		groups:   make(map[cluster.GroupID]*group),
		queued:   semaphore.NewWeighted(opts.MaxQueued),
		fillKick: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.files.init(fs, opts.MaxFiles)
	s.space.init(s)
	s.net.init(s)
	if err := s.openGroups(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.serve()
	return s, nil
}

func (s *Store) openGroups() error {
	if err := s.mkdirDurable(s.dir); err != nil {
		return fmt.Errorf("body: making the folder: %w", err)
	}
	names, err := s.fs.List(s.dir)
	if err != nil {
		return fmt.Errorf("body: listing groups: %w", err)
	}
	var eg errgroup.Group
	eg.SetLimit(4)
	for _, name := range names {
		n, err := strconv.ParseUint(name, 10, 32)
		if err != nil || strconv.FormatUint(n, 10) != name {
			continue // not ours
		}
		gid := cluster.GroupID(n)
		eg.Go(func() error {
			g, err := s.openGroup(gid)
			if err != nil {
				return fmt.Errorf("body: group %v: %w", gid, err)
			}
			s.mu.Lock()
			s.groups[gid] = g
			s.mu.Unlock()
			return nil
		})
	}
	return eg.Wait()
}

// group returns the group's part of the store, making it if it is new.
func (s *Store) group(gid cluster.GroupID) (*group, error) {
	s.mu.RLock()
	g, closed := s.groups[gid], s.closed
	s.mu.RUnlock()
	if closed {
		return nil, cluster.ErrStopped
	}
	if g != nil {
		return g, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, cluster.ErrStopped
	}
	if g := s.groups[gid]; g != nil {
		return g, nil
	}
	g, err := s.openGroup(gid)
	if err != nil {
		return nil, fmt.Errorf("body: group %v: %w", gid, err)
	}
	s.groups[gid] = g
	return g, nil
}

// known returns the group if the store holds it, without making it.
func (s *Store) known(gid cluster.GroupID) *group {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.groups[gid]
}

// all returns the groups in order of their number.
func (s *Store) all() []*group {
	s.mu.RLock()
	defer s.mu.RUnlock()
	gs := make([]*group, 0, len(s.groups))
	for _, g := range s.groups {
		gs = append(gs, g)
	}
	slices.SortFunc(gs, func(a, b *group) int { return int(int64(a.id) - int64(b.id)) })
	return gs
}

// Close stops all work, writes out what is queued, seals the segments and
// closes the files. Handles that are still open stay readable until they are
// closed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.net.close()
	s.workers.Wait()
	var errs []error
	for _, g := range s.all() {
		errs = append(errs, g.close())
	}
	errs = append(errs, s.files.close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("body: closing: %w", err)
	}
	return nil
}

// fail records the first failed write or sync and ends the process by way of
// Options.Fatal. The file is never written or synced again: the kernel may
// have dropped the dirty pages and a second fsync would succeed.
func (s *Store) fail(err error) error {
	err = fmt.Errorf("body: the disk failed: %w", err)
	if s.failed.CompareAndSwap(nil, &err) {
		s.opts.Fatal(err)
	}
	return err
}

func (s *Store) failure() error {
	if p := s.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// putClass says whose bytes are put, which decides how much of the disk they
// may fill.
type putClass int

const (
	putNew    putClass = iota // from a client: stops at Options.RefuseFree
	putMember                 // by push, pull or backfill: may use the space down to Options.ReserveFree
	putMove                   // by reclaim and recovery: may use what is left
)

// Put stores a body and returns once it is durable on this node. data must be
// what id names (it is not hashed again here); it is not kept, and must not
// change until Put returns. A body that is here already costs nothing.
// cluster.ErrNoRoom is returned when the disk is too full for new bodies.
func (s *Store) Put(ctx context.Context, group cluster.GroupID, id cluster.BodyID, data []byte) error {
	g, err := s.group(group)
	if err != nil {
		return err
	}
	return g.put(ctx, id, data, putNew)
}

// PutVerified is Put for bytes that came from another node: they are hashed
// first, and a mismatch is an error.
func (s *Store) PutVerified(ctx context.Context, group cluster.GroupID, id cluster.BodyID, data []byte) error {
	if sha256.Sum256(data) != id {
		s.stats.badHash.Add(1)
		return fmt.Errorf("body: %w: bytes do not match their id", errFormat)
	}
	g, err := s.group(group)
	if err != nil {
		return err
	}
	return g.put(ctx, id, data, putMember)
}

func (g *group) put(ctx context.Context, id cluster.BodyID, data []byte, class putClass) error {
	s := g.s
	if len(data) > MaxBody {
		return fmt.Errorf("body: %d bytes: %w", len(data), cluster.ErrTooLarge)
	}
	if done, err := g.join(ctx, id); done {
		return err
	}
	if err := s.space.admit(class); err != nil {
		return err
	}
	weight := min(int64(len(data))+recHeaderLen, s.opts.MaxQueued)
	if err := s.queued.Acquire(ctx, weight); err != nil {
		return fmt.Errorf("body: waiting to write: %w", err)
	}
	defer s.queued.Release(weight)
	r := &request{id: id, data: data, crc: crc32.Checksum(data, castagnoli), class: class, done: make(chan struct{})}
	for {
		if done, err := g.join(ctx, id); done {
			return err
		}
		if ok, err := g.enqueue(r); err != nil {
			return err
		} else if ok {
			s.space.spent.Add(weight)
			return g.await(ctx, r)
		}
	}
}

// Has reports whether the body is durable on this node.
func (s *Store) Has(group cluster.GroupID, id cluster.BodyID) bool {
	g := s.known(group)
	return g != nil && g.has(id)
}

func (g *group) has(id cluster.BodyID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.tab.get(keyOf(id))
	return ok
}

// mkdirDurable makes a folder and makes its name, and those of parents it had
// to make, survive a power loss.
func (s *Store) mkdirDurable(dir string) error {
	parent := s.fs.PathDir(dir)
	if _, err := s.fs.Stat(dir); err == nil {
		return s.syncDir(parent) // whoever made it may have died before this
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if parent != dir {
		if err := s.mkdirDurable(parent); err != nil {
			return err
		}
	}
	if err := s.fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return s.syncDir(parent)
}

// syncDir makes the names in dir durable; a failure is fatal.
func (s *Store) syncDir(dir string) error {
	d, err := s.fs.OpenDir(dir)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return s.fail(fmt.Errorf("syncing a folder: %w", err))
	}
	return nil
}

// replaceFile writes a small file durably under its name, whole or not at all.
func (s *Store) replaceFile(dir, name string, data []byte) error {
	path, temp := s.fs.PathJoin(dir, name), s.fs.PathJoin(dir, name+tempSuffix)
	f, err := s.fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return s.smallWriteError(err)
	}
	if _, err := f.Write(data); err != nil {
		return s.smallWriteError(errors.Join(err, f.Close()))
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return s.fail(fmt.Errorf("syncing %s: %w", name, err))
	}
	if err := s.fs.Rename(temp, path); err != nil {
		return s.smallWriteError(err)
	}
	return s.syncDir(dir)
}

// smallWriteError: a full disk leaves the old file in place and can be tried
// again; anything else is fatal.
func (s *Store) smallWriteError(err error) error {
	if vfs.IsNoSpaceError(err) {
		return fmt.Errorf("body: %w: %w", cluster.ErrNoRoom, err)
	}
	return s.fail(err)
}
