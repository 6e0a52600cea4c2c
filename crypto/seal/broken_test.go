//go:build !unsealed_body

package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

var update = flag.Bool("update", false, "write the golden files")

// openAll opens every part of a body.
func openAll(key *[32]byte, sealed []byte) ([]byte, error) {
	r, err := NewReader(key, bytes.NewReader(sealed), int64(len(sealed)))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.All()
}

// forge seals a front and chunks as they are given, however wrong.
func forge(t testing.TB, key *[32]byte, h head, table []uint32, chunks [][]byte, padding int) []byte {
	t.Helper()
	b, err := newBox(key)
	if err != nil {
		t.Fatal(err)
	}
	out := append([]byte(magic), version)
	out = append(out, make([]byte, checkSize)...)
	if err := b.fill(out[offCheck:offHead], roleCheck); err != nil {
		t.Fatal(err)
	}
	out = b.seal(h.append(out), offHead, roleHead, 0)
	if table != nil {
		start := len(out)
		for _, e := range table {
			out = append(out, byte(e>>24), byte(e>>16), byte(e>>8), byte(e))
		}
		out = b.seal(out, start, roleTable, 0)
	}
	for i, c := range chunks {
		start := len(out)
		out = b.seal(append(out, c...), start, roleChunk, i)
	}
	return append(out, make([]byte, padding)...)
}

// TestSealedHides: no sixteen bytes of a message that is stored raw, nor of
// its compressed form, are in the body, and no two keys give the same bytes.
func TestSealedHides(t *testing.T) {
	rnd := rand.New(rand.NewSource(9))
	canary, plain := noise(rnd, 4096), text(rnd, 4096)
	packed, _ := compress(nil, plain)
	for _, secret := range [][]byte{canary, packed} {
		raw := canary
		if &secret[0] == &packed[0] {
			raw = plain
		}
		sealed := mustSeal(t, testKey(1), raw, 0)
		for i := 0; i+16 <= len(secret); i++ {
			if bytes.Contains(sealed, secret[i:i+16]) {
				t.Fatalf("byte %d of the message shows", i)
			}
		}
		other := mustSeal(t, testKey(2), raw, 0)
		same := 0
		for i := prefixSize; i < len(sealed); i++ {
			if sealed[i] == other[i] {
				same++
			}
		}
		if same > len(sealed)/100 { // one in 256 by chance
			t.Fatalf("%d of %d bytes do not depend on the key", same, len(sealed))
		}
	}
}

func TestWrongKey(t *testing.T) {
	sealed := mustSeal(t, testKey(1), []byte("text"), 0)
	if _, err := openAll(testKey(2), sealed); !errors.Is(err, ErrWrongKey) {
		t.Fatal(err)
	}
}

// TestEveryByteCounts: any altered byte before the padding is seen, with the
// right name for it.
func TestEveryByteCounts(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	key := testKey(1)
	raw := text(rnd, 700)
	sealed := mustSeal(t, key, raw, 300)
	r := readers(t, key, sealed)["bytes"]
	end := len(sealed) - int(r.head.pad)
	for i := range sealed {
		b := slices.Clone(sealed)
		b[i] ^= 1
		want := ErrDamaged
		switch {
		case i < len(magic):
			want = ErrNotSealed
		case i == len(magic):
			want = ErrVersion
		case i >= end:
			want = nil // only the id vouches for the padding
		}
		if _, err := openAll(key, b); !errors.Is(err, want) {
			t.Fatalf("byte %d: %v, want %v", i, err, want)
		}
		if ID(b) == ID(sealed) {
			t.Fatalf("byte %d is not in the id", i)
		}
	}
}

func TestTruncatedAndExtended(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	key := testKey(1)
	for _, raw := range [][]byte{{}, text(rnd, 500), text(rnd, 8*ChunkSize)} {
		sealed := mustSeal(t, key, raw, len(raw)/10)
		step := 1 + len(sealed)/1000
		for n := 0; n < len(sealed); n += step {
			if _, err := openAll(key, sealed[:n]); !errors.Is(err, ErrTruncated) {
				t.Fatalf("cut at %d of %d: %v", n, len(sealed), err)
			}
		}
		if _, err := openAll(key, append(slices.Clone(sealed), 0)); !errors.Is(err, ErrExtended) {
			t.Fatal(err)
		}
	}
	// A source that is shorter than it was said to be.
	sealed := mustSeal(t, key, noise(rnd, ChunkSize), 0)
	r, err := NewReader(key, bytes.NewReader(sealed[:5000]), int64(len(sealed)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.All(); !errors.Is(err, ErrTruncated) {
		t.Fatal(err)
	}
	if _, err := NewReader(key, bytes.NewReader(sealed), 1<<40); !errors.Is(err, ErrExtended) {
		t.Fatal(err)
	}
	if _, err := NewReader(key, bytes.NewReader(sealed), -1); !errors.Is(err, ErrTruncated) {
		t.Fatal(err)
	}
}

type badSource struct{ err error }

func (b badSource) ReadAt([]byte, int64) (int, error) { return 0, b.err }

func TestSourceErrorIsItself(t *testing.T) {
	want := errors.New("disk on fire")
	if _, err := NewReader(testKey(1), badSource{want}, 1000); !errors.Is(err, want) || errors.Is(err, ErrTruncated) {
		t.Fatal(err)
	}
}

// TestReorderedAndSpliced moves whole chunks, within a body and between two.
func TestReorderedAndSpliced(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	key, raw := testKey(1), noise(rnd, 3*ChunkSize)
	sealed := mustSeal(t, key, raw, 0)
	r := readers(t, key, sealed)["bytes"]
	chunk := func(b []byte, i int) []byte {
		c := r.chunks[i]
		return b[c.off : c.off+c.stored+tagSize]
	}
	swapped := slices.Clone(sealed)
	copy(chunk(swapped, 0), chunk(sealed, 1))
	copy(chunk(swapped, 1), chunk(sealed, 0))
	if _, err := openAll(key, swapped); !errors.Is(err, ErrReordered) {
		t.Fatal(err)
	}
	twice := slices.Clone(sealed)
	copy(chunk(twice, 2), chunk(sealed, 1))
	if _, err := openAll(key, twice); !errors.Is(err, ErrReordered) {
		t.Fatal(err)
	}
	other := mustSeal(t, testKey(2), raw, 0)
	spliced := slices.Clone(sealed)
	copy(chunk(spliced, 1), chunk(other, 1))
	if _, err := openAll(key, spliced); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	// The good chunks of a body stay readable.
	q := readers(t, key, spliced)["ReaderAt"]
	got, err := q.AppendRange(nil, 2*ChunkSize, 100)
	if err != nil || !bytes.Equal(got, raw[2*ChunkSize:2*ChunkSize+100]) {
		t.Fatal(err)
	}
	if _, err := q.WriteRange(io.Discard, ChunkSize, 1); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	if _, err := q.ReadAt(make([]byte, 10), ChunkSize+5); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	// The front of one body before the chunks of another.
	front := append(slices.Clone(sealed[:offRest]), other[offRest:]...)
	if _, err := openAll(key, front); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
}

// TestBomb: a chunk never yields more than the table says, even where whoever
// holds the key says otherwise.
func TestBomb(t *testing.T) {
	key := testKey(1)
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := w.EncodeAll(make([]byte, 64<<20), nil)
	for _, n := range []uint32{100000, 200000, ChunkSize} {
		h := head{raw: n}
		h.inline[0] = entry(methodZstd, len(bomb))
		b := forge(t, key, h, nil, [][]byte{bomb}, 0)
		if _, err := openAll(key, b); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d: %v", n, err)
		}
	}
	short := w.EncodeAll(make([]byte, 500), nil)
	h := head{raw: 1000}
	h.inline[0] = entry(methodZstd, len(short))
	if _, err := openAll(key, forge(t, key, h, nil, [][]byte{short}, 0)); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
}

// vectors are the golden bodies: each with the error it must give.
func vectors(t testing.TB) []struct {
	name   string
	sealed []byte
	want   error
} {
	key, raw := testKey(1), []byte("Subject: golden\r\nFrom: a@example.org\r\n\r\n"+strings.Repeat("The same line again.\r\n", 20))
	good := mustSeal(t, key, raw, 42)
	other := mustSeal(t, testKey(2), raw, 42)
	edit := func(f func(b []byte) []byte) []byte { return f(slices.Clone(good)) }
	h := head{raw: 10}
	h.inline[0] = entry(methodRaw, 10)
	odd := func(f func(h *head)) []byte {
		k := h
		f(&k)
		return forge(t, key, k, nil, [][]byte{[]byte("0123456789")}, 0)
	}
	attachment := append([]byte("A: b\r\n\r\n"), lines(noise(rand.New(rand.NewSource(11)), 1000), 19)...)
	table := append([]byte("A: b\r\n\r\n"), lines(bytes.Repeat([]byte("cells; "), 300), 19)...)
	large := bytes.Repeat([]byte("A: The same line again.\r\n"), SmallSize/20)
	return []struct {
		name   string
		sealed []byte
		want   error
	}{
		{"good", good, nil},
		{"folded", mustSeal(t, key, attachment, 8), nil},
		{"folded-packed", mustSeal(t, key, table, 8), nil},
		{"own-header", mustSeal(t, key, large, 2500), nil},
		{"empty", mustSeal(t, key, nil, 0), nil},
		{"forged-good", odd(func(*head) {}), nil},
		{"wrong-key", other, ErrWrongKey},
		{"no-magic", edit(func(b []byte) []byte { b[0] = 'x'; return b }), ErrNotSealed},
		{"bad-version", edit(func(b []byte) []byte { b[3] = 9; return b }), ErrVersion},
		{"truncated", edit(func(b []byte) []byte { return b[:len(b)-1] }), ErrTruncated},
		{"extended", edit(func(b []byte) []byte { return append(b, 0) }), ErrExtended},
		{"damaged-head", edit(func(b []byte) []byte { b[offHead] ^= 1; return b }), ErrDamaged},
		{"damaged-check", edit(func(b []byte) []byte { b[offCheck] ^= 1; return b }), ErrDamaged},
		{"damaged-chunk", edit(func(b []byte) []byte { b[offRest] ^= 1; return b }), ErrDamaged},
		{"spliced", edit(func(b []byte) []byte { copy(b[offRest:], other[offRest:]); return b }), ErrDamaged},
		{"dictionary", odd(func(h *head) { h.dict = dictNumber + 1 }), ErrVersion},
		{"flags", odd(func(h *head) { h.flags = 1 }), ErrVersion},
		{"method", odd(func(h *head) { h.inline[0] = entry(methodAll+1, 10) }), ErrVersion},
		{"not-folded", odd(func(h *head) { h.raw = 20; h.inline[0] = entry(methodFold, 10) }), ErrDamaged},
		{"fold-raw-length", odd(func(h *head) { h.inline[0] = entry(methodFold, 10) }), ErrDamaged},
		{"too-long", odd(func(h *head) { h.raw = MaxRaw + 1 }), ErrDamaged},
		{"header-beyond", odd(func(h *head) { h.header = 11 }), ErrDamaged},
		{"length", odd(func(h *head) { h.inline[0] = entry(methodRaw, 9) }), ErrDamaged},
		{"extra-entry", odd(func(h *head) { h.inline[1] = entry(methodRaw, 1) }), ErrDamaged},
		{"not-zstd", odd(func(h *head) { h.raw = 20; h.inline[0] = entry(methodZstd, 10) }), ErrDamaged},
		{"pad-beyond", odd(func(h *head) { h.pad = 1 }), ErrTruncated},
	}
}

// TestVectors opens the bodies in testdata. Compressed bytes may change with
// the compressor, so what is sealed today need not equal them; what was
// sealed must open for ever.
func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		path := filepath.Join("testdata", v.name+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(hex.Dump(v.sealed)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		kept := undump(t, path)
		for _, b := range [][]byte{v.sealed, kept} {
			got, err := openAll(testKey(1), b)
			if !errors.Is(err, v.want) {
				t.Errorf("%s: %v, want %v", v.name, err, v.want)
			}
			if v.name == "good" && (len(got) != 480 || !bytes.HasPrefix(got, []byte("Subject: golden\r\n"))) {
				t.Errorf("good opens to %q", got)
			}
		}
	}
}

func undump(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		digits, _, _ := strings.Cut(line[10:], "|")
		part, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, part...)
	}
	return b
}

// FuzzOpen forges bodies with the right key, so that the fuzzer reaches what
// lies behind the seal.
func FuzzOpen(f *testing.F) {
	h := head{raw: 10, header: 4}
	h.inline[0], h.inline[1] = entry(methodRaw, 4), entry(methodRaw, 6)
	f.Add(h.append(nil), []byte(nil), []byte("0123"), []byte("456789"), 0)
	packed, _ := compress(nil, bytes.Repeat([]byte("x"), 900))
	h = head{raw: 900}
	h.inline[0] = entry(methodZstd, len(packed))
	f.Add(h.append(nil), []byte(nil), packed, []byte(nil), 3)
	folded, _ := fold(nil, lines(make([]byte, 1000), 19))
	h = head{raw: uint32(textLen(1000, 19)), dict: dictNumber}
	h.inline[0] = entry(methodFold, len(folded))
	f.Add(h.append(nil), []byte(nil), folded, []byte(nil), 0)
	packed, _ = compress(nil, lines(make([]byte, 1000), 19))
	h.inline[0] = entry(methodAll, len(packed))
	f.Add(h.append(nil), []byte(nil), packed, []byte(nil), 0)
	h = head{raw: 7 * ChunkSize}
	f.Add(h.append(nil), make([]byte, 28), []byte("a"), []byte("b"), 0)
	f.Fuzz(func(t *testing.T, front, table, one, two []byte, padding int) {
		if len(front) < headPlain || padding < 0 || padding > 1000 {
			return
		}
		key := testKey(1)
		b, err := newBox(key)
		if err != nil {
			t.Fatal(err)
		}
		out := append([]byte(magic), version)
		out = append(out, make([]byte, checkSize)...)
		if err := b.fill(out[offCheck:offHead], roleCheck); err != nil {
			t.Fatal(err)
		}
		out = b.seal(append(out, front[:headPlain]...), offHead, roleHead, 0)
		if len(table) > 0 {
			start := len(out)
			out = b.seal(append(out, table...), start, roleTable, 0)
		}
		for i, c := range [][]byte{one, two} {
			start := len(out)
			out = b.seal(append(out, c...), start, roleChunk, i)
		}
		checkOpen(t, key, append(out, make([]byte, padding)...))
		checkOpen(t, key, front)
	})
}

// checkOpen opens anything: it gives the length it promised or an error of
// ours.
func checkOpen(t *testing.T, key *[32]byte, b []byte) {
	r, err := NewReader(key, bytes.NewReader(b), int64(len(b)))
	if err == nil {
		defer r.Close()
		var all []byte
		if all, err = r.All(); err == nil && int64(len(all)) != r.Size() {
			t.Fatalf("%d bytes, not %d", len(all), r.Size())
		}
		if r.Size() > int64(ChunkSize)*int64(len(b)+1) {
			t.Fatalf("%d bytes out of %d", r.Size(), len(b))
		}
	}
	for _, known := range []error{nil, ErrNotSealed, ErrVersion, ErrWrongKey, ErrDamaged, ErrReordered, ErrTruncated, ErrExtended} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Fatalf("error without a class: %v", err)
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("a: b\r\n\r\ntext"), 8, 1, 3, 5)
	f.Add([]byte{}, 0, 1, 0, 0)
	f.Add([]byte("0123456789abcdef"), 16, 70000, 65536, 9)
	f.Fuzz(func(t *testing.T, raw []byte, header, times, off, n int) {
		if times < 1 || times > 1<<20 || len(raw)*times > 4<<20 || off < 0 || n < 0 {
			return
		}
		raw = bytes.Repeat(raw, times)
		if header < 0 || header > len(raw) {
			return
		}
		key := testKey(1)
		sealed := mustSeal(t, key, raw, header)
		got, err := openAll(key, sealed)
		if err != nil || !bytes.Equal(got, raw) {
			t.Fatalf("%v: %d bytes of %d", err, len(got), len(raw))
		}
		r, err := NewBytesReader(key, sealed)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		part, err := r.AppendRange(nil, int64(off), int64(n))
		lo := min(off, len(raw))
		if err != nil || !bytes.Equal(part, raw[lo:lo+min(n, len(raw)-lo)]) {
			t.Fatalf("%v: range %d+%d", err, off, n)
		}
	})
}
