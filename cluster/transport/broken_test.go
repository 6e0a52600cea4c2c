package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
)

// cable carries bytes between a dialer and an address and can be cut without
// either side being told, as a dead line or a stopped machine does.
type cable struct {
	ln    net.Listener
	dead  atomic.Bool
	pause atomic.Int64 // nanoseconds after each piece
	wg    sync.WaitGroup
	mu    sync.Mutex
	ends  []net.Conn
}

func newCable(t testing.TB, to string) *cable {
	c := &cable{ln: must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))}
	c.wg.Go(func() {
		for {
			in, err := c.ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			c.mu.Lock()
			c.ends = append(c.ends, in, out)
			c.mu.Unlock()
			c.wg.Go(func() { c.carry(in, out) })
			c.wg.Go(func() { c.carry(out, in) })
		}
	})
	t.Cleanup(func() {
		c.ln.Close()
		c.mu.Lock()
		for _, e := range c.ends {
			e.Close()
		}
		c.mu.Unlock()
		c.wg.Wait()
	})
	return c
}

// carry copies until an end closes; what comes while the cable is dead is
// lost.
func (c *cable) carry(from, to net.Conn) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			to.Close()
			return
		}
		if c.dead.Load() {
			continue
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
		time.Sleep(time.Duration(c.pause.Load())) // this is the line being slow
	}
}

// TestHalfOpen: a connection whose other side has fallen silent is given up
// on both sides, and the calls on it end.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.pairPinging(200 * time.Millisecond)
	line := newCable(t, b.addr)
	w.setAddr(b.id, line.ln.Addr().String())
	begun := make(chan struct{})
	b.Handle(cluster.MethodForward, func(ctx context.Context, _ cluster.NodeID, _ []byte) ([]byte, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	lost := make(chan error, 1)
	go func() {
		_, err := a.Call(t.Context(), b.id, cluster.MethodForward)
		lost <- err
	}()
	<-begun
	line.dead.Store(true)
	begin := time.Now()
	select {
	case err := <-lost:
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("call on a dead line: %v", err)
		}
	case <-time.After(8 * time.Second):
		t.Fatal("a call on a dead line does not end")
	}
	t.Logf("noticed after %v", time.Since(begin))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := a.Call(ctx, b.id, cluster.MethodPing); !errors.Is(err, ErrNotSent) {
		t.Errorf("call over a dead line: %v", err)
	}
	line.dead.Store(false)
	until(t, "the line is used again", func() bool {
		_, err := a.Call(t.Context(), b.id, cluster.MethodPing)
		return err == nil
	})
}

// TestSlowLine: a large frame takes many pings' time, but it moves, so the
// line is not taken for dead by either side.
func TestSlowLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// An interval that a busy machine does not sleep through.
	const every = time.Second
	a, b := w.pairPinging(every)
	line := newCable(t, b.addr)
	line.pause.Store(int64(8 * time.Millisecond))
	w.setAddr(b.id, line.ln.Addr().String())
	b.Handle(cluster.MethodBodyPush, func(context.Context, cluster.NodeID, []byte) ([]byte, error) { return nil, nil })
	begin := time.Now()
	must[[]byte](t)(a.Call(t.Context(), b.id, cluster.MethodBodyPush, make([]byte, 40<<20)))
	if d := time.Since(begin); d < 4*every {
		t.Errorf("the line was not slow: %v", d)
	}
}

// TestLeavingFreesMemory: the caller of a stuck write gets its memory back.
func TestLeavingFreesMemory(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	line := newCable(t, b.addr)
	w.setAddr(b.id, line.ln.Addr().String())
	b.Handle(cluster.MethodBodyPush, echo)
	must[[]byte](t)(a.Call(t.Context(), b.id, cluster.MethodBodyPush, nil))
	// Nobody takes the bytes any more, so the write gets stuck.
	line.mu.Lock()
	for _, e := range line.ends {
		noErr(t, e.(*net.TCPConn).SetReadBuffer(4096))
	}
	line.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	body := make([]byte, MaxBulkFrame)
	_, err := a.Call(ctx, b.id, cluster.MethodBodyPush, body)
	if err == nil {
		t.Skip("the machine moved 64 MiB in 50 ms")
	}
	if errors.Is(err, ErrNotSent) == errors.Is(err, ErrUnknown) {
		t.Fatalf("unclassified: %v", err)
	}
	clear(body) // -race tells if a write still reads it
	until(t, "the lane works again", func() bool {
		_, err := a.Call(t.Context(), b.id, cluster.MethodBodyPush, []byte("x"))
		return err == nil
	})
}

// TestBadClient: a member that breaks the protocol loses its connection, not
// more.
func TestBadClient(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	block := make(chan struct{})
	defer close(block)
	b.Handle(cluster.MethodForward, func(context.Context, cluster.NodeID, []byte) ([]byte, error) { <-block; return nil, nil })
	dial := func() net.Conn { return must[*secureConn](t)(a.dial(t.Context(), b.id, alpnRPC)) }
	frame := func(h header, p []byte) []byte { h.size = uint32(len(p)); return append(h.append(nil), p...) }
	first := frame(header{kind: kindHello}, hello{version: 1}.payload())
	req := func(id uint64, size int) []byte {
		return frame(header{kind: kindRequest, method: cluster.MethodForward, id: id}, make([]byte, size))
	}
	for name, send := range map[string][][]byte{
		"no hello":       {req(1, 1)},
		"second hello":   {first, first},
		"id used twice":  {first, req(1, 1), req(1, 1)},
		"response":       {first, frame(header{kind: kindResponse, method: 1, id: 1}, nil)},
		"too many bytes": {first, req(1, MaxFrame), req(2, MaxFrame), req(3, MaxFrame), req(4, MaxFrame), req(5, 100_000)},
		"nonsense":       {first, []byte(strings.Repeat("x", 40))},
	} {
		c := dial()
		for _, p := range send {
			if _, err := c.Write(p); err != nil {
				break // cut already
			}
		}
		noErr(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
		_, err := io.Copy(io.Discard, c)
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			t.Errorf("%s: the connection lives on", name)
		}
		a.drop(c.(*secureConn))
	}
	must[[]byte](t)(a.Call(t.Context(), b.id, cluster.MethodPing))
	until(t, "it is logged", func() bool { return strings.Contains(w.log.String(), "protocol violated") })
}

// TestTooManyHandshakes: whoever opens connections and says nothing can't use
// up the port's memory.
func TestTooManyHandshakes(t *testing.T) {
	w := newWorld(t)
	a := w.start(w.config(1))
	var conns []net.Conn
	for range maxShakingPerIP + 10 {
		c := must[net.Conn](t)(net.Dial("tcp", a.addr))
		conns = append(conns, c)
	}
	until(t, "the rest is refused", func() bool { return a.Stats().Refused >= 10 })
	for _, c := range conns {
		c.Close()
	}
	b := w.start(w.config(2))
	until(t, "members get in again", func() bool {
		_, err := b.Call(t.Context(), a.id, cluster.MethodPing)
		return err == nil
	})
}

// TestRenewal: a renewed certificate is used at the next handshake.
func TestRenewal(t *testing.T) {
	w := newWorld(t)
	b := w.start(w.config(2))
	cfg := w.config(1)
	first := must[*tls.Certificate](t)(cfg.Certificate())
	var asked atomic.Int64
	cfg.Certificate = func() (*tls.Certificate, error) { asked.Add(1); return first, nil }
	a := w.start(cfg)
	must[[]byte](t)(a.Call(t.Context(), b.id, cluster.MethodPing))
	before := asked.Load()
	a.Disconnect(b.id)
	until(t, "a new connection", func() bool {
		_, err := a.Call(t.Context(), b.id, cluster.MethodPing)
		return err == nil
	})
	if asked.Load() <= before {
		t.Error("the certificate was not asked for again")
	}
}

// TestBacklog: a client that asks for much and takes nothing does not make
// the server gather all the answers.
func TestBacklog(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	const size = 4 << 20
	var served atomic.Int64
	b.Handle(cluster.MethodBodyFetch, func(context.Context, cluster.NodeID, []byte) ([]byte, error) {
		served.Add(1)
		return make([]byte, size), nil
	})
	c := must[*secureConn](t)(a.dial(t.Context(), b.id, alpnRPC))
	h := hello{version: 1, lane: laneFetch}.payload()
	must[int](t)(c.Write(append((&header{kind: kindHello, size: uint32(len(h))}).append(nil), h...)))
	calls := laneLimits[laneFetch].calls
	for id := range calls {
		must[int](t)(c.Write((&header{kind: kindRequest, method: cluster.MethodBodyFetch, id: uint64(id + 1)}).append(nil)))
		// One after the other: handlers that have begun together are not held.
		until(t, "it is read", func() bool { return b.Stats().Serving > 0 || served.Load() == int64(id+1) })
	}
	until(t, "answers wait", func() bool { return served.Load() >= backlogMax/size })
	if n := served.Load(); n > int64(calls)*3/4 {
		t.Errorf("%d answers of %d MiB were gathered for a client that takes none", n, size>>20)
	}
	must[int64](t)(io.CopyN(io.Discard, c, int64(calls)*size))
	until(t, "all are served in the end", func() bool { return served.Load() == int64(calls) })
	a.drop(c)
}
