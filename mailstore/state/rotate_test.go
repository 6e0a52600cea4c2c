package state

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/cryptfs"
)

// fileKeys are file keys of several epochs; one that is dropped is gone at
// once, as on a disk that is synced.
type fileKeys struct {
	mu   sync.Mutex
	now  uint32
	keys map[uint32]bool
}

func (k *fileKeys) key(e uint32) *[32]byte { return &[32]byte{byte(e), byte(e >> 8), 7} }

func (k *fileKeys) FileKey() (uint32, *[32]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now, k.key(k.now)
}

func (k *fileKeys) FileKeyAt(e uint32) (*[32]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.keys[e] {
		return nil, fmt.Errorf("the key of epoch %d is destroyed", e)
	}
	return k.key(e), nil
}

func (k *fileKeys) next() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now++
	k.keys[k.now] = true
}

func (k *fileKeys) clone() *fileKeys {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &fileKeys{now: k.now, keys: maps.Clone(k.keys)}
}

// drop destroys what no file names, but for the former epoch.
func (k *fileKeys) drop(used map[uint32]int) (dropped int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for e := range k.keys {
		if e+1 < k.now && used[e] == 0 {
			delete(k.keys, e)
			dropped++
		}
	}
	return dropped
}

// TestPowerLossDuringKeyChange changes the file key again and again, rewrites
// the state and destroys the keys that no file needs, and loses power before
// every few writes: with the keys that are left the database opens, at an
// exact state not before the last synced one. A file that was removed and
// comes back with the loss may name a key that is gone.
func TestPowerLossDuringKeyChange(t *testing.T) {
	total, dropped := 0, 0
	for _, percent := range []int{0, 100} {
		for k := 0; ; k += 2 {
			mem := vfs.NewCrashableMem()
			loss := &lossFS{FS: mem}
			keys := &fileKeys{now: 1, keys: map[uint32]bool{1: true}}
			var kept *fileKeys
			synced, atLoss := uint64(0), uint64(0)
			loss.arm(k, func() *vfs.MemFS {
				kept, atLoss = keys.clone(), synced
				return mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(k), 2))})
			})
			digests := map[uint64]cluster.Digest{0: {}}
			r := newRig(t, cryptfs.New(loss, keys))
			for round := range 4 {
				if round == 3 {
					// Only a start gives manifest and options a newer key, so
					// that the first can go.
					r.close()
					again := newRig(t, cryptfs.New(loss, keys))
					again.ops, again.now = r.ops, r.now
					r = again
				}
				if round == 0 {
					r.must(openAccount(alice))
					digests[r.index], _ = r.m.Digest()
				}
				for i := range 6 {
					r.must(deliver(alice, "", placed(uint64(round*10+i+1), 10)))
					digests[r.index], _ = r.m.Digest()
				}
				at, _, err := r.m.Sync()
				if err != nil {
					t.Fatal(err)
				}
				loss.mu.Lock()
				synced = at
				loss.mu.Unlock()
				keys.next()
				if err := r.db.Compact(t.Context()); err != nil {
					t.Fatal(err)
				}
				used, err := cryptfs.EpochsInUse(mem, "state")
				if err != nil {
					t.Fatal(err)
				}
				loss.mu.Lock() // a loss happens before a key is dropped or after
				dropped += keys.drop(used)
				loss.mu.Unlock()
			}
			lost := loss.taken()
			r.close()
			if lost == nil {
				if k == 0 {
					t.Fatal("nothing was written")
				}
				break
			}
			total++
			if err := afterLoss(t, cryptfs.New(lost, kept), atLoss, digests); err != nil {
				t.Fatalf("%d%%, power lost before write %d: %v", percent, k, err)
			}
		}
	}
	if total < 20 || dropped < total {
		t.Fatalf("only %d losses, %d keys dropped", total, dropped)
	}
}

func afterLoss(t *testing.T, fs vfs.FS, synced uint64, digests map[uint64]cluster.Digest) error {
	db, err := Open(fs, "state", testOptions(t))
	if err != nil {
		return err
	}
	m, err := db.Mail(1)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	at, _ := m.Applied()
	d, _ := m.Digest()
	got, _, _, err := m.Recompute(t.Context())
	if err == nil && (at < synced || d != digests[at] || got != d) {
		err = fmt.Errorf("at %d with digest %s, recomputed %s; synced to %d, digest there %s", at, d, got, synced, digests[at])
	}
	return errors.Join(err, m.Close(), db.Close())
}
