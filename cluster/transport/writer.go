package transport

import (
	"errors"
	"runtime"
	"sync"
)

// copyMax is the size up to which a payload is copied into the queue; larger
// ones are written from the caller's memory.
const copyMax = 16 << 10

// backlogMax is from how many bytes of answers waiting to be written on a
// server no further handler begins.
const backlogMax = 8 << 20

// frameWriter sends frames over one connection. Frames offered while another
// write is under way go out together in the next one. Whoever finds the
// connection idle may write itself, which spares a switch to the writer's
// goroutine; the goroutine takes over when more has been queued meanwhile.
type frameWriter struct {
	conn *secureConn
	wake chan struct{}

	mu      sync.Mutex
	rest    sync.Cond   // active became false, backlog fell, or err was set
	small   []byte      // frames of the next batch, whole
	spare   []byte      // the other buffer
	big     []*bigFrame // frames written from their owner's memory
	backlog int         // bytes in big and of the one being written
	batch   uint64      // batches begun
	active  bool        // someone writes, or has been woken to
	err     error       // after which nothing is sent
	stopped bool
}

// bigFrame is a queued frame whose payload is not copied.
type bigFrame struct {
	head    [headerSize]byte
	size    int
	parts   [][]byte
	begun   bool          // under the writer's mu
	written chan struct{} // closed when the parts are free again; nil if nobody waits
}

// ticket tells later whether a frame was ever given to the connection.
type ticket struct {
	batch uint64
	big   *bigFrame
}

func newFrameWriter(c *secureConn) *frameWriter {
	w := &frameWriter{conn: c, wake: make(chan struct{}, 1)}
	w.rest.L = &w.mu
	return w
}

// send queues a frame, and writes it if inline is set and nobody else is
// writing. The parts of a large payload stay in use until the ticket's frame
// is written or taken back.
func (w *frameWriter) send(h *header, parts [][]byte, inline, watch bool) (ticket, error) {
	w.mu.Lock()
	if w.err != nil {
		err := w.err
		w.mu.Unlock()
		return ticket{}, err
	}
	var t ticket
	if h.size <= copyMax {
		w.small = h.append(w.small)
		for _, p := range parts {
			w.small = append(w.small, p...)
		}
		t.batch = w.batch + 1
	} else {
		b := &bigFrame{parts: parts, size: int(h.size)}
		h.append(b.head[:0])
		if watch {
			b.written = make(chan struct{})
		}
		w.big = append(w.big, b)
		w.backlog += int(h.size)
		t.big = b
	}
	if w.active {
		w.mu.Unlock()
		return t, nil
	}
	w.active = true
	if !inline {
		w.mu.Unlock()
		w.signal()
		return t, nil
	}
	w.writeBatch() // an error is kept and found by run
	more := w.err != nil || len(w.small) > 0 || len(w.big) > 0
	w.setActive(more)
	w.mu.Unlock()
	if more {
		w.signal()
	}
	return t, nil
}

func (w *frameWriter) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// writeBatch writes all small frames and at most one big one, so that small
// ones queued meanwhile need not wait for all the big ones. It is called with
// mu held and active set, and drops mu while it writes.
func (w *frameWriter) writeBatch() {
	if w.err != nil {
		return
	}
	buf := w.small
	w.small, w.spare = w.spare[:0], nil
	w.batch++
	var b *bigFrame
	var parts [][]byte
	if len(w.big) > 0 {
		b = w.big[0]
		b.begun = true
		w.big[0] = nil
		w.big = w.big[1:]
		buf = append(buf, b.head[:]...)
		parts = b.parts
	}
	w.mu.Unlock()
	var err error
	if len(buf) > 0 {
		err = w.conn.writeParts(buf, parts)
	}
	if b != nil && b.written != nil {
		close(b.written)
	}
	w.mu.Lock()
	if cap(buf) <= 256<<10 {
		w.spare = buf[:0]
	}
	if b != nil {
		w.backlog -= b.size
		w.rest.Broadcast()
	}
	if err != nil && w.err == nil {
		w.err = err
		w.rest.Broadcast()
	}
}

// setActive is called with mu held.
func (w *frameWriter) setActive(on bool) {
	w.active = on
	if !on {
		w.rest.Broadcast()
	}
}

// yield waits while more than a few large frames wait to be written.
func (w *frameWriter) yield() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.backlog > backlogMax && w.err == nil {
		w.rest.Wait()
	}
}

// flush waits until all that was queued is written or never will be.
func (w *frameWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.active && w.err == nil {
		w.rest.Wait()
	}
}

// run writes what was queued until stop or an error, which it returns.
func (w *frameWriter) run() error {
	for range w.wake {
		// Let those who are about to queue something do so: one larger write
		// instead of several small ones.
		runtime.Gosched()
		w.mu.Lock()
		for w.err == nil && (len(w.small) > 0 || len(w.big) > 0) {
			w.writeBatch()
		}
		err := w.err
		w.setActive(err != nil)
		w.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

var errWriterStopped = errors.New("connection closed")

// stop ends run. What is still queued is not sent.
func (w *frameWriter) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = errWriterStopped
		w.rest.Broadcast()
	}
	if !w.stopped {
		w.stopped = true
		w.signal()
	}
}

// sent reports whether any byte of the frame may have left. It is final once
// the writer has stopped.
func (w *frameWriter) sent(t ticket) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.big != nil {
		return t.big.begun
	}
	return t.batch <= w.batch
}

// takeBack removes a queued big frame and reports whether it is certain that
// it was not sent.
func (w *frameWriter) takeBack(t ticket) bool {
	if t.big == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, b := range w.big {
		if b == t.big {
			w.big = append(w.big[:i], w.big[i+1:]...)
			w.backlog -= b.size
			return true
		}
	}
	return false
}
