package state

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"altmail.se/altmail/cluster"
)

// The seeds of the two halves of the digest. Frozen: nodes compare digests.
const (
	seedA = 0x616c746d61696c31
	seedB = 0x64696765737432a5
)

// sum is the running digest: for each row two 64-bit hashes, added up modulo
// 2^64. Adding and removing a row are each other's inverse, so the sum depends
// on the set of rows alone and not on the way it came about.
type sum struct{ a, b uint64 }

func (s *sum) add(o sum)    { s.a, s.b = s.a+o.a, s.b+o.b }
func (s *sum) remove(o sum) { s.a, s.b = s.a-o.a, s.b-o.b }

func (s sum) digest() (d cluster.Digest) {
	binary.BigEndian.PutUint64(d[:], s.a)
	binary.BigEndian.PutUint64(d[8:], s.b)
	return d
}

// hasher hashes rows; it keeps its scratch space between them.
type hasher struct {
	buf []byte
	x   xxhash.Digest
}

// row hashes one row: length of the key (u32), key, value.
func (h *hasher) row(key, value []byte) sum {
	h.buf = binary.BigEndian.AppendUint32(h.buf[:0], uint32(len(key)))
	h.buf = append(append(h.buf, key...), value...)
	var s sum
	h.x.ResetWithSeed(seedA)
	h.x.Write(h.buf) // never fails
	s.a = h.x.Sum64()
	h.x.ResetWithSeed(seedB)
	h.x.Write(h.buf) // never fails
	s.b = h.x.Sum64()
	return s
}
