package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// vfsDisk is a disk that can lose what was not synced, and fail at its k-th
// operation.
type vfsDisk struct {
	fs    vfs.FS
	after func() // after each operation
	left  int    // operations until one fails; negative: none does
	log   []string
}

var errDisk = errors.New("disk error")

func (d *vfsDisk) op(name string, f func() error) error {
	d.log = append(d.log, name)
	if d.left == 0 {
		return errDisk
	}
	d.left--
	err := f()
	if d.after != nil {
		d.after()
	}
	return err
}

func (d *vfsDisk) Read(path string, limit int64) (b []byte, err error) {
	err = d.op("read", func() error {
		f, err := d.fs.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		b, err = io.ReadAll(io.LimitReader(f, limit+1))
		return err
	})
	return b, err
}

func (d *vfsDisk) Exists(path string) (ok bool, err error) {
	_, err = d.fs.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (d *vfsDisk) Create(path string) (file, error) {
	var f vfs.File
	err := d.op("create "+path, func() (err error) {
		f, err = d.fs.Create(path, vfs.WriteCategoryUnspecified)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &vfsFile{d, path, f}, nil
}

type vfsFile struct {
	d    *vfsDisk
	path string
	f    vfs.File
}

func (f *vfsFile) Write(p []byte) (n int, err error) {
	err = f.d.op("write "+f.path, func() error { n, err = f.f.Write(p); return err })
	return n, err
}
func (f *vfsFile) Sync() error  { return f.d.op("sync "+f.path, f.f.Sync) }
func (f *vfsFile) Close() error { return f.f.Close() }

type vfsHeld struct {
	d    *vfsDisk
	path string
}

func (h vfsHeld) Overwrite() error {
	return h.d.op("overwrite old "+h.path, func() error { return nil })
}
func (vfsHeld) Close() error { return nil }

func (d *vfsDisk) Hold(path string) (held, error) {
	if ok, err := d.Exists(path); !ok {
		return nil, err
	}
	return vfsHeld{d, path}, nil
}

func (d *vfsDisk) Rename(from, to string) error {
	return d.op("rename "+from+" "+to, func() error { return d.fs.Rename(from, to) })
}

func (d *vfsDisk) Remove(path string) error {
	return d.op("remove "+path, func() error { return d.fs.Remove(path) })
}

func (d *vfsDisk) SyncDir(path string) error {
	return d.op("sync dir", func() error {
		f, err := d.fs.OpenDir("")
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

func TestSyncOrder(t *testing.T) {
	d := &vfsDisk{fs: vfs.NewCrashableMem(), left: -1}
	src := keySource(fixed(1))
	r := must(create(d, "keyring", src))(t)
	if err := r.Put("a", []byte("b")); err != nil {
		t.Fatal(err)
	}
	must(d.Create("keyring.new"))(t)
	must(open(d, "keyring", src))(t)
	want := strings.TrimSpace(`
create keyring.new
write keyring.new
sync keyring.new
rename keyring.new keyring
sync dir
create keyring.new
write keyring.new
sync keyring.new
rename keyring.new keyring
sync dir
overwrite old keyring
create keyring.new
read
remove keyring.new
sync dir
overwrite old keyring.new`)
	if got := strings.Join(d.log, "\n"); got != want {
		t.Fatalf("operations:\n%s", got)
	}
}

// TestCrash cuts the power after every operation of a run of changes: the
// ring opens, and has everything whose change was answered.
func TestCrash(t *testing.T) {
	mem := vfs.NewCrashableMem()
	src := keySource(fixed(1))
	answered := -1 // -1: not even Create
	var clones int
	d := &vfsDisk{fs: mem, left: -1}
	d.after = func() {
		for _, percent := range []int{0, 50, 100} {
			clones++
			clone := mem.CrashClone(vfs.CrashCloneCfg{
				UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(1, uint64(clones)))})
			q, err := open(&vfsDisk{fs: clone, left: -1}, "keyring", src)
			if answered < 0 && errors.Is(err, ErrNoKeyring) {
				continue
			}
			if err != nil {
				t.Fatalf("after %s: %v", d.log[len(d.log)-1], err)
			}
			for n := range answered + 1 {
				if v, ok := q.Get(fmt.Sprint(n)); n > 0 && (!ok || string(v) != fmt.Sprint(n)) {
					t.Fatalf("after %s: change %d was answered and is lost", d.log[len(d.log)-1], n)
				}
			}
		}
	}
	r := must(create(d, "keyring", src))(t)
	for n := range 5 {
		answered = n
		if n == 0 {
			continue
		}
		answered = n - 1
		if err := r.Put(fmt.Sprint(n), []byte(fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
		answered = n
		d.after()
	}
	if clones < 60 {
		t.Fatalf("%d crashes", clones)
	}
}

// TestErrorAtEveryOperation: a change that fails is not seen, and a later one
// puts everything right.
func TestErrorAtEveryOperation(t *testing.T) {
	src := keySource(fixed(1))
	for k := 0; ; k++ {
		d := &vfsDisk{fs: vfs.NewCrashableMem(), left: -1}
		r := must(create(d, "keyring", src))(t)
		if err := r.Put("a", []byte("old")); err != nil {
			t.Fatal(err)
		}
		d.left = k
		err := r.Put("a", []byte("new"))
		if err == nil {
			if k < 6 {
				t.Fatalf("no error at operation %d", k)
			}
			return
		}
		wantErr(t, err, errDisk)
		if v, _ := r.Get("a"); string(v) != "old" {
			t.Fatalf("operation %d failed and the change is seen", k)
		}
		wantErr(t, r.Put("b", []byte("x")), errDisk)
		d.left = -1
		q := must(open(d, "keyring", src))(t)
		if v, _ := q.Get("a"); string(v) != "old" && string(v) != "new" {
			t.Fatalf("operation %d: %q on the disk", k, v)
		}
		if err := r.Put("b", []byte("x")); err != nil {
			t.Fatal(err)
		}
		q = must(open(d, "keyring", src))(t)
		if v, _ := q.Get("a"); string(v) != "old" {
			t.Fatalf("operation %d: memory and disk differ", k)
		}
	}
}

func TestCreateFailsCleanly(t *testing.T) {
	src := keySource(fixed(1))
	for k := range 5 {
		d := &vfsDisk{fs: vfs.NewCrashableMem(), left: k}
		_, err := create(d, "keyring", src)
		wantErr(t, err, errDisk)
	}
	d := &vfsDisk{fs: vfs.NewCrashableMem(), left: -1}
	must(create(d, "keyring", src))(t)
	d.left = 0
	_, err := open(d, "keyring", src)
	wantErr(t, err, errDisk)
}

// TestFormerFileIsOverwritten: after a change nothing of the former file is
// left in the blocks it had, unless something else names them.
func TestFormerFileIsOverwritten(t *testing.T) {
	r, path, _ := newRing(t)
	before := must(os.ReadFile(path))(t)
	old := must(os.Open(path))(t)
	defer old.Close()
	if err := r.DropLogKey(must(r.NewLogKey())(t) - 1); err != nil {
		t.Fatal(err)
	}
	after := must(io.ReadAll(old))(t)
	if len(after) != len(before) || bytes.Equal(after[:40], before[:40]) {
		t.Fatal("former keyring is still in its blocks")
	}

	before = must(os.ReadFile(path))(t)
	link := filepath.Join(filepath.Dir(path), "backup")
	if err := os.Link(path, link); err != nil {
		t.Fatal(err)
	}
	if err := r.Put("a", []byte("b")); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, must(os.ReadFile(link))(t)) {
		t.Fatal("a hard link to the keyring was overwritten")
	}
}

func TestLeftoverIsRemoved(t *testing.T) {
	_, path, src := newRing(t)
	if err := os.WriteFile(path+".new", []byte("cut sho"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(Open(path, src))(t)
	if _, err := os.Stat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("leftover: %v", err)
	}
}

func TestFileKey(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := CreateFileKey(path); err != nil {
		t.Fatal(err)
	}
	wantErr(t, CreateFileKey(path), ErrExists)
	if info := must(os.Stat(path))(t); info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %04o", info.Mode().Perm())
	}
	key := must(FileSource{path}.UnlockKey(Params{}))(t)
	ring := filepath.Join(dir, "keyring")
	must(Create(ring, FileSource{path}))(t)
	must(Open(ring, FileSource{path}))(t)

	for _, mode := range []os.FileMode{0o400, 0o640, 0o604, 0o620, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := FileSource{path}.UnlockKey(Params{})
		if mode == 0o400 {
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		wantErr(t, err, ErrKeyFileMode)
		wantErr(t, err, ErrKeySource)
	}

	// systemd's credentials show group bits.
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if got := must(CredentialSource{"key"}.UnlockKey(Params{}))(t); got != key {
		t.Fatal("another key")
	}
	must(Open(ring, CredentialSource{"key"}))(t)
	for _, name := range []string{"", ".", "..", "../key", "a/b", "absent"} {
		_, err := CredentialSource{name}.UnlockKey(Params{})
		wantErr(t, err, ErrKeySource)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	_, err := CredentialSource{"key"}.UnlockKey(Params{})
	wantErr(t, err, ErrKeySource)
	_, err = FileSource{dir}.UnlockKey(Params{})
	wantErr(t, err, ErrKeySource)
	_, err = FileSource{filepath.Join(dir, "absent")}.UnlockKey(Params{})
	wantErr(t, err, ErrKeySource)
	wantErr(t, err, os.ErrNotExist)

	if same := must(SameDevice(path, ring))(t); !same {
		t.Fatal("two files of one directory on two devices")
	}
	if _, err := SameDevice(path, filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestParseKey(t *testing.T) {
	raw := fixed(1)
	hex := "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{string(raw[:]), true}, {hex, true}, {hex + "\n", true}, {" " + strings.ToUpper(hex) + "\r\n", true},
		{hex[:62], false}, {hex + "00", false}, {hex[:63] + "g", false}, {string(raw[:31]), false}, {"", false},
		{string(slices.Concat(raw[:], raw[:1])), false}, {strings.Repeat("0", 64), false}, {strings.Repeat("\x00", 32), false},
	} {
		var key [KeySize]byte
		if ok := parseKey(&key, []byte(c.text)); ok != c.ok || ok && key != raw {
			t.Errorf("%q: %v %x", c.text, ok, key)
		}
	}
}

func TestPassphraseAsksOnce(t *testing.T) {
	var given []byte
	src := PassphraseSource{Read: func() ([]byte, error) { given = []byte("sesame"); return given, nil }}
	p := Params{Salt: [16]byte{1}, Time: 1, MemoryKiB: 64, Threads: 1}
	a := must(src.UnlockKey(p))(t)
	if string(given) != "\x00\x00\x00\x00\x00\x00" {
		t.Fatal("the passphrase was left in memory")
	}
	p.Salt[0] = 2
	if a == must(src.UnlockKey(p))(t) {
		t.Fatal("salt does not count")
	}
	want := errors.New("no terminal")
	_, err := PassphraseSource{Read: func() ([]byte, error) { return nil, want }}.UnlockKey(p)
	wantErr(t, err, want)
	wantErr(t, err, ErrKeySource)
	_, err = PassphraseSource{}.UnlockKey(p)
	wantErr(t, err, ErrKeySource)
	_, err = PassphraseSource{Read: func() ([]byte, error) { return make([]byte, maxPassphrase+1), nil }}.UnlockKey(p)
	wantErr(t, err, ErrKeySource)
}
