package logstore

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"altmail.se/altmail/cluster"
)

func testSealer() *Sealer { return NewSealer(cluster.NodeID{1, 2, 3}, 7, &testKeys{epoch: 1}) }

// TestGolden: records sealed by this version are opened by every later one.
func TestGolden(t *testing.T) {
	if !sealing {
		t.Skip("this build does not seal")
	}
	const path = "testdata/records.txt"
	s := testSealer()
	want := []struct {
		name        string
		p           Purpose
		kind        uint8
		index, term uint64
		plain       []byte
	}{
		{"entry", PurposeEntry, 0, 42, 7, append([]byte{5}, "helloext"...)},
		{"empty", PurposeEntry, 1, 1, 1, []byte{0}},
		{"vote", PurposeVote, 0, 0, 0, vote{term: 9, voteTerm: 8, cand: []byte("node.1")}.encode()},
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		var b strings.Builder
		for _, w := range want {
			rec, err := s.Seal(nil, w.p, w.kind, w.index, w.term, w.plain)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString(w.name + " " + hex.EncodeToString(rec) + "\n")
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(b))
	if len(lines) != 2*len(want) {
		t.Fatalf("%d fields in %s", len(lines), path)
	}
	for i, w := range want {
		rec, err := hex.DecodeString(lines[2*i+1])
		if err != nil || lines[2*i] != w.name {
			t.Fatalf("line %d: %v", i, err)
		}
		got, err := s.Open(nil, w.p, w.kind, w.index, w.term, rec)
		if err != nil || !bytes.Equal(got, w.plain) {
			t.Fatalf("%s: %x, %v", w.name, got, err)
		}
		for _, bad := range []func() ([]byte, error){
			func() ([]byte, error) { return s.Open(nil, w.p+1, w.kind, w.index, w.term, rec) },
			func() ([]byte, error) { return s.Open(nil, w.p, w.kind+1, w.index, w.term, rec) },
			func() ([]byte, error) { return s.Open(nil, w.p, w.kind, w.index+1, w.term, rec) },
			func() ([]byte, error) { return s.Open(nil, w.p, w.kind, w.index, w.term+1, rec) },
			func() ([]byte, error) { return s.Open(nil, w.p, w.kind, w.index, w.term, rec[:len(rec)-1]) },
			func() ([]byte, error) {
				return NewSealer(cluster.NodeID{9}, 7, &testKeys{epoch: 1}).Open(nil, w.p, w.kind, w.index, w.term, rec)
			},
		} {
			if _, err := bad(); !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s opened under other names: %v", w.name, err)
			}
		}
	}
	v, err := decodeVote(want[2].plain)
	if err != nil || v.term != 9 || v.voteTerm != 8 || string(v.cand) != "node.1" {
		t.Fatalf("vote %+v, %v", v, err)
	}
}

// FuzzRecord: no bytes open without the key, and none make Open panic.
func FuzzRecord(f *testing.F) {
	s := testSealer()
	rec, err := s.Seal(nil, PurposeEntry, 0, 1, 1, []byte("plain"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(rec)
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := s.Open(nil, PurposeEntry, 0, 1, 1, b)
		// Each process of the fuzzer seals its own.
		if err == nil && sealing && string(got) != "plain" {
			t.Fatalf("%x opened to %x", b, got)
		}
	})
}

// FuzzVote: what decodes, encodes to the same bytes.
func FuzzVote(f *testing.F) {
	f.Add(vote{term: 1, voteTerm: 1, cand: []byte("a")}.encode())
	f.Add(vote{}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeVote(b)
		if err == nil && !bytes.Equal(v.encode(), b) {
			t.Fatalf("%x became %+v", b, v)
		}
	})
}
