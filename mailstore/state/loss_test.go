package state

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// lossFS takes the power away before the k-th write, sync, rename or removal
// after it is armed: it keeps what would be on the disk then.
type lossFS struct {
	vfs.FS
	mu    sync.Mutex
	left  int
	clone func() *vfs.MemFS
	lost  *vfs.MemFS
}

func (l *lossFS) arm(k int, clone func() *vfs.MemFS) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left, l.clone = k, clone
}

func (l *lossFS) taken() *vfs.MemFS {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clone = nil
	return l.lost
}

func (l *lossFS) step() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clone == nil || l.lost != nil {
		return
	}
	if l.left--; l.left < 0 {
		l.lost = l.clone()
	}
}

func (l *lossFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	l.step()
	f, err := l.FS.Create(name, c)
	return &lossFile{f, l}, err
}

func (l *lossFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	l.step()
	f, err := l.FS.ReuseForWrite(from, to, c)
	return &lossFile{f, l}, err
}

func (l *lossFS) OpenDir(name string) (vfs.File, error) {
	f, err := l.FS.OpenDir(name)
	return &lossFile{f, l}, err
}

func (l *lossFS) Link(from, to string) error   { l.step(); return l.FS.Link(from, to) }
func (l *lossFS) Rename(from, to string) error { l.step(); return l.FS.Rename(from, to) }
func (l *lossFS) Remove(name string) error     { l.step(); return l.FS.Remove(name) }
func (l *lossFS) RemoveAll(name string) error  { l.step(); return l.FS.RemoveAll(name) }

type lossFile struct {
	vfs.File
	l *lossFS
}

func (f *lossFile) Write(b []byte) (int, error) { f.l.step(); return f.File.Write(b) }
func (f *lossFile) Sync() error                 { f.l.step(); return f.File.Sync() }
func (f *lossFile) SyncData() error             { f.l.step(); return f.File.SyncData() }
