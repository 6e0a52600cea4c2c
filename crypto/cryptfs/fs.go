package cryptfs

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// New returns a file system that keeps its files encrypted in under. It is as
// safe for concurrent use as under is.
func New(under vfs.FS, keys Keys) vfs.FS { return &fileSystem{FS: under, keys: keys} }

// fileSystem passes what concerns only names (Link, Rename, Remove, List,
// directories, Lock) to the file system below: a file's key hangs on the id
// inside it, so it may be renamed and linked freely.
type fileSystem struct {
	vfs.FS
	keys Keys
}

var _ vfs.FS = (*fileSystem)(nil)

// Create makes an empty file. Its header, and with it the choice of a key, is
// written together with its first byte, so a file that is created and never
// written (Pebble's markers and lock) stays empty below.
func (fs *fileSystem) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil {
		return nil, err
	}
	return &file{File: f, keys: fs.keys, writable: true}, nil
}

// Open opens a file for reading. A file of at most HeaderSize bytes is empty
// whatever its bytes are: the header is synced before data is written, so
// such a file is one whose creation a crash cut short.
func (fs *fileSystem) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.Open(name, opts...)
	if err != nil {
		return nil, err
	}
	wrapped, err := fs.openFile(f, name)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return wrapped, nil
}

func (fs *fileSystem) openFile(f vfs.File, name string) (vfs.File, error) {
	h, written, err := readHeader(f)
	if err != nil {
		if info, serr := f.Stat(); serr == nil && info.IsDir() {
			return f, nil
		}
		return nil, fmt.Errorf("cryptfs: read header of %s: %w", fs.PathBase(name), err)
	}
	out := &file{File: f, keys: fs.keys}
	if written {
		c, err := parseHeader(h, fs.keys)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fs.PathBase(name), err)
		}
		out.cipher.Store(c)
	}
	return out, nil
}

// readHeader reads the header and reports whether any data follows it.
func readHeader(f vfs.File) (*[HeaderSize]byte, bool, error) {
	var buf [HeaderSize + 1]byte
	n, err := io.ReadFull(io.NewSectionReader(f, 0, int64(len(buf))), buf[:])
	switch {
	case err == nil:
		return (*[HeaderSize]byte)(buf[:HeaderSize]), true, nil
	case n <= HeaderSize && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
		return nil, false, nil
	default:
		return nil, false, err
	}
}

// OpenReadWrite is refused: it allows a written offset to be written again.
// Pebble uses it only for a cache of shared storage, which we do not have.
func (fs *fileSystem) OpenReadWrite(
	name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption,
) (vfs.File, error) {
	return nil, fmt.Errorf("open %s for reading and writing: %w", fs.PathBase(name), ErrRewrite)
}

// ReuseForWrite removes the old file and creates a new one with a new key;
// the contract of vfs.FS allows it.
func (fs *fileSystem) ReuseForWrite(
	oldname, newname string, category vfs.DiskWriteCategory,
) (vfs.File, error) {
	if err := fs.FS.Remove(oldname); err != nil {
		return nil, err
	}
	return fs.Create(newname, category)
}

// Stat returns the file's information with the size its reader sees.
func (fs *fileSystem) Stat(name string) (vfs.FileInfo, error) {
	info, err := fs.FS.Stat(name)
	if err != nil {
		return nil, err
	}
	return shrink(info), nil
}

// Unwrap returns the file system below.
func (fs *fileSystem) Unwrap() vfs.FS { return fs.FS }

// Epoch returns the key epoch the named file of under was written with. ok is
// false for a directory and for a file without data. It reads only the header
// and does not verify it; a key may be destroyed once no file names its epoch.
func Epoch(under vfs.FS, name string) (epoch uint32, ok bool, err error) {
	info, err := under.Stat(name)
	if err != nil || info.IsDir() {
		return 0, false, err
	}
	f, err := under.Open(name)
	if err != nil {
		return 0, false, err
	}
	h, written, err := readHeader(f)
	if err == nil && written {
		epoch, err = parseEpoch(h)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, false, fmt.Errorf("cryptfs: read header of %s: %w", under.PathBase(name), err)
	}
	return epoch, written, nil
}

// EpochsInUse counts the files under dir, and in its subdirectories, by the
// key epoch they name. A file that disappears meanwhile is not counted; one
// created meanwhile has the newest epoch.
func EpochsInUse(under vfs.FS, dir string) (map[uint32]int, error) {
	names, err := under.List(dir)
	if err != nil {
		return nil, err
	}
	epochs := make(map[uint32]int)
	for _, name := range names {
		path := under.PathJoin(dir, name)
		info, err := under.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			below, err := EpochsInUse(under, path)
			if err != nil {
				return nil, err
			}
			for e, n := range below {
				epochs[e] += n
			}
			continue
		}
		e, ok, err := Epoch(under, path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if ok {
			epochs[e]++
		}
	}
	return epochs, nil
}

type fileInfo struct {
	vfs.FileInfo
	size int64
}

func (i fileInfo) Size() int64 { return i.size }

func shrink(info vfs.FileInfo) vfs.FileInfo {
	if info.IsDir() {
		return info
	}
	return fileInfo{FileInfo: info, size: max(0, info.Size()-HeaderSize)}
}
