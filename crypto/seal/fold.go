package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"sync"
)

// Attachments are base64, and most of them encode what does not compress. A
// folded chunk holds the octets instead of the letters: 57 for the 78 of a
// line, where the letters alone would pack into 59, and more where the octets
// do compress. Only base64 that unfolds to the very same bytes is folded: lines
// of one length, each ended by CRLF, the last of a run perhaps shorter and
// padded.
//
// A folded chunk is a row of records (FORMAT.md):
//
//	gap u24 | quads u8 | size u24 | gap bytes as they are | size octets
//
// A record with quads 0 is the last one.
const (
	foldHead = 7
	// foldLeast is how many octets a run must have to be worth its record.
	foldLeast = 512
	maxQuads  = 255
)

// textLen returns the length of size octets as lines of quads times four
// letters.
func textLen(size, quads int) int {
	line := 3 * quads
	n := size / line * (4*quads + 2)
	if rest := size % line; rest > 0 {
		n += (rest+2)/3*4 + 2
	}
	return n
}

// fold appends the folded form of plain, of at most ChunkSize bytes, to dst. It
// reports false, and appends nothing, where there is no base64 to fold.
func fold(dst, plain []byte) ([]byte, bool) {
	start := len(dst)
	done, pos := 0, 0 // written, looked at
	for pos < len(plain) {
		end := bytes.IndexByte(plain[pos:], '\n')
		if end < 0 {
			break
		}
		n := end - 1 // letters of the line
		if n < 40 || n > 4*maxQuads || n%4 != 0 || letters[plain[pos]] < 0 || letters[plain[pos+n/2]] < 0 || plain[pos+n] != '\r' {
			pos += end + 1
			continue
		}
		if len(dst) == start {
			// Every run is shorter folded than it was, by more than its record.
			dst = slices.Grow(dst, len(plain)+2*foldHead+decodeSlack)
		}
		head := len(dst)
		body := head + foldHead + pos - done
		// The gap is copied when there is a run behind it, or lines that only
		// look like one would each cost a copy.
		out, used := decodeRun(dst[:body], plain[pos:], n)
		size := len(out) - body
		if size < foldLeast {
			pos += max(used, end+1)
			continue
		}
		dst = out
		copy(dst[head+foldHead:body], plain[done:pos])
		put24(dst[head:], pos-done)
		dst[head+3] = byte(n / 4)
		put24(dst[head+4:], size)
		pos += used
		done = pos
	}
	if len(dst) == start {
		return dst, false
	}
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0)
	put24(dst[len(dst)-foldHead:], len(plain)-done)
	return append(dst, plain[done:]...), true
}

// unfold appends what was folded to dst, which is exactly n bytes, or reports
// false.
func unfold(dst, folded []byte, n int) ([]byte, bool) {
	end := len(dst) + n
	dst = grow(dst, n+decodeSlack)
	for {
		if len(folded) < foldHead {
			return dst, false
		}
		gap, quads, size := get24(folded), int(folded[3]), get24(folded[4:])
		folded = folded[foldHead:]
		if gap > len(folded) || gap > end-len(dst) {
			return dst, false
		}
		dst = append(dst, folded[:gap]...)
		folded = folded[gap:]
		if quads == 0 {
			return dst, size == 0 && len(folded) == 0 && len(dst) == end
		}
		if size > len(folded) || textLen(size, quads) > end-len(dst) {
			return dst, false
		}
		dst = encodeRun(dst, folded[:size], quads)
		folded = folded[size:]
	}
}

func put24(b []byte, n int) { b[0], b[1], b[2] = byte(n>>16), byte(n>>8), byte(n) }
func get24(b []byte) int    { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

// letters gives the value of a letter of base64, -1 for any other byte.
var letters = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i, c := range []byte(alphabet) {
		t[c] = int8(i)
	}
	return t
}()

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// quad gives the value of a letter by its place among four, in the place it
// has in three octets; a byte that is no letter gives a bit above them.
var quad = func() (t [4][256]uint32) {
	for place := range t {
		for c, v := range letters {
			t[place][c] = 1 << 31
			if v >= 0 {
				t[place][c] = uint32(v) << (18 - 6*place)
			}
		}
	}
	return t
}()

// pairs gives the two letters for twelve bits, the first in the low byte.
var pairs = func() (t [4096]uint16) {
	for i := range t {
		t[i] = uint16(alphabet[i>>6]) | uint16(alphabet[i&63])<<8
	}
	return t
}()

// decodeRun appends to dst, which has room for it, the octets of the lines of n
// letters that src begins with, and of one shorter line behind them. It returns
// how much of src they are.
func decodeRun(dst, src []byte, n int) (out []byte, used int) {
	for len(src)-used >= n+2 && src[used+n] == '\r' && src[used+n+1] == '\n' {
		at := len(dst)
		if !decodeLine(dst[at:at+n/4*3+8], src[used:used+n]) {
			break
		}
		dst = dst[:at+n/4*3]
		used += n + 2
	}
	rest := src[used:min(len(src), used+n+2)]
	end := bytes.IndexByte(rest, '\n')
	if used == 0 || end < 5 || rest[end-1] != '\r' || end%4 != 1 {
		return dst, used
	}
	at := len(dst)
	room := dst[at : at+n]
	k, err := strict.Decode(room, rest[:end-1])
	// The decoder passes over line ends, and a line that is full has been
	// tried.
	if err != nil || k == 0 || k >= n/4*3 || (k+2)/3*4 != end-1 {
		return dst, used
	}
	return dst[:at+k], used + end + 1
}

var strict = base64.StdEncoding.Strict()

// decodeLine decodes letters, a multiple of four, without padding. dst has room
// for eight bytes more than that.
func decodeLine(dst, src []byte) bool {
	var bad uint32
	for len(src) >= 8 && len(dst) >= 8 {
		x := quad[0][src[0]] | quad[1][src[1]] | quad[2][src[2]] | quad[3][src[3]]
		y := quad[0][src[4]] | quad[1][src[5]] | quad[2][src[6]] | quad[3][src[7]]
		bad |= x | y
		binary.BigEndian.PutUint64(dst, uint64(x)<<40|uint64(y)<<16)
		src, dst = src[8:], dst[6:]
	}
	if len(src) >= 4 && len(dst) >= 4 {
		x := quad[0][src[0]] | quad[1][src[1]] | quad[2][src[2]] | quad[3][src[3]]
		bad |= x
		binary.BigEndian.PutUint32(dst, x<<8)
	}
	return bad>>31 == 0
}

// encodeRun appends octets as lines of base64 to dst, which has room for them
// and eight bytes more.
func encodeRun(dst, src []byte, quads int) []byte {
	line := 3 * quads
	for len(src) > 0 {
		n := min(line, len(src))
		at := len(dst)
		letters := (n + 2) / 3 * 4
		dst = dst[:at+letters+2]
		encodeLine(dst[at:at+letters], src[:n], len(src) >= n+2)
		dst[at+letters], dst[at+letters+1] = '\r', '\n'
		src = src[n:]
	}
	return dst
}

// encodeLine encodes one line; more tells that two bytes behind src may be
// read.
func encodeLine(dst, src []byte, more bool) {
	if more {
		src = src[: len(src) : len(src)+2]
	}
	for len(src) >= 6 && cap(src) >= 8 && len(dst) >= 8 {
		v := binary.BigEndian.Uint64(src[:8])
		binary.LittleEndian.PutUint64(dst, uint64(pairs[v>>52])|uint64(pairs[v>>40&4095])<<16|
			uint64(pairs[v>>28&4095])<<32|uint64(pairs[v>>16&4095])<<48)
		src, dst = src[6:], dst[8:]
	}
	base64.StdEncoding.Encode(dst, src)
}

// foldRoom is where chunks are folded to and unfolded from.
var foldRoom = sync.Pool{New: func() any { return new([]byte) }}
