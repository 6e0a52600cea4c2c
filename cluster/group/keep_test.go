package group

import (
	"testing"

	"github.com/hashicorp/raft"
)

// memLog is a log in memory that also forgets.
func memLog(t *testing.T) *raft.InmemStore { t.Helper(); return raft.NewInmemStore() }

func fill(t *testing.T, l *raft.InmemStore, from, to uint64, size int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if err := l.StoreLog(&raft.Log{Index: i, Term: 1, Data: make([]byte, size)}); err != nil {
			t.Fatal(err)
		}
	}
}

// counted checks where the newest max bytes begin against adding them up.
func counted(t *testing.T, s *logSizes, l *raft.InmemStore, max int64) {
	t.Helper()
	if err := s.follow(l); err != nil {
		t.Fatal(err)
	}
	first, _ := l.FirstIndex()
	last, _ := l.LastIndex()
	sum, want := int64(0), last+1
	for want > first {
		var e raft.Log
		if err := l.GetLog(want-1, &e); err != nil {
			t.Fatal(err)
		}
		if sum += int64(len(e.Data) + sizeOver); sum > max {
			break
		}
		want--
	}
	got := s.newest(max)
	if first > 0 && got < first && got+sizeStep > first {
		got = first // the first mark may lie before the log
	}
	if got > last || got < first {
		t.Fatalf("newest %d of [%d, %d] begin at %d", max, first, last, got)
	}
	// Marks are sizeStep apart, so fewer entries may be kept, never more.
	if got < min(want, last) || got > min(want+sizeStep, last) {
		t.Fatalf("newest %d of [%d, %d] begin at %d, want %d or up to %d later", max, first, last, got, want, sizeStep)
	}
}

// TestLogSizes follows a log that grows, loses its front, loses its end, is
// emptied and begins elsewhere.
func TestLogSizes(t *testing.T) {
	l, s := memLog(t), &logSizes{}
	if err := s.follow(l); err != nil {
		t.Fatal(err)
	}
	if got := s.newest(1 << 20); got != 0 {
		t.Fatalf("an empty log begins at %d", got)
	}
	look := func() {
		t.Helper()
		for _, max := range []int64{0, 1, 10_000, 100_000, 1 << 30} {
			counted(t, s, l, max)
		}
	}
	fill(t, l, 1000, 1000, 10)
	look()
	fill(t, l, 1001, 3000, 500)
	look()
	fill(t, l, 3001, 3500, 50)
	look()
	if err := l.DeleteRange(1000, 2210); err != nil {
		t.Fatal(err)
	}
	look()
	if n := len(s.marks); n > 1300/sizeStep+2 {
		t.Errorf("%d marks for 1290 entries", n)
	}
	if err := l.DeleteRange(2900, 3500); err != nil { // a conflict
		t.Fatal(err)
	}
	look()
	fill(t, l, 2900, 3100, 700)
	look()
	if err := l.DeleteRange(2211, 3100); err != nil { // an install
		t.Fatal(err)
	}
	l = memLog(t)
	fill(t, l, 9000, 9500, 100)
	look()
}

// TestKeptForAbsent: what a stopped member lacks stays, up to TrailingBytes;
// what all have goes but for a little.
func TestKeptForAbsent(t *testing.T) {
	tune := fastTuning()
	tune.TrailingBytes = 4 << 20
	w := newWorld(t, 3, tune)
	w.start()
	f := w.followers()[0]
	big := make([]byte, 32<<10)
	for i := range big {
		big[i] = 'x'
	}
	write := func(n int) {
		l := w.leader()
		for i := range n {
			l.must("append k%d %s", i%7, big)
		}
	}
	trim := func(o *testNode) uint64 {
		t.Helper()
		o.g.look(t.Context())
		if err := o.g.Trim(); err != nil {
			t.Fatal(err)
		}
		first, err := o.g.store.FirstIndex()
		if err != nil {
			t.Fatal(err)
		}
		return first
	}
	write(150)
	for _, o := range w.nodes {
		w.eventually("what all have to go", func() bool { return trim(o) > 10 })
	}
	gone := f.g.lastIndex()
	f.kill()
	write(80) // less than TrailingBytes, more than keptFloor
	for _, o := range w.nodes {
		if o.g == nil {
			continue
		}
		w.eventually("a marker", func() bool { m, ok := o.g.snaps.Newest(); trim(o); return ok && m.Index > 0 })
		if first := trim(o); first > gone+1 {
			t.Errorf("log begins at %d; a stopped member has %d", first, gone)
		}
	}
	write(150) // more than TrailingBytes
	for _, o := range w.nodes {
		if o.g != nil {
			w.eventually("the bound", func() bool { return trim(o) > gone+20 })
		}
	}
	f.open(false, false)
	w.eventually("the install", func() bool { return f.alarmed(AlarmInstalled) })
	w.same()
}
