package group

import (
	"errors"
	"os"
	"testing"

	"altmail.se/altmail/cluster"
)

// TestFound: a group goes on with a state that came from elsewhere, above its
// index and its term, and others join it.
func TestFound(t *testing.T) {
	w := newWorld(t, 1, fastTuning())
	w.start()
	n := w.nodes[0]
	for i := range 30 {
		n.must("append k %d", i)
	}
	want := n.m.Get("k")
	index, term, err := n.m.Sync()
	if err != nil {
		t.Fatal(err)
	}
	n.kill()
	if err := Found(n.options()); !errors.Is(err, cluster.ErrRefused) {
		t.Fatalf("over a log: %v", err)
	}
	if err := os.RemoveAll(n.dir); err != nil {
		t.Fatal(err)
	}
	for range 2 { // as after a crash
		if err := Found(n.options()); err != nil {
			t.Fatal(err)
		}
	}
	n.open(false, false)
	out := n.must("append k last")
	if out.Index <= index {
		t.Fatalf("a new entry at %d, the state was at %d", out.Index, index)
	}
	if _, now := n.m.Applied(); now <= term {
		t.Fatalf("a new entry in term %d, the state was of %d", now, term)
	}
	if got := n.m.Get("k"); got != want+",last" {
		t.Fatalf("k is %s", got)
	}
	n.kill()
	n.open(false, false)
	n.must("set end 1")
}
