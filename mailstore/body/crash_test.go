package body

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"altmail.se/altmail/cluster"
)

// crasher clones the file system as a power loss would leave it, before the
// operation that changes it for the k-th time.
type crasher struct {
	mem   *vfs.MemFS
	k     int64
	cfg   vfs.CrashCloneCfg
	n     atomic.Int64
	mu    sync.Mutex
	clone *vfs.MemFS
	taken func() // under mu, at the moment of the crash
}

func (c *crasher) String() string { return "crash at an operation" }

func (c *crasher) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose {
		return nil
	}
	if c.n.Add(1) == c.k {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.taken != nil {
			c.taken()
		}
		c.clone = c.mem.CrashClone(c.cfg)
	}
	return nil
}

// workload puts bodies one after another and several at once, lets some die,
// and reclaims. promised returns what must survive a crash at that moment.
type workload struct {
	way      way
	state    *fakeState
	mu       sync.Mutex
	promised map[cluster.BodyID]bool // answered and alive
	ids      map[cluster.BodyID]bool // everything ever offered
}

func (w *workload) snapshot() map[cluster.BodyID]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := make(map[cluster.BodyID]bool, len(w.promised))
	for id := range w.promised {
		m[id] = true
	}
	return m
}

func (w *workload) put(t *testing.T, s *Store, data []byte, ref cluster.BodyRef) {
	w.mu.Lock()
	w.ids[ref.ID] = true
	w.mu.Unlock()
	if err := s.Put(context.Background(), 1, ref.ID, data); err != nil {
		t.Errorf("Put: %v", err)
		return
	}
	w.state.apply([]cluster.BodyRef{ref}, nil)
	w.mu.Lock()
	w.promised[ref.ID] = true
	w.mu.Unlock()
}

// expunge lets a body die; from here on it is not promised any more.
func (w *workload) expunge(s *Store, ref cluster.BodyRef) {
	w.mu.Lock()
	delete(w.promised, ref.ID)
	w.mu.Unlock()
	s.Dead(1, w.state.apply(nil, []cluster.BodyRef{ref}), ref.ID)
}

func (w *workload) run(t *testing.T, fs vfs.FS, seed uint64) {
	opts := testOpts(t)
	opts.Live = w.state
	opts.SegmentSize = 16 << 10
	s := mustOpenBy(t, w.way, fs, opts)
	if err := s.Reconcile(context.Background(), 1, w.state.live); err != nil {
		t.Fatalf("Reconcile: %v", err)
	}
	rng := seeded(seed)
	var refs []cluster.BodyRef
	for round := range 4 {
		for range 6 {
			data, ref := randBody(rng, 200+rng.IntN(3000))
			w.put(t, s, data, ref)
			refs = append(refs, ref)
		}
		var wg sync.WaitGroup
		for range 8 {
			data, ref := randBody(rng, rng.IntN(2000))
			refs = append(refs, ref)
			wg.Go(func() { w.put(t, s, data, ref) })
		}
		wg.Wait()
		if round > 0 {
			for i := range refs {
				if rng.IntN(2) == 0 {
					w.expunge(s, refs[i])
					refs[i] = cluster.BodyRef{}
				}
			}
			var kept []cluster.BodyRef
			for _, r := range refs {
				if r.Size != 0 {
					kept = append(kept, r)
				}
			}
			refs = kept
			w.state.sync()
			if _, err := s.Reclaim(context.Background(), 1); err != nil {
				t.Fatalf("Reclaim: %v", err)
			}
		}
	}
	mustClose(t, s)
	closeJournal(t, s)
}

func newWorkload(w way) *workload {
	return &workload{way: w, state: newState(), promised: make(map[cluster.BodyID]bool), ids: make(map[cluster.BodyID]bool)}
}

// TestCrashAtEveryWrite loses power before each changing operation in turn,
// with none, some or all of the unsynced blocks surviving, and expects every
// answered and living body to be there, whole, after the store is opened
// again; and once more after a second power loss directly after that.
func TestCrashAtEveryWrite(t *testing.T) {
	for _, w := range ways {
		t.Run(w.String(), func(t *testing.T) { crashAtEveryWrite(t, w) })
	}
}

func crashAtEveryWrite(t *testing.T, way way) {
	total := int64(0)
	{
		c := &crasher{mem: vfs.NewCrashableMem()}
		newWorkload(way).run(t, errorfs.Wrap(c.mem, c), 11)
		total = c.n.Load()
	}
	if total < 100 {
		t.Fatalf("the workload has only %d operations", total)
	}
	var recovered, redone uint64
	for k := int64(1); k <= total; k++ {
		for _, percent := range []int{0, 50, 100} {
			if percent == 50 && testing.Short() || way != alone && percent != int(k)%3*50 {
				continue
			}
			w := newWorkload(way)
			c := &crasher{mem: vfs.NewCrashableMem(), k: k, cfg: vfs.CrashCloneCfg{
				UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(k), uint64(percent))),
			}}
			var promised map[cluster.BodyID]bool
			c.taken = func() { promised = w.snapshot() }
			w.run(t, errorfs.Wrap(c.mem, c), 11)
			if c.clone == nil {
				continue // the writers were bundled otherwise this time
			}
			name := fmt.Sprintf("crash at %d of %d, %d%%", k, total, percent)
			st := checkCrash(t, name, c.clone, w, promised)
			recovered += st.Recovered
			redone += st.Redone
			if t.Failed() {
				return
			}
		}
	}
	if recovered == 0 {
		t.Error("no crash left a segment without an index: the test proves nothing")
	}
	if way != alone && redone == 0 {
		t.Error("no crash left anything in the journal to redo: the test proves nothing")
	}
}

func checkCrash(t *testing.T, name string, fs *vfs.MemFS, w *workload, promised map[cluster.BodyID]bool) Stats {
	t.Helper()
	opts := testOpts(t)
	opts.Live = w.state
	opts.SegmentSize = 16 << 10
	s, err := openBy(t, w.way, fs, opts)
	if err != nil {
		t.Errorf("%s: Open: %v", name, err)
		return Stats{}
	}
	// Whatever Has says must hold through the next power loss.
	second := fs.CrashClone(vfs.CrashCloneCfg{})
	has := make(map[cluster.BodyID]bool)
	for id := range w.ids {
		if s.Has(1, id) {
			has[id] = true
			if err := readBody(s, 1, id); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if promised[id] {
			t.Errorf("%s: an answered body is lost", name)
		}
	}
	st := s.Stats()
	mustClose(t, s)
	closeJournal(t, s)
	s, err = openBy(t, w.way, second, opts)
	if err != nil {
		t.Errorf("%s: second Open: %v", name, err)
		return st
	}
	for id := range has {
		if err := readBody(s, 1, id); err != nil {
			t.Errorf("%s: lost by a second crash after Has was true: %v", name, err)
		}
	}
	mustClose(t, s)
	closeJournal(t, s)
	return st
}

// TestPageCacheIsNotTheDisk: a sync fails, the process dies, and the next one
// finds the batch in the page cache. What it then says it has must be on disk.
func TestPageCacheIsNotTheDisk(t *testing.T) {
	for _, full := range []bool{false, true} {
		pageCache(t, alone, full)
	}
	for _, w := range ways[1:] {
		pageCache(t, w, false) // without room there is no journal either
	}
}

// pageCache runs the test with or without room to write the batch again.
func pageCache(t *testing.T, way way, full bool) {
	mem := vfs.NewCrashableMem()
	broken := errors.New("broken")
	var fail atomic.Bool
	fs := &hookFS{FS: mem, syncData: func() error {
		if fail.Load() {
			return broken
		}
		return nil
	}}
	opts := testOpts(t)
	var fatal atomic.Int64
	opts.Fatal = func(error) { fatal.Add(1) }
	s := mustOpenBy(t, way, fs, opts)
	rng := seeded(15)
	a, _ := randBody(rng, 5000)
	first := mustPut(t, s, 1, a)
	fail.Store(true)
	b, second := randBody(rng, 5000)
	if err := s.Put(t.Context(), 1, second.ID, b); !errors.Is(err, broken) || fatal.Load() == 0 || way == alone && fatal.Load() != 1 {
		t.Fatalf("Put: %v, fatal %d", err, fatal.Load())
	}
	if err := s.Put(t.Context(), 1, cluster.BodyID{1}, nil); !errors.Is(err, broken) {
		t.Errorf("Put after a failed sync: %v", err)
	}
	if s.Has(1, second.ID) {
		t.Error("Has is true although the sync failed")
	}
	opts = testOpts(t)
	again := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full && op.Kind == errorfs.OpFileWriteAt {
			return syscall.ENOSPC
		}
		return nil
	}))
	s2 := mustOpenBy(t, way, again, opts) // the page cache as the first left it
	if !s2.Has(1, second.ID) {
		t.Fatal("the page cache was not looked at: the test proves nothing")
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, s2)
	closeJournal(t, s2)
	s3 := mustOpenBy(t, way, crashed, opts)
	for _, r := range []cluster.BodyRef{first, second} {
		if err := readBody(s3, 1, r.ID); err != nil {
			t.Errorf("after the power loss, full %v: %v", full, err)
		}
	}
	mustClose(t, s3)
	closeJournal(t, s3)
	if err := s.Close(); err != nil {
		t.Errorf("Close of the failed store: %v", err)
	}
}

// TestTornTail cuts and damages the last file in every way and expects what
// was written before to be found.
func TestTornTail(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, mem, testOpts(t))
	rng := seeded(12)
	var refs []cluster.BodyRef
	for range 6 {
		data, _ := randBody(rng, 50)
		refs = append(refs, mustPut(t, s, 1, data))
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, s)
	path := "data/bodies/1/" + fileName(1, segSuffix)
	whole := readAll(t, crashed, path)
	const rec = recHeaderLen + 50
	for cut := segHeaderLen; cut <= len(whole); cut++ {
		for _, tail := range []string{"", "\x00\x00\x00", strings.Repeat("AMRC", 40)} {
			fs := vfs.NewMem()
			writeAll(t, fs, "data/bodies/1", fileName(1, segSuffix), append(whole[:cut:cut], tail...))
			s := mustOpen(t, fs, testOpts(t))
			want := (cut - segHeaderLen) / rec
			for i, r := range refs {
				if has := s.Has(1, r.ID); has != (i < want) {
					t.Fatalf("cut at %d: body %d: Has is %v", cut, i, has)
				}
				if i < want {
					if err := readBody(s, 1, r.ID); err != nil {
						t.Fatalf("cut at %d: %v", cut, err)
					}
				}
			}
			mustClose(t, s)
		}
	}
	// Damage in the middle must not be taken for the end.
	for i := range refs {
		for _, at := range []int{0, 5, recHeaderLen - 1, recHeaderLen, rec - 1} {
			b := append([]byte(nil), whole...)
			b[segHeaderLen+i*rec+at] ^= 0x40
			fs := vfs.NewMem()
			writeAll(t, fs, "data/bodies/1", fileName(1, segSuffix), b)
			s := mustOpen(t, fs, testOpts(t))
			for j, r := range refs {
				if has := s.Has(1, r.ID); has != (i != j) {
					t.Errorf("damage at %d of record %d: body %d: Has is %v", at, i, j, has)
				}
			}
			mustClose(t, s)
		}
	}
}

func readAll(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	g := &group{s: &Store{fs: fs}, dir: fs.PathDir(path)}
	b, err := g.readFile(fs.PathBase(path))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeAll(t testing.TB, fs vfs.FS, dir, name string, b []byte) {
	t.Helper()
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(append([]byte(nil), b...)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestErrorAtEveryOperation fails each operation in turn. Nothing may be
// answered that is not there after a restart, a failed write or sync must be
// fatal, and after it nothing may be written to the disk any more.
func TestErrorAtEveryOperation(t *testing.T) {
	for _, w := range ways {
		t.Run(w.String(), func(t *testing.T) { errorAtEveryOperation(t, w) })
	}
}

func errorAtEveryOperation(t *testing.T, way way) {
	injected := errors.New("injected")
	for k := int64(1); ; k++ {
		mem := vfs.NewCrashableMem()
		var n, after atomic.Int64
		var kind atomic.Pointer[errorfs.Op]
		var fatal atomic.Int64
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			i := n.Add(1)
			if i == k {
				kind.Store(&op)
				return injected
			}
			if fatal.Load() > 0 && (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpFileWriteAt || op.Kind == errorfs.OpFileSyncData) &&
				strings.HasSuffix(op.Path, segSuffix) {
				after.Add(1)
			}
			return nil
		}))
		state := newState()
		opts := testOpts(t)
		opts.Live = state
		opts.SegmentSize = 4 << 10
		opts.Fatal = func(error) { fatal.Add(1) }
		answered := make(map[cluster.BodyID]bool)
		failed := 0
		s, err := openBy(t, way, fs, opts)
		if err != nil && !errors.Is(err, injected) {
			t.Fatalf("operation %d: Open: %v", k, err)
		}
		if err == nil {
			rng := seeded(13)
			for range 12 {
				data, ref := randBody(rng, 700)
				if err := s.Put(context.Background(), 1, ref.ID, data); err != nil {
					failed++
					if !errors.Is(err, injected) {
						t.Errorf("operation %d: Put: %v", k, err)
					}
					continue
				}
				answered[ref.ID] = true
				state.apply([]cluster.BodyRef{ref}, nil)
				if err := readBody(s, 1, ref.ID); err != nil && !errors.Is(err, injected) {
					t.Errorf("operation %d: reading: %v", k, err)
				}
			}
			if err := s.Close(); err != nil && !errors.Is(err, injected) {
				t.Errorf("operation %d: Close: %v", k, err)
			}
			if s.opts.Journal != nil {
				if err := s.opts.Journal.Close(); err != nil && !errors.Is(err, injected) {
					t.Errorf("operation %d: closing the journal: %v", k, err)
				}
			}
		}
		op := kind.Load()
		if op == nil {
			if k < 50 {
				t.Fatalf("only %d operations", k)
			}
			return
		}
		switch op.Kind {
		case errorfs.OpFileWriteAt, errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData:
			n := fatal.Load()
			switch {
			case way == alone && n == 1:
			case way != alone && n >= 1 && n <= 2: // the journal's, and the store's
			case way != alone && n == 0 && s == nil: // the journal's Open said it
			default:
				t.Errorf("operation %d (%v of %s): Fatal was called %d times", k, op.Kind, op.Path, n)
			}
		}
		// A failed index may meet the writer in the middle of another file.
		if after.Load() != 0 && strings.HasSuffix(op.Path, segSuffix) {
			t.Errorf("operation %d (%v): %d writes after the failure", k, op.Kind, after.Load())
		}
		crashed := mem.CrashClone(vfs.CrashCloneCfg{})
		s = mustOpenBy(t, way, crashed, testOpts(t))
		for id := range answered {
			if err := readBody(s, 1, id); err != nil {
				t.Errorf("operation %d (%v): an answered body: %v", k, op.Kind, err)
			}
		}
		mustClose(t, s)
		closeJournal(t, s)
		if t.Failed() {
			return
		}
	}
}

// TestFullDisk: a write that meets a full disk is refused, not fatal, and the
// store goes on when there is room again.
func TestFullDisk(t *testing.T) {
	for _, w := range ways {
		t.Run(w.String(), func(t *testing.T) { fullDisk(t, w) })
	}
}

func fullDisk(t *testing.T, way way) {
	for _, kind := range []errorfs.OpKind{errorfs.OpFileWriteAt, errorfs.OpOpen, errorfs.OpFileWrite, errorfs.OpCreate} {
		mem := vfs.NewCrashableMem()
		var full atomic.Bool
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			// The journal's files have their space, or it ends the process.
			if full.Load() && op.Kind == kind && !strings.HasSuffix(op.Path, ".journal") {
				return syscall.ENOSPC
			}
			return nil
		}))
		state := newState()
		opts := testOpts(t)
		opts.Live = state
		opts.SegmentSize = 4 << 10
		s := mustOpenBy(t, way, fs, opts)
		if err := s.Reconcile(context.Background(), 1, state.live); err != nil {
			t.Fatal(err)
		}
		rng := seeded(14)
		var refs []cluster.BodyRef
		refused := 0
		for i := range 40 {
			full.Store(i%8 >= 5)
			data, ref := randBody(rng, 700)
			switch err := s.Put(context.Background(), 1, ref.ID, data); {
			case err == nil:
				refs = append(refs, ref)
				state.apply([]cluster.BodyRef{ref}, nil)
			case errors.Is(err, cluster.ErrNoRoom):
				refused++
			default:
				t.Fatalf("%v: Put: %v", kind, err)
			}
		}
		full.Store(false)
		if refused == 0 && (kind == errorfs.OpFileWriteAt || kind == errorfs.OpOpen) {
			t.Errorf("%v: nothing was refused", kind)
		}
		if _, err := s.Reclaim(context.Background(), 1); err != nil {
			t.Errorf("%v: Reclaim: %v", kind, err)
		}
		crashed := mem.CrashClone(vfs.CrashCloneCfg{})
		mustClose(t, s)
		closeJournal(t, s)
		for _, fs := range []vfs.FS{mem, crashed} {
			s := mustOpenBy(t, way, fs, opts)
			for _, r := range refs {
				if err := readBody(s, 1, r.ID); err != nil {
					t.Errorf("%v: %v", kind, err)
				}
			}
			mustClose(t, s)
			closeJournal(t, s)
		}
	}
}
