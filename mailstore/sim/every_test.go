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
	}{
		{crashAt, 120, 7, 8},
		{crashTwice, 40, 5, 4},
		{trimCrash, 30, 4, 6},
		{lagCrash, 60, 8, 3},
		{joinCrash, 60, 8, 4},
	} {
		stride, nodes := c.stride, 1
		if *flagSchedules > 0 {
			stride, nodes = 1, 3
		}
		var next atomic.Int64
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
							events: []event{{after: 100 * time.Millisecond, what: c.what, node: n, k: k, lasts: 900 * time.Millisecond}},
						}
						w, err := l.run(t, p)
						if err != nil {
							t.Errorf("%v\n%s\n%v", err, p, w.trailText())
						}
					}
				})
			}
		})
	}
}
