package cryptfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

var update = flag.Bool("update", false, "rewrite golden files")

// ring is a Keys for tests.
type ring struct {
	current uint32
	dropped map[uint32]bool
}

var errDropped = errors.New("no such epoch")

func testKey(epoch uint32) *[32]byte {
	k := sha256.Sum256(binary.BigEndian.AppendUint32([]byte("test file key"), epoch))
	return &k
}
func (r *ring) FileKey() (uint32, *[32]byte) { return r.current, testKey(r.current) }
func (r *ring) FileKeyAt(e uint32) (*[32]byte, error) {
	if r.dropped[e] || e == 0 || e > r.current {
		return nil, errDropped
	}
	return testKey(e), nil
}

const cat = vfs.WriteCategoryUnspecified

func sealedOnly(t *testing.T) {
	if !Sealed {
		t.Skip("this build does not seal")
	}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func noErr(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func writeFile(t testing.TB, fs vfs.FS, name string, parts ...[]byte) {
	t.Helper()
	f := must[vfs.File](t)(fs.Create(name, cat))
	for _, p := range parts {
		keep := bytes.Clone(p)
		n, err := f.Write(p)
		if err != nil || n != len(p) {
			t.Fatalf("Write: %d, %v", n, err)
		}
		if _, ours := fs.(*fileSystem); !ours {
			copy(p, keep) // as vfs.File allows, the memory file spoils it under -race
		} else if !bytes.Equal(keep, p) {
			t.Fatal("Write changed the caller's slice")
		}
	}
	noErr(t, f.Sync())
	noErr(t, f.Close())
}

func readFile(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f := must[vfs.File](t)(fs.Open(name))
	defer f.Close()
	return must[[]byte](t)(io.ReadAll(f))
}

// TestTwin compares reads at random places of randomly written files with the
// plain bytes, on the real file system and in memory.
func TestTwin(t *testing.T) {
	for _, tc := range []struct {
		name  string
		under vfs.FS
		dir   string
	}{{"mem", vfs.NewMem(), ""}, {"disk", vfs.Default, t.TempDir()}} {
		t.Run(tc.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			fs := New(tc.under, &ring{current: 3})
			for i := range 30 {
				name := filepath.Join(tc.dir, fmt.Sprint(i))
				var twin []byte
				var parts [][]byte
				for range rng.IntN(8) {
					p := make([]byte, rng.IntN([]int{3, 17, 5000, 2*bufSize + 5}[rng.IntN(4)]))
					for j := range p {
						p[j] = byte(rng.Uint32())
					}
					parts = append(parts, p)
					twin = append(twin, p...)
				}
				writeFile(t, fs, name, parts...)
				if got := readFile(t, fs, name); !bytes.Equal(got, twin) {
					t.Fatalf("file %d: read %d bytes, want %d", i, len(got), len(twin))
				}
				if size := must[vfs.FileInfo](t)(fs.Stat(name)).Size(); size != int64(len(twin)) {
					t.Fatalf("Stat says %d bytes, want %d", size, len(twin))
				}
				below := must[vfs.FileInfo](t)(tc.under.Stat(name)).Size()
				if want := int64(len(twin)); (want > 0 && below != want+HeaderSize) || (want == 0 && below != 0) {
					t.Fatalf("%d bytes are %d below", want, below)
				}
				f := must[vfs.File](t)(fs.Open(name, vfs.RandomReadsOption))
				if size := must[vfs.FileInfo](t)(f.Stat()).Size(); size != int64(len(twin)) {
					t.Fatalf("File.Stat says %d bytes, want %d", size, len(twin))
				}
				for range 50 {
					off := rng.IntN(len(twin) + 20)
					p := make([]byte, 1+rng.IntN(300))
					n, err := f.ReadAt(p, int64(off))
					want := 0
					if off < len(twin) {
						want = copy(make([]byte, len(p)), twin[off:])
					}
					if n != want || (n < len(p)) != errors.Is(err, io.EOF) {
						t.Fatalf("ReadAt(%d bytes, %d) of %d = %d, %v", len(p), off, len(twin), n, err)
					}
					if n > 0 && !bytes.Equal(p[:n], twin[off:off+n]) {
						t.Fatalf("ReadAt(%d, %d) differs", len(p), off)
					}
				}
				noErr(t, f.Close())
			}
		})
	}
}

// TestOpenForWritingReads: the handle that writes can also read what it wrote.
func TestOpenForWritingReads(t *testing.T) {
	fs := New(vfs.Default, &ring{current: 1})
	f := must[vfs.File](t)(fs.Create(filepath.Join(t.TempDir(), "f"), cat))
	defer f.Close()
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, io.EOF) {
		t.Fatalf("read of an empty file: %v", err)
	}
	for i := range 5 {
		must[int](t)(fmt.Fprintf(f, "part %d.", i))
		got := make([]byte, 7)
		must[int](t)(io.ReadFull(f, got))
		if string(got) != fmt.Sprintf("part %d.", i) {
			t.Fatalf("read %q", got)
		}
	}
	noErr(t, f.Preallocate(0, 4096))
	noErr(t, f.Preallocate(4096, 4096))
	must[bool](t)(f.SyncTo(10))
	_ = f.Prefetch(0, 10) // advice; Pebble's own returns errno 0 as an error
	if size := must[vfs.FileInfo](t)(f.Stat()).Size(); size != 35 {
		t.Fatalf("size %d", size)
	}
}

func TestRefusals(t *testing.T) {
	under := vfs.NewMem()
	fs := New(under, &ring{current: 1})
	writeFile(t, fs, "old", []byte("first content"))
	if _, err := fs.OpenReadWrite("old", cat); !errors.Is(err, ErrRewrite) {
		t.Errorf("OpenReadWrite: %v", err)
	}
	r := must[vfs.File](t)(fs.Open("old"))
	defer r.Close()
	if _, err := r.Write([]byte("x")); !errors.Is(err, ErrRewrite) {
		t.Errorf("Write to a file opened for reading: %v", err)
	}
	w := must[vfs.File](t)(fs.Create("new", cat))
	defer w.Close()
	if _, err := w.WriteAt([]byte("x"), 0); !errors.Is(err, ErrRewrite) {
		t.Errorf("WriteAt: %v", err)
	}
	if _, err := fs.ReuseForWrite("missing", "x", cat); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReuseForWrite of a missing file: %v", err)
	}
	if _, err := under.Stat("x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReuseForWrite of a missing file made one: %v", err)
	}
}

// TestReuseTakesNewKey: R18. A recycled file shares no keystream with the old
// one.
func TestReuseTakesNewKey(t *testing.T) {
	sealedOnly(t)
	under := vfs.NewMem()
	fs := New(under, &ring{current: 1})
	plain := bytes.Repeat([]byte("recycled write-ahead log "), 400)
	writeFile(t, fs, "000001.log", plain)
	old := readFile(t, under, "000001.log")
	f := must[vfs.File](t)(fs.ReuseForWrite("000001.log", "000002.log", cat))
	if size := must[vfs.FileInfo](t)(f.Stat()).Size(); size != 0 {
		t.Fatalf("reused file has %d bytes", size)
	}
	must[int](t)(f.Write(plain))
	noErr(t, f.Close())
	if _, err := under.Stat("000001.log"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("old file: %v", err)
	}
	now := readFile(t, under, "000002.log")
	if bytes.Equal(old[offID:offMAC], now[offID:offMAC]) {
		t.Fatal("same file id")
	}
	mixed := make([]byte, len(plain))
	for i := range plain {
		mixed[i] = old[HeaderSize+i] ^ now[HeaderSize+i]
	}
	if bytes.Count(mixed, []byte{0}) > len(mixed)/64 {
		t.Fatal("the keystreams agree")
	}
}

func TestHeaderStates(t *testing.T) {
	under := vfs.NewMem()
	keys := &ring{current: 2}
	fs := New(under, keys)
	writeFile(t, fs, "good", []byte("some data"))
	good := readFile(t, under, "good")
	keys.current = 3
	flip := func(i int) []byte { b := bytes.Clone(good); b[i] ^= 1; return b }
	cases := []struct {
		name string
		raw  []byte
		want error // nil: opens and is empty
	}{
		{"nothing", nil, nil},
		{"one byte", good[:1], nil},
		{"torn", good[:HeaderSize-1], nil},
		{"header only", good[:HeaderSize], nil},
		{"zeros as long as a header", make([]byte, HeaderSize), nil},
		{"zeros with data", append(make([]byte, HeaderSize), 1), ErrDamaged},
		{"magic", flip(0), ErrDamaged},
		{"version", flip(offVersion), ErrVersion},
		{"epoch", flip(offEpoch + 3), ErrDamaged},
		{"epoch unknown", flip(offEpoch), errDropped},
		{"reserved", flip(offZero), ErrDamaged},
		{"id", flip(offID), ErrDamaged},
		{"mac", flip(HeaderSize - 1), ErrDamaged},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			writeFile(t, under, "f", tc.raw)
			f, err := fs.Open("f")
			if !errors.Is(err, tc.want) {
				t.Fatalf("Open: %v, want %v", err, tc.want)
			}
			if err != nil {
				return
			}
			defer f.Close()
			if b := must[[]byte](t)(io.ReadAll(f)); len(b) != 0 {
				t.Fatalf("read %d bytes", len(b))
			}
			if size := must[vfs.FileInfo](t)(f.Stat()).Size(); size != 0 {
				t.Fatalf("size %d", size)
			}
		})
	}
	keys.dropped = map[uint32]bool{2: true}
	if _, err := fs.Open("good"); !errors.Is(err, errDropped) {
		t.Fatalf("Open with a dropped key: %v", err)
	}
}

func TestEpochsInUse(t *testing.T) {
	under := vfs.NewMem()
	keys := &ring{current: 1}
	fs := New(under, keys)
	noErr(t, fs.MkdirAll("db/sub", 0o700))
	writeFile(t, fs, "db/a", []byte("a"))
	writeFile(t, fs, "db/marker")
	keys.current = 2
	writeFile(t, fs, "db/b", []byte("b"))
	writeFile(t, fs, "db/sub/c", []byte("c"))
	got := must[map[uint32]int](t)(EpochsInUse(under, "db"))
	if len(got) != 2 || got[1] != 1 || got[2] != 2 {
		t.Fatalf("epochs in use: %v", got)
	}
	if string(readFile(t, fs, "db/a")) != "a" {
		t.Fatal("file of the older epoch does not open")
	}
}

// TestLinkRename: the key hangs on the id inside, not on the name.
func TestLinkRename(t *testing.T) {
	fs := New(vfs.NewMem(), &ring{current: 1})
	writeFile(t, fs, "a", []byte("content"))
	noErr(t, fs.Link("a", "b"))
	noErr(t, fs.Rename("a", "c"))
	writeFile(t, fs, "c2", []byte("x"))
	noErr(t, vfs.Copy(fs, "b", "d"))
	noErr(t, vfs.LimitedCopy(fs, "b", "e", 4))
	for name, want := range map[string]string{"b": "content", "c": "content", "d": "content", "e": "cont"} {
		if got := readFile(t, fs, name); string(got) != want {
			t.Errorf("%s holds %q", name, got)
		}
	}
	l := must[io.Closer](t)(fs.Lock("LOCK"))
	noErr(t, l.Close())
	d := must[vfs.File](t)(fs.OpenDir("/"))
	noErr(t, d.Sync())
	noErr(t, d.Close())
}

// TestErrorAtOperation fails the k-th operation below, for every k, and checks
// that a failed file stays failed and that nothing is encrypted twice.
func TestErrorAtOperation(t *testing.T) {
	rec := newRecorder(t)
	for k := int32(0); ; k++ {
		inj := errorfs.ErrInjected.If(errorfs.And(errorfs.Writes, errorfs.OnIndex(k)))
		fs := New(rec.wrap(errorfs.Wrap(vfs.NewMem(), inj)), &ring{current: 1})
		f, err := fs.Create("f", cat)
		if err != nil {
			continue
		}
		hurt := false
		for i := range 4 {
			_, err := f.Write(bytes.Repeat([]byte{byte(i)}, bufSize+7))
			if err != nil && !hurt && !strings.Contains(err.Error(), errorfs.ErrInjected.Error()) {
				t.Fatalf("k=%d: %v", k, err)
			}
			if hurt && !errors.Is(err, ErrFailed) {
				t.Fatalf("k=%d: a write after a failed one: %v", k, err)
			}
			hurt = hurt || err != nil
		}
		if err := f.Sync(); err != nil {
			hurt = true
		}
		noErr(t, f.Close())
		if !hurt {
			if k < 10 {
				t.Fatalf("only %d operations were tried", k)
			}
			return
		}
	}
}

// TestGolden pins the bytes of version 1.
func TestGolden(t *testing.T) {
	sealedOnly(t)
	var id [idSize]byte
	for i := range id {
		id[i] = byte(0xa0 + i)
	}
	h, c, err := makeHeader(7, testKey(7), id)
	noErr(t, err)
	plain := []byte("altmail keeps this from whoever takes the disk; 64 bytes + 1 ...")
	out := append([]byte{}, h[:]...)
	enc := make([]byte, len(plain))
	xor(c.stream(0), enc, plain)
	out = append(out, enc...)
	path := filepath.Join("testdata", "v1.bin")
	if *update {
		noErr(t, os.MkdirAll("testdata", 0o755))
		noErr(t, os.WriteFile(path, out, 0o644))
	}
	want := must[[]byte](t)(os.ReadFile(path))
	if !bytes.Equal(out, want) {
		t.Fatalf("got  %x\nwant %x", out, want)
	}
	under := vfs.NewMem()
	writeFile(t, under, "f", want)
	if got := readFile(t, New(under, &ring{current: 7}), "f"); !bytes.Equal(got, plain) {
		t.Fatalf("opened as %q", got)
	}
}

// FuzzHeader: no header makes the reader panic, and only one with a right MAC
// opens.
func FuzzHeader(f *testing.F) {
	var id [idSize]byte
	h, _, err := makeHeader(1, testKey(1), id)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(h[:])
	f.Add(h[:20])
	f.Add(append(h[:], 1, 2, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		under := vfs.NewMem()
		writeFile(t, under, "f", bytes.Clone(b))
		file, err := New(under, &ring{current: 1}).Open("f")
		if err != nil {
			return
		}
		defer file.Close()
		got, err := io.ReadAll(file)
		noErr(t, err)
		if want := max(0, len(b)-HeaderSize); len(got) != want {
			t.Fatalf("%d bytes read as %d", len(b), len(got))
		}
	})
}

type sink struct{ vfs.File }

func (sink) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{4 << 10, 32 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := &file{File: sink{must[vfs.File](b)(vfs.NewMem().Create("f", cat))}, keys: &ring{current: 1}, writable: true}
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Write(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadAt(b *testing.B) {
	for _, size := range []int{4 << 10, 32 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			fs := New(vfs.NewMem(), &ring{current: 1})
			writeFile(b, fs, "f", make([]byte, 1<<20))
			f := must[vfs.File](b)(fs.Open("f"))
			defer f.Close()
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.ReadAt(p, 12345); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	fs := New(vfs.NewMem(), &ring{current: 1})
	writeFile(b, fs, "f", make([]byte, 1<<10))
	for b.Loop() {
		f, err := fs.Open("f")
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
