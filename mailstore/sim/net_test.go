package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/transport"
)

// network joins the nodes of one schedule. Calls take their own way each, so
// that they overtake each other, and either half of one may get lost; streams
// keep their order, lose nothing, and stall or break when the way is cut.
type network struct {
	mu     sync.Mutex
	rng    *rand.Rand
	ports  map[cluster.NodeID]*port
	cut    map[[2]cluster.NodeID]bool
	conns  map[*conn]struct{}
	delay  time.Duration // the least
	jitter time.Duration
	loss   float64
}

func newNetwork(seed uint64) *network {
	return &network{
		rng: rand.New(rand.NewPCG(seed, 1)), ports: map[cluster.NodeID]*port{},
		cut: map[[2]cluster.NodeID]bool{}, conns: map[*conn]struct{}{}, delay: 200 * time.Microsecond,
	}
}

var errLost = errors.New("sim: the connection broke")

const (
	lostCall   = 3 * time.Second // until a caller without a deadline notices
	retransmit = 200 * time.Millisecond
)

// way says how a message from a to b fares.
func (n *network) way(a, b cluster.NodeID) (took time.Duration, arrives bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	took = n.delay
	if n.jitter > 0 {
		took += time.Duration(n.rng.Int64N(int64(n.jitter)))
	}
	return took, !n.cut[[2]cluster.NodeID{a, b}] && n.rng.Float64() >= n.loss
}

func (n *network) chance(p float64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rng.Float64() < p
}

func (n *network) set(delay, jitter time.Duration, loss float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay, n.jitter, n.loss = delay, jitter, loss
}

func (n *network) port(id cluster.NodeID) *port {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ports[id]
}

// split cuts the way from a to b. Streams between them break or stall.
func (n *network) split(a, b cluster.NodeID) {
	n.mu.Lock()
	n.cut[[2]cluster.NodeID{a, b}] = true
	var broken []*conn
	for c := range n.conns {
		if c.between(a, b) && n.rng.IntN(2) == 0 {
			broken = append(broken, c)
		}
	}
	n.mu.Unlock()
	for _, c := range broken {
		c.Close()
	}
}

func (n *network) heal() {
	n.mu.Lock()
	clear(n.cut)
	all := make([]*conn, 0, len(n.conns))
	for c := range n.conns {
		all = append(all, c)
	}
	n.mu.Unlock()
	for _, c := range all {
		c.out.release(time.Now().Add(retransmit))
	}
}

func (n *network) isCut(a, b cluster.NodeID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut[[2]cluster.NodeID{a, b}]
}

// port is one running process on the network; it implements cluster.Peers.
type port struct {
	n      *network
	id     cluster.NodeID
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	down     bool
	handlers map[cluster.Method]cluster.Handler
	layers   map[cluster.GroupID]*layer
}

// open makes the port of a process that starts.
func (n *network) open(id cluster.NodeID) *port {
	p := &port{n: n, id: id, handlers: map[cluster.Method]cluster.Handler{}, layers: map[cluster.GroupID]*layer{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	n.mu.Lock()
	n.ports[id] = p
	n.mu.Unlock()
	return p
}

func (p *port) isDown() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.down
}

// kill lets nothing out of the process and nothing into it from here on.
func (p *port) kill() {
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
}

// close ends what runs in the port, after a kill.
func (p *port) close() {
	p.kill()
	p.cancel()
	p.n.mu.Lock()
	var drop []*conn
	for c := range p.n.conns {
		if c.from == p || c.to == p {
			drop = append(drop, c)
		}
	}
	p.n.mu.Unlock()
	for _, c := range drop {
		c.Close()
	}
	p.mu.Lock()
	layers := p.layers
	p.mu.Unlock()
	for _, l := range layers {
		l.Close()
	}
}

// wait returns when no handler runs any more, after close.
func (p *port) wait() { p.wg.Wait() }

func (p *port) Self() cluster.NodeID { return p.id }

func (p *port) Handle(m cluster.Method, h cluster.Handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handlers[m] = h
}

// begin counts a handler that starts, unless the process is down.
func (p *port) begin(m cluster.Method) (cluster.Handler, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.handlers[m]
	if p.down {
		return nil, false
	}
	p.wg.Add(1)
	return h, true
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *port) Call(ctx context.Context, to cluster.NodeID, m cluster.Method, parts ...[]byte) ([]byte, error) {
	req := bytes.Join(parts, nil)
	lost := func(where string) error {
		if err := pause(ctx, lostCall); err != nil {
			return fmt.Errorf("%w: %w", transport.ErrUnknown, err)
		}
		return fmt.Errorf("%w: %w: %s", transport.ErrUnknown, errLost, where)
	}
	if p.isDown() {
		return nil, fmt.Errorf("%w: %w", transport.ErrNotSent, cluster.ErrStopped)
	}
	took, arrives := p.n.way(p.id, to)
	if p.n.isCut(p.id, to) && p.n.chance(0.5) {
		return nil, fmt.Errorf("%w: no way there", transport.ErrNotSent)
	}
	if err := pause(ctx, took); err != nil {
		return nil, fmt.Errorf("%w: %w", transport.ErrUnknown, err)
	}
	if !arrives {
		return nil, lost("request")
	}
	q := p.n.port(to)
	if q == nil || q.isDown() {
		return nil, fmt.Errorf("%w: nobody listens", transport.ErrNotSent)
	}
	type answer struct {
		b   []byte
		err error
	}
	ch := make(chan answer, 1)
	h, ok := q.begin(m)
	if !ok {
		return nil, fmt.Errorf("%w: nobody listens", transport.ErrNotSent)
	}
	left := lostCall
	if d, ok := ctx.Deadline(); ok {
		left = time.Until(d)
	}
	go func() {
		defer q.wg.Done()
		if h == nil {
			ch <- answer{nil, transport.ErrNoMethod}
			return
		}
		hctx, cancel := context.WithTimeout(q.ctx, left)
		defer cancel()
		b, err := h(hctx, p.id, req)
		b = bytes.Clone(b)
		clear(req) // it is valid only during the call
		ch <- answer{b, err}
	}()
	select {
	case a := <-ch:
		took, arrives := p.n.way(to, p.id)
		if q.isDown() {
			return nil, fmt.Errorf("%w: %w", transport.ErrUnknown, errLost)
		}
		if !arrives {
			return nil, lost("answer")
		}
		if err := pause(ctx, took); err != nil {
			return nil, fmt.Errorf("%w: %w", transport.ErrUnknown, err)
		}
		if p.isDown() {
			return nil, fmt.Errorf("%w: %w", transport.ErrUnknown, errLost)
		}
		return a.b, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", transport.ErrUnknown, ctx.Err())
	}
}

// layer is the raft.StreamLayer of one group on a port.
type layer struct {
	p      *port
	accept chan *conn
	over   chan struct{}
	once   sync.Once
}

func (p *port) layer(g cluster.GroupID) *layer {
	l := &layer{p: p, accept: make(chan *conn), over: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.layers[g] = l
	return l
}

func (l *layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (l *layer) Close() error {
	l.once.Do(func() { close(l.over) })
	return nil
}

type simAddr string

func (a simAddr) Network() string { return "sim" }
func (a simAddr) String() string  { return string(a) }

func (l *layer) Addr() net.Addr { return simAddr(l.p.id.String()) }

// group finds the layer's own number; there is one group on the network.
func (p *port) only() *layer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return nil
	}
	for _, l := range p.layers {
		return l
	}
	return nil
}

func (l *layer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	text, _, _ := strings.Cut(string(addr), ".")
	id, err := cluster.ParseNodeID(text)
	if err != nil {
		return nil, err
	}
	n := l.p.n
	took, _ := n.way(l.p.id, id)
	if n.isCut(l.p.id, id) || n.isCut(id, l.p.id) {
		took = timeout / 4 // until it gives up
	}
	if err := pause(l.p.ctx, took); err != nil {
		return nil, err
	}
	q := n.port(id)
	if l.p.isDown() || q == nil || n.isCut(l.p.id, id) || n.isCut(id, l.p.id) {
		return nil, errLost
	}
	there := q.only()
	if there == nil {
		return nil, errLost
	}
	up, back := newPipe(), newPipe()
	a := &conn{n: n, from: l.p, to: q, in: back, out: up}
	b := &conn{n: n, from: q, to: l.p, in: up, out: back}
	a.peer, b.peer = b, a
	n.mu.Lock()
	n.conns[a], n.conns[b] = struct{}{}, struct{}{}
	n.mu.Unlock()
	select {
	case there.accept <- b:
		return a, nil
	case <-there.over:
	case <-l.p.ctx.Done():
	case <-q.ctx.Done():
	}
	a.Close()
	return nil, errLost
}

// pipe is one direction of a stream.
type pipe struct {
	mu     sync.Mutex
	chunks []chunk
	last   time.Time
	closed bool
	dead   time.Time // read deadline
	wake   chan struct{}
}

type chunk struct {
	at   time.Time // zero: held until the way is healed
	data []byte
}

func newPipe() *pipe { return &pipe{wake: make(chan struct{})} }

// poke wakes the reader; mu is held.
func (p *pipe) poke() {
	close(p.wake)
	p.wake = make(chan struct{})
}

func (p *pipe) release(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.chunks {
		if p.chunks[i].at.IsZero() {
			p.chunks[i].at, p.last = at, at
		}
	}
	p.poke()
}

func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		p.poke()
	}
}

func (p *pipe) read(b []byte) (int, error) {
	for {
		p.mu.Lock()
		now := time.Now()
		var until time.Time
		switch {
		case p.closed:
			p.mu.Unlock()
			return 0, io.EOF
		case !p.dead.IsZero() && !now.Before(p.dead):
			p.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case len(p.chunks) > 0 && !p.chunks[0].at.IsZero() && !p.chunks[0].at.After(now):
			n := copy(b, p.chunks[0].data)
			if p.chunks[0].data = p.chunks[0].data[n:]; len(p.chunks[0].data) == 0 {
				p.chunks = p.chunks[1:]
			}
			p.mu.Unlock()
			return n, nil
		case len(p.chunks) > 0:
			until = p.chunks[0].at
		}
		if !p.dead.IsZero() && (until.IsZero() || p.dead.Before(until)) {
			until = p.dead
		}
		wake := p.wake
		p.mu.Unlock()
		if until.IsZero() {
			<-wake
			continue
		}
		t := time.NewTimer(until.Sub(now))
		select {
		case <-wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// conn is one end of a stream.
type conn struct {
	n        *network
	from, to *port // whose end it is, and the other's
	in, out  *pipe
	peer     *conn
}

func (c *conn) between(a, b cluster.NodeID) bool {
	return c.from.id == a && c.to.id == b || c.from.id == b && c.to.id == a
}

func (c *conn) Read(b []byte) (int, error) { return c.in.read(b) }

func (c *conn) Write(b []byte) (int, error) {
	if c.from.isDown() {
		return 0, errLost
	}
	took, arrives := c.n.way(c.from.id, c.to.id)
	held := !arrives && c.n.isCut(c.from.id, c.to.id)
	if !arrives {
		took += retransmit // lost on the way, and sent again
	}
	p := c.out
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, io.ErrClosedPipe
	}
	at := time.Now().Add(took)
	if at.Before(p.last) {
		at = p.last
	}
	if k := len(p.chunks); held || k > 0 && p.chunks[k-1].at.IsZero() {
		at = time.Time{}
	} else {
		p.last = at
	}
	p.chunks = append(p.chunks, chunk{at, bytes.Clone(b)})
	p.poke()
	return len(b), nil
}

func (c *conn) Close() error {
	c.n.mu.Lock()
	delete(c.n.conns, c)
	delete(c.n.conns, c.peer)
	c.n.mu.Unlock()
	c.in.close()
	c.out.close()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return simAddr(c.from.id.String()) }
func (c *conn) RemoteAddr() net.Addr { return simAddr(c.to.id.String()) }

func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.dead = t
	c.in.poke()
	return nil
}

// SetWriteDeadline has nothing to do: a write never waits.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
