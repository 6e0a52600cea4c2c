package group

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/logstore"
)

// TestGuardPreVote: raft turns pre-vote off, in silence, for a transport type
// without RequestPreVote (G1), and ours must not take the heartbeat fast path
// nor pipeline (G2).
func TestGuardTransportType(t *testing.T) {
	w := newWorld(t, 1, fastTuning())
	w.nodes[0].open(true, true)
	var trans raft.Transport = w.nodes[0].g.trans
	if _, ok := trans.(raft.WithPreVote); !ok {
		t.Error("the transport does not support pre-vote: raft turns it off")
	}
	if _, err := trans.AppendEntriesPipeline("x", "x"); !errors.Is(err, raft.ErrPipelineReplicationNotSupported) {
		t.Errorf("the transport pipelines: %v", err)
	}
	c := w.nodes[0].g.o.raftConfig(w.nodes[0].g.o.Log)
	if c.PreVoteDisabled || !c.NoSnapshotRestoreOnStart || c.ShutdownOnRemove || !c.BatchApplyCh {
		t.Errorf("raft is configured without a guard: %+v", c)
	}
	if _, ok := any(w.nodes[0].g.fsm).(raft.BatchingFSM); !ok {
		t.Error("the state machine does not batch: raft would not count configuration entries")
	}
}

// deposed makes node 0 a leader that does not learn that it is none any more
// except by heartbeats, and offers it an entry after the new leader's first
// heartbeat. It returns whether node 0 took the entry under the new term.
func deposed(t *testing.T, fast bool) bool {
	w := newWorld(t, 3, fastTuning())
	old := w.nodes[0]
	cut := make(chan struct{})
	isCut := func() bool {
		select {
		case <-cut:
			return true
		default:
			return false
		}
	}
	heal := make(chan struct{})
	isHealed := func() bool {
		select {
		case <-heal:
			return true
		default:
			return false
		}
	}
	blocked := errors.New("blocked")
	for i, n := range w.nodes {
		n.test.fastHeartbeats = fast
		n.test.onAppend = func(target raft.ServerAddress, req *raft.AppendEntriesRequest) error {
			heartbeat := len(req.Entries) == 0 && req.PrevLogEntry == 0 && req.LeaderCommitIndex == 0
			switch {
			case !isCut() || isHealed():
				return nil
			case i == 0:
				return blocked // nothing of the old leader gets out
			case string(target) == string(old.g.self) && !heartbeat:
				return blocked // only heartbeats reach the old leader
			}
			return nil
		}
	}
	w.start()
	// Node 0 leads with a patience that stands for a long pause of its process.
	old.kill()
	patient := fastTuning()
	patient.Heartbeat, patient.Lease = time.Minute, time.Minute
	old.tune = &patient
	old.open(false, false)
	w.eventually("node 0 to lead", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if l := w.leader(); l != old {
			_ = l.g.TransferLeadership(ctx, old.id) // tried until it works
		}
		return old.g.IsLeader()
	})
	old.must("set a 1")
	w.same()
	term := old.g.term()
	close(cut)
	var next *testNode
	w.eventually("another leader", func() bool {
		for _, n := range w.nodes[1:] {
			if r := n.g.raft.Load(); r.State() == raft.Leader && r.CurrentTerm() > term {
				next = n
				return true
			}
		}
		return false
	})
	next.must("set b new-leader")
	w.eventually("a heartbeat at the old leader", func() bool { return old.g.term() > term })
	fut := old.g.raft.Load().ApplyLog(raft.Log{Data: appendEntry(nil, &cluster.Entry{
		Kind: cluster.KindCommand, Op: newOp(), Command: []byte("set x deposed"),
	})}, 0)
	rejected := make(chan error, 1)
	go func() { rejected <- fut.Error() }()
	var took bool
	select {
	case err := <-rejected:
		took = !errors.Is(err, raft.ErrNotLeader)
	case <-time.After(2 * time.Second):
		took = true // it sits in the log
	}
	close(heal)
	next.must("set c 3")
	w.eventually("the old leader applies", func() bool { return old.m.Get("c") == "3" })
	if !took {
		w.same()
		if got := old.m.Get("x"); got != "" {
			t.Fatalf("x is %q", got)
		}
	} else {
		// The divergence the guard prevents. The digest check finds it (G8).
		if a, b := old.m.Get("x"), next.m.Get("x"); a != "deposed" || b != "" {
			t.Fatalf("without the guard x is %q and %q: the guard is not tested", a, b)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := next.g.Check(ctx); err != nil {
			t.Fatal(err)
		}
		w.eventually("the repair", func() bool { return old.alarmed(AlarmRepaired) })
		next.must("set d 4")
		w.same()
		if got := old.m.Get("x"); got != "" {
			t.Fatalf("x is %q after the repair", got)
		}
	}
	return took
}

// TestGuardHeartbeats: with raft's fast path for heartbeats a deposed leader
// stamps an entry with the new leader's term and the replicas differ for ever
// (G1). Without it, it refuses.
func TestGuardHeartbeats(t *testing.T) {
	t.Run("guarded", func(t *testing.T) {
		if deposed(t, false) {
			t.Fatal("a deposed leader took an entry")
		}
	})
	t.Run("unguarded", func(t *testing.T) {
		if !deposed(t, true) {
			t.Fatal("the scenario does not show the defect any more: the guard is not tested")
		}
	})
}

// TestGuardCommitCap: a request commits nothing beyond what it has matched.
// Raft itself takes min(leader's commit, own last index).
func TestGuardCommitCap(t *testing.T) {
	g := &Group{}
	tr := &transport{g: g}
	g.store = openBareStore(t)
	entry := func(i uint64) *raft.Log { return &raft.Log{Index: i, Term: 3} }
	for _, c := range []struct {
		name       string
		req        raft.AppendEntriesRequest
		base       *base
		known      commitNotice
		prev, term uint64
		entries    int
		commit     uint64
	}{
		{"beyond the entries", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 4, PrevLogTerm: 2, Entries: []*raft.Log{entry(5), entry(6)}, LeaderCommitIndex: 9}, nil, commitNotice{}, 4, 2, 2, 6},
		{"no entries", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 4, PrevLogTerm: 2, LeaderCommitIndex: 9}, nil, commitNotice{}, 4, 2, 0, 4},
		{"within", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 4, PrevLogTerm: 2, Entries: []*raft.Log{entry(5)}, LeaderCommitIndex: 2}, nil, commitNotice{}, 4, 2, 1, 2},
		{"heartbeat", raft.AppendEntriesRequest{Term: 3}, &base{8, 3}, commitNotice{}, 0, 0, 0, 0},
		{"a notice raises it", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 4, PrevLogTerm: 2, Entries: []*raft.Log{entry(5), entry(6)}, LeaderCommitIndex: 2}, nil, commitNotice{"x", 3, 5}, 4, 2, 2, 5},
		{"a notice of another term", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 4, PrevLogTerm: 2, Entries: []*raft.Log{entry(5)}, LeaderCommitIndex: 2}, nil, commitNotice{"x", 2, 5}, 4, 2, 1, 2},
		{"from below the marker", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 4, PrevLogTerm: 2, Entries: []*raft.Log{entry(5), entry(6), entry(7)}, LeaderCommitIndex: 9}, &base{6, 3}, commitNotice{}, 6, 3, 1, 7},
		{"all below the marker", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 4, PrevLogTerm: 2, Entries: []*raft.Log{entry(5)}, LeaderCommitIndex: 9}, &base{6, 3}, commitNotice{}, 6, 3, 0, 6},
	} {
		g.base.Store(c.base)
		tr.known = c.known
		req := c.req
		tr.prove(&req)
		if req.PrevLogEntry != c.prev || req.PrevLogTerm != c.term || len(req.Entries) != c.entries || req.LeaderCommitIndex != c.commit {
			t.Errorf("%s: prev %d/%d, %d entries, commit %d", c.name, req.PrevLogEntry, req.PrevLogTerm, len(req.Entries), req.LeaderCommitIndex)
		}
	}
}

// TestGuardDiskHang: a leader whose disk hangs in a write falls silent, so that
// the others elect; what it had answered is there. After the exit limit the
// process is to end (G5).
func TestGuardDiskHang(t *testing.T) {
	tune := fastTuning()
	tune.SilentAfter, tune.ExitAfter = 100*time.Millisecond, time.Hour
	w := newWorld(t, 3, tune)
	w.start()
	l := w.leader()
	l.must("set a 1")
	release := make(chan struct{})
	l.setFault(func(op logstore.Op) error {
		if op == logstore.OpStoreLogs {
			<-release
		}
		return nil
	})
	go l.propose(time.Second, "set hang 1") // its outcome is not known, and not of interest
	w.eventually("another leader", func() bool {
		for _, n := range w.nodes {
			if n != l && n.g.IsLeader() {
				return true
			}
		}
		return false
	})
	if l.g.IsLeader() {
		t.Fatal("two serve as leader")
	}
	for _, n := range w.nodes {
		if n != l {
			n.must("set b%d 2", n.i)
		}
	}
	l.setFault(nil)
	close(release)
	w.same()
	if f := l.fatals(); len(f) != 0 {
		t.Fatalf("fatal: %v", f)
	}
}

func TestGuardDiskExit(t *testing.T) {
	tune := fastTuning()
	tune.SilentAfter, tune.ExitAfter = 20*time.Millisecond, 60*time.Millisecond
	w := newWorld(t, 1, tune)
	n := w.nodes[0]
	n.open(true, true)
	n.must("set a 1")
	release := make(chan struct{})
	n.setFault(func(op logstore.Op) error { <-release; return nil })
	go n.propose(time.Second, "set hang 1")
	w.eventually("the fatal call", func() bool { return len(n.fatals()) == 1 })
	n.setFault(nil)
	close(release)
	if _, err := n.propose(time.Second, "set b 1"); !errors.Is(err, cluster.ErrStopped) {
		t.Fatalf("after a fatal failure: %v", err)
	}
}

// TestGuardStoreError: a failed write of the log is reported and never tried
// again on that file: the process is to end.
func TestGuardStoreError(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	for _, n := range []*testNode{w.followers()[0], w.leader()} {
		n.setFault(func(op logstore.Op) error {
			if op == logstore.OpStoreLogs {
				return errors.New("disk")
			}
			return nil
		})
		for range 3 {
			n.propose(200*time.Millisecond, "set x 1") // its outcome is not known
		}
		w.eventually("the fatal call", func() bool { return len(n.fatals()) == 1 })
		n.setFault(nil)
		n.kill()
		n.open(false, false)
		w.leader().must("set a%d 1", n.i)
		w.same()
		n.mu.Lock()
		n.fatal = nil
		n.mu.Unlock()
	}
}

// TestGuardReplay: after a restart raft offers entries that the state has
// applied; they are skipped, not executed again (G7, rule R1).
func TestGuardReplay(t *testing.T) {
	w := newWorld(t, 1, fastTuning())
	n := w.nodes[0]
	n.open(true, true)
	for i := range 50 {
		n.must("append k %d", i)
	}
	want := n.m.Get("k")
	for _, crash := range []bool{true, false, true} {
		if crash {
			n.kill()
		} else if err := n.g.Close(); err != nil {
			t.Fatal(err)
		}
		at := n.m.Durable()
		n.m.ApplyErr = func(es []cluster.Entry) error {
			if es[0].Index <= at {
				return fmt.Errorf("entry %d offered to a state at %d", es[0].Index, at)
			}
			return nil
		}
		n.open(false, false)
		w.leader()
		if got := n.m.Get("k"); got != want {
			t.Fatalf("after a restart: %s", got)
		}
		n.m.ApplyErr = nil
	}
}

// TestGuardStateAhead: a state ahead of its log would skip what it is asked to
// do and answer nonsense: the node stops (rule R4, R25).
func TestGuardStateAhead(t *testing.T) {
	w := newWorld(t, 1, fastTuning())
	n := w.nodes[0]
	n.open(true, true)
	n.must("set a 1")
	st, err := n.m.Stage(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Install(); err != nil {
		t.Fatal(err)
	}
	if out, err := n.propose(time.Second, "set b 1"); err == nil {
		t.Fatalf("a skipped entry completed a proposal: %+v", out)
	}
	w.eventually("the fatal call", func() bool { return len(n.fatals()) == 1 })
	if err := n.g.Close(); err != nil {
		t.Fatal(err)
	}
	o := n.options()
	if _, err := Open(o); !errors.Is(err, ErrDamaged) {
		t.Fatalf("a log that ends below the state was opened: %v", err)
	}
	n.g = nil
}

func openBareStore(t *testing.T) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(logstore.Options{Dir: t.TempDir(), Keys: bareKeys{}, Create: true, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

type bareKeys struct{}

func (bareKeys) LogKey() (uint32, *[32]byte)        { return 1, new([32]byte) }
func (bareKeys) LogKeyAt(uint32) (*[32]byte, error) { return new([32]byte), nil }
func (n *testNode) mustReadIndex(d time.Duration) {
	n.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if err := n.g.ReadIndex(ctx); err != nil {
		n.w.t.Fatalf("read index on node %d: %v", n.i, err)
	}
}
