package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"go.etcd.io/bbolt"
)

// What bbolt's file is made of, as far as it is checked here. Numbers are in
// the machine's own order.
const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	boltHeader     = 16 // of a page: id 8, flags 2, count 2, overflow 4
	boltElement    = 16 // of a leaf: flags 4, pos 4, key 4, value 4; of a branch: pos 4, key 4, page 8
	boltBranch     = 0x01
	boltLeaf       = 0x02
	boltBucketLeaf = 0x01
	boltBucket     = 16 // before a bucket's own page: root 8, sequence 8
	boltMetaSize   = 64 // magic 4, version 4, page size 4, flags 4, root 8, sequence 8, free list 8, pages 8, transaction 8, sum 8
)

// sound walks the tree in a log's file and returns ErrDamaged where a page is
// not what the tree says it is. bbolt meets such a page in a goroutine of its
// own at the start, and its panic there would end the process each time it is
// started; so the file is looked through before bbolt sees it. It reads the
// beginning of every page in use once.
func sound(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("logstore: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := &walk{f: f, seen: map[uint64]bool{}}
	root, err := w.meta()
	if err != nil || root == 0 {
		return err
	}
	w.todo = append(w.todo, branch{id: root})
	for len(w.todo) > 0 {
		next := w.todo[len(w.todo)-1]
		w.todo = w.todo[:len(w.todo)-1]
		if err := w.page(next); err != nil {
			return err
		}
	}
	return nil
}

// walk is one look through a file.
type walk struct {
	f     *os.File
	size  int64  // of a page
	pages uint64 // in the file
	seen  map[uint64]bool
	todo  []branch
	buf   []byte
}

// branch is a page to be looked at, and the keys that may be in it.
type branch struct {
	id        uint64
	min, over []byte // nil: none; over itself may not be there
}

var native = binary.NativeEndian

// meta finds the newer of the two roots that are whole. None is bbolt's to
// tell, as is a file of another version.
func (w *walk) meta() (root uint64, err error) {
	var newest uint64
	// The second lies one page on, whose size the first tells if it is whole,
	// and the machine otherwise; so bbolt does it.
	w.size = int64(os.Getpagesize())
	for i := range int64(2) {
		b := make([]byte, boltMetaSize)
		if _, err := w.f.ReadAt(b, i*w.size+boltHeader); err == io.EOF {
			break
		} else if err != nil {
			return 0, fmt.Errorf("logstore: %w", err)
		}
		h := fnv.New64a()
		h.Write(b[:56])
		size := int64(native.Uint32(b[8:]))
		if native.Uint32(b) != boltMagic || native.Uint32(b[4:]) != boltVersion || native.Uint64(b[56:]) != h.Sum64() || size < 1024 {
			continue
		}
		w.size = size
		if tx := native.Uint64(b[48:]); root == 0 || tx > newest {
			newest, root, w.pages = tx, native.Uint64(b[16:]), native.Uint64(b[40:])
		}
	}
	return root, nil
}

func (w *walk) bad(id uint64, what string) error {
	return fmt.Errorf("%w: page %d of %d %s", ErrDamaged, id, w.pages, what)
}

// page checks one page and notes those below it.
func (w *walk) page(p branch) error {
	id := p.id
	switch {
	case id < 2 || id >= w.pages:
		return w.bad(id, "is none")
	case w.seen[id]:
		return w.bad(id, "is in two places")
	}
	w.seen[id] = true
	if int64(len(w.buf)) < w.size {
		w.buf = make([]byte, w.size)
	}
	b := w.buf[:w.size]
	if err := w.read(id, b); err != nil {
		return err
	}
	if native.Uint64(b) != id {
		return w.bad(id, "says it is another")
	}
	count, overflow := int64(native.Uint16(b[10:])), uint64(native.Uint32(b[12:]))
	if overflow >= w.pages-id {
		return w.bad(id, "goes on past the end")
	}
	for o := range overflow {
		if w.seen[id+1+o] {
			return w.bad(id+1+o, "is in two places")
		}
		w.seen[id+1+o] = true
	}
	total := int64(overflow+1) * w.size
	if table := boltHeader + count*boltElement; table > total {
		return w.bad(id, "has too many elements")
	} else if table > w.size {
		b = make([]byte, table)
		if err := w.read(id, b); err != nil {
			return err
		}
	}
	return w.elements(p, b, int(count), native.Uint16(b[8:]), total, true)
}

// elements checks what a page holds, of which b is the beginning and which
// has total bytes; own tells it from one within another.
func (w *walk) elements(p branch, b []byte, count int, flags uint16, total int64, own bool) error {
	leaf := flags == boltLeaf
	if !leaf && (flags != boltBranch || count == 0 || !own) {
		return w.bad(p.id, "is neither branch nor leaf")
	}
	var last []byte
	first := len(w.todo)
	for i := range count {
		at := int64(boltHeader + i*boltElement)
		e := b[at : at+boltElement]
		from, size := at+int64(native.Uint32(e)), int64(native.Uint32(e[4:]))
		if leaf {
			from, size = at+int64(native.Uint32(e[4:])), int64(native.Uint32(e[8:]))
		}
		if size > bbolt.MaxKeySize || from+size > total {
			return w.bad(p.id, "has a key outside")
		}
		key, err := w.part(p.id, b, from, size, own)
		switch {
		case err != nil:
			return err
		case i > 0 && bytes.Compare(last, key) >= 0,
			i == 0 && p.min != nil && bytes.Compare(p.min, key) > 0,
			p.over != nil && bytes.Compare(key, p.over) >= 0:
			return w.bad(p.id, "has keys out of order")
		}
		last = key
		if !leaf {
			if n := len(w.todo); n > first {
				w.todo[n-1].over = key
			}
			w.todo = append(w.todo, branch{native.Uint64(e[8:]), key, p.over})
			continue
		}
		value, length := from+size, int64(native.Uint32(e[12:]))
		if value+length > total {
			return w.bad(p.id, "has a value outside")
		}
		if native.Uint32(e)&boltBucketLeaf == 0 {
			continue
		}
		if !own || length < boltBucket || length > w.size {
			return w.bad(p.id, "has a bucket that is none")
		}
		v, err := w.part(p.id, b, value, length, own)
		if err != nil {
			return err
		}
		if err := w.bucket(p.id, v); err != nil {
			return err
		}
	}
	return nil
}

// part returns a copy of some bytes of a page, of which b is the beginning.
func (w *walk) part(id uint64, b []byte, from, size int64, own bool) ([]byte, error) {
	if from+size <= int64(len(b)) {
		return bytes.Clone(b[from : from+size]), nil
	}
	if !own {
		return nil, w.bad(id, "has a bucket that is none")
	}
	p := make([]byte, size)
	return p, w.readAt(id, p, from)
}

// bucket follows a bucket to its root, or looks through the page within it.
func (w *walk) bucket(id uint64, v []byte) error {
	if root := native.Uint64(v); root != 0 {
		w.todo = append(w.todo, branch{id: root})
		return nil
	}
	p := v[boltBucket:]
	if len(p) < boltHeader {
		return w.bad(id, "has a bucket that is none")
	}
	count := int(native.Uint16(p[10:]))
	if boltHeader+count*boltElement > len(p) {
		return w.bad(id, "has too many elements in a bucket")
	}
	return w.elements(branch{id: id}, p, count, native.Uint16(p[8:]), int64(len(p)), false)
}

func (w *walk) read(id uint64, b []byte) error { return w.readAt(id, b, 0) }

func (w *walk) readAt(id uint64, b []byte, from int64) error {
	if _, err := w.f.ReadAt(b, int64(id)*w.size+from); err == io.EOF {
		return w.bad(id, "is past the end of the file")
	} else if err != nil {
		return fmt.Errorf("logstore: %w", err)
	}
	return nil
}
