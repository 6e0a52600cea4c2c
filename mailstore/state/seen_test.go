package state

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// known fails for each key of the database that the filter leaves out, and
// returns how many there are.
func (r *rig) known(f *filter) (n int) {
	r.tb.Helper()
	it, err := r.db.p.NewIter(&pebble.IterOptions{
		LowerBound: r.m.table(nil, seenFirst), UpperBound: r.m.table(nil, seenLast+1),
	})
	if err != nil {
		r.tb.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		if n++; !f.has(it.Key()) {
			r.tb.Fatalf("row %d of table %02x is not known", n, it.Key()[prefixLen])
		}
	}
	if err := closeIter(it, nil); err != nil {
		r.tb.Fatal(err)
	}
	return n
}

// filled waits for the filters and returns the newest.
func (r *rig) filled() *filter {
	r.tb.Helper()
	s := r.m.t.seen
	s.fills.Wait()
	s.grow()
	if s.cur == nil || !s.cur.ready.Load() {
		r.tb.Fatal("no filter")
	}
	return s.cur
}

// TestSeenGrows: whatever is written while a filter is filled is in it, also
// what the same Apply wrote before.
func TestSeenGrows(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	d := newMailman(r, 4)
	r.filled()
	r.m.t.seen.cur.room = 100
	for range 20 {
		r.apply(d.entries(64)...)
	}
	f := r.filled()
	if f.room < 400 {
		t.Errorf("room for %d keys", f.room)
	}
	if n := r.known(f); n < 20*64*3 {
		t.Errorf("%d rows", n)
	}
	if f.n.Load() < 20*64*3 {
		t.Errorf("counted %d keys", f.n.Load())
	}
}

// TestSeenReopened: a filter knows what was there before, and few others.
func TestSeenReopened(t *testing.T) {
	fs := vfs.NewMem()
	r := newRig(t, fs)
	d := newMailman(r, 4)
	for range 8 {
		r.apply(d.entries(64)...)
	}
	r.close()
	r = newRig(t, fs)
	f := r.filled()
	r.known(f)
	wrong := 0
	for range 10_000 {
		if f.has(r.m.bytes(nil, tabOp, d.random(16))) {
			wrong++
		}
	}
	if wrong > 50 {
		t.Errorf("%d of 10,000 new keys are taken for known", wrong)
	}
}

// TestSeenFull: a filter as full as it may get still leaves out most lookups.
func TestSeenFull(t *testing.T) {
	f := newFilter(seenLeast)
	key := make([]byte, prefixLen+1+16)
	d := newMailman(&rig{tb: t}, 0)
	for range seenLeast {
		copy(key[prefixLen:], d.random(17))
		f.add(key)
	}
	wrong := 0
	for range 100_000 {
		copy(key[prefixLen:], d.random(17))
		if f.has(key) {
			wrong++
		}
	}
	t.Logf("%d of 100,000", wrong)
	if wrong > 1000 {
		t.Errorf("%d of 100,000 new keys are taken for known", wrong)
	}
}
