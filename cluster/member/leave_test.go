package member

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"altmail.se/altmail/cluster"
)

func TestRisk(t *testing.T) {
	down := func(ns ...byte) func(*world) {
		return func(w *world) {
			for _, n := range ns {
				w.on[nid(n)].down = true
			}
		}
	}
	bare := func(ns ...byte) func(*world) {
		return func(w *world) {
			for _, n := range ns {
				w.on[nid(n)].say[1].Whole = false
			}
		}
	}
	both := func(fs ...func(*world)) func(*world) {
		return func(w *world) {
			for _, f := range fs {
				f(w)
			}
		}
	}
	leaving := func(n byte) func(*world) {
		return func(w *world) { w.row(nid(n), func(x *Node) { x.Leaving = true }) }
	}
	for _, tc := range []struct {
		name     string
		n        int
		set      func(*world)
		leaving  byte
		groups   []cluster.GroupID
		accepted []string
		ok       bool
		names    string // the risk that would let it pass
	}{
		{name: "three, all well", n: 3, leaving: 3, ok: true},
		{name: "two, all well", n: 2, leaving: 2, ok: true},
		{name: "the dead one of three", n: 3, set: down(3), leaving: 3, ok: true},
		{name: "a live one of three with one dead", n: 3, set: down(2), leaving: 3, names: RiskQuorum},
		{name: "accepted", n: 3, set: down(2), leaving: 3, accepted: []string{RiskQuorum, RiskCopies}, ok: true},
		{name: "only one of two risks accepted", n: 3, set: down(2), leaving: 3, accepted: []string{RiskQuorum}, names: RiskCopies},
		{name: "the dead one of two", n: 2, set: down(2), leaving: 2, ok: true},
		{name: "the only one", n: 1, leaving: 1, names: "only voter"},
		{name: "five with one dead", n: 5, set: down(2), leaving: 3, ok: true},
		{name: "five with two dead", n: 5, set: down(2, 4), leaving: 3, names: RiskQuorum},
		{name: "five with two dead, one of them goes", n: 5, set: down(2, 4), leaving: 4, ok: true},
		{name: "four with one dead", n: 4, set: down(4), leaving: 3, ok: true},
		{name: "one of the rest is not whole", n: 3, set: bare(2), leaving: 3, names: RiskCopies},
		{name: "accepted copies", n: 3, set: bare(2), leaving: 3, accepted: []string{RiskCopies}, ok: true},
		{name: "one of the rest of five is not whole", n: 5, set: bare(2), leaving: 3, ok: true},
		{name: "two of the rest of five are not whole", n: 5, set: bare(2, 4), leaving: 3, names: RiskCopies},
		{name: "not whole in another group only", n: 3, set: bare(2), leaving: 3, groups: []cluster.GroupID{0}, ok: true},
		{name: "a voter under an older incarnation does not count", n: 3,
			set: func(w *world) { w.on[nid(2)].inc[1] = 2 }, leaving: 3, names: RiskQuorum},
		{name: "non-voters do not count", n: 3, set: both(down(2), func(w *world) {
			f := w.node(7, true)
			for _, c := range w.conf {
				c.servers = append(c.servers, Server{ID: f.id.String() + ".1", Node: f.id})
			}
		}), leaving: 3, names: RiskQuorum},
		{name: "one that leaves already counts as gone", n: 4, set: both(leaving(2), down(4)), leaving: 3, names: RiskQuorum},
		{name: "one off the roster already counts as gone", n: 4,
			set: both(down(4), func(w *world) { w.drop(nid(2)) }), leaving: 3, names: RiskQuorum},
		{name: "one off the roster is not waited for", n: 5,
			set: both(down(4), func(w *world) { w.drop(nid(2)) }), leaving: 3, ok: true},
		{name: "the last two of a pair", n: 2, set: leaving(2), leaving: 1, names: "only voter"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, 1)
			all := w.cluster(tc.n)
			if tc.set != nil {
				tc.set(w)
			}
			err := all[0].m.risk(t.Context(), nid(tc.leaving), tc.groups, tc.accepted)
			switch {
			case tc.ok && err != nil:
				t.Errorf("refused: %v", err)
			case !tc.ok && (!errors.Is(err, cluster.ErrQuorum) || !strings.Contains(err.Error(), tc.names)):
				t.Errorf("risk: %v, want one naming %s", err, tc.names)
			}
		})
	}
}

// run steps all nodes that are up, in turn, until the test stops it. It is for
// use in a synctest bubble: its pauses cost nothing.
func (w *world) run(ctx context.Context, wg *sync.WaitGroup) {
	for _, f := range w.on {
		if f.down {
			continue
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				// What a step cannot do yet, a later one does.
				if err := f.m.step(ctx); err != nil {
					f.m.Log.Debug("step", "err", err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(tick):
				}
			}
		})
	}
}

// TestLeave: the leader of everything leaves; nothing counts it afterwards.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 2)
		all := w.cluster(3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		w.run(ctx, &wg)
		if err := all[0].m.Leave(ctx, nil); err != nil {
			t.Fatal(err)
		}
		cancel()
		wg.Wait()
		if all[0].drained != 1 || !all[0].local.Identity().Removed {
			t.Errorf("drained %d times, removed %v", all[0].drained, all[0].local.Identity().Removed)
		}
		if _, on := find(w.nodes, nid(1)); on {
			t.Error("still on the roster")
		}
		for g, c := range w.conf {
			if len(c.servers) != 2 || c.leader == nid(1) {
				t.Errorf("group %s: %d servers, led by %d", g, len(c.servers), c.leader[0])
			}
		}
		for _, f := range all[1:] {
			if err := f.step(); err != nil { // one that surely comes after
				t.Error(err)
			}
			if f.removed != 0 || !slices.Contains(f.cut, nid(1)) {
				t.Errorf("node %d: removed %d, cut %v", f.id[0], f.removed, f.cut)
			}
		}
		if err := all[0].m.Leave(t.Context(), nil); !errors.Is(err, ErrRemoved) {
			t.Errorf("again: %v", err)
		}
	})
}

// TestLeaveAgain: the word that a node leaves was heard, the answer was lost,
// and the leaders took it out of every group. It can't read the directory any
// more; the next try ends it all the same.
func TestLeaveAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		all := w.cluster(4)
		w.conf[0].leader, w.conf[1].leader = nid(1), nid(2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		lost := false
		w.fail = func(op string) error {
			if op != "PutNode" || lost {
				return nil
			}
			lost = true
			for i := range w.nodes {
				if w.nodes[i].ID == nid(4) {
					w.nodes[i].Leaving = true
				}
			}
			return cluster.ErrUnavailable
		}
		if err := all[3].m.Leave(ctx, nil); !errors.Is(err, cluster.ErrUnavailable) {
			t.Fatalf("the answer was not lost: %v", err)
		}
		var wg sync.WaitGroup
		w.run(ctx, &wg)
		for again := true; again; time.Sleep(tick) {
			again = false
			w.mu.Lock()
			for _, c := range w.conf {
				again = again || len(c.servers) != 3
			}
			w.mu.Unlock()
			if ctx.Err() != nil {
				t.Fatal("it stays in a group")
			}
		}
		w.mu.Lock()
		all[3].adrift = true // nobody tells it anything any more
		w.mu.Unlock()
		if err := all[3].m.Leave(ctx, nil); err != nil {
			t.Errorf("again: %v", err)
		}
		cancel()
		wg.Wait()
		if _, on := find(w.nodes, nid(4)); on || !all[3].local.Identity().Removed {
			t.Errorf("on the roster %v, removed %v", on, all[3].local.Identity().Removed)
		}
	})
}

func TestLeaveRefused(t *testing.T) {
	for name, set := range map[string]func(w *world){
		"no quorum after it":  func(w *world) { w.on[nid(2)].down = true },
		"bodies only here":    func(w *world) { w.on[nid(2)].say[1].Whole = false },
		"cut off":             func(w *world) { w.on[nid(1)].adrift = true },
		"the directory fails": func(w *world) { w.fail = func(string) error { return errInjected } },
	} {
		w := newWorld(t, 1)
		all := w.cluster(3)
		set(w)
		if err := all[0].m.Leave(t.Context(), nil); err == nil {
			t.Errorf("%s: left", name)
		}
		if all[0].local.Identity().Removed || len(w.nodes) != 3 || w.nodes[0].Leaving {
			t.Errorf("%s: left a mark", name)
		}
		if got := all[0].drained > 0; got != (name == "the directory fails") {
			t.Errorf("%s: drained %v", name, got)
		}
	}
}

// TestLeaveRace: two nodes of four begin to leave at once while one is down.
// Each is fine alone; together they would take the quorum along.
func TestLeaveRace(t *testing.T) {
	w := newWorld(t, 1)
	all := w.cluster(4)
	all[3].down = true
	// The other one's word arrives between check and act.
	w.fail = func(op string) error {
		for i := range w.nodes {
			if op == "PutNode" && w.nodes[i].ID == nid(2) {
				w.nodes[i].Leaving = true
			}
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := all[0].m.Leave(ctx, nil); !errors.Is(err, cluster.ErrQuorum) {
		t.Fatalf("leave: %v", err)
	}
	if w.nodes[0].Leaving || all[0].local.Identity().Removed {
		t.Error("leaves all the same")
	}
}

// TestLeaveUncounted: while a group counts it, the node does not go.
func TestLeaveUncounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		all := w.cluster(3)
		w.conf[1].leader = nid(2)
		w.conf[1].failing = errInjected
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		w.run(ctx, &wg)
		err := all[2].m.Leave(ctx, nil)
		cancel()
		wg.Wait()
		if !errors.Is(err, context.DeadlineExceeded) || all[2].local.Identity().Removed {
			t.Errorf("leave: %v", err)
		}
		if _, on := find(w.nodes, nid(3)); !on {
			t.Error("off the roster")
		}
	})
}

func TestEvict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		all := w.cluster(3)
		all[2].down = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		w.run(ctx, &wg)
		n, err := all[1].m.Evict(ctx, "node3", false, nil)
		cancel()
		wg.Wait()
		if err != nil || n.ID != nid(3) || len(w.nodes) != 2 || len(w.conf[1].servers) != 2 {
			t.Errorf("evict: %v, %v; %d nodes", n.Name, err, len(w.nodes))
		}
		if !slices.Contains(all[1].cut, nid(3)) {
			t.Error("not disconnected")
		}
	})
}

func TestEvictRefused(t *testing.T) {
	w := newWorld(t, 1)
	all := w.cluster(3)
	all[2].down = true
	for who, want := range map[string]error{"node1": cluster.ErrRefused, "node2": cluster.ErrQuorum, "node9": ErrNoNode} {
		if _, err := all[0].m.Evict(t.Context(), who, false, nil); !errors.Is(err, want) {
			t.Errorf("evict %s: %v, want %v", who, err, want)
		}
	}
	all[0].adrift = true
	if _, err := all[0].m.Evict(t.Context(), "node3", false, nil); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("cut off: %v", err)
	}
	if len(w.nodes) != 3 {
		t.Error("off the roster")
	}
}

func TestLookup(t *testing.T) {
	w := newWorld(t)
	f := w.cluster(2)[0]
	w.nodes = append(w.nodes,
		Node{ID: cluster.NodeID{1, 0xaa, 0xbb, 0xdd}, Name: "02aabbcc"}, // named like the beginning of another's id
		Node{ID: nid(9), Name: nid(1).String()},                         // named like another's id
	)
	for text, want := range map[string]cluster.NodeID{
		"node1": nid(1), nid(1).String(): nid(1), "01aabbcc": nid(1), "01aabbdd": {1, 0xaa, 0xbb, 0xdd},
		"02aabb": nid(2), "02aabbcc": {1, 0xaa, 0xbb, 0xdd},
		"01aabb": {}, "01aa": {}, "": {}, "nobody": {},
	} {
		n, err := f.m.Lookup(text)
		if n.ID != want || (err == nil) == want.IsZero() || err != nil && !errors.Is(err, ErrNoNode) {
			t.Errorf("Lookup(%q) = %v, %v", text, n.ID, err)
		}
	}
}

func TestTransfer(t *testing.T) {
	w := newWorld(t, 1, 2)
	all := w.cluster(3)
	one := cluster.GroupID(1)
	if _, err := all[1].m.Transfer(t.Context(), &one, "node3"); err != nil {
		t.Fatal(err)
	}
	if w.conf[1].leader != nid(3) || w.conf[2].leader != nid(1) {
		t.Error("wrong group, or wrong node")
	}
	// Everyone leaves it there for a while.
	for _, f := range all {
		if !f.m.isHeld(1) || f.m.isHeld(2) {
			t.Errorf("node %d holds 1: %v, 2: %v", f.id[0], f.m.isHeld(1), f.m.isHeld(2))
		}
	}
	w.advance(holdTime)
	if all[2].m.isHeld(1) {
		t.Error("held for ever")
	}
	moved, err := all[0].m.Transfer(t.Context(), nil, "")
	if err != nil || !slices.Equal(moved, []cluster.GroupID{0, 2}) || w.conf[0].leader == nid(1) {
		t.Errorf("relieved of %v: %v", moved, err)
	}
	if _, err := all[0].m.Transfer(t.Context(), nil, "nobody"); !errors.Is(err, ErrNoNode) {
		t.Errorf("to nobody: %v", err)
	}
	w.conf[1].leader = nid(99)
	if _, err := all[0].m.Transfer(t.Context(), &one, "node1"); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("no leader: %v", err)
	}
}

func TestDigests(t *testing.T) {
	w := newWorld(t, 1)
	all := w.cluster(3)
	w.conf[1].leader = nid(2)
	got, err := all[2].m.Digests(t.Context())
	if err != nil || len(got) != 2 || !got[0].Equal() || got[1].Group != 1 {
		t.Errorf("digests %+v, %v", got, err)
	}
}

// TestServe: what one member may ask of another.
func TestServe(t *testing.T) {
	w := newWorld(t, 1)
	all := w.cluster(3)
	ask := func(from cluster.NodeID, req string) (string, error) {
		b, err := all[0].m.serve(t.Context(), from, []byte(req))
		return string(b), err
	}
	if _, err := ask(nid(2), `{"op":"goodbye"}`); !errors.Is(err, cluster.ErrRefused) || len(w.nodes) != 3 {
		t.Errorf("goodbye of one that stays: %v", err)
	}
	w.row(nid(3), func(n *Node) { n.Leaving = true })
	if _, err := ask(nid(2), `{"op":"goodbye"}`); !errors.Is(err, cluster.ErrRefused) || len(w.nodes) != 3 {
		t.Errorf("goodbye for another: %v", err)
	}
	if _, err := ask(nid(3), `{"op":"goodbye"}`); err != nil || len(w.nodes) != 2 {
		t.Errorf("goodbye: %v", err)
	}
	if got, err := ask(nid(2), `{"op":"listed","arg":"`+nid(3).String()+`"}`); err != nil || got != "false" {
		t.Errorf("listed: %s, %v", got, err)
	}
	w.conf[1].leader = nid(2)
	for _, req := range []string{
		`{"op":"transfer","arg":{"group":1,"to":"` + nid(2).String() + `"}}`,
		`{"op":"digests","arg":1}`, `{"op":"digests","arg":77}`,
		`{"op":"counts","arg":{"group":1,"node":"` + nid(2).String() + `"}}`,
	} {
		if _, err := ask(nid(2), req); !errors.Is(err, cluster.ErrRefused) {
			t.Errorf("%s asked of a follower: %v", req, err)
		}
	}
	if got, err := ask(nid(2), `{"op":"counts","arg":{"group":0,"node":"`+nid(2).String()+`"}}`); err != nil || got != "true" {
		t.Errorf("counts: %s, %v", got, err)
	}
	for _, req := range []string{``, `null`, `[]`, `{"op":"x"}`, `{"op":"listed"}`, `{"op":"transfer","arg":3}`, `{"op":"hold","arg":"x"}`} {
		if _, err := ask(nid(2), req); err == nil {
			t.Errorf("%q is answered", req)
		}
	}
}
