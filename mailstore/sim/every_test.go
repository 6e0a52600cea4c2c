package sim

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// TestCrashAtEveryOperation takes the power from a node before each operation
// on its disk in turn: while mail comes in, while it starts again, while the log
// is cut and rewritten, while a whole state comes, and while it joins. A unit
// test takes every few operations, -sim.schedules all of them.
func TestCrashAtEveryOperation(t *testing.T) {
	l := newLab(t)
	for _, c := range []struct {
		what   kind
		upTo   int
		stride int
		steps  int
		lasts  time.Duration
	}{
		{crashAt, 140, 9, 40, 3 * time.Second},
		{crashTwice, 40, 5, 4, 900 * time.Millisecond},
		{trimCrash, 16, 2, 4, 900 * time.Millisecond},
		{lagCrash, 60, 8, 3, 900 * time.Millisecond},
		{joinCrash, 60, 8, 4, 900 * time.Millisecond},
	} {
		stride, nodes := c.stride, 1
		if *flagSchedules > 0 {
			stride, nodes = 1, 3
		}
		var next, hit, all atomic.Int64
		t.Run(kindNames[c.what], func(t *testing.T) {
			for worker := range 2 {
				t.Run(fmt.Sprint(worker), func(t *testing.T) {
					t.Parallel()
					for {
						i := int(next.Add(1) - 1)
						k, n := 1+i/nodes*stride, i%nodes
						if k > c.upTo || t.Failed() {
							return
						}
						if nodes == 1 {
							n = i % 3
						}
						p := &plan{
							seed: uint64(k*10 + n), clients: 2, steps: c.steps, slow: time.Millisecond,
							delay: 300 * time.Microsecond, jitter: 2 * time.Millisecond, logs: true,
							events: []event{{after: 100 * time.Millisecond, what: c.what, node: n, k: k, lasts: c.lasts}},
						}
						w, err := l.run(t, p)
						all.Add(1)
						for _, n := range w.nodes {
							hit.Add(int64(n.disk.hit))
						}
						if err != nil {
							t.Errorf("%v\n%s\n%v", err, p, w.trailText())
						}
					}
				})
			}
		})
		t.Logf("%s: %d of %d crashes at an operation", kindNames[c.what], hit.Load(), all.Load())
		if hit.Load()*5 < all.Load() { // a trim has fewer operations than are tried
			t.Errorf("%s: hardly an operation was reached", kindNames[c.what])
		}
	}
}
