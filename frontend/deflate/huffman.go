package deflate

import (
	"math/bits"
	"sync"
)

// entry is what a code stands for:
//
//	bits 0-4    length of the code, or of its first part
//	bits 5-9    extra bits behind the code; index bits of the second table
//	bits 10-12  kind
//	bits 16-31  literal, base of a length or distance, or place of the second
//	            table
type entry uint32

const (
	kindLiteral entry = iota << 10
	kindBase
	kindEnd
	kindLink
	kindInvalid

	kindMask entry = 7 << 10
)

func (e entry) len() uint    { return uint(e & 31) }
func (e entry) extra() uint  { return uint(e>>5) & 31 }
func (e entry) kind() entry  { return e & kindMask }
func (e entry) value() int   { return int(e >> 16) }
func base(v, x uint16) entry { return entry(v)<<16 | entry(x)<<5 | kindBase }

const (
	maxCode = 15 // bits
	litRoot = 10 // index bits of the first table
	dstRoot = 8
	lenRoot = 7

	endOfBlock = 256
	maxLit     = 286
	maxDst     = 30
	maxMatch   = 258
	windowSize = 32 << 10
)

// litMeaning and dstMeaning are the symbols of RFC 1951 section 3.2.5, also
// those that stand for nothing.
var (
	litMeaning = func() (m [288]entry) {
		for i := range endOfBlock {
			m[i] = entry(i)<<16 | kindLiteral
		}
		m[endOfBlock] = kindEnd
		v := uint16(3)
		for i := range 28 {
			x := uint16(max(i/4-1, 0))
			m[257+i] = base(v, x)
			v += 1 << x
		}
		m[285] = base(maxMatch, 0)
		m[286], m[287] = kindInvalid, kindInvalid
		return m
	}()
	dstMeaning = func() (m [32]entry) {
		v := uint16(1)
		for i := range maxDst {
			x := uint16(max(i/2-1, 0))
			m[i] = base(v, x)
			v += 1 << x
		}
		m[30], m[31] = kindInvalid, kindInvalid
		return m
	}()
	lenMeaning = func() (m [19]entry) {
		for i := range m {
			m[i] = entry(i)<<16 | kindLiteral
		}
		return m
	}()
)

// tables are those of a block with codes of its own.
type tables struct {
	lit, dst []entry
	lens     [maxLit + maxDst]uint8
}

var tablePool = sync.Pool{New: func() any {
	return &tables{lit: make([]entry, 0, 1<<litRoot+512), dst: make([]entry, 0, 1<<dstRoot+256)}
}}

// fixed are the codes of RFC 1951 section 3.2.6.
var fixed = sync.OnceValue(func() *tables {
	t := new(tables)
	var lens [288]uint8
	for i := range lens {
		switch {
		case i < 144:
			lens[i] = 8
		case i < 256:
			lens[i] = 9
		case i < 280:
			lens[i] = 7
		default:
			lens[i] = 8
		}
	}
	t.lit, _ = build(nil, lens[:], litMeaning[:], litRoot)
	for i := range 32 {
		lens[i] = 5
	}
	t.dst, _ = build(nil, lens[:32], dstMeaning[:], dstRoot)
	return t
})

// build makes the tables of the code with these lengths in dst, whose memory
// it uses. It reports false where the lengths are no prefix code: no bits may
// be left without a symbol, but those beside a single code of one bit, and
// those of no code at all.
func build(dst []entry, lens []uint8, meaning []entry, root uint) ([]entry, bool) {
	var count [maxCode + 1]int
	for _, n := range lens {
		count[n]++
	}
	longest := maxCode
	for longest > 0 && count[longest] == 0 {
		longest--
	}
	var next [maxCode + 2]uint // the next code of a length
	code := uint(0)
	for n := 1; n <= longest; n++ {
		next[n] = code
		code = (code + uint(count[n])) << 1
	}
	dst = dst[:0]
	for range 1 << root {
		dst = append(dst, kindInvalid|1)
	}
	switch {
	case longest == 0:
		return dst, true
	case code == 2<<longest: // complete
	case longest == 1 && count[1] == 1:
	default:
		return dst, false
	}
	// How long codes with the same beginning get.
	var long [1 << litRoot]uint8
	if uint(longest) > root {
		codes := next
		for _, n := range lens {
			if uint(n) > root {
				first := codes[n] >> (uint(n) - root)
				long[first] = max(long[first], n)
			}
			if n > 0 {
				codes[n]++
			}
		}
	}
	for sym, n := range lens {
		if n == 0 {
			continue
		}
		c := next[n]
		next[n]++
		e := meaning[sym] | entry(n)
		if uint(n) <= root {
			for i := reverse(c, uint(n)); i < 1<<root; i += 1 << n {
				dst[i] = e
			}
			continue
		}
		first := c >> (uint(n) - root)
		more := uint(long[first]) - root
		link := &dst[reverse(first, root)]
		if link.kind() != kindLink {
			*link = entry(len(dst))<<16 | entry(more)<<5 | kindLink | entry(root)
			for range 1 << more {
				dst = append(dst, kindInvalid|1)
			}
			link = &dst[reverse(first, root)]
		}
		second := dst[link.value():][:1<<more]
		for i := reverse(c&(1<<(uint(n)-root)-1), uint(n)-root); i < 1<<more; i += 1 << (uint(n) - root) {
			second[i] = e
		}
	}
	return dst, true
}

// reverse turns the first bit of a code into the lowest, as codes are packed.
func reverse(c, n uint) uint { return uint(bits.Reverse16(uint16(c)) >> (16 - n)) }
