package storetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"altmail.se/altmail/cluster"
)

// Group is a replicated group of one node without a log: a proposal is applied
// before Propose returns. It can be made to fail.
type Group struct {
	id   cluster.GroupID
	m    cluster.Machine
	gate cluster.Gate // nil for the directory
	now  func() time.Time

	applyMu sync.Mutex // one entry at a time
	index   uint64

	mu        sync.Mutex
	down      chan struct{} // closed when the group is back; nil while it is up
	delay     time.Duration
	hook      func(p cluster.Proposal) error
	after     func(p cluster.Proposal) error
	onRead    func() error
	proposals uint64
	reads     uint64
}

func newGroup(id cluster.GroupID, m cluster.Machine, gate cluster.Gate, now func() time.Time) (*Group, error) {
	index, _ := m.Applied()
	g := &Group{id: id, m: m, gate: gate, now: now, index: index}
	// What a new leader does first; it also sets the machine's clock.
	_, err := g.apply(cluster.Entry{Kind: cluster.KindEpoch})
	return g, err
}

// ID implements cluster.Group.
func (g *Group) ID() cluster.GroupID { return g.id }

// Unavailable cuts the group off from its majority, or heals it. Whoever waits
// meanwhile gets cluster.ErrUnavailable when its context ends.
func (g *Group) Unavailable(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case on && g.down == nil:
		g.down = make(chan struct{})
	case !on && g.down != nil:
		close(g.down)
		g.down = nil
	}
}

// Delay makes every proposal and read index take so long.
func (g *Group) Delay(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay = d
}

// Before sets a function that is called before a proposal is applied; its
// error is returned in place of applying it. Nil removes it.
func (g *Group) Before(fn func(cluster.Proposal) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hook = fn
}

// After sets a function that is called once a proposal was applied; its error
// is returned in place of the outcome: the answer was lost. Nil removes it.
func (g *Group) After(fn func(cluster.Proposal) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.after = fn
}

// OnRead sets a function that is called by every read index, as if this node
// caught up in it; its error is returned. Nil removes it.
func (g *Group) OnRead(fn func() error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.onRead = fn
}

// Counts returns how many proposals and read indexes were asked for.
func (g *Group) Counts() (proposals, reads uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.proposals, g.reads
}

// ready waits for a majority.
func (g *Group) ready(ctx context.Context) error {
	for {
		g.mu.Lock()
		down, delay := g.down, g.delay
		g.mu.Unlock()
		if down == nil && delay == 0 {
			return ctx.Err()
		}
		if down == nil {
			t := time.NewTimer(delay)
			defer t.Stop()
			select {
			case <-t.C:
				return nil
			case <-ctx.Done():
				return fmt.Errorf("%w: %w", cluster.ErrUnavailable, ctx.Err())
			}
		}
		select {
		case <-down:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", cluster.ErrUnavailable, ctx.Err())
		}
	}
}

// Propose implements cluster.Group.
func (g *Group) Propose(ctx context.Context, p cluster.Proposal) (cluster.Outcome, error) {
	var none cluster.Outcome
	g.mu.Lock()
	g.proposals++
	before, after := g.hook, g.after
	g.mu.Unlock()
	if before != nil {
		if err := before(p); err != nil {
			return none, err
		}
	}
	if err := g.ready(ctx); err != nil {
		return none, err
	}
	if len(p.Bodies) > 0 && g.gate != nil {
		if !g.gate.Room(g.id) {
			return none, cluster.ErrNoRoom
		}
		release := g.gate.Pin(g.id, p.Bodies)
		defer release()
		if err := g.gate.Ensure(ctx, g.id, cluster.NodeID{}, 0, p.Bodies); err != nil {
			return none, fmt.Errorf("%w: %w", cluster.ErrUnavailable, err)
		}
	}
	out, err := g.apply(cluster.Entry{
		Kind: cluster.KindCommand, First: p.First, Op: p.Op, Command: p.Command, Bodies: p.Bodies,
	})
	if err == nil && after != nil {
		err = after(p)
	}
	if err != nil {
		return none, err
	}
	return out, nil
}

func (g *Group) apply(e cluster.Entry) (cluster.Outcome, error) {
	g.applyMu.Lock()
	defer g.applyMu.Unlock()
	g.index++
	e.Index, e.Term, e.Time = g.index, 1, uint64(g.now().UnixMilli())
	res, err := g.m.Apply([]cluster.Entry{e})
	if err != nil {
		return cluster.Outcome{}, fmt.Errorf("%w: %w", cluster.ErrStopped, err)
	}
	return cluster.Outcome{Index: e.Index, Value: res[0].Value}, nil
}

// ReadIndex implements cluster.Group.
func (g *Group) ReadIndex(ctx context.Context) error {
	g.mu.Lock()
	g.reads++
	onRead := g.onRead
	g.mu.Unlock()
	if err := g.ready(ctx); err != nil {
		return err
	}
	if onRead != nil {
		return onRead()
	}
	return nil
}

// WaitApplied implements cluster.Group.
func (g *Group) WaitApplied(ctx context.Context, index uint64) error {
	if at, _ := g.m.Applied(); at >= index {
		return nil
	}
	<-ctx.Done()
	return fmt.Errorf("%w: %w", cluster.ErrUnavailable, ctx.Err())
}

// Leader implements cluster.Group.
func (g *Group) Leader() (cluster.NodeID, bool) { return cluster.NodeID{1}, g.IsLeader() }

// IsLeader implements cluster.Group.
func (g *Group) IsLeader() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.down == nil
}
