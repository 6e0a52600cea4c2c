package body

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
)

func TestTableAgainstMap(t *testing.T) {
	rng := seeded(1)
	var tab table
	twin := make(map[key]place)
	keys := make([]key, 3000)
	for i := range keys {
		for j := range keys[i] {
			keys[i][j] = byte(rng.Uint32())
		}
		if i%3 == 0 { // crowd one neighbourhood
			keys[i][0] = 5
			copy(keys[i][8:], []byte{byte(i % 7), 0, 0, 0, 0, 0, 0, 0})
		}
	}
	for step := range 60000 {
		k := keys[rng.IntN(len(keys))]
		want, wantOK := twin[k]
		var got place
		var ok bool
		switch op := rng.IntN(5); {
		case op < 2:
			p := place{rng.Uint32N(9) + 1, uint32(step), rng.Uint32()}
			got, ok = tab.put(k, p)
			twin[k] = p
		case op < 4:
			got, ok = tab.del(k)
			delete(twin, k)
		default:
			got, ok = tab.get(k)
		}
		if ok != wantOK || ok && got != want {
			t.Fatalf("step %d: got %v %v, want %v %v", step, got, ok, want, wantOK)
		}
		if tab.n != len(twin) {
			t.Fatalf("step %d: %d entries, want %d", step, tab.n, len(twin))
		}
	}
	for k, want := range twin {
		if got, ok := tab.get(k); !ok || got != want {
			t.Fatalf("end: got %v %v, want %v", got, ok, want)
		}
	}
}

func TestPutReadReopen(t *testing.T) {
	fs := vfs.NewMem()
	opts := testOpts(t)
	rng := seeded(2)
	s := mustOpen(t, fs, opts)
	refs := make(map[cluster.GroupID][]cluster.BodyRef)
	for i, size := range []int{0, 1, 100, 4096, 8191, 8192, 200 << 10, 70 << 10, 3, 1 << 20, 12} {
		gid := cluster.GroupID(i % 3)
		data, _ := randBody(rng, size)
		if size == 0 && s.Has(gid, cluster.BodyID{}) {
			t.Error("an empty store has a body")
		}
		refs[gid] = append(refs[gid], mustPut(t, s, gid, data))
	}
	check := func(s *Store) {
		t.Helper()
		for gid, rs := range refs {
			for _, r := range rs {
				if !s.Has(gid, r.ID) || s.Has(gid+100, r.ID) {
					t.Errorf("Has is wrong for %v", r.ID)
				}
				if err := readBody(s, gid, r.ID); err != nil {
					t.Errorf("body of %d bytes: %v", r.Size, err)
				}
			}
		}
	}
	check(s)
	mustClose(t, s)
	if err := s.Put(context.Background(), 1, cluster.BodyID{1}, nil); !errors.Is(err, cluster.ErrStopped) {
		t.Errorf("Put after Close: %v", err)
	}
	s = mustOpen(t, fs, opts)
	check(s)
	if n := s.Stats().Recovered; n != 0 {
		t.Errorf("%d segments were scanned after a clean close", n)
	}
	syncs := s.Stats().Syncs
	data, _ := randBody(seeded(2), 0)
	mustPut(t, s, 0, data)
	if got := s.Stats().Syncs; got != syncs {
		t.Errorf("putting a body that is here cost %d syncs", got-syncs)
	}
	mustClose(t, s)
}

func TestHandleReadAt(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), testOpts(t))
	defer mustClose(t, s)
	data, _ := randBody(seeded(3), 1000)
	ref := mustPut(t, s, 1, data)
	mustPut(t, s, 1, []byte("a neighbour"))
	h, err := s.Open(1, ref.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		off, n int
		want   []byte
		err    error
	}{
		{0, 1000, data, nil},
		{0, 1001, data, io.EOF},
		{10, 5, data[10:15], nil},
		{990, 20, data[990:], io.EOF},
		{1000, 1, nil, io.EOF},
		{5000, 1, nil, io.EOF},
	} {
		b := make([]byte, c.n)
		n, err := h.ReadAt(b, int64(c.off))
		if err != c.err || !bytes.Equal(b[:n], c.want) {
			t.Errorf("ReadAt(%d, %d): %d bytes, %v", c.off, c.n, n, err)
		}
	}
	if _, err := h.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a negative offset was read")
	}
	if err := errors.Join(h.Close(), h.Close()); err != nil {
		t.Error(err)
	}
}

func TestPutVerified(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), testOpts(t))
	defer mustClose(t, s)
	data, ref := randBody(seeded(4), 100)
	if err := s.PutVerified(context.Background(), 1, ref.ID, data[1:]); !errors.Is(err, errFormat) {
		t.Errorf("wrong bytes: %v", err)
	}
	if s.Has(1, ref.ID) {
		t.Error("wrong bytes were stored")
	}
	if err := s.PutVerified(context.Background(), 1, ref.ID, data); err != nil {
		t.Error(err)
	}
	if err := readBody(s, 1, ref.ID); err != nil {
		t.Error(err)
	}
}

func TestTooLarge(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), testOpts(t))
	defer mustClose(t, s)
	if err := s.Put(t.Context(), 1, cluster.BodyID{1}, make([]byte, MaxBody+1)); !errors.Is(err, cluster.ErrTooLarge) {
		t.Errorf("Put: %v", err)
	}
}

// TestGroupCommit holds the first sync back and expects everything that was
// put meanwhile to go out under one more.
func TestGroupCommit(t *testing.T) {
	entered, gate := make(chan struct{}, 100), make(chan struct{})
	fs := &hookFS{FS: vfs.NewMem(), syncData: func() error {
		entered <- struct{}{}
		<-gate
		return nil
	}}
	s := mustOpen(t, fs, testOpts(t))
	rng := seeded(5)
	var wg sync.WaitGroup
	put := func(data []byte, ref cluster.BodyRef) {
		wg.Go(func() {
			if err := s.Put(context.Background(), 1, ref.ID, data); err != nil {
				t.Errorf("Put: %v", err)
			}
		})
	}
	data, ref := randBody(rng, 100)
	put(data, ref)
	<-entered
	const n = 50
	for range n {
		d, r := randBody(rng, 200)
		put(d, r)
		put(d, r) // a second writer of the same body joins the first
	}
	g := only(t, s, 1)
	waitFor(t, "the queue to fill", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		joined := 0
		for _, r := range g.queue {
			joined += r.joined
		}
		return len(g.queue) == n && joined == n
	})
	// One that gives up in the queue is not written.
	ctx, cancel := context.WithCancel(context.Background())
	late, lateRef := randBody(rng, 10)
	wg.Go(func() {
		if err := s.Put(ctx, 1, lateRef.ID, late); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled Put: %v", err)
		}
	})
	waitFor(t, "the late one", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.queue) == n+1
	})
	cancel()
	waitFor(t, "the late one to leave", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.queue) == n
	})
	if s.Has(1, ref.ID) {
		t.Error("Has is true before the sync has ended")
	}
	close(gate)
	wg.Wait()
	if st := s.Stats(); st.Syncs != 2 || st.Puts != n+1 {
		t.Errorf("%d syncs for %d puts, want 2 for %d", st.Syncs, st.Puts, n+1)
	}
	if s.Has(1, lateRef.ID) {
		t.Error("a cancelled body was written")
	}
	mustClose(t, s)
}

func TestRotation(t *testing.T) {
	fs := vfs.NewMem()
	opts := testOpts(t)
	s := mustOpen(t, fs, opts)
	rng := seeded(6)
	var refs []cluster.BodyRef
	for i := range 100 {
		data, _ := randBody(rng, 1000+i)
		if i%10 == 0 {
			data, _ = randBody(rng, 100<<10) // larger than a segment
		}
		refs = append(refs, mustPut(t, s, 7, data))
	}
	if n := s.Stats().Segments; n < 12 {
		t.Errorf("%d segments", n)
	}
	g := only(t, s, 7)
	for _, seg := range g.segs {
		if seg.size > opts.SegmentSize && seg.count > 1 {
			t.Errorf("segment %d has %d bytes in %d bodies", seg.seq, seg.size, seg.count)
		}
	}
	mustClose(t, s)
	opts.MaxFiles = 3
	s = mustOpen(t, fs, opts)
	for _, r := range refs {
		if err := readBody(s, 7, r.ID); err != nil {
			t.Error(err)
		}
	}
	if s.files.open > 3 {
		t.Errorf("%d files are open", s.files.open)
	}
	mustClose(t, s)
	if s.files.open != 0 {
		t.Errorf("%d files are open after Close", s.files.open)
	}
}

func TestRoom(t *testing.T) {
	fs := vfs.NewMem()
	free := uint64(1000)
	opts := testOpts(t)
	opts.DiskUsage = func() (vfs.DiskUsage, error) { return vfs.DiskUsage{AvailBytes: free, TotalBytes: 10000}, nil }
	opts.RefuseFree, opts.ReserveFree = 500, 100
	peers := []cluster.NodeID{{1}, {2}}
	opts.Members = func(cluster.GroupID) []cluster.NodeID { return peers }
	s := mustOpen(t, fs, opts)
	defer mustClose(t, s)
	for _, c := range []struct {
		free             uint64
		one, two         bool // the members' reports
		room, put, heard bool
	}{
		{free: 1000, one: true, two: true, room: true, put: true, heard: true},
		{free: 1000, one: false, two: true, room: true, put: true, heard: true},
		{free: 1000, one: false, two: false, room: false, put: true, heard: true},
		{free: 499, one: true, two: true, room: true, put: false, heard: true},
		{free: 499, one: false, two: true, room: false, put: false, heard: true},
		{free: 99, one: true, two: true, room: true, put: false, heard: false},
	} {
		free = c.free
		s.space.expire()
		s.space.heard(peers[0], report{room: c.one})
		s.space.heard(peers[1], report{room: c.two})
		if got := s.Room(1); got != c.room {
			t.Errorf("%+v: Room is %v", c, got)
		}
		if err := s.space.admit(putNew); (err == nil) != c.put {
			t.Errorf("%+v: a new body: %v", c, err)
		}
		if err := s.space.admit(putMember); (err == nil) != c.heard {
			t.Errorf("%+v: a member's body: %v", c, err)
		}
		if err := s.space.admit(putMove); err != nil {
			t.Errorf("%+v: reclaim: %v", c, err)
		}
	}
	data, ref := randBody(seeded(7), 10)
	if err := s.Put(context.Background(), 1, ref.ID, data); !errors.Is(err, cluster.ErrNoRoom) {
		t.Errorf("Put on a full disk: %v", err)
	}
}

func BenchmarkPut8K(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			opts := testOpts(b)
			opts.SegmentSize = 256 << 20
			s, err := Open(vfs.Default, b.TempDir(), opts)
			if err != nil {
				b.Fatal(err)
			}
			defer mustClose(b, s)
			b.SetBytes(8 << 10)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range writers {
				n := b.N / writers
				if w < b.N%writers {
					n++
				}
				wg.Go(func() {
					data := make([]byte, 8<<10)
					var id cluster.BodyID
					rng := seeded(uint64(w))
					for range n {
						for j := range id {
							id[j] = byte(rng.Uint32())
						}
						if err := s.Put(context.Background(), 1, id, data); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			st := s.Stats()
			b.ReportMetric(float64(st.Syncs)/float64(b.N), "syncs/put")
		})
	}
}

func BenchmarkRead8K(b *testing.B) {
	s, err := Open(vfs.Default, b.TempDir(), testOpts(b))
	if err != nil {
		b.Fatal(err)
	}
	defer mustClose(b, s)
	data, _ := randBody(seeded(1), 8<<10)
	ref := mustPut(b, s, 1, data)
	buf := make([]byte, len(data))
	b.SetBytes(8 << 10)
	b.ReportAllocs()
	for b.Loop() {
		h, err := s.Open(1, ref.ID)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := h.ReadAt(buf, 0); err != nil {
			b.Fatal(err)
		}
		h.release()
	}
}

// BenchmarkOpen opens a store of half a million bodies from its index files.
func BenchmarkOpen(b *testing.B) {
	const bodies, perSegment = 500_000, 20_000
	fs := vfs.NewMem()
	rng := seeded(1)
	for seq := uint32(1); seq <= bodies/perSegment; seq++ {
		x := segIndex{group: 1, seq: seq, salt: 1}
		off := uint32(segHeaderLen)
		for range perSegment {
			e := indexEntry{off: off, size: 10}
			for j := range e.id {
				e.id[j] = byte(rng.Uint32())
			}
			off += recHeaderLen + e.size
			x.entries = append(x.entries, e)
		}
		x.valid = uint64(off)
		writeAll(b, fs, "data/bodies/1", fileName(seq, segSuffix), make([]byte, off))
		writeAll(b, fs, "data/bodies/1", fileName(seq, indexSuffix), x.append(nil))
	}
	b.ResetTimer()
	for b.Loop() {
		s := mustOpen(b, fs, testOpts(b))
		if n := s.Stats().Bodies; n != bodies {
			b.Fatalf("%d bodies", n)
		}
		mustClose(b, s)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/bodies, "ns/body")
}
