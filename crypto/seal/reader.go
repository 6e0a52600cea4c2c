package seal

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Reader opens parts of one sealed body. It is safe for concurrent use; calls
// take turns.
type Reader struct {
	src   io.ReaderAt
	size  int    // of the sealed body
	front []byte // its first bytes, or all of them; part of scratch if read
	head  head

	mu      sync.Mutex
	box     *box
	inline  [inlineMax]place
	chunks  []place
	scratch *scratch // the chunk opened last; nil until one is needed
	cached  int      // which chunk that is, -1 for none
}

// place is where a chunk lies in the sealed body.
type place struct {
	off    int
	stored int // length before sealing
	method int
}

// scratch is room for one chunk on its way.
type scratch struct {
	front  []byte // the first bytes of a body, where they had to be read
	sealed []byte // as read
	packed []byte // opened, still compressed
	plain  []byte // the cached chunk
}

var scratchPool = sync.Pool{New: func() any { return new(scratch) }}

// NewReader reads the front of a sealed body of size bytes and returns a
// Reader for it. Every error wraps one of this package's sentinels or src's
// own. Call Close when done.
func NewReader(key *[32]byte, src io.ReaderAt, size int64) (*Reader, error) {
	if size > 2*MaxRaw {
		return nil, fmt.Errorf("%w: %d bytes", ErrExtended, size)
	}
	if size < 0 {
		return nil, fmt.Errorf("%w: %d bytes", ErrTruncated, size)
	}
	s := scratchPool.Get().(*scratch)
	n := int(min(size, frontSize))
	s.front = grow(s.front[:0], n)[:n]
	r, err := newReader(key, src, s, int(size))
	if err != nil {
		scratchPool.Put(s)
		return nil, err
	}
	r.scratch = s
	return r, nil
}

// NewBytesReader returns a Reader for a sealed body held in memory, which it
// does not copy or alter.
func NewBytesReader(key *[32]byte, sealed []byte) (*Reader, error) {
	if len(sealed) > 2*MaxRaw {
		return nil, fmt.Errorf("%w: %d bytes", ErrExtended, len(sealed))
	}
	return parse(key, nil, sealed, len(sealed))
}

func newReader(key *[32]byte, src io.ReaderAt, s *scratch, size int) (*Reader, error) {
	if err := readFull(src, s.front, 0); err != nil {
		return nil, err
	}
	return parse(key, src, s.front, size)
}

// parse checks the front of a body.
func parse(key *[32]byte, src io.ReaderAt, front []byte, size int) (*Reader, error) {
	if n := min(len(front), len(magic)); string(front[:n]) != magic[:n] {
		return nil, ErrNotSealed
	}
	if len(front) >= prefixSize && front[prefixSize-1] != version {
		return nil, fmt.Errorf("%w: %d", ErrVersion, front[prefixSize-1])
	}
	if len(front) < offRest {
		return nil, fmt.Errorf("%w: %d bytes", ErrTruncated, len(front))
	}
	k := *key
	b, err := newBox(&k)
	if err != nil {
		return nil, err
	}
	r := &Reader{src: src, size: size, front: front, box: b, cached: -1}
	if err := r.readFront(); err != nil {
		return nil, err
	}
	return r, nil
}

// readFront opens head and table and checks every length in them.
func (r *Reader) readFront() error {
	var check [checkSize]byte
	if err := r.box.fill(check[:], roleCheck); err != nil {
		return err
	}
	fits := subtle.ConstantTimeCompare(check[:], r.front[offCheck:offHead]) == 1
	var room [headPlain]byte
	plain, ok := r.box.open(room[:0], r.front[offHead:offRest], roleHead, 0)
	switch {
	case !ok && !fits:
		return ErrWrongKey
	case !ok:
		return fmt.Errorf("%w: head does not open", ErrDamaged)
	case !fits:
		return fmt.Errorf("%w: key check", ErrDamaged)
	}
	var err error
	if r.head, err = parseHead(plain); err != nil {
		return err
	}
	n := r.head.chunks()
	rest := offRest + tableSize(n)
	if rest > len(r.front) {
		return fmt.Errorf("%w: ends in its table", ErrTruncated)
	}
	r.chunks = r.inline[:min(n, inlineMax)]
	entryAt := func(i int) uint32 { return r.head.inline[i] }
	if n > inlineMax {
		table, ok := r.box.open(make([]byte, 0, 4*n), r.front[offRest:rest], roleTable, 0)
		if !ok {
			return fmt.Errorf("%w: table does not open", ErrDamaged)
		}
		r.chunks = make([]place, n)
		entryAt = func(i int) uint32 { return binary.BigEndian.Uint32(table[4*i:]) }
	}
	off := rest
	for i := range r.chunks {
		method, stored := splitEntry(entryAt(i))
		_, plain := r.head.span(i)
		switch {
		case method == methodRaw && stored == plain:
		case method != methodRaw && method <= methodAll && stored > 0 && stored < plain:
		case method > methodAll:
			return fmt.Errorf("%w: compression method %d", ErrVersion, method)
		default:
			return fmt.Errorf("%w: length of chunk %d", ErrDamaged, i)
		}
		r.chunks[i] = place{off, stored, method}
		off += stored + tagSize
	}
	for i := n; n <= inlineMax && i < inlineMax; i++ {
		if r.head.inline[i] != 0 {
			return fmt.Errorf("%w: entry for a chunk that is not", ErrDamaged)
		}
	}
	switch total := off + int(r.head.pad); {
	case r.size < total:
		return fmt.Errorf("%w: %d of %d bytes", ErrTruncated, r.size, total)
	case r.size > total:
		return fmt.Errorf("%w: %d of %d bytes", ErrExtended, r.size, total)
	}
	return nil
}

// Close gives the reader's buffers back; reading fails with ErrClosed after.
func (r *Reader) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.scratch != nil {
		scratchPool.Put(r.scratch)
	}
	r.scratch, r.front, r.chunks, r.cached = nil, nil, nil, -1
}

// Size returns the message's length in bytes.
func (r *Reader) Size() int64 { return int64(r.head.raw) }

// HeaderSize returns the length of its header block in bytes.
func (r *Reader) HeaderSize() int64 { return int64(r.head.header) }

// Header returns the header block.
func (r *Reader) Header() ([]byte, error) { return r.AppendRange(nil, 0, r.HeaderSize()) }

// All returns the whole message.
func (r *Reader) All() ([]byte, error) { return r.AppendRange(nil, 0, r.Size()) }

// AppendRange appends n bytes of the message from off to dst, fewer where it
// ends before.
func (r *Reader) AppendRange(dst []byte, off, n int64) ([]byte, error) {
	start, end, err := r.clip(off, n)
	if err != nil {
		return dst, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	base := len(dst)
	dst = grow(dst, end-start+decodeSlack)
	for start < end {
		i := r.head.chunkAt(start)
		at, size := r.head.span(i)
		if at == start && at+size <= end && r.cached != i {
			if dst, err = r.openChunk(dst, i); err != nil {
				return dst[:base], err
			}
			start += size
			continue
		}
		plain, _, err := r.load(i)
		if err != nil {
			return dst[:base], err
		}
		stop := min(end, at+size)
		dst = append(dst, plain[start-at:stop-at]...)
		start = stop
	}
	return dst, nil
}

// ReadAt reads len(p) bytes of the message from off, as io.ReaderAt says.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off >= r.Size() && off > 0 || r.Size() == 0 {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	start, end, err := r.clip(off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for start < end {
		plain, at, err := r.load(r.head.chunkAt(start))
		if err != nil {
			return n, err
		}
		k := copy(p[n:], plain[start-at:])
		start, n = start+k, n+k
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteRange writes n bytes of the message from off to w, fewer where it ends
// before, holding one chunk in memory at a time.
func (r *Reader) WriteRange(w io.Writer, off, n int64) (int64, error) {
	start, end, err := r.clip(off, n)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var written int64
	for start < end {
		plain, at, err := r.load(r.head.chunkAt(start))
		if err != nil {
			return written, err
		}
		stop := min(end, at+len(plain))
		k, err := w.Write(plain[start-at : stop-at])
		written += int64(k)
		if err != nil {
			return written, err
		}
		start = stop
	}
	return written, nil
}

// clip cuts a range to the message.
func (r *Reader) clip(off, n int64) (start, end int, err error) {
	if off < 0 || n < 0 {
		return 0, 0, fmt.Errorf("seal: range %d+%d", off, n)
	}
	off = min(off, r.Size())
	return int(off), int(off + min(n, r.Size()-off)), nil
}

// load returns chunk i, opened into the cache, and where it lies in the
// message. Callers hold mu.
func (r *Reader) load(i int) (plain []byte, at int, err error) {
	s := r.room()
	at, _ = r.head.span(i)
	if r.cached == i {
		return s.plain, at, nil
	}
	r.cached = -1
	if s.plain, err = r.openChunk(s.plain[:0], i); err != nil {
		return nil, at, err
	}
	r.cached = i
	return s.plain, at, nil
}

func (r *Reader) room() *scratch {
	if r.scratch == nil {
		r.scratch = scratchPool.Get().(*scratch)
	}
	return r.scratch
}

// openChunk appends chunk i's plaintext to dst. Callers hold mu.
func (r *Reader) openChunk(dst []byte, i int) ([]byte, error) {
	if i >= len(r.chunks) {
		return dst, ErrClosed
	}
	c, s := &r.chunks[i], r.room()
	sealed, err := r.read(s, c.off, c.stored+tagSize)
	if err != nil {
		return dst, err
	}
	if c.method == methodRaw {
		out, ok := r.box.open(dst, sealed, roleChunk, i)
		if !ok {
			return dst, r.diagnose(i, sealed)
		}
		return out, nil
	}
	packed, ok := r.box.open(s.packed[:0], sealed, roleChunk, i)
	if !ok {
		return dst, r.diagnose(i, sealed)
	}
	s.packed = packed
	_, n := r.head.span(i)
	return expand(dst, packed, c.method, n)
}

// read returns n sealed bytes from off, without a copy where they are in
// memory.
func (r *Reader) read(s *scratch, off, n int) ([]byte, error) {
	if off+n <= len(r.front) {
		return r.front[off : off+n], nil
	}
	s.sealed = grow(s.sealed[:0], n)[:n]
	if err := readFull(r.src, s.sealed, int64(off)); err != nil {
		return nil, err
	}
	return s.sealed, nil
}

// diagnose says why chunk i does not open. Only here, where something is
// wrong already, is it worth trying whether another chunk was put in its
// place.
func (r *Reader) diagnose(i int, sealed []byte) error {
	for j := range r.chunks {
		if j == i || r.chunks[j].stored != r.chunks[i].stored {
			continue
		}
		if _, ok := r.box.open(nil, sealed, roleChunk, j); ok {
			return fmt.Errorf("%w: chunk %d in place of chunk %d", ErrReordered, j, i)
		}
	}
	return fmt.Errorf("%w: chunk %d does not open", ErrDamaged, i)
}

// readFull is ReadAt that tells a source which ends early.
func readFull(src io.ReaderAt, p []byte, off int64) error {
	n, err := src.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %d of %d bytes at %d", ErrTruncated, n, len(p), off)
	}
	return fmt.Errorf("seal: read body: %w", err)
}
