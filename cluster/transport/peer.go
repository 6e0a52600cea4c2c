package transport

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"altmail.se/altmail/cluster"
)

// peer is what this node knows of another one.
type peer struct {
	id    cluster.NodeID
	lanes [lanes]laneConn

	lastContact atomic.Int64 // Unix nanoseconds, 0 for never
	rtt         atomic.Int64 // nanoseconds, of the newest ping
	sent        atomic.Uint64
	failed      atomic.Uint64
}

func (p *peer) seen(now time.Time) { p.lastContact.Store(now.UnixNano()) }

func (t *Transport) peer(id cluster.NodeID) *peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[id]
	if p == nil {
		p = &peer{id: id}
		t.peers[id] = p
	}
	return p
}

// laneConn keeps one connection to a peer, opened when it is needed.
type laneConn struct {
	mu      sync.Mutex
	conn    *clientConn
	dialing chan struct{} // closed when the attempt under way has ended
	failed  error         // of the last attempt
	retry   time.Time     // before which no other is made
	backoff time.Duration
}

// conn returns the connection of a lane, and opens it if need be. All who
// wait share one attempt. After a failed one, calls fail at once until the
// next is due.
func (t *Transport) conn(ctx context.Context, p *peer, ln lane) (*clientConn, error) {
	l := &p.lanes[ln]
	for {
		l.mu.Lock()
		if c := l.conn; c != nil {
			if !c.dead() {
				l.mu.Unlock()
				return c, nil
			}
			l.conn = nil
		}
		if l.dialing == nil {
			if l.failed != nil && time.Now().Before(l.retry) {
				err := l.failed
				l.mu.Unlock()
				return nil, err
			}
			done := make(chan struct{})
			l.dialing = done
			if !t.spawn(func() { t.open(p, ln, done) }) {
				l.dialing = nil
				l.mu.Unlock()
				return nil, cluster.ErrStopped
			}
		}
		done := l.dialing
		l.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// open makes one attempt to connect.
func (t *Transport) open(p *peer, ln lane, done chan struct{}) {
	ctx, cancel := context.WithTimeout(t.ctx, dialTimeout)
	c, err := t.newClientConn(ctx, p, ln)
	cancel()
	l := &p.lanes[ln]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialing = nil
	l.conn, l.failed = c, err
	if err != nil {
		l.backoff = min(max(2*l.backoff, backoffMin), backoffMax)
		l.retry = time.Now().Add(l.backoff/2 + rand.N(l.backoff/2))
	} else {
		l.backoff = 0
	}
	close(done)
}

// PeerStats describes the contact with one node.
type PeerStats struct {
	ID cluster.NodeID
	// LastContact is when anything was last heard on an RPC connection; zero
	// for never. While one is open it is a few seconds old at most.
	LastContact time.Time
	RTT         time.Duration // of the newest ping; 0 if there was none
	Connected   bool          // our control connection is open
	Calls       uint64        // made to it
	Failed      uint64        // of those, with any error
}

// Stats describes the port.
type Stats struct {
	Accepted, Refused uint64 // connections others opened
	Open              int    // connections in both directions
	Serving           int64  // handlers running
	Peers             []PeerStats
}

// Stats returns the present numbers.
func (t *Transport) Stats() Stats {
	s := Stats{Accepted: t.accepted.Load(), Refused: t.refused.Load(), Serving: t.running.n.Load()}
	t.mu.Lock()
	s.Open = len(t.conns)
	peers := make([]*peer, 0, len(t.peers))
	for _, p := range t.peers {
		peers = append(peers, p)
	}
	t.mu.Unlock()
	for _, p := range peers {
		s.Peers = append(s.Peers, p.stats())
	}
	return s
}

// Peer returns the numbers of one node.
func (t *Transport) Peer(id cluster.NodeID) PeerStats {
	t.mu.Lock()
	p := t.peers[id]
	t.mu.Unlock()
	if p == nil {
		return PeerStats{ID: id}
	}
	return p.stats()
}

func (p *peer) stats() PeerStats {
	s := PeerStats{ID: p.id, RTT: time.Duration(p.rtt.Load()), Calls: p.sent.Load(), Failed: p.failed.Load()}
	if ns := p.lastContact.Load(); ns != 0 {
		s.LastContact = time.Unix(0, ns)
	}
	l := &p.lanes[laneControl]
	l.mu.Lock()
	s.Connected = l.conn != nil && !l.conn.dead()
	l.mu.Unlock()
	return s
}
