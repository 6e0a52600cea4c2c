package group

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// What an attempt can end with, beside success.
var (
	// errNotLeader: nothing happened, another node may know better.
	errNotLeader = errors.New("group: not the leader")
	// errUnknown: it may have happened. The same operation id is tried again.
	errUnknown = errors.New("group: outcome unknown")
	// errPending: the leader is still at it.
	errPending = errors.New("group: still under way")
)

const (
	retryPause    = 20 * time.Millisecond
	maxRetryPause = 100 * time.Millisecond
	// opLimit bounds how long the leader works on one proposal.
	opLimit = 30 * time.Second
)

// Propose returns once the command is fsynced on a majority of voters and
// applied on this node. It goes to the leader, here or by a forward, and is
// tried again with the same operation id until ctx ends. ErrTooLarge, ErrNoRoom
// and ErrClock mean that it did not happen; ErrUnavailable and ErrStopped that
// it may have.
func (g *Group) Propose(ctx context.Context, p cluster.Proposal) (cluster.Outcome, error) {
	if len(p.Command) > MaxCommand || len(p.Bodies) > MaxBodies {
		return cluster.Outcome{}, fmt.Errorf("%w: %d bytes, %d bodies", cluster.ErrTooLarge, len(p.Command), len(p.Bodies))
	}
	if p.Op == (cluster.OpID{}) {
		return cluster.Outcome{}, fmt.Errorf("%w: no operation id", cluster.ErrRefused)
	}
	g.stats.proposed.Add(1)
	unknown := false // an earlier attempt may have happened
	pause := retryPause
	var last error
	for {
		if err := g.down(); err != nil {
			return cluster.Outcome{}, err
		}
		if ctx.Err() != nil {
			return cluster.Outcome{}, unavailable(ctx, last)
		}
		changed := g.change()
		out, err := g.attempt(ctx, p)
		if err == nil {
			return out, nil
		}
		switch {
		case errors.Is(err, errUnknown):
			unknown = true
		case errors.Is(err, errNotLeader):
		case errors.Is(err, cluster.ErrNoRoom), errors.Is(err, cluster.ErrClock), errors.Is(err, cluster.ErrTooLarge), errors.Is(err, cluster.ErrRefused):
			if !unknown {
				return cluster.Outcome{}, err
			}
		}
		last = err
		g.stats.retried.Add(1)
		t := time.NewTimer(pause)
		select {
		case <-changed:
			pause = retryPause
		case <-t.C:
			pause = min(2*pause, maxRetryPause)
		case <-ctx.Done():
		}
		t.Stop()
	}
}

func unavailable(ctx context.Context, last error) error {
	if last == nil {
		return fmt.Errorf("%w: %w", cluster.ErrUnavailable, context.Cause(ctx))
	}
	return fmt.Errorf("%w: %w: %w", cluster.ErrUnavailable, context.Cause(ctx), last)
}

// attempt offers the proposal once to whoever leads.
func (g *Group) attempt(ctx context.Context, p cluster.Proposal) (cluster.Outcome, error) {
	if g.leading() != 0 {
		o := g.begin(ctx, g.o.Node, p)
		return o.wait(ctx)
	}
	id, node := g.leader()
	if node.IsZero() || node == g.o.Node {
		return cluster.Outcome{}, errNotLeader
	}
	g.stats.forwarded.Add(1)
	size := min(int64(len(p.Command)+len(p.Bodies)*refSize), g.o.Tuning.ProposeBytes)
	if err := g.slots.Acquire(ctx, 1); err != nil {
		return cluster.Outcome{}, fmt.Errorf("%w: too many proposals", errNotLeader)
	}
	if err := g.room.Acquire(ctx, size); err != nil {
		g.slots.Release(1)
		return cluster.Outcome{}, fmt.Errorf("%w: too many proposals", errNotLeader)
	}
	out, err := g.fwd.offer(ctx, id, node, p)
	g.room.Release(size)
	g.slots.Release(1)
	return out, err
}

// inflight are the proposals this leader works on, by operation id: a retry
// joins the one under way.
type inflight struct {
	mu  sync.Mutex
	ops map[cluster.OpID]*op
}

type op struct {
	once sync.Once
	done chan struct{}
	out  cluster.Outcome
	term uint64
	err  error
}

// any reports whether there are proposals under way.
func (f *inflight) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.ops) > 0
}

// finish ends an operation; only the first end counts.
func (f *inflight) finish(id cluster.OpID, o *op, out cluster.Outcome, term uint64, err error) {
	o.once.Do(func() {
		f.mu.Lock()
		if f.ops[id] == o {
			delete(f.ops, id)
		}
		f.mu.Unlock()
		o.out, o.term, o.err = out, term, err
		close(o.done)
	})
}

// abort ends what a stopped raft instance will never answer: it drops what is
// still in its queue.
func (f *inflight) abort() {
	f.mu.Lock()
	ops := maps.Clone(f.ops)
	f.mu.Unlock()
	for id, o := range ops {
		f.finish(id, o, cluster.Outcome{}, 0, errUnknown)
	}
}

func (o *op) wait(ctx context.Context) (cluster.Outcome, error) {
	select {
	case <-o.done:
		return o.out, o.err
	case <-ctx.Done():
		return cluster.Outcome{}, fmt.Errorf("%w: %w", errUnknown, ctx.Err())
	}
}

// begin starts a proposal on this leader, or joins the one with its id. The
// bytes of p are not used after it returns.
func (g *Group) begin(ctx context.Context, from cluster.NodeID, p cluster.Proposal) *op {
	g.inflight.mu.Lock()
	if o := g.inflight.ops[p.Op]; o != nil {
		g.inflight.mu.Unlock()
		return o
	}
	o := &op{done: make(chan struct{})}
	g.inflight.ops[p.Op] = o
	g.inflight.mu.Unlock()

	e := cluster.Entry{Kind: cluster.KindCommand, First: p.First, Op: p.Op, Command: p.Command, Bodies: p.Bodies}
	buf := appendEntry(make([]byte, 0, entryFixed+len(p.Bodies)*refSize+len(p.Command)), &e)
	bodies := append([]cluster.BodyRef(nil), p.Bodies...)
	limit := opLimit
	if d, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(d))
	}
	if len(bodies) == 0 && g.quick(p.Op, o, buf) {
		return o
	}
	id := p.Op
	go func() {
		out, term, err := g.run(limit, from, buf, bodies)
		g.inflight.finish(id, o, out, term, err)
	}()
	return o
}

// quick offers an entry that nothing stands in the way of and reports whether
// it did: no goroutine has to wait for it.
func (g *Group) quick(id cluster.OpID, o *op, buf []byte) bool {
	if g.mayNot() != nil || !g.slots.TryAcquire(1) {
		return false
	}
	size := min(int64(len(buf)), g.o.Tuning.ProposeBytes)
	if !g.room.TryAcquire(size) {
		g.slots.Release(1)
		return false
	}
	g.lane.add(&offer{buf: buf, done: func(res cluster.Result, index, term uint64, err error) {
		g.room.Release(size)
		g.slots.Release(1)
		g.inflight.finish(id, o, cluster.Outcome{Index: index, Value: res.Value}, term, err)
	}})
	return true
}

// mayNot returns why this leader must not take proposals, nil if it may.
func (g *Group) mayNot() error {
	if err := g.health.clockOK(g); err != nil {
		return err
	}
	if g.checks.readOnly.Load() {
		return fmt.Errorf("%w: no state has a majority", errNotLeader)
	}
	return nil
}

// run takes an encoded entry through raft on this leader.
func (g *Group) run(limit time.Duration, from cluster.NodeID, buf []byte, bodies []cluster.BodyRef) (out cluster.Outcome, term uint64, err error) {
	ctx, cancel := context.WithTimeout(g.ctx, limit)
	defer cancel()
	size := min(int64(len(buf)), g.o.Tuning.ProposeBytes)
	if err := g.slots.Acquire(ctx, 1); err != nil {
		return out, 0, fmt.Errorf("%w: too many proposals", errNotLeader)
	}
	defer g.slots.Release(1)
	if err := g.room.Acquire(ctx, size); err != nil {
		return out, 0, fmt.Errorf("%w: too many proposals", errNotLeader)
	}
	defer g.room.Release(size)

	if len(bodies) > 0 {
		if !g.health.roomy(g) {
			return out, 0, cluster.ErrNoRoom
		}
		release := g.o.Gate.Pin(g.o.Group, bodies)
		defer func() {
			// What may be in the log keeps its pin until it is durable.
			if err == nil || errors.Is(err, errUnknown) {
				g.pins.keep([]held{{g.lastIndex(), release}})
			} else {
				release()
			}
		}()
		if err := g.o.Gate.Ensure(ctx, g.o.Group, from, notInLog, bodies); err != nil && !skipGate {
			return out, 0, fmt.Errorf("%w: bodies: %w", errNotLeader, err)
		}
	}
	if err := g.mayNot(); err != nil {
		return out, 0, err
	}
	ended := make(chan struct{})
	g.lane.add(&offer{buf: buf, done: func(res cluster.Result, index, at uint64, lerr error) {
		out, term, err = cluster.Outcome{Index: index, Value: res.Value}, at, lerr
		close(ended)
	}})
	<-ended
	return out, term, err
}

// applyTo stamps an encoded entry of the group's own and offers it to a raft
// instance that leads in term.
func (g *Group) applyTo(r *raft.Raft, term uint64, buf []byte) (res cluster.Result, index, _ uint64, err error) {
	binary.BigEndian.PutUint64(buf[2:], g.clock.stamp())
	before := g.appliedIndex()
	fut := r.ApplyLog(raft.Log{Data: buf}, 0)
	res, index, err = g.outcome(fut, g.await(r, fut), before)
	if err != nil {
		return res, 0, 0, err
	}
	return res, index, term, nil
}

// await waits for a proposal's future. raft never answers one that was still
// in its buffered queue when it was shut down, so the end of the group or of
// this raft instance (an install begins a new one) ends the wait too; then the
// outcome is not known.
func (g *Group) await(r *raft.Raft, fut raft.Future) error {
	answered := make(chan error, 1)
	go func() { answered <- fut.Error() }()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for down := false; ; {
		select {
		case err := <-answered:
			return err
		case <-g.ctx.Done():
			return raft.ErrRaftShutdown
		case <-t.C:
			if down {
				return raft.ErrRaftShutdown
			}
			down = r.State() == raft.Shutdown // once more, for an answer under way
		}
	}
}

// lastIndex is the last index this node holds, in the log or under its marker.
func (g *Group) lastIndex() uint64 {
	if r := g.raft.Load(); r != nil {
		return r.LastIndex()
	}
	last, _ := g.store.LastIndex() // it has no way to fail
	if b := g.base.Load(); b != nil {
		last = max(last, b.index)
	}
	return last
}
