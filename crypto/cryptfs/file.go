package cryptfs

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// bufSize is the most that is encrypted for one write below.
const bufSize = 256 << 10

var buffers = sync.Pool{New: func() any { return new([bufSize]byte) }}

// file is an open file. As vfs.File asks, Write and Sync are called by one
// goroutine at a time, while ReadAt may be called by many.
type file struct {
	vfs.File
	keys     Keys
	writable bool
	cipher   atomic.Pointer[fileCipher] // nil while the file holds no data
	stream   cipher.Stream              // of the next byte to write
	failed   error                      // the write that failed, for good
	rpos     int64                      // of Read
}

var _ vfs.File = (*file)(nil)

// begin writes and syncs the header. Because no data is written before that,
// a file with data and a bad header is damaged, never the trace of a crash.
func (f *file) begin() error {
	h, c, err := newHeader(f.keys)
	if err != nil {
		return err
	}
	if n, err := f.File.Write(h[:]); err != nil {
		return fmt.Errorf("cryptfs: write header: %w", err)
	} else if n != len(h) {
		return fmt.Errorf("cryptfs: write header: %w", io.ErrShortWrite)
	}
	if err := f.File.SyncData(); err != nil {
		return fmt.Errorf("cryptfs: sync header: %w", err)
	}
	f.stream = c.stream(0)
	f.cipher.Store(c)
	return nil
}

// Write appends p, encrypted, and leaves p as it is. After an error nothing
// more can be written: the keystream and the file might no longer be in step.
func (f *file) Write(p []byte) (int, error) {
	if !f.writable {
		return 0, fmt.Errorf("write to a file opened for reading: %w", ErrRewrite)
	}
	if f.failed != nil {
		return 0, fmt.Errorf("%w: %w", ErrFailed, f.failed)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if f.stream == nil {
		if err := f.begin(); err != nil {
			f.failed = err
			return 0, err
		}
	}
	buf := buffers.Get().(*[bufSize]byte)
	defer buffers.Put(buf)
	done := 0
	for done < len(p) {
		part := p[done:min(len(p), done+bufSize)]
		xor(f.stream, buf[:len(part)], part)
		n, err := f.File.Write(buf[:len(part)])
		done += n
		if err == nil && n != len(part) {
			err = io.ErrShortWrite
		}
		if err != nil {
			f.failed = err
			return done, err
		}
	}
	return done, nil
}

// WriteAt is refused: it could write an offset a second time.
func (f *file) WriteAt([]byte, int64) (int, error) {
	return 0, fmt.Errorf("write at an offset: %w", ErrRewrite)
}

// ReadAt reads and decrypts.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("cryptfs: negative offset")
	}
	c := f.cipher.Load()
	if c == nil {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n, err := f.File.ReadAt(p, off+HeaderSize)
	if n > 0 {
		xor(c.stream(off), p[:n], p[:n])
	}
	return n, err
}

// Read reads on from where the last Read ended, independent of Write.
func (f *file) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.rpos)
	f.rpos += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil // the next call says so
	}
	return n, err
}

// Stat returns the file's information with the size its reader sees.
func (f *file) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	if err != nil {
		return nil, err
	}
	return shrink(info), nil
}

// Preallocate does nothing, as it may. Pebble would set 110 % of a memtable
// aside for each of its logs, five of them on a node that begins, and syncs
// them too rarely to gain by it.
func (f *file) Preallocate(int64, int64) error { return nil }

// SyncTo starts to write out a prefix of the plaintext.
func (f *file) SyncTo(length int64) (fullSync bool, err error) {
	return f.File.SyncTo(length + HeaderSize)
}

// Prefetch reads a range ahead.
func (f *file) Prefetch(offset, length int64) error {
	return f.File.Prefetch(offset+HeaderSize, length)
}
