package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// Seal appends raw, compressed and sealed under key, to dst. The first
// headerLen bytes of raw are its header block, which gets chunks of its own in
// a message of more than SmallSize.
// The key must be fresh: it seals this one body and nothing else, ever. raw
// must not overlap dst's spare room. At most one allocation is made for the
// output, of about raw's length, and none where dst has that much room.
func Seal(dst []byte, key *[32]byte, raw []byte, headerLen int) ([]byte, error) {
	if len(raw) > MaxRaw {
		return dst, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(raw))
	}
	if headerLen < 0 || headerLen > len(raw) {
		return dst, fmt.Errorf("seal: header of %d bytes in a message of %d", headerLen, len(raw))
	}
	b, err := newBox(key)
	if err != nil {
		return dst, err
	}
	h := head{raw: uint32(len(raw)), header: uint32(headerLen), dict: dictNumber}
	n := h.chunks()
	rest := offRest + tableSize(n)
	base := len(dst)
	dst = grow(dst, maxSealed(len(raw), n))

	// The front is written last: it holds what the chunks came to.
	dst = dst[:base+rest]
	var room [inlineMax]uint32
	entries := room[:0]
	if n > inlineMax {
		entries = make([]uint32, 0, n)
	}
	for i := range n {
		off, size := h.span(i)
		start := len(dst)
		var method int
		dst, method = compress(dst, raw[off:off+size])
		entries = append(entries, entry(method, len(dst)-start))
		dst = b.seal(dst, start, roleChunk, i)
	}

	end := len(dst)
	total := paddedSize(end - base)
	h.pad = uint32(total - (end - base))
	dst = grow(dst, int(h.pad))[:base+total]
	if err := b.fill(dst[end:], rolePad); err != nil {
		return dst[:base], err
	}

	front := dst[base : base+rest]
	copy(front, magic)
	front[prefixSize-1] = version
	if err := b.fill(front[offCheck:offHead], roleCheck); err != nil {
		return dst[:base], err
	}
	if n <= inlineMax {
		copy(h.inline[:], entries)
	} else {
		table := front[:offRest]
		for _, e := range entries {
			table = binary.BigEndian.AppendUint32(table, e)
		}
		b.seal(table, offRest, roleTable, 0)
	}
	b.seal(h.append(front[:offHead]), offHead, roleHead, 0)
	return dst, nil
}

// maxSealed bounds the length that Seal appends, with room for a chunk that
// zstd made longer before it is stored raw.
func maxSealed(raw, chunks int) int {
	n := offRest + tableSize(chunks) + raw + chunks*tagSize
	return paddedSize(n) + 64
}

// ID returns the name of a sealed body: the SHA-256 of its bytes.
func ID(sealed []byte) [32]byte { return sha256.Sum256(sealed) }

func grow(b []byte, n int) []byte { return slices.Grow(b, n) }
