package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/pki"
)

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func noErr(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition, at most ten seconds.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// world is a directory for tests: addresses and members.
type world struct {
	t       testing.TB
	ca      *pki.CA
	log     syncBuffer
	mu      sync.Mutex
	addrs   map[cluster.NodeID]string
	members map[cluster.NodeID]string // id -> SPKI
}

func newWorld(t testing.TB) *world {
	return &world{t: t, ca: must[*pki.CA](t)(pki.NewCA("test.1", time.Now())),
		addrs: map[cluster.NodeID]string{}, members: map[cluster.NodeID]string{}}
}

var errNoAddr = errors.New("no address known")

func (w *world) Addr(id cluster.NodeID) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a, ok := w.addrs[id]; ok {
		return a, nil
	}
	return "", errNoAddr
}

func (w *world) setAddr(id cluster.NodeID, addr string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addrs[id] = addr
}

func (w *world) admit(id cluster.NodeID, spki []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.members[id]; !ok || known != string(spki) {
		return cluster.ErrNotMember
	}
	return nil
}

func (w *world) evict(id cluster.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.members, id)
}

type testNode struct {
	*Transport
	id   cluster.NodeID
	addr string
	cfg  Config
}

func nodeID(i int) (id cluster.NodeID) {
	id[0], id[15] = 0xab, byte(i)
	return id
}

// identity gives a node a key and a certificate of the CA.
func identity(t testing.TB, ca *pki.CA, id cluster.NodeID) (*tls.Certificate, []byte) {
	key, err := pki.NewKey()
	noErr(t, err)
	csr := must[[]byte](t)(pki.NewCSR(key))
	der := must[[]byte](t)(ca.Sign(csr, id.String(), pki.NodeTTL, time.Now()))
	return &tls.Certificate{Certificate: [][]byte{der, ca.Cert().Raw}, PrivateKey: key},
		must[[]byte](t)(pki.ParseCSR(csr))
}

// config makes a member and its configuration.
func (w *world) config(i int) Config {
	id := nodeID(i)
	cert, spki := identity(w.t, w.ca, id)
	w.mu.Lock()
	w.members[id] = string(spki)
	w.mu.Unlock()
	return Config{
		Self: id, ClusterID: "test.1",
		Certificate: func() (*tls.Certificate, error) { return cert, nil },
		CAs:         func() []*x509.Certificate { return []*x509.Certificate{w.ca.Cert()} },
		Resolver:    w, Admit: w.admit,
		Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	}
}

// start runs a node on loopback.
func (w *world) start(cfg Config) *testNode {
	w.t.Helper()
	tr := must[*Transport](w.t)(New(cfg))
	ln := must[net.Listener](w.t)(Listen(w.t.Context(), "127.0.0.1:0"))
	w.setAddr(cfg.Self, ln.Addr().String())
	served := make(chan error, 1)
	go func() { served <- tr.Serve(ln) }()
	w.t.Cleanup(func() {
		noErr(w.t, tr.Close())
		if err := <-served; !errors.Is(err, cluster.ErrStopped) {
			w.t.Errorf("Serve: %v", err)
		}
	})
	return &testNode{Transport: tr, id: cfg.Self, addr: ln.Addr().String(), cfg: cfg}
}

func (w *world) pair() (*testNode, *testNode) { return w.pairPinging(0) }

func (w *world) pairPinging(every time.Duration) (*testNode, *testNode) {
	a, b := w.config(1), w.config(2)
	a.ping, b.ping = every, every
	return w.start(a), w.start(b)
}

func echo(_ context.Context, _ cluster.NodeID, req []byte) ([]byte, error) {
	return bytes.Clone(req), nil
}

func TestCallEcho(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	b.Handle(cluster.MethodForward, echo)
	b.Handle(cluster.MethodBodyPush, echo)
	b.Handle(cluster.MethodMember, func(_ context.Context, from cluster.NodeID, _ []byte) ([]byte, error) {
		return from[:], nil
	})
	ctx := t.Context()
	for _, size := range []int{0, 1, headerSize, copyMax, copyMax + 1, 100_000, MaxFrame} {
		req := bytes.Repeat([]byte{byte(size), 7}, size)[:size]
		got := must[[]byte](t)(a.Call(ctx, b.id, cluster.MethodForward, req[:size/3], nil, req[size/3:]))
		if !bytes.Equal(got, req) {
			t.Fatalf("%d bytes came back as %d", size, len(got))
		}
	}
	if _, err := a.Call(ctx, b.id, cluster.MethodForward, make([]byte, MaxFrame+1)); !errors.Is(err, cluster.ErrTooLarge) {
		t.Fatalf("too large: %v", err)
	}
	big := make([]byte, MaxBulkFrame)
	big[len(big)-1] = 9
	if got := must[[]byte](t)(a.Call(ctx, b.id, cluster.MethodBodyPush, big)); !bytes.Equal(got, big) {
		t.Fatal("a body came back changed")
	}
	if from := must[[]byte](t)(a.Call(ctx, b.id, cluster.MethodMember)); !bytes.Equal(from, a.id[:]) {
		t.Fatalf("handler saw %x", from)
	}
	s := a.Peer(b.id)
	if !s.Connected || s.LastContact.IsZero() || s.Calls == 0 {
		t.Fatalf("stats %+v", s)
	}
	until(t, "a ping is answered", func() bool { return a.Peer(b.id).RTT > 0 })
	if st := b.Stats(); st.Accepted == 0 || st.Open == 0 {
		t.Fatalf("stats %+v", st)
	}
}

func TestCallSelf(t *testing.T) {
	w := newWorld(t)
	a := w.start(w.config(1))
	sentinel := errors.New("the very error")
	a.Handle(cluster.MethodForward, func(_ context.Context, from cluster.NodeID, req []byte) ([]byte, error) {
		return req, sentinel
	})
	got, err := a.Call(t.Context(), a.id, cluster.MethodForward, []byte("a"), []byte("b"))
	if string(got) != "ab" || err != sentinel {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := a.Call(t.Context(), a.id, cluster.MethodDigest); !errors.Is(err, ErrNoMethod) {
		t.Fatalf("no handler: %v", err)
	}
	if n := a.Stats().Open; n != 0 {
		t.Fatalf("%d connections for calls to self", n)
	}
}

// TestErrors: each sentinel is found again on the other side of the wire.
func TestErrors(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	var answer atomic.Pointer[error]
	set := func(err error) { answer.Store(&err) }
	b.Handle(cluster.MethodForward, func(context.Context, cluster.NodeID, []byte) ([]byte, error) {
		return []byte("dropped"), *answer.Load()
	})
	for _, c := range codes {
		set(fmt.Errorf("wrapped: %w", c.err))
		resp, err := a.Call(t.Context(), b.id, cluster.MethodForward)
		var re *RemoteError
		if !errors.Is(err, c.err) || !errors.As(err, &re) || re.Node != b.id || resp != nil {
			t.Errorf("%v came back as %v", c.err, err)
		}
		if errors.Is(err, ErrNotSent) || errors.Is(err, ErrUnknown) {
			t.Errorf("%v is taken for a failure of transport", err)
		}
	}
	set(errors.New(strings.Repeat("long ", 1000)))
	_, err := a.Call(t.Context(), b.id, cluster.MethodForward)
	var re *RemoteError
	if !errors.As(err, &re) || len(re.Text) != maxErrorText || errors.Unwrap(re) != nil {
		t.Errorf("long error: %v", err)
	}
	if _, err := a.Call(t.Context(), b.id, cluster.MethodDigest); !errors.Is(err, ErrNoMethod) {
		t.Errorf("unknown method: %v", err)
	}
	b.Handle(cluster.MethodBodyHave, func(context.Context, cluster.NodeID, []byte) ([]byte, error) {
		return make([]byte, MaxFrame+1), nil
	})
	if _, err := a.Call(t.Context(), b.id, cluster.MethodBodyHave); !errors.Is(err, cluster.ErrTooLarge) {
		t.Errorf("response too large: %v", err)
	}
}

// TestDeadline: the caller's deadline and its leaving reach the handler, and
// the caller learns that the outcome is unknown.
func TestDeadline(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	type end struct {
		deadline bool
		err      error
	}
	ends := make(chan end, 1)
	begun := make(chan struct{}, 1)
	b.Handle(cluster.MethodForward, func(ctx context.Context, _ cluster.NodeID, _ []byte) ([]byte, error) {
		_, has := ctx.Deadline()
		begun <- struct{}{}
		<-ctx.Done()
		ends <- end{has, ctx.Err()}
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err := a.Call(ctx, b.id, cluster.MethodForward)
	// The remote handler may notice first, and say so.
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNotSent) {
		t.Fatalf("deadline: %v", err)
	}
	<-begun
	if e := <-ends; !e.deadline || e.err == nil {
		t.Fatalf("handler saw %+v", e)
	}
	ctx, cancel = context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if _, err := a.Call(ctx, b.id, cluster.MethodForward); !errors.Is(err, ErrUnknown) || !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	if e := <-ends; e.deadline || !errors.Is(e.err, context.Canceled) {
		t.Fatalf("handler saw %+v", e)
	}
	if _, err := a.Call(ctx, b.id, cluster.MethodForward); !errors.Is(err, ErrNotSent) {
		t.Fatalf("ended before the call: %v", err)
	}
}

// TestOrder: a slow call does not hold up others on its connection, and
// control calls do not wait for bodies.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	release := make(chan struct{})
	slow := func(context.Context, cluster.NodeID, []byte) ([]byte, error) { <-release; return nil, nil }
	b.Handle(cluster.MethodForward, slow)
	b.Handle(cluster.MethodBodyPush, slow)
	b.Handle(cluster.MethodDigest, echo)
	var wg sync.WaitGroup
	for i := range 40 {
		m := []cluster.Method{cluster.MethodForward, cluster.MethodBodyPush}[i%2]
		wg.Go(func() {
			if _, err := a.Call(t.Context(), b.id, m, make([]byte, 200_000)); err != nil {
				t.Error(err)
			}
		})
	}
	for range 100 {
		must[[]byte](t)(a.Call(t.Context(), b.id, cluster.MethodDigest, []byte("x")))
	}
	close(release)
	wg.Wait()
}

// TestBackpressure: what is in flight to a peer is bounded; the rest waits
// with its context and is known not to have been sent. A caller that leaves
// does not make room before the server has answered.
func TestBackpressure(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	release := make(chan struct{})
	var serving atomic.Int64
	b.Handle(cluster.MethodBodyFetch, func(context.Context, cluster.NodeID, []byte) ([]byte, error) {
		serving.Add(1)
		<-release
		return nil, nil
	})
	limit := laneLimits[laneFetch].calls
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range limit {
		wg.Go(func() {
			if _, err := a.Call(ctx, b.id, cluster.MethodBodyFetch); !errors.Is(err, ErrUnknown) {
				t.Errorf("abandoned: %v", err)
			}
		})
	}
	until(t, "all run", func() bool { return serving.Load() == int64(limit) })
	cancel()
	wg.Wait()
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := a.Call(short, b.id, cluster.MethodBodyFetch); !errors.Is(err, ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("one too many: %v", err)
	}
	if n := serving.Load(); n != int64(limit) {
		t.Fatalf("%d handlers run", n)
	}
	close(release)
	for range 3 * limit {
		must[[]byte](t)(a.Call(t.Context(), b.id, cluster.MethodBodyFetch))
	}
	if s := w.log.String(); strings.Contains(s, "protocol violated") {
		t.Fatal(s)
	}
}

// TestDown: calls to a node that is not there fail at once and say that
// nothing was sent; when it is back they get through.
func TestDown(t *testing.T) {
	w := newWorld(t)
	a := w.start(w.config(1))
	cfgB := w.config(2)
	ctx := t.Context()
	if _, err := a.Call(ctx, cfgB.Self, cluster.MethodPing); !errors.Is(err, ErrNotSent) || !errors.Is(err, errNoAddr) {
		t.Fatalf("no address: %v", err)
	}
	ln := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	w.setAddr(cfgB.Self, ln.Addr().String())
	noErr(t, ln.Close())
	begin := time.Now()
	for range 500 {
		if _, err := a.Call(ctx, cfgB.Self, cluster.MethodPing); !errors.Is(err, ErrNotSent) {
			t.Fatalf("nobody listens: %v", err)
		}
	}
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("500 calls to a dead node took %v", d)
	}
	b := w.start(cfgB)
	until(t, "the node is reached", func() bool {
		_, err := a.Call(ctx, b.id, cluster.MethodPing)
		return err == nil
	})
}

// TestConnectionLost: calls in flight end with ErrUnknown, later ones get a
// new connection.
func TestConnectionLost(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	var running atomic.Int64
	b.Handle(cluster.MethodForward, func(ctx context.Context, _ cluster.NodeID, _ []byte) ([]byte, error) {
		running.Add(1)
		<-ctx.Done() // ends with its connection
		running.Add(-1)
		return nil, nil
	})
	errs := make(chan error, 10)
	for range 10 {
		go func() {
			_, err := a.Call(t.Context(), b.id, cluster.MethodForward, []byte("x"))
			errs <- err
		}()
	}
	until(t, "ten run", func() bool { return running.Load() == 10 })
	b.Disconnect(a.id)
	for range 10 {
		if err := <-errs; !errors.Is(err, ErrUnknown) || errors.Is(err, ErrNotSent) {
			t.Errorf("lost: %v", err)
		}
	}
	until(t, "handlers end", func() bool { return running.Load() == 0 })
	until(t, "a new connection", func() bool {
		_, err := a.Call(t.Context(), b.id, cluster.MethodPing)
		return err == nil
	})
}

// TestShutdownDrains: what runs is finished, what comes is refused.
func TestShutdownDrains(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	begun, release := make(chan struct{}), make(chan struct{})
	b.Handle(cluster.MethodForward, func(context.Context, cluster.NodeID, []byte) ([]byte, error) {
		close(begun)
		<-release
		return []byte("finished"), nil
	})
	got := make(chan string, 1)
	go func() {
		resp, err := a.Call(t.Context(), b.id, cluster.MethodForward)
		got <- fmt.Sprint(string(resp), err)
	}()
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- b.Shutdown(t.Context()) }()
	until(t, "new calls are refused", func() bool {
		_, err := a.Call(t.Context(), b.id, cluster.MethodPing)
		return errors.Is(err, cluster.ErrStopped)
	})
	close(release)
	if s := <-got; s != "finished<nil>" {
		t.Fatalf("the running call ended with %s", s)
	}
	noErr(t, <-ended)
	if _, err := b.Call(t.Context(), a.id, cluster.MethodPing); !errors.Is(err, ErrNotSent) || !errors.Is(err, cluster.ErrStopped) {
		t.Fatalf("call after the end: %v", err)
	}
}

// TestCloseEndsCalls: Close leaves no caller and no goroutine behind.
func TestCloseEndsCalls(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	var n atomic.Int64
	b.Handle(cluster.MethodForward, func(ctx context.Context, _ cluster.NodeID, _ []byte) ([]byte, error) {
		n.Add(1)
		<-ctx.Done()
		return nil, nil
	})
	errs := make(chan error)
	for range 20 {
		go func() {
			_, err := a.Call(t.Context(), b.id, cluster.MethodForward, make([]byte, 20_000))
			errs <- err
		}()
	}
	until(t, "all run", func() bool { return n.Load() == 20 })
	noErr(t, a.Close())
	for range 20 {
		if err := <-errs; !errors.Is(err, ErrUnknown) {
			t.Errorf("after Close: %v", err)
		}
	}
}

// TestStress mixes sizes, lanes, cancellations and cuts; run it with -race.
func TestStress(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	for _, m := range []cluster.Method{cluster.MethodForward, cluster.MethodBodyPush, cluster.MethodBodyFetch} {
		b.Handle(m, echo)
	}
	// Cuts come by what was answered, not by time: on a busy machine nothing
	// would get through between them.
	const calls, between = 600, 40
	cut := make(chan struct{}, calls/between)
	var cuts sync.WaitGroup
	cuts.Go(func() {
		i := 0
		for range cut {
			[]*testNode{a, b}[i%2].Disconnect([]*testNode{b, a}[i%2].id)
			i++
		}
	})
	patience, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	var good, bad atomic.Int64
	for g := range 12 {
		wg.Go(func() {
			buf := make([]byte, 200_000)
			for i := 0; good.Load() < calls && patience.Err() == nil; i++ {
				size := (i * i * 37 * (g + 1)) % len(buf)
				m := []cluster.Method{cluster.MethodForward, cluster.MethodBodyPush, cluster.MethodBodyFetch}[(i+g)%3]
				for j := range buf[:size] {
					buf[j] = byte(i + g)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+i%7*i%7)*time.Millisecond)
				if i%3 != 0 {
					ctx = patience
				}
				got, err := a.Call(ctx, b.id, m, buf[:size/2], buf[size/2:size])
				cancel()
				if err != nil {
					bad.Add(1)
					if !errors.Is(err, ErrNotSent) && !errors.Is(err, ErrUnknown) {
						var re *RemoteError
						if !errors.As(err, &re) {
							t.Errorf("unclassified: %v", err)
						}
					}
					continue
				}
				if n := good.Add(1); n%between == 0 && n <= calls {
					cut <- struct{}{}
				}
				if len(got) != size || (size > 0 && bytes.Count(got, []byte{byte(i + g)}) != size) {
					t.Errorf("a mixed-up answer of %d bytes for %d", len(got), size)
				}
			}
		})
	}
	wg.Wait()
	close(cut)
	cuts.Wait()
	t.Logf("%d answered, %d failed", good.Load(), bad.Load())
	if good.Load() < calls {
		t.Error("hardly a call got through")
	}
	if s := w.log.String(); strings.Contains(s, "protocol violated") {
		t.Fatal(s)
	}
}
