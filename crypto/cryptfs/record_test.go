package cryptfs

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// recorder remembers, over any number of file systems and crashes, which
// bytes were ever written at which offset under which file id.
type recorder struct {
	t    testing.TB
	mu   sync.Mutex
	seen map[string][]byte // file id -> everything after the header
	runs int
}

func newRecorder(t testing.TB) *recorder { return &recorder{t: t, seen: map[string][]byte{}} }

func (r *recorder) wrap(fs vfs.FS) vfs.FS { return &recordingFS{FS: fs, r: r} }

// written checks bytes written at offset off of the file whose content so
// far, from its very start, is head.
func (r *recorder) written(head []byte, off int64, p []byte) {
	if len(head) < HeaderSize {
		return
	}
	id := string(head[offID:offMAC])
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.seen[id]
	at := off - HeaderSize
	if at < 0 { // the header itself
		return
	}
	for i, b := range p {
		pos := int(at) + i
		if pos < len(old) {
			if old[pos] != b {
				r.t.Errorf("offset %d of file id %x was encrypted twice with different bytes", pos, id[:4])
				return
			}
			continue
		}
		if pos != len(old) {
			r.t.Errorf("hole before offset %d of file id %x", pos, id[:4])
			return
		}
		old = append(old, b)
	}
	r.seen[id] = old
	r.runs++
}

// noise checks that nothing recorded holds the needle and that all bytes
// together look random.
func (r *recorder) noise(needle []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []byte
	for _, b := range r.seen {
		if bytes.Contains(b, needle) {
			return fmt.Errorf("plaintext found below")
		}
		all = append(all, b...)
	}
	return looksRandom(all)
}

// looksRandom does a chi-squared test of the byte histogram: 255 degrees of
// freedom, so beyond 400 is out of the question for noise.
func looksRandom(b []byte) error {
	if len(b) < 1<<14 {
		return fmt.Errorf("only %d bytes to judge", len(b))
	}
	var count [256]float64
	for _, c := range b {
		count[c]++
	}
	want := float64(len(b)) / 256
	chi := 0.0
	for _, c := range count {
		chi += (c - want) * (c - want) / want
	}
	if chi > 400 {
		return fmt.Errorf("chi-squared %.0f over %d bytes: not noise", chi, len(b))
	}
	return nil
}

type recordingFS struct {
	vfs.FS
	r *recorder
}

func (fs *recordingFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return &recordingFile{File: f, r: fs.r}, nil
}

func (fs *recordingFS) ReuseForWrite(string, string, vfs.DiskWriteCategory) (vfs.File, error) {
	fs.r.t.Error("a file was reused below")
	return nil, ErrRewrite
}

func (fs *recordingFS) OpenReadWrite(string, vfs.DiskWriteCategory, ...vfs.OpenOption) (vfs.File, error) {
	fs.r.t.Error("a file was opened for rewriting below")
	return nil, ErrRewrite
}

type recordingFile struct {
	vfs.File
	r    *recorder
	head []byte
	pos  int64
}

func (f *recordingFile) Write(p []byte) (int, error) {
	keep := bytes.Clone(p)
	n, err := f.File.Write(p)
	if len(f.head) < HeaderSize {
		f.head = append(f.head, keep[:min(n, HeaderSize-len(f.head))]...)
	}
	f.r.written(f.head, f.pos, keep[:n])
	f.pos += int64(n)
	return n, err
}

func (f *recordingFile) WriteAt([]byte, int64) (int, error) {
	f.r.t.Error("WriteAt below")
	return 0, ErrRewrite
}
