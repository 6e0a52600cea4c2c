package search

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
)

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

// letter is a message of the world.
type letter struct {
	id         mailstore.ContentID
	head, body []string // texts
	modseq     mailstore.ModSeq
	late       bool // cannot be read for now
	long       bool // has too much text
}

func (l *letter) text() (text []byte, body int) {
	for _, s := range l.head {
		text = append(append(text, s...), EndOfText)
	}
	body = len(text)
	for _, s := range l.body {
		text = append(append(text, s...), EndOfText)
	}
	return text, body
}

func (l *letter) has(needle string, inBody bool) bool {
	in := func(s string) bool { return bytes.Contains([]byte(s), []byte(needle)) }
	return !inBody && slices.ContainsFunc(l.head, in) || slices.ContainsFunc(l.body, in)
}

// world is a Mail of one account.
type world struct {
	id      mailstore.AccountID
	keys    *keyring.Account
	letters map[mailstore.ContentID]*letter
	modseq  mailstore.ModSeq
	closed  bool
	reads   int // texts that were read
}

func newWorld(t testing.TB, id mailstore.AccountID) *world {
	return &world{id: id, keys: must[*keyring.Account](t)(keyring.NewAccount(uint64(id))), letters: map[mailstore.ContentID]*letter{}}
}

func (w *world) Accounts(fn func(mailstore.AccountID) error) error {
	if w.closed {
		return nil
	}
	return fn(w.id)
}

func (w *world) Account(_ context.Context, id mailstore.AccountID) (MailAccount, error) {
	if id != w.id || w.closed {
		return nil, mailstore.ErrNoAccount
	}
	return w, nil
}

func (w *world) Keys() Keys { return w.keys }

func (w *world) Contents(since mailstore.ModSeq, fn func(mailstore.ContentID) error) (mailstore.ModSeq, error) {
	for _, l := range w.letters {
		if l.modseq > since {
			if err := errors.Join(fn(l.id), fn(l.id)); err != nil { // a copy has the same content
				return 0, err
			}
		}
	}
	return w.modseq, nil
}

var errLate = errors.New("the body is not here")

func (w *world) Text(_ context.Context, id mailstore.ContentID, dst []byte, limit int) ([]byte, int, error) {
	l := w.letters[id]
	switch {
	case l == nil:
		return dst, 0, mailstore.ErrExpunged
	case l.late:
		return dst, 0, errLate
	case l.long:
		return dst, 0, ErrTooLong
	}
	w.reads++
	text, body := l.text()
	return append(dst, text...), body, nil
}

// put adds a letter with an id made of a number.
func (w *world) put(n int, head, body []string) *letter {
	w.modseq++
	l := &letter{id: contentID(n), head: head, body: body, modseq: w.modseq}
	w.letters[l.id] = l
	return l
}

func (w *world) expunge(id mailstore.ContentID) {
	w.modseq++
	delete(w.letters, id)
}

func contentID(n int) (id mailstore.ContentID) {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	copy(id[:], sum[:])
	binary.BigEndian.PutUint16(id[4:], uint16(n)) // about in order of time
	id[0], id[1], id[2], id[3] = 0, 0, 0, byte(n>>16)
	return id
}

// syllables make words that share parts, some of them not ASCII.
var syllables = []string{"A", "AN", "NA", "BAN", "KO", "Å", "Ö", "O\u0308", "\u4e2d", "\u6587", "7", "42", "XY", "Q"}

func randomWord(rnd *rand.Rand) string {
	n := 1 + rnd.IntN(4)
	if rnd.IntN(40) == 0 {
		n = 20 + rnd.IntN(80) // longer than a piece
	}
	s := ""
	for range n {
		s += syllables[rnd.IntN(len(syllables))]
	}
	return s
}

func randomText(rnd *rand.Rand, words int) string {
	s := ""
	for range words {
		s += randomWord(rnd) + []string{" ", " ", " ", ", ", "\r\n", "-", "", ".", "\x00", "_", "@"}[rnd.IntN(11)]
	}
	return s
}

func randomTexts(rnd *rand.Rand) []string {
	out := make([]string, rnd.IntN(4))
	for i := range out {
		out[i] = randomText(rnd, rnd.IntN(30))
	}
	return out
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func openIndex(t testing.TB, fs vfs.FS) *Index {
	t.Helper()
	return must[*Index](t)(Open(fs, "search", Options{Text: 1, Logger: quiet()}))
}

func newIndexer(x *Index, w Mail) *Indexer {
	return NewIndexer(x, w, IndexerOptions{Batch: 1, Sweep: 1, Busy: 1, Idle: 1})
}

// compare holds the answers of the index against reading. It returns how many
// messages the index knew.
func compareAll(t testing.TB, x *Index, w *world, needle string, inBody bool) (known int) {
	t.Helper()
	f := must[*Found](t)(x.Search(t.Context(), w.id, w.keys, []byte(needle), inBody, 1<<30))
	for _, l := range w.letters {
		hit, ok := f.Verdict(l.id)
		if !ok {
			if hit {
				t.Fatal("a hit that is not known")
			}
			continue
		}
		known++
		if want := l.has(needle, inBody); hit != want {
			text, body := l.text()
			t.Fatalf("%q in body %v: %v, want %v\n%q\n%q", needle, inBody, hit, want, text[:body], text[body:])
		}
	}
	return known
}

// randomNeedle takes a needle from a letter, or makes one up.
func randomNeedle(rnd *rand.Rand, w *world) string {
	switch rnd.IntN(5) {
	case 0:
		return randomWord(rnd)
	case 1:
		return randomText(rnd, 2)
	case 2:
		return []string{" ", "-", ", ", "\x00", "ZZZ", "ZZZ ZZZ", "A", "7", "."}[rnd.IntN(9)]
	}
	for _, l := range w.letters {
		for _, s := range append(slices.Clone(l.head), l.body...) {
			r := []rune(s)
			if len(r) < 2 {
				continue
			}
			i := rnd.IntN(len(r) - 1)
			n := 1 + rnd.IntN(12)
			if rnd.IntN(4) == 0 {
				n = 1 + rnd.IntN(120)
			}
			return string(r[i:min(len(r), i+n)])
		}
	}
	return fmt.Sprint(rnd.Uint64())
}
