//go:build linux

package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// rootID is the object of the mount's top.
const rootID = 1

// volume is the file system without its mount: a backing tree, and what of it
// is volatile. Operations are safe for concurrent use.
type volume struct {
	o       Options
	backing string
	limbo   string // directory beside it: what was removed and might come back
	limboFD int

	capacity atomic.Int64
	used     atomic.Int64
	stat     counters

	mu      sync.RWMutex // guards all below, and the names in the backing tree
	objects map[uint64]*object
	inodes  map[uint64]*object
	dirty   map[*object]bool // directories with pending operations
	nextID  uint64
	nextOp  uint64
	nextTmp uint64
}

// object is an inode of the backing tree.
type object struct {
	id   uint64
	ino  uint64
	mode uint32 // type bits
	fd   int    // O_PATH: names the inode whatever happens to its names

	// Guarded by volume.mu.
	lookups uint64 // held by the kernel
	opens   int
	pins    int    // pending directory operations that name it
	limbo   string // its name in limbo
	gone    bool   // it has no other name; written under both locks
	parent  *object
	name    string // the latest known, for fault patterns
	pending []*dirOp

	mu   sync.Mutex
	rw   int // -1 when closed
	size int64
	u    undo
}

func (o *object) dir() bool { return o.mode == unix.S_IFDIR }

// proc names the object for calls that want a path.
func (o *object) proc() string { return "/proc/self/fd/" + strconv.Itoa(o.fd) }

// change of one name in a directory.
type change struct {
	name          string
	before, after *object // nil: no such entry
}

// dirOp is a directory operation that a power loss can undo, whole.
type dirOp struct {
	seq     uint64
	dir     *object
	changes []change
	twin    *dirOp // the other half of a rename over two directories
	done    bool
}

// openVolume takes what is in backing for durable.
func openVolume(backing string, o Options) (*volume, error) {
	backing, err := filepath.Abs(backing)
	if err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	v := &volume{
		o: o.filled(), backing: backing, limbo: backing + ".limbo",
		objects: map[uint64]*object{}, inodes: map[uint64]*object{}, dirty: map[*object]bool{}, nextID: rootID,
	}
	v.capacity.Store(v.o.Capacity)
	if err := os.RemoveAll(v.limbo); err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	if err := os.Mkdir(v.limbo, 0o700); err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	if v.limboFD, err = unix.Open(v.limbo, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("disk: open %s: %w", v.limbo, err)
	}
	if err := v.start(); err != nil {
		return nil, errors.Join(err, v.close())
	}
	return v, nil
}

// start opens the top and counts what is there.
func (v *volume) start() error {
	fd, err := unix.Open(v.backing, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("disk: open %s: %w", v.backing, err)
	}
	root, err := v.intern(fd, nil, "")
	if err != nil {
		return fmt.Errorf("disk: %s: %w", v.backing, err)
	}
	root.lookups = 1
	var used int64
	err = filepath.WalkDir(v.backing, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		st, err := d.Info()
		if err == nil {
			used += st.Size()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	v.used.Store(used)
	return nil
}

// close lets go of everything; what is volatile stays as it is now.
func (v *volume) close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	err := v.forgetAll()
	err = errors.Join(err, unix.Close(v.limboFD), os.RemoveAll(v.limbo))
	if err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	return nil
}

// forgetAll drops all objects. Callers hold v.mu.
func (v *volume) forgetAll() error {
	var errs []error
	for _, o := range v.objects {
		if o.rw >= 0 {
			errs = append(errs, unix.Close(o.rw))
		}
		errs = append(errs, unix.Close(o.fd))
	}
	clear(v.objects)
	clear(v.inodes)
	clear(v.dirty)
	v.stat.blocks.Store(0)
	v.stat.undo.Store(0)
	v.stat.ops.Store(0)
	v.nextID = rootID
	return errors.Join(errs...)
}

// get returns an object by its id.
func (v *volume) get(id uint64) (*object, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if o := v.objects[id]; o != nil {
		return o, nil
	}
	return nil, syscall.ESTALE
}

// intern takes over an O_PATH descriptor. Callers hold v.mu, or are alone.
func (v *volume) intern(fd int, parent *object, name string) (*object, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	if o := v.inodes[st.Ino]; o != nil {
		o.parent, o.name = parent, name
		return o, unix.Close(fd)
	}
	o := &object{id: v.nextID, ino: st.Ino, mode: st.Mode & unix.S_IFMT, fd: fd, rw: -1, size: st.Size, parent: parent, name: name}
	v.nextID++
	v.objects[o.id], v.inodes[o.ino] = o, o
	return o, nil
}

// child returns an entry of a directory. Callers hold v.mu.
func (v *volume) child(d *object, name string) (*object, error) {
	fd, err := unix.Openat(d.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return v.intern(fd, d, name)
}

// collect frees an object nobody needs. Callers hold v.mu.
func (v *volume) collect(o *object) {
	if o.lookups > 0 || o.opens > 0 || o.pins > 0 || len(o.pending) > 0 || v.objects[o.id] != o {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.u.empty() {
		if !o.gone {
			return
		}
		v.stat.free(o.u.weight())
		o.u = undo{}
	}
	if o.rw >= 0 {
		v.must(unix.Close(o.rw))
		o.rw = -1
	}
	delete(v.objects, o.id)
	delete(v.inodes, o.ino)
	v.must(unix.Close(o.fd))
}

// must reports what can't go wrong: the calls it is for work on what is ours.
func (v *volume) must(err error) {
	if err != nil {
		v.o.Log.Error("disk", "err", err)
		v.stat.broken.Store(true)
	}
}

// path of an object below the mount, as last known.
func (v *volume) path(o *object) string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return o.path()
}

func (o *object) path() string {
	var parts []string
	for ; o != nil && o.id != rootID; o = o.parent {
		parts = append(parts, o.name)
	}
	slices.Reverse(parts)
	return filepath.Join(parts...)
}

// log makes an operation pending. Callers hold v.mu.
func (v *volume) log(d *object, changes ...change) *dirOp {
	v.nextOp++
	op := &dirOp{seq: v.nextOp, dir: d, changes: changes}
	for _, c := range changes {
		for _, o := range []*object{c.before, c.after} {
			if o != nil {
				o.pins++
			}
		}
	}
	d.pending = append(d.pending, op)
	v.dirty[d] = true
	v.stat.ops.Add(1)
	return op
}

// commit makes a directory's operations up to seq durable. Callers hold v.mu.
func (v *volume) commit(d *object, seq uint64) {
	n := 0
	for n < len(d.pending) && d.pending[n].seq <= seq {
		n++
	}
	ops := d.pending[:n:n]
	d.pending = slices.Clone(d.pending[n:])
	if len(d.pending) == 0 {
		delete(v.dirty, d)
	}
	v.stat.ops.Add(int64(-n))
	for _, op := range ops {
		op.done = true
		if t := op.twin; t != nil && !t.done {
			v.commit(t.dir, t.seq)
		}
		for _, c := range op.changes {
			for _, o := range []*object{c.before, c.after} {
				if o != nil {
					v.unpin(o)
				}
			}
		}
	}
	v.collect(d)
}

// commitAll makes all directory operations up to seq durable. Callers hold
// v.mu.
func (v *volume) commitAll(seq uint64) {
	dirs := make([]*object, 0, len(v.dirty))
	for d := range v.dirty {
		dirs = append(dirs, d)
	}
	for _, d := range dirs {
		v.commit(d, seq)
	}
}

func (v *volume) unpin(o *object) {
	o.pins--
	if o.pins > 0 {
		return
	}
	if o.limbo != "" {
		flags := 0
		if o.dir() {
			flags = unix.AT_REMOVEDIR
		}
		v.must(unix.Unlinkat(v.limboFD, o.limbo, flags))
		o.limbo = ""
		if o.dir() {
			// What happened in it can't be undone any more: it is gone for good.
			v.commit(o, v.nextOp)
			return
		}
	}
	v.collect(o)
}

// limboName returns a fresh name.
func (v *volume) limboName() string {
	v.nextTmp++
	return strconv.FormatUint(v.nextTmp, 10)
}

// bury takes a name away and keeps the object. Callers hold v.mu.
func (v *volume) bury(d *object, name string, o *object) error {
	if o.limbo != "" {
		// It has another name, so this one is not needed to keep it.
		if err := unix.Unlinkat(d.fd, name, 0); err != nil {
			return err
		}
	} else {
		to := v.limboName()
		if err := unix.Renameat(d.fd, name, v.limboFD, to); err != nil {
			return err
		}
		o.limbo = to
	}
	v.checkGone(o)
	return nil
}

// checkGone notices that an object's last name went.
func (v *volume) checkGone(o *object) {
	var st unix.Stat_t
	if err := unix.Fstat(o.fd, &st); err != nil {
		v.must(err)
		return
	}
	n := st.Nlink
	if o.limbo != "" {
		n--
	}
	if !o.dir() && n == 0 && !o.gone {
		o.mu.Lock()
		o.gone = true
		v.used.Add(-o.size)
		o.mu.Unlock()
	}
}

// sync makes everything durable.
func (v *volume) sync() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.commitAll(v.nextOp)
	for _, o := range v.all() {
		o.mu.Lock()
		v.stat.free(o.u.weight())
		o.u = undo{}
		o.mu.Unlock()
		v.collect(o)
	}
}

// all returns the objects in order. Callers hold v.mu.
func (v *volume) all() []*object {
	out := make([]*object, 0, len(v.objects))
	for _, o := range v.objects {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b *object) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return out
}

// counters are Stats while they run.
type counters struct {
	reads, writes, readBytes, writtenBytes atomic.Uint64
	fsyncs, dirFsyncs, faults, writebacks  atomic.Uint64
	losses                                 atomic.Uint64
	blocks, ops, undo                      atomic.Int64
	broken                                 atomic.Bool
}

func (c *counters) free(w weight) {
	c.blocks.Add(-w.blocks)
	c.undo.Add(-w.bytes)
}

func (v *volume) stats() Stats {
	c := &v.stat
	return Stats{
		Reads: c.reads.Load(), Writes: c.writes.Load(),
		ReadBytes: c.readBytes.Load(), WrittenBytes: c.writtenBytes.Load(),
		Fsyncs: c.fsyncs.Load(), DirFsyncs: c.dirFsyncs.Load(),
		Faults: c.faults.Load(), Writebacks: c.writebacks.Load(), Losses: c.losses.Load(),
		UnsyncedBlocks: c.blocks.Load(), UnsyncedOps: c.ops.Load(), UndoBytes: c.undo.Load(), Used: v.used.Load(),
	}
}
