package group

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// takeOver makes this node serve as leader: a majority's clocks are asked, an
// epoch entry is proposed and applied (rule R7), and only then IsLeader holds.
// It ends when it has, or when this leadership is over.
func (g *Group) takeOver(r *raft.Raft) {
	term := r.CurrentTerm()
	mine := func() bool {
		return g.ctx.Err() == nil && g.raft.Load() == r && r.State() == raft.Leader && r.CurrentTerm() == term
	}
	pause := 5 * time.Millisecond
	for mine() {
		err := g.epoch(r, term)
		if err == nil {
			g.leadTerm.Store(term)
			if !mine() {
				g.leadTerm.CompareAndSwap(term, 0)
			}
			g.notices.committed()
			g.announce()
			return
		}
		if errors.Is(err, cluster.ErrClock) {
			g.yield(r)
		}
		g.o.Log.Debug("epoch not yet logged", "term", term, "err", err)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-g.ctx.Done():
			t.Stop()
			return
		}
		pause = min(2*pause, 200*time.Millisecond)
	}
}

// yield ends a leadership whose clock is far from the majority's: whoever is
// right about the time shall lead. A leader that only refused to propose would
// keep everybody from writing for as long as its clock is wrong.
func (g *Group) yield(r *raft.Raft) {
	g.alarm(Alarm{Kind: AlarmClock})
	if err := r.LeadershipTransfer().Error(); err != nil {
		g.o.Log.Warn("clock is off, but the leadership can't be handed over", "err", err)
	}
}

// epoch logs the first entry of a leader's term.
func (g *Group) epoch(r *raft.Raft, term uint64) error {
	ctx, cancel := context.WithTimeout(g.ctx, g.o.Tuning.CallWait)
	defer cancel()
	start := time.Now()
	if err := g.confirm(ctx, r, term); err != nil {
		return fmt.Errorf("epoch: %w", err)
	}
	if g.health.clockAgreed(g, start) != nil {
		// The majority that confirmed may not be the one that agrees.
		lctx, cancel := context.WithTimeout(ctx, g.o.Tuning.CallWait/2)
		g.look(lctx)
		cancel()
		if err := g.health.clockAgreed(g, start); err != nil {
			return err
		}
	}
	g.clock.begin(g.o.Machine.Time())
	buf := appendEntry(nil, &cluster.Entry{Kind: cluster.KindEpoch})
	_, _, _, err := g.applyTo(r, term, buf)
	return err
}

// silent reports whether this leader must keep its mouth shut: its disk hangs
// in the middle of a write, raft's main loop with it, so that it can neither
// step down nor hand over (guard G5). Without its heartbeats the others elect.
func (g *Group) silent() bool {
	if g.store.Busy() < g.o.Tuning.SilentAfter {
		return false
	}
	r := g.raft.Load()
	return r != nil && r.State() == raft.Leader
}

// watchDisk ends the process when the log's disk hangs for too long.
func (g *Group) watchDisk() {
	every := max(g.o.Tuning.ExitAfter/20, time.Millisecond)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-t.C:
			if d := g.store.Busy(); d > g.o.Tuning.ExitAfter {
				g.fatal(fmt.Errorf("the log's disk has not answered for %s", d.Round(time.Millisecond)))
				return
			}
		}
	}
}

// Alarm is something an operator should know.
type Alarm struct {
	Kind  AlarmKind
	Group cluster.GroupID
	Index uint64 // of the digest check, if it is about one
}

// AlarmKind says what an Alarm is about.
type AlarmKind string

// The kinds of alarm.
const (
	AlarmClock      AlarmKind = "clock"            // this node's clock is far from the majority's
	AlarmDiverged   AlarmKind = "state-differs"    // this node's state differs from the majority's
	AlarmNoMajority AlarmKind = "no-common-state"  // no value of the digest has a majority: read-only
	AlarmRepaired   AlarmKind = "state-repaired"   // the state was replaced by a majority node's
	AlarmRemoved    AlarmKind = "removed"          // this node is not a member any more
	AlarmInstalled  AlarmKind = "state-installed"  // the node was too far behind, a whole state came
	AlarmFetch      AlarmKind = "state-not-copied" // a copy of the state failed and is tried again
)

func (g *Group) alarm(a Alarm) {
	a.Group = g.o.Group
	g.o.Log.Warn("alarm", "kind", string(a.Kind), "index", a.Index)
	if g.o.Alarm != nil {
		g.o.Alarm(a)
	}
}
