package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Dir is a repository in a directory. A file is written under another name,
// synced, renamed, and its folder synced.
type Dir struct {
	fs   vfs.FS
	path string
}

var _ Storage = (*Dir)(nil)

const (
	lockName   = "lock"
	tempFolder = "tmp"
)

// folders are made with the repository, and a writer makes them again.
var folders = []string{packFolder, indexFolder, snapshotFolder, tempFolder}

// NewDir returns the storage in a directory of fs. Nothing is made before
// Lock.
func NewDir(fs vfs.FS, path string) *Dir { return &Dir{fs: fs, path: path} }

func (d *Dir) String() string { return d.path }

func (d *Dir) join(name string) string {
	return d.fs.PathJoin(append([]string{d.path}, strings.Split(name, "/")...)...)
}

// List implements Storage.
func (d *Dir) List(ctx context.Context, folder string) ([]File, error) {
	names, err := d.fs.List(d.join(folder))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("repo: list: %w", err)
	}
	var out []File
	for _, n := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		st, err := d.fs.Stat(d.fs.PathJoin(d.join(folder), n))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("repo: list: %w", err)
		}
		if !st.IsDir() {
			out = append(out, File{Name: n, Size: st.Size()})
		}
	}
	return out, nil
}

// Read implements Storage.
func (d *Dir) Read(ctx context.Context, name string, off, n int64) (_ []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := d.fs.Open(d.join(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrMissing, name)
	}
	if err != nil {
		return nil, fmt.Errorf("repo: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("repo: %w", err)
	}
	if n < 0 {
		n = st.Size() - off
	}
	if off < 0 || n < 0 || off+n > st.Size() {
		return nil, fmt.Errorf("%w: %s ends too early", ErrDamaged, name)
	}
	b := make([]byte, n)
	if m, err := f.ReadAt(b, off); m < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = ErrDamaged
		}
		return nil, fmt.Errorf("repo: read %s: %w", name, err)
	}
	return b, nil
}

// Write implements Storage.
func (d *Dir) Write(ctx context.Context, name string, parts ...[]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	folder, base, ok := strings.Cut(name, "/")
	if !ok {
		folder, base = "", name
	}
	temp := d.join(tempFolder + "/" + base)
	f, err := d.fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("repo: write: %w", err)
	}
	for _, p := range parts {
		if _, err = f.Write(p); err != nil {
			break
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.fs.Rename(temp, d.join(name))
	}
	if err == nil {
		err = d.syncDir(d.join(folder))
	}
	if err != nil {
		// What is left under the other name goes at the next Lock.
		return fmt.Errorf("repo: write %s: %w", name, err)
	}
	return nil
}

func (d *Dir) syncDir(path string) error {
	f, err := d.fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Remove implements Storage.
func (d *Dir) Remove(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := d.fs.Remove(d.join(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("repo: remove: %w", err)
	}
	folder, _, ok := strings.Cut(name, "/")
	if !ok {
		folder = ""
	}
	if err := d.syncDir(d.join(folder)); err != nil {
		return fmt.Errorf("repo: remove: %w", err)
	}
	return nil
}

// Lock implements Storage. The lock is the kernel's, so it ends with its
// holder. Who has it makes the folders and removes what a dead writer left
// half written.
func (d *Dir) Lock(ctx context.Context) (release func() error, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := d.fs.MkdirAll(d.path, 0o700); err != nil {
		return nil, fmt.Errorf("repo: %w", err)
	}
	l, err := d.fs.Lock(d.join(lockName))
	if err != nil {
		return nil, fmt.Errorf("%w (%s): %w", ErrLocked, d.path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	for _, f := range folders {
		if err := d.fs.MkdirAll(d.join(f), 0o700); err != nil {
			return nil, fmt.Errorf("repo: %w", err)
		}
	}
	if err := d.syncDir(d.path); err != nil {
		return nil, fmt.Errorf("repo: %w", err)
	}
	left, err := d.fs.List(d.join(tempFolder))
	if err != nil {
		return nil, fmt.Errorf("repo: %w", err)
	}
	for _, n := range left {
		if err := d.fs.Remove(d.join(tempFolder + "/" + n)); err != nil {
			return nil, fmt.Errorf("repo: %w", err)
		}
	}
	return l.Close, nil
}
