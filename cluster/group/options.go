package group

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/journal"
	"altmail.se/altmail/cluster/logstore"
)

// Options of Open.
type Options struct {
	Group cluster.GroupID
	Node  cluster.NodeID
	// Incarnation numbers this node's membership in the group; with Node it is
	// the raft server id.
	Incarnation uint32
	// Dir is the group's directory, made if it is not there. The log is a plain
	// file in it; the markers go through FS.
	Dir string
	FS  vfs.FS // nil means the disk
	// Create makes a new member: without it a missing log is an error, because
	// a member that lost its log must come back under a new incarnation.
	Create bool
	// Bootstrap, with Create, makes this node the only voter of a new group.
	Bootstrap bool

	// Machine is the replicated state. The group does not close it.
	Machine cluster.Machine
	Gate    cluster.Gate
	Stream  raft.StreamLayer
	Router  *Router
	Keys    logstore.Keys
	// Journal of the node takes the entries of all its groups with one sync;
	// nil means that each group syncs its own file. A log that had one is not
	// opened without.
	Journal *journal.Journal
	Log     *slog.Logger
	// Fatal is told the one failure after which this node must not go on: the
	// process is to exit. The group answers nothing any more after it. It must
	// not call back into the group.
	Fatal func(error)
	// Alarm, if set, is told what an operator should know. It must not block.
	Alarm func(Alarm)
	// Wall is the clock; nil means time.Now.
	Wall func() time.Time

	Tuning Tuning

	// LogFault is the fault hook of the log store, for tests.
	LogFault func(logstore.Op) error
	// NoSync skips the fsyncs of the log, for tests that do not need them.
	NoSync bool

	// test is set by tests of this package only.
	test testSwitches
}

// testSwitches take guards off, so that tests can show what each is for, and
// let tests stand in the way of requests and of an install.
type testSwitches struct {
	fastHeartbeats bool // without guard G1
	looseCommit    bool // without the cap on the commit index
	quiet          bool // without the push of commit notices
	onAppend       func(target raft.ServerAddress, req *raft.AppendEntriesRequest) error
	onInstall      func(step string) error
	onForward      func() error // fails a forward in place of the network
}

// Tuning are the times and sizes of a group; zero means the default.
type Tuning struct {
	Heartbeat time.Duration // no word from the leader for so long: elect (400 ms)
	Election  time.Duration // a candidate's patience (400 ms)
	Lease     time.Duration // a leader without a majority for so long steps down (350 ms)
	Commit    time.Duration // idle followers learn the commit index in 1-2 of it (50 ms)

	GateWait   time.Duration // how long an append may wait for bodies (5 s)
	CallWait   time.Duration // one call between nodes (2 s)
	CheckEvery time.Duration // between digest checks (60 s); negative: never
	Health     time.Duration // between looks at the other members (2 s)
	SyncEvery  time.Duration // between syncs of an idle machine (10 s)
	Upkeep     time.Duration // between looks at the log's length and age (60 s)

	SnapshotEvery     time.Duration // at least one marker in so long (24 h)
	SnapshotThreshold uint64        // entries after which a marker is due (20 000)
	// TrailingMax is how many entries stay behind a marker at most (200 000),
	// unless they are older than half of EraseWithin.
	TrailingMax uint64
	// TrailingBytes is how much log stays behind a marker at most for members
	// that have not applied it (64 MiB; the file has about twice that).
	TrailingBytes int64
	EraseWithin   time.Duration // 7 days
	// CompactEvery is how often the log file is rewritten (half of EraseWithin).
	CompactEvery time.Duration

	// ProposeBytes and ProposeCount bound the proposals under way (16 MiB, 2048).
	ProposeBytes int64
	ProposeCount int64
	// ClockSlack is how far this node's clock may be from the majority's (30 s).
	ClockSlack time.Duration
	// SilentAfter and ExitAfter are the limits of the disk watchdog (3 s, 20 s).
	SilentAfter, ExitAfter time.Duration

	ForwardWindow int // forwards under way at once (4)
	MaxAppend     int // entries per append and per group commit (256)
	SessionIdle   time.Duration
	SessionLinger time.Duration
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (t *Tuning) fill() {
	def(&t.Heartbeat, 400*time.Millisecond)
	def(&t.Election, t.Heartbeat)
	def(&t.Lease, t.Heartbeat*7/8)
	def(&t.Commit, 50*time.Millisecond)
	def(&t.GateWait, 5*time.Second)
	def(&t.CallWait, 2*time.Second)
	def(&t.CheckEvery, time.Minute)
	def(&t.Health, 2*time.Second)
	def(&t.SyncEvery, 10*time.Second)
	def(&t.Upkeep, time.Minute)
	def(&t.SnapshotEvery, 24*time.Hour)
	def(&t.SnapshotThreshold, 20_000)
	def(&t.TrailingMax, 200_000)
	def(&t.TrailingBytes, 64<<20)
	def(&t.EraseWithin, 7*24*time.Hour)
	def(&t.CompactEvery, t.EraseWithin/2)
	def(&t.ProposeBytes, 16<<20)
	def(&t.ProposeCount, 2048)
	def(&t.ClockSlack, 30*time.Second)
	def(&t.SilentAfter, 3*time.Second)
	def(&t.ExitAfter, 20*time.Second)
	def(&t.ForwardWindow, 4)
	def(&t.MaxAppend, 256)
}

func (o *Options) check() error {
	if o.Stream == nil || o.Router == nil || o.Fatal == nil {
		return fmt.Errorf("group %s: incomplete options", o.Group)
	}
	return o.checkLocal()
}

// checkLocal is for what needs no network.
func (o *Options) checkLocal() error {
	switch {
	case o.Node.IsZero():
		return fmt.Errorf("group %s: no node id", o.Group)
	case o.Machine == nil || o.Gate == nil || o.Keys == nil:
		return fmt.Errorf("group %s: incomplete options", o.Group)
	case o.Bootstrap && !o.Create:
		return fmt.Errorf("group %s: bootstrap of a group that is not new", o.Group)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	o.Log = o.Log.With("group", uint32(o.Group))
	o.Tuning.fill()
	return nil
}

// minTrailing entries always stay in the log: raft must never be made to
// delete its last entry to compact, and a brief absence needs no install.
const minTrailing = 64

func (o *Options) raftConfig(log *slog.Logger) *raft.Config {
	t := o.Tuning
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(ServerName(o.Node, o.Incarnation))
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = t.Heartbeat, t.Election, t.Lease
	c.CommitTimeout = t.Commit
	c.MaxAppendEntries = t.MaxAppend
	c.BatchApplyCh = true
	c.ShutdownOnRemove = false
	c.TrailingLogs = max(t.TrailingMax, minTrailing)
	c.SnapshotThreshold = t.SnapshotThreshold
	c.SnapshotInterval = t.Upkeep
	// Guard G7: the state is on the disk and owns its applied index.
	c.NoSnapshotRestoreOnStart = true
	c.PreVoteDisabled = false
	c.NoLegacyTelemetry = true
	c.Logger = newRaftLog(log)
	return c
}
