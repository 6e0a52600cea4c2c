package group

import (
	"sort"
	"testing"
	"time"
)

// TestFailover kills leaders and measures how long it takes until a survivor's
// proposal is answered. The target is a median of 1 s; the test allows twice
// that, because it shares the machine.
func TestFailover(t *testing.T) {
	tune := fastTuning()
	tune.Heartbeat, tune.Commit = 0, 0 // the real ones
	w := newQuietWorld(t, 3, tune)
	w.start()
	rounds := 3
	var took []time.Duration
	for i := range rounds {
		l := w.leader()
		survivor := w.followers()[i%2]
		survivor.must("set before %d", i)
		start := time.Now()
		l.kill()
		survivor.must("set after %d", i)
		took = append(took, time.Since(start))
		l.open(false, false)
		w.same()
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	t.Logf("failover: %v", took)
	if m := took[len(took)/2]; m > 2*time.Second {
		t.Fatalf("median failover %s", m)
	}
}
