package body

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/journal"
)

// way is how a store makes small bodies durable.
type way int

const (
	alone  way = iota // by a sync of the segment
	logged            // by the journal
	shared            // by the journal, with the entries behind them
)

var ways = []way{alone, logged, shared}

func (w way) String() string { return [...]string{"alone", "journal", "shared"}[w] }

// openBy opens a store on fs and, if it needs one, the journal beside it.
func openBy(t testing.TB, w way, fs vfs.FS, opts Options) (*Store, error) {
	t.Helper()
	if w == alone {
		return Open(fs, "data/bodies", opts)
	}
	j, err := journal.Open(fs, "data/journal", journal.Options{
		Fatal: opts.Fatal, SegmentSize: 16 << 10, Segments: 3, Linger: time.Nanosecond,
	})
	if err != nil {
		return nil, err
	}
	opts.Journal, opts.LogInJournal = j, w == shared
	s, err := Open(fs, "data/bodies", opts)
	if err == nil {
		err = j.Settle()
	}
	if err != nil {
		if s != nil {
			err = errors.Join(err, s.Close())
		}
		return nil, errors.Join(err, j.Close())
	}
	return s, nil
}

func mustOpenBy(t testing.TB, w way, fs vfs.FS, opts Options) *Store {
	t.Helper()
	s, err := openBy(t, w, fs, opts)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

func closeJournal(t testing.TB, s *Store) {
	t.Helper()
	if s.opts.Journal == nil {
		return
	}
	if held := s.opts.Journal.Stats().Held; held != 0 {
		t.Errorf("the closed store left %d bytes in the journal", held)
	}
	if err := s.opts.Journal.Close(); err != nil {
		t.Errorf("closing the journal: %v", err)
	}
}

// TestJournalSpares: small bodies take no sync of the segment, large ones and
// the first do, and what the journal asks for goes home with one for many.
func TestJournalSpares(t *testing.T) {
	if noSyncSegment {
		t.Skip("the built-in bug does not write to the journal")
	}
	for _, w := range ways[1:] {
		fs := vfs.NewCrashableMem()
		opts := testOpts(t)
		opts.SegmentSize = 4 << 20
		s := mustOpenBy(t, w, fs, opts)
		rng := seeded(81)
		var refs []cluster.BodyRef
		for range 100 {
			data, _ := randBody(rng, 1000)
			refs = append(refs, mustPut(t, s, 1, data))
		}
		st := s.Stats()
		if st.Syncs != 1 || st.Journaled != 99 {
			t.Errorf("%v: %d syncs of the segment, %d by the journal", w, st.Syncs, st.Journaled)
		}
		if st.Flushes == 0 || st.Flushes > 20 {
			t.Errorf("%v: went home %d times for 100 kB in files of 16 kB", w, st.Flushes)
		}
		large, ref := randBody(rng, maxSmall+1)
		refs = append(refs, mustPut(t, s, 1, large))
		if held := s.opts.Journal.Stats().Held; held != 0 {
			t.Errorf("%v: %d bytes are held behind a sync of the segment", w, held)
		}
		if got := s.Stats().Syncs; got != 2 {
			t.Errorf("%v: a body of %d bytes: %d syncs", w, ref.Size, got)
		}
		data, _ := randBody(rng, 1000)
		refs = append(refs, mustPut(t, s, 1, data))
		crashed := fs.CrashClone(vfs.CrashCloneCfg{})
		mustClose(t, s)
		closeJournal(t, s)
		s = mustOpenBy(t, w, crashed, testOpts(t))
		for _, r := range refs {
			if err := readBody(s, 1, r.ID); err != nil {
				t.Errorf("%v: %v", w, err)
			}
		}
		if s.Stats().Redone == 0 {
			t.Errorf("%v: nothing was redone", w)
		}
		mustClose(t, s)
		closeJournal(t, s)
	}
}

// TestJournalRenew: after Renew the journal holds nothing of the bodies, and
// they are in their segments.
func TestJournalRenew(t *testing.T) {
	if noSyncSegment {
		t.Skip("the built-in bug does not write to the journal")
	}
	fs := vfs.NewCrashableMem()
	s := mustOpenBy(t, logged, fs, testOpts(t))
	rng := seeded(82)
	data, _ := randBody(rng, 3000)
	refs := []cluster.BodyRef{mustPut(t, s, 1, data)}
	for range 8 {
		data, _ = randBody(rng, 3000)
		refs = append(refs, mustPut(t, s, 1, data), mustPut(t, s, 2, data))
	}
	if err := s.opts.Journal.Renew(); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List("data/journal")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if bytes.Contains(readAll(t, fs, "data/journal/"+n), data[:100]) {
			t.Errorf("%s holds a body", n)
		}
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, s)
	closeJournal(t, s)
	s = mustOpenBy(t, logged, crashed, testOpts(t))
	for _, r := range refs {
		if err := readBody(s, 1, r.ID); err != nil {
			t.Error(err)
		}
	}
	mustClose(t, s)
	closeJournal(t, s)
}

// TestMarks: while the journal is slow the writer goes on without marks, but not
// for ever: what recovery must write again is bounded.
func TestMarks(t *testing.T) {
	if noSyncSegment {
		t.Skip("the built-in bug does not write to the journal")
	}
	mem := vfs.NewCrashableMem()
	var held atomic.Bool
	gate := make(chan struct{})
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if held.Load() && op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".journal") {
			<-gate
		}
		return nil
	}))
	j, err := journal.Open(fs, "data/journal", journal.Options{
		Fatal: func(err error) { t.Error(err) }, SegmentSize: 16 << 20, Segments: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	opts := testOpts(t)
	opts.Journal, opts.SegmentSize = j, 64<<20
	s := mustOpen(t, fs, opts)
	rng := seeded(87)
	data, _ := randBody(rng, 100)
	mustPut(t, s, 1, data)
	held.Store(true)
	var wg sync.WaitGroup
	path := "data/bodies/1/" + fileName(1, segSuffix)
	want := int64(segHeaderLen + recHeaderLen + 100)
	first := want
	for want < first+markEvery+200<<10 {
		data, ref := randBody(rng, 60<<10)
		wg.Go(func() {
			if err := s.Put(context.Background(), 1, ref.ID, data); err != nil {
				t.Error(err)
			}
		})
		if want < first+markEvery {
			want += recHeaderLen + 60<<10
			waitFor(t, "the writer to go on while the journal hangs", func() bool {
				st, err := mem.Stat(path)
				return err == nil && st.Size() >= want
			})
		} else {
			want += recHeaderLen + 60<<10
		}
	}
	held.Store(false)
	close(gate)
	wg.Wait()
	whole := readAll(t, mem, path)
	h, err := parseSegHeader(whole)
	if err != nil {
		t.Fatal(err)
	}
	var marks []int
	for off := segHeaderLen; off < len(whole); {
		r, err := parseRecHeader(whole[off:], h.salt, uint32(off))
		if err != nil {
			t.Fatal(err)
		}
		if r.flags&flagBatch != 0 {
			marks = append(marks, off)
		}
		off += recHeaderLen + int(r.size)
	}
	if len(marks) < 3 || marks[1] != segHeaderLen+recHeaderLen+100 {
		t.Fatalf("marks at %v", marks)
	}
	if d := marks[2] - marks[1]; d < markEvery || d > markEvery+maxTogether {
		t.Errorf("a mark after %d bytes", d)
	}
	mustClose(t, s)
	closeJournal(t, s)
}

// TestRedoIdentity: the journal writes nothing into a segment of another life,
// one that is unreadable, or one that was rewritten, and makes whole what was
// damaged meanwhile.
func TestRedoIdentity(t *testing.T) {
	if noSyncSegment {
		t.Skip("the built-in bug does not write to the journal")
	}
	build := func() (*vfs.MemFS, []cluster.BodyRef) {
		fs := vfs.NewCrashableMem()
		s := mustOpenBy(t, logged, fs, testOpts(t))
		rng := seeded(83)
		var refs []cluster.BodyRef
		for range 6 {
			data, _ := randBody(rng, 1000)
			refs = append(refs, mustPut(t, s, 1, data))
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
		mustClose(t, s)
		closeJournal(t, s)
		return crashed, refs
	}
	path := "data/bodies/1/" + fileName(1, segSuffix)
	have := func(fs vfs.FS, refs []cluster.BodyRef) (n int, st Stats) {
		s := mustOpenBy(t, logged, fs, testOpts(t))
		for _, r := range refs {
			if !s.Has(1, r.ID) {
				continue
			}
			n++
			if err := readBody(s, 1, r.ID); err != nil {
				t.Error(err)
			}
		}
		st = s.Stats()
		mustClose(t, s)
		closeJournal(t, s)
		return n, st
	}
	t.Run("whole", func(t *testing.T) {
		fs, refs := build()
		if n, st := have(fs, refs); n != 6 || st.Redone != 5 || st.RedoStale != 0 {
			t.Errorf("%d bodies, %+v", n, st)
		}
	})
	t.Run("cut and damaged", func(t *testing.T) {
		const rec = recHeaderLen + 1000
		for _, size := range []int{segHeaderLen + rec, segHeaderLen + rec + 10, segHeaderLen + 3*rec - 1} {
			fs, refs := build()
			whole := readAll(t, fs, path)
			writeAll(t, fs, "data/bodies/1", fileName(1, segSuffix), whole[:size])
			if n, _ := have(fs, refs); n != 6 {
				t.Errorf("cut to %d: %d bodies", size, n)
			}
		}
		for i := range 6 {
			fs, refs := build()
			flip(t, fs, path, int64(segHeaderLen+i*rec+500))
			want := 6
			if i == 0 { // synced in the segment, and only there
				want = 5
			}
			if n, _ := have(fs, refs); n != want {
				t.Errorf("record %d damaged: %d bodies", i, n)
			}
		}
	})
	t.Run("indexed without the journal", func(t *testing.T) {
		fs, refs := build()
		whole := readAll(t, fs, path)
		writeAll(t, fs, "data/bodies/1", fileName(1, segSuffix), whole[:segHeaderLen+2*(recHeaderLen+1000)])
		mustClose(t, mustOpen(t, fs, testOpts(t))) // as a tool may do
		n, st := have(fs, refs)
		if n != 6 || st.Recalled != 4 {
			t.Errorf("%d bodies, %+v", n, st)
		}
	})
	t.Run("gone", func(t *testing.T) {
		fs, refs := build()
		if err := fs.Remove(path); err != nil {
			t.Fatal(err)
		}
		if n, st := have(fs, refs); n != 0 || st.Redone != 0 || st.RedoStale != 5 {
			t.Errorf("%d bodies, %+v", n, st)
		}
	})
	t.Run("unreadable", func(t *testing.T) {
		fs, refs := build()
		flip(t, fs, path, 3)
		if n, st := have(fs, refs); n != 0 || st.Redone != 0 || st.BadSegments != 1 {
			t.Errorf("%d bodies, %+v", n, st)
		}
	})
	t.Run("another life", func(t *testing.T) {
		fs, refs := build()
		rng := seeded(84)
		other := appendSegHeader(nil, segHeader{group: 1, seq: 1, salt: 77})
		var theirs []cluster.BodyRef
		for i := range 6 {
			data, ref := randBody(rng, 1000)
			theirs = append(theirs, ref)
			h := recHeader{size: 1000, crc: crc32.Checksum(data, castagnoli), id: ref.ID}
			if i == 0 {
				h.flags = flagBatch
			}
			other = append(appendRecHeader(other, h, 77, uint32(len(other))), data...)
		}
		writeAll(t, fs, "data/bodies/1", fileName(1, segSuffix), other)
		if n, st := have(fs, append(refs, theirs...)); n != 6 || st.RedoStale != 5 {
			t.Errorf("%d bodies, %+v", n, st)
		}
	})
	t.Run("again", func(t *testing.T) {
		// Settle is never reached: everything is found and redone again, also
		// after its segment was sealed, or rewritten and its name used anew.
		fs, refs := build()
		for range 3 {
			j, err := journal.Open(fs, "data/journal", journal.Options{Fatal: func(err error) { t.Error(err) }})
			if err != nil {
				t.Fatal(err)
			}
			opts := testOpts(t)
			state := newState()
			state.apply(refs, nil)
			opts.Live, opts.Journal = state, j
			s := mustOpen(t, fs, opts)
			reconcile(t, s, state)
			reclaim(t, s)
			for _, r := range refs {
				if err := readBody(s, 1, r.ID); err != nil {
					t.Error(err)
				}
			}
			mustClose(t, s)
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestRedoMalformed: a record of the journal that can't be redone stops Open;
// it holds bodies that were answered.
func TestRedoMalformed(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpenBy(t, logged, fs, testOpts(t))
	data, _ := randBody(seeded(85), 100)
	mustPut(t, s, 1, data)
	mustClose(t, s)
	j := s.opts.Journal
	w, err := j.Stream(journal.Stream{Group: 1, Kind: journal.KindBody}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tk, err := w.Append([]byte("from a later version"))
	if err == nil {
		err = tk.Wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openBy(t, logged, fs, testOpts(t)); !errors.Is(err, errFormat) {
		t.Errorf("Open: %v", err)
	}
}

// TestEnsureShares: with the entries in the same journal, Ensure is content
// with a body that an entry can't overtake, and one sync serves both. Without,
// it waits for the sync.
func TestEnsureShares(t *testing.T) {
	if noSyncSegment {
		t.Skip("the built-in bug does not write to the journal")
	}
	for _, w := range ways[1:] {
		mem := vfs.NewCrashableMem()
		var held atomic.Bool
		gate, reached := make(chan struct{}), make(chan struct{}, 1)
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if held.Load() && op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".journal") {
				select {
				case reached <- struct{}{}:
				default:
				}
				<-gate
			}
			return nil
		}))
		s := mustOpenBy(t, w, fs, testOpts(t))
		entries, err := s.opts.Journal.Stream(journal.Stream{Group: 1, Kind: journal.KindLog}, nil)
		if err != nil {
			t.Fatal(err)
		}
		rng := seeded(86)
		data, _ := randBody(rng, 500)
		mustPut(t, s, 1, data)
		held.Store(true)
		data, ref := randBody(rng, 500)
		put := make(chan error, 1)
		go func() { put <- s.Put(context.Background(), 1, ref.ID, data) }()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		ensured := make(chan error, 1)
		go func() { ensured <- s.Ensure(ctx, 1, cluster.NodeID{}, 7, []cluster.BodyRef{ref}) }()
		if w == shared {
			if err := <-ensured; err != nil {
				t.Errorf("Ensure: %v", err)
			}
		} else {
			<-reached
			select {
			case err := <-ensured:
				t.Errorf("Ensure returned %v before the sync", err)
			default:
			}
		}
		if s.Has(1, ref.ID) {
			t.Error("Has is true before the sync")
		}
		select {
		case err := <-put:
			t.Errorf("Put returned %v before the sync", err)
		default:
		}
		if w == shared {
			// Who has stored the entry may read it at once.
			if err := readBody(s, 1, ref.ID); err != nil {
				t.Errorf("reading: %v", err)
			}
		}
		tk, err := entries.Append([]byte("entry"))
		if err != nil {
			t.Fatal(err)
		}
		held.Store(false)
		close(gate)
		if err := tk.Wait(); err != nil {
			t.Fatal(err)
		}
		crashed := mem.CrashClone(vfs.CrashCloneCfg{}) // the entry is acknowledged
		if err := errors.Join(<-put); err != nil {
			t.Errorf("Put: %v", err)
		}
		if w == logged {
			if err := <-ensured; err != nil {
				t.Errorf("Ensure: %v", err)
			}
		}
		cancel()
		entries.Home(tk.End)
		mustClose(t, s)
		closeJournal(t, s)
		s = mustOpenBy(t, w, crashed, testOpts(t))
		if err := readBody(s, 1, ref.ID); err != nil {
			t.Errorf("%v: the body of an acknowledged entry: %v", w, err)
		}
		mustClose(t, s)
		closeJournal(t, s)
	}
}

// TestEnsureThenCrash loses power before each operation of a run in which
// bodies are put, ensured and named by entries in the same journal: an entry
// whose ticket was answered is never there without its body.
func TestEnsureThenCrash(t *testing.T) {
	if noSyncSegment {
		t.Skip("the built-in bug does not write to the journal")
	}
	for k := int64(1); ; k++ {
		c := &crasher{mem: vfs.NewCrashableMem(), k: k}
		var mu sync.Mutex
		acked := make(map[cluster.BodyID]bool)
		var promised []cluster.BodyID
		c.taken = func() {
			mu.Lock()
			defer mu.Unlock()
			for id := range acked {
				promised = append(promised, id)
			}
		}
		opts := testOpts(t)
		opts.SegmentSize = 32 << 10
		s := mustOpenBy(t, shared, errorfs.Wrap(c.mem, c), opts)
		entries, err := s.opts.Journal.Stream(journal.Stream{Group: 1, Kind: journal.KindLog}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				rng := seeded(uint64(90 + i))
				for range 8 {
					data, ref := randBody(rng, 100+rng.IntN(3000))
					put := make(chan error, 1)
					go func() { put <- s.Put(context.Background(), 1, ref.ID, data) }()
					err := s.Ensure(t.Context(), 1, cluster.NodeID{}, 1, []cluster.BodyRef{ref})
					var tk journal.Ticket
					if err == nil {
						tk, err = entries.Append(ref.ID[:])
					}
					if err == nil {
						err = tk.Wait()
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					acked[ref.ID] = true
					mu.Unlock()
					entries.Home(tk.End)
					if err := <-put; err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		mustClose(t, s)
		closeJournal(t, s)
		if c.clone == nil {
			if k < 60 {
				t.Fatalf("only %d operations", k)
			}
			return
		}
		s, err = openBy(t, shared, c.clone, testOpts(t))
		if err != nil {
			t.Fatalf("crash at %d: %v", k, err)
		}
		for _, id := range promised {
			if err := readBody(s, 1, id); err != nil {
				t.Errorf("crash at %d: an acknowledged entry's body: %v", k, err)
			}
		}
		mustClose(t, s)
		closeJournal(t, s)
		if t.Failed() {
			return
		}
	}
}
