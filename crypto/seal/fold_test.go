package seal

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand"
	"testing"
)

// lines is the naive twin of encodeRun.
func lines(b []byte, quads int) (out []byte) {
	s := base64.StdEncoding.EncodeToString(b)
	for len(s) > 0 {
		n := min(len(s), 4*quads)
		out = append(append(out, s[:n]...), "\r\n"...)
		s = s[n:]
	}
	return out
}

// checkFold folds and unfolds; it returns the folded form, nil for none.
func checkFold(t *testing.T, plain []byte) []byte {
	t.Helper()
	folded, ok := fold([]byte("x"), plain)
	if string(folded[:1]) != "x" || !ok && len(folded) != 1 {
		t.Fatal("fold changed what was there")
	}
	if !ok {
		return nil
	}
	got, ok := unfold([]byte("y"), folded[1:], len(plain))
	if !ok || string(got[:1]) != "y" || !bytes.Equal(got[1:], plain) {
		t.Fatalf("unfolded to something else: %v, %d bytes of %d", ok, len(got)-1, len(plain))
	}
	return folded[1:]
}

func TestFold(t *testing.T) {
	rnd := rand.New(rand.NewSource(7))
	for _, quads := range []int{10, 15, 16, 18, 19, 25, 250, 255} {
		for _, size := range []int{0, 1, 511, 512, 513, 514, 3 * quads * 200, 3*quads*200 + 1, 3*quads*200 + 2, 3*quads*200 - 1, 100000} {
			b := noise(rnd, size)
			run := lines(b, quads)
			if len(run) != textLen(size, quads) {
				t.Fatalf("textLen(%d, %d) = %d, want %d", size, quads, textLen(size, quads), len(run))
			}
			for _, around := range []struct{ before, after string }{
				{"", ""}, {"Subject: x\r\n\r\n", "--b--\r\n"}, {"AAAA\r\n", "AAAA"}, {"some\r\n", "\r\n\r\n"}, {"half a line", "=\r\n"},
			} {
				plain := append(append([]byte(around.before), run...), around.after...)
				folded := checkFold(t, plain)
				worth := size > 3*quads && size >= foldLeast+3*quads
				if worth && around.before != "half a line" && len(folded) > size+2*foldHead+len(around.before)+len(around.after)+3*quads {
					t.Fatalf("%d octets in lines of %d folded to %d", size, 4*quads, len(folded))
				}
				if worth && folded == nil {
					t.Fatalf("%d octets in lines of %d not folded", size, 4*quads)
				}
			}
		}
	}
}

// TestFoldKeeps is base64 that another encoder would write otherwise: it comes
// back as it was.
func TestFoldKeeps(t *testing.T) {
	rnd := rand.New(rand.NewSource(8))
	good := lines(noise(rnd, 6000), 19)
	edit := func(at int, with string) []byte {
		return append(append(append([]byte{}, good[:at]...), with...), good[at+len(with):]...)
	}
	for name, plain := range map[string][]byte{
		"bare LF":       bytes.ReplaceAll(good, []byte("\r\n"), []byte("\n")),
		"bare CR":       edit(780+30, "\r"),
		"CR CR":         edit(780+75, "\r"),
		"LF inside":     edit(780+30, "\n"),
		"CRLF inside":   edit(780+30, "\r\n"),
		"space":         edit(780+30, " "),
		"8 bit":         edit(780+30, "\xff"),
		"NUL":           edit(780+30, "\x00"),
		"padding":       edit(780+75, "="),
		"two paddings":  edit(780+74, "=="),
		"three":         edit(780+73, "==="),
		"loose bits":    append(append([]byte{}, good...), "QUJDRB==\r\n"...),
		"short inside":  append(append(append([]byte{}, good...), "QUJD\r\n"...), good...),
		"url alphabet":  edit(780+30, "-_"),
		"no last CRLF":  bytes.TrimRight(good, "\r\n"),
		"two runs":      append(append(append([]byte{}, good...), "--b\r\nA: b\r\n\r\n"...), lines(noise(rnd, 3000), 16)...),
		"cut":           good[13 : len(good)-9],
		"growing lines": append(append([]byte{}, good...), lines(noise(rnd, 3000), 25)...),
	} {
		t.Run(name, func(t *testing.T) { checkFold(t, plain) })
	}
}

func TestUnfoldRefuses(t *testing.T) {
	rnd := rand.New(rand.NewSource(9))
	plain := append([]byte("A: b\r\n\r\n"), lines(noise(rnd, 2000), 19)...)
	folded := checkFold(t, plain)
	for i := range folded {
		if _, ok := unfold(nil, folded[:i], len(plain)); ok {
			t.Fatalf("cut at %d taken", i)
		}
	}
	for _, n := range []int{0, 1, len(plain) - 1, len(plain) + 1} {
		if _, ok := unfold(nil, folded, n); ok {
			t.Fatalf("%d bytes taken for %d", len(plain), n)
		}
	}
	if _, ok := unfold(nil, append(folded, 0), len(plain)); ok {
		t.Fatal("more bytes taken")
	}
}

func FuzzFold(f *testing.F) {
	rnd := rand.New(rand.NewSource(10))
	for _, q := range []int{10, 19} {
		f.Add(append([]byte("x: y\r\n\r\n"), lines(noise(rnd, 1000), q)...), []byte(nil), 100, byte('='))
	}
	folded, _ := fold(nil, lines(noise(rnd, 1000), 19))
	f.Add([]byte{}, folded, 1370, byte(0))
	f.Fuzz(func(t *testing.T, plain, folded []byte, n int, c byte) {
		if len(plain) > ChunkSize || n < 0 || n > ChunkSize {
			return
		}
		checkFold(t, plain)
		if n < len(plain) {
			plain = append([]byte{}, plain...)
			plain[n] = c
			checkFold(t, plain)
		}
		if out, ok := unfold(nil, folded, n); ok && len(out) != n {
			t.Fatalf("%d bytes, not %d", len(out), n)
		} else if ok {
			// A run that was cut in two, say, folds otherwise, but to the same.
			checkFold(t, out)
		}
	})
}

func BenchmarkFold(b *testing.B) {
	plain := base64Lines(rand.New(rand.NewSource(1)), ChunkSize)
	words := text(rand.New(rand.NewSource(1)), ChunkSize)
	folded, ok := fold(nil, plain)
	if !ok {
		b.Fatal("not folded")
	}
	room := make([]byte, 0, 2*ChunkSize)
	for name, f := range map[string]func(){
		"base64": func() { fold(room, plain) },
		"text":   func() { fold(room, words) },
		"unfold": func() { unfold(room, folded, len(plain)) },
	} {
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			b.SetBytes(ChunkSize)
			for b.Loop() {
				f()
			}
		})
	}
}
