package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"altmail.se/altmail/cluster"
)

// Risks an operator can accept by name.
const (
	RiskQuorum = "lose-quorum" // the rest could not commit any more
	RiskCopies = "lose-copies" // the rest may not hold every body
)

// risk refuses to take a node out of groups (nil: all) when the rest would be
// without a quorum of reachable voters, or without a majority that holds every
// body (replication-hazards 12). Voters that are on their way out already count
// as gone: two nodes that leave at once are judged together.
func (m *Manager) risk(ctx context.Context, leaving cluster.NodeID, groups []cluster.GroupID, accepted []string) error {
	nodes, err := m.Roster.Nodes()
	if err != nil {
		return err
	}
	reports := m.Reports(ctx)
	for _, r := range m.Host.Replicas() {
		if groups != nil && !slices.Contains(groups, r.ID()) {
			continue
		}
		servers, err := r.Servers()
		if err != nil {
			return err
		}
		rest, up, whole := 0, 0, 0
		for _, s := range servers {
			if n, member := find(nodes, s.Node); !s.Voter || s.Node == leaving || !member || n.Leaving {
				continue
			}
			rest++
			if rep, ok := reports[s.Node]; ok {
				if gr, ok := rep.group(r.ID()); ok && gr.ServerID == s.ID {
					up++
					if gr.Whole {
						whole++
					}
				}
			}
		}
		need := rest/2 + 1
		if rest == 0 && !slices.Contains(accepted, RiskQuorum) {
			return fmt.Errorf("%w: it is the only voter of group %s", cluster.ErrQuorum, r.ID())
		}
		if up < need && !slices.Contains(accepted, RiskQuorum) {
			return fmt.Errorf("%w: group %s would have %d of %d voters running and needs %d (--accept-risk=%s to do it anyway)",
				cluster.ErrQuorum, r.ID(), up, rest, need, RiskQuorum)
		}
		if whole < need && !slices.Contains(accepted, RiskCopies) {
			return fmt.Errorf("%w: group %s would have %d of %d voters with every body and needs %d (--accept-risk=%s to do it anyway)",
				cluster.ErrQuorum, r.ID(), whole, rest, need, RiskCopies)
		}
	}
	return nil
}

// Reports asks every member what it hosts; those that do not answer within a
// second are missing.
func (m *Manager) Reports(ctx context.Context) map[cluster.NodeID]NodeReport {
	nodes, err := m.Roster.Nodes()
	if err != nil {
		m.Log.Warn("roster unreadable", "err", err)
		return nil
	}
	type answer struct {
		id cluster.NodeID
		r  NodeReport
		ok bool
	}
	ch := make(chan answer, len(nodes))
	for _, n := range nodes {
		go func() {
			cctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			a := answer{id: n.ID}
			a.ok = m.call(cctx, n.ID, "report", nil, &a.r) == nil
			ch <- a
		}()
	}
	out := map[cluster.NodeID]NodeReport{}
	for range nodes {
		if a := <-ch; a.ok {
			out[a.id] = a.r
		}
	}
	return out
}

// Leave takes this node out of its cluster: it drains, gives its leadership
// away, waits until no group counts it, and leaves the roster. The node must
// stop afterwards and never start again on this data.
func (m *Manager) Leave(ctx context.Context, accepted []string) error {
	synced := m.Roster.Sync(ctx)
	nodes, err := m.Roster.Nodes()
	if err != nil {
		return errors.Join(synced, err)
	}
	if synced != nil {
		// Its word that it leaves may have been heard though the answer was
		// lost. Then it is in no group by now, can't read the directory any
		// more, and has nothing left to risk.
		if !m.inNoGroup(ctx) {
			return synced
		}
		if err := m.Host.Drain(ctx); err != nil {
			return fmt.Errorf("member: drain: %w", err)
		}
		return m.depart(ctx, nodes)
	}
	self, ok := find(nodes, m.Self)
	if !ok {
		return ErrRemoved
	}
	if err := m.risk(ctx, m.Self, nil, accepted); err != nil {
		return err
	}
	if err := m.Host.Drain(ctx); err != nil {
		return fmt.Errorf("member: drain: %w", err)
	}
	self.Leaving = true
	if err := m.Roster.PutNode(ctx, self, false); err != nil {
		return err
	}
	// Another may have begun to leave since the check above. Now each of them
	// sees the other.
	if err := m.risk(ctx, m.Self, nil, accepted); err != nil {
		self.Leaving = false
		return errors.Join(fmt.Errorf("%w; this node stays, restart it to serve clients again", err), m.Roster.PutNode(ctx, self, false))
	}
	m.Kick()
	if err := m.poll(ctx, func() bool { return m.inNoGroup(ctx) }); err != nil {
		return fmt.Errorf("member: still counted in a group: %w", err)
	}
	return m.depart(ctx, nodes)
}

// depart is the last step of leaving: no group counts this node any more.
func (m *Manager) depart(ctx context.Context, nodes []Node) error {
	// Removed is recorded first: a node that dies between the two refuses to
	// start and is evicted by the others.
	if err := m.Local.Update(func(i *Identity) { i.Removed = true }); err != nil {
		return err
	}
	return m.removeSelf(ctx, nodes)
}

// removeSelf has another member take this node off the roster, because a node
// in no group can propose nothing itself.
func (m *Manager) removeSelf(ctx context.Context, nodes []Node) error {
	var last error = cluster.ErrUnavailable
	for {
		for _, n := range nodes {
			if n.ID == m.Self {
				continue
			}
			cctx, cancel := context.WithTimeout(ctx, stepTimeout)
			_, err := m.Peers.Call(cctx, n.ID, cluster.MethodMember, []byte(`{"op":"goodbye"}`))
			cancel()
			if err == nil || errors.Is(err, cluster.ErrNotMember) {
				return nil
			}
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("member: leave: %w", errors.Join(ctx.Err(), last))
		case <-time.After(tick / 4):
		}
	}
}

// inNoGroup asks the leaders of all groups whether they still count this node.
func (m *Manager) inNoGroup(ctx context.Context) bool {
	reports := m.Reports(ctx)
	groups, err := m.Roster.Groups()
	if err != nil {
		return false
	}
	for _, g := range append([]cluster.GroupID{cluster.Directory}, groups...) {
		leaders, counting := 0, 0
		for id, rep := range reports {
			gr, ok := rep.group(g)
			if !ok || !gr.Leads || id == m.Self {
				continue
			}
			var counted bool
			cctx, cancel := context.WithTimeout(ctx, time.Second)
			err := m.call(cctx, id, "counts", countsArg{g, m.Self}, &counted)
			cancel()
			leaders++
			if err != nil || counted {
				counting++
			}
		}
		if leaders == 0 || counting > 0 {
			return false
		}
	}
	return true
}

type countsArg struct {
	Group cluster.GroupID `json:"group"`
	Node  cluster.NodeID  `json:"node"`
}

// poll waits until cond holds, asking it a few times a second, within ctx.
func (m *Manager) poll(ctx context.Context, cond func() bool) error {
	t := time.NewTicker(tick / 5)
	defer t.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	return nil
}

// minPrefix is how many digits of an id name a node.
const minPrefix = 6

// Lookup finds a member by its id, its name, or the beginning of its id if that
// fits one node only.
func (m *Manager) Lookup(nameOrID string) (Node, error) {
	nodes, err := m.Roster.Nodes()
	if err != nil {
		return Node{}, err
	}
	for _, fits := range []func(Node) bool{
		func(n Node) bool { return n.ID.String() == nameOrID },
		func(n Node) bool { return n.Name == nameOrID },
		func(n Node) bool { return len(nameOrID) >= minPrefix && strings.HasPrefix(n.ID.String(), nameOrID) },
	} {
		var found []Node
		for _, n := range nodes {
			if fits(n) {
				found = append(found, n)
			}
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return Node{}, fmt.Errorf("%w: %s fits more than one", ErrNoNode, nameOrID)
		}
	}
	return Node{}, fmt.Errorf("%w: %s", ErrNoNode, nameOrID)
}

// Evict takes a dead or stolen node out of the cluster: its key is admitted no
// more at once, its connections are cut, and the groups stop counting it.
func (m *Manager) Evict(ctx context.Context, nameOrID string, stolen bool, accepted []string) (Node, error) {
	if err := m.Roster.Sync(ctx); err != nil {
		return Node{}, err
	}
	n, err := m.Lookup(nameOrID)
	if err != nil {
		return Node{}, err
	}
	if n.ID == m.Self {
		return n, fmt.Errorf("%w: a node does not evict itself; use leave, or evict it from another node", cluster.ErrRefused)
	}
	if err := m.risk(ctx, n.ID, nil, accepted); err != nil {
		return n, err
	}
	if err := m.Roster.RemoveNode(ctx, n.ID, stolen); err != nil {
		return n, err
	}
	m.Kick()
	m.Host.Disconnect(n.ID)
	// The leaders take it out of their groups; wait so that success means it.
	err = m.poll(ctx, func() bool {
		for _, r := range m.Host.Replicas() {
			servers, err := r.Servers()
			if err != nil || slices.ContainsFunc(servers, func(s Server) bool { return s.Node == n.ID }) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return n, fmt.Errorf("member: evicted, but a group still counts it: %w", err)
	}
	return n, nil
}

// Transfer hands leadership of a group (nil: of all) to a node, or, without one,
// to any other (of all groups: those that this node leads). The groups moved
// stay where they are for holdTime, then leadership is spread again.
func (m *Manager) Transfer(ctx context.Context, group *cluster.GroupID, to string) ([]cluster.GroupID, error) {
	var target cluster.NodeID
	if to != "" {
		n, err := m.Lookup(to)
		if err != nil {
			return nil, err
		}
		target = n.ID
	}
	var chosen []cluster.GroupID
	for _, r := range m.Host.Replicas() {
		if group == nil || r.ID() == *group {
			chosen = append(chosen, r.ID())
		}
	}
	m.holdEverywhere(ctx, chosen)
	var moved []cluster.GroupID
	for _, r := range m.Host.Replicas() {
		leader, ok := r.Leader()
		switch {
		case group != nil && r.ID() != *group:
			continue
		case !ok:
			return moved, fmt.Errorf("%w: group %s has no leader", cluster.ErrUnavailable, r.ID())
		case leader == target, group == nil && target.IsZero() && leader != m.Self:
			continue
		}
		if err := m.call(ctx, leader, "transfer", transferArg{r.ID(), target}, nil); err != nil {
			return moved, fmt.Errorf("group %s: %w", r.ID(), err)
		}
		moved = append(moved, r.ID())
	}
	return moved, nil
}

// Digests has every group's leader compare the replicas at one index.
func (m *Manager) Digests(ctx context.Context) ([]DigestReport, error) {
	var out []DigestReport
	for _, r := range m.Host.Replicas() {
		leader, ok := r.Leader()
		if !ok {
			return out, fmt.Errorf("%w: group %s has no leader", cluster.ErrUnavailable, r.ID())
		}
		var d DigestReport
		if err := m.call(ctx, leader, "digests", r.ID(), &d); err != nil {
			return out, fmt.Errorf("group %s: %w", r.ID(), err)
		}
		out = append(out, d)
	}
	return out, nil
}
