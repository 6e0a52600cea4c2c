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
		type kept struct {
			n    int // newest appended
			sure int // newest durable
			home int // newest taken home
		}
		have := map[int]*kept{1: {}, 2: {}, 3: {}}
		for life := range 4 {
			j := open(t, fs, Options{SegmentSize: 4096, Segments: 3, Linger: time.Microsecond})
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
			j.Settle()
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

func content(g, n int) []byte {
	r := rand.New(rand.NewPCG(uint64(g), uint64(n)))
	b := make([]byte, r.IntN(900))
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
	j.Settle()
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

// TestFull: with nothing taken home tickets wait, and go on after Home.
func TestFull(t *testing.T) {
	j := open(t, vfs.NewMem(), Options{SegmentSize: 4096, Segments: 3})
	w := stream(t, j, 1, func() {})
	j.Settle()
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
	j.Settle()
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
	putSegHeader(h[:], 0x1122334455667788)
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
	j.Settle()
	return j
}
