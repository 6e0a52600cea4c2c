package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"altmail.se/altmail/cluster"
)

// inlineMax is up to how many request bytes in flight on a connection a
// caller writes to the network itself. So little always fits in the socket's
// buffer, so the caller's deadline holds even if the peer has stopped reading.
const inlineMax = 32 << 10

// stuckWrite is how long a caller whose time is over waits for its memory to
// be released by a write under way before the connection is cut.
const stuckWrite = time.Second

// Call sends req, given in parts, to a node and waits for its answer, within
// ctx, whose deadline is sent along. The parts must not change until it
// returns. Errors: ErrNotSent, ErrUnknown, cluster.ErrTooLarge (nothing was
// sent), or a RemoteError.
func (t *Transport) Call(ctx context.Context, to cluster.NodeID, m cluster.Method, req ...[]byte) ([]byte, error) {
	if to == t.cfg.Self {
		return t.callSelf(ctx, m, req)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	size := 0
	for _, p := range req {
		size += len(p)
	}
	if size > maxPayload(m) {
		return nil, fmt.Errorf("%w: request of %d bytes", cluster.ErrTooLarge, size)
	}
	p := t.peer(to)
	p.sent.Add(1)
	c, err := t.conn(ctx, p, laneOf(m))
	if err != nil {
		p.failed.Add(1)
		return nil, fmt.Errorf("%w to node %s: %w", ErrNotSent, to, err)
	}
	resp, err := c.call(ctx, m, size, req)
	if err != nil {
		p.failed.Add(1)
	}
	return resp, err
}

// callSelf runs the handler in the caller's goroutine.
func (t *Transport) callSelf(ctx context.Context, m cluster.Method, req [][]byte) ([]byte, error) {
	h := t.handler(m)
	if h == nil {
		return nil, ErrNoMethod
	}
	t.running.enter()
	defer t.running.leave()
	if t.draining.Load() {
		return nil, cluster.ErrStopped
	}
	var b []byte
	if len(req) == 1 {
		b = req[0]
	} else {
		for _, p := range req {
			b = append(b, p...)
		}
	}
	return h(ctx, t.cfg.Self, b)
}

// clientConn carries our calls to a peer.
type clientConn struct {
	t     *Transport
	p     *peer
	c     *secureConn
	r     *bufio.Reader
	w     *frameWriter
	limit laneLimit
	room  *semaphore.Weighted
	ended chan struct{} // closed when no call can be made any more

	bytes atomic.Int64 // of requests whose callers wait

	mu      sync.Mutex
	err     error // why it ended
	lastID  uint64
	pending map[uint64]pendingCall
	pinged  time.Time
}

// pendingCall is what an answer is awaited for. It holds its weight of the
// connection's room until the server has answered, even if the caller is
// gone, because so long the server counts it too.
type pendingCall struct {
	call   *call // nil if the caller waits no more
	weight int64
}

// call is one request in flight.
type call struct {
	done chan struct{} // gets one value when the answer or the end is here
	resp []byte
	err  error
	lost bool // the connection ended first
}

var callPool = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

func (t *Transport) newClientConn(ctx context.Context, p *peer, ln lane) (*clientConn, error) {
	sc, err := t.dial(ctx, p.id, alpnRPC)
	if err != nil {
		return nil, err
	}
	c := &clientConn{t: t, p: p, c: sc, r: bufio.NewReaderSize(sc, readBuffer), w: newFrameWriter(sc),
		ended: make(chan struct{}), pending: make(map[uint64]pendingCall)}
	// In TLS 1.3 the server may still refuse our certificate when our side of
	// the handshake is done. Its hello says that it did not.
	err = func() error {
		if end, ok := ctx.Deadline(); ok {
			if err := sc.SetReadDeadline(end); err != nil {
				return err
			}
		}
		if err := sendHello(c.w, hello{version: helloVersion, lane: ln}); err != nil {
			return err
		}
		h, err := readHello(c.r)
		if err != nil {
			return err
		}
		if h.calls < 1 || h.bytes < h.calls {
			return fmt.Errorf("%w: hello allows nothing", ErrProtocol)
		}
		c.limit = laneLimit{calls: int(h.calls), bytes: int(h.bytes)}
		c.room = semaphore.NewWeighted(int64(h.bytes))
		return sc.SetReadDeadline(time.Time{})
	}()
	if err != nil {
		t.drop(sc)
		return nil, fmt.Errorf("transport: greeting of node %s: %w", p.id, refusal(err))
	}
	p.seen(t.cfg.Now())
	if !t.spawn(func() { c.end(c.w.run()) }) || !t.spawn(c.read) || !t.spawn(c.keepAlive) {
		c.end(cluster.ErrStopped)
		return nil, cluster.ErrStopped
	}
	return c, nil
}

func (c *clientConn) dead() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// end fails all calls. Only the first call of it counts.
func (c *clientConn) end(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	if err == nil {
		err = errWriterStopped
	}
	c.err = err
	close(c.ended)
	pending := c.pending
	c.pending = nil
	// After stop no batch begins any more, so what is not sent stays so.
	c.w.stop()
	for _, pc := range pending {
		if pc.call != nil {
			pc.call.lost = true
			pc.call.done <- struct{}{}
		}
		c.room.Release(pc.weight)
	}
	c.mu.Unlock()
	c.t.drop(c.c)
}

func (c *clientConn) call(ctx context.Context, m cluster.Method, size int, req [][]byte) ([]byte, error) {
	h := header{kind: kindRequest, method: m, size: uint32(size)}
	weight := c.limit.weight(size)
	if err := c.room.Acquire(ctx, weight); err != nil {
		return nil, c.notSent(fmt.Errorf("too much in flight: %w", err))
	}
	if end, ok := ctx.Deadline(); ok {
		left := time.Until(end).Milliseconds() + 1
		if left <= 0 {
			c.room.Release(weight)
			return nil, c.notSent(context.DeadlineExceeded)
		}
		h.timeout = uint32(min(left, math.MaxUint32))
	}
	inFlight := c.bytes.Add(int64(size) + headerSize)
	defer c.bytes.Add(-int64(size) - headerSize)

	k := callPool.Get().(*call)
	defer func() {
		*k = call{done: k.done}
		callPool.Put(k)
	}()
	c.mu.Lock()
	if c.err != nil {
		err := c.err
		c.mu.Unlock()
		c.room.Release(weight)
		return nil, c.notSent(err)
	}
	c.lastID++
	h.id = c.lastID
	c.pending[h.id] = pendingCall{call: k, weight: weight}
	alone := len(c.pending) == 1
	c.mu.Unlock()

	tk, err := c.w.send(&h, req, inFlight <= inlineMax && alone, true)
	if err != nil { // the connection is ending
		if !c.forget(h.id, true) {
			<-k.done
		}
		return nil, c.notSent(err)
	}
	select {
	case <-k.done:
	case <-ctx.Done():
		if c.forget(h.id, false) {
			return nil, c.abandon(h.id, tk, ctx.Err())
		}
		<-k.done // the answer was faster
	}
	c.release(tk)
	if k.lost {
		if c.w.sent(tk) {
			return nil, fmt.Errorf("%w: node %s: connection lost: %w", ErrUnknown, c.p.id, c.err)
		}
		return nil, c.notSent(c.err)
	}
	return k.resp, k.err
}

func (c *clientConn) notSent(cause error) error {
	return fmt.Errorf("%w to node %s: %w", ErrNotSent, c.p.id, cause)
}

// forget makes a pending call ownerless, or with unsent removes it; false if
// it has been answered or the connection has ended.
func (c *clientConn) forget(id uint64, unsent bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	pc, ok := c.pending[id]
	if !ok {
		return false
	}
	if unsent {
		delete(c.pending, id)
		c.room.Release(pc.weight)
	} else {
		c.pending[id] = pendingCall{weight: pc.weight}
	}
	return true
}

// abandon ends a call whose caller waits no more.
func (c *clientConn) abandon(id uint64, tk ticket, cause error) error {
	if c.w.takeBack(tk) {
		c.forget(id, true)
		return c.notSent(cause)
	}
	if _, err := c.w.send(&header{kind: kindCancel, id: id}, nil, false, false); err != nil {
		cause = errors.Join(cause, err)
	}
	c.release(tk)
	return fmt.Errorf("%w: node %s: %w", ErrUnknown, c.p.id, cause)
}

// release returns when the parts of a big frame are not used any more. After
// an answer that is at once, except that a peer may answer early or the
// connection may have ended.
func (c *clientConn) release(tk ticket) {
	if tk.big == nil || c.w.takeBack(tk) {
		return
	}
	select {
	case <-tk.big.written:
		return
	default:
	}
	timer := time.NewTimer(stuckWrite)
	defer timer.Stop()
	select {
	case <-tk.big.written:
		return
	case <-timer.C:
	case <-c.ended:
	}
	c.end(errors.New("transport: write stuck"))
	<-tk.big.written // closing the connection ends the write
}

// read hands out the answers until the connection ends.
func (c *clientConn) read() {
	for {
		if err := c.readFrame(); err != nil {
			c.end(err)
			if errors.Is(err, ErrProtocol) {
				c.t.log.warn("rpc connection closed", "node", c.p.id.String(), "error", err)
			}
			return
		}
	}
}

func (c *clientConn) readFrame() error {
	h, err := readHeader(c.r)
	if err != nil {
		return err
	}
	c.p.seen(c.t.cfg.Now())
	switch h.kind {
	case kindPong:
		c.mu.Lock()
		pinged := c.pinged
		c.pinged = time.Time{}
		c.mu.Unlock()
		if !pinged.IsZero() {
			c.p.rtt.Store(int64(time.Since(pinged)))
		}
		return nil
	case kindAlive:
		return nil
	case kindResponse, kindError:
	default:
		return fmt.Errorf("%w: frame of kind %d from a server", ErrProtocol, h.kind)
	}
	c.mu.Lock()
	if c.err != nil { // the last frames of a connection that was given up
		err := c.err
		c.mu.Unlock()
		return err
	}
	pc, ok := c.pending[h.id]
	delete(c.pending, h.id)
	if ok {
		c.room.Release(pc.weight)
	}
	c.mu.Unlock()
	if !ok {
		return fmt.Errorf("%w: answer to no call", ErrProtocol)
	}
	k := pc.call
	if k == nil { // its caller has gone
		_, err := c.r.Discard(int(h.size))
		return err
	}
	resp := make([]byte, h.size)
	_, err = io.ReadFull(c.r, resp)
	switch {
	case err != nil:
		k.err = fmt.Errorf("%w: node %s: connection lost: %w", ErrUnknown, c.p.id, err)
	case h.kind == kindError:
		k.err = remoteError(c.p.id, h.code, resp)
	default:
		k.resp = resp
	}
	k.done <- struct{}{}
	return err
}

// keepAlive pings, and ends the connection when a ping gets no sign of life
// within two intervals. A ping that waits behind a large frame on a slow line
// is no bad sign as long as bytes go out, and while it waits in the other
// side's kernel behind one, kindAlive comes. The server relies on pings too.
func (c *clientConn) keepAlive() {
	tick := time.NewTicker(c.t.cfg.ping)
	defer tick.Stop()
	raw := c.c.raw
	var ping ticket
	silent := 0 // intervals since the ping went out
	for fresh := true; ; {
		if fresh {
			c.mu.Lock()
			c.pinged = time.Now()
			c.mu.Unlock()
			var err error
			if ping, err = c.w.send(&header{kind: kindPing}, nil, false, false); err != nil {
				c.end(err)
				return
			}
			silent = 0
		}
		in, out := raw.in.Load(), raw.out.Load()
		select {
		case <-tick.C:
		case <-c.ended:
			return
		case <-c.t.ctx.Done():
			c.end(cluster.ErrStopped)
			return
		}
		switch {
		case raw.in.Load() != in:
			fresh = true
			continue
		case c.w.sent(ping):
			silent++
		case raw.out.Load() == out:
			silent = 2
		}
		if silent >= 2 {
			c.end(fmt.Errorf("transport: node %s is silent", c.p.id))
			return
		}
		fresh = false
	}
}
