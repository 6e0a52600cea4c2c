package body

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
)

// fakeNet joins the stores of one test by function calls.
type fakeNet struct {
	mu    sync.Mutex
	nodes map[cluster.NodeID]*fakePeers
	// before, if set, may delay or fail a call.
	before func(ctx context.Context, from, to cluster.NodeID, m cluster.Method) error
	calls  map[cluster.Method]int
}

type fakePeers struct {
	net      *fakeNet
	self     cluster.NodeID
	handlers map[cluster.Method]cluster.Handler
	down     atomic.Bool
}

var errDown = errors.New("peer is down")

func (p *fakePeers) Self() cluster.NodeID                       { return p.self }
func (p *fakePeers) Handle(m cluster.Method, h cluster.Handler) { p.handlers[m] = h }

func (p *fakePeers) Call(ctx context.Context, to cluster.NodeID, m cluster.Method, req ...[]byte) ([]byte, error) {
	p.net.mu.Lock()
	peer, before := p.net.nodes[to], p.net.before
	p.net.calls[m]++
	p.net.mu.Unlock()
	if before != nil {
		if err := before(ctx, p.self, to, m); err != nil {
			return nil, err
		}
	}
	if peer == nil || peer.down.Load() || p.down.Load() {
		return nil, errDown
	}
	in := bytes.Join(req, nil)
	resp, err := peer.handlers[m](ctx, p.self, in)
	for i := range in { // the request is valid only during the call
		in[i] = 0xee
	}
	return resp, err
}

func (n *fakeNet) called(m cluster.Method) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.calls[m]
}

// node is one store of a test cluster.
type node struct {
	*Store
	id    cluster.NodeID
	peers *fakePeers
	state *fakeState
}

func newNet(t *testing.T, n int, tune func(*Options)) (*fakeNet, []*node) {
	t.Helper()
	net := &fakeNet{nodes: make(map[cluster.NodeID]*fakePeers), calls: make(map[cluster.Method]int)}
	ids := make([]cluster.NodeID, n)
	for i := range ids {
		ids[i] = cluster.NodeID{byte(i + 1)}
	}
	nodes := make([]*node, n)
	for i, id := range ids {
		p := &fakePeers{net: net, self: id, handlers: make(map[cluster.Method]cluster.Handler)}
		opts := testOpts(t)
		state := newState()
		opts.Live, opts.Peers = state, p
		opts.SegmentSize = 1 << 20
		others := slices.DeleteFunc(slices.Clone(ids), func(o cluster.NodeID) bool { return o == id })
		opts.Members = func(cluster.GroupID) []cluster.NodeID { return others }
		if tune != nil {
			tune(&opts)
		}
		nodes[i] = &node{mustOpenBy(t, ways[(i+1)%3], vfs.NewMem(), opts), id, p, state}
		net.mu.Lock()
		net.nodes[id] = p
		net.mu.Unlock()
	}
	return net, nodes
}

func closeAll(t *testing.T, nodes []*node) {
	t.Helper()
	for _, n := range nodes {
		mustClose(t, n.Store)
		closeJournal(t, n.Store)
	}
}

// bubble runs a test of three nodes with a clock of its own.
func bubble(t *testing.T, tune func(*Options), f func(t *testing.T, net *fakeNet, n []*node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net, nodes := newNet(t, 3, tune)
		f(t, net, nodes)
		closeAll(t, nodes)
	})
}

func others(n *node) []cluster.NodeID { return n.opts.Members(1) }

// ensure calls Ensure with the five seconds that the log's transport gives it.
func ensure(n *node, from cluster.NodeID, index uint64, refs ...cluster.BodyRef) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return n.Ensure(ctx, 1, from, index, refs)
}

func TestDistributeAndEnsure(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		rng := seeded(20)
		var refs []cluster.BodyRef
		for i := range 40 {
			data, ref := randBody(rng, 10+i*500)
			refs = append(refs, ref)
			sp := n[0].Distribute(t.Context(), 1, ref.ID, data, others(n[0]))
			if err := n[0].Put(t.Context(), 1, ref.ID, data); err != nil {
				t.Fatal(err)
			}
			if err := sp.Wait(t.Context(), 2); err != nil {
				t.Fatalf("Wait: %v", err)
			}
			if d, p := sp.Durable(); d != 2 || p != 0 {
				t.Errorf("%d durable, %d pending", d, p)
			}
		}
		for _, o := range n[1:] {
			if err := ensure(o, n[0].id, 1, refs...); err != nil {
				t.Errorf("Ensure: %v", err)
			}
			for _, r := range refs {
				if err := readBody(o.Store, 1, r.ID); err != nil {
					t.Error(err)
				}
			}
		}
		if c := net.called(cluster.MethodBodyFetch); c != 0 {
			t.Errorf("%d fetches although everything was pushed", c)
		}
		have, err := n[1].Have(t.Context(), n[2].id, 1, []cluster.BodyID{refs[0].ID, {9}})
		if err != nil || !slices.Equal(have, []bool{true, false}) {
			t.Errorf("Have: %v %v", have, err)
		}
	})
}

// TestEnsureWokenByPush: the entry comes first, its body a little later.
func TestEnsureWokenByPush(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		data, ref := randBody(seeded(21), 5000)
		begun := time.Now()
		done := make(chan error, 1)
		go func() { done <- ensure(n[1], n[0].id, 1, ref) }()
		synctest.Wait()
		time.Sleep(10 * time.Millisecond)
		n[0].Distribute(t.Context(), 1, ref.ID, data, []cluster.NodeID{n[1].id})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begun); d != 10*time.Millisecond {
			t.Errorf("woken after %v", d)
		}
		if c := net.called(cluster.MethodBodyFetch); c != 0 {
			t.Errorf("%d fetches", c)
		}
	})
}

func TestEnsurePulls(t *testing.T) {
	for _, size := range []int{0, 10, 300 << 10, maxRange, maxRange + 1, 9 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
				data, ref := randBody(seeded(22), size)
				if err := n[2].Put(t.Context(), 1, ref.ID, data); err != nil {
					t.Fatal(err)
				}
				// The sender of the entry does not have it; another does.
				if err := ensure(n[1], n[0].id, 1, ref); err != nil {
					t.Fatal(err)
				}
				if err := readBody(n[1].Store, 1, ref.ID); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestEnsureManyAtOnce pulls many small bodies in few calls, with several
// entries waiting for the same ones.
func TestEnsureManyAtOnce(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		rng := seeded(23)
		var refs []cluster.BodyRef
		for range 300 {
			data, _ := randBody(rng, 1000+rng.IntN(40<<10))
			refs = append(refs, mustPut(t, n[0].Store, 1, data))
		}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if err := ensure(n[1], n[0].id, uint64(i), refs[i*20:]...); err != nil {
					t.Errorf("Ensure: %v", err)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if c := net.called(cluster.MethodBodyFetch); c > 12 {
			t.Errorf("%d fetches for %d bodies", c, len(refs))
		}
		if p := n[1].Stats().Pulled; p != uint64(len(refs)) {
			t.Errorf("%d bodies pulled, want %d", p, len(refs))
		}
	})
}

// TestEnsureNotHere: nobody has the body, and nobody can prove it gone.
func TestEnsureNotHere(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		data, ref := randBody(seeded(24), 100)
		begun := time.Now()
		err := ensure(n[1], n[0].id, 1, ref)
		if !errors.Is(err, cluster.ErrNotHere) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ensure: %v", err)
		}
		if d := time.Since(begun); d != 5*time.Second {
			t.Errorf("after %v", d)
		}
		g := only(t, n[1].Store, 1)
		waitBubble(t, "the pull to end", func() bool {
			g.mu.Lock()
			defer g.mu.Unlock()
			return len(g.pulling) == 0 && len(g.waiters) == 0
		})
		// It turns up later, at a node that was down.
		n[2].peers.down.Store(true)
		if err := n[2].Put(t.Context(), 1, ref.ID, data); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Second)
			n[2].peers.down.Store(false)
		}()
		if err := ensure(n[1], n[0].id, 1, ref); err != nil {
			t.Errorf("Ensure: %v", err)
		}
	})
}

// waitBubble waits for cond on the bubble's clock, for at most a minute of it.
func waitBubble(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for range 60000 {
		synctest.Wait()
		if cond() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("waited in vain for %s", what)
}

// TestEnsureGone is R8: a body that nothing refers to is proven gone by a node
// whose durable state is at least as new as the entry, for whatever reason,
// and by no other.
func TestEnsureGone(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		_, ref := randBody(seeded(25), 100)
		n[0].state.apply(nil, nil) // 1: names the body; refused at Apply
		n[0].state.apply(nil, nil) // 2
		if err := ensure(n[1], n[0].id, 1, ref); err == nil {
			t.Error("believed a node whose state is not durable")
		}
		n[0].state.syncTo(1)
		if err := ensure(n[1], n[0].id, 2, ref); err == nil {
			t.Error("believed a node whose durable state is older than the entry")
		}
		// Seen at 2 and durable at 2: proof for entries up to 2.
		go func() {
			time.Sleep(time.Second)
			n[0].state.sync()
		}()
		begun := time.Now()
		if err := ensure(n[1], n[0].id, 2, ref); err != nil {
			t.Errorf("Ensure: %v", err)
		}
		if d := time.Since(begun); d < time.Second || d > 2*time.Second {
			t.Errorf("proven after %v", d)
		}
		if err := n[1].Reconcile(t.Context(), 1, n[1].state.live); err != nil {
			t.Fatal(err)
		}
		if n[1].Whole(1) {
			t.Error("whole before the death was applied here")
		}
		n[1].state.apply(nil, nil)
		n[1].state.apply(nil, nil)
		if !n[1].Whole(1) {
			t.Error("not whole after it")
		}
		if err := ensure(n[1], n[0].id, 3, ref); err == nil {
			t.Error("the proof was taken for a later entry")
		}
		// A node that refers to it never says gone.
		_, other := randBody(seeded(26), 100)
		n[0].state.apply([]cluster.BodyRef{other}, nil)
		n[0].state.sync()
		n[2].state.apply([]cluster.BodyRef{other}, nil)
		n[2].state.sync()
		if err := ensure(n[1], n[0].id, 1, other); err == nil {
			t.Error("a referenced body was proven gone")
		}
	})
}

// TestGoneOnlyFromDurableState: what readers see refers to the body no more,
// but what is on the disk still does.
func TestGoneOnlyFromDurableState(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		_, ref := randBody(seeded(39), 100)
		n[0].state.apply([]cluster.BodyRef{ref}, nil)
		n[0].state.sync()
		n[0].state.apply(nil, []cluster.BodyRef{ref})
		if err := ensure(n[1], n[0].id, 1, ref); err == nil {
			t.Error("proven gone by a state that a power loss takes back")
		}
		n[0].state.sync()
		if err := ensure(n[1], n[0].id, 1, ref); err != nil {
			t.Errorf("Ensure: %v", err)
		}
	})
}

// TestGoneOnABusyNode: the state never stands still, so what is applied is
// always ahead of what is durable, and still the proof comes.
func TestGoneOnABusyNode(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		_, ref := randBody(seeded(27), 100)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; ; i++ {
				n[0].state.apply(nil, nil)
				if i%100 == 99 {
					n[0].state.sync()
					n[0].state.apply(nil, nil)
				}
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
		time.Sleep(time.Second)
		if err := ensure(n[1], n[0].id, 1, ref); err != nil {
			t.Errorf("Ensure: %v", err)
		}
		close(stop)
		wg.Wait()
	})
}

// TestPullOutlivesEnsure: a body that takes longer than one RPC's patience
// arrives all the same.
func TestPullOutlivesEnsure(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		net.before = func(ctx context.Context, _, _ cluster.NodeID, m cluster.Method) error {
			if m == cluster.MethodBodyFetch {
				time.Sleep(3 * time.Second)
			}
			return nil
		}
		data, ref := randBody(seeded(28), 3*maxRange)
		if err := n[0].Put(t.Context(), 1, ref.ID, data); err != nil {
			t.Fatal(err)
		}
		if err := ensure(n[1], n[0].id, 1, ref); err == nil {
			t.Fatal("three calls of 3 s ended in 5 s")
		}
		if err := ensure(n[1], n[0].id, 1, ref); err != nil {
			t.Errorf("Ensure: %v", err)
		}
		if c := net.called(cluster.MethodBodyFetch); c != 3 {
			t.Errorf("%d fetches, want 3", c)
		}
	})
}

// TestSlowPeerHoldsNobody: pushes to a peer that hangs are bounded and cost
// the others nothing.
func TestSlowPeerHoldsNobody(t *testing.T) {
	tune := func(o *Options) { o.MaxPushBytes = 64 << 10 }
	bubble(t, tune, func(t *testing.T, net *fakeNet, n []*node) {
		slow := n[2].id
		net.before = func(ctx context.Context, _, to cluster.NodeID, m cluster.Method) error {
			if to == slow {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		rng := seeded(29)
		begun := time.Now()
		var last *Spread
		for range 50 {
			data, ref := randBody(rng, 8<<10)
			last = n[0].Distribute(t.Context(), 1, ref.ID, data, others(n[0]))
			if err := last.Wait(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begun); d != 0 {
			t.Errorf("took %v", d)
		}
		if err := last.Wait(t.Context(), 2); !errors.Is(err, cluster.ErrUnavailable) {
			t.Errorf("Wait for the slow one: %v", err)
		}
		l := n[0].net.lane(slow)
		l.mu.Lock()
		if l.bytes > 64<<10 || l.running > laneCalls {
			t.Errorf("%d bytes in %d calls on their way", l.bytes, l.running)
		}
		l.mu.Unlock()
		if d := n[0].Stats().PushDropped; d != 50-8 {
			t.Errorf("%d pushes dropped", d)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		l.mu.Lock()
		if l.bytes != 0 || l.running != 0 || len(l.queue) != 0 {
			t.Errorf("left: %d bytes, %d calls, %d queued", l.bytes, l.running, len(l.queue))
		}
		l.mu.Unlock()
	})
}

func TestServerRefusesBadPush(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		data, ref := randBody(seeded(30), 100)
		_, wrong := randBody(seeded(31), 100)
		sp := n[0].Distribute(t.Context(), 1, wrong.ID, data, []cluster.NodeID{n[1].id})
		if err := sp.Wait(t.Context(), 1); !errors.Is(err, cluster.ErrUnavailable) {
			t.Errorf("Wait: %v", err)
		}
		if n[1].Has(1, wrong.ID) || n[1].Has(1, ref.ID) || n[1].Stats().BadHash != 1 {
			t.Error("bytes that do not match their id were stored")
		}
	})
}

// TestLyingPeer: a pull from a peer whose bytes are wrong goes on to another.
func TestLyingPeer(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		data, ref := randBody(seeded(32), 100)
		wrong, _ := randBody(seeded(33), 100)
		if err := n[0].Put(t.Context(), 1, ref.ID, wrong); err != nil { // Put does not hash
			t.Fatal(err)
		}
		if err := n[2].Put(t.Context(), 1, ref.ID, data); err != nil {
			t.Fatal(err)
		}
		if err := ensure(n[1], n[0].id, 1, ref); err != nil {
			t.Errorf("Ensure: %v", err)
		}
		if err := readBody(n[1].Store, 1, ref.ID); err != nil {
			t.Error(err)
		}
	})
}

// TestGoneChecksAtBothEnds: the server compares its durable index with the
// entry's, and so does every waiter, which may have come after the question.
func TestGoneChecksAtBothEnds(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		_, ref := randBody(seeded(52), 10)
		n[0].state.apply(nil, nil)
		n[0].state.sync()
		for index, want := range []byte{stGone, stGone, stNotHere} {
			if f := n[0].absent(1, ref.ID, uint64(index)); f.state != want {
				t.Errorf("entry %d: state %d, want %d", index, f.state, want)
			}
		}
		g, err := n[1].group(1)
		if err != nil {
			t.Fatal(err)
		}
		w, _ := g.register(5, []cluster.BodyRef{ref})
		g.proveGone(ref.ID, 4)
		select {
		case <-w.done:
			t.Error("an older proof was taken")
		default:
		}
		g.proveGone(ref.ID, 5)
		<-w.done
	})
}

// TestFetchVerifies: wrong bytes from a member are never given to a reader.
func TestFetchVerifies(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		_, ref := randBody(seeded(53), 100)
		wrong, _ := randBody(seeded(54), 100)
		if err := n[0].Put(t.Context(), 1, ref.ID, wrong); err != nil { // Put does not hash
			t.Fatal(err)
		}
		n[2].state.apply([]cluster.BodyRef{ref}, nil)
		if _, err := n[1].Fetch(t.Context(), 1, ref); !errors.Is(err, cluster.ErrNotHere) || !errors.Is(err, errFormat) {
			t.Errorf("Fetch: %v", err)
		}
		if n[1].Has(1, ref.ID) {
			t.Error("wrong bytes were stored")
		}
	})
}

func TestFetchReadThrough(t *testing.T) {
	for _, size := range []int{100, 9 << 20} {
		for _, known := range []bool{true, false} {
			bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
				data, ref := randBody(seeded(34), size)
				for _, o := range n {
					o.state.apply([]cluster.BodyRef{ref}, nil)
				}
				if err := n[2].Put(t.Context(), 1, ref.ID, data); err != nil {
					t.Fatal(err)
				}
				if !known {
					ref.Size = 0
				}
				h, err := n[1].Fetch(t.Context(), 1, ref)
				if err != nil {
					t.Fatal(err)
				}
				if err := readHandle(h, ref.ID); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if err := readBody(n[1].Store, 1, ref.ID); err != nil {
					t.Errorf("not stored in passing: %v", err)
				}
				if m := n[1].Stats().Missing; m != 0 {
					t.Errorf("%d bodies are still missing", m)
				}
				if !n[1].net.readPulls.TryAcquire(n[1].opts.MaxPullBytes) {
					t.Error("memory was not given back")
				}
			})
		}
	}
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		_, ref := randBody(seeded(35), 10)
		n[0].state.apply([]cluster.BodyRef{ref}, nil)
		n[2].state.apply([]cluster.BodyRef{ref}, nil)
		if _, err := n[1].Fetch(t.Context(), 1, ref); !errors.Is(err, cluster.ErrNotHere) {
			t.Errorf("nowhere: %v", err)
		}
		n[0].peers.down.Store(true)
		if _, err := n[1].Fetch(t.Context(), 1, ref); !errors.Is(err, cluster.ErrNotHere) || !errors.Is(err, errDown) {
			t.Errorf("one is down: %v", err)
		}
		n[2].state.apply(nil, []cluster.BodyRef{ref})
		n[2].state.sync()
		if _, err := n[1].Fetch(t.Context(), 1, ref); !errors.Is(err, cluster.ErrGone) {
			t.Errorf("gone: %v", err)
		}
	})
}

// TestBackfillOfAnEmptyNode: a new node gets everything, from all members, and
// is whole only then.
func TestBackfillOfAnEmptyNode(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		rng := seeded(36)
		var refs []cluster.BodyRef
		for i := range 3000 {
			data, ref := randBody(rng, 20+rng.IntN(300))
			if i%500 == 0 {
				data, ref = randBody(rng, 5<<20)
			}
			refs = append(refs, ref)
			for _, o := range n[:2] {
				if i%2 == 0 || o == n[i/2%2] { // half of them are at one node only
					mustPut(t, o.Store, 1, data)
				}
			}
		}
		for _, o := range n {
			o.state.apply(refs, nil)
			o.state.sync()
		}
		if n[2].Whole(1) {
			t.Error("whole before Reconcile")
		}
		if err := n[2].Reconcile(t.Context(), 1, n[2].state.live); err != nil {
			t.Fatal(err)
		}
		if m := n[2].Stats().Missing; m != len(refs) || n[2].Whole(1) {
			t.Errorf("%d missing; whole: %v", m, n[2].Whole(1))
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { n[2].Run(ctx) })
		waitBubble(t, "the backfill", func() bool { return n[2].Whole(1) })
		for _, r := range refs {
			if err := readBody(n[2].Store, 1, r.ID); err != nil {
				t.Error(err)
			}
		}
		// A committed entry whose body no one has any more.
		_, lost := randBody(rng, 10)
		for _, o := range n {
			o.state.apply([]cluster.BodyRef{lost}, nil)
			o.state.sync()
		}
		n[2].Backfill(1, 2, []cluster.BodyRef{lost, refs[0]})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if st := n[2].Stats(); n[2].Whole(1) || st.Missing != 1 || st.Unavailable == 0 {
			t.Errorf("a lost body: whole %v, %d missing", n[2].Whole(1), st.Missing)
		}
		n[2].GiveUp(1, lost.ID)
		if !n[2].Whole(1) {
			t.Error("not whole after the loss was logged")
		}
		// One that died meanwhile is not waited for.
		_, dead := randBody(rng, 10)
		n[2].Backfill(1, 3, []cluster.BodyRef{dead})
		n[2].state.apply(nil, nil)
		waitBubble(t, "the dead body to be dropped", func() bool { return n[2].Whole(1) })
		stop()
		wg.Wait()
	})
}

// TestBackfillQueueIsBounded: what does not fit in the queue is found by going
// on with the scan, and a body of an entry that is not applied yet by waiting
// for it.
func TestBackfillQueueIsBounded(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		rng := seeded(55)
		var refs []cluster.BodyRef
		for range 100 {
			data, _ := randBody(rng, 50)
			refs = append(refs, mustPut(t, n[0].Store, 1, data))
		}
		late := refs[99]
		n[2].state.apply(refs[:99], nil)
		g, err := n[2].group(1)
		if err != nil {
			t.Fatal(err)
		}
		g.back.limit = 8
		reconcile(t, n[2].Store, n[2].state)
		n[2].Backfill(1, 2, []cluster.BodyRef{late})
		if m := n[2].Stats().Missing; m != 8 {
			t.Errorf("%d queued, want 8", m)
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { n[2].Run(ctx) })
		time.Sleep(time.Minute)
		synctest.Wait()
		if n[2].Whole(1) {
			t.Error("whole although a body of an entry was dropped from the queue")
		}
		n[2].state.apply([]cluster.BodyRef{late}, nil)
		waitBubble(t, "the backfill", func() bool { return n[2].Whole(1) })
		for _, r := range refs {
			if err := readBody(n[2].Store, 1, r.ID); err != nil {
				t.Error(err)
			}
		}
		stop()
		wg.Wait()
	})
}

func TestReportsReachTheLeader(t *testing.T) {
	var free atomic.Uint64
	free.Store(1000)
	first := true
	tune := func(o *Options) {
		o.RefuseFree, o.ReserveFree = 500, 100
		mine := first // the first node has room, the others share a measure
		first = false
		o.DiskUsage = func() (vfs.DiskUsage, error) {
			if mine {
				return vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 40}, nil
			}
			return vfs.DiskUsage{AvailBytes: free.Load(), TotalBytes: 1 << 20}, nil
		}
	}
	bubble(t, tune, func(t *testing.T, net *fakeNet, n []*node) {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { n[0].Run(ctx) })
		data, ref := randBody(seeded(37), 10)
		if err := n[0].Distribute(ctx, 1, ref.ID, data, others(n[0])).Wait(ctx, 2); err != nil {
			t.Fatal(err)
		}
		mustPut(t, n[0].Store, 1, data)
		if !n[0].Room(1) {
			t.Error("no room although all have some")
		}
		free.Store(200)
		waitBubble(t, "the members' reports", func() bool { return !n[0].Room(1) })
		// Bodies that an entry names still get in.
		d2, r2 := randBody(seeded(38), 10)
		mustPut(t, n[0].Store, 1, d2)
		if err := ensure(n[1], n[0].id, 1, r2); err != nil {
			t.Errorf("the gate on a full disk: %v", err)
		}
		free.Store(1000)
		waitBubble(t, "room again", func() bool { return n[0].Room(1) })
		stop()
		wg.Wait()
	})
}
