package search

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/chacha20poly1305"

	"altmail.se/altmail/mailstore"
)

// The bytes of a segment, as FORMAT.md draws them. Frozen: a segment of
// another version is not opened but made again.
const (
	magic       = "altmsix\x01"
	headFixed   = len(magic) + segmentIDSize + 2
	maxWrapped  = 1 << 10
	trailerSize = 4 + 4 + 4

	segmentIDSize = 16
	keySize       = chacha20poly1305.KeySize
	tagSize       = chacha20poly1305.Overhead
)

// Kinds of sealed blocks. They are part of the nonce.
const (
	kindText = iota + 1
	kindWords
	kindFoot
)

// Bounds of what is decoded: more is in no segment that was written.
const (
	maxBlock = 64 << 20 // plain octets of a block
	maxDocs  = 1 << 20
)

// errDamaged is of bytes that are not what was written.
var errDamaged = errors.New("search: a segment is damaged")

func damaged(what string) error { return fmt.Errorf("%w: %s", errDamaged, what) }

func appendUint(b []byte, n uint64) []byte { return binary.AppendUvarint(b, n) }

// dec reads numbers. After the first that is not there bad is set.
type dec struct {
	b   []byte
	bad bool
}

func (d *dec) uint(limit uint64) uint64 {
	n, k := binary.Uvarint(d.b)
	if k <= 0 || n > limit {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[k:]
	return n
}

func (d *dec) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

// document is one message in a segment.
type document struct {
	id      mailstore.ContentID
	block   uint32 // of text; the following are of the block before in order
	off     uint32 // in the block
	n       uint32 // octets of text
	body    uint32 // where in the text that of the body begins
	unknown bool   // too long to be here: it has no text
}

// block is where a sealed block stands in the file.
type block struct {
	off   int64
	n     uint32 // sealed octets
	plain uint32
}

// foot is what a segment says of itself.
type foot struct {
	text     uint32   // version of what the texts are
	replaces []uint64 // segments this one took the documents of
	docs     []document
	texts    []block
	words    []block
}

// encode writes the foot. Documents ascend by id.
func (f *foot) encode(b []byte) []byte {
	b = appendUint(b, uint64(f.text))
	b = appendUint(b, uint64(len(f.replaces)))
	for _, n := range f.replaces {
		b = appendUint(b, n)
	}
	for _, list := range [][]block{f.texts, f.words} {
		b = appendUint(b, uint64(len(list)))
		for _, k := range list {
			b = appendUint(b, uint64(k.n))
			b = appendUint(b, uint64(k.plain))
		}
	}
	b = appendUint(b, uint64(len(f.docs)))
	at := uint32(0)
	for i := range f.docs {
		d := &f.docs[i]
		b = append(b, d.id[:]...)
		if d.unknown {
			b = appendUint(b, 0)
			continue
		}
		// How many blocks further, and that it has text.
		b = appendUint(b, uint64(d.block-at)+1)
		at = d.block
		b = appendUint(b, uint64(d.n))
		b = appendUint(b, uint64(d.body))
	}
	return b
}

// decode reads a foot. start is where the first block stands in the file, end
// where the last one has to end.
func (f *foot) decode(b []byte, start, end int64) error {
	d := dec{b: b}
	f.text = uint32(d.uint(1<<32 - 1))
	for n := d.uint(uint64(len(d.b))); n > 0 && !d.bad; n-- {
		f.replaces = append(f.replaces, d.uint(1<<64-1))
	}
	at := start
	for _, list := range []*[]block{&f.texts, &f.words} {
		n := d.uint(uint64(len(d.b)))
		*list = make([]block, 0, n)
		for ; n > 0 && !d.bad; n-- {
			k := block{off: at, n: uint32(d.uint(maxBlock + 1<<20)), plain: uint32(d.uint(maxBlock))}
			at += int64(k.n)
			*list = append(*list, k)
		}
	}
	n := d.uint(min(maxDocs, uint64(len(d.b))/(segmentIDSize+1)))
	f.docs = make([]document, 0, n)
	in, off := uint32(0), uint32(0)
	for ; n > 0 && !d.bad; n-- {
		var doc document
		copy(doc.id[:], d.take(uint64(len(doc.id))))
		if k := len(f.docs); k > 0 && bytes.Compare(f.docs[k-1].id[:], doc.id[:]) >= 0 {
			return damaged("documents are not in order")
		}
		step := d.uint(uint64(len(f.texts)))
		if doc.unknown = step == 0; !doc.unknown {
			if step > 1 {
				in, off = in+uint32(step-1), 0
			}
			doc.block, doc.off = in, off
			doc.n, doc.body = uint32(d.uint(maxBlock)), uint32(d.uint(maxBlock))
			off += doc.n
			if int(in) >= len(f.texts) || off > f.texts[in].plain || doc.body > doc.n {
				return damaged("a document is not in its block")
			}
		}
		f.docs = append(f.docs, doc)
	}
	if d.bad || len(d.b) > 0 || at != end {
		return damaged("its foot")
	}
	return nil
}

// Words of a block: a 0, then each word and a 0; then for each word its places.
// One place alone is twice the place and one; more are twice the length of what
// follows, the first place and the differences.

// appendWords writes the words of sorted terms until the block is full and
// returns how many it took.
func appendWords(dst []byte, v *vocabulary, order []uint32) (out []byte, taken int) {
	words, places := 1, 0
	for _, k := range order {
		t := &v.terms[k]
		words += int(t.n) + 1
		places += 6 + len(t.rest)
		taken++
		if words+places >= wordsBlock {
			break
		}
	}
	dst = appendUint(dst, uint64(words))
	dst = append(dst, 0)
	for _, k := range order[:taken] {
		dst = append(append(dst, v.word(&v.terms[k])...), 0)
	}
	for _, k := range order[:taken] {
		t := &v.terms[k]
		if len(t.rest) == 0 {
			dst = appendUint(dst, uint64(t.first)<<1|1)
			continue
		}
		var room [binary.MaxVarintLen64]byte
		first := appendUint(room[:0], uint64(t.first))
		dst = appendUint(dst, uint64(len(first)+len(t.rest))<<1)
		dst = append(append(dst, first...), t.rest...)
	}
	return dst, taken
}

// cutWords splits a block into its words and their places.
func cutWords(b []byte) (words, places []byte, err error) {
	d := dec{b: b}
	words = d.take(d.uint(uint64(len(b))))
	if d.bad || len(words) == 0 || words[0] != 0 || words[len(words)-1] != 0 {
		return nil, nil, damaged("a block of words")
	}
	return words, d.b, nil
}

// placesReader walks over the places of the words of a block.
type placesReader struct {
	d    dec
	next uint32 // word that the reader stands before
}

// mark sets the bits of the places of a word, which is not before next.
func (r *placesReader) mark(word uint32, to bitset) error {
	for {
		head := r.d.uint(1<<40 - 1)
		at := r.next
		r.next++
		if head&1 != 0 {
			if at == word && !to.set(head>>1) {
				r.d.bad = true
			}
		} else {
			list := dec{b: r.d.take(head >> 1)}
			if at == word {
				for place := uint64(0); len(list.b) > 0; {
					place += list.uint(1<<32 - 1)
					if list.bad || !to.set(place) {
						r.d.bad = true
						break
					}
				}
			}
		}
		if r.d.bad {
			return damaged("the places of a word")
		}
		if at == word {
			return nil
		}
	}
}

// bitset is a set of small numbers.
type bitset []uint64

func newBits(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) set(n uint64) bool {
	if n/64 >= uint64(len(b)) {
		return false
	}
	b[n/64] |= 1 << (n % 64)
	return true
}

func (b bitset) has(n int) bool { return b[n/64]&(1<<(n%64)) != 0 }

func (b bitset) and(o bitset) {
	for i := range b {
		b[i] &= o[i]
	}
}

// box seals the blocks of one segment.
type box struct{ aead cipher.AEAD }

func newBox(key *[keySize]byte) (box, error) {
	a, err := chacha20poly1305.New(key[:])
	return box{a}, err
}

func nonce(kind byte, n uint64) (out [chacha20poly1305.NonceSize]byte) {
	out[0] = kind
	binary.BigEndian.PutUint64(out[4:], n)
	return out
}

var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(fmt.Sprintf("search: zstd encoder options: %v", err))
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		// Nothing yields more than the room it is given.
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxBlock), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic(fmt.Sprintf("search: zstd decoder options: %v", err))
		}
		return d
	})
)

// seal appends a block, compressed and sealed.
func (x box) seal(dst, room []byte, kind byte, n int, plain []byte) (out, packed []byte) {
	packed = encoder().EncodeAll(plain, room[:0])
	iv := nonce(kind, uint64(n))
	return x.aead.Seal(dst, iv[:], packed, nil), packed
}

// open appends the plain octets of a sealed block to dst, in whose place it is
// opened.
func (x box) open(dst []byte, kind byte, n int, sealed []byte, plain uint32) ([]byte, error) {
	iv := nonce(kind, uint64(n))
	packed, err := x.aead.Open(sealed[:0], iv[:], sealed, nil)
	if err != nil {
		return dst, damaged("a block does not open")
	}
	if cap(dst) < int(plain) {
		dst = make([]byte, 0, plain)
	}
	out, err := decoder().DecodeAll(packed, dst[:0:plain])
	if err != nil || len(out) != int(plain) {
		return dst, damaged("a block does not unpack")
	}
	return out, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendTrailer ends a file: how long the foot is, sealed and plain, and a
// checksum of that alone, so that a file that was cut short is told from
// another.
func appendTrailer(b []byte, foot, plain int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(foot))
	b = binary.BigEndian.AppendUint32(b, uint32(plain))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[len(b)-8:], castagnoli))
}

func parseTrailer(b []byte) (foot int64, plain uint32, err error) {
	if len(b) != trailerSize || crc32.Checksum(b[:8], castagnoli) != binary.BigEndian.Uint32(b[8:]) {
		return 0, 0, damaged("its end")
	}
	if plain = binary.BigEndian.Uint32(b[4:]); plain > maxBlock {
		return 0, 0, damaged("its end")
	}
	return int64(binary.BigEndian.Uint32(b)), plain, nil
}
