package state

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/mailstore"
)

// What was expunged leaves every file of the database once it is compacted,
// write-ahead logs included (P6, R17).
func TestErased(t *testing.T) {
	fs := vfs.NewMem()
	r := newRig(t, fs)
	r.must(openAccount(alice))
	canary := []byte("a wrapped key that must go ")
	for i := range 40 {
		p := placed(uint64(i+1), 10, fmt.Sprint(i))
		p.Content.WrappedKey = append(canary, byte('a'+i%2))
		p.Content.Summary = bytes.Repeat([]byte{byte(i), 7}, 400)
		r.must(deliver(alice, "", p))
		if i%10 == 9 { // several logs and tables
			if err := r.db.p.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	find := func(what []byte) (in []string) {
		names, err := fs.List("state")
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			path := fs.PathJoin("state", n)
			info, err := fs.Stat(path)
			if err != nil || info.IsDir() {
				continue // removed meanwhile
			}
			f, err := fs.Open(path)
			if err != nil {
				continue
			}
			b := make([]byte, info.Size())
			_, err = f.ReadAt(b, 0)
			if cerr := f.Close(); err == nil && cerr != nil {
				t.Fatal(cerr)
			}
			if bytes.Contains(b, what) {
				in = append(in, n)
			}
		}
		return in
	}
	if len(find(canary)) == 0 {
		t.Fatal("the canary is not found while it is there: the test sees nothing")
	}
	for u := uint32(1); u <= 40; u += 2 { // those ending in a
		r.must(expunge(alice, Inbox, uids(u, u), true))
	}
	if err := r.db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Pebble removes files behind our back, at its own pace.
	deadline := time.Now().Add(10 * time.Second)
	for len(find(append(canary, 'a'))) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("expunged and still in %v", find(append(canary, 'a')))
		}
		time.Sleep(5 * time.Millisecond)
	}
	if len(find(append(canary, 'b'))) == 0 {
		t.Error("what was not expunged is gone, or hidden by compression")
	}
	equal(t, "left", len(r.list(alice, Inbox)), 20)
	r.read(func(rd *Reader) {
		_, found, err := rd.Content(alice, mailstore.ContentID(contentID(2)))
		equal(t, "content", []any{found, err}, []any{true, nil})
	})
}
