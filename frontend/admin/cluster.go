package admin

import (
	"context"
	"fmt"
	"sort"
	"time"

	"connectrpc.com/connect"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/member"
	"altmail.se/altmail/frontend/admin/adminpb"
)

// changeTimeout bounds a membership change, the waiting included.
const changeTimeout = 60 * time.Second

// ClusterStatus tells what this node knows and what the others answer; it
// needs no leader.
func (s *Server) ClusterStatus(ctx context.Context, _ *connect.Request[adminpb.ClusterStatusRequest]) (*connect.Response[adminpb.ClusterStatusResponse], error) {
	m := s.c.Members
	id := m.Local.Identity()
	out := &adminpb.ClusterStatusResponse{Cluster: id.Cluster, Self: m.Self.String()}
	nodes, err := m.Roster.Nodes()
	if err != nil {
		return nil, fail(err)
	}
	if len(nodes) == 0 {
		nodes = id.Peers
		out.Problems = append(out.Problems, "the directory has not arrived at this node yet")
	}
	reports := m.Reports(ctx)
	if _, ok := reports[m.Self]; !ok {
		if reports == nil {
			reports = map[cluster.NodeID]member.NodeReport{}
		}
		reports[m.Self] = m.Report()
	}
	names := map[cluster.NodeID]string{}
	byNode := map[cluster.NodeID]*adminpb.NodeStatus{}
	for _, n := range nodes {
		rep, up := reports[n.ID]
		ns := &adminpb.NodeStatus{Id: n.ID.String(), Name: n.Name, Address: n.Address, Reachable: up, Leaving: n.Leaving, Whole: up, Version: rep.Version}
		for _, g := range rep.Groups {
			ns.Whole = ns.Whole && g.Whole
			if g.Leads {
				ns.Leads++
			}
			if g.Alarm != "" {
				out.Problems = append(out.Problems, fmt.Sprintf("node %s, group %s: %s", n.Name, g.Group, g.Alarm))
			}
		}
		if !up {
			out.Problems = append(out.Problems, fmt.Sprintf("node %s does not answer", n.Name))
		} else if !ns.Whole {
			out.Problems = append(out.Problems, fmt.Sprintf("node %s does not hold every body yet", n.Name))
		}
		names[n.ID] = n.Name
		byNode[n.ID] = ns
		out.Nodes = append(out.Nodes, ns)
	}
	sort.Slice(out.Nodes, func(i, j int) bool { return out.Nodes[i].Name < out.Nodes[j].Name })
	for _, r := range m.Host.Replicas() {
		g, err := groupStatus(r, reports)
		if err != nil {
			return nil, fail(err)
		}
		if g.Leader == "" {
			out.Problems = append(out.Problems, fmt.Sprintf("group %d has no leader", g.Group))
		}
		in := map[string]bool{}
		for _, p := range g.Replicas {
			in[p.Node] = true
			node, err := cluster.ParseNodeID(p.Node)
			if err != nil {
				return nil, fail(err)
			}
			if ns := byNode[node]; ns != nil && p.Voter {
				ns.VoterIn++
			}
			if !p.Voter {
				out.Problems = append(out.Problems, fmt.Sprintf("group %d: node %s is no voter yet", g.Group, names[node]))
			}
		}
		for _, n := range out.Nodes {
			if !in[n.Id] && !n.Leaving {
				out.Problems = append(out.Problems, fmt.Sprintf("group %d: node %s holds no replica yet", g.Group, n.Name))
			}
		}
		out.Groups = append(out.Groups, g)
	}
	sort.Slice(out.Groups, func(i, j int) bool { return out.Groups[i].Group < out.Groups[j].Group })
	want, err := m.Roster.Groups()
	if err != nil {
		return nil, fail(err)
	}
	if id.Seed != nil || len(out.Groups) < len(want)+1 || len(want) == 0 {
		out.Problems = append(out.Problems, "not all groups run here yet")
	}
	out.Healthy = len(out.Problems) == 0
	return connect.NewResponse(out), nil
}

func groupStatus(r member.Replica, reports map[cluster.NodeID]member.NodeReport) (*adminpb.GroupStatus, error) {
	own := r.Report()
	g := &adminpb.GroupStatus{Group: uint32(r.ID()), Term: own.Term, Commit: own.Commit}
	if l, ok := r.Leader(); ok {
		g.Leader = l.String()
	}
	servers, err := r.Servers()
	if err != nil {
		return nil, err
	}
	for _, rep := range reports {
		for _, gr := range rep.Groups {
			if gr.Group == r.ID() {
				g.Commit = max(g.Commit, gr.Commit)
				g.Term = max(g.Term, gr.Term)
			}
		}
	}
	for _, sv := range servers {
		p := &adminpb.ReplicaStatus{Node: sv.Node.String(), Voter: sv.Voter}
		if rep, ok := reports[sv.Node]; ok {
			for _, gr := range rep.Groups {
				if gr.Group == r.ID() && gr.ServerID == sv.ID {
					p.Reachable, p.Whole, p.Applied = true, gr.Whole, gr.Applied
					p.Lag = g.Commit - min(g.Commit, gr.Applied)
				}
			}
		}
		g.Replicas = append(g.Replicas, p)
	}
	sort.Slice(g.Replicas, func(i, j int) bool { return g.Replicas[i].Node < g.Replicas[j].Node })
	return g, nil
}

// CreateToken makes a one-time join token.
func (s *Server) CreateToken(ctx context.Context, r *connect.Request[adminpb.CreateTokenRequest]) (*connect.Response[adminpb.CreateTokenResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tok, expires, err := s.c.Members.NewToken(ctx, time.Duration(r.Msg.TtlSeconds)*time.Second)
	if err != nil {
		return nil, fail(err)
	}
	return connect.NewResponse(&adminpb.CreateTokenResponse{Token: tok.Text(), Expires: expires.Unix()}), nil
}

// Leave takes this node out of the cluster and stops it.
func (s *Server) Leave(ctx context.Context, r *connect.Request[adminpb.LeaveRequest]) (*connect.Response[adminpb.LeaveResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	if err := s.c.Members.Leave(ctx, r.Msg.AcceptRisk); err != nil {
		return nil, fail(err)
	}
	s.c.Left()
	return connect.NewResponse(&adminpb.LeaveResponse{}), nil
}

// Evict takes another node out of the cluster.
func (s *Server) Evict(ctx context.Context, r *connect.Request[adminpb.EvictRequest]) (*connect.Response[adminpb.EvictResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	n, err := s.c.Members.Evict(ctx, r.Msg.Node, r.Msg.Stolen, r.Msg.AcceptRisk)
	if err != nil {
		return nil, fail(err)
	}
	return connect.NewResponse(&adminpb.EvictResponse{Node: n.Name}), nil
}

// Transfer hands leadership over.
func (s *Server) Transfer(ctx context.Context, r *connect.Request[adminpb.TransferRequest]) (*connect.Response[adminpb.TransferResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	var g *cluster.GroupID
	if r.Msg.Group != nil {
		id := cluster.GroupID(*r.Msg.Group)
		g = &id
	}
	moved, err := s.c.Members.Transfer(ctx, g, r.Msg.Node)
	if err != nil {
		return nil, fail(err)
	}
	out := &adminpb.TransferResponse{}
	for _, id := range moved {
		out.Groups = append(out.Groups, uint32(id))
	}
	return connect.NewResponse(out), nil
}

// CompareReplicas compares the digests of all replicas at one index a group.
func (s *Server) CompareReplicas(ctx context.Context, _ *connect.Request[adminpb.CompareReplicasRequest]) (*connect.Response[adminpb.CompareReplicasResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	all, err := s.c.Members.Digests(ctx)
	if err != nil {
		return nil, fail(err)
	}
	out := &adminpb.CompareReplicasResponse{Equal: true}
	for _, d := range all {
		out.Equal = out.Equal && d.Equal()
		out.Groups = append(out.Groups, &adminpb.CompareReplicasResponse_Group{
			Group: uint32(d.Group), Index: d.Index, Equal: d.Equal(),
			Agree: uint32(d.Agree), Differ: uint32(d.Differ), Unknown: uint32(d.Unknown),
		})
	}
	return connect.NewResponse(out), nil
}
