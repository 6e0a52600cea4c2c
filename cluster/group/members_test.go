package group

import (
	"context"
	"errors"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
)

func TestMembers(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	l, f := w.leader(), w.followers()

	if err := f[0].g.AddNonvoter(ctx, cluster.NodeID{99}, 0); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("on a follower: %v", err)
	}
	// A node that nobody hears of is not promoted.
	if err := l.g.AddNonvoter(ctx, cluster.NodeID{99}, 0); err != nil {
		t.Fatal(err)
	}
	if err := l.g.AddNonvoter(ctx, cluster.NodeID{99}, 0); err != nil {
		t.Fatalf("the same again: %v", err)
	}
	if err := l.g.Promote(ctx, cluster.NodeID{99}, false); !errors.Is(err, ErrBehind) {
		t.Fatalf("a silent node was promoted: %v", err)
	}
	if err := l.g.Promote(ctx, cluster.NodeID{98}, false); !errors.Is(err, cluster.ErrNotMember) {
		t.Fatalf("a stranger was promoted: %v", err)
	}
	if err := l.g.Remove(ctx, cluster.NodeID{99}, false); err != nil {
		t.Fatal(err)
	}
	if err := l.g.Remove(ctx, cluster.NodeID{99}, false); err != nil {
		t.Fatalf("the same again: %v", err)
	}

	// A node that lacks bodies gets no vote, and a change that would leave no
	// majority of whole voters is refused (rule R12).
	n := w.add(3)
	n.gate.SetWhole(false)
	n.open(true, false)
	if err := l.g.AddNonvoter(ctx, n.id, 0); err != nil {
		t.Fatal(err)
	}
	w.eventually("the new node to catch up", func() bool { return n.g.appliedIndex() == l.g.appliedIndex() })
	if err := l.g.Promote(ctx, n.id, false); !errors.Is(err, ErrBehind) {
		t.Fatalf("a node without its bodies was promoted: %v", err)
	}
	n.gate.SetWhole(true)
	if err := l.g.Promote(ctx, n.id, false); err != nil {
		t.Fatal(err)
	}
	f[0].gate.SetWhole(false)
	f[1].gate.SetWhole(false)
	if err := l.g.Remove(ctx, n.id, false); !errors.Is(err, cluster.ErrQuorum) {
		t.Fatalf("a removal that leaves one whole voter of three: %v", err)
	}
	if err := l.g.Remove(ctx, n.id, true); err != nil {
		t.Fatalf("the same with the risk accepted: %v", err)
	}
	f[0].gate.SetWhole(true)
	f[1].gate.SetWhole(true)
	if err := n.g.Close(); err != nil {
		t.Fatal(err)
	}
	n.g = nil
	w.nodes = w.nodes[:3]

	if err := l.g.TransferLeadership(ctx, f[0].id); err != nil {
		t.Fatal(err)
	}
	w.eventually("the transfer", f[0].g.IsLeader)
	if err := f[0].g.Demote(ctx, l.id, false); err != nil {
		t.Fatal(err)
	}
	l.must("set from-a-nonvoter 1")
	l.mustReadIndex(5 * time.Second)
	if err := f[0].g.Promote(ctx, l.id, false); err != nil {
		t.Fatal(err)
	}
	// A leader may remove itself.
	if err := f[0].g.Remove(ctx, f[0].id, false); err != nil {
		t.Fatal(err)
	}
	w.eventually("the removed node to know", func() bool { return f[0].alarmed(AlarmRemoved) && f[0].g.Status().Removed })
	if err := f[0].g.Close(); err != nil {
		t.Fatal(err)
	}
	f[0].g = nil
	w.leader().must("set end 1")
}

// TestLastVoter: the last voter stays.
func TestLastVoter(t *testing.T) {
	w := newWorld(t, 1, fastTuning())
	n := w.nodes[0]
	n.open(true, true)
	w.leader()
	if err := n.g.Remove(context.Background(), n.id, true); !errors.Is(err, cluster.ErrQuorum) {
		t.Fatalf("the last voter was removed: %v", err)
	}
}

// TestReadOnCutOffLeader: a leader that is cut off answers no read index, even
// while it does not know yet.
func TestReadOnCutOffLeader(t *testing.T) {
	tune := fastTuning()
	w := newWorld(t, 3, tune)
	w.start()
	l := w.leader()
	l.must("set a 1")
	w.net.Isolate(l.id)
	ctx, cancel := context.WithTimeout(context.Background(), 400*time.Millisecond)
	defer cancel()
	if err := l.g.ReadIndex(ctx); !errors.Is(err, cluster.ErrUnavailable) {
		t.Fatalf("a read index without a majority: %v", err)
	}
	if _, err := l.propose(200*time.Millisecond, "set b 1"); !errors.Is(err, cluster.ErrUnavailable) {
		t.Fatalf("a proposal without a majority: %v", err)
	}
	w.eventually("another leader", func() bool {
		for _, n := range w.nodes {
			if n != l && n.g.IsLeader() {
				return true
			}
		}
		return false
	})
	w.net.Heal()
	l.must("set c 1")
	l.mustReadIndex(5 * time.Second)
	w.same()
}
