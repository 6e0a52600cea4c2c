package body

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// hookFS lets a test run something before each fdatasync of a segment.
type hookFS struct {
	vfs.FS
	syncData func() error
}

func (h *hookFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := h.FS.OpenReadWrite(name, c, opts...)
	if err != nil {
		return nil, err
	}
	return &hookFile{f, h}, nil
}

type hookFile struct {
	vfs.File
	h *hookFS
}

func (f *hookFile) SyncData() error {
	if err := f.h.syncData(); err != nil {
		return err
	}
	return f.File.SyncData()
}

// waitFor polls until cond holds and fails the test when it does not within
// ten seconds.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(100 * time.Microsecond)
	}
}
