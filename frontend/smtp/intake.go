package smtp

import (
	"sync"
)

const (
	// slack is kept free in front of a message for the fields added to it.
	slack = 2 << 10
	// firstRoom is what a message without a SIZE gets to begin with.
	firstRoom = 30 << 10
	// pooled is the largest buffer kept for the next message.
	pooled = 256 << 10
)

// intake gathers one message in memory, within the budget.
type intake struct {
	max    int64
	budget *Budget
	buf    []byte // slack, then the message
	held   int64  // taken from the budget
	n      int64  // octets offered
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// newIntake takes room for size octets, if the client told how many.
func newIntake(max, size int64, b *Budget) (*intake, error) {
	if size <= 0 {
		size = firstRoom
	}
	t := &intake{max: max, budget: b}
	if err := t.grow(int(min(size, max)) + slack); err != nil {
		return nil, err
	}
	t.buf = t.buf[:slack]
	return t, nil
}

// grow exchanges the buffer for one of at least size octets.
func (t *intake) grow(size int) error {
	if !t.budget.take(int64(size)) {
		return errNoMemory
	}
	var next []byte
	if size <= pooled {
		next = *buffers.Get().(*[]byte)
	}
	if cap(next) < size {
		next = make([]byte, 0, size)
	}
	next = append(next[:0], t.buf...)
	t.recycle()
	t.buf, t.held = next, int64(size)
	return nil
}

func (t *intake) recycle() {
	t.budget.give(t.held)
	t.held = 0
	if b := t.buf; cap(b) > 0 && cap(b) <= pooled {
		buffers.Put(&b)
	}
	t.buf = nil
}

// Write adds octets. Its error is the one to answer with.
func (t *intake) Write(p []byte) (int, error) {
	t.n += int64(len(p))
	if t.n > t.max {
		t.drop()
		return 0, errTooBig
	}
	if t.buf == nil {
		return 0, errNoMemory
	}
	if need := len(t.buf) + len(p); need > int(t.held) {
		if err := t.grow(max(need, min(2*len(t.buf), int(t.max)+slack))); err != nil {
			t.drop()
			return 0, err
		}
	}
	t.buf = append(t.buf, p...)
	return len(p), nil
}

// drop gives back everything; nothing may use the message any more.
func (t *intake) drop() {
	if t.buf != nil || t.held != 0 {
		t.recycle()
	}
}

// message returns the octets taken in.
func (t *intake) message() []byte { return t.buf[slack:] }

// prepend returns the message from offset start on, with head in front of it.
// start is at most where the message begins plus what was cut off its front.
func (t *intake) prepend(start int, head []byte) []byte {
	at := slack + start - len(head)
	if at < 0 {
		return append(append(make([]byte, 0, len(head)+len(t.buf)), head...), t.buf[slack+start:]...)
	}
	copy(t.buf[at:], head)
	return t.buf[at:]
}
