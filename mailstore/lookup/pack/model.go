package pack

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"sync"
)

// The model: phrases, and the lengths of all codes. Frozen: a better one is
// another file under another number, and this one stays for what it packed.
var (
	//go:embed phrases.txt
	phraseText string
	//go:embed lengths.bin
	lengthData []byte
)

// The symbols of a context. What stands for a byte is that byte.
const (
	symEscape = 256             // then a byte in 8 bits
	symCopy   = symEscape + 1   // + slot: a copy of what came before
	symFold   = symCopy + slots // + slot: the same in small letters
	symPhrase = symFold + slots // + number of the phrase

	maxBits   = 10 // of a code
	minCopy   = 3
	slots     = 14
	distSlots = 26
)

// A copy's length is base + extra bits, by slot.
var (
	lenBase  = [slots + 1]int{3, 4, 5, 6, 7, 8, 9, 11, 13, 17, 25, 41, 73, 137, 137 + 256}
	lenExtra = [slots]uint{0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 8}
)

const maxCopy = 137 + 256 - 1

// slotOf gives the slot of each length.
var slotOf = func() (t [maxCopy + 1]uint8) {
	for s := range slots {
		for n := lenBase[s]; n < lenBase[s+1]; n++ {
			t[n] = uint8(s)
		}
	}
	return t
}()

// distSlot cuts a distance from 1 on into its slot and extra bits: two slots
// for each power of two.
func distSlot(d int) (slot int, extra uint, rest uint64) {
	d--
	if d < 2 {
		return d, 0, 0
	}
	e := bits.Len(uint(d)) - 1
	extra = uint(e - 1)
	return 2*e + d>>extra&1, extra, uint64(d) & (1<<extra - 1)
}

func distBase(slot int) (base int, extra uint) {
	if slot < 2 {
		return slot + 1, 0
	}
	extra = uint(slot/2 - 1)
	return (2+slot&1)<<extra + 1, extra
}

// Classes of bytes. The context of a symbol comes of the two bytes before it:
// the class of the last one, but for digits and letters of hex numbers.
const (
	clsControl = iota
	clsSpace
	clsVowel
	clsLiquid
	clsSibilant
	clsOther
	clsDigit
	clsUpper
	clsJoin
	clsAt
	clsOpen
	clsEqual
	clsMark
	clsHigh
	clsHex // [a-f] after a digit, a digit after [a-f], [A-F0-9] after =
	clsFirst
	contexts
)

var class = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c < ' ' || c == 0x7f:
			t[c] = clsControl
		case c >= 0x80:
			t[c] = clsHigh
		case c >= '0' && c <= '9':
			t[c] = clsDigit
		case c >= 'A' && c <= 'Z':
			t[c] = clsUpper
		case c >= 'a' && c <= 'z':
			t[c] = clsOther
		default:
			t[c] = clsMark
		}
	}
	for _, g := range []struct {
		bytes string
		class uint8
	}{
		{" _", clsSpace}, {"aeiouy", clsVowel}, {"lmnr", clsLiquid}, {"st", clsSibilant},
		{".-+", clsJoin}, {"@", clsAt}, {"<\"(", clsOpen}, {"=", clsEqual},
	} {
		for _, c := range []byte(g.bytes) {
			t[c] = g.class
		}
	}
	return t
}()

// kinds tells of a byte what matters to the byte after the next: 1 a digit, 2 a
// letter from a to f, 3 one from A to F, 4 an equals sign.
var kinds = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9':
			t[c] = 1
		case c >= 'a' && c <= 'f':
			t[c] = 2
		case c >= 'A' && c <= 'F':
			t[c] = 3
		case c == '=':
			t[c] = 4
		}
	}
	return t
}()

// after gives the context after two bytes: the kind of the first, the second.
var after = func() (t [5 << 8]uint8) {
	for before := range 5 {
		for c := range 256 {
			x := class[c]
			switch k := kinds[c]; {
			case before == 1 && k == 2, before == 2 && k == 1, before == 4 && k >= 1 && k <= 3:
				x = clsHex
			}
			t[before<<8|c] = x
		}
	}
	return t
}()

// model is what the files say, in the form that is fast to use.
type model struct {
	phrases [][]byte
	heads   []head                  // of the phrases
	byPair  [1 << pairBits][]uint16 // phrases by a hash of their first two bytes

	lengths [contexts][]uint8 // of each symbol's code; 0: it has none
	codes   [contexts][]uint16
	table   [contexts << maxBits]uint16 // symbol<<4 | length by context and the next bits; 0: none

	distLengths [distSlots]uint8
	distCodes   [distSlots]uint16
	distTable   [1 << maxBits]uint16
}

// head is the beginning of a phrase, as a word to compare with.
type head struct {
	word, mask uint64
	n          int // length of the phrase
}

const pairBits = 10

func hash2(v uint64) uint32 { return uint32(v&0xffff) * 0x9e3779b1 >> (32 - pairBits) }

// setPhrases fills what is made of the phrases.
func (m *model) setPhrases(phrases [][]byte) {
	m.phrases = phrases
	for i, p := range phrases {
		var room [8]byte
		n := copy(room[:], p)
		m.heads = append(m.heads, head{binary.LittleEndian.Uint64(room[:]), ^uint64(0) >> (64 - 8*n), len(p)})
		h := hash2(uint64(p[0]) | uint64(p[1])<<8)
		m.byPair[h] = append(m.byPair[h], uint16(i))
	}
}

var theModel = sync.OnceValue(func() *model {
	m, err := newModel(phraseText, lengthData)
	if err != nil {
		panic(err) // the files are part of the program
	}
	return m
})

// parsePhrases reads a list of quoted phrases, one a line.
func parsePhrases(text string) ([][]byte, error) {
	var out [][]byte
	for line := range strings.Lines(text) {
		p, err := strconv.Unquote(strings.TrimSuffix(line, "\n"))
		if err != nil || len(p) < 2 {
			return nil, fmt.Errorf("pack: phrase %q: %w", line, err)
		}
		out = append(out, []byte(p))
	}
	return out, nil
}

func newModel(text string, lengths []byte) (*model, error) {
	m := new(model)
	phrases, err := parsePhrases(text)
	if err != nil {
		return nil, err
	}
	m.setPhrases(phrases)
	n := symPhrase + len(m.phrases)
	if n > 1<<12 || len(lengths) != contexts*n+distSlots {
		return nil, fmt.Errorf("pack: %d symbols, %d lengths", n, len(lengths))
	}
	for c := range contexts {
		m.lengths[c], lengths = lengths[:n:n], lengths[n:]
		m.codes[c] = make([]uint16, n)
		if err := codes(m.lengths[c], m.codes[c], m.table[c<<maxBits:(c+1)<<maxBits]); err != nil {
			return nil, err
		}
		if m.lengths[c][symEscape] == 0 {
			return nil, fmt.Errorf("pack: context %d has no escape", c)
		}
	}
	copy(m.distLengths[:], lengths)
	return m, codes(m.distLengths[:], m.distCodes[:], m.distTable[:])
}

// codes gives each symbol its canonical code, as RFC 1951 section 3.2.2 does,
// with the first bit lowest, and the table that reads it.
func codes(lengths []uint8, codes []uint16, table []uint16) error {
	code := uint32(0)
	for l := uint8(1); l <= maxBits; l++ {
		for s, n := range lengths {
			if n > maxBits {
				return fmt.Errorf("pack: a code of %d bits", n)
			}
			if n != l {
				continue
			}
			if code >= 1<<l {
				return fmt.Errorf("pack: too many codes of %d bits", l)
			}
			r := bits.Reverse16(uint16(code)) >> (16 - l)
			codes[s] = r
			for at := int(r); at < 1<<maxBits; at += 1 << l {
				table[at] = uint16(s)<<4 | uint16(l)
			}
			code++
		}
		code <<= 1
	}
	return nil
}
