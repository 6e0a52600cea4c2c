//go:build e2e

package faults

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

var (
	rounds = flag.Int("rounds", 8, "rounds of kill -9")
	seed   = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of what is killed when")
)

var built struct {
	once sync.Once
	dir  string
	bin  string
	err  error
}

// TestMain removes what all tests shared.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if built.dir != "" {
		if err := os.RemoveAll(built.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// binary builds altmail once for all tests.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "altmail-e2e-"); built.err == nil {
			built.bin, built.err = Build(context.Background(), built.dir)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.bin
}

// start runs a cluster that ends with the test; on failure the ends of the
// nodes' logs are printed.
func start(t *testing.T, nodes int) *Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := Start(ctx, binary(t), t.TempDir(), nodes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range c.Nodes {
				t.Logf("--- %s\n%s", n.Name, n.Log(60))
			}
		}
		if err := c.Stop(); err != nil {
			t.Errorf("demo: %v", err)
		}
	})
	return c
}

// TestKill kills a node with SIGKILL again and again, the leader of the
// account's group as often as not, under 16 deliveries and 4 IMAP writers.
// Nothing answered may be lost, nothing doubled, no UID may move.
func TestKill(t *testing.T) {
	c := start(t, 3)
	h := NewHistory()
	rng := rand.New(rand.NewPCG(*seed, 1))
	t.Logf("seed %d, %d rounds", *seed, *rounds)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	group, err := c.AccountGroup(ctx, c.Nodes[0], c.Account.Address)
	if err != nil {
		t.Fatal(err)
	}

	boxes := []string{"INBOX"}
	cl, err := Dial(c.Nodes[0], c.Account)
	if err != nil {
		t.Fatal(err)
	}
	const writers = 4
	for i := range writers {
		box := fmt.Sprintf("writer%d", i)
		if err := cl.Create(box, nil).Wait(); err != nil {
			t.Fatal(err)
		}
		boxes = append(boxes, box)
	}
	cl.Close()

	// Deliveries are rationed, so that a long run stays one that can be read
	// back whole after each round.
	ration := make(chan struct{}, 64)
	feed := func() {
		for {
			select {
			case ration <- struct{}{}:
			default:
				return
			}
		}
	}

	// Clients pause at a gate while mailboxes are verified, so that a listing
	// is compared with a history at rest.
	var gate sync.RWMutex
	var answered atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		r := rand.New(rand.NewPCG(*seed, uint64(100+i)))
		wg.Go(func() {
			for {
				select {
				case <-ration:
				case <-ctx.Done():
					return
				}
				gate.RLock()
				n := c.Nodes[r.IntN(len(c.Nodes))]
				if n.Up() {
					size := 300 + r.IntN(6000)
					if r.IntN(40) == 0 {
						size = 400_000
					}
					id, raw := h.New("INBOX", size)
					o, _ := Deliver(n.SMTP, c.Account.Address, raw)
					h.Done(id, o)
					if o == Answered {
						answered.Add(1)
					}
				}
				gate.RUnlock()
			}
		})
	}
	for i := range writers {
		r := rand.New(rand.NewPCG(*seed, uint64(200+i)))
		wg.Go(func() { writer(ctx, c, h, boxes[1+i], r, &gate) })
	}

	var again []time.Duration // from each kill until five more were answered
	for round := range *rounds {
		// Let some work be answered between kills.
		have := answered.Load()
		wctx, cancel := context.WithTimeout(ctx, time.Minute)
		if err := c.Wait(wctx, func() (bool, error) { feed(); return answered.Load() > have+30, nil }); err != nil {
			t.Fatalf("round %d: no delivery is answered: %v", round, err)
		}
		cancel()
		victim := c.Nodes[rng.IntN(len(c.Nodes))]
		if rng.IntN(2) == 0 {
			if l, err := c.Leader(ctx, c.Nodes[rng.IntN(len(c.Nodes))], group); err == nil {
				victim = l
			}
		}
		if err := victim.Kill(); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		have = answered.Load()
		wctx, cancel = context.WithTimeout(ctx, 30*time.Second)
		if err := c.Wait(wctx, func() (bool, error) { feed(); return answered.Load() > have+5, nil }); err != nil {
			t.Fatalf("round %d: no delivery is answered with %s down: %v", round, victim.Name, err)
		}
		cancel()
		again = append(again, time.Since(killed))
		t.Logf("round %d: %s killed, answered again after %s", round, victim.Name, again[round].Round(time.Millisecond))
		wctx, cancel = context.WithTimeout(ctx, time.Minute)
		if err := c.Serve(wctx, victim); err != nil {
			t.Fatal(err)
		}
		gate.Lock()
		err := c.VerifyAt(wctx, victim, h, boxes)
		gate.Unlock()
		cancel()
		if err != nil {
			t.Fatalf("round %d, seed %d: %v", round, *seed, err)
		}
	}
	stop()
	wg.Wait()

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := c.WaitHealthy(ctx, c.Nodes[0], 3); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		if err := c.VerifyAt(ctx, n, h, boxes); err != nil {
			t.Errorf("at the end, seed %d: %v", *seed, err)
		}
	}
	if err := c.Compare(ctx, c.Nodes[0]); err != nil {
		t.Error(err)
	}
	if err := c.Check(ctx); err != nil {
		t.Error(err)
	}
	a, r, u := h.Count()
	slices.Sort(again)
	t.Logf("%d answered, %d refused, %d unknown; answered again after a kill: median %s", a, r, u, again[len(again)/2].Round(time.Millisecond))
	if a < *rounds*30 {
		t.Errorf("only %d answered: the run proved little", a)
	}
}

// writer appends to its mailbox and changes flags of what it appended, at
// whichever node answers.
func writer(ctx context.Context, c *Cluster, h *History, box string, r *rand.Rand, gate *sync.RWMutex) {
	type msg struct {
		id  string
		uid imap.UID
	}
	var msgs []msg
	var cl *imapclient.Client
	for ctx.Err() == nil {
		gate.RLock()
		func() {
			defer gate.RUnlock()
			if cl == nil {
				n := c.Nodes[r.IntN(len(c.Nodes))]
				if !n.Up() {
					return
				}
				var err error
				if cl, err = Dial(n, c.Account); err != nil {
					cl = nil
					return
				}
				if _, err := cl.Select(box, nil).Wait(); err != nil {
					cl.Close()
					cl = nil
					return
				}
			}
			var o Outcome
			if len(msgs) == 0 || len(msgs) < 200 && r.IntN(4) == 0 {
				id, raw := h.New(box, 300+r.IntN(3000))
				var uid imap.UID
				uid, o, _ = Append(cl, box, raw)
				h.Done(id, o)
				if o == Answered {
					msgs = append(msgs, msg{id, uid})
				}
			} else {
				m := msgs[r.IntN(len(msgs))]
				if h.InDoubt(m.id) {
					return
				}
				var flags []string
				for _, f := range []string{`\Seen`, `\Flagged`, `\Answered`, "$Work", "blue"} {
					if r.IntN(2) == 0 {
						flags = append(flags, f)
					}
				}
				h.Storing(m.id, flags)
				o, _ = SetFlags(cl, m.uid, flags)
				h.Stored(m.id, o)
			}
			if o != Answered {
				cl.Close()
				cl = nil
			}
		}()
	}
	if cl != nil {
		cl.Close()
	}
}

// freeAddr finds a free loopback address.
func freeAddr(t *testing.T) string {
	t.Helper()
	a, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return a[0]
}
