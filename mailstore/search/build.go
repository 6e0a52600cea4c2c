package search

import (
	"bytes"
	"crypto/rand"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/mailstore"
)

const (
	// textBlock and wordsBlock are about how many octets a block has.
	textBlock  = 64 << 10
	wordsBlock = 64 << 10
	// segmentText is how much text a segment has at most, but for one document.
	segmentText = 16 << 20
	// segmentDocs bounds the documents of a segment.
	segmentDocs = 1 << 16
	// MaxText is how much text a document has at most. One with more is always
	// read.
	MaxText = 4 << 20
)

// builder collects the documents of a segment.
type builder struct {
	docs []collected
	text []byte
}

// collected is a document whose text is in the builder's.
type collected struct {
	id      mailstore.ContentID
	off, n  int
	body    int
	unknown bool
}

func (b *builder) full() bool { return len(b.text) >= segmentText || len(b.docs) >= segmentDocs }

// add takes a document that was appended to b.text from off on.
func (b *builder) add(id mailstore.ContentID, off, body int) {
	b.docs = append(b.docs, collected{id: id, off: off, n: len(b.text) - off, body: body})
}

// addUnknown takes one that has too much text.
func (b *builder) addUnknown(id mailstore.ContentID) {
	b.docs = append(b.docs, collected{id: id, unknown: true})
}

func (b *builder) reset() { b.docs, b.text = b.docs[:0], b.text[:0] }

// seeds are what a segment is sealed with. They are random; tests of the
// format set them.
type seeds struct {
	id  [segmentIDSize]byte
	key [keySize]byte
}

func newSeeds() *seeds {
	s := new(seeds)
	rand.Read(s.id[:]) // never fails
	rand.Read(s.key[:])
	return s
}

// write writes the segment to a file.
func (b *builder) write(f vfs.File, keys Keys, text uint32, replaces []uint64, sd *seeds) error {
	slices.SortFunc(b.docs, func(x, y collected) int { return bytes.Compare(x.id[:], y.id[:]) })
	b.docs = slices.CompactFunc(b.docs, func(x, y collected) bool { return x.id == y.id })
	w := &writer{f: f}
	var err error
	if w.box, err = newBox(&sd.key); err != nil {
		return err
	}
	ft := foot{text: text, replaces: replaces, docs: make([]document, len(b.docs))}
	w.out = appendHead(nil, &sd.id, &sd.key, keys)
	w.at = int64(len(w.out))
	words := newVocabulary()
	block := make([]byte, 0, textBlock+textBlock/4)
	flush := func() error {
		k, err := w.block(kindText, len(ft.texts), block)
		ft.texts = append(ft.texts, k)
		block = block[:0]
		return err
	}
	for i := range b.docs {
		c, d := &b.docs[i], &ft.docs[i]
		d.id = c.id
		if d.unknown = c.unknown; d.unknown {
			continue
		}
		if len(block) >= textBlock {
			if err := flush(); err != nil {
				return err
			}
		}
		t := b.text[c.off : c.off+c.n]
		d.block, d.off, d.n, d.body = uint32(len(ft.texts)), uint32(len(block)), uint32(c.n), uint32(c.body)
		block = append(block, t...)
		words.add(uint32(2*i), t[:c.body])
		words.add(uint32(2*i+1), t[c.body:])
	}
	if err := flush(); err != nil {
		return err
	}
	if err := words.write(w, &ft); err != nil {
		return err
	}
	plain := ft.encode(nil)
	sealed, _ := w.box.seal(nil, nil, kindFoot, 0, plain)
	w.out = appendTrailer(append(w.out, sealed...), len(sealed), len(plain))
	return w.flush()
}

// write writes the words in their order.
func (v *vocabulary) write(w *writer, ft *foot) error {
	order := v.sorted()
	var plain []byte
	for len(order) > 0 {
		var taken int
		plain, taken = appendWords(plain[:0], v, order)
		order = order[taken:]
		k, err := w.block(kindWords, len(ft.words), plain)
		if err != nil {
			return err
		}
		ft.words = append(ft.words, k)
	}
	return nil
}

// writer writes a segment's file front to back.
type writer struct {
	f    vfs.File
	box  box
	at   int64 // where what comes next will stand
	out  []byte
	room []byte
}

// block seals a block and writes it.
func (w *writer) block(kind byte, n int, plain []byte) (block, error) {
	was := len(w.out)
	w.out, w.room = w.box.seal(w.out, w.room, kind, n, plain)
	k := block{off: w.at, n: uint32(len(w.out) - was), plain: uint32(len(plain))}
	w.at += int64(k.n)
	if len(w.out) < 256<<10 {
		return k, nil
	}
	return k, w.flush()
}

func (w *writer) flush() error {
	_, err := w.f.Write(w.out)
	w.out = w.out[:0]
	return err
}
