package grouptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// Net is a network of nodes in one process. Streams are loopback TCP, calls are
// function calls; both can be cut between two nodes.
type Net struct {
	mu    sync.Mutex
	nodes map[cluster.NodeID]*Node
	cut   map[[2]cluster.NodeID]bool
	conns map[*conn][2]cluster.NodeID
}

// NewNet returns a network without nodes.
func NewNet() *Net {
	return &Net{nodes: map[cluster.NodeID]*Node{}, cut: map[[2]cluster.NodeID]bool{}, conns: map[*conn][2]cluster.NodeID{}}
}

// Node is one node on a Net; it implements cluster.Peers.
type Node struct {
	n  *Net
	id cluster.NodeID

	mu       sync.Mutex
	handlers map[cluster.Method]cluster.Handler
	streams  map[cluster.GroupID]*stream
	down     bool
}

var errCut = errors.New("grouptest: no way there")

// Node makes a node, or a fresh one in place of the one with this id.
func (n *Net) Node(id cluster.NodeID) *Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	x := &Node{n: n, id: id, handlers: map[cluster.Method]cluster.Handler{}, streams: map[cluster.GroupID]*stream{}}
	n.nodes[id] = x
	return x
}

func pair(a, b cluster.NodeID) [2]cluster.NodeID { return [2]cluster.NodeID{a, b} }

// Cut stops everything from a to b; both directions are two cuts.
func (n *Net) Cut(a, b cluster.NodeID) {
	n.mu.Lock()
	n.cut[pair(a, b)] = true
	var drop []*conn
	for c, p := range n.conns {
		if p == pair(a, b) || p == pair(b, a) {
			drop = append(drop, c)
		}
	}
	n.mu.Unlock()
	for _, c := range drop {
		c.Conn.Close()
	}
}

// Isolate cuts a node from all others, both ways.
func (n *Net) Isolate(a cluster.NodeID) {
	for _, b := range n.ids() {
		if b != a {
			n.Cut(a, b)
			n.Cut(b, a)
		}
	}
}

// Heal ends all cuts.
func (n *Net) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
}

func (n *Net) ids() (ids []cluster.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id := range n.nodes {
		ids = append(ids, id)
	}
	return ids
}

func (n *Net) reach(a, b cluster.NodeID) *Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut[pair(a, b)] {
		return nil
	}
	return n.nodes[b]
}

// Down makes the node answer nothing, as after a kill.
func (x *Node) Down() {
	x.mu.Lock()
	x.down = true
	streams := make([]*stream, 0, len(x.streams))
	for _, s := range x.streams {
		streams = append(streams, s)
	}
	x.mu.Unlock()
	for _, s := range streams {
		s.Close()
	}
	x.n.mu.Lock()
	var drop []*conn
	for c, p := range x.n.conns {
		if p[0] == x.id || p[1] == x.id {
			drop = append(drop, c)
		}
	}
	x.n.mu.Unlock()
	for _, c := range drop {
		c.Conn.Close()
	}
}

// Self implements cluster.Peers.
func (x *Node) Self() cluster.NodeID { return x.id }

// Handle implements cluster.Peers.
func (x *Node) Handle(m cluster.Method, h cluster.Handler) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.handlers[m] = h
}

// Call implements cluster.Peers.
func (x *Node) Call(ctx context.Context, to cluster.NodeID, m cluster.Method, req ...[]byte) ([]byte, error) {
	y := x.n.reach(x.id, to)
	x.mu.Lock()
	down := x.down
	x.mu.Unlock()
	if y == nil || down {
		return nil, errCut
	}
	y.mu.Lock()
	h := y.handlers[m]
	if y.down {
		h = nil
	}
	y.mu.Unlock()
	if h == nil {
		return nil, errCut
	}
	type result struct {
		b   []byte
		err error
	}
	ch := make(chan result, 1)
	go func() {
		buf := bytes.Join(req, nil)
		b, err := h(ctx, x.id, buf)
		clear(buf) // the request is valid only during the call
		ch <- result{b, err}
	}()
	select {
	case r := <-ch:
		if x.n.reach(to, x.id) == nil {
			return nil, errCut // it happened, but the answer is lost
		}
		return r.b, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// stream is the StreamLayer of one group on a node.
type stream struct {
	net.Listener
	x     *Node
	group cluster.GroupID
}

type conn struct {
	net.Conn
	n *Net
}

func (c *conn) Close() error {
	c.n.mu.Lock()
	delete(c.n.conns, c)
	c.n.mu.Unlock()
	return c.Conn.Close()
}

// Stream opens the stream layer of a group on this node.
func (x *Node) Stream(g cluster.GroupID) (raft.StreamLayer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &stream{Listener: l, x: x, group: g}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.streams[g] = s
	return s, nil
}

func (s *stream) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	text, _, _ := strings.Cut(string(addr), ".")
	id, err := cluster.ParseNodeID(text)
	if err != nil {
		return nil, err
	}
	y := s.x.n.reach(s.x.id, id)
	if y == nil || s.x.n.reach(id, s.x.id) == nil {
		return nil, errCut
	}
	y.mu.Lock()
	t := y.streams[s.group]
	if y.down {
		t = nil
	}
	y.mu.Unlock()
	if t == nil {
		return nil, fmt.Errorf("%w: group %s", errCut, s.group)
	}
	raw, err := net.DialTimeout("tcp", t.Addr().String(), timeout)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, n: s.x.n}
	s.x.n.mu.Lock()
	s.x.n.conns[c] = pair(s.x.id, id)
	cut := s.x.n.cut[pair(s.x.id, id)] || s.x.n.cut[pair(id, s.x.id)]
	s.x.n.mu.Unlock()
	s.x.mu.Lock()
	cut = cut || s.x.down
	s.x.mu.Unlock()
	y.mu.Lock()
	cut = cut || y.down
	y.mu.Unlock()
	if cut { // meanwhile
		return nil, errors.Join(errCut, c.Close())
	}
	return c, nil
}

// Keys are log keys of one epoch, the same for a given seed.
type Keys byte

// LogKey returns epoch 1.
func (k Keys) LogKey() (uint32, *[32]byte) {
	var key [32]byte
	for i := range key {
		key[i] = byte(k) + byte(i)
	}
	return 1, &key
}

// LogKeyAt returns the key of epoch 1.
func (k Keys) LogKeyAt(epoch uint32) (*[32]byte, error) {
	if epoch != 1 {
		return nil, fmt.Errorf("grouptest: no key of epoch %d", epoch)
	}
	_, key := k.LogKey()
	return key, nil
}
