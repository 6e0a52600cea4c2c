package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/group"
	"altmail.se/altmail/cluster/group/grouptest"
	"altmail.se/altmail/cluster/journal"
	"altmail.se/altmail/cluster/logstore"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/body"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/state"
)

// mailGroup is the only group on the network; the directory does not change
// during a schedule and needs none.
const mailGroup cluster.GroupID = 1

// errBroken is what a disk says that is no good any more.
var errBroken = errors.New("sim: input/output error")

// disk is what a node keeps: a file system in memory that forgets what was not
// synced, and the folder of its log. raft.db is a real file, because bbolt maps
// it; a transaction of it is durable as a whole or not at all. After the power
// went the process goes on for a moment, as on a disk of its own: nothing that
// it does then is kept, and nothing leaves it.
type disk struct {
	mem  *vfs.MemFS
	logs string
	inc  uint32
	born bool // the member's log has been made

	mu  sync.Mutex
	rng *rand.Rand
	n   int // changing operations since the process began
	at  int // crash before this one; 0: never
	hit int // times that one was reached
	// An operation on bodies fails when failIn has been counted down. Not one on
	// the journal: the process goes on for a moment, and raft panics when it
	// can't write its term.
	failIn   int
	failWith error
	off      bool
	kept     *vfs.MemFS // what the power loss left
	log      *logFile   // and of the log; nil: there was none
	bad      error
	onK      func() // tells the process of a crash at an operation
}

// step counts an operation that changes the disk, and takes the power away
// when its time has come.
func (d *disk) step() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n++; d.at != 0 && d.n >= d.at && !d.off {
		d.at = 0
		d.hit++
		d.lose()
	}
}

// lose takes the power away. mu is held, so that no transaction of the log
// begins; one under way is in the copy or not. What it stands on was synced
// before it began, hence the order: first the log, then the rest.
func (d *disk) lose() {
	if d.off {
		return
	}
	d.off = true
	if d.onK != nil {
		d.onK()
	}
	d.log, d.bad = readLog(d.logs)
	percent := []int{0, 0, 30, 70, 100}[d.rng.IntN(5)]
	for range 64 {
		d.kept = d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: d.rng})
		if ordered(d.kept) {
			return
		}
	}
	d.kept = d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: d.rng})
}

// ordered reports whether Pebble's marker names a manifest that is there. Both
// are new names in one folder with one sync behind them, and Pebble relies on
// them becoming durable in order, as a journal of names (ext4, XFS) makes them.
// A clone keeps each or not as the dice fall.
func ordered(fs *vfs.MemFS) bool {
	names, err := fs.List("state")
	if err != nil {
		return errors.Is(err, os.ErrNotExist) // not made yet
	}
	const prefix = "marker.manifest."
	newest := ""
	for _, n := range names {
		if strings.HasPrefix(n, prefix) {
			newest = max(newest, n)
		}
	}
	if newest == "" {
		return true
	}
	_, target, _ := strings.Cut(newest[len(prefix):], ".")
	return slices.Contains(names, target)
}

// restore makes the disk what the power loss left, once no process uses it.
func (d *disk) restore() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mem = d.kept
	if d.bad != nil {
		return d.bad
	}
	if err := os.RemoveAll(d.logs); err != nil { // with what the dying process did
		return err
	}
	if d.log == nil {
		return nil
	}
	return d.log.write(d.logs)
}

// MaybeError implements errorfs.Injector.
func (d *disk) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose {
		return nil
	}
	d.step()
	if !strings.HasPrefix(op.Path, "bodies") {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.Is(d.failWith, syscall.ENOSPC) && op.Kind != errorfs.OpFileWrite && op.Kind != errorfs.OpFileWriteAt {
		return nil // a sync that finds no space has lost what was written: that is a broken disk
	}
	if d.failIn > 0 {
		if d.failIn--; d.failIn == 0 {
			return d.failWith
		}
	}
	return nil
}

func (d *disk) String() string { return "sim disk" }

// slowFS lets a sync of body segments take a while: their writer holds no lock
// then, so that time may pass.
type slowFS struct {
	vfs.FS
	took func() time.Duration
}

func (s *slowFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := s.FS.OpenReadWrite(name, c, opts...)
	if err != nil {
		return nil, err
	}
	return &slowFile{f, s}, nil
}

type slowFile struct {
	vfs.File
	s *slowFS
}

func (f *slowFile) SyncData() error {
	if err := pause(context.Background(), f.s.took()); err != nil {
		return err
	}
	return f.File.SyncData()
}

// node is one machine with its disk; proc is what runs on it, nil when nothing
// does.
type node struct {
	w       *world
	i       int
	id      cluster.NodeID
	disk    *disk
	proc    *proc
	skew    atomic.Int64 // of its clock, ns
	gone    bool         // has left for good
	leaving bool         // may have
	arm     int          // the next process loses its power before this operation
	joining atomic.Bool
	full    atomic.Int32 // 1: no new bodies; 2: none at all
	asked   atomic.Bool  // the group was asked to take it in
}

// proc is a process: everything that runs on a node between a start and its
// end.
type proc struct {
	n      *node
	ctx    context.Context
	cancel context.CancelFunc
	dead   atomic.Bool
	port   *port
	db     *state.DB
	jour   *journal.Journal
	dir    *state.Directory
	mail   *state.Mail
	bodies *body.Store
	group  *group.Group
	look   *lookup.Door
	door   *commit.Door
	bg     sync.WaitGroup
	fresh  atomic.Bool // it is not in the group yet

	useMu  sync.Mutex
	ending bool
	users  sync.WaitGroup // clients in the middle of something
}

func tuning() group.Tuning {
	return group.Tuning{
		Commit: 100 * time.Millisecond, CheckEvery: -1, Upkeep: time.Hour, SyncEvery: 2 * time.Second,
		TrailingMax: 1, SnapshotThreshold: 1 << 40, SessionLinger: 300 * time.Millisecond, SessionIdle: 3 * time.Second,
		CompactEvery: time.Second, // at every Trim
	}
}

// start begins a process on what is on the disk.
func (n *node) start() (err error) {
	w := n.w
	p := &proc{n: n, port: w.net.open(n.id)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	d := n.disk
	d.mu.Lock()
	d.failIn = 0
	d.n, d.at, d.off, d.kept, d.log, d.bad = 0, n.arm, false, nil, nil, nil
	n.arm = 0
	d.onK = func() { p.dead.Store(true); p.port.kill() }
	rng := rand.New(rand.NewPCG(d.rng.Uint64(), 7))
	d.mu.Unlock()
	fatal := func(err error) {
		if errors.Is(err, errBroken) { // as it should: the process ends
			d.mu.Lock()
			d.lose()
			d.mu.Unlock()
			return
		}
		if !p.dead.Load() {
			w.violation("node %d ends itself: %v", n.i, err)
		}
	}
	fs := errorfs.Wrap(d.mem, d)
	defer func() {
		if err != nil {
			err = fmt.Errorf("node %d: %w", n.i, err)
			p.port.close()
			p.cancel()
		}
	}()
	if p.db, err = state.Open(fs, "state", state.Options{CacheBytes: 1 << 20, MemTableBytes: 256 << 10, Fatal: fatal}); err != nil {
		return err
	}
	if p.dir, err = p.db.Directory(); err != nil {
		return err
	}
	if p.jour, err = openJournal(fs, fatal); err != nil {
		return err
	}
	if err = n.prepare(p); err != nil {
		return err
	}
	if p.mail, err = p.db.Mail(mailGroup); err != nil {
		return err
	}
	p.mail.OnEvents = func(evs []mailstore.Event) {
		for i := range evs {
			if evs[i].Reset {
				p.reconcile()
				p.look.Reset()
			}
		}
	}
	p.mail.OnDead = func(g cluster.GroupID, ids []mailstore.BodyID) {
		index, _ := p.mail.Applied()
		p.bodies.Dead(g, index, ids...)
	}
	var slow sync.Mutex
	if p.bodies, err = body.Open(&slowFS{fs, func() time.Duration {
		slow.Lock()
		defer slow.Unlock()
		return time.Duration(rng.Int64N(int64(w.plan.slow)))
	}}, "bodies", body.Options{
		Fatal: fatal, Live: live{p}, Peers: p.port, Members: p.others, SegmentSize: 16 << 10,
		DiskUsage: n.usage, Journal: p.jour, LogInJournal: true,
	}); err != nil {
		return err
	}
	groups := groups{p}
	p.look = lookup.New(lookup.Config{
		Groups: groups, Ring: w.ring, Bodies: p.bodies, Directory: p.dir, Mail: groups.mail,
	})
	if p.group, err = group.Open(group.Options{
		Group: mailGroup, Node: n.id, Incarnation: d.inc, Dir: d.logs, FS: fs,
		Create: !d.born, Bootstrap: !d.born && w.img == nil && n.i == 0,
		Machine: &spy{Mail: p.mail, n: n}, Gate: p.bodies, Stream: p.port.layer(mailGroup),
		Router: group.NewRouter(p.port), Keys: grouptest.Keys(n.i), Log: w.log(n.i), Fatal: fatal, Journal: p.jour,
		Alarm: func(a group.Alarm) { w.alarm(n.i, a) }, Wall: n.now, Tuning: tuning(), NoSync: true,
		LogFault: func(logstore.Op) error {
			d.step()
			return nil
		},
	}); err != nil {
		return err
	}
	d.born = true
	if err = p.jour.Settle(); err != nil {
		return err
	}
	p.reconcile()
	p.bg.Go(func() { p.bodies.Run(p.ctx) })
	p.door = commit.New(commit.Config{
		Groups: groups, Members: p.others, Bodies: p.bodies, Lookup: p.look, Ring: w.ring,
		Directory: p.dir, Mail: groups.mail, Timeout: time.Second, Now: n.now,
	})
	p.fresh.Store(n.joining.Load())
	n.w.mu.Lock()
	n.proc = p
	n.w.mu.Unlock()
	return nil
}

// openJournal opens a node's journal: small files, so that they are used again
// within a schedule.
func openJournal(fs vfs.FS, fatal func(error)) (*journal.Journal, error) {
	return journal.Open(fs, "journal", journal.Options{SegmentSize: 64 << 10, Segments: 4, Fatal: fatal})
}

func (n *node) logOptions(j *journal.Journal) logstore.Options {
	return logstore.Options{Dir: n.disk.logs, Node: n.id, Group: mailGroup, Keys: grouptest.Keys(n.i), NoSync: true, Journal: j}
}

// prepare begins anew on a node that was about to join and whose log was not
// yet made when the power went, as node.Node does: a new member has an empty
// state, and one that lost its log is another member.
func (n *node) prepare(p *proc) error {
	d := n.disk
	if d.born && n.joining.Load() && !n.asked.Load() {
		l, err := logstore.Open(n.logOptions(p.jour))
		switch {
		case err == nil:
			if err := l.Close(); err != nil {
				return err
			}
		case errors.Is(err, logstore.ErrMissing) || errors.Is(err, logstore.ErrDamaged):
			if err := errors.Join(os.RemoveAll(d.logs), d.mem.RemoveAll(d.logs), makeDirs(d.mem, d.logs)); err != nil {
				return err
			}
			d.born = false
			d.inc++
		default:
			return err
		}
	}
	if d.born {
		return nil
	}
	return p.db.Drop(mailGroup)
}

// take removes the process from the node.
func (n *node) take() *proc {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	p := n.proc
	n.proc = nil
	return p
}

// usage is how full the disk says it is: of a tebibyte, a tenth is kept from new
// bodies, and an eighth of that, at most, from those that an entry names.
func (n *node) usage() (vfs.DiskUsage, error) {
	const total = 1 << 40
	free := uint64(total / 2)
	switch n.full.Load() {
	case 1:
		free = 10 << 30
	case 2:
		free = 0
	}
	return vfs.DiskUsage{AvailBytes: free, TotalBytes: total, UsedBytes: total - free}, nil
}

func (n *node) now() time.Time { return time.Now().Add(time.Duration(n.skew.Load())) }

// reconcile compares bodies and state, as the wiring of a real node does.
func (p *proc) reconcile() {
	p.bg.Go(func() {
		if err := p.bodies.Reconcile(p.ctx, mailGroup, p.mail.BodiesAfter); err != nil && p.ctx.Err() == nil && !p.dead.Load() {
			p.n.w.violation("node %d: bodies not compared with the state: %v", p.n.i, err)
		}
	})
}

// others lists the other members of the group.
func (p *proc) others(cluster.GroupID) []cluster.NodeID {
	var out []cluster.NodeID
	if p.group == nil {
		return nil
	}
	for _, m := range p.group.Configuration() {
		if m.Node != p.n.id {
			out = append(out, m.Node)
		}
	}
	return out
}

// kill takes the power away from a node, and waits until its process is gone.
func (n *node) kill() {
	p := n.take()
	if p == nil {
		return
	}
	n.disk.mu.Lock()
	n.disk.lose()
	n.disk.mu.Unlock()
	n.over(p, p.group.Abandon)
}

// over ends a process whose power has gone and leaves what the disk kept.
func (n *node) over(p *proc, end func() error) {
	p.end(end)
	if err := n.disk.restore(); err != nil {
		n.w.violation("node %d: the disk: %v", n.i, err)
	}
}

// stop ends the process in order; then the power goes.
func (n *node) stop() {
	p := n.take()
	if p == nil {
		return
	}
	if p.dead.Load() { // it crashed by itself already
		n.over(p, p.group.Abandon)
		return
	}
	n.over(p, func() error {
		err := p.group.Close()
		n.disk.mu.Lock()
		defer n.disk.mu.Unlock()
		n.disk.lose()
		return err
	})
}

// end tears a process down. Errors after a loss of power mean nothing.
func (p *proc) end(closeGroup func() error) {
	var errs []error
	p.useMu.Lock()
	p.ending = true
	p.useMu.Unlock()
	p.cancel()
	if p.dead.Load() {
		p.port.close()
	}
	p.door.Close()
	errs = append(errs, closeGroup())
	p.port.close()
	p.port.wait()
	p.users.Wait()
	errs = append(errs, p.bodies.Close(), p.jour.Close())
	p.bg.Wait()
	errs = append(errs, p.mail.Close(), p.dir.Close(), p.db.Close())
	if err := errors.Join(errs...); err != nil && !p.dead.Load() {
		p.n.w.violation("node %d does not close: %v", p.n.i, err)
	}
	p.dead.Store(true)
}

// live answers the body store's questions about the state.
type live struct{ p *proc }

func (l live) Referenced(_ cluster.GroupID, id cluster.BodyID) (bool, error) {
	return l.p.mail.BodyReferenced(id)
}

func (l live) Applied(cluster.GroupID) uint64 {
	index, _ := l.p.mail.Applied()
	return index
}

func (l live) DurableApplied(cluster.GroupID) uint64 { return l.p.mail.Durable() }

// groups are the groups as the doors of a process see them.
type groups struct{ p *proc }

func (g groups) Group(id cluster.GroupID) (cluster.Group, bool) {
	if id == cluster.Directory {
		return &still{g.p}, true
	}
	return g.p.group, id == mailGroup
}

func (groups) Mail() []cluster.GroupID { return []cluster.GroupID{mailGroup} }

func (g groups) mail(id cluster.GroupID) (*state.Mail, bool) { return g.p.mail, id == mailGroup }

// still is the directory: the same on every node. While the image is made it
// takes changes, for all nodes at once.
type still struct{ p *proc }

func (s *still) ID() cluster.GroupID { return cluster.Directory }

func (s *still) Propose(_ context.Context, p cluster.Proposal) (cluster.Outcome, error) {
	w := s.p.n.w
	if w.img != nil {
		return cluster.Outcome{}, fmt.Errorf("%w: the directory does not change", cluster.ErrUnavailable)
	}
	return w.applyDirectory(cluster.Entry{Kind: cluster.KindCommand, First: p.First, Op: p.Op, Command: p.Command})
}

func (s *still) ReadIndex(ctx context.Context) error { return ctx.Err() }

func (s *still) WaitApplied(ctx context.Context, _ uint64) error { return ctx.Err() }

func (s *still) Leader() (cluster.NodeID, bool) { return s.p.n.id, true }

func (s *still) IsLeader() bool { return true }

func nodeID(i int) (id cluster.NodeID) {
	id[0] = byte(i + 1)
	return id
}

// log is where a node's own log goes: nowhere, unless it was asked for.
func (w *world) log(i int) *slog.Logger {
	if !*flagLog {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", i)
}
