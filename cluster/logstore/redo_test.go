package logstore

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/journal"
)

func openJournal(t testing.TB, fs vfs.FS, o journal.Options) *journal.Journal {
	t.Helper()
	if o.Fatal == nil {
		o.Fatal = func(err error) { t.Errorf("journal: %v", err) }
	}
	j, err := journal.Open(fs, "journal", o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// memJournal gives testOptions a journal while a test of the file alone is run
// again with one.
var memJournal func() *journal.Journal

// TestWithJournal runs what holds for the file alone with a journal before it.
func TestWithJournal(t *testing.T) {
	for name, f := range map[string]func(*testing.T){
		"RoundTrip": TestRoundTrip, "Contiguous": TestContiguous, "VoteIsOneWrite": TestVoteIsOneWrite,
		"MissingAndForeign": TestMissingAndForeign, "Damage": TestDamage, "NoPlaintext": TestNoPlaintext,
		"Hold": TestHold, "Base": TestBase, "Busy": TestBusy,
	} {
		t.Run(name, func(t *testing.T) {
			memJournal = func() *journal.Journal {
				j := openJournal(t, vfs.NewMem(), journal.Options{})
				t.Cleanup(func() { must(t, j.Close()) })
				return j
			}
			defer func() { memJournal = nil }()
			f(t)
		})
	}
}

// power is a disk whose power goes before operation k of journal and file. A
// transaction of the file is durable as a whole or not at all.
type power struct {
	mu   sync.Mutex
	dir  string
	mem  *vfs.MemFS
	rng  *rand.Rand
	n, k int
	kept *vfs.MemFS // what the loss left of the journal
	file []byte     // and of the file; nil: there was none
	acks func()     // takes the note of what was answered by then
}

func (p *power) step() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n++; p.n != p.k {
		return
	}
	p.file, _ = os.ReadFile(filepath.Join(p.dir, FileName))
	p.kept = p.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: p.rng.IntN(101), RNG: p.rng})
	p.acks()
}

func (p *power) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
		p.step()
	}
	return nil
}

func (p *power) String() string { return "power" }

// model is what a log must hold: what was answered, and what was asked for and
// may be there.
type model struct {
	mu          sync.Mutex
	first, last uint64
	data        map[uint64]string
	// The change under way: entries stored, or the new bounds.
	more       []string
	cut        bool
	cutF, cutL uint64
}

func (m *model) clone() *model {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &model{first: m.first, last: m.last, data: map[uint64]string{}, more: m.more, cut: m.cut, cutF: m.cutF, cutL: m.cutL}
	for i, s := range m.data {
		c.data[i] = s
	}
	return c
}

// check compares a store with what was answered.
func (m *model) check(s *Store) error {
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	switch {
	case first == m.first && last == m.last:
	case m.cut && first >= m.first && first <= m.cutF && (last == m.last || last == m.cutL):
	case m.cut && m.cutL == 0 && last == 0:
	case len(m.more) > 0 && (first == m.first || m.first == 0) && last == m.last+uint64(len(m.more)):
		for i, d := range m.more {
			m.data[m.last+1+uint64(i)] = d
		}
	default:
		return fmt.Errorf("the log is [%d, %d], answered was [%d, %d] and asked %d more, cut to [%d, %d]", first, last, m.first, m.last, len(m.more), m.cutF, m.cutL)
	}
	for i := first; i <= last && last > 0; i++ {
		var l raft.Log
		if err := s.GetLog(i, &l); err != nil {
			return err
		}
		if string(l.Data) != m.data[i] {
			return fmt.Errorf("entry %d is %q, it was %q", i, l.Data, m.data[i])
		}
	}
	return nil
}

// script runs changes on a store until the power has gone.
func (m *model) script(s *Store, rng *rand.Rand, steps int) error {
	for n := range steps {
		m.mu.Lock()
		first, last := m.first, m.last
		m.mu.Unlock()
		var err error
		begin := func(f func()) { m.mu.Lock(); f(); m.mu.Unlock() }
		switch x := rng.IntN(12); {
		case x < 8 || last == 0:
			count := 1 + rng.IntN(4)
			logs := entries(last+1, uint64(count), uint64(n+1), fmt.Sprintf("step %d %s", n, strings.Repeat("x", rng.IntN(900))))
			var more []string
			for _, l := range logs {
				more = append(more, string(l.Data))
			}
			begin(func() { m.more = more })
			err = s.StoreLogs(logs)
			begin(func() {
				for i, d := range more {
					m.data[last+1+uint64(i)] = d
				}
				if m.more, m.last = nil, last+uint64(count); first == 0 {
					m.first = last + 1
				}
			})
		case x < 10: // from the back
			from := last - min(last-first, uint64(rng.IntN(6)))
			f, l := first, from-1
			if from == first {
				f, l = 0, 0
			}
			begin(func() { m.cut, m.cutF, m.cutL = true, f, l })
			err = s.DeleteRange(from, last)
			begin(func() { m.cut, m.first, m.last = false, f, l })
		case x < 11: // from the front
			to := first + uint64(rng.IntN(int(last-first)+1))
			if to == last {
				continue
			}
			begin(func() { m.cut, m.cutF, m.cutL = true, to+1, last })
			err = s.DeleteRange(first, to)
			begin(func() { m.cut, m.first = false, to+1 })
		default:
			err = s.Compact()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TestPowerLoss lets the power go before every operation of a run: entries that
// were answered are there, entries that were deleted do not come back, and the
// log goes on.
func TestPowerLoss(t *testing.T) {
	if journalUnsynced(t) {
		t.Skip("this build does not sync")
	}
	step := 9
	if testing.Short() {
		step = 31
	}
	for k := 1; ; k += step {
		rng := rand.New(rand.NewPCG(uint64(k/40), 5)) // some losses in each script
		m := &model{data: map[uint64]string{}}
		var then *model
		p := &power{dir: t.TempDir(), mem: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(uint64(k), 6)), k: k}
		p.acks = func() { then = m.clone() }
		opts := journal.Options{SegmentSize: 12 << 10, Segments: 3}
		o := testOptions(p.dir)
		o.CacheBytes = 1
		o.Fault = func(Op) error { p.step(); return nil }
		o.Journal = openJournal(t, errorfs.Wrap(p.mem, p), opts)
		s, err := Open(o)
		must(t, err)
		must(t, o.Journal.Settle())
		// From here on: what a member that was never made holds is nothing.
		made := p.n
		must(t, m.script(s, rng, 40))
		must(t, s.Close())
		must(t, o.Journal.Close())
		if then == nil {
			if k < 100 {
				t.Fatalf("%d operations in all", p.n)
			}
			return
		}
		if k <= made {
			continue
		}
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, FileName), p.file, 0o600))
		for life := range 2 {
			o = testOptions(dir)
			o.Create, o.CacheBytes = false, 1
			o.Journal = openJournal(t, p.kept, opts)
			if s, err = Open(o); err != nil {
				t.Fatalf("before operation %d, life %d: %v", k, life, err)
			}
			if err := then.check(s); err != nil {
				t.Fatalf("before operation %d, life %d: %v", k, life, err)
			}
			if life == 0 {
				must(t, o.Journal.Settle())
				last, _ := s.LastIndex()
				must(t, s.StoreLogs(entries(last+1, 1, 99, "after")))
				then = &model{data: then.data, last: last + 1}
				then.first, _ = s.FirstIndex()
				then.data[last+1] = fmt.Sprintf("after %d", last+1)
				// The process is killed: nothing is flushed.
				o.Journal = nil
				p.kept = p.kept.CrashClone(vfs.CrashCloneCfg{})
				file, err := os.ReadFile(filepath.Join(dir, FileName))
				must(t, err)
				must(t, s.Close())
				must(t, os.WriteFile(filepath.Join(dir, FileName), file, 0o600))
				continue
			}
			must(t, s.Close())
			must(t, o.Journal.Close())
		}
	}
}

// journalUnsynced reports whether this build has the bug on purpose that the
// tests of power losses find.
func journalUnsynced(t *testing.T) bool { return noSyncLog }

// TestDeletedStaysDeleted: a suffix that was deleted and stored anew is the new
// one after a crash, wherever its entries were when they were deleted.
func TestDeletedStaysDeleted(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		dir, mem := t.TempDir(), vfs.NewCrashableMem()
		o := testOptions(dir)
		o.Journal = openJournal(t, mem, journal.Options{})
		s, err := Open(o)
		must(t, err)
		must(t, s.StoreLogs(entries(1, 10, 1, "old")))
		if flushed {
			s.redo.flushing.Lock()
			must(t, s.flush())
			s.redo.flushing.Unlock()
		}
		must(t, s.StoreLogs(entries(11, 5, 1, "old")))
		must(t, s.DeleteRange(4, 15))
		open := func(when string, last uint64, data string) {
			t.Helper()
			o := testOptions(t.TempDir())
			o.Create, o.CacheBytes = false, 1
			o.Journal = openJournal(t, mem.CrashClone(vfs.CrashCloneCfg{}), journal.Options{})
			b, err := os.ReadFile(filepath.Join(dir, FileName))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(o.Dir, FileName), b, 0o600))
			s, err := Open(o)
			must(t, err)
			if got, _ := s.LastIndex(); got != last {
				t.Errorf("flushed %t, %s: the log ends at %d, want %d", flushed, when, got, last)
			}
			var l raft.Log
			if err := s.GetLog(last, &l); err != nil || string(l.Data) != fmt.Sprintf("%s %d", data, last) {
				t.Errorf("flushed %t, %s: entry %d is %q, %v", flushed, when, last, l.Data, err)
			}
			must(t, s.Close())
			must(t, o.Journal.Close())
		}
		open("deleted", 3, "old")
		must(t, s.StoreLogs(entries(4, 2, 2, "new")))
		open("stored anew", 5, "new")
		must(t, s.Close())
		must(t, o.Journal.Close())
	}
}

// TestOtherJournal: a log whose journal is not the one it had, or none, is not
// opened as if it were whole.
func TestOtherJournal(t *testing.T) {
	dir, fs := t.TempDir(), vfs.NewMem()
	// A log from before there were journals gets one.
	o := testOptions(dir)
	s, err := Open(o)
	must(t, err)
	must(t, s.StoreLogs(entries(1, 3, 1, "x")))
	must(t, s.Close())
	o.Create = false
	o.Journal = openJournal(t, fs, journal.Options{})
	s, err = Open(o)
	must(t, err)
	must(t, s.StoreLogs(entries(4, 3, 1, "x")))
	if n := s.Stats().Flushes; n != 0 {
		t.Errorf("%d flushes", n)
	}
	must(t, s.Close())
	must(t, o.Journal.Close())

	p := o
	p.Journal = nil
	if _, err := Open(p); err == nil {
		t.Error("opened without its journal")
	}
	p.Journal = openJournal(t, vfs.NewMem(), journal.Options{})
	if _, err := Open(p); !errors.Is(err, ErrDamaged) {
		t.Errorf("opened with another journal: %v", err)
	}
	must(t, p.Journal.Close())
	p.Journal = openJournal(t, fs, journal.Options{})
	s, err = Open(p)
	must(t, err)
	if last, _ := s.LastIndex(); last != 6 {
		t.Errorf("the log ends at %d", last)
	}
	must(t, s.Close())
	must(t, p.Journal.Close())
}

// TestMadeAnew: what the journal holds of a member that was removed does not
// get into the log of the one that comes after it.
func TestMadeAnew(t *testing.T) {
	dir, mem := t.TempDir(), vfs.NewCrashableMem()
	o := testOptions(dir)
	o.Journal = openJournal(t, mem, journal.Options{})
	s, err := Open(o)
	must(t, err)
	must(t, s.StoreLogs(entries(1, 10, 1, "old")))
	left := mem.CrashClone(vfs.CrashCloneCfg{})
	must(t, s.Close())
	must(t, o.Journal.Close())

	must(t, os.RemoveAll(dir))
	o.Journal = openJournal(t, left, journal.Options{})
	s, err = Open(o)
	must(t, err)
	if last, _ := s.LastIndex(); last != 0 {
		t.Fatalf("a new log ends at %d", last)
	}
	must(t, s.StoreLogs(entries(7, 2, 5, "new")))
	left = left.CrashClone(vfs.CrashCloneCfg{})
	file, err := os.ReadFile(filepath.Join(dir, FileName))
	must(t, err)
	must(t, s.Close())
	must(t, o.Journal.Close())

	must(t, os.WriteFile(filepath.Join(dir, FileName), file, 0o600))
	o.Create = false
	o.Journal = openJournal(t, left, journal.Options{})
	s, err = Open(o)
	must(t, err)
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if first != 7 || last != 8 {
		t.Fatalf("the log is [%d, %d]", first, last)
	}
	must(t, s.Close())
	must(t, o.Journal.Close())
}

// TestJournalFails: a journal that can't write ends the store as a file that
// can't be written does.
func TestJournalFails(t *testing.T) {
	var on bool
	var mu sync.Mutex
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if on && op.Kind == errorfs.OpFileWriteAt {
			return os.ErrInvalid
		}
		return nil
	}))
	ended := 0
	o := testOptions(t.TempDir())
	o.Journal = openJournal(t, fs, journal.Options{Fatal: func(error) { ended++ }})
	reports := 0
	o.OnError = func(error) { reports++ }
	s, err := Open(o)
	must(t, err)
	must(t, s.StoreLogs(entries(1, 1, 1, "x")))
	mu.Lock()
	on = true
	mu.Unlock()
	if err := s.StoreLogs(entries(2, 1, 1, "x")); err == nil {
		t.Fatal("stored")
	}
	if last, _ := s.LastIndex(); last != 1 {
		t.Errorf("the log ends at %d", last)
	}
	if err := s.StoreLogs(entries(2, 1, 1, "x")); err == nil {
		t.Fatal("stored after a failure")
	}
	if reports != 1 || ended != 1 {
		t.Errorf("reported %d times by the store, %d by the journal", reports, ended)
	}
	must(t, s.Close())
	must(t, o.Journal.Close())
}

// TestFlushFails: a file that takes no entries home ends the store, also when
// StoreLogs waits for it.
func TestFlushFails(t *testing.T) {
	broken := errors.New("disk")
	o := testOptions(t.TempDir())
	o.Fault = func(op Op) error {
		if op == OpFlush {
			return broken
		}
		return nil
	}
	reports := make(chan error, 9)
	o.OnError = func(err error) { reports <- err }
	o.Journal = openJournal(t, vfs.NewMem(), journal.Options{})
	s, err := Open(o)
	must(t, err)
	next := uint64(1)
	for ; err == nil; next++ {
		err = s.StoreLogs(entries(next, 1, 1, strings.Repeat("x", 100<<10)))
	}
	if !errors.Is(err, broken) || !errors.Is(<-reports, broken) || len(reports) != 0 {
		t.Errorf("stored %d: %v", next, err)
	}
	must(t, s.Close())
	must(t, o.Journal.Close())
}

// TestBounded: what waits for the file is bounded, and a batch too large for
// the journal keeps its place among the others.
func TestBounded(t *testing.T) {
	dir, fs := t.TempDir(), vfs.NewMem()
	o := testOptions(dir)
	o.CacheBytes = 1
	gate := make(chan struct{}, 1)
	o.Fault = func(op Op) error {
		if op == OpFlush {
			<-gate
			gate <- struct{}{}
		}
		return nil
	}
	o.Journal = openJournal(t, fs, journal.Options{})
	s, err := Open(o)
	must(t, err)
	body := strings.Repeat("x", 64<<10)
	const n = 300
	done := make(chan error)
	go func() {
		for i := uint64(1); i <= n; i++ {
			if i%50 == 0 { // beyond maxRedo
				body := strings.Repeat("y", 300<<10)
				if err := s.StoreLogs(entries(i, 5, 1, body)); err != nil {
					done <- err
					return
				}
				i += 4
				continue
			}
			if err := s.StoreLogs(entries(i, 1, 1, body)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	gate <- struct{}{}
	most := 0
	for end := false; !end; {
		select {
		case err := <-done:
			must(t, err)
			end = true
		default:
		}
		s.mu.Lock()
		most = max(most, s.redo.bytes)
		s.mu.Unlock()
	}
	if most == 0 || most > maxPending+maxRedo+(1<<16) {
		t.Errorf("%d bytes were pending", most)
	}
	check := func() {
		t.Helper()
		last, _ := s.LastIndex()
		for i := uint64(1); i <= last; i++ {
			var l raft.Log
			must(t, s.GetLog(i, &l))
			if !bytes.HasSuffix(l.Data, fmt.Appendf(nil, " %d", i)) {
				t.Fatalf("entry %d", i)
			}
		}
		if last < n {
			t.Fatalf("the log ends at %d", last)
		}
	}
	check()
	if s.Stats().Flushes == 0 {
		t.Error("nothing was flushed")
	}
	must(t, s.Close())
	must(t, o.Journal.Close())
	o.Create = false
	o.Journal = openJournal(t, fs, journal.Options{})
	s, err = Open(o)
	must(t, err)
	check()
	must(t, s.Close())
	must(t, o.Journal.Close())
}

// TestPendingEpoch: a log key is in use while an entry under it is only in the
// journal, and the note does not keep one in use for ever.
func TestPendingEpoch(t *testing.T) {
	if !sealing {
		t.Skip("this build does not seal")
	}
	keys := &testKeys{epoch: 1}
	o := testOptions(t.TempDir())
	o.Keys = keys
	o.Journal = openJournal(t, vfs.NewMem(), journal.Options{})
	s, err := Open(o)
	must(t, err)
	oldest := func() uint32 {
		t.Helper()
		e, err := s.OldestEpoch()
		must(t, err)
		return e
	}
	keys.epoch = 2
	must(t, s.StoreLogs(entries(1, 1, 1, "x")))
	keys.epoch = 3
	must(t, s.Compact()) // takes it home, and the note is written anew
	must(t, s.StoreLogs(entries(2, 1, 1, "x")))
	if e := oldest(); e != 2 {
		t.Errorf("oldest epoch %d, want 2", e)
	}
	keys.epoch = 4
	must(t, s.DeleteRange(1, 1))
	must(t, s.Compact())
	if e := oldest(); e != 3 {
		t.Errorf("oldest epoch %d, want 3", e)
	}
	must(t, s.Empty())
	must(t, s.StoreLogs(entries(3, 1, 1, "x")))
	keys.epoch = 5
	must(t, s.StoreLogs(entries(4, 1, 1, "x")))
	if len(s.redo.pending) != 2 {
		t.Fatalf("%d pending", len(s.redo.pending))
	}
	if e := oldest(); e != 4 {
		t.Errorf("oldest epoch %d, want 4", e)
	}
	must(t, s.Close())
	must(t, o.Journal.Close())
}

// TestRenewTakesHome: when the journal is renewed nothing of the store is left
// in it.
func TestRenewTakesHome(t *testing.T) {
	o := testOptions(t.TempDir())
	o.Journal = openJournal(t, vfs.NewMem(), journal.Options{})
	s, err := Open(o)
	must(t, err)
	must(t, o.Journal.Settle())
	must(t, s.StoreLogs(entries(1, 20, 1, "x")))
	must(t, o.Journal.Renew())
	if n := s.Stats().Flushes; n != 1 {
		t.Errorf("%d flushes", n)
	}
	if n := o.Journal.Stats().Held; n != 0 {
		t.Errorf("the journal holds %d bytes", n)
	}
	must(t, s.Close())
	must(t, o.Journal.Close())
}

// goldenRedo is a record of the journal as it is in testdata/redo.txt.
func goldenRedo() []*raft.Log {
	logs := entries(42, 2, 7, "sealed")
	logs[1].Type, logs[1].Data = raft.LogConfiguration, nil
	return logs
}

func TestGoldenRedo(t *testing.T) {
	b, err := os.ReadFile("testdata/redo.txt")
	must(t, err)
	got := hex.EncodeToString(bytes.Join(encodeRedo(goldenRedo()), nil))
	if got != strings.TrimSpace(string(b)) {
		t.Errorf("golden bytes differ:\n%s", got)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(b)))
	must(t, err)
	logs, err := decodeRedo(raw)
	must(t, err)
	for i, want := range goldenRedo() {
		l := logs[i]
		if l.Index != want.Index || l.Term != want.Term || l.Type != want.Type || !bytes.Equal(l.Data, want.Data) || !l.AppendedAt.Equal(want.AppendedAt) {
			t.Errorf("entry %d: %+v", i, l)
		}
	}
	var zero raft.Log
	zero.Index = 1
	logs, err = decodeRedo(bytes.Join(encodeRedo([]*raft.Log{&zero}), nil))
	if err != nil || !logs[0].AppendedAt.IsZero() {
		t.Errorf("no time became %v, %v", logs[0].AppendedAt, err)
	}
}

// FuzzRedo: what decodes, encodes to the same bytes.
func FuzzRedo(f *testing.F) {
	f.Add(bytes.Join(encodeRedo(goldenRedo()), nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		logs, err := decodeRedo(b)
		if err != nil || len(b) == 0 {
			return
		}
		if got := bytes.Join(encodeRedo(pointers(logs)), nil); !bytes.Equal(got, b) {
			t.Fatalf("%x became %x", b, got)
		}
	})
}

// FuzzHome: no note makes decodeHome panic.
func FuzzHome(f *testing.F) {
	s := &Store{sealer: testSealer(), redo: &redo{id: journal.ID{1}}}
	rec, err := s.homeRecord(7)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := s.sealer.Open(nil, PurposeHome, 0, 0, 0, rec)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		noted, _, _, err := decodeHome(b)
		if noted == (err != nil) {
			t.Fatalf("%x: %t, %v", b, noted, err)
		}
	})
}

func BenchmarkStoreLogsGroups(b *testing.B) {
	for _, groups := range []int{1, 3} {
		for _, with := range []bool{false, true} {
			b.Run(fmt.Sprintf("groups=%d/journal=%t", groups, with), func(b *testing.B) {
				var j *journal.Journal
				dir := b.TempDir()
				if with {
					var err error
					if j, err = journal.Open(vfs.Default, filepath.Join(dir, "journal"), journal.Options{Fatal: func(err error) { b.Error(err) }}); err != nil {
						b.Fatal(err)
					}
				}
				var stores []*Store
				for g := range groups {
					o := testOptions(filepath.Join(dir, fmt.Sprint(g)))
					o.NoSync, o.Group, o.Journal = false, cluster.GroupID(g), j
					s, err := Open(o)
					must(b, err)
					stores = append(stores, s)
				}
				if with {
					must(b, j.Settle())
				}
				body := strings.Repeat("x", 1500)
				b.ResetTimer()
				var wg sync.WaitGroup
				for g, s := range stores {
					wg.Go(func() {
						for i := range b.N / groups {
							if err := s.StoreLogs(entries(uint64(i+1), 1, 1, body)); err != nil {
								b.Errorf("group %d: %v", g, err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				for _, s := range stores {
					must(b, s.Close())
				}
				if with {
					must(b, j.Close())
				}
			})
		}
	}
}

// TestLargeComesAfter: entries that go around the journal are durable only after
// everything that was appended to it: the bodies they name may be there.
func TestLargeComesAfter(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(dir)
	o.Journal = openJournal(t, vfs.NewMem(), journal.Options{Linger: time.Hour})
	s, err := Open(o)
	must(t, err)
	w, err := o.Journal.Stream(journal.Stream{Group: o.Group, Kind: journal.KindBody}, nil)
	must(t, err)
	lazy, err := w.AppendLazy([]byte("body"))
	must(t, err)
	must(t, s.StoreLogs(entries(1, 1, 1, strings.Repeat("x", maxRedo+1))))
	select {
	case <-lazy.Done():
	default:
		t.Error("the entry is durable, what was appended before it is not")
	}
	w.Home(lazy.End)
	must(t, w.Close())
	must(t, s.Close())
	must(t, o.Journal.Close())
}
