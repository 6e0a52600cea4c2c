package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// Limits of the format. ChunkSize is frozen.
const (
	// ChunkSize is the largest plaintext of one chunk in bytes.
	ChunkSize = 256 << 10
	// SmallSize is the longest message that is one chunk, its header with the
	// rest. Frozen too.
	SmallSize = 16 << 10
	// MaxRaw is the longest message that can be sealed, in bytes.
	MaxRaw = 128 << 20
)

// The layout, drawn in FORMAT.md. Frozen.
const (
	magic   = "amb"
	version = 1

	prefixSize = len(magic) + 1 // magic and version, in clear
	checkSize  = 8              // tells a wrong key from damage
	inlineMax  = 6              // chunks listed in the head itself
	headPlain  = 16 + 4*inlineMax
	tagSize    = 16
	offCheck   = prefixSize
	offHead    = offCheck + checkSize
	offRest    = offHead + headPlain + tagSize // table, if any, then chunks

	maxChunks = MaxRaw/ChunkSize + 1
	// frontSize covers head and table of the longest body; reading that much
	// is enough to find any chunk.
	frontSize = 4096

	methodRaw  = 0 // the chunk's bytes as they are
	methodZstd = 1 // one zstd frame (RFC 8878)
	methodFold = 2 // base64 as what it encodes; with methodZstd, compressed then
	methodAll  = methodZstd | methodFold
)

// What a nonce is for; with the chunk's number it makes each nonce unique
// under the message key. Frozen.
const (
	roleHead  = 1
	roleTable = 2
	roleChunk = 3
	rolePad   = 4
	roleCheck = 5
)

var (
	// ErrNotSealed means that the bytes do not begin as a sealed body does.
	ErrNotSealed = errors.New("seal: not a sealed body")
	// ErrVersion means that a newer version sealed the body.
	ErrVersion = errors.New("seal: unknown format version")
	// ErrWrongKey means that neither the key check nor the head fit the key.
	ErrWrongKey = errors.New("seal: wrong message key")
	// ErrDamaged means that sealed bytes were altered, or come from another
	// body (the two cannot be told apart without that body's key).
	ErrDamaged = errors.New("seal: damaged body")
	// ErrReordered means that a chunk stands in another one's place.
	ErrReordered = errors.New("seal: chunks in wrong order")
	// ErrTruncated means that bytes are missing at the end.
	ErrTruncated = errors.New("seal: truncated body")
	// ErrExtended means that there are bytes after the end.
	ErrExtended = errors.New("seal: bytes after the end of body")
	// ErrClosed is returned by a Reader after Close.
	ErrClosed = errors.New("seal: reader is closed")
	// ErrTooLarge is returned by Seal for more than MaxRaw bytes.
	ErrTooLarge = errors.New("seal: message too large")
)

// head is what the sealed head says.
type head struct {
	raw    uint32 // length of the message
	header uint32 // length of its header block
	pad    uint32 // bytes of padding at the end
	dict   uint16 // dictionary the chunks may need, 0 none
	flags  uint16 // none defined
	inline [inlineMax]uint32
}

func (h *head) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, h.raw)
	b = binary.BigEndian.AppendUint32(b, h.header)
	b = binary.BigEndian.AppendUint32(b, h.pad)
	b = binary.BigEndian.AppendUint16(b, h.dict)
	b = binary.BigEndian.AppendUint16(b, h.flags)
	for _, e := range h.inline {
		b = binary.BigEndian.AppendUint32(b, e)
	}
	return b
}

// parseHead reads an authenticated head.
func parseHead(b []byte) (h head, err error) {
	h.raw = binary.BigEndian.Uint32(b)
	h.header = binary.BigEndian.Uint32(b[4:])
	h.pad = binary.BigEndian.Uint32(b[8:])
	h.dict = binary.BigEndian.Uint16(b[12:])
	h.flags = binary.BigEndian.Uint16(b[14:])
	for i := range h.inline {
		h.inline[i] = binary.BigEndian.Uint32(b[16+4*i:])
	}
	if h.dict > dictNumber || h.flags != 0 {
		return h, fmt.Errorf("%w: dictionary %d, flags %#x", ErrVersion, h.dict, h.flags)
	}
	if h.raw > MaxRaw || h.header > h.raw || h.pad > MaxRaw {
		return h, fmt.Errorf("%w: lengths in head", ErrDamaged)
	}
	return h, nil
}

// first is the length of what has chunks of its own at the beginning: the
// header block, but for a small message.
func (h *head) first() int {
	if h.raw <= SmallSize {
		return 0
	}
	return int(h.header)
}

func (h *head) firstChunks() int { return ceilDiv(h.first(), ChunkSize) }
func (h *head) chunks() int {
	return h.firstChunks() + ceilDiv(int(h.raw)-h.first(), ChunkSize)
}

// span returns where chunk i lies in the message.
func (h *head) span(i int) (off, n int) {
	if k := h.firstChunks(); i >= k {
		off = h.first() + (i-k)*ChunkSize
		return off, min(ChunkSize, int(h.raw)-off)
	}
	off = i * ChunkSize
	return off, min(ChunkSize, h.first()-off)
}

// chunkAt returns the chunk that holds a message offset below raw.
func (h *head) chunkAt(off int) int {
	first := h.first()
	if off < first {
		return off / ChunkSize
	}
	return h.firstChunks() + (off-first)/ChunkSize
}

// tableSize returns the length of the sealed table for n chunks, 0 where the
// head has room for them.
func tableSize(n int) int {
	if n <= inlineMax {
		return 0
	}
	return 4*n + tagSize
}

// A table entry: compression method in the high byte, then the chunk's length
// before sealing.
func entry(method, n int) uint32               { return uint32(method)<<24 | uint32(n) }
func splitEntry(e uint32) (method, stored int) { return int(e >> 24), int(e & 0xffffff) }

// paddedSize rounds a length up so that few lengths are possible: at most 16
// from one power of two to the next, fewer bits of it from 64 KiB on, which
// costs at most a sixteenth (the Padmé scheme, with at least four bits kept).
func paddedSize(n int) int {
	if n < 16 {
		return n
	}
	e := bits.Len(uint(n)) - 1     // floor(log2 n)
	s := max(bits.Len(uint(e)), 4) // bits kept after the first
	granule := 1 << (e - s)
	return (n + granule - 1) &^ (granule - 1)
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
