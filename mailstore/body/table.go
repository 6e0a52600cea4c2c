package body

import (
	"encoding/binary"

	"altmail.se/altmail/cluster"
)

// place says where a body lies: in which segment, where its record header
// begins, and how long the body is.
type place struct {
	seq, off, size uint32
}

// key is the first half of a body id. Ids are SHA-256 of random-keyed
// ciphertext that only members can offer, so 128 bits never meet by chance and
// need no further hashing.
type key [16]byte

func keyOf(id cluster.BodyID) key { return key(id[:16]) }

type slot struct {
	k key
	p place // seq 0 marks an empty slot: segments are numbered from 1
}

const (
	tableShards = 64
	shardMin    = 16
)

// table maps body ids to places: open addressing in 28-byte slots without
// pointers, so ten million bodies cost 280 MB full and up to twice that, and
// the garbage collector never looks inside. It is sharded to keep the pause of
// one growth short. The zero value is ready; not safe for concurrent use.
type table struct {
	shards [tableShards]shard
	n      int
}

type shard struct {
	slots []slot
	n     int
}

func (t *table) shard(k *key) *shard { return &t.shards[k[0]%tableShards] }

func home(k *key, mask uint64) uint64 { return binary.LittleEndian.Uint64(k[8:]) & mask }

func (t *table) get(k key) (place, bool) {
	s := t.shard(&k)
	if s.n == 0 {
		return place{}, false
	}
	mask := uint64(len(s.slots) - 1)
	for i := home(&k, mask); ; i = (i + 1) & mask {
		e := &s.slots[i]
		if e.p.seq == 0 {
			return place{}, false
		}
		if e.k == k {
			return e.p, true
		}
	}
}

// put sets the place of k and returns the one it had before.
func (t *table) put(k key, p place) (old place, had bool) {
	s := t.shard(&k)
	if (s.n+1)*5 > len(s.slots)*4 {
		s.grow()
	}
	mask := uint64(len(s.slots) - 1)
	for i := home(&k, mask); ; i = (i + 1) & mask {
		e := &s.slots[i]
		if e.p.seq == 0 {
			*e = slot{k, p}
			s.n++
			t.n++
			return place{}, false
		}
		if e.k == k {
			old, e.p = e.p, p
			return old, true
		}
	}
}

func (t *table) del(k key) (old place, had bool) {
	s := t.shard(&k)
	if s.n == 0 {
		return place{}, false
	}
	mask := uint64(len(s.slots) - 1)
	i := home(&k, mask)
	for s.slots[i].k != k || s.slots[i].p.seq == 0 {
		if s.slots[i].p.seq == 0 {
			return place{}, false
		}
		i = (i + 1) & mask
	}
	old = s.slots[i].p
	// Close the gap: whatever follows and may stand here moves up, so that
	// no tombstones pile up.
	for j := i; ; {
		j = (j + 1) & mask
		e := &s.slots[j]
		if e.p.seq == 0 {
			break
		}
		if h := home(&e.k, mask); (j-h)&mask >= (j-i)&mask {
			s.slots[i] = *e
			i = j
		}
	}
	s.slots[i] = slot{}
	s.n--
	t.n--
	return old, true
}

func (s *shard) grow() {
	old := s.slots
	size := max(shardMin, 2*len(old))
	s.slots = make([]slot, size)
	mask := uint64(size - 1)
	for j := range old {
		if old[j].p.seq == 0 {
			continue
		}
		i := home(&old[j].k, mask)
		for s.slots[i].p.seq != 0 {
			i = (i + 1) & mask
		}
		s.slots[i] = old[j]
	}
}
