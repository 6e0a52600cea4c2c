package deflate

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pump decodes all of src with room for at most size octets at a time.
func pump(z *Inflater, src []byte, size int) (out []byte, err error) {
	room := make([]byte, size)
	for {
		n, m, err := z.Inflate(room, src)
		out = append(out, room[:n]...)
		src = src[m:]
		if err != nil {
			return out, err
		}
		if n < len(room) {
			if len(src) > 0 {
				return out, errors.New("input left although there was room")
			}
			return out, nil
		}
	}
}

type stream struct {
	name   string
	pieces [][]byte
	have   []int // octets that have to be there; -1: not promised
	plain  []byte
}

func zlibStreams(t testing.TB) (out []stream) {
	t.Helper()
	text, err := os.ReadFile("testdata/zlib.txt")
	if err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		if s == "-" {
			return nil
		}
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for line := range strings.Lines(string(text)) {
		a, b, two := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case !two:
			out = append(out, stream{name: a})
		case a == "=":
			out[len(out)-1].plain = unhex(b)
		default:
			n := -1
			if b != "-" {
				if n, err = strconv.Atoi(b); err != nil {
					t.Fatal(err)
				}
			}
			s := &out[len(out)-1]
			s.pieces, s.have = append(s.pieces, unhex(a)), append(s.have, n)
		}
	}
	return out
}

// TestFlushes: after each flush of zlib all that was written can be read.
func TestFlushes(t *testing.T) {
	streams := zlibStreams(t)
	if len(streams) < 30 {
		t.Fatalf("%d streams", len(streams))
	}
	for _, s := range streams {
		t.Run(s.name, func(t *testing.T) {
			for _, size := range []int{1, 7, 300, 4096} {
				var z Inflater
				var got []byte
				for i, p := range s.pieces {
					out, err := pump(&z, p, size)
					got = append(got, out...)
					if last := i == len(s.pieces)-1; last != errors.Is(err, io.EOF) || err != nil && !last {
						t.Fatalf("piece %d: %v", i, err)
					}
					if s.have[i] >= 0 && len(got) != s.have[i] {
						t.Fatalf("room of %d: %d octets after piece %d, want %d", size, len(got), i, s.have[i])
					}
				}
				if !bytes.Equal(got, s.plain) {
					t.Fatal("other octets")
				}
			}
		})
	}
}

// TestEveryPrefix: whatever part of a stream is there, all its whole symbols
// are delivered.
func TestEveryPrefix(t *testing.T) {
	for _, s := range zlibStreams(t) {
		all := slices.Concat(s.pieces...)
		var z Inflater
		var got []byte
		for i := range all {
			out, err := pump(&z, all[i:i+1], 64)
			got = append(got, out...)
			if i > 300 && i%16 != 0 && i < len(all)-20 {
				continue // the naive one begins anew each time
			}
			want, bad, end := naive(all[:i+1])
			if bad || end != errors.Is(err, io.EOF) || err != nil && !end {
				t.Fatalf("%s: octet %d: %v", s.name, i, err)
			}
			if len(got) != len(want) {
				t.Fatalf("%s: octet %d: %d octets out, %d could be", s.name, i, len(got), len(want))
			}
		}
	}
}

// check holds the Inflater against the naive one and, where the two libraries
// agree on what is a stream, against Go's.
func check(t *testing.T, src []byte, seed uint64) {
	t.Helper()
	want, bad, end := naive(src)
	var z Inflater
	var got []byte
	var err error
	rnd := rand.New(rand.NewPCG(seed, 1))
	for rest := src; err == nil && len(rest) > 0; {
		p := rest[:1+rnd.IntN(len(rest))]
		if rnd.IntN(4) == 0 {
			p = rest[:1]
		}
		rest = rest[len(p):]
		var out []byte
		out, err = pump(&z, p, 1+rnd.IntN(2000))
		got = append(got, out...)
	}
	var corrupt *CorruptError
	if bad != errors.As(err, &corrupt) || end != errors.Is(err, io.EOF) || err != nil && !bad && !end {
		t.Fatalf("bad %v, end %v: %v", bad, end, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%d octets, want %d", len(got), len(want))
	}
	goes, gerr := io.ReadAll(flate.NewReader(bytes.NewReader(src)))
	if end && gerr != nil {
		t.Fatalf("Go: %v", gerr)
	}
	if !bytes.HasPrefix(got, goes) && !bytes.HasPrefix(goes, got) || end && !bytes.Equal(got, goes) {
		t.Fatal("other octets than Go's")
	}
	if gerr == nil && !end {
		// Go takes codes that zlib does not: an incomplete code of the code
		// lengths, a block that cannot end.
		if !strings.Contains(err.Error(), "code of the code lengths") && !strings.Contains(err.Error(), "without an end") {
			t.Fatalf("Go takes it: %v", err)
		}
	}
}

func deflated(level int, p []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		panic(err)
	}
	if _, err := w.Write(p); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// text is like mail: words, numbers and base64.
func text(n int, seed uint64) []byte {
	rnd := rand.New(rand.NewPCG(seed, 2))
	var b []byte
	for len(b) < n {
		switch rnd.IntN(6) {
		case 0:
			for range 60 {
				b = append(b, byte('0'+rnd.IntN(64)))
			}
		case 1:
			b = append(b, bytes.Repeat([]byte{' '}, rnd.IntN(300))...)
		case 2:
			b = strconv.AppendInt(b, rnd.Int64(), 36)
		default:
			b = append(b, "the quick brown fox jumps over the lazy dog\r\n"[:rnd.IntN(46)]...)
		}
	}
	return b[:n]
}

// TestLong goes far beyond the window, in pieces of every kind.
func TestLong(t *testing.T) {
	p := text(300<<10, 5)
	for level := -2; level <= 9; level++ {
		src := deflated(level, p)
		for _, size := range []int{1, 100, 259, 5000, 1 << 20} {
			var z Inflater
			out, err := pump(&z, src, size)
			if !errors.Is(err, io.EOF) || !bytes.Equal(out, p) {
				t.Fatalf("level %d, room %d: %v", level, size, err)
			}
			if len(z.win.b) != windowSize || z.own != nil {
				t.Fatalf("window of %d", len(z.win.b))
			}
		}
	}
}

func TestDamaged(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for _, s := range zlibStreams(t) {
		all := slices.Concat(s.pieces...)
		for range 15 {
			b := bytes.Clone(all)
			for range 1 + rnd.IntN(3) {
				b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
			}
			check(t, b, rnd.Uint64())
		}
	}
}

func TestCorrupt(t *testing.T) {
	for _, c := range []struct{ hex, reason string }{
		{"07", "no such block type"},
		{"000100ffff", "length of a stored block"},
		{"fcffff", "too many codes"},
		{"0300", ""}, // an empty fixed block, the last
		{"4b040300", ""},
		{"1b03", "a symbol without a meaning"},
		{"0302", "a distance before the beginning"},
	} {
		src, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		var z Inflater
		_, err = pump(&z, src, 100)
		var bad *CorruptError
		if c.reason == "" {
			if !errors.Is(err, io.EOF) {
				t.Errorf("%s: %v", c.hex, err)
			}
		} else if !errors.As(err, &bad) || bad.Reason != c.reason {
			t.Errorf("%s: %v, want %s", c.hex, err, c.reason)
		}
		if _, _, again := z.Inflate(make([]byte, 1), []byte{0}); !errors.Is(again, err) {
			t.Errorf("%s: then %v", c.hex, again)
		}
	}
}

// TestSmallWindow: an Inflater that decoded little holds little.
func TestSmallWindow(t *testing.T) {
	var z Inflater
	if _, err := pump(&z, deflated(6, text(400, 1)), 4096); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if len(z.win.b) > 512 {
		t.Fatalf("%d octets", len(z.win.b))
	}
}

func FuzzInflate(f *testing.F) {
	for _, s := range zlibStreams(f) {
		f.Add(slices.Concat(s.pieces...), uint64(1))
	}
	f.Add(deflated(9, text(5000, 3)), uint64(2))
	f.Fuzz(func(t *testing.T, src []byte, seed uint64) {
		if len(src) > 4<<10 {
			return
		}
		if out, _, _ := naive(src); len(out) > 1<<20 {
			return
		}
		check(t, src, seed)
	})
}

func BenchmarkInflate(b *testing.B) {
	p := text(1<<20, 9)
	src := deflated(6, p)
	room := make([]byte, 8<<10)
	b.Run("own", func(b *testing.B) {
		b.SetBytes(int64(len(p)))
		b.ReportAllocs()
		for b.Loop() {
			var z Inflater
			for rest := src; ; {
				_, m, err := z.Inflate(room, rest)
				rest = rest[m:]
				if err != nil {
					if !errors.Is(err, io.EOF) {
						b.Fatal(err)
					}
					break
				}
			}
		}
	})
	b.Run("go", func(b *testing.B) {
		b.SetBytes(int64(len(p)))
		b.ReportAllocs()
		in := bytes.NewReader(nil)
		r := flate.NewReader(in)
		for b.Loop() {
			in.Reset(src)
			if err := r.(flate.Resetter).Reset(in, nil); err != nil {
				b.Fatal(err)
			}
			for {
				if _, err := r.Read(room); err != nil {
					if !errors.Is(err, io.EOF) {
						b.Fatal(err)
					}
					break
				}
			}
		}
	})
}
