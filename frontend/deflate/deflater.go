package deflate

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/flate"
)

// Chosen by measurement (DESIGN.md).
const (
	level = 1
	// history is how much of what was sent is remembered between two uses of
	// a compressor, for the next to refer to.
	history = 4 << 10
	// hopeless is how large a piece must be for another look at it when it did
	// not get smaller.
	hopeless = 1 << 10
)

// compressor is what is large. It is only held while there is much to send.
type compressor struct {
	w *flate.Writer
	// codes looks for no matches, only for short codes: base64 has none of
	// the former.
	codes *flate.Writer
	out   []byte
}

func (c *compressor) Write(p []byte) (int, error) {
	c.out = append(c.out, p...)
	return len(p), nil
}

// maxKept is how large a buffer for output may be to be used again.
const maxKept = 256 << 10

var compressors = sync.Pool{New: func() any {
	c := new(compressor)
	var errs [2]error
	c.w, errs[0] = flate.NewWriter(c, level)
	c.codes, errs[1] = flate.NewWriter(c, flate.HuffmanOnly)
	if err := errors.Join(errs[:]...); err != nil {
		panic(err) // the levels are constants
	}
	return c
}}

// Deflater compresses a stream in pieces that each can be decoded when they
// arrive. It begins with a zero value. It is for one goroutine at a time.
type Deflater struct {
	c    *compressor
	tail []byte // what was sent last, at most history octets
}

// Deflate returns p compressed, ended by a sync flush. The result is good
// until the next call of any method.
func (d *Deflater) Deflate(p []byte) ([]byte, error) {
	if len(p) == 0 {
		return nil, nil
	}
	if d.c == nil {
		d.c = compressors.Get().(*compressor)
		d.c.w.ResetDict(d.c, d.tail)
	}
	if err := d.c.piece(d.c.w, p); err != nil {
		return nil, err
	}
	if n := len(p); n >= hopeless && len(d.c.out) > n-n/16 {
		// Pieces end at octets, so that another compressor may go on.
		d.c.codes.Reset(d.c)
		if err := d.c.piece(d.c.codes, p); err != nil {
			return nil, err
		}
	}
	d.remember(p)
	return d.c.out, nil
}

// piece compresses p into out.
func (c *compressor) piece(w *flate.Writer, p []byte) error {
	c.out = c.out[:0]
	if _, err := w.Write(p); err != nil {
		return fmt.Errorf("deflate: %w", err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("deflate: %w", err)
	}
	return nil
}

func (d *Deflater) remember(p []byte) {
	if len(p) >= history {
		d.tail = append(d.tail[:0], p[len(p)-history:]...)
		return
	}
	if over := len(d.tail) + len(p) - history; over > 0 {
		d.tail = d.tail[:copy(d.tail, d.tail[over:])]
	}
	d.tail = append(d.tail, p...)
}

// Rest gives the compressor to others. The stream can go on at any time.
func (d *Deflater) Rest() {
	c := d.c
	if c == nil {
		return
	}
	d.c = nil
	c.w.ResetDict(c, nil) // it must not keep the tail
	if cap(c.out) > maxKept {
		c.out = nil
	}
	compressors.Put(c)
}
