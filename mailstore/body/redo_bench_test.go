package body

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/journal"
)

// BenchmarkPut4K puts small bodies, with and without a journal.
func BenchmarkPut4K(b *testing.B) {
	for _, groups := range []int{1, 3} {
		for _, writers := range []int{1, 4, 16} {
			for _, w := range ways[:2] {
				b.Run(fmt.Sprintf("groups=%d/writers=%d/%v", groups, writers, w), func(b *testing.B) {
					benchPut(b, w, writers, groups, false)
				})
			}
		}
	}
}

// BenchmarkDeliver4K puts a small body and stores an entry that names it, in
// the journal, once the gate lets it: what a node does for a delivery.
func BenchmarkDeliver4K(b *testing.B) {
	for _, writers := range []int{1, 4, 16} {
		for _, w := range ways {
			b.Run(fmt.Sprintf("writers=%d/%v", writers, w), func(b *testing.B) { benchPut(b, w, writers, 3, true) })
		}
	}
}

func benchPut(b *testing.B, w way, writers, groups int, deliver bool) {
	dir := b.TempDir()
	opts := testOpts(b)
	opts.SegmentSize = 256 << 20
	j, err := journal.Open(vfs.Default, dir+"/journal", journal.Options{Fatal: opts.Fatal})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			b.Error(err)
		}
	}()
	if w != alone {
		opts.Journal, opts.LogInJournal = j, w == shared
	}
	s, err := Open(vfs.Default, dir+"/bodies", opts)
	if err == nil {
		err = j.Settle()
	}
	if err != nil {
		b.Fatal(err)
	}
	defer mustClose(b, s)
	entries := make([]*journal.Writer, groups)
	for g := range groups {
		mustPut(b, s, cluster.GroupID(g+1), []byte("first"))
		if entries[g], err = j.Stream(journal.Stream{Group: cluster.GroupID(g + 1), Kind: journal.KindLog}, nil); err != nil {
			b.Fatal(err)
		}
	}
	syncs := func() uint64 {
		st := s.Stats()
		return st.Syncs + st.Flushes + j.Stats().Syncs
	}
	one := func(g int, id cluster.BodyID, data []byte) error {
		gid := cluster.GroupID(g + 1)
		if !deliver {
			return s.Put(context.Background(), gid, id, data)
		}
		put := make(chan error, 1)
		go func() { put <- s.Put(context.Background(), gid, id, data) }()
		refs := []cluster.BodyRef{{ID: id, Size: uint32(len(data))}}
		if err := s.Ensure(b.Context(), gid, cluster.NodeID{}, 1, refs); err != nil {
			return err
		}
		t, err := entries[g].Append(data[:1000])
		if err == nil {
			err = t.Wait()
		}
		if err != nil {
			return err
		}
		entries[g].Home(t.End)
		return <-put
	}
	before, cpu := syncs(), cpuTime(b)
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range writers {
		n := b.N / writers
		if i < b.N%writers {
			n++
		}
		wg.Go(func() {
			data := make([]byte, 4<<10)
			rng := seeded(uint64(i))
			var id cluster.BodyID
			for range n {
				for j := range id {
					id[j] = byte(rng.Uint32())
				}
				if err := one(i%groups, id, data); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(syncs()-before)/float64(b.N), "syncs/op")
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-µs/op")
}

// cpuTime is what the process has used, in user and system mode.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
