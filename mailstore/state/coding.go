package state

import (
	"encoding/binary"
	"errors"
	"fmt"

	"altmail.se/altmail/mailstore"
)

// ErrCorrupt: a row cannot be what a machine wrote.
var ErrCorrupt = errors.New("state: damaged row")

func corrupt(what string) error { return fmt.Errorf("%w: %s", ErrCorrupt, what) }

// rowVersion begins every row that has more than one field. Rows of another
// version are written only above the feature level that introduces it.
const rowVersion = 1

// dec reads the fields of a row. The first failure sticks.
type dec struct {
	b   []byte
	bad bool
}

func decode(b []byte) dec {
	d := dec{b: b}
	if d.byte() != rowVersion {
		d.bad = true
	}
	return d
}

func (d *dec) fail() { d.bad, d.b = true, nil }

func (d *dec) byte() byte {
	if len(d.b) < 1 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

// uint reads a varint in its only, shortest form: equal rows must be equal
// bytes, or digests would differ.
func (d *dec) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || (n > 1 && d.b[n-1] == 0) {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *dec) uint32() uint32 {
	v := d.uint()
	if v > 1<<32-1 {
		d.fail()
		return 0
	}
	return uint32(v)
}

func (d *dec) int() int64 {
	u := d.uint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *dec) bool() bool {
	c := d.byte()
	if c > 1 {
		d.fail()
	}
	return c == 1
}

func (d *dec) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// bytes reads a length and that many bytes, which alias the row.
func (d *dec) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	return d.take(int(n))
}

func (d *dec) hash() (h mailstore.Hash) {
	copy(h[:], d.take(len(h)))
	return h
}

func (d *dec) content() (c mailstore.ContentID) {
	copy(c[:], d.take(len(c)))
	return c
}

func (d *dec) done(what string) error {
	if d.bad || len(d.b) != 0 {
		return corrupt(what)
	}
	return nil
}

func putUint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

func putInt(b []byte, v int64) []byte { return binary.AppendUvarint(b, uint64(v)<<1^uint64(v>>63)) }

func putBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func putBytes(b, v []byte) []byte { return append(putUint(b, uint64(len(v))), v...) }
