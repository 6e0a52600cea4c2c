package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"altmail.se/altmail/cluster"
)

type testKeys struct {
	epoch uint32
	gone  map[uint32]bool
}

func (k *testKeys) LogKey() (uint32, *[32]byte) {
	key, _ := k.LogKeyAt(k.epoch)
	return k.epoch, key
}

func (k *testKeys) LogKeyAt(e uint32) (*[32]byte, error) {
	if k.gone[e] {
		return nil, fmt.Errorf("epoch %d is destroyed", e)
	}
	var key [32]byte
	for i := range key {
		key[i] = byte(e) + byte(i)
	}
	return &key, nil
}

func testOptions(dir string) Options {
	o := Options{Dir: dir, Node: cluster.NodeID{1}, Group: 7, Keys: &testKeys{epoch: 1}, Create: true, NoSync: true}
	if memJournal != nil {
		o.Journal = memJournal()
	}
	return o
}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func entries(from, n uint64, term uint64, body string) []*raft.Log {
	out := make([]*raft.Log, n)
	for i := range out {
		idx := from + uint64(i)
		out[i] = &raft.Log{Index: idx, Term: term, Type: raft.LogCommand, Data: fmt.Appendf(nil, "%s %d", body, idx), AppendedAt: time.Unix(int64(idx), 0)}
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(dir)
	o.CacheBytes = 1 // everything comes from the disk
	s := mustOpen(t, o)
	logs := []*raft.Log{
		{Index: 5, Term: 2, Type: raft.LogConfiguration, Data: []byte("conf"), AppendedAt: time.Unix(9, 0)},
		{Index: 6, Term: 2, Type: raft.LogNoop},
		{Index: 7, Term: 3, Type: raft.LogCommand, Data: []byte("d"), Extensions: []byte("ext")},
	}
	if err := s.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	for _, want := range logs {
		var got raft.Log
		if err := s.GetLog(want.Index, &got); err != nil {
			t.Fatal(err)
		}
		if got.Index != want.Index || got.Term != want.Term || got.Type != want.Type ||
			!bytes.Equal(got.Data, want.Data) || !bytes.Equal(got.Extensions, want.Extensions) || !got.AppendedAt.Equal(want.AppendedAt) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	}
	var l raft.Log
	for _, i := range []uint64{0, 4, 8} {
		if err := s.GetLog(i, &l); !errors.Is(err, raft.ErrLogNotFound) {
			t.Fatalf("entry %d: %v", i, err)
		}
	}
}

// TestTwin runs random operations against the store and against a map, with a
// cache too small for all of it, and reopens now and then.
func TestTwin(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "twin")
		if err != nil {
			r.Fatal(err)
		}
		o := testOptions(dir)
		o.CacheBytes = rapid.SampledFrom([]int{1, 1500, 1 << 20}).Draw(r, "cache")
		s, err := Open(o)
		if err != nil {
			r.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				r.Fatal(err)
			}
		}()
		twin := map[uint64]string{}
		var first, last uint64
		term := uint64(1)
		check := func() {
			if f, _ := s.FirstIndex(); f != first {
				r.Fatalf("first %d, want %d", f, first)
			}
			if l, _ := s.LastIndex(); l != last {
				r.Fatalf("last %d, want %d", l, last)
			}
			for i := first; i <= last && last > 0; i++ {
				var l raft.Log
				if err := s.GetLog(i, &l); err != nil {
					r.Fatal(err)
				}
				if string(l.Data) != twin[i] {
					r.Fatalf("entry %d is %q, want %q", i, l.Data, twin[i])
				}
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) {},
			"store": func(r *rapid.T) {
				from := last + 1
				if last == 0 {
					from = rapid.Uint64Range(1, 50).Draw(r, "from")
				}
				logs := entries(from, rapid.Uint64Range(1, 20).Draw(r, "n"), term, rapid.StringN(0, 40, -1).Draw(r, "data"))
				if err := s.StoreLogs(logs); err != nil {
					r.Fatal(err)
				}
				if first == 0 {
					first = from
				}
				for _, l := range logs {
					twin[l.Index], last = string(l.Data), l.Index
				}
			},
			"truncate front": func(r *rapid.T) {
				if last == 0 {
					return
				}
				to := rapid.Uint64Range(first, last).Draw(r, "to")
				if err := s.DeleteRange(first, to); err != nil {
					r.Fatal(err)
				}
				if first = to + 1; to == last {
					first, last = 0, 0
				}
			},
			"truncate back": func(r *rapid.T) {
				if last == 0 {
					return
				}
				from := rapid.Uint64Range(first, last).Draw(r, "from")
				if err := s.DeleteRange(from, last); err != nil {
					r.Fatal(err)
				}
				term++
				if last = from - 1; from == first {
					first, last = 0, 0
				}
			},
			"reopen": func(r *rapid.T) {
				if err := s.Close(); err != nil {
					r.Fatal(err)
				}
				o.Create = false
				if s, err = Open(o); err != nil {
					r.Fatal(err)
				}
			},
			"compact": func(r *rapid.T) {
				if err := s.Compact(); err != nil {
					r.Fatal(err)
				}
			},
			"check": func(*rapid.T) { check() },
		})
		check()
	})
}

// TestContiguous: the store says that it is monotonic and holds raft to it
// (guard G4).
func TestContiguous(t *testing.T) {
	var reported error
	o := testOptions(t.TempDir())
	o.OnError = func(err error) { reported = err }
	s := mustOpen(t, o)
	if m, ok := any(s).(raft.MonotonicLogStore); !ok || !m.IsMonotonic() {
		t.Fatal("the store must be monotonic")
	}
	if err := s.StoreLogs(entries(1, 3, 1, "x")); err != nil {
		t.Fatal(err)
	}
	if err := s.StoreLogs(entries(5, 1, 1, "x")); !errors.Is(err, ErrGap) {
		t.Fatalf("a gap was stored: %v", err)
	}
	if !errors.Is(reported, ErrGap) {
		t.Fatalf("the gap was not reported: %v", reported)
	}
}

// TestVoteIsOneWrite: term and candidate of a vote become durable together, and
// in one write (guard G3). raft writes them one after the other.
func TestVoteIsOneWrite(t *testing.T) {
	dir := t.TempDir()
	writes, fail := 0, false
	o := testOptions(dir)
	o.Fault = func(op Op) error {
		if op == OpSetStable {
			writes++
			if fail {
				return errors.New("disk")
			}
		}
		return nil
	}
	s := mustOpen(t, o)
	vote := func(term uint64, cand string) error {
		if err := s.SetUint64([]byte("LastVoteTerm"), term); err != nil {
			return err
		}
		return s.Set([]byte("LastVoteCand"), []byte(cand))
	}
	if err := s.SetUint64([]byte("CurrentTerm"), 4); err != nil {
		t.Fatal(err)
	}
	writes = 0
	if err := vote(4, "a"); err != nil {
		t.Fatal(err)
	}
	if writes != 1 {
		t.Fatalf("a vote took %d writes", writes)
	}
	fail = true
	if err := vote(5, "b"); err == nil {
		t.Fatal("a vote that failed to be written was granted")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.Fault, o.Create = nil, false
	s = mustOpen(t, o)
	term, err := s.GetUint64([]byte("LastVoteTerm"))
	if err != nil || term != 4 {
		t.Fatalf("vote term %d, %v after a failed vote", term, err)
	}
	if cand, err := s.Get([]byte("LastVoteCand")); err != nil || string(cand) != "a" {
		t.Fatalf("candidate %q, %v", cand, err)
	}
	if term, err := s.GetUint64([]byte("CurrentTerm")); err != nil || term != 4 {
		t.Fatalf("current term %d, %v", term, err)
	}
	if err := s.RaiseTerm(9); err != nil || s.Term() != 9 {
		t.Fatalf("term %d, %v", s.Term(), err)
	}
	if err := s.RaiseTerm(3); err != nil || s.Term() != 9 {
		t.Fatalf("term lowered to %d, %v", s.Term(), err)
	}
}

// TestErrorAtOperation: whatever operation fails, it is reported once, nothing
// is tried again on the file, and what was acknowledged is there afterwards.
func TestErrorAtOperation(t *testing.T) {
	for k := 1; k <= 12; k++ {
		dir := t.TempDir()
		var n, reports atomic.Int32
		o := testOptions(dir)
		o.Fault = func(Op) error {
			if int(n.Add(1)) == k {
				return errors.New("disk")
			}
			return nil
		}
		o.OnError = func(error) { reports.Add(1) }
		s := mustOpen(t, o)
		acked, failed := uint64(0), false
		for i := uint64(1); i <= 6; i++ {
			err := s.StoreLogs(entries(i, 1, 1, "x"))
			if err == nil && failed {
				t.Fatalf("k=%d: a write succeeded after a failed one", k)
			}
			if err != nil {
				failed = true
				continue
			}
			acked = i
			if err := s.SetUint64([]byte("CurrentTerm"), i); err != nil {
				failed = true
			}
		}
		if !failed || reports.Load() != 1 {
			t.Fatalf("k=%d: failed %t, %d reports", k, failed, reports.Load())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		o.Fault, o.Create = nil, false
		s = mustOpen(t, o)
		if last, _ := s.LastIndex(); last != acked {
			t.Fatalf("k=%d: last %d, acknowledged %d", k, last, acked)
		}
	}
}

func TestMissingAndForeign(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(dir)
	o.Create = false
	if _, err := Open(o); !errors.Is(err, ErrMissing) {
		t.Fatalf("a missing log was opened: %v", err)
	}
	o.Create = true
	s := mustOpen(t, o)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"node":  func(o *Options) { o.Node[3]++ },
		"group": func(o *Options) { o.Group++ },
	} {
		p := o
		change(&p)
		if _, err := Open(p); !errors.Is(err, ErrDamaged) {
			t.Errorf("a log of another %s was opened: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, FileName), bytes.Repeat([]byte("garbage"), 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); !errors.Is(err, ErrDamaged) {
		t.Fatalf("garbage was opened: %v", err)
	}
}

// TestDamage flips bits in stored records through bbolt: each is noticed.
func TestDamage(t *testing.T) {
	if !sealing {
		t.Skip("this build does not seal")
	}
	dir := t.TempDir()
	o := testOptions(dir)
	s := mustOpen(t, o)
	if err := s.StoreLogs(entries(1, 3, 1, "content")); err != nil {
		t.Fatal(err)
	}
	if err := s.SetUint64([]byte("CurrentTerm"), 3); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit := func(bucket, key string, f func([]byte) []byte) {
		db, err := bbolt.Open(filepath.Join(dir, FileName), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(bucket))
			return b.Put([]byte(key), f(bytes.Clone(b.Get([]byte(key)))))
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	o.Create = false
	two := string([]byte{0, 0, 0, 0, 0, 0, 0, 2})
	var kept []byte
	edit("logs", two, func(v []byte) []byte {
		kept = bytes.Clone(v)
		v[len(v)/2] ^= 1
		return v
	})
	s = mustOpen(t, o)
	var l raft.Log
	if err := s.GetLog(2, &l); !errors.Is(err, ErrDamaged) {
		t.Fatalf("a flipped bit was not noticed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// A good record in another's place does not pass for it.
	edit("logs", two, func([]byte) []byte { return kept })
	edit("logs", string([]byte{0, 0, 0, 0, 0, 0, 0, 3}), func([]byte) []byte { return kept })
	s = mustOpen(t, o)
	if err := s.GetLog(3, &l); !errors.Is(err, ErrDamaged) {
		t.Fatalf("a record in another's place was not noticed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit("conf", recordVote, func(v []byte) []byte { v[len(v)-1] ^= 0x80; return v })
	if _, err := Open(o); !errors.Is(err, ErrDamaged) {
		t.Fatalf("a damaged vote was opened: %v", err)
	}
}

// TestNoPlaintext: the file shows nothing of an entry, a vote or a server name.
// It fails in a build with the tag unsealed_log.
func TestNoPlaintext(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, testOptions(dir))
	canary := "canary-7f3a9c-words-of-a-letter"
	if err := s.StoreLogs([]*raft.Log{
		{Index: 1, Term: 1, Type: raft.LogCommand, Data: []byte(canary), Extensions: []byte(canary)},
		{Index: 2, Term: 1, Type: raft.LogConfiguration, Data: []byte(canary)},
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetUint64([]byte("LastVoteTerm"), 2); err != nil {
		t.Fatal(err)
	}
	if err := s.Set([]byte("LastVoteCand"), []byte(canary)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), canary[:12]) {
		t.Fatal("the log file shows plaintext")
	}
}

// TestCompactErases: after a compaction the record of a deleted entry is not in
// the file any more, not even sealed.
func TestCompactErases(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, testOptions(dir))
	if err := s.StoreLogs(entries(1, 2000, 1, strings.Repeat("x", 200))); err != nil {
		t.Fatal(err)
	}
	var rec raft.Log
	if err := s.db.GetLog(7, &rec); err != nil {
		t.Fatal(err)
	}
	probe := bytes.Clone(rec.Data[len(rec.Data)-60:])
	file := func() []byte {
		b, err := os.ReadFile(filepath.Join(dir, FileName))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !bytes.Contains(file(), probe) {
		t.Fatal("the probe is not in the file at all")
	}
	if err := s.DeleteRange(1, 1990); err != nil {
		t.Fatal(err)
	}
	before, err := s.Size()
	if err != nil {
		t.Fatal(err)
	}
	made := s.Made()
	for !time.Now().After(made.Add(2 * time.Millisecond)) {
	}
	if err := s.Compact(); err != nil {
		t.Fatal(err)
	}
	if !s.Made().After(made) {
		t.Fatal("the new file has the old one's time")
	}
	after, err := s.Size()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(file(), probe) {
		t.Fatal("the deleted record is still in the file")
	}
	if after >= before/4 {
		t.Fatalf("%d bytes before, %d after", before, after)
	}
	if err := s.StoreLogs(entries(2001, 1, 1, "y")); err != nil {
		t.Fatal(err)
	}
}

func TestHold(t *testing.T) {
	s := mustOpen(t, testOptions(t.TempDir()))
	if err := s.StoreLogs(entries(1, 100, 1, "x")); err != nil {
		t.Fatal(err)
	}
	release := s.Hold(40)
	if err := s.DeleteRange(1, 80); err != nil {
		t.Fatal(err)
	}
	if first, _ := s.FirstIndex(); first != 40 {
		t.Fatalf("first %d while 40 is held", first)
	}
	release()
	if err := s.DeleteRange(40, 80); err != nil {
		t.Fatal(err)
	}
	if first, _ := s.FirstIndex(); first != 81 {
		t.Fatalf("first %d after the release", first)
	}
}

// TestBase: index and term of the marker stay readable after its entry is gone.
func TestBase(t *testing.T) {
	s := mustOpen(t, testOptions(t.TempDir()))
	if err := s.StoreLogs(entries(1, 20, 3, "x")); err != nil {
		t.Fatal(err)
	}
	s.SetBase(10, 3)
	var l raft.Log
	if err := s.GetLog(10, &l); err != nil || len(l.Data) == 0 {
		t.Fatalf("the entry itself goes first: %+v, %v", l, err)
	}
	if err := s.DeleteRange(1, 10); err != nil {
		t.Fatal(err)
	}
	if err := s.GetLog(10, &l); err != nil || l.Term != 3 || l.Index != 10 {
		t.Fatalf("%+v, %v", l, err)
	}
	if err := s.GetLog(9, &l); !errors.Is(err, raft.ErrLogNotFound) {
		t.Fatalf("below the marker: %v", err)
	}
	if err := s.Empty(); err != nil {
		t.Fatal(err)
	}
	if err := s.GetLog(10, &l); err != nil || l.Term != 3 {
		t.Fatalf("in an empty log: %+v, %v", l, err)
	}
}

func TestKeyEpochs(t *testing.T) {
	dir := t.TempDir()
	keys := &testKeys{epoch: 1, gone: map[uint32]bool{}}
	o := testOptions(dir)
	o.Keys, o.CacheBytes = keys, 1
	s := mustOpen(t, o)
	if err := s.StoreLogs(entries(1, 1, 1, "old")); err != nil {
		t.Fatal(err)
	}
	keys.epoch = 2
	if err := s.StoreLogs(entries(2, 2, 1, "new")); err != nil {
		t.Fatal(err)
	}
	var l raft.Log
	for i := uint64(1); i <= 3; i++ {
		if err := s.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
	}
	if !sealing {
		return
	}
	oldest := func() uint32 {
		e, err := s.OldestEpoch()
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := oldest(); e != 1 {
		t.Fatalf("oldest epoch %d", e)
	}
	// Without its key an entry can't be read, and that is fatal.
	keys.gone[1] = true
	s.Sealer().Forget(1)
	if err := s.GetLog(1, &l); err == nil {
		t.Fatal("an entry was opened without its key")
	}
	keys.gone[1] = false
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	// Without the entry, and rewritten, nothing needs the old key.
	if err := s.DeleteRange(1, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(); err != nil {
		t.Fatal(err)
	}
	if e := oldest(); e != 2 {
		t.Fatalf("oldest epoch %d after the compaction", e)
	}
	keys.gone[1] = true
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	if err := s.GetLog(2, &l); err != nil {
		t.Fatal(err)
	}
}

func TestBusy(t *testing.T) {
	hang, entered := make(chan struct{}), make(chan struct{})
	o := testOptions(t.TempDir())
	o.Fault = func(op Op) error {
		if op == OpStoreLogs {
			close(entered)
			<-hang
		}
		return nil
	}
	s := mustOpen(t, o)
	if s.Busy() != 0 {
		t.Fatal("busy before any write")
	}
	done := make(chan error)
	go func() { done <- s.StoreLogs(entries(1, 1, 1, "x")) }()
	<-entered
	if s.Busy() <= 0 {
		t.Fatal("not busy within a write")
	}
	close(hang)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if s.Busy() != 0 {
		t.Fatal("busy after the write")
	}
}

func BenchmarkStoreLogs(b *testing.B) {
	for _, n := range []uint64{1, 16, 64} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			o := testOptions(b.TempDir())
			o.NoSync = false
			s := mustOpen(b, o)
			body := strings.Repeat("x", 300)
			next := uint64(1)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.StoreLogs(entries(next, n, 1, body)); err != nil {
					b.Fatal(err)
				}
				next += n
			}
		})
	}
}
