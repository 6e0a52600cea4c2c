package group

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sync/semaphore"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/logstore"
	"altmail.se/altmail/cluster/snapshot"
)

// ErrDamaged: the log or the markers are not what this member wrote, or end
// below its state. It must not vote again: it is removed from the group and
// enters again as a new non-voter (rule R25).
var ErrDamaged = logstore.ErrDamaged

// Group is one Raft group on this node. All methods are safe for concurrent
// use.
type Group struct {
	o    Options
	self raft.ServerID

	store  *logstore.Store
	snaps  *snapshot.Store
	source *snapshot.Source
	trans  *transport
	fsm    *fsm

	// life serializes what starts and stops the raft instance.
	life sync.Mutex
	raft atomic.Pointer[raft.Raft]
	done chan struct{} // closed when the instance has ended

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	applied counter
	confs   configurations
	pins    pins
	base    atomic.Pointer[base]
	stats   counters

	// leadTerm is the term this node leads in and has applied its epoch of.
	leadTerm atomic.Uint64
	clock    leaderClock
	readIdx  batcher
	fwd      forwarder
	health   health
	checks   checks
	fetch    fetching
	notices  notices

	room     *semaphore.Weighted
	slots    *semaphore.Weighted
	inflight inflight
	lane     lane

	checking atomic.Bool
	included atomic.Bool // an applied configuration had this member

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when the leader may have changed
	watches map[*watch]struct{}
	failed  error
	closing bool
}

type counters struct {
	proposed, forwarded, retried, applied atomic.Uint64
	gateRefused, readRounds, installs     atomic.Uint64
	elections                             atomic.Uint64
	notices, noticesLost                  atomic.Uint64
}

// Open opens the group on this node and takes part in it. It returns before
// there is a leader. The caller closes the machine after Close.
func Open(o Options) (_ *Group, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	g := newGroup(o)
	if err := g.openDisk(); err != nil {
		g.cancel()
		return nil, err
	}
	defer func() {
		if err != nil {
			g.cancel()
			err = errors.Join(err, g.store.Close())
		}
	}()
	g.source = snapshot.NewSource(snapshot.SourceOptions{
		View: o.Machine.View, Term: g.term, Configuration: g.confs.at, Hold: g.holdLog,
		Idle: o.Tuning.SessionIdle, Linger: o.Tuning.SessionLinger,
	})
	index, term := o.Machine.Applied()
	g.applied.advance(index, term)

	streams := newStreams(o.Stream, g.self)
	g.trans = newTransport(g, raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: streams, MaxPool: 4, Timeout: 10 * time.Second,
		MaxRPCsInFlight: 1, // guard G2
		Logger:          newRaftLog(o.Log),
	}), streams)
	g.trans.wg.Add(1)
	go g.trans.pump()
	if o.Bootstrap {
		if err = g.bootstrap(); err != nil {
			return nil, errors.Join(err, g.trans.shut())
		}
	}
	if err = g.start(); err != nil {
		return nil, errors.Join(err, g.trans.shut())
	}
	if err = o.Router.add(g); err != nil {
		return nil, errors.Join(err, g.stopRaft(), g.trans.shut())
	}
	g.spawn(g.watchDisk)
	g.spawn(g.upkeep)
	g.spawn(g.pushCommits)
	return g, nil
}

func newGroup(o Options) *Group {
	g := &Group{
		o: o, self: raft.ServerID(ServerName(o.Node, o.Incarnation)),
		changed: make(chan struct{}),
		watches: make(map[*watch]struct{}),
		room:    semaphore.NewWeighted(o.Tuning.ProposeBytes),
		slots:   semaphore.NewWeighted(o.Tuning.ProposeCount),
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.fsm = &fsm{g: g}
	g.lane = lane{propose: g.offer, life: g.ctx.Done(), full: make(chan struct{}, 1)}
	g.inflight.ops = make(map[cluster.OpID]*op)
	g.health.peers = make(map[cluster.NodeID]*peerReport)
	g.clock.wall = o.Wall
	g.notices.wake = make(chan struct{}, 1)
	g.notices.peers = make(map[cluster.NodeID]*told)
	g.readIdx.round = g.readRound
	g.fwd.g = g
	return g
}

// openDisk opens log and markers, ends an install that was interrupted, and
// checks that they and the state fit.
func (g *Group) openDisk() (err error) {
	if err := g.openFiles(); err != nil {
		return err
	}
	if err = g.recoverInstall(); err == nil {
		err = g.checkDisk()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("group %s: %w", g.o.Group, err), g.store.Close())
	}
	return nil
}

// openFiles opens log and markers.
func (g *Group) openFiles() (err error) {
	o := &g.o
	if g.store, err = logstore.Open(logstore.Options{
		Dir: o.Dir, Node: o.Node, Group: o.Group, Keys: o.Keys, Create: o.Create, Journal: o.Journal,
		OnError: g.fatal, Fault: o.LogFault, NoSync: o.NoSync,
	}); err != nil {
		return fmt.Errorf("group %s: %w", o.Group, err)
	}
	if g.snaps, err = snapshot.Open(snapshot.Options{
		FS: o.FS, Dir: filepath.Join(o.Dir, "markers"), Node: o.Node, Group: o.Group,
		Sealer: g.store.Sealer(), Durable: o.Machine.Durable,
	}); err != nil {
		return errors.Join(fmt.Errorf("group %s: %w", o.Group, err), g.store.Close())
	}
	return nil
}

func (g *Group) spawn(f func()) {
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		f()
	}()
}

func (g *Group) bootstrap() error {
	err := raft.BootstrapCluster(g.o.raftConfig(g.o.Log), g.store, g.store, g.snaps, g.trans, raft.Configuration{
		Servers: []raft.Server{{Suffrage: raft.Voter, ID: g.self, Address: raft.ServerAddress(g.self)}},
	})
	if err != nil {
		return fmt.Errorf("group %s: bootstrap: %w", g.o.Group, err)
	}
	return nil
}

// checkDisk compares log, markers and state (rules R3, R25), reads the whole
// log once, so that damage is met here and not in raft, which panics, and pins
// the bodies of what may still be applied.
func (g *Group) checkDisk() error {
	first, err := g.store.FirstIndex()
	if err != nil {
		return err
	}
	last, err := g.store.LastIndex()
	if err != nil {
		return err
	}
	durable := g.o.Machine.Durable()
	marker, has := g.snaps.Newest()
	damaged := func(format string, args ...any) error {
		return fmt.Errorf("group %s: %w: %s", g.o.Group, ErrDamaged, fmt.Sprintf(format, args...))
	}
	switch {
	case g.snaps.Any() && !has:
		return damaged("every marker is above the state at %d", durable)
	case last == 0 && !has && durable > 0:
		return damaged("no log under a state at %d", durable)
	case last == 0 && has && durable > marker.Index:
		return damaged("no log between the marker %d and the state at %d", marker.Index, durable)
	case last > 0 && last < marker.Index:
		return damaged("the log ends at %d, below the marker %d", last, marker.Index)
	case last > 0 && last < durable:
		return damaged("the log ends at %d, below the state at %d", last, durable)
	case last > 0 && first > marker.Index+1:
		return damaged("the log begins at %d, after the marker %d", first, marker.Index)
	}
	if has {
		g.confs.reset(marker.ConfigurationIndex, marker.Configuration)
	}
	g.rebase()
	from := max(first, min(marker.Index, durable)+1)
	for i := from; i <= last && last > 0; i++ {
		var l raft.Log
		if err := g.store.GetLog(i, &l); err != nil {
			return fmt.Errorf("group %s: %w", g.o.Group, err)
		}
		if l.Type != raft.LogCommand || i <= durable {
			continue
		}
		refs, err := DecodeBodies(l.Data)
		if err != nil {
			return fmt.Errorf("group %s: entry %d: %w", g.o.Group, i, err)
		}
		if len(refs) > 0 {
			g.pins.keep([]held{{i, g.o.Gate.Pin(g.o.Group, refs)}})
		}
	}
	return nil
}

// rebase takes the newest marker as the floor of what a leader has to prove.
func (g *Group) rebase() {
	if m, ok := g.snaps.Newest(); ok {
		g.base.Store(&base{m.Index, m.Term})
		g.store.SetBase(m.Index, m.Term)
	}
}

// start makes a raft instance over what is on the disk. life is held, or
// nothing else runs yet.
func (g *Group) start() error {
	conf := g.o.raftConfig(g.o.Log)
	conf.TrailingLogs = g.trailing()
	notify := make(chan bool, 64)
	conf.NotifyCh = notify
	r, err := raft.NewRaft(conf, g.fsm, g.store, g.store, g.snaps, g.trans)
	if err != nil {
		return fmt.Errorf("group %s: %w", g.o.Group, err)
	}
	seen := make(chan raft.Observation, 64)
	obs := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	r.RegisterObserver(obs)
	g.raft.Store(r)
	done := make(chan struct{})
	g.done = done
	g.spawn(func() {
		defer r.DeregisterObserver(obs)
		for {
			select {
			case lead := <-notify:
				if lead {
					g.stats.elections.Add(1)
					g.spawn(func() { g.takeOver(r) })
				} else {
					g.leadTerm.Store(0)
				}
				g.announce()
			case <-seen:
				g.announce()
			case <-done:
				return
			}
		}
	})
	return nil
}

// stopRaft ends the raft instance and waits for its goroutines.
func (g *Group) stopRaft() error {
	r := g.raft.Swap(nil)
	if r == nil {
		return nil
	}
	g.leadTerm.Store(0)
	f := r.Shutdown()
	g.trans.s.cut(false)
	err := f.Error()
	close(g.done)
	g.lane.giveUp()
	g.inflight.abort()
	g.announce()
	return err
}

// announce wakes whoever waits for another leader.
func (g *Group) announce() {
	g.mu.Lock()
	close(g.changed)
	g.changed = make(chan struct{})
	g.mu.Unlock()
	g.dropWatches()
}

func (g *Group) change() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// fatal stops the group for good: the disk or the state can't be trusted. The
// first failure is reported, once.
func (g *Group) fatal(err error) {
	g.mu.Lock()
	if g.failed != nil || g.closing {
		g.mu.Unlock()
		return
	}
	g.failed = err
	g.mu.Unlock()
	g.leadTerm.Store(0)
	g.applied.stop()
	g.o.Log.Error("group stopped", "err", err)
	g.announce()
	g.o.Fatal(fmt.Errorf("group %s: %w", g.o.Group, err))
}

func (g *Group) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed != nil {
		return fmt.Errorf("%w: %w", cluster.ErrStopped, g.failed)
	}
	return nil
}

// down returns why the group answers nothing any more, if so.
func (g *Group) down() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.failed != nil:
		return fmt.Errorf("%w: %w", cluster.ErrStopped, g.failed)
	case g.closing:
		return cluster.ErrStopped
	}
	return nil
}

// Close stops the group. Proposals under way may have happened.
func (g *Group) Close() error { return g.shutdown(true) }

// Abandon stops the group without making anything durable that is not: for
// tests of crashes.
func (g *Group) Abandon() error { return g.shutdown(false) }

func (g *Group) shutdown(sync bool) error {
	g.mu.Lock()
	if g.closing {
		g.mu.Unlock()
		return nil
	}
	g.closing = true
	failed := g.failed != nil
	g.mu.Unlock()
	g.o.Router.remove(g)
	g.cancel()
	g.applied.stop()
	g.announce()
	g.life.Lock()
	err := g.stopRaft()
	g.life.Unlock() // an install that waits for it sees that the group closes
	err = errors.Join(err, g.trans.shut())
	g.wg.Wait()
	err = errors.Join(err, g.source.Close())
	if sync && !failed {
		_, _, serr := g.o.Machine.Sync()
		err = errors.Join(err, serr)
	}
	g.pins.drop(g.pins.all())
	return errors.Join(err, g.store.Close())
}

// ID returns the number of the group.
func (g *Group) ID() cluster.GroupID { return g.o.Group }

// Leader returns the current leader as far as this node knows.
func (g *Group) Leader() (cluster.NodeID, bool) {
	_, id := g.leader()
	return id, !id.IsZero()
}

func (g *Group) leader() (raft.ServerID, cluster.NodeID) {
	r := g.raft.Load()
	if r == nil {
		return "", cluster.NodeID{}
	}
	_, id := r.LeaderWithID()
	return id, nodeOf(id)
}

// IsLeader reports whether this node leads and has applied an entry of its own
// term.
func (g *Group) IsLeader() bool { return g.leading() != 0 }

// leading returns the term in which this node leads and may serve, 0 if it
// does not.
func (g *Group) leading() uint64 {
	t := g.leadTerm.Load()
	r := g.raft.Load()
	if t == 0 || r == nil || r.State() != raft.Leader || r.CurrentTerm() != t || g.silent() {
		return 0
	}
	return t
}

func (g *Group) term() uint64 {
	if r := g.raft.Load(); r != nil {
		return r.CurrentTerm()
	}
	return g.store.Term()
}

func (g *Group) appliedIndex() uint64 {
	i, _ := g.applied.get()
	return i
}

// WaitApplied returns once this node has applied index.
func (g *Group) WaitApplied(ctx context.Context, index uint64) error {
	return g.applied.wait(ctx, index)
}

func (g *Group) syncMachine() (uint64, uint64, error) {
	index, term, err := g.o.Machine.Sync()
	if err != nil {
		g.fatal(fmt.Errorf("sync of the state: %w", err))
		return 0, 0, err
	}
	g.pins.durable(index)
	return index, term, nil
}
