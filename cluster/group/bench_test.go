package group

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
)

// BenchmarkPropose measures proposals of 300 bytes on three nodes with fsync,
// on the leader and on a follower.
func BenchmarkPropose(b *testing.B) {
	for _, on := range []string{"leader", "follower"} {
		for _, writers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/writers=%d", on, writers), func(b *testing.B) {
				tune := fastTuning()
				tune.Heartbeat, tune.Commit = 0, 0
				tune.SyncEvery = time.Minute
				w := newWorld(b, 3, tune)
				w.sync = true
				w.start()
				n := w.leader()
				if on == "follower" {
					n = w.followers()[0]
				}
				pad := make([]byte, 280)
				for i := range pad {
					pad[i] = 'x'
				}
				var next atomic.Int64
				var wg sync.WaitGroup
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
				defer cancel()
				b.ResetTimer()
				for range writers {
					wg.Add(1)
					go func() {
						defer wg.Done()
						for {
							i := next.Add(1)
							if i > int64(b.N) {
								return
							}
							p := cluster.Proposal{Op: newOp(), Command: fmt.Appendf(nil, "set k%d %s", i%1000, pad)}
							if _, err := n.g.Propose(ctx, p); err != nil {
								b.Error(err)
								return
							}
						}
					}()
				}
				wg.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
			})
		}
	}
}

// BenchmarkReadIndex measures read indexes on a follower, 16 at a time.
func BenchmarkReadIndex(b *testing.B) {
	w := newWorld(b, 3, fastTuning())
	w.start()
	n := w.followers()[0]
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			if err := n.g.ReadIndex(ctx); err != nil {
				b.Error(err)
			}
			cancel()
		}
	})
}

// BenchmarkEntry measures the codec.
func BenchmarkEntry(b *testing.B) {
	e := cluster.Entry{Kind: cluster.KindCommand, Command: make([]byte, 300), Bodies: make([]cluster.BodyRef, 1)}
	buf := appendEntry(nil, &e)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeEntry(buf); err != nil {
			b.Fatal(err)
		}
	}
}
