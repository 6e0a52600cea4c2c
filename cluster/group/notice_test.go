package group

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// TestNoticePush: a follower that nobody writes on applies at once what was
// committed, long before raft would tell it.
func TestNoticePush(t *testing.T) {
	tune := fastTuning()
	tune.Commit = 5 * time.Second
	w := newWorld(t, 3, tune)
	w.start()
	l := w.leader()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var late []time.Duration
	for i := range 20 {
		out := l.must("set k %d", i)
		at := time.Now()
		for _, n := range w.followers() {
			if err := n.g.WaitApplied(ctx, out.Index); err != nil {
				t.Fatal(err)
			}
			late = append(late, time.Since(at))
		}
	}
	slices.Sort(late)
	if m := late[len(late)/2]; m > 100*time.Millisecond {
		t.Fatalf("a follower applies %s after the answer, at best %s, at worst %s", m, late[0], late[len(late)-1])
	}
	if s := l.g.Stats(); s.Notices == 0 {
		t.Fatal("no notice was sent: the test shows nothing")
	}
}

// TestNoticeForwarder: the answer to a forward is a notice, so no other is sent
// to the node that forwarded; the third node gets one.
func TestNoticeForwarder(t *testing.T) {
	tune := fastTuning()
	tune.Commit = 5 * time.Second
	w := newWorld(t, 3, tune)
	w.start()
	w.same()
	l, f := w.leader(), w.followers()
	before := l.g.Stats().Notices
	const changes = 30
	for i := range changes {
		out := f[0].must("set k %d", i)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := f[1].g.WaitApplied(ctx, out.Index); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	// One for each and a half allows for a forward whose answer was slow.
	if n := l.g.Stats().Notices - before; n == 0 || n > changes*3/2 {
		t.Fatalf("%d notices for %d changes", n, changes)
	}
}

// TestNoticeUnreachable: a member that can't be reached is not called for every
// change, and is told again when it is back.
func TestNoticeUnreachable(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	w.same()
	l, f := w.leader(), w.followers()
	w.net.Isolate(f[0].id)
	for i := range 50 {
		l.must("set k %d", i)
	}
	if n := l.g.Stats().NoticesLost; n > 5 {
		t.Fatalf("%d notices sent to a node that is not there", n)
	}
	w.net.Heal()
	w.leader().must("set k last")
	w.same()
}

// TestNoticeMeansNoMore: a notice of another term, or that reaches a log which
// ends in another term's entries, commits nothing.
func TestNoticeMeansNoMore(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	held := make(chan struct{}) // closed: appends reach node 0 again
	isHeld := func() bool {
		select {
		case <-held:
			return false
		default:
			return true
		}
	}
	old := w.nodes[0]
	begun := make(chan struct{})
	for i, n := range w.nodes {
		n.test.onAppend = func(target raft.ServerAddress, req *raft.AppendEntriesRequest) error {
			select {
			case <-begun:
			default:
				return nil
			}
			if isHeld() && (i == 0 || string(target) == string(old.g.self) && !heartbeat(req)) {
				return errors.New("blocked")
			}
			return nil
		}
	}
	w.start()
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

	// Node 0 keeps entries of its own term that nobody else has.
	term := old.g.term()
	close(begun)
	for range 3 {
		old.g.raft.Load().ApplyLog(raft.Log{Data: appendEntry(nil, &cluster.Entry{
			Kind: cluster.KindCommand, Op: newOp(), Command: []byte("set x deposed"),
		})}, 0)
	}
	first := old.g.appliedIndex() + 1
	w.eventually("the entries", func() bool { return old.g.lastIndex() >= first+2 })
	var next *testNode
	w.eventually("another leader", func() bool {
		for _, n := range w.nodes[1:] {
			if n.g.IsLeader() {
				next = n
			}
		}
		return next != nil
	})
	for i := range 6 {
		next.must("set b %d", i)
	}
	w.eventually("node 0 in the new term", func() bool {
		id, _ := old.g.leader()
		return id == next.g.self && old.g.term() == next.g.term()
	})
	newTerm := old.g.term()
	tell := func(n commitNotice) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := next.router.call(ctx, testGroup, old.id, cluster.MethodNotice, appendNotice(nil, n)); err != nil {
			t.Fatal(err)
		}
		r := old.g.raft.Load()
		if r.CommitIndex() >= first || old.m.Get("x") != "" || r.CurrentTerm() != newTerm {
			t.Fatalf("after the notice of %d in term %d: commit %d, x is %q, term %d", n.index, n.term, r.CommitIndex(), old.m.Get("x"), r.CurrentTerm())
		}
	}
	for _, index := range []uint64{first, first + 2, first + 4, next.g.appliedIndex()} {
		tell(commitNotice{leader: next.g.self, term: term, index: index})    // a deposed leader's term
		tell(commitNotice{leader: next.g.self, term: newTerm, index: index}) // entries it does not have
	}
	tell(commitNotice{leader: next.g.self, term: newTerm + 1, index: first}) // a term it does not know
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for name, b := range map[string][]byte{
		"another's name": appendNotice(nil, commitNotice{leader: old.g.self, term: newTerm, index: first}),
		"no name":        appendNotice(nil, commitNotice{term: newTerm, index: first}),
		"short":          {wireVersion, 0, 0},
		"version":        append([]byte{9}, appendNotice(nil, commitNotice{leader: next.g.self})[1:]...),
	} {
		if _, err := next.router.call(ctx, testGroup, old.id, cluster.MethodNotice, b); !errors.Is(err, errWire) {
			t.Errorf("%s: %v", name, err)
		}
	}
	close(held)
	w.leader().must("set c 1")
	w.same()
	if got := old.m.Get("x"); got != "" {
		t.Fatalf("x is %q", got)
	}
}

// TestNoticeBeyondLog: a notice past the end of a follower's log commits what
// is there, if that leader wrote it: the rest may wait for a body for long.
func TestNoticeBeyondLog(t *testing.T) {
	tune := fastTuning()
	tune.Heartbeat = 500 * time.Millisecond // a busy machine shall not elect
	w := newWorld(t, 3, tune)
	var limit atomic.Uint64 // what appends may tell of the commit index
	limit.Store(math.MaxUint64)
	for _, n := range w.nodes {
		n.test.quiet = true
		n.test.onAppend = func(_ raft.ServerAddress, req *raft.AppendEntriesRequest) error {
			req.LeaderCommitIndex = min(req.LeaderCommitIndex, limit.Load())
			return nil
		}
	}
	w.start()
	w.same()
	l, f := w.leader(), w.followers()[0]
	limit.Store(l.g.appliedIndex())
	out := l.must("set a 1")
	w.eventually("the entry", func() bool { return f.g.lastIndex() >= out.Index })
	if i := f.g.appliedIndex(); i >= out.Index {
		t.Fatal("applied without a notice: the test shows nothing")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n := commitNotice{leader: l.g.self, term: l.g.term(), index: out.Index + 7}
	if _, err := l.router.call(ctx, testGroup, f.id, cluster.MethodNotice, appendNotice(nil, n)); err != nil {
		t.Fatal(err)
	}
	if err := f.g.WaitApplied(ctx, out.Index); err != nil {
		t.Fatal(err)
	}
	if c := f.g.raft.Load().CommitIndex(); c != out.Index {
		t.Fatalf("committed to %d, the log ends at %d", c, out.Index)
	}
}
