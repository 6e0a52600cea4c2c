package node

import (
	"context"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/group"
	"altmail.se/altmail/cluster/member"
)

// replica is a group as membership needs it.
type replica struct {
	*group.Group
	inc     uint32
	self    cluster.NodeID
	machine cluster.Machine
}

var _ member.Replica = (*replica)(nil)

func (r *replica) ServerID() string { return group.ServerName(r.self, r.inc) }

func (r *replica) Servers() ([]member.Server, error) {
	var out []member.Server
	for _, m := range r.Configuration() {
		out = append(out, member.Server{ID: group.ServerName(m.Node, m.Incarnation), Node: m.Node, Voter: m.Voter})
	}
	return out, nil
}

func (r *replica) AddNonvoter(ctx context.Context, serverID string) error {
	node, inc, err := group.ParseServer(serverID)
	if err != nil {
		return err
	}
	return r.Group.AddNonvoter(ctx, node, inc)
}

func (r *replica) Promote(ctx context.Context, serverID string) error {
	node, _, err := group.ParseServer(serverID)
	if err != nil {
		return err
	}
	return r.Group.Promote(ctx, node, false)
}

// Remove takes a replica out. The risk was judged, or accepted, when the node
// was taken off the roster.
func (r *replica) Remove(ctx context.Context, serverID string) error {
	node, _, err := group.ParseServer(serverID)
	if err != nil {
		return err
	}
	return r.Group.Remove(ctx, node, true)
}

func (r *replica) Transfer(ctx context.Context, to cluster.NodeID) error {
	return r.TransferLeadership(ctx, to)
}

func (r *replica) Report() member.GroupReport {
	s := r.Status()
	rep := member.GroupReport{
		Group: s.Group, ServerID: r.ServerID(), Leads: s.Serving,
		Term: s.Term, Commit: s.Commit, Applied: s.Applied, Whole: s.Whole,
		First: s.First, Last: s.Last,
	}
	if !s.Leader.IsZero() {
		rep.Leader = s.Leader.String()
	}
	switch {
	case s.Failed != nil:
		rep.Alarm = "the group has stopped on this node: " + s.Failed.Error()
	case s.ReadOnly:
		rep.Alarm = "no state has a majority: read-only"
	case s.Repairing:
		rep.Alarm = "the state differs from the majority's and is being replaced"
	}
	return rep
}

func (r *replica) CheckDigests(ctx context.Context) (member.DigestReport, error) {
	if err := r.Check(ctx); err != nil {
		return member.DigestReport{}, err
	}
	c := r.Status().Check
	return member.DigestReport{Group: r.ID(), Index: c.Index, Agree: c.Agree, Differ: c.Differ, Unknown: c.Unknown}, nil
}
