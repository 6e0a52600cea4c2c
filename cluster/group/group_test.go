package group

import (
	"context"
	"errors"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
)

func TestThreeNodes(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	for i, n := range w.nodes {
		out := n.must("set k%d v%d", i, i)
		if out.Index == 0 || string(out.Value) != "v"+string(rune('0'+i)) {
			t.Fatalf("node %d: outcome %+v", i, out)
		}
		if got := n.m.Get("k" + string(rune('0'+i))); got == "" {
			t.Fatalf("node %d does not see its own change", i)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		for _, o := range w.nodes {
			if err := o.g.ReadIndex(ctx); err != nil {
				t.Fatalf("read index on node %d: %v", o.i, err)
			}
			if o.m.Get("k"+string(rune('0'+i))) == "" {
				t.Fatalf("node %d does not see an answered change after a read index", o.i)
			}
		}
		cancel()
	}
	w.same()
}

func TestSingleNode(t *testing.T) {
	w := newWorld(t, 1, fastTuning())
	w.nodes[0].open(true, true)
	w.nodes[0].must("set a 1")
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := w.nodes[0].g.ReadIndex(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestNoLeaderIsUnavailable(t *testing.T) {
	w := newWorld(t, 1, fastTuning())
	w.nodes[0].open(true, false)
	if _, err := w.nodes[0].propose(50*time.Millisecond, "set a 1"); !errors.Is(err, cluster.ErrUnavailable) {
		t.Fatalf("propose without a leader: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := w.nodes[0].g.ReadIndex(ctx); !errors.Is(err, cluster.ErrUnavailable) {
		t.Fatalf("read index without a leader: %v", err)
	}
}

func TestRestart(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	for i := range 20 {
		w.nodes[i%3].must("append k %d", i)
	}
	for _, n := range w.nodes {
		n.kill()
	}
	for _, n := range w.nodes {
		n.open(false, false)
	}
	w.nodes[1].must("append k last")
	w.same()
	if err := w.nodes[1].g.raft.Load().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	if e, err := w.nodes[1].g.OldestLogKey(); err != nil || e != 1 {
		t.Fatalf("oldest log key %d, %v", e, err)
	}
	want := "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,last"
	if got := w.nodes[1].m.Get("k"); got != want {
		t.Fatalf("after a restart of all: %s", got)
	}
}
