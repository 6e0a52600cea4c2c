package grouptest

import (
	"context"
	"fmt"
	"sync"

	"altmail.se/altmail/cluster"
)

// Gate is a cluster.Gate over a set of bodies.
type Gate struct {
	mu       sync.Mutex
	have     map[cluster.BodyID]bool
	changed  chan struct{}
	pins     map[cluster.BodyID]int
	missing  map[cluster.BodyID]bool
	full     bool
	notWhole bool
	ensured  int
}

// NewGate returns a gate that has nothing.
func NewGate() *Gate {
	return &Gate{have: map[cluster.BodyID]bool{}, pins: map[cluster.BodyID]int{}, missing: map[cluster.BodyID]bool{}, changed: make(chan struct{})}
}

// Put makes a body durable here.
func (g *Gate) Put(id cluster.BodyID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.have[id] = true
	delete(g.missing, id)
	close(g.changed)
	g.changed = make(chan struct{})
}

// SetFull and SetWhole set what Room and Whole answer.
func (g *Gate) SetFull(full bool) { g.mu.Lock(); g.full = full; g.mu.Unlock() }

// SetWhole sets what Whole answers while nothing is missing.
func (g *Gate) SetWhole(w bool) { g.mu.Lock(); g.notWhole = !w; g.mu.Unlock() }

// Missing returns how many bodies wait to be fetched.
func (g *Gate) Missing() int { g.mu.Lock(); defer g.mu.Unlock(); return len(g.missing) }

// Pinned returns how many bodies are pinned.
func (g *Gate) Pinned() int { g.mu.Lock(); defer g.mu.Unlock(); return len(g.pins) }

// Ensured returns how often Ensure was called.
func (g *Gate) Ensured() int { g.mu.Lock(); defer g.mu.Unlock(); return g.ensured }

// Ensure implements cluster.Gate.
func (g *Gate) Ensure(ctx context.Context, _ cluster.GroupID, _ cluster.NodeID, _ uint64, refs []cluster.BodyRef) error {
	g.mu.Lock()
	g.ensured++
	g.mu.Unlock()
	for {
		g.mu.Lock()
		changed := g.changed
		lack := false
		for _, r := range refs {
			if g.pins[r.ID] == 0 {
				g.mu.Unlock()
				return fmt.Errorf("grouptest: body is checked before it is pinned")
			}
			lack = lack || !g.have[r.ID]
		}
		g.mu.Unlock()
		if !lack {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", cluster.ErrNotHere, ctx.Err())
		}
	}
}

// Backfill implements cluster.Gate.
func (g *Gate) Backfill(_ cluster.GroupID, _ uint64, refs []cluster.BodyRef) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range refs {
		if !g.have[r.ID] {
			g.missing[r.ID] = true
		}
	}
}

// Pin implements cluster.Gate.
func (g *Gate) Pin(_ cluster.GroupID, refs []cluster.BodyRef) func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range refs {
		g.pins[r.ID]++
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			for _, r := range refs {
				if g.pins[r.ID]--; g.pins[r.ID] == 0 {
					delete(g.pins, r.ID)
				}
			}
		})
	}
}

// Whole implements cluster.Gate.
func (g *Gate) Whole(cluster.GroupID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.missing) == 0 && !g.notWhole
}

// Room implements cluster.Gate.
func (g *Gate) Room(cluster.GroupID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.full
}
