package search

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
)

// Keys are those of an account: *keyring.Account.
type Keys interface {
	Seal(dst []byte, kind keyring.Kind, object, plaintext []byte) []byte
	Open(dst []byte, kind keyring.Kind, object, sealed []byte) ([]byte, error)
}

// segment is an open segment. Its file is closed, and removed if it was
// replaced, when nobody uses it any more.
type segment struct {
	num  uint64
	file vfs.File
	size int64
	box  box
	foot foot

	text  int64 // octets of text
	refs  atomic.Int32
	close func() error // called when refs becomes 0
}

func (s *segment) release() error {
	if s.refs.Add(-1) == 0 {
		return s.close()
	}
	return nil
}

func (s *segment) first() *mailstore.ContentID { return &s.foot.docs[0].id }
func (s *segment) last() *mailstore.ContentID  { return &s.foot.docs[len(s.foot.docs)-1].id }

// find returns the number of a document.
func (s *segment) find(id mailstore.ContentID) (int, bool) {
	if bytes.Compare(id[:], s.first()[:]) < 0 || bytes.Compare(id[:], s.last()[:]) > 0 {
		return 0, false
	}
	return slices.BinarySearchFunc(s.foot.docs, id, func(d document, id mailstore.ContentID) int {
		return bytes.Compare(d.id[:], id[:])
	})
}

// openSegment reads a segment's head and foot. The file is the segment's only
// when there is no error.
func openSegment(f vfs.File, num uint64, keys Keys, text uint32) (*segment, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	if size < int64(headFixed+trailerSize) {
		return nil, damaged("it is too short")
	}
	head := make([]byte, min(size, int64(headFixed+maxWrapped)))
	if err := readAt(f, head, 0); err != nil {
		return nil, err
	}
	key, start, err := parseHead(head, keys)
	if err != nil {
		return nil, err
	}
	trailer := make([]byte, trailerSize)
	if err := readAt(f, trailer, size-trailerSize); err != nil {
		return nil, err
	}
	n, plain, err := parseTrailer(trailer)
	end := size - trailerSize - n
	if err != nil || end < int64(start) {
		return nil, damaged("its end")
	}
	s := &segment{num: num, file: f, size: size}
	if s.box, err = newBox(key); err != nil {
		return nil, err
	}
	sealed := make([]byte, n)
	if err := readAt(f, sealed, end); err != nil {
		return nil, err
	}
	b, err := s.box.open(nil, kindFoot, 0, sealed, plain)
	if err != nil {
		return nil, err
	}
	if err := s.foot.decode(b, int64(start), end); err != nil {
		return nil, err
	}
	if s.foot.text != text {
		return nil, fmt.Errorf("%w: its texts are of version %d", errDamaged, s.foot.text)
	}
	if len(s.foot.docs) == 0 {
		return nil, damaged("no document is in it")
	}
	for _, k := range s.foot.texts {
		s.text += int64(k.plain)
	}
	s.refs.Store(1)
	return s, nil
}

func readAt(f vfs.File, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		return damaged("it is too short")
	}
	return err
}

// appendHead begins a file: its version, the segment's id and its key, sealed
// under the account's.
func appendHead(b []byte, id *[segmentIDSize]byte, key *[keySize]byte, keys Keys) []byte {
	b = append(append(b, magic...), id[:]...)
	wrapped := keys.Seal(nil, keyring.KindSearch, id[:], key[:])
	b = binary.BigEndian.AppendUint16(b, uint16(len(wrapped)))
	return append(b, wrapped...)
}

func parseHead(b []byte, keys Keys) (*[keySize]byte, int, error) {
	if len(b) < headFixed || string(b[:len(magic)]) != magic {
		return nil, 0, damaged("its head")
	}
	id := b[len(magic) : len(magic)+segmentIDSize]
	n := int(binary.BigEndian.Uint16(b[headFixed-2:]))
	if n > maxWrapped || headFixed+n > len(b) {
		return nil, 0, damaged("its head")
	}
	plain, err := keys.Open(nil, keyring.KindSearch, id, b[headFixed:headFixed+n])
	if err != nil {
		return nil, 0, fmt.Errorf("%w: its key: %w", errDamaged, err)
	}
	if len(plain) != keySize {
		return nil, 0, damaged("its key")
	}
	return (*[keySize]byte)(plain), headFixed + n, nil
}

var rooms = sync.Pool{New: func() any { return new(room) }}

// room is memory to open blocks in.
type room struct{ sealed, plain []byte }

func (r *room) put() {
	if cap(r.plain) <= 1<<20 && cap(r.sealed) <= 1<<20 {
		rooms.Put(r)
	}
}

// read opens block n of a kind. What it returns is valid until r is used
// again.
func (s *segment) read(r *room, kind byte, n int) ([]byte, error) {
	list := s.foot.texts
	if kind == kindWords {
		list = s.foot.words
	}
	k := list[n]
	if cap(r.sealed) < int(k.n) {
		r.sealed = make([]byte, k.n)
	}
	r.sealed = r.sealed[:k.n]
	if err := readAt(s.file, r.sealed, k.off); err != nil {
		return nil, err
	}
	b, err := s.box.open(r.plain, kind, n, r.sealed, k.plain)
	r.plain = b
	return b, err
}
