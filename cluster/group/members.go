package group

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// ErrNotLeader: a change of the membership is asked of the leader.
var ErrNotLeader = errNotLeader

// ErrBehind: the node has not caught up, or lacks bodies.
var ErrBehind = errors.New("group: the node has not caught up")

// promoteLag is how many entries a new voter may be behind.
const promoteLag = 1024

// Member is one member of the group.
type Member struct {
	Node        cluster.NodeID
	Incarnation uint32
	Voter       bool
}

// Configuration returns the members as this node knows them.
func (g *Group) Configuration() []Member {
	r := g.raft.Load()
	if r == nil {
		return nil
	}
	var out []Member
	for _, s := range r.GetConfiguration().Configuration().Servers {
		node, inc, err := ParseServer(string(s.ID))
		if err != nil {
			continue // not written by us
		}
		out = append(out, Member{Node: node, Incarnation: inc, Voter: s.Suffrage == raft.Voter})
	}
	return out
}

func (g *Group) leaderRaft() (*raft.Raft, error) {
	if err := g.down(); err != nil {
		return nil, err
	}
	r := g.raft.Load()
	if r == nil || g.leading() == 0 {
		return nil, ErrNotLeader
	}
	return r, nil
}

// await waits for a future within ctx. The change may happen after ctx ends.
func await(ctx context.Context, f raft.Future) error {
	ch := make(chan error, 1)
	go func() { ch <- f.Error() }()
	select {
	case err := <-ch:
		if errors.Is(err, raft.ErrNotLeader) {
			return fmt.Errorf("%w: %w", ErrNotLeader, err)
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", cluster.ErrUnavailable, ctx.Err())
	}
}

func patience(ctx context.Context) time.Duration {
	if d, ok := ctx.Deadline(); ok {
		return max(time.Until(d), time.Millisecond)
	}
	return opLimit
}

// AddNonvoter takes a node in without a vote. A node never enters as a voter:
// raft would count an empty log towards the majority at once.
func (g *Group) AddNonvoter(ctx context.Context, node cluster.NodeID, incarnation uint32) error {
	r, err := g.leaderRaft()
	if err != nil {
		return err
	}
	name := ServerName(node, incarnation)
	if s, ok := findNode(r.GetConfiguration().Configuration(), node); ok {
		if string(s.ID) == name {
			return nil
		}
		return fmt.Errorf("%w: the node is a member under another incarnation, remove that first", cluster.ErrRefused)
	}
	return await(ctx, r.AddNonvoter(raft.ServerID(name), raft.ServerAddress(name), 0, patience(ctx)))
}

// Promote makes a non-voter a voter, if it has caught up and has all bodies.
// risk allows a majority of voters that are not whole.
func (g *Group) Promote(ctx context.Context, node cluster.NodeID, risk bool) error {
	r, err := g.leaderRaft()
	if err != nil {
		return err
	}
	conf := r.GetConfiguration().Configuration()
	s, ok := findNode(conf, node)
	if !ok {
		return cluster.ErrNotMember
	}
	if s.Suffrage == raft.Voter {
		return nil
	}
	g.look(ctx)
	p, ok := g.health.get(node)
	if !ok || time.Since(p.at) > reportAge || p.server != s.ID {
		return fmt.Errorf("%w: it does not answer", ErrBehind)
	}
	if last := r.LastIndex(); p.last+promoteLag < last || p.applied+promoteLag < last || p.held {
		return fmt.Errorf("%w: at %d of %d", ErrBehind, p.applied, last)
	}
	if !p.whole && !risk {
		return fmt.Errorf("%w: it lacks bodies", ErrBehind)
	}
	next := conf.Clone()
	setSuffrage(&next, s.ID, raft.Voter)
	if err := g.wholeMajority(next, risk); err != nil {
		return err
	}
	return await(ctx, r.AddVoter(s.ID, s.Address, 0, patience(ctx)))
}

// Demote takes a node's vote.
func (g *Group) Demote(ctx context.Context, node cluster.NodeID, risk bool) error {
	r, s, err := g.leaving(ctx, node, risk)
	if err != nil || s.Suffrage != raft.Voter {
		return err
	}
	return await(ctx, r.DemoteVoter(s.ID, 0, patience(ctx)))
}

// Remove takes a node out of the group.
func (g *Group) Remove(ctx context.Context, node cluster.NodeID, risk bool) error {
	r, s, err := g.leaving(ctx, node, risk)
	if errors.Is(err, cluster.ErrNotMember) {
		return nil
	}
	if err != nil {
		return err
	}
	return await(ctx, r.RemoveServer(s.ID, 0, patience(ctx)))
}

func (g *Group) leaving(ctx context.Context, node cluster.NodeID, risk bool) (*raft.Raft, raft.Server, error) {
	r, err := g.leaderRaft()
	if err != nil {
		return nil, raft.Server{}, err
	}
	conf := r.GetConfiguration().Configuration()
	s, ok := findNode(conf, node)
	if !ok {
		return nil, s, cluster.ErrNotMember
	}
	if s.Suffrage == raft.Voter {
		if countVoters(conf) == 1 {
			return nil, s, fmt.Errorf("%w: the last voter", cluster.ErrQuorum)
		}
		g.look(ctx)
		next := conf.Clone()
		setSuffrage(&next, s.ID, raft.Nonvoter)
		if err := g.wholeMajority(next, risk); err != nil {
			return nil, s, err
		}
	}
	return r, s, nil
}

func setSuffrage(c *raft.Configuration, id raft.ServerID, to raft.ServerSuffrage) {
	for i := range c.Servers {
		if c.Servers[i].ID == id {
			c.Servers[i].Suffrage = to
		}
	}
}

// wholeMajority refuses a configuration without a majority of voters that
// answer and have every body (rule R12): what they hold would be lost with the
// next failure. risk allows it.
func (g *Group) wholeMajority(c raft.Configuration, risk bool) error {
	voters, whole := 0, 0
	for _, s := range c.Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if s.ID == g.self {
			if g.whole() {
				whole++
			}
		} else if p, ok := g.health.get(nodeOf(s.ID)); ok && time.Since(p.at) < reportAge && p.server == s.ID && p.whole {
			whole++
		}
	}
	if whole < voters/2+1 && !risk {
		return fmt.Errorf("%w: %d of %d voters would be whole", cluster.ErrQuorum, whole, voters)
	}
	return nil
}

// TransferLeadership hands the leadership to a node, or, with the zero id, to
// the voter that is most up to date.
func (g *Group) TransferLeadership(ctx context.Context, to cluster.NodeID) error {
	r, err := g.leaderRaft()
	if err != nil {
		return err
	}
	if to.IsZero() {
		return await(ctx, r.LeadershipTransfer())
	}
	s, ok := findNode(r.GetConfiguration().Configuration(), to)
	switch {
	case !ok:
		return cluster.ErrNotMember
	case s.Suffrage != raft.Voter:
		return fmt.Errorf("%w: that node has no vote", cluster.ErrRefused)
	case s.ID == g.self:
		return nil
	}
	return await(ctx, r.LeadershipTransferToServer(s.ID, s.Address))
}
