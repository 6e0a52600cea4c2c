package group

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestAwayIsNoFailure: what raft wants to append at a member that is away is
// held, not failed again and again, so that it goes out at once when the member
// is back: raft would sleep up to ten seconds between attempts by then.
func TestAwayIsNoFailure(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	var calls atomic.Int64
	var gone atomic.Bool
	away := w.nodes[2]
	id := raft.ServerID(ServerName(away.id, 0))
	for _, n := range w.nodes[:2] {
		n.test.onAppend = func(target raft.ServerAddress, req *raft.AppendEntriesRequest) error {
			if !heartbeat(req) && gone.Load() && string(target) == string(id) {
				calls.Add(1)
			}
			return nil
		}
	}
	w.start()
	w.nodes[0].must("set a 1")
	// Held for a second and a quarter; else raft would try again after a third,
	// two thirds and one and a quarter of a second. A new leader begins anew,
	// so what is seen counts only if the leader stays.
	for attempt := 0; ; attempt++ {
		away.kill()
		gone.Store(true)
		leader := w.leader()
		term := leader.g.term()
		leader.must("set b %d", attempt)
		w.eventually("the member to count as away", func() bool {
			return leader.g.trans.reach.away(id) != nil || leader.g.term() != term
		})
		time.Sleep(150 * time.Millisecond) // past the pause of the last attempt before
		before := calls.Load()
		time.Sleep(1250 * time.Millisecond)
		after := calls.Load()
		leader.must("set c %d", attempt)
		same := leader.g.term() == term
		gone.Store(false)
		away.open(false, false)
		w.same()
		if same {
			if after != before {
				t.Errorf("%d appends were tried while the member was away", after-before)
			}
			return
		}
		if attempt == 5 {
			t.Fatal("no leader stays for two seconds")
		}
	}
}

// TestHoldEnds: a held append ends with the leadership, with the membership,
// and with the group.
func TestHoldEnds(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	w.nodes[0].must("set a 1")
	leader := w.leader()
	term := leader.g.term()
	tr := leader.g.trans
	away := w.followers()[1]
	id := raft.ServerID(away.g.self)
	if err := tr.hold(id, term); err != nil {
		t.Errorf("a member that answers: %v", err)
	}
	// Members that nobody has heartbeats of: their state is ours to make up.
	const stranger = raft.ServerID("stranger")
	failed := errors.New("refused")
	tr.reach.told(stranger, failed)
	if tr.reach.away(stranger) != nil {
		t.Error("away after one heartbeat")
	}
	tr.reach.told(stranger, failed)
	if err := tr.hold(stranger, term); !errors.Is(err, errAway) {
		t.Errorf("no member: %v", err)
	}
	if tr.reach.away(stranger) != nil {
		t.Error("a stranger is kept in mind")
	}
	away.kill()
	w.eventually("the member to count as away", func() bool { return tr.reach.away(id) != nil })
	if err := tr.hold(id, term-1); !errors.Is(err, errAway) {
		t.Errorf("an earlier term: %v", err)
	}
	held := make(chan error, 1)
	go func() { held <- tr.hold(id, term) }()
	select {
	case err := <-held:
		t.Fatalf("not held: %v", err)
	case <-time.After(3 * holdLook):
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := leader.g.TransferLeadership(ctx, w.others(leader, away).id); err != nil {
		t.Skipf("the leadership did not move: %v", err)
	}
	if err := <-held; !errors.Is(err, errAway) {
		t.Errorf("no leader any more: %v", err)
	}
}

// others returns the node that is neither a nor b.
func (w *world) others(a, b *testNode) *testNode {
	for _, n := range w.nodes {
		if n != a && n != b {
			return n
		}
	}
	return nil
}
