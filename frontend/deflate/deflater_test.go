package deflate

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

func noise(n int, seed uint64) []byte {
	rnd := rand.New(rand.NewPCG(seed, 3))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// TestDeflater: pieces of every kind, the compressor given away at random
// between them, can be read by Go's reader and by ours.
func TestDeflater(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 4))
	for round := range 20 {
		var d Deflater
		var all, wire []byte
		var z Inflater
		for i := range 40 {
			var p []byte
			n := 1 + rnd.IntN([]int{30, 300, 3000, 70000}[rnd.IntN(4)])
			switch rnd.IntN(4) {
			case 0:
				p = noise(n, rnd.Uint64())
			case 1:
				p = []byte(base64.StdEncoding.EncodeToString(noise(n, rnd.Uint64())))
			case 2: // again what was before
				p = all[len(all)-min(len(all), n):]
				if len(p) == 0 {
					continue
				}
			default:
				p = text(n, rnd.Uint64())
			}
			p = bytes.Clone(p)
			b, err := d.Deflate(p)
			if err != nil {
				t.Fatal(err)
			}
			if most := len(p) + 30 + len(p)/1000; len(b) > most {
				t.Fatalf("%d octets became %d", len(p), len(b))
			}
			wire, all = append(wire, b...), append(all, p...)
			got, err := pump(&z, b, 1+rnd.IntN(5000))
			if err != nil || !bytes.Equal(got, p) {
				t.Fatalf("round %d, piece %d: %v", round, i, err)
			}
			if rnd.IntN(2) == 0 {
				d.Rest()
			}
		}
		got, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(wire)), int64(len(all))))
		if err != nil || !bytes.Equal(got, all) {
			t.Fatalf("Go: %v", err)
		}
		if len(d.tail) > history {
			t.Fatalf("remembers %d octets", len(d.tail))
		}
	}
	if b, err := new(Deflater).Deflate(nil); err != nil || len(b) != 0 {
		t.Fatalf("nothing became %d octets: %v", len(b), err)
	}
}

// TestRatio: each kind of mail gets as small as it was measured.
func TestRatio(t *testing.T) {
	encoded := []byte(base64.StdEncoding.EncodeToString(noise(48<<10, 1)))
	var d Deflater
	b, err := d.Deflate(encoded)
	if err != nil || len(b) > len(encoded)*77/100 {
		t.Fatalf("base64: %d of %d octets, %v", len(b), len(encoded), err)
	}
	// A response like the last costs less than the first, also after a rest.
	response := func(n int) []byte {
		return fmt.Appendf(nil, "* %d FETCH (UID %d FLAGS (\\Seen) MODSEQ (%d) ENVELOPE (\"Mon, 7 Feb 1994 21:52:25 -0800\" \"Re: supper on Thursday\" "+
			"((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) NIL NIL NIL NIL NIL NIL \"<B27397-%d@cac.washington.edu>\"))\r\n", n, n+40, n*7, n)
	}
	d = Deflater{}
	first, err := d.Deflate(response(1))
	if err != nil {
		t.Fatal(err)
	}
	one := len(first)
	d.Rest()
	second, err := d.Deflate(response(2))
	if err != nil || len(second) > one/2 {
		t.Fatalf("%d octets after %d, %v", len(second), one, err)
	}
}

func BenchmarkDeflate(b *testing.B) {
	for name, p := range map[string][]byte{
		"text":   text(64<<10, 1),
		"base64": []byte(base64.StdEncoding.EncodeToString(noise(48<<10, 1))),
		"noop":   []byte("a17 OK NOOP completed\r\n"),
	} {
		b.Run(name, func(b *testing.B) {
			var d Deflater
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				out, err := d.Deflate(p)
				if err != nil {
					b.Fatal(err)
				}
				n = len(out)
				if len(p) < 100 {
					d.Rest()
				}
			}
			b.ReportMetric(float64(n)/float64(len(p)), "ratio")
		})
	}
}
