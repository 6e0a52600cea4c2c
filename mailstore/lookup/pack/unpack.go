package pack

import (
	"encoding/binary"
	"errors"
	"slices"
)

// ErrDamaged is returned for bytes that Append cannot have written.
var ErrDamaged = errors.New("pack: damaged")

// Unpack appends what packed stands for to dst, never more than Max bytes. It
// may be called concurrently, and allocates only room in dst.
func Unpack(dst, packed []byte) ([]byte, error) {
	n, w := binary.Uvarint(packed)
	if w <= 0 || n > Max {
		return dst, ErrDamaged
	}
	start := len(dst)
	end := start + int(n)
	dst = slices.Grow(dst, int(n)+slack)
	if !theModel().unpack(dst[start:end+slack], packed[w:]) {
		return dst[:start], ErrDamaged
	}
	return dst[:end], nil
}

// slack is the room behind the text that lets whole words be written.
const slack = 16

// unpack fills out but for the slack from the bits of in.
func (m *model) unpack(out, in []byte) bool {
	var (
		acc  uint64 // bits to come, the next one lowest
		have int    // how many of acc are from in; below 0: in had too few
		at   int
		end  = len(out) - slack
		ctx  = uint64(clsFirst)
		kind uint8 // of the last byte
	)
	for at < end {
		// A copy takes at most 10+8+10+11 bits. Below 48 there are no more in
		// in, so have is never negative where it shifts.
		if have < 48 {
			if len(in) >= 8 {
				acc |= binary.LittleEndian.Uint64(in) << (have & 63)
				k := (63 - have) >> 3
				in = in[k:]
				have += k * 8
			} else {
				for have <= 56 && len(in) > 0 {
					acc |= uint64(in[0]) << (have & 63)
					in = in[1:]
					have += 8
				}
			}
		}
		e := m.table[ctx<<maxBits|acc&(1<<maxBits-1)]
		l := int(e & 15)
		acc >>= l & 63
		have -= l
		sym := int(e >> 4)
		if sym < symEscape && l != 0 {
			c := byte(sym)
			out[at] = c
			at++
			ctx = uint64(after[int(kind)<<8|int(c)])
			kind = kinds[c]
			continue
		}
		switch {
		case l == 0:
			return false
		case sym >= symPhrase:
			h := &m.heads[sym-symPhrase]
			if h.n > end-at {
				return false
			}
			binary.LittleEndian.PutUint64(out[at:], h.word)
			if h.n > 8 {
				copy(out[at+8:], m.phrases[sym-symPhrase][8:])
			}
			at += h.n
		case sym == symEscape:
			out[at] = byte(acc)
			acc >>= 8
			have -= 8
			at++
		default:
			slot := sym - symCopy
			fold := slot >= slots
			if fold {
				slot -= slots
			}
			x := lenExtra[slot]
			n := lenBase[slot] + int(acc&(1<<x-1))
			acc >>= x & 63
			have -= int(x)
			d := m.distTable[acc&(1<<maxBits-1)]
			l := int(d & 15)
			if l == 0 {
				return false
			}
			acc >>= l & 63
			base, x := distBase(int(d >> 4))
			base += int(acc & (1<<x - 1))
			acc >>= x & 63
			have -= l + int(x)
			if base > at || n > end-at {
				return false
			}
			from := out[at-base:]
			switch to := out[at : at+n]; {
			case fold:
				for i := range to {
					to[i] = small[from[i]]
				}
			case base >= 8 && n <= 16:
				to = out[at : at+16]
				binary.LittleEndian.PutUint64(to, binary.LittleEndian.Uint64(from))
				binary.LittleEndian.PutUint64(to[8:], binary.LittleEndian.Uint64(from[8:]))
			case base >= n:
				copy(to, from)
			default:
				for i := range to {
					to[i] = from[i]
				}
			}
			at += n
		}
		c := out[at-1]
		kind = 0
		if at > 1 {
			kind = kinds[out[at-2]]
		}
		ctx = uint64(after[int(kind)<<8|int(c)])
		kind = kinds[c]
	}
	// All of in was needed, but for the bits that fill its last byte, which
	// are 0: one text has one form.
	return len(in) == 0 && have >= 0 && have < 8 && acc == 0
}

// small gives letters of ASCII as small ones, and what must not be there for
// a folded copy as itself.
var small = func() (t [256]byte) {
	for c := range t {
		t[c] = byte(c)
		if c >= 'A' && c <= 'Z' {
			t[c] += 'a' - 'A'
		}
	}
	return t
}()
