package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

const ordinary = "\x42Return-Path: <anna.berg@example.org>\r\nDelivered-To: bo@example.com\r\n" +
	"\x01\x00\xa5-\xa1\x17'\x00\x9b\x03\x01\x1fMon, 05 Jan 2026 08:00:13 +0100\x03\x21Anna Berg <anna.berg@example.org>" +
	"\x06\x2a=?UTF-8?Q?Bo_Str=C3=B6m?= <bo@example.com>\x02\x0fRe: Some answer\n&<d97b5ebf65e4b45f.f0abb4c7@example.org>" +
	"\t%<a28d48ef491305e585f9f43b@example.com>\v%<a28d48ef491305e585f9f43b@example.com>" +
	"\r\x031.0\f\x19text/plain; charset=UTF-8\x0e\x048bitH\x00\xa1\x17\x84\x160\x01\x03\x01\a\v#"

func noise(seed int64, n int) string {
	b := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(b)
	return string(b)
}

var texts = map[string]string{
	"ordinary": ordinary,
	"letter":   strings.Repeat("a", 100),
	"fold":     "Some One Else <some.one.else@example.org>, SOME ONE ELSE <SOME.ONE.ELSE@EXAMPLE.ORG>",
	"all": func() string {
		b := make([]byte, 256)
		for i := range b {
			b[i] = byte(i)
		}
		return string(b) + string(b)
	}(),
	"far":       noise(1, 300) + strings.Repeat("word ", 1400) + noise(1, 300),
	"long copy": noise(2, 1000) + noise(2, 1000),
	"max":       strings.Repeat("to: someone@example.org, ", Max)[:Max],
	"phrases":   strings.Repeat(phraseText, 8)[:Max],
}

// TestFrozen: what this model packed opens with no other.
func TestFrozen(t *testing.T) {
	const want = "45129ec799088e4e8c25b0c2de7b468e8f2d305f1921ea95d3315219258f3e65"
	h := sha256.New()
	h.Write([]byte(phraseText))
	h.Write(lengthData)
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Fatalf("the model has changed to %s: summaries would not open", got)
	}
}

func TestRoundTrip(t *testing.T) {
	for name, text := range texts {
		packed, ok := Append([]byte("before"), []byte(text))
		if !ok || len(packed)-6 >= len(text) || string(packed[:6]) != "before" {
			t.Errorf("%s: not packed: %d bytes of %d", name, len(packed), len(text))
			continue
		}
		got, err := Unpack([]byte("and"), packed[6:])
		if err != nil || string(got) != "and"+text {
			t.Errorf("%s: %v, %d bytes of %d come back", name, err, len(got)-3, len(text))
		}
	}
	if p, ok := Append(nil, []byte(ordinary)); !ok || len(p) > len(ordinary)*45/100 {
		t.Errorf("ordinary mail: %d bytes of %d", len(p), len(ordinary))
	}
}

func TestNotPacked(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "noise": noise(3, 200), "byte": "x", "long": strings.Repeat("a", Max+1)} {
		if p, ok := Append([]byte("before"), []byte(text)); ok || string(p) != "before" {
			t.Errorf("%s: %v, %q", name, ok, p)
		}
	}
}

// What was packed once opens for ever; the packer may find other ways.
func TestGolden(t *testing.T) {
	for _, name := range []string{"ordinary", "fold", "all"} {
		path := filepath.Join("testdata", name+".hex")
		if *update {
			p, _ := Append(nil, []byte(texts[name]))
			if err := os.WriteFile(path, []byte(hex.EncodeToString(p)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := hex.DecodeString(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Unpack(nil, p)
		if err != nil || string(got) != texts[name] {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestDamaged(t *testing.T) {
	packed, ok := Append(nil, []byte(ordinary))
	if !ok {
		t.Fatal("not packed")
	}
	huge := binary.AppendUvarint(nil, Max+1)
	for name, b := range map[string][]byte{
		"empty": nil, "too long": append(huge, packed[2:]...), "endless": bytes.Repeat([]byte{0xff}, 12),
		"cut": packed[:len(packed)-1], "more": append(bytes.Clone(packed), 0), "no bits": packed[:2],
	} {
		if got, err := Unpack([]byte("and"), b); !errors.Is(err, ErrDamaged) || string(got) != "and" {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	// A copy of what was never there.
	m := theModel()
	var bits, have uint64
	put := func(v uint16, n uint8) { bits |= uint64(v) << have; have += uint64(n) }
	put(m.codes[clsFirst][symCopy], m.lengths[clsFirst][symCopy])
	put(m.distCodes[0], m.distLengths[0])
	b := append([]byte{minCopy}, binary.LittleEndian.AppendUint64(nil, bits)[:(have+7)/8]...)
	if _, err := Unpack(nil, b); !errors.Is(err, ErrDamaged) {
		t.Errorf("a copy from before the text: %v", err)
	}
}

func TestSlots(t *testing.T) {
	for d := 1; d <= Max; d++ {
		slot, extra, rest := distSlot(d)
		base, x := distBase(slot)
		if slot >= distSlots || x != extra || base+int(rest) != d || rest >= 1<<x {
			t.Fatalf("distance %d: slot %d, %d+%d in %d bits", d, slot, base, rest, x)
		}
	}
	for n := minCopy; n <= maxCopy; n++ {
		s := slotOf[n]
		if n < lenBase[s] || n-lenBase[s] >= 1<<lenExtra[s] {
			t.Fatalf("length %d in slot %d", n, s)
		}
	}
}

// Every symbol of every context is read as it was written.
func TestCodes(t *testing.T) {
	m := theModel()
	for c := range contexts {
		for s, l := range m.lengths[c] {
			if l == 0 {
				continue
			}
			for _, above := range []int{0, 1<<maxBits - 1} {
				next := (int(m.codes[c][s]) | above<<l) & (1<<maxBits - 1)
				if e := m.table[c<<maxBits|next]; e != uint16(s)<<4|uint16(l) {
					t.Fatalf("context %d, symbol %d reads as %d", c, s, e>>4)
				}
			}
		}
	}
	for _, bad := range [][]uint8{{1, 1, 1}, {maxBits + 1}, {1, 2, 2, 2}} {
		if err := codes(bad, make([]uint16, len(bad)), make([]uint16, 1<<maxBits)); err == nil {
			t.Errorf("%v is a code", bad)
		}
	}
}

func TestConcurrent(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				text := fmt.Sprintf("%s%d %d", ordinary, g, i)
				p, ok := Append(nil, []byte(text))
				if got, err := Unpack(nil, p); !ok || err != nil || string(got) != text {
					t.Errorf("%q: %v", text, err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzRoundTrip(f *testing.F) {
	for _, t := range texts {
		f.Add([]byte(t))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, ok := Append(nil, text)
		if !ok {
			if len(p) > 0 {
				t.Fatal("something came of it")
			}
			return
		}
		if got, err := Unpack(nil, p); err != nil || !bytes.Equal(got, text) || len(p) >= len(text) {
			t.Fatalf("%q: %q, %v", text, got, err)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	for _, t := range texts {
		if p, ok := Append(nil, []byte(t)); ok {
			f.Add(p)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Unpack(nil, b)
		if err != nil {
			if len(got) > 0 || !errors.Is(err, ErrDamaged) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			return
		}
		if len(got) > Max {
			t.Fatalf("%d bytes", len(got))
		}
	})
}

func BenchmarkPack(b *testing.B) {
	text := []byte(ordinary)
	p, ok := Append(nil, text)
	if !ok {
		b.Fatal("not packed")
	}
	room := make([]byte, 0, Max)
	b.Run("pack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Append(room, text)
		}
		b.ReportMetric(float64(len(p))/float64(len(text)), "ratio")
	})
	b.Run("unpack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Unpack(room, p); err != nil {
				b.Fatal(err)
			}
		}
	})
}
