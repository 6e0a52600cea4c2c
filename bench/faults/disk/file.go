//go:build linux

package disk

import (
	"encoding/binary"
	"errors"
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

var native = binary.NativeEndian

// file returns a descriptor to read and write. Callers hold o.mu.
func (o *object) file() (int, error) {
	if o.rw < 0 {
		if o.mode != unix.S_IFREG {
			return -1, syscall.EINVAL
		}
		fd, err := unix.Open(o.proc(), unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, err
		}
		o.rw = fd
	}
	return o.rw, nil
}

// open counts a handle.
func (v *volume) open(o *object) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := o.file(); err != nil {
		return err
	}
	o.opens++
	return nil
}

func (v *volume) release(id uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	o := v.objects[id]
	if o == nil || o.opens == 0 {
		return
	}
	o.opens--
	if o.opens == 0 {
		o.mu.Lock()
		if o.rw >= 0 {
			v.must(unix.Close(o.rw))
			o.rw = -1
		}
		o.mu.Unlock()
	}
	v.collect(o)
}

func (v *volume) read(o *object, buf []byte, off int64) (int, error) {
	o.mu.Lock()
	fd, err := o.file()
	o.mu.Unlock()
	if err != nil {
		return 0, err
	}
	// An open handle keeps the descriptor.
	n, err := readFull(fd, buf, off)
	if err == nil {
		v.stat.reads.Add(1)
		v.stat.readBytes.Add(uint64(n))
	}
	return n, err
}

func readFull(fd int, buf []byte, off int64) (int, error) {
	n := 0
	for n < len(buf) {
		m, err := unix.Pread(fd, buf[n:], off+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		if m == 0 {
			break
		}
		n += m
	}
	return n, nil
}

func writeFull(fd int, buf []byte, off int64) error {
	for len(buf) > 0 {
		m, err := unix.Pwrite(fd, buf, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if m == 0 {
			return io.ErrShortWrite
		}
		buf, off = buf[m:], off+int64(m)
	}
	return nil
}

// save keeps what a range holds before it changes. Callers hold o.mu.
func (v *volume) save(o *object, fd int, from, to int64) error {
	bs := int64(v.o.Block)
	l := o.u.top(o.size)
	var w weight
	defer func() {
		v.stat.blocks.Add(w.blocks)
		v.stat.undo.Add(w.bytes)
	}()
	for b := from / bs; b*bs < to; b++ {
		if _, ok := l.old[b]; ok {
			continue
		}
		// Beyond the layer's own start nothing of this layer is worth keeping.
		var old []byte
		if n := min(bs, o.size-b*bs, l.size-b*bs); n > 0 {
			old = make([]byte, n)
			if _, err := readFull(fd, old, b*bs); err != nil {
				return err
			}
		}
		l.old[b] = old
		w = w.plus(weight{1, int64(len(old))})
	}
	return nil
}

// room takes bytes of growth out of the capacity, or refuses.
func (v *volume) room(o *object, to int64) error {
	grow := max(0, to-o.size)
	if limit := v.capacity.Load(); limit > 0 && grow > 0 && v.used.Load()+grow > limit {
		return syscall.ENOSPC
	}
	return nil
}

// resize notes a new size. Callers hold o.mu.
func (v *volume) resize(o *object, to int64) {
	if !o.gone {
		v.used.Add(to - o.size)
	}
	o.size = to
}

func (v *volume) write(o *object, data []byte, off int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	fd, err := o.file()
	if err != nil {
		return err
	}
	end := off + int64(len(data))
	if err := v.room(o, end); err != nil {
		return err
	}
	if err := v.save(o, fd, off, end); err != nil {
		return err
	}
	if err := writeFull(fd, data, off); err != nil {
		return err
	}
	v.resize(o, max(o.size, end))
	v.stat.writes.Add(1)
	v.stat.writtenBytes.Add(uint64(len(data)))
	v.bound(o)
	return nil
}

// bound writes a file back when too much memory is held. Callers hold o.mu.
func (v *volume) bound(o *object) {
	if v.stat.undo.Load() > v.o.MaxUndo && len(o.u.layers) > 0 {
		v.stat.free(o.u.commit(o.u.next))
		v.stat.writebacks.Add(1)
	}
}

// truncate sets a file's size.
func (v *volume) truncate(o *object, size int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	fd, err := o.file()
	if err != nil {
		return err
	}
	if size == o.size {
		return nil
	}
	if err := v.room(o, size); err != nil {
		return err
	}
	if err := v.save(o, fd, size, o.size); err != nil {
		return err
	}
	if err := unix.Ftruncate(fd, size); err != nil {
		return err
	}
	l := o.u.top(o.size)
	l.low = min(l.low, size)
	v.resize(o, size)
	v.bound(o)
	return nil
}

// allocate is fallocate(2).
func (v *volume) allocate(o *object, mode uint32, off, n int64) error {
	const known = unix.FALLOC_FL_KEEP_SIZE | unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_ZERO_RANGE
	if mode&^known != 0 {
		return syscall.EOPNOTSUPP
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	fd, err := o.file()
	if err != nil {
		return err
	}
	end := off + n
	if mode&unix.FALLOC_FL_KEEP_SIZE != 0 {
		end = min(end, o.size)
	}
	if err := v.room(o, end); err != nil {
		return err
	}
	if mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) != 0 {
		err = v.save(o, fd, off, end)
	} else {
		o.u.top(o.size)
	}
	if err != nil {
		return err
	}
	if err := unix.Fallocate(fd, mode, off, n); err != nil {
		return err
	}
	v.resize(o, max(o.size, end))
	return nil
}

// fsync runs in two steps, so that what is written meanwhile stays volatile.
func (v *volume) begin(o *object) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.u.seal()
}

// end makes what begin saw durable.
func (v *volume) end(o *object, seq uint64) error {
	o.mu.Lock()
	if v.o.Sync {
		if fd, err := o.file(); err != nil || unix.Fdatasync(fd) != nil {
			o.mu.Unlock()
			return errors.Join(syscall.EIO, err)
		}
	}
	v.stat.free(o.u.commit(seq))
	o.mu.Unlock()
	if v.o.Rules == Ext4 {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.commitAll(v.nextOp)
	}
	return nil
}

// fail ends an fsync that wrote nothing.
func (v *volume) fail(o *object, seq uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v.stat.free(o.u.fail(seq))
}
