package deflate

import (
	"encoding/binary"
	"fmt"
	"io"
)

// CorruptError tells that octets are not of the format of RFC 1951. Its text
// holds nothing of them.
type CorruptError struct{ Reason string }

func (e *CorruptError) Error() string { return "deflate: corrupt stream: " + e.Reason }

// step is what of a stream comes next.
type step uint8

const (
	stepHeader step = iota
	stepStoredLen
	stepStored
	stepTable
	stepCodeLens
	stepLens
	stepSymbols
	stepMatch
	stepEnd
)

// Inflater decodes a stream in whatever pieces it comes. The zero value is at
// the beginning of one. It holds up to 32 KiB of what it decoded last, less
// while less was decoded, and tables of 8 KiB only within a block that has
// codes of its own. It is for one goroutine at a time.
type Inflater struct {
	hold  uint64 // bits that are taken from the input and not used yet
	nbits uint

	step  step
	final bool
	left  int // octets of a stored block, of a match
	dist  int // of a match

	nlit, ndst, nlen int // of a block's codes
	at               int // which of their lengths is next
	clens            [19]uint8
	own              *tables // from the pool, nil between blocks
	lit, dst         []entry

	win window
	err error
}

// Inflate decodes from src into dst until src is used up or dst is full, and
// returns how much of each it took. It keeps what is left of src when less
// than a symbol is: all that octets tell is in dst, if there was room. The
// error is io.EOF at a stream's end and a *CorruptError where it is none; what
// came before is in dst then as well. Any error is for good.
func (z *Inflater) Inflate(dst, src []byte) (n, m int, err error) {
	if z.err != nil {
		return 0, 0, z.err
	}
	n, m, z.err = z.inflate(dst, src)
	z.win.add(dst[:n])
	if z.err != nil {
		z.release()
	}
	return n, m, z.err
}

// release gives back what is from the pool.
func (z *Inflater) release() {
	if z.own != nil {
		tablePool.Put(z.own)
		z.own = nil
	}
	z.lit, z.dst = nil, nil
}

func corrupt(format string, args ...any) error { return &CorruptError{fmt.Sprintf(format, args...)} }

// need takes octets until there are so many bits, and reports whether there
// are.
func (z *Inflater) need(bits uint, src []byte, m *int) bool {
	for z.nbits < bits {
		if *m == len(src) {
			return false
		}
		z.hold |= uint64(src[*m]) << z.nbits
		z.nbits += 8
		*m++
	}
	return true
}

func (z *Inflater) take(bits uint) int {
	v := z.hold & (1<<bits - 1)
	z.hold >>= bits
	z.nbits -= bits
	return int(v)
}

// clenOrder is of RFC 1951 section 3.2.7.
var clenOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func (z *Inflater) inflate(dst, src []byte) (n, m int, err error) {
	for {
		switch z.step {
		case stepHeader:
			if z.final {
				z.step = stepEnd
				continue
			}
			if !z.need(3, src, &m) {
				return n, m, nil
			}
			z.final = z.take(1) == 1
			switch z.take(2) {
			case 0:
				z.take(z.nbits & 7)
				z.step = stepStoredLen
			case 1:
				t := fixed()
				z.lit, z.dst, z.step = t.lit, t.dst, stepSymbols
			case 2:
				z.own = tablePool.Get().(*tables)
				z.step = stepTable
			default:
				return n, m, corrupt("no such block type")
			}
		case stepStoredLen:
			if !z.need(32, src, &m) {
				return n, m, nil
			}
			z.left = z.take(16)
			if z.take(16) != z.left^0xffff {
				return n, m, corrupt("length of a stored block")
			}
			z.step = stepStored
		case stepStored:
			for z.left > 0 && z.nbits > 0 && n < len(dst) {
				dst[n] = byte(z.take(8))
				n++
				z.left--
			}
			if z.nbits == 0 {
				c := copy(dst[n:], src[m:min(len(src), m+z.left)])
				n, m, z.left = n+c, m+c, z.left-c
			}
			if z.left > 0 {
				return n, m, nil
			}
			z.step = stepHeader
		case stepTable:
			if !z.need(14, src, &m) {
				return n, m, nil
			}
			z.nlit, z.ndst, z.nlen, z.at = z.take(5)+257, z.take(5)+1, z.take(4)+4, 0
			if z.nlit > maxLit || z.ndst > maxDst {
				return n, m, corrupt("too many codes")
			}
			clear(z.clens[:])
			z.step = stepCodeLens
		case stepCodeLens:
			for z.at < z.nlen {
				if !z.need(3, src, &m) {
					return n, m, nil
				}
				z.clens[clenOrder[z.at]] = uint8(z.take(3))
				z.at++
			}
			// Until the lengths are known, their code is where those of the
			// literals will be.
			var ok bool
			if z.own.lit, ok = build(z.own.lit, z.clens[:], lenMeaning[:], lenRoot); !ok {
				return n, m, corrupt("code of the code lengths")
			}
			z.at, z.step = 0, stepLens
		case stepLens:
			whole, err := z.lengths(src, &m)
			if err != nil || !whole {
				return n, m, err
			}
			if err := z.codes(); err != nil {
				return n, m, err
			}
			z.step = stepSymbols
		case stepSymbols:
			if len(src)-m >= 8 && len(dst)-n > maxMatch {
				if n, m, err = z.fast(dst, src, n, m); err != nil {
					return n, m, err
				}
				if z.step != stepSymbols {
					continue
				}
			}
			var more bool
			if n, more, err = z.symbol(dst, n, src, &m); err != nil || !more {
				return n, m, err
			}
		case stepMatch:
			if n == len(dst) {
				return n, m, nil
			}
			c := min(z.left, len(dst)-n)
			z.match(dst, n, z.dist, c)
			n += c
			if z.left -= c; z.left == 0 {
				z.step = stepSymbols
			}
		case stepEnd:
			return n, m, io.EOF
		}
	}
}

// lengths reads the code lengths of a block.
func (z *Inflater) lengths(src []byte, m *int) (whole bool, err error) {
	all := z.nlit + z.ndst
	lens := &z.own.lens
	for z.at < all {
		e, ok := z.peek(z.own.lit, lenRoot, 0, src, m)
		if !ok {
			return false, nil
		}
		if e.kind() == kindInvalid {
			return false, corrupt("a code length without a meaning")
		}
		sym := e.value()
		if sym < 16 {
			z.take(e.len())
			lens[z.at] = uint8(sym)
			z.at++
			continue
		}
		var extra uint
		var times int
		var what uint8
		switch sym {
		case 16:
			extra, times = 2, 3
		case 17:
			extra, times = 3, 3
		default:
			extra, times = 7, 11
		}
		if !z.need(e.len()+extra, src, m) {
			return false, nil
		}
		z.take(e.len())
		times += z.take(extra)
		if sym == 16 {
			if z.at == 0 {
				return false, corrupt("nothing to repeat")
			}
			what = lens[z.at-1]
		}
		if z.at+times > all {
			return false, corrupt("too many code lengths")
		}
		for range times {
			lens[z.at] = what
			z.at++
		}
	}
	return true, nil
}

// codes makes the tables of a block whose code lengths are there.
func (z *Inflater) codes() error {
	t := z.own
	if t.lens[endOfBlock] == 0 {
		return corrupt("a block without an end")
	}
	var ok bool
	if t.lit, ok = build(t.lit, t.lens[:z.nlit], litMeaning[:], litRoot); !ok {
		return corrupt("code of the literals and lengths")
	}
	if t.dst, ok = build(t.dst, t.lens[z.nlit:z.nlit+z.ndst], dstMeaning[:], dstRoot); !ok {
		return corrupt("code of the distances")
	}
	z.lit, z.dst = t.lit, t.dst
	return nil
}

// lookup returns what the lowest bits stand for. Where bits are missing, zeros
// are in their place: the answer holds if its length is not more than there
// are.
func lookup(t []entry, root uint, hold uint64) entry {
	e := t[hold&(1<<root-1)]
	if e.kind() == kindLink {
		e = t[uint64(e.value())+hold>>root&(1<<e.extra()-1)]
	}
	return e
}

// peek finds the code behind the first bits without taking any. It reports
// false when not all of it is there.
func (z *Inflater) peek(t []entry, root, behind uint, src []byte, m *int) (entry, bool) {
	for {
		if behind <= z.nbits {
			if e := lookup(t, root, z.hold>>behind); behind+e.len() <= z.nbits {
				return e, true
			}
		}
		if !z.need(z.nbits+1, src, m) {
			return 0, false
		}
	}
}

// symbol decodes one symbol, a match with its distance. It reports false when
// there is no whole one, or no room for it; nothing of it is taken then.
func (z *Inflater) symbol(dst []byte, n int, src []byte, m *int) (_ int, more bool, err error) {
	e, ok := z.peek(z.lit, litRoot, 0, src, m)
	if !ok {
		return n, false, nil
	}
	switch e.kind() {
	case kindLiteral:
		if n == len(dst) {
			return n, false, nil
		}
		z.take(e.len())
		dst[n] = byte(e.value())
		return n + 1, true, nil
	case kindEnd:
		z.take(e.len())
		z.endBlock()
		return n, true, nil
	case kindInvalid:
		return n, false, corrupt("a symbol without a meaning")
	}
	bits := e.len() + e.extra() // in all at most 48
	d, ok := z.peek(z.dst, dstRoot, bits, src, m)
	if !ok {
		return n, false, nil
	}
	if d.kind() == kindInvalid {
		return n, false, corrupt("a distance without a meaning")
	}
	if !z.need(bits+d.len()+d.extra(), src, m) {
		return n, false, nil
	}
	z.take(e.len())
	z.left = e.value() + z.take(e.extra())
	z.take(d.len())
	z.dist = d.value() + z.take(d.extra())
	if z.dist > n+z.win.n {
		return n, false, corrupt("a distance before the beginning")
	}
	z.step = stepMatch
	return n, true, nil
}

func (z *Inflater) endBlock() {
	z.release()
	z.step = stepHeader
}

// match copies what was written dist before; part of it may be what it writes.
func (z *Inflater) match(dst []byte, n, dist, length int) {
	if dist > n {
		c := z.win.copy(dst[n:n+length], dist-n)
		n, length = n+c, length-c
	}
	for length > 0 {
		c := copy(dst[n:n+length], dst[n-dist:n])
		n, length = n+c, length-c
	}
}

// fast decodes symbols while there are eight octets of input and room for the
// longest match, so that neither has to be looked at within a symbol.
func (z *Inflater) fast(dst, src []byte, n, m int) (int, int, error) {
	hold, nbits := z.hold, z.nbits
	lit, dt := z.lit, z.dst
	var err error
	for len(src)-m >= 8 && len(dst)-n > maxMatch {
		hold |= binary.LittleEndian.Uint64(src[m:]) << nbits
		m += int(63-nbits) >> 3
		nbits |= 56
		e := lit[hold&(1<<litRoot-1)]
		// Three literals of the first table take at most 30 bits of the 56; a
		// match behind them gets what it needs by going around again.
		if e.kind() == kindLiteral {
			hold >>= e.len()
			nbits -= e.len()
			dst[n] = byte(e.value())
			n++
			e = lit[hold&(1<<litRoot-1)]
			if e.kind() == kindLiteral {
				hold >>= e.len()
				nbits -= e.len()
				dst[n] = byte(e.value())
				n++
				e = lit[hold&(1<<litRoot-1)]
				if e.kind() == kindLiteral {
					hold >>= e.len()
					nbits -= e.len()
					dst[n] = byte(e.value())
					n++
				}
				continue
			}
			if nbits < 48 {
				continue
			}
		}
		if e.kind() == kindLink {
			e = lit[uint64(e.value())+hold>>litRoot&(1<<e.extra()-1)]
		}
		if e.kind() != kindBase {
			hold >>= e.len()
			nbits -= e.len()
			if e.kind() == kindLiteral {
				dst[n] = byte(e.value())
				n++
				continue
			}
			if e.kind() == kindEnd {
				z.endBlock()
			} else {
				err = corrupt("a symbol without a meaning")
			}
			break
		}
		hold >>= e.len()
		length := e.value() + int(hold&(1<<e.extra()-1))
		hold >>= e.extra()
		d := lookup(dt, dstRoot, hold)
		if d.kind() == kindInvalid {
			err = corrupt("a distance without a meaning")
			break
		}
		hold >>= d.len()
		dist := d.value() + int(hold&(1<<d.extra()-1))
		hold >>= d.extra()
		nbits -= e.len() + e.extra() + d.len() + d.extra()
		if dist > n {
			if dist > n+z.win.n {
				err = corrupt("a distance before the beginning")
				break
			}
			z.match(dst, n, dist, length)
		} else if dist >= length {
			copy(dst[n:n+length], dst[n-dist:])
		} else {
			z.match(dst, n, dist, length)
		}
		n += length
	}
	z.hold, z.nbits = hold&(1<<nbits-1), nbits
	return n, m, err
}
