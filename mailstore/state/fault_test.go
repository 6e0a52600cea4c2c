package state

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

var errInjected = errors.New("injected")

// A write or sync that fails ends the process (Fatal is called, or Apply and
// Sync say so), and what is on the disk then is still the exact state after
// some entry, not before the last one reported durable.
func TestWriteErrors(t *testing.T) {
	for k := range int32(12) {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(k), 3))
			mem := vfs.NewCrashableMem()
			var left atomic.Int32
			var armed, hit atomic.Bool
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if !armed.Load() || op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
					return nil
				}
				if left.Add(-1) >= 0 {
					return nil
				}
				hit.Store(true)
				return errInjected
			}))
			opts := testOptions(t)
			var fatal atomic.Int32
			opts.Fatal = func(error) { fatal.Add(1) }
			db, err := Open(fs, "state", opts)
			if err != nil {
				t.Fatal(err)
			}
			m, err := db.Mail(1)
			if err != nil {
				t.Fatal(err)
			}
			r := &rig{tb: t, db: db, m: m, now: startTime}
			digests := map[uint64]cluster.Digest{0: {}}
			synced := uint64(0)
			left.Store(k)
			armed.Store(true)
			failed := func() (failed bool) {
				defer func() {
					if p := recover(); p != nil {
						failed = true
					}
				}()
				es := []cluster.Entry{r.entry(openAccount(alice, "a"))}
				for i := range 150 {
					p := placed(uint64(i+1), 10)
					p.Content.Summary = make([]byte, 300) // all in the first memtable: Pebble ends the process itself when it cannot begin a log
					es = append(es, r.entry(deliver(alice, "", p)))
				}
				for i, e := range es {
					if _, err := m.Apply([]cluster.Entry{e}); err != nil {
						return true
					}
					digests[e.Index], _ = m.Digest()
					if i%20 == 19 {
						at, _, err := m.Sync()
						if err != nil {
							return true
						}
						synced = at
					}
				}
				return false
			}()
			if hit.Load() && !failed && fatal.Load() == 0 {
				t.Fatal("a failed write went unnoticed")
			}
			if !hit.Load() {
				t.Fatal("the run was over before the operation that fails")
			}
			after := newRig(t, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}))
			at, _ := after.m.Applied()
			d, _ := after.m.Digest()
			if at < synced || d != digests[at] {
				t.Fatalf("synced to %d, after the loss %d with digest %s, was %s", synced, at, d, digests[at])
			}
			if at == 0 {
				after.must(openAccount(alice))
			}
		})
	}
}

// Readers see whole commands while others are applied: the counts of the
// mailbox are those of its rows, and moved messages are in one place.
func TestReadersUnderApply(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.must(openAccount(alice, "a"))
	for i := range 50 {
		r.must(deliver(alice, "", placed(uint64(i+1), 10)))
	}
	var es []cluster.Entry
	from, to := Inbox, mailstore.MailboxID(2)
	for i := range 120 {
		es = append(es, r.entry(copyTo(alice, from, uids(1, maxUID), to, true)))
		es = append(es, r.entry(store(alice, to, uids(1, maxUID), pb.StoreFlags_SET, mailstore.Flags(i%2))))
		from, to = to, from
	}
	var wg sync.WaitGroup
	var done atomic.Bool
	for range 2 {
		wg.Go(func() {
			for last := uint64(0); !done.Load(); {
				rd := r.m.Read()
				if rd.Index() < last {
					t.Errorf("the index went back from %d to %d", last, rd.Index())
				}
				last = rd.Index()
				total := 0
				for _, id := range []mailstore.MailboxID{1, 2} {
					b, _, err := rd.Mailbox(alice, id)
					if err != nil {
						t.Error(err)
					}
					unseen, n := uint32(0), uint32(0)
					if err := rd.Messages(alice, id, []mailstore.Range{{First: 1, Last: maxUID}}, func(m *MessageRow) error {
						n++
						if m.Flags&mailstore.FlagSeen == 0 {
							unseen++
						}
						return nil
					}); err != nil {
						t.Error(err)
					}
					if n != b.Exists || unseen != b.Unseen {
						t.Errorf("mailbox %d: %d and %d unseen, rows give %d and %d", id, b.Exists, b.Unseen, n, unseen)
					}
					total += int(n)
				}
				if total != 50 {
					t.Errorf("%d messages in both mailboxes", total)
				}
				if err := rd.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, e := range es {
		r.apply(e)
	}
	done.Store(true)
	wg.Wait()
	got, want, at, err := r.m.Recompute(t.Context())
	equal(t, "recomputed", []any{got, at, err}, []any{want, r.index, nil})
}
