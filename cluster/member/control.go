package member

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"altmail.se/altmail/cluster"
)

// tick is how often the groups led here are compared with the roster when
// nothing kicks the Manager.
const tick = time.Second

// stepTimeout bounds one membership change.
const stepTimeout = 10 * time.Second

func (m *Manager) run(ctx context.Context) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-m.kick:
		}
		if err := m.step(ctx); err != nil && ctx.Err() == nil {
			m.Log.Warn("membership step failed", "err", err)
		}
	}
}

// step does what is due now on this node.
func (m *Manager) step(ctx context.Context) error {
	if err := m.seed(ctx); err != nil {
		return err
	}
	nodes, err := m.Roster.Nodes()
	if err != nil {
		return err
	}
	groups, err := m.Roster.Groups()
	if err != nil {
		return err
	}
	if err := m.remember(nodes, groups); err != nil {
		return err
	}
	if m.checkRemoved(ctx, nodes) {
		return nil
	}
	known := nodes
	if _, self := find(nodes, m.Self); !self {
		// After a crash the state may be older than this node's joining, and
		// one that is shut out never hears of the rest.
		known = m.Local.Identity().Peers
	}
	if m.refused(ctx, known) {
		m.leaveForGood()
		return nil
	}
	for _, g := range groups {
		if err := m.Host.EnsureGroup(g); err != nil {
			return err
		}
	}
	m.cut(nodes)
	var errs []error
	for _, r := range m.Host.Replicas() {
		if r.IsLeader() {
			if err := m.reconcile(ctx, r, nodes); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// seed puts what the first node made into the directory, once it leads it.
func (m *Manager) seed(ctx context.Context) error {
	id := m.Local.Identity()
	dir, ok := m.Host.Replica(cluster.Directory)
	if id.Seed == nil || !ok || !dir.IsLeader() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if err := m.Roster.PutCA(ctx, id.Seed.CAKey); err != nil {
		return err
	}
	for _, n := range id.Peers {
		if n.ID == m.Self {
			if err := m.Roster.PutNode(ctx, n, false); err != nil {
				return err
			}
		}
	}
	for g := cluster.GroupID(1); g <= cluster.GroupID(id.Seed.MailGroups); g++ {
		if err := m.Roster.PutGroup(ctx, g); err != nil {
			return err
		}
	}
	m.Log.Info("cluster begun", "cluster", id.Cluster, "mail_groups", id.Seed.MailGroups)
	return m.Local.Update(func(i *Identity) { i.Seed = nil })
}

// remember keeps the members' addresses and the groups in the keyring, to
// find the others again after any change of address.
func (m *Manager) remember(nodes []Node, groups []cluster.GroupID) error {
	if _, self := find(nodes, m.Self); !self {
		return nil // the directory has not arrived here, or we are gone
	}
	return m.Local.Update(func(i *Identity) {
		i.Peers = nodes
		for _, g := range groups {
			if !slices.Contains(i.Groups, g) {
				i.Groups = append(i.Groups, g)
			}
		}
	})
}

// checkRemoved stops the node for good when the directory does not list it
// any more. A directory that is still empty here says nothing, nor does one
// that this node lags behind in: a majority must confirm it.
func (m *Manager) checkRemoved(ctx context.Context, nodes []Node) bool {
	if _, self := find(nodes, m.Self); self || len(nodes) == 0 {
		return false
	}
	if m.confirmedGone(ctx, nodes) {
		m.leaveForGood()
	}
	return true
}

// leaveForGood records that this node is no member any more and stops it.
func (m *Manager) leaveForGood() {
	m.mu.Lock()
	again := m.removed
	m.removed = true
	m.mu.Unlock()
	if again {
		return
	}
	if err := m.Local.Update(func(i *Identity) { i.Removed = true }); err != nil {
		m.Log.Error("could not record that this node was removed", "err", err)
	}
	m.Log.Error("this node was removed from its cluster and stops")
	m.Removed()
}

// refusedTimes is how many times in a row, a tick apart, a node must find
// itself shut out before it believes it: long enough for a member that is a
// little behind to hear of a node that has just joined.
const refusedTimes = 5

// refused reports whether this node was taken off the roster while it was
// away: its own directory still lists it, but it hears of no leader, and no
// other member answers while a majority of all refuse its certificate.
func (m *Manager) refused(ctx context.Context, nodes []Node) bool {
	dir, ok := m.Host.Replica(cluster.Directory)
	if !ok || len(nodes) < 2 {
		return false
	}
	if _, ok := dir.Leader(); ok {
		m.shutOut = 0
		return false
	}
	refusing := 0
	for _, n := range nodes {
		if n.ID == m.Self {
			continue
		}
		cctx, cancel := context.WithTimeout(ctx, time.Second)
		err := m.call(cctx, n.ID, "report", nil, nil)
		cancel()
		if err == nil {
			m.shutOut = 0
			return false
		}
		if errors.Is(err, cluster.ErrNotMember) {
			refusing++
		}
	}
	if refusing < (len(nodes)-1)/2+1 {
		m.shutOut = 0
		return false
	}
	m.shutOut++
	return m.shutOut >= refusedTimes
}

// confirmedGone asks the members whether they too do not list this node. A
// member that refuses the connection has answered.
func (m *Manager) confirmedGone(ctx context.Context, nodes []Node) bool {
	gone := 0
	for _, n := range nodes {
		cctx, cancel := context.WithTimeout(ctx, time.Second)
		var listed bool
		err := m.call(cctx, n.ID, "listed", m.Self, &listed)
		cancel()
		if err == nil && !listed || errors.Is(err, cluster.ErrNotMember) {
			gone++
		}
		if err == nil && listed {
			return false
		}
	}
	return gone > 0
}

// cut ends the connections of nodes that left the roster since the last step.
func (m *Manager) cut(nodes []Node) {
	m.mu.Lock()
	var cut []cluster.NodeID
	for id := range m.gone {
		if _, ok := find(nodes, id); !ok {
			cut = append(cut, id)
			delete(m.gone, id)
		}
	}
	for _, n := range nodes {
		if n.ID != m.Self {
			m.gone[n.ID] = true
		}
	}
	m.mu.Unlock()
	for _, id := range cut {
		m.Log.Info("node is no member any more", "node", id)
		m.Host.Disconnect(id)
	}
}

// reconcile makes at most one change to the configuration of a group led
// here, so that it follows the roster. Removing comes before adding only when
// the one to go is already out of the roster; an addition always enters as a
// non-voter and is promoted when it has caught up and holds every body.
func (m *Manager) reconcile(ctx context.Context, r Replica, nodes []Node) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	servers, err := r.Servers()
	if err != nil {
		return err
	}
	log := m.Log.With("group", r.ID())
	voters := 0
	byNode := map[cluster.NodeID]Server{}
	for _, s := range servers {
		if s.Voter {
			voters++
		}
		byNode[s.Node] = s
	}
	for _, s := range servers {
		n, member := find(nodes, s.Node)
		if member && !n.Leaving {
			continue
		}
		if s.Node == m.Self {
			log.Info("handing over leadership before leaving")
			return r.Transfer(ctx, cluster.NodeID{})
		}
		log.Info("removing a replica", "server", s.ID)
		return r.Remove(ctx, s.ID)
	}
	for _, n := range nodes {
		if n.Leaving {
			continue
		}
		var report NodeReport
		s, in := byNode[n.ID]
		if in && s.Voter {
			continue
		}
		if err := m.call(ctx, n.ID, "report", nil, &report); err != nil {
			log.Debug("node does not answer yet", "node", n.ID, "err", err)
			continue
		}
		gr, hosts := report.group(r.ID())
		switch {
		case in && hosts && gr.ServerID != s.ID:
			// A replica that lost its log enters again under a new id.
			log.Info("removing a replica that began anew", "server", s.ID)
			return r.Remove(ctx, s.ID)
		case !in && hosts:
			log.Info("adding a replica", "server", gr.ServerID)
			return r.AddNonvoter(ctx, gr.ServerID)
		case in && !s.Voter && voters < MaxVoters && caughtUp(gr, r.Report()):
			log.Info("replica becomes a voter", "server", s.ID)
			return r.Promote(ctx, s.ID)
		}
	}
	// A voter that lost its log answers with another id: it must go before it
	// can come back.
	for _, s := range servers {
		if !s.Voter || s.Node == m.Self {
			continue
		}
		cctx, cancel := context.WithTimeout(ctx, time.Second)
		var report NodeReport
		err := m.call(cctx, s.Node, "report", nil, &report)
		cancel()
		if err != nil {
			continue
		}
		if gr, ok := report.group(r.ID()); ok && gr.ServerID != s.ID {
			if err := m.risk(ctx, s.Node, []cluster.GroupID{r.ID()}, nil); err != nil {
				return err
			}
			log.Warn("removing a voter that began anew", "server", s.ID)
			return r.Remove(ctx, s.ID)
		}
	}
	return nil
}

// caughtUp reports whether a replica may vote: it has applied nearly all the
// leader has committed and holds every body.
func caughtUp(gr, leader GroupReport) bool {
	const slack = 1000
	return gr.Whole && gr.Alarm == "" && gr.Applied+slack >= leader.Commit && gr.Applied > 0
}

// serverNode is the node part of a Raft server id.
func serverNode(serverID string) (cluster.NodeID, error) {
	node, _, _ := strings.Cut(serverID, ".")
	return cluster.ParseNodeID(node)
}
