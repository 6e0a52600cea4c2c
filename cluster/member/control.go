package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	known, self := nodes, true
	if _, self = find(nodes, m.Self); !self {
		// The directory has not arrived here, is older than this node's
		// joining, or does not list it any more.
		known = m.Local.Identity().Peers
	}
	if m.gone(ctx, known, self) {
		m.leaveForGood()
		return nil
	}
	if !self && len(nodes) > 0 {
		return nil
	}
	var errs []error
	for _, g := range groups {
		if err := m.Host.EnsureGroup(g); err != nil {
			errs = append(errs, err)
		}
	}
	m.cut(nodes)
	return errors.Join(append(errs, m.lead(ctx, nodes))...)
}

// lead keeps the groups led here in step with the roster and spread over the
// nodes.
func (m *Manager) lead(ctx context.Context, nodes []Node) error {
	var led []Replica
	for _, r := range m.Host.Replicas() {
		if r.IsLeader() {
			led = append(led, r)
		}
	}
	if len(led) == 0 {
		m.spread.forget(nil)
		return nil
	}
	reports := m.Reports(ctx)
	m.meet(nodes)
	var errs []error
	var still []Replica
	for _, r := range led {
		changed, err := m.reconcile(ctx, r, nodes, reports)
		if err != nil {
			errs = append(errs, fmt.Errorf("group %s: %w", r.ID(), err))
		}
		if !changed && err == nil {
			still = append(still, r)
		}
	}
	m.spread.forget(led)
	if err := m.balance(ctx, still, nodes, reports); err != nil {
		errs = append(errs, err)
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

// gone reports whether this node is no member any more. Its own directory is no
// proof: it may be older than the node's joining, and a node that was taken off
// while it was away never hears of it. So the others are asked. One that is in
// touch with a majority and does not list this node settles it. Otherwise most
// of them must refuse this node's certificate, several times in a row, while
// none lets it in: a single one may just be behind.
func (m *Manager) gone(ctx context.Context, known []Node, listed bool) bool {
	dir, ok := m.Host.Replica(cluster.Directory)
	if !ok {
		return false
	}
	if _, led := dir.Leader(); led && listed {
		m.shutOut = 0
		return false
	}
	var others []Node
	for _, n := range known {
		if n.ID != m.Self {
			others = append(others, n)
		}
	}
	answers := make(chan stance, len(others))
	for _, n := range others {
		go func() { answers <- m.ask(ctx, n.ID, listed) }()
	}
	count := map[stance]int{}
	for range others {
		count[<-answers]++
	}
	if count[unlists] > 0 {
		return true
	}
	if count[admits] > 0 || count[refuses] < len(others)/2+1 {
		m.shutOut = 0
		return false
	}
	m.shutOut++
	return m.shutOut >= refusedTimes
}

// stance is how another member sees this node.
type stance int

const (
	silent  stance = iota
	refuses        // this node's certificate
	admits
	unlists // as of a majority, it is no member
)

func (m *Manager) ask(ctx context.Context, id cluster.NodeID, listed bool) stance {
	call := func(op string, arg, out any) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return m.call(ctx, id, op, arg, out)
	}
	err := call("report", nil, nil)
	switch {
	case errors.Is(err, cluster.ErrNotMember):
		return refuses
	case err != nil:
		return silent
	case listed:
		return admits
	}
	var lists bool
	if err := call("listed", m.Self, &lists); err == nil && !lists {
		return unlists
	}
	return admits
}

// cut ends the connections of nodes that left the roster since the last step.
func (m *Manager) cut(nodes []Node) {
	m.mu.Lock()
	var cut []cluster.NodeID
	for id := range m.present {
		if _, ok := find(nodes, id); !ok {
			cut = append(cut, id)
			delete(m.present, id)
		}
	}
	for _, n := range nodes {
		if n.ID != m.Self {
			m.present[n.ID] = true
		}
	}
	m.mu.Unlock()
	for _, id := range cut {
		m.Log.Info("node is no member any more", "node", id)
		m.Host.Disconnect(id)
	}
}

// reconcile makes at most one change to the configuration of a group led
// here, so that it follows the roster, and reports whether it tried to. What
// is off the roster goes first; what is new enters as a non-voter and is
// promoted when it has caught up and holds every body. reports are what the
// nodes said of themselves a moment ago.
func (m *Manager) reconcile(ctx context.Context, r Replica, nodes []Node, reports map[cluster.NodeID]NodeReport) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	servers, err := r.Servers()
	if err != nil {
		return false, err
	}
	log := m.Log.With("group", r.ID())
	voters := 0
	byNode := map[cluster.NodeID]Server{}
	leaves := false
	for _, s := range servers {
		if s.Voter {
			voters++
		}
		byNode[s.Node] = s
		if n, member := find(nodes, s.Node); member && !n.Leaving {
			continue
		}
		leaves = leaves || s.Node == m.Self
	}
	if leaves {
		// First of all: whoever leads next removes the others too.
		log.Info("handing over leadership before leaving")
		return true, r.Transfer(ctx, cluster.NodeID{})
	}
	for _, s := range servers {
		if n, member := find(nodes, s.Node); !member || n.Leaving {
			log.Info("removing a replica", "server", s.ID)
			return true, r.Remove(ctx, s.ID)
		}
	}
	for _, n := range nodes {
		s, in := byNode[n.ID]
		if n.Leaving || in && s.Voter {
			continue
		}
		gr, hosts := reports[n.ID].group(r.ID())
		switch {
		case !hosts:
			// It does not answer, or does not run the group yet.
		case in && gr.ServerID != s.ID:
			// A replica that lost its log enters again under a new id.
			log.Info("removing a replica that began anew", "server", s.ID)
			return true, r.Remove(ctx, s.ID)
		case !in:
			log.Info("adding a replica", "server", gr.ServerID)
			return true, r.AddNonvoter(ctx, gr.ServerID)
		case voters < MaxVoters && caughtUp(gr, r.Report()) && m.knownTo(n.ID, servers, reports):
			log.Info("replica becomes a voter", "server", s.ID)
			return true, r.Promote(ctx, s.ID)
		}
	}
	// A voter that lost its log answers with another id: it must go before it
	// can come back.
	for _, s := range servers {
		if !s.Voter || s.Node == m.Self {
			continue
		}
		if gr, ok := reports[s.Node].group(r.ID()); ok && gr.ServerID != s.ID {
			if err := m.risk(ctx, s.Node, []cluster.GroupID{r.ID()}, nil); err != nil {
				return false, err
			}
			log.Warn("removing a voter that began anew", "server", s.ID)
			return true, r.Remove(ctx, s.ID)
		}
	}
	return false, nil
}

// meet notes for nodes that are new on the roster an index of the directory
// that has them: what this node has applied by now.
func (m *Manager) meet(nodes []Node) {
	dir, ok := m.Host.Replica(cluster.Directory)
	if !ok {
		return
	}
	at := dir.Report().Applied
	for id := range m.met {
		if _, on := find(nodes, id); !on {
			delete(m.met, id)
		}
	}
	for _, n := range nodes {
		if _, ok := m.met[n.ID]; !ok {
			m.met[n.ID] = at
		}
	}
}

// knownTo reports whether a majority of the voters, and every one that answers,
// has applied that the node is a member. Voters admit only whom they know, so a node that votes unknown to
// them could be left with some of them as the only survivors, and none of them
// would ever elect.
func (m *Manager) knownTo(id cluster.NodeID, servers []Server, reports map[cluster.NodeID]NodeReport) bool {
	at, met := m.met[id]
	voters, know := 0, 0
	for _, s := range servers {
		if !s.Voter {
			continue
		}
		voters++
		d, ok := reports[s.Node].group(cluster.Directory)
		switch {
		case !ok:
		case !met || d.Applied < at:
			return false
		default:
			know++
		}
	}
	return know > voters/2
}

// caughtUp reports whether a replica may vote: it has applied nearly all the
// leader has committed and holds every body.
func caughtUp(gr, leader GroupReport) bool {
	const slack = 1000
	return gr.Whole && gr.Alarm == "" && gr.Applied+slack >= leader.Commit && gr.Applied > 0
}
