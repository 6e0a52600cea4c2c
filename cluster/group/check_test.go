package group

import (
	"context"
	"errors"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
)

func (n *testNode) check() error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	return n.g.Check(ctx)
}

// TestCheckFollower: a follower whose state differs is told, and repairs itself
// while the group goes on (G8, rule R5).
func TestCheckFollower(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	l, f := w.leader(), w.followers()[1]
	for i := range 50 {
		l.must("set k%d %d", i, i)
	}
	w.same()
	if err := l.check(); err != nil {
		t.Fatal(err)
	}
	if c := l.g.Status().Check; !c.Majority || c.Agree != 3 || c.Differ != 0 {
		t.Fatalf("equal states: %+v", c)
	}
	f.m.Corrupt("k7", "rotten")
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := l.propose(5*time.Second, "append load %d", i); err != nil {
				done <- err
				return
			}
		}
	}()
	if err := l.check(); err != nil {
		t.Fatal(err)
	}
	w.eventually("the repair", func() bool { return f.alarmed(AlarmRepaired) })
	if !f.alarmed(AlarmDiverged) {
		t.Fatal("no alarm")
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.same()
	if got := f.m.Get("k7"); got != "7" {
		t.Fatalf("k7 is %q", got)
	}
	if err := w.leader().check(); err != nil {
		t.Fatal(err)
	}
	if c := w.leader().g.Status().Check; c.Agree != 3 {
		t.Fatalf("after the repair: %+v", c)
	}
	f.kill()
	f.open(false, false)
	f.must("set end 1")
	w.same()
}

// TestCheckLeader: a leader in the minority hands over and repairs itself; the
// good followers keep what they have.
func TestCheckLeader(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	l := w.leader()
	for i := range 50 {
		l.must("set k%d %d", i, i)
	}
	w.same()
	l.m.Corrupt("k7", "rotten")
	w.eventually("the repair", func() bool {
		if !l.alarmed(AlarmDiverged) {
			if err := l.check(); err != nil && !errors.Is(err, errNotLeader) {
				t.Logf("check: %v", err)
			}
		}
		return l.alarmed(AlarmRepaired)
	})
	w.leader().must("set end 1")
	w.same()
	for _, n := range w.nodes {
		if got := n.m.Get("k7"); got != "7" {
			t.Fatalf("k7 on node %d is %q", n.i, got)
		}
		if n != l && n.alarmed(AlarmDiverged) {
			t.Fatalf("node %d was repaired by the bad leader's word", n.i)
		}
	}
}

// TestCheckNoMajority: three different states: nobody is repaired, changes are
// refused, an operator is told.
func TestCheckNoMajority(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	l := w.leader()
	l.must("set k 1")
	w.same()
	w.nodes[0].m.Corrupt("k", "x")
	w.nodes[1].m.Corrupt("k", "y")
	if err := l.check(); err != nil {
		t.Fatal(err)
	}
	if !l.alarmed(AlarmNoMajority) || !l.g.Status().ReadOnly {
		t.Fatalf("no alarm: %+v", l.g.Status().Check)
	}
	if _, err := l.propose(200*time.Millisecond, "set b 1"); !errors.Is(err, cluster.ErrUnavailable) {
		t.Fatalf("a change was taken: %v", err)
	}
	for _, n := range w.nodes {
		if n.alarmed(AlarmDiverged) || n.alarmed(AlarmRepaired) {
			t.Fatalf("node %d was repaired", n.i)
		}
	}
}

// TestCheckUnknown: who does not answer decides nothing.
func TestCheckUnknown(t *testing.T) {
	tune := fastTuning()
	tune.CallWait = 100 * time.Millisecond
	w := newWorld(t, 3, tune)
	w.start()
	l, f := w.leader(), w.followers()
	l.must("set k 1")
	w.same()
	f[0].kill()
	l.m.Corrupt("k", "x")
	if err := l.check(); err != nil {
		t.Fatal(err)
	}
	if l.alarmed(AlarmNoMajority) || l.alarmed(AlarmDiverged) || f[1].alarmed(AlarmDiverged) {
		t.Fatal("two of three that differ proved something")
	}
	f[0].open(false, false)
}
