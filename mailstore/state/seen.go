package state

import (
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
)

// Most lookups of an Apply ask for ids nobody has seen: of an operation, a
// body, a message in a thread. Pebble answers "no" by a search in each of its
// memtables. seen knows every key of these tables, in a Bloom filter, so that a
// new one costs no search. It only ever leaves out lookups that would find
// nothing; whatever it does not know is looked up. The tables are neighbours.
const (
	seenFirst = tabThread
	seenLast  = tabOp
)

// Sizes of a filter, in keys. It has 16 bits for each: about one in 300 new
// keys is looked up all the same. A group that has more keys than seenMost goes
// without, so that memory is bounded at 16 MiB.
const (
	seenLeast = 1 << 16
	seenMost  = 1 << 23
	seenBits  = 16
	// seenRow is about what a row of these tables takes on disk.
	seenRow = 40
	// seenPiece is how many rows one iterator reads: an iterator that lives
	// long keeps what was erased on the disk.
	seenPiece = 1 << 15
)

// seen belongs to the goroutine that applies; only its filters are shared with
// the ones that fill them.
type seen struct {
	db        *pebble.DB
	keys      keys
	cur, next *filter // next is larger and will take cur's place once it is full
	stop      atomic.Bool
	fills     sync.WaitGroup
	missed    func(error) // told why a filter could not be filled
}

// filter is a Bloom filter with all probes of a key in one line of the
// processor's cache.
type filter struct {
	lines [][8]uint64
	room  int64
	n     atomic.Int64
	ready atomic.Bool // it has every key of the database
}

func newFilter(room int64) *filter {
	return &filter{lines: make([][8]uint64, room*seenBits/512), room: room}
}

// probe returns the line of a key and its four bits there.
func (f *filter) probe(key []byte) (line *[8]uint64, bits uint64) {
	h := xxhash.Sum64(key[prefixLen:])
	return &f.lines[(h>>32)*uint64(len(f.lines))>>32], h * 0x9e3779b97f4a7c15 >> 28
}

func (f *filter) add(key []byte) {
	line, bits := f.probe(key)
	fresh := false
	for range 4 {
		bit := uint64(1) << (bits & 63)
		fresh = atomic.OrUint64(&line[bits>>6&7], bit)&bit == 0 || fresh
		bits >>= 9
	}
	if fresh {
		f.n.Add(1)
	}
}

func (f *filter) has(key []byte) bool {
	line, bits := f.probe(key)
	for range 4 {
		if atomic.LoadUint64(&line[bits>>6&7])&(1<<(bits&63)) == 0 {
			return false
		}
		bits >>= 9
	}
	return true
}

func seenTable(key []byte) bool {
	return key[prefixLen] >= seenFirst && key[prefixLen] <= seenLast
}

// watch begins to know the keys of a group. From now on every key that is
// written must go through add.
func watch(db *pebble.DB, k keys, missed func(error)) (*seen, error) {
	s := &seen{db: db, keys: k, missed: missed}
	size, err := db.EstimateDiskUsage(k.table(nil, seenFirst), k.table(nil, seenLast+1))
	if err != nil {
		return nil, err
	}
	room := int64(seenLeast)
	for room < int64(size/seenRow)*2 {
		room *= 2
	}
	if room <= seenMost {
		s.cur = newFilter(room)
		s.fill(s.cur)
	}
	return s, nil
}

// close ends what fills a filter and waits for it.
func (s *seen) close() {
	if s != nil {
		s.stop.Store(true)
		s.fills.Wait()
	}
}

// add notes a key that is being written.
func (s *seen) add(key []byte) {
	if s.cur == nil || !seenTable(key) {
		return
	}
	s.cur.add(key)
	if s.next != nil {
		s.next.add(key)
	}
}

// grow takes a larger filter when the present one is full. It is called before
// an Apply writes: what fills the new one finds only rows that are committed.
func (s *seen) grow() {
	switch {
	case s.cur == nil:
	case s.next != nil:
		if s.next.ready.Load() {
			s.cur, s.next = s.next, nil
		}
	case s.cur.n.Load() <= s.cur.room || !s.cur.ready.Load():
	case s.cur.room >= seenMost:
		s.cur = nil
	default:
		s.next = newFilter(min(s.cur.room*4, seenMost))
		s.fill(s.next)
	}
}

// absent reports that a row is surely not there.
func (s *seen) absent(key []byte) bool {
	return s.cur != nil && seenTable(key) && s.cur.ready.Load() && !s.cur.has(key)
}

// fill puts in whatever the database has, beside the machine. What is written
// meanwhile goes through add, before it is written: nothing is left out.
func (s *seen) fill(f *filter) {
	from, to := s.keys.table(nil, seenFirst), s.keys.table(nil, seenLast+1)
	s.fills.Go(func() {
		for from != nil {
			var err error
			if from, err = s.piece(f, from, to); err != nil {
				s.missed(err)
				return
			}
			if s.stop.Load() {
				return
			}
		}
		f.ready.Store(true)
	})
}

// piece adds the keys from one on and returns where to go on, nil at the end.
func (s *seen) piece(f *filter, from, to []byte) ([]byte, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, err
	}
	n := 0
	var next []byte
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n > seenPiece || n%1024 == 0 && s.stop.Load() {
			next = append(next, it.Key()...)
			break
		}
		f.add(it.Key())
	}
	return next, closeIter(it, nil)
}
