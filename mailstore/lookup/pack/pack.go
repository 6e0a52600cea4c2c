package pack

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"sync"
)

// Max bounds what is packed, in bytes. Longer texts are rare, and are stored
// as they are.
const Max = 8 << 10

const (
	hashBits = 10
	maxChain = 4 // earlier places that are looked at for each byte
	// maxShorter is by how much a copy is tried shorter than it could be.
	maxShorter = 3
	none       = 0xffff
)

// step is how the text goes on from a byte.
type step struct {
	sym  uint16
	n    uint16 // bytes
	dist uint16
}

// packer is the room of one call.
type packer struct {
	m    *model
	head [1 << hashBits]uint16 // last place of each hash
	prev [Max]uint16           // the place before with the same hash
	text [Max + 8]byte         // what is packed, and bytes after it that fit nothing
	low  [Max + 8]byte         // the same in small letters
	ctx  [Max]uint8
	cost [Max + 1]uint32 // bits from here to the end
	best [Max]step
}

var packers = sync.Pool{New: func() any { return &packer{m: theModel()} }}

// Append appends the packed form of text, at most Max bytes, to dst. It
// reports false and appends nothing if that is longer than Max or would not
// be shorter than text. It may be called concurrently.
func Append(dst, text []byte) ([]byte, bool) {
	if len(text) > Max || len(text) == 0 {
		return dst, false
	}
	p := packers.Get().(*packer)
	p.plan(text)
	start := len(dst)
	if n := int(p.cost[0]+7)/8 + 2; n >= len(text) {
		packers.Put(p)
		return dst, false
	}
	dst = binary.AppendUvarint(dst, uint64(len(text)))
	dst = p.write(dst, text)
	packers.Put(p)
	if len(dst)-start >= len(text) {
		return dst[:start], false
	}
	return dst, true
}

func hash3(v uint32) uint32 { return v << 8 * 0x9e3779b1 >> (32 - hashBits) }

// plan finds the cheapest way through the text. What a symbol costs depends
// on the two bytes before it and not on how they were written, so going
// backwards over the text finds the best of all ways over the steps that are
// looked at.
func (p *packer) plan(text []byte) {
	m := p.m
	for i := range p.head {
		p.head[i] = none
	}
	n := copy(p.text[:Max], text)
	clear(p.text[n : n+8])
	clear(p.low[n : n+8])
	ctx, kind := uint8(clsFirst), uint8(0)
	for i, c := range text {
		p.low[i] = small[c]
		p.ctx[i] = ctx
		ctx = after[int(kind)<<8|int(c)]
		kind = kinds[c]
	}
	for i := range text {
		h := hash3(binary.LittleEndian.Uint32(p.low[i:]))
		p.prev[i], p.head[h] = p.head[h], uint16(i)
	}
	p.cost[n] = 0
	for i := n - 1; i >= 0; i-- {
		lengths := m.lengths[p.ctx[i]]
		c := p.text[i]
		cost := p.cost[i+1]
		s := step{sym: uint16(c), n: 1}
		if l := lengths[c]; l != 0 {
			cost += uint32(l)
		} else {
			s.sym = symEscape
			cost += uint32(lengths[symEscape]) + 8
		}
		word := binary.LittleEndian.Uint64(p.text[i:])
		for _, k := range m.byPair[hash2(word)] {
			h := &m.heads[k]
			if (word^h.word)&h.mask != 0 {
				continue
			}
			l := lengths[symPhrase+int(k)]
			phrase := m.phrases[k]
			if l == 0 || !bytes.HasPrefix(p.text[i:n], phrase) {
				continue
			}
			if c := p.cost[i+len(phrase)] + uint32(l); c < cost {
				cost, s = c, step{sym: symPhrase + k, n: uint16(len(phrase))}
			}
		}
		// The nearest place with each length is the cheapest one for it.
		longest, longestFold := minCopy-1, minCopy-1
		at := p.prev[i]
		for range maxChain {
			if at == none {
				break
			}
			most := min(n-i, maxCopy)
			exact := same(p.text[at:], p.text[i:], most)
			if exact > longest {
				cost, s = p.copies(cost, s, lengths, symCopy, i, int(at), longest+1, exact)
				longest = exact
			}
			if fold := same(p.low[at:], p.text[i:], most); fold > longestFold && fold > exact {
				cost, s = p.copies(cost, s, lengths, symFold, i, int(at), longestFold+1, fold)
				longestFold = fold
			}
			at = p.prev[at]
		}
		p.cost[i], p.best[i] = cost, s
	}
}

// same returns how many bytes a and b begin with alike, at most most. Both
// have eight bytes more.
func same(a, b []byte, most int) int {
	for n := 0; n < most; n += 8 {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
			return min(most, n+bits.TrailingZeros64(x)/8)
		}
	}
	return most
}

// copies tries copies of each length from least to most.
func (p *packer) copies(cost uint32, s step, lengths []uint8, kind, i, at, least, most int) (uint32, step) {
	slot, extra, _ := distSlot(i - at)
	dl := p.m.distLengths[slot]
	if dl == 0 {
		return cost, s
	}
	dist := uint32(dl) + uint32(extra)
	// The long ones are rarely worth shortening by many.
	least = max(least, most-maxShorter)
	for n := most; n >= least; n-- {
		k := slotOf[n]
		l := lengths[kind+int(k)]
		if l == 0 {
			continue
		}
		if c := p.cost[i+n] + uint32(l) + uint32(lenExtra[k]) + dist; c < cost {
			cost, s = c, step{sym: uint16(kind) + uint16(k), n: uint16(n), dist: uint16(i - at)}
		}
	}
	return cost, s
}

// write appends the bits of the plan.
func (p *packer) write(dst, text []byte) []byte {
	var (
		acc  uint64
		have uint
	)
	put := func(v uint64, n uint) {
		acc |= v << have
		have += n
	}
	for i := 0; i < len(text); {
		s := &p.best[i]
		ctx := p.ctx[i]
		put(uint64(p.m.codes[ctx][s.sym]), uint(p.m.lengths[ctx][s.sym]))
		switch {
		case s.sym == symEscape:
			put(uint64(text[i]), 8)
		case s.sym > symEscape && s.sym < symPhrase:
			k := (s.sym - symCopy) % slots
			put(uint64(int(s.n)-lenBase[k]), lenExtra[k])
			slot, extra, rest := distSlot(int(s.dist))
			put(uint64(p.m.distCodes[slot]), uint(p.m.distLengths[slot]))
			put(rest, extra)
		}
		for have >= 8 {
			dst = append(dst, byte(acc))
			acc >>= 8
			have -= 8
		}
		i += int(s.n)
	}
	if have > 0 {
		dst = append(dst, byte(acc))
	}
	return dst
}
