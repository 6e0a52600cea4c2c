package search

import (
	"bytes"
	"hash/maphash"
)

// A word is a run of octets of letters and digits, and of anything that is not
// ASCII. A long one is taken in pieces that overlap, so that the words of a
// segment stay short and yet everything in a word is in one of its pieces.
const (
	wordMax   = 64 // longer words are taken in pieces of this
	wordStep  = 32 // from one piece to the next
	wordWhole = 33 // what is no longer is whole in a piece
)

// EndOfText is the octet that ends each of the texts that make a document. It
// is in no UTF-8, so in no needle.
const EndOfText = 0xff

// inWord tells the octets of words. Texts are folded, but decompositions have
// small letters.
var inWord = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80 && c < 0xfe
	}
	return t
}()

// eachWord calls fn for the words of a text and the pieces of its long words.
func eachWord(text []byte, fn func(w []byte)) {
	for i := 0; i < len(text); {
		if !inWord[text[i]] {
			i++
			continue
		}
		start := i
		for i++; i < len(text) && inWord[text[i]]; i++ {
		}
		w := text[start:i]
		for len(w) > wordMax {
			fn(w[:wordMax])
			w = w[wordStep:]
			if len(w) <= wordMax {
				break
			}
		}
		fn(w)
	}
}

// query is what is looked for.
type query struct {
	needle []byte
	body   bool // in bodies only
	// patterns are each in the words of a document that has the needle, where
	// words have 0 before and behind them.
	patterns [][]byte
	// exact is set when every document whose words have the pattern has the
	// needle.
	exact bool
}

// maxPatterns bounds the patterns of a needle: more narrow it no further.
const maxPatterns = 6

func newQuery(needle []byte, body bool) *query {
	q := &query{needle: needle, body: body}
	for i := 0; i < len(needle); {
		if !inWord[needle[i]] {
			i++
			continue
		}
		start := i
		for i++; i < len(needle) && inWord[needle[i]]; i++ {
		}
		w, begins, ends := needle[start:i], start > 0, i < len(needle)
		q.exact = !begins && !ends && len(w) <= wordWhole
		var p []byte
		switch {
		case !begins && !ends:
			p = w[:min(len(w), wordWhole)]
		case !begins: // the end of a word
			p = append(bytes.Clone(w[max(0, len(w)-wordWhole):]), 0)
		case !ends || len(w) > wordMax: // the beginning of one
			p = append([]byte{0}, w[:min(len(w), wordWhole)]...)
		default:
			p = append(append([]byte{0}, w...), 0)
		}
		q.add(p)
	}
	return q
}

// add keeps a pattern, and of too many the longest.
func (q *query) add(p []byte) {
	shortest := 0
	for i, o := range q.patterns {
		if bytes.Equal(o, p) {
			return
		}
		if len(o) < len(q.patterns[shortest]) {
			shortest = i
		}
	}
	if len(q.patterns) < maxPatterns {
		q.patterns = append(q.patterns, p)
	} else if len(q.patterns[shortest]) < len(p) {
		q.patterns[shortest] = p
	}
}

// vocabulary collects words and the places they are in. A place is twice the
// number of a document, and one more in its body.
type vocabulary struct {
	seed  maphash.Seed
	slots []uint32 // place in terms, and one; 0: free
	terms []term
	arena []byte
}

type term struct {
	off   uint32
	n     uint8
	first uint32 // place
	last  uint32
	rest  []byte // of further places, the differences as uv
}

func newVocabulary() *vocabulary {
	return &vocabulary{seed: maphash.MakeSeed(), slots: make([]uint32, 1<<12)}
}

func (v *vocabulary) word(t *term) []byte { return v.arena[t.off : t.off+uint32(t.n)] }

// add adds the words of a text that stands at a place. Places ascend.
func (v *vocabulary) add(place uint32, text []byte) {
	eachWord(text, func(w []byte) { v.put(place, w) })
}

func (v *vocabulary) put(place uint32, w []byte) {
	mask := uint64(len(v.slots) - 1)
	i := maphash.Bytes(v.seed, w) & mask
	for ; v.slots[i] != 0; i = (i + 1) & mask {
		t := &v.terms[v.slots[i]-1]
		if int(t.n) != len(w) || !bytes.Equal(v.word(t), w) {
			continue
		}
		if t.last != place {
			t.rest = appendUint(t.rest, uint64(place-t.last))
			t.last = place
		}
		return
	}
	v.terms = append(v.terms, term{off: uint32(len(v.arena)), n: uint8(len(w)), first: place, last: place})
	v.arena = append(v.arena, w...)
	v.slots[i] = uint32(len(v.terms))
	if len(v.terms)*4 > len(v.slots)*3 {
		v.grow()
	}
}

func (v *vocabulary) grow() {
	v.slots = make([]uint32, 2*len(v.slots))
	mask := uint64(len(v.slots) - 1)
	for k := range v.terms {
		i := maphash.Bytes(v.seed, v.word(&v.terms[k])) & mask
		for v.slots[i] != 0 {
			i = (i + 1) & mask
		}
		v.slots[i] = uint32(k + 1)
	}
}
