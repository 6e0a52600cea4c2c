package group

import (
	"errors"
	"testing"

	"altmail.se/altmail/cluster"
)

func TestCounterThen(t *testing.T) {
	var c counter
	c.advance(10, 1)
	type end struct {
		index uint64
		err   error
	}
	var ends []end
	ask := func(w *waiter, index uint64) {
		c.then(w, index, func(err error) { ends = append(ends, end{index, err}) })
	}
	check := func(what string, want ...end) {
		t.Helper()
		if len(ends) != len(want) {
			t.Fatalf("%s: %v, want %v", what, ends, want)
		}
		for i := range want {
			if ends[i].index != want[i].index || !errors.Is(ends[i].err, want[i].err) {
				t.Fatalf("%s: %v, want %v", what, ends, want)
			}
		}
		ends = nil
	}
	ask(new(waiter), 10)
	check("applied already", end{10, nil})

	var left, early waiter
	ask(new(waiter), 13)
	ask(&left, 12)
	ask(new(waiter), 11)
	c.forget(&left)
	c.forget(&early)
	ask(&early, 12)
	if len(c.waiting) != 2 {
		t.Fatalf("%d wait, of whom two are interested", len(c.waiting))
	}
	c.advance(12, 1)
	check("up to 12", end{11, nil})
	c.advance(20, 1)
	check("up to 20", end{13, nil})
	c.forget(&left) // once more, and late

	ask(new(waiter), 21)
	c.stop()
	check("stopped", end{21, cluster.ErrStopped})
	ask(new(waiter), 22)
	ask(new(waiter), 20)
	check("after it", end{22, cluster.ErrStopped}, end{20, nil})
}

// TestWatches: a call to a leader is given up when there is another one, and
// also when that was known before the call was watched; not after its end.
func TestWatches(t *testing.T) {
	g := &Group{changed: make(chan struct{}), watches: make(map[*watch]struct{})}
	given := map[string]int{}
	// Without raft nobody leads.
	g.whileLeader("a.1", func() { given["another"]++ })
	if given["another"] == 0 {
		t.Error("a call to who does not lead goes on")
	}
	stop := g.whileLeader("", func() { given["none"]++ })
	ended := &watch{"b.1", func() { given["ended"]++ }}
	g.watches[ended] = struct{}{}
	g.watches[&watch{"c.1", func() { given["under way"]++ }}] = struct{}{}
	delete(g.watches, ended)
	g.announce()
	stop()
	g.announce()
	if given["none"] != 0 || given["ended"] != 0 || given["under way"] != 1 || len(g.watches) != 0 {
		t.Errorf("given up: %v, %d still watched", given, len(g.watches))
	}
}
