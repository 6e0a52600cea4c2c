package group

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	port "altmail.se/altmail/cluster/transport"
)

// TestForwardNotSent: a forward that never left leaves nothing unknown, so a
// refusal of the next attempt is the answer; after one that may have arrived
// the refusal proves nothing, and the call goes on.
func TestForwardNotSent(t *testing.T) {
	for _, c := range []struct {
		first, want error
	}{
		{port.ErrNotSent, cluster.ErrNoRoom},
		{port.ErrNoMethod, cluster.ErrNoRoom},
		{port.ErrUnknown, cluster.ErrUnavailable},
	} {
		t.Run(c.first.Error(), func(t *testing.T) {
			w := newWorld(t, 3, fastTuning())
			var fail atomic.Bool
			for _, n := range w.nodes {
				n.test.onForward = func() error {
					if fail.CompareAndSwap(true, false) {
						return fmt.Errorf("first: %w", c.first)
					}
					return nil
				}
			}
			w.start()
			w.same()
			l := w.leader()
			for _, n := range w.nodes {
				n.gate.Put(body(1).ID)
				n.gate.SetFull(true)
			}
			w.eventually("the reports", func() bool { return !l.g.health.roomy(l.g) })
			fail.Store(true)
			_, err := w.followers()[0].proposeOp(time.Second, withBodies(body(1)))
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, not %v", err, c.want)
			}
			if fail.Load() {
				t.Fatal("nothing was forwarded: the test shows nothing")
			}
		})
	}
}
