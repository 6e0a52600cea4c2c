package body

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"altmail.se/altmail/cluster"
)

// The constants of FORMAT.md. They are frozen: a change is a new version.
const (
	formatVersion = 1

	segMagic   = 0x47534d41 // "AMSG"
	recMagic   = 0x43524d41 // "AMRC"
	indexMagic = 0x58494d41 // "AMIX"
	notesMagic = 0x544e4d41 // "AMNT"

	segHeaderLen   = 32
	recHeaderLen   = 52
	indexHeaderLen = 48
	indexEntryLen  = 40
	notesHeaderLen = 16
	notesEntryLen  = 16

	// flagBatch marks the first record of a group commit. Everything before
	// it in the file had been synced when it was written.
	flagBatch = 1
)

// MaxBody is the largest body, in bytes, that a store takes. One push carries
// a whole body, and cluster/transport carries that much in one request.
const MaxBody = 64 << 20

// maxSegment bounds Options.SegmentSize, so that offsets fit in 32 bits even
// for a body appended to a nearly full segment.
const maxSegment = 1 << 30

// errFormat is what every parser of this package returns (wrapped) for bytes
// that are not what FORMAT.md draws.
var errFormat = errors.New("body: malformed")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segHeader is the first 32 bytes of a segment.
type segHeader struct {
	group   cluster.GroupID
	seq     uint32
	salt    uint64 // random; ties record headers to this file
	created uint32 // seconds since the Unix epoch
}

func appendSegHeader(b []byte, h segHeader) []byte {
	n := len(b)
	b = binary.LittleEndian.AppendUint32(b, segMagic)
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.group))
	b = binary.LittleEndian.AppendUint32(b, h.seq)
	b = binary.LittleEndian.AppendUint64(b, h.salt)
	b = binary.LittleEndian.AppendUint32(b, h.created)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[n:], castagnoli))
}

func parseSegHeader(b []byte) (segHeader, error) {
	var h segHeader
	if len(b) < segHeaderLen {
		return h, fmt.Errorf("%w: segment header is short", errFormat)
	}
	b = b[:segHeaderLen]
	le := binary.LittleEndian
	if le.Uint32(b) != segMagic || le.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli) {
		return h, fmt.Errorf("%w: segment header", errFormat)
	}
	if v := le.Uint32(b[4:]); v != formatVersion {
		return h, fmt.Errorf("%w: segment version %d", errFormat, v)
	}
	h.group = cluster.GroupID(le.Uint32(b[8:]))
	h.seq = le.Uint32(b[12:])
	h.salt = le.Uint64(b[16:])
	h.created = le.Uint32(b[24:])
	return h, nil
}

// recHeader stands before the bytes of each body.
type recHeader struct {
	flags uint8
	size  uint32
	crc   uint32 // CRC-32C of the body's bytes
	id    cluster.BodyID
}

// recSum is the checksum of a record header. Salt and offset go in, so that a
// header left over from another file or place is never taken for one.
func recSum(b []byte, salt uint64, off uint32) uint32 {
	var place [12]byte
	binary.LittleEndian.PutUint64(place[:], salt)
	binary.LittleEndian.PutUint32(place[8:], off)
	return crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, place[:])
}

func appendRecHeader(b []byte, h recHeader, salt uint64, off uint32) []byte {
	n := len(b)
	b = binary.LittleEndian.AppendUint32(b, recMagic)
	b = append(b, h.flags, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, h.size)
	b = binary.LittleEndian.AppendUint32(b, h.crc)
	b = append(b, h.id[:]...)
	return binary.LittleEndian.AppendUint32(b, recSum(b[n:], salt, off))
}

func parseRecHeader(b []byte, salt uint64, off uint32) (recHeader, error) {
	var h recHeader
	if len(b) < recHeaderLen {
		return h, fmt.Errorf("%w: record header is short", errFormat)
	}
	le := binary.LittleEndian
	if le.Uint32(b) != recMagic || le.Uint32(b[48:]) != recSum(b[:48], salt, off) {
		return h, fmt.Errorf("%w: record header", errFormat)
	}
	h.flags = b[4]
	h.size = le.Uint32(b[8:])
	h.crc = le.Uint32(b[12:])
	copy(h.id[:], b[16:48])
	if h.size > MaxBody {
		return h, fmt.Errorf("%w: record of %d bytes", errFormat, h.size)
	}
	return h, nil
}

// indexEntry is one record of a segment as its index file lists it.
type indexEntry struct {
	id   cluster.BodyID
	off  uint32 // of the record header
	size uint32 // of the body
}

// segIndex is the content of an index file: everything that is in a segment
// which will not be written to any more.
type segIndex struct {
	group   cluster.GroupID
	seq     uint32
	salt    uint64
	created uint32
	sealed  uint32 // seconds since the Unix epoch
	valid   uint64 // bytes of the segment that count; beyond is a torn tail
	entries []indexEntry
}

func (x *segIndex) append(b []byte) []byte {
	n := len(b)
	le := binary.LittleEndian
	b = le.AppendUint32(b, indexMagic)
	b = le.AppendUint32(b, formatVersion)
	b = le.AppendUint32(b, uint32(x.group))
	b = le.AppendUint32(b, x.seq)
	b = le.AppendUint64(b, x.salt)
	b = le.AppendUint32(b, x.created)
	b = le.AppendUint32(b, x.sealed)
	b = le.AppendUint64(b, x.valid)
	b = le.AppendUint32(b, uint32(len(x.entries)))
	b = le.AppendUint32(b, 0)
	for i := range x.entries {
		e := &x.entries[i]
		b = append(b, e.id[:]...)
		b = le.AppendUint32(b, e.off)
		b = le.AppendUint32(b, e.size)
	}
	return le.AppendUint32(b, crc32.Checksum(b[n:], castagnoli))
}

func parseSegIndex(b []byte) (*segIndex, error) {
	le := binary.LittleEndian
	if len(b) < indexHeaderLen+4 {
		return nil, fmt.Errorf("%w: index is short", errFormat)
	}
	body := b[:len(b)-4]
	if le.Uint32(b) != indexMagic || le.Uint32(b[len(body):]) != crc32.Checksum(body, castagnoli) {
		return nil, fmt.Errorf("%w: index", errFormat)
	}
	if v := le.Uint32(b[4:]); v != formatVersion {
		return nil, fmt.Errorf("%w: index version %d", errFormat, v)
	}
	x := &segIndex{
		group:   cluster.GroupID(le.Uint32(b[8:])),
		seq:     le.Uint32(b[12:]),
		salt:    le.Uint64(b[16:]),
		created: le.Uint32(b[24:]),
		sealed:  le.Uint32(b[28:]),
		valid:   le.Uint64(b[32:]),
	}
	count := uint64(le.Uint32(b[40:]))
	if uint64(len(body)-indexHeaderLen) != count*indexEntryLen || x.valid > 2*maxSegment {
		return nil, fmt.Errorf("%w: index of %d entries", errFormat, count)
	}
	x.entries = make([]indexEntry, count)
	for i := range x.entries {
		p := body[indexHeaderLen+i*indexEntryLen:]
		e := &x.entries[i]
		copy(e.id[:], p)
		e.off = le.Uint32(p[32:])
		e.size = le.Uint32(p[36:])
		if uint64(e.off)+recHeaderLen+uint64(e.size) > x.valid || e.off < segHeaderLen || e.size > MaxBody {
			return nil, fmt.Errorf("%w: index entry %d", errFormat, i)
		}
	}
	return x, nil
}

// note is what a node remembers of a segment beside its content: since when
// it has held a dead body (off 0), or that the record at off is damaged.
type note struct {
	seq   uint32
	off   uint32
	since uint64 // seconds since the Unix epoch
}

func appendNotes(b []byte, notes []note) []byte {
	n := len(b)
	le := binary.LittleEndian
	b = le.AppendUint32(b, notesMagic)
	b = le.AppendUint32(b, formatVersion)
	b = le.AppendUint32(b, uint32(len(notes)))
	b = le.AppendUint32(b, 0)
	for _, o := range notes {
		b = le.AppendUint32(b, o.seq)
		b = le.AppendUint32(b, o.off)
		b = le.AppendUint64(b, o.since)
	}
	return le.AppendUint32(b, crc32.Checksum(b[n:], castagnoli))
}

func parseNotes(b []byte) ([]note, error) {
	le := binary.LittleEndian
	if len(b) < notesHeaderLen+4 {
		return nil, fmt.Errorf("%w: notes are short", errFormat)
	}
	body := b[:len(b)-4]
	if le.Uint32(b) != notesMagic || le.Uint32(b[len(body):]) != crc32.Checksum(body, castagnoli) {
		return nil, fmt.Errorf("%w: notes", errFormat)
	}
	if v := le.Uint32(b[4:]); v != formatVersion {
		return nil, fmt.Errorf("%w: notes version %d", errFormat, v)
	}
	if uint64(len(body)-notesHeaderLen) != uint64(le.Uint32(b[8:]))*notesEntryLen {
		return nil, fmt.Errorf("%w: length of notes", errFormat)
	}
	var notes []note
	for p := body[notesHeaderLen:]; len(p) > 0; p = p[notesEntryLen:] {
		notes = append(notes, note{le.Uint32(p), le.Uint32(p[4:]), le.Uint64(p[8:])})
	}
	return notes, nil
}

const (
	segSuffix   = ".seg"
	indexSuffix = ".idx"
	tempSuffix  = ".tmp"
	notesName   = "notes"
)

func fileName(seq uint32, suffix string) string { return fmt.Sprintf("%08x%s", seq, suffix) }

// parseFileName reads the sequence number out of the name of a segment or
// index file.
func parseFileName(name, suffix string) (uint32, bool) {
	s, ok := strings.CutSuffix(name, suffix)
	if !ok || len(s) != 8 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil || fileName(uint32(n), suffix) != name {
		return 0, false
	}
	return uint32(n), true
}
