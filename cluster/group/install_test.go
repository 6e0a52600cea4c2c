package group

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/group/grouptest"
)

// shortLogs keeps hardly any log behind a marker.
func shortLogs() Tuning {
	t := fastTuning()
	t.TrailingMax = minTrailing
	t.SessionLinger = 200 * time.Millisecond
	t.SessionIdle = time.Second
	return t
}

// leaveBehind stops a follower and lets the others truncate what it needs.
func (w *world) leaveBehind(n *testNode) {
	w.t.Helper()
	last := n.g.lastIndex()
	n.kill()
	l := w.leader()
	for i := range 400 {
		l.must("append k%d %d", i%7, i)
	}
	for _, o := range w.nodes {
		if o.g == nil {
			continue
		}
		// A session that just ended still holds the log for a while.
		w.eventually("the truncation", func() bool {
			if err := o.g.Trim(); err != nil {
				w.t.Fatal(err)
			}
			first, _ := o.g.store.FirstIndex()
			return first > last+1
		})
	}
}

// TestInstall: a node that is too far behind gets a whole state, and goes on.
func TestInstall(t *testing.T) {
	w := newWorld(t, 3, shortLogs())
	w.start()
	f := w.followers()[0]
	w.leaveBehind(f)
	f.open(false, false)
	w.eventually("the install", func() bool { return f.alarmed(AlarmInstalled) })
	for i := range 20 {
		f.must("append after %d", i)
	}
	w.same()
	// The log begins after the marker; a restart of everybody keeps it all.
	for _, n := range w.nodes {
		n.kill()
	}
	for _, n := range w.nodes {
		n.open(false, false)
	}
	w.leader().must("set again 1")
	w.same()
}

// TestInstallCrash ends the process between every two steps of an install, and
// starts it again: no entry is lost, executed twice or missing (rules R1, R3).
func TestInstallCrash(t *testing.T) {
	w := newWorld(t, 3, shortLogs())
	w.start()
	for _, step := range []string{"staged", "swapped", "term raised", "log emptied"} {
		f := w.followers()[0]
		w.leaveBehind(f)
		crash := errors.New("crash")
		f.test.onInstall = func(s string) error {
			if s == step {
				return crash
			}
			return nil
		}
		f.open(false, false)
		w.eventually("the crash at "+step, func() bool { return len(f.fatals()) == 1 })
		f.kill()
		f.test.onInstall = nil
		f.mu.Lock()
		f.fatal, f.alarms = nil, nil
		f.mu.Unlock()
		f.open(false, false)
		f.must("append after %s", step)
		w.same()
	}
}

// TestInstallUnderLoad: while a node fetches, the log it will need stays.
func TestInstallUnderLoad(t *testing.T) {
	w := newWorld(t, 3, shortLogs())
	w.start()
	f := w.followers()[0]
	w.leaveBehind(f)
	stop := make(chan struct{})
	done := make(chan error, 1)
	l := w.leader()
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := l.propose(10*time.Second, "append load %d", i); err != nil {
				done <- err
				return
			}
			if i%100 == 0 {
				if err := l.g.Trim(); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	f.open(false, false)
	w.eventually("the node to catch up", func() bool {
		return f.alarmed(AlarmInstalled) && f.g.appliedIndex()+50 > l.g.appliedIndex()
	})
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.same()
}

// TestInstallKeepsAcknowledged: a fetched state never takes away log entries
// that this node may have acknowledged.
func TestInstallKeepsAcknowledged(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	l, f := w.leader(), w.followers()[0]
	for i := range 30 {
		l.must("append k %d", i)
	}
	w.same()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	got, err := f.g.fetchFrom(ctx, l.id, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		l.must("append k %d", i)
	}
	w.same()
	last, _ := f.g.store.LastIndex()
	if err := f.g.install(got); err != nil {
		t.Fatal(err)
	}
	if now, _ := f.g.store.LastIndex(); now < last {
		t.Fatalf("the log ended at %d and ends at %d after a stale install", last, now)
	}
	f.must("set after 1")
	w.same()
}

// TestPrefixBelowMarker: a follower whose log was emptied by an install takes
// appends of a leader that still counts from below (the loop of hazard R2).
func TestPrefixBelowMarker(t *testing.T) {
	w := newWorld(t, 3, shortLogs())
	w.start()
	f := w.followers()[0]
	w.leaveBehind(f)
	f.open(false, false)
	w.eventually("the install", func() bool { return f.alarmed(AlarmInstalled) })
	w.same()
	b := f.g.base.Load()
	l := w.leader()
	name := []byte(l.g.self)
	for _, prev := range []uint64{b.index - 5, b.index} {
		resp, ok := f.g.trans.ask(func() *raft.AppendEntriesRequest {
			req := &raft.AppendEntriesRequest{
				RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: name, Addr: name},
				Term:      l.g.term(), PrevLogEntry: prev, PrevLogTerm: b.term, LeaderCommitIndex: b.index,
			}
			f.g.trans.prove(req)
			return req
		}())
		if a, isA := resp.Response.(*raft.AppendEntriesResponse); !ok || !isA || !a.Success {
			t.Fatalf("append after %d with the marker at %d: %+v", prev, b.index, resp)
		}
	}
}

// TestMissingLog: a member that lost its log does not start again
// under the same incarnation (rule R25).
func TestMissingLog(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	f := w.followers()[0]
	f.must("set a 1")
	f.kill()
	dir := f.dir
	f.dir = t.TempDir() + "/new"
	if _, err := Open(f.options()); err == nil {
		t.Fatal("a member without a log was opened")
	}
	// It comes back under the next one, as a non-voter first.
	f.dir, f.inc = dir+"-2", 1
	f.m = grouptest.NewMachine()
	f.open(true, false)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l := w.leader()
	if err := l.g.AddNonvoter(ctx, f.id, 1); !errors.Is(err, cluster.ErrRefused) {
		t.Fatalf("the node is a member twice: %v", err)
	}
	// Until then it votes for nobody and takes nothing under its old name.
	if f.g.appliedIndex() != 0 || f.g.lastIndex() != 0 {
		t.Fatal("the new member took entries meant for the old one")
	}
	if err := l.g.Remove(ctx, f.id, false); err != nil {
		t.Fatal(err)
	}
	w.join(f)
	f.must("set b 2")
	w.same()
	if m := w.leader().g.Configuration(); len(m) != 3 {
		t.Fatalf("members %+v", m)
	}
}
