package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"
	"time"

	"altmail.se/altmail/cluster"
)

// readBuffer holds decrypted bytes: two TLS records.
const readBuffer = 32 << 10

// serverConn answers the calls of one RPC connection.
type serverConn struct {
	t      *Transport
	c      *secureConn
	r      *bufio.Reader
	w      *frameWriter
	peer   *peer
	limit  laneLimit
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	calls  map[uint64]context.CancelFunc
	weight int64
}

// serveRPC serves an accepted connection until it ends.
func (t *Transport) serveRPC(sc *secureConn) {
	s := &serverConn{t: t, c: sc, r: bufio.NewReaderSize(sc, readBuffer), w: newFrameWriter(sc),
		peer: t.peer(sc.peer), calls: make(map[uint64]context.CancelFunc)}
	s.ctx, s.cancel = context.WithCancel(t.ctx)
	t.mu.Lock()
	t.servers[s] = struct{}{}
	t.mu.Unlock()
	var writer sync.WaitGroup
	writer.Go(func() {
		// A failed write ends the reader too.
		if err := s.w.run(); err != nil {
			t.discard(sc)
		}
	})
	err := s.hello()
	for err == nil {
		err = s.readFrame()
	}
	s.w.stop()
	t.mu.Lock()
	delete(t.servers, s)
	t.mu.Unlock()
	s.cancel()
	t.drop(sc)
	writer.Wait()
	if errors.Is(err, ErrProtocol) {
		t.log.warn("rpc connection closed", "node", sc.peer.String(), "error", err)
	}
}

// finish ends our direction once all answers are written.
func (s *serverConn) finish() {
	s.w.flush()
	if c, ok := s.c.raw.Conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		return
	}
	s.t.discard(s.c)
}

// alive gives the client time until its next sign of life.
func (s *serverConn) alive() error {
	return s.c.SetReadDeadline(time.Now().Add(idlePings * s.t.cfg.ping))
}

func (s *serverConn) hello() error {
	if err := s.c.SetReadDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	h, err := readHello(s.r)
	if err != nil {
		return err
	}
	s.limit = laneLimits[h.lane]
	if err := s.alive(); err != nil {
		return err
	}
	out := hello{version: helloVersion, lane: h.lane, calls: uint32(s.limit.calls), bytes: uint32(s.limit.bytes)}
	return sendHello(s.w, out)
}

func sendHello(w *frameWriter, h hello) error {
	p := h.payload()
	_, err := w.send(&header{kind: kindHello, size: uint32(len(p))}, [][]byte{p}, true, false)
	return err
}

func readHello(r *bufio.Reader) (hello, error) {
	h, err := readHeader(r)
	if err != nil {
		return hello{}, err
	}
	if h.kind != kindHello {
		return hello{}, fmt.Errorf("%w: frame of kind %d before the hello", ErrProtocol, h.kind)
	}
	b := make([]byte, h.size)
	if _, err := io.ReadFull(r, b); err != nil {
		return hello{}, err
	}
	return parseHello(b)
}

func readHeader(r *bufio.Reader) (header, error) {
	b, err := r.Peek(headerSize)
	if err != nil {
		return header{}, err
	}
	h, err := parseHeader(b)
	if err != nil {
		return h, err
	}
	_, err = r.Discard(headerSize)
	return h, err
}

func (s *serverConn) readFrame() error {
	h, err := readHeader(s.r)
	if err != nil {
		return err
	}
	switch h.kind {
	case kindRequest:
		return s.request(h)
	case kindCancel:
		s.mu.Lock()
		cancel := s.calls[h.id]
		s.mu.Unlock()
		if cancel != nil {
			cancel()
		}
		return nil
	case kindPing:
		s.peer.seen(s.t.cfg.Now())
		// The client pings all the time; without it, it is gone.
		if err := s.alive(); err != nil {
			return err
		}
		_, err := s.w.send(&header{kind: kindPong}, nil, false, false)
		return err
	default:
		return fmt.Errorf("%w: frame of kind %d from a client", ErrProtocol, h.kind)
	}
}

// request reads a request and starts its handler.
func (s *serverConn) request(h header) error {
	weight := s.limit.weight(int(h.size))
	var ctx context.Context
	var cancel context.CancelFunc
	if h.timeout > 0 {
		ctx, cancel = context.WithTimeout(s.ctx, time.Duration(h.timeout)*time.Millisecond)
	} else {
		ctx, cancel = context.WithCancel(s.ctx)
	}
	s.mu.Lock()
	_, again := s.calls[h.id]
	over := s.weight+weight > int64(s.limit.bytes)
	if !again && !over {
		s.calls[h.id] = cancel
		s.weight += weight
	}
	s.mu.Unlock()
	if again || over {
		cancel()
		return fmt.Errorf("%w: more in flight than allowed, or an id used twice", ErrProtocol)
	}
	buf := getBuffer(int(h.size))
	if err := s.readPayload((*buf)[:h.size]); err != nil {
		cancel()
		return err
	}
	s.t.running.enter()
	s.t.wg.Add(1) // from a goroutine that is itself counted, so never after Wait
	go s.handle(ctx, cancel, h, buf, weight)
	return nil
}

// readPayload reads a payload. While a large one comes in, the pings wait
// behind it; so its pieces count as pings and are answered as such.
func (s *serverConn) readPayload(b []byte) error {
	const piece = 256 << 10
	if len(b) <= piece {
		_, err := io.ReadFull(s.r, b)
		return err
	}
	for last := time.Now(); len(b) > 0; {
		n, err := io.ReadFull(s.r, b[:min(piece, len(b))])
		if err != nil {
			return err
		}
		b = b[n:]
		if time.Since(last) < s.t.cfg.ping/2 {
			continue
		}
		last = time.Now()
		if err := s.alive(); err != nil {
			return err
		}
		if _, err := s.w.send(&header{kind: kindAlive}, nil, false, false); err != nil {
			return err
		}
	}
	return nil
}

func (s *serverConn) handle(ctx context.Context, cancel context.CancelFunc, h header, buf *[]byte, weight int64) {
	defer s.t.wg.Done()
	defer s.t.running.leave()
	var resp []byte
	var err error
	if handler := s.t.handler(h.method); handler == nil {
		err = ErrNoMethod
	} else if s.t.draining.Load() {
		err = cluster.ErrStopped
	} else {
		s.w.yield()
		resp, err = handler(ctx, s.c.peer, (*buf)[:h.size])
	}
	cancel()
	putBuffer(buf)
	if err == nil && len(resp) > maxPayload(h.method) {
		err = fmt.Errorf("%w: response of %d bytes", cluster.ErrTooLarge, len(resp))
	}
	// The credit goes back before the answer can reach the client, which
	// spends it again at once.
	s.mu.Lock()
	delete(s.calls, h.id)
	s.weight -= weight
	alone := len(s.calls) == 0
	s.mu.Unlock()
	out := header{kind: kindResponse, method: h.method, id: h.id}
	if err != nil {
		out.kind, out.code = kindError, codeOf(err)
		resp = []byte(errorText(err))
	}
	out.size = uint32(len(resp))
	// Alone, the shortest way is to write here; among others, one write for
	// the answers of a moment is cheaper.
	if _, err := s.w.send(&out, [][]byte{resp}, alone, false); err != nil {
		return // the connection is gone, and with it who asked
	}
}

// Request buffers are pooled in powers of two from 1 KiB to 1 MiB; larger
// ones are left to the collector.
const (
	minClass = 10
	maxClass = 20
)

var bufferPools [maxClass - minClass + 1]sync.Pool

func getBuffer(n int) *[]byte {
	class := max(minClass, bits.Len(uint(max(n, 1)-1)))
	if class > maxClass {
		b := make([]byte, n)
		return &b
	}
	if b, ok := bufferPools[class-minClass].Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 1<<class)
	return &b
}

func putBuffer(b *[]byte) {
	class := bits.Len(uint(len(*b))) - 1
	if class >= minClass && class <= maxClass && len(*b) == 1<<class {
		bufferPools[class-minClass].Put(b)
	}
}
