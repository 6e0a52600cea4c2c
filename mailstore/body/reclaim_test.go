package body

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

func reconcile(t testing.TB, s *Store, state *fakeState) {
	t.Helper()
	if err := s.Reconcile(context.Background(), 1, state.live); err != nil {
		t.Fatalf("Reconcile: %v", err)
	}
}

// awaitIndexes waits until every sealed segment has its index file.
func awaitIndexes(t testing.TB, s *Store) {
	t.Helper()
	g := only(t, s, 1)
	waitFor(t, "index files", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, seg := range g.segs {
			if seg.indexing {
				return false
			}
		}
		return true
	})
}

func reclaim(t testing.TB, s *Store) Reclaimed {
	t.Helper()
	awaitIndexes(t, s)
	done, err := s.Reclaim(context.Background(), 1)
	if err != nil {
		t.Fatalf("Reclaim: %v", err)
	}
	return done
}

// TestFreeOnlyWhenDurablyDead is R11: each condition alone keeps the body.
func TestFreeOnlyWhenDurablyDead(t *testing.T) {
	state := newState()
	opts := testOpts(t)
	opts.Live = state
	s := mustOpen(t, vfs.NewMem(), opts)
	defer mustClose(t, s)
	data, _ := randBody(seeded(40), 100)
	ref := mustPut(t, s, 1, data)
	state.apply([]cluster.BodyRef{ref}, nil)
	expect := func(what string, freed int) {
		t.Helper()
		if got := reclaim(t, s).Freed; got != freed {
			t.Errorf("%s: %d bodies freed, want %d", what, got, freed)
		}
		if s.Has(1, ref.ID) != (freed == 0) {
			t.Errorf("%s: Has is %v", what, s.Has(1, ref.ID))
		}
	}
	state.sync()
	s.Dead(1, 1, ref.ID)
	expect("before Reconcile", 0)
	reconcile(t, s, state)
	expect("a false hint", 0)
	release := s.Pin(1, []cluster.BodyRef{ref})
	s.Dead(1, state.apply(nil, []cluster.BodyRef{ref}), ref.ID)
	expect("pinned, not durable", 0)
	state.sync()
	expect("pinned", 0)
	again := s.Pin(1, []cluster.BodyRef{ref})
	release()
	release()
	expect("pinned by another", 0)
	state.apply([]cluster.BodyRef{ref}, nil) // referred to again
	state.sync()
	again()
	expect("referenced again", 0)
	s.Dead(1, state.apply(nil, []cluster.BodyRef{ref}), ref.ID)
	expect("not durable", 0)
	h, err := s.Open(1, ref.ID)
	if err != nil {
		t.Fatal(err)
	}
	state.sync()
	expect("dead", 1)
	if err := readHandle(h, ref.ID); err != nil {
		t.Errorf("an open handle after the body was freed: %v", err)
	}
	mustPut(t, s, 1, data)
	if err := readBody(s, 1, ref.ID); err != nil {
		t.Errorf("put again after it was freed: %v", err)
	}
}

// TestHintRaisedMeanwhile: a body that was referred to again and died again
// waits for its second death to be durable.
func TestHintRaisedMeanwhile(t *testing.T) {
	state := newState()
	opts := testOpts(t)
	opts.Live = state
	s := mustOpen(t, vfs.NewMem(), opts)
	defer mustClose(t, s)
	data, _ := randBody(seeded(50), 100)
	ref := mustPut(t, s, 1, data)
	g := only(t, s, 1)
	s.Dead(1, 8, ref.ID)
	s.Dead(1, 7, ref.ID)
	for _, durable := range []uint64{7, 8} {
		if ok, err := g.freeOne(ref.ID, durable); ok != (durable == 8) || err != nil {
			t.Errorf("durable %d: freed is %v, %v", durable, ok, err)
		}
	}
}

// TestFreedWhileMoved: a body that is freed while reclaim copies it does not
// come back with the copy.
func TestFreedWhileMoved(t *testing.T) {
	entered, gate := make(chan struct{}), make(chan struct{})
	var hold atomic.Bool
	fs := &hookFS{FS: vfs.NewMem(), syncData: func() error {
		if hold.Load() {
			entered <- struct{}{}
			<-gate
		}
		return nil
	}}
	state := newState()
	opts := testOpts(t)
	opts.Live = state
	s := mustOpen(t, fs, opts)
	reconcile(t, s, state)
	rng := seeded(51)
	var refs []cluster.BodyRef
	for range 4 {
		data, _ := randBody(rng, 100)
		refs = append(refs, mustPut(t, s, 1, data))
	}
	state.apply(refs, nil)
	s.Dead(1, state.apply(nil, refs[:3]), refs[0].ID, refs[1].ID, refs[2].ID)
	state.sync()
	g := only(t, s, 1)
	if err := g.rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	hold.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() { reclaim(t, s) })
	<-entered // the last body is being copied
	s.Dead(1, state.apply(nil, refs[3:]), refs[3].ID)
	state.sync()
	if ok, err := g.freeOne(refs[3].ID, state.DurableApplied(1)); !ok || err != nil {
		t.Fatalf("freed is %v, %v", ok, err)
	}
	hold.Store(false)
	close(gate)
	wg.Wait()
	if s.Has(1, refs[3].ID) {
		t.Error("the freed body is back")
	}
	mustClose(t, s)
}

func TestRewriteGivesSpaceBack(t *testing.T) {
	fs := vfs.NewMem()
	state := newState()
	opts := testOpts(t)
	opts.Live = state
	s := mustOpen(t, fs, opts)
	reconcile(t, s, state)
	rng := seeded(41)
	var refs []cluster.BodyRef
	for range 300 {
		data, _ := randBody(rng, 1000)
		ref := mustPut(t, s, 1, data)
		refs = append(refs, ref)
		state.apply([]cluster.BodyRef{ref}, nil)
	}
	held := make([]*Handle, 0, 3)
	for _, i := range []int{0, 100, 299} {
		h, err := s.Open(1, refs[i].ID)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, h)
	}
	before := s.Stats().DiskBytes
	for i, r := range refs {
		if i%3 != 0 {
			s.Dead(1, state.apply(nil, []cluster.BodyRef{r}), r.ID)
		}
	}
	state.sync()
	if done := reclaim(t, s); done.Freed != 200 || done.Segments < 3 {
		t.Errorf("%+v", done)
	}
	if after := s.Stats().DiskBytes; after > before/2 {
		t.Errorf("%d bytes of %d are left, a third lives", after, before)
	}
	for i, h := range held {
		if err := readHandle(h, refs[[]int{0, 100, 299}[i]].ID); err != nil {
			t.Errorf("a handle opened before: %v", err)
		}
	}
	awaitIndexes(t, s)
	if len(fileNames(t, fs)) != s.Stats().Segments*2-1 {
		t.Errorf("files are left over: %v", fileNames(t, fs))
	}
	for reopened := range 2 {
		for i, r := range refs {
			err := readBody(s, 1, r.ID)
			if i%3 == 0 && err != nil || i%3 != 0 && reopened == 0 && !errors.Is(err, cluster.ErrNotHere) {
				t.Errorf("body %d: %v", i, err)
			}
		}
		mustClose(t, s)
		s = mustOpen(t, fs, opts)
	}
	mustClose(t, s)
}

func fileNames(t testing.TB, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List("data/bodies/1")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, n := range names {
		if strings.HasSuffix(n, segSuffix) || strings.HasSuffix(n, indexSuffix) {
			files = append(files, n)
		}
	}
	return files
}

// TestErasureDeadline is P6 and R17: a dead body in an otherwise living
// segment leaves the disk when it has been dead for EraseAfter, also when it
// died in the segment that is being written, and also when the node is
// restarted now and then.
func TestErasureDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		state := newState()
		opts := testOpts(t)
		opts.Live = state
		opts.EraseAfter = 10 * time.Hour
		s := mustOpen(t, fs, opts)
		reconcile(t, s, state)
		rng := seeded(42)
		secret := "the bytes that have to go"
		ref := mustPut(t, s, 1, []byte(secret))
		state.apply([]cluster.BodyRef{ref}, nil)
		for range 20 {
			data, _ := randBody(rng, 1000)
			state.apply([]cluster.BodyRef{mustPut(t, s, 1, data)}, nil)
		}
		s.Dead(1, state.apply(nil, []cluster.BodyRef{ref}), ref.ID)
		state.sync()
		for hour := range 10 {
			reclaim(t, s)
			if !onDisk(t, fs, secret) {
				t.Fatalf("erased after %d h: the test proves nothing", hour)
			}
			if hour%3 == 2 {
				mustClose(t, s)
				s = mustOpen(t, fs, opts)
				reconcile(t, s, state)
			}
			time.Sleep(time.Hour)
		}
		reclaim(t, s)
		if onDisk(t, fs, secret) {
			t.Error("a dead body is on the disk after the deadline")
		}
		mustClose(t, s)
	})
}

func onDisk(t testing.TB, fs vfs.FS, what string) bool {
	t.Helper()
	names, err := fs.List("data/bodies/1")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.Contains(string(readAll(t, fs, "data/bodies/1/"+name)), what) {
			return true
		}
	}
	return false
}

// TestOrphans: a body that no entry ever named goes after OrphanAfter, or
// after a restart; one that an entry names stays.
func TestOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		state := newState()
		opts := testOpts(t)
		opts.Live = state
		s := mustOpen(t, fs, opts)
		reconcile(t, s, state)
		rng := seeded(43)
		var orphans, named []cluster.BodyRef
		put := func() {
			a, _ := randBody(rng, 500)
			b, _ := randBody(rng, 500)
			orphans = append(orphans, mustPut(t, s, 1, a))
			named = append(named, mustPut(t, s, 1, b))
			state.apply(named[len(named)-1:], nil)
			state.sync()
		}
		count := func(refs []cluster.BodyRef) (n int) {
			for _, r := range refs {
				if s.Has(1, r.ID) {
					n++
				}
			}
			return n
		}
		put()
		time.Sleep(23 * time.Hour)
		reclaim(t, s)
		put()
		if n := count(orphans); n != 2 {
			t.Errorf("%d orphans after 23 h, want 2", n)
		}
		time.Sleep(2 * time.Hour)
		reclaim(t, s) // seals the segment
		reclaim(t, s)
		if n := count(orphans); n != 2 {
			t.Errorf("%d orphans as soon as their segment was sealed, want 2", n)
		}
		time.Sleep(24*time.Hour + time.Minute)
		reclaim(t, s)
		if n := count(orphans); n != 0 {
			t.Errorf("%d orphans after 49 h", n)
		}
		put()
		pinned := s.Pin(1, orphans[2:])
		mustClose(t, s)
		pinned()
		s = mustOpen(t, fs, opts)
		reclaim(t, s)
		// What was freed but still lies in a living segment is back until
		// the sweep.
		if n := count(orphans); n != 3 {
			t.Errorf("%d orphans after a restart and before Reconcile, want 3", n)
		}
		unpin := s.Pin(1, orphans[2:])
		reconcile(t, s, state)
		reclaim(t, s)
		if n := count(orphans); n != 1 {
			t.Errorf("%d orphans while an entry of the log names it, want 1", n)
		}
		unpin()
		reclaim(t, s)
		if n := count(orphans); n != 0 {
			t.Errorf("%d orphans after Reconcile", n)
		}
		if n := count(named); n != len(named) {
			t.Errorf("%d of %d named bodies are left", n, len(named))
		}
		if n := s.Stats().Orphans; n != 3 {
			t.Errorf("%d orphans counted", n)
		}
		mustClose(t, s)
	})
}

// TestReclaimSyncOrder records what reclaim does to the disk: the copy and its
// name are synced before the old file is unlinked, and that is synced too.
func TestReclaimSyncOrder(t *testing.T) {
	var mu sync.Mutex
	var ops []string
	mem := vfs.NewMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		name := mem.PathBase(op.Path)
		switch op.Kind {
		case errorfs.OpFileWriteAt:
			ops = append(ops, "write "+name)
		case errorfs.OpFileSyncData, errorfs.OpFileSync:
			ops = append(ops, "sync "+name)
		case errorfs.OpRemove:
			ops = append(ops, "unlink "+name)
		}
		return nil
	}))
	state := newState()
	opts := testOpts(t)
	opts.Live = state
	s := mustOpen(t, fs, opts)
	reconcile(t, s, state)
	rng := seeded(44)
	var refs []cluster.BodyRef
	for range 4 {
		data, _ := randBody(rng, 1000)
		refs = append(refs, mustPut(t, s, 1, data))
	}
	state.apply(refs, nil)
	s.Dead(1, state.apply(nil, refs[1:]), refs[1].ID, refs[2].ID, refs[3].ID)
	state.sync()
	if err := only(t, s, 1).rotate(context.Background()); err != nil {
		t.Fatal(err)
	}
	ops = nil
	reclaim(t, s)
	mu.Lock()
	got := strings.Join(ops, "\n")
	mu.Unlock()
	want := strings.Join([]string{
		"sync notes.tmp",
		"sync 1",
		"write 00000002.seg",
		"sync 00000002.seg",
		"sync 1",
		"unlink 00000001.seg",
		"unlink 00000001.idx",
		"sync 1",
	}, "\n")
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	mustClose(t, s)
}

// TestScrub damages bodies on one node and expects them to be noticed, set
// aside, healed from another node, and the damage to be gone from the disk.
func TestScrub(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *fakeNet, n []*node) {
		rng := seeded(45)
		var refs []cluster.BodyRef
		for range 20 {
			data, _ := randBody(rng, 3000)
			ref := mustPut(t, n[1].Store, 1, data)
			mustPut(t, n[0].Store, 1, data)
			refs = append(refs, ref)
		}
		for _, o := range n {
			o.state.apply(refs, nil)
			o.state.sync()
		}
		g := only(t, n[0].Store, 1)
		reconcile(t, n[0].Store, n[0].state)
		if err := g.rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if done, err := n[0].Scrub(t.Context(), 1); err != nil || done.Bodies != 20 || done.Damaged != 0 {
			t.Fatalf("%+v %v", done, err)
		}
		for i, at := range []int64{0, 3, recHeaderLen, recHeaderLen + 2999} {
			p, _ := g.tab.get(keyOf(refs[i*5].ID))
			flip(t, n[0].fs, g.segs[p.seq].path, int64(p.off)+at)
		}
		done, err := n[0].Scrub(t.Context(), 1)
		if err != nil || done.Damaged != 4 || n[0].Whole(1) {
			t.Fatalf("%+v %v, whole %v", done, err, n[0].Whole(1))
		}
		for i := range 4 {
			if n[0].Has(1, refs[i*5].ID) {
				t.Errorf("damaged body %d is still given out", i)
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { n[0].Run(ctx) })
		waitBubble(t, "the bodies to heal", func() bool { return n[0].Whole(1) })
		stop()
		wg.Wait()
		for _, r := range refs {
			if err := readBody(n[0].Store, 1, r.ID); err != nil {
				t.Error(err)
			}
		}
		if h := n[0].Stats().Healed; h != 4 {
			t.Errorf("%d healed", h)
		}
		// Set aside also over a restart, and rewritten soon.
		if done := reclaim(t, n[0].Store); done.Segments != 1 {
			t.Errorf("%+v", done)
		}
		if done, err := n[0].Scrub(t.Context(), 1); err != nil || done.Damaged != 0 {
			t.Errorf("%+v %v", done, err)
		}
	})
}

func flip(t testing.TB, fs vfs.FS, path string, off int64) {
	t.Helper()
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestQuarantineSurvivesRestart: a body found damaged does not come back with
// the next start.
func TestQuarantineSurvivesRestart(t *testing.T) {
	fs := vfs.NewMem()
	state := newState()
	opts := testOpts(t)
	opts.Live = state
	s := mustOpen(t, fs, opts)
	data, _ := randBody(seeded(46), 500)
	ref := mustPut(t, s, 1, data)
	state.apply([]cluster.BodyRef{ref}, nil)
	if err := s.Verify(t.Context(), 1, ref.ID); err != nil {
		t.Fatal(err)
	}
	g := only(t, s, 1)
	flip(t, fs, g.segs[1].path, segHeaderLen+recHeaderLen+77)
	if err := s.Verify(t.Context(), 1, ref.ID); !errors.Is(err, mailstore.ErrDamaged) {
		t.Errorf("Verify: %v", err)
	}
	if err := s.Verify(t.Context(), 1, ref.ID); !errors.Is(err, cluster.ErrNotHere) {
		t.Errorf("Verify again: %v", err)
	}
	mustClose(t, s)
	s = mustOpen(t, fs, opts)
	if s.Has(1, ref.ID) {
		t.Error("the damaged body is back")
	}
	reconcile(t, s, state)
	if s.Whole(1) {
		t.Error("whole without it")
	}
	mustPut(t, s, 1, data)
	if err := readBody(s, 1, ref.ID); err != nil || !s.Whole(1) {
		t.Errorf("after it was put again: %v", err)
	}
	mustClose(t, s)
}

// TestDamagedFiles: damage to whatever is not a body is survived at open.
func TestDamagedFiles(t *testing.T) {
	for _, c := range []struct {
		name        string
		bad         uint64
		lost        bool
		off         int64
		unindexed   bool
		wantScanned uint64
	}{
		{name: fileName(1, indexSuffix), off: 60, wantScanned: 1},
		{name: notesName, off: 5},
		{name: fileName(1, segSuffix), off: 3}, // the index has what the header says
		{name: fileName(1, segSuffix), off: 3, unindexed: true, bad: 1, lost: true},
	} {
		t.Run(fmt.Sprintf("%s,%v", c.name, c.unindexed), func(t *testing.T) {
			fs := vfs.NewMem()
			state := newState()
			opts := testOpts(t)
			opts.Live = state
			s := mustOpen(t, fs, opts)
			rng := seeded(47)
			var refs []cluster.BodyRef
			for range 10 {
				data, _ := randBody(rng, 100)
				refs = append(refs, mustPut(t, s, 1, data))
			}
			state.apply(refs, nil)
			reconcile(t, s, state)
			s.Dead(1, state.apply(nil, refs[9:]), refs[9].ID)
			state.sync()
			reclaim(t, s)
			mustClose(t, s)
			flip(t, fs, "data/bodies/1/"+c.name, c.off)
			if c.unindexed {
				if err := fs.Remove("data/bodies/1/" + fileName(1, indexSuffix)); err != nil {
					t.Fatal(err)
				}
			}
			s = mustOpen(t, fs, opts)
			for _, r := range refs[:9] {
				if err := readBody(s, 1, r.ID); (err != nil) != c.lost {
					t.Errorf("reading: %v", err)
				}
			}
			if st := s.Stats(); st.BadSegments != c.bad || st.Recovered != c.wantScanned {
				t.Errorf("%d bad, %d scanned", st.BadSegments, st.Recovered)
			}
			mustClose(t, s)
		})
	}
}

func TestSmallSegmentsAreMerged(t *testing.T) {
	fs := vfs.NewMem()
	state := newState()
	opts := testOpts(t)
	opts.Live = state
	rng := seeded(48)
	var refs []cluster.BodyRef
	for range 12 {
		s := mustOpen(t, fs, opts)
		data, _ := randBody(rng, 100)
		refs = append(refs, mustPut(t, s, 1, data))
		mustClose(t, s)
	}
	state.apply(refs, nil)
	s := mustOpen(t, fs, opts)
	reconcile(t, s, state)
	if done := reclaim(t, s); done.Segments != 12 || s.Stats().Segments != 1 {
		t.Errorf("%+v, %d segments", done, s.Stats().Segments)
	}
	for _, r := range refs {
		if err := readBody(s, 1, r.ID); err != nil {
			t.Error(err)
		}
	}
	mustClose(t, s)
}

// TestEverythingAtOnce lets writers, readers, expunges, reclaim and scrub run
// against each other: a body that is referenced is always readable.
func TestEverythingAtOnce(t *testing.T) {
	for _, w := range ways {
		t.Run(w.String(), func(t *testing.T) { everythingAtOnce(t, w) })
	}
}

func everythingAtOnce(t *testing.T, way way) {
	state := newState()
	opts := testOpts(t)
	opts.Live = state
	opts.MaxFiles = 4
	opts.EraseAfter = time.Nanosecond
	fs := vfs.NewMem()
	s := mustOpenBy(t, way, fs, opts)
	reconcile(t, s, state)
	ctx, stop := context.WithCancel(t.Context())
	var wg, work sync.WaitGroup
	for w := range 4 {
		work.Go(func() {
			rng := rand.New(rand.NewPCG(49, uint64(w)))
			var mine []cluster.BodyRef
			for i := 0; i < 250 || i < 20000 && s.stats.rewritten.Load() == 0; i++ {
				data, ref := randBody(rng, rng.IntN(3000))
				release := s.Pin(1, []cluster.BodyRef{ref})
				if err := s.Put(ctx, 1, ref.ID, data); err != nil {
					t.Errorf("Put: %v", err)
				}
				state.apply([]cluster.BodyRef{ref}, nil)
				mine = append(mine, ref)
				for range 2 {
					if err := readBody(s, 1, mine[rng.IntN(len(mine))].ID); err != nil {
						t.Errorf("reading: %v", err)
					}
				}
				release()
				if len(mine) > 20 {
					i := rng.IntN(len(mine))
					ref := mine[i]
					mine = append(mine[:i], mine[i+1:]...)
					h, err := s.Open(1, ref.ID)
					if err != nil {
						t.Errorf("Open: %v", err)
						continue
					}
					s.Dead(1, state.apply(nil, []cluster.BodyRef{ref}), ref.ID)
					if rng.IntN(4) == 0 { // and a copy of it comes again
						again := make([]byte, h.Size())
						if _, err := h.ReadAt(again, 0); err != nil && err != io.EOF {
							t.Errorf("an open handle: %v", err)
						}
						if err := s.Put(ctx, 1, ref.ID, again); err != nil {
							t.Errorf("Put: %v", err)
						}
					}
					if err := readHandle(h, ref.ID); err != nil {
						t.Errorf("an open handle: %v", err)
					}
				}
			}
			for _, r := range mine {
				if err := readBody(s, 1, r.ID); err != nil {
					t.Errorf("at the end: %v", err)
				}
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			state.sync()
			if _, err := s.Reclaim(ctx, 1); err != nil && ctx.Err() == nil {
				t.Errorf("Reclaim: %v", err)
			}
		}
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			if done, err := s.Scrub(ctx, 1); err != nil && ctx.Err() == nil || done.Damaged > 0 {
				t.Errorf("Scrub: %+v %v", done, err)
			}
		}
	})
	work.Wait()
	stop()
	wg.Wait()
	if st := s.Stats(); st.Freed == 0 || st.Rewritten == 0 {
		t.Errorf("nothing was reclaimed: %+v", st)
	}
	mustClose(t, s)
	closeJournal(t, s)
}
