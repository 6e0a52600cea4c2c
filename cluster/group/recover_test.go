package group

import (
	"errors"
	"testing"

	"altmail.se/altmail/cluster"
)

// TestRecover: a group that lost two of three nodes goes on with one, from all
// it has, and with indexes its state has never seen (rule R4).
func TestRecover(t *testing.T) {
	w := newWorld(t, 3, fastTuning())
	w.start()
	for i := range 30 {
		w.nodes[i%3].must("append k %d", i)
	}
	w.same()
	n := w.followers()[0]
	want := n.m.Get("k")
	for _, x := range w.nodes {
		x.kill()
	}
	w.nodes = []*testNode{n}
	o := n.options()
	if _, err := Recover(o, nil); !errors.Is(err, cluster.ErrRefused) {
		t.Fatalf("a group without voters: %v", err)
	}
	members := []Member{{Node: n.id, Incarnation: n.inc, Voter: true}}
	rec, err := Recover(o, members)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Recover(o, members) // as after a crash
	if err != nil || again.Index != rec.Index || again.Unproven != 0 {
		t.Fatalf("%+v, then %+v, %v", rec, again, err)
	}
	n.open(false, false)
	out := n.must("append k last")
	if out.Index <= rec.Index {
		t.Fatalf("a new entry at %d, the state was at %d", out.Index, rec.Index)
	}
	if got := n.m.Get("k"); got != want+",last" {
		t.Fatalf("k is %s", got)
	}
	if m := n.g.Configuration(); len(m) != 1 || !m[0].Voter {
		t.Fatalf("members %+v", m)
	}
	n.kill()
	n.open(false, false)
	n.must("set end 1")
}
