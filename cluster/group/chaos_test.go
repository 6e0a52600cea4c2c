package group

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
)

// TestChaos runs writers and readers on all nodes while nodes are killed and
// cut off. At the end every answered append is there exactly once, no other
// more than once, and the states are equal; no read index ever missed an
// answered append. GROUPTEST_CHAOS gives the seconds, GROUPTEST_SEED the seed.
func TestChaos(t *testing.T) {
	length := 2 * time.Second
	if s, err := strconv.Atoi(os.Getenv("GROUPTEST_CHAOS")); err == nil {
		length = time.Duration(s) * time.Second
	}
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("GROUPTEST_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("seed %d", seed)
	tune := shortLogs()
	tune.CallWait = 300 * time.Millisecond
	w := newWorld(t, 3, tune)
	w.start()

	var mu sync.RWMutex // nodes are replaced under it
	var done sync.Mutex
	answered := map[string]bool{}
	tried := 0
	stop := make(chan struct{})
	stopped := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	pick := func(r *rand.Rand) *Group {
		mu.RLock()
		defer mu.RUnlock()
		return w.nodes[r.IntN(3)].g
	}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for n := 0; !stopped(); n++ {
				word := fmt.Sprintf("w%d-%d", i, n)
				p := cluster.Proposal{Op: newOp(), Command: fmt.Appendf(nil, "append log %s", word)}
				done.Lock()
				tried++
				done.Unlock()
				// The same operation on one node after another until one answers.
				for try := 0; try < 4; try++ {
					g := pick(r)
					if g == nil {
						continue
					}
					ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
					_, err := g.Propose(ctx, p)
					cancel()
					if err == nil {
						done.Lock()
						answered[word] = true
						done.Unlock()
						break
					}
				}
			}
		}()
	}
	for i := range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := rand.New(rand.NewPCG(seed, uint64(100+i)))
			for !stopped() {
				done.Lock()
				var before []string
				for k := range answered {
					if before = append(before, k); len(before) == 200 {
						break
					}
				}
				done.Unlock()
				mu.RLock()
				n := w.nodes[r.IntN(3)]
				g := n.g
				mu.RUnlock()
				if g == nil {
					continue
				}
				ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
				err := g.ReadIndex(ctx)
				cancel()
				if err != nil {
					continue
				}
				// A kill takes the state back: only a node that still runs counts.
				mu.RLock()
				have := n.m.Get("log")
				same := n.g == g
				mu.RUnlock()
				if !same {
					continue
				}
				seen := map[string]bool{}
				for _, k := range strings.Split(have, ",") {
					seen[k] = true
				}
				for _, k := range before {
					if !seen[k] {
						t.Errorf("node %d does not see %s after a read index", n.i, k)
						return
					}
				}
			}
		}()
	}

	r := rand.New(rand.NewPCG(seed, 1000))
	end := time.Now().Add(length)
	for time.Now().Before(end) && !t.Failed() {
		n := w.nodes[r.IntN(3)]
		switch r.IntN(6) {
		case 0, 1:
			mu.Lock()
			n.kill()
			mu.Unlock()
			wait(t, time.Duration(r.IntN(400))*time.Millisecond)
			mu.Lock()
			n.open(false, false)
			mu.Unlock()
		case 2:
			w.net.Isolate(n.id)
			wait(t, time.Duration(100+r.IntN(400))*time.Millisecond)
			w.net.Heal()
		case 3: // one direction of one link
			w.net.Cut(n.id, w.nodes[(n.i+1)%3].id)
			wait(t, time.Duration(100+r.IntN(300))*time.Millisecond)
			w.net.Heal()
		case 4:
			mu.RLock()
			if err := n.g.Trim(); err != nil {
				t.Errorf("trim: %v", err)
			}
			mu.RUnlock()
		case 5: // so long that it needs an install
			mu.Lock()
			n.kill()
			mu.Unlock()
			o := w.nodes[(n.i+1)%3]
			have := o.g.appliedIndex()
			until := time.Now().Add(2 * time.Second)
			for o.g.appliedIndex() < have+3*minTrailing && time.Now().Before(until) {
				wait(t, 10*time.Millisecond)
			}
			for _, o := range w.nodes {
				if o != n {
					if err := o.g.Trim(); err != nil {
						t.Errorf("trim: %v", err)
					}
				}
			}
			mu.Lock()
			n.open(false, false)
			mu.Unlock()
		}
		wait(t, time.Duration(100+r.IntN(200))*time.Millisecond)
	}
	close(stop)
	wg.Wait()
	w.net.Heal()
	w.leader().must("set end 1")
	w.same()
	count := map[string]int{}
	for _, k := range strings.Split(w.nodes[0].m.Get("log"), ",") {
		count[k]++
	}
	for k, n := range count {
		if n > 1 {
			t.Errorf("%s happened %d times", k, n)
		}
	}
	lost := 0
	for k := range answered {
		if count[k] == 0 {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d answered appends are lost", lost)
	}
	if len(answered) < 20 {
		t.Errorf("only %d of %d appends were answered", len(answered), tried)
	}
	installs := uint64(0)
	for _, n := range w.nodes {
		installs += n.g.Stats().Installs
		if f := n.fatals(); len(f) > 0 {
			t.Errorf("node %d: fatal %v", n.i, f)
		}
	}
	t.Logf("%d appends, %d answered, %d in the state, %d installs", tried, len(answered), len(count), installs)
}

// wait lets a fault last.
func wait(t *testing.T, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
