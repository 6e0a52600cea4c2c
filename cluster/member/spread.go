package member

import (
	"context"
	"slices"
	"sync"
	"time"

	"altmail.se/altmail/cluster"
)

// How leadership is spread. A hand-over costs a group some tens of
// milliseconds, an uneven spread only throughput, so nothing is in a hurry.
const (
	// settle is how long this node must have led a group, and the preferred
	// node been fit, before the group moves.
	settle = 10 * time.Second
	// pace is the least time between two hand-overs by this node.
	pace = 5 * time.Second
	// boomerang: a group that is back within this time does not want to move.
	boomerang = time.Minute
	// holdTime is how long a group then stays, and one an operator moved.
	holdTime = 10 * time.Minute
)

// spread remembers what this node led and gave away. It is used by one
// goroutine; time is passed in.
type spread struct {
	led   map[cluster.GroupID]tenure
	given map[cluster.GroupID]time.Time // when it was handed over
	until map[cluster.GroupID]time.Time // stays until then
	last  time.Time                     // the newest hand-over of any group
}

// tenure is one term of leading a group.
type tenure struct {
	term   uint64
	target cluster.NodeID // preferred and fit
	fit    time.Time      // since when, in this term
}

// forget ends the tenures of groups that are not led any more.
func (s *spread) forget(led []Replica) {
	for g := range s.led {
		if !slices.ContainsFunc(led, func(r Replica) bool { return r.ID() == g }) {
			delete(s.led, g)
		}
	}
}

// due notes that the group is led in term and prefers a node (the zero id:
// stays), and reports whether it is time to hand it over.
func (s *spread) due(now time.Time, g cluster.GroupID, term uint64, target cluster.NodeID) bool {
	t, ok := s.led[g]
	if !ok || t.term != term {
		t = tenure{term: term, fit: now}
		if at, gave := s.given[g]; gave && now.Sub(at) < boomerang {
			s.stay(now, g)
		}
	}
	if t.target != target {
		t.target, t.fit = target, now
	}
	if s.led == nil {
		s.led = map[cluster.GroupID]tenure{}
	}
	s.led[g] = t
	return !target.IsZero() && !now.Before(s.until[g]) &&
		now.Sub(t.fit) >= settle &&
		(s.last.IsZero() || now.Sub(s.last) >= pace)
}

// gave notes a hand-over, before its outcome is known.
func (s *spread) gave(now time.Time, g cluster.GroupID) {
	if s.given == nil {
		s.given = map[cluster.GroupID]time.Time{}
	}
	s.given[g], s.last = now, now
}

// stay keeps a group here for holdTime.
func (s *spread) stay(now time.Time, g cluster.GroupID) {
	if s.until == nil {
		s.until = map[cluster.GroupID]time.Time{}
	}
	s.until[g] = now.Add(holdTime)
}

// preferred is the node that should lead a mail group: of the voters by id, the
// one at the group's number, or the next one after it that is fit. Every node
// finds the same without asking, and one node's illness moves only its groups.
func preferred(g cluster.GroupID, servers []Server, nodes []Node, reports map[cluster.NodeID]NodeReport, leader GroupReport) (cluster.NodeID, bool) {
	var voters []Server
	for _, s := range servers {
		if s.Voter {
			voters = append(voters, s)
		}
	}
	slices.SortFunc(voters, func(a, b Server) int { return slices.Compare(a.Node[:], b.Node[:]) })
	for i := range voters {
		s := voters[(int(uint64(g)%uint64(len(voters)))+i)%len(voters)]
		n, member := find(nodes, s.Node)
		gr, answers := reports[s.Node].group(g)
		if member && !n.Leaving && answers && gr.ServerID == s.ID && caughtUp(gr, leader) {
			return s.Node, true
		}
	}
	return cluster.NodeID{}, false
}

// balance hands over at most one of the mail groups led here to the node that
// should lead it.
func (m *Manager) balance(ctx context.Context, led []Replica, nodes []Node, reports map[cluster.NodeID]NodeReport) error {
	var give Replica
	var to cluster.NodeID
	for _, r := range led {
		g := r.ID()
		if g == cluster.Directory {
			continue
		}
		servers, err := r.Servers()
		if err != nil {
			return err
		}
		here := r.Report()
		target, ok := preferred(g, servers, nodes, reports, here)
		if !ok || target == m.Self {
			target = cluster.NodeID{}
		}
		// Every group is looked at, so that none is judged by an old sight.
		if m.spread.due(m.now(), g, here.Term, target) && give == nil && !m.isHeld(g) {
			give, to = r, target
		}
	}
	if give == nil {
		return nil
	}
	m.spread.gave(m.now(), give.ID())
	m.Log.Info("handing over leadership to spread it", "group", give.ID(), "to", to)
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if err := give.Transfer(ctx, to); err != nil {
		// It may not be able to take over; asking each time would only halt
		// the group's writes.
		m.spread.stay(m.now(), give.ID())
		m.Log.Info("leadership not handed over", "group", give.ID(), "to", to, "err", err)
	}
	return nil
}

// hold leaves the leadership of groups where an operator puts it.
func (m *Manager) hold(groups []cluster.GroupID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for g, until := range m.held {
		if !now.Before(until) {
			delete(m.held, g)
		}
	}
	for _, g := range groups {
		if _, hosted := m.Host.Replica(g); hosted {
			m.held[g] = now.Add(holdTime)
		}
	}
}

func (m *Manager) isHeld(g cluster.GroupID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now().Before(m.held[g])
}

// holdEverywhere tells all nodes, because any of them may lead next. One that
// does not hear of it may spread the groups early, which harms nothing.
func (m *Manager) holdEverywhere(ctx context.Context, groups []cluster.GroupID) {
	nodes, err := m.Roster.Nodes()
	if err != nil {
		m.Log.Warn("roster unreadable", "err", err)
		return
	}
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if err := m.call(ctx, n.ID, "hold", groups, nil); err != nil {
				m.Log.Debug("node not told to hold leadership", "node", n.ID, "err", err)
			}
		})
	}
	wg.Wait()
}
