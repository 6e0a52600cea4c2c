package seal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
)

func testKey(b byte) *[32]byte {
	var k [32]byte
	for i := range k {
		k[i] = b + byte(i)
	}
	return &k
}

// text returns n bytes of something like English.
func text(rnd *rand.Rand, n int) []byte {
	words := strings.Fields("the of and to in a is that it was for on are with as his they be at one have this from or had by word but what some we can out other were all there when up use your how said an each she which do their time if will way about many then them write would like so these her long make thing see him two has look more day could go come did number sound no most people my over know water than call first who may down side been now find")
	var b []byte
	for len(b) < n {
		b = append(b, words[int(rnd.ExpFloat64()*20)%len(words)]...)
		if rnd.Intn(12) == 0 {
			b = append(b, ".\r\n"...)
		} else {
			b = append(b, ' ')
		}
	}
	return b[:n]
}

func noise(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	rnd.Read(b)
	return b
}

func mustSeal(t testing.TB, key *[32]byte, raw []byte, header int) []byte {
	t.Helper()
	b, err := Seal(nil, key, raw, header)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readers returns the ways to open a body.
func readers(t testing.TB, key *[32]byte, sealed []byte) map[string]*Reader {
	t.Helper()
	a, err := NewReader(key, bytes.NewReader(sealed), int64(len(sealed)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBytesReader(key, sealed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	t.Cleanup(b.Close)
	return map[string]*Reader{"ReaderAt": a, "bytes": b}
}

var shapes = []struct{ header, body int }{
	{0, 0}, {1, 0}, {0, 1}, {700, 0}, {0, 900}, {700, 1200}, {ChunkSize, 0},
	{0, ChunkSize}, {ChunkSize, ChunkSize}, {ChunkSize + 1, 5}, {ChunkSize - 1, ChunkSize + 1},
	{900, SmallSize - 900}, {900, SmallSize - 899}, {SmallSize, 0}, {SmallSize + 1, 0}, {0, SmallSize + 1},
	{2*ChunkSize + 7, 3*ChunkSize + 9}, {900, 5 * ChunkSize}, {900, 5*ChunkSize + 1}, {900, 9*ChunkSize + 1},
}

func TestRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	ranges := 20
	if raceEnabled {
		ranges = 2
	}
	for _, s := range shapes {
		for name, make := range map[string]func(*rand.Rand, int) []byte{"text": text, "noise": noise, "base64": base64Lines} {
			t.Run(fmt.Sprintf("%s %d+%d", name, s.header, s.body), func(t *testing.T) {
				raw := make(rnd, s.header+s.body)
				key := testKey(byte(s.body))
				sealed := mustSeal(t, key, raw, s.header)
				if len(sealed) > maxSealed(len(raw), 1000) {
					t.Fatalf("%d bytes from %d", len(sealed), len(raw))
				}
				for how, r := range readers(t, key, sealed) {
					if r.Size() != int64(len(raw)) || r.HeaderSize() != int64(s.header) {
						t.Fatalf("%s: size %d, header %d", how, r.Size(), r.HeaderSize())
					}
					all, err := r.All()
					if err != nil || !bytes.Equal(all, raw) {
						t.Fatalf("%s: All: %v, %d bytes", how, err, len(all))
					}
					header, err := r.Header()
					if err != nil || !bytes.Equal(header, raw[:s.header]) {
						t.Fatalf("%s: Header: %v, %d bytes", how, err, len(header))
					}
					for range ranges {
						off := rnd.Intn(len(raw) + 2)
						n := rnd.Intn(len(raw) + 2)
						if rnd.Intn(2) == 0 {
							n = min(n, 3000)
						}
						checkRange(t, r, raw, off, n)
					}
				}
			})
		}
	}
}

// checkRange compares every way to read a range with the message itself.
func checkRange(t *testing.T, r *Reader, raw []byte, off, n int) {
	t.Helper()
	want := raw[min(off, len(raw)):min(off+n, len(raw))]
	var w bytes.Buffer
	k, err := r.WriteRange(&w, int64(off), int64(n))
	if err != nil || k != int64(len(want)) || !bytes.Equal(w.Bytes(), want) {
		t.Fatalf("WriteRange(%d, %d) of %d: %d, %v", off, n, len(raw), k, err)
	}
	got, err := r.AppendRange([]byte("x"), int64(off), int64(n))
	if err != nil || string(got[:1]) != "x" || !bytes.Equal(got[1:], want) {
		t.Fatalf("AppendRange(%d, %d) of %d: %d bytes, %v", off, n, len(raw), len(got), err)
	}
	p := bytes.Repeat([]byte{'#'}, n+4)
	m, err := r.ReadAt(p[:n], int64(off))
	if m != len(want) || !bytes.Equal(p[:m], want) || m < n && err != io.EOF || m == n && err != nil {
		t.Fatalf("ReadAt(%d, %d) of %d: %d, %v", off, n, len(raw), m, err)
	}
	if string(p[n:]) != "####" {
		t.Fatalf("ReadAt(%d, %d) wrote past its room", off, n)
	}
}

func TestReaderAtContract(t *testing.T) {
	rnd := rand.New(rand.NewSource(2))
	raw := text(rnd, ChunkSize+3000)
	key := testKey(1)
	for how, r := range readers(t, key, mustSeal(t, key, raw, 1000)) {
		if err := iotest.TestReader(io.NewSectionReader(r, 0, r.Size()), raw); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
			t.Errorf("%s: negative offset taken", how)
		}
		if _, err := r.WriteRange(io.Discard, 0, -1); err == nil {
			t.Errorf("%s: negative length taken", how)
		}
	}
}

func TestClosedReader(t *testing.T) {
	key := testKey(1)
	for how, r := range readers(t, key, mustSeal(t, key, []byte("abc"), 0)) {
		if _, err := r.All(); err != nil {
			t.Fatal(err)
		}
		r.Close()
		r.Close()
		if _, err := r.All(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", how, err)
		}
		if _, err := r.ReadAt(make([]byte, 2), 1); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", how, err)
		}
	}
}

// TestDecodeInPlace: the decoder must not move its output, or a long message
// would be copied once for each chunk.
func TestDecodeInPlace(t *testing.T) {
	rnd := rand.New(rand.NewSource(6))
	for _, plain := range [][]byte{text(rnd, ChunkSize), make([]byte, ChunkSize), text(rnd, 5000), text(rnd, 100)} {
		packed, method := compress(nil, plain)
		if method != methodZstd {
			t.Fatal("not compressed")
		}
		dst := make([]byte, 5, 5+len(plain)+decodeSlack)
		out, err := decoder().DecodeAll(packed, dst[5:5:cap(dst)])
		if err != nil || &out[0] != &dst[:6][5] {
			t.Fatalf("%d bytes: moved, %v", len(plain), err)
		}
	}
}

func TestConcurrentReads(t *testing.T) {
	rnd := rand.New(rand.NewSource(3))
	raw := text(rnd, 3*ChunkSize)
	key := testKey(1)
	r := readers(t, key, mustSeal(t, key, raw, 1000))["ReaderAt"]
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			p := make([]byte, 5000)
			for i := range 20 {
				off := (g*97 + i*40009) % (len(raw) - len(p))
				if _, err := r.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, raw[off:off+len(p)]) {
					t.Errorf("offset %d: %v", off, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestSealAppends(t *testing.T) {
	raw, key := []byte("Subject: x\r\n\r\nbody"), testKey(1)
	alone := mustSeal(t, key, raw, 14)
	after, err := Seal([]byte("before"), key, raw, 14)
	if err != nil || string(after) != "before"+string(alone) {
		t.Fatalf("%v: Seal does not append", err)
	}
	for _, h := range []int{-1, len(raw) + 1} {
		if got, err := Seal([]byte("before"), key, raw, h); err == nil || string(got) != "before" {
			t.Fatalf("header of %d taken", h)
		}
	}
	if _, err := Seal(nil, key, make([]byte, MaxRaw+1), 0); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
}

func TestSealAllocatesOnce(t *testing.T) {
	rnd := rand.New(rand.NewSource(4))
	raw, key := text(rnd, 20000), testKey(1)
	dst := make([]byte, 0, 2*len(raw))
	n := testing.AllocsPerRun(50, func() {
		if _, err := Seal(dst[:0], key, raw, 700); err != nil {
			t.Fatal(err)
		}
	})
	if n > 5 && !raceEnabled { // AEAD, box and two keystreams, all small
		t.Fatalf("%v allocations", n)
	}
}

// TestPadding: at most a sixteenth is added, lengths fall into few classes.
func TestPadding(t *testing.T) {
	for n := range 300000 {
		p := paddedSize(n)
		if p < n || p-n > n/16 {
			t.Fatalf("%d padded to %d", n, p)
		}
	}
	classes := map[int]bool{}
	for n := 1 << 16; n < 1<<17; n++ {
		classes[paddedSize(n)] = true
	}
	if len(classes) > 33 {
		t.Fatalf("%d lengths between 64 and 128 KiB", len(classes))
	}
	rnd := rand.New(rand.NewSource(5))
	for range 50 {
		b := mustSeal(t, testKey(1), text(rnd, rnd.Intn(100000)), 0)
		if len(b) != paddedSize(len(b)) {
			t.Fatalf("sealed to %d bytes, which is no padded length", len(b))
		}
	}
}

func TestHeadLimits(t *testing.T) {
	for _, h := range []head{
		{raw: MaxRaw + 1}, {raw: 1, header: 2}, {pad: MaxRaw + 1},
	} {
		if _, err := parseHead(h.append(nil)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%+v: %v", h, err)
		}
	}
	for _, h := range []head{{dict: dictNumber + 1}, {flags: 1}} {
		if _, err := parseHead(h.append(nil)); !errors.Is(err, ErrVersion) {
			t.Errorf("%+v: %v", h, err)
		}
	}
	for _, raw := range []int{MaxRaw, MaxRaw - 1} {
		for _, header := range []int{0, 1, ChunkSize, raw} {
			h := head{raw: uint32(raw), header: uint32(header)}
			if n := h.chunks(); n > maxChunks || offRest+tableSize(n) > frontSize {
				t.Fatalf("%d chunks for %d+%d", n, header, raw)
			}
		}
	}
}

// TestStored tells how chunks of each kind are kept, and how large.
func TestStored(t *testing.T) {
	rnd := rand.New(rand.NewSource(12))
	letters := lines(text(rnd, 150000), 19)
	for _, c := range []struct {
		name  string
		plain []byte
		want  int
		most  float64
	}{
		{"text", text(rnd, ChunkSize), methodZstd, 0.4},
		{"short text", text(rnd, 4000), methodZstd, 0.5},
		{"noise", noise(rnd, ChunkSize), methodRaw, 1},
		{"short noise", noise(rnd, 3000), methodRaw, 1},
		{"base64 of noise", base64Lines(rnd, ChunkSize), methodFold, 0.732},
		{"base64 of noise behind a letter", append(text(rnd, 2000), base64Lines(rnd, 40000)...), methodFold, 0.76},
		{"short base64", base64Lines(rnd, 4000), methodFold, 0.75},
		{"base64 of text", letters, methodFold | methodZstd, 0.3},
		{"cut base64 of text", letters[5000:90000], methodFold | methodZstd, 0.3},
		{"few different bytes", bytes.Repeat([]byte{1, 2, 3, 200}, 3000), methodZstd, 0.1},
	} {
		packed, method := compress([]byte("x"), c.plain)
		if method&methodFold != c.want&methodFold || c.want&methodFold == 0 && method != c.want {
			t.Errorf("%s: method %d, want %d", c.name, method, c.want)
		}
		if ratio := float64(len(packed)-1) / float64(len(c.plain)); ratio > c.most {
			t.Errorf("%s: %.3f of its size, want %.3f", c.name, ratio, c.most)
		}
		got, err := expand([]byte("y"), packed[1:], method, len(c.plain))
		if err != nil || string(got[:1]) != "y" || !bytes.Equal(got[1:], c.plain) {
			t.Errorf("%s: %v, opens to something else", c.name, err)
		}
	}
}

// TestDictionary: the file is frozen, and a frame that needs it says so.
func TestDictionary(t *testing.T) {
	const want = "9f103b517851772bf1f0b49a1b4ccf01d23e7b6c762b65cbac8dc28fde0efd7a"
	if got := fmt.Sprintf("%x", sha256.Sum256(dictionary)); got != want {
		t.Fatalf("the dictionary has changed to %s: bodies would not open", got)
	}
	mail := []byte("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nThank you for your order.\r\n")
	packed, method := compress(nil, mail)
	if method != methodZstd || len(packed) > len(mail)/2 {
		t.Fatalf("%d bytes from %d, method %d", len(packed), len(mail), method)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.DecodeAll(packed, nil); !errors.Is(err, zstd.ErrUnknownDictionary) {
		t.Fatalf("opened without its dictionary: %v", err)
	}
}
