package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster/logstore"
	"altmail.se/altmail/mailstore"
)

// image is what the disks hold when a schedule begins: a small cluster with an
// account, that was shut down. The last node has the directory and no group.
type image struct {
	mem     []*vfs.MemFS
	logs    []*logFile
	account mailstore.AccountID
	boxes   []mailstore.MailboxID
	base    uint64 // the group's last index
}

// logFile is the content of a raft.db.
type logFile struct{ data []byte }

const (
	pageSize = 4096
	// highWater is where a meta page of bbolt has the number of pages in use:
	// behind the page header, magic, version, page size, flags, root bucket and
	// free list.
	highWater = 16 + 4*4 + 16 + 8
)

// readLog copies a log, nil if there is none. The two meta pages are read
// first: a transaction that ends meanwhile writes only pages that neither of
// them, as read, refers to.
func readLog(dir string) (l *logFile, err error) {
	f, err := os.Open(filepath.Join(dir, logstore.FileName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.Size() < 4*pageSize { // it is being made
		data, err := io.ReadAll(f)
		return &logFile{data}, err
	}
	meta := make([]byte, 2*pageSize)
	if _, err := f.ReadAt(meta, 0); err != nil {
		return nil, fmt.Errorf("meta pages: %w", err)
	}
	pages := max(binary.NativeEndian.Uint64(meta[highWater:]), binary.NativeEndian.Uint64(meta[pageSize+highWater:]))
	if pages < 4 || pages > 1<<16 {
		return nil, fmt.Errorf("%d pages in a log", pages)
	}
	data := make([]byte, pages*pageSize)
	copy(data, meta)
	if _, err := f.ReadAt(data[len(meta):], int64(len(meta))); err != nil {
		return nil, fmt.Errorf("%d pages: %w", pages, err)
	}
	return &logFile{data}, nil
}

func (l *logFile) write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, logstore.FileName), l.data, 0o600)
}
