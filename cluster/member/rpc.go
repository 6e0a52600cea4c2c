package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"altmail.se/altmail/cluster"
)

// Membership calls are few and small, so they are JSON: an object with the
// name of the operation and its argument, answered by the operation's value.
type request struct {
	Op  string          `json:"op"`
	Arg json.RawMessage `json:"arg,omitempty"`
}

// NodeReport is what a node says of itself.
type NodeReport struct {
	Node    cluster.NodeID `json:"node"`
	Name    string         `json:"name"`
	Version string         `json:"version"`
	Level   uint32         `json:"level"`
	Groups  []GroupReport  `json:"groups"`
}

func (r NodeReport) group(g cluster.GroupID) (GroupReport, bool) {
	for _, x := range r.Groups {
		if x.Group == g {
			return x, true
		}
	}
	return GroupReport{}, false
}

// Report says what this node hosts.
func (m *Manager) Report() NodeReport {
	r := NodeReport{Node: m.Self, Name: m.Local.Identity().Name, Version: m.Version, Level: m.Level}
	for _, g := range m.Host.Replicas() {
		r.Groups = append(r.Groups, g.Report())
	}
	return r
}

// call runs an operation on a node, this one included.
func (m *Manager) call(ctx context.Context, to cluster.NodeID, op string, arg, out any) error {
	req := request{Op: op}
	if arg != nil {
		b, err := json.Marshal(arg)
		if err != nil {
			return err
		}
		req.Arg = b
	}
	b, err := json.Marshal(req)
	if err != nil {
		return err
	}
	var resp []byte
	if to == m.Self {
		resp, err = m.serve(ctx, m.Self, b)
	} else {
		resp, err = m.Peers.Call(ctx, to, cluster.MethodMember, b)
	}
	if err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(resp, out)
}

// serve answers membership calls of other members.
func (m *Manager) serve(ctx context.Context, from cluster.NodeID, req []byte) ([]byte, error) {
	var r request
	if err := json.Unmarshal(req, &r); err != nil {
		return nil, fmt.Errorf("member: bad request: %w", err)
	}
	var out any
	switch r.Op {
	case "report":
		out = m.Report()
	case "listed":
		var id cluster.NodeID
		if err := json.Unmarshal(r.Arg, &id); err != nil {
			return nil, err
		}
		if err := m.Roster.Sync(ctx); err != nil {
			return nil, err
		}
		nodes, err := m.Roster.Nodes()
		if err != nil {
			return nil, err
		}
		_, ok := find(nodes, id)
		out = ok
	case "transfer":
		var a transferArg
		if err := json.Unmarshal(r.Arg, &a); err != nil {
			return nil, err
		}
		g, ok := m.Host.Replica(a.Group)
		if !ok || !g.IsLeader() {
			return nil, cluster.ErrRefused
		}
		if err := g.Transfer(ctx, a.To); err != nil {
			return nil, err
		}
	case "hold":
		var groups []cluster.GroupID
		if err := json.Unmarshal(r.Arg, &groups); err != nil {
			return nil, err
		}
		m.hold(groups)
	case "digests":
		var id cluster.GroupID
		if err := json.Unmarshal(r.Arg, &id); err != nil {
			return nil, err
		}
		g, ok := m.Host.Replica(id)
		if !ok || !g.IsLeader() {
			return nil, cluster.ErrRefused
		}
		d, err := g.CheckDigests(ctx)
		if err != nil {
			return nil, err
		}
		out = d
	case "counts":
		var a countsArg
		if err := json.Unmarshal(r.Arg, &a); err != nil {
			return nil, err
		}
		g, ok := m.Host.Replica(a.Group)
		if !ok || !g.IsLeader() {
			return nil, cluster.ErrRefused
		}
		servers, err := g.Servers()
		if err != nil {
			return nil, err
		}
		out = slices.ContainsFunc(servers, func(s Server) bool { return s.Node == a.Node })
	case "goodbye":
		// Only a node that said it is leaving can be taken off by its own word.
		nodes, err := m.Roster.Nodes()
		if err != nil {
			return nil, err
		}
		if n, ok := find(nodes, from); !ok || !n.Leaving {
			return nil, cluster.ErrRefused
		}
		if err := m.Roster.RemoveNode(ctx, from, false); err != nil {
			return nil, err
		}
		m.Kick()
	default:
		return nil, errors.New("member: unknown operation")
	}
	return json.Marshal(out)
}

type transferArg struct {
	Group cluster.GroupID `json:"group"`
	To    cluster.NodeID  `json:"to"`
}
