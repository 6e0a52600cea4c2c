package group

import (
	"context"
	"errors"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
)

func body(i byte) cluster.BodyRef { return cluster.BodyRef{ID: cluster.BodyID{i, 1}, Size: uint32(i)} }

func withBodies(refs ...cluster.BodyRef) cluster.Proposal {
	return cluster.Proposal{Op: newOp(), Command: []byte("set body yes"), Bodies: refs}
}

// TestGateHoldsAppends: an entry is acknowledged only by nodes that have its
// bodies; heartbeats go on meanwhile, so nobody elects.
func TestGateHoldsAppends(t *testing.T) {
	tune := fastTuning()
	tune.GateWait = 100 * time.Millisecond
	w := newWorld(t, 3, tune)
	w.start()
	l, f := w.leader(), w.followers()
	term := l.g.term()
	l.gate.Put(body(1).ID)
	if out, err := l.proposeOp(500*time.Millisecond, withBodies(body(1))); !errors.Is(err, cluster.ErrUnavailable) {
		t.Fatalf("committed although only the leader has the body: %+v, %v", out, err)
	}
	if l.m.Get("body") != "" {
		t.Fatal("applied although only the leader has the body")
	}
	if l.g.term() != term || !l.g.IsLeader() {
		t.Fatal("a held append cost the leadership")
	}
	f[0].gate.Put(body(1).ID)
	w.eventually("the commit", func() bool { return l.m.Get("body") == "yes" })
	// The entry is committed now: the last node takes it without the body and
	// fetches that behind it (rule R9).
	w.eventually("the last node", func() bool { return f[1].m.Get("body") == "yes" })
	if f[1].gate.Missing() != 1 || f[1].g.Status().Whole {
		t.Fatal("the missing body is not queued")
	}
	f[1].gate.Put(body(1).ID)
	w.same()
	// Pins end when the entry is durably applied (rule R11).
	w.eventually("the pins to end", func() bool {
		return l.gate.Pinned()+f[0].gate.Pinned()+f[1].gate.Pinned() == 0
	})
}

// TestGateOnLeader: the leader proposes only once it has the bodies itself, and
// other proposals pass by.
func TestGateOnLeader(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	for _, n := range []*testNode{w.leader(), w.followers()[0]} {
		p := withBodies(body(byte(10 + n.i)))
		done := make(chan error, 1)
		go func() {
			_, err := n.proposeOp(10*time.Second, p)
			done <- err
		}()
		for i := range 20 {
			n.must("set other%d 1", i)
		}
		select {
		case err := <-done:
			t.Fatalf("answered without a body: %v", err)
		default:
		}
		for _, o := range w.nodes {
			o.gate.Put(p.Bodies[0].ID)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// TestPinsAfterRestart: what may still be applied keeps its bodies pinned over
// a restart.
func TestPinsAfterRestart(t *testing.T) {
	tune := fastTuning()
	tune.SyncEvery = time.Hour
	w := newWorld(t, 1, tune)
	n := w.nodes[0]
	n.open(true, true)
	n.gate.Put(body(1).ID)
	if _, err := n.proposeOp(time.Second, withBodies(body(1))); err != nil {
		t.Fatal(err)
	}
	if n.gate.Pinned() != 1 {
		t.Fatal("not pinned before it is durable")
	}
	n.kill()
	if n.gate.Pinned() != 0 {
		t.Fatal("pins outlive the group")
	}
	n.open(false, false)
	if n.gate.Pinned() != 1 {
		t.Fatal("not pinned after a restart")
	}
	w.leader()
	if _, _, err := n.g.syncMachine(); err != nil {
		t.Fatal(err)
	}
	if n.gate.Pinned() != 0 {
		t.Fatal("pinned after it is durable")
	}
}

// TestRoom: with more than a minority of full disks new bodies are refused, and
// commands without bodies go on (rule R10).
func TestRoom(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	l, f := w.leader(), w.followers()
	for _, n := range w.nodes {
		n.gate.Put(body(1).ID)
	}
	f[0].gate.SetFull(true)
	w.eventually("the report", func() bool { p, _ := l.g.health.get(f[0].id); return !p.room })
	if _, err := f[0].proposeOp(2*time.Second, withBodies(body(1))); err != nil {
		t.Fatalf("one full disk of three: %v", err)
	}
	l.gate.SetFull(true)
	for _, n := range []*testNode{l, f[1]} {
		if _, err := n.proposeOp(2*time.Second, withBodies(body(1))); !errors.Is(err, cluster.ErrNoRoom) {
			t.Fatalf("two full disks of three, on node %d: %v", n.i, err)
		}
		n.must("set without 1")
	}
}

// TestClock: a leader whose clock is far from the majority's proposes nothing
// and hands over (rule R13), and entry times never jump (H21).
func TestClock(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	l := w.leader()
	l.must("set a 1")
	before := l.m.Time()
	ahead := func() time.Time { return time.Now().Add(24 * time.Hour) }
	l.setWall(ahead)
	w.eventually("another leads", func() bool {
		for _, n := range w.nodes {
			if n != l && n.g.IsLeader() {
				return true
			}
		}
		return false
	})
	l.must("set b 2")
	if now := l.m.Time(); now > before+uint64(time.Hour.Milliseconds()) {
		t.Fatalf("the machine's time jumped by %d ms", now-before)
	}
	// It must not serve as a new leader either.
	l.kill()
	l.open(false, false)
	next := w.leader()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := next.g.TransferLeadership(ctx, l.id); err != nil {
		t.Logf("transfer: %v", err)
	}
	w.eventually("another leader", func() bool {
		for _, n := range w.nodes {
			if n != l && n.g.IsLeader() {
				return true
			}
		}
		return false
	})
	w.leader().must("set c 3")
	w.same()
	if now := w.nodes[0].m.Time(); now > before+uint64(time.Hour.Milliseconds()) {
		t.Fatalf("the machine's time jumped by %d ms", now-before)
	}
}

// TestClockRefuses: until it has handed over, it refuses.
func TestClockRefuses(t *testing.T) {
	tuning := fastTuning()
	tuning.Health = time.Hour // it does not look by itself
	w := newWorld(t, 3, tuning)
	w.start()
	l := w.leader()
	l.must("set a 1")
	l.setWall(func() time.Time { return time.Now().Add(-time.Hour) })
	l.g.look(t.Context())
	if _, err := l.propose(300*time.Millisecond, "set b 2"); !errors.Is(err, cluster.ErrClock) {
		t.Fatalf("proposed by a clock an hour behind: %v", err)
	}
	l.setWall(time.Now)
	l.g.look(t.Context())
	l.must("set b 2")
}

func TestLeaderClock(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	c := leaderClock{wall: func() time.Time { return now }}
	c.begin(500_000)
	if s := c.stamp(); s != 1_000_000 {
		t.Fatalf("stamp %d", s)
	}
	now = now.Add(24 * time.Hour)
	if s := c.stamp(); s > 1_000_000+2000 {
		t.Fatalf("a jump ahead moved the stamp to %d", s)
	}
	last := c.stamp()
	now = now.Add(-48 * time.Hour)
	if s := c.stamp(); s < last {
		t.Fatalf("the stamp went back from %d to %d", last, s)
	}
	c.begin(5_000_000) // the machine is ahead of this wall clock
	if s := c.stamp(); s < 5_000_000 {
		t.Fatalf("stamp %d below the machine's time", s)
	}
}
