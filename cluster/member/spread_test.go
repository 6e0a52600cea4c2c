package member

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
)

func TestPreferred(t *testing.T) {
	for _, tc := range []struct {
		name string
		g    cluster.GroupID
		set  func(w *world)
		want byte // 0: none
	}{
		{name: "by number", g: 1, want: 2},
		{name: "by number", g: 2, want: 3},
		{name: "wraps", g: 3, want: 1},
		{name: "no vote", g: 1, set: func(w *world) { w.conf[1].servers[1].Voter = false }, want: 3}, // of two voters, 1 and 3
		{name: "leaving", g: 1, set: func(w *world) { w.nodes[1].Leaving = true }, want: 3},
		{name: "off the roster", g: 1, set: func(w *world) { w.drop(nid(2)) }, want: 3},
		{name: "down", g: 1, set: func(w *world) { w.on[nid(2)].down = true }, want: 3},
		{name: "lacks bodies", g: 1, set: func(w *world) { w.on[nid(2)].say[1].Whole = false }, want: 3},
		{name: "lags", g: 1, set: func(w *world) { w.on[nid(2)].say[1].Applied = 10 }, want: 3},
		{name: "alarms", g: 1, set: func(w *world) { w.on[nid(2)].say[1].Alarm = "bad" }, want: 3},
		{name: "began anew", g: 1, set: func(w *world) { w.on[nid(2)].inc[1] = 2 }, want: 3},
		{name: "two are ill", g: 1, set: func(w *world) { w.on[nid(2)].down, w.on[nid(3)].down = true, true }, want: 1},
		{name: "all are ill", g: 1, set: func(w *world) {
			w.on[nid(2)].down, w.on[nid(3)].down = true, true
			w.on[nid(1)].say[1].Whole = false
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, 1, 2, 3)
			f := w.cluster(3)[0]
			if tc.set != nil {
				tc.set(w)
			}
			slices.Reverse(w.conf[tc.g].servers) // the order is by id, not as listed
			r, _ := f.Replica(tc.g)
			servers, err := r.Servers()
			if err != nil {
				t.Fatal(err)
			}
			got, ok := preferred(tc.g, servers, w.nodes, f.m.Reports(t.Context()), r.Report())
			if ok != (tc.want != 0) || ok && got != nid(tc.want) {
				t.Errorf("preferred %d %v, want %d", got[0], ok, tc.want)
			}
		})
	}
	if _, ok := preferred(1, nil, nil, nil, GroupReport{}); ok {
		t.Error("a group without voters prefers somebody")
	}
	big := cluster.GroupID(1<<32 - 1)
	if _, ok := preferred(big, []Server{{Voter: true}}, nil, nil, GroupReport{}); ok {
		t.Error("nobody on the roster, and somebody is preferred")
	}
}

// story steps node 1 once a second and notes at which second what was handed
// over.
func story(t *testing.T, w *world, f *fakeNode, seconds int, at map[int]func()) []string {
	t.Helper()
	var got []string
	for s := range seconds {
		if do := at[s]; do != nil {
			do()
		}
		if err := f.step(); err != nil {
			t.Fatal(err)
		}
		for _, l := range w.took() {
			got = append(got, fmt.Sprintf("%d: %s", s, l))
		}
		w.advance(time.Second)
	}
	return got
}

func TestSpread(t *testing.T) {
	for _, tc := range []struct {
		name   string
		groups int
		at     func(w *world) map[int]func()
		secs   int
		want   []string
	}{
		{name: "one after the other, the directory stays", groups: 6, secs: 60,
			want: []string{"10: 1 transfer 2", "15: 2 transfer 3", "20: 4 transfer 2", "25: 5 transfer 3"}},
		{name: "not before the target was fit for a while", groups: 1, secs: 60,
			at: func(w *world) map[int]func() {
				ill := func(b bool) func() { return func() { w.on[nid(2)].say[1].Whole = !b } }
				// Two short illnesses: each begins the wait anew, and moves
				// nothing to the third in the meantime.
				return map[int]func(){6: ill(true), 8: ill(false), 12: ill(true), 13: ill(false)}
			}, want: []string{"23: 1 transfer 2"}},
		{name: "to the next when the preferred one stays ill", groups: 1, secs: 60,
			at: func(w *world) map[int]func() {
				return map[int]func(){5: func() { w.on[nid(2)].down = true }}
			}, want: []string{"15: 1 transfer 3"}},
		{name: "a new term begins the wait anew", groups: 1, secs: 60,
			at: func(w *world) map[int]func() {
				return map[int]func(){7: func() { w.conf[1].term = 9 }}
			}, want: []string{"17: 1 transfer 2"}},
		{name: "what comes back within a minute stays for ten", groups: 1, secs: 700,
			at: func(w *world) map[int]func() {
				back := func() { w.conf[1].leader, w.conf[1].term = nid(1), w.conf[1].term+1 }
				return map[int]func(){40: back}
			}, want: []string{"10: 1 transfer 2", "640: 1 transfer 2"}},
		{name: "even when it comes back before the next look", groups: 1, secs: 100,
			at: func(w *world) map[int]func() {
				back := func() { w.conf[1].leader, w.conf[1].term = nid(1), w.conf[1].term+1 }
				return map[int]func(){11: back}
			}, want: []string{"10: 1 transfer 2"}},
		{name: "what comes back later may go again", groups: 1, secs: 120,
			at: func(w *world) map[int]func() {
				back := func() { w.conf[1].leader, w.conf[1].term = nid(1), w.conf[1].term+1 }
				return map[int]func(){80: back}
			}, want: []string{"10: 1 transfer 2", "90: 1 transfer 2"}},
		{name: "one that cannot be handed over is not asked every time", groups: 2, secs: 700,
			at: func(w *world) map[int]func() {
				return map[int]func(){0: func() { w.conf[1].failing = errInjected }}
			}, want: []string{"10: 1 transfer 2", "15: 2 transfer 3", "610: 1 transfer 2"}},
		{name: "what an operator moved stays", groups: 2, secs: 700,
			at: func(w *world) map[int]func() {
				return map[int]func(){3: func() { w.on[nid(1)].m.hold([]cluster.GroupID{1}) }}
			}, want: []string{"10: 2 transfer 3", "603: 1 transfer 2"}},
		{name: "a configuration that changes comes first", groups: 1, secs: 30,
			at: func(w *world) map[int]func() {
				return map[int]func(){10: func() { w.drop(nid(3)) }}
			}, want: []string{"10: 0 remove 3.1", "10: 1 remove 3.1", "11: 1 transfer 2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var groups []cluster.GroupID
			for g := range tc.groups {
				groups = append(groups, cluster.GroupID(g+1))
			}
			w := newWorld(t, groups...)
			f := w.cluster(3)[0]
			var at map[int]func()
			if tc.at != nil {
				at = tc.at(w)
			}
			if got := story(t, w, f, tc.secs, at); !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

// TestSpreadSettles: all nodes look, whoever leads at first; soon each leads
// its share and nothing moves any more. A node that goes away and comes back
// gets its groups again.
func TestSpreadSettles(t *testing.T) {
	w := newWorld(t, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	all := w.cluster(3)
	run := func(seconds int) (moves int) {
		for range seconds {
			for _, f := range all {
				if f.down {
					continue
				}
				if err := f.step(); err != nil {
					t.Fatal(err)
				}
			}
			moves += len(w.took())
			w.advance(time.Second)
		}
		return moves
	}
	even := func() {
		t.Helper()
		n := map[cluster.NodeID]int{}
		for g, c := range w.conf {
			if g != cluster.Directory {
				n[c.leader]++
			}
		}
		for _, f := range all {
			if n[f.id] != 3 {
				t.Errorf("node %d leads %d of 9", f.id[0], n[f.id])
			}
		}
	}
	run(120)
	even()
	if n := run(120); n != 0 {
		t.Errorf("%d changes when all is even", n)
	}
	all[1].down = true
	for _, c := range w.conf {
		if c.leader == nid(2) {
			c.leader, c.term = nid(1), c.term+1
		}
	}
	run(60)
	all[1].down = false
	run(120)
	even()
	if n := run(120); n != 0 {
		t.Errorf("%d changes when all is even again", n)
	}
}
