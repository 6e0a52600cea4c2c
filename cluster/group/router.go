package group

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"altmail.se/altmail/cluster"
)

// Router gives the calls between nodes to the group they name. One Router
// serves all groups of a node: every request begins with the group, 4 bytes.
type Router struct {
	peers cluster.Peers

	mu     sync.RWMutex
	groups map[cluster.GroupID]*Group
}

// NewRouter registers the methods of groups with peers. Call it before peers
// begins to serve.
func NewRouter(peers cluster.Peers) *Router {
	r := &Router{peers: peers, groups: make(map[cluster.GroupID]*Group)}
	r.handle(cluster.MethodForward, (*Group).handleForward)
	r.handle(cluster.MethodReadIndex, (*Group).handleReadIndex)
	r.handle(cluster.MethodConfirm, (*Group).handleConfirm)
	r.handle(cluster.MethodFetchState, (*Group).handleFetch)
	r.handle(cluster.MethodDigest, (*Group).handleDigest)
	r.handle(cluster.MethodNotice, (*Group).handleNotice)
	return r
}

func (r *Router) handle(m cluster.Method, h func(*Group, context.Context, cluster.NodeID, []byte) ([]byte, error)) {
	r.peers.Handle(m, func(ctx context.Context, from cluster.NodeID, req []byte) ([]byte, error) {
		if len(req) < 4 {
			return nil, fmt.Errorf("%w: %d bytes", errWire, len(req))
		}
		id := cluster.GroupID(binary.BigEndian.Uint32(req))
		r.mu.RLock()
		g := r.groups[id]
		r.mu.RUnlock()
		if g == nil {
			return nil, fmt.Errorf("group %s: %w", id, cluster.ErrNotMember)
		}
		return h(g, ctx, from, req[4:])
	})
}

func (r *Router) add(g *Group) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.groups[g.o.Group] != nil {
		return fmt.Errorf("group %s: open already", g.o.Group)
	}
	r.groups[g.o.Group] = g
	return nil
}

func (r *Router) remove(g *Group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.groups[g.o.Group] == g {
		delete(r.groups, g.o.Group)
	}
}

func (r *Router) call(ctx context.Context, g cluster.GroupID, to cluster.NodeID, m cluster.Method, req ...[]byte) ([]byte, error) {
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], uint32(g))
	parts := make([][]byte, 0, 1+len(req))
	return r.peers.Call(ctx, to, m, append(append(parts, head[:]), req...)...)
}
