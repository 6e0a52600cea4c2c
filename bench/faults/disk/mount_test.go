//go:build linux

package disk

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// mounted gives a test a mount over an empty directory.
func mounted(t *testing.T, o Options) *FS {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	f, err := Mount(ctx, filepath.Join(dir, "backing"), filepath.Join(dir, "mnt"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put writes a file through the mount, synced or not.
func put(t *testing.T, path, text string, sync bool) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	must(t, err)
	_, err = f.WriteString(text)
	must(t, err)
	if sync {
		must(t, f.Sync())
	}
	must(t, f.Close())
}

func syncDir(t *testing.T, path string) {
	t.Helper()
	d, err := os.Open(path)
	must(t, err)
	must(t, d.Sync())
	must(t, d.Close())
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "(none)"
	}
	must(t, err)
	return string(b)
}

// TestLoss walks through what must be there after a power loss, one thing
// at a time.
func TestLoss(t *testing.T) {
	f := mounted(t, Options{})
	at := func(name string) string { return filepath.Join(f.Mountpoint(), name) }

	put(t, at("kept"), "one", true)
	put(t, at("data-lost"), "one", false)
	syncDir(t, f.Mountpoint())
	put(t, at("entry-lost"), "one", true)
	must(t, os.Mkdir(at("dir-lost"), 0o700))
	put(t, at("dir-lost/file"), "one", true)
	syncDir(t, at("dir-lost"))
	put(t, at("kept"), "two", false)
	r, err := f.PowerLoss(0)
	must(t, err)
	t.Log(r, r.Files)
	for name, want := range map[string]string{"kept": "one", "data-lost": "", "entry-lost": "(none)", "dir-lost/file": "(none)"} {
		if got := text(t, at(name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}

	// A rename, an unlink and a link come undone, with what they replaced.
	put(t, at("a"), "a", true)
	put(t, at("b"), "b", true)
	put(t, at("c"), "c", true)
	syncDir(t, f.Mountpoint())
	must(t, os.Rename(at("a"), at("b")))
	must(t, os.Remove(at("c")))
	must(t, os.Link(at("b"), at("d")))
	if got := text(t, at("d")); got != "a" {
		t.Fatalf("the link shows %q", got)
	}
	_, err = f.PowerLoss(0)
	must(t, err)
	for name, want := range map[string]string{"a": "a", "b": "b", "c": "c", "d": "(none)"} {
		if got := text(t, at(name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	// Synced, they stay.
	must(t, os.Rename(at("a"), at("b")))
	must(t, os.Remove(at("c")))
	syncDir(t, f.Mountpoint())
	_, err = f.PowerLoss(0)
	must(t, err)
	for name, want := range map[string]string{"a": "(none)", "b": "a", "c": "(none)", "kept": "one"} {
		if got := text(t, at(name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	list, err := os.ReadDir(f.v.limbo)
	must(t, err)
	if len(list) != 0 {
		t.Errorf("%d things are left in limbo", len(list))
	}
}

// TestFaults switches each kind on and off again.
func TestFaults(t *testing.T) {
	f := mounted(t, Options{})
	at := func(name string) string { return filepath.Join(f.Mountpoint(), name) }
	put(t, at("x.db"), "old", true)
	syncDir(t, f.Mountpoint())
	file, err := os.OpenFile(at("x.db"), os.O_RDWR, 0)
	must(t, err)
	defer file.Close()
	is := func(what string, err error, want error) {
		t.Helper()
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	write := func() error { _, err := file.WriteAt([]byte("new"), 0); return err }

	must(t, f.Set(Fault{Path: "*.db", Ops: Write, Err: syscall.ENOSPC}))
	is("write", write(), syscall.ENOSPC)
	is("another file", os.WriteFile(at("other"), nil, 0o600), nil)
	must(t, f.Set(Fault{Path: "x.db", Ops: Read, Err: syscall.EIO}))
	f.Sync()
	_, err = file.ReadAt(make([]byte, 10), 1<<20)
	is("read past the end asks nobody", err, io.EOF)
	must(t, f.Set(Fault{Ops: Create, Err: syscall.EIO, Skip: 1, Count: 1}))
	is("skipped", os.WriteFile(at("n1"), nil, 0o600), nil)
	is("create", os.WriteFile(at("n2"), nil, 0o600), syscall.EIO)
	is("no more", os.WriteFile(at("n2"), nil, 0o600), nil)

	// An fsync that failed once has lost its blocks for good.
	must(t, f.Set(Fault{Ops: Fsync, Err: syscall.EIO, Count: 1}))
	is("write", write(), nil)
	is("fsync", file.Sync(), syscall.EIO)
	is("fsync again", file.Sync(), nil)
	must(t, file.Close())
	_, err = f.PowerLoss(0)
	must(t, err)
	if got := text(t, at("x.db")); got != "old" {
		t.Errorf("a failed fsync has kept %q", got)
	}

	// A disk that lies.
	must(t, f.Set(Fault{Ops: Fsync, Lie: true}))
	put(t, at("x.db"), "new", true)
	f.Clear()
	_, err = f.PowerLoss(0)
	must(t, err)
	if got := text(t, at("x.db")); got != "old" {
		t.Errorf("a lying fsync has kept %q", got)
	}

	// Full, and the room that statfs shows.
	f.SetCapacity(f.Stats().Used + 8192)
	var st syscall.Statfs_t
	must(t, syscall.Statfs(f.Mountpoint(), &st))
	if st.Bavail*uint64(st.Bsize) != 8192 {
		t.Errorf("statfs shows %d bytes free", st.Bavail*uint64(st.Bsize))
	}
	is("too much", os.WriteFile(at("big"), make([]byte, 10000), 0o600), syscall.ENOSPC)
	must(t, os.Remove(at("big")))
	is("just enough", os.WriteFile(at("big"), make([]byte, 8192), 0o600), nil)
	f.SetCapacity(0)

	// Slow.
	must(t, f.Set(Fault{Ops: Fsync, Delay: 200 * time.Millisecond, Jitter: 10 * time.Millisecond}))
	begin := time.Now()
	put(t, at("slow"), "x", true)
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("a slow fsync took %s", took)
	}
	if f.Stats().Faults == 0 {
		t.Error("no fault was counted")
	}
}

// TestLossOfRemovedTree: a directory that is gone for good takes with it what
// happened in it and was never synced; nothing is brought back into it.
func TestLossOfRemovedTree(t *testing.T) {
	for name, rules := range map[string]Rules{"posix": POSIX, "loose": Loose, "ext4": Ext4} {
		t.Run(name, func(t *testing.T) {
			f := mounted(t, Options{Rules: rules})
			at := func(s string) string { return filepath.Join(f.Mountpoint(), s) }
			must(t, os.MkdirAll(at("staged/3"), 0o700))
			put(t, at("staged/3/part"), "part", true)
			f.Sync()
			must(t, os.RemoveAll(at("staged")))
			syncDir(t, f.Mountpoint())
			if _, err := f.PowerLoss(0); err != nil {
				t.Fatal(err)
			}
			if list, err := os.ReadDir(f.Mountpoint()); err != nil || len(list) > 0 {
				t.Errorf("%v, %v; removed and synced", list, err)
			}
		})
	}
}
