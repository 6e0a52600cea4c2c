package search

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"altmail.se/altmail/mailstore"
)

// crasher clones the file system as a power loss would leave it, before the
// operation that changes it for the k-th time; with fail the operation fails
// instead, and so do all after it until it is healed.
type crasher struct {
	mem   *vfs.MemFS
	k     int64
	cfg   vfs.CrashCloneCfg
	fail  error
	n     atomic.Int64
	clone *vfs.MemFS
}

func (c *crasher) String() string { return "crash at an operation" }

func (c *crasher) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose {
		return nil
	}
	n := c.n.Add(1)
	if c.fail != nil {
		if n == c.k {
			return c.fail
		}
		return nil
	}
	if n == c.k {
		c.clone = c.mem.CrashClone(c.cfg)
	}
	return nil
}

// play delivers, expunges and indexes. After each round the answers are right.
func play(t *testing.T, x *Index, w *world, rnd *rand.Rand, mayFail bool) {
	in := newIndexer(x, w)
	n := 0
	for range 12 {
		for range 3 {
			w.put(n, []string{"SUBJECT: " + randomText(rnd, 3)}, []string{randomText(rnd, 5), fmt.Sprint("NUMBER ", n)})
			n++
		}
		for _, l := range w.letters {
			if rnd.IntN(12) == 0 {
				w.expunge(l.id)
			}
		}
		in.mark(w.id, true)
		if err := in.Round(t.Context()); err != nil && !mayFail {
			t.Fatal(err)
		}
		compareAll(t, x, w, "NUMBER 1", true)
	}
}

// TestCrash loses power at every operation. What is found again is right, and
// is made whole.
func TestCrash(t *testing.T) {
	for _, kept := range []int{0, 50, 100} {
		for k := int64(1); ; k++ {
			mem := vfs.NewCrashableMem()
			c := &crasher{mem: mem, k: k, cfg: vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rand.New(rand.NewPCG(uint64(k), 3))}}
			w := newWorld(t, 7)
			x := openIndex(t, errorfs.Wrap(mem, c))
			play(t, x, w, rand.New(rand.NewPCG(1, 2)), false)
			noErr(t, x.Close())
			if c.clone == nil {
				if k < 100 {
					t.Fatalf("only %d operations", k)
				}
				break
			}
			x = openIndex(t, c.clone)
			compareAll(t, x, w, "NUMBER 1", true)
			noErr(t, newIndexer(x, w).Round(t.Context()))
			if n := compareAll(t, x, w, "A", false); n != len(w.letters) {
				t.Fatalf("crash at %d: %d of %d are known", k, n, len(w.letters))
			}
			tidy(t, c.clone, x)
			if s := x.Stats(); s.Dropped > 0 {
				t.Fatalf("crash at %d: segments were not whole: %+v", k, s)
			}
			noErr(t, x.Close())
		}
	}
}

// tidy checks that nothing is in the folders but segments that are in use.
func tidy(t *testing.T, fs vfs.FS, x *Index) {
	t.Helper()
	for _, id := range x.Accounts() {
		a := x.accounts[id]
		names, err := fs.List(a.dir)
		noErr(t, err)
		if len(names) != len(a.segs) {
			t.Fatalf("%d files, %d segments: %v", len(names), len(a.segs), names)
		}
		for _, s := range a.segs {
			for _, num := range s.foot.replaces {
				if slices.ContainsFunc(a.segs, func(o *segment) bool { return o.num == num }) {
					t.Fatalf("segment %d and what it replaced are both there", s.num)
				}
			}
		}
		for _, n := range names {
			if !strings.HasSuffix(n, segmentSuffix) {
				t.Fatal(n)
			}
		}
	}
}

// TestErrors fails at every operation, as a full disk does: what is not indexed
// then is later.
func TestErrors(t *testing.T) {
	for k := int64(1); ; k++ {
		mem := vfs.NewMem()
		c := &crasher{mem: mem, k: k, fail: syscall.ENOSPC}
		w := newWorld(t, 7)
		x, err := Open(errorfs.Wrap(mem, c), "search", Options{Text: 1, Logger: quiet()})
		if err != nil {
			continue // the folder was not made
		}
		play(t, x, w, rand.New(rand.NewPCG(1, 2)), true)
		done := c.n.Load() < k
		in := newIndexer(x, w)
		noErr(t, in.Round(t.Context()))
		if n := compareAll(t, x, w, "A", false); n != len(w.letters) {
			t.Fatalf("failure at %d: %d of %d are known", k, n, len(w.letters))
		}
		noErr(t, x.Close())
		if x, err = Open(mem, "search", Options{Text: 1, Logger: quiet()}); err != nil {
			t.Fatal(err)
		}
		if n := compareAll(t, x, w, "A", false); n != len(w.letters) {
			t.Fatalf("failure at %d, opened again: %d of %d are known", k, n, len(w.letters))
		}
		tidy(t, mem, x)
		noErr(t, x.Close())
		if done {
			if k < 100 {
				t.Fatalf("only %d operations", k)
			}
			return
		}
	}
}

// TestFullDisk: the last of the disk is left to mail.
func TestFullDisk(t *testing.T) {
	fs := &nearlyFull{FS: vfs.NewMem(), free: 1 << 20}
	w := newWorld(t, 1)
	w.put(1, nil, []string{"TEXT"})
	x := openIndex(t, fs)
	defer x.Close()
	in := NewIndexer(x, w, IndexerOptions{Batch: 1, Sweep: 1, Busy: 1, Idle: 1, MinFree: 2 << 20})
	if err := in.Round(t.Context()); !errors.Is(err, errFull) {
		t.Fatal(err)
	}
	if n := compareAll(t, x, w, "TEXT", true); n != 0 {
		t.Fatal("it was indexed")
	}
	fs.free = 3 << 20
	noErr(t, in.Round(t.Context()))
	if n := compareAll(t, x, w, "TEXT", true); n != 1 {
		t.Fatal("it was not indexed when there was room again")
	}
}

type nearlyFull struct {
	vfs.FS
	free uint64
}

func (f *nearlyFull) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: f.free}, nil
}

// damage flips an octet of a file.
func damage(t *testing.T, fs vfs.FS, path string, at func(size int) int) {
	t.Helper()
	f := must[vfs.File](t)(fs.Open(path))
	b := must[[]byte](t)(io.ReadAll(f))
	noErr(t, f.Close())
	b[at(len(b))] ^= 4
	f = must[vfs.File](t)(fs.Create(path, category))
	must[int](t)(f.Write(b))
	noErr(t, f.Close())
}

// TestDamage: damage is noticed when an account is opened or searched; what is
// lost is read until it is made again.
func TestDamage(t *testing.T) {
	for _, where := range []struct {
		name   string
		at     func(int) int
		atOpen bool
	}{
		{"foot", func(n int) int { return n - 30 }, true},
		{"head", func(int) int { return 30 }, true},
		{"text", func(int) int { return 150 }, false},
	} {
		fs := vfs.NewMem()
		w := newWorld(t, 1)
		x := openIndex(t, fs)
		in := newIndexer(x, w)
		for i := range 3 {
			w.put(i, nil, []string{fmt.Sprint("TEXT NUMBER ", i)})
			in.Changed(1)
			noErr(t, in.Round(t.Context()))
		}
		path := x.accounts[1].path(2, segmentSuffix)
		noErr(t, x.Close())
		damage(t, fs, path, where.at)
		x = openIndex(t, fs)
		in = newIndexer(x, w)
		in.every = false
		// The texts are read to look for this one.
		if n := compareAll(t, x, w, "T N", true); n != 2 {
			t.Fatalf("%s: %d are known", where.name, n)
		}
		if s := x.Stats(); s.Dropped != 1 || s.Segments != 2 {
			t.Fatalf("%s: %+v", where.name, s)
		}
		noErr(t, in.Round(t.Context()))
		if n := compareAll(t, x, w, "T N", true); n != 3 {
			t.Fatalf("%s: made again: %d are known", where.name, n)
		}
		noErr(t, x.Close())
	}
}

// TestErased: what was expunged is in no file after a sweep, and neither is
// anything of it that is not sealed.
func TestErased(t *testing.T) {
	fs := vfs.NewMem()
	w := newWorld(t, 1)
	x := openIndex(t, fs)
	defer x.Close()
	in := newIndexer(x, w)
	for i := range 40 {
		w.put(i, nil, []string{fmt.Sprint("SECRET", i, " TEXT")})
	}
	noErr(t, in.Round(t.Context()))
	for i := 10; i < 20; i++ {
		w.expunge(contentID(i))
	}
	in.mark(1, true)
	noErr(t, in.Round(t.Context()))
	in.mark(1, true)
	noErr(t, in.Round(t.Context()))
	// Open all that is there by the account's keys, and look.
	names := must[[]string](t)(fs.List(x.accounts[1].dir))
	found := map[int]bool{}
	for _, n := range names {
		f := must[vfs.File](t)(fs.Open(fs.PathJoin(x.accounts[1].dir, n)))
		raw := must[[]byte](t)(io.ReadAll(f))
		if bytes.Contains(raw, []byte("SECRET")) {
			t.Fatal("a text is on the disk as it is")
		}
		s := must[*segment](t)(openSegment(f, 1, w.keys, 1))
		r := new(room)
		for _, list := range []struct {
			kind byte
			n    int
		}{{kindText, len(s.foot.texts)}, {kindWords, len(s.foot.words)}} {
			for k := range list.n {
				b := must[[]byte](t)(s.read(r, list.kind, k))
				for i := range 40 {
					if bytes.Contains(append(b, ' '), []byte(fmt.Sprint("SECRET", i, " "))) || bytes.Contains(b, []byte(fmt.Sprint("SECRET", i, "\x00"))) {
						found[i] = true
					}
				}
			}
		}
		for i := 10; i < 20; i++ {
			if _, ok := s.find(contentID(i)); ok {
				t.Fatalf("message %d has an entry", i)
			}
		}
		noErr(t, f.Close())
	}
	for i := range 40 {
		if found[i] == (i >= 10 && i < 20) {
			t.Errorf("message %d is there: %v", i, found[i])
		}
	}
	if w.reads != 40 {
		t.Errorf("%d texts were read", w.reads)
	}
	// A sweep comes by itself.
	w.expunge(contentID(1))
	in.Changed(1)
	noErr(t, in.Round(t.Context()))
	noErr(t, in.Round(t.Context()))
	f := must[*Found](t)(x.Search(t.Context(), 1, w.keys, []byte("SECRET1"), true, 1000))
	if _, known := f.Verdict(contentID(1)); known {
		t.Error("an entry is left after the time of a sweep")
	}
}

// TestRenew: files are written anew as they are, open or not.
func TestRenew(t *testing.T) {
	fs := vfs.NewMem()
	w, w2 := newWorld(t, 1), newWorld(t, 2)
	x := openIndex(t, fs)
	for _, w := range []*world{w, w2} {
		for i := range 5 {
			w.put(i, nil, []string{fmt.Sprint("TEXT ", i)})
		}
		noErr(t, newIndexerOf(x, w).account(t.Context(), w.id, false))
	}
	noErr(t, x.Close())
	x = openIndex(t, fs)
	defer x.Close()
	compareAll(t, x, w, "TEXT 1", true) // opens the first
	f := must[*Found](t)(x.Search(t.Context(), 1, w.keys, []byte("TEXT"), true, 100))
	var asked []string
	noErr(t, x.Renew(t.Context(), func(path string) (bool, error) {
		asked = append(asked, path)
		return true, nil
	}))
	if len(asked) != 2 || x.Stats().Rewritten != 2 || x.Stats().Segments != 2 {
		t.Fatalf("%v, %+v", asked, x.Stats())
	}
	if hit, known := f.Verdict(contentID(1)); !hit || !known {
		t.Error("an answer is lost")
	}
	for _, w := range []*world{w, w2} {
		if n := compareAll(t, x, w, "EXT 1", true); n != 5 {
			t.Errorf("%d are known", n)
		}
	}
	for _, id := range []mailstore.AccountID{1, 2} {
		if a := x.accounts[id]; len(must[[]string](t)(fs.List(a.dir))) != 1 {
			t.Error("files are left")
		}
	}
}

// TestVerify: the check finds damage, words that are not those of the texts,
// and texts that are not those of the messages.
func TestVerify(t *testing.T) {
	fs := vfs.NewMem()
	w := newWorld(t, 1)
	x := openIndex(t, fs)
	in := newIndexer(x, w)
	for i := range 3 {
		w.put(i, []string{"SUBJECT"}, []string{fmt.Sprint("TEXT NUMBER ", i)})
		in.Changed(1)
		noErr(t, in.Round(t.Context()))
	}
	verify := func(want int, m MailAccount) {
		t.Helper()
		var problems []string
		noErr(t, x.Verify(t.Context(), 1, w.keys, true, m, func(what string) { problems = append(problems, what) }))
		if len(problems) != want {
			t.Fatalf("%q, want %d", problems, want)
		}
	}
	verify(0, nil)
	verify(0, w)
	noErr(t, x.Verify(t.Context(), 2, w.keys, true, nil, func(what string) { t.Error(what) }))
	// Another text.
	w.letters[contentID(1)].body[0] = "TEXT ALTERED"
	verify(0, nil)
	verify(1, w)
	noErr(t, in.Round(t.Context()))
	verify(0, w)
	// A block.
	path := x.accounts[1].path(1, segmentSuffix)
	noErr(t, x.Close())
	damage(t, fs, path, func(int) int { return 150 })
	x = openIndex(t, fs)
	verify(1, nil)
	// A foot.
	path = x.accounts[1].path(3, segmentSuffix)
	noErr(t, x.Close())
	damage(t, fs, path, func(n int) int { return n - 20 })
	x = openIndex(t, fs)
	verify(1, nil)
	noErr(t, x.Close())
}
