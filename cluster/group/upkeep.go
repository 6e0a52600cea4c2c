package group

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// upkeep does what is due from time to time: the state is synced, the members
// are looked at, digests are checked, log and markers are kept short.
func (g *Group) upkeep() {
	t := g.o.Tuning
	sync := time.NewTicker(t.SyncEvery)
	look := time.NewTicker(t.Health)
	log := time.NewTicker(t.Upkeep)
	defer sync.Stop()
	defer look.Stop()
	defer log.Stop()
	var check <-chan time.Time
	if t.CheckEvery > 0 {
		c := time.NewTicker(t.CheckEvery)
		defer c.Stop()
		check = c.C
	}
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-sync.C:
			if g.down() == nil && g.o.Machine.Durable() < g.appliedIndex() {
				if _, _, err := g.syncMachine(); err != nil {
					return // the group has been stopped
				}
			}
			g.pins.durable(g.o.Machine.Durable())
		case <-look.C:
			if err := g.source.Sweep(time.Now()); err != nil {
				g.o.Log.Warn("end of a fetch session", "err", err)
			}
			if g.leading() != 0 {
				ctx, cancel := context.WithTimeout(g.ctx, t.CallWait)
				g.look(ctx)
				cancel()
				if r := g.raft.Load(); r != nil && errors.Is(g.health.clockOK(g), cluster.ErrClock) {
					g.yield(r)
				}
			}
		case <-check:
			if g.leading() != 0 && g.checking.CompareAndSwap(false, true) {
				// It may end in a repair, which takes as long as it takes.
				g.spawn(func() {
					defer g.checking.Store(false)
					if err := g.Check(g.ctx); err != nil && g.ctx.Err() == nil {
						g.o.Log.Warn("digest check", "err", err)
					}
				})
			}
		case <-log.C:
			if g.leading() == 0 {
				// What the others have applied decides what stays here, too.
				ctx, cancel := context.WithTimeout(g.ctx, t.CallWait)
				g.look(ctx)
				cancel()
			}
			if err := g.Trim(); err != nil && g.ctx.Err() == nil {
				g.o.Log.Warn("upkeep of the log", "err", err)
			}
		}
	}
}

// Trim sets how much log stays, makes a marker when one is due, and rewrites
// the log file when erased entries must leave it. It runs every Tuning.Upkeep.
func (g *Group) Trim() error {
	r := g.raft.Load()
	if r == nil || g.down() != nil {
		return nil
	}
	rc := r.ReloadableConfig()
	if n := g.trailing(); n != rc.TrailingLogs {
		rc.TrailingLogs = n
		if err := r.ReloadConfig(rc); err != nil {
			return err
		}
	}
	if g.markerDue(rc.TrailingLogs) {
		if err := r.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
			return err
		}
	}
	if err := g.truncate(rc.TrailingLogs); err != nil {
		return err
	}
	if time.Since(g.store.Made()) > g.o.Tuning.CompactEvery {
		return g.store.Compact()
	}
	return nil
}

// truncate removes what the newest marker lets go. Raft does so when it makes
// the marker, but not what a fetch held back then.
func (g *Group) truncate(trailing uint64) error {
	m, has := g.snaps.Newest()
	first, _ := g.store.FirstIndex()
	last, _ := g.store.LastIndex()
	if !has || first == 0 || last <= trailing {
		return nil
	}
	if to := min(m.Index, last-trailing); to >= first {
		return g.store.DeleteRange(first, to)
	}
	return nil
}

// markerDue reports whether entries must go that only a newer marker lets go,
// or the last marker is a day old.
func (g *Group) markerDue(trailing uint64) bool {
	applied := g.appliedIndex()
	m, has := g.snaps.Newest()
	if applied == 0 || has && m.Index >= applied {
		return false
	}
	if has && time.Since(m.Taken) > g.o.Tuning.SnapshotEvery {
		return true
	}
	first, _ := g.store.FirstIndex()
	last, _ := g.store.LastIndex()
	if first == 0 || last < trailing {
		return false
	}
	// What raft would delete now ends at the marker.
	return last-trailing >= max(first, m.Index+1)+minTrailing && (!has || last-trailing > m.Index)
}
