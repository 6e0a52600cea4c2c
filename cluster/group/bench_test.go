package group

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
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
				sent, cpu := w.notices(), cpuTime(b)
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
				b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-µs/op")
				b.ReportMetric(float64(w.notices()-sent)/float64(b.N), "notices/op")
			})
		}
	}
}

// notices returns how many commit notices all nodes have sent.
func (w *world) notices() (sum uint64) {
	for _, n := range w.nodes {
		sum += n.g.Stats().Notices
	}
	return sum
}

// cpuTime is what this process has used: all nodes of a test, and on a busy
// machine steadier than the time that passed.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFollowerApply measures how long after the answer on the leader a
// change is applied on a follower that nobody writes on: one change at a time
// ("idle"), and while 16 writers keep the leader busy.
func BenchmarkFollowerApply(b *testing.B) {
	for _, writers := range []int{0, 16} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			tune := fastTuning()
			tune.Heartbeat, tune.Commit = 0, 0
			tune.SyncEvery = time.Minute
			w := newWorld(b, 3, tune)
			w.sync = true
			w.start()
			l, f := w.leader(), w.followers()
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			over, stop := context.WithCancel(ctx)
			var wg sync.WaitGroup
			for range writers {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for over.Err() == nil {
						l.g.Propose(ctx, cluster.Proposal{Op: newOp(), Command: []byte("set load 1")}) // only load
					}
				}()
			}
			late := make([]time.Duration, 0, 2*b.N)
			b.ResetTimer()
			for range b.N {
				out, err := l.g.Propose(ctx, cluster.Proposal{Op: newOp(), Command: []byte("set k v")})
				if err != nil {
					b.Fatal(err)
				}
				at := time.Now()
				took := make(chan time.Duration, len(f))
				for _, n := range f {
					go func() {
						if err := n.g.WaitApplied(ctx, out.Index); err != nil {
							b.Error(err)
						}
						took <- time.Since(at)
					}()
				}
				for range f {
					late = append(late, <-took)
				}
			}
			b.StopTimer()
			stop()
			wg.Wait()
			slices.Sort(late)
			ms := func(q int) float64 { return late[min(len(late)*q/100, len(late)-1)].Seconds() * 1e3 }
			b.ReportMetric(ms(50), "p50-ms")
			b.ReportMetric(ms(99), "p99-ms")
		})
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
