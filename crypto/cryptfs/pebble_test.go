package cryptfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// quiet drops Pebble's log; a fatal error there ends the test.
type quiet struct{ t testing.TB }

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (q quiet) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

func options(t testing.TB, fs vfs.FS) *pebble.Options {
	return &pebble.Options{
		FS: fs, Logger: quiet{t}, MemTableSize: 64 << 10, L0CompactionThreshold: 2,
		MaxManifestFileSize: 4 << 10, FormatMajorVersion: pebble.FormatNewest,
		CacheSize: 1 << 20,
	}
}

var canary = []byte("X-Canary: a subject nobody may read on a stolen disk")

var appliedKey = []byte("applied")

// put commits entry i the way the state machine does: data and the applied
// index in one batch that is not synced.
func put(t testing.TB, db *pebble.DB, i uint64, rng *rand.Rand) {
	t.Helper()
	b := db.NewBatch()
	defer b.Close()
	value := append(bytes.Clone(canary), make([]byte, rng.IntN(600))...)
	noErr(t, b.Set(entryKey(i), value, nil))
	if i > 20 && rng.IntN(4) == 0 {
		noErr(t, b.Delete([]byte(fmt.Sprintf("junk %d", i-20)), nil))
	}
	noErr(t, b.Set([]byte(fmt.Sprintf("junk %d", i)), value, nil))
	noErr(t, b.Set(appliedKey, binary.BigEndian.AppendUint64(nil, i), nil))
	noErr(t, b.Commit(pebble.NoSync))
}

func entryKey(i uint64) []byte { return binary.BigEndian.AppendUint64([]byte("entry "), i) }

// checkPrefix requires that the database holds exactly entries 1..applied and
// returns applied.
func checkPrefix(t testing.TB, db *pebble.DB) uint64 {
	t.Helper()
	applied := uint64(0)
	v, closer, err := db.Get(appliedKey)
	if err == nil {
		applied = binary.BigEndian.Uint64(v)
		noErr(t, closer.Close())
	} else if err != pebble.ErrNotFound {
		t.Fatal(err)
	}
	it := must[*pebble.Iterator](t)(db.NewIter(&pebble.IterOptions{
		LowerBound: []byte("entry "), UpperBound: []byte("entry!"),
	}))
	n := uint64(0)
	for it.First(); it.Valid(); it.Next() {
		n++
		if !bytes.Equal(it.Key(), entryKey(n)) || !bytes.HasPrefix(it.Value(), canary) {
			t.Fatalf("entry %d: key %x", n, it.Key())
		}
	}
	noErr(t, it.Error())
	noErr(t, it.Close())
	if n != applied {
		t.Fatalf("applied index %d over %d entries", applied, n)
	}
	return applied
}

// countReuse counts how often Pebble recycles a log.
type countReuse struct {
	vfs.FS
	n *atomic.Int64
}

func (c *countReuse) ReuseForWrite(a, b string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	c.n.Add(1)
	return c.FS.ReuseForWrite(a, b, cat)
}

// TestPebbleCrashes runs a database over power loss after power loss. After
// each the state is an exact prefix, not below the last sync; and over all of
// it nothing is encrypted twice and no plaintext shows.
func TestPebbleCrashes(t *testing.T) {
	rec := newRecorder(t)
	rng := rand.New(rand.NewPCG(4, 2))
	mem := vfs.NewCrashableMem()
	keys := &ring{current: 1}
	var i uint64
	var reused atomic.Int64
	for round := range 25 {
		if round%5 == 4 {
			keys.current++
		}
		db := must[*pebble.DB](t)(pebble.Open("db", options(t, &countReuse{New(rec.wrap(mem), keys), &reused})))
		i = checkPrefix(t, db)
		synced := i
		for range 150 + rng.IntN(400) {
			i++
			put(t, db, i, rng)
			switch rng.IntN(120) {
			case 0:
				noErr(t, db.LogData(nil, pebble.Sync))
				synced = i
			case 1:
				_, err := db.AsyncFlush()
				noErr(t, err)
			case 2:
				noErr(t, db.Flush())
				synced = i
			}
		}
		if round == 7 {
			noErr(t, db.Checkpoint("cp", pebble.WithFlushedWAL()))
			cp := must[*pebble.DB](t)(pebble.Open("cp", options(t, New(rec.wrap(mem), keys))))
			if got := checkPrefix(t, cp); got != i {
				t.Fatalf("checkpoint at %d, want %d", got, i)
			}
			noErr(t, cp.Close())
		}
		crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 90, 100}[round%4], RNG: rng})
		noErr(t, db.Close())
		mem = crashed
		db = must[*pebble.DB](t)(pebble.Open("db", options(t, New(rec.wrap(mem), keys))))
		if got := checkPrefix(t, db); got < synced || got > i {
			t.Fatalf("round %d: applied %d after the crash; synced %d, written %d", round, got, synced, i)
		}
		noErr(t, db.Close())
	}
	if i < 1000 || len(rec.seen) < 100 || reused.Load() < 20 {
		t.Fatalf("a poor workload: %d entries, %d files, %d logs recycled", i, len(rec.seen), reused.Load())
	}
	err := rec.noise(canary)
	if Sealed && err != nil {
		t.Fatal(err)
	}
	if !Sealed && err == nil {
		t.Fatal("an unsealed build was not noticed")
	}
}

// lost reports whether the power loss has happened.
func (c *crashAt) lost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.clone != nil
}

// crashAt clones the file system just before its k-th change.
type crashAt struct {
	vfs.FS
	mem   *vfs.MemFS
	mu    sync.Mutex
	count *int
	k     int
	cfg   vfs.CrashCloneCfg
	clone **vfs.MemFS
}

func (c *crashAt) step() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *c.count == c.k {
		*c.clone = c.mem.CrashClone(c.cfg)
	}
	*c.count++
}

func (c *crashAt) Create(name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	c.step()
	f, err := c.FS.Create(name, cat)
	if err != nil {
		return nil, err
	}
	return &crashFile{File: f, c: c}, nil
}
func (c *crashAt) Remove(name string) error { c.step(); return c.FS.Remove(name) }
func (c *crashAt) Rename(a, b string) error { c.step(); return c.FS.Rename(a, b) }

type crashFile struct {
	vfs.File
	c *crashAt
}

func (f *crashFile) Write(p []byte) (int, error) { f.c.step(); return f.File.Write(p) }
func (f *crashFile) Sync() error                 { f.c.step(); return f.File.Sync() }
func (f *crashFile) SyncData() error             { f.c.step(); return f.File.SyncData() }

// TestCrashAtEveryWrite loses power before the k-th change of the disk, for
// every k of a small single-threaded life, header writes included, and opens
// what is left.
func TestCrashAtEveryWrite(t *testing.T) {
	for _, percent := range []int{0, 50, 100} {
		opened := 0
		for k := 0; ; k++ {
			rng := rand.New(rand.NewPCG(uint64(k), 7))
			mem := vfs.NewCrashableMem()
			var clone *vfs.MemFS
			count := 0
			c := &crashAt{FS: mem, mem: mem, count: &count, k: k, clone: &clone,
				// Its own: it is used by whichever of Pebble's goroutines writes.
				cfg: vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(k), 8))}}
			keys := &ring{current: 1}
			opts := options(t, New(c, keys))
			opts.DisableAutomaticCompactions = true
			db := must[*pebble.DB](t)(pebble.Open("db", opts))
			synced := uint64(0)
			for i := uint64(1); i <= 60; i++ {
				put(t, db, i, rng)
				if i%15 == 0 {
					noErr(t, db.LogData(nil, pebble.Sync))
					if !c.lost() {
						synced = i
					}
				}
				if i == 40 {
					noErr(t, db.Flush())
				}
			}
			noErr(t, db.Close())
			if clone == nil {
				if opened < 20 {
					t.Fatalf("only %d crash points", opened)
				}
				break
			}
			again, err := pebble.Open("db", options(t, New(clone, keys)))
			if err != nil {
				t.Fatalf("%d%%, crash before change %d: %v", percent, k, err)
			}
			if got := checkPrefix(t, again); got < synced {
				t.Fatalf("%d%%, crash before change %d: applied %d, synced %d", percent, k, got, synced)
			}
			noErr(t, again.Close())
			opened++
		}
	}
}
