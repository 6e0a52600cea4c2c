package search

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/mailstore"
)

// TestTwin holds the index against reading all texts, through deliveries,
// expunges, merges, restarts and bodies that come late.
func TestTwin(t *testing.T) {
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		fs := vfs.NewMem()
		w := newWorld(t, 7)
		x := openIndex(t, fs)
		in := newIndexer(x, w)
		n := 0
		for round := range 25 {
			for range 1 + rnd.IntN(20) {
				l := w.put(n, randomTexts(rnd), randomTexts(rnd))
				l.late, l.long = rnd.IntN(30) == 0, rnd.IntN(30) == 0
				n++
			}
			for _, l := range w.letters {
				if rnd.IntN(25) == 0 {
					w.expunge(l.id)
				}
				l.late = l.late && rnd.IntN(2) == 0
			}
			in.Changed(w.id)
			if rnd.IntN(4) == 0 {
				in.mark(w.id, true)
			}
			noErr(t, in.Round(t.Context()))
			want := 0
			for _, l := range w.letters {
				if !l.long && !l.late {
					want++
				}
			}
			for range 12 {
				known := compareAll(t, x, w, randomNeedle(rnd, w), rnd.IntN(2) == 0)
				if rnd.IntN(30) > 0 && known < want-3*round-3 { // those that were late are tried later
					t.Fatalf("only %d of %d are known", known, want)
				}
			}
			if rnd.IntN(5) == 0 {
				noErr(t, x.Close())
				x = openIndex(t, fs)
				in = newIndexer(x, w)
				noErr(t, in.Round(t.Context()))
				if got := compareAll(t, x, w, "A", false); got != want {
					t.Fatalf("after a restart %d are known, want %d", got, want)
				}
			}
		}
		if s := x.Stats(); s.Dropped != 0 || s.Failed != 0 {
			t.Fatalf("%+v", s)
		}
		noErr(t, x.Close())
	}
}

// TestWords: everything in a word is in one of its pieces, and its beginning
// and its end are in the first and the last.
func TestWords(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for n := 1; n < 400; n++ {
		w := make([]byte, n)
		for i := range w {
			w[i] = byte('A' + rnd.IntN(26))
		}
		var pieces [][]byte
		eachWord(append(append([]byte("-"), w...), ' '), func(p []byte) { pieces = append(pieces, bytes.Clone(p)) })
		for i := range pieces {
			if len(pieces[i]) > wordMax {
				t.Fatalf("a piece of %d", len(pieces[i]))
			}
		}
		for i := range w {
			part := w[i:min(n, i+wordWhole)]
			ok := false
			for _, p := range pieces {
				ok = ok || bytes.Contains(p, part)
			}
			if !ok {
				t.Fatalf("octets %d to %d of %d are in no piece", i, i+len(part), n)
			}
		}
		if k := min(n, wordWhole); !bytes.HasPrefix(pieces[0], w[:k]) || !bytes.HasSuffix(pieces[len(pieces)-1], w[n-k:]) {
			t.Fatalf("the ends of a word of %d", n)
		}
		if n <= wordMax && len(pieces) != 1 {
			t.Fatalf("%d pieces of a word of %d", len(pieces), n)
		}
	}
}

func TestQuery(t *testing.T) {
	long := strings.Repeat("ABCDEFGH", 20)
	for _, c := range []struct {
		needle   string
		patterns []string
		exact    bool
	}{
		{"MEETING", []string{"MEETING"}, true},
		{" ", nil, false},
		{"--", nil, false},
		{"MEETING ", []string{"MEETING\x00"}, false},
		{" MEET", []string{"\x00MEET"}, false},
		{"ING AT THE STA", []string{"ING\x00", "\x00AT\x00", "\x00THE\x00", "\x00STA"}, false},
		{"A@B.C", []string{"A\x00", "\x00B\x00", "\x00C"}, false},
		{long, []string{long[:33]}, false},
		{long[:33], []string{long[:33]}, true},
		{long[:34], []string{long[:33]}, false},
		{long + " " + long, []string{long[len(long)-33:] + "\x00", "\x00" + long[:33]}, false},
		{"-" + long + "-", []string{"\x00" + long[:33]}, false},
		{"SMO\u0308R", []string{"SMO\u0308R"}, true},
	} {
		q := newQuery([]byte(c.needle), false)
		got := ""
		for _, p := range q.patterns {
			got += fmt.Sprintf("%q ", p)
		}
		want := ""
		for _, p := range c.patterns {
			want += fmt.Sprintf("%q ", p)
		}
		if got != want || q.exact != c.exact {
			t.Errorf("%q: %s %v, want %s %v", c.needle, got, q.exact, want, c.exact)
		}
	}
	if q := newQuery([]byte(strings.Repeat("A BC DEF ", 1000)), false); len(q.patterns) > maxPatterns {
		t.Errorf("%d patterns", len(q.patterns))
	}
}

// TestFew: a few messages in a large account are read rather than searched.
func TestFew(t *testing.T) {
	w := newWorld(t, 1)
	for i := range 200 {
		w.put(i, []string{"SUBJECT: HI"}, []string{"TEXT"})
	}
	x := openIndex(t, vfs.NewMem())
	defer x.Close()
	noErr(t, newIndexer(x, w).Round(t.Context()))
	f := must[*Found](t)(x.Search(t.Context(), 1, w.keys, []byte("TEXT"), false, 2))
	if _, known := f.Verdict(contentID(1)); known {
		t.Error("all of the index was looked through for two messages")
	}
	f = must[*Found](t)(x.Search(t.Context(), 1, w.keys, []byte("TEXT"), false, 20))
	if hit, known := f.Verdict(contentID(1)); !hit || !known {
		t.Error("the index was not asked")
	}
	f = must[*Found](t)(x.Search(t.Context(), 2, w.keys, []byte("TEXT"), false, 20))
	if _, known := f.Verdict(contentID(1)); known {
		t.Error("another account's index was asked")
	}
}

func TestSearchStops(t *testing.T) {
	w := newWorld(t, 1)
	for i := range 100 {
		w.put(i, []string{"SUBJECT: HI"}, []string{"TEXT"})
	}
	x := openIndex(t, vfs.NewMem())
	defer x.Close()
	noErr(t, newIndexer(x, w).Round(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.Search(ctx, 1, w.keys, []byte("TEXT"), false, 100); !errors.Is(err, context.Canceled) {
		t.Errorf("goes on for a client that is gone: %v", err)
	}
}

// TestWaiting: fewer messages than a batch wait, and are read meanwhile.
func TestWaiting(t *testing.T) {
	w := newWorld(t, 1)
	x := openIndex(t, vfs.NewMem())
	defer x.Close()
	in := NewIndexer(x, w, IndexerOptions{Batch: 10, Sweep: 1, Busy: 1, Idle: 1})
	for i := range 9 {
		w.put(i, nil, []string{"TEXT"})
	}
	noErr(t, in.Round(t.Context()))
	if s := x.Stats(); s.Behind != 9 || s.Segments != 0 || w.reads != 0 {
		t.Fatalf("%+v, %d texts read", s, w.reads)
	}
	w.put(9, nil, []string{"TEXT"})
	in.Changed(1)
	noErr(t, in.Round(t.Context()))
	if s := x.Stats(); s.Behind != 0 || s.Segments != 1 || s.Indexed != 10 {
		t.Fatalf("%+v", s)
	}
	// Flags that change are not read again.
	for _, l := range w.letters {
		w.modseq++
		l.modseq = w.modseq
	}
	in.Changed(1)
	noErr(t, in.Round(t.Context()))
	if w.reads != 10 {
		t.Fatalf("%d texts read", w.reads)
	}
}

// TestMerges: many small segments become few.
func TestMerges(t *testing.T) {
	w := newWorld(t, 1)
	x := openIndex(t, vfs.NewMem())
	defer x.Close()
	in := newIndexer(x, w)
	for i := range 100 {
		w.put(i, nil, []string{fmt.Sprint("TEXT ", i)})
		in.Changed(1)
		noErr(t, in.Round(t.Context()))
	}
	if s := x.Stats(); s.Segments > fan || s.Merged == 0 {
		t.Fatalf("%+v", s)
	}
	if n := compareAll(t, x, w, "TEXT 77", true); n != 100 {
		t.Fatalf("%d are known", n)
	}
	if w.reads != 100 {
		t.Fatalf("%d texts read", w.reads)
	}
}

// TestClosedAccount: the index of an account that is no more is removed, also
// when nobody looked while it went.
func TestClosedAccount(t *testing.T) {
	fs := vfs.NewMem()
	w := newWorld(t, 1)
	w.put(1, nil, []string{"TEXT"})
	x := openIndex(t, fs)
	in := newIndexer(x, w)
	noErr(t, in.Round(t.Context()))
	if len(must[[]string](t)(fs.List("search"))) != 1 {
		t.Fatal("nothing was written")
	}
	noErr(t, x.Close())
	w.closed = true
	x = openIndex(t, fs)
	noErr(t, newIndexer(x, w).Round(t.Context()))
	if left := must[[]string](t)(fs.List("search")); len(left) != 0 {
		t.Fatal(left)
	}
	if s := x.Stats(); s.Segments != 0 || s.Bytes != 0 {
		t.Fatalf("%+v", s)
	}
	noErr(t, x.Close())
}

// TestShutsLRU: what is used longest ago is closed, and opened again.
func TestShutsLRU(t *testing.T) {
	fs := vfs.NewMem()
	x := must[*Index](t)(Open(fs, "search", Options{Text: 1, Documents: 30, Logger: quiet()}))
	defer x.Close()
	var worlds []*world
	for id := range 10 {
		w := newWorld(t, mailstore.AccountID(id+1))
		for i := range 10 {
			w.put(i, nil, []string{fmt.Sprint("TEXT ", id)})
		}
		noErr(t, newIndexerOf(x, w).account(t.Context(), w.id, false))
		worlds = append(worlds, w)
	}
	for range 3 {
		for _, w := range worlds {
			if n := compareAll(t, x, w, fmt.Sprint(" ", int(w.id)-1), true); n != 10 {
				t.Fatalf("%d are known", n)
			}
			x.mu.Lock()
			docs, open := x.docs, x.open.Len()
			x.mu.Unlock()
			if docs > 30 || open > 3 {
				t.Fatalf("%d documents of %d accounts are open", docs, open)
			}
		}
	}
}

func newIndexerOf(x *Index, w Mail) *Indexer {
	in := newIndexer(x, w)
	in.every = false
	return in
}
