package snapshot

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/group/grouptest"
	"altmail.se/altmail/cluster/logstore"
)

var testNode = cluster.NodeID{1, 2, 3}

func testSealer() *logstore.Sealer { return logstore.NewSealer(testNode, 7, grouptest.Keys(1)) }

func testConf(n int) (c raft.Configuration) {
	for i := range n {
		c.Servers = append(c.Servers, raft.Server{
			Suffrage: raft.ServerSuffrage(i % 2), ID: raft.ServerID(fmt.Sprintf("node%d.1", i)), Address: raft.ServerAddress(fmt.Sprintf("node%d.1", i)),
		})
	}
	return c
}

func testMarker(index uint64) Marker {
	return Marker{Index: index, Term: 2, Configuration: testConf(3), ConfigurationIndex: 1, Taken: time.UnixMilli(1700000000000), Floor: 3}
}

func openStore(t testing.TB, fs vfs.FS, durable uint64) *Store {
	t.Helper()
	s, err := Open(Options{FS: fs, Dir: "markers", Node: testNode, Group: 7, Sealer: testSealer(), Durable: func() uint64 { return durable }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMarkers(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, fs, 100)
	for _, i := range []uint64{10, 20, 20, 30} {
		if err := s.Put(testMarker(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(testMarker(25)); !errors.Is(err, ErrOlder) {
		t.Fatalf("an older marker was taken: %v", err)
	}
	s = openStore(t, fs, 100)
	list, err := s.List()
	if err != nil || len(list) != 1 || list[0].Index != 30 || !reflect.DeepEqual(list[0].Configuration, testConf(3)) {
		t.Fatalf("list %+v, %v", list, err)
	}
	if m, _ := s.Newest(); !reflect.DeepEqual(m, testMarker(30)) {
		t.Fatalf("newest %+v", m)
	}
	meta, r, err := s.Open(list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != meta.Size {
		t.Fatalf("%d bytes of %d, %v", len(b), meta.Size, err)
	}
	if k, err := DecodeTicket(b); err != nil || k != (Ticket{Group: 7, Index: 30, Term: 2, Source: testNode}) {
		t.Fatalf("ticket %+v, %v", k, err)
	}
	// A marker above the durable state is not shown (rule R1).
	s = openStore(t, fs, 25)
	if m, ok := s.Newest(); !ok || m.Index != 20 {
		t.Fatalf("newest %+v over a state at 25", m)
	}
	s = openStore(t, fs, 5)
	if _, ok := s.Newest(); ok || !s.Any() {
		t.Fatal("a marker above the state is shown")
	}
}

// TestSink: a marker above the durable state is refused (rule R1, hazard 7.6).
// TestOldMarkersStayGone: a marker that was dropped does not come back after a
// loss of power, and one that a crash left is not read: the key it is sealed
// under may have been destroyed since.
func TestOldMarkersStayGone(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := openStore(t, mem, 100)
	for _, i := range []uint64{10, 20, 30, 40} {
		if err := s.Put(testMarker(i)); err != nil {
			t.Fatal(err)
		}
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	names, err := crashed.List("markers")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if want := []string{markerName(30), markerName(40)}; !slices.Equal(names, want) {
		t.Errorf("after a loss of power: %q, want %q", names, want)
	}
	f, err := crashed.Create(mem.PathJoin("markers", markerName(5)), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("sealed under a key that is gone")); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, crashed, 100)
	if m, ok := s.Newest(); !ok || m.Index != 40 {
		t.Errorf("newest %+v", m)
	}
	if _, err := crashed.Stat(mem.PathJoin("markers", markerName(5))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the one that was left: %v", err)
	}
}

func TestSink(t *testing.T) {
	durable := uint64(9)
	s, err := Open(Options{FS: vfs.NewMem(), Dir: "m", Sealer: testSealer(), Durable: func() uint64 { return durable }})
	if err != nil {
		t.Fatal(err)
	}
	sink, err := s.Create(1, 10, 2, testConf(1), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Any() {
		t.Fatal("Create made a marker")
	}
	if err := sink.Close(); err == nil {
		t.Fatal("a marker above the durable state was made")
	}
	durable = 10
	if sink, err = s.Create(1, 10, 2, testConf(1), 1, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write([]byte("x")); err == nil {
		t.Fatal("a marker took bytes")
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if m, ok := s.Newest(); !ok || m.Index != 10 {
		t.Fatal("no marker")
	}
	if sink, err = s.Create(1, 20, 2, testConf(1), 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sink.Cancel(), sink.Close()); err != nil {
		t.Fatal(err)
	}
	if m, _ := s.Newest(); m.Index != 10 {
		t.Fatal("a cancelled marker was made")
	}
}

// TestPin: while a fetch goes on, senders offer the marker it began under.
func TestPin(t *testing.T) {
	s := openStore(t, vfs.NewMem(), 100)
	if err := s.Put(testMarker(10)); err != nil {
		t.Fatal(err)
	}
	index, release := s.Pin()
	for _, i := range []uint64{20, 30, 40, 50} {
		if err := s.Put(testMarker(i)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.List()
	if err != nil || index != 10 || list[0].Index != 10 {
		t.Fatalf("pinned %d, offered %d, %v", index, list[0].Index, err)
	}
	if _, _, err := s.Open(list[0].ID); err != nil {
		t.Fatal(err)
	}
	release()
	if list, _ = s.List(); list[0].Index != 50 {
		t.Fatalf("offered %d", list[0].Index)
	}
}

// TestPinOfReplacedState: once the state was replaced, the log under a pinned
// marker is gone with it. Raft started from that marker would look for entries
// that nobody has.
func TestPinOfReplacedState(t *testing.T) {
	s := openStore(t, vfs.NewMem(), 100)
	if err := s.Put(testMarker(10)); err != nil {
		t.Fatal(err)
	}
	_, release := s.Pin()
	if err := s.StageInstall(testMarker(60)); err != nil {
		t.Fatal(err)
	}
	if err := s.CommitInstall(); err != nil {
		t.Fatal(err)
	}
	list, err := s.List()
	if err != nil || list[0].Index != 60 {
		t.Fatalf("offered %d, %v", list[0].Index, err)
	}
	// The fetch that held the pin ends later.
	release()
	if list, err = s.List(); err != nil || list[0].Index != 60 {
		t.Fatalf("offered %d, %v", list[0].Index, err)
	}
}

// TestCrash crashes at every operation of a marker and of an install, with
// nothing, everything and a random part of what was not synced on the disk
// afterwards: what was returned is there, and what is there is whole.
func TestCrash(t *testing.T) {
	type step struct {
		name string
		run  func(*Store) error
	}
	steps := []step{
		{"put 10", func(s *Store) error { return s.Put(testMarker(10)) }},
		{"put 20", func(s *Store) error { return s.Put(testMarker(20)) }},
		{"put 30", func(s *Store) error { return s.Put(testMarker(30)) }},
		{"stage 40", func(s *Store) error { return s.StageInstall(testMarker(40)) }},
		{"commit 40", (*Store).CommitInstall},
		{"stage 50", func(s *Store) error { return s.StageInstall(testMarker(50)) }},
		{"abort 50", (*Store).AbortInstall},
		{"put 60", func(s *Store) error { return s.Put(testMarker(60)) }},
	}
	newest := []uint64{10, 20, 30, 30, 40, 40, 40, 60}
	staged := []uint64{0, 0, 0, 40, 0, 50, 0, 0}
	for _, pct := range []int{0, 50, 100} {
		for k := 1; ; k++ {
			mem := vfs.NewCrashableMem()
			var crashed *vfs.MemFS
			n := 0
			rng := rand.New(rand.NewPCG(uint64(k), uint64(pct)))
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
					return nil
				}
				if n++; n >= k {
					if crashed == nil {
						crashed = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: pct, RNG: rng})
					}
					return errorfs.ErrInjected
				}
				return nil
			}))
			done := 0
			s, err := Open(Options{FS: fs, Dir: "markers", Node: testNode, Group: 7, Sealer: testSealer(), Durable: func() uint64 { return 100 }})
			if err == nil {
				for _, st := range steps {
					if st.run(s) != nil {
						break
					}
					done++
				}
			}
			if crashed == nil {
				if k < 20 {
					t.Fatalf("only %d operations", k)
				}
				break
			}
			s, err = Open(Options{FS: crashed, Dir: "markers", Node: testNode, Group: 7, Sealer: testSealer(), Durable: func() uint64 { return 100 }})
			if err != nil {
				t.Fatalf("%d%% k=%d after %d steps: %v", pct, k, done, err)
			}
			m, _ := s.Newest()
			x, _ := s.Staged()
			was := func(i int) bool {
				if i < 0 {
					return m.Index == 0 && x.Index == 0
				}
				return i < len(steps) && m.Index == newest[i] && x.Index == staged[i]
			}
			// What the failing step does may or may not have happened.
			if !was(done-1) && !was(done) {
				t.Fatalf("%d%% k=%d after %d steps: newest %d, staged %d", pct, k, done, m.Index, x.Index)
			}
		}
	}
}

// TestSyncOrder records what is made durable in which order: a lost fsync
// shows in review.
func TestSyncOrder(t *testing.T) {
	var b strings.Builder
	mem := vfs.NewMem()
	if err := mem.MkdirAll("markers", 0o700); err != nil {
		t.Fatal(err)
	}
	fs := vfs.WithLogging(mem, func(f string, args ...any) { fmt.Fprintf(&b, f+"\n", args...) })
	s, err := Open(Options{FS: fs, Dir: "markers", Node: testNode, Group: 7, Sealer: testSealer(), Durable: func() uint64 { return 100 }})
	if err != nil {
		t.Fatal(err)
	}
	b.Reset()
	for _, err := range []error{s.Put(testMarker(1)), s.Put(testMarker(2)), s.StageInstall(testMarker(9)), s.CommitInstall()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	const path = "testdata/syncs.txt"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != b.String() {
		t.Fatalf("%v; the order is now:\n%s", err, b.String())
	}
}

func TestGolden(t *testing.T) {
	const path = "testdata/formats.txt"
	ticket := Ticket{Group: 7, Index: 30, Term: 2, Source: testNode}
	conf, err := AppendConfiguration(nil, testConf(3))
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		marker, err := testMarker(42).encode(testSealer())
		if err != nil {
			t.Fatal(err)
		}
		out := fmt.Sprintf("ticket %x\nconfiguration %x\nmarker %x\n", ticket.Encode(), conf, marker)
		if err := os.WriteFile(path, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b))
	get := func(i int) []byte {
		b, err := hex.DecodeString(f[i])
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !bytes.Equal(get(1), ticket.Encode()) || !bytes.Equal(get(3), conf) {
		t.Fatal("the encoding has changed")
	}
	m, err := decodeMarker(testSealer(), get(5))
	if err != nil || !reflect.DeepEqual(m, testMarker(42)) {
		t.Fatalf("marker %+v, %v", m, err)
	}
	bad := get(5)
	for i := range bad {
		bad[i] ^= 1
		if _, err := decodeMarker(testSealer(), bad); err == nil {
			t.Fatalf("a marker with byte %d flipped was taken", i)
		}
		bad[i] ^= 1
	}
}

// fetchWorld is a source with a filled machine, and a call that may fail.
type fetchWorld struct {
	m      *grouptest.Machine
	src    *Source
	held   int
	fail   func(n int) error // before the n-th call
	lose   func(n int) bool  // the answer of the n-th call
	calls  int
	during func(n int)
}

func newFetchWorld(t *testing.T, records int) *fetchWorld {
	w := &fetchWorld{m: grouptest.NewMachine()}
	for i := range records {
		e := cluster.Entry{Index: uint64(i + 1), Term: 2, Kind: cluster.KindCommand, Time: uint64(i), Op: cluster.OpID{byte(i), byte(i >> 8), 1}, Command: fmt.Appendf(nil, "set key%d %s", i, strings.Repeat("v", 1000))}
		if _, err := w.m.Apply([]cluster.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	w.src = NewSource(SourceOptions{
		View: w.m.View, Term: func() uint64 { return 5 },
		Configuration: func(uint64) (raft.Configuration, uint64, bool) { return testConf(3), 1, true },
		Hold:          func() func() { w.held++; return func() { w.held-- } },
		MaxSessions:   2,
	})
	return w
}

func (w *fetchWorld) options(to *grouptest.Machine) FetchOptions {
	return FetchOptions{
		Call: func(ctx context.Context, req []byte) ([]byte, error) {
			w.calls++
			n := w.calls
			if w.during != nil {
				w.during(n)
			}
			if w.fail != nil {
				if err := w.fail(n); err != nil {
					return nil, err
				}
			}
			resp, err := w.src.Handle(ctx, cluster.NodeID{9}, req)
			if w.lose != nil && w.lose(n) {
				return nil, errors.New("answer lost")
			}
			return resp, err
		},
		Stage: to.Stage,
	}
}

func TestFetch(t *testing.T) {
	for _, records := range []int{1, 10, 3000} {
		w := newFetchWorld(t, records)
		to := grouptest.NewMachine()
		o := w.options(to)
		o.AtLeast = uint64(records)
		f, err := Fetch(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		if f.Index != uint64(records) || f.Term != 2 || f.SourceTerm != 5 || !reflect.DeepEqual(f.Configuration, testConf(3)) {
			t.Fatalf("fetched %+v", f)
		}
		if err := f.Stage.Install(); err != nil {
			t.Fatal(err)
		}
		a, _ := w.m.Digest()
		if b, _ := to.Digest(); a != b {
			t.Fatal("the states differ")
		}
		if w.src.Sessions() != 0 || w.m.Views() != 0 {
			t.Fatalf("%d sessions, %d views left", w.src.Sessions(), w.m.Views())
		}
		if w.held != 1 {
			t.Fatalf("%d holds right after the end", w.held)
		}
		if err := w.src.Sweep(time.Now().Add(time.Hour)); err != nil || w.held != 0 {
			t.Fatalf("%d holds, %v", w.held, err)
		}
	}
}

// TestFetchResumes: a broken connection, before a call or before its answer,
// goes on from the last block staged, on the same session.
func TestFetchResumes(t *testing.T) {
	w := newFetchWorld(t, 4000)
	w.fail = func(n int) error {
		if n%3 == 0 {
			return errors.New("connection lost")
		}
		return nil
	}
	w.lose = func(n int) bool { return n%4 == 2 }
	to := grouptest.NewMachine()
	f, err := Fetch(context.Background(), w.options(to))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Stage.Install(); err != nil {
		t.Fatal(err)
	}
	if a, _ := w.m.Digest(); a != first(to.Digest()) {
		t.Fatal("the states differ")
	}
}

func first[A, B any](a A, _ B) A { return a }

func TestFetchFails(t *testing.T) {
	ctx := context.Background()
	w := newFetchWorld(t, 3000)
	o := w.options(grouptest.NewMachine())
	o.AtLeast = 3001
	if _, err := Fetch(ctx, o); !errors.Is(err, ErrStale) {
		t.Fatalf("a state that is too old: %v", err)
	}
	// The session ends under the fetch.
	w.during = func(n int) {
		if n == w.calls && n > 4 {
			if err := w.src.Sweep(time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
		}
	}
	o = w.options(grouptest.NewMachine())
	if _, err := Fetch(ctx, o); !errors.Is(err, ErrSessionOver) {
		t.Fatalf("a session that is over: %v", err)
	}
	w.during = nil
	// A block is damaged on its way.
	o = w.options(grouptest.NewMachine())
	call := o.Call
	o.Call = func(ctx context.Context, req []byte) ([]byte, error) {
		b, err := call(ctx, req)
		if len(b) > 1000 {
			b[len(b)/2] ^= 4
		}
		return b, err
	}
	if _, err := Fetch(ctx, o); err == nil {
		t.Fatal("a damaged block was installed")
	}
	// No more than so many sessions; a node has one.
	if err := w.src.Sweep(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	open := func(from byte) byte {
		b, err := w.src.Handle(ctx, cluster.NodeID{from}, []byte{opOpen})
		if err != nil {
			t.Fatal(err)
		}
		return b[0]
	}
	for i, c := range []struct{ from, want byte }{{1, statusOK}, {1, statusOK}, {2, statusOK}, {3, statusRefused}} {
		if got := open(c.from); got != c.want {
			t.Fatalf("open %d by %d: status %d", i, c.from, got)
		}
	}
	if err := w.src.Close(); err != nil {
		t.Fatal(err)
	}
	if open(1) != statusRefused || w.m.Views() != 0 || w.held != 0 {
		t.Fatalf("after Close: %d views, %d holds", w.m.Views(), w.held)
	}
}

func FuzzTicket(f *testing.F) {
	f.Add(Ticket{Group: 1, Index: 2, Term: 3, Source: testNode}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := DecodeTicket(b)
		if err == nil && !bytes.Equal(k.Encode(), b) {
			t.Fatalf("%x became %+v", b, k)
		}
	})
}

func FuzzConfiguration(f *testing.F) {
	b, err := AppendConfiguration(nil, testConf(3))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, rest, err := DecodeConfiguration(b)
		if err != nil {
			return
		}
		again, err := AppendConfiguration(nil, c)
		if err != nil || !bytes.Equal(again, b[:len(b)-len(rest)]) {
			t.Fatalf("%x became %+v, %v", b, c, err)
		}
	})
}

// FuzzFetchCalls gives the source and the fetching side any bytes.
func FuzzFetchCalls(f *testing.F) {
	f.Add([]byte{opOpen}, []byte{0})
	f.Add([]byte{opRead, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0}, []byte{0, 1, 0, 0})
	f.Add([]byte{opClose, 0, 0, 0, 0, 0, 0, 0, 1}, []byte{0, 0, 0, 2, 1, 1})
	src := NewSource(SourceOptions{
		View: grouptest.NewMachine().View, Term: func() uint64 { return 1 },
		Configuration: func(uint64) (raft.Configuration, uint64, bool) { return testConf(1), 1, true },
		Hold:          func() func() { return func() {} },
	})
	f.Fuzz(func(t *testing.T, req, resp []byte) {
		if b, err := src.Handle(context.Background(), testNode, req); err == nil && len(b) == 0 {
			t.Fatal("an empty answer")
		}
		var x Fetched
		_, _, _ = x.decodeOpen(resp)
		if block, next, done, err := decodeRead(resp); err == nil && !done && len(block) == 0 {
			t.Fatalf("no progress: %x", next)
		}
	})
}
