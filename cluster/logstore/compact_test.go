package logstore

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// TestCompactCrash opens what a crash leaves between any two steps of a
// compaction: the old file beside the first pages of the new one, or beside
// nothing but zeros, or the new file in its place. The log and the vote are
// the same in each.
func TestCompactCrash(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(dir)
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		s.StoreLogs(entries(1, 300, 3, "some mail")),
		s.SetUint64([]byte(keyTerm), 4), s.SetUint64([]byte(keyVoteTerm), 4), s.Set([]byte(keyVoteCand), []byte("a node")),
		s.DeleteRange(1, 250),
		s.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, FileName)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = Open(o); err == nil {
		err = s.Compact()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(old, fresh) {
		t.Fatal("the compaction changed nothing")
	}

	check := func(name string, db, beside []byte) {
		t.Helper()
		o := testOptions(filepath.Join(t.TempDir(), "group"))
		o.Create = false
		if err := os.Mkdir(o.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(o.Dir, FileName), db, 0o600); err != nil {
			t.Fatal(err)
		}
		left := filepath.Join(o.Dir, FileName+compactSuffix)
		if beside != nil {
			if err := os.WriteFile(left, beside, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := mustOpen(t, o)
		if first, _ := s.FirstIndex(); first != 251 {
			t.Errorf("%s: the log begins at %d", name, first)
		}
		if last, _ := s.LastIndex(); last != 300 {
			t.Errorf("%s: the log ends at %d", name, last)
		}
		for _, want := range entries(251, 50, 3, "some mail") {
			var l raft.Log
			if err := s.GetLog(want.Index, &l); err != nil || !bytes.Equal(l.Data, want.Data) || l.Term != want.Term {
				t.Fatalf("%s: entry %d: %q, %v", name, want.Index, l.Data, err)
			}
		}
		cand, err := s.Get([]byte(keyVoteCand))
		if err != nil || string(cand) != "a node" || s.Term() != 4 {
			t.Errorf("%s: vote %q in term %d: %v", name, cand, s.Term(), err)
		}
		if _, err := os.Stat(left); !os.IsNotExist(err) {
			t.Errorf("%s: the unfinished file is still there: %v", name, err)
		}
		if err := s.StoreLogs(entries(301, 1, 4, "next")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	const page = 4096
	for cut := 0; cut <= len(fresh); cut += 2 * page {
		check(fmt.Sprintf("%d bytes written", cut), old, fresh[:cut])
	}
	check("nothing of it on the disk", old, make([]byte, len(fresh)))
	check("renamed", fresh, nil)
}
