package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"altmail.se/altmail/cluster"
)

func open(t testing.TB, fs vfs.FS, o Options) *Journal {
	t.Helper()
	if o.Fatal == nil {
		o.Fatal = func(err error) { t.Errorf("fatal: %v", err) }
	}
	j, err := Open(fs, "journal", o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func stream(t testing.TB, j *Journal, g int, flush func()) *Writer {
	t.Helper()
	w, err := j.Stream(Stream{cluster.GroupID(g), KindLog}, flush)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func replay(t testing.TB, j *Journal, g int) (out [][]byte) {
	t.Helper()
	err := j.Replay(Stream{cluster.GroupID(g), KindLog}, func(_ uint64, b []byte) error {
		out = append(out, bytes.Clone(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestReopen: what was appended and is not home is found again, in order, by
// its own stream only.
func TestReopen(t *testing.T) {
	fs := vfs.NewMem()
	j := open(t, fs, Options{})
	a, b := stream(t, j, 1, nil), stream(t, j, 2, nil)
	var want [3][][]byte
	for i := range 200 {
		w, g := a, 1
		if i%3 == 0 {
			w, g = b, 2
		}
		rec := bytes.Repeat([]byte{byte(i)}, i*7)
		tk, err := w.Append(rec[:i], rec[i:])
		must(t, err)
		if i%10 == 0 {
			must(t, tk.Wait())
		}
		want[g] = append(want[g], rec)
	}
	must(t, j.Close())
	for range 2 { // finding them does not use them up
		j = open(t, fs, Options{})
		for g := 1; g <= 2; g++ {
			got := replay(t, j, g)
			if len(got) != len(want[g]) {
				t.Fatalf("group %d: %d records, want %d", g, len(got), len(want[g]))
			}
			for i := range got {
				if !bytes.Equal(got[i], want[g][i]) {
					t.Fatalf("group %d: record %d differs", g, i)
				}
			}
		}
		if got := replay(t, j, 3); got != nil {
			t.Fatal("a stream that wrote nothing has records")
		}
		must(t, j.Close())
	}
}

// TestPowerLoss plays seeded runs of several writers with a power loss: every
// record that was waited for and not taken home is there, in order, and
// nothing else is but what was appended.
func TestPowerLoss(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		fs := vfs.NewCrashableMem()
		size := []int64{4096, 12 << 10, 20 << 10}[seed%3]
		type kept struct {
			n    int // newest appended
			sure int // newest durable
			home int // newest taken home
		}
		have := map[int]*kept{1: {}, 2: {}, 3: {}}
		for life := range 4 {
			j := open(t, fs, Options{SegmentSize: size, Segments: 3, Linger: time.Microsecond})
			for g, k := range have {
				next := -1
				for _, rec := range replay(t, j, g) {
					n := int(binary.BigEndian.Uint32(rec))
					if next >= 0 && n != next {
						t.Fatalf("seed %d life %d group %d: %d after %d", seed, life, g, n, next-1)
					}
					if !bytes.Equal(rec[4:], content(g, n)) {
						t.Fatalf("seed %d: group %d record %d differs", seed, g, n)
					}
					next = n + 1
				}
				if next < 0 && k.sure > k.home {
					t.Fatalf("seed %d life %d group %d: nothing found, %d were durable and only %d home", seed, life, g, k.sure, k.home)
				}
				if next >= 0 && next-1 < k.sure {
					t.Fatalf("seed %d life %d group %d: ends at %d, %d was durable", seed, life, g, next-1, k.sure)
				}
				if next >= 0 {
					k.n = max(next-1, k.home)
				} else {
					k.n = k.home
				}
				k.sure, k.home = k.n, k.n
			}
			ws := map[int]*Writer{}
			var mu sync.Mutex // guards have and tickets
			tickets := map[int]map[int]Ticket{1: {}, 2: {}, 3: {}}
			for g := range have {
				var w *Writer
				ready := make(chan struct{})
				k := have[g]
				w = stream(t, j, g, func() {
					<-ready
					mu.Lock()
					defer mu.Unlock()
					for ; k.home < k.n; k.home++ {
						tk, ok := tickets[g][k.home+1]
						if !ok {
							break
						}
						select {
						case <-tk.Done():
						default:
							return
						}
						k.sure = max(k.sure, k.home+1)
						w.Home(tk.End)
					}
				})
				close(ready)
				ws[g] = w
			}
			must(t, j.Settle())
			crashAt := rng.IntN(120)
			for range crashAt {
				g := 1 + rng.IntN(3)
				mu.Lock()
				k := have[g]
				k.n++
				n := k.n
				mu.Unlock()
				app := ws[g].Append
				if rng.IntN(2) == 0 {
					app = ws[g].AppendLazy
				}
				tk, err := app(binary.BigEndian.AppendUint32(nil, uint32(n)), content(g, n))
				must(t, err)
				mu.Lock()
				tickets[g][n] = tk
				mu.Unlock()
				if rng.IntN(3) == 0 {
					must(t, tk.Wait())
					mu.Lock()
					k.sure = max(k.sure, n)
					mu.Unlock()
				}
			}
			mu.Lock()
			after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			snap := map[int]kept{}
			for g, k := range have {
				snap[g] = *k
			}
			mu.Unlock()
			must(t, j.Close())
			for g := range have {
				k := snap[g]
				have[g] = &k
			}
			fs = after
		}
	}
}

// TestPowerLossAtEvery lets the power go before every single operation on the
// disk of a run that uses its files several times, and starts again on what is
// left of it.
func TestPowerLossAtEvery(t *testing.T) {
	for dice := range uint64(4) {
		powerLossAtEvery(t, dice)
	}
}

func powerLossAtEvery(t *testing.T, dice uint64) {
	// Larger than a block, so that a part of it may reach the disk.
	large := func(i int) []byte { return bytes.Repeat(content(1, i)[:1], 500+i%4*2500) }
	const size, n = 16 << 10, 40
	done := false
	for k := 1; !done; k++ {
		mem := vfs.NewCrashableMem()
		rng := rand.New(rand.NewPCG(uint64(k), dice))
		var mu sync.Mutex
		var after *vfs.MemFS
		var sure, home, sureThen, homeThen, ops int
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(o errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if o.Kind.ReadOrWrite() == errorfs.OpIsWrite && o.Kind != errorfs.OpFileClose {
				if ops++; ops == k {
					after = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 20 + rng.IntN(60), RNG: rng})
					sureThen, homeThen = sure, home
				}
			}
			return nil
		}))
		j := open(t, fs, Options{SegmentSize: size, Segments: 3})
		w := stream(t, j, 1, nil)
		must(t, j.Settle())
		for i := 1; i <= n; i++ {
			tk, err := w.Append(binary.BigEndian.AppendUint32(nil, uint32(i)), large(i))
			must(t, err)
			must(t, tk.Wait())
			mu.Lock()
			sure = i
			if i%5 == 0 {
				home = i
			}
			mu.Unlock()
			if i%5 == 0 {
				w.Home(tk.End)
			}
		}
		must(t, j.Close())
		mu.Lock()
		done = after == nil
		mu.Unlock()
		if done {
			if k < 100 {
				t.Fatalf("%d operations in all", k)
			}
			return
		}
		j, err := Open(after, "journal", Options{SegmentSize: size, Segments: 3, Fatal: func(err error) { t.Errorf("fatal: %v", err) }})
		if err != nil {
			t.Fatalf("before operation %d: %v", k, err)
		}
		next := 0
		for _, rec := range replay(t, j, 1) {
			i := int(binary.BigEndian.Uint32(rec))
			if next != 0 && i != next || !bytes.Equal(rec[4:], large(i)) {
				t.Fatalf("before operation %d: record %d, want %d", k, i, next)
			}
			if next == 0 && i > homeThen+1 {
				t.Fatalf("before operation %d: begins at %d, home is %d", k, i, homeThen)
			}
			next = i + 1
		}
		if next != 0 && next <= sureThen || next == 0 && sureThen > homeThen {
			t.Fatalf("before operation %d: ends before %d, %d were durable", k, next, sureThen)
		}
		must(t, j.Close())
	}
}

func content(g, n int) []byte {
	r := rand.New(rand.NewPCG(uint64(g), uint64(n)))
	b := make([]byte, 1+r.IntN(900))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestDamage: a synced record that can't be read stops Open; a torn tail does
// not.
func TestDamage(t *testing.T) {
	build := func() (vfs.FS, string, int64) {
		fs := vfs.NewMem()
		j := open(t, fs, Options{SegmentSize: 1 << 16})
		w := stream(t, j, 1, nil)
		for i := range 5 {
			tk, err := w.Append(bytes.Repeat([]byte{byte(i)}, 1000))
			must(t, err)
			must(t, tk.Wait())
		}
		name := j.segs[len(j.segs)-1].name
		must(t, j.Close())
		return fs, "journal/" + name, int64(span(1000))
	}
	flip := func(fs vfs.FS, name string, off int64) {
		f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
		must(t, err)
		b := make([]byte, 1)
		_, err = f.ReadAt(b, off)
		must(t, err)
		b[0] ^= 0x10
		_, err = f.WriteAt(b, off)
		must(t, err)
		must(t, f.Close())
	}
	o := Options{Fatal: func(error) {}, SegmentSize: 1 << 16}
	for i, at := range []int64{segHeader, segHeader + 1, segHeader + recHeader + 500} {
		fs, name, n := build()
		flip(fs, name, n*int64(i)+at)
		if _, err := Open(fs, "journal", o); !errors.Is(err, ErrDamaged) {
			t.Errorf("record %d flipped: %v", i, err)
		}
	}
	fs, name, n := build()
	flip(fs, name, segHeader+4*n+100)
	j := open(t, fs, o)
	if got := replay(t, j, 1); len(got) != 4 {
		t.Errorf("the torn tail left %d records of 4", len(got))
	}
	must(t, j.Close())
	fs, name, _ = build()
	flip(fs, name, 3) // one header of two
	j = open(t, fs, o)
	if got := replay(t, j, 1); len(got) != 5 {
		t.Errorf("one header flipped: %d records of 5", len(got))
	}
	must(t, j.Close())
}

// TestReuse: files are used again once their records are home, their number is
// bounded, and Append waits for the owners when all are in use.
func TestReuse(t *testing.T) {
	fs := vfs.NewMem()
	j := open(t, fs, Options{SegmentSize: 4096, Segments: 3})
	asked := make(chan struct{}, 1)
	w := stream(t, j, 1, func() {
		select {
		case asked <- struct{}{}:
		default:
		}
	})
	must(t, j.Settle())
	done := make(chan uint64, 1000)
	go func() {
		defer close(done)
		for range 300 {
			tk, err := w.Append(make([]byte, 500))
			if err == nil {
				err = tk.Wait()
			}
			if err != nil {
				t.Error(err)
				return
			}
			done <- tk.End
		}
	}()
	var last uint64
	for n := 0; n < 300; {
		select {
		case end, ok := <-done:
			if !ok {
				t.Fatal("the writer ended early")
			}
			last = end
			n++
		case <-asked:
		}
		w.Home(last)
	}
	names, err := fs.List("journal")
	must(t, err)
	if len(names) > 4 { // Segments, and the one Open begins with
		t.Errorf("%d files: %v", len(names), names)
	}
	must(t, j.Close())
}

// TestRestarts: starting again and again does not collect files, and a journal
// that was lost is not taken for the one in its place.
func TestRestarts(t *testing.T) {
	fs := vfs.NewMem()
	var id ID
	for i := range 12 {
		j := open(t, fs, Options{SegmentSize: 4096})
		if i == 0 {
			id = j.ID()
		}
		if j.ID() != id || id == (ID{}) {
			t.Fatalf("start %d: journal %x, it was %x", i, j.ID(), id)
		}
		if got := replay(t, j, 1); len(got) < min(i, 1) || len(got) > keepFree+1 {
			t.Fatalf("start %d: %d records", i, len(got))
		}
		w := stream(t, j, 1, nil)
		tk, err := w.Append([]byte("x"))
		must(t, err)
		must(t, tk.Wait())
		must(t, j.Settle())
		must(t, j.Close())
		names, err := fs.List("journal")
		must(t, err)
		if len(names) > keepFree+1 {
			t.Fatalf("start %d: %v", i, names)
		}
	}
	must(t, fs.RemoveAll("journal"))
	j := open(t, fs, Options{SegmentSize: 4096})
	if j.ID() == id {
		t.Error("a new journal has the name of the lost one")
	}
	must(t, j.Close())
	old := vfs.NewMem()
	k := open(t, old, Options{SegmentSize: 4096})
	must(t, k.Close())
	_, err := vfs.Clone(old, fs, "journal/00000001.journal", "journal/000000ff.journal")
	must(t, err)
	if _, err := Open(fs, "journal", Options{Fatal: func(error) {}, SegmentSize: 4096}); !errors.Is(err, ErrDamaged) {
		t.Errorf("files of two journals: %v", err)
	}
}

// TestDropped: records that nobody asked for before Settle are not forgotten
// without a trace.
func TestDropped(t *testing.T) {
	fs := vfs.NewMem()
	j := open(t, fs, Options{})
	for g := 1; g <= 2; g++ {
		tk, err := stream(t, j, g, nil).Append([]byte("x"))
		must(t, err)
		must(t, tk.Wait())
	}
	must(t, j.Close())
	j = open(t, fs, Options{})
	replay(t, j, 1)
	must(t, j.Settle())
	if j.Dropped(Stream{1, KindLog}) || !j.Dropped(Stream{2, KindLog}) {
		t.Error("group 2 was not asked for, group 1 was")
	}
	must(t, j.Close())
	if err := j.Renew(); err == nil {
		t.Error("renewed a closed journal")
	}
}

// TestCloseFull: a journal that is full because an owner gave up closes, and
// tells who waits.
func TestCloseFull(t *testing.T) {
	j := open(t, vfs.NewMem(), Options{SegmentSize: 4096, Segments: 3, Fatal: func(err error) { t.Errorf("fatal: %v", err) }})
	w := stream(t, j, 1, func() {})
	must(t, j.Settle())
	done := make(chan error)
	go func() {
		for {
			tk, err := w.Append(make([]byte, 1000))
			if err == nil {
				err = tk.Wait()
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for j.Stats().Waits == 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("never full")
		}
	}
	must(t, j.Close())
	if err := <-done; !errors.Is(err, cluster.ErrStopped) {
		t.Errorf("the one who waited was told %v", err)
	}
}

// TestFull: with nothing taken home tickets wait, and go on after Home.
func TestFull(t *testing.T) {
	j := open(t, vfs.NewMem(), Options{SegmentSize: 4096, Segments: 3})
	w := stream(t, j, 1, func() {})
	must(t, j.Settle())
	sent := make(chan Ticket, 100)
	go func() {
		defer close(sent)
		for range 40 {
			tk, err := w.Append(make([]byte, 1000))
			if err != nil {
				t.Error(err)
				return
			}
			sent <- tk
		}
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for j.Stats().Waits == 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("never full")
		}
	}
	for tk := range sent {
		must(t, tk.Wait())
		w.Home(tk.End)
	}
	if s := j.Stats(); s.Held != 0 {
		t.Errorf("held %d", s.Held)
	}
	must(t, j.Close())
}

// TestLazy: a lazy record waits for company, but not for ever.
func TestLazy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := open(t, vfs.NewMem(), Options{Linger: time.Second})
		w := stream(t, j, 1, nil)
		begin := time.Now()
		lazy, err := w.AppendLazy([]byte("a"))
		must(t, err)
		synctest.Wait()
		select {
		case <-lazy.Done():
			t.Error("written at once")
		default:
		}
		second, err := w.Append([]byte("b"))
		must(t, err)
		must(t, second.Wait())
		must(t, lazy.Wait())
		if d := time.Since(begin); d != 0 {
			t.Errorf("took %v with company", d)
		}
		if n := j.Stats().Syncs; n != 1 {
			t.Errorf("%d syncs", n)
		}
		lazy, err = w.AppendLazy([]byte("c"))
		must(t, err)
		<-lazy.Done()
		if d := time.Since(begin); d != time.Second {
			t.Errorf("took %v alone", d)
		}
		lazy, err = w.AppendLazy([]byte("d"))
		must(t, err)
		must(t, lazy.Wait())
		if d := time.Since(begin); d != time.Second {
			t.Errorf("took %v waited for", d)
		}
		must(t, j.Close())
	})
}

// TestRenew: no file that was there before is left.
func TestRenew(t *testing.T) {
	fs := vfs.NewMem()
	j := open(t, fs, Options{SegmentSize: 4096})
	var w *Writer
	var mu sync.Mutex
	var last uint64
	w = stream(t, j, 1, func() {
		mu.Lock()
		defer mu.Unlock()
		w.Home(last)
	})
	must(t, j.Settle())
	secret := []byte("the word that must be gone")
	for range 40 {
		tk, err := w.Append(secret, make([]byte, 400))
		must(t, err)
		must(t, tk.Wait())
		mu.Lock()
		last = tk.End
		mu.Unlock()
	}
	must(t, j.Renew())
	names, err := fs.List("journal")
	must(t, err)
	for _, n := range names {
		f, err := fs.Open("journal/" + n)
		must(t, err)
		b, err := readAll(f)
		must(t, err)
		if bytes.Contains(b, secret) {
			t.Errorf("%s still holds it", n)
		}
		must(t, f.Close())
	}
	tk, err := w.Append(secret)
	must(t, err)
	must(t, tk.Wait())
	must(t, j.Close())
	j = open(t, fs, Options{SegmentSize: 4096})
	if got := replay(t, j, 1); len(got) != 1 {
		t.Errorf("%d records after the renewal, want 1", len(got))
	}
	must(t, j.Close())
}

// TestFailure: the first failed write or sync ends everything, once, and every
// ticket says so.
func TestFailure(t *testing.T) {
	for _, op := range []errorfs.OpKind{errorfs.OpFileWriteAt, errorfs.OpFileSyncData} {
		var on bool
		var mu sync.Mutex
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(o errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if on && o.Kind == op {
				return os.ErrInvalid
			}
			return nil
		}))
		fatal := make(chan error, 2)
		j := open(t, fs, Options{Fatal: func(err error) { fatal <- err }})
		w := stream(t, j, 1, nil)
		mu.Lock()
		on = true
		mu.Unlock()
		tk, err := w.Append([]byte("x"))
		must(t, err)
		if err := tk.Wait(); err == nil {
			t.Error("a record is durable though the disk failed")
		}
		<-fatal
		if _, err := w.Append([]byte("y")); err == nil {
			t.Error("appended after the disk failed")
		}
		must(t, j.Close())
		if len(fatal) != 0 {
			t.Error("fatal twice")
		}
	}
}

// TestGolden pins the bytes.
func TestGolden(t *testing.T) {
	var h [segHeader]byte
	putSegHeader(h[:], ID{0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, 0x1122334455667788)
	rec := make([]byte, span(5))
	copy(rec[recHeader:], "hello")
	putRecord(rec, record{lsn: 7, durable: 3, stream: Stream{9, KindBody}, size: 5})
	got := fmt.Sprintf("%s\n%s\n", hex.EncodeToString(h[:]), hex.EncodeToString(rec))
	want, err := os.ReadFile("testdata/golden.txt")
	if err != nil || got != string(want) {
		t.Errorf("golden bytes differ (%v):\n%s", err, got)
	}
}

func FuzzRecord(f *testing.F) {
	rec := make([]byte, span(5))
	copy(rec[recHeader:], "hello")
	putRecord(rec, record{lsn: 7, durable: 3, stream: Stream{9, KindBody}, size: 5})
	f.Add(rec)
	f.Add(rec[:recHeader])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, c, ok := parseRecord(b)
		if !ok {
			return
		}
		again := make([]byte, recHeader+len(c))
		copy(again[recHeader:], c)
		putRecord(again, r)
		if !bytes.Equal(again, b[:len(again)]) {
			t.Fatal("a record that parses is not what would be written")
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			j := openDisk(b)
			w := stream(b, j, 1, nil)
			rec := make([]byte, 1000)
			b.SetParallelism(n)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					tk, err := w.Append(rec)
					if err == nil {
						err = tk.Wait()
					}
					if err != nil {
						b.Error(err)
						return
					}
					w.Home(tk.End)
				}
			})
			b.ReportMetric(float64(j.Stats().Syncs)/float64(b.N), "syncs/op")
			must(b, j.Close())
		})
	}
}

func openDisk(b *testing.B) *Journal {
	j, err := Open(vfs.Default, b.TempDir(), Options{Fatal: func(err error) { b.Error(err) }})
	must(b, err)
	must(b, j.Settle())
	return j
}
