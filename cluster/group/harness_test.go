package group

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/group/grouptest"
	"altmail.se/altmail/cluster/logstore"
)

// testGroup is the group of all tests.
const testGroup cluster.GroupID = 3

// world is a few nodes with one group in one process.
type world struct {
	t     testing.TB
	net   *grouptest.Net
	nodes []*testNode
	tune  Tuning
	sync  bool // fsync the logs
}

type testNode struct {
	w      *world
	i      int
	id     cluster.NodeID
	inc    uint32
	dir    string
	m      *grouptest.Machine
	gate   *grouptest.Gate
	g      *Group
	router *Router
	peers  *grouptest.Node
	stream *faultyStream

	mu     sync.Mutex
	fault  func(logstore.Op) error
	fatal  []error
	alarms []Alarm
	tune   *Tuning // in place of the world's
	test   testSwitches
	wall   func() time.Time
}

func fastTuning() Tuning {
	return Tuning{
		Heartbeat: slowness * 100 * time.Millisecond, Commit: 10 * time.Millisecond, CheckEvery: -1,
		Health: 50 * time.Millisecond, SyncEvery: 50 * time.Millisecond, Upkeep: time.Hour,
		CallWait: time.Second,
	}
}

// newWorld makes n nodes. The tests mostly wait for elections, so they run
// beside each other, except for those that measure.
func newWorld(t testing.TB, n int, tune Tuning) *world {
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	return newQuietWorld(t, n, tune)
}

func newQuietWorld(t testing.TB, n int, tune Tuning) *world {
	w := &world{t: t, net: grouptest.NewNet(), tune: tune}
	for i := range n {
		w.add(i)
	}
	t.Cleanup(func() {
		for _, n := range w.nodes {
			if n.g != nil {
				if err := n.g.Close(); err != nil {
					t.Errorf("close of node %d: %v", n.i, err)
				}
			}
		}
	})
	return w
}

func (w *world) add(i int) *testNode {
	n := &testNode{w: w, i: i, dir: filepath.Join(w.t.TempDir(), "group"), m: grouptest.NewMachine(), gate: grouptest.NewGate()}
	n.id[0] = byte(i + 1)
	w.nodes = append(w.nodes, n)
	return n
}

func (n *testNode) options() Options {
	n.peers = n.w.net.Node(n.id)
	n.router = NewRouter(n.peers)
	s, err := n.peers.Stream(testGroup)
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.stream = &faultyStream{StreamLayer: s}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("GROUPTEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", n.i)
	}
	return Options{
		Group: testGroup, Node: n.id, Incarnation: n.inc, Dir: n.dir,
		Machine: n.m, Gate: n.gate, Stream: n.stream, Router: n.router, Keys: grouptest.Keys(n.i),
		Log: log,
		Fatal: func(err error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.fatal = append(n.fatal, err)
		},
		Alarm: func(a Alarm) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.alarms = append(n.alarms, a)
		},
		Wall: func() time.Time {
			n.mu.Lock()
			f := n.wall
			n.mu.Unlock()
			if f != nil {
				return f()
			}
			return time.Now()
		},
		Tuning: *n.tuning(), test: n.test,
		LogFault: func(op logstore.Op) error {
			n.mu.Lock()
			f := n.fault
			n.mu.Unlock()
			if f != nil {
				return f(op)
			}
			return nil
		},
		NoSync: !n.w.sync,
	}
}

func (n *testNode) tuning() *Tuning {
	if n.tune != nil {
		return n.tune
	}
	return &n.w.tune
}

func (n *testNode) open(create, bootstrap bool) {
	n.w.t.Helper()
	o := n.options()
	o.Create, o.Bootstrap = create, bootstrap
	g, err := Open(o)
	if err != nil {
		n.w.t.Fatalf("open node %d: %v", n.i, err)
	}
	n.g = g
}

// kill drops the node as kill -9 would: nothing more is made durable, and the
// state goes back to what was.
func (n *testNode) kill() {
	n.w.t.Helper()
	n.peers.Down()
	if err := n.g.Abandon(); err != nil {
		n.w.t.Fatalf("kill node %d: %v", n.i, err)
	}
	n.m.Crash()
	n.g = nil
}

func (n *testNode) setFault(f func(logstore.Op) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault = f
}

func (n *testNode) setWall(f func() time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wall = f
}

func (n *testNode) fatals() []error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]error(nil), n.fatal...)
}

func (n *testNode) alarmed(k AlarmKind) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range n.alarms {
		if a.Kind == k {
			return true
		}
	}
	return false
}

// start bootstraps the first node and takes the others in as voters.
func (w *world) start() {
	w.t.Helper()
	w.nodes[0].open(true, true)
	for _, n := range w.nodes[1:] {
		n.open(true, false)
	}
	w.eventually("a leader", func() bool { return w.nodes[0].g.IsLeader() })
	for _, n := range w.nodes[1:] {
		w.join(n)
	}
}

func (w *world) join(n *testNode) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	// A busy machine may cost a leadership in between: both are repeatable.
	w.eventually("entry", func() bool { return w.leader().g.AddNonvoter(ctx, n.id, n.inc) == nil })
	w.eventually("promotion", func() bool { return w.leader().g.Promote(ctx, n.id, false) == nil })
}

// leader waits for a node that serves as leader.
func (w *world) leader() (l *testNode) {
	w.t.Helper()
	w.eventually("a leader", func() bool {
		for _, n := range w.nodes {
			if n.g != nil && n.g.IsLeader() {
				l = n
				return true
			}
		}
		return false
	})
	return l
}

func (w *world) followers() (f []*testNode) {
	l := w.leader()
	for _, n := range w.nodes {
		if n != l && n.g != nil {
			f = append(f, n)
		}
	}
	return f
}

func (w *world) eventually(what string, cond func() bool) {
	w.t.Helper()
	w.within(time.Minute, what, cond)
}

func (w *world) within(d time.Duration, what string, cond func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(d)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			for _, n := range w.nodes {
				if n.g != nil {
					w.t.Logf("node %d: %+v, fatal %v", n.i, n.g.Status(), n.fatals())
				}
			}
			w.t.Fatalf("no %s within %s", what, d)
		}
		<-tick.C
	}
}

func newOp() (op cluster.OpID) {
	rand.Read(op[:])
	return op
}

func (n *testNode) propose(d time.Duration, format string, args ...any) (cluster.Outcome, error) {
	return n.proposeOp(d, cluster.Proposal{Op: newOp(), Command: fmt.Appendf(nil, format, args...)})
}

func (n *testNode) proposeOp(d time.Duration, p cluster.Proposal) (cluster.Outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return n.g.Propose(ctx, p)
}

func (n *testNode) must(format string, args ...any) cluster.Outcome {
	n.w.t.Helper()
	out, err := n.propose(time.Minute, format, args...)
	if err != nil {
		n.w.t.Fatalf("propose on node %d: %v", n.i, err)
	}
	return out
}

// same waits until all nodes have applied the same and checks their digests.
func (w *world) same() {
	w.t.Helper()
	w.eventually("equal states", func() bool {
		var first cluster.Digest
		var at uint64
		for i, n := range w.nodes {
			if n.g == nil {
				continue
			}
			d, index := n.m.Digest()
			if i == 0 || at == 0 {
				first, at = d, index
			} else if d != first || index != at {
				return false
			}
		}
		return true
	})
}
