package keyring

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// fileSystem is what the ring needs of a disk; tests put a failing one here.
type fileSystem interface {
	// Read returns a file's bytes, at most limit+1 of them.
	Read(path string, limit int64) ([]byte, error)
	Exists(path string) (bool, error)
	// Create makes or empties a file of mode 0600.
	Create(path string) (file, error)
	// Hold opens what a path names now, to overwrite it when the path names
	// something else; nil where there is nothing.
	Hold(path string) (held, error)
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(path string) error
}

type file interface {
	io.WriteCloser
	Sync() error
}

// held is a file that has lost its name.
type held interface {
	Overwrite() error
	io.Closer
}

// replaceFile puts data in place of a file: after a crash at any moment the
// path names the old or the new bytes, whole; when it returns nil, the new.
func replaceFile(fs fileSystem, path string, data []byte) error {
	tmp := tmpName(path)
	f, err := fs.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return unname(fs, path, func() error { return fs.Rename(tmp, path) })
}

// dropLeftover removes what a crash left of a replacement: it holds keys.
func dropLeftover(fs fileSystem, path string) error {
	tmp := tmpName(path)
	if exists, err := fs.Exists(tmp); err != nil || !exists {
		return err
	}
	return unname(fs, tmp, func() error { return fs.Remove(tmp) })
}

// unname runs f, which takes the path from the file it names, makes that
// durable, and then overwrites the file.
func unname(fs fileSystem, path string, f func() error) error {
	old, err := fs.Hold(path)
	if err != nil {
		return err
	}
	if err = f(); err == nil {
		err = fs.SyncDir(filepath.Dir(path))
	}
	if old == nil {
		return err
	}
	if err == nil {
		err = old.Overwrite()
	}
	return errors.Join(err, old.Close())
}

func tmpName(path string) string { return path + ".new" }

// diskFS is the real one.
type diskFS struct{}

func (diskFS) Read(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	return b, errors.Join(err, f.Close())
}

func (diskFS) Exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (diskFS) Create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (diskFS) Hold(path string) (held, error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return heldFile{f}, nil
}

func (diskFS) Rename(from, to string) error { return os.Rename(from, to) }

func (diskFS) Remove(path string) error { return os.Remove(path) }

func (diskFS) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

type heldFile struct{ *os.File }

// Overwrite fills the file with noise, so that keys dropped since are not
// left in freed blocks. A file system that copies on write, and flash, keep
// them all the same; what protects them then is the unlock key.
func (f heldFile) Overwrite() error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink != 0 {
		return nil // someone made a hard link: that is a backup, not ours
	}
	noise := make([]byte, info.Size())
	if _, err := rand.Read(noise); err != nil {
		return err
	}
	if _, err := f.WriteAt(noise, 0); err != nil {
		return fmt.Errorf("overwrite former keyring: %w", err)
	}
	return f.Sync()
}
