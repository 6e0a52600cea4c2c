package keyring

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// fileSystem is what the ring needs of a disk; tests put a failing one here.
type fileSystem interface {
	// Read returns a file's bytes, at most limit+1 of them.
	Read(path string, limit int64) ([]byte, error)
	Exists(path string) (bool, error)
	// WriteSync makes or replaces a file of mode 0600 and syncs it.
	WriteSync(path string, data []byte) error
	// Replace renames from to to, syncs the directory dir and then
	// overwrites what to was before.
	Replace(from, to, dir string) error
	Remove(path string) error
}

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

func (diskFS) WriteSync(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (d diskFS) Replace(from, to, dir string) error {
	old, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if old != nil {
		defer old.Close() // written through and synced below
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if err := d.SyncDir(dir); err != nil {
		return err
	}
	if old == nil {
		return nil
	}
	return overwrite(old)
}

// overwrite fills an unlinked file with noise, so that keys dropped since are
// not left in freed blocks. A file system that copies on write, and flash,
// keep them all the same; what protects them then is the unlock key.
func overwrite(f *os.File) error {
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

func (diskFS) Remove(path string) error { return os.Remove(path) }

// SyncDir makes the names in a directory durable.
func (diskFS) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
