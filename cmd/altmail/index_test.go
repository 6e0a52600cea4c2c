package main

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/crypto/cryptfs"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/search"
)

// oneLetter is an account with a message.
type oneLetter struct{ keys *keyring.Account }

func (o oneLetter) Accounts(fn func(mailstore.AccountID) error) error { return fn(1) }

func (o oneLetter) Account(context.Context, mailstore.AccountID) (search.MailAccount, error) {
	return o, nil
}

func (o oneLetter) Keys() search.Keys { return o.keys }

func (o oneLetter) Contents(_ mailstore.ModSeq, fn func(mailstore.ContentID) error) (mailstore.ModSeq, error) {
	return 1, fn(mailstore.ContentID{1})
}

func (o oneLetter) Text(_ context.Context, _ mailstore.ContentID, dst []byte, _ int) ([]byte, int, error) {
	return append(dst, "SUBJECT: HELLO\xffTEXT\xff"...), 15, nil
}

// TestRotateIndex changes file keys again and again: the search index goes with
// them, open or not, and keeps no old key alive.
func TestRotateIndex(t *testing.T) {
	dir := t.TempDir()
	ring := newRing(t)
	defer ring.Close()
	keys, err := keyring.NewAccount(1)
	if err != nil {
		t.Fatal(err)
	}
	mail, files := oneLetter{keys}, filepath.Join(dir, "search")
	open := func() *search.Index {
		x, err := search.Open(cryptfs.New(vfs.Default, ring.Files()), files, search.Options{Text: 1})
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	x := open()
	if err := search.NewIndexer(x, mail, search.IndexerOptions{Batch: 1, Sweep: 1, Busy: 1, Idle: 1}).Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	find := func() {
		t.Helper()
		f, err := x.Search(t.Context(), 1, keys, []byte("T: HE"), false, 1)
		if err != nil {
			t.Fatal(err)
		}
		if hit, known := f.Verdict(mailstore.ContentID{1}); !hit || !known {
			t.Fatalf("found %v, known %v", hit, known)
		}
	}
	find()
	for round := range 5 {
		rewrite := func(ctx context.Context) error { return renewIndex(ctx, ring, x) }
		if err := rotate(t.Context(), ring, []rewritten{{files, rewrite}}, func() (keyring.Epoch, error) { return 1, nil }); err != nil {
			t.Fatal(err)
		}
		current, _ := ring.FileKey()
		used, err := cryptfs.EpochsInUse(vfs.Default, files)
		if err != nil || len(used) != 1 || used[uint32(current)] != 1 {
			t.Fatalf("files lie under %v, the newest key is %d: %v", used, current, err)
		}
		if got := ring.FileKeyEpochs(); len(got) > 2 {
			t.Fatalf("file keys %v are left", got)
		}
		if round%2 == 0 {
			find() // with what is open
			continue
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		x = open()
	}
	find()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}
