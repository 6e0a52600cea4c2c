package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"altmail.se/altmail/cluster"
)

// ErrDamaged means that records which were synced can't be read any more. The
// node must not vote again with what is left.
var ErrDamaged = errors.New("journal: damaged")

// Kind says which file of a group a record belongs to.
type Kind uint8

// The kinds never change their meaning.
const (
	KindLog  Kind = 1 // Raft entries, by cluster/logstore
	KindBody Kind = 2 // records of body segments, by mailstore/body
)

// Stream names the owner of records: one file or set of files of one group.
type Stream struct {
	Group cluster.GroupID
	Kind  Kind
}

func (s Stream) String() string { return fmt.Sprintf("%s/%d", s.Group, s.Kind) }

const (
	segMagic   = "altmjnl1"
	segVersion = 1
	segHeader  = 64
	recHeader  = 32
	align      = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ID names a journal: what is at an LSN means something only together with it.
type ID [16]byte

// putSegHeader fills the first 64 bytes of a segment.
func putSegHeader(b []byte, id ID, base uint64) {
	clear(b[:segHeader])
	copy(b, segMagic)
	binary.LittleEndian.PutUint32(b[8:], segVersion)
	binary.LittleEndian.PutUint64(b[16:], base)
	copy(b[24:40], id[:])
	binary.LittleEndian.PutUint32(b[segHeader-4:], crc32.Checksum(b[:segHeader-4], castagnoli))
}

// parseSegHeader returns whose segment it is and the LSN of its first record.
// ok is false for a segment that was never used or whose reuse was torn.
func parseSegHeader(b []byte) (id ID, base uint64, ok bool, err error) {
	if len(b) < segHeader || string(b[:8]) != segMagic ||
		binary.LittleEndian.Uint32(b[segHeader-4:]) != crc32.Checksum(b[:segHeader-4], castagnoli) {
		return id, 0, false, nil
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != segVersion {
		return id, 0, false, fmt.Errorf("journal: a segment of version %d, this program knows %d", v, segVersion)
	}
	copy(id[:], b[24:40])
	return id, binary.LittleEndian.Uint64(b[16:]), true, nil
}

// record is a parsed record header.
type record struct {
	lsn     uint64 // position of the record: the sum of the sizes of all before it
	durable uint64 // up to here everything was synced when it was appended
	stream  Stream
	size    int // bytes of content
}

// contentSize returns the size that a record header claims.
func contentSize(b []byte) int { return int(binary.LittleEndian.Uint32(b[4:])) }

// span is what a record of n bytes takes in the file.
func span(n int) int { return (recHeader + n + align - 1) &^ (align - 1) }

// putRecord fills the header of a record whose content follows it in b.
func putRecord(b []byte, r record) {
	binary.LittleEndian.PutUint32(b[4:], uint32(r.size))
	binary.LittleEndian.PutUint64(b[8:], r.lsn)
	binary.LittleEndian.PutUint64(b[16:], r.durable)
	binary.LittleEndian.PutUint32(b[24:], uint32(r.stream.Group))
	b[28], b[29], b[30], b[31] = byte(r.stream.Kind), 0, 0, 0
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:recHeader+r.size], castagnoli))
}

// parseRecord reads the record at the start of b; ok is false if there is none,
// or only a part of one.
func parseRecord(b []byte) (r record, content []byte, ok bool) {
	if len(b) < recHeader {
		return r, nil, false
	}
	size := binary.LittleEndian.Uint32(b[4:])
	if uint64(size) > uint64(len(b)-recHeader) || b[29]|b[30]|b[31] != 0 {
		return r, nil, false
	}
	end := recHeader + int(size)
	r = record{
		lsn: binary.LittleEndian.Uint64(b[8:]), durable: binary.LittleEndian.Uint64(b[16:]),
		stream: Stream{cluster.GroupID(binary.LittleEndian.Uint32(b[24:])), Kind(b[28])},
		size:   int(size),
	}
	if r.stream.Kind == 0 || crc32.Checksum(b[4:end], castagnoli) != binary.LittleEndian.Uint32(b) {
		return r, nil, false
	}
	return r, b[recHeader:end], true
}
