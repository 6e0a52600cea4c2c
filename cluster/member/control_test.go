package member

import (
	"errors"
	"slices"
	"testing"

	"altmail.se/altmail/cluster"
)

// TestReconcile lets the leader of one mail group look once at what the roster
// and the nodes say, and names the one change it may make.
func TestReconcile(t *testing.T) {
	const g = cluster.GroupID(1)
	voter := func(n byte) Server { return Server{ID: nid(n).String() + ".1", Node: nid(n), Voter: true} }
	non := func(n byte) Server { s := voter(n); s.Voter = false; return s }
	for _, tc := range []struct {
		name    string
		servers []Server
		nodes   int // on the roster
		set     func(w *world)
		want    []string
		err     error
	}{
		{name: "nothing to do", servers: []Server{voter(1), voter(2), voter(3)}, nodes: 3},
		{name: "a new node enters without a vote", servers: []Server{voter(1)}, nodes: 2, want: []string{"1 add 2.1"}},
		{name: "only one of two new nodes at a time", servers: []Server{voter(1)}, nodes: 3, want: []string{"1 add 2.1"}},
		{name: "one that does not answer is not added", servers: []Server{voter(1)}, nodes: 3,
			set: func(w *world) { w.on[nid(2)].down = true }, want: []string{"1 add 3.1"}},
		{name: "one that does not run the group yet is not added", servers: []Server{voter(1)}, nodes: 2,
			set: func(w *world) { delete(w.on[nid(2)].inc, g) }},
		{name: "promoted", servers: []Server{voter(1), non(2)}, nodes: 2, want: []string{"1 promote 2.1"}},
		{name: "one behind is not promoted", servers: []Server{voter(1), non(2)}, nodes: 2,
			set: func(w *world) { w.on[nid(2)].say[g].Applied = 3000 }},
		{name: "one that applied nothing is not promoted", servers: []Server{voter(1), non(2)}, nodes: 2,
			set: func(w *world) { w.conf[g].commit = 10; w.on[nid(2)].say[g].Applied = 0 }},
		{name: "one without every body is not promoted", servers: []Server{voter(1), non(2)}, nodes: 2,
			set: func(w *world) { w.on[nid(2)].say[g].Whole = false }},
		{name: "one with an alarm is not promoted", servers: []Server{voter(1), non(2)}, nodes: 2,
			set: func(w *world) { w.on[nid(2)].say[g].Alarm = "bad" }},
		{name: "the next is promoted past one that is behind", servers: []Server{voter(1), non(2), non(3)}, nodes: 3,
			set: func(w *world) { w.on[nid(2)].say[g].Applied = 1 }, want: []string{"1 promote 3.1"}},
		{name: "one that a voter does not know yet is not promoted", servers: []Server{voter(1), voter(2), non(3)}, nodes: 3,
			set: func(w *world) { w.on[nid(1)].say[cluster.Directory].Applied++ }},
		{name: "nor one that too few are known to know", servers: []Server{voter(1), voter(2), non(3)}, nodes: 3,
			set: func(w *world) { w.on[nid(2)].down = true }},
		{name: "a voter that is down need not know", servers: []Server{voter(1), voter(2), voter(3), non(4)}, nodes: 4,
			set: func(w *world) { w.on[nid(2)].down = true }, want: []string{"1 promote 4.1"}},
		{name: "a sixth gets no vote", servers: []Server{voter(1), voter(2), voter(3), voter(4), voter(5), non(6)}, nodes: 6},
		{name: "off the roster", servers: []Server{voter(1), voter(2), voter(3)}, nodes: 2, want: []string{"1 remove 3.1"}},
		{name: "leaving", servers: []Server{voter(1), voter(2), voter(3)}, nodes: 3,
			set: func(w *world) { w.nodes[1].Leaving = true }, want: []string{"1 remove 2.1"}},
		{name: "leaving and not in the group is not added", servers: []Server{voter(1)}, nodes: 2,
			set: func(w *world) { w.nodes[1].Leaving = true }},
		{name: "removing comes before adding", servers: []Server{voter(1), voter(9)}, nodes: 2, want: []string{"1 remove 9.1"}},
		{name: "a leaving leader hands over before anything else", servers: []Server{voter(9), voter(1), voter(2)}, nodes: 2,
			set: func(w *world) { w.nodes[0].Leaving = true }, want: []string{"1 transfer any"}},
		{name: "a non-voter that began anew goes first", servers: []Server{voter(1), non(2)}, nodes: 2,
			set: func(w *world) { w.on[nid(2)].inc[g] = 2 }, want: []string{"1 remove 2.1"}},
		{name: "a voter that began anew goes", servers: []Server{voter(1), voter(2), voter(3)}, nodes: 3,
			set: func(w *world) { w.on[nid(2)].inc[g] = 2 }, want: []string{"1 remove 2.1"}},
		{name: "unless the rest is no quorum", servers: []Server{voter(1), voter(2), voter(3)}, nodes: 3,
			set: func(w *world) { w.on[nid(2)].inc[g] = 2; w.on[nid(3)].down = true }, err: cluster.ErrQuorum},
		{name: "or would not be whole", servers: []Server{voter(1), voter(2), voter(3)}, nodes: 3,
			set: func(w *world) { w.on[nid(2)].inc[g] = 2; w.on[nid(3)].say[g].Whole = false }, err: cluster.ErrQuorum},
		{name: "a change that fails is reported", servers: []Server{voter(1)}, nodes: 2,
			set: func(w *world) { w.conf[g].failing = errInjected }, want: []string{"1 add 2.1"}, err: errInjected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, g)
			for n := range tc.nodes {
				w.node(byte(n+1), true)
			}
			w.conf[g].servers = tc.servers
			w.conf[g].leader = nid(1)
			w.conf[cluster.Directory].leader = nid(99) // not looked at here
			if tc.set != nil {
				tc.set(w)
			}
			err := w.on[nid(1)].step()
			if !errors.Is(err, tc.err) || tc.err == nil && err != nil {
				t.Errorf("step: %v, want %v", err, tc.err)
			}
			if got := w.took(); !slices.Equal(got, tc.want) {
				t.Errorf("changes %q, want %q", got, tc.want)
			}
		})
	}
}

// TestReconcileConverges starts from one voter and a roster of six, and wipes a
// voter's log: whatever the order, five voters and one copy come out.
func TestReconcileConverges(t *testing.T) {
	const g = cluster.GroupID(1)
	w := newWorld(t, g)
	f := w.node(1, true)
	for n := byte(2); n <= 6; n++ {
		w.node(n, true)
	}
	for _, c := range w.conf {
		c.servers = []Server{{ID: nid(1).String() + ".1", Node: nid(1), Voter: true}}
		c.leader = nid(1)
	}
	settle := func() {
		t.Helper()
		for range 50 {
			if err := f.step(); err != nil {
				t.Fatal(err)
			}
			if len(w.took()) == 0 {
				return
			}
		}
		t.Fatal("the configuration never settles")
	}
	check := func() {
		t.Helper()
		for id, c := range w.conf {
			voters := 0
			for _, s := range c.servers {
				if s.Voter {
					voters++
				}
			}
			if len(c.servers) != 6 || voters != MaxVoters {
				t.Errorf("group %s: %d servers, %d voters", id, len(c.servers), voters)
			}
		}
	}
	settle()
	check()
	w.on[nid(3)].inc[g] = 2
	settle()
	check()
	w.drop(nid(2))
	settle()
	for id, c := range w.conf {
		if len(c.servers) != 5 || slices.ContainsFunc(c.servers, func(s Server) bool { return !s.Voter }) {
			t.Errorf("group %s: the copy did not get the free vote: %+v", id, c.servers)
		}
	}
}

// TestStepGoesOnPastErrors: trouble in one group does not hold up another.
func TestStepGoesOnPastErrors(t *testing.T) {
	w := newWorld(t, 1, 2)
	f := w.cluster(2)
	w.conf[1].failing = errInjected
	w.drop(nid(2))
	if err := f[0].step(); !errors.Is(err, errInjected) {
		t.Errorf("step: %v", err)
	}
	if got, want := w.took(), []string{"0 remove 2.1", "1 remove 2.1", "2 remove 2.1"}; !slices.Equal(got, want) {
		t.Errorf("changes %q, want %q", got, want)
	}
}

// TestCut: who leaves the roster is disconnected once.
func TestCut(t *testing.T) {
	w := newWorld(t)
	f := w.cluster(3)
	for i := range 4 {
		if i == 1 {
			w.drop(nid(3))
		}
		if err := f[1].step(); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(f[1].cut, []cluster.NodeID{nid(3)}) {
		t.Errorf("cut %v", f[1].cut)
	}
	if peers := f[1].local.Identity().Peers; len(peers) != 2 {
		t.Errorf("remembers %d peers", len(peers))
	}
}

// TestGone: when does a node believe that it is no member any more?
func TestGone(t *testing.T) {
	const soon, late, never = 1, refusedTimes, 0
	for _, tc := range []struct {
		name string
		n    int
		set  func(w *world, me *fakeNode)
		want int // at which step
	}{
		{"a member", 3, func(*world, *fakeNode) {}, never},
		{"its own roster does not list it and the others agree", 3, func(w *world, me *fakeNode) { w.drop(me.id) }, late},
		{"its own roster is older than its joining", 3, func(w *world, me *fakeNode) {
			me.behind = []Node{w.nodes[0]}
		}, never},
		{"older than its joining, and the only one it lists is behind too", 3, func(w *world, me *fakeNode) {
			me.behind = []Node{w.nodes[0]}
			w.on[nid(1)].behind = []Node{w.nodes[0]}
		}, never},
		{"its roster is empty", 3, func(w *world, me *fakeNode) { me.behind = []Node{} }, never},
		{"one refuses it, one is down", 3, func(w *world, me *fakeNode) {
			me.behind = w.nodes
			w.on[nid(1)].behind = w.nodes[:2]
			w.on[nid(2)].down = true
		}, never},
		{"evicted while away: its roster lists it", 3, func(w *world, me *fakeNode) {
			me.behind = slices.Clone(w.nodes)
			w.drop(me.id)
			w.conf[0].servers = w.conf[0].servers[:2]
		}, late},
		{"evicted while away, and one of the others is down", 3, func(w *world, me *fakeNode) {
			me.behind = slices.Clone(w.nodes)
			w.drop(me.id)
			w.conf[0].servers = w.conf[0].servers[:2]
			w.on[nid(2)].down = true
		}, never},
		{"evicted from five while two are down", 5, func(w *world, me *fakeNode) {
			me.behind = slices.Clone(w.nodes)
			w.drop(me.id)
			w.conf[0].servers = w.conf[0].servers[:4]
			w.on[nid(1)].down = true
		}, late},
		{"most refuse it, but one lets it in", 5, func(w *world, me *fakeNode) {
			w.conf[0].servers = w.conf[0].servers[:4]
			for n := byte(1); n <= 3; n++ {
				w.on[nid(n)].behind = slices.Clone(w.nodes[:4])
			}
		}, never},
		{"cut off: nobody answers", 3, func(w *world, me *fakeNode) {
			w.on[nid(1)].down, w.on[nid(2)].down = true, true
		}, never},
		{"evicted, and one that still lets it in is in touch with a majority", 3, func(w *world, me *fakeNode) {
			old := slices.Clone(w.nodes)
			w.drop(me.id)
			me.behind = slices.Clone(w.nodes)
			w.on[nid(1)].behind = old
		}, soon},
		{"evicted, and one that is cut off still lets it in", 3, func(w *world, me *fakeNode) {
			old := slices.Clone(w.nodes)
			w.drop(me.id)
			me.behind = slices.Clone(w.nodes)
			w.on[nid(1)].behind, w.on[nid(1)].adrift = old, true
		}, never},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			all := w.cluster(tc.n)
			me := all[tc.n-1] // it remembers the whole cluster
			tc.set(w, me)
			at := 0
			for i := 1; i <= 2*refusedTimes && at == 0; i++ {
				if err := me.step(); err != nil {
					t.Fatal(err)
				}
				if me.removed > 0 {
					at = i
				}
			}
			if at != tc.want {
				t.Errorf("stopped at step %d, want %d", at, tc.want)
			}
			if me.local.Identity().Removed != (tc.want > 0) {
				t.Error("not recorded as it should be")
			}
			if tc.want > 0 {
				if err := me.step(); err != nil || me.removed != 1 {
					t.Errorf("told %d times, %v", me.removed, err)
				}
			}
		})
	}
}

// TestGoneInARow: one answer that lets the node in begins the count anew.
func TestGoneInARow(t *testing.T) {
	w := newWorld(t)
	me := w.cluster(3)[2]
	me.behind = slices.Clone(w.nodes)
	all := slices.Clone(w.nodes)
	w.conf[0].servers = w.conf[0].servers[:2]
	step := func(times int) {
		t.Helper()
		for range times {
			if err := me.step(); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.drop(me.id)
	step(refusedTimes - 1)
	w.on[nid(1)].behind = all
	step(1)
	w.on[nid(1)].behind = nil
	step(refusedTimes - 1)
	if me.removed != 0 {
		t.Fatal("gave up too early")
	}
	step(1)
	if me.removed != 1 {
		t.Error("did not give up")
	}
}

// TestSeed fails at every write of the seeding in turn and begins again, as
// after a crash.
func TestSeed(t *testing.T) {
	for k := 0; ; k++ {
		w := newWorld(t)
		f := w.node(1, false)
		w.conf[0].leader = f.id
		w.conf[0].servers = []Server{{ID: f.id.String() + ".1", Node: f.id, Voter: true}}
		row := Node{ID: f.id, Name: "node1", Address: "192.0.2.1:7000", PublicKey: f.key()}
		if err := f.local.Update(func(i *Identity) {
			i.Seed, i.Peers = &Seed{CAKey: []byte("sealed"), MailGroups: 3}, []Node{row}
		}); err != nil {
			t.Fatal(err)
		}
		n, failed := 0, false
		w.fail = func(string) error {
			if n++; n == k+1 {
				failed = true
				return errInjected
			}
			return nil
		}
		err := f.step()
		if failed != errors.Is(err, errInjected) {
			t.Fatalf("write %d: %v", k, err)
		}
		if failed && f.local.Identity().Seed == nil {
			t.Fatalf("write %d: forgot the seed", k)
		}
		// The process ends and begins again; then once more after all is done.
		for range 2 {
			l, _, err := LoadLocal(f.local.facts)
			if err != nil {
				t.Fatal(err)
			}
			f.local, f.m.Local = l, l
			if err := f.step(); err != nil {
				t.Fatal(err)
			}
		}
		if f.local.Identity().Seed != nil || string(w.ca) != "sealed" ||
			!slices.Equal(w.groups, []cluster.GroupID{1, 2, 3}) || len(w.nodes) != 1 {
			t.Fatalf("write %d: seeded %q %v %v", k, w.ca, w.groups, w.nodes)
		}
		if !failed {
			if k != 5 {
				t.Errorf("seeding writes %d times", k)
			}
			return
		}
	}
}

// TestSeedNeedsLeader: a node that does not lead the directory seeds nothing.
func TestSeedNeedsLeader(t *testing.T) {
	w := newWorld(t)
	f := w.node(1, false)
	if err := f.local.Update(func(i *Identity) { i.Seed = &Seed{MailGroups: 1} }); err != nil {
		t.Fatal(err)
	}
	w.fail = func(op string) error { t.Errorf("%s", op); return errInjected }
	if err := f.step(); err != nil {
		t.Fatal(err)
	}
}

func TestAdmit(t *testing.T) {
	w := newWorld(t)
	f := w.cluster(2)[0]
	if err := f.m.Admit(nid(2), []byte{2}); err != nil {
		t.Error(err)
	}
	if err := f.m.Admit(nid(2), []byte{3}); err == nil || errors.Is(err, cluster.ErrNotMember) {
		t.Errorf("another key: %v", err)
	}
	if err := f.m.Admit(nid(3), []byte{3}); !errors.Is(err, cluster.ErrNotMember) {
		t.Errorf("stranger: %v", err)
	}
	// What it remembers counts only until its directory lists itself.
	w.drop(nid(2))
	if err := f.m.Admit(nid(2), []byte{2}); !errors.Is(err, cluster.ErrNotMember) {
		t.Errorf("evicted: %v", err)
	}
	f.behind = []Node{}
	if err := f.local.Update(func(i *Identity) { i.Peers = []Node{{ID: nid(2), Address: "a:1", PublicKey: []byte{2}}} }); err != nil {
		t.Fatal(err)
	}
	if err := f.m.Admit(nid(2), []byte{2}); err != nil {
		t.Errorf("before the directory is here: %v", err)
	}
	if a, err := f.m.Addr(nid(2)); err != nil || a != "a:1" {
		t.Errorf("address %q, %v", a, err)
	}
	if _, err := f.m.Addr(nid(7)); !errors.Is(err, cluster.ErrNotMember) {
		t.Errorf("address of a stranger: %v", err)
	}
}
