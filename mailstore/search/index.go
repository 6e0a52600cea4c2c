package search

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/semaphore"

	"altmail.se/altmail/mailstore"
)

// Options are what an Index works with.
type Options struct {
	// Text is the version of what texts are. Segments of another one are made
	// again.
	Text uint32
	// Logger; slog.Default.
	Logger *slog.Logger
	// Documents is how many documents the accounts that are kept open have
	// together, but for those in use; 1,000,000 (about 40 bytes each).
	Documents int
}

// Index is the full-text index of a node. It is safe for concurrent use.
type Index struct {
	fs      vfs.FS
	dir     string
	opts    Options
	log     *slog.Logger
	running *semaphore.Weighted // segments that are looked through: one a core
	// lost is called with an account of which something is missing. It may be
	// called under locks.
	lost atomic.Pointer[func(mailstore.AccountID)]

	mu       sync.Mutex
	closed   bool
	accounts map[mailstore.AccountID]*account
	open     *list.List // accounts that are open, the one used last in front
	docs     int        // of these

	stats counters
}

type counters struct {
	searches, skipped, failed           atomic.Uint64
	indexed, merged, dropped, rewritten atomic.Uint64
	segments, bytes, behind             atomic.Int64
}

// Stats are counters since the start, and what there is now.
type Stats struct {
	Searches  uint64 // answered
	Skipped   uint64 // left to reading, which was less work
	Failed    uint64 // left to reading, because the index could not be read
	Indexed   uint64 // messages indexed
	Merged    uint64 // segments made of others
	Rewritten uint64 // segments made again without what was deleted, or under a new key
	Dropped   uint64 // segments that were damaged or of another version
	Behind    int64  // messages seen and not indexed yet
	Segments  int64
	Bytes     int64 // of the files
}

// Stats returns the index's counters.
func (x *Index) Stats() Stats {
	c := &x.stats
	return Stats{
		Searches: c.searches.Load(), Skipped: c.skipped.Load(), Failed: c.failed.Load(),
		Indexed: c.indexed.Load(), Merged: c.merged.Load(), Rewritten: c.rewritten.Load(), Dropped: c.dropped.Load(),
		Behind: c.behind.Load(), Segments: c.segments.Load(), Bytes: c.bytes.Load(),
	}
}

const (
	segmentSuffix = ".seg"
	unfinished    = ".tmp"
)

// Open opens the index in a folder, which is made if it is not there. Segments
// are looked at when their account is.
func Open(fs vfs.FS, dir string, o Options) (*Index, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Documents == 0 {
		o.Documents = 1_000_000
	}
	x := &Index{
		fs: fs, dir: dir, opts: o, log: o.Logger,
		running:  semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))),
		accounts: map[mailstore.AccountID]*account{}, open: list.New(),
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	for _, name := range names {
		id, err := strconv.ParseUint(name, 16, 64)
		if err != nil {
			continue
		}
		a := x.newAccount(mailstore.AccountID(id))
		x.accounts[a.id] = a
		files, err := fs.List(a.dir)
		if err != nil {
			return nil, fmt.Errorf("search: %w", err)
		}
		for _, f := range files {
			if info, err := fs.Stat(fs.PathJoin(a.dir, f)); err == nil && strings.HasSuffix(f, segmentSuffix) {
				x.stats.segments.Add(1)
				x.stats.bytes.Add(info.Size())
			}
		}
	}
	return x, nil
}

// Close closes the files. What is searched meanwhile ends first.
func (x *Index) Close() error {
	x.mu.Lock()
	x.closed = true
	accounts := make([]*account, 0, len(x.accounts))
	for _, a := range x.accounts {
		accounts = append(accounts, a)
	}
	x.mu.Unlock()
	var errs []error
	for _, a := range accounts {
		a.change.Lock()
		errs = append(errs, a.shut())
		a.change.Unlock()
	}
	return errors.Join(errs...)
}

// errClosed is returned when the index is used after Close.
var errClosed = errors.New("search: the index is closed")

// Accounts returns the accounts that have an index.
func (x *Index) Accounts() []mailstore.AccountID {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := make([]mailstore.AccountID, 0, len(x.accounts))
	for id := range x.accounts {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// acquire returns an account that is open and stays so until release; nil if
// it has no index and is not to be made one.
func (x *Index) acquire(id mailstore.AccountID, keys Keys, create bool) (*account, error) {
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return nil, errClosed
	}
	a := x.accounts[id]
	if a == nil {
		if !create {
			x.mu.Unlock()
			return nil, nil
		}
		a = x.newAccount(id)
		x.accounts[id] = a
	}
	a.users++
	x.mu.Unlock()
	n, err := a.open(keys)
	if err != nil {
		x.release(a)
		return nil, err
	}
	x.mu.Lock()
	if a.place == nil {
		a.place = x.open.PushFront(a)
		a.counted = n
		x.docs += n
	} else {
		x.open.MoveToFront(a.place)
	}
	x.mu.Unlock()
	return a, nil
}

// release lets go of an account, and closes those used longest ago where too
// much is open.
func (x *Index) release(a *account) {
	x.mu.Lock()
	defer x.mu.Unlock()
	a.users--
	for e := x.open.Back(); e != nil && x.docs > x.opts.Documents; {
		b := e.Value.(*account)
		e = e.Prev()
		if b.users > 0 {
			continue
		}
		// Who wants it opens it again, after this.
		x.forget(b)
		if err := b.shut(); err != nil {
			x.log.Warn("a search index was not closed", "err", err)
		}
	}
}

// forget takes an account out of those that are open. x.mu is held.
func (x *Index) forget(a *account) {
	if a.place != nil {
		x.open.Remove(a.place)
		x.docs -= a.counted
		a.place, a.counted = nil, 0
	}
}

// Remove removes the index of an account that is no more.
func (x *Index) Remove(id mailstore.AccountID) error {
	x.mu.Lock()
	a := x.accounts[id]
	if a == nil {
		x.mu.Unlock()
		return nil
	}
	delete(x.accounts, id)
	x.forget(a)
	x.mu.Unlock()
	a.change.Lock()
	defer a.change.Unlock()
	return a.remove()
}

// missing tells whoever indexes that an account has gaps.
func (x *Index) missing(id mailstore.AccountID) {
	if fn := x.lost.Load(); fn != nil {
		(*fn)(id)
	}
}

func (x *Index) newAccount(id mailstore.AccountID) *account {
	return &account{x: x, id: id, dir: x.fs.PathJoin(x.dir, fmt.Sprintf("%016x", uint64(id)))}
}

// account is the index of one account.
type account struct {
	x   *Index
	id  mailstore.AccountID
	dir string

	// Under x.mu.
	users   int
	place   *list.Element // in x.open
	counted int

	// change is held while segments are written, merged or removed; the list
	// of them is under mu.
	change sync.Mutex

	mu     sync.Mutex
	opened bool
	segs   []*segment // by their first document
	next   uint64     // number of the next segment
}

func (a *account) path(num uint64, suffix string) string {
	return a.x.fs.PathJoin(a.dir, fmt.Sprintf("%016x", num)+suffix)
}

// open opens the segments, unless they are open, and returns how many
// documents they have.
func (a *account) open(keys Keys) (docs int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.opened {
		if err := a.load(keys); err != nil {
			return 0, fmt.Errorf("search: %w", err)
		}
	}
	for _, s := range a.segs {
		docs += len(s.foot.docs)
	}
	return docs, nil
}

// load opens what is in the folder. Files that are no good are removed.
func (a *account) load(keys Keys) (err error) {
	fs := a.x.fs
	names, err := fs.List(a.dir)
	if errors.Is(err, os.ErrNotExist) {
		a.opened, a.next = true, 1
		return nil
	}
	if err != nil {
		return err
	}
	var segs []*segment
	defer func() {
		if err != nil {
			for _, s := range segs {
				err = errors.Join(err, s.file.Close())
			}
		}
	}()
	next, gaps := uint64(1), false
	replaced := map[uint64]bool{}
	for _, name := range names {
		path := fs.PathJoin(a.dir, name)
		base, ok := strings.CutSuffix(name, segmentSuffix)
		num, perr := strconv.ParseUint(base, 16, 64)
		if !ok || perr != nil {
			if strings.HasSuffix(name, unfinished) {
				if err := fs.Remove(path); err != nil {
					return err
				}
			}
			continue
		}
		next = max(next, num+1)
		s, err := a.openFile(path, num, keys)
		if errors.Is(err, errDamaged) {
			a.x.log.Warn("a search segment is of no use and is made again", "err", err)
			a.x.stats.dropped.Add(1)
			gaps = true
			if err := a.removeFile(path); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		segs = append(segs, s)
		for _, n := range s.foot.replaces {
			replaced[n] = true
		}
	}
	// A crash came before these were removed.
	for i := 0; i < len(segs); {
		s := segs[i]
		if !replaced[s.num] {
			i++
			continue
		}
		segs = slices.Delete(segs, i, i+1)
		if err := errors.Join(s.file.Close(), a.removeFile(a.path(s.num, segmentSuffix))); err != nil {
			return err
		}
	}
	a.segs, a.next, a.opened = segs, next, true
	a.sort()
	if gaps {
		a.x.missing(a.id)
	}
	return nil
}

func (a *account) openFile(path string, num uint64, keys Keys) (*segment, error) {
	f, err := a.x.fs.Open(path, vfs.RandomReadsOption)
	if err != nil {
		return nil, err
	}
	s, err := openSegment(f, num, keys, a.x.opts.Text)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.close = f.Close
	return s, nil
}

// removeFile removes a segment's file.
func (a *account) removeFile(path string) error {
	info, err := a.x.fs.Stat(path)
	if err == nil {
		err = a.x.fs.Remove(path)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		a.x.stats.segments.Add(-1)
		a.x.stats.bytes.Add(-info.Size())
	}
	return err
}

func (a *account) sort() {
	slices.SortFunc(a.segs, func(s, t *segment) int {
		return cmp.Or(slices.Compare(s.first()[:], t.first()[:]), cmp.Compare(s.num, t.num))
	})
}

// snapshot returns the segments, which stay readable until they are released.
func (a *account) snapshot() []*segment {
	a.mu.Lock()
	defer a.mu.Unlock()
	segs := slices.Clone(a.segs)
	for _, s := range segs {
		s.refs.Add(1)
	}
	return segs
}

func (a *account) releaseAll(segs []*segment) {
	for _, s := range segs {
		if err := s.release(); err != nil {
			a.x.log.Warn("a search segment was not closed", "err", err)
		}
	}
}

// exchange takes segments out of the list and puts others in. The files of
// those taken out are removed, unless keep is set.
func (a *account) exchange(out, in []*segment, keep bool) error {
	a.mu.Lock()
	list := slices.DeleteFunc(slices.Clone(a.segs), func(s *segment) bool { return slices.Contains(out, s) })
	gone := len(a.segs) - len(list)
	taken := make([]*segment, 0, gone)
	for _, s := range a.segs {
		if slices.Contains(out, s) {
			taken = append(taken, s)
		}
	}
	a.segs = append(list, in...)
	a.sort()
	docs := 0
	for _, s := range a.segs {
		docs += len(s.foot.docs)
	}
	a.mu.Unlock()
	a.x.mu.Lock()
	if a.place != nil {
		a.x.docs += docs - a.counted
		a.counted = docs
	}
	a.x.mu.Unlock()
	var errs []error
	for _, s := range taken {
		if !keep {
			errs = append(errs, a.removeFile(a.path(s.num, segmentSuffix)))
		}
		errs = append(errs, s.release())
	}
	return errors.Join(errs...)
}

// drop forgets a segment that turned out to be damaged.
func (a *account) drop(s *segment, cause error) {
	a.x.log.Warn("a search segment is damaged and is made again", "err", cause)
	a.x.stats.dropped.Add(1)
	if err := a.exchange([]*segment{s}, nil, false); err != nil {
		a.x.log.Warn("a damaged search segment was not removed", "err", err)
	}
	a.x.missing(a.id)
}

// shut closes the segments.
func (a *account) shut() error {
	a.mu.Lock()
	segs := a.segs
	a.segs, a.opened = nil, false
	a.mu.Unlock()
	var errs []error
	for _, s := range segs {
		errs = append(errs, s.release())
	}
	return errors.Join(errs...)
}

// remove removes everything. change is held.
func (a *account) remove() error {
	err := a.shut()
	fs := a.x.fs
	names, lerr := fs.List(a.dir)
	if errors.Is(lerr, os.ErrNotExist) {
		return err
	}
	err = errors.Join(err, lerr)
	for _, name := range names {
		path := fs.PathJoin(a.dir, name)
		if strings.HasSuffix(name, segmentSuffix) {
			err = errors.Join(err, a.removeFile(path))
		} else {
			err = errors.Join(err, fs.Remove(path))
		}
	}
	return errors.Join(err, fs.Remove(a.dir))
}

// files returns the numbers of the segments in the folder.
func (a *account) files() ([]uint64, error) {
	names, err := a.x.fs.List(a.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var nums []uint64
	for _, name := range names {
		base, ok := strings.CutSuffix(name, segmentSuffix)
		if num, err := strconv.ParseUint(base, 16, 64); ok && err == nil {
			nums = append(nums, num)
		}
	}
	slices.Sort(nums)
	return nums, nil
}
