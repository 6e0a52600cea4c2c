package group

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/snapshot"
)

// fetchLimit bounds the copy of a whole state.
const fetchLimit = 2 * time.Hour

// fetching is the one copy of a state that may come to this node at a time, for
// an install or for a repair.
type fetching struct {
	mu        sync.Mutex
	running   bool
	repairing atomic.Bool
	bytes     atomic.Uint64
}

func (f *fetching) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running {
		return false
	}
	f.running = true
	f.bytes.Store(0)
	return true
}

func (f *fetching) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = false
}

func (f *fetching) active() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

// startFetch begins to fetch what a ticket names, unless a fetch is under way.
func (g *Group) startFetch(t snapshot.Ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing || g.failed != nil || !g.fetch.begin() {
		return
	}
	g.spawn(func() {
		defer g.fetch.end()
		ctx, cancel := context.WithTimeout(g.ctx, fetchLimit)
		defer cancel()
		f, err := g.fetchFrom(ctx, t.Source, t.Index)
		if err == nil {
			err = g.install(f)
		}
		if err != nil && g.ctx.Err() == nil {
			g.o.Log.Warn("state not installed", "err", err)
			g.alarm(Alarm{Kind: AlarmFetch, Index: t.Index})
		}
	})
}

func (g *Group) fetchFrom(ctx context.Context, source cluster.NodeID, atLeast uint64) (snapshot.Fetched, error) {
	return snapshot.Fetch(ctx, snapshot.FetchOptions{
		Call: func(ctx context.Context, req []byte) ([]byte, error) {
			return g.o.Router.call(ctx, g.o.Group, source, cluster.MethodFetchState, req)
		},
		Stage:    g.o.Machine.Stage,
		AtLeast:  atLeast,
		Progress: g.fetch.bytes.Store,
	})
}

// install swaps a fetched state in, with raft stopped. The order is durable at
// each step: the intent, the state, the term, the empty log, the marker. After
// a crash recoverInstall goes on from where the state says it was.
func (g *Group) install(f snapshot.Fetched) error {
	g.life.Lock()
	defer g.life.Unlock()
	if err := g.down(); err != nil {
		return errors.Join(err, f.Stage.Abort())
	}
	if err := g.stopRaft(); err != nil {
		return errors.Join(err, f.Stage.Abort())
	}
	done, err := g.swap(f)
	if err != nil {
		g.fatal(fmt.Errorf("install at %d: %w", f.Index, err))
		return err
	}
	if err := g.start(); err != nil {
		g.fatal(err)
		return err
	}
	if done {
		g.stats.installs.Add(1)
		g.alarm(Alarm{Kind: AlarmInstalled, Index: f.Index})
	}
	return nil
}

func (g *Group) swap(f snapshot.Fetched) (bool, error) {
	have, _ := g.o.Machine.Applied()
	var l raft.Log
	err := g.store.GetLog(f.Index, &l)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		return false, err
	}
	if f.Index <= have || err == nil && l.Term == f.Term {
		// The log has caught up meanwhile, and what follows in it may have
		// been acknowledged: nothing may be dropped.
		return false, f.Stage.Abort()
	}
	// Here the log ends below the state, or has another entry at its index:
	// everything from there on was never committed.
	if err := g.snaps.StageInstall(f.Marker()); err != nil {
		return false, err
	}
	if err := g.step("staged"); err != nil {
		return false, err
	}
	if err := f.Stage.Install(); err != nil {
		return false, err
	}
	if err := g.step("swapped"); err != nil {
		return false, err
	}
	if err := g.finishInstall(f.Marker()); err != nil {
		return false, err
	}
	g.pins.drop(g.pins.all())
	g.confs.reset(f.ConfigurationIndex, f.Configuration)
	g.rebase()
	g.applied.advance(f.Index, f.Term)
	return true, nil
}

// finishInstall is what follows the swap of the state. Every step may be
// repeated.
func (g *Group) finishInstall(m snapshot.Marker) error {
	// The state may be of a term this node never heard of. Without its term an
	// old leader could still have this node's word for entries above it.
	if err := g.store.RaiseTerm(m.Floor); err != nil {
		return err
	}
	if err := g.step("term raised"); err != nil {
		return err
	}
	if err := g.store.Empty(); err != nil {
		return err
	}
	if err := g.step("log emptied"); err != nil {
		return err
	}
	return g.snaps.CommitInstall()
}

// step lets a test end the install here.
func (g *Group) step(name string) error {
	if f := g.o.test.onInstall; f != nil {
		return f(name)
	}
	return nil
}

// recoverInstall ends an install that a crash interrupted.
func (g *Group) recoverInstall() error {
	m, ok := g.snaps.Staged()
	if !ok {
		return nil
	}
	if g.o.Machine.Durable() < m.Index {
		return g.snaps.AbortInstall() // the swap did not happen
	}
	return g.finishInstall(m)
}

// holdLog keeps log and ticket where a node that fetches this state now can go
// on: the marker stays what is offered, and the log from it on stays.
func (g *Group) holdLog() (release func()) {
	index, unpin := g.snaps.Pin()
	unhold := g.store.Hold(index)
	var once sync.Once
	return func() {
		once.Do(func() {
			unhold()
			unpin()
		})
	}
}

// handleFetch serves this node's state.
func (g *Group) handleFetch(ctx context.Context, from cluster.NodeID, req []byte) ([]byte, error) {
	if err := g.down(); err != nil {
		return nil, err
	}
	if g.fetch.repairing.Load() {
		return nil, fmt.Errorf("%w: this state is being repaired", cluster.ErrUnavailable)
	}
	return g.source.Handle(ctx, from, req)
}
