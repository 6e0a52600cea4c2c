package body

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

// reclaimEvery is the pause between two passes of reclaim.
const reclaimEvery = time.Minute

// Run backfills, reclaims, scrubs and asks members for their free space until
// ctx ends or the store is closed, which waits for it.
func (s *Store) Run(ctx context.Context) {
	done := make(chan struct{})
	if s.spawn(func() { defer close(done); s.run(ctx) }) {
		<-done
	}
}

func (s *Store) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(s.ctx, cancel)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { s.fillLoop(ctx) })
	wg.Go(func() { s.every(ctx, reclaimEvery, s.reclaimAll) })
	wg.Go(func() { s.every(ctx, s.opts.ScrubEvery, s.scrubAll) })
	wg.Go(func() { s.every(ctx, reportEvery, s.askReports) })
	wg.Wait()
}

func (s *Store) every(ctx context.Context, d time.Duration, f func(context.Context)) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f(ctx)
		}
	}
}

func (s *Store) reclaimAll(ctx context.Context) {
	for _, g := range s.all() {
		done, err := s.Reclaim(ctx, g.id)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("reclaim stopped", "group", g.id, "err", err)
		}
		if done.Segments > 0 {
			s.log.Info("reclaimed", "group", g.id, "bodies", done.Freed, "segments", done.Segments, "bytes", done.Bytes)
		}
	}
}

func (s *Store) scrubAll(ctx context.Context) {
	for _, g := range s.all() {
		if _, err := s.Scrub(ctx, g.id); err != nil && ctx.Err() == nil {
			s.log.Warn("scrub stopped", "group", g.id, "err", err)
		}
	}
}

// askReports asks members that have been silent how their disks are.
func (s *Store) askReports(ctx context.Context) {
	if s.opts.Peers == nil {
		return
	}
	asked := make(map[cluster.NodeID]bool)
	var wg sync.WaitGroup
	for _, g := range s.all() {
		for _, m := range s.opts.Members(g.id) {
			if asked[m] || m == s.opts.Peers.Self() || s.space.recent(m) {
				continue
			}
			asked[m] = true
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, reportEvery/2)
				defer cancel()
				if _, err := s.Have(ctx, m, g.id, nil); err != nil {
					s.log.Debug("a member did not report its space", "peer", m, "err", err)
				}
			})
		}
	}
	wg.Wait()
}

func (sp *space) recent(m cluster.NodeID) bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	r, ok := sp.members[m]
	return ok && time.Since(r.at) < reportEvery
}

// Scrubbed is what one pass of Scrub found.
type Scrubbed struct {
	Bodies, Damaged int
	Bytes           int64
}

// Scrub reads every body in the group's sealed segments, no faster than
// Options.ScrubRate, and compares it with its id. Damaged bodies are set aside
// and fetched again from a member.
func (s *Store) Scrub(ctx context.Context, group cluster.GroupID) (Scrubbed, error) {
	var done Scrubbed
	g := s.known(group)
	if g == nil {
		return done, nil
	}
	g.mu.Lock()
	var todo []*segment
	for _, seg := range g.segs {
		if seg.sealed != 0 {
			todo = append(todo, seg)
		}
	}
	g.mu.Unlock()
	pace := &pacer{rate: s.opts.ScrubRate}
	for _, seg := range todo {
		err := g.scrub(ctx, seg, pace, &done)
		if done.Damaged > 0 {
			err = errors.Join(err, g.saveNotes())
		}
		if err != nil {
			return done, fmt.Errorf("body: scrubbing: %w", err)
		}
	}
	return done, nil
}

func (g *group) scrub(ctx context.Context, seg *segment, pace *pacer, done *Scrubbed) error {
	entries, err := g.list(seg)
	if errors.Is(err, errSegmentGone) {
		return nil
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		at := place{seg.seq, e.off, e.size}
		g.mu.Lock()
		p, ok := g.tab.get(keyOf(e.id))
		g.mu.Unlock()
		if !ok || p != at {
			continue
		}
		err := g.verify(ctx, seg, e, pace)
		switch {
		case errors.Is(err, mailstore.ErrDamaged):
			g.quarantine(cluster.BodyRef{ID: e.id, Size: e.size}, at)
			done.Damaged++
		case errors.Is(err, errSegmentGone):
			return nil // rewritten under our hands, and checked in passing
		case err != nil:
			return err
		}
		done.Bodies++
		done.Bytes += int64(e.size)
		g.s.stats.scrubbed.Add(uint64(e.size) + recHeaderLen)
	}
	return nil
}
