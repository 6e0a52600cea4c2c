package fulltext

import (
	"bytes"
	"context"
	"math/rand"
	"strings"
	"testing"
	"testing/iotest"
)

// A text is found wherever it stands in the stream, however it is read.
func TestInStream(t *testing.T) {
	rnd := rand.New(rand.NewSource(5))
	for range 40 {
		hay := make([]rune, rnd.Intn(300000))
		for i := range hay {
			hay[i] = []rune("aäxé\n ")[rnd.Intn(6)]
		}
		text := string(hay)
		at := 0
		if len(hay) > 0 {
			at = rnd.Intn(len(hay))
		}
		with := string(hay[:at]) + "NÄdel" + string(hay[at:])
		for _, c := range []struct {
			in, needle string
			want       bool
		}{
			{with, "nädEL", true}, {with, "na", true}, {text, "na", false}, {text, "nädel", false}, {with, "del", true}, {text, "del", false},
		} {
			n := NewNeedle(c.needle)
			got, err := n.inStream(context.Background(), strings.NewReader(c.in))
			if err != nil || got != c.want {
				t.Fatalf("%q in %d octets: %v, %v", c.needle, len(c.in), got, err)
			}
			if len(c.in) < 2000 {
				if got, err = n.inStream(context.Background(), iotest.OneByteReader(strings.NewReader(c.in))); err != nil || got != c.want {
					t.Fatalf("octet by octet: %q: %v, %v", c.needle, got, err)
				}
			}
		}
	}
}

func TestInStreamStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	n := NewNeedle("x")
	if _, err := n.inStream(ctx, bytes.NewReader(make([]byte, 1<<20))); err == nil {
		t.Error("goes on for a client that is gone")
	}
}

func TestIncomplete(t *testing.T) {
	for in, want := range map[string]int{"": 0, "a": 0, "ä": 0, "ä\xc3": 1, "a\xe2\x82": 2, "\xf0\x9f\x98": 3, "\x82\x82\x82": 0, "€": 0, "\xff": 0} {
		if got := Incomplete([]byte(in)); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

func BenchmarkInStream(b *testing.B) {
	for _, needle := range []string{"needle", "nädel"} {
		text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 20000)
		n := NewNeedle(needle)
		b.Run(needle, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := n.inStream(context.Background(), strings.NewReader(text)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
