package body

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
)

// TestHealIgnoresALaggingMember: a member that has not applied the entry that
// names a body, and so has nothing that refers to it, proves nothing about the
// body. The damage is healed from the member that has it.
func TestHealIgnoresALaggingMember(t *testing.T) {
	for _, read := range []bool{false, true} {
		name := map[bool]string{false: "scrub", true: "read"}[read]
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
				rng := seeded(71)
				var refs []cluster.BodyRef
				for range 16 { // some of them are asked for at each member first
					data, _ := randBody(rng, 3000)
					refs = append(refs, mustPut(t, n[1].Store, 1, data))
					if !read {
						mustPut(t, n[0].Store, 1, data)
					}
				}
				for _, o := range n[:2] {
					o.state.apply(refs, nil)
					o.state.sync()
				}
				reconcile(t, n[1].Store, n[1].state)
				if read {
					// The queue is empty, as after a first scan that was
					// before the entry; then a client asks in vain.
					empty := newState()
					if err := n[0].Reconcile(t.Context(), 1, empty.live); err != nil {
						t.Fatal(err)
					}
					n[1].peers.down.Store(true)
					for _, r := range refs {
						if h, err := n[0].Fetch(t.Context(), 1, r); err == nil {
							h.release()
							t.Error("read from nowhere")
						} else if errors.Is(err, cluster.ErrGone) {
							t.Error("a lagging member said that a live body is gone")
						}
					}
					n[1].peers.down.Store(false)
				} else {
					reconcile(t, n[0].Store, n[0].state)
					g := only(t, n[0].Store, 1)
					if err := g.rotate(t.Context()); err != nil {
						t.Fatal(err)
					}
					for _, r := range refs {
						p, _ := g.tab.get(keyOf(r.ID))
						flip(t, n[0].fs, g.segs[p.seq].path, int64(p.off)+recHeaderLen)
					}
					if done, err := n[0].Scrub(t.Context(), 1); err != nil || done.Damaged != len(refs) {
						t.Fatalf("%+v %v", done, err)
					}
				}
				if n[0].Whole(1) {
					t.Fatal("whole with bodies missing")
				}
				ctx, stop := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() { n[0].Run(ctx) })
				waitBubble(t, "the bodies to heal", func() bool { return n[0].Whole(1) })
				stop()
				wg.Wait()
				for _, r := range refs {
					if err := readBody(n[0].Store, 1, r.ID); err != nil {
						t.Errorf("whole, but: %v", err)
					}
				}
			})
		})
	}
}

// TestReplayedEntryWithoutItsBody: an entry that was stored as committed, its
// body still on the way, is replayed after a crash. The queue of the backfill
// did not survive, and the scan was before the entry: the node is not whole,
// and fetches the body, all the same.
func TestReplayedEntryWithoutItsBody(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		data, _ := randBody(seeded(72), 3000)
		ref := mustPut(t, n[0].Store, 1, data)
		for _, o := range n[:2] {
			o.state.apply([]cluster.BodyRef{ref}, nil)
			o.state.sync()
		}
		// The log is read at the start, and what it names is pinned.
		release := n[2].Pin(1, []cluster.BodyRef{ref})
		reconcile(t, n[2].Store, n[2].state)
		if n[2].Whole(1) {
			t.Error("whole before the entry is applied")
		}
		n[2].state.apply([]cluster.BodyRef{ref}, nil)
		if n[2].Whole(1) {
			t.Error("whole although the body is missing")
		}
		n[2].state.sync()
		release()
		if n[2].Whole(1) {
			t.Error("whole although the body is missing and the entry durable")
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { n[2].Run(ctx) })
		waitBubble(t, "the backfill", func() bool { return n[2].Whole(1) })
		stop()
		wg.Wait()
		if err := readBody(n[2].Store, 1, ref.ID); err != nil {
			t.Errorf("whole, but: %v", err)
		}

		// One that is not referred to once its entry is durable, or that came
		// by push, holds nothing up.
		_, dead := randBody(seeded(73), 10)
		pushed, _ := randBody(seeded(74), 10)
		live := mustPut(t, n[0].Store, 1, pushed)
		release = n[2].Pin(1, []cluster.BodyRef{dead, live})
		reconcile(t, n[2].Store, n[2].state)
		if n[2].Whole(1) {
			t.Error("whole before the entries are applied")
		}
		mustPut(t, n[2].Store, 1, pushed)
		n[2].state.apply([]cluster.BodyRef{live}, nil)
		n[2].state.sync()
		release()
		if !n[2].Whole(1) {
			t.Errorf("not whole, %d missing", n[2].Stats().Missing)
		}
	})
}

// TestCommittedEntryKeepsItsBody: the body of a committed entry was here before
// the entry, pushed to a node that then restarted. Nothing refers to it until
// the entry is applied; it is kept until that is durable.
func TestCommittedEntryKeepsItsBody(t *testing.T) {
	opts := testOpts(t)
	opts.OrphanAfter = time.Nanosecond
	st := newState()
	opts.Live = st
	s := mustOpen(t, vfs.NewMem(), opts)
	defer mustClose(t, s)
	rng := seeded(75)
	d1, _ := randBody(rng, 100)
	d2, _ := randBody(rng, 100)
	kept, refused := mustPut(t, s, 1, d1), mustPut(t, s, 1, d2)
	st.apply(nil, nil)
	st.sync()
	reconcile(t, s, st)
	if err := only(t, s, 1).rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Backfill(1, 2, []cluster.BodyRef{kept, refused}) // committed, not applied
	if done := reclaim(t, s); done.Freed != 0 {
		t.Errorf("%d bodies freed that a committed entry names", done.Freed)
	}
	st.apply([]cluster.BodyRef{kept}, nil)
	if done := reclaim(t, s); done.Freed != 0 {
		t.Errorf("%d bodies freed before the entry was durable", done.Freed)
	}
	st.sync()
	if done := reclaim(t, s); done.Freed != 1 {
		t.Errorf("%d bodies freed, want the one that the entry left dead", done.Freed)
	}
	if err := readBody(s, 1, kept.ID); err != nil {
		t.Error(err)
	}
}

// TestReentryKeepsItsBodies: a node that lost its log begins with an empty
// state. Its bodies are not orphans before a state has come (R25).
func TestReentryKeepsItsBodies(t *testing.T) {
	fs := vfs.NewMem()
	opts := testOpts(t)
	s := mustOpen(t, fs, opts)
	rng := seeded(76)
	d1, _ := randBody(rng, 100)
	d2, _ := randBody(rng, 100)
	kept, orphan := mustPut(t, s, 1, d1), mustPut(t, s, 1, d2)
	mustClose(t, s)

	st := newState()
	opts.Live = st
	s = mustOpen(t, fs, opts)
	defer mustClose(t, s)
	reconcile(t, s, st)
	if done := reclaim(t, s); done.Freed != 0 || !s.Has(1, kept.ID) {
		t.Errorf("%d bodies freed before there was a state", done.Freed)
	}
	st.apply([]cluster.BodyRef{kept}, nil) // the state is installed
	st.sync()
	reconcile(t, s, st)
	if done := reclaim(t, s); done.Freed != 1 || s.Has(1, orphan.ID) {
		t.Errorf("%d bodies freed, want the orphan", done.Freed)
	}
	if err := readBody(s, 1, kept.ID); err != nil {
		t.Error(err)
	}
}
