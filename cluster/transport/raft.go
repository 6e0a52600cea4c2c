package transport

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// raftHead is what a Raft connection begins with: the group, big endian.
const raftHead = 4

// raftBacklog is how many accepted connections may wait for a group.
const raftBacklog = 64

// RaftLayer returns the stream layer of a group for raft.NetworkTransport.
// Its addresses are node ids in text, with an optional suffix from the first
// '.', which is ignored. Each connection belongs to one group, so that no
// group's heartbeats wait for another's appends. One layer is open for a
// group at a time: asking again closes the former.
func (t *Transport) RaftLayer(group cluster.GroupID) raft.StreamLayer {
	l := &raftLayer{t: t, group: group, conns: make(chan net.Conn, raftBacklog), done: make(chan struct{})}
	t.mu.Lock()
	old := t.groups[group]
	t.groups[group] = l
	closed := t.closed
	t.mu.Unlock()
	if old != nil {
		old.end()
	}
	if closed {
		l.end()
	}
	return l
}

type raftLayer struct {
	t     *Transport
	group cluster.GroupID
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

var _ raft.StreamLayer = (*raftLayer)(nil)

// raftAddr is the address raft knows a node by.
type raftAddr string

func (raftAddr) Network() string  { return "altmail" }
func (a raftAddr) String() string { return string(a) }

// Addr returns this node's id.
func (l *raftLayer) Addr() net.Addr { return raftAddr(l.t.cfg.Self.String()) }

// Dial connects to the group on another node.
func (l *raftLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	text, _, _ := strings.Cut(string(address), ".")
	id, err := cluster.ParseNodeID(text)
	if err != nil {
		return nil, err
	}
	select {
	case <-l.done:
		return nil, fmt.Errorf("transport: group %s: %w", l.group, cluster.ErrStopped)
	default:
	}
	ctx, cancel := context.WithTimeout(l.t.ctx, min(timeout, handshakeTimeout))
	defer cancel()
	sc, err := l.t.dial(ctx, id, alpnRaft)
	if err != nil {
		return nil, err
	}
	return &raftConn{secureConn: sc, t: l.t, head: binary.BigEndian.AppendUint32(nil, uint32(l.group))}, nil
}

// Accept waits for a connection of this group from another node.
func (l *raftLayer) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, fmt.Errorf("transport: group %s: %w", l.group, net.ErrClosed)
	}
}

// Close ends Accept and Dial. Connections handed out live on until raft
// closes them.
func (l *raftLayer) Close() error {
	l.t.mu.Lock()
	if l.t.groups[l.group] == l {
		delete(l.t.groups, l.group)
	}
	l.t.mu.Unlock()
	l.end()
	return nil
}

func (l *raftLayer) end() {
	l.once.Do(func() { close(l.done) })
	for {
		select {
		case c := <-l.conns:
			l.t.discard(c)
		default:
			return
		}
	}
}

// serveRaft gives an accepted connection to its group.
func (t *Transport) serveRaft(sc *secureConn) {
	var head [raftHead]byte
	err := sc.SetReadDeadline(time.Now().Add(handshakeTimeout))
	if err == nil {
		_, err = io.ReadFull(sc, head[:])
	}
	if err == nil {
		err = sc.SetReadDeadline(time.Time{})
	}
	if err != nil {
		t.drop(sc)
		return
	}
	group := cluster.GroupID(binary.BigEndian.Uint32(head[:]))
	t.mu.Lock()
	l := t.groups[group]
	t.mu.Unlock()
	if l == nil {
		t.log.warn("raft connection for a group not on this node", "node", sc.peer.String(), "group", group.String())
		t.drop(sc)
		return
	}
	c := &raftConn{secureConn: sc, t: t}
	select {
	case l.conns <- c:
	default: // the group does not accept: raft on the other side will retry
		t.drop(sc)
		return
	}
	select {
	case <-l.done:
		l.end() // it may have ended between the look-up and the hand-over
	default:
	}
}

// raftConn is a connection of one group. The group's number goes out with the
// first bytes raft writes.
type raftConn struct {
	*secureConn
	t    *Transport
	head []byte
}

// Peer returns the node at the other end.
func (c *raftConn) Peer() cluster.NodeID { return c.peer }

func (c *raftConn) Write(p []byte) (int, error) {
	if len(c.head) == 0 {
		return c.secureConn.Write(p)
	}
	n, err := c.secureConn.Write(append(c.head, p...))
	n = max(0, n-len(c.head))
	c.head = nil
	return n, err
}

func (c *raftConn) RemoteAddr() net.Addr { return raftAddr(c.peer.String()) }

func (c *raftConn) Close() error {
	c.t.forget(c.secureConn)
	return c.secureConn.Close()
}
