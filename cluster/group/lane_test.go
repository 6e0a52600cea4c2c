package group

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"altmail.se/altmail/cluster"
)

// TestLaneRounds: whoever comes while a round is under way goes in the next
// one, together; nobody waits longer than the gathering when others don't come
// back, and a lone proposer not at all.
func TestLaneRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const work = 8 * time.Millisecond
		var sizes []int
		l := lane{life: t.Context().Done(), full: make(chan struct{}, 1)}
		l.propose = func(batch []*offer) {
			sizes = append(sizes, len(batch))
			time.Sleep(work)
			for _, o := range batch {
				o.end(cluster.Result{}, 1, 1, nil)
			}
		}
		ask := func(n int) chan error {
			ended := make(chan error, n)
			for range n {
				l.add(&offer{done: func(_ cluster.Result, _, _ uint64, err error) { ended <- err }})
			}
			return ended
		}
		all := func(ended chan error) {
			for range cap(ended) {
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
		}
		start := time.Now()
		for range 10 {
			all(ask(1))
		}
		if took := time.Since(start); took != 10*work {
			t.Errorf("a lone proposer waited: %v for ten rounds of %v", took, work)
		}
		synctest.Wait()

		// One goes, three wait for it and go together.
		sizes = nil
		first := ask(1)
		synctest.Wait()
		three := ask(3)
		all(first)
		all(three)
		synctest.Wait()
		if len(sizes) != 2 || sizes[1] != 3 {
			t.Errorf("rounds of %v proposals, not of 1 and 3", sizes)
		}

		// Four are answered and come back one by one: they go together again,
		// without waiting for the end of the gathering.
		sizes = nil
		all(ask(4))
		start = time.Now()
		var chans []chan error
		for range sizes[len(sizes)-1] {
			time.Sleep(100 * time.Microsecond)
			chans = append(chans, ask(1))
		}
		for _, c := range chans {
			all(c)
		}
		if took := time.Since(start); took > work+500*time.Microsecond {
			t.Errorf("a round of all who had been there took %v", took)
		}
		synctest.Wait()
		if n := len(chans); sizes[len(sizes)-1] != n {
			t.Errorf("rounds of %v proposals, the last not of %d", sizes, n)
		}

		// Of several only one comes back: it waits for the others as long as
		// half a round, and no longer.
		all(ask(4))
		all(ask(4))
		start = time.Now()
		all(ask(1))
		if took := time.Since(start); took > work+gatherMost {
			t.Errorf("one waited %v", took)
		}
	})
}

// TestLaneGiveUp: when raft ends, what waits did not happen, and of what raft
// has nothing is known; a late answer changes nothing, and the lane goes on.
func TestLaneGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		l := lane{life: t.Context().Done(), full: make(chan struct{}, 1)}
		l.propose = func(batch []*offer) {
			<-hang
			for _, o := range batch {
				o.end(cluster.Result{}, 7, 1, nil)
			}
		}
		var had, waited error
		calls := 0
		l.add(&offer{done: func(_ cluster.Result, _, _ uint64, err error) { calls++; had = err }})
		synctest.Wait()
		l.add(&offer{done: func(_ cluster.Result, _, _ uint64, err error) { calls++; waited = err }})
		l.giveUp()
		if !errors.Is(had, errUnknown) || !errors.Is(waited, errNotLeader) {
			t.Errorf("given up: %v, %v", had, waited)
		}
		close(hang)
		again := make(chan error, 1)
		l.add(&offer{done: func(_ cluster.Result, _, _ uint64, err error) { again <- err }})
		if err := <-again; err != nil {
			t.Errorf("after it: %v", err)
		}
		synctest.Wait()
		if calls != 2 {
			t.Errorf("%d ends of two offers", calls)
		}
	})
}
