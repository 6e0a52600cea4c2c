package seal

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func html(rnd *rand.Rand, n int) []byte {
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "<tr><td style=\"padding:%dpx;font-family:Arial,sans-serif;color:#%06x\"><a href=\"https://example.org/track/%016x\">%s</a></td></tr>\r\n",
			rnd.Intn(40), rnd.Intn(1<<24), rnd.Uint64(), text(rnd, 20+rnd.Intn(100)))
	}
	return b.Bytes()[:n]
}

// base64Lines returns n bytes of an attachment.
func base64Lines(rnd *rand.Rand, n int) []byte {
	s := base64.StdEncoding.EncodeToString(noise(rnd, n+57))
	var b []byte
	for len(b) < n {
		b = append(append(b, s[:76]...), "\r\n"...)
		s = s[76:]
	}
	return b[:n]
}

var corpora = []struct {
	name string
	make func(*rand.Rand, int) []byte
}{{"text", text}, {"html", html}, {"base64", base64Lines}, {"noise", noise}}

func BenchmarkSeal(b *testing.B) {
	for _, c := range corpora {
		for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%dK", c.name, size>>10), func(b *testing.B) {
				raw := c.make(rand.New(rand.NewSource(1)), size)
				dst := make([]byte, 0, 2*size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				var err error
				for b.Loop() {
					if dst, err = Seal(dst[:0], testKey(1), raw, 1200); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(dst))/float64(size), "ratio")
			})
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, c := range corpora {
		for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%dK", c.name, size>>10), func(b *testing.B) {
				raw := c.make(rand.New(rand.NewSource(1)), size)
				sealed := mustSeal(b, testKey(1), raw, 1200)
				src := bytes.NewReader(sealed)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					r, err := NewReader(testKey(1), src, int64(len(sealed)))
					if err != nil {
						b.Fatal(err)
					}
					if _, err := r.WriteRange(io.Discard, 0, r.Size()); err != nil {
						b.Fatal(err)
					}
					r.Close()
				}
			})
		}
	}
}

// BenchmarkHeader opens the header block of a large message.
func BenchmarkHeader(b *testing.B) {
	raw := text(rand.New(rand.NewSource(1)), 1<<20)
	sealed := mustSeal(b, testKey(1), raw, 1200)
	src := bytes.NewReader(sealed)
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewReader(testKey(1), src, int64(len(sealed)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Header(); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}

// BenchmarkLevel compares what the zstd levels cost and save.
func BenchmarkLevel(b *testing.B) {
	for _, l := range []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBetterCompression} {
		e := newEncoder(l, 1)
		for _, c := range corpora {
			for _, size := range []int{4 << 10, 256 << 10} {
				b.Run(fmt.Sprintf("%v/%s/%dK", l, c.name, size>>10), func(b *testing.B) {
					raw := c.make(rand.New(rand.NewSource(1)), size)
					dst := make([]byte, 0, 2*size)
					b.SetBytes(int64(size))
					for b.Loop() {
						dst = e.EncodeAll(raw, dst[:0])
					}
					b.ReportMetric(float64(len(dst))/float64(size), "ratio")
				})
			}
		}
	}
}
