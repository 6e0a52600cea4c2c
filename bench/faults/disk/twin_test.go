//go:build linux

package disk

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// twin is a naive model of one mount: every version of every file since its
// last fsync, and every state of every directory since its own.
type twin struct {
	files map[uint64]*twinFile // by inode
	dirs  []*twinDir
}

type twinFile struct {
	versions [][]byte // the first is durable
	fd       *os.File // the handle the test writes through
}

func (f *twinFile) now() []byte { return f.versions[len(f.versions)-1] }

func (f *twinFile) add(b []byte) { f.versions = append(f.versions, b) }

type twinDir struct {
	path   string
	states []map[string]uint64 // the first is durable
	// together[i], if not 0, names the rename over two directories that made
	// state i: both directories have it or neither.
	together []int
}

func (d *twinDir) now() map[string]uint64 { return d.states[len(d.states)-1] }

func (d *twinDir) add(together int, change func(map[string]uint64)) {
	m := maps.Clone(d.now())
	change(m)
	d.states, d.together = append(d.states, m), append(d.together, together)
}

// settle drops what came before the newest state.
func (d *twinDir) settle(upTo int) {
	d.states, d.together = slices.Clone(d.states[upTo:]), slices.Clone(d.together[upTo:])
	d.together[0] = 0
}

// TestTwin does random things, loses power, and compares what is there with
// what the model allows: with everything dropped, exactly the durable state;
// else in each directory some state since then, the same side of every rename
// that crosses, and in each file sectors that it had at some time since.
func TestTwin(t *testing.T) {
	f := mounted(t, Options{Block: 1024, Log: slog.New(slog.DiscardHandler)})
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		top := filepath.Join(f.Mountpoint(), fmt.Sprint(run))
		ok := func(err error) {
			if err != nil {
				rt.Fatalf("%v", err)
			}
		}
		w := &twin{files: map[uint64]*twinFile{}}
		ok(os.Mkdir(top, 0o700))
		for _, name := range []string{"x", "y"} {
			d := &twinDir{path: filepath.Join(top, name), states: []map[string]uint64{{}}, together: []int{0}}
			ok(os.Mkdir(d.path, 0o700))
			w.dirs = append(w.dirs, d)
		}
		defer func() {
			w.close()
			ok(os.RemoveAll(top))
			f.Sync()
		}()
		f.Sync()
		crossed := 0
		for range rapid.IntRange(1, 3).Draw(rt, "losses") {
			for range rapid.IntRange(1, 30).Draw(rt, "steps") {
				d := rapid.SampledFrom(w.dirs).Draw(rt, "dir")
				name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "name")
				path := filepath.Join(d.path, name)
				ino, exists := d.now()[name]
				file := w.files[ino]
				switch rapid.SampledFrom([]string{"create", "write", "write", "cut", "fsync", "fsyncdir", "rename", "unlink", "link"}).Draw(rt, "what") {
				case "create":
					if exists {
						continue
					}
					h, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
					ok(err)
					ino = inode(rt, h)
					w.files[ino] = &twinFile{versions: [][]byte{nil}, fd: h}
					d.add(0, func(m map[string]uint64) { m[name] = ino })
				case "write":
					if !exists {
						continue
					}
					off := rapid.IntRange(0, 5000).Draw(rt, "off")
					data := bytes.Repeat([]byte{byte(rapid.IntRange(1, 255).Draw(rt, "byte"))}, rapid.IntRange(1, 3000).Draw(rt, "len"))
					_, err := file.fd.WriteAt(data, int64(off))
					ok(err)
					b := make([]byte, max(len(file.now()), off+len(data)))
					copy(b, file.now())
					copy(b[off:], data)
					file.add(b)
				case "cut":
					if !exists {
						continue
					}
					size := rapid.IntRange(0, 6000).Draw(rt, "size")
					ok(file.fd.Truncate(int64(size)))
					b := make([]byte, size)
					copy(b, file.now())
					file.add(b)
				case "fsync":
					if exists {
						ok(file.fd.Sync())
						file.versions = [][]byte{file.now()}
					}
				case "fsyncdir":
					w.settle(d)
					h, err := os.Open(d.path)
					ok(err)
					ok(errors.Join(h.Sync(), h.Close()))
				case "rename":
					to := rapid.SampledFrom(w.dirs).Draw(rt, "to")
					as := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "as")
					if !exists || to.now()[as] == ino {
						continue
					}
					ok(os.Rename(path, filepath.Join(to.path, as)))
					if to == d {
						d.add(0, func(m map[string]uint64) { delete(m, name); m[as] = ino })
						continue
					}
					crossed++
					to.add(crossed, func(m map[string]uint64) { m[as] = ino })
					d.add(crossed, func(m map[string]uint64) { delete(m, name) })
				case "unlink":
					if exists {
						ok(os.Remove(path))
						d.add(0, func(m map[string]uint64) { delete(m, name) })
					}
				case "link":
					as := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "as")
					if _, taken := d.now()[as]; exists && !taken {
						ok(os.Link(path, filepath.Join(d.path, as)))
						d.add(0, func(m map[string]uint64) { m[as] = ino })
					}
				}
			}
			w.close()
			seed := uint64(rapid.IntRange(0, 6).Draw(rt, "seed"))
			r, err := f.PowerLoss(seed)
			ok(err)
			if err := w.judge(seed == 0); err != nil {
				rt.Fatalf("%v\n%v %v", err, r, r.Files)
			}
		}
	})
}

// settle makes a directory durable, and with it the other halves of renames.
func (w *twin) settle(d *twinDir) {
	last := len(d.states) - 1
	crossed := slices.Clone(d.together[1:])
	d.settle(last)
	for _, id := range crossed {
		if id == 0 {
			continue
		}
		for _, o := range w.dirs {
			if i := slices.Index(o.together, id); i > 0 {
				// Its own journal up to there, and what that drags along.
				part := slices.Clone(o.together[1:i])
				o.settle(i)
				for _, id := range part {
					w.drag(id)
				}
			}
		}
	}
}

func (w *twin) drag(id int) {
	if id == 0 {
		return
	}
	for _, o := range w.dirs {
		if i := slices.Index(o.together, id); i > 0 {
			part := slices.Clone(o.together[1:i])
			o.settle(i)
			for _, id := range part {
				w.drag(id)
			}
		}
	}
}

func (w *twin) close() {
	for _, f := range w.files {
		if f.fd != nil {
			f.fd.Close() // it can't lose anything that Sync was asked for
			f.fd = nil
		}
	}
}

// judge compares and takes what is there for the new durable state.
func (w *twin) judge(exact bool) error {
	found := make([]map[string]uint64, len(w.dirs))
	contents := map[uint64][]byte{}
	for i, d := range w.dirs {
		found[i] = map[string]uint64{}
		list, err := os.ReadDir(d.path)
		if err != nil {
			return err
		}
		for _, e := range list {
			path := filepath.Join(d.path, e.Name())
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			ino := info.Sys().(*syscall.Stat_t).Ino
			found[i][e.Name()] = ino
			if contents[ino], err = os.ReadFile(path); err != nil {
				return err
			}
		}
	}
	if !w.allowed(found, exact) {
		return fmt.Errorf("names are %v; possible were %v and %v", found, w.dirs[0].states, w.dirs[1].states)
	}
	files := map[uint64]*twinFile{}
	for ino, b := range contents {
		f := w.files[ino]
		if f == nil {
			return fmt.Errorf("inode %d came from nowhere", ino)
		}
		if err := f.allows(b, exact); err != nil {
			return fmt.Errorf("inode %d: %w", ino, err)
		}
		files[ino] = &twinFile{versions: [][]byte{b}}
	}
	w.files = files
	for i, d := range w.dirs {
		d.states, d.together = []map[string]uint64{found[i]}, []int{0}
	}
	return w.reopen()
}

func (w *twin) reopen() error {
	for _, d := range w.dirs {
		for name, ino := range d.now() {
			if f := w.files[ino]; f.fd == nil {
				h, err := os.OpenFile(filepath.Join(d.path, name), os.O_RDWR, 0)
				if err != nil {
					return err
				}
				f.fd = h
			}
		}
	}
	return nil
}

func (w *twin) allowed(found []map[string]uint64, exact bool) bool {
	a, b := w.dirs[0], w.dirs[1]
	for i := range a.states {
		for j := range b.states {
			if exact && i+j > 0 || !maps.Equal(a.states[i], found[0]) || !maps.Equal(b.states[j], found[1]) {
				continue
			}
			if sameSide(a.together[1:i+1], b.together[j+1:]) && sameSide(b.together[1:j+1], a.together[i+1:]) {
				return true
			}
		}
	}
	return false
}

// sameSide reports whether no crossing rename happened in one directory and
// not in the other.
func sameSide(done, not []int) bool {
	return !slices.ContainsFunc(done, func(id int) bool { return id != 0 && slices.Contains(not, id) })
}

// allows tells whether a file may hold b.
func (f *twinFile) allows(b []byte, exact bool) error {
	if exact {
		if !bytes.Equal(b, f.versions[0]) {
			return fmt.Errorf("%d bytes, not the %d that were durable", len(b), len(f.versions[0]))
		}
		return nil
	}
	low, high := len(f.versions[0]), len(f.versions[0])
	for _, v := range f.versions {
		low, high = min(low, len(v)), max(high, len(v))
	}
	if len(b) < low || len(b) > high {
		return fmt.Errorf("size %d, was between %d and %d", len(b), low, high)
	}
	zero := make([]byte, sector)
	for at := 0; at < len(b); at += sector {
		got := b[at:min(len(b), at+sector)]
		if bytes.Equal(got, zero[:len(got)]) && f.absent(at) {
			continue
		}
		if !slices.ContainsFunc(f.versions, func(v []byte) bool { return f.holds(v, at, got) }) {
			return fmt.Errorf("sector at %d was never like that", at)
		}
	}
	return nil
}

// absent tells whether there was a time at which nothing was at an offset, so
// that it may read as zeros now.
func (f *twinFile) absent(at int) bool {
	return slices.ContainsFunc(f.versions, func(v []byte) bool { return len(v) < at+sector })
}

// holds tells whether a version has these bytes at an offset. Where it was
// shorter then, or where any version was, the rest may read as zeros.
func (f *twinFile) holds(v []byte, at int, got []byte) bool {
	for i, c := range got {
		if at+i < len(v) && v[at+i] == c {
			continue
		}
		if c == 0 && slices.ContainsFunc(f.versions, func(v []byte) bool { return len(v) <= at+i }) {
			continue
		}
		return false
	}
	return true
}

func inode(rt *rapid.T, f *os.File) uint64 {
	info, err := f.Stat()
	if err != nil {
		rt.Fatalf("%v", err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}
