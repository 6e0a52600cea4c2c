package body

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
)

// fakeState is a replicated state reduced to what Liveness asks of it.
type fakeState struct {
	mu      sync.Mutex
	refs    map[cluster.BodyID]uint32
	applied uint64
	durable uint64
}

func newState() *fakeState { return &fakeState{refs: make(map[cluster.BodyID]uint32)} }

func (f *fakeState) Referenced(_ cluster.GroupID, id cluster.BodyID) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.refs[id]
	return ok, nil
}

func (f *fakeState) Applied(cluster.GroupID) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applied
}

func (f *fakeState) DurableApplied(cluster.GroupID) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.durable
}

// apply executes one entry and returns its index.
func (f *fakeState) apply(add, del []cluster.BodyRef) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied++
	for _, r := range add {
		f.refs[r.ID] = r.Size
	}
	for _, r := range del {
		delete(f.refs, r.ID)
	}
	return f.applied
}

func (f *fakeState) sync() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.durable = f.applied
}

func (f *fakeState) syncTo(index uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.durable = index
}

func (f *fakeState) live(after cluster.BodyID) iter.Seq2[cluster.BodyRef, error] {
	f.mu.Lock()
	var refs []cluster.BodyRef
	for id, size := range f.refs {
		if slices.Compare(id[:], after[:]) > 0 {
			refs = append(refs, cluster.BodyRef{ID: id, Size: size})
		}
	}
	f.mu.Unlock()
	slices.SortFunc(refs, func(a, b cluster.BodyRef) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return func(yield func(cluster.BodyRef, error) bool) {
		for _, r := range refs {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// testOpts are small, so that everything happens soon.
func testOpts(t testing.TB) Options {
	return Options{
		Live:        newState(),
		Fatal:       func(err error) { t.Errorf("Fatal: %v", err) },
		SegmentSize: 64 << 10,
		ReclaimRate: 1 << 40, ScrubRate: 1 << 40,
	}
}

func mustOpen(t testing.TB, fs vfs.FS, opts Options) *Store {
	t.Helper()
	s, err := Open(fs, "data/bodies", opts)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	checkStore(t, s)
}

// checkStore compares the accounting of every segment with the table.
func checkStore(t testing.TB, s *Store) {
	t.Helper()
	for _, g := range s.all() {
		g.mu.Lock()
		live := make(map[uint32]int64)
		count := make(map[uint32]int)
		for i := range g.tab.shards {
			for _, e := range g.tab.shards[i].slots {
				if e.p.seq != 0 {
					live[e.p.seq] += recHeaderLen + int64(e.p.size)
					count[e.p.seq]++
				}
			}
		}
		for seq, n := range count {
			if g.segs[seq] == nil {
				t.Errorf("%d bodies point to segment %d, which does not exist", n, seq)
			}
		}
		for seq, seg := range g.segs {
			if seg.live != live[seq] || seg.count != count[seq] {
				t.Errorf("segment %d says %d bytes in %d bodies, the table %d in %d", seq, seg.live, seg.count, live[seq], count[seq])
			}
			if seg.live > seg.size {
				t.Errorf("segment %d: %d live bytes of %d", seq, seg.live, seg.size)
			}
		}
		g.mu.Unlock()
	}
}

func randBody(rng *rand.Rand, size int) ([]byte, cluster.BodyRef) {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b, cluster.BodyRef{ID: sha256.Sum256(b), Size: uint32(size)}
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func mustPut(t testing.TB, s *Store, gid cluster.GroupID, data []byte) cluster.BodyRef {
	t.Helper()
	ref := cluster.BodyRef{ID: sha256.Sum256(data), Size: uint32(len(data))}
	if err := s.Put(context.Background(), gid, ref.ID, data); err != nil {
		t.Fatalf("Put: %v", err)
	}
	return ref
}

// readBody reads a body whole and checks it against its id.
func readBody(s *Store, gid cluster.GroupID, id cluster.BodyID) error {
	h, err := s.Open(gid, id)
	if err != nil {
		return err
	}
	return readHandle(h, id)
}

func readHandle(h *Handle, id cluster.BodyID) error {
	b, err := io.ReadAll(io.NewSectionReader(h, 0, h.Size()))
	if err = errors.Join(err, h.Close()); err != nil {
		return err
	}
	if int64(len(b)) != h.Size() || sha256.Sum256(b) != id {
		return fmt.Errorf("wrong bytes for %v", id)
	}
	return nil
}

// only returns the test's group, which must exist.
func only(t testing.TB, s *Store, gid cluster.GroupID) *group {
	t.Helper()
	g := s.known(gid)
	if g == nil {
		t.Fatalf("group %v is not in the store", gid)
	}
	return g
}
