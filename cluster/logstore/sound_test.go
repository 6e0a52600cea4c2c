package logstore

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// TestDamagedPages: whichever page of the file is not what it was, opening it
// says so or finds all that was stored; it never takes the process down, as
// bbolt does when it comes upon the page in a goroutine of its own.
func TestDamagedPages(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(dir)
	o.Create = true
	s := mustOpen(t, o)
	const entries = 120
	var logs []*raft.Log
	for i := range uint64(entries) {
		logs = append(logs, &raft.Log{Index: i + 1, Term: 1, Data: bytes.Repeat([]byte{byte(i)}, 200)})
	}
	if err := s.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, FileName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	rng := rand.New(rand.NewPCG(1, 2))
	noticed := 0
	for at := 0; at+page <= len(good); at += page {
		if bytes.Equal(good[at:at+page], make([]byte, page)) {
			continue // never written
		}
		for name, spoil := range map[string]func(p []byte){
			"zeroes": func(p []byte) { clear(p) },
			"noise": func(p []byte) {
				for i := range p {
					p[i] = byte(rng.Uint32())
				}
			},
			"of else": func(p []byte) { copy(p, good[(at+5*page)%len(good)/page*page:][:page]) },
			"a bit":   func(p []byte) { p[rng.IntN(200)] ^= 1 << rng.IntN(8) },
			"offsets": func(p []byte) {
				for i := 16; i < 64; i++ {
					p[i] = 0xff
				}
			},
		} {
			bad := bytes.Clone(good)
			spoil(bad[at : at+page])
			// A new file: bbolt keeps the lock of one that it gave up on.
			if err := errors.Join(os.Remove(path), os.WriteFile(path, bad, 0o600)); err != nil {
				t.Fatal(err)
			}
			s, err := Open(o)
			if err != nil {
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("%s at page %d: %v", name, at/page, err)
				}
				noticed++
				continue
			}
			if err := s.Close(); err != nil {
				t.Errorf("%s at page %d: close: %v", name, at/page, err)
			}
		}
	}
	if noticed == 0 {
		t.Error("nothing was noticed")
	}
	t.Logf("noticed at the start: %d", noticed)
}
